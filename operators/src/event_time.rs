//! The time of an event, as parsers find it in a document: the formats of times, and what becomes of a
//! record whose time cannot be read. All times are ms since 1970, in UTC.
//!
//! Whether a time is plausible is the business of whoever writes to an index named after it.

pub(crate) mod calendar;
mod format;
pub(crate) mod joda;
pub(crate) mod rfc3339;
mod unix;
pub(crate) mod zone;

use isobar_topology::spec::{Path, Problem, Problems};
use isobar_topology::{Batch, Emitter, Prepare, RecordMut, Rejection, Verdict};
use schemars::JsonSchema;
use serde::Deserialize;

use format::TimeFormat;
use zone::Zone;

use crate::excerpt::excerpt;
use crate::field_path::FieldPath;

/// What becomes of a record without a readable time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnInvalid {
    /// It is rejected with the class `event_time`.
    #[default]
    Reject,
    /// It keeps the timestamp of the record as its event time, and is counted.
    Keep,
}

/// Keeps the records that `parse` takes and rejects the others. `parse` tells whether it found the event
/// time; returned is for how many kept records it did not.
#[inline]
pub(crate) fn judge_times(
    batch: Batch,
    out: &mut Emitter,
    mut parse: impl FnMut(&mut RecordMut<'_>) -> Result<bool, Rejection>,
) -> u64 {
    let mut without = 0;
    batch.judge(out, |record| match parse(record) {
        Ok(has_time) => {
            without += u64::from(!has_time);
            Verdict::Keep
        }
        Err(rejection) => Verdict::Reject(rejection),
    });
    without
}

/// The options of a parser that concern the event time, as they are written.
pub(crate) struct Options<'o> {
    pub(crate) field: &'o str,
    /// Each with its place; the first that fits counts.
    pub(crate) formats: &'o [(&'o str, Path)],
    pub(crate) zone: &'o str,
    pub(crate) on_invalid: OnInvalid,
    pub(crate) names: Names,
}

/// Where the other options are.
pub(crate) struct Names {
    pub(crate) field: Path,
    pub(crate) zone: Path,
}

/// Reads the event time of documents from one of their fields.
#[derive(Clone)]
pub(crate) struct EventTime {
    field: FieldPath,
    formats: Vec<TimeFormat>,
    on_invalid: OnInvalid,
}

impl EventTime {
    /// Reads the options of a component.
    pub(crate) fn new(options: &Options<'_>, prepare: &mut Prepare<'_>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let field = FieldPath::new(options.field, &options.names.field, prepare);
        let field = problems.take(field.map_err(Problems::from));
        let zone = problems.take(zone(options.zone, &options.names.zone).map_err(Problems::from));
        let zone = zone.unwrap_or_default();
        let formats = options.formats.iter().filter_map(|(format, path)| {
            problems.take(TimeFormat::new(format, &zone, path).map_err(Problems::from))
        });
        let formats = formats.collect();
        problems.or(())?;
        Ok(Self {
            field: field.expect("no problem means a field"),
            formats,
            on_invalid: options.on_invalid,
        })
    }

    /// Whether it takes the year from the time of reading where a record has no timestamp.
    pub(crate) fn dates_by_clock(&self) -> bool {
        !self.formats.iter().all(TimeFormat::says_year)
    }

    /// Sets the event time of a record from its document. `false` when it has none that can be read
    /// and is kept all the same.
    #[inline]
    pub(crate) fn apply(&mut self, record: &mut RecordMut<'_>) -> Result<bool, Rejection> {
        let view = record.view();
        let raw = self.field.get(view);
        let timestamp = view.timestamp();
        let mut formats = self.formats.iter_mut();
        match raw.and_then(|raw| formats.find_map(|format| format.read(raw, timestamp))) {
            Some(ms) => {
                record.set_event_time(ms);
                Ok(true)
            }
            None if self.on_invalid == OnInvalid::Keep => Ok(false),
            None => Err(self.rejection(raw)),
        }
    }

    #[cold]
    fn rejection(&self, raw: Option<&[u8]>) -> Rejection {
        let field = self.field.written();
        let reason = match raw {
            None => format!("The field {field} with the event time is missing"),
            Some(raw) => {
                let formats: Vec<String> = self.formats.iter().map(TimeFormat::to_string).collect();
                format!(
                    "The event time {} in the field {field} is not {}",
                    excerpt(raw),
                    formats.join(" or ")
                )
            }
        };
        Rejection::new("event_time", reason)
    }
}

/// The time zone that an option at `path` holds.
pub(crate) fn zone(text: &str, path: &Path) -> Result<Zone, Problem> {
    text.parse().map_err(|error| {
        Problem::new(path.clone(), format!("`{text}` is not a time zone: {error}"))
            .expected("UTC, an offset such as +02:00, or a name such as Europe/Berlin that the system's time zone data has")
    })
}

#[cfg(test)]
mod tests {
    use isobar_topology::Symbols;
    use isobar_topology::testing::{Harness, Input, with_prepare};

    use super::*;

    /// The options of `parse_json`, as they are written.
    #[derive(Clone, Copy)]
    struct Written {
        field: &'static str,
        format: &'static str,
        zone: &'static str,
        on_invalid: OnInvalid,
    }

