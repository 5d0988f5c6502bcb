//! What happens to whole requests: cut, late, unreadable, too large; hosts that are away, and
//! things that are no search cluster at all.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use isobar_topology::Account;
use serde_json::json;
use testkit::bulk_server::{BulkServer, ItemFault, Options, Request, RequestFault};
use testkit::{ports, wait};

use testkit::sink::{LIMIT, Setup, server};

pub const ALWAYS: u64 = 1 << 32;

#[test]
fn a_host_that_is_away_is_left_out() {
    let (mut away, server) = (server(), server());
    away.close();
    let mut setup = Setup::new("requests-two-hosts", &server);
    setup.hosts.insert(0, away.url());
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    // What one host did not take went to the other within the same request.
    assert_eq!(ran.account.retried, 0);
    assert!(ran.count("requests_unanswered") > 0);
    let asked: Vec<_> = ran
        .times
        .iter()
        .map(|(host, times)| (host.to_string(), times.count()))
        .collect();
    let answered = server.statistics().requests;
    assert_eq!(asked, [(away.url(), 0), (server.url(), answered)]);
}

#[test]
fn a_host_that_comes_back_is_used_again() {
    let (mut one, two) = (server(), server());
    let mut setup = Setup {
        max_in_flight: 100,
        records: 3_000,
        ..Setup::new("requests-back", &two)
    };
    setup.hosts.insert(0, one.url());
    one.close();
    let run = setup.start();
    let condition = run.condition("connecting");
    assert!(
        condition.contains("the other hosts (1) are used meanwhile"),
        "{condition}"
    );
    one.reopen().expect("its port is free");
    let ran = run.finish();
    assert_eq!(ran.account.delivered, 6_000);
    let both = one.statistics().documents + two.statistics().documents;
    assert_eq!(both, 6_000);
}

/// A request that finds out that a host still refuses all that comes failed for no reason of its own: its
/// records go on with the others, and not by a back-off of theirs.
#[test]
fn what_found_out_that_a_host_still_refuses_goes_on_when_it_does_not() {
    let mut server = server();
    let setup = Setup {
        settings: json!({"retry_initial": "1h", "retry_max": "1h"}),
        max_in_flight: 100,
        records: 20_000,
        ..Setup::new("requests-still-refuses", &server)
    };
    let run = setup.start();
    let until = |what: &str, is_so: &dyn Fn(&Account) -> bool| {
        let waited = wait::until(what, LIMIT, || {
            let account = run.account();
            anyhow::ensure!(is_so(&account), "{account:?}");
            Ok(())
        });
        waited.expect("it comes to that");
    };
    until("a document", &|account| account.delivered > 0);
    run.pause();
    until("nothing to be under way", &|account| account.in_flight == 0);
    assert!(run.account().read < 40_000, "there is more to be read");
    server.close();
    run.resume();
    let _ = run.condition("connecting");
    server.fail_requests(ALWAYS, RequestFault::unavailable());
    server.reopen().expect("its port is free");
    wait::until("some refusals", LIMIT, || {
        let refused = server.statistics().faulted_requests;
        anyhow::ensure!(refused >= 3, "{refused}");
        Ok(())
    })
    .expect("it is tried");
    server.heal();
    run.finish().assert_exact(&setup, &server);
}

#[test]
fn with_no_host_nothing_is_lost_and_little_is_read() {
    let mut server = server();
    server.close();
    let setup = Setup {
        max_in_flight: 200,
        ..Setup::new("requests-no-host", &server)
    };
    let run = setup.start();
    let condition = run.condition("opening");
    assert!(condition.contains(&server.url()), "{condition}");
    assert!(condition.contains("refused"), "{condition}");
    assert!(run.account().read <= 300, "{:?}", run.account());
    server.reopen().expect("its port is free");
    run.finish().assert_exact(&setup, &server);
}

#[test]
fn an_outage_under_load_dead_letters_nothing() {
    let mut server = server();
    let setup = Setup {
        max_in_flight: 300,
        records: 4_000,
        ..Setup::new("requests-outage", &server)
    };
    let run = setup.start();
    for _ in 0..3 {
        let stored = server.statistics().documents;
        let more = testkit::wait::until("more documents", testkit::sink::LIMIT, || {
            let now = server.statistics().documents;
            anyhow::ensure!(now > stored || now == 8_000, "{now}");
            Ok(())
        });
        more.expect("it goes on");
        server.close();
        let read = run.account().read;
        if read < 8_000 {
            let _ = run.condition("connecting");
        }
        assert!(run.account().in_flight <= 400, "{:?}", run.account());
        server.reopen().expect("its port is free");
    }
    run.finish().assert_exact(&setup, &server);
}

