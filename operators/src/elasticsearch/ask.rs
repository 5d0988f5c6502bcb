//! Small questions to the hosts of a connection, one host at a time or the first that answers. What the
//! answers mean is the asker's matter; bulk requests go by `exchange.rs`.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use hyper::Method;
use isobar_topology::OperatorError;
use serde_json::Value;
use url::Url;

use super::connection::ElasticsearchConnection;
use super::credentials::{Client, Credentials};
use super::hosts::{cut, named};
use super::http::NoReply;

/// Longest part of an answer that an error repeats, in bytes.
const SAID_MAX: usize = 300;

/// What to do where a host does not tell whether an index exists.
const MAY_ASK_EXISTENCE: &str = "give the user the privilege `view_index_metadata` on it, or let indices be made: `missing_index: create`, \
     `--create-missing` of a replay";

/// Longest answer, in bytes: some ten times a page of documents or the mappings of a thousand indices.
const ANSWER_MAX: usize = 64 << 20;

/// Who can be asked, and as whom.
pub(crate) struct Ask {
    client: Client,
    urls: Vec<Url>,
    timeout: Duration,
    /// When the next host is asked besides; `None` while one may still answer.
    besides_after: Option<Duration>,
}

/// For whoever waits for a small answer: most hosts have given it by then.
const BESIDES_AFTER: Duration = Duration::from_millis(200);

impl Ask {
    /// Asks the hosts of a connection; each question takes as long as `timeout` at most. Contacts nobody
    /// yet. Fails when a certificate or key cannot be read.
    pub(crate) fn of(
        connection: &ElasticsearchConnection,
        timeout: Duration,
    ) -> Result<Self, OperatorError> {
        Self::of_several(connection, timeout, 1)
    }

    /// The same for who asks so many questions at a time.
    pub(crate) fn of_several(
        connection: &ElasticsearchConnection,
        timeout: Duration,
        at_a_time: usize,
    ) -> Result<Self, OperatorError> {
        Ok(Self {
            client: Credentials::load(connection)?.client(at_a_time),
            urls: connection.urls(),
            timeout,
            besides_after: None,
        })
    }

    /// Waits for an answer of a host at most so long, and asks the next one besides when one takes longer
    /// than most do. For questions that cost little.
    pub(crate) fn within(self, timeout: Duration) -> Self {
        Self {
            timeout,
            besides_after: Some(BESIDES_AFTER),
            ..self
        }
    }

    /// The hosts, in the order of the file.
    pub(crate) fn hosts(&self) -> &[Url] {
        &self.urls
    }

