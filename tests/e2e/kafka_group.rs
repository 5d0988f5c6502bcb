//! Members of a consumer group against a real broker: joining, leaving and ending while sinks stand
//! still and brokers go away. Nothing may be lost, nothing committed early, and nobody may wait for a
//! member whose sink is blocked.

use std::time::Duration;

use anyhow::ensure;
use isobar_operators::kafka::admin::Admin;
use isobar_topology::Finish;
use serde_json::{Value, json};
use testkit::services::Kafka;
use testkit::wait;

use crate::kafka::member::{Member, Options, Seen};

const LIMIT: Duration = Duration::from_secs(60);

const PARTITIONS: i32 = 6;

/// What one member does must take about as long as the protocol itself: with the broker settings
/// below a join takes a few seconds; a member that does not answer would cost a session of 30 s.
const PROMPTLY: Duration = Duration::from_secs(20);

fn broker() -> Kafka {
    // The protocol of the brokers cannot be set by its members.
    let settings = [
        ("group.consumer.session.timeout.ms", "30000"),
        ("group.consumer.min.session.timeout.ms", "30000"),
        ("group.consumer.heartbeat.interval.ms", "1000"),
        ("group.consumer.min.heartbeat.interval.ms", "1000"),
    ];
    let kafka = Kafka::start_with(&settings).expect("Kafka starts");
    kafka
        .create_topic("logs", PARTITIONS, &[])
        .expect("created");
    kafka
}

fn spout(protocol: &str) -> Value {
    let options = match protocol {
        "classic" => json!({"session.timeout.ms": 30000, "heartbeat.interval.ms": 1000}),
        _ => json!({}),
    };
    json!({
        "group_protocol": protocol, "options": options,
        "max_in_flight_records": 1000, "batch_records_max": 100,
    })
}

fn committed(kafka: &Kafka) -> Vec<i64> {
    let committed = kafka.committed("logs", "logs").expect("the broker answers");
    committed
        .into_iter()
        .map(|offset| offset.unwrap_or(0))
        .collect()
}

/// Everything before what is committed was delivered.
fn check_nothing_is_committed_early(kafka: &Kafka, seen: &Seen) {
    let committed = committed(kafka);
    let missing = seen.first_missing(PARTITIONS);
    let early = committed
        .iter()
        .zip(&missing)
        .any(|(committed, missing)| committed > missing);
    assert!(!early, "committed {committed:?}, not delivered {missing:?}");
}

