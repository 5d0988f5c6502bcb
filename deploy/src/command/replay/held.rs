//! What a run needs before it begins: that the plan still fits, and that nobody else reads its records.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::anyhow;
use isobar_operators::kafka::admin::{Admin, TopicPartition};
use isobar_operators::kafka::error::Error;
use isobar_operators::lag::Source;
use isobar_operators::range::{self, Last, Log};
use isobar_operators::replay::registry::{Claim, Entry, Listed, Part, Registry, State};

use super::claiming::{self, Wants};
use super::document::PlanFile;
use super::ticket::moment;
use super::{expiry, frontier};
use crate::command::source::asking;
use crate::exit::{Exit, Failure};
use crate::progress::Screen;

/// How far earlier runs of a plan have got: everything before is settled.
pub(super) type Progress = BTreeMap<TopicPartition, i64>;

/// Who is asked whether a plan still fits.
pub(super) struct Brokers {
    /// With the plan's group.
    pub(super) admin: Admin,
    /// Where the records are.
    pub(super) source: Source,
    /// How long each answer may take.
    pub(super) within: Duration,
}

/// What somebody has said on how a plan is to be run.
#[derive(Clone, Debug, Default)]
pub(super) struct Begin {
    /// It goes on where an earlier run of it has ended.
    pub(super) resume: bool,
    /// Less than what was asked for will do.
    pub(super) accept_narrowed: bool,
    /// All that was said, for the register.
    pub(super) options: Vec<String>,
}

impl Begin {
    /// What is said where it cannot be: much may be done of what is gone on with.
    fn not_done(&self) -> &'static str {
        match self.resume {
            true => "the replay is not gone on with",
            false => "nothing was replayed",
        }
    }

    /// Whether what is left to read of a range is there, or may be lost: a run that is under way goes on behind
    /// what is deleted before it, and one that has deleted documents has to write those that it still can.
    fn can_read(&self, next: i64, to: i64, log: &Log) -> bool {
        let may_lack = self.resume && self.accept_narrowed;
        to <= log.end && (next >= log.start || may_lack)
    }
}

/// Fails where a run of the plan has come to its end: what was asked for is done, and the documents are no longer
/// those that the plan was made for. Waits for the brokers.
pub(super) fn refuse_done(plan: &PlanFile, registry: &Registry) -> Result<(), Failure> {
    let runs = registry.runs().map_err(asking)?;
    let is_done = |run: &&Listed| run.entry.run == plan.id && run.entry.state == State::Done;
    let Some(Listed { entry, told_ms }) = runs.iter().find(is_done) else {
        return Ok(());
    };
    Err(Failure::usage(format!(
        "nothing was replayed: this plan was run to its end on {} at {}; make a new one",
        entry.host,
        moment(*told_ms)
    )))
}

/// Claims the ranges of the plan in the register, and looks once more at the pins and at how far an
/// earlier run has got: one that still worked off what it had read may have committed until now, and its
/// documents must stay.
///
/// Fails when another run reads any of the ranges, or as [`check_pins`].
pub(super) async fn claim(
    plan: &PlanFile,
    registry: Registry,
    brokers: &Brokers,
    begin: &Begin,
    screen: &Screen,
) -> Result<(Claim, Progress), Failure> {
    let mut claim = claim_at(plan, registry, begin, screen).await?;
    let mut parts = claim.entry().partitions.clone();
    match check_pins(plan, brokers, begin) {
        Ok(progress) => {
            for part in &mut parts {
                part.next = Some(*progress.get(&part.name()).unwrap_or(&part.from));
            }
            let told = claim.tell(State::Running, None, parts).await;
            told.map_err(asking)?;
            Ok((claim, progress))
        }
        Err(failure) => {
            // Without this it would stand in the way until its lease is over.
            let why = Some("it was not begun".to_owned());
            if let Err(error) = claim.tell(State::Stopped, why, parts).await {
                let error = error.to_string();
                tracing::warn!(
                    error,
                    "The register of replays was not told that nothing was begun"
                );
            }
            Err(failure)
        }
    }
}

