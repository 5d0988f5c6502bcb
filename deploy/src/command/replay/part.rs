//! The part of a topology that a replay runs, and the pins that keep a plan from running against
//! something else than it was made for.

use isobar_operators::lag;
use isobar_operators::replay::{Choice, Search, Sink, Table, live_sinks, part_for, tables};
use isobar_topology::Plan;
use isobar_topology::spec::{Problems, Spec};

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
    /// Sinks that records of the spout's topics reach in the live topology, also by way of another spout, and not here.
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
        let other_sinks = other_sinks(spec, spout, &sinks);
        Ok(Self {
            spec: part,
            other_sinks: other_sinks.map_err(|problems| Failure::from(file.refuse(problems)))?,
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

/// The sinks that records of a spout's topics reach in the live topology and that are not among `sinks`. Another spout
/// that reads a topic of the same name may read the same one, and what it has had indexed has the same origins.
fn other_sinks(spec: &Spec, spout: &str, sinks: &[Sink]) -> Result<Vec<Sink>, Problems> {
    let sources = lag::sources(spec)?;
    let own = sources.iter().find(|source| source.spout == spout);
    let of_topics = sources.iter();
    let of_topics = of_topics.filter(|one| own.is_some_and(|own| own.shares_names_with(one)));
    let mut others: Vec<Sink> = Vec::new();
    for sink in of_topics.flat_map(|source| live_sinks(spec, &source.spout)) {
        let mut known = sinks.iter().chain(&others);
        if known.all(|known| known.bolt != sink.bolt) {
            others.push(sink);
        }
    }
    Ok(others)
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
    use isobar_topology::spec::Node;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_another_spout_of_the_topic_has_indexed_is_known_beside_a_part() {
        let spout = |topics: &str| json!({"type": "kafka", "connection": "kafka", "topics": topics, "start": "earliest"});
        let index = |input: &str| json!({"type": "elasticsearch", "connection": "search", "index": "a", "inputs": [input]});
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {
                "kafka": {"type": "kafka", "brokers": "localhost:1"},
                "search": {"type": "elasticsearch", "hosts": "http://localhost:1"},
            },
            "spouts": {"in": spout("t,u"), "again": spout("^t"), "apart": spout("v")},
            "bolts": {
                "index": index("in"), "also": index("in"), "errors": index("again"), "other": index("apart"),
            },
        });
        let spec = Spec::read(&Node::from_json(&file)).expect("sound");
        let others = |spout: &str, sinks: &[&str]| -> Vec<String> {
            let mut taken = live_sinks(&spec, spout);
            taken.retain(|sink| sinks.contains(&&*sink.bolt));
            let others = other_sinks(&spec, spout, &taken).expect("sound");
            others.into_iter().map(|sink| sink.bolt).collect()
        };
        assert_eq!(others("in", &["index"]), ["also", "errors"]);
        assert_eq!(others("again", &["errors"]), ["index", "also"]);
        assert!(others("apart", &["other"]).is_empty());
    }

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
