//! Every row of the outcome table, one after the other: the stand-in answers what the row says, and
//! what the row's class promises is what becomes of the records, counted at both ends.

use std::time::Duration;

use isobar_operators::outcome::{Action, Level, Row, TABLE};
use serde_json::json;
use testkit::bulk_server::{BulkServer, Item, ItemFault, Request, RequestFault};
use testkit::sink::{Ran, Setup, offset_of, origins, server, source};

const ALWAYS: u64 = 1 << 32;

/// Tries the rows of some actions, at least so many.
fn each(
    level: Level,
    at_least: usize,
    actions: impl Fn(Action) -> bool,
    check: impl Fn(&'static Row),
) {
    let rows = TABLE.iter().filter(|row| row.level == level);
    let rows: Vec<&Row> = rows.filter(|row| actions(row.class.action())).collect();
    assert!(rows.len() >= at_least, "{rows:?}");
    rows.into_iter().for_each(check);
}

/// An answer that the row fits, and no row before it.
fn words(row: &Row) -> (u16, &'static str, &'static str) {
    let or = |given: &'static str, else_: &'static str| match given {
        "" => else_,
        given => given,
    };
    let kind = or(row.kind, "odd_exception");
    (*row.status.start(), kind, or(row.reason, "for a reason"))
}

fn item_fault(row: &Row) -> ItemFault {
    let (status, kind, reason) = words(row);
    match row.id {
        "failure_store" => ItemFault::failure_store(),
        _ => ItemFault::new(status, kind, reason),
    }
}

/// Lets the document of offset 7 of each partition meet a fault, `times` times each.
fn fail_seven(server: &BulkServer, times: u64, fault: ItemFault) {
    let seven = |item: &Item<'_>| offset_of(item.source) == 7;
    server.fail_items(2 * times, seven, fault);
}

fn has_seven(request: &Request<'_>) -> bool {
    String::from_utf8_lossy(request.body).contains("\"n\":7,")
}

#[test]
fn documents_that_can_never_be_indexed_are_rejected_alone_with_their_reasons() {
    let rejects = |action| matches!(action, Action::Reject(_));
    each(Level::Item, 14, rejects, |row| {
        let server = server();
        fail_seven(&server, ALWAYS, item_fault(row));
        // Where names follow from records, a bad one is its record's fault.
        let setup = Setup::new("outcomes-reject", &server)
            .with(&json!({"index": "{{ doc.n >= 0 ? 'logs' : 'none' }}"}));
        let ran = setup.run();
        let counted = (ran.account.delivered, ran.account.dead_lettered);
        assert_eq!(counted, (998, 2), "{}", row.id);
        assert_eq!(ran.account.retried, 0, "{}", row.id);
        let Action::Reject(class) = row.class.action() else {
            unreachable!("chosen by it")
        };
        for letter in &ran.letters {
            let rejection = &letter.rejection;
            assert_eq!((letter.offset, rejection.class), (7, class), "{}", row.id);
            let (_, kind, reason) = words(row);
            let told = rejection.reason.contains(kind) && rejection.reason.contains(reason);
            assert!(
                told || row.id == "failure_store",
                "{}: {}",
                row.id,
                rejection.reason
            );
            assert_eq!(rejection.target.as_deref(), Some("logs"));
            let id = rejection.document_id.as_deref().expect("an id");
            assert!(id.starts_with("1--Ohq"), "{id}");
        }
        let mut expected = setup.origins();
        expected.retain(|(_, offset)| *offset != 7);
        assert_eq!(origins(&server.documents()), expected);
    });
}

#[test]
fn documents_that_a_busy_cluster_refuses_are_sent_until_it_takes_them() {
    let retries = |action| action == Action::RetryItem;
    each(Level::Item, 6, retries, |row| {
        let server = server();
        // More often than a record may fail by its own fault.
        fail_seven(&server, 8, item_fault(row));
        let setup = Setup::new("outcomes-retry", &server);
        let ran = setup.run();
        ran.assert_exact(&setup, &server);
        assert_eq!(ran.account.retried, 16, "{}", row.id);
        assert_eq!(ran.count("items_retried"), 16, "{}", row.id);
    });
}

#[test]
fn an_index_that_takes_nothing_is_named_with_what_can_be_done_and_waited_for() {
    let holds = |action| action == Action::HoldTarget;
    each(Level::Item, 15, holds, |row| {
        let server = server();
        server.fail_items(
            ALWAYS,
            |item: &Item<'_>| item.index == "logs",
            item_fault(row),
        );
        let setup = Setup {
            max_in_flight: 200,
            ..Setup::new("outcomes-hold", &server)
        };
        let run = setup.start();
        let condition = run.condition("held");
        let start = "index `logs` takes no documents";
        assert!(condition.starts_with(start), "{}: {condition}", row.id);
        assert!(condition.contains(words(row).1), "{}: {condition}", row.id);
        assert!(run.account().read <= 300, "{:?}", run.account());
        server.heal();
        let ran = run.finish();
        ran.assert_exact(&setup, &server);
        assert!(ran.count("items_held") > 0, "{}", row.id);
    });
}

#[test]
fn documents_that_are_there_already_count_as_such() {
    let present = |action| action == Action::AlreadyPresent;
    each(Level::Item, 1, present, |row| {
        let server = server();
        fail_seven(&server, ALWAYS, item_fault(row));
        let ran = Setup::new("outcomes-present", &server).run();
        let counted = (ran.account.delivered, ran.account.already_present);
        assert_eq!(counted, (998, 2), "{}", row.id);
    });
}

#[test]
fn documents_on_which_the_server_fails_are_given_up_when_others_come_through() {
    let counts = |action| action == Action::CountAttempt;
    each(Level::Item, 1, counts, |row| {
        let server = server();
        fail_seven(&server, ALWAYS, item_fault(row));
        let setup = Setup {
            // Others pass all the time: a retry that is alone in its request does not count.
            records: 20_000,
            max_in_flight: 300,
            settings: json!({"retry_initial": "1ms", "retry_max": "5ms", "drain_timeout": "20s"}),
            ..Setup::new("outcomes-fault", &server)
        };
        let ran = setup.run();
        assert_eq!(ran.letters.len(), 2, "{}", row.id);
        for letter in &ran.letters {
            assert_eq!((letter.offset, letter.rejection.class), (7, "refused"));
            assert!(letter.rejection.reason.contains(words(row).1));
            assert_eq!(letter.rejection.attempts, 5);
            let index = letter.rejection.target.as_deref();
            assert_eq!(index, Some("logs"), "{}", row.id);
            assert!(letter.rejection.document_id.is_some(), "{}", row.id);
        }
        assert_eq!(ran.account.delivered, 39_998, "{}", row.id);
    });
}

#[test]
fn what_is_stored_is_delivered() {
    let delivers = |action| matches!(action, Action::Deliver);
    each(Level::Item, 1, delivers, |_| {
        let server = server();
        let setup = Setup::new("outcomes-stored", &server);
        let ran = setup.run();
        ran.assert_exact(&setup, &server);
        assert_eq!((ran.account.delivered, ran.account.retried), (1_000, 0));
    });
}

#[test]
fn requests_that_fail_are_sent_again_and_store_nothing_twice() {
    let again = |action| {
        matches!(
            action,
            Action::RetryItem | Action::AskAnother | Action::RetrySmaller
        )
    };
    each(Level::Request, 8, again, |row| {
        let (status, kind, reason) = words(row);
        sent_again(row, &RequestFault::refuse(status, kind, reason), false);
    });
    each(Level::Connection, 5, again, |row| match row.id {
        "unconnected" => a_host_that_is_away(row),
        "broken" => {
            sent_again(row, &RequestFault::CutBefore, false);
            sent_again(row, &RequestFault::CutAfter, true);
            sent_again(row, &RequestFault::CutReply, true);
        }
        "timed_out" => sent_again(row, &RequestFault::Delay(Duration::from_secs(30)), true),
        "item_count" => sent_again(row, &RequestFault::ItemsMissing(3), true),
        "unreadable" => sent_again(row, &RequestFault::NotJson, true),
        id => panic!("the stand-in does not know how to do {id}"),
    });
}

fn sent_again(row: &Row, fault: &RequestFault, stored_before: bool) {
    let server = server();
    server.fail_requests(6, fault.clone());
    let setup = Setup {
        connection: json!({"request_timeout": "300ms"}),
        ..Setup::new("outcomes-again", &server)
    };
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    assert_eq!(server.statistics().faulted_requests, 6, "{}", row.id);
    let counted = [
        "requests_busy",
        "requests_unavailable",
        "requests_unanswered",
        "requests_timed_out",
        "requests_unreadable",
    ];
    let counted: u64 = counted.iter().map(|name| ran.count(name)).sum();
    assert_eq!(counted, 6, "{}", row.id);
    assert!(ran.account.retried > 0, "{}", row.id);
    assert_eq!(ran.account.already_present > 0, stored_before, "{}", row.id);
}

fn a_host_that_is_away(row: &Row) {
    let mut server = server();
    let setup = Setup {
        max_in_flight: 100,
        ..Setup::new("outcomes-away", &server)
    };
    let run = setup.start();
    testkit::wait::until("a document", testkit::sink::LIMIT, || {
        anyhow::ensure!(server.statistics().documents > 0);
        Ok(())
    })
    .expect("it begins");
    server.close();
    if run.account().read < 1_000 {
        // Cut connections are reset, new ones are refused: what comes first is said.
        let condition = run.condition("connecting");
        assert!(
            condition.contains(&server.address()),
            "{}: {condition}",
            row.id
        );
    }
    server.reopen().expect("its port is free");
    run.finish().assert_exact(&setup, &server);
}

#[test]
fn requests_that_nobody_understands_reject_nothing_and_say_what_to_change() {
    let holds = |action| matches!(action, Action::HoldConnection | Action::ClientBug);
    let check = |status: u16, kind: &str, reason: &str, condition: &str, told: &str| {
        let server = server();
        server.fail_requests(ALWAYS, RequestFault::refuse(status, kind, reason));
        let setup = Setup {
            max_in_flight: 200,
            ..Setup::new("outcomes-hold-connection", &server)
        };
        let run = setup.start();
        let text = run.condition(condition);
        assert!(
            text.contains(&status.to_string()) && text.contains(told),
            "{text}"
        );
        assert!(run.account().read <= 300, "{:?}", run.account());
        server.heal();
        run.finish().assert_exact(&setup, &server);
    };
    each(Level::Request, 6, holds, |row| {
        let (status, kind, reason) = words(row);
        check(status, kind, reason, "connecting", reason);
    });
    // A refusal that is no server's, as its body is empty.
    check(400, "", "", "connecting", "");
    // What no row knows.
    check(404, "", "", "connecting", "");
    check(302, "", "", "connecting", "");
    // As long as no request is understood, none of its documents is at fault.
    let kind = "illegal_argument_exception";
    let told = "400 illegal_argument_exception; records wait";
    check(400, kind, "Malformed [secret]", "refused", told);
}

#[test]
fn a_proxy_that_begins_to_refuse_what_servers_took_rejects_nothing() {
    rejects_nothing("outcomes-proxy", RequestFault::refuse(400, "", ""));
    let text = RequestFault::RefuseInWords(400, "quota of the tenant");
    rejects_nothing("outcomes-gateway", text);
}

fn rejects_nothing(name: &'static str, fault: RequestFault) {
    let server = server();
    let setup = Setup {
        max_in_flight: 100,
        ..Setup::new(name, &server)
    };
    let mut asked = 0;
    let after_some = move |_: &Request<'_>| {
        asked += 1;
        asked > 3
    };
    server.fail_requests_if(4, after_some, fault);
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    assert_eq!(server.statistics().faulted_requests, 4);
    assert_eq!(
        (ran.account.dead_lettered, ran.account.retried > 0),
        (0, true)
    );
}

