//! Whole requests that hosts refuse: for one document in them, for an index, or for reasons of the host's own.

use std::time::Duration;

use serde_json::json;
use testkit::bulk_server::{BulkServer, Options, Request, RequestFault};
use testkit::sink::{Setup, server};

use crate::requests::{ALWAYS, has_seven};

/// By a firewall before the server, or a gateway that cannot read it: its batch-mates arrive, and nobody is sent to look
/// at passwords. It waits as what its index refuses does, for as long as is wanted.
#[test]
fn a_document_for_which_whole_requests_are_refused_is_told_and_waits_alone() {
    for (name, status) in [("requests-403-one", 403), ("requests-502-one", 502)] {
        let server = BulkServer::start(Options {
            delay: Duration::from_millis(2),
            ..Options::default()
        })
        .expect("a free port");
        let seven = |request: &Request<'_>| has_seven(request.body);
        let fault = RequestFault::refuse(status, "", "");
        server.fail_requests_if(ALWAYS, seven, fault);
        let setup = Setup {
            partitions: 1,
            records: 60_000,
            max_in_flight: 400,
            settings: json!({"retry_initial": "1ms", "retry_max": "5ms", "drain_timeout": "20s"}),
            ..Setup::new(name, &server)
        }
        .with(&json!({
            "body_records": 20, "on_held": {"after": "3s", "then": "dead_letter"},
        }));
        let run = setup.start();
        let condition = run.condition("held");
        let start = format!("index `logs` does not take some documents: {status} ");
        assert!(condition.starts_with(&start), "{condition}");
        assert!(condition.contains("such as a firewall"), "{condition}");
        assert!(!condition.contains("auth"), "{condition}");
        let ran = run.finish();
        let letters = ran.letters.iter().map(|letter| {
            let rejection = &letter.rejection;
            let start = "the index took others, and none like this one for more than 3s: ";
            assert!(rejection.reason.starts_with(start), "{rejection:?}");
            assert_eq!(rejection.target.as_deref(), Some("logs"));
            (letter.offset, rejection.class)
        });
        assert_eq!(letters.collect::<Vec<_>>(), [(7, "held")], "{name}");
        let others = ran.account.delivered + ran.account.already_present;
        assert_eq!(others, 59_999, "{name}");
    }
}

/// A start with one such document in the only body that there is: nothing is known of the host yet, and no other body
/// finds out that it takes the rest.
#[test]
fn a_document_for_which_the_only_body_is_refused_from_the_start_on_waits_alone() {
    let server = server();
    let seven = |request: &Request<'_>| has_seven(request.body);
    server.fail_requests_if(ALWAYS, seven, RequestFault::refuse(403, "", ""));
    let setup = Setup {
        lanes: 1,
        partitions: 1,
        records: 20_000,
        max_in_flight: 40,
        settings: json!({"retry_initial": "1ms", "retry_max": "5ms", "drain_timeout": "20s"}),
        ..Setup::new("requests-403-start", &server)
    }
    .with(&json!({"on_held": {"after": "1s", "then": "dead_letter"}}));
    let run = setup.start();
    let condition = run.condition("held");
    let start = "index `logs` does not take some documents: 403 ";
    assert!(condition.starts_with(start), "{condition}");
    let ran = run.finish();
    let letters = ran.letters.iter();
    let letters = letters.map(|letter| (letter.offset, letter.rejection.class));
    assert_eq!(letters.collect::<Vec<_>>(), [(7, "held")]);
    let others = ran.account.delivered + ran.account.already_present;
    assert_eq!(others, 19_999);
}

/// A proxy that knows which indices one may write to: what all of its documents meet is no document's fault.
#[test]
fn an_index_for_which_whole_requests_are_refused_is_held_and_holds_up_no_other() {
    let server = server();
    let of_closed =
        |request: &Request<'_>| String::from_utf8_lossy(request.body).contains("\"closed\"");
    server.fail_requests_if(ALWAYS, of_closed, RequestFault::refuse(403, "", ""));
    let setup = Setup {
        records: 3_000,
        max_in_flight: 3_000,
        settings: json!({"retry_initial": "1ms", "retry_max": "20ms", "drain_timeout": "20s"}),
        ..Setup::new("requests-403-index", &server)
    }
    .with(&json!({"index": "{{ doc.n % 100 == 7 ? 'closed' : 'open' }}", "body_records": 30}));
    let run = setup.start();
    let condition = run.condition("held");
    assert!(condition.contains("index `closed` "), "{condition}");
    let others = testkit::wait::until("the other documents", testkit::sink::LIMIT, || {
        let delivered = run.account().delivered;
        anyhow::ensure!(delivered >= 5_940, "{delivered}");
        Ok(())
    });
    others.expect("they are not held up");
    server.heal();
    run.finish().assert_exact(&setup, &server);
}

/// Whatever a host answers to all requests from some time on, and to every other one, it is no document's fault.
#[test]
fn a_host_that_refuses_requests_of_any_documents_dead_letters_nothing() {
    for (name, status, every) in [
        ("requests-403-all", 403, 1),
        ("requests-502-all", 502, 1),
        ("requests-502-half", 502, 2),
    ] {
        let server = server();
        let mut asked = 0_u64;
        let after_some = move |_: &Request<'_>| {
            asked += 1;
            asked > 3 && asked.is_multiple_of(every)
        };
        let fault = RequestFault::refuse(status, "", "");
        // Half of them until all are through; all until it is told.
        server.fail_requests_if(if every == 1 { ALWAYS } else { 300 }, after_some, fault);
        let setup = Setup {
            max_in_flight: 100,
            ..Setup::new(name, &server)
        };
        let run = setup.start();
        if every == 1 {
            let condition = run.condition("connecting");
            assert!(condition.contains(&status.to_string()), "{condition}");
            assert_eq!(
                condition.contains("check `auth`"),
                status == 403,
                "{condition}"
            );
            server.heal();
        }
        run.finish().assert_exact(&setup, &server);
    }
}
