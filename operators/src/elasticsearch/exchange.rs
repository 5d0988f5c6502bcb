//! One bulk request and its reply, whichever host gives it: within its time, with a bound on the reply,
//! asked of another host where one fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use isobar_topology::clock::{self, Instant};
use isobar_topology::{Health, Recoveries, RequestTime};
use tokio::sync::OnceCell;
use url::Url;

use super::counts::Counts;
use super::credentials::{Client, Made};
use super::gzip;
use super::hosts::{CAUSE_MAX, Chosen, HostFailure, HostSet, Hosts, Standing, cut, named};
use super::identity::Identity;
use super::outcome::{self, Action, Class, Level};
use super::refused::{RefusedBy, told};
use super::renewal::Renewal;
use super::reply::{self, Fault, Item, Items, ReplyError, without_reason};

/// What all lanes of a bolt share.
pub(crate) struct Shared {
    /// The hosts and which of them are used.
    pub(crate) hosts: Hosts,
    /// What the first lane that was opened found out for all.
    pub(crate) cluster: OnceCell<Cluster>,
    /// The hosts of which the last that is known is that they understand requests as such.
    understand: AtomicU64,
    /// The hosts that are told of as they understand none while others do.
    told_of: AtomicU64,
    /// Since a request was understood last, whole ones were refused for what may be of one document in each.
    refuse_whole: AtomicBool,
}

/// A cluster that has said what it is.
pub(crate) struct Cluster {
    /// What it takes to be let in.
    pub(crate) renewal: Renewal,
    /// What it is.
    pub(crate) identity: Identity,
}

/// Sends the requests of one lane.
pub(crate) struct Exchange {
    pub(crate) shared: Arc<Shared>,
    pub(crate) client: Client,
    /// Where bulk requests go, by host.
    pub(crate) urls: Vec<Url>,
    /// `create` or `index`.
    pub(crate) operation: &'static str,
    /// Bodies go compressed.
    pub(crate) compresses: bool,
    pub(crate) request_timeout: Duration,
    /// The bolt's name.
    pub(crate) component: Arc<str>,
    pub(crate) health: Health,
    pub(crate) recoveries: Recoveries,
    pub(crate) counts: Counts,
    /// How long requests take, by host.
    pub(crate) times: Vec<RequestTime>,
}

/// A request that was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) outcome: Outcome,
    /// The hosts that say so: the one that answered, or of one document all that do not take it.
    pub(crate) by: HostSet,
    /// When the last host was asked.
    pub(crate) began: Instant,
}

/// What came of a request, after every host that could be asked.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All documents are stored.
    AllStored,
    /// Each item says what became of it.
    Items(Vec<Item>),
    /// The request is too large. Half of it may do.
    TooLarge,
    /// The reply to it is longer than so many bytes, of which it is known that they refuse its document where
    /// there is only one. Half of it may do.
    ReplyTooLarge(usize),
    /// The request was not understood, for this reason. Half of it may do.
    Malformed(String),
    /// No host that was asked takes the request, as this says, and they take others. Half of it may do.
    Refused(String),
    /// Queues or memory are full, as this says; it is sent again later.
    Busy(String),
    /// It was not sent, or only to find out: no host may be asked now, can be connected to, or takes any
    /// request. It waits until one does.
    Held,
    /// What became of it is unknown, or nothing; it is sent again later.
    Failed,
    /// The same, and no answer came in time.
    TimedOut,
    /// The same, and the connection broke off: something on the way may not take so much at once.
    Broken,
}

/// How asking one host ended.
enum Answer {
    Reply {
        status: u16,
        body: Vec<u8>,
    },
    /// What is wrong, as the outcome table calls it, and why.
    None(&'static str, String),
    /// A reply that is longer than so many bytes, with how it begins.
    TooLong(usize, Vec<u8>),
}

/// What the reply of a host comes to.
enum Read<'h> {
    /// The request is answered.
    Answered(Outcome),
    /// The host did not do its work: another one is asked.
    Failed,
    /// The host does not take the request, for its own reasons or for what is in it: another one is asked.
    Refused(RefusedBy<'h>),
}

impl Answer {
    /// Whether it tells how long the host takes: all but that it was not reached, or broke off.
    fn tells_time(&self) -> bool {
        !matches!(self, Self::None("unconnected" | "broken", _))
    }

