//! Each check against facts of a script: all well, and what it is there to find.

use super::*;
use crate::doctor::{Check, Missing, Status};
use crate::kafka::admin::{LayoutPartition, LayoutTopic, RDKafkaErrorCode};
use crate::lag::{Deletion, Status as LagStatus};

fn topic(name: &str) -> LayoutTopic {
    let partition = |number| LayoutPartition {
        number,
        has_leader: true,
        replicas: 3,
        in_sync: 3,
    };
    LayoutTopic {
        name: name.to_owned(),
        error: None,
        partitions: vec![partition(0), partition(1)],
    }
}

const ALL: Permitted = Permitted {
    read: true,
    write: true,
};

fn settings(max: &str) -> BTreeMap<String, String> {
    let all = [
        ("max.message.bytes", max),
        ("min.insync.replicas", "2"),
        ("cleanup.policy", "delete"),
    ];
    let all = all.map(|(name, value)| (name.to_owned(), value.to_owned()));
    all.into_iter().collect()
}

fn row(partition: i32) -> Row {
    Row {
        committed: Some(5),
        lag: Some(0),
        status: LagStatus::Ok,
        ..Row::unknown(TopicPartition::new("logs", partition))
    }
}

/// Three brokers, a topic that is read and one for dead letters; nothing is wrong.
pub(super) fn healthy() -> Facts {
    let partitions = [0, 1].map(|number| TopicPartition::new("logs", number));
    Facts {
        lanes: 2,
        client_id: "isobar".to_owned(),
        layout: Ok(Layout {
            brokers: ["a:1", "b:1", "c:1"].map(str::to_owned).into(),
            topics: vec![topic("logs"), topic("dead")],
        }),
        settings: Ok([("logs", "1000000"), ("dead", "2000000")]
            .map(|(name, max)| (name.to_owned(), settings(max)))
            .into()),
        permitted: Ok(["logs", "dead"].map(|name| (name.to_owned(), ALL)).into()),
        spouts: vec![Spout {
            id: "in".to_owned(),
            group: "g".to_owned(),
            wanted: vec!["logs".to_owned()],
            found: Ok((partitions.to_vec(), Vec::new())),
            lag: Ok(vec![row(0), row(1)]),
            owners: Ok(partitions
                .map(|one| (one, "isobar/10.0.0.1".to_owned()))
                .into()),
            permitted: Ok(Some(ALL)),
        }],
        outputs: vec![Output {
            bolt: "dead_letter".to_owned(),
            topic: "dead".to_owned(),
            is_dead_letter: true,
        }],
        register: Some(super::replays::tests::register()),
        certificates: Vec::new(),
    }
}

fn check(id: &str) -> &'static Check<Facts> {
    let found = CHECKS.iter().find(|check| check.id == id);
    found.expect("a check of that id")
}

/// After `change`, the check finds this, in a sentence with `part` in it.
#[track_caller]
fn finds(id: &str, change: impl FnOnce(&mut Facts), status: Status, part: &str) {
    let mut facts = healthy();
    change(&mut facts);
    let said = (check(id).judge)(&facts).unwrap_or_else(|missing| panic!("{id}: {missing:?}"));
    assert!(
        said.iter()
            .any(|(found, text)| *found == status && text.contains(part)),
        "{id}: {said:?}"
    );
}

fn layout(facts: &mut Facts, topic: usize) -> &mut LayoutTopic {
    &mut facts.layout.as_mut().expect("an answer").topics[topic]
}

fn lag(facts: &mut Facts) -> &mut Row {
    &mut facts.spouts[0].lag.as_mut().expect("an answer")[1]
}

fn set(facts: &mut Facts, topic: &str, name: &str, value: &str) {
    let all = facts.settings.as_mut().expect("an answer");
    let of_topic = all.get_mut(topic).expect("a topic");
    let _ = of_topic.insert(name.to_owned(), value.to_owned());
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let facts = healthy();
    for check in CHECKS {
        match (check.judge)(&facts) {
            Ok(said) => assert!(
                said.iter().all(|(status, _)| *status == Status::Ok),
                "{}: {said:?}",
                check.id
            ),
            Err(missing) => {
                assert!(matches!(missing, Missing::Absent(_)), "{missing:?}");
                assert_eq!(check.id, "kafka.certificates");
            }
        }
    }
}

