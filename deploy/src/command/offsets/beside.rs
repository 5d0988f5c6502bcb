//! Keeps a group from where a replay writes documents anew: the live topology would write them as well, by its own
//! file, in any order.

use anyhow::anyhow;
use isobar_operators::replay::Target;
use isobar_operators::replay::registry::Listed;

use super::change::Row;
use crate::exit::{Exit, Failure};

/// Fails where changes put the group before the end of what a run that is alive overwrites or purges.
pub(super) fn refuse_beside(runs: &[Listed], rows: &[Row]) -> Result<(), Failure> {
    for Listed { entry, .. } in runs.iter().filter(|run| run.is_alive()) {
        if !matches!(entry.target.parse(), Ok(Target::Overwrite | Target::Purge)) {
            continue;
        }
        for row in rows.iter().filter(|row| row.changes()) {
            let mut parts = entry.partitions.iter();
            let part = parts.find(|part| part.name() == row.partition);
            if part.is_some_and(|part| row.after().unwrap_or(0) < part.to) {
                return Err(Failure::new(
                    Exit::Failed,
                    anyhow!(
                        "nothing was changed: the replay {} on {} writes documents of {}/{} anew that the live \
                         topology would write again from there; let it end, or end it with isobar replay abort",
                        entry.run,
                        entry.host,
                        row.partition.topic,
                        row.partition.partition
                    ),
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use isobar_operators::kafka::admin::TopicPartition;
    use isobar_operators::offsets::Change;
    use isobar_topology::clock;
    use serde_json::json;

    use super::*;

    fn run(target: &str, state: &str) -> Listed {
        let entry = json!({
            "version": 1, "run": "19b", "attempt": "x", "spout": "logs", "target": target,
            "group": "g", "host": "elsewhere", "pid": 7, "state": state, "why": null, "claim": null,
            "started_ms": 5, "lease_ms": 12_000,
            "partitions": [{"topic": "t", "partition": 0, "from": 10, "to": 50, "next": null}],
        });
        Listed {
            entry: serde_json::from_value(entry).expect("an entry"),
            told_ms: clock::unix_ms(),
        }
    }

    #[test]
    fn a_group_is_not_put_before_what_a_replay_writes_anew() {
        let to = |offset| Change::To(offset, String::new());
        let check = |run: Listed, partition, change: Change, is_refused: bool| {
            let partition = TopicPartition::new("t", partition);
            let row = Row::for_tests(partition, Some(60), change.clone());
            let refused = refuse_beside(&[run], &[row]);
            assert_eq!(refused.is_err(), is_refused, "{change:?}");
        };
        for target in ["overwrite", "purge"] {
            check(run(target, "running"), 0, to(0), true);
            check(run(target, "paused"), 0, to(49), true);
            check(run(target, "running"), 0, Change::None, true);
            check(run(target, "running"), 0, to(50), false);
            check(run(target, "running"), 1, to(0), false);
            check(run(target, "stopped"), 0, to(0), false);
            // Nothing changes.
            check(run(target, "running"), 0, to(60), false);
        }
        check(run("missing", "running"), 0, to(0), false);
        check(run("index=other", "running"), 0, to(0), false);
        let long_ago = Listed {
            told_ms: clock::unix_ms() - 60_000,
            ..run("overwrite", "running")
        };
        check(long_ago, 0, to(0), false);
    }
}