    /// Whether other credentials or certificates may lead to another answer.
    fn turns_away(&self) -> bool {
        match self {
            Self::Reply { status, .. } => {
                let class = outcome::class_of(Level::Request, *status, None);
                class == Class::Denied
            }
            Self::None(kind, _) => *kind == "unconnected",
            Self::TooLong(..) => false,
        }
    }
}

impl Shared {
    pub(crate) fn new(hosts: Hosts) -> Self {
        Self {
            hosts,
            cluster: OnceCell::new(),
            understand: AtomicU64::new(0),
            told_of: AtomicU64::new(0),
            refuse_whole: AtomicBool::new(false),
        }
    }

    /// Whether a request finds out if hosts take any that have refused whole ones. One document of it does as well as
    /// all, and is less likely to be what they refuse.
    pub(crate) fn is_to_be_tried_with_one_document(&self) -> bool {
        self.refuse_whole.load(Ordering::Relaxed) && self.hosts.standing() == Standing::ToBeTried
    }

    /// Whether one of these hosts understands requests as such, as far as is known: it has understood one, and
    /// has not failed since.
    pub(crate) fn understands(&self, hosts: HostSet) -> bool {
        let understand = HostSet::from_bits(self.understand.load(Ordering::Relaxed));
        !understand.among(hosts).is_empty()
    }

    /// These hosts have understood nothing of a body. Returns those of which another request was understood
    /// since this was said last.
    pub(crate) fn not_understood(&self, hosts: HostSet) -> HostSet {
        let before = self.understand.fetch_and(!hosts.bits(), Ordering::Relaxed);
        HostSet::from_bits(before).among(hosts)
    }

    /// This host has understood a request. Says whether that was known.
    fn understood(&self, host: usize) -> bool {
        let bits = HostSet::of(host).bits();
        let before = self.understand.fetch_or(bits, Ordering::Relaxed);
        HostSet::from_bits(before).has(host)
    }
}

/// A bulk body as it goes over the network.
#[derive(Clone)]
struct Payload {
    bytes: Bytes,
    /// Of the bytes.
    headers: &'static [(&'static str, &'static str)],
}

/// A reply is 26 bytes for a document: compressing it would cost more than it saves.
const PLAIN: &[(&str, &str)] = &[
    ("content-type", "application/x-ndjson"),
    ("accept", "application/json"),
];
const COMPRESSED: &[(&str, &str)] = &[PLAIN[0], PLAIN[1], ("content-encoding", "gzip")];

/// A proxy that says sooner that it has waited in vain has not: what is behind it is away, whatever the request.
const WAITED: Duration = Duration::from_secs(1);

/// The kind of the condition while no request is understood.
const REFUSED: &str = "refused";

/// The kind of the note while a host understands no request that others do.
const NOT_UNDERSTOOD: &str = "not_understood";

/// The class of a request without an answer that can be believed.
fn class_without_answer(kind: &'static str) -> Class {
    let fault = Fault {
        kind: kind.into(),
        ..Fault::default()
    };
    outcome::class_of(Level::Connection, 0, Some(&fault))
}

impl Outcome {
    /// Whether nobody has said what became of the request.
    pub(crate) fn is_no_answer(&self) -> bool {
        matches!(
            self,
            Self::Held | Self::Failed | Self::TimedOut | Self::Broken
        )
    }

    /// What there is to be said after a host that may have had the body, and failed: that it broke on the
    /// way to an earlier one says more.
    fn after_failure(self) -> Self {
        match self {
            Self::Broken => Self::Broken,
            _ => Self::Failed,
        }
    }
}

impl Exchange {
    /// No request is understood, for this reason: it is not this one's records that are at fault.
    pub(crate) fn tell_malformed(&self, text: &str) {
        let text = format!(
            "documents of bulk requests are not understood: {}; records wait, nothing is lost",
            cut(without_reason(text), CAUSE_MAX)
        );
        self.health.set(&self.component, REFUSED, text);
        // In this order: whoever finds out that requests are understood ends what was told before.
        self.shared.understand.store(0, Ordering::Relaxed);
    }

