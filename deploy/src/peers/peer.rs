//! One replica that is asked over its HTTP API, and what it said last.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use isobar_topology::clock::{self, Instant};

use super::Replica;
use crate::accounting::Accounting;
use crate::command::api::Api;
use crate::exit::Failure;
use crate::lag::OfReplica;
use crate::output::time;
use crate::statistics::Statistics;

/// An answer that is older says nothing about now: two questions were not answered.
const SILENT: Duration = Duration::from_secs(15);

pub(super) struct Peer {
    api: Api,
    /// What it must run: that of the first one that answered, where nobody said so before.
    topology: Arc<OnceLock<String>>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// What it said last, and when it was asked for that.
    answer: Option<(Answer, Instant)>,
    /// Why the last question was not answered.
    failure: Option<String>,
}

struct Answer {
    statistics: Statistics,
    accounting: Accounting,
}

/// What an answer, or that there is none, changed.
pub(super) enum Turn {
    Same,
    /// It does not answer any more, and why.
    Lost(String),
    /// It answers again.
    Back,
}

impl Peer {
    pub(super) fn at(api: &Api, topology: &Arc<OnceLock<String>>) -> Self {
        Self {
            api: api.clone(),
            topology: Arc::clone(topology),
            known: Mutex::default(),
        }
    }

    /// Host and port.
    pub(super) fn address(&self) -> &str {
        self.api.address()
    }

    /// Asks once; each of two questions may take `within`.
    pub(super) async fn ask(&self, within: Duration) -> Turn {
        // What it says may be as old as that, and the lag of a moment is not that of a later one.
        let asked = clock::now();
        let answer = self.answer(within).await;
        let answer = answer.map_err(|failure| format!("{:#}", failure.error));
        let answer = answer.and_then(|answer| {
            let theirs = &answer.statistics.topology;
            match self.topology.get_or_init(|| theirs.clone()) == theirs {
                true => Ok(answer),
                false => Err(format!("{} runs {theirs}", self.address())),
            }
        });
        self.note(answer, asked)
    }

    async fn answer(&self, within: Duration) -> Result<Answer, Failure> {
        let api = &self.api;
        Ok(Answer {
            statistics: api.get("/statistics", "its statistics", within).await?,
            accounting: api.get("/accounting", "its accounting", within).await?,
        })
    }

    fn note(&self, answer: Result<Answer, String>, asked: Instant) -> Turn {
        let mut known = self.known();
        let failed = known.failure.is_some();
        match answer {
            Ok(answer) => {
                *known = Known {
                    answer: Some((answer, asked)),
                    failure: None,
                };
                if failed { Turn::Back } else { Turn::Same }
            }
            Err(why) => {
                known.failure = Some(why.clone());
                if failed { Turn::Same } else { Turn::Lost(why) }
            }
        }
    }

    /// The name of its start; `None` before its first answer.
    pub(super) fn instance(&self) -> Option<String> {
        let known = self.known();
        let answer = known.answer.as_ref();
        answer.map(|(answer, _)| answer.statistics.instance.clone())
    }

    /// Its account; `None` while it does not answer.
    pub(super) fn accounting(&self) -> Option<Accounting> {
        let known = self.known();
        let answer = known.answer.as_ref().filter(|_| known.failure.is_none());
        answer.map(|(answer, _)| answer.accounting.clone())
    }

    pub(super) fn lag(&self) -> OfReplica {
        let known = self.known();
        let answer = known.answer.as_ref();
        let age = answer.map(|(_, at)| clock::now() - *at);
        OfReplica {
            address: self.address().to_owned(),
            lag: answer
                .map(|(answer, _)| answer.statistics.lag.clone())
                .unwrap_or_default(),
            age_seconds: age.map_or(0.0, |age| age.as_secs_f64()),
            silent: match age {
                Some(age) if age <= SILENT => None,
                _ => Some(self.silence(age, known.failure.as_deref())),
            },
        }
    }

    fn silence(&self, age: Option<Duration>, failure: Option<&str>) -> String {
        let address = self.address();
        match (age, failure) {
            (Some(age), _) => {
                let age = time(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
                format!("replica {address} has not answered for {age}")
            }
            (None, Some(failure)) => format!("replica {failure}"),
            (None, None) => format!("replica {address} was not asked yet"),
        }
    }

    pub(super) fn replica(&self) -> Replica {
        let known = self.known();
        let answer = known.answer.as_ref();
        Replica {
            address: self.address().to_owned(),
            age_seconds: answer.map(|(_, at)| (clock::now() - *at).as_secs_f64()),
            failure: known.failure.clone(),
            statistics: answer.map(|(answer, _)| answer.statistics.clone()),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
