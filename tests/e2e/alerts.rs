//! What is shipped for Prometheus and Grafana, in a real Prometheus: rules fire and stay silent as they
//! must, and every query of the dashboard is answered from a real run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use testkit::bulk_server::{BulkServer, Options};
use testkit::http;
use testkit::isobar::Setup;
use testkit::services::Prometheus;
use testkit::services::prometheus::promtool;
use testkit::wait;

use crate::support::{Steps, kafka_with_records};

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
    let kafka = kafka_with_records(2, 10_000);
    let search = BulkServer::start(Options::default()).expect("a free port");
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
                let series = format!("isobar_spout_{counter}_total{{spout=\"logs\"}}");
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
            ["$topology", "$spout", "$topic", "$partition"]
                .iter()
                .fold(query, |query, variable| query.replace(variable, ".*"))
        })
        .collect();
    wait::until("answers", LIMIT, || {
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
