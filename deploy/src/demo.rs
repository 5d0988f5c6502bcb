//! What there is to a demonstration besides its topology: records that are made up, services in this
//! process, and what a person can do to them.

mod feed;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_operators::embedded::{Counts, EmbeddedKafka, EmbeddedSearch};
use isobar_topology::{OperatorError, clock};
use serde::Serialize;

use crate::observer::Observer;

pub use feed::Feed;

/// How long killed bolts stay away: long enough to be seen.
const KILLED_FOR: Duration = Duration::from_secs(5);

/// How many times as much as comes in the index takes at most: what piled up in an outage of 20 s is
/// caught up in 10 s, slowly enough to be watched, and to be told in how many seconds.
const HEADROOM: u32 = 3;

/// A demonstration under way.
pub struct Demo {
    kafka: EmbeddedKafka,
    index: EmbeddedSearch,
    input: Input,
    /// What was done by hand and is not undone, with its time in ms since 1970.
    by_hand: Mutex<BTreeMap<&'static str, i64>>,
}

/// What was made up and written to the topic.
#[derive(Default)]
struct Input {
    is_paused: AtomicBool,
    written: AtomicU64,
    garbage: AtomicU64,
}

/// What a person can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Closes the port of the index.
    StopIndex,
    /// Opens it again.
    StartIndex,
    /// Lets the index refuse every document.
    RefuseItems,
    /// Lets it take documents again.
    AcceptItems,
    /// Ends every bolt on every lane.
    KillBolts,
    /// Writes no more records.
    PauseInput,
    /// Writes records again.
    ResumeInput,
}

/// The topology file of a demonstration; without variables its services are in the program.
pub const FILE: &str = include_str!("../topologies/demo.yaml");
/// What that file says of its brokers, and of its index.
const EMBEDDED: [&str; 2] = ["${KAFKA:-embedded}", "${ES:-embedded}"];
/// The indices that it writes to. The address of the index is shown, and others may write to it as well.
const INDICES: &str = "demo-errors,demo-logs-*";

/// The demonstration as JSON.
#[derive(Debug, Serialize)]
pub struct DemoDocument {
    /// What was done by hand and is not undone.
    by_hand: Vec<ByHand>,
    /// What can be done now.
    actions: Vec<Offer>,
    index: IndexDocument,
    kafka: KafkaDocument,
    input: InputDocument,
    sum: Sum,
    /// A reason of each class for which a bolt has rejected records lately.
    rejects: Vec<Reject>,
    /// This program, for commands that a person can copy.
    program: String,
}

/// Why records were rejected.
#[derive(Debug, Serialize)]
struct Reject {
    bolt: String,
    class: &'static str,
    reason: String,
}

/// Something that was done by hand.
#[derive(Debug, Serialize)]
struct ByHand {
    /// In words.
    what: &'static str,
    /// In ms since 1970.
    since_ms: i64,
}

/// An action that can be taken.
#[derive(Debug, Serialize)]
struct Offer {
    /// The last part of its path.
    action: &'static str,
    label: &'static str,
    /// What happens then.
    effect: &'static str,
}

#[derive(Debug, Serialize)]
struct IndexDocument {
    url: String,
    is_open: bool,
    refuses: bool,
    /// How many documents a second it takes.
    takes_at_most: u32,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Debug, Serialize)]
struct KafkaDocument {
    brokers: String,
}

#[derive(Debug, Serialize)]
struct InputDocument {
    is_paused: bool,
    /// Records that the brokers have.
    written: u64,
    /// Those of them that no parser takes.
    garbage: u64,
}

/// The account seen from outside of the topology: by who wrote the records and by who stores them.
#[derive(Debug, Serialize)]
struct Sum {
    /// Records that the brokers have.
    written: u64,
    /// Documents that the topology's indices have stored, each once.
    stored: u64,
    /// Records with a dead letter.
    dead_lettered: u64,
    /// Records that were no longer in the topic when they were to be read: it keeps 5 MiB of each
    /// partition.
    lost: u64,
    /// Records in none of these places: in the topic, or in flight. 0 soon after the input was paused.
    on_the_way: i64,
}

impl Action {
    const ALL: [Self; 7] = [
        Self::StopIndex,
        Self::StartIndex,
        Self::RefuseItems,
        Self::AcceptItems,
        Self::KillBolts,
        Self::PauseInput,
        Self::ResumeInput,
    ];

    /// The action of this name, as paths have it.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.offer().action == name)
    }

    /// Names of all, for whoever gave one that is none.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.map(|one| one.offer().action).to_vec()
    }

    fn offer(self) -> Offer {
        let (action, label, effect) = match self {
            Self::StopIndex => (
                "stop_index",
                "Stop the index",
                "Its port closes, as when the host goes down: records wait.",
            ),
            Self::StartIndex => (
                "start_index",
                "Start the index",
                "Its port opens again, with what it held.",
            ),
            Self::RefuseItems => (
                "refuse_items",
                "Let the index refuse documents",
                "It answers, and takes none, as an index with a write block: records wait.",
            ),
            Self::AcceptItems => (
                "accept_items",
                "Let the index take documents",
                "The write block goes.",
            ),
            Self::KillBolts => (
                "kill_bolts",
                "Kill the bolts",
                "Every bolt ends, with what it holds, and is made anew 5 s later.",
            ),
            Self::PauseInput => (
                "pause_input",
                "Pause the input",
                "No more records are made up: all that were are soon accounted for.",
            ),
            Self::ResumeInput => (
                "resume_input",
                "Resume the input",
                "Records are made up again.",
            ),
        };
        Offer {
            action,
            label,
            effect,
        }
    }
}

