//! Sends answers to a URL.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;

use crate::command::api::{client, innermost};
use crate::exit::{Exit, Failure};
use crate::lag::LagDocument;

/// Where to.
#[derive(Clone)]
pub(super) struct Post(reqwest::Url);

/// Name and password in a URL are not shown.
impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

impl FromStr for Post {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match reqwest::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Self(url)),
            Ok(_) | Err(_) => Err("write a URL such as http://HOST:PORT/PATH".to_owned()),
        }
    }
}

impl Post {
    /// Sends one answer. Waits at most `within`; fails with what the other side says.
    pub(super) async fn send(
        &self,
        document: &LagDocument,
        within: Duration,
    ) -> Result<(), Failure> {
        let body = serde_json::to_vec(document).context("cannot write JSON")?;
        let request = client(within)?.post(self.0.clone());
        let request = request
            .header("content-type", "application/json")
            .body(body);
        let why = match request.send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => format!("it answers {}", answer.status()),
            Err(error) => innermost(&error.without_url()),
        };
        let error = anyhow::anyhow!("cannot post to {}: {why}", self.shown());
        Err(Failure::new(Exit::Failed, error))
    }

    /// Without name, password and query, which may hold a secret.
    fn shown(&self) -> String {
        let Some(host) = self.0.host_str() else {
            return self.0.scheme().to_owned();
        };
        let port = self
            .0
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{host}{port}{}", self.0.scheme(), self.0.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked_and_its_secrets_are_not_shown() {
        let post: Post = "https://me:hunter2@example.org:81/in?key=hunter2"
            .parse()
            .expect("a URL");
        assert_eq!(format!("{post:?}"), "https://example.org:81/in");
        for text in ["example.org", "ftp://example.org/", ""] {
            let error = text.parse::<Post>().expect_err("no URL of HTTP");
            assert!(error.contains("http://HOST:PORT"), "{error}");
        }
    }
}
