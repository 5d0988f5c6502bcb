//! Which records of a partition a lane accepts: the guard against the silent losses of batch reads.
//!
//! Pure. In librdkafka 2.12 an error that stands in a partition's queue moves the position past
//! itself (issue 4844), and every rebalance resumes from that position: the record there would
//! never come. Hence the own next offset, and a seek back when an error was followed by a gap.

/// What to do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Hand it out; the next offset has moved past it.
    Accept,
    /// Drop it: it was accepted before.
    Duplicate,
    /// Drop it: the partition is being moved back and it will come again.
    Discard,
    /// Drop it and move the partition back to this offset; then call [`Acceptance::moved`].
    Seek(i64),
}

/// The state of one partition, from its assignment on.
#[derive(Clone, Debug)]
pub(crate) struct Acceptance {
    next: i64,
    /// An error stood in the queue since the last accepted record.
    flagged: bool,
    /// Waiting for the partition to be moved.
    moving: bool,
    /// The offset that came after a gap, before the last seek: if it comes again, the gap is
    /// real (compaction, control records) and not the position's.
    after_gap: Option<i64>,
}

impl Acceptance {
    /// Starts before the record at `next`.
    pub(crate) fn new(next: i64) -> Self {
        Self {
            next,
            flagged: false,
            moving: false,
            after_gap: None,
        }
    }

    /// Returns the offset after the last accepted record.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    /// Judges a record by its offset.
    #[inline]
    pub(crate) fn judge(&mut self, offset: i64) -> Verdict {
        if self.moving {
            return Verdict::Discard;
        }
        if offset < self.next {
            return Verdict::Duplicate;
        }
        if self.flagged && offset > self.next && self.after_gap != Some(offset) {
            self.after_gap = Some(offset);
            self.moving = true;
            return Verdict::Seek(self.next);
        }
        self.next = offset + 1;
        self.flagged = false;
        self.after_gap = None;
        Verdict::Accept
    }

    /// Notes that an error stood in the queue.
    pub(crate) fn error(&mut self) {
        self.flagged = true;
        // It may have moved the position again, to the same place as before.
        self.after_gap = None;
    }

    /// Asks to be moved back to the next offset if an error was seen since the last record: after
    /// a rebalance, so that what was skipped comes even if nothing follows it.
    pub(crate) fn recheck(&mut self) -> Option<i64> {
        (self.flagged && !self.moving).then(|| {
            self.moving = true;
            self.next
        })
    }

    /// Discards everything until [`Self::moved`].
    pub(crate) fn hold(&mut self) {
        self.moving = true;
    }

    /// Notes that the partition was moved to `next`; what comes now counts again.
    pub(crate) fn moved(&mut self, next: i64) {
        if next != self.next {
            self.next = next;
            self.after_gap = None;
        }
        self.moving = false;
        // The position may have been overtaken by a batch call in the same instant.
        self.flagged = true;
    }

    /// Tells whether the client's position may be believed.
    pub(crate) fn is_clean(&self) -> bool {
        !self.flagged && !self.moving
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Accept, Discard, Duplicate, Seek};

    fn check(acceptance: &mut Acceptance, expected: &[(i64, Verdict)]) {
        for (offset, verdict) in expected {
            assert_eq!(acceptance.judge(*offset), *verdict, "offset {offset}");
        }
    }

    #[test]
    fn records_are_accepted_once_and_gaps_are_normal() {
        let mut acceptance = Acceptance::new(10);
        check(
            &mut acceptance,
            &[(9, Duplicate), (10, Accept), (10, Duplicate), (15, Accept)],
        );
        assert_eq!(acceptance.next(), 16);
    }

    #[test]
    fn a_gap_after_an_error_is_sought_back_and_nothing_is_lost() {
        let mut acceptance = Acceptance::new(0);
        check(&mut acceptance, &[(0, Accept)]);
        acceptance.error();
        check(&mut acceptance, &[(2, Seek(1)), (3, Discard)]);
        acceptance.moved(1);
        check(&mut acceptance, &[(1, Accept), (2, Accept), (3, Accept)]);
        assert!(acceptance.is_clean());
    }

    #[test]
    fn a_gap_that_is_there_again_after_the_seek_is_a_real_one() {
        let mut acceptance = Acceptance::new(1);
        acceptance.error();
        check(&mut acceptance, &[(5, Seek(1))]);
        acceptance.moved(1);
        check(&mut acceptance, &[(5, Accept), (6, Accept)]);
    }

    #[test]
    fn a_seek_that_was_overtaken_is_repeated() {
        let mut acceptance = Acceptance::new(1);
        acceptance.error();
        check(&mut acceptance, &[(5, Seek(1))]);
        acceptance.moved(1);
        check(&mut acceptance, &[(4, Seek(1)), (6, Discard)]);
        acceptance.moved(1);
        check(&mut acceptance, &[(1, Accept)]);
    }

    #[test]
    fn an_error_followed_by_the_next_record_needs_no_seek() {
        let mut acceptance = Acceptance::new(3);
        acceptance.error();
        assert!(!acceptance.is_clean());
        check(&mut acceptance, &[(3, Accept)]);
        assert!(acceptance.is_clean());
    }

    #[test]
    fn after_a_rebalance_a_flagged_partition_asks_once_to_be_moved() {
        let mut acceptance = Acceptance::new(3);
        assert_eq!(acceptance.recheck(), None);
        acceptance.error();
        assert_eq!(acceptance.recheck(), Some(3));
        assert_eq!(acceptance.recheck(), None);
        acceptance.moved(3);
        check(&mut acceptance, &[(3, Accept)]);
    }

    #[test]
    fn a_partition_that_goes_on_elsewhere_accepts_from_there() {
        let mut acceptance = Acceptance::new(3);
        acceptance.error();
        acceptance.hold();
        check(&mut acceptance, &[(3, Discard)]);
        acceptance.moved(100);
        check(&mut acceptance, &[(3, Duplicate), (100, Accept)]);
    }

    proptest::proptest! {
        /// A model of the client: a log of offsets, a position that errors push past records and
        /// pauses make effective. Whatever happens, the lane sees every offset once, in order.
        #[test]
        fn nothing_is_lost_or_doubled_whatever_the_errors_and_pauses(
            gaps in proptest::collection::vec(1..4_i64, 1..40),
            events in proptest::collection::vec(0..6_u8, 0..80),
        ) {
            let log: Vec<i64> = gaps
                .iter()
                .scan(-1, |at, gap| { *at += gap; Some(*at) })
                .collect();
            let mut acceptance = Acceptance::new(0);
            let (mut fetch, mut position, mut seen) = (0, 0, Vec::new());
            for event in events.into_iter().chain(std::iter::repeat_n(0, 400)) {
                match event {
                    1 => {
                        acceptance.error();
                        position = position.max(fetch + 1);
                    }
                    2 => fetch = position,
                    _ => {
                        let Some(&offset) = log.iter().find(|offset| **offset >= fetch) else {
                            if let Some(to) = acceptance.recheck() {
                                (fetch, position) = (to, to);
                                acceptance.moved(to);
                            }
                            continue;
                        };
                        fetch = offset + 1;
                        position = position.max(fetch);
                        match acceptance.judge(offset) {
                            Accept => seen.push(offset),
                            Duplicate | Discard => {}
                            Seek(to) => {
                                (fetch, position) = (to, to);
                                acceptance.moved(to);
                            }
                        }
                    }
                }
            }
            proptest::prop_assert_eq!(seen, log);
        }
    }
}
