//! One bulk request and its reply, whichever host gives it: within its time, with a bound on the reply,
//! asked of another host where one fails.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use isobar_topology::Health;
use reqwest::Url;
use tokio::sync::OnceCell;

use super::access::{Access, bulk_request};
use super::counts::{Counts, Unanswered};
use super::hosts::{CAUSE_MAX, Chosen, HostFailure, Hosts, Tried, cut};
use super::identity::Identity;
use super::outcome::{self, RequestClass};
use super::reply::{self, Item, Items, ReplyError};

/// What all lanes of a bolt share.
pub(crate) struct Shared {
    /// The hosts and which of them are used.
    pub(crate) hosts: Hosts,
    /// What the first lane that was opened found out for all.
    pub(crate) cluster: OnceCell<Cluster>,
    /// A bulk request was worked off since the start, so requests as such are fine.
    understood: AtomicBool,
}

/// A cluster that has said what it is.
pub(crate) struct Cluster {
    /// What it takes to be let in.
    pub(crate) access: Access,
    /// What it is.
    pub(crate) identity: Identity,
}

/// Sends the requests of one lane.
pub(crate) struct Exchange {
    pub(crate) shared: Arc<Shared>,
    pub(crate) http: reqwest::Client,
    /// Where bulk requests go, by host.
    pub(crate) urls: Vec<Url>,
    /// `create` or `index`.
    pub(crate) operation: &'static str,
    pub(crate) request_timeout: Duration,
    /// The bolt's name.
    pub(crate) component: Arc<str>,
    pub(crate) health: Health,
    pub(crate) counts: Counts,
}

/// What came of a request, after every host that could be asked.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All documents are stored.
    AllStored,
    /// Each item says what became of it.
    Items(Vec<Item>),
    /// The request is too large, or the reply to it. Half of it may do.
    TooLarge,
    /// The request was not understood, for this reason. Half of it may do.
    Malformed(String),
    /// What became of it is unknown, or nothing; it is sent again later.
    Failed,
    /// The same, and the connection broke off: something on the way may not take so much at once.
    Broken,
}

/// How asking one host ended.
enum Answer {
    Reply { status: u16, body: Vec<u8> },
    TooLong,
    Unconnected(HostFailure),
    Broken(HostFailure),
}

impl Shared {
    pub(crate) fn new(hosts: Hosts) -> Self {
        Self {
            hosts,
            cluster: OnceCell::new(),
            understood: AtomicBool::new(false),
        }
    }

    /// Whether any request was worked off since the start.
    pub(crate) fn is_understood(&self) -> bool {
        self.understood.load(Ordering::Relaxed)
    }
}

/// The kind of the condition while no request was ever understood.
const REFUSED: &str = "refused";

impl Exchange {
    /// No request is understood, for this reason: it is not this one's records that are at fault.
    pub(crate) fn tell_malformed(&self, text: &str) {
        let text = format!(
            "no bulk request was understood so far: {}; records wait, nothing is lost",
            cut(text, CAUSE_MAX)
        );
        self.health.set(&self.component, REFUSED, text);
    }

    /// Sends a body with so many items until a host has answered, each host at most once.
    pub(crate) async fn send(&self, body: &Bytes, items: usize) -> Outcome {
        let hosts = &self.shared.hosts;
        let mut tried = Tried::default();
        let mut outcome = Outcome::Failed;
        while let Some(chosen) = hosts.choose(&mut tried) {
            self.counts.requests.add(1);
            self.counts.request_bytes.add(body.len() as u64);
            let asking = self.ask(chosen, body.clone(), reply::size_max(items));
            let Ok(answer) = tokio::time::timeout(self.request_timeout, asking).await else {
                self.counts.unanswered(Unanswered::TimedOut);
                self.fail(
                    chosen,
                    HostFailure {
                        cause: format!("no answer within {:?}", self.request_timeout),
                        timed_out: true,
                    },
                );
                // The time of the request is used up; whoever sends it again finds another host.
                return Outcome::Failed;
            };
            match answer {
                Answer::Reply { status, body } => {
                    if let Some(outcome) = self.read(chosen, status, &body, items) {
                        return outcome;
                    }
                }
                Answer::TooLong if items > 1 => {
                    self.counts.refused(RequestClass::TooLarge);
                    self.succeed(chosen);
                    return Outcome::TooLarge;
                }
                Answer::TooLong => {
                    self.counts.unanswered(Unanswered::Unreadable);
                    self.fail(chosen, failure("the reply to one document has no end"));
                }
                Answer::Unconnected(failure) => {
                    self.counts.unanswered(Unanswered::Broken);
                    self.fail(chosen, failure);
                }
                Answer::Broken(failure) => {
                    self.counts.unanswered(Unanswered::Broken);
                    self.fail(chosen, failure);
                    outcome = Outcome::Broken;
                }
            }
        }
        outcome
    }

