//! `parse_json`: makes documents of records that hold JSON. The hot path of most topologies: the bytes
//! that were read become the document, nothing is copied.

use std::sync::Arc;

use isobar_topology::json::{self, JsonError, Kind};
use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Counter, DocumentUse, Emitter, Example, OperatorError, Prepare,
    PreparedBolt, RecordMut, Rejection,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::event_time::{EventTime, Names, OnInvalid, Options, judge_times};
use crate::expression::text_of;
use crate::found_object::FoundObject;
use crate::unfit::{self, Unfit};

pub(super) const TYPE: BoltType = BoltType {
    name: "parse_json",
    schema: || schemars::schema_for!(ParseJsonConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: parse_json
inputs: [logs]
event_time: timestamp
",
    &[
        r#"{"timestamp":"2026-01-31T06:00:00Z","level":"warn","message":"slow"}"#,
        r#"{"timestamp":"yesterday","level":"info"}"#,
        "all well",
    ],
);

/// Makes a document of a record whose value is a JSON object.
///
/// A record is rejected with the class `invalid_json` when its value is not valid JSON in UTF-8, is no
/// object, repeats a key at its top level, or nests objects and lists deeper than 128; with `no_value`
/// when it has no value, as a tombstone; with `event_time` when its time cannot be read. Numbers of any
/// size are kept as they are written.
///
/// With `field` it reads JSON inside of a document instead; there, a missing field or one without text
/// is rejected with the class `missing_field`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseJsonConfig {
    /// A field with a JSON object as text, such as `log` or `event.original`, as container runtimes write
    /// lines of programs that log JSON. The object takes the place of the text: `log` with
    /// `{"level":"warn"}` becomes an object with `level`. Default: the record's value is parsed.
    field: Option<String>,
    /// Whether the members of an object that is found in `field` become fields of the document instead.
    /// They take the place of fields of the same names, and `field` is removed.
    #[serde(default)]
    merge: bool,
    /// What becomes of a record whose `field` is missing or holds no JSON object: `reject`, or `keep` as it is,
    /// counted by the metric `unparsed_fields`; with `event_time` it still needs a time. Default `reject`.
    #[serde(default)]
    on_invalid: unfit::OnInvalid,
    /// The field that says when the event was: `timestamp`, `event.created` for a field inside of
    /// another, `["event.created"]` for a name with a dot. It sets the event time, which names indices;
    /// without this option that is the timestamp of the record.
    event_time: Option<String>,
    /// How the time is written: `rfc3339`, as in 2024-01-31T12:00:00Z; `unix_s`, `unix_ms`, `unix_us`
    /// or `unix_ns`, a number since 1970, as JSON number or text; or a pattern of strptime such as
    /// `%d/%b/%Y:%H:%M:%S %z`, which takes several times as long to read. A pattern without a year is of
    /// the latest one in which it is at most a day after the timestamp of the record. Default `rfc3339`.
    #[serde(default = "rfc3339")]
    event_time_format: String,
    /// Time zone of times whose pattern does not say theirs: `Europe/Berlin`, `+02:00` or `UTC`.
    /// Default `UTC`.
    #[serde(default = "utc")]
    event_time_zone: String,
    /// What becomes of a record whose field with the time is missing or cannot be read: `reject`, or
    /// `keep` with the record's timestamp as event time, counted by the metric `invalid_event_times`.
    /// Default `reject`.
    #[serde(default)]
    on_invalid_event_time: OnInvalid,
}

fn rfc3339() -> String {
    "rfc3339".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: ParseJsonConfig = parse_config(&component.config, &component.path)?;
    let mut problems = Problems::default();
    let idle = [
        "event_time_format",
        "event_time_zone",
        "on_invalid_event_time",
    ];
    let idle = idle
        .iter()
        .find(|name| component.config.get(name).is_some());
    if let (None, Some(idle)) = (&config.event_time, idle) {
        problems.push(
            Problem::new(
                component.path.clone(),
                format!("`{idle}` is given without `event_time`"),
            )
            .expected("`event_time`, the field with the time")
            .at(component.place),
        );
    }
    let event_time = config.event_time.as_deref().map(|field| {
        let path = |option| component.path.key(option);
        let options = Options {
            field,
            formats: &[(&config.event_time_format, path("event_time_format"))],
            zone: &config.event_time_zone,
            on_invalid: config.on_invalid_event_time,
            names: Names {
                field: path("event_time"),
                zone: path("event_time_zone"),
            },
        };
        EventTime::new(&options, prepare)
    });
    let event_time = problems.take(event_time.transpose());
    let found = FoundObject::new(config.field.as_deref(), config.merge, component, prepare);
    let found = problems.take(found);
    let checked = unfit::OnInvalid::check(config.field.as_deref(), component);
    let _checked = problems.take(checked.map_err(Problems::from));
    problems.or(())?;
    let (event_time, found) = event_time.zip(found).expect("no problem means both");
    Ok(PreparedBolt {
        document: match &found {
            None => DocumentUse::Makes,
            Some(_) => DocumentUse::Needs,
        },
        dates_by_clock: event_time.as_ref().is_some_and(EventTime::dates_by_clock),
        copies: match &found {
            // What was read is the document.
            None => 0,
            Some(found) => found.copies(),
        },
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(ParseJson {
                found: found.clone(),
                unfit: Unfit::new(config.on_invalid, &context),
                event_time: event_time.clone(),
                invalid_times: context.counters.counter(
                    "invalid_event_times",
                    "Records whose event time could not be read and that were kept with the timestamp of the record.",
                ),
                object: Vec::new(),
            })
        }))
    })
}

