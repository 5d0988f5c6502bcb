//! Ids of fields, of which the last record has the document: no replay puts an older one in its place.

use serde_json::json;
use testkit::isobar::Setup;
use testkit::services::kafka::Sent;
use testkit::services::{Kafka, Search};

use super::{LIMIT, plan, refused, run};
use crate::support::{Steps, catch_up, topology};

pub(super) fn an_older_record_takes_the_place_of_no_newer_one(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    kafka.create_topic("keyed", 1, &[]).expect("it is created");
    let version = |version: u64| {
        let document = json!({"timestamp": "2026-01-01T00:00:00Z", "level": "info", "order": "x", "version": version});
        Sent {
            partition: Some(0),
            key: None,
            value: Some(document.to_string().into()),
            timestamp: None,
        }
    };
    kafka.produce("keyed", [1, 2].map(version)).expect("sent");
    let live = topology("keyed", "")
        .replace("topics: [logs]", "topics: [keyed]")
        .replace("\"logs-{{ event_time.format('%Y.%m.%d') }}\"", "keyed")
        .replace(
            "    index: ",
            "    id: \"{{ doc.order }}\"\n    op: index\n    requests_per_lane: 1\n    index: ",
        );
    let setup = Setup::new(&live).expect("a directory");
    let setup = setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    assert_eq!(catch_up(&setup, &[]).total().delivered, 2);
    let plan_of = |setup: &Setup, target: &str| {
        let range = ["--from", "0", "--to", "1", "--target", target];
        let command = [&["replay", "plan"][..], &range].concat();
        setup.finish(&command, LIMIT).expect("it ends")
    };
    for target in ["missing", "overwrite", "purge"] {
        let part = format!("{target} would put an older one in its place");
        refused(&plan_of(&setup, target), &part);
    }
    let planned = plan(&setup, "index=keyed-again", "keyed.json");
    assert_eq!(planned["sinks"][0]["guarantee"], "as the id says");
    let ran = run(&setup, &["keyed.json", "--yes"]);
    assert_eq!(ran.status.code(), Some(4), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("another record of the same id"),
        "{}",
        ran.stdout
    );
    let client = search.client();
    for index in ["keyed", "keyed-again"] {
        client.refresh(index).expect("it refreshes");
        let documents = client.dump(index, &["version"]).expect("it answers");
        let versions: Vec<_> = documents.iter().map(|one| &one.fields["version"]).collect();
        assert_eq!(versions, [&json!(2)], "{index}");
    }

    // Where the first one stays, an overwrite may still touch one outside the range.
    let first = live.replace("    op: index\n", "");
    std::fs::write(setup.topology(), first).expect("written");
    let planned = plan_of(&setup, "overwrite");
    assert_eq!(planned.status.code(), Some(3), "{}", planned.stderr);
    let said = "may be the document of such a record outside the range";
    assert!(planned.stdout.contains(said), "{}", planned.stdout);
    steps.done("replay ids of fields");
}
