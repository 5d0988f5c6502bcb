//! The figures of a moment, by family, before they become text for whoever takes them.

use std::collections::HashMap;

use isobar_topology::Latency;

use super::{Kind, Metric};

/// Collects samples in any order; families stay in the order in which they come up.
#[derive(Default)]
pub struct Families {
    families: Vec<Family>,
    known: HashMap<String, usize>,
}

/// All series of one name.
pub(super) struct Family {
    pub(super) name: String,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) series: Vec<Series>,
}

/// One series at the moment.
pub(super) struct Series {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: Value,
}

/// What a series shows.
pub(super) enum Value {
    /// A counter or a gauge.
    Number(f64),
    /// A histogram.
    Histogram(Box<Latency>),
}

impl Value {
    /// Gives each number of it to `sample`, with what Prometheus has behind the name of the series, and with
    /// the bound of a bucket in seconds.
    pub(super) fn each(&self, mut sample: impl FnMut(&str, Option<&str>, f64)) {
        match self {
            Self::Number(value) => sample("", None, *value),
            Self::Histogram(latency) => {
                for (bound, count) in bounds(latency) {
                    sample("_bucket", Some(&bound), count as f64);
                }
                sample("_sum", None, latency.sum_ms() as f64 / 1000.0);
                sample("_count", None, latency.count() as f64);
            }
        }
    }
}

/// The bounds of a histogram in seconds, as text, with how many lie within; the last one takes all.
fn bounds(latency: &Latency) -> impl Iterator<Item = (String, u64)> {
    let bounds = latency.cumulative();
    let bounds = bounds.map(|(ms, count)| ((ms as f64 / 1000.0).to_string(), count));
    bounds.chain([("+Inf".to_owned(), latency.count())])
}

impl Families {
    /// Adds a sample; the label values in the order of the metric's labels.
    pub(super) fn sample(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.add(metric, labels, Value::Number(value));
    }

    /// Adds a histogram, its bounds in seconds; the label values in the order of the metric's labels.
    pub(super) fn histogram(
        &mut self,
        metric: &'static Metric,
        labels: &[&str],
        latency: &Latency,
    ) {
        debug_assert_eq!(metric.kind, Kind::Histogram, "{}", metric.name);
        let value = Value::Histogram(Box::new(latency.clone()));
        self.add(metric, labels, value);
    }

    /// Adds a counter that a type of operator defines; `kind` is `spout` or `bolt`, `of` the topology and the
    /// id of that.
    pub(super) fn own_counter(
        &mut self,
        kind: &'static str,
        name: &str,
        help: &'static str,
        of: [&str; 2],
        value: f64,
    ) {
        let name = format!("isobar_{kind}_{name}_total");
        let [topology, id] = of;
        let series = Series {
            labels: vec![("topology", topology.to_owned()), (kind, id.to_owned())],
            value: Value::Number(value),
        };
        self.family(&name, help, Kind::Counter).series.push(series);
    }

    /// All families.
    pub(super) fn all(&self) -> &[Family] {
        &self.families
    }

    fn add(&mut self, metric: &'static Metric, labels: &[&str], value: Value) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
        let labels = labels.iter().map(|label| (*label).to_owned());
        let labels = metric.labels.iter().copied().zip(labels).collect();
        let series = Series { labels, value };
        self.family(metric.name, metric.help, metric.kind)
            .series
            .push(series);
    }

    fn family(&mut self, name: &str, help: &'static str, kind: Kind) -> &mut Family {
        let position = match self.known.get(name) {
            Some(known) => *known,
            None => {
                self.families.push(Family {
                    name: name.to_owned(),
                    help,
                    kind,
                    series: Vec::new(),
                });
                let position = self.families.len() - 1;
                let _ = self.known.insert(name.to_owned(), position);
                position
            }
        };
        &mut self.families[position]
    }
}