/// With a type, as a server does whose settings were changed: neither the documents nor the first few requests
/// that were understood before are what it is about.
#[test]
fn a_server_that_begins_to_refuse_every_request_rejects_nothing_and_is_told() {
    for (name, body_records) in [("outcomes-setting", 1_000), ("outcomes-setting-one", 1)] {
        let server = server();
        let mut asked = 0;
        let after_some = move |_: &Request<'_>| {
            asked += 1;
            asked > 3
        };
        let reason = "explicit index in bulk is not allowed";
        let fault = RequestFault::refuse(400, "illegal_argument_exception", reason);
        server.fail_requests_if(ALWAYS, after_some, fault);
        let setup = Setup {
            max_in_flight: 100,
            ..Setup::new(name, &server)
        }
        .with(&json!({"body_records": body_records}));
        let run = setup.start();
        let condition = run.condition("refused");
        assert!(
            condition.contains("400 illegal_argument_exception"),
            "{condition}"
        );
        testkit::wait::until("some more refusals", testkit::sink::LIMIT, || {
            anyhow::ensure!(server.statistics().faulted_requests >= 300);
            Ok(())
        })
        .expect("it is tried");
        server.heal();
        run.finish().assert_exact(&setup, &server);
    }
}

/// As in a rolling restart: what one host does not understand the other one takes.
#[test]
fn one_host_that_begins_to_refuse_every_request_rejects_nothing_and_is_told() {
    let (restarted, other) = (server(), server());
    let fault = RequestFault::refuse(400, "illegal_argument_exception", "not allowed");
    restarted.fail_requests(ALWAYS, fault);
    let setup = Setup {
        hosts: vec![restarted.url(), other.url()],
        ..Setup::new("outcomes-restarted", &other)
    };
    let run = setup.start();
    let condition = run.condition("not_understood");
    let url = restarted.url();
    let told = format!(
        "host {} understands no bulk request: 400 illegal_argument_exception; other hosts",
        url.trim_end_matches('/')
    );
    assert!(condition.starts_with(&told), "{condition}");
    run.finish().assert_exact(&setup, &other);
}

