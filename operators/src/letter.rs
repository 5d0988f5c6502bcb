//! A dead letter as one JSON object on one line: why a record was rejected, where it comes from, and
//! the record itself, for people and for programs that read lines.

use isobar_topology::{Record, Rejection, clock, json};
use jiff::Timestamp;
use openssl::base64;
use serde_json::Value;

use crate::dead_letter::{Letter, NotALetter, Origin, redrives};
use crate::event_time::rfc3339;
use crate::replay::ordinals_of;

/// The version of the format; a change that readers must know of makes another one.
const VERSION: &[u8] = b"1";

/// A letter with the bytes of its record.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) letter: Letter,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
}

/// Reads a line of a file; `None` where it is no dead letter, but a document of the same sink, or a line that a crash
/// has cut. Fails for one of another version, or that lacks where its record is.
pub(crate) fn read(line: &[u8]) -> Option<Result<Line, NotALetter>> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let version = line.get("dead_letter")?;
    if version.to_string().as_bytes() != VERSION {
        return Some(Err(NotALetter::Version(version.to_string())));
    }
    Some(Origin::on(&line).map(|origin| {
        let maybe = |name: &str| line[name].as_str().map(str::to_owned);
        let text = |name: &str| maybe(name).unwrap_or_default();
        Line {
            letter: Letter {
                topology: text("topology"),
                bolt: text("bolt"),
                attempts: line["attempts"].as_u64().unwrap_or(1) as u32,
                redrives: redrives(&text("topology"), headers_on(&line)).unwrap_or_default(),
                class: text("class"),
                reason: text("reason"),
                target: maybe("target"),
                document_id: maybe("document_id"),
                rejected_at: ms(&line, "rejected_at").unwrap_or_default(),
                origin,
                cut: None,
            },
            key: bytes_of(&line, "key"),
            payload: bytes_of(&line, "payload"),
        }
    }))
}

impl Origin {
    /// Where the record of a line was first read.
    fn on(line: &Value) -> Result<Self, NotALetter> {
        let source = line["source"]
            .as_str()
            .ok_or(NotALetter::Missing("source"))?;
        let number = |name: &'static str| line[name].as_i64().ok_or(NotALetter::Missing(name));
        let partition = number("partition")?.try_into();
        Ok(Self {
            source: u64::from_str_radix(source, 16)
                .map_err(|_| NotALetter::Unreadable("source"))?,
            topic: line["topic"]
                .as_str()
                .ok_or(NotALetter::Missing("topic"))?
                .to_owned(),
            partition: partition.map_err(|_| NotALetter::Unreadable("partition"))?,
            offset: number("offset")?,
            timestamp: ms(line, "timestamp"),
            ordinals: ordinals_of(&line["ordinal"]),
        })
    }
}

/// A time of a line in ms since 1970.
fn ms(line: &Value, name: &str) -> Option<i64> {
    let time: Timestamp = line[name].as_str()?.parse().ok()?;
    Some(time.as_millisecond())
}

/// The headers of a line's record, but for those that are no text.
fn headers_on(line: &Value) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let headers = line["headers"].as_array().into_iter().flatten();
    headers.filter_map(|header| {
        let name = header["name"].as_str()?.as_bytes();
        Some((name, header["value"].as_str().map(str::as_bytes)))
    })
}

fn bytes_of(line: &Value, name: &str) -> Option<Vec<u8>> {
    if let Some(text) = line[name].as_str() {
        return Some(text.as_bytes().to_vec());
    }
    base64::decode_block(line[format!("{name}_base64")].as_str()?).ok()
}

