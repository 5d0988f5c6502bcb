//! How figures are summed up and written.

use isobar_operators::kafka::admin::TopicPartition;
use isobar_operators::lag::{Deletion, Eta, Exactness, Lag, Row, Status};
use isobar_topology::clock;
use isobar_topology::spec::Node;
use serde_json::json;

use super::*;

fn spec() -> Spec {
    spec_with("127.0.0.1:9")
}

fn spec_with(brokers: &str) -> Spec {
    let file = json!({
        "isobar": 1, "name": "logs",
        "connections": {"kafka": {"type": "kafka", "brokers": brokers}},
        "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": "a", "start": "latest"}},
        "bolts": {"end": {"type": "blackhole", "inputs": ["in"], "on_rejected": "drop"}},
    });
    Spec::read(&Node::from_json(&file)).expect("sound")
}

pub(crate) fn row(partition: i32, lag: Option<u64>, age_ms: Option<u64>) -> Row {
    Row {
        start: Some(0),
        end: Some(1_000),
        committed: lag.map(|lag| 1_000 - lag as i64),
        lag,
        lag_exactness: match lag {
            Some(_) => Exactness::Exact,
            None => Exactness::Unknown,
        },
        committed_lag: lag,
        age_ms,
        age_exactness: Exactness::Sampled,
        status: match lag {
            Some(_) => Status::Ok,
            None => Status::NoData,
        },
        reason: "because".to_owned(),
        ..Row::unknown(TopicPartition::new("a", partition))
    }
}

pub(crate) fn lag(rows: Vec<Row>) -> SpoutLag {
    lag_with(rows, None)
}

fn lag_with(rows: Vec<Row>, failure: Option<&str>) -> SpoutLag {
    let source = lag::sources(&spec()).expect("sound").remove(0);
    let failure = failure.map(str::to_owned);
    let told = Lag {
        rows,
        failure,
        ..Lag::default()
    };
    SpoutLag::of(&source, told)
}

#[test]
fn sums_are_known_when_all_their_parts_are() {
    let known = lag(vec![
        row(0, Some(10), Some(1_500)),
        row(1, Some(0), Some(0)),
    ]);
    assert_eq!((known.lag, known.oldest_age_seconds), (Some(10), Some(1.5)));
    assert_eq!(known.status, Status::Ok);
    let unknown = lag(vec![row(0, Some(10), Some(1)), row(1, None, None)]);
    assert_eq!((unknown.lag, unknown.oldest_age_seconds), (None, None));
    let json = serde_json::to_value(&unknown).expect("JSON");
    assert_eq!(json["lag"], serde_json::Value::Null);
    assert_eq!(
        table(std::slice::from_ref(&unknown)),
        "\
SPOUT  TOPIC  PARTITION  OWNER  EARLIEST  COMMITTED  CURRENT    END  LAG  OLDEST  IN/S  OUT/S  ETA  HEADROOM  STATUS
in     a              0  -             0        990      990  1,000   10   ~1 ms     ?      ?    ?         ?  OK
in     a              1  -             0          ?        ?  1,000    ?       ?     ?      ?    ?         ?  NO_DATA
in     all                                                             ?       ?     ?      ?    ?         ?  NO_DATA

in: a/1: because
"
    );
    let document = serde_json::to_value(LagDocument::of("t", vec![known.clone()]));
    let document = document.expect("JSON");
    assert_eq!(
        document["total"],
        json!({"partitions": 2, "leading_brokers": null, "depth": 2_000, "lag": 10, "lag_exactness": "exact"})
    );
    assert_eq!(document["spouts"][0]["partitions"][0]["depth"], 1_000);
    assert_eq!(
        Totals::of(&[known]).text(Width::Usual).as_deref(),
        Some("2 partitions hold 2,000 records, 10 of them are not settled.\n")
    );
    let source = lag::sources(&spec()).expect("sound").remove(0);
    let nothing = SpoutLag::unknown(&source, "no answer".to_owned());
    let nothing = [nothing];
    assert_eq!(Totals::of(&nothing).text(Width::Wide), None);
    let shown = table_without_failures(&nothing, Width::Wide);
    assert!(!shown.contains('0'), "{shown}");
}

