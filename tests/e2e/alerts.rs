//! What is shipped for Prometheus and Grafana, in a real Prometheus: rules fire and stay silent as they
//! must, and every query of the dashboard is answered from a real run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use testkit::bulk_server::{BulkServer, Options};
use testkit::http;
use testkit::isobar::Setup;
use testkit::services::prometheus::promtool;
use testkit::services::{Kafka, Prometheus};
use testkit::wait;

use crate::support::Steps;

const LIMIT: Duration = Duration::from_secs(60);

const TOPOLOGY: &str = "\
isobar: 1
name: shown
connections:
  kafka: {type: kafka, brokers: \"${KAFKA}\"}
  search: {type: elasticsearch, hosts: \"${ES}\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest, commit_interval: 200ms}
bolts:
  parse: {type: parse_json, inputs: [logs], event_time: timestamp, on_rejected: drop}
  index: {type: elasticsearch, connection: search, inputs: [parse], index: logs, on_rejected: drop}
";

const LOOKUP: &str = "\
isobar: 1
name: looked-up
connections:
  kafka: {type: kafka, brokers: embedded}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs], on_rejected: drop}
  zone:
    type: lookup
    inputs: [parse]
    file: hosts.csv
    key: host
    from: doc.host
    reload_interval: 200ms
    on_rejected: drop
  end: {type: blackhole, inputs: [zone], on_rejected: drop}
";

fn shipped(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("tests lies in the root")
        .join("deploy")
        .join(path)
}

#[test]
fn rules_fire_when_they_must_and_only_then() {
    for (command, path) in [
        ("check", "alerts/isobar.rules.yaml"),
        ("test", "alerts/isobar.rules.test.yaml"),
    ] {
        let path = shipped(path);
        let path = path.to_str().expect("UTF-8");
        promtool(&[command, "rules", path]).unwrap_or_else(|error| panic!("{error:#}"));
    }
}