#[test]
fn nothing_is_called_well_that_was_not_answered() {
    let mut facts = healthy();
    facts.layout = Err(Failed::Denied);
    facts.settings = Err(Failed::Denied);
    facts.permitted = Err(Failed::Denied);
    facts.spouts[0].lag = Err(Failed::Denied);
    facts.spouts[0].owners = Err(Failed::Denied);
    for check in CHECKS {
        let verdict = (check.judge)(&facts);
        assert!(
            check.id == "kafka.certificates" || verdict == Err(Missing::Denied),
            "{}: {verdict:?}",
            check.id
        );
    }
}

#[test]
fn brokers_and_topics_that_are_not_there_are_errors() {
    let away = |facts: &mut Facts| facts.layout = Err(Failed::Other("no answer".to_owned()));
    finds("kafka.brokers", away, Status::Error, "no answer");
    let missing = |facts: &mut Facts| {
        facts.spouts[0].found = Ok((Vec::new(), vec!["topic logs: unknown".to_owned()]));
    };
    finds("kafka.topics", missing, Status::Error, "in: topic logs");
    let pattern = |facts: &mut Facts| {
        facts.spouts[0].wanted = vec!["^x".to_owned()];
        facts.spouts[0].found = Ok((Vec::new(), Vec::new()));
    };
    finds(
        "kafka.topics",
        pattern,
        Status::Warning,
        "no topic matches ^x",
    );
    let unknown = |facts: &mut Facts| {
        layout(facts, 1).error = Some(RDKafkaErrorCode::UnknownTopicOrPartition);
    };
    finds(
        "kafka.outputs",
        unknown,
        Status::Error,
        "dead for dead letters: does not exist",
    );
}

#[test]
fn what_the_user_may_not_do_is_named_where_brokers_tell() {
    let id = "kafka.permissions";
    let with = |topic: &'static str, permitted: Permitted| {
        move |facts: &mut Facts| {
            let topics = facts.permitted.as_mut().expect("an answer");
            let _ = topics.insert(topic.to_owned(), permitted);
        }
    };
    let written_only = Permitted { read: false, ..ALL };
    let read_only = Permitted {
        write: false,
        ..ALL
    };
    let said = "in: the user may not read topic logs";
    finds(id, with("logs", written_only), Status::Error, said);
    let said = "dead_letter: the user may not write to topic dead";
    finds(id, with("dead", read_only), Status::Error, said);
    finds(id, with("logs", read_only), Status::Ok, "");
    finds(id, with("dead", written_only), Status::Ok, "");
    let said = "in: the user may not read in group g";
    let described_only = |facts: &mut Facts| facts.spouts[0].permitted = Ok(Some(written_only));
    finds(id, described_only, Status::Error, said);
    // Whoever may read from it may see it.
    let hidden = |facts: &mut Facts| facts.spouts[0].permitted = Err(Failed::Denied);
    finds(id, hidden, Status::Error, said);

    // Old brokers say nothing of it.
    let mut silent = healthy();
    silent.permitted = Ok(BTreeMap::new());
    silent.spouts[0].permitted = Ok(None);
    let said = (check(id).judge)(&silent);
    assert!(matches!(said, Err(Missing::Absent(_))), "{said:?}");
}

#[test]
fn copies_and_leaders_are_counted() {
    let leaderless = |facts: &mut Facts| layout(facts, 0).partitions[1].has_leader = false;
    finds(
        "kafka.leaders",
        leaderless,
        Status::Error,
        "logs: no leader of partition 1",
    );
    let behind = |facts: &mut Facts| layout(facts, 0).partitions[0].in_sync = 1;
    finds(
        "kafka.in_sync",
        behind,
        Status::Warning,
        "logs: copies of 1",
    );
    let stopped = |facts: &mut Facts| layout(facts, 1).partitions[0].in_sync = 1;
    finds(
        "kafka.in_sync",
        stopped,
        Status::Error,
        "dead: 1 in-sync copies where writing takes 2",
    );
    let single = |facts: &mut Facts| layout(facts, 0).partitions[0].replicas = 1;
    finds(
        "kafka.replication",
        single,
        Status::Warning,
        "logs: one copy",
    );
    let alone = |facts: &mut Facts| {
        single(facts);
        facts
            .layout
            .as_mut()
            .expect("an answer")
            .brokers
            .truncate(1);
    };
    finds("kafka.replication", alone, Status::Info, "logs");
    let lanes = |facts: &mut Facts| facts.lanes = 8;
    finds(
        "kafka.partitions",
        lanes,
        Status::Info,
        "2 partitions for 8 lanes",
    );
}

