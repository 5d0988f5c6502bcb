//! A batch on its way through the bolts: rows over an immutable arena, edits beside it, and the ack.
//!
//! Batches move; they are never cloned silently. A fan-out forks by name, parts of a record are split off
//! by name, rejected records start over from their original bytes.

mod split;

use std::sync::Arc;

use crate::ack::Ack;
use crate::arena::Arena;
use crate::json::Span;
use crate::operator::Emitter;
use crate::outcome::{Answer, Policy};
use crate::record::{Record, RecordMut, Row, Shared, Slot, position, start_member};
use crate::rejection::Rejection;
use crate::stream::Stream;
use crate::symbol::{Symbol, Symbols};

/// Records of one partition, in offset order, with the duty to answer for them.
#[derive(Debug)]
pub struct Batch {
    arena: Arc<Arena>,
    symbols: Arc<Symbols>,
    rows: Vec<Row>,
    /// `rows.len() * symbols.len()` slots, row by row; none while the batch is [`AsRead`].
    slots: Vec<Slot>,
    scratch: Vec<u8>,
    /// Empty, or one for each row. It counts for a row as long as that has no document.
    rejections: Vec<Rejection>,
    ack: Ack,
}

impl Batch {
    /// A batch of these records of the arena, as they were read.
    pub(crate) fn new(
        arena: Arc<Arena>,
        symbols: Arc<Symbols>,
        records: Option<&[u32]>,
        ack: Ack,
    ) -> Self {
        let rows: Vec<Row> = match records {
            None => (0..arena.len() as u32).map(Row::new).collect(),
            Some(records) => records.iter().copied().map(Row::new).collect(),
        };
        debug_assert_eq!(rows.len(), ack.len());
        let slots = vec![Slot::default(); rows.len() * symbols.len()];
        Self {
            arena,
            symbols,
            rows,
            slots,
            scratch: Vec::new(),
            rejections: Vec::new(),
            ack,
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes that the batch keeps in memory: its arena, rows, slots and edits.
    pub fn size(&self) -> usize {
        self.arena.size()
            + self.rows.len() * size_of::<Row>()
            + self.slots.len() * size_of::<Slot>()
            + self.scratch.len()
    }

    /// The bytes that the records were read into.
    pub fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// The names of the topology.
    pub fn symbols(&self) -> &Arc<Symbols> {
        &self.symbols
    }

    /// The record in a row.
    #[inline]
    pub fn record(&self, row: usize) -> Record<'_> {
        let width = self.symbols.len();
        Record {
            arena: &self.arena,
            symbols: &self.symbols,
            row: &self.rows[row],
            slots: &self.slots[row * width..(row + 1) * width],
            scratch: &self.scratch,
        }
    }

    /// The records in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.rows.len()).map(|row| self.record(row))
    }

