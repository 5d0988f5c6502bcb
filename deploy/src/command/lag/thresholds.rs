//! What makes `isobar lag` end with exit code 3, and what with 4.

use std::time::Duration;

use isobar_operators::lag::Status;

use super::LagArgs;
use crate::exit::Exit;
use crate::lag::{LagDocument, PartitionLag, SpoutLag};
use crate::output::{number, time};

/// What must not be passed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Thresholds {
    above: Option<u64>,
    older: Option<Duration>,
    status: Option<Status>,
}

impl Thresholds {
    pub(super) fn of(args: &LagArgs) -> Self {
        Self {
            above: args.fail_above,
            older: args.fail_older.map(|older| older.get()),
            status: args.fail_status,
        }
    }

    /// The exit code, and why it is not 0. What is known to pass a threshold counts, whatever is not
    /// known besides.
    pub(super) fn judge(&self, document: &LagDocument) -> (Exit, Vec<String>) {
        let mut passed = Vec::new();
        let mut unknown = Vec::new();
        for spout in &document.spouts {
            self.judge_lag(spout, &mut passed);
            unknown.extend(why_unknown(spout));
            for partition in &spout.partitions {
                self.judge_partition(spout, partition, &mut passed, &mut unknown);
            }
        }
        let exit = match (passed.is_empty(), unknown.is_empty()) {
            (false, _) => Exit::Threshold,
            (true, false) => Exit::Undetermined,
            (true, true) => Exit::Done,
        };
        passed.extend(unknown);
        (exit, passed)
    }

    fn judge_lag(&self, spout: &SpoutLag, passed: &mut Vec<String>) {
        let known: u64 = spout.partitions.iter().filter_map(|one| one.lag).sum();
        if let Some(above) = self.above.filter(|above| known > *above) {
            passed.push(format!(
                "{}: {} records are not settled, more than {} (--fail-above)",
                spout.spout,
                number(known),
                number(above)
            ));
        }
    }

    fn judge_partition(
        &self,
        spout: &SpoutLag,
        partition: &PartitionLag,
        passed: &mut Vec<String>,
        unknown: &mut Vec<String>,
    ) {
        let name = format!(
            "{}: {}/{}",
            spout.spout, partition.topic, partition.partition
        );
        if let Some(older) = self.older {
            match partition.oldest_age_seconds {
                Some(age) if age > older.as_secs_f64() => passed.push(format!(
                    "{name}: the oldest record that is not settled is {} old, more than {} (--fail-older)",
                    time((age * 1_000.0) as u64),
                    time(u64::try_from(older.as_millis()).unwrap_or(u64::MAX))
                )),
                Some(_) => {}
                // Without a lag there is no age; that is said already.
                None if partition.lag.is_none() => {}
                None => unknown.push(format!(
                    "{name}: the age of the oldest record that is not settled is not known"
                )),
            }
        }
        if let Some(status) = self.status {
            match partition.status {
                Status::NoData if partition.lag.is_none() => {}
                Status::NoData => unknown.push(format!(
                    "{name}: the status is not known: {}; try --over 6m",
                    partition.reason
                )),
                is if is >= status => passed.push(format!(
                    "{name}: {is}: {} (--fail-status)",
                    partition.reason
                )),
                _ => {}
            }
        }
    }
}

/// What there is to say about a lag that is not known, or not wholly.
fn why_unknown(spout: &SpoutLag) -> Option<String> {
    if let Some(failure) = &spout.failure {
        let of = &spout.spout;
        return Some(match spout.lag {
            Some(_) => format!("not everything about the lag of {of} is known: {failure}"),
            None => format!("the lag of {of} is not known: {failure}"),
        });
    }
    let mut partitions = spout.partitions.iter();
    let partition = partitions.find(|partition| partition.lag.is_none())?;
    let (topic, number) = (&partition.topic, partition.partition);
    let why = match (partition.end, partition.status) {
        (None, Status::NoData) => format!("{topic}/{number}: {}", partition.reason),
        (None, _) => format!("the brokers have not said where {topic}/{number} ends"),
        (Some(_), _) => format!(
            "its group {} has committed nothing for {topic}/{number}",
            spout.group
        ),
    };
    Some(format!("the lag of {} is not known: {why}", spout.spout))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::lag::samples::{full, partition, spout};

    fn document(partitions: Vec<PartitionLag>) -> LagDocument {
        LagDocument::of("t", vec![spout("in", partitions)])
    }

    fn check(thresholds: Thresholds, partitions: Vec<PartitionLag>, exit: Exit, words: &[&str]) {
        let (found, why) = thresholds.judge(&document(partitions));
        assert_eq!((found, why.len()), (exit, words.len()), "{why:?}");
        for (why, word) in why.iter().zip(words) {
            assert!(why.contains(word), "{why}");
        }
    }

    fn behind(lag: u64, age: f64, status: Status) -> PartitionLag {
        PartitionLag {
            lag: Some(lag),
            oldest_age_seconds: Some(age),
            status,
            ..full(0)
        }
    }

    #[test]
    fn what_is_known_to_pass_a_threshold_counts_whatever_is_not_known() {
        let above = Thresholds {
            above: Some(100),
            ..Thresholds::default()
        };
        let slow = || behind(60, 1.0, Status::Slow);
        check(above, vec![slow()], Exit::Done, &[]);
        check(
            above,
            vec![slow(), slow()],
            Exit::Threshold,
            &["120 records"],
        );
        let two = ["120 records", "committed nothing"];
        let nothing = PartitionLag {
            end: Some(5),
            ..partition(3)
        };
        check(
            above,
            vec![slow(), nothing.clone(), slow()],
            Exit::Threshold,
            &two,
        );
        check(
            above,
            vec![slow(), nothing],
            Exit::Undetermined,
            &["committed nothing"],
        );
        let held = PartitionLag {
            status: Status::Held,
            ..partition(3)
        };
        let endless = ["have not said where a\"b/3 ends"];
        check(above, vec![held], Exit::Undetermined, &endless);
        let unread = PartitionLag {
            reason: "nobody reads it".to_owned(),
            ..partition(3)
        };
        let nobody = ["not known: a\"b/3: nobody reads it"];
        check(above, vec![unread], Exit::Undetermined, &nobody);
    }

    #[test]
    fn ages_and_statuses_are_those_of_each_partition() {
        let older = Thresholds {
            older: Some(Duration::from_secs(300)),
            ..Thresholds::default()
        };
        check(older, vec![behind(1, 300.0, Status::Ok)], Exit::Done, &[]);
        check(
            older,
            vec![behind(1, 301.0, Status::Ok)],
            Exit::Threshold,
            &["5 min 1 s old"],
        );
        let mut ageless = behind(1, 0.0, Status::Ok);
        ageless.oldest_age_seconds = None;
        check(older, vec![ageless], Exit::Undetermined, &["age"]);

        let status = Thresholds {
            status: Some(Status::Slow),
            ..Thresholds::default()
        };
        check(
            status,
            vec![behind(1, 1.0, Status::CatchingUp)],
            Exit::Done,
            &[],
        );
        check(
            status,
            vec![behind(1, 1.0, Status::Slow)],
            Exit::Threshold,
            &["SLOW"],
        );
        check(
            status,
            vec![behind(1, 1.0, Status::Lost)],
            Exit::Threshold,
            &["LOST"],
        );
        check(
            status,
            vec![behind(1, 1.0, Status::NoData)],
            Exit::Undetermined,
            &["--over"],
        );
    }
}