/// By its back-off alone, what is held would come back within the hour.
#[test]
fn what_is_held_is_sent_as_soon_as_a_host_answers_again() {
    const HELD: u64 = 2_000;
    let mut server = server();
    let is_too_much = |request: &Request<'_>| request.under_way > 4;
    server.fail_requests_if(ALWAYS, is_too_much, RequestFault::too_many_requests());
    let setup = Setup {
        max_in_flight: HELD as usize,
        records: 40_000,
        settings: json!({"retry_initial": "1h", "retry_max": "1h"}),
        ..Setup::new("requests-held", &server)
    }
    .with(&json!({"requests_per_lane": 2}));
    let run = setup.start();
    let in_flight = |sound: fn(u64) -> bool| {
        testkit::wait::until("so many in flight", testkit::sink::LIMIT, || {
            let account = run.account();
            anyhow::ensure!(sound(account.in_flight), "{account:?}");
            Ok(account.read)
        })
        .expect("they are")
    };
    // Nothing is under way when the host goes away, so that all is held and none of it fails.
    let _ = in_flight(|records| records > 0);
    run.pause();
    let read = in_flight(|records| records == 0);
    assert!(read + HELD <= 80_000, "{read} were read before the pause");
    server.close();
    run.resume();
    let _ = run.condition("connecting");
    // Also what was read last has come to the sink.
    testkit::wait::until("so many held", testkit::sink::LIMIT, || {
        anyhow::ensure!(run.held() >= HELD, "{}", run.held());
        Ok(())
    })
    .expect("they are");
    server.reopen().expect("its port is free");
    let began = testkit::wait::now();
    let ran = run.finish();
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    ran.assert_exact(&setup, &server);
    assert!(ran.account.retried >= HELD, "{:?}", ran.account);
    // No more at one time than ever.
    assert_eq!(server.statistics().faulted_requests, 0);
}

#[test]
fn a_stop_while_the_cluster_is_away_hands_back_what_is_open() {
    let server = server();
    server.fail_requests(ALWAYS, RequestFault::unavailable());
    let setup = Setup {
        settings: json!({"retry_initial": "5ms", "retry_max": "50ms", "drain_timeout": "200ms"}),
        ..Setup::new("requests-stop", &server)
    };
    let run = setup.start();
    let _ = run.condition("connecting");
    let ran = run.stop_with_open_records();
    assert_eq!(ran.account.handed_back, ran.account.read);
    assert!(ran.letters.is_empty());
    assert_eq!(server.statistics().documents, 0);
}

#[test]
fn a_body_that_is_too_large_is_halved_and_a_document_that_is_too_large_rejected() {
    let server = server();
    let limit = 2_000;
    let too_large = move |request: &Request<'_>| request.body.len() > limit;
    server.fail_requests_if(ALWAYS, too_large, RequestFault::too_large());
    let setup = Setup::new("requests-413", &server);
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    assert_eq!(ran.account.retried, 0);
    assert!(ran.count("requests_too_large") > 0);

    server.heal();
    let seven = |request: &Request<'_>| has_seven(request.body);
    server.fail_requests_if(ALWAYS, seven, RequestFault::too_large());
    let setup = Setup::new("requests-413-one", &server).with(&json!({"index": "other"}));
    let ran = setup.run();
    assert_eq!((ran.account.delivered, ran.account.dead_lettered), (998, 2));
    for letter in &ran.letters {
        assert_eq!((letter.offset, letter.rejection.class), (7, "too_large"));
    }
}

