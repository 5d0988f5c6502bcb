//! Writes one document to what a bolt writes to, and deletes it: what becomes of it tells more than any question.
//!
//! Only where something is there already, as an index that is made for a test stays, and where its name tells that it
//! is the topology's.

use hyper::Method;
use isobar_topology::clock;
use serde_json::{Value, json};
use url::Url;

use super::checks::fits;
use super::{Answer, Facts, Missing, once};
use crate::elasticsearch::ask::{Ask, said};
use crate::elasticsearch::outcome::{Action, Level, class_of};
use crate::elasticsearch::reply::fault_of_request;

/// What a document can be written to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// An index or a data stream that is there.
    name: String,
    is_data_stream: bool,
    by_create: bool,
    pipeline: Option<String>,
}

impl Target {
    /// The last by name of those that are there and that a sink may write to: with dates in their names the
    /// newest. Fails where there is none, where what others write to may have such a name, or where the document
    /// could not be deleted.
    pub(super) fn of(facts: &Facts, number: usize) -> Result<Self, Missing> {
        let sink = &facts.sinks[number];
        let pattern = sink.pattern();
        if !sink.is_named() {
            let text = format!(
                "nothing is written, as {pattern} may be what others than {} write to",
                sink.bolt
            );
            return Err(Missing::Absent(text));
        }
        let may_delete = match facts.of_sink(once::PRIVILEGES, number) {
            Ok(granted) => granted["index"][&pattern]["delete"] != false,
            // Nobody is kept from anything.
            Err(Missing::Absent(_)) => true,
            Err(missing) => return Err(missing),
        };
        if !may_delete {
            let text = format!("nothing is written, as the user may not `delete` on {pattern}");
            return Err(Missing::Absent(text));
        }
        let names: Vec<&str> = match sink.is_data_stream {
            true => {
                let streams = facts.of_sink(once::DATA_STREAMS, number)?;
                let streams = streams["data_streams"].as_array().into_iter().flatten();
                streams
                    .filter_map(|stream| stream["name"].as_str())
                    .collect()
            }
            false => {
                let indices = facts.of_sink(once::INDICES, number)?.as_object();
                let names = indices.into_iter().flatten();
                names.map(|(name, _)| name.as_str()).collect()
            }
        };
        let name = match pattern.contains('*') {
            true => names.into_iter().filter(|name| fits(&pattern, name)).max(),
            // It may be an alias of what is there.
            false => names.first().map(|_| pattern.as_str()),
        };
        let Some(name) = name else {
            let text = format!("nothing is written, as there is no {pattern} yet");
            return Err(Missing::Absent(text));
        };
        Ok(Self {
            name: name.to_owned(),
            is_data_stream: sink.is_data_stream,
            by_create: sink.operation == "create",
            pipeline: sink.pipeline.clone(),
        })
    }