    /// The record in a row, to edit.
    #[inline]
    pub fn record_mut(&mut self, row: usize) -> RecordMut<'_> {
        let width = self.symbols.len();
        RecordMut {
            arena: &self.arena,
            symbols: &self.symbols,
            row: &mut self.rows[row],
            slots: &mut self.slots[row * width..(row + 1) * width],
            scratch: &mut self.scratch,
        }
    }

    /// Puts a raw JSON value of a top-level field into the batch once, for many records to share.
    pub fn share(&mut self, symbol: Symbol, json: &[u8]) -> Shared {
        let start = start_member(&mut self.scratch, &self.symbols, symbol);
        self.scratch.extend_from_slice(json);
        let end = position(&self.scratch);
        Shared {
            symbol,
            value: Span { start, end },
        }
    }

    /// Why the record in a row was rejected. It travels with the record, also through bolts that pass it
    /// on untouched, until one makes something of it, a document or parts; from then on it is `None`. A
    /// sink writes what still has one as a dead letter.
    pub fn rejection(&self, row: usize) -> Option<&Rejection> {
        let rejection = self.rejections.get(row)?;
        (!self.rows[row].has_document()).then_some(rejection)
    }

    /// Those that are dead letters where they are now, and the others.
    pub(crate) fn part_letters(self) -> (Option<Batch>, Option<Batch>) {
        if self.rejections.is_empty() {
            return (None, Some(self));
        }
        let is_other = |row| u8::from(self.rejection(row).is_none());
        let part_of: Vec<u8> = (0..self.len()).map(is_other).collect();
        let mut parts = self.part(&part_of, 2).into_iter();
        (parts.next().flatten(), parts.next().flatten())
    }

    /// Its records that were rejected as they are at fault, and not only given up, and that do not count
    /// towards the limit of dead letters yet. One of which several parts are rejected is one.
    fn at_fault(&self) -> impl Iterator<Item = usize> {
        let rows = self.rows.iter().enumerate();
        let at_fault =
            rows.filter(|(row, _)| self.rejection(*row).is_some_and(|one| !one.is_given_up));
        let records = at_fault.map(|(_, row)| row.record as usize);
        let mut last = None;
        records.filter(move |record| {
            last.replace(*record) != Some(*record) && !self.arena.is_limited(*record)
        })
    }

    /// Whether they may all become dead letters now. `admits` is asked for so many of them as do not count
    /// already: a letter that could not be written, and comes again, is no second one.
    pub(crate) fn passes_limit(&self, admits: impl FnOnce(usize) -> bool) -> bool {
        let passes = match self.at_fault().count() {
            0 => return true,
            records => admits(records),
        };
        if passes {
            self.at_fault().for_each(|record| self.arena.limit(record));
        }
        passes
    }

    /// Gives up the records and keeps the duty to answer for them.
    pub fn into_ack(self) -> Ack {
        self.ack
    }

    /// Gives the same answer for every record.
    pub fn answer(self, answer: Answer) {
        self.ack.answer(answer);
    }

    /// Decides record by record what becomes of it and emits the batch accordingly: kept records on
    /// the stream `out`, in order; rejected ones on `rejected`, as they were read; dropped ones are
    /// answered. One pass; a batch of which everything is kept moves on as it is.
    pub fn judge(
        mut self,
        out: &mut Emitter,
        mut judge: impl FnMut(&mut RecordMut<'_>) -> Verdict,
    ) {
        let mut verdicts: Vec<(u32, Verdict)> = Vec::new();
        for row in 0..self.rows.len() {
            match judge(&mut self.record_mut(row)) {
                Verdict::Keep => {}
                verdict => verdicts.push((row as u32, verdict)),
            }
        }
        if !verdicts.is_empty() {
            self = match self.without(out, verdicts) {
                Some(kept) => kept,
                None => return,
            };
        }
        out.emit(self);
    }

    /// Makes a second batch with the same records: a fan-out, by name.
    pub fn fork(&self) -> Batch {
        Batch {
            arena: Arc::clone(&self.arena),
            symbols: Arc::clone(&self.symbols),
            rows: self.rows.clone(),
            slots: self.slots.clone(),
            scratch: self.scratch.clone(),
            rejections: self.rejections.clone(),
            ack: self.ack.fork(),
        }
    }

    /// Parts the records: row `i` goes to part `part_of[i]` < `parts`, order kept. A part without
    /// records is `None`.
    pub fn part(self, part_of: &[u8], parts: usize) -> Vec<Option<Batch>> {
        assert_eq!(part_of.len(), self.rows.len(), "one part for each row");
        let mut counts = vec![0usize; parts];
        for part in part_of {
            counts[usize::from(*part)] += 1;
        }
        if let Some(whole) = counts.iter().position(|count| *count == self.rows.len()) {
            let mut out: Vec<Option<Batch>> = (0..parts).map(|_| None).collect();
            out[whole] = Some(self);
            return out;
        }
        let acks = self.ack.part(part_of, parts);
        let width = self.symbols.len();
        acks.into_iter()
            .zip(counts)
            .enumerate()
            .map(|(part, (ack, count))| {
                if count == 0 {
                    return None;
                }
                let mut rows = Vec::with_capacity(count);
                let of_each = self.slots.len() / self.rows.len();
                let mut slots = Vec::with_capacity(count * of_each);
                let mut rejections = Vec::new();
                for (row, to) in part_of.iter().enumerate() {
                    if usize::from(*to) == part {
                        rows.push(self.rows[row]);
                        let of_row = self.slots.get(row * width..(row + 1) * width);
                        slots.extend_from_slice(of_row.unwrap_or_default());
                        rejections.extend(self.rejections.get(row).cloned());
                    }
                }
                Some(Batch {
                    arena: Arc::clone(&self.arena),
                    symbols: Arc::clone(&self.symbols),
                    rows,
                    slots,
                    scratch: self.scratch.clone(),
                    rejections,
                    ack,
                })
            })
            .collect()
    }

    /// Attaches the reasons why the records were rejected, one for each row.
    pub(crate) fn rejected(mut self, rejections: Vec<Rejection>) -> Self {
        assert_eq!(rejections.len(), self.rows.len(), "one reason for each row");
        self.rejections = rejections;
        self
    }

    /// Lets every good answer count as dead-lettered.
    pub(crate) fn dead_letter(mut self) -> Self {
        self.ack = self.ack.dead_letter();
        self
    }

    /// Puts another duty in place of this one, which is returned.
    pub(crate) fn replace_ack(&mut self, ack: Ack) -> Ack {
        debug_assert_eq!(self.rows.len(), ack.len());
        std::mem::replace(&mut self.ack, ack)
    }

    /// Whether its records were sent before, and are sent again after a failure.
    pub(crate) fn is_again(&self) -> bool {
        self.ack.is_again()
    }

    /// Which attempt it is, from 1, of those that count.
    pub(crate) fn attempts(&self) -> u32 {
        self.ack.attempts()
    }

    /// Says which bolt takes it.
    pub(crate) fn taken_by(&mut self, bolt: usize) {
        self.ack.taken_by(bolt);
    }

    /// Answers for and emits the records with a verdict; returns the kept rest.
    fn without(self, out: &mut Emitter, verdicts: Vec<(u32, Verdict)>) -> Option<Batch> {
        // Parts: kept, each policy, rejected, each stream, in order of first use.
        let mut kinds: Vec<Part> = vec![Part::Keep];
        let mut part_of = vec![0u8; self.rows.len()];
        let mut rejections = Vec::new();
        for (row, verdict) in verdicts {
            let kind = match verdict {
                Verdict::Keep => continue,
                Verdict::Drop(policy) => Part::Drop(policy),
                Verdict::To(stream) => Part::To(stream),
                Verdict::Reject(rejection) => {
                    rejections.push(out.complete(rejection, self.attempts()));
                    Part::Reject
                }
            };
            let part = kinds.iter().position(|known| *known == kind);
            let part = part.unwrap_or_else(|| {
                kinds.push(kind);
                kinds.len() - 1
            });
            part_of[row as usize] =
                u8::try_from(part).expect("policies and streams of one bolt are fewer than 256");
        }
        let mut kept = None;
        for (kind, part) in kinds.iter().zip(self.part(&part_of, kinds.len())) {
            let Some(part) = part else { continue };
            match kind {
                Part::Keep => kept = Some(part),
                Part::Drop(policy) => part.answer(Answer::Dropped(*policy)),
                Part::To(stream) => out.emit_to(*stream, part),
                Part::Reject => {
                    let part = part.start_over().rejected(std::mem::take(&mut rejections));
                    out.emit_to(Stream::REJECTED, part);
                }
            }
        }
        kept
    }

    /// The same records as they were read, without document and edits.
    pub(crate) fn start_over(mut self) -> Self {
        // Without its document, one that was mended would be a dead letter again. Sinks get these apart
        // from dead letters.
        if !self.rejections.is_empty() && self.rows.iter().any(Row::has_document) {
            self.rejections = Vec::new();
        }
        for row in &mut self.rows {
            *row = row.start_over();
        }
        self.slots.clear();
        let slots = self.rows.len() * self.symbols.len();
        self.slots.resize(slots, Slot::default());
        self.scratch = Vec::new();
        self
    }

    /// Lets go of documents and edits, which a sink needs no more once it has written them down.
    pub fn as_read(mut self) -> AsRead {
        self.slots = Vec::new();
        self.scratch = Vec::new();
        AsRead(self)
    }
}

