//! The Kafka spout against a real broker: what is read, committed, held, lost, handed on.

pub(crate) mod member;

use std::ops::Range;
use std::time::Duration;

use anyhow::ensure;
use isobar_operators::lag::Circumstances;
use isobar_topology::{Finish, Whereabouts};
use serde_json::json;
use testkit::services::Kafka;
use testkit::services::kafka::Sent;
use testkit::wait;

use member::{Member, Options, Seen};

/// How long anything here may take that takes seconds.
const LIMIT: Duration = Duration::from_secs(60);

fn broker() -> Kafka {
    Kafka::start().expect("Kafka starts")
}

/// `count` records of one partition.
fn records(partition: i32, count: i64) -> impl Iterator<Item = Sent> {
    (0..count).map(move |number| Sent {
        partition: Some(partition),
        value: Some(format!("{{\"n\":{number}}}").into_bytes()),
        ..Sent::default()
    })
}

fn committed(kafka: &Kafka, group: &str) -> Vec<Option<i64>> {
    kafka.committed(group, group).expect("the broker answers")
}

#[test]
fn every_record_arrives_once_and_all_is_committed() {
    let kafka = broker();
    kafka.create_topic("logs", 5, &[]).expect("created");
    // The fifth partition stays empty.
    kafka
        .produce_json("logs", 4, 0..100_000)
        .expect("acknowledged");
    let seen = Seen::default();
    let member = Member::start(&kafka, &seen, Options::bounded("logs"));
    assert_eq!(member.finished(LIMIT), Finish::Drained);
    assert_eq!((seen.distinct(), seen.total()), (100_000, 100_000));
    assert_eq!(seen.first_missing(5), [25_000, 25_000, 25_000, 25_000, 0]);
    let account = member.account();
    assert_eq!(
        (account.read, account.delivered, account.lost),
        (100_000, 100_000, 0)
    );
    let ends = [25_000, 25_000, 25_000, 25_000, 0].map(Some);
    assert_eq!(committed(&kafka, "logs"), ends);

    // Again: nothing is there to read, and that is noticed.
    let member = Member::start(&kafka, &seen, Options::bounded("logs"));
    assert_eq!(member.finished(LIMIT), Finish::Drained);
    assert_eq!(member.account().read, 0);
    let lag = member.lag.once(LIMIT).expect("the broker answers");
    assert_eq!(lag.failure, None);
    let lags: Vec<_> = lag.rows.iter().map(|row| (row.lag, row.age_ms)).collect();
    assert_eq!(lags, [(Some(0), Some(0)); 5]);
}

#[test]
fn transactions_leave_no_lag_and_a_bounded_run_ends() {
    let kafka = broker();
    kafka.create_topic("money", 3, &[]).expect("created");
    for (partition, commit) in [(0, true), (1, false), (2, true), (2, false)] {
        let records = records(partition, 10);
        kafka
            .produce_transaction("money", records, commit)
            .expect("acknowledged");
    }
    let seen = Seen::default();
    let member = Member::start(&kafka, &seen, Options::bounded("money"));
    assert_eq!(member.finished(LIMIT), Finish::Drained);
    assert_eq!((seen.distinct(), seen.total()), (20, 20));
    assert_eq!(committed(&kafka, "money"), [Some(11), Some(11), Some(22)]);

    let member = Member::start(&kafka, &seen, Options::new("money"));
    let watch = member
        .lag
        .watch(
            member.running.partitions(0).clone(),
            member.running.health().clone(),
            Duration::from_millis(200),
        )
        .expect("a client");
    kafka
        .produce_transaction("money", records(0, 5), true)
        .expect("acknowledged");
    kafka
        .produce_transaction("money", records(1, 5), false)
        .expect("acknowledged");
    wait::until("no lag", LIMIT, || {
        let lag = watch.read(Circumstances::default());
        let rows = lag
            .rows
            .iter()
            .map(|row| (row.end, row.lag, row.committed_lag));
        let rows: Vec<_> = rows.collect();
        let expected = [17, 17, 22].map(|end| (Some(end), Some(0), Some(0)));
        ensure!(rows == expected, "{rows:?} {:?}", lag.failure);
        Ok(())
    })
    .expect("lag reaches 0");
    assert_eq!(seen.total(), 25);
    assert_eq!(member.stop(), Finish::Drained);
    assert_eq!(committed(&kafka, "money"), [Some(17), Some(17), Some(22)]);
}