    const OPTIONS: Written = Written {
        field: "t",
        format: "rfc3339",
        zone: "UTC",
        on_invalid: OnInvalid::Reject,
    };

    fn new(written: &Written, symbols: &mut Symbols) -> Result<EventTime, Problems> {
        let path = Path::root().key("bolts").key("parse");
        let options = Options {
            field: written.field,
            formats: &[(written.format, path.key("event_time_format"))],
            zone: written.zone,
            on_invalid: written.on_invalid,
            names: Names {
                field: path.key("event_time"),
                zone: path.key("event_time_zone"),
            },
        };
        with_prepare(symbols, |prepare| EventTime::new(&options, prepare))
    }

    /// The event time of a document, or why it is rejected.
    fn apply(options: &Written, document: &str) -> Result<Option<i64>, String> {
        let mut symbols = Symbols::new();
        let mut event_time = new(options, &mut symbols).expect("good options");
        let input = Input {
            timestamp: -1,
            ..Input::document(document)
        };
        let mut batch = Harness::new(symbols).batch(&[input]);
        let mut record = batch.record_mut(0);
        let applied = event_time.apply(&mut record);
        let applied = applied.map_err(|r| format!("{}: {}", r.class, r.reason))?;
        assert_eq!(applied, record.view().event_time().is_some());
        Ok(record.view().event_time())
    }

    #[test]
    fn the_field_may_be_anywhere() {
        for (field, document) in [
            ("t", r#"{"t":"1970-01-01T00:00:01Z"}"#),
            ("@t", r#"{"a":1,"@t":"1970-01-01T00:00:01Z"}"#),
            ("a.b.c", r#"{"a":{"x":0,"b":{"c":"1970-01-01T00:00:01Z"}}}"#),
            ("[\"a.b\"]", r#"{"a":{"b":5},"a.b":"1970-01-01T00:00:01Z"}"#),
        ] {
            let options = Written { field, ..OPTIONS };
            assert_eq!(apply(&options, document), Ok(Some(1_000)), "{field}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_rejected_or_kept() {
        let keep = Written {
            on_invalid: OnInvalid::Keep,
            ..OPTIONS
        };
        let long = format!(r#"{{"t":"{}"}}"#, "é".repeat(200));
        let shown = format!(
            "event_time: The event time \"{}… in the field t is not a time of RFC 3339 such as 2024-01-31T12:00:00Z",
            "é".repeat(99)
        );
        for (document, reason) in [
            (
                "{}",
                "event_time: The field t with the event time is missing",
            ),
            (
                r#"{"t":null}"#,
                "event_time: The event time null in the field t is not a time of RFC 3339 such as 2024-01-31T12:00:00Z",
            ),
            (
                r#"{"t":{"a":1}}"#,
                "event_time: The event time {\"a\":1} in the field t is not a time of RFC 3339 such as 2024-01-31T12:00:00Z",
            ),
            (long.as_str(), shown.as_str()),
        ] {
            assert_eq!(apply(&OPTIONS, document), Err(reason.to_owned()));
            assert_eq!(apply(&keep, document), Ok(None));
        }
    }

    #[test]
    fn bad_options_are_problems() {
        for (options, expected) in [
            (
                Written {
                    field: "a..b",
                    format: "rfc339",
                    ..OPTIONS
                },
                "bolts.parse.event_time: `a..b` is not a field; expected a name such as host, user.name for a field inside of another, or [\"user.name\"] for a name with a dot in it\n\
                 bolts.parse.event_time_format: unknown format `rfc339`; expected rfc3339, unix_s, unix_ms, unix_us, unix_ns, or a pattern of strptime such as %d/%b/%Y:%H:%M:%S %z; did you mean rfc3339?",
            ),
            (
                Written {
                    format: "yyyy-MM-dd HH:mm:ss",
                    ..OPTIONS
                },
                "bolts.parse.event_time_format: `yyyy-MM-dd HH:mm:ss` has no conversion such as %Y; expected for example %Y-%m-%d %H:%M:%S",
            ),
            (
                Written {
                    format: "%Y-%m-%d HH:mm:ss",
                    ..OPTIONS
                },
                "bolts.parse.event_time_format: `%Y-%m-%d HH:mm:ss` mixes conversions such as %Y with letters of Java such as MM, which stand for themselves; expected for example %Y-%m-%d %H:%M:%S",
            ),
            (
                Written {
                    format: "%H:%M",
                    ..OPTIONS
                },
                "bolts.parse.event_time_format: the pattern gives no time: ",
            ),
            (
                Written {
                    format: "%Y-%m-%d %E",
                    ..OPTIONS
                },
                "bolts.parse.event_time_format: the pattern gives no time: ",
            ),
            (
                Written {
                    format: "%F %T",
                    zone: "Europe/Atlantis",
                    ..OPTIONS
                },
                "bolts.parse.event_time_zone: `Europe/Atlantis` is not a time zone: ",
            ),
        ] {
            let problems = new(&options, &mut Symbols::new()).err().expect("bad");
            let problems = problems.to_string();
            assert!(problems.starts_with(expected), "{problems}");
        }
    }
}
