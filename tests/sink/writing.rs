//! What is written when all is well: documents, ids, indices, origins, the sizes of bodies.

use std::collections::BTreeSet;

use serde_json::json;
use testkit::bulk_server::{BulkServer, Options};

use testkit::sink::{FIRST_TIMESTAMP, LIMIT, Setup, server, source};
use testkit::wait;

#[test]
fn every_record_becomes_one_document_with_its_origin() {
    let server = server();
    let setup = Setup::new("writing-all", &server);
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    assert_eq!(ran.account.delivered, 1_000);
    let documents = server.documents();
    let first = documents
        .iter()
        .find(|d| source(d)["n"] == 0)
        .expect("the first record");
    assert_eq!(first.index, "logs");
    let origin = &source(first)["_isobar"];
    let partition = origin["p"].as_i64().expect("a partition");
    assert_eq!(
        *origin,
        json!({"s": "----------6", "t": "logs", "p": partition, "o": 0, "ts": FIRST_TIMESTAMP})
    );
    assert_eq!(
        first.id,
        format!(
            "1--OhqqeV-----------6-----{partition}",
            partition = ["-", "0"][partition as usize]
        ) + "-----------"
    );
    // 16 KiB bodies, none larger, most of them full.
    let statistics = server.statistics();
    let requests = ran.count("requests");
    assert_eq!(statistics.requests, requests);
    assert_eq!(ran.count("items_stored"), 1_000);
    assert_eq!(ran.count("body_bytes"), statistics.bytes);
    assert_eq!(
        ran.count("bodies_full") + ran.count("bodies_flushed"),
        requests
    );
    assert!(statistics.bytes <= requests * (16 << 10));
    assert!(ran.count("bodies_full") > requests / 2, "{requests}");
}

#[test]
fn what_is_read_again_is_found_by_its_id() {
    let server = server();
    let setup = Setup::new("writing-again", &server);
    setup.run().assert_exact(&setup, &server);
    let again = setup.run();
    again.assert_exact(&setup, &server);
    assert_eq!(again.account.already_present, 1_000);
    assert_eq!(again.count("items_already_present"), 1_000);
    assert_eq!(server.statistics().documents, 1_000);
}

#[test]
fn a_batch_of_many_bodies_waits_for_none_of_its_own() {
    let server = server();
    let setup = Setup {
        batch: 500,
        lanes: 1,
        ..Setup::new("writing-tiny", &server)
    }
    .with(&json!({"body_records": 1, "requests_per_lane": 1}));
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    assert_eq!(server.statistics().requests, 1_000);
}

#[test]
fn a_document_larger_than_a_body_goes_alone() {
    let server = server();
    let setup = Setup {
        records: 20,
        ..Setup::new("writing-large", &server)
    }
    .with(&json!({"body_bytes": "1KiB"}));
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    let larger = Setup {
        records: 40,
        ..Setup::new("writing-larger", &server)
    };
    // Its own origin makes each document larger than the body.
    let field = "f".repeat(1_500);
    let larger =
        larger.with(&json!({"index": "large", "body_bytes": "1KiB", "origin": {"field": field}}));
    let ran = larger.run();
    assert_eq!(ran.account.delivered, 80);
    assert_eq!(ran.count("requests"), 80);
}

#[test]
fn bodies_are_no_larger_than_the_host_says_that_it_takes() {
    let server = BulkServer::start(Options {
        keep_documents: true,
        body_max: 4 << 10,
        ..Options::default()
    })
    .expect("a free port");
    let setup = Setup::new("writing-less", &server);
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    assert_eq!(ran.count("requests_too_large"), 0);
    assert!(server.statistics().requests >= server.statistics().bytes / (4 << 10));
}

/// Limits are of what is in a body, not of what goes over the network.
#[test]
fn bodies_go_compressed_and_their_sizes_are_those_before() {
    let server = BulkServer::start(Options {
        keep_documents: true,
        body_max: 8 << 10,
        ..Options::default()
    })
    .expect("a free port");
    let setup = Setup::new("writing-gzip", &server).with(&json!({"compression": "gzip"}));
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    let (served, requests) = (server.statistics(), ran.count("requests"));
    assert_eq!((served.requests, served.compressed), (requests, requests));
    assert_eq!(ran.count("requests_too_large"), 0);
    assert_eq!(ran.count("request_bytes"), served.bytes);
    assert!(requests >= served.bytes / (8 << 10), "{requests}");
    let sent = ran.count("sent_bytes");
    assert!(sent * 3 < served.bytes, "{sent} of {}", served.bytes);

    let plain = Setup::new("writing-plain", &server).with(&json!({"index": "plain"}));
    let ran = plain.run();
    assert_eq!(server.statistics().compressed, requests);
    assert_eq!(ran.count("sent_bytes"), ran.count("request_bytes"));
}

