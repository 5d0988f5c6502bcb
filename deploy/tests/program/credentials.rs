//! A password that changes while the program runs: its runbook, as it is written.

use std::time::Duration;

use testkit::bulk_server::{BulkServer, Options};
use testkit::isobar::Setup;
use testkit::wait;

/// Nobody serves its Kafka.
const TOPOLOGY: &str = "\
isobar: 1
name: rotated
connections:
  kafka:
    type: kafka
    brokers: \"127.0.0.1:9\"
    sasl: {mechanism: PLAIN, username: isobar, password: \"${file:${SECRET}}\"}
  search:
    type: elasticsearch
    hosts: [\"${ES}\"]
    auth: {basic: {username: isobar, password: \"${file:${SECRET}}\"}}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs]}
  index: {type: elasticsearch, connection: search, inputs: [parse], index: logs}
dead_letter: {type: file, path: dead.ndjson}
";

/// The runbook looks for a minute at most.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_password_is_rotated_as_the_runbook_says() {
    let server = BulkServer::start(Options::default()).expect("a free port");
    let setup = || {
        let setup = Setup::new("").expect("a directory");
        let directory = setup.topology().parent().expect("it is in one").to_owned();
        let secret = directory.join("secret").display().to_string();
        let topology = TOPOLOGY.replace("${SECRET}", &secret);
        std::fs::write(setup.topology(), topology).expect("it can be written");
        let setup = setup.file("secret", "hunter2-Kx93\n").expect("written");
        setup
            .environment("ES", &server.url())
            .environment("SECRET", &secret)
    };
    let running = setup();
    let secret = running.topology().with_file_name("secret");
    let isobar = running.start().expect("it starts");
    wait::until("the sink", LIMIT, || {
        let metrics = isobar.metrics()?;
        anyhow::ensure!(metrics.contains("isobar_bolt_credentials_reloads_total"));
        Ok(())
    })
    .expect("it connects");

    let page = setup()
        .file("new-secret", "hunter3-Wp52\n")
        .expect("written")
        .environment("SECRET", &secret.display().to_string())
        .environment("ADDRESS", &format!("http://{}", isobar.address()));
    let printed = page.runbook("rotate-credentials.md", LIMIT);
    let printed = printed.expect("its commands succeed");
    assert!(
        printed.contains(
            "isobar_bolt_credentials_reloads_total{topology=\"rotated\",bolt=\"index\"} 1"
        ),
        "{printed}"
    );
    let metrics = isobar.metrics().expect("an answer");
    let log = wait::until("both lines", LIMIT, || {
        let log = isobar.log()?;
        let said = [
            "Changed credentials were read, and are used from now on",
            "A changed password of Kafka was read",
        ];
        anyhow::ensure!(said.iter().all(|said| log.contains(said)), "{log}");
        Ok(log)
    });
    let log = log.expect("they are logged");
    assert!(log.contains(&secret.display().to_string()), "{log}");
    for text in [&printed, &metrics, &log] {
        for value in ["hunter2", "hunter3", "aXNvYmFyOm"] {
            assert!(!text.contains(value), "{value} in {text}");
        }
    }
}
