//! `/metrics`: what is exported is what the table says.

use isobar::metrics;

use super::{Served, WAITING};

#[test]
fn exported_metrics_are_those_of_the_table() {
    let served = Served::start(WAITING);
    let _ = served.settle(190);
    served
        .observer
        .running
        .health()
        .set("in", "connecting", "no broker answers");
    let answer = served.get("/metrics");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let text = answer.text();
    for line in [
        "isobar_records_read_total{topology=\"waiting\",spout=\"in\"} 190",
        "isobar_records_dropped_total{topology=\"waiting\",spout=\"in\",policy=\"drop\"} 96",
        "isobar_accounting_difference_records{topology=\"waiting\",spout=\"in\"} 0",
        "isobar_bolt_rejected_records_total{topology=\"waiting\",bolt=\"odd\"} 94",
        "isobar_bolt_rejected_records_by_class_total{topology=\"waiting\",bolt=\"odd\",class=\"odd\"} 94",
        "# TYPE isobar_end_to_end_latency_seconds histogram",
        "isobar_end_to_end_latency_seconds_bucket{topology=\"waiting\",spout=\"in\",le=\"86400\"} 0",
        "isobar_end_to_end_latency_seconds_bucket{topology=\"waiting\",spout=\"in\",le=\"+Inf\"} 190",
        "isobar_end_to_end_latency_seconds_count{topology=\"waiting\",spout=\"in\"} 190",
        "# TYPE isobar_bolt_request_seconds histogram",
        "isobar_bolt_request_seconds_bucket{topology=\"waiting\",bolt=\"count\",host=\"es-1:9200\",le=\"0.001\"} 0",
        "isobar_bolt_request_seconds_bucket{topology=\"waiting\",bolt=\"count\",host=\"es-1:9200\",le=\"0.002\"} 2",
        "isobar_bolt_request_seconds_count{topology=\"waiting\",bolt=\"count\",host=\"es-1:9200\"} 2",
        "isobar_bolt_seen_total{topology=\"waiting\",bolt=\"count\"} 96",
        "# HELP isobar_bolt_seen_total Records seen.",
        "# TYPE isobar_lanes gauge",
        "isobar_lanes{topology=\"waiting\"} 2",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in:\n{text}"
        );
    }
    let exported: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != "isobar_bolt_seen_total")
        .collect();
    // Those of lag are of Kafka spouts only, others of dead letters, TLS, and who is named to be sent to.
    let elsewhere = |label: &&str| ["group", "topic", "certificate", "to"].contains(label);
    let table = metrics::all().filter(|metric| !metric.labels.iter().any(elsewhere));
    let mut table: Vec<&str> = table.map(|metric| metric.name).collect();
    let mut sorted = exported.clone();
    sorted.sort_unstable();
    table.sort_unstable();
    assert_eq!(sorted, table);
    assert!(
        !text.contains("bolt=\"odd\"} 190\nisobar_bolt_waiting"),
        "absent is not 0"
    );
}

#[test]
fn metric_names_follow_the_rules_of_prometheus() {
    for metric in metrics::all() {
        let counter = metric.kind == metrics::Kind::Counter;
        assert_eq!(metric.name.ends_with("_total"), counter, "{}", metric.name);
        if metric.kind == metrics::Kind::Histogram {
            assert!(metric.name.ends_with("_seconds"), "{}", metric.name);
        }
        let own = metric.name.starts_with("isobar_") || metric.name.starts_with("process_");
        assert!(own && metric.help.ends_with('.'), "{}", metric.name);
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(metric.name.chars().all(plain), "{}", metric.name);
    }
}
