//! The HTTP API of a topology that runs, asked by commands.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::endpoint::{client, client_of_streams, innermost};
use crate::exit::{Exit, Failure};
use crate::http::{COUNTS_EVERY, TapLine};
use crate::token::Token;

/// Where a topology listens that was not told otherwise.
pub(crate) const DEFAULT: &str = "http://127.0.0.1:10132";

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
        self.get_by(&client(within)?, path, what).await
    }

    /// The same with a client that others are asked with, too: making one reads the system's authorities,
    /// which takes longer than an answer.
    pub(crate) async fn get_by<T: DeserializeOwned>(
        &self,
        client: &reqwest::Client,
        path: &str,
        what: &str,
    ) -> Result<T, Failure> {
        let request = client.get(self.url(path, what)?);
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

    /// The token in a file, else the one behind the address, as a demo prints it: `#token=…`.
    pub(crate) fn token(&self, file: Option<&Path>) -> Result<Token, Failure> {
        if let Some(file) = file {
            return Token::read(file);
        }
        let fragment = self.0.fragment();
        let Some(behind) = fragment.and_then(|text| text.strip_prefix("token=")) else {
            return Err(Failure::usage(format!(
                "name the token of {}: the file that it was started with, --token-file FILE, or #token=TOKEN behind the address, as a demo prints it",
                self.address()
            )));
        };
        Token::of(behind).ok_or_else(|| {
            let what = format!("#token= behind {}: {}", self.address(), Token::FORM);
            Failure::usage(what)
        })
    }

    /// Asks for lines that come as long as the other side has some. Otherwise as [`Api::post`].
    pub(crate) async fn lines<'a>(
        &'a self,
        path: &str,
        query: &[(&str, String)],
        token: &Token,
        what: &'a str,
        within: Duration,
    ) -> Result<Lines<'a>, Failure> {
        let mut url = self.url(path, what)?;
        let _ = url.query_pairs_mut().extend_pairs(query);
        let client = client_of_streams(within, within + COUNTS_EVERY)?;
        let request = client.get(url).bearer_auth(token.text());
        Ok(Lines {
            api: self,
            what,
            answer: self.sent(request, what).await?,
            rest: Vec::new(),
        })
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
        let answer = self.sent(request, what).await?;
        let why = |text: String| self.undetermined(what, &text);
        let text = answer.text().await;
        let text = text.map_err(|error| why(innermost(&error.without_url())))?;
        serde_json::from_str(&text).map_err(|error| self.foreign(what, &error))
    }

    /// The answer to a request that is not refused.
    async fn sent(
        &self,
        request: reqwest::RequestBuilder,
        what: &str,
    ) -> Result<reqwest::Response, Failure> {
        let why = |text: String| self.undetermined(what, &text);
        let answer = request.send().await;
        let answer = answer.map_err(|error| {
            let cause = innermost(&error.without_url());
            why(format!(
                "{cause}; is the topology running, with --http there?"
            ))
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await;
        let text = text.map_err(|error| why(innermost(&error.without_url())))?;
        let Ok(Refusal { error }) = serde_json::from_str(&text) else {
            return Err(why(format!("it answers {status}")));
        };
        let error = anyhow::anyhow!("{}: {error}", self.address());
        Err(Failure::new(Exit::Failed, error))
    }

    fn foreign(&self, what: &str, error: &serde_json::Error) -> Failure {
        let why = format!("its answer is not that of Isobar ({error})");
        self.undetermined(what, &why)
    }

    /// That the topology does not say something, and why.
    pub(crate) fn undetermined(&self, what: &str, why: &str) -> Failure {
        let error = anyhow::anyhow!("{} does not say {what}: {why}", self.address());
        Failure::new(Exit::Undetermined, error)
    }
}

/// What may come of an answer before a line is whole, in bytes: a record that is shown has at most 64 KiB, of
/// which JSON makes six times as much at worst, and what comes at once is some lines.
const LINE_MAX: usize = 4 << 20;

/// An answer line by line.
pub(crate) struct Lines<'a> {
    api: &'a Api,
    what: &'a str,
    answer: reqwest::Response,
    /// What came and is not a whole line yet.
    rest: Vec<u8>,
}

impl Lines<'_> {
    /// Waits for the next line; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<TapLine>, Failure> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let line = serde_json::from_slice(&line);
                return line.map(Some).map_err(|e| self.api.foreign(self.what, &e));
            }
            let chunk = self.answer.chunk().await.map_err(|error| {
                let cause = innermost(&error.without_url());
                let why = format!("its answer was cut ({cause}); has it ended?");
                self.api.undetermined(self.what, &why)
            })?;
            match chunk {
                Some(chunk) if self.rest.len() + chunk.len() > LINE_MAX => {
                    let why = format!("its answer has a line of more than {LINE_MAX} bytes");
                    return Err(self.api.undetermined(self.what, &why));
                }
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// Why something is refused.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_answer_that_never_ends_its_line_is_not_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let endless = tokio::task::spawn_blocking(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let _ = stream.read(&mut [0; 4096]).expect("a request");
            let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
            stream.write_all(head).expect("sent");
            // Until the client has enough.
            while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
        });
        let api: Api = format!("http://{address}").parse().expect("an address");
        let token = Token::of("0123456789abcdef").expect("a token");
        let within = Duration::from_secs(10);
        let lines = api.lines("/tap", &[], &token, "records", within);
        let Ok(mut lines) = lines.await else {
            panic!("it answers");
        };
        let failure = lines.next().await.expect_err("no line");
        let text = format!("{:#}", failure.error);
        assert!(text.contains("a line of more than 4194304 bytes"), "{text}");
        drop(lines);
        endless.await.expect("it ends");
    }
}
