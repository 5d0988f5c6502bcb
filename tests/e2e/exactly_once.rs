//! Half a million records into each product: every record is there once, and a second group that reads
//! everything again adds nothing and knows it.

use testkit::services::{Search, SearchVersion};

use crate::support::{Steps, Total, catch_up, check_exactly_once, kafka_with_records, setup};

const RECORDS: u64 = 500_000;
const PARTITIONS: u64 = 4;

#[test]
fn a_second_reading_adds_nothing_in_any_product() {
    let mut steps = Steps::new("exactly once");
    let kafka = kafka_with_records(4, RECORDS);
    steps.done("start Kafka, send 500,000");
    let start = |version| Search::start(version).expect("the server starts");
    let mut next = None;
    for (number, version) in SearchVersion::ALL.into_iter().enumerate() {
        let product = version.directory();
        let search = next.take().unwrap_or_else(|| start(version));
        steps.done(&format!("{product}: start"));

        for (group, delivered) in [("first", RECORDS), ("second", 0)] {
            let name = format!("{group}-{}", product.replace('.', "-"));
            let setup = setup(&kafka, &search.url(), &name, "");
            let ended = catch_up(&setup, &["--fail-on-reject"]);
            let expected = Total {
                read: RECORDS,
                delivered,
                already_present: RECORDS - delivered,
                ..Total::default()
            };
            assert_eq!(ended.total(), expected, "{}", ended.finished.stderr);
            assert_eq!(ended.finished.status.code(), Some(0));
            assert_eq!(ended.report["lag"][0]["lag"], 0);
            assert!(ended.samples.good > 1, "{:?}", ended.samples);
            steps.done(&format!("{product}: {group} group"));
        }
        // The next one starts meanwhile, as each takes seconds.
        next = std::thread::scope(|scope| {
            let next = SearchVersion::ALL.get(number + 1);
            let next = next.map(|version| scope.spawn(move || start(*version)));
            check_exactly_once(&search, PARTITIONS, RECORDS);
            next.map(|next| next.join().expect("no panic"))
        });
        steps.done(&format!("{product}: look at every document"));
    }
}
