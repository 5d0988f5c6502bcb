//! A topology rehearsed record by record, and what is told of each: what `try` shows and `test` compares.

use anyhow::Context as _;
use isobar_operators::sample::Sampled;
use isobar_topology::{Draft, Ordinals, Outcome as Ended, Plan, Rehearsal, Step as Made, Trace};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::exit::Failure;

/// A topology that records can be run through. Nothing is written, and no outside system is contacted.
pub struct Stage {
    runtime: Runtime,
    rehearsal: Rehearsal,
}

/// What became of a record.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// What each bolt put out, in order.
    pub steps: Vec<Step>,
    /// Where it ended, once for each branch.
    pub ends: Vec<End>,
}

/// A record as a bolt put it out.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The number of the step that it came from; `None` where that is the spout.
    pub after: Option<usize>,
    /// The bolt.
    pub bolt: String,
    /// The stream that it left on.
    pub stream: String,
    /// Which part of the record it is, where that was split: a number, or for a part of a part an array.
    #[serde(skip_serializing_if = "Ordinals::is_none")]
    pub part: Ordinals,
    /// The document, if there is one.
    pub document: Option<Value>,
    /// The time of the event in ms since 1970.
    pub event_time: Option<i64>,
    /// Why the bolt rejected it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejected>,
}

/// An end of a record's way.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    /// The number of the last step before it; `None` where that is the spout.
    pub after: Option<usize>,
    /// The bolt that it came to, if any.
    pub bolt: Option<String>,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of a record at an end.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It would be written.
    Written(Written),
    /// It would be a dead letter.
    Rejected(Rejected),
    /// It is dropped on purpose.
    Dropped {
        /// By this policy.
        policy: String,
    },
    /// It would be tried again, since another system is at fault.
    Failed {
        /// What was wrong.
        reason: String,
    },
}

/// What a sink would write.
#[derive(Clone, Debug, Serialize)]
pub struct Written {
    /// What to: `index`, `data_stream`, `topic`, `file`, `console`, or `bolt` where the sink cannot say.
    pub kind: &'static str,
    /// The name of that.
    pub target: String,
    /// The document id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The document, if what is written is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<Value>,
    /// What is written, if it is no document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The member of the document that tells where the record comes from.
    #[serde(skip)]
    pub origin: Option<String>,
}

/// Why a record can never succeed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rejected {
    /// The bolt that said so.
    pub by: String,
    /// The kind of reason.
    pub class: &'static str,
    /// A sentence.
    pub reason: String,
}

impl Stage {
    /// Makes the bolts of a plan.
    pub fn open(plan: Plan) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot make a runtime")?;
        let rehearsal = runtime.block_on(Rehearsal::new(plan));
        Ok(Self {
            rehearsal: rehearsal.map_err(anyhow::Error::from)?,
            runtime,
        })
    }

    /// Runs a record of a spout through the topology, at a time in ms since 1970 if not now.
    ///
    /// Fails when there is no such spout, or when a bolt cannot be opened.
    pub fn run(
        &mut self,
        spout: &str,
        record: &Sampled,
        now: Option<i64>,
    ) -> Result<Told, Failure> {
        let trace = self.trace(spout, record, now)?;
        Ok(Told {
            steps: trace.steps.into_iter().map(|s| self.step(s)).collect(),
            ends: trace
                .ends
                .into_iter()
                .map(|end| End {
                    after: end.after,
                    bolt: end.bolt.map(|bolt| self.bolt(bolt)),
                    outcome: self.outcome(end.outcome),
                })
                .collect(),
        })
    }

    /// The bolts that would write a record, each with the name of what it would write to; otherwise as
    /// [`Stage::run`], and cheaper.
    pub fn targets(
        &mut self,
        spout: &str,
        record: &Sampled,
    ) -> Result<Vec<(String, String)>, Failure> {
        let trace = self.trace(spout, record, None)?;
        let written = trace.ends.into_iter().filter_map(|end| match end.outcome {
            Ended::Written(draft) => Some((self.bolt(end.bolt?), draft.target)),
            _ => None,
        });
        Ok(written.collect())
    }

    fn trace(&mut self, spout: &str, record: &Sampled, now: Option<i64>) -> Result<Trace, Failure> {
        let spouts = &self.rehearsal.graph().spouts;
        let number = spouts.iter().position(|one| *one.id == *spout);
        let number = number.ok_or_else(|| Failure::usage(format!("there is no spout {spout}")))?;
        let batch = record.batch(self.rehearsal.graph(), spout);
        let ran = self.rehearsal.run(number, batch, now);
        Ok(self.runtime.block_on(ran).map_err(anyhow::Error::from)?)
    }

    fn bolt(&self, number: usize) -> String {
        self.rehearsal.nodes()[number].id.clone()
    }

    fn step(&self, step: Made) -> Step {
        let node = &self.rehearsal.nodes()[step.bolt];
        Step {
            after: step.after,
            bolt: node.id.clone(),
            stream: node.streams[step.stream.index()].clone(),
            part: step.part,
            document: step.document.as_deref().and_then(json),
            event_time: step.event_time,
            rejected: step.rejection.map(rejected),
        }
    }

    fn outcome(&self, ended: Ended) -> Outcome {
        match ended {
            Ended::Written(draft) => Outcome::Written(written(draft)),
            Ended::Rejected(rejection) => Outcome::Rejected(rejected(rejection)),
            Ended::Dropped(policy) => Outcome::Dropped {
                policy: self.rehearsal.graph().policies[policy.index()].clone(),
            },
            Ended::Failed(reason) => Outcome::Failed { reason },
        }
    }
}

impl Step {
    /// The stream as topology files name it.
    pub fn name(&self) -> String {
        stream_name(&self.bolt, &self.stream)
    }
}

/// A stream as topology files name it: `parse`, `route.errors`.
pub(crate) fn stream_name(bolt: &str, stream: &str) -> String {
    match stream {
        "out" => bolt.to_owned(),
        stream => format!("{bolt}.{stream}"),
    }
}

impl Told {
    /// Whether any branch of it would be a dead letter.
    pub fn is_rejected(&self) -> bool {
        let mut ends = self.ends.iter();
        ends.any(|end| matches!(end.outcome, Outcome::Rejected(_)))
    }

    /// Which part of the record came to an end.
    pub fn part(&self, end: &End) -> Ordinals {
        let step = end.after.map(|number| &self.steps[number]);
        step.map(|step| step.part).unwrap_or_default()
    }

    /// The steps on the way to an end, the first one first.
    pub fn way(&self, end: &End) -> Vec<&Step> {
        let mut way = Vec::new();
        let mut at = end.after;
        while let Some(step) = at.map(|number| &self.steps[number]) {
            way.push(step);
            at = step.after;
        }
        way.reverse();
        way
    }
}

fn json(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

fn rejected(rejection: isobar_topology::Rejection) -> Rejected {
    Rejected {
        by: rejection.bolt.to_string(),
        class: rejection.class,
        reason: rejection.reason.into_owned(),
    }
}

fn written(draft: Draft) -> Written {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let document = draft.content.as_deref().and_then(json);
    let document = document.filter(Value::is_object);
    Written {
        kind: draft.kind,
        target: draft.target,
        id: draft.id,
        key: draft.key.map(text),
        text: match document {
            Some(_) => None,
            None => draft.content.map(text),
        },
        document,
        origin: draft.origin,
    }
}
