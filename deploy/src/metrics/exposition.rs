//! Figures in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::Write;

use isobar_topology::Latency;
use metrics_exporter_prometheus::formatting::{
    sanitize_label_value, write_help_line, write_type_line,
};

use super::Kind;
use super::families::{Families, Family, Series, Value};

/// The text.
pub(super) fn text(families: &Families) -> String {
    let mut text = String::new();
    for family in families.all() {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        write_help_line(&mut text, &family.name, None, None, family.help);
        write_type_line(&mut text, &family.name, None, None, kind);
        add(&mut text, family);
    }
    text
}

fn add(text: &mut String, family: &Family) {
    for Series { labels, value } in &family.series {
        let mut line = |suffix: &str, bound: Option<&str>, value: f64| {
            sample(text, [&family.name, suffix], labels, bound, value);
        };
        match value {
            Value::Number(value) => line("", None, *value),
            Value::Histogram(latency) => {
                for (bound, count) in bounds(latency) {
                    line("_bucket", Some(&bound), count as f64);
                }
                line("_sum", None, latency.sum_ms() as f64 / 1000.0);
                line("_count", None, latency.count() as f64);
            }
        }
    }
}

/// The bounds of a histogram in seconds, as text, with how many lie within; the last one takes all.
pub(super) fn bounds(latency: &Latency) -> impl Iterator<Item = (String, u64)> {
    let bounds = latency.cumulative();
    let bounds = bounds.map(|(ms, count)| ((ms as f64 / 1000.0).to_string(), count));
    bounds.chain([("+Inf".to_owned(), latency.count())])
}

/// `bound` is that of a bucket.
fn sample(
    text: &mut String,
    name: [&str; 2],
    labels: &[(&'static str, String)],
    bound: Option<&str>,
    value: f64,
) {
    text.extend(name);
    let labels = labels.iter().map(|(name, value)| (*name, &**value));
    let mut before = '{';
    for (name, value) in labels.chain(bound.map(|bound| ("le", bound))) {
        let value = sanitize_label_value(value);
        let _ = write!(text, "{before}{name}=\"{value}\"");
        before = ',';
    }
    if before == ',' {
        text.push('}');
    }
    let _ = match value == f64::INFINITY {
        true => writeln!(text, " +Inf"),
        false => writeln!(text, " {value}"),
    };
}