async fn claim_at(
    plan: &PlanFile,
    registry: Registry,
    begin: &Begin,
    screen: &Screen,
) -> Result<Claim, Failure> {
    let parts = ranges(plan)
        .into_iter()
        .map(|(partition, (from, to))| Part {
            // Not known before nobody else can commit.
            next: None,
            topic: partition.topic.to_string(),
            partition: partition.partition,
            from,
            to,
        });
    let wants = Wants {
        run: plan.id.clone(),
        spout: plan.spout.clone(),
        target: plan.target.clone(),
        group: plan.group.clone(),
        configuration: plan.configuration.clone(),
        options: begin.options.clone(),
        partitions: parts.collect(),
    };
    let may_be_dead = |before: &Entry| begin.resume && before.run == plan.id;
    let asked = registry.clone();
    // Or it has come to its end meanwhile.
    let again = || refuse_done(plan, &asked);
    let not_done = begin.not_done();
    claiming::claim(wants, registry, not_done, may_be_dead, again, screen).await
}

/// Checks that the cluster, the topics and the records are still those of the plan. Returns how far an
/// earlier run of it has got.
pub(super) fn check_pins(
    plan: &PlanFile,
    brokers: &Brokers,
    begin: &Begin,
) -> Result<Progress, Failure> {
    let admin = &brokers.admin;
    let refuse = |why: String| {
        Err(Failure::new(
            Exit::Failed,
            anyhow!("{}: {why}", begin.not_done()),
        ))
    };
    let cluster_id = admin.cluster_id().map_err(asking)?;
    if cluster_id != plan.cluster_id {
        return refuse(format!(
            "the plan is about the cluster {}, and the connection leads to {cluster_id}",
            plan.cluster_id
        ));
    }
    let ids = known_ids(plan);
    let names: Vec<&str> = ids.keys().map(String::as_str).collect();
    for (name, topic) in admin.topics(&names).map_err(asking)? {
        match topic {
            Ok(topic) if topic.id.as_ref() == ids.get(&name) => {}
            Ok(_) => return refuse(format!("the topic {name} was deleted and made again")),
            Err(code) => return refuse(format!("topic {name}: {code}")),
        }
    }
    let ranges = ranges(plan);
    let partitions: Vec<TopicPartition> = ranges.keys().cloned().collect();
    let commits = admin.committed(&partitions).map_err(asking)?;
    let commits: Progress = commits
        .into_iter()
        .flatten()
        .map(|commit| (commit.partition, commit.offset))
        .collect();
    if !commits.is_empty() && !begin.resume {
        return Err(Failure::usage(
            "an earlier run of this plan has begun; --resume goes on where it ended",
        ));
    }
    let logs = range::logs(admin, &partitions).map_err(asking)?;
    for (partition, (from, to)) in &ranges {
        let next = commits.get(partition).unwrap_or(from);
        let log = logs.get(partition);
        if let Some(log) = log.filter(|log| next < to && !begin.can_read(*next, *to, log)) {
            let way_out = match begin.resume && *to <= log.end {
                true => "--accept-narrowed goes on with what is left, and counts the rest as lost",
                false => "make a new plan",
            };
            return refuse(format!(
                "{}/{}: offsets {next} to {} are to be read, and the log has {} to {} by now; {way_out}",
                partition.topic,
                partition.partition,
                to - 1,
                log.start,
                log.end - 1
            ));
        }
    }
    if let Some(why) = frontier::is_passed(plan, brokers)? {
        return refuse(why);
    }
    // One that goes on has deleted documents, and waiting makes it worse.
    if !begin.resume
        && !begin.accept_narrowed
        && let Some(why) = expiry::is_due(plan, admin)?
    {
        return refuse(format!(
            "{why}; or run the plan as it is with --accept-narrowed"
        ));
    }
    match other_record(plan, brokers, &logs)? {
        Some(why) => refuse(why),
        None => Ok(commits),
    }
}

/// How many partitions topics have; those that are not told are left out.
pub(super) fn partition_counts<'n>(
    admin: &Admin,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<BTreeMap<String, usize>, Error> {
    let names: Vec<&str> = names.into_iter().collect();
    let topics = admin.topics(&names)?.into_iter();
    let counts = topics.filter_map(|(name, topic)| Some((name, topic.ok()?.partitions)));
    Ok(counts.collect())
}

/// Topics that have other numbers of partitions than when the plan was made, a sentence each. Its offsets are still
/// those; where records of a key are is not.
pub(super) fn grown(plan: &PlanFile, admin: &Admin) -> Result<Vec<String>, Failure> {
    let planned = &plan.partition_counts;
    let now = partition_counts(admin, planned.keys().map(String::as_str)).map_err(asking)?;
    let others = planned.iter().filter_map(|(topic, before)| {
        let now = now.get(topic).filter(|now| *now != before)?;
        Some(format!(
            "{topic} has {now} partitions, and had {before} when the plan was made: what is in the others is not \
             replayed, and later records of a key may be there, so bolts that go by key or by what came before see \
             them apart"
        ))
    });
    Ok(others.collect())
}

