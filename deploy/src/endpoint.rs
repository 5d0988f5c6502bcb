//! A URL that the program sends to, and how: shown without what may be secret in it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use reqwest::header::{CONTENT_TYPE, HeaderMap};

/// Where to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(reqwest::Url);

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Without name, password and query, which may hold a secret.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(host) = self.0.host_str() else {
            return f.write_str(self.0.scheme());
        };
        let port = self.0.port();
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        write!(f, "{}://{host}{port}{}", self.0.scheme(), self.0.path())
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match reqwest::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Self(url)),
            Ok(_) | Err(_) => Err("write a URL such as http://HOST:PORT/PATH".to_owned()),
        }
    }
}

impl Endpoint {
    /// The same with this path where it has none.
    #[must_use]
    pub fn or_path(mut self, path: &str) -> Self {
        if matches!(self.0.path(), "" | "/") {
            self.0.set_path(path);
        }
        self
    }

    /// Sends a body with POST. Waits as long as the client does; fails with what the other side says.
    pub async fn post(
        &self,
        client: &reqwest::Client,
        content_type: &'static str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<(), String> {
        let request = client.post(self.0.clone()).headers(headers);
        let request = request.header(CONTENT_TYPE, content_type).body(body);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answers {}", answer.status())),
            Err(error) => Err(innermost(&error.without_url())),
        }
    }
}

/// A client whose requests take at most so long.
pub fn client(within: Duration) -> anyhow::Result<reqwest::Client> {
    let client = reqwest::Client::builder().timeout(within).build();
    client.context("cannot make a client for HTTP")
}

/// A client for answers that go on: connecting may take so long, and so may silence.
pub fn client_of_streams(connect: Duration, silence: Duration) -> anyhow::Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .connect_timeout(connect)
        .read_timeout(silence)
        .build();
    client.context("cannot make a client for HTTP")
}

/// What an error says that is at the bottom of another one, where the cause is.
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked_and_its_secrets_are_not_shown() {
        let endpoint: Endpoint = "https://me:hunter2@example.org:81/in?key=hunter2"
            .parse()
            .expect("a URL");
        assert_eq!(format!("{endpoint:?}"), "https://example.org:81/in");
        for text in ["example.org", "ftp://example.org/", ""] {
            let error = text.parse::<Endpoint>().expect_err("no URL of HTTP");
            assert!(error.contains("http://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_path_stands_in_where_there_is_none() {
        let check = |text: &str, expected: &str| {
            let endpoint: Endpoint = text.parse().expect("a URL");
            assert_eq!(endpoint.or_path("/v1/metrics").to_string(), expected);
        };
        check("http://a:4318", "http://a:4318/v1/metrics");
        check("http://a:4318/", "http://a:4318/v1/metrics");
        check("http://a/otlp", "http://a/otlp");
    }
}