    /// What a reply means; `None` when another host is to be asked.
    fn read(&self, chosen: Chosen, status: u16, body: &[u8], items: usize) -> Option<Outcome> {
        let fault = match status {
            200 => None,
            _ => reply::fault_of_request(body),
        };
        let class = outcome::of_request(status, fault.as_ref());
        self.counts.refused(class);
        let text = || match &fault {
            Some(fault) => format!("{status} {fault}"),
            None => status.to_string(),
        };
        match class {
            RequestClass::Answered => return self.read_items(chosen, body, items),
            RequestClass::Busy => {
                self.succeed(chosen);
                return Some(Outcome::Failed);
            }
            RequestClass::TooLarge => {
                self.succeed(chosen);
                return Some(Outcome::TooLarge);
            }
            RequestClass::Malformed => {
                self.succeed(chosen);
                return Some(Outcome::Malformed(text()));
            }
            RequestClass::Away => self.fail(chosen, failure(text())),
            RequestClass::Denied => {
                let cause = format!(
                    "{}: check `auth` of the connection and what it may do",
                    text()
                );
                self.fail(chosen, failure(cause));
            }
            RequestClass::Foreign => {
                let cause = format!(
                    "{} to a bulk request: is this Elasticsearch or OpenSearch?",
                    text()
                );
                self.fail(chosen, failure(cause));
            }
        }
        None
    }

    fn read_items(&self, chosen: Chosen, body: &[u8], items: usize) -> Option<Outcome> {
        match reply::read(body, self.operation, items) {
            Ok(read) => {
                if !self.shared.understood.swap(true, Ordering::Relaxed) {
                    self.health.clear(&self.component, REFUSED);
                }
                self.succeed(chosen);
                Some(match read {
                    Items::AllStored => Outcome::AllStored,
                    Items::Each(items) => Outcome::Items(items),
                })
            }
            // Some of the documents may be stored: those sent again are found by their ids.
            Err(error @ (ReplyError::Count { .. } | ReplyError::Unreadable(_))) => {
                self.counts.unanswered(Unanswered::Unreadable);
                self.fail(chosen, failure(error.to_string()));
                None
            }
        }
    }

    async fn ask(&self, chosen: Chosen, body: Bytes, reply_max: usize) -> Answer {
        let url = self.urls[chosen.host].clone();
        let asked = bulk_request(&self.http, url, body).send().await;
        let mut response = match asked {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                return Answer::Unconnected(failure(causes(&error)));
            }
            Err(error) => return Answer::Broken(failure(causes(&error))),
        };
        let status = response.status().as_u16();
        let declared = response.content_length().unwrap_or(0);
        if declared > reply_max as u64 {
            return Answer::TooLong;
        }
        let mut body = Vec::with_capacity(declared as usize);
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > reply_max => return Answer::TooLong,
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Answer::Reply { status, body },
                Err(error) => return Answer::Broken(failure(causes(&error))),
            }
        }
    }

    fn succeed(&self, chosen: Chosen) {
        let hosts = &self.shared.hosts;
        hosts.answered(chosen, &self.component, &self.health);
    }

    fn fail(&self, chosen: Chosen, failure: HostFailure) {
        let hosts = &self.shared.hosts;
        hosts.failed(chosen, &failure, &self.component, &self.health);
    }
}

fn failure(cause: impl Into<String>) -> HostFailure {
    HostFailure {
        cause: cause.into(),
        timed_out: false,
    }
}

/// The causes of an error without its own words, which tell only that a request to some URL failed.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Layers repeat what is below them, and the client's own one tells nothing more.
        let tells = !text.starts_with("client error (");
        if tells && !texts.last().is_some_and(|last| last.contains(&text)) {
            texts.push(text);
        }
        source = cause.source();
    }
    match texts.is_empty() {
        true => "the request failed".to_owned(),
        false => texts.join(": "),
    }
}
