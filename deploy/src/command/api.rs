//! The HTTP API of a topology that runs, asked by commands.

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::endpoint::{client, innermost};
use crate::exit::{Exit, Failure};
use crate::token::Token;

/// Where it listens.
#[derive(Clone)]
pub struct Api(reqwest::Url);

/// Name and password in an address are not shown.
impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.address())
    }
}

impl FromStr for Api {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match reqwest::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => match url.path() {
                "" | "/" if url.query().is_none() => Ok(Self(url)),
                _ => Err("write http://HOST:PORT with nothing behind it".to_owned()),
            },
            Ok(_) => Err(format!("{text} is no address; write http://HOST:PORT")),
            Err(error) => Err(format!(
                "{text} is no address: {error}; write http://HOST:PORT"
            )),
        }
    }
}

impl Api {
    /// Host and port, without name and password, should there be any.
    pub(crate) fn address(&self) -> &str {
        self.0.authority().rsplit('@').next().unwrap_or_default()
    }

    /// Asks for a document. Waits at most `within`; fails with who does not say `what`, why, and what to
    /// look at.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        what: &str,
        within: Duration,
    ) -> Result<T, Failure> {
        let url = self.url(path, what)?;
        let request = client(within)?.get(url);
        self.answer(request, what).await
    }

    /// Asks for a change, with the token. Otherwise as [`Api::get`]; a refusal is an error that says why.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        token: &Token,
        what: &str,
        within: Duration,
    ) -> Result<T, Failure> {
        let mut url = self.url(path, what)?;
        if !query.is_empty() {
            let _ = url.query_pairs_mut().extend_pairs(query);
        }
        let request = client(within)?.post(url).bearer_auth(token.text());
        self.answer(request, what).await
    }

    fn url(&self, path: &str, what: &str) -> Result<reqwest::Url, Failure> {
        let url = self.0.join(path);
        url.map_err(|error| self.undetermined(what, &error.to_string()))
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        what: &str,
    ) -> Result<T, Failure> {
        let why = |text: String| self.undetermined(what, &text);
        let answer = request.send().await;
        let answer = answer.map_err(|error| {
            let cause = innermost(&error.without_url());
            why(format!(
                "{cause}; is the topology running, with --http there?"
            ))
        })?;
        let status = answer.status();
        let text = answer.text().await;
        let text = text.map_err(|error| why(innermost(&error.without_url())))?;
        if !status.is_success() {
            let Ok(Refusal { error }) = serde_json::from_str(&text) else {
                return Err(why(format!("it answers {status}")));
            };
            let error = anyhow::anyhow!("{}: {error}", self.address());
            return Err(Failure::new(Exit::Failed, error));
        }
        serde_json::from_str(&text)
            .map_err(|error| why(format!("its answer is not that of Isobar ({error})")))
    }

    /// That the topology does not say something, and why.
    pub(crate) fn undetermined(&self, what: &str, why: &str) -> Failure {
        let error = anyhow::anyhow!("{} does not say {what}: {why}", self.address());
        Failure::new(Exit::Undetermined, error)
    }
}

/// Why something is refused.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}