/// Waits until each member has so many partitions, and all of them together every one once.
fn wait_for_shares(members: &[&Member], shares: &[usize], limit: Duration) {
    wait::until("the shares", limit, || {
        let assigned: Vec<Vec<i32>> = members.iter().map(|member| member.assigned()).collect();
        let mut found: Vec<usize> = assigned.iter().map(Vec::len).collect();
        found.sort_unstable();
        let mut all = assigned.concat();
        all.sort_unstable();
        let said: Vec<_> = members.iter().map(|member| member.conditions()).collect();
        ensure!(
            found == shares && all == (0..PARTITIONS).collect::<Vec<_>>(),
            "{assigned:?} {said:?}"
        );
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
}

fn members_come_and_go_with_blocked_sinks(protocol: &str) {
    let kafka = broker();
    kafka
        .produce_json("logs", PARTITIONS, 0..60_000)
        .expect("acknowledged");
    let seen = Seen::default();
    let start = || {
        let options = Options {
            spout: spout(protocol),
            open: false,
            ..Options::new("logs")
        };
        Member::start(&kafka, &seen, options)
    };

    let first = start();
    wait::until("a full lane", LIMIT, || {
        let account = first.account();
        ensure!(account.in_flight >= 1_000, "{account:?}");
        Ok(())
    })
    .expect("it reads up to the bound");
    assert_eq!(first.assigned().len(), 6);

    // Two join; the first one's sink stands still the whole time.
    let second = start();
    wait_for_shares(&[&first, &second], &[3, 3], PROMPTLY);
    let third = start();
    wait_for_shares(&[&first, &second, &third], &[2, 2, 2], PROMPTLY);
    assert!(first.account().in_flight <= 1_200, "{:?}", first.account());
    assert_eq!(seen.total(), 0);
    assert_eq!(committed(&kafka), [0; 6]);

    // One leaves without having delivered anything.
    let began = wait::now();
    assert_eq!(second.stop(), Finish::HandedBack);
    assert!(began.elapsed() < PROMPTLY, "it took {:?}", began.elapsed());
    wait_for_shares(&[&first, &third], &[3, 3], PROMPTLY);
    assert_eq!(committed(&kafka), [0; 6]);

    // The sinks go on, and one more joins under way.
    first.open();
    third.open();
    let fourth = start();
    fourth.open();
    wait::until("everything", LIMIT, || {
        check_nothing_is_committed_early(&kafka, &seen);
        let accounts = [&first, &third, &fourth].map(Member::account);
        ensure!(
            seen.distinct() == 60_000,
            "{} {accounts:?}",
            seen.distinct()
        );
        ensure!(committed(&kafka) == [10_000; 6], "{:?}", committed(&kafka));
        Ok(())
    })
    .expect("nothing is lost");
    for member in [&first, &third, &fourth] {
        assert_eq!(member.account().lost, 0);
        let _ = member.stop();
        let _ = member.account();
    }
    // Nobody commits anything on the way out that is not so.
    assert_eq!(committed(&kafka), [10_000; 6]);
}

#[test]
fn members_come_and_go_with_blocked_sinks_in_the_classic_protocol() {
    members_come_and_go_with_blocked_sinks("classic");
}

#[test]
fn members_come_and_go_with_blocked_sinks_in_the_consumer_protocol() {
    members_come_and_go_with_blocked_sinks("consumer");
}

#[test]
fn a_stop_commits_what_was_delivered_and_the_next_run_repeats_nothing() {
    let kafka = broker();
    kafka
        .produce_json("logs", PARTITIONS, 0..60_000)
        .expect("acknowledged");
    let seen = Seen::default();
    for protocol in ["classic", "consumer"] {
        // The interval alone would commit nothing.
        let mut spout = spout(protocol);
        spout["commit_interval"] = json!("1h");
        let before = seen.distinct();
        let member = Member::start(
            &kafka,
            &seen,
            Options {
                spout,
                ..Options::new("logs")
            },
        );
        wait::until("some records", LIMIT, || {
            ensure!(seen.distinct() > before + 1_000, "{:?}", member.account());
            Ok(())
        })
        .expect("it reads");
        let _ = member.stop();
        check_nothing_is_committed_early(&kafka, &seen);
        assert_eq!(committed(&kafka), seen.first_missing(PARTITIONS));
    }
    let member = Member::start(&kafka, &seen, Options::bounded("logs"));
    assert_eq!(member.finished(LIMIT), Finish::Drained);
    assert_eq!((seen.distinct(), seen.total()), (60_000, 60_000));
}

#[test]
fn no_stop_leaves_its_member_behind_but_that_of_an_instance() {
    // By the broker's own settings: a member that was left behind would be there for 45 s.
    let kafka = Kafka::start().expect("Kafka starts");
    kafka.create_topic("logs", 1, &[]).expect("created");
    kafka.produce_json("logs", 1, 0..100).expect("acknowledged");
    let seen = Seen::default();
    let run = |group: &str, spout: Value| {
        let options = Options {
            group,
            spout,
            ..Options::bounded("logs")
        };
        let member = Member::start(&kafka, &seen, options);
        assert_eq!(member.finished(PROMPTLY), Finish::Drained);
    };
    let stops = |protocol: &str, number: u32| {
        let group = format!("{protocol}-{number}");
        // It takes many: when clients were closed in two steps, one stop in thirty went wrong.
        for _ in 0..20 {
            run(&group, json!({"group_protocol": protocol}));
            // Brokers take commits of others only for groups without members.
            kafka
                .commit(&group, "logs", 0, 100, "")
                .expect("the group is empty");
        }
    };
    // Nearly all of a stop is waiting for answers.
    std::thread::scope(|scope| {
        for protocol in ["classic", "consumer"] {
            for number in 0..3 {
                let stops = &stops;
                let _ = scope.spawn(move || stops(protocol, number));
            }
        }
    });
    for protocol in ["classic", "consumer"] {
        let group = format!("{protocol}-instance");
        let instance = json!({"group_protocol": protocol, "group_instance_id": "one"});
        for _ in 0..3 {
            run(&group, instance.clone());
            let refused = kafka.commit(&group, "logs", 0, 100, "");
            let _ = refused.expect_err("the member is still in the group");
        }
    }
}

/// A member that has no partitions, or is only joining, leaves as well: the group would wait for it, with
/// what was meant for it.
#[test]
fn a_stop_of_a_member_without_partitions_leaves_the_group_at_once() {
    // By the broker's own settings: a member that was left behind would be there for 45 s.
    let kafka = Kafka::start().expect("Kafka starts");
    kafka.create_topic("logs", 1, &[]).expect("created");
    let seen = Seen::default();
    let start = || {
        let options = Options {
            spout: json!({"options": {"heartbeat.interval.ms": 500}}),
            ..Options::new("logs")
        };
        Member::start(&kafka, &seen, options)
    };
    let first = start();
    wait::until("the assignment", LIMIT, || {
        ensure!(first.assigned() == [0], "{:?}", first.conditions());
        Ok(())
    })
    .expect("assigned");
    // It has been told that nothing is for it.
    let spare = start();
    wait::until("a rebalance", LIMIT, || {
        let counters = spare.running.spout_counters(0);
        let rebalances = counters.iter().find(|(name, ..)| *name == "rebalances");
        ensure!(rebalances.is_some_and(|(.., count)| *count > 0));
        Ok(())
    })
    .expect("it has joined");
    let began = wait::now();
    assert_eq!(spare.stop(), Finish::Drained);
    // These are somewhere on their way into the group.
    for ms in [30, 100, 300] {
        let joining = start();
        wait::rest(Duration::from_millis(ms));
        assert_eq!(joining.stop(), Finish::Drained);
    }
    assert_eq!(first.stop(), Finish::Drained);
    // Brokers take commits of others only for groups without members.
    let commit = kafka.commit("logs", "logs", 0, 0, "");
    commit.expect("the group is empty");
    assert!(began.elapsed() < PROMPTLY, "it took {:?}", began.elapsed());
}

/// A group is joined again at the pace of its slowest heartbeat. Who stops meanwhile, without partitions, is
/// not forgotten in it.
#[test]
fn a_stop_while_the_group_is_joined_again_leaves_it() {
    let kafka = Kafka::start().expect("Kafka starts");
    kafka.create_topic("logs", 1, &[]).expect("created");
    let seen = Seen::default();
    let start = |heartbeat_ms: u64| {
        let options = Options {
            spout: json!({"options": {"heartbeat.interval.ms": heartbeat_ms}}),
            ..Options::new("logs")
        };
        Member::start(&kafka, &seen, options)
    };
    let connection = json!({"brokers": kafka.brokers()});
    let connection = serde_json::from_value(connection).expect("well formed");
    let admin = Admin::of_group(&connection, "logs", LIMIT).expect("a client");
    let is_in_state = |name: &str, members: usize| {
        wait::until(name, PROMPTLY, || {
            let state = admin.group_state()?;
            ensure!(state.name == name && state.members == members, "{state:?}");
            Ok(())
        })
        .expect("the group gets there");
    };
    let first = start(2_000);
    is_in_state("Stable", 1);
    for _ in 0..3 {
        let spare = start(200);
        is_in_state("Stable", 2);
        let third = start(200);
        // The spare one has heard of it and waits for the first one, which mostly has not.
        wait::rest(Duration::from_millis(800));
        assert_eq!(spare.stop(), Finish::Drained);
        assert_eq!(third.stop(), Finish::Drained);
        is_in_state("Stable", 1);
    }
    assert_eq!(first.assigned(), [0]);
    let began = wait::now();
    assert_eq!(first.stop(), Finish::Drained);
    is_in_state("Empty", 0);
    assert!(began.elapsed() < PROMPTLY, "it took {:?}", began.elapsed());
}

/// A member that was put out of its group reads on until it hears of it. What it commits meanwhile is refused, also
/// where the offsets are right, and who came in its place commits them.
#[test]
fn commits_of_a_fenced_member_are_refused() {
    let kafka = broker();
    kafka.create_topic("fenced", 1, &[]).expect("created");
    let produce = |numbers| {
        let sent = kafka.produce_json("fenced", 1, numbers);
        sent.expect("acknowledged");
    };
    produce(0..100);
    let start = |seen: &Seen, open| {
        let options = Options {
            open,
            spout: json!({
                "group_protocol": "classic", "group_instance_id": "one",
                // It would hear of it by its next heartbeat.
                "options": {"session.timeout.ms": 300000, "heartbeat.interval.ms": 250000},
            }),
            ..Options::new("fenced")
        };
        Member::start(&kafka, seen, options)
    };
    let committed = || kafka.committed("fenced", "fenced");
    let wait_for_commit = |offset| {
        let there = wait::until("the commit", PROMPTLY, || {
            let committed = committed()?;
            ensure!(committed == [Some(offset)], "{committed:?}");
            Ok(())
        });
        there.unwrap_or_else(|error| panic!("{error:#}"));
    };
    let (of_first, of_second) = (Seen::default(), Seen::default());
    let first = start(&of_first, true);
    wait_for_commit(100);
    // Who says that it is the same member takes its place at once.
    let second = start(&of_second, false);
    wait::until("the assignment", PROMPTLY, || {
        ensure!(second.assigned() == [0], "{:?}", second.conditions());
        Ok(())
    })
    .expect("assigned");
    produce(100..200);
    let refused = |member: &Member| {
        let counters = member.running.spout_counters(0);
        let refused = counters.iter().find(|(name, ..)| *name == "failed_commits");
        refused.map_or(0, |(.., count)| *count)
    };
    wait::until("a refused commit", PROMPTLY, || {
        ensure!(refused(&first) > 0, "{:?}", first.conditions());
        Ok(())
    })
    .expect("it is refused");
    assert!(
        of_first.distinct() > 100,
        "it has delivered what it would commit"
    );
    assert_eq!(committed().expect("asked"), [Some(100)]);
    second.open();
    wait_for_commit(200);
    assert_eq!(of_second.offsets(0), (100..200).collect::<Vec<_>>());
    assert_eq!(refused(&second), 0);
    let _ = first.stop();
    let _ = second.stop();
    assert_eq!(committed().expect("asked"), [Some(200)]);
}

/// The coordinator says once what a member is to read. librdkafka does not wait for a late answer, and asks
/// for none again: by itself, a member that was to give partitions up would keep them for five minutes, and
/// one that was to get more would never hear of it.
#[test]
fn a_member_that_did_not_hear_what_it_is_to_read_joins_again() {
    let mut kafka = broker();
    let (brokers, seen) = (kafka.brokers().to_owned(), Seen::default());
    let start = || {
        let options = Options {
            spout: spout("consumer"),
            ..Options::new("logs")
        };
        Member::start_at(&brokers, &seen, options)
    };
    let first = start();
    wait_for_shares(&[&first], &[6], PROMPTLY);
    let connection = json!({"brokers": brokers});
    let connection = serde_json::from_value(connection).expect("well formed");
    let admin = Admin::of_group(&connection, "logs", LIMIT).expect("a client");
    let joined_again = |member: &Member| {
        let counters = member.running.spout_counters(0);
        let clients = counters.iter().find(|(name, ..)| *name == "clients");
        clients.is_some_and(|(.., count)| *count > 1)
    };
    let is_seen = (0..10).any(|_| {
        let second = start();
        wait::until("the second one's heartbeat", LIMIT, || {
            let members = admin.group_state()?.members;
            ensure!(members == 2, "{members}");
            Ok(())
        })
        .expect("it joins");
        // The first one hears of it by its next heartbeat, within a second. The broker stands still until
        // nobody waits for that answer any more.
        kafka.pause();
        wait::rest(Duration::from_millis(2_500));
        kafka.resume();
        // Either way each has its share; where the heartbeat came before the pause, it is tried again.
        wait_for_shares(&[&first, &second], &[3, 3], LIMIT);
        let is_seen = joined_again(&first);
        assert_eq!(second.stop(), Finish::Drained);
        wait_for_shares(&[&first], &[6], LIMIT);
        is_seen
    });
    assert!(is_seen, "librdkafka waits for late answers");
    wait::until("nothing to be wrong", LIMIT, || {
        ensure!(first.conditions().is_empty(), "{:?}", first.conditions());
        Ok(())
    })
    .expect("it reads again");
    assert_eq!(first.stop(), Finish::Drained);
}

/// With either protocol, a member to which nothing is given reads as it should: it is open, says nothing, and
/// leaves when it is told to.
#[test]
fn a_member_without_partitions_is_ready() {
    let kafka = broker();
    kafka.create_topic("one", 1, &[]).expect("created");
    let seen = Seen::default();
    for protocol in ["classic", "consumer"] {
        let start = || {
            let options = Options {
                group: protocol,
                spout: spout(protocol),
                ..Options::new("one")
            };
            Member::start(&kafka, &seen, options)
        };
        let members = [start(), start()];
        wait::until("both to be ready", PROMPTLY, || {
            let states = members.each_ref().map(|member| {
                let not_open = member.running.not_open();
                (not_open, member.assigned(), member.conditions())
            });
            let is_well =
                |(not_open, _, said): &(Vec<_>, _, Vec<_>)| not_open.is_empty() && said.is_empty();
            let assigned: usize = states.iter().map(|(_, assigned, _)| assigned.len()).sum();
            ensure!(states.iter().all(is_well) && assigned == 1, "{states:?}");
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{protocol}: {error:#}"));
        for member in members {
            assert_eq!(member.stop(), Finish::Drained);
        }
    }
}

fn bounded_members_end_together_and_those_without_partitions_too(protocol: &str) {
    let kafka = broker();
    kafka.create_topic("one", 1, &[]).expect("created");
    kafka
        .produce_json("one", 1, 0..20_000)
        .expect("acknowledged");
    let seen = Seen::default();
    let start = |open| {
        Member::start(
            &kafka,
            &seen,
            Options {
                open,
                spout: spout(protocol),
                ..Options::bounded("one")
            },
        )
    };
    let first = start(false);
    wait::until("the assignment", LIMIT, || {
        ensure!(first.assigned() == [0], "{:?}", first.conditions());
        Ok(())
    })
    .expect("assigned");
    let second = start(true);
    // It would end at once if having nothing to do were enough.
    wait::rest(Duration::from_secs(3));
    first.open();
    assert_eq!(first.finished(LIMIT), Finish::Drained);
    assert_eq!(second.finished(LIMIT), Finish::Drained);
    assert_eq!(seen.distinct(), 20_000);
    assert_eq!(
        first.account().delivered + second.account().delivered,
        seen.total() as u64
    );
}

#[test]
fn bounded_members_end_together_in_the_classic_protocol() {
    bounded_members_end_together_and_those_without_partitions_too("classic");
}

#[test]
fn bounded_members_end_together_in_the_consumer_protocol() {
    bounded_members_end_together_and_those_without_partitions_too("consumer");
}

#[test]
fn a_broker_that_restarts_under_load_costs_nothing() {
    let mut kafka = broker();
    let seen = Seen::default();
    let member = Member::start(&kafka, &seen, Options::new("logs"));
    for round in 0..3u64 {
        kafka
            .produce_json("logs", PARTITIONS, round * 60_000..(round + 1) * 60_000)
            .expect("acknowledged");
        if round == 1 {
            kafka.kill9();
            member.wait_until_said(&[("connection: ", "")]);
        }
        kafka.restart().expect("Kafka starts again");
    }
    wait::until("everything", LIMIT, || {
        ensure!(
            seen.distinct() == 180_000,
            "{} {:?} {:?}",
            seen.distinct(),
            member.account(),
            member.conditions()
        );
        ensure!(committed(&kafka) == [30_000; 6], "{:?}", committed(&kafka));
        Ok(())
    })
    .expect("it goes on by itself");
    wait::until("the end of it", LIMIT, || {
        ensure!(member.conditions().is_empty(), "{:?}", member.conditions());
        Ok(())
    })
    .expect("all is well");
    let account = member.account();
    assert_eq!((account.lost, account.dead_lettered), (0, 0));
    assert_eq!(member.stop(), Finish::Drained);
}

#[test]
fn a_stop_with_the_broker_gone_or_frozen_is_bounded_and_commits_nothing_early() {
    let mut kafka = broker();
    let seen = Seen::default();
    let mut spout = spout("classic");
    spout["commit_interval"] = json!("1h");
    // Who goes on waits until it has ended.
    spout["options"]["session.timeout.ms"] = json!(6_000);
    for round in 0..2u64 {
        kafka
            .produce_json("logs", PARTITIONS, round * 6_000..(round + 1) * 6_000)
            .expect("acknowledged");
        let options = Options {
            spout: spout.clone(),
            ..Options::new("logs")
        };
        let member = Member::start(&kafka, &seen, options);
        let expected = usize::try_from((round + 1) * 6_000).expect("it is small");
        // A member that was abandoned keeps its partitions until its session ends.
        wait::until("everything", LIMIT, || {
            ensure!(seen.distinct() == expected, "{:?}", member.account());
            Ok(())
        })
        .expect("it reads");
        match round {
            0 => kafka.kill9(),
            _ => kafka.pause(),
        }
        let began = wait::now();
        assert_eq!(member.stop(), Finish::Drained);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(15), "it took {took:?}");
        match round {
            0 => kafka.restart().expect("Kafka starts again"),
            _ => kafka.resume(),
        }
        check_nothing_is_committed_early(&kafka, &seen);
    }
    let again = Member::start(&kafka, &seen, Options::bounded("logs"));
    assert_eq!(again.finished(Duration::from_secs(120)), Finish::Drained);
    assert_eq!(seen.distinct(), 12_000);
    assert_eq!(committed(&kafka), [2_000; 6]);
}

#[test]
fn brokers_that_are_not_there_and_topics_that_are_missing_are_named() {
    let seen = Seen::default();
    let member = Member::start_at("127.0.0.1:1", &seen, Options::bounded("logs"));
    member.wait_until_said(&[("connection: ", "127.0.0.1:1"), ("ends: ", "")]);
    assert_eq!(member.stop(), Finish::Drained);

    let kafka = broker();
    let member = Member::start(&kafka, &seen, Options::bounded("none"));
    member.wait_until_said(&[("topic: ", "none"), ("ends: ", "none")]);
    // It is made good while it runs.
    kafka.create_topic("none", 1, &[]).expect("created");
    assert_eq!(member.finished(Duration::from_secs(120)), Finish::Drained);
    assert_eq!(member.conditions(), Vec::<String>::new());
}

fn members_come_and_go_under_load(protocol: &str, rounds: u64) {
    let kafka = broker();
    let seen = Seen::default();
    let start = || {
        Member::start(
            &kafka,
            &seen,
            Options {
                spout: spout(protocol),
                ..Options::new("logs")
            },
        )
    };
    let mut members = vec![start(), start()];
    for round in 0..rounds {
        let numbers = round * 12_000..(round + 1) * 12_000;
        kafka
            .produce_json("logs", PARTITIONS, numbers)
            .expect("acknowledged");
        members.push(start());
        wait::until("progress", LIMIT, || {
            check_nothing_is_committed_early(&kafka, &seen);
            let wanted = (round * 12_000 + 6_000) as usize;
            ensure!(
                seen.distinct() >= wanted,
                "{} of {wanted}: {:?}",
                seen.distinct(),
                members
                    .iter()
                    .map(|m| (m.assigned(), m.conditions(), m.account()))
                    .collect::<Vec<_>>()
            );
            Ok(())
        })
        .expect("the group goes on");
        let leaving = members.remove(0);
        let _ = leaving.stop();
        let _ = leaving.account();
    }
    let all = rounds * 12_000;
    let ends = vec![all as i64 / 6; 6];
    wait::until("everything", LIMIT, || {
        let accounts: Vec<_> = members
            .iter()
            .map(|m| (m.assigned(), m.conditions(), m.account()))
            .collect();
        ensure!(
            seen.distinct() == all as usize,
            "{} {accounts:?}",
            seen.distinct()
        );
        ensure!(
            committed(&kafka) == ends,
            "{:?} {accounts:?}",
            committed(&kafka)
        );
        Ok(())
    })
    .expect("nothing is lost");
}

#[test]
fn members_come_and_go_under_load_in_the_classic_protocol() {
    members_come_and_go_under_load("classic", 8);
}

#[test]
fn members_come_and_go_under_load_in_the_consumer_protocol() {
    members_come_and_go_under_load("consumer", 8);
}
