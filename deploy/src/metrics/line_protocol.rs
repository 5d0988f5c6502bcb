//! Figures in the line protocol of InfluxDB, which Telegraf, VictoriaMetrics, QuestDB and others take as
//! well (<https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>).
//!
//! The measurement is the first word of a metric's name and the field the rest, so that systems which
//! join both have the names of `deploy/METRICS.md`. Series with the same labels share a line.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::families::{Families, Series};

/// The lines. `at_ms` is the time in ms since 1970, `instance` tells copies of the program apart. What has
/// no finite value is left out: the format has none.
pub(crate) fn lines(families: &Families, instance: &str, at_ms: i64) -> String {
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for family in families.all() {
        // A name without `_` would have no field.
        let (measurement, field) = family
            .name
            .split_once('_')
            .unwrap_or((&family.name, "value"));
        for Series { labels, value } in &family.series {
            value.each(|suffix, bound, value| {
                let start = start(measurement, instance, labels, bound);
                add(lines.entry(start).or_default(), field, suffix, value);
            });
        }
    }
    let mut text = String::new();
    for (start, fields) in lines.iter().filter(|(_, fields)| !fields.is_empty()) {
        let _ = writeln!(text, "{start} {fields} {at_ms}000000");
    }
    text
}

/// Measurement and tags; `bound` is that of a bucket.
fn start(
    measurement: &str,
    instance: &str,
    labels: &[(&'static str, String)],
    bound: Option<&str>,
) -> String {
    let labels = labels.iter().map(|(name, value)| (*name, &**value));
    let bound = bound.map(|bound| ("le", bound));
    let mut start = measurement.to_owned();
    for (name, value) in [("instance", instance)]
        .into_iter()
        .chain(labels)
        .chain(bound)
    {
        // A tag without a value is no valid line.
        if !value.is_empty() {
            let _ = write!(start, ",{name}=");
            escape(&mut start, value);
        }
    }
    start
}

/// Writes the value of a tag. Line ends cannot be written in one, and a backslash at its end would take
/// what follows along.
fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            ',' | '=' | ' ' => text.extend(['\\', c]),
            '\n' | '\r' | '\t' => text.push_str("\\ "),
            '\\' => text.push('/'),
            c => text.push(c),
        }
    }
}

fn add(fields: &mut String, field: &str, suffix: &str, value: f64) {
    if !value.is_finite() {
        return;
    }
    if !fields.is_empty() {
        fields.push(',');
    }
    let _ = write!(fields, "{field}{suffix}={value}");
}

#[cfg(test)]
mod tests {
    use isobar_operators::lag::Eta;

    use super::super::lag::samples::{full, spout};
    use super::super::lag::{By, Options};
    use super::super::{Kind, Metric, of_lag};
    use super::*;
    use crate::lag::SpoutLag;

    const LATENCY: Metric = Metric {
        name: "isobar_latency_seconds",
        kind: Kind::Histogram,
        labels: &["spout"],
        help: "A histogram.",
    };

    #[test]
    fn series_of_the_same_labels_share_a_line_and_what_is_not_finite_has_no_field() {
        let known = SpoutLag {
            lag: Some(5),
            eta_seconds: Eta::Never,
            ..spout("in, out", vec![full(3)])
        };
        let options = Options::default();
        let text = lines(&of_lag("t", &[known], &options), "h:1", 7);
        let of_spout = "isobar,instance=h:1,topology=t,spout=in\\,\\ out,group=g";
        for line in [
            format!(
                "{of_spout} spout_lag_records=5,lag_sample_failed=0,partitions=1,unowned_partitions=0 7000000"
            ),
            format!("{of_spout},status=SLOW spout_status=1 7000000"),
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in:\n{text}"
            );
        }
        let partition = text.lines().find(|line| line.contains(" lag_records=0,"));
        let partition = partition.expect("a line of the partition");
        assert!(partition.starts_with(&format!("{of_spout},topic=a\"b,partition=3 ")));
        assert!(!text.contains("catch_up"), "{text}");
    }

    #[test]
    fn partitions_can_be_left_out() {
        let options = Options {
            by: By::Spout,
            ..Options::default()
        };
        let text = lines(
            &of_lag("t", &[spout("in", vec![full(3)])], &options),
            "h:1",
            7,
        );
        assert!(!text.contains("partition="), "{text}");
        assert!(text.contains("partitions=1"), "{text}");
    }

    #[test]
    fn a_histogram_has_a_line_for_each_bound() {
        let mut figures = Families::default();
        figures.histogram(&LATENCY, &["in"], &isobar_topology::Latency::default());
        let text = lines(&figures, "h:1", 7);
        let first =
            "isobar,instance=h:1,spout=in latency_seconds_sum=0,latency_seconds_count=0 7000000";
        assert!(text.lines().any(|line| line == first), "{text}");
        let all = "isobar,instance=h:1,spout=in,le=+Inf latency_seconds_bucket=0 7000000";
        assert!(text.lines().any(|line| line == all), "{text}");
    }
}
