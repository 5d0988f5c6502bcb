//! An index that takes no documents: a plan says so, a purge deletes nothing, and a run that somebody wants all the same
//! ends, says what it waits for, and can be gone on with.

use serde_json::json;
use testkit::isobar::Setup;
use testkit::services::{Kafka, Search};

use super::{LIMIT, json_of, plan, refused, run};
use crate::support::{Steps, catch_up, topology};

pub(super) fn an_index_that_takes_nothing_is_known_before_a_run(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    let client = search.client();
    kafka
        .create_topic("blocked", 1, &[])
        .expect("it is created");
    let sent = kafka.produce_json("blocked", 1, 0..20);
    sent.expect("all is acknowledged");
    let live = topology("blocked", "")
        .replace("topics: [logs]", "topics: [blocked]")
        .replace("\"logs-{{ event_time.format('%Y.%m.%d') }}\"", "blocked");
    let setup = Setup::new(&live).expect("a directory");
    let setup = setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    assert_eq!(catch_up(&setup, &[]).total().delivered, 20);
    let block = |is_set: bool| {
        let settings = json!({"index.blocks.write": is_set});
        let set = client.json("PUT", "/blocked/_settings", Some(&settings));
        let _ = set.expect("it answers");
    };
    let plan_of = |target: &str, out: &str| {
        let range = ["--from", "earliest", "--to", "20", "--target", target];
        let command = [&["replay", "plan"][..], &range, &["--out", out]].concat();
        setup.finish(&command, LIMIT).expect("it ends")
    };
    let _ = plan(&setup, "purge", "purge.json");
    block(true);
    let refused_plan = plan_of("purge", "refused.json");
    refused(&refused_plan, "lets none be deleted (index.blocks.write)");
    refused(
        &run(&setup, &["purge.json", "--yes"]),
        "nothing was deleted: blocked has 20 documents of the range, and lets none be deleted",
    );
    assert_eq!(client.count("blocked").expect("it counts"), 20);

    let planned = plan_of("missing", "blocked.json");
    assert_eq!(planned.status.code(), Some(3), "{}", planned.stderr);
    let note = "Note: blocked takes no documents (index.blocks.write)";
    assert!(planned.stdout.contains(note), "{}", planned.stdout);
    let accepted = ["blocked.json", "--yes", "--accept-narrowed"];
    let given_up = run(
        &setup,
        &[&accepted[..], &["--give-up-after", "5s"]].concat(),
    );
    assert_eq!(given_up.status.code(), Some(4), "{}", given_up.stdout);
    assert!(given_up.stderr.contains("blocked"), "{}", given_up.stderr);
    block(false);
    let resumed = [&accepted[..], &["--resume", "-o", "json"]].concat();
    let ran = json_of(&run(&setup, &resumed));
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    steps.done("replay into a blocked index");
}
