//! What the answer for a single document does to its record, and to no other.

use serde_json::json;
use testkit::bulk_server::{BulkServer, Item, ItemFault};

use crate::support::{Setup, offset_of, origins, server};

/// Lets the document of offset 7 of each partition meet a fault, `times` times each.
fn fail_seven(server: &BulkServer, times: u64, fault: ItemFault) {
    server.fail_items(
        2 * times,
        |item: &Item<'_>| offset_of(item.source) == 7,
        fault,
    );
}

const ALWAYS: u64 = 1 << 32;

#[test]
fn a_document_that_does_not_fit_is_rejected_alone_with_its_reason() {
    for (name, fault, class) in [
        ("items-mapping", ItemFault::mapping(), "mapping"),
        (
            "items-fields",
            ItemFault::new(
                400,
                "illegal_argument_exception",
                "Limit of total fields [1000] has been exceeded",
            ),
            "field_limit",
        ),
        (
            "items-no-object",
            ItemFault::new(
                500,
                "not_x_content_exception",
                "Compressor detection can only be called on some xcontent bytes",
            ),
            "mapping",
        ),
        (
            "items-unknown",
            ItemFault::new(400, "odd_exception", "for no reason"),
            "refused",
        ),
    ] {
        let server = server();
        fail_seven(&server, ALWAYS, fault.clone());
        let setup = Setup::new(name, &server);
        let ran = setup.run();
        assert_eq!(
            (ran.account.delivered, ran.account.dead_lettered),
            (998, 2),
            "{name}"
        );
        assert_eq!(ran.account.retried, 0, "{name}");
        for letter in &ran.letters {
            assert_eq!((letter.offset, letter.rejection.class), (7, class));
            let reason = &letter.rejection.reason;
            assert!(
                reason.contains(&fault.kind) && reason.contains(&fault.reason),
                "{reason}"
            );
            assert_eq!(letter.rejection.target.as_deref(), Some("logs"));
            let id = letter.rejection.document_id.as_deref().expect("an id");
            assert!(id.starts_with("1--Ohq"), "{id}");
        }
        let mut expected = setup.origins();
        expected.retain(|(_, offset)| *offset != 7);
        assert_eq!(origins(&server.documents()), expected);
    }
}

#[test]
fn a_busy_cluster_is_asked_again_until_it_takes_the_document() {
    for (name, fault) in [
        ("items-queue", ItemFault::too_many_requests()),
        (
            "items-shard",
            ItemFault::new(
                503,
                "unavailable_shards_exception",
                "primary shard is not active",
            ),
        ),
        (
            "items-breaker",
            ItemFault::new(429, "circuit_breaking_exception", "Data too large"),
        ),
    ] {
        let server = server();
        // More often than a record may fail by its own fault.
        fail_seven(&server, 8, fault);
        let setup = Setup::new(name, &server);
        let ran = setup.run();
        ran.assert_exact(&setup, &server);
        assert_eq!(ran.account.retried, 16, "{name}");
        assert_eq!(ran.count("items_retried"), 16);
    }
}

#[test]
fn an_index_that_takes_nothing_is_named_and_waited_for() {
    for (name, fault) in [
        (
            "items-missing",
            ItemFault::new(404, "index_not_found_exception", "no such index [logs]"),
        ),
        (
            "items-closed",
            ItemFault::new(400, "index_closed_exception", "closed"),
        ),
        (
            "items-blocked",
            ItemFault::new(
                403,
                "cluster_block_exception",
                "index [logs] blocked by: [FORBIDDEN/8/index write (api)];",
            ),
        ),
        (
            "items-full",
            ItemFault::new(
                429,
                "cluster_block_exception",
                "index [logs] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];",
            ),
        ),
        (
            "items-denied",
            ItemFault::new(403, "security_exception", "action is unauthorized"),
        ),
        (
            "items-alias",
            ItemFault::new(
                400,
                "illegal_argument_exception",
                "no write index is defined for alias [logs]",
            ),
        ),
        (
            "items-same",
            ItemFault::new(400, "odd_exception", "for every document"),
        ),
    ] {
        let server = server();
        let reason = fault.kind.clone();
        server.fail_items(ALWAYS, |item: &Item<'_>| item.index == "logs", fault);
        let setup = Setup {
            max_in_flight: 200,
            ..Setup::new(name, &server)
        };
        let run = setup.start();
        let condition = run.condition("held");
        assert!(
            condition.starts_with("index `logs` takes no documents"),
            "{condition}"
        );
        assert!(condition.contains(&reason), "{condition}");
        assert!(run.account().read <= 300, "{:?}", run.account());
        server.heal();
        let ran = run.finish();
        ran.assert_exact(&setup, &server);
        assert_eq!(ran.account.dead_lettered, 0, "{name}");
        assert!(ran.count("items_held") > 0, "{name}");
    }
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
    let others = testkit::wait::until("the other documents", crate::support::LIMIT, || {
        let delivered = run.account().delivered;
        anyhow::ensure!(delivered == 998, "{delivered}");
        Ok(())
    });
    others.expect("they are not held up");
    assert_eq!(run.conditions().len(), 1);
    server.heal();
    run.finish().assert_exact(&setup, &server);
}

#[test]
fn a_fault_of_the_server_counts_against_a_document_only_where_others_come_through() {
    let fault = ItemFault::new(500, "null_pointer_exception", "oh");
    let server = server_with(fault.clone());
    let setup = Setup {
        // So that a retry is never alone in its request.
        records: 3_000,
        ..Setup::new("items-fault", &server)
    };
    let ran = setup.run();
    assert!(ran.letters.len() <= 2);
    for letter in &ran.letters {
        assert_eq!((letter.offset, letter.rejection.class), (7, "refused"));
        assert!(
            letter
                .rejection
                .reason
                .contains("null_pointer_exception: oh")
        );
        assert_eq!(&*letter.rejection.bolt, "index");
        assert_eq!(letter.rejection.attempts, 5);
    }
    assert_eq!(ran.account.delivered + ran.account.dead_lettered, 6_000);

    // To all: an outage, which dead-letters nothing.
    let down = server_with(fault.clone());
    down.fail_items(20_000, |_: &Item<'_>| true, fault);
    let setup = Setup::new("items-faults", &down);
    setup.run().assert_exact(&setup, &down);
}

/// The document of offset 7 meets the fault ten times.
fn server_with(fault: ItemFault) -> BulkServer {
    let server = server();
    fail_seven(&server, 10, fault);
    server
}
