//! Figures as an export request of OpenTelemetry, in JSON
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>): protobuf's own JSON mapping, with
//! 64-bit integers as text and enumerations as numbers. Names are those of `deploy/METRICS.md`.

use isobar_topology::Latency;
use serde_json::{Value as Json, json};

use super::Kind;
use super::families::{Families, Family, Series, Value};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE` of opentelemetry/proto/metrics/v1/metrics.proto.
const CUMULATIVE: u32 = 2;

/// Points of one request at most, unless one family has more: at about 500 bytes each it stays far below
/// the 20 MiB that a collector takes (`max_request_body_size` of its HTTP server).
const POINTS_MAX: usize = 5_000;

/// The requests. `at_ms` is the time and `start_ms` that since when counters count, in ms since 1970;
/// `instance` tells copies of the program apart. What has no finite value is left out.
pub(crate) fn requests(
    families: &Families,
    instance: &str,
    start_ms: i64,
    at_ms: i64,
) -> impl Iterator<Item = Json> {
    let times = Times {
        start: nanoseconds(start_ms),
        at: nanoseconds(at_ms),
    };
    let mut left = families.all();
    std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        let mut points = 0;
        let fits = |family: &&Family| {
            points += family.series.len();
            points <= POINTS_MAX
        };
        let taken = left.iter().take_while(fits).count().max(1);
        let (families, rest) = left.split_at(taken);
        left = rest;
        let metrics = families.iter().filter_map(|family| metric(family, &times));
        Some(request(metrics.collect(), instance))
    })
}

fn request(metrics: Vec<Json>, instance: &str) -> Json {
    let resource = [
        ("service.name", "isobar"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", instance),
    ];
    json!({"resourceMetrics": [{
        "resource": {"attributes": attributes(resource.into_iter())},
        "scopeMetrics": [{
            "scope": {"name": "isobar", "version": env!("CARGO_PKG_VERSION")},
            "metrics": metrics,
        }],
    }]})
}

struct Times {
    start: String,
    at: String,
}

fn nanoseconds(ms: i64) -> String {
    (i128::from(ms) * 1_000_000).to_string()
}

/// `None` for a family in which nothing has a finite value.
fn metric(family: &Family, times: &Times) -> Option<Json> {
    let points: Vec<Json> = family
        .series
        .iter()
        .filter_map(|series| point(family.kind, series, times))
        .collect();
    if points.is_empty() {
        return None;
    }
    let (data, body) = match family.kind {
        Kind::Gauge => ("gauge", json!({ "dataPoints": points })),
        Kind::Counter => (
            "sum",
            json!({"dataPoints": points, "aggregationTemporality": CUMULATIVE, "isMonotonic": true}),
        ),
        Kind::Histogram => (
            "histogram",
            json!({"dataPoints": points, "aggregationTemporality": CUMULATIVE}),
        ),
    };
    Some(json!({
        "name": family.name, "description": family.help, "unit": unit(&family.name), data: body,
    }))
}

/// In the codes of UCUM; what counts things has none.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.rsplit('_').next() {
        _ if name.ends_with("_per_second") => "",
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "",
    }
}

fn point(kind: Kind, series: &Series, times: &Times) -> Option<Json> {
    let labels = series.labels.iter().map(|(name, value)| (*name, &**value));
    let mut point = json!({"attributes": attributes(labels), "timeUnixNano": times.at});
    if kind != Kind::Gauge {
        point["startTimeUnixNano"] = times.start.clone().into();
    }
    match &series.value {
        Value::Number(value) if value.is_finite() => point["asDouble"] = (*value).into(),
        Value::Number(_) => return None,
        Value::Histogram(latency) => histogram(latency, &mut point),
    }
    Some(point)
}

/// Counts here are those of each bucket, without the ones before it, and the last bucket has no bound.
fn histogram(latency: &Latency, point: &mut Json) {
    let mut bounds = Vec::new();
    let mut counts = Vec::new();
    let mut before = 0;
    for (ms, count) in latency.cumulative() {
        bounds.push(ms as f64 / 1000.0);
        counts.push((count - before).to_string());
        before = count;
    }
    counts.push((latency.count() - before).to_string());
    point["explicitBounds"] = bounds.into();
    point["bucketCounts"] = counts.into();
    point["count"] = latency.count().to_string().into();
    point["sum"] = (latency.sum_ms() as f64 / 1000.0).into();
}

fn attributes<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Json> {
    pairs
        .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Metric, counter, gauge};
    use super::*;

    const READ: Metric = counter("isobar_read_total", &["spout"], "Records.");
    const AGE: Metric = gauge("isobar_age_seconds", &[], "An age.");
    const LATENCY: Metric = Metric {
        name: "isobar_latency_seconds",
        kind: Kind::Histogram,
        labels: &[],
        help: "A histogram.",
    };

    #[test]
    fn figures_have_the_form_of_the_specification() {
        let mut figures = Families::default();
        figures.sample(&READ, &["in"], 7.0);
        figures.sample(&AGE, &[], f64::INFINITY);
        figures.sample(&AGE, &[], 1.5);
        let requests: Vec<Json> = requests(&figures, "h:1", 1, 2).collect();
        assert_eq!(requests.len(), 1);
        let of = &requests[0]["resourceMetrics"][0];
        let attributes = of["resource"]["attributes"].as_array().expect("a list");
        let instance = json!({"key": "service.instance.id", "value": {"stringValue": "h:1"}});
        assert!(attributes.contains(&instance), "{attributes:?}");
        let expected = json!([
            {"name": "isobar_read_total", "description": "Records.", "unit": "", "sum": {
                "dataPoints": [{
                    "attributes": [{"key": "spout", "value": {"stringValue": "in"}}],
                    "startTimeUnixNano": "1000000", "timeUnixNano": "2000000", "asDouble": 7.0,
                }],
                "aggregationTemporality": 2, "isMonotonic": true,
            }},
            {"name": "isobar_age_seconds", "description": "An age.", "unit": "s", "gauge": {
                "dataPoints": [{"attributes": [], "timeUnixNano": "2000000", "asDouble": 1.5}],
            }},
        ]);
        assert_eq!(of["scopeMetrics"][0]["metrics"], expected);
    }

    #[test]
    fn a_histogram_counts_each_bucket_on_its_own() {
        let mut figures = Families::default();
        figures.histogram(&LATENCY, &[], &Latency::default());
        let request = requests(&figures, "h:1", 1, 2).next().expect("one");
        let metric = &request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
        let point = &metric["histogram"]["dataPoints"][0];
        let length = |name: &str| point[name].as_array().map(Vec::len);
        assert_eq!(
            length("bucketCounts"),
            length("explicitBounds").map(|n| n + 1)
        );
        assert_eq!((&point["count"], &point["sum"]), (&json!("0"), &json!(0.0)));
    }

    #[test]
    fn many_points_go_in_several_requests() {
        let mut figures = Families::default();
        for number in 0..POINTS_MAX + 1 {
            figures.sample(&READ, &[&number.to_string()], 1.0);
        }
        figures.sample(&AGE, &[], 1.0);
        let requests = requests(&figures, "h:1", 1, 2);
        let names = requests.map(|request| {
            request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["name"].clone()
        });
        let expected = ["isobar_read_total", "isobar_age_seconds"];
        assert_eq!(names.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn units_follow_from_names() {
        let check = |name, expected| assert_eq!(unit(name), expected, "{name}");
        check("process_cpu_seconds_total", "s");
        check("isobar_in_flight_bytes", "By");
        check("isobar_lag_records", "");
        check("isobar_incoming_records_per_second", "");
    }
}
