//! Whatever is done to batches, each row keeps its record, its edits and its place in the ack.

use std::num::NonZeroU16;

use proptest::prelude::*;

use super::*;
use crate::ack::{Completions, Ticket};
use crate::arena::ArenaBuilder;
use crate::ordinals::Ordinals;
use crate::outcome::{Code, Failure};
use crate::partition::Partition;
use crate::symbol::Symbol;

/// What a random program does with one of the batches that it holds.
#[derive(Clone, Debug)]
enum Step {
    Fork,
    /// By row, one of three parts.
    Part(Vec<u8>),
    /// Written down by a sink, parted by the outcome, and looked at again.
    PartAsRead(Vec<u8>),
    /// By row, one of four verdicts.
    Judge(Vec<u8>),
    /// By row, rejected or one to three parts.
    Split(Vec<u8>),
    Edit(usize, u32),
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let choices = |count: u8| prop::collection::vec(0..count, 8);
    let step = prop_oneof![
        Just(Step::Fork),
        choices(3).prop_map(Step::Part),
        choices(3).prop_map(Step::PartAsRead),
        choices(4).prop_map(Step::Judge),
        choices(4).prop_map(Step::Split),
        (0usize..8, any::<u32>()).prop_map(|(row, value)| Step::Edit(row, value)),
    ];
    (0usize..8, step)
}

/// A batch and what its rows must be.
struct Held {
    batch: Batch,
    rows: Vec<Expected>,
}

#[derive(Clone, Debug, PartialEq)]
struct Expected {
    offset: i64,
    ordinals: Ordinals,
    has_document: bool,
    edit: Option<u32>,
    rejected: bool,
}

impl Held {
    fn check(&self, edited: Symbol) -> Result<(), TestCaseError> {
        let rows = self
            .batch
            .records()
            .enumerate()
            .map(|(row, record)| Expected {
                offset: record.offset(),
                ordinals: record.ordinals(),
                has_document: record.has_document(),
                edit: record
                    .get(edited)
                    .map(|raw| str::from_utf8(raw).expect("a number").parse().expect("u32")),
                rejected: self.batch.rejection(row).is_some(),
            });
        prop_assert_eq!(&rows.collect::<Vec<_>>(), &self.rows);
        prop_assert_eq!(self.batch.ack.len(), self.rows.len());
        for record in self.batch.records() {
            let payload = format!("{{\"n\":{}}}", record.offset());
            prop_assert_eq!(record.payload(), Some(payload.as_bytes()));
        }
        Ok(())
    }
}

/// The answer that batch number `batch` gives for a record: one in three fails.
fn answer_of(batch: usize, offset: i64) -> Answer {
    if (batch as i64 * 5 + offset) % 3 == 0 {
        Answer::Failed(Failure::External)
    } else {
        Answer::Delivered
    }
}

fn verdict(choice: u8) -> Verdict {
    match choice {
        0 => Verdict::Keep,
        1 => Verdict::Drop(Policy::new(1).expect("small")),
        2 => Verdict::Reject(Rejection::new("test", "the test says so")),
        _ => Verdict::To(Stream::declared(0).expect("the first")),
    }
}

/// Most rows of one batch below: splits multiply.
const ROWS_MAX: usize = 60;

/// The rows of a batch that is split: into parts, or rejected, which those too deep are, too.
fn split(rows: &[Expected], choices: &[u8]) -> (Vec<Expected>, Vec<Expected>) {
    let (mut parts, mut rejected) = (Vec::new(), Vec::new());
    for (row, choice) in rows.iter().zip(choices) {
        if *choice == 0 || row.ordinals.depth() == Ordinals::DEPTH_MAX {
            rejected.push(Expected {
                has_document: false,
                edit: None,
                rejected: true,
                ..row.clone()
            });
        } else {
            parts.extend((0..usize::from(*choice)).map(|number| Expected {
                ordinals: row.ordinals.part(number).expect("not too deep"),
                rejected: false,
                ..row.clone()
            }));
        }
    }
    (parts, rejected)
}

/// How many rows are looked at until there are enough parts.
fn rows_asked(rows: &[Expected], choices: &[u8], enough: usize) -> usize {
    let made = |row: usize| split(&rows[..row], choices).0.len();
    let asked = (0..rows.len()).find(|row| made(*row) >= enough);
    asked.unwrap_or(rows.len())
}

/// The rows of a batch by verdict, rejected ones as they were read.
fn judged(rows: &[Expected], choices: &[u8], wanted: u8) -> Vec<Expected> {
    let of_verdict = rows
        .iter()
        .zip(choices)
        .filter(|(_, choice)| **choice == wanted);
    let rows = of_verdict.map(|(row, _)| match wanted {
        2 => Expected {
            has_document: false,
            edit: None,
            rejected: true,
            ..row.clone()
        },
        _ => row.clone(),
    });
    rows.collect()
}

