//! Documents that are there twice, or would be: in the indices that an alias has left behind, in those of a former
//! template, and in one index where ids are made by the cluster.

use serde_json::json;
use testkit::isobar::Setup;
use testkit::services::{Kafka, Search};

use super::{LIMIT, json_of, plan, refused, run};
use crate::support::{Steps, catch_up, topology};

pub(super) fn what_an_alias_has_left_behind_is_not_stored_twice(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    let client = search.client();
    let ask = |method: &str, path: &str, body| {
        let answer = client.json(method, path, body);
        let _ = answer.expect("it answers");
    };
    let alias = json!({"aliases": {"rolled": {"is_write_index": true}}});
    ask("PUT", "/rolled-000001", Some(&alias));
    kafka.create_topic("rolled", 1, &[]).expect("it is created");
    let sent = kafka.produce_json("rolled", 1, 0..100);
    sent.expect("all is acknowledged");
    let live = topology("rolled", "")
        .replace("topics: [logs]", "topics: [rolled]")
        .replace("\"logs-{{ event_time.format('%Y.%m.%d') }}\"", "rolled");
    let setup = Setup::new(&live).expect("a directory");
    let setup = setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    assert_eq!(catch_up(&setup, &[]).total().delivered, 100);
    ask("POST", "/rolled/_rollover", None);

    for target in ["missing", "overwrite"] {
        let range = ["--from", "earliest", "--to", "100", "--sample", "0"];
        let command = [&["replay", "plan", "--target", target][..], &range].concat();
        let planned = setup.finish(&command, LIMIT).expect("it ends");
        assert_eq!(planned.status.code(), Some(3), "{}", planned.stderr);
        for said in [
            "protected against storing twice: until rollover",
            "rolled-000001 has 100 documents of the range, and what index writes goes to rolled-000002 by now",
        ] {
            assert!(planned.stdout.contains(said), "{}", planned.stdout);
        }
    }
    let _ = plan(&setup, "purge", "rolled.json");
    let ran = json_of(&run(&setup, &["rolled.json", "--yes", "-o", "json"]));
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    client.refresh("rolled").expect("it refreshes");
    for (index, count) in [("rolled", 100), ("rolled-000002", 100)] {
        assert_eq!(client.count(index).expect("it counts"), count, "{index}");
    }
    steps.done("purge behind an alias");
}

pub(super) fn what_a_former_template_has_written_is_not_stored_twice(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    let client = search.client();
    kafka
        .create_topic("renamed", 1, &[])
        .expect("it is created");
    let sent = kafka.produce_json("renamed", 1, 0..100);
    sent.expect("all is acknowledged");
    let days = topology("renamed", "")
        .replace("topics: [logs]", "topics: [renamed]")
        .replace("index: \"logs-", "index: \"renamed-");
    let setup = Setup::new(&days.replace("%Y.%m.%d", "%Y.%m")).expect("a directory");
    let setup = setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    assert_eq!(catch_up(&setup, &[]).total().delivered, 100);
    std::fs::write(setup.topology(), days).expect("written");
    let planned = |target: &str, more: &[&str]| {
        let range = ["--from", "earliest", "--to", "100", "--create-missing"];
        let command = [&["replay", "plan", "--target", target][..], &range, more].concat();
        setup.finish(&command, LIMIT).expect("it ends")
    };
    let _ = plan(&setup, "index=renamed-beside", "beside.json");
    let _ = json_of(&run(&setup, &["beside.json", "--yes", "-o", "json"]));
    let beside = "renamed-beside has 100 documents of the range as well, where the replay ";
    for target in ["missing", "overwrite"] {
        let narrowed = planned(target, &[]);
        assert_eq!(narrowed.status.code(), Some(3), "{}", narrowed.stderr);
        for said in [
            "Note: renamed-2026.01 has 100 documents of the range, and its name is none that index makes now: they \
             would be there twice",
            beside,
        ] {
            assert!(narrowed.stdout.contains(said), "{}", narrowed.stdout);
        }
    }
    let _ = planned("missing", &["--out", "renamed.json"]);
    refused(
        &run(&setup, &["renamed.json", "--yes"]),
        "--accept-narrowed",
    );
    client
        .delete_index("renamed-2026.01")
        .expect("it is deleted");
    let whole = planned("missing", &[]);
    assert_eq!(whole.status.code(), Some(0), "{}", whole.stdout);
    assert!(whole.stdout.contains(beside), "{}", whole.stdout);
    steps.done("plan with another template");
}

pub(super) fn documents_that_are_there_twice_are_no_good_end(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    kafka.create_topic("twice", 1, &[]).expect("it is created");
    let sent = kafka.produce_json("twice", 1, 0..20);
    sent.expect("all is acknowledged");
    let live = topology("twice", "")
        .replace("topics: [logs]", "topics: [twice]")
        .replace("    index: \"logs-", "    id: auto\n    index: \"twice-");
    let setup = Setup::new(&live).expect("a directory");
    let setup = setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    let _ = plan(&setup, "index=again-twice", "once.json");
    let ran = json_of(&run(&setup, &["once.json", "--yes", "-o", "json"]));
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    let range = ["--from", "earliest", "--to", "now", "--out", "again.json"];
    let command = [
        &["replay", "plan", "--target", "index=again-twice"][..],
        &range,
    ]
    .concat();
    let planned = setup.finish(&command, LIMIT).expect("it ends");
    let said =
        "again-twice has 20 documents of the range already: they stay, and are stored once more";
    assert!(planned.stdout.contains(said), "{}", planned.stdout);
    refused(&run(&setup, &["again.json", "--yes"]), "--accept-narrowed");
    let ran = run(&setup, &["again.json", "--yes", "--accept-narrowed"]);
    assert_eq!(ran.status.code(), Some(1), "{}", ran.stdout);
    for said in [
        "Verified: wrong",
        "\ntwice/0: more than once in one index, under several ids: 0, 1, 2, ",
    ] {
        assert!(ran.stdout.contains(said), "{}", ran.stdout);
    }
    steps.done("tell what is there twice");
}