struct ParseJson {
    /// Where it reads a field.
    found: Option<FoundObject>,
    unfit: Unfit,
    event_time: Option<EventTime>,
    invalid_times: Counter,
    /// The object that was found in it.
    object: Vec<u8>,
}

impl Bolt for ParseJson {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let invalid = judge_times(batch, out, |record| self.parse(record));
        self.invalid_times.add(invalid);
        Ok(())
    }
}

impl ParseJson {
    /// Parses a record; whether its event time is what was asked for.
    #[inline]
    fn parse(&mut self, record: &mut RecordMut<'_>) -> Result<bool, Rejection> {
        match &mut self.found {
            None => parse_value(record)?,
            Some(found) => parse_field(found, &mut self.object, record)
                .or_else(|rejection| self.unfit.decide(rejection))?,
        }
        match &mut self.event_time {
            None => Ok(true),
            Some(event_time) => event_time.apply(record),
        }
    }
}

/// Puts the object in the text of a field where it belongs. `object` is overwritten.
fn parse_field(
    found: &mut FoundObject,
    object: &mut Vec<u8>,
    record: &mut RecordMut<'_>,
) -> Result<(), Rejection> {
    let missing = |what| {
        let name = found.field().written();
        Rejection::new("missing_field", format!("The field {name} {what}"))
    };
    let raw = found.field().get(record.view());
    let raw = raw.ok_or_else(|| missing("is missing"))?;
    object.clear();
    match Kind::of(raw) {
        Kind::Object if !found.merges() => return Ok(()),
        // Names may repeat further inside of a document, and not in one.
        Kind::Object => {
            let span = json::scan_object(raw, |_| {}).map_err(invalid_json)?;
            object.extend_from_slice(span.of(raw));
        }
        Kind::String => {
            let text = text_of(raw);
            let span = json::scan_object(&text, |_| {}).map_err(invalid_json)?;
            object.extend_from_slice(span.of(&text));
        }
        _ => return Err(missing("is not text")),
    }
    found.place(record, object)
}

#[inline]
fn parse_value(record: &mut RecordMut<'_>) -> Result<(), Rejection> {
    if record.payload().is_none() {
        return Err(no_value());
    }
    record.adopt_json().map_err(invalid_json)
}

#[cold]
fn no_value() -> Rejection {
    Rejection::new("no_value", "The record has no value: it is a tombstone")
}

#[cold]
fn invalid_json(error: JsonError) -> Rejection {
    Rejection::new("invalid_json", error.to_string())
}

#[cfg(test)]
mod tests {
    use isobar_topology::Stream;
    use isobar_topology::testing::{Input, PreparedForTest};
    use serde_json::{Value, json};

    use super::*;

    /// Document and event time, or why the record was rejected.
    async fn parse(options: &Value, input: Input) -> Result<(String, Option<i64>), String> {
        let mut bolt = PreparedForTest::new(&TYPE, options).expect("good options");
        let mut emitted = bolt.run(&[input]).await;
        let record = emitted.pop().expect("one record");
        assert!(emitted.is_empty());
        match record.rejection {
            Some(rejection) => {
                assert_eq!(record.stream, Stream::REJECTED);
                Err(format!("{}: {}", rejection.class, rejection.reason))
            }
            None => Ok((record.document.expect("a document"), record.event_time)),
        }
    }

    const READ: Option<i64> = Some(1_700_000_000_000);