/// Why a log is not the one of the plan any more, if so: at the offset of the last record that the plan has
/// seen is another one. The log was cut before it and written on, as after a leader was lost with records
/// that no other broker had. Where there is none any more, compaction may have taken it.
fn other_record(
    plan: &PlanFile,
    brokers: &Brokers,
    logs: &BTreeMap<TopicPartition, Log>,
) -> Result<Option<String>, Failure> {
    let pinned = plan.partitions.iter().filter_map(|one| {
        let last = one.extent.as_ref()?.last?;
        let log = logs.get(&one.name())?;
        let is_there = (log.start..log.end).contains(&last.offset);
        is_there.then(|| (one.name(), last.known()))
    });
    let pinned: BTreeMap<TopicPartition, Last> = pinned.collect();
    let found = range::again(&brokers.source, &pinned, brokers.within).map_err(asking)?;
    let mut others = found.into_iter().filter_map(|(partition, found)| {
        let (planned, found) = (pinned.get(&partition)?, found?);
        (*planned != found).then_some((partition, found))
    });
    Ok(others.next().map(|(partition, found)| {
        format!(
            "{}/{}: the record at {} is another one than when the plan was made: the log was cut and written \
             anew; make a new plan",
            partition.topic, partition.partition, found.offset
        )
    }))
}

/// Deletes the group of a replay that nobody goes on with; returns whether it did. Says what to do where that may
/// not be, or fails: what the replay did is not undone by it.
pub(super) fn forget_group(admin: &Admin, group: &str, screen: &Screen) -> bool {
    admin.delete_group().unwrap_or_else(|error| {
        screen.line(&format!(
            "isobar: the group {group}, which kept the progress, could not be deleted: {error}; let somebody \
             delete it, or tools show a lag of it until it expires"
        ));
        false
    })
}

pub(super) fn ranges(plan: &PlanFile) -> BTreeMap<TopicPartition, (i64, i64)> {
    let some = plan.partitions.iter().filter(|one| one.from < one.to);
    some.map(|one| (one.name(), (one.from, one.to))).collect()
}