/// As where a proxy before one of them takes less.
#[test]
fn a_document_that_is_too_large_for_one_host_goes_to_another_and_waits_while_that_is_away() {
    let (small, mut other) = (server(), server());
    let seven = |request: &Request<'_>| has_seven(request.body);
    small.fail_requests_if(ALWAYS, seven, RequestFault::too_large());
    let mut setup = Setup {
        hosts: vec![small.url(), other.url()],
        ..Setup::new("requests-413-other", &other)
    };
    let ran = setup.run();
    let settled = ran.account.delivered + ran.account.already_present;
    assert_eq!((settled, ran.account.dead_lettered), (1_000, 0));
    assert_eq!(ran.account.retried, 0);
    let found = other.documents();
    assert_eq!(found.iter().filter(|one| has_seven(&one.source)).count(), 2);

    other.close();
    setup.name = "requests-413-away";
    let run = setup.with(&json!({"index": "away"})).start();
    wait::until("the other documents", LIMIT, || {
        let account = run.account();
        anyhow::ensure!(account.delivered == 998, "{account:?}");
        Ok(())
    })
    .expect("they are taken");
    wait::until("what they wait for", LIMIT, || {
        let conditions = run.conditions();
        let told = "a document waits, as the other hosts (1) take no request of its ";
        let is_told = conditions.iter().any(|text| text.contains(told));
        anyhow::ensure!(is_told, "{conditions:?}");
        Ok(())
    })
    .expect("it is told");
    other.reopen().expect("its port is free");
    wait::until("that it is over", LIMIT, || {
        let conditions = run.conditions();
        anyhow::ensure!(conditions.is_empty(), "{conditions:?}");
        Ok(())
    })
    .expect("nothing waits any more");
    let ran = run.finish();
    assert_eq!(
        (ran.account.delivered, ran.account.dead_lettered),
        (1_000, 0)
    );

    // What none of them takes is at fault.
    other.fail_requests_if(ALWAYS, seven, RequestFault::too_large());
    let setup = Setup {
        hosts: vec![small.url(), other.url()],
        ..Setup::new("requests-413-both", &other)
    }
    .with(&json!({"index": "both"}));
    let ran = setup.run();
    assert_eq!((ran.account.delivered, ran.account.dead_lettered), (998, 2));
    let classes = ran.letters.iter().map(|letter| letter.rejection.class);
    assert_eq!(classes.collect::<Vec<_>>(), ["too_large"; 2]);
}

#[test]
fn bodies_shrink_until_what_is_on_the_way_lets_them_through() {
    let server = server();
    let too_large = |request: &Request<'_>| request.body.len() > 40_000;
    server.fail_requests_if(ALWAYS, too_large, RequestFault::CutBefore);
    let setup = Setup {
        records: 3_000,
        lanes: 1,
        ..Setup::new("requests-proxy", &server)
    }
    .with(&json!({"body_bytes": "256KiB"}));
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    assert!(ran.account.retried > 0);
}

/// What is on the way takes no more, and breaks off where a server would say so; also where a tenth of all requests
/// breaks off.
#[test]
fn a_document_on_which_the_connection_breaks_each_time_is_told_and_given_up() {
    for (name, every, records) in [
        ("requests-breaks", u64::MAX, 10_000),
        ("requests-breaks-ill", 10, 20_000),
    ] {
        let server = server();
        let too_large = |request: &Request<'_>| request.body.len() > 40_000;
        // More often than it is sent; with an end, so that one that is sent for ever is seen in the end.
        server.fail_requests_if(400, too_large, RequestFault::CutBefore);
        let any = move |request: &Request<'_>| request.number % every == every - 1;
        server.fail_requests_if(ALWAYS, any, RequestFault::CutBefore);
        let setup = Setup {
            records,
            max_in_flight: 400,
            payload: |offset| match offset {
                7 => format!("{{\"n\":7,\"text\":\"{}\"}}", "x".repeat(100_000)),
                offset => format!("{{\"n\":{offset},\"text\":\"{}\"}}", "x".repeat(1_500)),
            },
            settings: json!({"retry_initial": "1ms", "retry_max": "5ms", "drain_timeout": "20s"}),
            ..Setup::new(name, &server)
        }
        .with(&json!({"body_records": 20, "body_bytes": "64KiB"}));
        let run = setup.start();
        let condition = run.condition("breaking");
        for part in [
            "index `logs`: the connection broke each of ",
            " with the id `1--Ohq",
            " bytes",
        ] {
            assert!(condition.contains(part), "{condition}");
        }
        let ran = run.finish();
        let letters = ran
            .letters
            .iter()
            .map(|letter| (letter.offset, letter.rejection.class));
        assert_eq!(letters.collect::<Vec<_>>(), [(7, "too_large"); 2], "{name}");
        let rejection = &ran.letters[0].rejection;
        assert_eq!(rejection.target.as_deref(), Some("logs"));
        assert!(
            rejection
                .reason
                .contains("times that this document was sent alone"),
            "{}",
            rejection.reason
        );
        let others = ran.account.delivered + ran.account.already_present;
        assert_eq!(others, 2 * records as u64 - 2, "{name}");
    }
}