    /// Another host has understood a document alone to which these have answered this. Those that have understood
    /// nothing else since they did so last are told of: they are set up otherwise.
    fn tell_apart(&self, hosts: HostSet, text: &str) {
        let understand = self.shared.not_understood(hosts);
        let urls = self.shared.hosts.urls().iter().enumerate();
        let silent = urls.filter(|(host, _)| hosts.has(*host) && !understand.has(*host));
        for (host, url) in silent {
            let text = format!(
                "host {} understands no bulk request: {}; other hosts take what is sent to it",
                named(url),
                cut(without_reason(text), CAUSE_MAX)
            );
            self.health.note(&self.component, NOT_UNDERSTOOD, text);
            let host_alone = HostSet::of(host);
            let told_of = &self.shared.told_of;
            let _ = told_of.fetch_or(host_alone.bits(), Ordering::SeqCst);
            // It may have done so meanwhile, when nobody knew that it is told of.
            if self.shared.understands(host_alone) {
                self.tell_understood(host);
            }
        }
    }

    /// This host has understood a request, which was not known of it.
    fn tell_understood(&self, host: usize) {
        self.health.clear(&self.component, REFUSED);
        let bits = HostSet::of(host).bits();
        let told_of = self.shared.told_of.fetch_and(!bits, Ordering::SeqCst);
        // The note is of the one that was told of last; whoever is left is told of with its next document.
        if HostSet::from_bits(told_of).has(host) {
            self.health.clear(&self.component, NOT_UNDERSTOOD);
        }
    }

    /// Sends a body with so many items until a host has answered, each host at most once. That it `is_suspect` says
    /// that hosts which take others have refused it before, or more that it was part of.
    pub(crate) async fn send(&self, body: &Bytes, items: usize, is_suspect: bool) -> Sent {
        let (mut began, mut by) = (clock::now(), HostSet::default());
        let mut refusals = Vec::new();
        let sending = self.send_from(&mut began, &mut by, body, items, &mut refusals);
        let outcome = sending.await;
        let outcome = self.blame(outcome, refusals, is_suspect);
        Sent { outcome, by, began }
    }

    /// What became of a request that hosts have refused as a whole. Where none has done anything else, and one has
    /// taken another request since it failed or refused one, it may be for what is in this one; else the hosts are
    /// at fault.
    fn blame(&self, outcome: Outcome, refusals: Vec<RefusedBy<'_>>, is_suspect: bool) -> Outcome {
        let hosts = refusals.iter().map(|one| HostSet::of(one.chosen.host));
        let Some(hosts) = hosts.reduce(HostSet::with) else {
            return outcome;
        };
        let takes_others = !self.shared.not_understood(hosts).is_empty();
        if matches!(outcome, Outcome::Held) && (takes_others || is_suspect) {
            for refused in &refusals {
                self.counts.request(refused.class);
            }
            let last = refusals.into_iter().next_back();
            return Outcome::Refused(last.map(|last| last.text).unwrap_or_default());
        }
        for RefusedBy {
            chosen,
            class,
            text,
        } in refusals
        {
            self.shared.refuse_whole.store(true, Ordering::Relaxed);
            self.fail(chosen, class, told(class, text));
        }
        match outcome {
            Outcome::Held => Outcome::Failed,
            outcome => outcome,
        }
    }