#[test]
fn a_spout_has_the_least_headroom_of_what_waits_and_all_that_is_lost() {
    let of = |number, lag, hours: Option<u64>| Row {
        headroom: Some(lag * 10),
        deletion: match hours {
            Some(hours) => Deletion::Seconds(hours as f64 * 3_600.0),
            None => Deletion::Unknown,
        },
        headroom_exactness: match hours {
            Some(_) => Exactness::Sampled,
            None => Exactness::Unknown,
        },
        lost: Some(2),
        ..row(number, Some(lag), Some(lag))
    };
    let shown = |spout: &SpoutLag| {
        let shown = table(std::slice::from_ref(spout));
        let all = shown.lines().find(|row| row.starts_with("in     all"));
        let all = all.map(|row| row.split("  ").collect::<Vec<_>>());
        let cell = all.and_then(|all| all.into_iter().rev().nth(1).map(str::to_owned));
        cell.expect("a row of sums").trim().to_owned()
    };
    // Nothing waits in the last one.
    let spout = lag(vec![of(0, 5, Some(7)), of(1, 9, Some(3)), of(2, 0, None)]);
    assert_eq!(
        (spout.headroom_seconds, spout.lost),
        (Deletion::Seconds(10_800.0), Some(6))
    );
    assert_eq!(spout.headroom_exactness, Exactness::Sampled);
    assert_eq!(shown(&spout), "~3 h 0 min");
    let by_size = Row {
        headroom_exactness: Exactness::UpperBound,
        ..of(1, 2, Some(48))
    };
    let spout = lag(vec![of(0, 5, Some(7)), by_size]);
    assert_eq!(spout.headroom_seconds, Deletion::Seconds(25_200.0));
    assert_eq!(spout.headroom_exactness, Exactness::UpperBound);
    assert_eq!((spout.headroom_records, &*shown(&spout)), (Some(20), "20"));
    let unknown = lag(vec![of(0, 5, Some(7)), of(1, 5, None)]);
    assert_eq!(unknown.headroom_seconds, Deletion::Unknown);
    let done = lag(vec![of(0, 0, None), of(1, 0, None)]);
    let none = (done.headroom_seconds, &*shown(&done));
    assert_eq!(none, (Deletion::Unknown, "-"));
}

#[test]
fn where_nothing_is_deleted_nothing_is_lost_and_other_partitions_count() {
    let behind = |number, deletion, exactness| Row {
        headroom: Some(7),
        deletion,
        headroom_exactness: exactness,
        ..row(number, Some(5), Some(2_000))
    };
    let kept = |number| behind(number, Deletion::Never, Exactness::Exact);
    let by_age = |exactness| behind(2, Deletion::Seconds(7_200.0), exactness);
    let check = |rows: Vec<Row>, seconds: serde_json::Value, exactness: &str, shown: [&str; 2]| {
        let spout = lag(rows);
        let json = serde_json::to_value(&spout).expect("JSON");
        assert_eq!(json["headroom_seconds"], seconds);
        assert_eq!(json["headroom_exactness"], exactness);
        let table = table(std::slice::from_ref(&spout));
        for (row, shown) in [1, 3].into_iter().zip(shown) {
            let row = table.lines().nth(row).expect("a row");
            assert!(row.contains(&format!("  {shown}  ")), "{table}");
        }
    };
    let never = ["never"; 2];
    check(vec![kept(0), kept(1)], json!("never"), "exact", never);
    let sampled = vec![kept(0), by_age(Exactness::Sampled)];
    check(sampled, json!(7_200.0), "sampled", ["never", "~2 h 0 min"]);
    let by_size = Row {
        headroom: Some(40),
        ..by_age(Exactness::UpperBound)
    };
    let bounded = vec![kept(0), by_size];
    check(bounded, json!(7_200.0), "upper_bound", ["never", "40"]);
    let unknown = behind(2, Deletion::Unknown, Exactness::Unknown);
    let unknown = vec![kept(0), unknown];
    check(unknown, json!(null), "unknown", ["never", "7"]);
}

#[test]
fn an_upper_bound_is_called_one_wherever_it_is_written() {
    let stopped = |number, lag| Row {
        sampled_ms: Some(clock::unix_ms() - 2_000),
        lag_exactness: Exactness::UpperBound,
        age_exactness: Exactness::UpperBound,
        ..row(number, Some(lag), Some(1_500))
    };
    let spout = lag(vec![stopped(0, 1_000), row(1, Some(5), Some(500))]);
    assert_eq!(spout.lag_exactness, Exactness::UpperBound);
    assert_eq!(spout.sampled_age_seconds, None, "that of one is not known");
    let shown = table(std::slice::from_ref(&spout));
    let expected = [
        "  ≤1,000   ≤1.5 s  ",
        "       5  ~500 ms  ",
        "  ≤1,005   ≤1.5 s  ",
    ];
    for (row, part) in shown.lines().skip(1).zip(expected) {
        assert!(row.contains(part), "{shown}");
    }
    let told = Totals::of(&[spout]).text(Width::Usual).expect("partitions");
    assert!(
        told.ends_with(" ≤1,005 of them are not settled.\n"),
        "{told}"
    );
    let both = lag(vec![stopped(0, 0), stopped(1, 1)]);
    assert!(both.sampled_age_seconds >= Some(2.0));
    assert_eq!(table::records(Some(0), Exactness::UpperBound), "0");
}