#[test]
fn every_query_of_the_dashboard_is_answered() {
    let mut steps = Steps::new("dashboard");
    let kafka = Kafka::start().expect("Kafka starts");
    // Ten years: records of tests are old.
    let kept = [("retention.ms", "315360000000")];
    kafka.create_topic("logs", 2, &kept).expect("created");
    let sent = kafka.produce_json("logs", 2, 0..10_000);
    sent.expect("acknowledged");
    let slow = Options {
        delay: Duration::from_secs(2),
        ..Options::default()
    };
    let search = BulkServer::start(slow).expect("a free port");
    let setup = Setup::new(TOPOLOGY).expect("a directory");
    let setup = setup.environment("KAFKA", kafka.brokers());
    let isobar = setup.environment("ES", &search.url()).start();
    let mut isobar = isobar.expect("it starts");
    let rules = shipped("alerts/isobar.rules.yaml");
    let prometheus = Prometheus::start(&[isobar.address()], &[&rules]).expect("Prometheus starts");
    isobar
        .wait_for("a commit of all and rates", LIMIT, |address| {
            let text = http::get(address, "/metrics")?.text();
            let committed = text.contains("isobar_committed_offset{")
                && text.contains("partition=\"1\"} 5000\n")
                && text.contains("isobar_outgoing_records_per_second{");
            ensure!(committed, "{text}");
            // What types of operators define and rules name.
            for counter in ["commits", "failed_commits"] {
                let series =
                    format!("isobar_spout_{counter}_total{{topology=\"shown\",spout=\"logs\"}}");
                ensure!(text.contains(&series), "{text}");
            }
            Ok(())
        })
        .expect("it reads");
    steps.done("start");

    let dashboard = std::fs::read_to_string(shipped("dashboards/isobar.json"));
    let dashboard: Value = serde_json::from_str(&dashboard.expect("it is shipped")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let queries: Vec<String> = targets
        .map(|target| {
            let query = target["expr"].as_str().expect("a query");
            let query = query.replace("$__rate_interval", "30s");
            any(&query)
        })
        .chain(choices(&dashboard))
        .collect();
    wait::until("answers", LIMIT, || {
        // Something is always behind, and has time left.
        kafka.produce_json("logs", 2, 0..10)?;
        for query in &queries {
            ensure!(
                !prometheus.query(query)?.is_empty(),
                "{query} is not answered"
            );
        }
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
    let firing = prometheus.query("ALERTS{alertstate=\"firing\"}");
    assert_eq!(firing.expect("it answers"), Vec::<Value>::new());
    steps.done("every query");
    let status = isobar.stop(LIMIT).expect("it ends");
    assert_eq!(status.code(), Some(0));
}

/// A query of the dashboard with everything chosen.
fn any(query: &str) -> String {
    ["$topology", "$spout", "$topic", "$partition"]
        .iter()
        .fold(query.to_owned(), |query, variable| {
            query.replace(variable, ".*")
        })
}

/// What fills the lists to choose from, `label_values(SERIES, LABEL)`, as queries for series that have the label.
fn choices(dashboard: &Value) -> Vec<String> {
    let variables = dashboard["templating"]["list"].as_array().expect("a list");
    let variables = variables.iter().filter(|one| one["type"] == "query");
    let queries = variables.map(|one| {
        let query = one["query"].as_str().expect("a query");
        let parts = query.strip_prefix("label_values(").and_then(|query| {
            let (series, label) = query.strip_suffix(')')?.rsplit_once(", ")?;
            Some((any(series), label))
        });
        let (series, label) = parts.unwrap_or_else(|| panic!("{query} is no list of labels"));
        format!("count by ({label}) ({series}) unless on ({label}) vector(0)")
    });
    queries.collect()
}

#[test]
fn a_table_that_is_refused_has_the_series_of_its_alert_and_its_runbook_mends_it() {
    let mut steps = Steps::new("refused table");
    let table = "host,zone\nweb-1,east\nweb-2,west\n";
    let setup = Setup::new(LOOKUP).and_then(|setup| setup.file("hosts.csv", table));
    let mut isobar = setup.and_then(Setup::start).expect("it starts");
    isobar.wait_until_ready(LIMIT).expect("it reads");
    let file = isobar.setup().topology().with_file_name("hosts.csv");
    std::fs::write(file.with_extension("new"), "host,zone\nweb-1\n").expect("written");
    std::fs::rename(file.with_extension("new"), &file).expect("renamed");
    let refused = "isobar_condition{topology=\"looked-up\",component=\"zone\",kind=\"table\"} 1\n";
    isobar
        .wait_for("the series of the alert", LIMIT, |address| {
            let text = http::get(address, "/metrics")?.text();
            ensure!(text.contains(refused), "{text}");
            // Nothing waits for it.
            let statistics = http::get(address, "/statistics")?.json()?;
            ensure!(statistics["bottleneck"].is_null(), "{statistics}");
            Ok(())
        })
        .expect("it is told");
    let asked = Setup::new(LOOKUP).and_then(|setup| setup.file("repaired.csv", table));
    let asked = asked.expect("a directory");
    let asked = asked
        .environment("ADDRESS", &format!("http://{}", isobar.address()))
        .environment("TABLE", file.to_str().expect("UTF-8"))
        .environment("NEW", "repaired.csv");
    let text = asked.runbook("IsobarLookupReloadRefused.md", LIMIT);
    let text = text.unwrap_or_else(|error| panic!("{error:#}"));
    let reloaded = "isobar_bolt_reloads_total{topology=\"looked-up\",bolt=\"zone\"} 1\n";
    assert!(text.contains(reloaded), "{text}");
    assert!(!isobar.metrics().expect("it answers").contains(refused));
    assert_eq!(isobar.stop(LIMIT).expect("it ends").code(), Some(0));
    steps.done("refused, repaired");
}