/// A host, or a line to it, that is too slow for a whole body within the time would get none, ever. So would
/// one behind a proxy that waits no longer.
#[test]
fn bodies_shrink_until_they_are_done_in_time() {
    let minute = Duration::from_secs(60);
    for (late, request_timeout) in [
        (RequestFault::Delay(minute), "500ms"),
        (RequestFault::GatewayTimeout(Duration::from_secs(1)), "60s"),
    ] {
        let server = server();
        let too_slow = |request: &Request<'_>| request.body.len() > 40_000;
        server.fail_requests_if(ALWAYS, too_slow, late.clone());
        let setup = Setup {
            connection: json!({ "request_timeout": request_timeout }),
            records: 3_000,
            lanes: 1,
            ..Setup::new("requests-slow", &server)
        }
        .with(&json!({"body_bytes": "256KiB"}));
        let ran = setup.run();
        ran.assert_exact(&setup, &server);
        let times = ran.count("requests_timed_out");
        assert!((1..20).contains(&times), "{late:?}: {times}");
    }
}

/// It has waited for nothing: no request would have been small enough, and the other host takes all.
#[test]
fn a_proxy_that_says_at_once_that_it_has_waited_in_vain_is_a_host_that_is_away() {
    let proxy = server();
    let other = server();
    proxy.fail_requests(ALWAYS, RequestFault::refuse(504, "", ""));
    let setup = Setup {
        hosts: vec![proxy.url(), other.url()],
        ..Setup::new("requests-away-behind", &proxy)
    };
    let ran = setup.run();
    ran.assert_exact(&setup, &other);
    let counted = ["requests_unavailable", "requests_timed_out"].map(|name| ran.count(name));
    assert!(counted[0] > 0 && counted[1] == 0, "{counted:?}");
    assert_eq!(ran.account.retried, 0, "each went to the other at once");
}

#[test]
fn what_is_no_search_cluster_gets_no_document() {
    let port = ports::free().expect("a free port");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("it was free");
    let answered = std::thread::spawn(move || {
        let mut requests = Vec::new();
        // One question by each lane.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut head = [0; 4096];
            let length = stream.read(&mut head).expect("a request");
            requests.push(String::from_utf8_lossy(&head[..length]).into_owned());
            let page = "<html>a shop</html>";
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{page}",
                page.len()
            );
            stream.write_all(answer.as_bytes()).expect("a reader");
        }
        requests
    });
    let server = server();
    let setup = Setup {
        hosts: vec![format!("http://127.0.0.1:{port}")],
        settings: json!({"drain_timeout": "100ms"}),
        max_in_flight: 200,
        ..Setup::new("requests-shop", &server)
    };
    let run = setup.start();
    let condition = run.condition("opening");
    assert!(
        condition.contains("neither Elasticsearch nor OpenSearch"),
        "{condition}"
    );
    let requests = answered.join().expect("it does not panic");
    assert!(
        requests.iter().all(|request| request.starts_with("GET ")),
        "{requests:?}"
    );
    let ran = run.stop_with_open_records();
    assert_eq!(ran.account.handed_back, ran.account.read);
}

/// A cluster with little memory refuses them as it refuses any when it is busy, however long one waits.
#[test]
fn bodies_shrink_when_none_gets_through_for_want_of_memory() {
    let server = server();
    let too_large = |request: &Request<'_>| request.body.len() > 40_000;
    server.fail_requests_if(ALWAYS, too_large, RequestFault::too_many_requests());
    let setup = Setup {
        records: 3_000,
        lanes: 1,
        ..Setup::new("requests-memory", &server)
    }
    .with(&json!({"body_bytes": "256KiB"}));
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    assert!(ran.count("requests_busy") >= 4);
}