#[test]
fn an_estimate_of_when_it_has_caught_up_is_called_one() {
    let of = |number, lag, eta, exactness| Row {
        incoming: Some(1.0),
        outgoing: Some(2.0),
        rates_exactness: Exactness::Sampled,
        eta: Eta::Seconds(eta),
        eta_exactness: exactness,
        ..row(number, Some(lag), Some(lag))
    };
    let later = || of(0, 90, 90.0, Exactness::Sampled);
    let check = |other, exactness: [&str; 2], shown: [&str; 3]| {
        let spout = lag(vec![later(), other]);
        let json = serde_json::to_value(&spout).expect("JSON");
        assert_eq!(json["rates_exactness"], exactness[0]);
        assert_eq!(json["eta_exactness"], exactness[1]);
        let table = table(std::slice::from_ref(&spout));
        for (row, shown) in table.lines().skip(1).zip(shown) {
            assert!(row.contains(&format!("  {shown}  ")), "{table}");
        }
    };
    let done = of(1, 0, 0.0, Exactness::Exact);
    let all = ["~1 min 30 s", "-", "~1 min 30 s"];
    check(done, ["sampled", "sampled"], all);
    let one_look = row(1, Some(5), Some(1));
    let unknown = ["~1 min 30 s", "?", "?"];
    check(one_look, ["unknown", "unknown"], unknown);
}

#[test]
fn a_wide_table_has_the_leaders_and_what_partitions_hold() {
    let led = |number, leader: Option<&str>| Row {
        leader: leader.map(Into::into),
        ..row(number, Some(10), Some(0))
    };
    let spout = lag(vec![
        led(0, Some("kafka-1:9092")),
        led(1, Some("kafka-1:9092")),
        led(2, Some(isobar_operators::lag::NO_LEADER)),
    ]);
    let wide = |spout: &SpoutLag| {
        let spouts = std::slice::from_ref(spout);
        let table = table_without_failures(spouts, Width::Wide);
        table + &Totals::of(spouts).text(Width::Wide).expect("partitions")
    };
    assert_eq!(
        wide(&spout),
        "\
SPOUT  TOPIC  PARTITION  LEADER        OWNER  EARLIEST  COMMITTED  CURRENT    END  DEPTH  LAG  OLDEST  IN/S  OUT/S  ETA  HEADROOM  STATUS
in     a              0  kafka-1:9092  -             0        990      990  1,000  1,000   10    0 ms     ?      ?    ?         ?  OK
in     a              1  kafka-1:9092  -             0        990      990  1,000  1,000   10    0 ms     ?      ?    ?         ?  OK
in     a              2  none          -             0        990      990  1,000  1,000   10    0 ms     ?      ?    ?         ?  OK
in     all                                                                         3,000   30    0 ms     ?      ?    ?         ?  OK
3 partitions (leading brokers: 1) hold 3,000 records, 30 of them are not settled.
"
    );
    let json = serde_json::to_value(&spout).expect("JSON");
    let leaders = [0, 2].map(|number| &json["partitions"][number]["leader"]);
    assert_eq!(leaders, [&json!("kafka-1:9092"), &json!("none")]);
    let unknown = lag(vec![led(0, Some("kafka-1:9092")), led(1, None)]);
    let told = wide(&unknown);
    assert!(
        told.ends_with(
            "2 partitions (leading brokers: ?) hold 2,000 records, 20 of them are not settled.\n"
        ),
        "{told}"
    );
}

#[test]
fn what_is_written_as_json_is_read_back() {
    let mut full = row(0, Some(10), Some(1_500));
    full.eta = Eta::Never;
    full.incoming = Some(12.5);
    let written = lag(vec![full, row(1, None, None)]);
    let json = serde_json::to_value(&written).expect("JSON");
    let read: SpoutLag = serde_json::from_value(json.clone()).expect("the same form");
    assert_eq!(serde_json::to_value(read).expect("JSON"), json);
    assert_eq!(json["partitions"][0]["eta_seconds"], "never");
}

#[test]
fn the_worst_partition_speaks_for_its_spout() {
    let with = |status, number| Row {
        status,
        ..row(number, Some(1), Some(1))
    };
    let spout = lag(vec![
        with(Status::Slow, 0),
        with(Status::Stalled, 1),
        with(Status::Stalled, 2),
    ]);
    assert_eq!(spout.status, Status::Stalled);
    assert_eq!(spout.reason, "a/1: because");
}