pub(super) fn known_ids(plan: &PlanFile) -> BTreeMap<String, String> {
    let topics = plan.topics.iter();
    topics
        .filter_map(|(topic, id)| Some((topic.clone(), id.clone()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use isobar_operators::embedded::EmbeddedKafka;
    use isobar_operators::kafka::connection::KafkaConnection;
    use isobar_operators::kafka::{Compression, OutRecord, Producer, ProducerConfig};
    use isobar_operators::offsets::{Change, Group};
    use isobar_operators::range::{Look, Range};
    use isobar_topology::spec::Spec;
    use serde_json::json;

    use super::super::extent::{self, PlannedExtent};
    use super::*;
    use crate::substitute::Outside;
    use crate::topology_file::TopologyFile;

    const WITHIN: Duration = Duration::from_secs(10);

    fn plan(cluster_id: &str) -> PlanFile {
        let plan = json!({
            "version": 2, "id": "19a", "made_at_ms": 5, "topology": "t", "file": "/t.yaml",
            "env_files": [], "configuration": "0f", "spout": "in", "group": "t.replay.19a",
            "cluster_id": cluster_id, "topics": {"logs": null}, "from": "0", "to": "10",
            "target": "missing", "sinks": [], "left_out": [], "narrowed": false,
            "partitions": [{"topic": "logs", "partition": 0, "from": 0, "to": 10, "narrowed": [],
                            "notes": []}],
        });
        serde_json::from_value(plan).expect("a plan")
    }

    /// A cluster, who asks it, and a plan for it.
    fn planned() -> (EmbeddedKafka, Brokers, PlanFile) {
        let kafka = EmbeddedKafka::start().expect("a stand-in cluster");
        for topic in ["logs", "t.replays"] {
            kafka.create_topic(topic).expect("it is created");
        }
        let connection = KafkaConnection::plain(&[kafka.brokers().to_owned()]);
        let admin = Admin::of_group(&connection, "t.replay.19a", WITHIN).expect("a client");
        let plan = plan(&admin.cluster_id().expect("the broker answers"));
        let source = Source::of_group(connection, &plan.group, &["logs".to_owned()]);
        let brokers = Brokers {
            admin,
            source,
            within: WITHIN,
        };
        (kafka, brokers, plan)
    }

    #[test]
    fn another_cluster_than_that_of_the_plan_is_refused() {
        let (_kafka, brokers, mut plan) = planned();
        plan.cluster_id = "another".to_owned();
        let refused =
            check_pins(&plan, &brokers, &Begin::default()).expect_err("it is another one");
        let text = refused.error.to_string();
        assert!(
            text.contains("the plan is about the cluster another"),
            "{text}"
        );
    }

    #[test]
    fn a_topic_that_has_more_partitions_by_now_is_told_and_no_failure() {
        let (_kafka, brokers, mut plan) = planned();
        let count = partition_counts(&brokers.admin, ["logs"]).expect("the broker answers")["logs"];
        let told = |plan: &PlanFile| grown(plan, &brokers.admin).expect("the broker answers");
        assert_eq!(told(&plan), Vec::<String>::new(), "an older plan");
        plan.partition_counts = BTreeMap::from([("logs".to_owned(), count)]);
        assert_eq!(told(&plan), Vec::<String>::new());
        plan.partition_counts = BTreeMap::from([("logs".to_owned(), count - 1)]);
        let start = format!("logs has {count} partitions, and had {} when", count - 1);
        let told = told(&plan);
        assert!(told.len() == 1 && told[0].starts_with(&start), "{told:?}");
    }

    #[test]
    fn a_group_that_cannot_be_deleted_is_told_and_no_failure() {
        let connection = KafkaConnection::plain(&["127.0.0.1:1".to_owned()]);
        let within = Duration::from_millis(300);
        let admin = Admin::of_group(&connection, "t.replay.19a", within).expect("a client");
        let (screen, shown) = Screen::for_tests();
        let is_deleted = forget_group(&admin, "t.replay.19a", &screen);
        assert!(!is_deleted);
        let said = shown.text();
        let start =
            "isobar: the group t.replay.19a, which kept the progress, could not be deleted: ";
        assert!(said.starts_with(start), "{said}");
    }

    #[tokio::test]
    async fn a_log_that_was_cut_and_written_anew_is_refused() {
        let (_kafka, brokers, mut plan) = planned();
        let producer = Producer::new(&ProducerConfig {
            connection: brokers.source.connection().clone(),
            compression: Compression::None,
            queue_size: 1 << 20,
            options: BTreeMap::new(),
        });
        let record = |number| OutRecord {
            topic: "logs",
            partition: Some(0),
            payload: Some(b"{}"),
            timestamp: Some(1_000 + number),
            ..OutRecord::default()
        };
        let producer = producer.expect("a client");
        let failed = producer.send((0..10_i64).map(record)).await.await;
        assert!(failed.is_empty(), "{failed:?}");
        let range = Range {
            partition: plan.partitions[0].name(),
            from: 0,
            to: 10,
            narrowed: Vec::new(),
            notes: Vec::new(),
        };
        let look = Look {
            range: &range,
            before_ms: None,
            log: None,
        };
        let extents = range::extents(&brokers.source, &[look], WITHIN, |_| {});
        let mut extent = PlannedExtent::of(&extents.expect("the broker answers")[0]);
        let last = extent.last.expect("ten records");
        assert_eq!((last.offset, last.timestamp_ms), (9, 1_009));
        plan.partitions[0].extent = Some(extent.clone());
        assert!(check_pins(&plan, &brokers, &Begin::default()).is_ok());
        for other in [
            planned_last(last, 1_008, last.leader_epoch),
            planned_last(last, 1_009, Some(4_711)),
        ] {
            extent.last = Some(other);
            plan.partitions[0].extent = Some(extent.clone());
            let refused =
                check_pins(&plan, &brokers, &Begin::default()).expect_err("another record");
            let text = refused.error.to_string();
            assert!(
                text.contains("logs/0: the record at 9 is another one"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_plan_that_overwrites_is_refused_once_the_live_group_is_moved_back() {
        let (_kafka, mut brokers, mut plan) = planned();
        let topics = ["logs".to_owned()];
        let connection = brokers.source.connection().clone();
        brokers.source = Source::of_group(connection, "live", &topics);
        let live = Group::of(&brokers.source, WITHIN).expect("a client");
        let at = TopicPartition::new("logs", 0);
        for (target, committed, part) in [
            ("overwrite", 10, None),
            (
                "overwrite",
                9,
                Some("logs/0: the live topology has settled what is before 9, and"),
            ),
            ("purge", 9, Some("has settled what is before 9")),
            ("missing", 9, None),
        ] {
            let moved = live.change(&[(at.clone(), Change::To(committed, String::new()))]);
            assert!(moved.is_ok(), "{moved:?}");
            plan.target = target.to_owned();
            let why = frontier::is_passed(&plan, &brokers).expect("the broker answers");
            match part {
                None => assert_eq!(why, None, "{target}"),
                Some(part) => assert!(why.is_some_and(|why| why.contains(part)), "{target}"),
            }
        }
    }

    fn planned_last(
        last: extent::Last,
        timestamp_ms: i64,
        leader_epoch: Option<i32>,
    ) -> extent::Last {
        extent::Last {
            timestamp_ms,
            leader_epoch,
            ..last
        }
    }

    #[tokio::test]
    async fn what_an_earlier_run_settles_until_the_claim_is_held_counts() {
        let (kafka, brokers, plan) = planned();
        let file = format!(
            "isobar: 1\nname: t\nconnections: {{kafka: {{type: kafka, brokers: [\"{}\"]}}}}\nspouts: {{in: {{type: kafka, \
             connection: kafka, topics: [logs], start: earliest}}}}\nbolts: {{out: {{type: blackhole, inputs: [in]}}}}\n",
            kafka.brokers()
        );
        let outside = Outside {
            variable: &|_| None,
            file: &|_| unreachable!("no file is named"),
        };
        let file = TopologyFile::from_text(Path::new("t.yaml"), file, &outside);
        let spec: &Spec = file.spec().expect("a specification");
        let registry = Registry::of(spec, "in", WITHIN).expect("a connection");
        let group = Group::of(&brokers.source, WITHIN).expect("a client");
        let at = TopicPartition::new("logs", 0);
        let made = group.change(&[(at.clone(), Change::To(10, String::new()))]);
        assert!(made.is_ok(), "{made:?}");

        let screen = Screen::to(std::io::sink());
        let goes_on = Begin {
            resume: true,
            ..Begin::default()
        };
        let claimed = claim(&plan, registry.clone(), &brokers, &goes_on, &screen).await;
        let Ok((mut held, progress)) = claimed else {
            panic!("nobody else has claimed it");
        };
        assert_eq!(progress, Progress::from([(at, 10)]));
        assert_eq!(held.entry().partitions[0].next, Some(10));
        let parts = held.entry().partitions.clone();
        held.tell(State::Stopped, None, parts)
            .await
            .expect("written");

        // It has begun meanwhile, and nobody said that it is to go on.
        let refused = claim(
            &plan,
            registry.clone(),
            &brokers,
            &Begin::default(),
            &screen,
        )
        .await;
        let text = refused.err().expect("it has begun").error.to_string();
        assert!(text.contains("--resume goes on"), "{text}");
        let runs = registry.runs().expect("the broker answers");
        assert_eq!(
            runs[0].entry.state,
            State::Stopped,
            "it stands in nobody's way"
        );

        refuse_done(&plan, &registry).expect("it has not come to its end");
        let done = Entry {
            state: State::Done,
            ..runs[0].entry.clone()
        };
        registry.tell(&done).await.expect("written");
        let refused = refuse_done(&plan, &registry).expect_err("it is done");
        let text = refused.error.to_string();
        assert!(text.contains("this plan was run to its end on "), "{text}");
        let other = PlanFile {
            id: "19b".to_owned(),
            ..plan
        };
        refuse_done(&other, &registry).expect("it is another one");
    }

    #[test]
    fn what_is_deleted_meanwhile_may_be_lost_only_to_a_run_that_goes_on() {
        let log = Log {
            start: 50,
            end: 100,
            high: 100,
        };
        let begin = |resume, accept_narrowed| Begin {
            resume,
            accept_narrowed,
            options: Vec::new(),
        };
        let lacks = |begin: Begin| !begin.can_read(40, 100, &log);
        assert!(lacks(begin(false, false)) && lacks(begin(false, true)));
        assert!(lacks(begin(true, false)) && !lacks(begin(true, true)));
        assert!(begin(false, false).can_read(50, 100, &log));
        // What is not there any more at the end may come as other records.
        assert!(!begin(true, true).can_read(50, 101, &log));
        assert_eq!(
            begin(true, false).not_done(),
            "the replay is not gone on with"
        );
    }
}
