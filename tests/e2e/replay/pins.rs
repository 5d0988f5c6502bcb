//! What a plan is held to, beside ranges and topics: where its documents go.

use testkit::isobar::Setup;
use testkit::services::{Kafka, Search};

use super::{LIMIT, json_of, plan, refused, run};
use crate::support::{Steps, topology};

/// The variables of another shell, or of an edited file, lead elsewhere.
pub(super) fn a_plan_is_held_to_what_its_variables_said(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    let url = search.url();
    kafka.create_topic("pins", 1, &[]).expect("it is created");
    let sent = kafka.produce_json("pins", 1, 0..20);
    sent.expect("all is acknowledged");
    let live = topology("pins", "").replace("topics: [logs]", "topics: [pins]");
    let setup = Setup::new(&live).expect("a directory");
    let setup = setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &url);
    let planned = plan(&setup, "index=pins", "pins.json");
    let sink = &planned["sinks"][0];
    assert_eq!(sink["hosts"][0], url, "{sink}");
    assert!(
        sink["cluster"].as_str().is_some_and(|id| id.len() > 10),
        "{sink}"
    );

    let elsewhere = url.replace("127.0.0.1", "localhost");
    assert_ne!(elsewhere, url);
    let setup = setup.environment("ES", &elsewhere);
    let verify = ["replay", "verify", "pins.json"];
    let verify = setup.finish_alone(&verify, LIMIT).expect("it ends");
    for finished in [run(&setup, &["pins.json", "--yes"]), verify] {
        refused(&finished, "a variable or secret that it takes from outside");
    }
    let setup = setup.environment("ES", &url);
    let ran = json_of(&run(&setup, &["pins.json", "--yes", "-o", "json"]));
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    steps.done("refuse other variables");
}
