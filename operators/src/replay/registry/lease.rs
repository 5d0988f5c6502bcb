//! For how long a run may go on without being heard of, by the monotonic clock of its own machine.
//!
//! Others count from the timestamp of its last word, which a broker sets when it has come in. Here it
//! counts from before it was sent, and only once it was read back from the topic: whoever had taken the
//! records over until then stood before it there. So the run's own lease is over first.

use std::collections::VecDeque;
use std::time::Duration;

use isobar_topology::clock::Instant;

/// By so much a lease is over earlier for the run than for others. Timestamps are whole milliseconds,
/// clocks of brokers are a little apart and are set now and then, threads wake late, and what the run has
/// begun just before takes its time.
pub(super) const MARGIN: Duration = Duration::from_secs(2);

/// The lease of a run.
#[derive(Debug)]
pub(super) struct Lease {
    length: Duration,
    /// When the last word was sent that the topic has.
    since: Instant,
    /// The number of the next word.
    next: u64,
    /// Words that were not read back yet, oldest first, and when they were sent. None is older than the
    /// lease is long.
    sent: VecDeque<(u64, Instant)>,
}

impl Lease {
    /// One that counts from now, for others so many ms long.
    pub(super) fn new(lease_ms: i64, now: Instant) -> Self {
        let length = Duration::from_millis(u64::try_from(lease_ms).unwrap_or(0));
        Self {
            length: length.saturating_sub(MARGIN),
            since: now,
            next: 0,
            sent: VecDeque::new(),
        }
    }

    /// A word is about to be sent. Returns its number.
    pub(super) fn send(&mut self, now: Instant) -> u64 {
        // It would prolong nothing any more.
        self.sent.retain(|(_, at)| *at + self.length > now);
        let word = self.next;
        self.next += 1;
        self.sent.push_back((word, now));
        word
    }

    /// The word with this number was read back.
    pub(super) fn heard(&mut self, word: u64) {
        while let Some((number, at)) = self.sent.front().copied()
            && number <= word
        {
            let _ = self.sent.pop_front();
            if number == word {
                self.since = at;
            }
        }
    }

    /// When it is over, for the run itself.
    pub(super) fn ends(&self) -> Instant {
        self.since + self.length
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::clock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_counts_from_the_sending_of_the_last_word_that_was_read_back() {
        let start = clock::now();
        let mut lease = Lease::new(12_000, start);
        let ends = |lease: &Lease| (lease.ends() - start).as_secs();
        let claim = lease.send(clock::now());
        tokio::time::advance(SECOND).await;
        lease.heard(claim);
        assert_eq!(ends(&lease), 10, "2 s before others take it for dead");
        let mut words = Vec::new();
        for _ in 0..3 {
            tokio::time::advance(2 * SECOND).await;
            words.push(lease.send(clock::now()));
        }
        assert_eq!((words[0], ends(&lease)), (1, 10), "sent is not heard");
        // The first one is lost; the third one is still on its way.
        lease.heard(words[1]);
        assert_eq!(ends(&lease), 5 + 10);
        // It came late, and says nothing new.
        lease.heard(words[0]);
        assert_eq!(ends(&lease), 5 + 10);
        lease.heard(words[2]);
        assert_eq!(ends(&lease), 7 + 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_word_that_comes_after_its_own_lease_prolongs_nothing_and_is_not_kept() {
        let mut lease = Lease::new(12_000, clock::now());
        let first = lease.send(clock::now());
        let until = lease.ends();
        for _ in 0..1_000 {
            tokio::time::advance(3 * SECOND).await;
            let _ = lease.send(clock::now());
        }
        assert!(lease.sent.len() <= 4, "{}", lease.sent.len());
        lease.heard(first);
        assert_eq!(lease.ends(), until);
        let last = lease.send(clock::now());
        lease.heard(last);
        assert_eq!(lease.ends(), clock::now() + 10 * SECOND);
        assert!(lease.sent.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_shorter_than_the_margin_is_over_at_once() {
        for lease_ms in [-1, 0, 1_999] {
            assert_eq!(Lease::new(lease_ms, clock::now()).ends(), clock::now());
        }
    }
}
