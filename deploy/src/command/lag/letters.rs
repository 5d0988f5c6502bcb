//! How many dead letters are open and how old the oldest one is, for `--serve`: the topic is read as
//! `isobar dlq stats` reads it, now and then, on a thread of its own.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_operators::letters::DeadLetters;
use isobar_topology::clock;

use crate::command::dlq;
use crate::metrics::Letters;

/// Between two looks: topics keep letters for days.
const INTERVAL: Duration = Duration::from_secs(600);

/// Reads the topic until it is dropped.
pub(super) struct LettersWatch {
    topic: String,
    known: Arc<Mutex<Known>>,
    _stop: SyncSender<()>,
}

#[derive(Default)]
struct Known {
    /// Open letters, and when the first of them that is deleted was written, in ms since 1970.
    open: Option<(usize, Option<i64>)>,
    /// When the topic deletes letters by age.
    retention: Option<Duration>,
}

impl LettersWatch {
    /// Starts to read; each wait for the brokers takes as long as `within` at most.
    pub(super) fn start(letters: DeadLetters, within: Duration) -> Self {
        let (stop, stopped) = sync_channel(0);
        let known = Arc::<Mutex<Known>>::default();
        let topic = letters.topic().to_owned();
        let theirs = Arc::clone(&known);
        let look = move || {
            loop {
                let found = look(&letters, within);
                *lock(&theirs) = found;
                match stopped.recv_timeout(INTERVAL) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        let thread = std::thread::Builder::new().name("letters".to_owned());
        if let Err(error) = thread.spawn(look) {
            tracing::warn!(%error, "Dead letters are not looked at");
        }
        Self {
            topic,
            known,
            _stop: stop,
        }
    }

    /// What is known now.
    pub(super) fn read(&self) -> Letters {
        let known = lock(&self.known);
        let oldest = known.open.and_then(|(_, oldest)| oldest);
        let age = oldest.map(|ms| (clock::unix_ms() - ms).max(0) as f64 / 1_000.0);
        Letters {
            topic: self.topic.clone(),
            open: known.open.map(|(open, _)| open),
            // None is open: nothing is old.
            oldest_seconds: age.or(known.open.map(|_| 0.0)),
            retention_seconds: known.retention.map(|time| time.as_secs_f64()),
        }
    }
}

fn look(letters: &DeadLetters, within: Duration) -> Known {
    let open = match dlq::open_letters(letters, within) {
        Ok(open) => Some(open),
        Err(error) => {
            tracing::warn!(topic = letters.topic(), %error, "Dead letters cannot be read");
            None
        }
    };
    Known {
        open,
        // Without the permission to see it, it is not known.
        retention: letters.retention(within).ok().flatten(),
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