    async fn send_from<'s>(
        &'s self,
        began: &mut Instant,
        by: &mut HostSet,
        body: &Bytes,
        items: usize,
        refusals: &mut Vec<RefusedBy<'s>>,
    ) -> Outcome {
        let hosts = &self.shared.hosts;
        if hosts.standing() == Standing::Away {
            return Outcome::Held;
        }
        let payload = self.payload(body).await;
        let reply_max = reply::size_max(items, body.len());
        let mut tried = HostSet::default();
        let (mut outcome, mut too_large) = (Outcome::Held, HostSet::default());
        while let Some(chosen) = hosts.choose(&mut tried) {
            let answer = loop {
                *began = clock::now();
                self.counts.requests.add(1);
                self.counts.request_bytes.add(body.len() as u64);
                self.counts.sent_bytes.add(payload.bytes.len() as u64);
                let made = self.client.now();
                let asking = self.ask(&made, chosen.host, payload.clone(), reply_max);
                let answer = match tokio::time::timeout(self.request_timeout, asking).await {
                    Ok(answer) => answer,
                    Err(_) => Answer::None(
                        "timed_out",
                        format!("no answer within {:?}", self.request_timeout),
                    ),
                };
                if answer.tells_time() {
                    self.times[chosen.host].took(clock::now() - *began);
                }
                if !answer.turns_away() || !self.is_renewed_since(made.version).await {
                    break answer;
                }
            };
            match answer {
                Answer::Reply { status, body } => {
                    let (was_away, host) = (chosen.is_tried(), HostSet::of(chosen.host));
                    let took = clock::now() - *began;
                    match self.read(chosen, status, &body, items, took) {
                        // Where another host takes the document, it is this one that is set up otherwise.
                        Read::Answered(malformed @ Outcome::Malformed(_)) if items == 1 => {
                            *by = by.with(host);
                            outcome = malformed;
                        }
                        Read::Answered(Outcome::TooLarge) if items == 1 => {
                            too_large = too_large.with(host);
                        }
                        Read::Answered(answered) => {
                            if let (
                                Outcome::AllStored | Outcome::Items(_),
                                Outcome::Malformed(text),
                            ) = (&answered, &outcome)
                            {
                                self.tell_apart(*by, text);
                            }
                            *by = host;
                            return answered;
                        }
                        // That a host still refuses all that comes is nothing new, and no request's fault.
                        Read::Failed if was_away => {}
                        Read::Failed => outcome = outcome.after_failure(),
                        Read::Refused(refusal) => refusals.push(refusal),
                    }
                }
                // Half of one document is none, so it has to be known what becomes of it.
                Answer::TooLong(bytes, begin)
                    if items > 1 || reply::refuses_the_only_one(&begin, self.operation) =>
                {
                    self.counts.request(class_without_answer("reply_too_long"));
                    self.succeed(chosen);
                    return Outcome::ReplyTooLarge(bytes);
                }
                Answer::TooLong(bytes, _) => {
                    let cause = format!("the reply is longer than {bytes} bytes");
                    self.fail(chosen, Class::Unreadable, cause);
                    outcome = outcome.after_failure();
                }
                Answer::None(kind, cause) => match class_without_answer(kind) {
                    Class::TimedOut => {
                        self.fail(chosen, Class::TimedOut, cause);
                        // The time of the request is used up; whoever sends it again finds another host.
                        return Outcome::TimedOut;
                    }
                    class => {
                        self.fail(chosen, class, cause);
                        match class {
                            Class::Unconnected => {}
                            Class::Broken => outcome = Outcome::Broken,
                            _ => outcome = outcome.after_failure(),
                        }
                    }
                },
            }
        }
        match outcome {
            Outcome::Held if too_large == hosts.all() => {
                *by = too_large;
                Outcome::TooLarge
            }
            // One that could not be asked may take it.
            Outcome::Held if !too_large.is_empty() => {
                hosts.awaited(body.len(), &self.component, &self.health);
                Outcome::Failed
            }
            // One came back when this request had tried it. Nobody will tell of a recovery.
            Outcome::Held if refusals.is_empty() && hosts.standing() == Standing::Used => {
                Outcome::Failed
            }
            outcome => outcome,
        }
    }

    /// A body as it goes over the network.
    async fn payload(&self, body: &Bytes) -> Payload {
        let compressed = match self.compresses {
            true => gzip::compressed(body.clone()).await,
            false => None,
        };
        match compressed {
            Some(bytes) => Payload {
                bytes,
                headers: COMPRESSED,
            },
            None => Payload {
                bytes: body.clone(),
                headers: PLAIN,
            },
        }
    }

