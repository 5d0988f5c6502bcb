//! What a lane does without brokers: the group's part is done by the test.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

use isobar_topology::{Counters, Health, Partitions};

use super::super::bounded::Bounded;
use super::super::member::Settings;
use super::*;
use crate::kafka::admin::TopicPartition;
use crate::kafka::{ConsumerConfig, Fixed, Held, LanedConsumer, Limits, Start};

fn settings() -> Settings {
    Settings {
        limits: Limits {
            records: 10,
            bytes: 1 << 20,
        },
        tombstones: None,
        commit_interval: Duration::from_secs(2),
        revoke_drain_timeout: Duration::from_millis(500),
        rate: None,
        gate: None,
    }
}

fn lane(health: &Health) -> Lane {
    lane_of(health, settings(), None)
}

fn lane_of(health: &Health, settings: Settings, bounded: Option<Bounded>) -> Lane {
    lane_reading(health, settings, bounded, None)
}

fn lane_reading(
    health: &Health,
    settings: Settings,
    bounded: Option<Bounded>,
    fixed: Option<Fixed>,
) -> Lane {
    let (handle, mut readers) = LanedConsumer::without_client(ConsumerConfig::for_tests(), 1);
    let member = Member::new(
        "in".into(),
        handle,
        Arc::new(Partitions::default()),
        health.clone(),
        settings,
        bounded.map(Arc::new),
        fixed.map(Arc::new),
        &Counters::default(),
        1,
    );
    Lane::new(Arc::new(member), readers.remove(0))
}

#[tokio::test(start_paused = true)]
async fn a_partition_whose_start_cannot_be_found_keeps_no_lane_from_opening() {
    let health = Health::default();
    let mut lane = lane(&health);
    let member = Arc::clone(&lane.member);
    let shared = member.handle.shared();
    let minute = Duration::from_secs(60);
    let early = tokio::time::timeout(minute, lane.open()).await;
    assert!(early.is_err(), "the group was not joined yet");

    let postponed = TopicPartition::new("t", 3);
    shared.postpone(vec![(postponed, "no answer".to_owned())]);
    shared.joined.store(true, Ordering::Release);
    let opened = tokio::time::timeout(minute, lane.open()).await;
    opened.expect("it opens").expect("it opens well");
    // A bounded run still waits for that partition.
    assert!(member.handle.assignments().is_none());
    let said = health.conditions();
    assert_eq!(said[0].text, "topic t, partition 3: no answer");
}

/// Each record that comes may have moved the client past others without one; asking for all partitions each
/// time would be most of the work of a lane with many.
#[tokio::test(start_paused = true)]
async fn where_the_client_stands_is_asked_ten_times_a_second_at_most() {
    let mut lane = lane(&Health::default());
    let began = clock::now();
    let mut looks = 0;
    while clock::now() < began + Duration::from_millis(500) {
        lane.moved = true;
        assert!(lane.position().is_none(), "no partition is its own");
        looks += usize::from(!lane.moved);
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    assert_eq!(looks, 5);

    // And it is asked once more, without anything that comes.
    lane.moved = true;
    assert_eq!(lane.next_due(true), lane.positions_due);
    tokio::time::sleep_until(lane.positions_due).await;
    assert!(lane.position().is_none() && !lane.moved);

    // While no record may be read nothing is due, and a lane that looks all the time would take a core.
    lane.moved = true;
    tokio::time::advance(POSITIONS_APART).await;
    let (before, due) = (clock::now(), lane.tick_due);
    lane.rest(false).await;
    assert!(before < due && clock::now() == due);
}

/// A second of it reads nothing: neither a gate nor a pace hands out what there is.
async fn reads_nothing(lane: &mut Lane) {
    let next = tokio::time::timeout(Duration::from_secs(1), lane.next()).await;
    assert!(next.is_err(), "there is nothing");
}

#[tokio::test(start_paused = true)]
async fn behind_a_closed_gate_nothing_is_read_and_nobody_gives_up() {
    let (health, gate) = (Health::default(), Arc::new(Gate::default()));
    let held_back = Settings {
        gate: Some(Arc::clone(&gate)),
        ..settings()
    };
    gate.close("an operator paused it");
    let mut lane = lane_of(&health, held_back.clone(), None);
    reads_nothing(&mut lane).await;
    assert!(lane.reader.may_have_more(), "the queue was not looked into");
    assert!(health.progress() > 0, "that it waits is meant");
    gate.open();
    reads_nothing(&mut lane).await;
    assert!(!lane.reader.may_have_more(), "it was");

    // What has nothing left to read ends all the same.
    gate.close("an operator paused it");
    let mut lane = lane_of(&health, held_back, Some(Bounded::that_is_over()));
    let next = tokio::time::timeout(Duration::from_secs(1), lane.next()).await;
    assert!(matches!(next, Ok(Ok(Next::End))));
}

#[tokio::test(start_paused = true)]
async fn of_a_topic_that_was_made_again_nothing_is_read_and_it_is_said_what_to_do() {
    for (fixed, said) in [
        (
            None,
            "topic logs, partition 3: the topic was made again since the last commit (its id was old and is new), so the \
             committed offset means nothing; reset the group's offsets",
        ),
        (
            Some(Fixed::default()),
            "topic logs, partition 3: the topic was made again since the plan was made (its id was old and is new), so \
             its offsets are those of other records; make a new plan",
        ),
    ] {
        let health = Health::default();
        let mut lane = lane_reading(&health, settings(), None, fixed);
        let start = Start {
            held: Some(Held::OtherTopic {
                committed: "old".to_owned(),
                found: "new".to_owned(),
            }),
            ..Start::for_tests()
        };
        let assignment = Assignment::new(TopicPartition::new("logs", 3), 0, 1, start);
        lane.take(Event::Assigned(Arc::new(assignment)));
        assert_eq!(health.conditions()[0].text, said);
        assert!(lane.ours.is_empty(), "it is not read");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rest_for_the_pace_is_no_reason_to_give_up() {
    let health = Health::default();
    let slow = Settings {
        rate: NonZeroU32::new(1),
        ..settings()
    };
    let mut lane = lane_of(&health, slow.clone(), None);
    lane.member.pace.took(slow.rate, 1_000);
    reads_nothing(&mut lane).await;
    assert!(lane.reader.may_have_more(), "the queue was not looked into");
    assert!(health.progress() > 0);
}