#[test]
fn what_could_not_be_asked_is_said_and_hides_nothing_worse() {
    let why = "no answer from a:1";
    let of = |status| Row {
        status,
        ..row(0, Some(1), Some(1))
    };
    let spout = lag_with(vec![of(Status::Ok)], Some(why));
    assert_eq!((spout.status, spout.reason.as_str()), (Status::NoData, why));
    let said = table(std::slice::from_ref(&spout));
    assert!(said.ends_with("\n\nin: no answer from a:1\n"), "{said}");
    let said = table_without_failures(&[spout], Width::Usual);
    assert!(!said.contains(why), "{said}");
    let paused = lag_with(vec![of(Status::Paused)], Some(why));
    assert_eq!(paused.status, Status::Paused);
    let said = table(&[paused]);
    let both = "\n\nin: a/0: because\nin: no answer from a:1\n";
    assert!(said.ends_with(both), "{said}");
    let worse = lag_with(vec![of(Status::Lost)], Some(why));
    let said = table(std::slice::from_ref(&worse));
    let both = "\n\nin: a/0: because\nin: no answer from a:1\n";
    assert!(said.ends_with(both), "{said}");
    let said = table_without_failures(&[worse], Width::Usual);
    assert!(said.ends_with("\n\nin: a/0: because\n"), "{said}");
}

#[test]
fn partitions_without_an_owner_are_counted_where_members_are_known() {
    let source = lag::sources(&spec()).expect("sound").remove(0);
    let of = |owners_unknown| {
        let told = Lag {
            rows: vec![row(0, Some(1), Some(1))],
            owners_unknown,
            ..Lag::default()
        };
        let spout = SpoutLag::of(&source, told);
        let owner = table(std::slice::from_ref(&spout));
        let owner = owner
            .lines()
            .nth(1)
            .and_then(|row| row.split_whitespace().nth(3));
        (spout.unowned_partitions, owner.map(str::to_owned))
    };
    assert_eq!(of(false), (Some(1), Some("-".to_owned())));
    assert_eq!(of(true), (None, Some("?".to_owned())));
}

#[test]
fn after_the_end_of_a_run_it_is_said_how_it_ended() {
    let one_look = |lag| Row {
        status: Status::NoData,
        ..row(0, lag, Some(1))
    };
    let ended = |row, caught_up| lag(vec![row]).after_the_end(caught_up);
    let came = ended(one_look(Some(1_000)), true);
    let why = "it had caught up; 1,000 records came since";
    assert_eq!((came.status, came.lag), (Status::Ok, Some(1_000)));
    assert_eq!(came.reason, why);
    let left = ended(one_look(Some(5)), false);
    assert_eq!(left.status, Status::NoData);
    assert_eq!(
        left.reason,
        "a/0: the run ended; 5 records are left to read"
    );
    let unknown = ended(one_look(None), true);
    assert_eq!(
        (unknown.status, &*unknown.reason),
        (Status::NoData, "a/0: because")
    );
    let source = lag::sources(&spec()).expect("sound").remove(0);
    let nothing = SpoutLag::unknown(&source, "no answer".to_owned()).after_the_end(true);
    assert_eq!((nothing.lag, &*nothing.reason), (None, "no answer"));
}

#[test]
fn a_member_that_was_given_no_partition_has_no_lag() {
    let json = serde_json::to_value(lag(Vec::new())).expect("JSON");
    assert_eq!(
        (&json["status"], &json["reason"]),
        (&json!("OK"), &json!("it reads no partition"))
    );
    let figures = ["lag", "incoming_per_second", "outgoing_per_second"];
    let written = figures.map(|figure| json[figure].to_string());
    assert_eq!(written, ["0", "0.0", "0.0"]);
}

#[test]
fn a_spout_that_has_not_joined_its_group_has_an_unknown_lag() {
    // The system accepts connections, and nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let spec = spec_with(&silent.local_addr().expect("it is bound").to_string());
    let here = std::path::Path::new(".");
    let plan = isobar_topology::plan(&spec, &isobar_operators::registry(), 1, here);
    let graph = plan.expect("sound").graph;
    let running = isobar_topology::start(graph, false).expect("it starts");
    let watches = Watches::start(&spec, &running, INTERVAL);
    let lag = watches.read(&running).remove(0);
    running.stop_within(Duration::ZERO);
    assert_eq!((lag.lag, lag.status), (None, Status::NoData));
    assert_eq!(lag.reason, "opening: not connected yet (0 of 1 lanes)");
    assert_eq!(watches.total(&running), None);
}

#[test]
fn brokers_that_do_not_answer_are_named() {
    let source = lag::sources(&spec()).expect("sound").remove(0);
    let asked = ask(&source, Duration::from_millis(300));
    assert_eq!((asked.lag, asked.partitions.len()), (None, 0));
    let failure = asked.failure.unwrap_or_default();
    assert!(
        failure.contains("topic a") && failure.contains("127.0.0.1:9"),
        "{failure}"
    );
}
