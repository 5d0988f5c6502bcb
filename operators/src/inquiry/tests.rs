//! What is found of a record, and where.

use isobar_topology::spec::Node;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use super::*;
use crate::dead_letter::Origin;
use crate::letters::DeadLetters;
use crate::range::Log;
use crate::scratch::Scratch;

#[test]
fn indices_whose_cluster_makes_the_ids_are_searched_too() {
    let file = json!({
        "isobar": 1, "name": "logs",
        "connections": {
            "kafka": {"type": "kafka", "brokers": "localhost:1"},
            "search": {"type": "elasticsearch", "hosts": "http://localhost:1"},
        },
        "spouts": {
            "in": {"type": "kafka", "connection": "kafka", "topics": ["a"], "start": "earliest"},
            "apart": {"type": "kafka", "connection": "kafka", "topics": ["b"], "start": "earliest"},
        },
        "bolts": {
            "parse": {"type": "parse_json", "inputs": ["in"]},
            "index": {
                "type": "elasticsearch", "connection": "search", "inputs": ["parse"],
                "index": "logs", "id": "auto",
            },
            "nowhere": {"type": "blackhole", "inputs": ["apart"]},
        },
        "dead_letter": {"type": "file", "path": "dead"},
    });
    let spec = Spec::read(&Node::from_json(&file)).expect("sound");
    let count = |spout: &str| {
        let searches = searches(&spec, spout, Duration::from_secs(1));
        searches.expect("clients").len()
    };
    assert_eq!((count("in"), count("apart")), (1, 0));
}

/// A record that is there, and was not committed.
fn fourth() -> (Place, Logged) {
    let place = Place {
        partition: TopicPartition::new("logs", 1),
        offset: 4,
    };
    let logged = Logged {
        log: Ok(Log {
            start: 0,
            end: 9,
            high: 9,
        }),
        committed: Ok(None),
        members: Ok(0),
        exists: Ok(Some(true)),
        source: 7,
        origin: String::new(),
    };
    (place, logged)
}

#[test]
fn letters_in_a_topic_are_open_until_a_resolution_of_their_record_and_bolt_settles_them() {
    let (place, logged) = fourth();
    let origin = |offset: i64, ordinals: Ordinals| Origin {
        source: 7,
        topic: "logs".to_owned(),
        partition: 1,
        offset,
        timestamp: None,
        ordinals,
    };
    let letter = |origin: Origin, bolt: &str, redrives: u32| {
        Content::Letter(Letter {
            topology: "logs".to_owned(),
            bolt: bolt.to_owned(),
            attempts: 1,
            redrives,
            class: "mapping".to_owned(),
            reason: "no".to_owned(),
            target: None,
            document_id: None,
            rejected_at: 1_000,
            origin,
            cut: None,
        })
    };
    let resolution = |origin: Origin| {
        Content::Resolution(Resolution {
            origin,
            bolt: "index".to_owned(),
            redrives: 0,
            rejected_at: 1_000,
            run: "run-1".to_owned(),
        })
    };
    let contents = [
        resolution(origin(4, Ordinals::NONE)),
        resolution(origin(5, Ordinals::NONE)),
        letter(origin(4, Ordinals::NONE), "index", 0),
        letter(origin(4, Ordinals::NONE), "index", 1),
        letter(origin(4, Ordinals::NONE), "parse", 0),
        letter(
            origin(4, Ordinals::NONE.part(2).expect("small")),
            "index",
            0,
        ),
        letter(origin(5, Ordinals::NONE), "index", 0),
    ];
    let mut read = OfRecord::default();
    for (number, content) in contents.into_iter().enumerate() {
        read.add(content, number.to_string(), &place, &logged);
    }
    let found = read.finish();
    let found: Vec<(&str, Option<&str>)> = found
        .iter()
        .map(|letter| (letter.place.as_str(), letter.resolved_by.as_deref()))
        .collect();
    let expected = [("2", Some("run-1")), ("3", None), ("4", None), ("5", None)];
    assert_eq!(found, expected);
}

#[test]
fn letters_are_looked_for_in_every_sink_that_writes_some() {
    let file = json!({
        "isobar": 1, "name": "logs",
        "connections": {"kafka": {"type": "kafka", "brokers": "localhost:1"}},
        "spouts": {
            "in": {"type": "kafka", "connection": "kafka", "topics": ["a"], "start": "earliest"},
            "apart": {"type": "kafka", "connection": "kafka", "topics": ["b"], "start": "earliest"},
        },
        "bolts": {
            "parse": {"type": "parse_json", "inputs": ["in"]},
            "again": {"type": "parse_key_value", "inputs": ["parse.rejected"]},
            "known": {"type": "filter", "inputs": ["again.rejected"], "keep_when": "kafka.key != 'x'"},
            "bad": {"type": "file", "path": "bad", "inputs": ["known"]},
            "out": {"type": "file", "path": "out", "inputs": ["parse", "again"]},
            "both": {"type": "kafka", "connection": "kafka", "topic": "both",
                "inputs": ["parse", "parse.rejected"]},
            "rest": {"type": "parse_json", "inputs": ["apart"]},
            "elsewhere": {"type": "file", "path": "elsewhere", "inputs": ["rest", "rest.rejected"]},
        },
        "dead_letter": {"type": "file", "path": "dead"},
    });
    let directory = Scratch::new();
    let mut spec = Spec::read(&Node::from_json(&file)).expect("sound");
    spec.directory = directory.path().to_owned();
    let plan = isobar_topology::plan(&spec, &crate::registry(), 1, directory.path());
    let plan = plan.expect("sound");
    let letter = json!({
        "dead_letter": 1, "bolt": "again", "class": "invalid_key_value", "reason": "no",
        "source": "0000000000000007", "topic": "logs", "partition": 1, "offset": 4,
        "rejected_at": "1970-01-01T00:00:01Z",
    });
    directory.replace("elsewhere", format!("{letter}\n"));
    let (place, logged) = fourth();
    let letters = Letters::of(&spec, &plan.graph, "in");
    let find = || letters.find(&place, &logged, Duration::from_secs(1));
    let unread = "those of both are among other records in both";
    assert_eq!(find(), Err(unread.to_owned()));
    directory.replace("bad", format!("{letter}\n"));
    let found = find().expect("one is open");
    let at = format!("{}:1", directory.path().join("bad").display());
    let places: Vec<&str> = found.iter().map(|one| one.place.as_str()).collect();
    assert_eq!(places, [at]);
}