    /// What a reply means that came after so long.
    fn read<'h>(
        &self,
        chosen: Chosen<'h>,
        status: u16,
        body: &[u8],
        items: usize,
        took: Duration,
    ) -> Read<'h> {
        let said = match status {
            200 => None,
            _ => reply::fault_of_request(body),
        };
        let text = match &said {
            Some(fault) => format!("{status} {fault}"),
            None => status.to_string(),
        };
        let mut fault = said.unwrap_or_default();
        // A text alone is what gateways write, and servers to what is no bulk request.
        if fault.kind.is_empty() {
            fault.kind = outcome::NO_ERROR.into();
        }
        let class = match outcome::class_of(Level::Request, status, Some(&fault)) {
            Class::TimedOut if took < WAITED => Class::Away,
            class => class,
        };
        let outcome = match class.action().of_request() {
            Action::ReadItems => return self.read_items(chosen, body, items),
            Action::Split(_) if class == Class::TooLarge => Outcome::TooLarge,
            Action::Split(_) => Outcome::Malformed(text),
            Action::RetryRequest => Outcome::Busy(text),
            Action::RetrySmaller => {
                self.fail(chosen, class, text);
                return Read::Answered(Outcome::TimedOut);
            }
            _ => {
                let text = match status {
                    // Of a server with a bug, which may quote what it has stumbled over.
                    500 => without_reason(&text).to_owned(),
                    _ => text,
                };
                if RefusedBy::may_be_for_a_document(status) {
                    // One that is tried has refused all until now, and does so still.
                    if !chosen.is_tried() {
                        return Read::Refused(RefusedBy {
                            chosen,
                            class,
                            text,
                        });
                    }
                    self.shared.refuse_whole.store(true, Ordering::Relaxed);
                }
                self.fail(chosen, class, told(class, text));
                return Read::Failed;
            }
        };
        self.counts.request(class);
        self.succeed(chosen);
        Read::Answered(outcome)
    }

    fn read_items<'h>(&self, chosen: Chosen<'h>, body: &[u8], items: usize) -> Read<'h> {
        match reply::read(body, self.operation, items) {
            Ok(read) => {
                if !self.shared.understood(chosen.host) {
                    self.shared.refuse_whole.store(false, Ordering::Relaxed);
                    self.tell_understood(chosen.host);
                }
                self.succeed(chosen);
                Read::Answered(match read {
                    Items::AllStored => Outcome::AllStored,
                    Items::Each(items) => Outcome::Items(items),
                })
            }
            // Some of the documents may be stored: those sent again are found by their ids.
            Err(error) => {
                let kind = match &error {
                    ReplyError::Count { .. } => "item_count",
                    ReplyError::Unreadable(_) => "unreadable",
                };
                self.fail(chosen, class_without_answer(kind), error.to_string());
                Read::Failed
            }
        }
    }

    /// Whether the cluster may let us in now, as our credentials have changed since this version.
    async fn is_renewed_since(&self, version: u64) -> bool {
        match self.shared.cluster.get() {
            Some(cluster) => cluster.renewal.is_renewed_since(version).await,
            None => false,
        }
    }

    async fn ask(&self, made: &Made, host: usize, payload: Payload, reply_max: usize) -> Answer {
        let url = &self.urls[host];
        let Payload { bytes, headers } = payload;
        let asked = made.http.send(Method::POST, url, headers, bytes).await;
        let mut reply = match asked {
            Ok(reply) => reply,
            Err(none) if none.unconnected => return Answer::None("unconnected", none.cause),
            Err(none) => return Answer::None("broken", none.cause),
        };
        let status = reply.status();
        let declared = reply.content_length().unwrap_or(0);
        let mut body = Vec::with_capacity(declared.min(reply_max as u64) as usize);
        loop {
            match reply.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > reply_max => {
                    body.extend_from_slice(&chunk[..reply_max - body.len()]);
                    return Answer::TooLong(reply_max, body);
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Answer::Reply { status, body },
                Err(none) => return Answer::None("broken", none.cause),
            }
        }
    }

    fn succeed(&self, chosen: Chosen<'_>) {
        let hosts = &self.shared.hosts;
        if hosts.answered(chosen, &self.component, &self.health) {
            self.recoveries.tell();
        }
    }

    fn fail(&self, chosen: Chosen<'_>, class: Class, cause: String) {
        self.counts.request(class);
        let failure = HostFailure {
            cause,
            timed_out: class == Class::TimedOut,
        };
        // It may come back as another one, set up otherwise.
        let _ = self.shared.not_understood(HostSet::of(chosen.host));
        let hosts = &self.shared.hosts;
        hosts.failed(chosen, &failure, &self.component, &self.health);
    }
}