#[test]
fn what_is_acknowledged_is_in_several_copies_and_not_in_all() {
    let id = "kafka.min_in_sync";
    let name = "min.insync.replicas";
    let one = |facts: &mut Facts| set(facts, "dead", name, "1");
    let text = "dead: a record that is acknowledged may be in one copy of 3";
    finds(id, one, Status::Warning, text);
    let read = |facts: &mut Facts| set(facts, "logs", name, "1");
    finds(id, read, Status::Info, "logs: a record");
    let two_copies = |facts: &mut Facts| {
        one(facts);
        layout(facts, 1).partitions[0].replicas = 2;
    };
    finds(id, two_copies, Status::Info, "one copy of 2");
    let every = |facts: &mut Facts| set(facts, "dead", name, "3");
    let text = "with one broker away nothing is written, as that takes 3 copies of 3";
    finds(id, every, Status::Warning, text);
    let silent = |facts: &mut Facts| {
        let settings = facts.settings.as_mut().expect("an answer");
        drop(settings.remove("logs"));
        layout(facts, 0).partitions[0].in_sync = 1;
    };
    finds(id, silent, Status::Unknown, "logs: the brokers do not tell");
    // That copies lag behind does not hang on what a topic is set to.
    finds(
        "kafka.in_sync",
        silent,
        Status::Warning,
        "logs: copies of 1",
    );
}

#[test]
fn records_that_are_nearly_deleted_are_held_against_their_retention() {
    let id = "kafka.retention";
    for (age, left, status) in [
        (74, 26.0, Status::Ok),
        (75, 25.0, Status::Warning),
        (95, 5.0, Status::Error),
    ] {
        let old = |facts: &mut Facts| {
            lag(facts).age_ms = Some(age * 36_000_000);
            lag(facts).deletion = Deletion::Seconds(left * 36_000.0);
        };
        finds(id, old, status, "");
    }
    let lost = |facts: &mut Facts| lag(facts).lost = Some(9);
    finds(
        id,
        lost,
        Status::Error,
        "logs/1: up to 9 records were deleted",
    );
    let fresh = |facts: &mut Facts| {
        for row in facts.spouts[0].lag.as_mut().expect("an answer") {
            row.committed = None;
        }
    };
    finds(id, fresh, Status::Info, "group g has committed nothing");
    let blocked = |facts: &mut Facts| lag(facts).status = LagStatus::LsoBlocked;
    finds("kafka.transactions", blocked, Status::Warning, "logs/1");
}

#[test]
fn strangers_in_the_group_are_named() {
    let id = "kafka.group";
    let owner = |facts: &mut Facts, topic: &str, owner: &str| {
        let owners = facts.spouts[0].owners.as_mut().expect("an answer");
        let _ = owners.insert(TopicPartition::new(topic, 0), owner.to_owned());
    };
    let other = |facts: &mut Facts| owner(facts, "orders", "isobar/10.0.0.2");
    finds(id, other, Status::Error, "reads orders in group g");
    let stranger = |facts: &mut Facts| owner(facts, "logs", "billing/10.0.0.2");
    finds(id, stranger, Status::Warning, "billing/10.0.0.2");
    finds(id, |_| {}, Status::Ok, "1 read");
}

#[test]
fn dead_letters_fit_their_topic_and_stay_there() {
    let id = "kafka.dead_letter_size";
    let small = |facts: &mut Facts| set(facts, "dead", "max.message.bytes", "999999");
    finds(
        id,
        small,
        Status::Warning,
        "dead takes 999999 bytes, and logs has up to 1000000",
    );
    let tight = |facts: &mut Facts| set(facts, "dead", "max.message.bytes", "1000000");
    finds(id, tight, Status::Info, "are cut");
    let compacted = |facts: &mut Facts| set(facts, "dead", "cleanup.policy", "compact,delete");
    finds(
        "kafka.dead_letter_cleanup",
        compacted,
        Status::Warning,
        "replace each other",
    );
}

#[test]
fn topics_that_could_not_be_asked_for_are_not_called_good() {
    let mut facts = healthy();
    facts.spouts[0].found = Err(Failed::Other("no answer".to_owned()));
    for id in ["kafka.topics", "kafka.partitions", "kafka.leaders"] {
        let said = (check(id).judge)(&facts);
        assert!(matches!(said, Err(Missing::Unknown(_))), "{id}: {said:?}");
    }
}