impl Demo {
    /// A demonstration with these services, for so many records a second.
    pub fn new(kafka: EmbeddedKafka, index: EmbeddedSearch, rate: u32) -> Self {
        index.take_at_most(rate * HEADROOM);
        Self {
            kafka,
            index,
            input: Input::default(),
            by_hand: Mutex::default(),
        }
    }

    /// `host:port` of the brokers.
    pub fn brokers(&self) -> &str {
        self.kafka.brokers()
    }

    /// Does it; what is done already stays as it is.
    ///
    /// Fails when something else has taken the port of the index while it was closed.
    pub fn act(&self, action: Action, observer: &Observer) -> Result<(), OperatorError> {
        const STOPPED: &str = "the index is stopped";
        const REFUSING: &str = "the index refuses every document";
        const PAUSED: &str = "no more records are made up";
        match action {
            Action::StopIndex => {
                self.index.close();
                self.note(STOPPED);
            }
            Action::StartIndex => {
                self.index.reopen()?;
                self.forget(STOPPED);
            }
            Action::RefuseItems => {
                self.index.block_writes(true);
                self.note(REFUSING);
            }
            Action::AcceptItems => {
                self.index.block_writes(false);
                self.forget(REFUSING);
            }
            // The topology says itself what is wrong, and until when.
            Action::KillBolts => observer.running.kill_bolts(KILLED_FOR),
            Action::PauseInput => {
                self.input.is_paused.store(true, Ordering::Release);
                self.note(PAUSED);
            }
            Action::ResumeInput => {
                self.input.is_paused.store(false, Ordering::Release);
                self.forget(PAUSED);
            }
        }
        Ok(())
    }

    /// Status and JSON of a search over all documents, in the form of `_search`; `query` is what stands
    /// behind `?` there. All words must be found.
    pub fn search(&self, query: &str) -> (u16, Vec<u8>) {
        self.index.search(&format!("{query}&default_operator=AND"))
    }

    /// Its topology file, for commands from elsewhere: with the addresses of its services.
    pub fn file(&self) -> String {
        let [brokers, index] = EMBEDDED;
        FILE.replace(brokers, self.kafka.brokers())
            .replace(index, &self.index.url())
    }

    /// What it has come to.
    pub fn document(&self, observer: &Observer) -> DemoDocument {
        // In the order in which records travel backwards: none is counted in two places.
        let account = observer.accounting().total;
        let (dead_lettered, lost) = (account.dead_lettered, account.lost);
        let stored = self.index.stored_in(INDICES);
        let written = self.input.written.load(Ordering::Acquire);
        let settled = stored + dead_lettered + lost;
        let (is_open, refuses) = (self.index.is_open(), self.index.is_blocked());
        let is_paused = self.input.is_paused.load(Ordering::Acquire);
        let offered = [
            if is_open {
                Action::StopIndex
            } else {
                Action::StartIndex
            },
            if refuses {
                Action::AcceptItems
            } else {
                Action::RefuseItems
            },
            Action::KillBolts,
            if is_paused {
                Action::ResumeInput
            } else {
                Action::PauseInput
            },
        ];
        let by_hand = self.by_hand().clone().into_iter();
        DemoDocument {
            by_hand: by_hand
                .map(|(what, since_ms)| ByHand { what, since_ms })
                .collect(),
            actions: offered.map(Action::offer).into(),
            index: IndexDocument {
                url: self.index.url(),
                is_open,
                refuses,
                takes_at_most: self.index.takes_at_most(),
                counts: self.index.counts(),
            },
            kafka: KafkaDocument {
                brokers: self.kafka.brokers().to_owned(),
            },
            input: InputDocument {
                is_paused,
                written,
                garbage: self.input.garbage.load(Ordering::Acquire),
            },
            sum: Sum {
                written,
                stored,
                dead_lettered,
                lost,
                on_the_way: written as i64 - settled as i64,
            },
            rejects: rejects(observer),
            program: program(),
        }
    }

    fn note(&self, what: &'static str) {
        let _ = self.by_hand().entry(what).or_insert_with(clock::unix_ms);
    }

    fn forget(&self, what: &'static str) {
        let _ = self.by_hand().remove(what);
    }

    fn by_hand(&self) -> MutexGuard<'_, BTreeMap<&'static str, i64>> {
        self.by_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rejects(observer: &Observer) -> Vec<Reject> {
    let bolts = observer.running.graph().bolts.iter().enumerate();
    let all = bolts.flat_map(|(number, node)| {
        let lately = observer.running.rejected_lately(number).into_iter();
        lately.map(|(class, reason)| Reject {
            bolt: node.id.to_string(),
            class,
            reason,
        })
    });
    all.collect()
}

/// Where this program is: who has built it has no `isobar` in PATH.
fn program() -> String {
    let path = std::env::current_exe();
    path.map_or_else(|_| "isobar".to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_its_services_as_they_are_replaced() {
        for embedded in EMBEDDED {
            assert_eq!(FILE.matches(embedded).count(), 1, "{embedded}");
        }
        for index in INDICES.split(',') {
            let start = index.trim_end_matches('*');
            assert!(FILE.contains(start), "{index}");
        }
        assert_eq!(FILE.matches(" index: ").count(), 2, "{INDICES}");
    }

    #[test]
    fn actions_are_found_by_their_names() {
        for action in Action::ALL {
            assert_eq!(Action::of_name(action.offer().action), Some(action));
        }
        assert_eq!(Action::of_name("explode"), None);
        assert_eq!(Action::names().len(), Action::ALL.len());
    }
}