/// A cluster whose queues are short is asked less, and refuses little once that is known.
#[test]
fn a_cluster_gets_as_many_requests_as_it_takes_at_one_time() {
    let server = BulkServer::start(Options {
        keep_documents: true,
        delay: Duration::from_millis(20),
        ..Options::default()
    })
    .expect("a free port");
    let is_full = |request: &Request<'_>| request.under_way > 3;
    server.fail_requests_if(ALWAYS, is_full, RequestFault::too_many_requests());
    let setup = Setup {
        records: 4_000,
        lanes: 1,
        ..Setup::new("requests-width", &server)
    }
    .with(&json!({"body_records": 20, "requests_per_lane": 16}));
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    // 400 bodies and more; with 16 at a time, most would be refused at first.
    let (refused, all) = (ran.count("requests_busy"), ran.count("requests"));
    assert!(refused * 3 < all, "{refused} of {all}");
    let withdrawn = ran.count("slots_withdrawn") - ran.count("slots_restored");
    assert!((12..16).contains(&withdrawn), "{withdrawn}");
}

/// What answers too late is asked less, too: it still works on what nobody waits for any more. A shard that
/// is away says nothing of how much the others take.
#[test]
fn a_cluster_is_asked_less_when_it_is_slow_and_not_when_a_shard_is_away() {
    let late = RequestFault::Delay(Duration::from_secs(5));
    for (name, faults, request_timeout, withdrawn) in [
        ("requests-late", Some(late), "1s", true),
        // Half a second less than what counts as late.
        ("requests-shard", None, "6s", false),
    ] {
        let server = server();
        match faults {
            Some(fault) => server.fail_requests(4, fault),
            None => server.fail_items(24, |item| item.position == 0, ItemFault::shard_away()),
        }
        let setup = Setup {
            connection: json!({ "request_timeout": request_timeout }),
            lanes: 1,
            ..Setup::new(name, &server)
        }
        .with(&json!({"body_records": 20, "requests_per_lane": 8}));
        let ran = setup.run();
        ran.assert_exact(&setup, &server);
        assert_eq!(ran.count("slots_withdrawn") > 0, withdrawn, "{name}");
        let times = &ran.times[0].1;
        let within = times.cumulative().find(|(bound, _)| *bound == 500);
        let longer = times.count() - within.expect("a bound").1;
        assert!(longer >= 4 || !withdrawn, "{times:?}");
    }
}

/// Requests and items fail in every order, again and again.
#[test]
fn every_record_arrives_through_faults_of_every_kind_at_once() {
    let server = server();
    let faults = [
        RequestFault::CutAfter,
        RequestFault::too_many_requests(),
        RequestFault::CutReply,
        RequestFault::ItemsMissing(1),
        RequestFault::CutBefore,
        RequestFault::NotJson,
        RequestFault::too_large(),
        RequestFault::unavailable(),
        RequestFault::Delay(Duration::from_secs(30)),
    ];
    for (number, fault) in (1..).zip(faults) {
        let every = 7 + number;
        // A document that is too large all alone would be rejected, and rightly so.
        let matches = move |request: &Request<'_>| {
            let lines = request.body.iter().filter(|byte| **byte == b'\n').count();
            lines > 2 && request.number.is_multiple_of(every)
        };
        server.fail_requests_if(5, matches, fault);
    }
    let mut asked = 0_u64;
    let every_fifth = move |_: &testkit::bulk_server::Item<'_>| {
        asked += 1;
        asked.is_multiple_of(5)
    };
    server.fail_items(2_000, every_fifth, ItemFault::too_many_requests());
    let setup = Setup {
        connection: json!({"request_timeout": "300ms"}),
        records: 1_500,
        batch: 37,
        ..Setup::new("requests-all", &server)
    }
    .with(&json!({"body_bytes": "8KiB", "requests_per_lane": 3}));
    let ran = setup.run();
    ran.assert_exact(&setup, &server);
    // Whatever an answer says, it tells how long the host takes; no answer counts where time ran out.
    let answered = ran.count("requests") - ran.count("requests_unanswered");
    assert_eq!(ran.times[0].1.count(), answered, "{:?}", ran.times);
    assert!(ran.account.already_present > 0);
    assert!(server.statistics().faulted_items > 500);
}

pub fn has_seven(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.contains("\"n\":7,")
}
