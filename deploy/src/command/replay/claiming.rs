//! What a replay or a redrive writes into the register when it begins, and what is said where another run is at the
//! same records.

use anyhow::anyhow;
use isobar_operators::replay::registry::{
    self, Asked, Before, Claim, Entry, Part, Registry, State,
};
use isobar_topology::clock;

use super::attend::LEASE_MS;
use super::ticket::moment;
use crate::command::source::asking;
use crate::exit::{Exit, Failure};
use crate::output::number;
use crate::process;
use crate::progress::Screen;

/// What a run says of itself.
pub(in crate::command) struct Wants {
    /// The id of its plan, or the name of a redrive.
    pub(in crate::command) run: String,
    pub(in crate::command) spout: String,
    pub(in crate::command) target: String,
    /// The group that keeps its progress.
    pub(in crate::command) group: String,
    /// Hash of the effective configuration of the topology.
    pub(in crate::command) configuration: String,
    /// What else the command line says.
    pub(in crate::command) options: Vec<String>,
    /// What it reads.
    pub(in crate::command) partitions: Vec<Part>,
}

impl Wants {
    fn entry(self) -> Entry {
        let (host, pid, started_ms) = (process::host(), std::process::id(), clock::unix_ms());
        Entry {
            version: registry::VERSION,
            run: self.run,
            attempt: format!("{host}-{pid}-{started_ms:x}"),
            spout: self.spout,
            target: self.target,
            group: self.group,
            host,
            pid,
            state: State::Running,
            why: None,
            claim: None,
            word: None,
            started_ms,
            lease_ms: LEASE_MS,
            asked: Some(Asked {
                user: process::user(),
                configuration: self.configuration,
                options: self.options,
            }),
            dropped: None,
            partitions: self.partitions,
        }
    }
}

/// Claims what a run wants. Where a run is before it that `may_be_dead`, waits whether it still is, and tries once
/// more if that is well with `again`.
///
/// Fails with `not_done`, and who is at these records, when another run is.
pub(in crate::command) async fn claim(
    wants: Wants,
    registry: Registry,
    not_done: &str,
    may_be_dead: impl Fn(&Entry) -> bool,
    again: impl FnOnce() -> Result<(), Failure>,
    screen: &Screen,
) -> Result<Claim, Failure> {
    let entry = wants.entry();
    let wanted = entry.partitions.clone();
    let mut claimed = registry.clone().claim(entry.clone()).await;
    if let Ok(Err(before)) = &claimed
        && may_be_dead(&before.entry)
    {
        // It may have died a moment ago.
        let seconds = before.dead_in.as_secs_f32().ceil();
        screen.line(&format!(
            "isobar: {} on {} (process {}) was heard of just now: waiting {seconds} s whether it still is",
            named(&before.entry),
            before.entry.host,
            before.entry.pid
        ));
        tokio::time::sleep(before.dead_in).await;
        again()?;
        let attempt = format!("{}-again", entry.attempt);
        claimed = registry.claim(Entry { attempt, ..entry }).await;
    }
    let claimed = claimed.map_err(asking)?;
    claimed.map_err(|Before { entry, .. }| {
        let refused = refusal(not_done, &entry, &wanted);
        Failure::new(Exit::Failed, anyhow!(refused))
    })
}

/// A run, as people are told of it.
pub(super) fn named(entry: &Entry) -> String {
    let what = match entry.is_redrive() {
        true => "redrive",
        false => "replay",
    };
    format!("the {what} {}", entry.run)
}

fn refusal(not_done: &str, before: &Entry, wanted: &[Part]) -> String {
    let by = before.asked.as_ref().map(|asked| asked.user.as_str());
    let by = by.map_or_else(String::new, |user| format!(" by {user}"));
    format!(
        "{not_done}: {} on {} (process {}), begun{by} at {}, {}; let it end, or end it with isobar replay abort",
        named(before),
        before.host,
        before.pid,
        moment(before.started_ms),
        at_these(&before.partitions, wanted)
    )
}

