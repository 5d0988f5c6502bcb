//! How far a run is that has fixed ranges of offsets to read, and when it will be at their end.

use std::collections::BTreeMap;

use isobar_topology::clock::{self, Instant};

use crate::accounting::Accounting;
use crate::output::time;

/// Ranges of offsets, and how much of them was settled when it was first looked at.
#[derive(Debug)]
pub struct Goal {
    /// Half-open, by topic and partition.
    ranges: BTreeMap<(String, i32), (i64, i64)>,
    first: Option<(Instant, u64)>,
}

impl Goal {
    /// These ranges.
    pub fn new(ranges: BTreeMap<(String, i32), (i64, i64)>) -> Self {
        Self {
            ranges,
            first: None,
        }
    }

    /// What there is to say by now, such as `62 %, done in 3 min 20 s`: by what was settled each second since
    /// the first look, so that what an earlier run has settled makes nothing faster.
    pub fn text(&mut self, account: &Accounting) -> String {
        let all: u64 = self.ranges.values().map(|(from, to)| len(*from, *to)).sum();
        let settled = self.settled(account);
        let now = clock::now();
        let (since, before) = *self.first.get_or_insert((now, settled));
        let percent = (settled * 100).checked_div(all).unwrap_or(100);
        let (done, left) = (settled - before.min(settled), all - settled.min(all));
        let ms = (now - since).as_millis() as u64;
        match done {
            0 => format!("{percent} %"),
            done => {
                let left_ms = u128::from(ms) * u128::from(left) / u128::from(done);
                let left = time(u64::try_from(left_ms).unwrap_or(u64::MAX));
                format!("{percent} %, done in {left}")
            }
        }
    }

    fn settled(&self, account: &Accounting) -> u64 {
        let partitions = account.spouts.iter().flat_map(|spout| &spout.partitions);
        let each = partitions.map(|one| {
            let range = self.ranges.get(&(one.topic.clone(), one.partition));
            let settled = range.zip(one.frontier);
            settled.map_or(0, |((from, to), frontier)| len(*from, frontier.min(*to)))
        });
        each.sum()
    }
}

fn len(from: i64, to: i64) -> u64 {
    u64::try_from(to - from).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::accounting::{PartitionAccount, SpoutAccount, Terms};

    fn account(frontiers: [Option<i64>; 2]) -> Accounting {
        let partitions = (0..)
            .zip(frontiers)
            .map(|(partition, frontier)| PartitionAccount {
                topic: "t".to_owned(),
                partition,
                former: false,
                terms: Terms::default(),
                frontier,
                next: None,
            });
        Accounting {
            topology: "logs".to_owned(),
            total: Terms::default(),
            spouts: vec![SpoutAccount {
                spout: "in".to_owned(),
                terms: Terms::default(),
                partitions: partitions.collect(),
            }],
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_by_what_this_run_has_settled() {
        let ranges = [("t".to_owned(), 0), ("t".to_owned(), 1)];
        let ranges = ranges.into_iter().zip([(100, 1_100), (0, 1_000)]);
        let mut goal = Goal::new(ranges.collect());
        // An earlier run has settled half of the first one.
        assert_eq!(goal.text(&account([Some(600), None])), "25 %");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(
            goal.text(&account([Some(600), Some(500)])),
            "50 %, done in 20.0 s"
        );
        tokio::time::advance(Duration::from_secs(10)).await;
        // What a spout reads beyond its range counts for nothing.
        assert_eq!(
            goal.text(&account([Some(9_000), Some(1_000)])),
            "100 %, done in 0 ms"
        );
        assert_eq!(
            Goal::new(BTreeMap::new()).text(&account([None, None])),
            "100 %"
        );
    }
}
