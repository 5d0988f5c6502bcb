//! Small questions to the hosts of a connection, one host at a time or the first that answers. What the
//! answers mean is the asker's matter; bulk requests go by `exchange.rs`.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use isobar_topology::OperatorError;
use serde_json::Value;
use url::Url;

use super::access::Access;
use super::connection::ElasticsearchConnection;
use super::hosts::{cut, named};
use super::http::{Http, NoReply};

/// Longest part of an answer that an error repeats, in bytes.
const SAID_MAX: usize = 300;

/// Longest answer, in bytes: some ten times a page of documents or the mappings of a thousand indices.
const ANSWER_MAX: usize = 64 << 20;

/// Who can be asked, and as whom.
pub(crate) struct Ask {
    http: Http,
    urls: Vec<Url>,
    timeout: Duration,
}

impl Ask {
    /// Asks the hosts of a connection; each question takes as long as `timeout` at most. Contacts nobody
    /// yet. Fails when a certificate or key cannot be read.
    pub(crate) fn of(
        connection: &ElasticsearchConnection,
        timeout: Duration,
    ) -> Result<Self, OperatorError> {
        Ok(Self {
            http: Access::load(connection)?.http(1),
            urls: connection.urls(),
            timeout,
        })
    }

    /// Waits for an answer at most so long.
    pub(crate) fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
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
            let reply = self.http.send(method, &url, headers, body).await?;
            Ok((reply.status(), reply.bytes(ANSWER_MAX).await?))
        };
        match tokio::time::timeout(self.timeout, asking).await {
            Ok(answer) => answer.map_err(|none: NoReply| none.cause),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }

    /// Asks the hosts, one after the other, until one answers as it should. Fails with what each said.
    pub(crate) async fn any(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, OperatorError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.lines(method, path, body).await
    }

    /// The same, of a body that is no single JSON value, such as the lines of a small bulk request.
    pub(crate) async fn lines(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<Value, OperatorError> {
        let body = Bytes::from(body);
        let mut causes = Vec::new();
        for host in &self.urls {
            let name = named(host);
            match self.send(host, method.clone(), path, body.clone()).await {
                Ok((200, answer)) => {
                    return serde_json::from_slice(&answer).map_err(|error| {
                        OperatorError::external(format!("{name}: no JSON: {error}"))
                    });
                }
                Ok((status, answer)) => causes.push(format!("{name}: {status} {}", said(&answer))),
                Err(cause) => causes.push(format!("{name}: {cause}")),
            }
        }
        Err(OperatorError::external(causes.join("; ")))
    }
}

/// The start of an answer as text.
pub(crate) fn said(answer: &[u8]) -> String {
    cut(&String::from_utf8_lossy(answer), SAID_MAX).to_owned()
}