/// Appends the letter of a record.
///
/// Members: `dead_letter`, the version of the format; `topology`; `bolt`, `attempts`, `class` and
/// `reason` of the rejection; `target` and `document_id` where something was tried; the record's origin
/// as `source` (hash of cluster and topic, as in document ids), `topic`, `partition`, `offset`,
/// `timestamp` and, for parts of split records, `ordinal`, a number or an array of them for a part of a
/// part; `rejected_at`; `key`, `payload` and
/// `headers`. Bytes that are not UTF-8 stand in base64 under the name with `_base64` behind it. What is
/// absent, such as the payload of a tombstone, is null. The names are those of dead letters in Kafka.
pub(crate) fn write(out: &mut Vec<u8>, topology: &str, record: Record<'_>, rejection: &Rejection) {
    out.extend_from_slice(b"{\"dead_letter\":");
    out.extend_from_slice(VERSION);
    text(out, "topology", topology);
    text(out, "bolt", &rejection.bolt);
    number(out, "attempts", rejection.attempts.into());
    text(out, "class", rejection.class);
    text(out, "reason", &rejection.reason);
    if let Some(target) = &rejection.target {
        text(out, "target", target);
    }
    if let Some(id) = &rejection.document_id {
        text(out, "document_id", id);
    }
    let origin = Origin::of(record);
    text(out, "source", &format!("{:016x}", origin.source));
    text(out, "topic", &origin.topic);
    number(out, "partition", origin.partition.into());
    number(out, "offset", origin.offset);
    time(out, "timestamp", origin.timestamp);
    if !origin.ordinals.is_empty() {
        name(out, "ordinal");
        serde_json::to_writer(&mut *out, &origin.ordinals).expect("numbers into memory");
    }
    time(out, "rejected_at", Some(clock::unix_ms()));
    bytes(out, "key", record.key());
    bytes(out, "payload", record.whole_payload());
    name(out, "headers");
    out.push(b'[');
    for (number, (header, value)) in record.headers().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        let start = out.len();
        bytes(out, "name", Some(header));
        bytes(out, "value", value);
        // The comma before the first member.
        out[start] = b'{';
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

/// Appends a comma and the name of a member.
fn name(out: &mut Vec<u8>, name: &str) {
    out.push(b',');
    json::write_string(out, name);
    out.push(b':');
}

fn text(out: &mut Vec<u8>, member: &str, text: &str) {
    name(out, member);
    json::write_string(out, text);
}

fn number(out: &mut Vec<u8>, member: &str, number: i64) {
    name(out, member);
    out.extend_from_slice(number.to_string().as_bytes());
}

/// Appends a time in ms since 1970.
fn time(out: &mut Vec<u8>, member: &str, ms: Option<i64>) {
    name(out, member);
    let Some(ms) = ms else {
        return out.extend_from_slice(b"null");
    };
    out.push(b'"');
    rfc3339::write(out, ms);
    out.push(b'"');
}

fn bytes(out: &mut Vec<u8>, member: &str, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else {
        name(out, member);
        return out.extend_from_slice(b"null");
    };
    match std::str::from_utf8(bytes) {
        Ok(content) => text(out, member, content),
        Err(_) => {
            name(out, &format!("{member}_base64"));
            out.push(b'"');
            write_base64(out, bytes);
            out.push(b'"');
        }
    }
}

/// Appends bytes in the base64 of RFC 4648, section 4, with padding.
fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            let is_padding = digit > chunk.len();
            out.push(if is_padding {
                b'='
            } else {
                DIGITS[value as usize]
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::Symbols;
    use isobar_topology::testing::{Harness, Input};
    use serde_json::{Value, json};

    use super::*;
    use crate::dead_letter::redriven;

    fn letter(input: Input, rejection: &Rejection) -> Value {
        let mut harness = Harness::new(Symbols::new());
        let batch = harness.batch(&[input]);
        let mut line = Vec::new();
        write(&mut line, "access-logs", batch.record(0), rejection);
        batch.answer(isobar_topology::Answer::Delivered);
        assert!(!line.contains(&b'\n'));
        assert!(json::scan_object(&line, |_| {}).is_ok());
        let mut letter: Value = serde_json::from_slice(&line).expect("JSON");
        let at = letter
            .as_object_mut()
            .expect("an object")
            .remove("rejected_at");
        let at: Option<jiff::Timestamp> = at.and_then(|at| at.as_str()?.parse().ok());
        assert!(at.is_some());
        letter
    }

    #[test]
    fn a_letter_tells_reason_origin_and_content() {
        let mut rejection = Rejection::new("mapping", "field \"a\" is\nno number");
        rejection.bolt = "index".into();
        rejection.attempts = 3;
        let input = Input {
            key: Some(b"k".to_vec()),
            headers: vec![
                ("h".to_owned(), b"v".to_vec()),
                ("h".to_owned(), b"\xFF".to_vec()),
            ],
            ..Input::raw("line 1\nline 2")
        };
        assert_eq!(
            letter(
                input,
                &rejection
                    .clone()
                    .tried("logs-1".into(), Some("1x".to_owned()))
            ),
            json!({
                "dead_letter": 1, "topology": "access-logs", "reason": "field \"a\" is\nno number", "class": "mapping",
                "bolt": "index", "attempts": 3, "target": "logs-1", "document_id": "1x",
                "source": "0000000000000007", "topic": "topic", "partition": 3, "offset": 0,
                "timestamp": "2023-11-14T22:13:20Z", "key": "k", "payload": "line 1\nline 2",
                "headers": [{"name": "h", "value": "v"}, {"name": "h", "value_base64": "/w=="}],
            })
        );
        let tombstone = Input {
            timestamp: -1,
            ..Input::default()
        };
        assert_eq!(
            letter(tombstone, &rejection),
            json!({
                "dead_letter": 1, "topology": "access-logs", "reason": "field \"a\" is\nno number", "class": "mapping",
                "bolt": "index", "attempts": 3,
                "source": "0000000000000007", "topic": "topic", "partition": 3, "offset": 0,
                "timestamp": null, "key": null, "payload": null, "headers": [],
            })
        );
    }

    #[test]
    fn a_letter_is_read_as_it_was_written() {
        let mut harness = Harness::new(Symbols::new());
        let input = Input {
            key: Some(b"\xFF".to_vec()),
            ..Input::raw("no JSON")
        };
        let batch = harness.batch(&[input]);
        let origin = Origin::of(batch.record(0));
        let mut line = Vec::new();
        let mut rejection = Rejection::new("mapping", "no number");
        (rejection.bolt, rejection.attempts) = ("index".into(), 3);
        let rejection = rejection.tried("logs-1".into(), Some("1x".to_owned()));
        write(&mut line, "access-logs", batch.record(0), &rejection);
        batch.answer(isobar_topology::Answer::Delivered);
        let read_back = read(&line).expect("a letter").expect("of this version");
        assert_eq!(read_back.key.as_deref(), Some(&b"\xFF"[..]));
        assert_eq!(read_back.payload.as_deref(), Some(&b"no JSON"[..]));
        let letter = read_back.letter;
        assert!(letter.rejected_at > 0);
        let expected = Letter {
            topology: "access-logs".to_owned(),
            bolt: "index".to_owned(),
            attempts: 3,
            redrives: 0,
            class: "mapping".to_owned(),
            reason: "no number".to_owned(),
            target: Some("logs-1".to_owned()),
            document_id: Some("1x".to_owned()),
            rejected_at: letter.rejected_at,
            origin,
            cut: None,
        };
        assert_eq!(letter, expected);
        for none in ["{\"a\":1}", "{\"dead_letter\":1,", "", "7"] {
            assert!(read(none.as_bytes()).is_none(), "{none}");
        }
        for (other, error) in [
            ("{\"dead_letter\":2}", NotALetter::Version("2".to_owned())),
            ("{\"dead_letter\":1}", NotALetter::Missing("source")),
        ] {
            let read = read(other.as_bytes()).expect("one of some kind");
            assert_eq!(read.expect_err("not ours"), error);
        }
    }

    #[test]
    fn a_line_of_a_redrive_tells_how_often_its_record_was_sent_through_again() {
        let (name, value) = redriven(2);
        for (topology, redrives) in [("logs.redrive.1", 2), ("logs", 0)] {
            let mut harness = Harness::new(Symbols::new());
            let input = Input {
                headers: vec![(name.to_owned(), value.clone().into_bytes())],
                ..Input::raw("no JSON")
            };
            let batch = harness.batch(&[input]);
            let mut line = Vec::new();
            let rejection = Rejection::new("invalid_json", "x");
            write(&mut line, topology, batch.record(0), &rejection);
            batch.answer(isobar_topology::Answer::Delivered);
            let read_back = read(&line).expect("a letter").expect("of this version");
            assert_eq!(read_back.letter.redrives, redrives, "{topology}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_in_base64() {
        // The vectors of RFC 4648, section 10, and bytes that show every bit.
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"fooba", "Zm9vYmE="),
            (b"foobar", "Zm9vYmFy"),
            (b"\xFB\xFF\xBE\x00", "+/++AA=="),
        ] {
            let mut out = Vec::new();
            write_base64(&mut out, bytes);
            assert_eq!(String::from_utf8(out).as_deref(), Ok(expected));
        }
        let letter = letter(
            Input::raw(b"\xFF\xFE"),
            &Rejection::new("invalid_json", "x"),
        );
        assert_eq!(letter["payload_base64"], "//4=");
        assert_eq!(letter.get("payload"), None);
    }
}
