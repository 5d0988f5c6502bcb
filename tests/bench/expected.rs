//! What a record becomes, made a second time: whole documents by other means than the product's, so that nothing that
//! a parser leaves out or adds goes unseen.

use serde_json::{Map, Value, json};

/// A document that a record becomes.
pub struct Expected {
    pub index: &'static str,
    /// All of it but for its origin.
    pub document: Map<String, Value>,
}

/// The index of the day of all records: they are at most 14 h apart, from [`testkit::records::FIRST_TIME`].
pub const DAY: &str = "logs-2026.01.01";

/// The document with the four fields that `json-es` and its like set.
pub fn enriched(mut document: Map<String, Value>) -> Expected {
    for (name, value) in [("env", "bench"), ("region", "eu-west-1"), ("team", "shop")] {
        let _ = document.insert(name.to_owned(), value.into());
    }
    let _ = document.insert("is_test".to_owned(), true.into());
    Expected {
        index: DAY,
        document,
    }
}

/// The document with the fields that `filter-lookup-es` looks up: the zone follows from the host's number, as in the table of
/// [`Stage`](crate::stage::Stage).
pub fn looked_up(mut document: Map<String, Value>) -> Expected {
    let host = document["host"].as_str().expect("a host");
    let host: u64 = host.trim_start_matches("web-").parse().expect("its number");
    let index = match document["http"]["method"].as_str() {
        Some("GET") => "logs-get",
        Some("POST") => "logs-post",
        _ => "logs-rest",
    };
    let _ = document.insert("zone".to_owned(), format!("eu-{}", host % 3).into());
    let _ = document.insert("team".to_owned(), "shop".into());
    Expected { index, document }
}

/// Of a JSON object.
pub fn of_object(record: &str) -> Map<String, Value> {
    serde_json::from_str(record).expect("an object")
}

/// Of a line of `isobar generate access`: `CLIENT - - [TIME] "METHOD PATH PROTOCOL" STATUS BYTES "REFERRER" "AGENT"`.
pub fn of_access_line(line: &str) -> Map<String, Value> {
    let mut quoted = line.split('"');
    let mut next = || quoted.next().expect("a part of a line");
    let (head, request, answer, referrer, _, agent) =
        (next(), next(), next(), next(), next(), next());
    let (client, time) = head.split_once(" - - [").expect("nobody is known");
    let mut request = request.split(' ');
    let mut answer = answer.split_whitespace();
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    object(json!({
        "client": client,
        "timestamp": time_of_access_line(time),
        "method": request.next(),
        "path": request.next(),
        "protocol": request.next(),
        "status": number(answer.next()),
        "bytes": number(answer.next()),
        "referrer": referrer,
        "user_agent": agent,
    }))
}

/// `01/Jan/2026:00:20:34 +0000] ` in RFC 3339.
fn time_of_access_line(time: &str) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (date, clock) = time.split_once(':').expect("a date");
    let parts: Vec<&str> = date.split('/').collect();
    let month = MONTHS.iter().position(|name| *name == parts[1]);
    let clock = clock.trim_end().strip_suffix(" +0000]").expect("in UTC");
    let month = month.expect("a month") + 1;
    format!("{}-{month:02}-{}T{clock}Z", parts[2], parts[0])
}

/// Of a line of `isobar generate syslog`: `<PRIORITY>1 TIME HOST APPLICATION PROCESS ID DATA MESSAGE`, where the data
/// is `-` or one element whose values have no spaces.
pub fn of_syslog_line(line: &str) -> Map<String, Value> {
    let (priority, rest) = line[1..].split_once(">1 ").expect("a priority");
    let priority: u64 = priority.parse().expect("a number");
    let (header, data, message) = match rest.split_once(" [") {
        Some((header, rest)) => {
            let (data, message) = rest.split_once("] ").expect("an end of the data");
            (header, Some(data), message)
        }
        None => {
            let (header, message) = rest.split_once(" - ").expect("no data");
            (header, None, message)
        }
    };
    let words: Vec<&str> = header.split(' ').collect();
    let severity = match priority % 8 {
        3 => "err",
        4 => "warning",
        _ => "info",
    };
    let mut document = object(json!({
        "timestamp": words[0],
        "hostname": words[1],
        "app_name": words[2],
        "proc_id": words[3],
        "msg_id": words[4],
        "priority": priority,
        "facility": "local0",
        "severity": severity,
        "severity_code": priority % 8,
        "version": 1,
        "message": message,
    }));
    if let Some(data) = data {
        let mut words = data.split(' ');
        let id = words.next().expect("an id");
        let values = words.map(|word| {
            let (name, value) = word.split_once('=').expect("a value");
            (name.to_owned(), value.trim_matches('"').into())
        });
        let element = Value::Object(values.collect());
        let _ = document.insert("structured_data".to_owned(), json!({ id: element }));
    }
    document
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => unreachable!("{other} is no object"),
    }
}

#[cfg(test)]
mod tests {
    use isobar::generate::{Generated, Generator, Lines};
    use isobar_topology::testing::{Input, PreparedForTest};
    use testkit::records;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_are_read_as_their_bolts_read_them() {
        let of_access_line: fn(&str) -> Map<String, Value> = of_access_line;
        for (lines, bolt, expected) in [
            (Lines::Access, "parse_access_log", of_access_line),
            (Lines::Syslog, "parse_syslog", of_syslog_line),
        ] {
            let mut generator = Generator::new(lines, 1, records::FIRST_TIME, 100_000);
            let mut generated = Generated::default();
            let read: Vec<String> = (0..1_000)
                .map(|_| {
                    generator.next_into(&mut generated);
                    generated.line.clone()
                })
                .collect();
            let inputs: Vec<Input> = read.iter().map(Input::raw).collect();
            let registry = isobar_operators::registry();
            let kind = registry.bolt(bolt).expect("is registered");
            let mut bolt = PreparedForTest::new(kind, &json!({})).expect("good options");
            let emitted = bolt.run(&inputs).await;
            assert_eq!(emitted.len(), read.len());
            for (line, emitted) in read.iter().zip(emitted) {
                let document = emitted.document.expect("a document");
                let document: Value = serde_json::from_str(&document).expect("JSON");
                assert_eq!(document, Value::Object(expected(line)), "{line}");
            }
        }
    }
}