#[test]
fn the_index_follows_from_the_record_and_absurd_times_make_none() {
    let server = server();
    // One record a minute: 500 of them are in one day, and 365 days ago is before it.
    let setup = Setup::new("writing-index", &server).with(&json!({
        "index": "logs-{{ event_time.format('%Y.%m.%d') }}",
        "event_time_bounds": {"past": "36500d", "future": "1d"},
    }));
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    let indices: BTreeSet<String> = server.documents().into_iter().map(|d| d.index).collect();
    assert_eq!(indices, BTreeSet::from(["logs-2026.01.01".to_owned()]));

    let narrow = Setup::new("writing-narrow", &server).with(&json!({
        "index": "logs-{{ event_time.format('%Y.%m.%d') }}",
        "event_time_bounds": {"past": "1ms", "future": "1ms"},
    }));
    let ran = narrow.run();
    assert_eq!(ran.account.dead_lettered, 1_000);
    let letter = &ran.letters[0].rejection;
    assert_eq!((letter.class, &*letter.bolt), ("event_time", "index"));
    assert!(
        letter.reason.contains("see event_time_bounds.past"),
        "{}",
        letter.reason
    );
}

#[test]
fn a_name_that_no_index_can_have_is_the_records_fault() {
    let server = server();
    let setup = Setup::new("writing-names", &server)
        .with(&json!({"index": "{{ doc.n < 10 ? 'Bad Name' : 'good' }}"}));
    let ran = setup.run();
    assert_eq!(
        (ran.account.delivered, ran.account.dead_lettered),
        (980, 20)
    );
    assert!(ran.letters.iter().all(|letter| letter.offset < 10));
    assert_eq!(ran.letters[0].rejection.class, "index_name");
    assert_eq!(server.statistics().documents, 980);
}

#[test]
fn no_index_is_made_where_documents_for_missing_ones_are_dropped() {
    let server = server();
    let index = "{{ doc.n < 10 ? 'gone' : 'logs' }}";
    let setup = Setup::new("writing-missing", &server)
        .with(&json!({"index": index, "missing_index": "drop"}));
    let ran = setup.run();
    assert_eq!(ran.account.dropped.values().sum::<u64>(), 1_000);
    assert_eq!(server.statistics().documents, 0);
    let _ = Setup::new("writing-there", &server).run();
    let ran = setup.run();
    assert_eq!(ran.account.already_present, 980);
    assert_eq!(ran.account.dropped.values().sum::<u64>(), 20);
    assert!(
        server
            .documents()
            .iter()
            .all(|document| document.index == "logs")
    );
    assert_eq!(server.statistics().documents, 1_000);
}

#[test]
fn ids_may_follow_from_fields_or_be_left_to_the_cluster() {
    let server = server();
    let setup = Setup::new("writing-ids", &server)
        .with(&json!({"id": "{{ doc.n }}-{{ kafka.partition }}", "routing": "{{ doc.n }}"}));
    setup.run().assert_exact(&setup, &server);
    let ids: BTreeSet<String> = server.documents().into_iter().map(|d| d.id).collect();
    assert!(ids.contains("17-0") && ids.contains("499-1"));
    assert_eq!(ids.len(), 1_000);

    let auto = Setup::new("writing-auto", &server).with(&json!({"index": "auto", "id": "auto"}));
    let ran = auto.run();
    assert_eq!(ran.account.delivered, 1_000);
    assert_eq!(server.statistics().documents, 2_000);
}

#[test]
fn documents_of_a_data_stream_have_a_timestamp() {
    let server = server();
    let setup = Setup::new("writing-stream", &server);
    let setup = Setup {
        index: json!({"data_stream": "logs-app-prod", "flush_interval": "20ms"}),
        ..setup
    };
    setup.run().assert_exact(&setup, &server);
    let documents = server.documents();
    let second = documents
        .iter()
        .map(source)
        .find(|d| d["n"] == 1)
        .expect("it is there");
    assert_eq!(second["@timestamp"], "2026-01-01T00:01:00Z");
    assert_eq!(documents[0].index, "logs-app-prod");
}

/// None began for long before the first body. What comes after it waits until it is asked for, as here by the end.
#[test]
fn a_body_goes_at_once_where_none_began_for_long() {
    let server = server();
    let setup = Setup {
        lanes: 1,
        partitions: 1,
        batch: 100,
        max_in_flight: 300,
        ..Setup::new("writing-at-once", &server)
    }
    .with(&json!({"flush_interval": "1h", "body_bytes": "4MiB"}));
    let run = setup.start();
    wait::until("the first body, and what comes after it", LIMIT, || {
        let account = run.account();
        let is_so = account.delivered > 0 && account.read > account.delivered;
        anyhow::ensure!(is_so, "{account:?}");
        Ok(())
    })
    .expect("the first one does not wait");
    let ran = run.stop();
    assert_eq!(ran.account.delivered, ran.account.read);
    assert!(ran.count("bodies_flushed") <= 3);
}
