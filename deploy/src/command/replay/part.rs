//! The part of a topology that a replay runs, and the pins that keep a plan from running against
//! something else than it was made for.

use isobar_operators::replay::{Choice, Search, Sink, Table, live_sinks, part_for, tables};
use isobar_topology::Plan;
use isobar_topology::spec::Spec;

use super::document::{PlanFile, PlannedTable};
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
    /// Hash of the whole topology's effective configuration.
    pub(super) configuration: String,
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
        // Without the number of lanes, which is the machine's.
        let effective = configuration::effective(file.tree(), &spec.settings, 0, context.registry);
        let mut other_sinks = live_sinks(spec, spout);
        other_sinks.retain(|other| sinks.iter().all(|sink| sink.bolt != other.bolt));
        Ok(Self {
            spec: part,
            other_sinks,
            plan,
            sinks,
            left_out,
            tables,
            configuration: hash(&effective.to_string()),
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

/// Loads the topology of a plan, and refuses one that has changed since.
pub(super) fn of_plan(
    plan: &PlanFile,
    context: &mut Context<'_>,
) -> Result<(TopologyFile, Part), Failure> {
    context.environment.add_files(&plan.env_files)?;
    let outside = &context.environment;
    let file = outside.outside(|outside| TopologyFile::load(&plan.file, outside));
    let part = Part::of(&file, &plan.spout, &plan.choice()?, context)?;
    let changed = |file: &std::path::Path| {
        Failure::usage(format!(
            "{} has changed since the plan was made, so what it says of the outcome may be wrong; make a \
             new plan",
            file.display()
        ))
    };
    if part.configuration != plan.configuration {
        return Err(changed(&plan.file));
    }
    // What is in them now is what a check of a run, or a resumed one, would see.
    let tables = part.planned_tables();
    match tables.iter().find(|table| !plan.tables.contains(table)) {
        Some(table) => Err(changed(&table.file)),
        None => Ok((file, part)),
    }
}

/// FNV-1a, which is the same in every version of the program.
fn hash(text: &str) -> String {
    let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_plan_never_changes() {
        assert_eq!(hash(""), "cbf29ce484222325");
        assert_eq!(hash("a"), "af63dc4c8601ec8c");
    }
}