#[test]
fn the_end_of_a_compacted_topic_is_reached() {
    let kafka = Kafka::start_with(&[
        ("log.cleaner.backoff.ms", "100"),
        ("log.cleaner.min.cleanable.ratio", "0.0"),
    ])
    .expect("Kafka starts");
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("max.compaction.lag.ms", "100"),
        ("delete.retention.ms", "0"),
        ("min.cleanable.dirty.ratio", "0.0"),
    ];
    kafka.create_topic("state", 1, &settings).expect("created");
    let sent = |key: &str, value: Option<&str>| Sent {
        partition: Some(0),
        key: Some(key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        ..Sent::default()
    };
    for round in 0..20 {
        let values = (0..5).map(|key| sent(&format!("k{key}"), Some(&round.to_string())));
        kafka.produce("state", values).expect("acknowledged");
        wait::rest(Duration::from_millis(150));
    }
    let deletes = (0..3).map(|key| sent(&format!("k{key}"), None));
    kafka.produce("state", deletes).expect("acknowledged");
    wait::until("compaction", LIMIT, || {
        let left = kafka.consume_all("state", LIMIT)?.len();
        ensure!(left < 50, "{left} records are left");
        Ok(())
    })
    .expect("the cleaner runs");
    let left = || -> Vec<i64> {
        let left = kafka.consume_all("state", LIMIT).expect("read");
        left.iter().map(|record| record.offset).collect()
    };
    // The cleaner may run on: exact is a reading during which it removed nothing.
    let groups = (0..10).map(|number| format!("compacted-{number}"));
    let mut read = groups.map(|group| {
        let before = left();
        let seen = Seen::default();
        let passed = Options {
            spout: json!({"on_tombstone": "pass"}),
            group: &group,
            ..Options::bounded("state")
        };
        let member = Member::start(&kafka, &seen, passed);
        assert_eq!(member.finished(LIMIT), Finish::Drained);
        let after = left();
        let (seen, account) = (seen.offsets(0), member.account());
        assert!(seen.iter().all(|offset| before.contains(offset)));
        assert!(after.iter().all(|offset| seen.contains(offset)));
        assert_eq!(
            (account.read, account.delivered),
            (seen.len() as u64, seen.len() as u64)
        );
        assert_eq!(
            kafka.committed(&group, "state").expect("asked"),
            [Some(103)]
        );
        (before, seen, after)
    });
    let exact = read.find(|(before, _, after)| before == after);
    let (left, seen, _) = exact.expect("the cleaner comes to rest");
    assert_eq!(seen, left);
    assert!(seen.len() < 50 && seen.ends_with(&[102]), "{seen:?}");
    // Of each key that is not deleted, the last value.
    assert!([98, 99].iter().all(|last| seen.contains(last)), "{seen:?}");
}

#[test]
fn tombstones_are_dropped_by_name_or_passed_on() {
    let kafka = broker();
    kafka.create_topic("mixed", 1, &[]).expect("created");
    let mut sent: Vec<Sent> = records(0, 10).collect();
    sent[3].value = None;
    sent[9].value = None;
    sent[4].value = Some(Vec::new());
    kafka.produce("mixed", sent).expect("acknowledged");
    let seen = Seen::default();
    let member = Member::start(&kafka, &seen, Options::bounded("mixed"));
    assert_eq!(member.finished(LIMIT), Finish::Drained);
    let account = member.account();
    assert_eq!(member.running.graph().policies, ["in.tombstone", "end"]);
    assert_eq!(account.dropped.values().collect::<Vec<_>>(), [&2]);
    assert_eq!((seen.distinct(), account.delivered), (8, 8));
    assert_eq!(committed(&kafka, "mixed"), [Some(10)]);

    let passed = Options {
        spout: json!({"on_tombstone": "pass"}),
        group: "other",
        ..Options::bounded("mixed")
    };
    let seen = Seen::default();
    let member = Member::start(&kafka, &seen, passed);
    assert_eq!(member.finished(LIMIT), Finish::Drained);
    assert_eq!(seen.distinct(), 10);
}