/// What another run has to do with the records that are wanted. Of a redrive the register has only its first and its
/// last record in a partition, so that range says more than that it reads some.
fn at_these(claimed: &[Part], wanted: &[Part]) -> String {
    let is_shared = |claimed: &Part, wanted: &Part| {
        (&claimed.topic, claimed.partition) == (&wanted.topic, wanted.partition)
            && claimed.from < wanted.to
            && wanted.from < claimed.to
    };
    let mut claimed = claimed.iter();
    let shared = claimed.find(|claimed| wanted.iter().any(|wanted| is_shared(claimed, wanted)));
    match shared {
        Some(part) => format!(
            "has claimed offsets {} to {} of {}/{}, among which are some of these",
            number(part.from),
            number(part.to.saturating_sub(1)),
            part.topic,
            part.partition
        ),
        None => "reads some of these records".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use isobar_operators::embedded::EmbeddedKafka;

    use super::*;
    use crate::substitute::Outside;
    use crate::topology_file::TopologyFile;

    /// The register of a topology on these brokers.
    fn registry(brokers: &str) -> Registry {
        let file = format!(
            "isobar: 1\nname: t\nconnections: {{kafka: {{type: kafka, brokers: [\"{brokers}\"]}}}}\nspouts: {{logs: \
             {{type: kafka, connection: kafka, topics: [logs], start: earliest}}}}\nbolts: {{out: {{type: blackhole, \
             inputs: [logs]}}}}\n"
        );
        let outside = Outside {
            variable: &|_| None,
            file: &|_| unreachable!("no file is named"),
        };
        let file = TopologyFile::from_text(Path::new("t.yaml"), file, &outside);
        let spec = file.spec().expect("a specification");
        Registry::of(spec, "logs", Duration::from_secs(10)).expect("a connection")
    }

    fn wants(run: &str, target: &str, (from, to): (i64, i64)) -> Wants {
        Wants {
            run: run.to_owned(),
            spout: "logs".to_owned(),
            target: target.to_owned(),
            group: String::new(),
            configuration: String::new(),
            options: Vec::new(),
            partitions: vec![Part {
                topic: "logs".to_owned(),
                partition: 0,
                from,
                to,
                next: None,
            }],
        }
    }

    #[tokio::test]
    async fn redrives_and_replays_of_the_same_records_are_kept_apart_until_one_ends() {
        let kafka = EmbeddedKafka::start().expect("a stand-in cluster");
        kafka.create_topic("t.replays").expect("it is created");
        let registry = registry(kafka.brokers());
        let claims = async |run: &str, target: &str, range| {
            let wants = wants(run, target, range);
            let (registry, screen) = (registry.clone(), Screen::to(std::io::sink()));
            let never = |_: &Entry| false;
            let claimed = claim(
                wants,
                registry,
                "nothing was done",
                never,
                || Ok(()),
                &screen,
            );
            claimed.await.map_err(|failure| failure.error.to_string())
        };
        let mut first = claims("t.redrive.1", registry::REDRIVE, (10, 20))
            .await
            .expect("it is alone");
        for target in [registry::REDRIVE, "missing"] {
            let refused = claims("other", target, (19, 30)).await;
            let refused = refused.err().expect("it is refused");
            let start = "nothing was done: the redrive t.redrive.1 on ";
            assert!(refused.starts_with(start), "{refused}");
        }
        let beside = claims("t.redrive.2", registry::REDRIVE, (20, 30)).await;
        assert!(beside.is_ok(), "its records are others");
        let parts = first.entry().partitions.clone();
        let told = first.tell(State::Done, None, parts).await;
        told.expect("written");
        let again = claims("t.redrive.3", registry::REDRIVE, (10, 20)).await;
        assert!(again.is_ok(), "{:?}", again.err());
        let runs = registry.runs().expect("it answers");
        let states: Vec<(&str, State)> = runs
            .iter()
            .map(|run| (run.entry.run.as_str(), run.entry.state))
            .collect();
        let done = ("t.redrive.1", State::Done);
        assert!(states.contains(&done), "{states:?}");
    }

    #[tokio::test]
    async fn what_was_killed_is_waited_for_as_long_as_its_lease() {
        let kafka = EmbeddedKafka::start().expect("a stand-in cluster");
        kafka.create_topic("t.replays").expect("it is created");
        let registry = registry(kafka.brokers());
        let killed = Entry {
            lease_ms: 1_500,
            ..wants("t.redrive.1", registry::REDRIVE, (10, 20)).entry()
        };
        let killed = registry.clone().claim(killed).await.expect("it answers");
        assert!(killed.is_ok(), "it is alone");
        let (screen, shown) = Screen::for_tests();
        let claimed = claim(
            wants("t.redrive.2", registry::REDRIVE, (10, 20)),
            registry,
            "nothing was done",
            Entry::is_redrive,
            || Ok(()),
            &screen,
        );
        let claimed = claimed.await.map_err(|failure| failure.error.to_string());
        let claimed = claimed.map(|claim| claim.entry().run.clone());
        assert_eq!(claimed, Ok("t.redrive.2".to_owned()));
        let said = shown.text();
        assert!(said.contains("was heard of just now: waiting"), "{said}");
    }

    #[test]
    fn who_is_at_the_records_is_said_with_where_since_when_and_what_to_do() {
        let entry = |target: &str| Entry {
            host: "h".to_owned(),
            pid: 7,
            started_ms: 1_700_000_000_000,
            asked: None,
            ..wants("19a", target, (0, 1)).entry()
        };
        let mut replay = entry("missing");
        let wanted = |from, to| wants("19b", "missing", (from, to)).partitions;
        (replay.partitions[0].from, replay.partitions[0].to) = (1_000, 2_000);
        assert_eq!(
            refusal("nothing was redriven", &replay, &wanted(1_999, 9_000)),
            "nothing was redriven: the replay 19a on h (process 7), begun at 2023-11-14T22:13:20Z, has claimed offsets \
             1,000 to 1,999 of logs/0, among which are some of these; let it end, or end it with isobar replay abort"
        );
        // Another attempt of the same plan, whose range is empty by now.
        let refused = refusal("nothing was replayed", &replay, &wanted(2_000, 9_000));
        assert!(
            refused.contains("Z, reads some of these records; let"),
            "{refused}"
        );
        replay.asked = Some(Asked {
            user: "ops".to_owned(),
            configuration: String::new(),
            options: Vec::new(),
        });
        let refused = refusal("nothing was replayed", &replay, &wanted(0, 1));
        assert!(refused.contains("begun by ops at 2023"), "{refused}");
        assert_eq!(named(&entry(registry::REDRIVE)), "the redrive 19a");
    }
}
