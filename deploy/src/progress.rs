//! What a terminal shows of a run while it goes on: one line, kept below the log.

mod goal;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use isobar_topology::clock::{self, Instant};

use crate::accounting::Accounting;
use crate::output::number;

pub use goal::Goal;

/// Standard error: log lines and the progress line, which must not write into each other.
#[derive(Clone)]
pub struct Screen {
    bar: ProgressBar,
    to: Arc<Mutex<dyn Write + Send>>,
}

impl Screen {
    /// Standard error with a progress line if it is a terminal, and without one otherwise.
    pub fn stderr() -> Self {
        let screen = Self::to(io::stderr());
        if io::stderr().is_terminal() {
            screen
                .bar
                .set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        }
        screen
    }

    /// Any other place, without a progress line.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            to: Arc::new(Mutex::new(writer)),
        }
    }

    /// One for tests, with what it shows.
    #[cfg(test)]
    pub(crate) fn for_tests() -> (Self, Shown) {
        let shown = Shown::default();
        (Self::to(shown.clone()), shown)
    }

    /// Without a progress line, as with JSON logs.
    pub fn without_progress(self) -> Self {
        self.bar.set_draw_target(ProgressDrawTarget::hidden());
        self
    }

    /// Writes above the progress line.
    pub fn write(&self, text: &[u8]) {
        self.bar.suspend(|| {
            let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
            // Where standard error is gone there is nobody to tell.
            let _ = to.write_all(text);
        });
    }

    /// Writes a line above the progress line.
    pub fn line(&self, text: &str) {
        self.write(format!("{text}\n").as_bytes());
    }

    /// Shows how far the run is, where there is a progress line.
    pub fn show(&self, text: impl FnOnce() -> String) {
        if !self.bar.is_hidden() {
            self.bar.set_message(text());
        }
    }

    /// Takes the progress line away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Notices when nothing moves any more.
#[derive(Debug)]
pub struct Progress {
    /// Records read and settled, and what operators say of others; all only grow.
    last: (u64, u64, u64),
    moved: Instant,
    rate: Rate,
}

#[derive(Debug)]
struct Rate {
    settled: u64,
    at: Instant,
    per_second: f64,
}

impl Progress {
    /// Starts now, with nothing done.
    pub fn new() -> Self {
        let now = clock::now();
        Self {
            last: (0, 0, 0),
            moved: now,
            rate: Rate {
                settled: 0,
                at: now,
                per_second: 0.0,
            },
        }
    }

    /// Looks at the account, and at the progress that operators see elsewhere; returns for how long
    /// nothing was read, nothing settled and nothing elsewhere got on.
    pub fn still_for(&mut self, account: &Accounting, elsewhere: u64) -> Duration {
        let now = clock::now();
        let seen = (account.total.read, account.total.settled(), elsewhere);
        if seen != self.last {
            self.last = seen;
            self.moved = now;
        }
        let passed = now - self.rate.at;
        if passed >= Duration::from_secs(1) {
            let settled = account.total.settled() - self.rate.settled;
            self.rate = Rate {
                settled: account.total.settled(),
                at: now,
                per_second: settled as f64 / passed.as_secs_f64(),
            };
        }
        now - self.moved
    }

    /// The progress line.
    pub fn line(
        &self,
        account: &Accounting,
        goal: Option<String>,
        lag: Option<u64>,
        reasons: &[String],
    ) -> String {
        let total = &account.total;
        let mut parts = vec![
            format!("{} read", number(total.read)),
            format!("{} settled", number(total.settled())),
            format!("{}/s", number(self.rate.per_second as u64)),
            format!("{} in flight", number(total.in_flight)),
        ];
        parts.extend(goal);
        if let Some(lag) = lag {
            parts.push(format!("lag {}", number(lag)));
        }
        if total.dead_lettered > 0 {
            parts.push(format!("{} dead-lettered", number(total.dead_lettered)));
        }
        match reasons {
            [] => {}
            [only] => parts.push(only.clone()),
            [first, others @ ..] => parts.push(format!("{first} (and {} more)", others.len())),
        }
        format!("{}: {}", account.topology, parts.join(" · "))
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// What a screen for tests shows.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Shown(Arc<Mutex<Vec<u8>>>);

#[cfg(test)]
impl Shown {
    pub(crate) fn text(&self) -> String {
        let shown = self.0.lock().expect("nobody panics with it");
        String::from_utf8(shown.clone()).expect("it is text")
    }
}

#[cfg(test)]
impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut shown = self.0.lock().expect("nobody panics with it");
        shown.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::Terms;

    fn account(read: u64, in_flight: u64) -> Accounting {
        Accounting {
            topology: "t".to_owned(),
            total: Terms {
                read,
                in_flight,
                ..Terms::default()
            },
            spouts: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reading_and_settling_are_progress() {
        let second = Duration::from_secs(1);
        let mut progress = Progress::new();
        for (account, elsewhere, still_for) in [
            (account(0, 0), 0, 1),
            (account(2_000, 2_000), 0, 0),
            (account(2_000, 2_000), 0, 1),
            (account(2_000, 500), 0, 0),
            (account(2_000, 500), 0, 1),
            (account(2_000, 500), 0, 2),
            (account(2_000, 500), 1, 0),
            (account(2_000, 500), 1, 1),
        ] {
            tokio::time::sleep(second).await;
            assert_eq!(progress.still_for(&account, elsewhere).as_secs(), still_for);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_says_how_fast_and_what_is_wrong() {
        let mut progress = Progress::new();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let account = account(5_000, 1_000);
        let _ = progress.still_for(&account, 0);
        let reasons = ["index: held".to_owned(), "in: connection".to_owned()];
        assert_eq!(
            progress.line(&account, None, Some(12_345), &reasons),
            "t: 5,000 read · 4,000 settled · 2,000/s · 1,000 in flight · lag 12,345 · index: held (and 1 more)"
        );
        let goal = Some("62 %, done in 3 s".to_owned());
        assert_eq!(
            progress.line(&account, goal, None, &[]),
            "t: 5,000 read · 4,000 settled · 2,000/s · 1,000 in flight · 62 %, done in 3 s"
        );
    }
}
