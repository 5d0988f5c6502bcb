//! `parse_timestamp`: reads the time of an event from a field, whatever parser wrote it.

use std::sync::Arc;

use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Counter, Emitter, Example, OperatorError, Prepare,
    PreparedBolt, RecordMut, Rejection,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::event_time::{EventTime, Names, OnInvalid, Options, judge_times, rfc3339};
use crate::field_path::{EditSpace, FieldPath};

pub(super) const TYPE: BoltType = BoltType {
    name: "parse_timestamp",
    schema: || schemars::schema_for!(ParseTimestampConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: parse_timestamp
inputs: [parse]
field: timestamp
formats: [rfc3339, unix_ms, '%d/%b/%Y:%H:%M:%S %z']
target: \"@timestamp\"
",
    &[
        r#"{"timestamp":"31/Jan/2026:07:00:00 +0100"}"#,
        r#"{"timestamp":1769839200000}"#,
        r#"{"timestamp":"soon"}"#,
    ],
);

/// Reads the time of the event from a field of a document, and sets the event time, which names indices.
///
/// For fields that `parse_regex`, `parse_grok`, `parse_csv` or `parse_key_value` found; `parse_json` can
/// do so itself. A record whose time cannot be read is rejected with the class `event_time`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseTimestampConfig {
    /// The field with the time: `timestamp`, `event.created` for a field inside of another,
    /// `["event.created"]` for a name with a dot.
    field: String,
    /// How times are written; the first format that fits counts. `rfc3339`, as in 2024-01-31T12:00:00Z;
    /// `unix_s`, `unix_ms`, `unix_us` or `unix_ns`, a number since 1970, as JSON number or text; or a
    /// pattern of strptime such as `%d/%b/%Y:%H:%M:%S %z`, which takes several times as long to read. A
    /// pattern without a year, such as `%b %e %H:%M:%S` for the grok pattern `SYSLOGTIMESTAMP`, is of the
    /// latest year in which it is at most a day after the timestamp of the record. Default `[rfc3339]`.
    #[serde(default = "rfc3339_only")]
    formats: Vec<String>,
    /// Time zone of times whose pattern does not say theirs: `Europe/Berlin`, `+02:00` or `UTC`. Default
    /// `UTC`.
    #[serde(default = "utc")]
    zone: String,
    /// A field that the time is written to, in the form of RFC 3339 and in UTC, such as `@timestamp` or
    /// `event.created`; it may be `field` itself. Objects around it that are not there are made; a record
    /// that has something else there is rejected as `not_an_object`. Default: the document stays as it is.
    target: Option<String>,
    /// What becomes of a record whose field is missing or cannot be read: `reject`, or `keep` with the
    /// event time that it has, counted by the metric `invalid_event_times`. Default `reject`.
    #[serde(default)]
    on_invalid: OnInvalid,
}

fn rfc3339_only() -> Vec<String> {
    vec!["rfc3339".to_owned()]
}

fn utc() -> String {
    "UTC".to_owned()
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: ParseTimestampConfig = parse_config(&component.config, &component.path)?;
    let path = &component.path;
    let mut problems = Problems::default();
    let formats: Vec<_> = (config.formats.iter().enumerate())
        .map(|(index, format)| (format.as_str(), path.key("formats").index(index)))
        .collect();
    if formats.is_empty() {
        problems
            .push(Problem::new(path.key("formats"), "no format is given").expected("at least one"));
    }
    let options = Options {
        field: &config.field,
        formats: &formats,
        zone: &config.zone,
        on_invalid: config.on_invalid,
        names: Names {
            field: path.key("field"),
            zone: path.key("zone"),
        },
    };
    let event_time = problems.take(EventTime::new(&options, prepare));
    let target = config
        .target
        .as_deref()
        .map(|target| FieldPath::new(target, &path.key("target"), prepare));
    let target = problems.take(target.transpose().map_err(Problems::from));
    let field = FieldPath::new(&config.field, &path.key("field"), prepare);
    if let (Ok(field), Some(Some(target))) = (field, &target)
        && target.is_inside(&field)
    {
        let message = "is inside of `field`, which is text or a number";
        let problem = Problem::new(path.key("target"), message);
        problems.push(problem.expected("the field itself, or one beside it"));
    }
    problems.or(())?;
    let (event_time, target) = event_time.zip(target).expect("no problem means both");
    Ok(PreparedBolt {
        dates_by_clock: event_time.dates_by_clock(),
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(ParseTimestamp {
                event_time: event_time.clone(),
                target: target.clone(),
                space: EditSpace::default(),
                invalid_times: context.counters.counter(
                    "invalid_event_times",
                    "Records whose event time could not be read and that were kept with the one that they had.",
                ),
            })
        }))
    })
}

struct ParseTimestamp {
    event_time: EventTime,
    target: Option<FieldPath>,
    space: EditSpace,
    invalid_times: Counter,
}

impl Bolt for ParseTimestamp {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let invalid = judge_times(batch, out, |record| self.parse(record));
        self.invalid_times.add(invalid);
        Ok(())
    }
}