#[test]
fn letters_in_a_file_are_found_by_the_origin_of_their_record() {
    let directory = Scratch::new();
    let letter = |source: &str, offset: i64, reason: &str| {
        json!({
            "dead_letter": 1, "bolt": "index", "class": "mapping", "reason": reason,
            "source": source, "topic": "logs", "partition": 1, "offset": offset,
            "rejected_at": "1970-01-01T00:00:01Z", "ordinal": 3,
        })
    };
    let lines = [
        letter("0000000000000007", 5, "another record"),
        // A topic of that name which was deleted since.
        letter("0000000000000006", 4, "another topic"),
        letter("0000000000000007", 4, "this one"),
    ];
    let mut text = lines.map(|line| line.to_string()).join("\n");
    text.push_str("\n{\"cut\n\n");
    directory.replace("dead.ndjson", text);
    let (place, logged) = fourth();
    let find = |name: &str| {
        let letters = Letters(vec![Kept::File(directory.path().join(name))]);
        letters.find(&place, &logged, Duration::from_secs(1))
    };
    let found = find("dead.ndjson").expect("it is read");
    let path = directory.path().join("dead.ndjson");
    let expected = FoundLetter {
        place: format!("{}:3", path.display()),
        part: Ordinals::NONE.part(3).expect("small"),
        bolt: "index".to_owned(),
        class: "mapping".to_owned(),
        reason: "this one".to_owned(),
        rejected_at_ms: Some(1_000),
        resolved_by: None,
    };
    assert_eq!(found, [expected]);
    let again = letter("0000000000000007", 4, "once more").to_string();
    directory.replace("dead.replay.19a.ndjson", again);
    let both = find("dead.ndjson").expect("they are read");
    let reasons: Vec<&str> = both.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!(reasons, ["this one", "once more"]);
    assert_eq!(find("not there yet"), Ok(Vec::new()));
}

#[test]
fn a_letter_in_a_file_is_settled_by_a_mark_in_a_topic() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    cluster.create_topic("dead", 1, 1).expect("it is created");
    let file = json!({
        "isobar": 1, "name": "logs",
        "connections": {"kafka": {"type": "kafka", "brokers": cluster.bootstrap_servers()}},
        "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": ["logs"], "start": "earliest"}},
        "bolts": {"end": {"type": "blackhole", "inputs": ["in"]}},
        "dead_letter": {"type": "kafka", "connection": "kafka", "topic": "dead"},
    });
    let spec = Spec::read(&Node::from_json(&file)).expect("sound");
    let topic = DeadLetters::of(&spec).expect("sound").expect("a topic");
    let directory = Scratch::new();
    let letter = json!({
        "dead_letter": 1, "bolt": "index", "class": "mapping", "reason": "no",
        "source": "0000000000000007", "topic": "logs", "partition": 1, "offset": 4,
        "rejected_at": "1970-01-01T00:00:01Z",
    });
    directory.replace("bad", format!("{letter}\n"));
    let (place, logged) = fourth();
    let places = vec![
        Kept::File(directory.path().join("bad")),
        Kept::Topic(Box::new(topic)),
    ];
    let letters = Letters(places);
    let settled_by = || {
        let found = letters.find(&place, &logged, Duration::from_secs(10));
        let found = found.expect("all is read").into_iter();
        found.map(|one| one.resolved_by).collect::<Vec<_>>()
    };
    assert_eq!(settled_by(), [None]);
    let mark = Resolution {
        origin: Origin {
            source: 7,
            topic: "logs".to_owned(),
            partition: 1,
            offset: 4,
            timestamp: None,
            ordinals: Ordinals::NONE,
        },
        bolt: "index".to_owned(),
        redrives: 0,
        rejected_at: 1_000,
        run: "logs.redrive.1".to_owned(),
    };
    let mut headers = OwnedHeaders::new();
    for (key, value) in &mark.headers() {
        let value = Some(value);
        headers = headers.insert(Header { key, value });
    }
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .expect("a producer");
    let record: BaseRecord<'_, (), ()> = BaseRecord::to("dead").partition(0).headers(headers);
    producer.send(record).expect("it is queued");
    producer.flush(Duration::from_secs(10)).expect("it is sent");
    assert_eq!(settled_by(), [Some("logs.redrive.1".to_owned())]);
}