/// The offsets of a partition that a member tells to be lost, which are in one piece.
fn lost(member: &Member, partition: i32, offsets: Range<i64>) -> Range<i64> {
    let partitions = member.running.partitions(0).all();
    let mut ours = partitions.iter().filter(|one| one.number() == partition);
    let ours = ours.next().expect("it is read");
    let is_lost = |offset: &i64| ours.whereabouts(*offset) == Whereabouts::Lost;
    let lost: Vec<i64> = offsets.filter(is_lost).collect();
    let (first, last) = (lost[0], lost[lost.len() - 1]);
    assert!((first..=last).eq(lost), "{first} to {last}");
    first..last + 1
}

#[test]
fn deleted_records_are_counted_as_lost_and_reading_goes_on() {
    let kafka = broker();
    kafka.create_topic("short", 2, &[]).expect("created");
    for partition in 0..2 {
        kafka
            .produce("short", records(partition, 100))
            .expect("acknowledged");
    }
    let seen = Seen::default();
    let member = Member::start(&kafka, &seen, Options::bounded("short"));
    assert_eq!(member.finished(LIMIT), Finish::Drained);

    // Of partition 0 something is left, of partition 1 nothing.
    for partition in 0..2 {
        kafka
            .produce("short", records(partition, 900))
            .expect("acknowledged");
    }
    kafka.delete_records("short", 0, 600).expect("deleted");
    kafka.delete_records("short", 1, 1_000).expect("deleted");
    let member = Member::start(&kafka, &seen, Options::bounded("short"));
    assert_eq!(member.finished(LIMIT), Finish::Drained);
    let account = member.account();
    assert_eq!((account.delivered, account.lost), (400, 500 + 900));
    assert_eq!(committed(&kafka, "short"), [Some(1_000), Some(1_000)]);
    assert_eq!(seen.total(), 600);
    assert_eq!(lost(&member, 0, 0..1_000), 100..600);
    assert_eq!(lost(&member, 1, 0..1_000), 100..1_000);

    // While it runs and its sink stands still.
    let few = json!({"max_in_flight_records": 10, "batch_records_max": 5, "queue_size": "1MiB"});
    let member = Member::start(
        &kafka,
        &seen,
        Options {
            spout: few,
            open: false,
            ..Options::new("short")
        },
    );
    wait::until("the assignment", LIMIT, || {
        ensure!(member.assigned().len() == 2, "{:?}", member.assigned());
        Ok(())
    })
    .expect("assigned");
    let large = |partition| {
        records(partition, 20_000).map(|sent| Sent {
            value: Some(vec![b'x'; 500]),
            ..sent
        })
    };
    kafka.produce("short", large(0)).expect("acknowledged");
    kafka.delete_records("short", 0, 20_000).expect("deleted");
    member.open();
    wait::until("the end", LIMIT, || {
        let committed = kafka.committed("short", "short")?;
        ensure!(
            committed[0] == Some(21_000),
            "{committed:?} {:?}",
            member.account()
        );
        Ok(())
    })
    .expect("reading goes on");
    let account = member.account();
    assert!(account.lost > 1_000, "{account:?}");
    assert_eq!(account.delivered + account.lost, 20_000);
    let lost = lost(&member, 0, 0..21_000);
    let of_account = i64::try_from(account.lost).expect("a small number");
    assert_eq!(lost, 20_000 - of_account..20_000);
    let is_delivered = |offset| seen.has(0, offset);
    assert!((1_000..lost.start).chain(20_000..21_000).all(is_delivered));
    assert!(!lost.clone().any(is_delivered), "{lost:?}");
    assert_eq!(member.stop(), Finish::Drained);
}

