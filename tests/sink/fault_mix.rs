//! Half a million records through faults at the rates of a very bad day: no record may be lost, stored
//! twice, or dead-lettered for them.

use serde_json::json;
use testkit::bulk_server::{BulkServer, Item, ItemFault, Options, Request, RequestFault};
use testkit::sink::Setup;

const RECORDS: u64 = 500_000;

/// 3 % of items and 3 % of requests are answered 429, 5 % of requests 503, and 10 % of connections are
/// cut, half of them after the documents were stored.
#[test]
fn nothing_is_lost_stored_twice_or_dead_lettered_through_a_mix_of_faults() {
    // Ids are kept and documents are not: they would fill memory.
    let server = BulkServer::start(Options::default()).expect("a free port");
    let always = u64::MAX;
    for (from, to, fault) in [
        (0, 3, RequestFault::too_many_requests()),
        (3, 8, RequestFault::unavailable()),
        (8, 13, RequestFault::CutBefore),
        (13, 18, RequestFault::CutAfter),
    ] {
        let meets =
            move |request: &Request<'_>| (from..to).contains(&(mixed(request.number) % 100));
        server.fail_requests_if(always, meets, fault);
    }
    let mut asked = 0;
    let three_in_hundred = move |_: &Item<'_>| {
        asked += 1;
        mixed(asked) % 100 < 3
    };
    server.fail_items(always, three_in_hundred, ItemFault::too_many_requests());

    let setup = Setup {
        partitions: 4,
        records: RECORDS as i64 / 4,
        batch: 500,
        max_in_flight: 20_000,
        payload: |offset| format!("{{\"n\":{offset}}}"),
        ..Setup::new("fault-mix", &server)
    }
    .with(&json!({"body_bytes": "256KiB"}));
    let ran = setup.run();

    let (account, served) = (&ran.account, server.statistics());
    assert_eq!(account.read, RECORDS);
    assert_eq!(account.delivered + account.already_present, RECORDS);
    assert_eq!((account.dead_lettered, ran.letters.len()), (0, 0));
    // Every id once, and as many of them as there are records.
    assert_eq!(served.documents, RECORDS);
    // It was as bad as it should be.
    let requests = ran.count("requests");
    assert!(served.faulted_requests * 100 > requests * 14, "{served:?}");
    assert!(served.faulted_items * 100 > served.items * 2, "{served:?}");
    assert!(served.duplicates > 0 && account.already_present > 0);
}

/// One document in every batch can never be indexed: exactly those are dead-lettered, each once.
#[test]
fn one_bad_record_in_every_batch_takes_no_other_along() {
    let server = BulkServer::start(Options::default()).expect("a free port");
    let is_bad = |item: &Item<'_>| item.source.starts_with(b"{\"bad\"");
    server.fail_items(u64::MAX, is_bad, ItemFault::mapping());
    let setup = Setup {
        partitions: 4,
        records: 25_000,
        batch: 100,
        payload: |offset| match offset % 100 {
            7 => format!("{{\"bad\":1,\"n\":{offset}}}"),
            _ => format!("{{\"n\":{offset}}}"),
        },
        ..Setup::new("fault-mix-poison", &server)
    }
    .with(&json!({"body_bytes": "256KiB"}));
    let ran = setup.run();
    let counted = (ran.account.delivered, ran.account.dead_lettered);
    assert_eq!(counted, (99_000, 1_000));
    assert_eq!(server.statistics().documents, 99_000);
    assert_eq!(ran.letters.len(), 1_000);
    assert!(ran.letters.iter().all(|letter| letter.offset % 100 == 7));
    // No good record was sent again for a bad one beside it.
    assert_eq!(ran.account.retried, 0);
    let served = server.statistics();
    assert_eq!((served.items, served.faulted_items), (99_000, 1_000));
}

/// A number without a pattern: the finalizer of MurmurHash3.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    mixed ^ (mixed >> 33)
}