impl ParseTimestamp {
    /// Whether the time could be read.
    fn parse(&mut self, record: &mut RecordMut<'_>) -> Result<bool, Rejection> {
        let has_time = self.event_time.apply(record)?;
        let time = record.view().event_time().filter(|_| has_time);
        if let Some((target, ms)) = self.target.as_ref().zip(time) {
            target.set_with(record, &mut self.space, |out| {
                out.push(b'"');
                rfc3339::write(out, ms);
                out.push(b'"');
            })?;
        }
        Ok(has_time)
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::testing::Input;
    use serde_json::{Value, json};

    use super::*;
    use crate::one_record::{check_problems, run};

    fn parse(options: &Value, document: &str) -> Result<(Value, Option<i64>), String> {
        run(&TYPE, options, Input::document(document))
    }

    #[test]
    fn the_first_format_that_fits_counts() {
        let options = json!({
            "field": "t", "zone": "Europe/Berlin", "target": "@timestamp",
            "formats": ["rfc3339", "%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%d %H:%M:%S", "%b %e %H:%M:%S", "unix_s", "unix_ms"],
        });
        for (time, ms, written) in [
            (
                json!("2023-11-14T22:13:20.5Z"),
                1_700_000_000_500,
                "2023-11-14T22:13:20.500Z",
            ),
            (
                json!("10/Oct/2000:13:55:36 -0700"),
                971_211_336_000,
                "2000-10-10T20:55:36Z",
            ),
            (
                json!("2023-07-01 14:00:00"),
                1_688_212_800_000,
                "2023-07-01T12:00:00Z",
            ),
            (
                json!("Nov  4 10:00:00"),
                1_699_088_400_000,
                "2023-11-04T09:00:00Z",
            ),
            (
                json!("1700000000"),
                1_700_000_000_000,
                "2023-11-14T22:13:20Z",
            ),
            (
                json!(1_700_000_000),
                1_700_000_000_000,
                "2023-11-14T22:13:20Z",
            ),
        ] {
            let document = json!({"t": time});
            let found = parse(&options, &document.to_string());
            let expected = json!({"t": time, "@timestamp": written});
            assert_eq!(found, Ok((expected, Some(ms))), "{time}");
        }
    }

    #[test]
    fn a_field_inside_of_another_and_the_field_itself() {
        let options = json!({"field": "a.t", "formats": ["unix_s"]});
        let found = parse(&options, r#"{"a":{"t":5}}"#);
        assert_eq!(found, Ok((json!({"a": {"t": 5}}), Some(5_000))));
        let options = json!({"field": "t", "formats": ["unix_s"], "target": "t"});
        let found = parse(&options, r#"{"t":5,"b":1}"#);
        assert_eq!(
            found,
            Ok((json!({"t": "1970-01-01T00:00:05Z", "b": 1}), Some(5_000)))
        );
        let options = json!({"field": "t", "formats": ["unix_s"], "target": "event.created"});
        let found = parse(&options, r#"{"t":5,"event":{"kind":1}}"#);
        let event = json!({"kind": 1, "created": "1970-01-01T00:00:05Z"});
        assert_eq!(found, Ok((json!({"t": 5, "event": event}), Some(5_000))));
        let found = parse(&options, r#"{"t":5,"event":1}"#);
        let reason =
            "not_an_object: The field event.created cannot be set: what is around it is no object";
        assert_eq!(found, Err(reason.to_owned()));
    }

    #[test]
    fn what_cannot_be_read_is_rejected_or_kept() {
        let options = |on_invalid| json!({"field": "t", "formats": ["rfc3339", "unix_ms"], "target": "u", "on_invalid": on_invalid});
        for (document, reason) in [
            (
                "{}",
                "event_time: The field t with the event time is missing",
            ),
            (
                r#"{"t":"soon"}"#,
                "event_time: The event time \"soon\" in the field t is not a time of RFC 3339 such as 2024-01-31T12:00:00Z or a number of ms since 1970, up to the year 9999",
            ),
        ] {
            assert_eq!(parse(&options("reject"), document), Err(reason.to_owned()));
            let kept: Value = serde_json::from_str(document).expect("JSON");
            assert_eq!(
                parse(&options("keep"), document),
                Ok((kept, Some(1_700_000_000_000)))
            );
        }
    }

    #[test]
    fn bad_options_are_problems() {
        check_problems(
            &TYPE,
            &json!({"field": "a..b", "formats": ["unix_ms", "unix_m"], "zone": "UTC", "target": "c."}),
            &[
                "bolts.bolt.field: `a..b` is not a field; expected a name such as host, user.name for a field inside of another, or [\"user.name\"] for a name with a dot in it",
                "bolts.bolt.formats[1]: unknown format `unix_m`; expected rfc3339, unix_s, unix_ms, unix_us, unix_ns, or a pattern of strptime such as %d/%b/%Y:%H:%M:%S %z; did you mean unix_ms?",
                "bolts.bolt.target: `c.` is not a field; expected a name such as host, user.name for a field inside of another, or [\"user.name\"] for a name with a dot in it",
            ],
        );
        check_problems(
            &TYPE,
            &json!({"field": "t", "formats": []}),
            &["bolts.bolt.formats: no format is given; expected at least one"],
        );
    }
}
