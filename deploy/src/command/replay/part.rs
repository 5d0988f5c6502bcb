//! The part of a topology that a replay runs, and the pins that keep a plan from running against
//! something else than it was made for.

use isobar_operators::replay::{Choice, Search, Sink, Table, live_sinks, part_for, tables};
use isobar_topology::Plan;
use isobar_topology::spec::Spec;

use super::document::{PlanFile, PlannedTable};
use super::purge::PURGE;
use crate::command::Context;
use crate::configuration;
use crate::environment::cores;
use crate::exit::Failure;
use crate::topology_file::TopologyFile;

/// A part of a topology, planned.
pub(in crate::command) struct Part {
    pub(in crate::command) spec: Spec,
    pub(in crate::command) plan: Plan,
    pub(in crate::command) sinks: Vec<Sink>,
    pub(in crate::command) left_out: Vec<String>,
    /// Sinks that records of the spout reach in the live topology, and not here.
    pub(super) other_sinks: Vec<Sink>,
    /// The tables that records are looked up in.
    pub(super) tables: Vec<Table>,
    /// Tells the whole topology's configuration from others, also by what comes from outside.
    pub(in crate::command) configuration: String,
}

impl Part {
    pub(in crate::command) fn of(
        file: &TopologyFile,
        spout: &str,
        choice: &Choice,
        context: &Context<'_>,
    ) -> Result<Self, Failure> {
        let spec = file.spec()?;
        let part = part_for(spec, context.registry, spout, choice);
        let (part, sinks, left_out) = part.map_err(Failure::usage)?;
        let plan = file.plan_part(&part, context.registry, cores())?;
        let tables = tables(&part).map_err(Failure::usage)?;
        let tree = file.tree();
        let configuration = configuration::fingerprint(tree, &spec.settings, context.registry);
        let mut other_sinks = live_sinks(spec, spout);
        other_sinks.retain(|other| sinks.iter().all(|sink| sink.bolt != other.bolt));
        Ok(Self {
            spec: part,
            other_sinks,
            plan,
            sinks,
            left_out,
            tables,
            configuration,
        })
    }

    /// The tables as a plan keeps them.
    pub(super) fn planned_tables(&self) -> Vec<PlannedTable> {
        let tables = self.tables.iter();
        tables
            .map(|table| PlannedTable {
                bolt: table.bolt.clone(),
                file: table.file.clone(),
                hash: format!("{:016x}", table.hash),
            })
            .collect()
    }

    /// What has changed since a plan was made: the topology, or a table. What is in tables now is what a resumed run
    /// would see.
    pub(super) fn changed(&self, plan: &PlanFile) -> Option<String> {
        if self.configuration != plan.configuration {
            let file = plan.file.display();
            return Some(format!(
                "{file}, or a variable or secret that it takes from outside,"
            ));
        }
        let mut tables = self.planned_tables().into_iter();
        let other = tables.find(|table| !plan.tables.contains(table));
        other.map(|table| table.file.display().to_string())
    }

    /// Clients for the indices of each sink.
    pub(in crate::command) fn searches(&self) -> Result<Vec<Search>, Failure> {
        let sinks = self.sinks.iter();
        sinks
            .map(|sink| {
                let search = Search::of(&self.spec, sink);
                let search = search.map(|search| search.beside(&self.sinks, &self.other_sinks));
                search.map_err(|error| anyhow::Error::from(error).into())
            })
            .collect()
    }
}

/// Loads the topology of a plan, whether it has changed since or not.
pub(super) fn as_it_is(
    plan: &PlanFile,
    context: &mut Context<'_>,
) -> Result<(TopologyFile, Part), Failure> {
    context.environment.add_files(&plan.env_files)?;
    let outside = &context.environment;
    let file = outside.outside(|outside| TopologyFile::load(&plan.file, outside));
    let part = Part::of(&file, &plan.spout, &plan.choice()?, context)?;
    Ok((file, part))
}

/// Loads the topology of a plan, and refuses one that has changed since.
pub(super) fn of_plan(
    plan: &PlanFile,
    context: &mut Context<'_>,
) -> Result<(TopologyFile, Part), Failure> {
    let (file, part) = as_it_is(plan, context)?;
    match part.changed(plan) {
        Some(changed) => Err(Failure::usage(refusal(&changed, plan))),
        None => Ok((file, part)),
    }
}

/// Why a plan is not run whose topology is another one by now, and what to do instead.
fn refusal(changed: &str, plan: &PlanFile) -> String {
    let way_out = match plan.target == PURGE {
        true => {
            "; where a run of this one has begun, a new one with the same range and target deletes what it has written \
             and writes all of it, also what is missing now"
        }
        false => "",
    };
    format!(
        "{changed} has changed since the plan was made, so what it says of the outcome may be wrong; make a new plan{way_out}"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_names_the_way_out_of_a_purge() {
        let said = |target: &str| {
            let plan = json!({
                "version": 2, "id": "19a", "made_at_ms": 5, "topology": "logs", "file": "/logs.yaml",
                "env_files": [], "configuration": "0f", "spout": "in", "group": "g", "cluster_id": "c",
                "topics": {"t": null}, "from": "0", "to": "100", "target": target, "sinks": [],
                "left_out": [], "narrowed": false, "partitions": [],
            });
            let plan: PlanFile = serde_json::from_value(plan).expect("a plan");
            refusal("/logs.yaml", &plan)
        };
        for target in ["missing", "purge"] {
            assert!(said(target).starts_with("/logs.yaml has changed since the plan was made"));
            let way_out = "a new one with the same range and target deletes what it has written";
            assert_eq!(said(target).contains(way_out), target == "purge");
        }
    }
}