/// A batch while a sink waits for the outcome: the records as they were read and the duty to answer,
/// without the memory of their documents.
#[derive(Debug)]
pub struct AsRead(Batch);

impl AsRead {
    /// As [`Batch::answer`].
    pub fn answer(self, answer: Answer) {
        self.0.answer(answer);
    }

    /// As [`Batch::into_ack`].
    pub fn into_ack(self) -> Ack {
        self.0.into_ack()
    }

    /// As [`Batch::part`].
    pub fn part(self, part_of: &[u8], parts: usize) -> Vec<Option<AsRead>> {
        let parts = self.0.part(part_of, parts).into_iter();
        parts.map(|part| part.map(AsRead)).collect()
    }

    /// The batch, to be rejected or looked at.
    pub fn into_batch(self) -> Batch {
        self.0.start_over()
    }
}

pub use split::Split;

#[derive(PartialEq)]
enum Part {
    Keep,
    Drop(Policy),
    To(Stream),
    Reject,
}

/// What becomes of a record; see [`Batch::judge`].
#[derive(Debug)]
pub enum Verdict {
    /// It goes on.
    Keep,
    /// It is left out on purpose.
    Drop(Policy),
    /// It can never succeed.
    Reject(Rejection),
    /// It leaves on another stream of the bolt.
    To(Stream),
}

#[cfg(test)]
mod tests;
