//! A group that is watched from outside, whether its program runs or not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Circumstances, Lag, Source, extent};
use crate::kafka::admin::{Admin, Members, TopicPartition};
use crate::kafka::error::Error;
use crate::kafka::lag::Sampler;

/// Samples the lag of a group until it is dropped.
pub struct Standing {
    sampler: Sampler,
    found: Arc<Mutex<Found>>,
}

/// What was learnt beside offsets.
#[derive(Default)]
struct Found {
    /// Who is in the group; `None` while the brokers do not tell.
    members: Option<Members>,
    problems: Vec<String>,
    /// How many partitions each topic has.
    topics: BTreeMap<String, i32>,
}

impl Found {
    /// No member reads any partition, and the brokers have said so.
    fn is_idle(&self) -> bool {
        let members = self.members.as_ref();
        members.is_some_and(|members| members.owners.is_empty())
    }
}

impl Source {
    /// Watches all partitions of the group from outside: starts a thread that asks the brokers at once
    /// and then every `interval`, at most `within` for each question.
    ///
    /// Fails when no client or thread can be made; unreachable brokers show as [`Lag::failure`].
    pub fn stand(&self, interval: Duration, within: Duration) -> Result<Standing, Error> {
        let admin = Admin::of_group(&self.connection, &self.group, within)?;
        let found = Arc::new(Mutex::new(Found::default()));
        let (theirs, source) = (Arc::clone(&found), self.clone());
        let which = move |admin: &Admin| {
            let (partitions, problems) = source.partitions(admin)?;
            *lock(&theirs) = Found {
                members: admin.members().ok(),
                problems,
                topics: extent::counts(&partitions),
            };
            Ok(partitions)
        };
        Ok(Standing {
            sampler: Sampler::start(admin, interval, Box::new(which), None)?,
            found,
        })
    }
}

/// How old the oldest record is that a group has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Oldest {
    /// So old, in ms; 0 when there is none.
    Age(u64),
    /// Nobody reads for the group, so nothing becomes older by what others do.
    NobodyReads,
    /// It is not known, for this reason.
    Unknown(String),
    /// The brokers have not answered yet for the first time.
    Asked,
}

impl Standing {
    /// How old the oldest record is, over all partitions. Never waits.
    pub fn oldest(&self) -> Oldest {
        match self.read() {
            None => Oldest::Asked,
            Some(lag) => oldest(&lag, lock(&self.found).is_idle()),
        }
    }

    /// The lag now, from the newest samples; `None` before the first answer or failure. Never waits.
    pub fn read(&self) -> Option<Lag> {
        if !self.sampler.has_begun() {
            return None;
        }
        let mut rows = self.sampler.rows(None, &Circumstances::default());
        let found = lock(&self.found);
        for row in &mut rows {
            let members = found.members.as_ref();
            row.read_by(members.and_then(|members| members.owners.get(&row.partition).cloned()));
        }
        let failures: Vec<String> = found
            .problems
            .iter()
            .cloned()
            .chain(self.sampler.failure())
            .collect();
        Some(Lag {
            rows,
            failure: (!failures.is_empty()).then(|| failures.join("; ")),
            owners_unknown: found.members.is_none(),
            members: found.members.as_ref().map(|members| members.count),
            topics: found.topics.clone(),
        })
    }
}

fn oldest(lag: &Lag, is_idle: bool) -> Oldest {
    if let Some(failure) = &lag.failure {
        return Oldest::Unknown(failure.clone());
    }
    if is_idle {
        return Oldest::NobodyReads;
    }
    let unknown = lag.rows.iter().find(|row| row.age_ms.is_none());
    if let Some(row) = unknown {
        let TopicPartition { topic, partition } = &row.partition;
        return Oldest::Unknown(format!("the age of {topic}/{partition} is not known"));
    }
    let ages = lag.rows.iter().filter_map(|row| row.age_ms);
    Oldest::Age(ages.max().unwrap_or(0))
}

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::Row;

    #[test]
    fn what_is_not_known_is_never_young() {
        let row = |number, age_ms| Row {
            age_ms,
            ..Row::unknown(TopicPartition::new("t", number))
        };
        let check = |ages: &[Option<u64>], failure: Option<&str>, is_idle, expected| {
            let lag = Lag {
                rows: (0..).zip(ages).map(|(n, age)| row(n, *age)).collect(),
                failure: failure.map(str::to_owned),
                ..Lag::default()
            };
            assert_eq!(oldest(&lag, is_idle), expected);
        };
        check(&[Some(5), Some(40_000)], None, false, Oldest::Age(40_000));
        check(&[], None, false, Oldest::Age(0));
        let unknown = |why: &str| Oldest::Unknown(why.to_owned());
        check(
            &[Some(5), None],
            None,
            false,
            unknown("the age of t/1 is not known"),
        );
        check(&[Some(5)], Some("no answer"), true, unknown("no answer"));
        check(&[None], None, true, Oldest::NobodyReads);
    }
}
