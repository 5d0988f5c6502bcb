//! What a terminal shows of a run while it goes on: one line, kept below the log.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use isobar_topology::clock::{self, Instant};

use crate::accounting::Accounting;
use crate::output::number;

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

    /// Shows how far the run is.
    pub fn show(&self, text: String) {
        self.bar.set_message(text);
    }

    /// Takes the progress line away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Notices when nothing moves any more.
#[derive(Debug)]
pub struct Progress {
    /// Records read and settled, which only grow.
    last: (u64, u64),
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
            last: (0, 0),
            moved: now,
            rate: Rate {
                settled: 0,
                at: now,
                per_second: 0.0,
            },
        }
    }

    /// Looks at the account; returns for how long nothing was read and nothing settled.
    pub fn still_for(&mut self, account: &Accounting) -> Duration {
        let now = clock::now();
        let seen = (account.total.read, account.total.settled());
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
    pub fn line(&self, account: &Accounting, reasons: &[String]) -> String {
        let total = &account.total;
        let mut parts = vec![
            format!("{} read", number(total.read)),
            format!("{} settled", number(total.settled())),
            format!("{}/s", number(self.rate.per_second as u64)),
            format!("{} in flight", number(total.in_flight)),
        ];
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
