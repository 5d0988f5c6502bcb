//! Records as they go along an edge, for who has the token: lines of JSON until a limit, a time, or until
//! the other side goes away.

mod shown;

use std::convert::Infallible;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use futures::stream;
use isobar_operators::tap::{Met, TapCondition};
use isobar_topology::spec::{Path, units};
use isobar_topology::{EdgeReport, Finish, Tap, Tapped, clock};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use self::shown::{Mask, record};
use super::question::Asked;
use super::token::{Permitted, refuse};
use crate::observer::Observer;

/// Taps at once. With 4 MiB of copies each they stay within what a plan allows for the process itself.
pub(crate) const TAPS_MAX: usize = 4;
/// Longest time of a tap: nobody reads for longer, and a forgotten one ends.
const TIME_MAX: Duration = Duration::from_secs(60 * 60);
/// How often numbers are sent, so that each side knows that the other one is there, and who looks that records come
/// and which.
pub(crate) const COUNTS_EVERY: Duration = Duration::from_secs(10);

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    edge: String,
    /// One in so many records.
    #[serde(default = "all")]
    every: NonZeroU64,
    limit: Option<NonZeroU64>,
    #[serde(rename = "for", default = "minute")]
    time: units::Duration,
    /// Fields, with commas between them.
    #[serde(default)]
    mask: String,
    /// The condition that records must meet to be shown.
    #[serde(rename = "where")]
    condition: Option<String>,
}

fn all() -> NonZeroU64 {
    NonZeroU64::MIN
}

fn minute() -> units::Duration {
    units::Duration::millis(60_000)
}

/// A line of the answer: the start, then records and numbers, then the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TapLine {
    /// What is looked at.
    Start(TapStart),
    /// A record.
    Record(Box<TapRecord>),
    /// The numbers so far.
    Counts(TapCounts),
    /// The end: without this line the connection was cut.
    End(TapEnd),
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapStart {
    /// Version of the form.
    pub version: u32,
    /// The topology.
    pub topology: String,
    /// The edge: `parse -> index`.
    pub edge: String,
    /// The condition that records must meet to be shown, as it was given. A topology of an earlier version,
    /// which knows no conditions, leaves it out.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// A record as it went along the edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TapRecord {
    /// The topic that it comes from.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The record's own timestamp in ms since 1970; null when it has none.
    pub timestamp_ms: Option<i64>,
    /// The time of the event in ms since 1970.
    pub event_time_ms: Option<i64>,
    /// Which part of the record it is, where that was split: a number, or for a part of a part an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Value>,
    /// The record's key.
    pub key: Option<String>,
    /// The document with all edits, where a parser made one.
    pub document: Option<Value>,
    /// The value as it was read, where there is no document. Bytes that are no UTF-8 are replaced.
    pub value: Option<String>,
    /// How long the text is that is not shown as it is too long, in bytes.
    pub too_long: Option<usize>,
    /// Why it was rejected, on such an edge.
    pub rejected: Option<TapRejected>,
}

/// Why a record was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapRejected {
    /// The bolt that said so.
    pub by: String,
    /// The kind of reason.
    pub class: String,
    /// A sentence.
    pub reason: String,
}

/// How many records there were since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapCounts {
    /// Records that came to the edge, those sent again included, and those that its `on_full` dropped.
    pub passed: u64,
    /// Those that were shown.
    pub shown: u64,
    /// Those that were to be looked at and were not, as they came faster than they are copied.
    pub not_shown: u64,
    /// What the condition says of those that were looked at; none without a condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<TapJudged>,
    /// Fields of `mask` that none of the records shown has, so that they have hidden nothing. Empty where there are
    /// none, and while no record was shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idle_masks: Vec<String>,
}

/// How many records a condition was evaluated on. Those that met it were shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapJudged {
    /// Records that were looked at.
    pub looked_at: u64,
    /// Those of which it cannot be told whether they meet it. They are not shown.
    pub unknown: u64,
    /// Why, for the last of these.
    pub reason: Option<String>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapEnd {
    /// Why.
    pub reason: TapEnded,
    /// How many records there were.
    pub counts: TapCounts,
}

/// Why a tap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TapEnded {
    /// As many records as were asked for were shown.
    Limit,
    /// Its time is over.
    Time,
    /// The topology has ended.
    Topology,
}

