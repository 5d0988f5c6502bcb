//! Figures in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::Write;

use metrics_exporter_prometheus::formatting::{
    sanitize_label_value, write_help_line, write_type_line,
};

use super::Kind;
use super::families::{Families, Family, Series};

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
        value.each(|suffix, bound, value| {
            sample(text, [&family.name, suffix], labels, bound, value);
        });
    }
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
