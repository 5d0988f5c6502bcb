//! The table that all lanes share, and reading it anew when its file changes.
//!
//! Reading goes on beside the lanes. Each one takes the new table over with its next batch, or when
//! it is time to look at the file again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use isobar_topology::{BoltContext, Counter, Emitter, Health};

use super::read::{Shape, read};
use super::table::Table;
use super::table_file::{Signature, TableError};

/// The condition of a bolt whose table is older than its file.
const STALE: &str = "table";

/// A table and the file that it was read from.
pub(super) struct Source {
    path: PathBuf,
    shape: Shape,
    /// `None` to never look at the file again.
    interval: Option<Duration>,
    /// The part of its rows that a reload may lose, in percent.
    shrink_limit: u8,
    /// Counts the tables that were read.
    version: AtomicU64,
    state: Mutex<State>,
}

struct State {
    table: Arc<Table>,
    /// The table before, which lanes may still use.
    before: Weak<Table>,
    /// The file that the table was read from.
    loaded: Signature,
    /// The file that was read last, if it was refused.
    refused: Option<Signature>,
    /// `None` before the first lane started.
    next_look: Option<Instant>,
}

/// What a look at the file led to.
#[derive(Debug)]
enum Look {
    /// The file is the one that the table was read from.
    Current,
    Reloaded,
    Refused(String),
    /// The file is the one that was refused.
    StillRefused,
    Unreadable(String),
    /// Not looked at: lanes still use the table before the current one, and three would take too much
    /// memory.
    TooEarly,
}

impl Source {
    /// Reads the table for the first time.
    pub(super) fn load(
        path: PathBuf,
        shape: Shape,
        interval: Option<Duration>,
        shrink_limit: u8,
    ) -> Result<Self, TableError> {
        let (table, loaded) = read(&path, &shape)?;
        Ok(Self {
            path,
            shape,
            interval,
            shrink_limit,
            version: AtomicU64::new(0),
            state: Mutex::new(State {
                table: Arc::new(table),
                before: Weak::new(),
                loaded,
                refused: None,
                next_look: None,
            }),
        })
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The current table.
    pub(super) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.lock().table)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the caller who is to look at the file now; when to ask again.
    fn claim_look(&self, interval: Duration) -> (bool, Instant) {
        let now = clock::now();
        let mut state = self.lock();
        let next = *state.next_look.get_or_insert(now + interval);
        if now < next {
            return (false, next);
        }
        let next = now + interval;
        state.next_look = Some(next);
        (true, next)
    }

    /// Looks at the file, and reads it if it has changed. Waits for the disk.
    fn look(&self) -> Look {
        let metadata = std::fs::metadata(&self.path);
        let rows = {
            let state = self.lock();
            if state.before.strong_count() > 0 {
                return Look::TooEarly;
            }
            match metadata.as_ref().map(Signature::of) {
                Err(error) => return Look::Unreadable(format!("cannot be read: {error}")),
                Ok(signature) if signature == state.loaded => return Look::Current,
                Ok(signature) if Some(signature) == state.refused => return Look::StillRefused,
                Ok(_) => state.table.rows(),
            }
        };
        let (table, signature) = match read(&self.path, &self.shape) {
            Ok(read) => read,
            Err(error) => {
                self.lock().refused = metadata.as_ref().map(Signature::of).ok();
                return Look::Refused(error.to_string());
            }
        };
        let mut state = self.lock();
        let kept_min = rows * usize::from(100 - self.shrink_limit);
        if table.rows() * 100 < kept_min {
            state.refused = Some(signature);
            return Look::Refused(format!(
                "has {} rows, the table in use has {rows}, and a reload may lose at most {}% of them (shrink_limit); a restart takes the file as it is",
                table.rows(),
                self.shrink_limit,
            ));
        }
        let before = std::mem::replace(&mut state.table, Arc::new(table));
        state.before = Arc::downgrade(&before);
        state.loaded = signature;
        state.refused = None;
        drop(state);
        let _ = self.version.fetch_add(1, Ordering::Release);
        Look::Reloaded
    }
}

/// The source of a table as one lane uses it.
pub(super) struct Follower {
    source: Arc<Source>,
    version: u64,
    table: Arc<Table>,
    /// `None` when the file is not looked at.
    next_look: Option<Instant>,
    reporter: Reporter,
}

/// Where a look at the file is reported.
#[derive(Clone)]
struct Reporter {
    bolt: Arc<str>,
    health: Health,
    reloads: Counter,
    refused: Counter,
}

impl Follower {
    pub(super) fn new(source: &Arc<Source>, context: &BoltContext) -> Self {
        let counters = &context.counters;
        let version = source.version.load(Ordering::Acquire);
        let next_look = source
            .interval
            .map(|interval| source.claim_look(interval).1);
        Self {
            source: Arc::clone(source),
            version,
            table: source.table(),
            next_look,
            reporter: Reporter {
                bolt: Arc::clone(&context.id),
                health: context.health.clone(),
                reloads: counters.counter("reloads", "Times that a changed table was taken over."),
                refused: counters.counter(
                    "reloads_refused",
                    "Times that a changed table was refused, so that the one before stayed in use.",
                ),
            },
        }
    }

    pub(super) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// When [`Follower::follow`] is to be called at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next_look
    }

    /// Takes over a table that was read meanwhile. When it is time, starts to look at the file.
    pub(super) fn follow(&mut self, out: &mut Emitter) {
        let version = self.source.version.load(Ordering::Acquire);
        if version != self.version {
            self.version = version;
            self.table = self.source.table();
        }
        let (Some(interval), Some(at)) = (self.source.interval, self.next_look) else {
            return;
        };
        if clock::now() < at {
            return;
        }
        let (mine, next) = self.source.claim_look(interval);
        self.next_look = Some(next);
        if mine {
            let (source, reporter) = (Arc::clone(&self.source), self.reporter.clone());
            let later = out.later();
            out.detach(async move {
                let look = tokio::task::spawn_blocking(move || reporter.report(&source));
                if let Err(error) = look.await {
                    tracing::error!(%error, "Looking at the file of a table ended by a fault");
                }
                later
            });
        }
    }
}

impl Reporter {
    fn report(&self, source: &Source) {
        match source.look() {
            Look::TooEarly | Look::StillRefused => {}
            Look::Current => self.health.clear(&self.bolt, STALE),
            Look::Reloaded => {
                self.reloads.add(1);
                self.health.clear(&self.bolt, STALE);
            }
            Look::Refused(why) => {
                self.refused.add(1);
                self.complain(source, &why);
            }
            Look::Unreadable(why) => self.complain(source, &why),
        }
    }

    fn complain(&self, source: &Source, why: &str) {
        let path = source.path.display();
        let text = format!("{path}: {why}. The table that was read before stays in use");
        self.health.note(&self.bolt, STALE, text);
    }
}
