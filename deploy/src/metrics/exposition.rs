//! Samples in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>), family by family.

use std::fmt::Write;

use isobar_topology::Latency;
use metrics_exporter_prometheus::formatting::{
    sanitize_label_value, write_help_line, write_type_line,
};

use super::{Kind, Metric};

/// Collects samples in any order.
#[derive(Default)]
pub(super) struct Exposition {
    families: Vec<Family>,
}

struct Family {
    name: String,
    help: &'static str,
    kind: Kind,
    samples: String,
}

impl Exposition {
    /// Adds a sample; the label values in the order of the metric's labels.
    pub(super) fn sample(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
        let labels = metric.labels.iter().copied().zip(labels.iter().copied());
        self.family(metric.name, metric.help, metric.kind)
            .add("", labels, value);
    }

    /// Adds a histogram, its bounds in seconds; the label values in the order of the metric's labels.
    pub(super) fn histogram(
        &mut self,
        metric: &'static Metric,
        labels: &[&str],
        latency: &Latency,
    ) {
        debug_assert_eq!(metric.kind, Kind::Histogram, "{}", metric.name);
        let labels: Vec<_> = metric
            .labels
            .iter()
            .copied()
            .zip(labels.iter().copied())
            .collect();
        let family = self.family(metric.name, metric.help, metric.kind);
        let mut bucket = |bound: &str, records: u64| {
            let labels = labels.iter().copied().chain([("le", bound)]);
            family.add("_bucket", labels, records as f64);
        };
        for (bound_ms, records) in latency.cumulative() {
            bucket(&(bound_ms as f64 / 1000.0).to_string(), records);
        }
        bucket("+Inf", latency.count());
        let sum = latency.sum_ms() as f64 / 1000.0;
        family.add("_sum", labels.iter().copied(), sum);
        family.add("_count", labels.iter().copied(), latency.count() as f64);
    }

    /// Adds a counter that a type of operator defines; `kind` is `spout` or `bolt`.
    pub(super) fn own_counter(
        &mut self,
        kind: &'static str,
        name: &str,
        help: &'static str,
        id: &str,
        value: f64,
    ) {
        let name = format!("isobar_{kind}_{name}_total");
        self.family(&name, help, Kind::Counter)
            .add("", [(kind, id)], value);
    }

    fn family(&mut self, name: &str, help: &'static str, kind: Kind) -> &mut Family {
        let known = self.families.iter().position(|family| family.name == name);
        let position = known.unwrap_or_else(|| {
            self.families.push(Family {
                name: name.to_owned(),
                help,
                kind,
                samples: String::new(),
            });
            self.families.len() - 1
        });
        &mut self.families[position]
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        let mut text = String::new();
        for family in self.families {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            write_help_line(&mut text, &family.name, None, None, family.help);
            write_type_line(&mut text, &family.name, None, None, kind);
            text.push_str(&family.samples);
        }
        text
    }
}

impl Family {
    /// `suffix` is what follows the name of the family.
    fn add<'a>(
        &mut self,
        suffix: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        value: f64,
    ) {
        let mut text = labels
            .into_iter()
            .map(|(name, value)| format!("{name}=\"{}\"", sanitize_label_value(value)))
            .collect::<Vec<_>>()
            .join(",");
        if !text.is_empty() {
            text = format!("{{{text}}}");
        }
        let written = match value == f64::INFINITY {
            true => writeln!(self.samples, "{}{suffix}{text} +Inf", self.name),
            false => writeln!(self.samples, "{}{suffix}{text} {value}", self.name),
        };
        written.expect("writing to a string does not fail");
    }
}