proptest! {
    #[test]
    fn rows_keep_their_records_edits_and_answers(
        count in 1usize..8,
        steps in prop::collection::vec(step(), 0..30),
    ) {
        let mut symbols = Symbols::new();
        let edited = symbols.intern("edited").expect("there is room");
        let mut builder = ArenaBuilder::new(Partition::for_tests("t", 0), count, 0);
        for offset in 0..count as i64 {
            let payload = format!("{{\"n\":{offset}}}");
            builder.push(offset, 0, None, Some(payload.as_bytes()), std::iter::empty());
        }
        let completions = Arc::new(Completions::default());
        let ticket = Ticket { ledger: 0, entry: 0, records: None, attempts: 0, retries: 0, holds: 0, recoveries: 0 };
        let ack = completions.start(ticket, count);
        let mut batch = Batch::new(Arc::new(builder.finish()), Arc::new(symbols), None, ack);
        for row in 0..count {
            batch.record_mut(row).adopt_json().expect("valid");
        }
        let rows = batch.records().map(|record| Expected {
            offset: record.offset(),
            ordinals: Ordinals::NONE,
            has_document: true,
            edit: None,
            rejected: false,
        }).collect();
        let mut held = vec![Held { batch, rows }];
        let mut worst = vec![Code::DELIVERED; count];

        for (at, step) in steps {
            if held.is_empty() {
                break;
            }
            let at = at % held.len();
            let as_read = matches!(step, Step::PartAsRead(_));
            match step {
                Step::Fork => {
                    let fork = Held { batch: held[at].batch.fork(), rows: held[at].rows.clone() };
                    held.push(fork);
                }
                Step::Edit(row, value) => {
                    let Held { batch, rows } = &mut held[at];
                    let row = row % rows.len();
                    let set = batch.record_mut(row).set(edited, value.to_string().as_bytes());
                    prop_assert_eq!(set.is_ok(), rows[row].has_document);
                    if rows[row].has_document {
                        rows[row].edit = Some(value);
                    }
                }
                Step::Split(_) if held[at].rows.len() > ROWS_MAX => {}
                Step::Split(choices) => {
                    let Held { batch, rows } = held.swap_remove(at);
                    let choices: Vec<u8> = choices.into_iter().cycle().take(rows.len()).collect();
                    // As the first of them say, so many are enough.
                    let enough = usize::from(choices[0]) * 3 + 1;
                    let asked_for = rows_asked(&rows, &choices, enough);
                    let (parts, rejected) = split(&rows[..asked_for], &choices);
                    let mut out = Emitter::default();
                    // It is not asked about those that are too deep.
                    let mut asked = rows.iter().zip(&choices);
                    let batch = batch.split(&mut out, enough, |record| {
                        let record = record.view();
                        let (_, choice) = asked
                            .find(|(row, _)| row.ordinals == record.ordinals() && row.offset == record.offset())
                            .expect("in the order of the rows");
                        NonZeroU16::new(u16::from(*choice)).ok_or_else(|| verdict(2))
                    });
                    prop_assert_eq!(batch.parts.is_none(), parts.is_empty());
                    held.extend(batch.parts.map(|batch| Held { batch, rows: parts }));
                    prop_assert_eq!(batch.rest.is_none(), asked_for == rows.len());
                    let rest = rows[asked_for..].to_vec();
                    held.extend(batch.rest.map(|batch| Held { batch, rows: rest }));
                    let emitted = out.emitted.pop();
                    prop_assert_eq!(emitted.is_none(), rejected.is_empty());
                    held.extend(emitted.map(|(_, batch)| Held { batch, rows: rejected }));
                }
                Step::Part(part_of) | Step::PartAsRead(part_of) => {
                    let Held { batch, mut rows } = held.swap_remove(at);
                    let part_of: Vec<u8> = part_of.into_iter().cycle().take(rows.len()).collect();
                    let part_of = part_of.as_slice();
                    let parts: Vec<Option<Batch>> = if as_read {
                        for row in &mut rows {
                            (row.has_document, row.edit) = (false, None);
                        }
                        let parts = batch.as_read().part(part_of, 3).into_iter();
                        parts.map(|part| part.map(AsRead::into_batch)).collect()
                    } else {
                        batch.part(part_of, 3)
                    };
                    for (number, batch) in parts.into_iter().enumerate() {
                        let of_part = rows.iter().zip(part_of);
                        let of_part = of_part.filter(|(_, part)| usize::from(**part) == number);
                        let rows: Vec<Expected> = of_part.map(|(row, _)| row.clone()).collect();
                        prop_assert_eq!(batch.is_none(), rows.is_empty());
                        held.extend(batch.map(|batch| Held { batch, rows }));
                    }
                }
                Step::Judge(choices) => {
                    let Held { batch, rows } = held.swap_remove(at);
                    let choices: Vec<u8> = choices.into_iter().cycle().take(rows.len()).collect();
                    let mut out = Emitter::default();
                    let mut choice = choices.iter();
                    batch.judge(&mut out, |_| verdict(*choice.next().expect("enough")));
                    for row in judged(&rows, &choices, 1) {
                        let code = Code::of(Answer::Dropped(Policy::new(1).expect("small")));
                        let worst = &mut worst[row.offset as usize];
                        *worst = code.max(*worst);
                    }
                    for (stream, wanted) in [
                        (Stream::OUT, 0),
                        (Stream::REJECTED, 2),
                        (Stream::declared(0).expect("the first"), 3),
                    ] {
                        let rows = judged(&rows, &choices, wanted);
                        let emitted = out.emitted.iter().position(|(to, _)| *to == stream);
                        prop_assert_eq!(emitted.is_none(), rows.is_empty());
                        if let Some(emitted) = emitted {
                            let (_, batch) = out.emitted.swap_remove(emitted);
                            // Rows that were rejected before, and are as they were then, keep their reason
                            // on any stream.
                            held.push(Held { batch, rows });
                        }
                    }
                }
            }
            for held in &held {
                held.check(edited)?;
            }
        }

        for (number, Held { batch, .. }) in held.into_iter().enumerate() {
            let offsets: Vec<i64> = batch.records().map(|record| record.offset()).collect();
            for offset in &offsets {
                let worst = &mut worst[*offset as usize];
                *worst = Code::of(answer_of(number, *offset)).max(*worst);
            }
            batch.into_ack().answer_each(|row| answer_of(number, offsets[row]));
        }
        let completion = completions.take().expect("everything is answered");
        prop_assert_eq!(completion.codes, worst);
    }
}