    /// Asks one host: status and body of its answer, or why there is none.
    pub(crate) async fn host(
        &self,
        host: &Url,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Bytes), String> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(host, method, path, body.into()).await
    }

    /// Asks the hosts, one after the other, whether there is an index, an alias or a data stream of this name,
    /// and see [`Ask::within`]. Fails with what each said where none can tell.
    pub(crate) async fn exists(&self, name: &str) -> Result<bool, OperatorError> {
        let answer = |host| async move {
            let host_name = named(host);
            match self.send(host, Method::HEAD, name, Bytes::new()).await {
                Ok((200, _)) => Ok(true),
                Ok((404, _)) => Ok(false),
                Ok((status @ (401 | 403), _)) => {
                    Err(format!("{host_name}: {status} ({MAY_ASK_EXISTENCE})"))
                }
                Ok((status, _)) => Err(format!("{host_name}: {status}")),
                Err(cause) => Err(format!("{host_name}: {cause}")),
            }
        };
        let told = self.first(answer).await.map_err(|causes| {
            OperatorError::external(format!("asking whether `{name}` exists: {causes}"))
        })?;
        Ok(told)
    }

    async fn send(
        &self,
        host: &Url,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(u16, Bytes), String> {
        let url = host
            .join(path)
            .map_err(|error| format!("{path}: {error}"))?;
        let headers = &[("content-type", "application/json")];
        let asking = async {
            loop {
                let made = self.client.now();
                let sent = made.http.send(method.clone(), &url, headers, body.clone());
                let reply = sent.await?;
                let is_denied = matches!(reply.status(), 401 | 403);
                if !is_denied || !self.client.is_renewed_since(made.version).await {
                    return Ok((reply.status(), reply.bytes(ANSWER_MAX).await?));
                }
            }
        };
        match tokio::time::timeout(self.timeout, asking).await {
            Ok(answer) => answer.map_err(|none: NoReply| none.cause),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }

    /// Asks the hosts, one after the other, until one answers as it should, and see [`Ask::within`]. Fails
    /// with what each said.
    pub(crate) async fn any(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, OperatorError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.lines(method, path, body).await
    }

    /// As [`Ask::any`], without a body; `None` where a host says that the user may not ask that.
    pub(crate) async fn permitted(
        &self,
        method: Method,
        path: &str,
    ) -> Result<Option<Value>, OperatorError> {
        let answer = |host| {
            let method = method.clone();
            async move {
                let name = named(host);
                match self.send(host, method, path, Bytes::new()).await {
                    Ok((403, _)) => Ok((name, None)),
                    Ok((200, answer)) => Ok((name, Some(answer))),
                    Ok((status, answer)) => Err(format!("{name}: {status} {}", said(&answer))),
                    Err(cause) => Err(format!("{name}: {cause}")),
                }
            }
        };
        let (name, answer) = self.first(answer).await.map_err(OperatorError::external)?;
        let value = answer.map(|answer| serde_json::from_slice(&answer));
        value
            .transpose()
            .map_err(|error| OperatorError::external(format!("{name}: no JSON: {error}")))
    }

    /// The same as [`Ask::any`], of a body that is no single JSON value, such as the lines of a small bulk request.
    pub(crate) async fn lines(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<Value, OperatorError> {
        let body = Bytes::from(body);
        let answer = |host| {
            let (method, body) = (method.clone(), body.clone());
            async move {
                let name = named(host);
                match self.send(host, method, path, body).await {
                    Ok((200, answer)) => Ok((name, answer)),
                    Ok((status, answer)) => Err(format!("{name}: {status} {}", said(&answer))),
                    Err(cause) => Err(format!("{name}: {cause}")),
                }
            }
        };
        let (name, answer) = self.first(answer).await.map_err(OperatorError::external)?;
        serde_json::from_slice(&answer)
            .map_err(|error| OperatorError::external(format!("{name}: no JSON: {error}")))
    }

    /// The first good answer of a host, see [`Ask::within`]. Fails with what each said.
    async fn first<'a, T, A: Future<Output = Result<T, String>>>(
        &'a self,
        answer: impl Fn(&'a Url) -> A,
    ) -> Result<T, String> {
        let mut hosts = self.urls.iter();
        let (mut asked, mut causes) = (FuturesUnordered::new(), Vec::new());
        loop {
            let next = hosts.next();
            asked.extend(next.map(&answer));
            let besides_after = self.besides_after.filter(|_| next.is_some());
            let answer = match besides_after {
                Some(after) => tokio::time::timeout(after, asked.next()).await,
                None => Ok(asked.next().await),
            };
            match answer {
                Ok(Some(Ok(told))) => return Ok(told),
                Ok(Some(Err(cause))) => causes.push(cause),
                Ok(None) => return Err(causes.join("; ")),
                Err(_too_slow) => {}
            }
        }
    }
}

/// The start of an answer as text.
pub(crate) fn said(answer: &[u8]) -> String {
    cut(&String::from_utf8_lossy(answer), SAID_MAX).to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use serde_json::json;

    use super::*;
    use crate::stand_in::{answer, request};

    /// A host that takes connections and never answers, one that somebody is to answer for, and their addresses.
    fn silent_and_other() -> (TcpListener, TcpListener, [String; 2]) {
        let [silent, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let hosts = [&silent, &other].map(|one| {
            let address = one.local_addr().expect("an address");
            format!("http://{address}")
        });
        (silent, other, hosts)
    }

    #[tokio::test]
    async fn a_host_that_is_slow_to_answer_is_not_waited_for_while_another_one_answers() {
        let (_silent, other, hosts) = silent_and_other();
        let serving = tokio::task::spawn_blocking(move || {
            let (mut stream, _) = other.accept().expect("a client");
            let _ = request(&mut stream).expect("a request");
            answer(&mut stream, "{\"a\": 1}");
        });
        let connection = serde_json::from_value(json!({ "hosts": hosts })).expect("sound");
        let forever = Duration::from_secs(3_600);
        let ask = Ask::of(&connection, forever).expect("a client");
        let answer = ask.within(forever).any(Method::GET, "x", None).await;
        assert_eq!(answer.expect("an answer"), json!({"a": 1}));
        serving.await.expect("it ends");
    }

    #[tokio::test]
    async fn who_may_not_ask_whether_an_index_exists_is_told_what_that_takes() {
        let (_silent, other, hosts) = silent_and_other();
        let serving = tokio::task::spawn_blocking(move || {
            for status in ["403 Forbidden", "404 Not Found"] {
                let (mut stream, _) = other.accept().expect("a client");
                let _ = request(&mut stream).expect("a request");
                let head =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).expect("a reader");
            }
        });
        let connection = serde_json::from_value(json!({ "hosts": hosts })).expect("sound");
        let within = Duration::from_secs(2);
        let ask = Ask::of(&connection, within)
            .expect("a client")
            .within(within);
        let refused = ask
            .exists("logs")
            .await
            .expect_err("it may not")
            .to_string();
        for part in [
            "whether `logs` exists",
            "403",
            "`view_index_metadata`",
            "no answer within 2s",
        ] {
            assert!(refused.contains(part), "{refused}");
        }
        // One that says nothing is not waited for where another one tells.
        let forever = Duration::from_secs(3_600);
        let ask = Ask::of(&connection, forever)
            .expect("a client")
            .within(forever);
        assert!(!ask.exists("logs").await.expect("one tells"));
        serving.await.expect("it ends");
    }
}