    #[tokio::test(start_paused = true)]
    async fn the_value_becomes_the_document() {
        for (payload, document) in [
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (
                " {\"a\" : [1e400, \"\\ud800\"]}\n",
                r#"{"a" : [1e400, "\ud800"]}"#,
            ),
            ("{}", "{}"),
        ] {
            let parsed = parse(&json!({}), Input::raw(payload)).await;
            assert_eq!(parsed, Ok((document.to_owned(), READ)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_json_object_is_rejected() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        for (payload, reason) in [
            (
                "",
                "invalid_json: invalid JSON at byte 0: the text is empty",
            ),
            (
                "[1]",
                "invalid_json: invalid JSON at byte 0: expected an object, found an array",
            ),
            (
                r#"{"a":1,"a":2}"#,
                "invalid_json: invalid JSON at byte 7: duplicate key",
            ),
            (
                r#"{"a":1,"\u0061":2}"#,
                "invalid_json: invalid JSON at byte 7: duplicate key",
            ),
            (
                r#"{"a":1"#,
                "invalid_json: invalid JSON at byte 6: expected ',' or '}' after a member",
            ),
            (
                deep.as_str(),
                "invalid_json: invalid JSON at byte 132: nested deeper than 128 levels",
            ),
        ] {
            let parsed = parse(&json!({}), Input::raw(payload)).await;
            assert_eq!(parsed, Err(reason.to_owned()));
        }
        let no_text = parse(&json!({}), Input::raw(b"{\"a\":\"\xFF\"}")).await;
        assert_eq!(
            no_text,
            Err("invalid_json: invalid JSON at byte 6: not UTF-8".to_owned())
        );
        let tombstone = Input {
            payload: None,
            ..Input::raw("")
        };
        let tombstone = parse(&json!({}), tombstone).await;
        assert_eq!(
            tombstone,
            Err("no_value: The record has no value: it is a tombstone".to_owned())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_event_time_is_read_from_the_document() {
        for (options, document, expected) in [
            (
                json!({"event_time": "t"}),
                r#"{"t":"1970-01-01T00:00:01Z"}"#,
                Ok(Some(1_000)),
            ),
            (
                json!({"event_time": "a.t", "event_time_format": "unix_ms"}),
                r#"{"a":{"t":5}}"#,
                Ok(Some(5)),
            ),
            (
                json!({"event_time": "t", "event_time_format": "%F %T", "event_time_zone": "+01:00"}),
                r#"{"t":"1970-01-01 01:00:01"}"#,
                Ok(Some(1_000)),
            ),
            (
                json!({"event_time": "t", "on_invalid_event_time": "keep"}),
                r#"{"t":5}"#,
                Ok(READ),
            ),
            (
                json!({"event_time": "t"}),
                "{}",
                Err("event_time: The field t with the event time is missing".to_owned()),
            ),
        ] {
            let parsed = parse(&options, Input::raw(document)).await;
            assert_eq!(parsed.map(|(_, time)| time), expected, "{options}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn times_that_are_kept_are_counted() {
        let options = json!({"event_time": "t", "on_invalid_event_time": "keep"});
        let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
        let inputs = [r#"{"t":"1970-01-01T00:00:01Z"}"#, r#"{"t":1}"#, "{}"].map(Input::raw);
        assert_eq!(bolt.run(&inputs).await.len(), 3);
        assert_eq!(bolt.counters.values()[0].2, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn json_inside_of_a_field_takes_its_place() {
        let options = json!({"field": "log", "event_time": "log.t", "event_time_format": "unix_s"});
        let line = r#"{"log":"{\"t\":1,\"a\":\"\\\"\"}\n","stream":"stdout"}"#;
        let parsed = parse(&options, Input::document(line)).await;
        let document = r#"{"stream":"stdout","log":{"t":1,"a":"\""}}"#;
        assert_eq!(parsed, Ok((document.to_owned(), Some(1_000))));
        let options = json!({"field": "log"});
        for (document, expected) in [
            (r#"{"log":{"a":1}}"#, Ok(r#"{"log":{"a":1}}"#)),
            ("{}", Err("missing_field: The field log is missing")),
            (
                r#"{"log":5}"#,
                Err("missing_field: The field log is not text"),
            ),
            (
                r#"{"log":"no"}"#,
                Err("invalid_json: invalid JSON at byte 0: expected an object"),
            ),
        ] {
            let parsed = parse(&options, Input::document(document)).await;
            let parsed = parsed.map(|(document, _)| document);
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(parsed, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn json_inside_of_a_field_becomes_the_document_with_the_fields_around_it() {
        let options = json!({"field": "k8s.log", "merge": true, "event_time": "t", "event_time_format": "unix_s"});
        let line = r#"{"k8s":{"log":"{\"t\":1,\"level\":\"warn\",\"\\u0061\":2}\n","pod":"p"},"a":1,"t":9}"#;
        let parsed = parse(&options, Input::document(line)).await;
        let document = r#"{"k8s":{"pod":"p"},"t":1,"level":"warn","\u0061":2}"#;
        assert_eq!(parsed, Ok((document.to_owned(), Some(1_000))));
        let options = json!({"field": "log", "merge": true});
        for (document, expected) in [
            (r#"{"log":{"log":1},"a":2}"#, Ok(r#"{"a":2,"log":1}"#)),
            (r#"{"log":"{}"}"#, Ok("{}")),
            (
                r#"{"log":"{\"a\":1,\"a\":2}"}"#,
                Err("invalid_json: invalid JSON at byte 7: duplicate key"),
            ),
            (
                r#"{"log":[]}"#,
                Err("missing_field: The field log is not text"),
            ),
        ] {
            let parsed = parse(&options, Input::document(document)).await;
            let parsed = parsed.map(|(document, _)| document);
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(parsed, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_in_a_field_is_kept_where_that_is_asked_for() {
        for merge in [true, false] {
            let options = json!({"field": "log.text", "merge": merge, "on_invalid": "keep"});
            let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
            let kept = [
                r#"{"log":{"text":"at main.rs:1"},"a":1}"#,
                r#"{"log":{"text":"{\"a\":1,\"a\":2}"}}"#,
                r#"{"log":{"text":7}}"#,
                r#"{"log":"started"}"#,
                "{}",
            ];
            let fits = r#"{"log":{"text":"{}"}}"#;
            let inputs = kept.iter().chain([&fits]);
            let inputs: Vec<Input> = inputs.map(|json| Input::document(json)).collect();
            let emitted = bolt.run(&inputs).await;
            let documents: Vec<_> = emitted.iter().map(|e| e.document.as_deref()).collect();
            assert_eq!(documents[..kept.len()], kept.map(Some));
            assert_eq!(emitted.len(), kept.len() + 1);
            let counters = bolt.counters.values();
            let counted = counters
                .iter()
                .find(|(name, ..)| *name == "unparsed_fields");
            assert_eq!(counted.map(|(.., count)| *count), Some(5));
            // An object as it is stays where it is, and cannot be merged.
            let object = r#"{"log":{"text":{"a":1,"a":2}},"b":1}"#;
            let emitted = bolt.run(&[Input::document(object)]).await;
            assert_eq!(emitted[0].document.as_deref(), Some(object));
        }
        let options = json!({
            "field": "log", "on_invalid": "keep", "event_time": "log.t", "event_time_format": "unix_s",
        });
        let parsed = parse(&options, Input::document(r#"{"log":"started"}"#)).await;
        let reason = "event_time: The field log.t with the event time is missing";
        assert_eq!(parsed, Err(reason.to_owned()));
    }

    #[test]
    fn bad_options_are_problems() {
        let check = |options: Value, expected: &[&str]| {
            let problems = PreparedForTest::new(&TYPE, &options).err().expect("bad");
            assert_eq!(problems.to_string(), expected.join("\n"));
        };
        check(
            json!({"event_time": "", "field": "a.", "event_time_format": "unix"}),
            &[
                "bolts.bolt.event_time: `` is not a field; expected a name such as host, user.name for a field inside of another, or [\"user.name\"] for a name with a dot in it",
                "bolts.bolt.event_time_format: unknown format `unix`; expected rfc3339, unix_s, unix_ms, unix_us, unix_ns, or a pattern of strptime such as %d/%b/%Y:%H:%M:%S %z; did you mean unix_s?",
                "bolts.bolt.field: `a.` is not a field; expected a name such as host, user.name for a field inside of another, or [\"user.name\"] for a name with a dot in it",
            ],
        );
        check(
            json!({"on_invalid": "keep"}),
            &[
                "bolts.bolt.on_invalid: `on_invalid` is given without `field`; expected `field`, the field with the text",
            ],
        );
        check(
            json!({"merge": true}),
            &[
                "bolts.bolt.merge: `merge` is given without `field`; expected `field`, the field with the text",
            ],
        );
        check(
            json!({"on_invalid_event_time": "drop"}),
            &[
                "bolts.bolt.on_invalid_event_time: found the string \"drop\"; expected one of keep, reject",
            ],
        );
        check(
            json!({"event_time_format": "unix_s"}),
            &[
                "bolts.bolt: `event_time_format` is given without `event_time`; expected `event_time`, the field with the time",
            ],
        );
    }
}