    /// Writes a document as the bolt would, and deletes it. The answer has `index`, `id` and `status`, beside
    /// it the status of its deletion as `deleted`; or `said`, and as `is_of_index` whether the index is at fault.
    pub(super) async fn write(&self, ask: &Ask, host: &Url) -> Answer {
        let now_ms = clock::unix_ms();
        // By the id whoever finds it knows where it comes from.
        let id = format!("isobar-doctor-{now_ms}");
        let now = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
        let source = match self.is_data_stream {
            true => json!({"@timestamp": now.to_string()}),
            false => json!({}),
        };
        let by = match self.by_create {
            true => "_create",
            false => "_doc",
        };
        let pipeline = self.pipeline.iter();
        let pipeline: String = pipeline.map(|name| format!("?pipeline={name}")).collect();
        let path = format!("{}/{by}/{id}{pipeline}", self.name);
        let sent = ask.host(host, Method::PUT, &path, Some(&source)).await;
        let (status, answer) = sent.map_err(|cause| {
            let name = &self.name;
            Missing::Unknown(format!("{cause}; the document {id} may be in {name}"))
        })?;
        let mut written = json!({"index": self.name, "id": id, "status": status});
        if !matches!(status, 200 | 201) {
            written["said"] = said(&answer).into();
            let fault = fault_of_request(&answer);
            let class = class_of(Level::Item, status, fault.as_ref());
            written["is_of_index"] = (class.action() == Action::HoldTarget).into();
            return Ok(written);
        }
        let stored: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if stored["result"] == "noop" {
            written["deleted"] = 404.into();
            return Ok(written);
        }
        // A pipeline may have sent it elsewhere, and behind a data stream there are indices.
        let index = stored["_index"].as_str().unwrap_or(&self.name);
        let path = format!("{index}/_doc/{id}");
        written["deleted"] = match ask.host(host, Method::DELETE, &path, None).await {
            Ok((status, _)) => status.into(),
            Err(_) => 0.into(),
        };
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::super::tests::healthy;
    use super::*;
    use crate::stand_in::request;

    #[test]
    fn only_what_is_there_and_can_be_cleaned_up_is_written_to() {
        let mut facts = healthy();
        let tell = |facts: &mut Facts, name, answer| {
            let _ = facts.answers.insert((name, 0), answer);
        };
        let name = |facts: &Facts| Target::of(facts, 0).map(|target| target.name);
        let indices = json!({"logs-2025": {}, "logs-2026": {}, ".ds-logs-x": {}});
        tell(&mut facts, once::INDICES, Ok(indices));
        let streams = json!({"data_streams": [{"name": "logs-a"}, {"name": "other"}]});
        tell(&mut facts, once::DATA_STREAMS, Ok(streams));
        assert_eq!(name(&facts), Ok("logs-2026".to_owned()));
        let refused = json!({"index": {"logs-*": {"delete": false}}});
        tell(&mut facts, once::PRIVILEGES, Ok(refused));
        assert!(matches!(name(&facts), Err(Missing::Absent(_))));
        // Nobody knows whether it could be deleted.
        tell(&mut facts, once::PRIVILEGES, Err(Missing::Denied));
        assert_eq!(name(&facts), Err(Missing::Denied));
        let no_users = Err(Missing::Absent(String::new()));
        tell(&mut facts, once::PRIVILEGES, no_users);
        facts.sinks[0].is_data_stream = true;
        assert_eq!(name(&facts), Ok("logs-a".to_owned()));
        tell(&mut facts, once::DATA_STREAMS, Ok(json!({})));
        assert!(matches!(name(&facts), Err(Missing::Absent(_))));
        facts.sinks[0].is_data_stream = false;
        facts.sinks[0].target = "alias".to_owned();
        assert_eq!(name(&facts), Ok("alias".to_owned()));
    }

    #[test]
    fn nothing_is_written_to_what_may_be_of_others() {
        let mut facts = healthy();
        let indices = json!({"logs-2026": {}, ".security-7": {}, "orders": {}});
        let _ = facts.answers.insert((once::INDICES, 0), Ok(indices));
        for target in [
            "{{ doc.tenant }}",
            "{{ doc.tenant }}-2026",
            ".security-{{ doc.n }}",
            ".security-7",
        ] {
            facts.sinks[0].target = target.to_owned();
            assert!(
                matches!(Target::of(&facts, 0), Err(Missing::Absent(why)) if why.contains("may be what others")),
                "{target}"
            );
        }
        facts.sinks[0].target = "logs-{{ doc.tenant }}".to_owned();
        assert!(Target::of(&facts, 0).is_ok());
    }

    /// What is asked of a host that gives these answers, and what comes of it.
    async fn written(answers: &[(u16, &'static str)]) -> (Vec<String>, Value) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let answers = answers.to_vec();
        let serving = tokio::task::spawn_blocking(move || {
            let mut heads = Vec::new();
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().expect("a client");
                let Some((head, body_sent)) = request(&mut stream) else {
                    break;
                };
                let line = head.lines().next().expect("it has one").to_owned();
                heads.push(format!("{line} {body_sent}"));
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).expect("a reader");
            }
            heads
        });
        let hosts = json!({"hosts": [format!("http://{address}")]});
        let connection = serde_json::from_value(hosts).expect("sound");
        let ask = Ask::of(&connection, Duration::from_secs(10)).expect("a client");
        let target = Target {
            name: "logs-a".to_owned(),
            is_data_stream: true,
            by_create: true,
            pipeline: Some("p".to_owned()),
        };
        let written = target.write(&ask, &ask.hosts()[0]).await;
        drop(ask);
        // Where fewer came than there are answers, it waits for no more.
        let _ = TcpStream::connect(address);
        let heads = serving.await.expect("it ends");
        (heads, written.expect("an answer"))
    }

    #[tokio::test]
    async fn a_document_is_written_as_the_bolt_would_and_deleted_where_it_went() {
        let answers = &[
            (201, r#"{"_index":".ds-logs-a-1","result":"created"}"#),
            (200, r#"{"result":"deleted"}"#),
        ];
        let (asked, written) = written(answers).await;
        let [put, delete] = &asked[..] else {
            panic!("{asked:?}");
        };
        assert!(
            put.starts_with("PUT /logs-a/_create/isobar-doctor-")
                && put.contains("?pipeline=p ")
                && put.contains(r#"{"@timestamp":"#),
            "{put}"
        );
        assert!(
            delete.starts_with("DELETE /.ds-logs-a-1/_doc/isobar-doctor-"),
            "{delete}"
        );
        assert_eq!(
            (&written["status"], &written["deleted"]),
            (&json!(201), &json!(200))
        );
    }

    #[tokio::test]
    async fn what_a_pipeline_dropped_is_not_deleted() {
        let (asked, written) = written(&[(200, r#"{"_index":"logs-a","result":"noop"}"#)]).await;
        assert_eq!((asked.len(), &written["deleted"]), (1, &json!(404)));
    }

    #[tokio::test]
    async fn a_refusal_tells_whether_the_index_is_at_fault() {
        for (kind, is_of_index) in [
            ("index_closed_exception", true),
            ("document_parsing_exception", false),
        ] {
            let answer = format!(r#"{{"error":{{"type":"{kind}","reason":"no"}},"status":400}}"#);
            let (_, written) = written(&[(400, answer.leak())]).await;
            assert_eq!(written["is_of_index"], is_of_index, "{kind}");
        }
    }

    #[tokio::test]
    async fn nothing_is_deleted_where_nothing_was_written() {
        let blocked =
            r#"{"error":{"type":"cluster_block_exception","reason":"index [a] blocked"}}"#;
        let (asked, written) = written(&[(403, blocked)]).await;
        assert_eq!(asked.len(), 1);
        assert_eq!(written["status"], 403);
        assert!(written["deleted"].is_null());
        assert!(
            written["said"]
                .as_str()
                .is_some_and(|said| said.contains("blocked"))
        );
    }
}
