//! What the answer for a single document does to its record, and to no other.

use serde_json::json;
use testkit::bulk_server::{Item, ItemFault, RequestFault};

use testkit::sink::{Setup, server};

const ALWAYS: u64 = 1 << 32;

/// No row of the outcome table knows the error, but every document of the index meets it.
#[test]
fn an_index_that_refuses_all_documents_for_one_reason_is_at_fault_and_not_they() {
    let server = server();
    let fault = ItemFault::new(400, "odd_exception", "value [secret] of every document");
    server.fail_items(ALWAYS, |item: &Item<'_>| item.index == "logs", fault);
    let setup = Setup {
        max_in_flight: 200,
        ..Setup::new("items-same", &server)
    };
    let run = setup.start();
    let condition = run.condition("held");
    assert!(
        condition.starts_with("index `logs` takes no documents"),
        "{condition}"
    );
    // The reason may hold what documents do, and a condition is shown to whoever asks.
    assert!(condition.contains(": 400 odd_exception ("), "{condition}");
    // Those that are sent one by one to find out are not at fault either.
    let requests = server.statistics().requests;
    testkit::wait::until("some probes", testkit::sink::LIMIT, || {
        let now = server.statistics().requests;
        anyhow::ensure!(now >= requests + 4, "{requests} {now}");
        Ok(())
    })
    .expect("the index is tried");
    server.heal();
    run.finish().assert_exact(&setup, &server);
}

/// In a body of many indices in turn each one is judged by all of its documents, wherever they stand.
#[test]
fn one_of_many_indices_that_refuses_all_documents_is_at_fault_and_not_they() {
    let server = server();
    let fault = ItemFault::new(400, "odd_exception", "for every document");
    server.fail_items(ALWAYS, |item: &Item<'_>| item.index == "tenant-7", fault);
    let setup = Setup {
        batch: 500,
        ..Setup::new("items-many", &server)
    }
    .with(&json!({"index": "tenant-{{ doc.n % 20 }}", "body_bytes": "1MiB"}));
    let run = setup.start();
    let condition = run.condition("held");
    assert!(
        condition.starts_with("index `tenant-7` takes no documents"),
        "{condition}"
    );
    server.heal();
    run.finish().assert_exact(&setup, &server);
}

#[test]
fn a_document_of_one_of_many_indices_on_which_the_server_fails_is_given_up() {
    let server = server();
    let fault = ItemFault::new(500, "null_pointer_exception", "oh");
    let seven = |item: &Item<'_>| testkit::sink::offset_of(item.source) == 7;
    // More often than it is sent, also where it is alone and that counts for nothing; with an end, so that one that is
    // sent for ever is seen in the end.
    server.fail_items(1_000, seven, fault);
    let setup = Setup {
        // So many that others of its index come beside it each time, however late it is sent again.
        records: 100_000,
        batch: 500,
        max_in_flight: 4_000,
        settings: json!({"retry_initial": "1ms", "retry_max": "5ms", "drain_timeout": "20s"}),
        ..Setup::new("items-many-fault", &server)
    }
    .with(&json!({"index": "tenant-{{ doc.n % 100 }}", "body_bytes": "1MiB"}));
    let ran = setup.run();
    let offsets: Vec<i64> = ran.letters.iter().map(|letter| letter.offset).collect();
    assert_eq!(offsets, [7, 7]);
    assert_eq!(ran.account.delivered, 199_998);
}

/// Those that were refused, the first ones and those that were sent to find out, wait for the index like all
/// others, and not by a back-off of theirs.
#[test]
fn what_an_index_refused_goes_on_when_it_takes_documents() {
    let server = server();
    let closed = ItemFault::new(400, "index_closed_exception", "closed");
    server.fail_items(ALWAYS, |item: &Item<'_>| item.index == "logs", closed);
    let setup = Setup {
        settings: json!({"retry_initial": "1h", "retry_max": "1h"}),
        max_in_flight: 200,
        ..Setup::new("items-goes-on", &server)
    };
    let run = setup.start();
    let _ = run.condition("held");
    let requests = server.statistics().requests;
    testkit::wait::until("some probes", testkit::sink::LIMIT, || {
        let now = server.statistics().requests;
        anyhow::ensure!(now >= requests + 3, "{requests} {now}");
        Ok(())
    })
    .expect("the index is tried");
    server.heal();
    run.finish().assert_exact(&setup, &server);
}

#[test]
fn one_index_that_takes_nothing_holds_up_no_other() {
    let server = server();
    server.fail_items(
        ALWAYS,
        |item: &Item<'_>| item.index == "odd",
        ItemFault::new(404, "index_not_found_exception", "no such index [odd]"),
    );
    let setup = Setup::new("items-one-index", &server)
        .with(&json!({"index": "{{ doc.n == 3 ? 'odd' : 'even' }}"}));
    let run = setup.start();
    let condition = run.condition("held");
    assert!(condition.starts_with("index `odd`"), "{condition}");
    let others = testkit::wait::until("the other documents", testkit::sink::LIMIT, || {
        let delivered = run.account().delivered;
        anyhow::ensure!(delivered == 998, "{delivered}");
        Ok(())
    });
    others.expect("they are not held up");
    assert_eq!(run.conditions().len(), 1);
    server.heal();
    run.finish().assert_exact(&setup, &server);
}

/// A tenth of the records goes to an index that takes nothing, and only as many may wait as are less
/// than that.
#[test]
fn records_that_wait_too_long_for_an_index_are_dead_lettered_where_that_is_wanted() {
    for fault in [
        ItemFault::new(404, "index_not_found_exception", "no such index [odd]"),
        ItemFault::shard_away(),
    ] {
        let server = server();
        let answer = format!("{} {}", fault.status, fault.kind);
        server.fail_items(ALWAYS, |item: &Item<'_>| item.index == "odd", fault);
        let setup = Setup {
            connection: json!({"request_timeout": "600ms"}),
            max_in_flight: 50,
            ..Setup::new("items-on-held", &server)
        }
        .with(&json!({
            "index": "{{ doc.n % 10 == 3 ? 'odd' : 'even' }}",
            "on_held": {"after": "300ms", "then": "dead_letter"},
        }));
        let ran = setup.run();
        let counted = (ran.account.delivered, ran.account.dead_lettered);
        assert_eq!(counted, (900, 100));
        for letter in &ran.letters {
            let rejection = &letter.rejection;
            assert_eq!((letter.offset % 10, rejection.class), (3, "held"));
            let start = format!("the index took no documents for more than 300ms: {answer}");
            assert!(rejection.reason.starts_with(&start), "{}", rejection.reason);
            assert_eq!(rejection.target.as_deref(), Some("odd"));
            assert!(rejection.document_id.is_some());
        }
        // Almost none of them was sent to the server before.
        assert!(ran.count("items_held") < 100, "{}", ran.count("items_held"));
    }
}

/// Every tenth document is one that its index does not take, while it takes the others all the time: of a shard that is
/// full or away, or of a kind of its own. With how that is told while they wait, and when they are given up.
fn refused_in_part() -> [(ItemFault, &'static str, &'static str); 3] {
    let full = "Number of documents in shard [logs][3] exceeds the limit of [2147483519]";
    let model = "no such model [x]";
    [
        (
            ItemFault::new(400, "illegal_argument_exception", full),
            "a shard of index `logs` takes no documents: 400 illegal_argument",
            "its shard of the index took no documents for more than 300ms: 400 illegal_argument_exception",
        ),
        (
            ItemFault::shard_away(),
            "a shard of index `logs` takes no documents: 503 unavailable_shards_exception",
            "its shard of the index took no documents for more than 300ms: 503 unavailable_shards_exception",
        ),
        (
            ItemFault::new(404, "resource_not_found_exception", model),
            "index `logs` does not take some documents: 404 resource_not_found_exception: no such model",
            "the index took others, and none like this one for more than 300ms: 404 resource_not_found_exception",
        ),
    ]
}

fn is_third_of_ten(item: &Item<'_>) -> bool {
    testkit::sink::offset_of(item.source) % 10 == 3
}

#[test]
fn what_an_index_refuses_beside_others_for_long_is_dead_lettered_where_that_is_wanted() {
    for (fault, _, reason) in refused_in_part() {
        let server = server();
        server.fail_items(ALWAYS, is_third_of_ten, fault);
        let setup = Setup {
            // A sixth of it for each answer of a shard that is away.
            connection: json!({"request_timeout": "600ms"}),
            max_in_flight: 50,
            ..Setup::new("items-in-part", &server)
        }
        .with(&json!({"on_held": {"after": "300ms", "then": "dead_letter"}}));
        let ran = setup.run();
        let counted = (ran.account.delivered, ran.account.dead_lettered);
        assert_eq!(counted, (900, 100));
        for letter in &ran.letters {
            let rejection = &letter.rejection;
            assert_eq!((letter.offset % 10, rejection.class), (3, "held"));
            assert!(rejection.reason.starts_with(reason), "{}", rejection.reason);
        }
    }
}

#[test]
fn what_an_index_refuses_beside_others_waits_and_holds_up_nothing_else() {
    for (fault, told, _) in refused_in_part() {
        let server = server();
        server.fail_items(ALWAYS, is_third_of_ten, fault);
        let setup = Setup::new("items-part-waits", &server);
        let run = setup.start();
        let condition = run.condition("held");
        assert!(condition.starts_with(told), "{condition}");
        let others = testkit::wait::until("the other documents", testkit::sink::LIMIT, || {
            let delivered = run.account().delivered;
            anyhow::ensure!(delivered == 900, "{delivered}");
            Ok(())
        });
        others.expect("they are not held up");
        server.heal();
        run.finish().assert_exact(&setup, &server);
    }
}

/// The server waits for the shards as long as it is told to, and with it all that is in the request; some tenants' indices
/// are so.
#[test]
fn indices_with_a_shard_that_is_away_are_told_and_hold_up_no_other() {
    let server = server();
    let is_away = |item: &Item<'_>| matches!(item.index, "tenant-3" | "tenant-5" | "tenant-7");
    server.fail_items(ALWAYS, is_away, ItemFault::shard_away());
    let setup = Setup {
        connection: json!({"request_timeout": "3s"}),
        ..Setup::new("items-shard-away", &server)
    }
    .with(&json!({"index": "tenant-{{ doc.n % 10 }}"}));
    let run = setup.start();
    let condition = run.condition("held");
    let told = "` takes no documents: 503 unavailable_shards_exception: [logs][0] primary shard is not active Timeout: [10s] (";
    assert!(condition.contains(told), "{condition}");
    assert!(
        condition.contains("GET _cluster/allocation/explain"),
        "{condition}"
    );
    let others = testkit::wait::until("the other documents", testkit::sink::LIMIT, || {
        let delivered = run.account().delivered;
        anyhow::ensure!(delivered == 700, "{delivered}");
        Ok(())
    });
    others.expect("they are not held up");
    assert_eq!(run.conditions().len(), 1, "no host is away");
    server.heal();
    let ran = run.finish();
    ran.assert_exact(&setup, &server);
    assert_eq!(ran.count("requests_timed_out"), 0);
    assert_eq!(ran.account.already_present, 0);
}

/// An index for each tenant, and none is made by itself.
#[test]
fn records_of_however_many_indices_are_dead_lettered_where_that_is_wanted() {
    let server = server();
    let missing = ItemFault::new(404, "index_not_found_exception", "no such index");
    server.fail_items(ALWAYS, |_: &Item<'_>| true, missing);
    let setup = Setup::new("items-many-held", &server).with(&json!({
        "index": "tenant-{{ doc.n % 250 }}",
        "on_held": {"after": "300ms", "then": "dead_letter"},
    }));
    let ran = setup.run();
    assert_eq!(
        (ran.account.delivered, ran.account.dead_lettered),
        (0, 1_000)
    );
    let class = |letter: &testkit::sink::Letter| letter.rejection.class;
    assert!(ran.letters.iter().all(|letter| class(letter) == "held"));
}

/// An outage is none of an index, however long it takes.
#[test]
fn an_outage_dead_letters_nothing_whatever_is_wanted_of_held_indices() {
    let server = server();
    server.fail_requests(
        ALWAYS,
        RequestFault::refuse(403, "security_exception", "no"),
    );
    let setup = Setup {
        max_in_flight: 50,
        ..Setup::new("items-on-outage", &server)
    }
    .with(&json!({"on_held": {"after": "0ms", "then": "dead_letter"}}));
    let run = setup.start();
    let _ = run.condition("connecting");
    let requests = server.statistics().requests;
    testkit::wait::until("some more requests", testkit::sink::LIMIT, || {
        anyhow::ensure!(server.statistics().requests >= requests + 3);
        Ok(())
    })
    .expect("the host is tried");
    server.heal();
    run.finish().assert_exact(&setup, &server);
}

/// To one document among others it counts as an attempt; to all it is an outage, which dead-letters
/// nothing.
#[test]
fn a_fault_of_the_server_on_every_document_is_an_outage() {
    let server = server();
    let fault = ItemFault::new(500, "null_pointer_exception", "oh");
    server.fail_items(20_000, |_: &Item<'_>| true, fault);
    let setup = Setup::new("items-faults", &server);
    setup.run().assert_exact(&setup, &server);
}

/// It may be the document that the server fails on; nobody can tell, so it is said.
#[test]
fn a_document_that_is_alone_and_that_the_server_fails_on_is_told() {
    let server = server();
    let fault = ItemFault::new(500, "null_pointer_exception", "oh");
    server.fail_items(ALWAYS, |item: &Item<'_>| item.index == "odd", fault);
    let setup = Setup::new("items-alone", &server)
        .with(&json!({"index": "{{ doc.n == 3 ? 'odd' : 'even' }}"}));
    let run = setup.start();
    let condition = run.condition("failing");
    assert!(
        condition.starts_with(
            "index `odd`: the server fails on every document: 500 null_pointer_exception (its log"
        ),
        "{condition}"
    );
    server.heal();
    run.finish().assert_exact(&setup, &server);
}

/// Also where it is alone in its requests, as on a quiet topic: its pipeline says that it is the document.
#[test]
fn a_document_that_an_ingest_pipeline_refuses_is_rejected() {
    let server = server();
    let fault = ItemFault::new(500, "fail_processor_exception", "debug is not kept");
    // With an end, so that one that is sent for ever is seen in the end.
    server.fail_items(40, |item: &Item<'_>| item.index == "odd", fault);
    let setup = Setup::new("items-pipeline", &server)
        .with(&json!({"index": "{{ doc.n == 3 ? 'odd' : 'even' }}", "body_records": 1}));
    let ran = setup.run();
    let letters = ran.letters.iter().map(|letter| {
        let rejection = &letter.rejection;
        assert!(rejection.reason.contains("debug is not kept"));
        (letter.offset, rejection.class)
    });
    assert_eq!(letters.collect::<Vec<_>>(), [(3, "refused"); 2]);
    assert_eq!((ran.account.delivered, ran.account.retried), (998, 0));
}