pub(super) async fn answer(
    _: Permitted,
    State(observer): State<Arc<Observer>>,
    Asked(question): Asked<Question>,
) -> Response {
    let edges = &observer.plan.edges;
    let Some(edge) = find(edges, &question.edge) else {
        let known: Vec<String> = edges.iter().map(name).collect();
        let text = format!(
            "there is no edge {}; there is {}",
            question.edge,
            known.join(", ")
        );
        return refuse(StatusCode::NOT_FOUND, &text);
    };
    let condition = question.condition.as_deref().map(|text| {
        let path = Path::root().key("where");
        TapCondition::compile(text, &path)
    });
    let condition = match condition.transpose() {
        Ok(condition) => condition,
        Err(problem) => return refuse(StatusCode::BAD_REQUEST, &problem.to_string()),
    };
    let Ok(permit) = Arc::clone(&observer.taps).try_acquire_owned() else {
        let text = format!("{TAPS_MAX} taps are open already: end one of them");
        return refuse(StatusCode::TOO_MANY_REQUESTS, &text);
    };
    let tap = observer.running.tap(edge, question.every);
    let tap = tap.expect("edges of the plan are those that run");
    let masks = question.mask.split(',').map(str::trim);
    let showing = Showing {
        start: Some(TapStart {
            version: TapStart::VERSION,
            topology: observer.plan.topology.clone(),
            edge: name(&edges[edge]),
            condition: question.condition,
        }),
        tap,
        masks: masks
            .filter(|mask| !mask.is_empty())
            .map(Mask::of)
            .collect(),
        judged: condition.is_some().then(TapJudged::default),
        condition,
        shown: 0,
        limit: question.limit.map_or(u64::MAX, NonZeroU64::get),
        until: clock::now() + question.time.get().min(TIME_MAX),
        counts_at: clock::now() + COUNTS_EVERY,
        finished: Box::pin(observer.running.finished()),
        ended: false,
        _permit: permit,
    };
    let lines = stream::unfold(showing, async |mut showing| {
        let line = showing.line().await?;
        let mut text = serde_json::to_string(&line).expect("lines are plain data");
        text.push('\n');
        Some((Ok::<_, Infallible>(text), showing))
    });
    let kind = (header::CONTENT_TYPE, "application/x-ndjson");
    ([kind], Body::from_stream(lines)).into_response()
}

impl TapStart {
    /// The version of the form.
    pub const VERSION: u32 = 1;
}

/// The number of an edge by its name, `parse -> index`, or by its stream alone: all that a stream's edges
/// carry is the same.
fn find(edges: &[EdgeReport], asked: &str) -> Option<usize> {
    let parted = asked.split_once("->").or_else(|| asked.split_once('→'));
    let (from, to) = match parted {
        Some((from, to)) => (from.trim(), Some(to.trim())),
        None => (asked.trim(), None),
    };
    edges
        .iter()
        .position(|edge| edge.from == from && to.is_none_or(|to| edge.to == to))
}

fn name(edge: &EdgeReport) -> String {
    format!("{} -> {}", edge.from, edge.to)
}

/// A tap on its way to who looks.
struct Showing {
    start: Option<TapStart>,
    tap: Tap,
    masks: Vec<Mask>,
    condition: Option<TapCondition>,
    judged: Option<TapJudged>,
    shown: u64,
    limit: u64,
    until: Instant,
    counts_at: Instant,
    finished: BoxFuture<'static, Finish>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Showing {
    /// The next line; `None` after the end.
    async fn line(&mut self) -> Option<TapLine> {
        if let Some(start) = self.start.take() {
            return Some(TapLine::Start(start));
        }
        if self.ended {
            return None;
        }
        let reason = loop {
            if self.shown == self.limit {
                break TapEnded::Limit;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(self.until) => break TapEnded::Time,
                () = tokio::time::sleep_until(self.counts_at) => {
                    self.counts_at = clock::now() + COUNTS_EVERY;
                    return Some(TapLine::Counts(self.counts()));
                }
                copy = self.tap.next() => {
                    if self.shows(&copy) {
                        self.shown += 1;
                        return Some(TapLine::Record(Box::new(record(copy, &mut self.masks))));
                    }
                }
                _ = &mut self.finished => break TapEnded::Topology,
            }
        };
        self.ended = true;
        let counts = self.counts();
        Some(TapLine::End(TapEnd { reason, counts }))
    }

    /// Whether the copy meets the condition, if there is one, which is counted.
    fn shows(&mut self, copy: &Tapped) -> bool {
        let (Some(condition), Some(judged)) = (&self.condition, &mut self.judged) else {
            return true;
        };
        judged.looked_at += 1;
        match condition.met_by(copy) {
            Met::Yes => true,
            Met::No => false,
            Met::Unknown(why) => {
                judged.unknown += 1;
                judged.reason = Some(why);
                false
            }
        }
    }

    fn counts(&self) -> TapCounts {
        TapCounts {
            passed: self.tap.passed(),
            shown: self.shown,
            not_shown: self.tap.missed(),
            judged: self.judged.clone(),
            idle_masks: match self.shown {
                0 => Vec::new(),
                _ => self.idle_masks(),
            },
        }
    }

    fn idle_masks(&self) -> Vec<String> {
        let idle = self.masks.iter().filter(|mask| !mask.has_hidden);
        idle.map(|mask| mask.path().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_found_by_its_name_or_its_stream() {
        let edge = |from: &str, to: &str| EdgeReport {
            from: from.to_owned(),
            to: to.to_owned(),
            grouping: "local",
            fused: true,
            ordered: true,
            on_full: None,
            throttle: None,
        };
        let edges = [
            edge("logs", "parse"),
            edge("parse", "index"),
            edge("parse", "count"),
            edge("parse.rejected", "dead_letter"),
        ];
        let check =
            |asked: &str, expected: Option<usize>| assert_eq!(find(&edges, asked), expected);
        check("parse", Some(1));
        check("parse -> count", Some(2));
        check("parse→count", Some(2));
        check("parse.rejected", Some(3));
        check("parse -> parse", None);
        check("index", None);
    }
}
