//! Facts about a running topology: what runs, with which configuration, since when, what is wrong.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::configuration;
use crate::http::Offer;
use crate::observer::Observer;
use crate::plan_document::PlanDocument;

/// The facts of a whole topology.
#[derive(Debug, Serialize)]
pub struct Diagnostics<'a> {
    topology: &'a str,
    version: &'static str,
    revision: Option<&'static str>,
    /// Whether it is `isobar demo`.
    demo: bool,
    process: u32,
    started: String,
    uptime_seconds: f64,
    ready: bool,
    reasons: Vec<String>,
    conditions: Vec<ConditionFacts>,
    lanes: Vec<LaneFacts>,
    replays: Offer,
    plan: &'a PlanDocument,
    /// The same in copies of the program that were started with the same file.
    configuration_hash: String,
    /// The name of the topology file; null where there is none.
    configuration_file: Option<&'a str>,
    configuration: &'a Value,
}

#[derive(Debug, Serialize)]
struct ConditionFacts {
    component: String,
    kind: &'static str,
    text: String,
    since: String,
}

#[derive(Debug, Serialize)]
struct LaneFacts {
    lane: usize,
    ended: bool,
    /// Null before the first sign of life.
    last_sign_of_life_seconds: Option<f64>,
}

impl<'a> Diagnostics<'a> {
    /// Collects the facts of now.
    pub fn of(observer: &'a Observer) -> Self {
        let conditions = observer.conditions().into_iter();
        let conditions = conditions.map(|condition| ConditionFacts {
            component: condition.component,
            kind: condition.kind,
            text: condition.text,
            since: rfc3339(condition.since),
        });
        let lanes = observer.running.lanes().into_iter().enumerate();
        let lanes = lanes.map(|(lane, life)| LaneFacts {
            lane,
            ended: life.ended,
            last_sign_of_life_seconds: life.quiet.map(|quiet| quiet.as_secs_f64()),
        });
        Self {
            topology: &observer.plan.topology,
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("ISOBAR_REVISION"),
            demo: observer.is_demo,
            process: std::process::id(),
            started: rfc3339(observer.started_ms),
            uptime_seconds: observer.uptime_ms() as f64 / 1000.0,
            ready: observer.is_ready(),
            reasons: observer.reasons(),
            conditions: conditions.collect(),
            lanes: lanes.collect(),
            replays: Offer::of(observer),
            plan: &observer.plan,
            configuration_hash: configuration::hash(&observer.configuration),
            configuration_file: observer.configuration_file.as_deref(),
            configuration: &observer.configuration,
        }
    }
}

/// A time in ms since 1970, in the form of RFC 3339; as a number where it is beyond the calendar.
pub(crate) fn rfc3339(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}