/// While the other one is away now and then, documents are left alone with the one that takes nothing.
#[test]
fn what_one_host_refuses_while_the_other_is_away_waits_for_that_one() {
    let (restarted, other) = (server(), server());
    let fault = RequestFault::refuse(400, "illegal_argument_exception", "not allowed");
    restarted.fail_requests(ALWAYS, fault);
    let is_away = |request: &Request<'_>| request.number % 3 == 2;
    other.fail_requests_if(40, is_away, RequestFault::unavailable());
    let setup = Setup {
        hosts: vec![restarted.url(), other.url()],
        ..Setup::new("outcomes-away-meanwhile", &other)
    };
    let ran = setup.run();
    ran.assert_exact(&setup, &other);
    assert!(other.statistics().faulted_requests > 0);
    assert!(ran.account.retried > 0, "{:?}", ran.account);
}

#[test]
fn a_document_that_alone_is_not_understood_is_given_up_while_others_are() {
    let server = server();
    let fault = RequestFault::refuse(400, "illegal_argument_exception", "Malformed");
    server.fail_requests_if(ALWAYS, has_seven, fault);
    let setup = Setup {
        records: 5_000,
        settings: json!({"retry_initial": "1ms", "retry_max": "5ms", "drain_timeout": "20s"}),
        ..Setup::new("outcomes-alone", &server)
    }
    .with(&json!({"body_records": 1}));
    let ran = setup.run();
    let letters = ran.letters.iter().map(|letter| {
        let rejection = &letter.rejection;
        (letter.offset, rejection.class, rejection.attempts)
    });
    assert_eq!(letters.collect::<Vec<_>>(), [(7, "refused", 5); 2]);
    assert_eq!(ran.account.delivered, 9_998);
}

