//! Who answers at a host: asked once before the first document goes there. A user that may only write
//! is not told, so not being told is fine; something else than Elasticsearch or OpenSearch is not.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use elasticsearch::nodes::NodesInfoParts;
use hyper::Method;
use serde::Deserialize;
use url::Url;

use super::http::{Http, Reply};
use super::reply;

/// How long the question may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer, in bytes.
const ANSWER_MAX: usize = 1 << 20;

/// What a host is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `Elasticsearch` or `OpenSearch`; `None` when it does not say.
    pub(crate) product: Option<&'static str>,
    /// Its version; `None` when we may not ask.
    pub(crate) version: Option<String>,
    /// Longest body that it takes, in bytes.
    pub(crate) body_max: Option<u64>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.product.unwrap_or("Elasticsearch or OpenSearch"))?;
        match &self.version {
            Some(version) => write!(f, " {version}"),
            None => f.write_str(" of unknown version"),
        }
    }
}

/// Asks a host what it is. Fails with the cause in a few words.
pub(crate) async fn identify(
    http: &Http,
    host: &Url,
    timeout: Duration,
) -> Result<Identity, String> {
    let timeout = timeout.min(TIMEOUT);
    match tokio::time::timeout(timeout, ask(http, host)).await {
        Ok(identity) => identity,
        Err(_) => Err(format!("no answer within {timeout:?}")),
    }
}

/// What is asked of the node that answers: its version, and the longest body that it takes.
const WANTED: &str = "filter_path=nodes.*.version,nodes.*.http.max_content_length_in_bytes";

async fn ask(http: &Http, host: &Url) -> Result<Identity, String> {
    let path = NodesInfoParts::NodeIdMetric(&["_local"], &["http"]).url();
    let mut url = host
        .join(path.trim_start_matches('/'))
        .map_err(|error| error.to_string())?;
    url.set_query(Some(WANTED));
    // A compressed answer does not say how long it is.
    let headers = &[("accept-encoding", "identity")];
    let asked = http.send(Method::GET, &url, headers, Bytes::new()).await;
    let reply = asked.map_err(|none| none.cause)?;
    let status = reply.status();
    let says_elasticsearch = reply.headers().contains_key("x-elastic-product");
    let body = body_of(reply, says_elasticsearch).await?;
    judge(status, says_elasticsearch, body.as_deref())
}

/// The body of an answer; `None` where nothing says that it ever ends. Elasticsearch does not tell the
/// length, but who it is.
async fn body_of(reply: Reply, trusted: bool) -> Result<Option<Bytes>, String> {
    match reply.content_length() {
        Some(length) if length > ANSWER_MAX as u64 => return Err(FOREIGN.to_owned()),
        None if !trusted => return Ok(None),
        _ => {}
    }
    let body = reply.bytes(ANSWER_MAX).await;
    body.map(Some).map_err(|none| none.cause)
}

const FOREIGN: &str = "what answers there is neither Elasticsearch nor OpenSearch";

fn judge(status: u16, says_elasticsearch: bool, body: Option<&[u8]>) -> Result<Identity, String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        nodes: BTreeMap<String, Node>,
    }
    #[derive(Deserialize)]
    struct Node {
        version: Option<String>,
        http: Option<Http>,
    }
    #[derive(Deserialize)]
    struct Http {
        max_content_length_in_bytes: Option<u64>,
    }
    let unknown = Identity {
        product: says_elasticsearch.then_some("Elasticsearch"),
        ..Identity::default()
    };
    let fault = body.and_then(reply::fault_of_request);
    let text = || match &fault {
        Some(fault) => format!("{status} {fault}"),
        None => status.to_string(),
    };
    match (status, body) {
        // Bulk requests will tell.
        (200, None) => Ok(unknown),
        (200, Some(body)) => {
            let answer: Answer = serde_json::from_slice(body).map_err(|_| FOREIGN.to_owned())?;
            let Some(node) = answer.nodes.into_values().next() else {
                return if says_elasticsearch {
                    Ok(unknown)
                } else {
                    Err(FOREIGN.to_owned())
                };
            };
            Ok(Identity {
                product: Some(if says_elasticsearch {
                    "Elasticsearch"
                } else {
                    "OpenSearch"
                }),
                version: node.version,
                body_max: node.http.and_then(|http| http.max_content_length_in_bytes),
            })
        }
        (401, _) => Err(format!("{}: check `auth` of the connection", text())),
        (403, _) => Ok(unknown),
        (408 | 429 | 500..=599, _) => Err(text()),
        // A product that keeps this question to itself, as hosted ones do.
        _ if says_elasticsearch || fault.is_some_and(|fault| !fault.kind.is_empty()) => Ok(unknown),
        _ => Err(format!("{FOREIGN}: it answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_is_told_by_what_it_answers() {
        let nodes = br#"{"nodes":{"a":{"version":"9.2.0","http":{"max_content_length_in_bytes":104857600}}}}"#;
        let known = judge(200, true, Some(nodes)).expect("a node");
        assert_eq!(known.to_string(), "Elasticsearch 9.2.0");
        assert_eq!(known.body_max, Some(104_857_600));
        let other =
            judge(200, false, Some(br#"{"nodes":{"a":{"version":"3.3.0"}}}"#)).expect("a node");
        assert_eq!(other.to_string(), "OpenSearch 3.3.0");

        let endless = judge(200, false, None).expect("bulk requests will tell");
        assert_eq!(endless, Identity::default());
        let fault = br#"{"error":{"type":"security_exception","reason":"no"},"status":403}"#;
        let unknown = judge(403, false, Some(fault)).expect("it may keep that to itself");
        assert_eq!(
            unknown.to_string(),
            "Elasticsearch or OpenSearch of unknown version"
        );
        let hosted =
            br#"{"error":{"type":"api_not_available_exception","reason":"no"},"status":410}"#;
        assert!(judge(410, false, Some(hosted)).is_ok());

        for (status, body, part) in [
            (401, &fault[..], "check `auth`"),
            (503, b"", "503"),
            (200, b"<html>", "neither"),
            (200, b"{}", "neither"),
            (404, b"<html>", "it answered 404"),
            (405, br#"{"error":"no handler found"}"#, "it answered 405"),
            (302, b"", "it answered 302"),
        ] {
            let cause = judge(status, false, Some(body)).expect_err("not usable");
            assert!(cause.contains(part), "{status}: {cause}");
        }
    }
}
