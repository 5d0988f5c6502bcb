//! Several records out of one: each part is a row of its own that answers for a share of its record.

use std::num::NonZeroU16;

use super::{Batch, Verdict};
use crate::operator::Emitter;
use crate::ordinals::Ordinals;
use crate::record::{RecordMut, Row, Slot};
use crate::rejection::Rejection;

/// What came of a batch that was split.
#[derive(Debug)]
pub struct Split {
    /// The parts of the first records, in order: each is a copy of its record with its number in
    /// [`crate::Record::ordinals`], to be edited. `None` when none of them was split.
    pub parts: Option<Batch>,
    /// The records that are left for the next time.
    pub rest: Option<Batch>,
}

impl Batch {
    /// Splits records into as many parts as `count` says, from the first record on until there are
    /// `enough` parts; the last one may make them more. A record for which `count` gives a verdict is
    /// dealt with as by [`Batch::judge`] ([`Verdict::Keep`] makes one part). What `count` changes in a
    /// record all of its parts have.
    ///
    /// A record is answered when all of its parts are, and counts as the worst of them. Ids of documents
    /// follow from the numbers, so the same record must always be split in the same way. Each part costs
    /// a row and the slots of its fields, which is why there is an `enough`. A record that went through
    /// [`Ordinals::DEPTH_MAX`] splits is rejected without being asked for.
    pub fn split(
        mut self,
        out: &mut Emitter,
        enough: usize,
        mut count: impl FnMut(&mut RecordMut<'_>) -> Result<NonZeroU16, Verdict>,
    ) -> Split {
        let (mut counts, mut verdicts) = (Vec::new(), Vec::new());
        let (mut asked, mut total) = (0, 0);
        while asked < self.len() && total < enough {
            let mut record = self.record_mut(asked);
            let counted = match record.view().ordinals().depth() {
                Ordinals::DEPTH_MAX => Err(Verdict::Reject(too_deep())),
                _ => count(&mut record),
            };
            let parts = match counted {
                Ok(parts) => parts.get(),
                Err(Verdict::Keep) => 1,
                Err(verdict) => {
                    verdicts.push((asked as u32, verdict));
                    0
                }
            };
            if parts > 0 {
                counts.push(parts);
            }
            total += usize::from(parts);
            asked += 1;
        }
        let (first, rest) = self.cut(asked);
        let kept = match verdicts.is_empty() {
            true => first,
            false => first.and_then(|first| first.without(out, verdicts)),
        };
        let parts = kept.map(|kept| kept.into_parts(&counts));
        Split { parts, rest }
    }

    /// The first so many records, and the others.
    fn cut(self, at: usize) -> (Option<Batch>, Option<Batch>) {
        let part_of: Vec<u8> = (0..self.len()).map(|row| u8::from(row >= at)).collect();
        let mut parts = self.part(&part_of, 2).into_iter();
        (parts.next().flatten(), parts.next().flatten())
    }

    fn into_parts(self, counts: &[u16]) -> Batch {
        let width = self.symbols.len();
        let total = counts.iter().map(|count| usize::from(*count)).sum();
        let mut rows: Vec<Row> = Vec::with_capacity(total);
        let mut slots: Vec<Slot> = Vec::with_capacity(total * width);
        for (row, count) in counts.iter().enumerate() {
            let record = self.rows[row];
            for number in 0..usize::from(*count) {
                let ordinals = record.ordinals.part(number);
                rows.push(record.with(ordinals.expect("records that are too deep are rejected")));
                slots.extend_from_slice(&self.slots[row * width..(row + 1) * width]);
            }
        }
        Batch {
            rows,
            slots,
            // What a record was rejected for is said of the whole; a part is something new.
            rejections: Vec::new(),
            ack: self.ack.split(counts),
            ..self
        }
    }
}

#[cold]
fn too_deep() -> Rejection {
    let text = format!(
        "The record went through {} splits before, and no more are possible",
        Ordinals::DEPTH_MAX
    );
    Rejection::new("split_depth", text)
}