#[test]
fn requests_that_are_too_much_are_halved_until_the_document_at_fault_stands_alone() {
    let splits = |action| matches!(action, Action::Split(_));
    each(Level::Request, 2, splits, |row| {
        let server = server();
        let (status, kind, reason) = words(row);
        let empty = row.id == "body_too_large";
        let fault = RequestFault::refuse(status, if empty { "" } else { kind }, reason);
        server.fail_requests_if(ALWAYS, has_seven, fault);
        let setup = Setup::new("outcomes-split", &server);
        let ran = setup.run();
        let counted = (ran.account.delivered, ran.account.dead_lettered);
        assert_eq!(counted, (998, 2), "{}", row.id);
        for letter in &ran.letters {
            let class = letter.rejection.class;
            assert_eq!(
                (letter.offset, Action::Split(class)),
                (7, row.class.action())
            );
        }
        let documents = server.documents();
        assert!(documents.iter().all(|document| source(document)["n"] != 7));
    });
    each(Level::Connection, 1, splits, |row| {
        let server = server();
        let long = "because ".repeat(1_000);
        let fault = ItemFault::new(429, "es_rejected_execution_exception", &long);
        server.fail_items(1_500, |_: &Item<'_>| true, fault);
        let setup = Setup::new("outcomes-long", &server);
        let ran = setup.run();
        ran.assert_exact(&setup, &server);
        assert!(ran.count("requests_too_large") > 0, "{}", row.id);
        one_with_an_endless_reason(row);
    });
}

/// A document that is left alone is not sent for ever, and costs no host.
fn one_with_an_endless_reason(row: &Row) {
    let server = server();
    let long = "because ".repeat(20_000);
    fail_seven(
        &server,
        ALWAYS,
        ItemFault::new(400, "document_parsing_exception", &long),
    );
    let setup = Setup::new("outcomes-endless", &server);
    let ran = setup.run();
    assert_all_but_two(&ran);
    for letter in &ran.letters {
        let class = letter.rejection.class;
        assert_eq!(
            (letter.offset, Action::Split(class)),
            (7, row.class.action())
        );
    }
}

/// The others are stored by the request whose reply is too long, and found by what is left of it.
fn assert_all_but_two(ran: &Ran) {
    let account = &ran.account;
    let settled = account.delivered + account.already_present;
    assert_eq!((settled, account.dead_lettered), (998, 2), "{account:?}");
    assert_eq!(account.retried, 0);
}

/// As servers quote it: the whole value, and once more in the cause.
#[test]
fn a_document_that_is_refused_at_length_is_classed_and_costs_no_host() {
    let server = server();
    let quoted = "x".repeat(200_000);
    fail_seven(
        &server,
        ALWAYS,
        ItemFault::new(400, "document_parsing_exception", &quoted),
    );
    let setup = Setup {
        payload: |offset| match offset {
            7 => format!("{{\"n\":7,\"text\":\"{}\"}}", "x".repeat(100_000)),
            offset => format!("{{\"n\":{offset}}}"),
        },
        ..Setup::new("outcomes-quoted", &server)
    }
    .with(&json!({"body_bytes": "4MiB", "body_records": 50}));
    let ran = setup.run();
    assert_all_but_two(&ran);
    let classes: Vec<_> = ran.letters.iter().map(|one| one.rejection.class).collect();
    assert_eq!(classes, ["mapping"; 2]);
    assert!(ran.count("requests_too_large") > 0);
    assert_eq!(ran.count("requests_unreadable"), 0);
}

#[test]
fn requests_that_were_worked_off_are_read() {
    let reads = |action| matches!(action, Action::ReadItems);
    each(Level::Request, 1, reads, |_| {
        let server = server();
        server.fail_items(100, |_: &Item<'_>| true, ItemFault::too_many_requests());
        let setup = Setup::new("outcomes-read", &server);
        let ran = setup.run();
        ran.assert_exact(&setup, &server);
        assert_eq!(ran.account.retried, 100);
    });
}