#[test]
fn a_topic_that_was_made_again_is_held() {
    let kafka = broker();
    kafka.create_topic("again", 1, &[]).expect("created");
    kafka
        .produce("again", records(0, 100))
        .expect("acknowledged");
    let seen = Seen::default();
    let member = Member::start(&kafka, &seen, Options::bounded("again"));
    assert_eq!(member.finished(LIMIT), Finish::Drained);

    let text = kafka
        .commit_text("again", "again", 0)
        .expect("the broker answers");
    assert!(text.starts_with("isobar1;id="), "{text}");

    kafka.delete_topic("again").expect("deleted");
    wait::until("the new topic", LIMIT, || {
        kafka.create_topic("again", 1, &[])
    })
    .expect("created");
    kafka
        .produce("again", records(0, 500))
        .expect("acknowledged");
    // Kafka forgets the commits of a deleted topic; a mirrored or restored group brings them back.
    kafka
        .commit("again", "again", 0, 100, &text)
        .expect("committed");

    for commit in [100, 900] {
        kafka
            .commit("again", "again", 0, commit, &text)
            .expect("committed");
        let member = Member::start(&kafka, &seen, Options::new("again"));
        member.wait_until_said(&[("held: ", "made again")]);
        // Longer than a commit interval.
        wait::rest(Duration::from_secs(1));
        assert_eq!(member.account().read, 0);
        assert_eq!(member.stop(), Finish::Drained);
        assert_eq!(committed(&kafka, "again"), [Some(commit)]);
        assert_eq!(
            kafka.commit_text("again", "again", 0).expect("answered"),
            text
        );
    }

    // An offset beyond the end, of the right topic or of nobody knows which.
    kafka
        .commit("again", "again", 0, 900, "")
        .expect("committed");
    let member = Member::start(&kafka, &seen, Options::new("again"));
    member.wait_until_said(&[("held: ", "beyond the end")]);
    assert_eq!(member.account().read, 0);
    let _ = member.stop();
    assert_eq!(committed(&kafka, "again"), [Some(900)]);

    // An operator decides.
    kafka.commit("again", "again", 0, 0, "").expect("committed");
    let member = Member::start(&kafka, &Seen::default(), Options::bounded("again"));
    assert_eq!(member.finished(LIMIT), Finish::Drained);
    assert_eq!(member.account().delivered, 500);
}

/// Waits until a member has read and committed all of a topic that was made again, from its start.
fn wait_for_the_new_topic(kafka: &Kafka, topic: &str, member: &Member, count: u64) {
    wait::until("the new records", LIMIT, || {
        let committed = kafka.committed(topic, topic)?;
        let partition = &member.running.partitions(0).all()[0];
        let account = partition.account();
        ensure!(
            committed == [i64::try_from(count).ok()] && account.delivered == count,
            "{committed:?} {account:?} {:?}",
            member.conditions()
        );
        assert_eq!((account.read, account.lost), (count, 0));
        ensure!(member.conditions().is_empty(), "{:?}", member.conditions());
        Ok(())
    })
    .expect("read from their start");
    assert_eq!(member.stop(), Finish::Drained);
}

fn make_again(kafka: &Kafka, topic: &str) {
    kafka.delete_topic(topic).expect("deleted");
    wait::until("the new topic", LIMIT, || kafka.create_topic(topic, 1, &[])).expect("created");
}

#[test]
fn a_topic_that_is_made_again_under_way_is_another_topic() {
    let kafka = broker();
    kafka.create_topic("short", 1, &[]).expect("created");
    kafka
        .produce("short", records(0, 100))
        .expect("acknowledged");
    let seen = Seen::default();
    let member = Member::start(&kafka, &seen, Options::new("short"));
    wait::until("the first records", LIMIT, || {
        let committed = kafka.committed("short", "short")?;
        ensure!(
            committed == [Some(100)],
            "{committed:?} {:?}",
            member.account()
        );
        Ok(())
    })
    .expect("read");
    make_again(&kafka, "short");
    kafka
        .produce("short", records(0, 500))
        .expect("acknowledged");
    wait_for_the_new_topic(&kafka, "short", &member, 500);

    // Nothing is fetched at the time, and the new topic is soon longer than the old one was read.
    let large = |count| {
        records(0, count).map(|sent| Sent {
            value: Some(vec![b'x'; 500]),
            ..sent
        })
    };
    kafka.create_topic("long", 1, &[]).expect("created");
    kafka.produce("long", large(20_000)).expect("acknowledged");
    let options = Options {
        spout: json!({"max_in_flight_records": 10, "batch_records_max": 5, "queue_size": "1MiB"}),
        open: false,
        ..Options::new("long")
    };
    let member = Member::start(&kafka, &seen, options);
    wait::until("a full lane", LIMIT, || {
        ensure!(member.account().in_flight >= 10, "{:?}", member.account());
        Ok(())
    })
    .expect("it reads");
    make_again(&kafka, "long");
    kafka.produce("long", large(30_000)).expect("acknowledged");
    member.open();
    wait_for_the_new_topic(&kafka, "long", &member, 30_000);
}
