//! Waits for the brokers' answers about a batch and answers for its records.
//!
//! Failures of the cluster are external: the records wait and are sent again. Only a record that is
//! refused alone, for what it is, is rejected; a dead letter never is.

use std::sync::Arc;
use std::time::Duration;

use isobar_topology::{Answer, Batch, Counter, Emitter, Failure, Health, Record, Rejection};

use super::outgoing::{Form, Letter, Outgoing, Rows};
use crate::kafka::{Delivery, DeliveryError, Failures, Producer};

/// Between two looks at what is wrong while a batch waits.
const LOOK: Duration = Duration::from_secs(1);

/// Bytes of the value that cut letters have, the first that fits: also a topic that takes almost
/// nothing shall have a trace of each record.
const CUTS: [Option<usize>; 3] = [None, Some(16 << 10), Some(0)];

const CONNECTION: &str = "connection";
const WRITING: &str = "writing";

/// A batch that was handed to the producer.
pub(super) struct Delivering {
    pub(super) batch: Batch,
    pub(super) producer: Producer,
    pub(super) form: Arc<Form>,
    pub(super) letters_cut: Counter,
    pub(super) topology: Arc<str>,
    pub(super) bolt: Arc<str>,
    pub(super) health: Health,
}

/// What became of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Written = 0,
    Waits = 1,
    Rejected = 2,
}

impl Delivering {
    /// Answers for all records when the brokers have.
    pub(super) async fn answer(self, delivery: Delivery, mut out: Emitter) -> Emitter {
        let failures = self.wait(delivery).await;
        if failures.is_empty() {
            self.health.clear(&self.bolt, WRITING);
            self.batch.answer(Answer::Delivered);
            return out;
        }
        let mut fates = vec![Fate::Written as u8; self.batch.len()];
        let mut rejections: Vec<(u32, Rejection)> = Vec::new();
        let mut waits = None;
        for (row, error) in failures {
            let fate = match self.settle(row as usize, error).await {
                Ok(()) => Fate::Written,
                Err(error)
                    if self.batch.rejection(row as usize).is_some() || !error.is_of_record() =>
                {
                    waits = Some(error);
                    Fate::Waits
                }
                Err(error) => {
                    rejections.push((row, rejection(&error)));
                    Fate::Rejected
                }
            };
            fates[row as usize] = fate as u8;
        }
        match waits {
            Some(error) => self.health.set(
                &self.bolt,
                WRITING,
                format!("records wait, since they cannot be written: {error}"),
            ),
            None => self.health.clear(&self.bolt, WRITING),
        }
        rejections.sort_by_key(|(row, _)| *row);
        let mut parts = self.batch.part(&fates, 3).into_iter();
        let mut next = || parts.next().flatten();
        if let Some(written) = next() {
            written.answer(Answer::Delivered);
        }
        if let Some(waiting) = next() {
            waiting.answer(Answer::Failed(Failure::External));
        }
        if let Some(rejected) = next() {
            let rejections = rejections.into_iter().map(|(_, rejection)| rejection);
            out.reject(rejected, rejections.collect());
        }
        out
    }

    /// Waits for the brokers and says meanwhile what for.
    async fn wait(&self, mut delivery: Delivery) -> Failures {
        loop {
            let answer = tokio::time::timeout(LOOK, &mut delivery).await;
            let conditions = self.producer.conditions();
            if conditions.is_empty() {
                self.health.clear(&self.bolt, CONNECTION);
            } else {
                let texts: Vec<&str> = conditions.iter().map(|one| one.text.as_str()).collect();
                self.health.set(&self.bolt, CONNECTION, texts.join("; "));
            }
            if let Ok(failures) = answer {
                return failures;
            }
        }
    }

    /// Tries what may still be done for a record that failed.
    ///
    /// A broker refuses a whole batch for its size, so what is too large is sent alone before that is
    /// believed, and a letter then without most of its value.
    async fn settle(&self, row: usize, error: DeliveryError) -> Result<(), DeliveryError> {
        if !error.is_too_large() {
            return Err(error);
        }
        let rejection = self.batch.rejection(row);
        let cuts = match rejection {
            Some(_) => &CUTS[..],
            None => &CUTS[..1],
        };
        let mut last = error;
        for cut in cuts {
            let letter = rejection.map(|rejection| Letter {
                topology: &self.topology,
                rejection,
                cut: *cut,
            });
            let record = self.batch.record(row);
            let Ok(outgoing) = Outgoing::one(&self.form, record, letter) else {
                return Err(last);
            };
            match self.send_alone(&outgoing, record).await {
                Err(error) if error.is_too_large() => last = error,
                Err(error) => return Err(error),
                Ok(()) => {
                    self.letters_cut.add(u64::from(cut.is_some()));
                    return Ok(());
                }
            }
        }
        Err(last)
    }

    async fn send_alone(
        &self,
        outgoing: &Outgoing,
        record: Record<'_>,
    ) -> Result<(), DeliveryError> {
        let records = outgoing.records(&self.form, Rows::One(record));
        let delivery = self.producer.send(records.iter()).await;
        match self.wait(delivery).await.pop() {
            None => Ok(()),
            Some((_, error)) => Err(error),
        }
    }
}

fn rejection(error: &DeliveryError) -> Rejection {
    let class = match error.is_too_large() {
        true => "too_large",
        false => "refused",
    };
    Rejection::new(class, error.to_string()).tried(error.topic.as_str().into(), None)
}
