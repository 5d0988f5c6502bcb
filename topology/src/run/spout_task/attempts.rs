//! The attempts of a spout on one lane: batches that go to the bolts, come back, and are sent again in
//! part, or given up.

use std::sync::Arc;

use super::{SpoutTask, no_fused};
use crate::ack::{Note, Ticket};
use crate::arena::Arena;
use crate::batch::Batch;
use crate::clock;
use crate::error::Domain;
use crate::rejection::Rejection;
use crate::retry::Action;
use crate::run::retries::Due;

impl SpoutTask {
    /// An attempt with these records of an arena, or all, of the batch that begins at this offset.
    pub(super) fn attempt(
        &self,
        (arena, places): (&Arc<Arena>, Option<Vec<u32>>),
        batch: i64,
        mut ticket: Ticket,
    ) -> Batch {
        ticket.recoveries = self.retries.recoveries();
        let (count, first) = match &places {
            None => (arena.len(), 0),
            Some(places) => (places.len(), places[0]),
        };
        let retries = ticket.retries.saturating_add(ticket.holds);
        let ack = self.state.completions.start(ticket, count);
        let mut trail = arena.partition().trail();
        let first = arena.offset(first as usize);
        trail.attempted(batch, first, ack.attempt(), retries);
        drop(trail);
        let symbols = Arc::clone(&self.symbols);
        Batch::new(Arc::clone(arena), symbols, places.as_deref(), ack)
    }

    pub(super) fn take_completions(&mut self) {
        while let Some(completion) = self.state.completions.take() {
            let ticket = &completion.ticket;
            // Answers to an assignment that is over count for nothing.
            let Some(ledger) = self.state.ledgers.get_mut(&ticket.ledger) else {
                continue;
            };
            let (entry, was_part) = (ticket.entry, ticket.records.is_some());
            let (batch, sent) = (
                ledger.batch(entry),
                ledger.offset(entry, ticket.first_record()),
            );
            let released = ledger.settle(ticket, &completion.codes);
            self.in_flight.release(released);
            let mut portions = Vec::new();
            if released.records < completion.codes.len() {
                // A dead letter that cannot be written waits like any other record: there is no place left
                // to reject it to.
                let keeps = self.rejected[failing(completion.note.as_ref())].leads_nowhere();
                portions = self.retries.plan(completion, keeps, clock::now());
            }
            if ledger.is_open(entry) && (was_part || !portions.is_empty()) {
                let offset = |record: u32| ledger.offset(entry, record);
                let mut trail = ledger.partition().trail();
                trail.came_back(batch, sent, &portions, offset, clock::unix_ms());
            }
        }
    }

    pub(super) fn send_again(&mut self, due: Due) {
        let Some(ledger) = self.state.ledgers.get(&due.ticket.ledger) else {
            return;
        };
        let id = ledger.id();
        let attempts = due.ticket.attempts;
        let (records, first) = (ledger.records(&due.ticket), ledger.batch(due.ticket.entry));
        let batch = self.attempt(records, first, due.ticket);
        match due.action {
            Action::Resend(_) | Action::Hold(_) => {
                ledger.partition().lock().retried += batch.len() as u64;
                self.send_off(id, batch);
            }
            Action::Reject => self.reject(id, batch, attempts, due.note),
        }
    }

    /// Sends records that never will succeed along the `rejected` edge of the bolt that failed.
    fn reject(&mut self, ledger: u64, batch: Batch, attempts: u32, note: Option<Note>) {
        let bolt = failing(note.as_ref());
        let (domain, reason, tried) = match note {
            Some(note) => (note.domain, note.text, note.tried),
            None => (
                Domain::Internal,
                "a bolt failed the record and did not say why".into(),
                None,
            ),
        };
        let mut rejection = Rejection::of_fault(domain, reason);
        if let Some((target, document_id)) = tried {
            rejection = rejection.tried(target, document_id);
        }
        rejection.bolt = Arc::clone(&self.bolts[bolt]);
        rejection.attempts = attempts;
        let rejections = vec![rejection; batch.len()];
        let batch = batch.rejected(rejections);
        self.statistics[bolt].count_rejected(&batch);
        let routers = std::rc::Rc::clone(&self.rejected);
        self.leave(
            ledger,
            async move { routers[bolt].send(batch, no_fused).await },
        );
    }
}

/// The bolt that records failed in. Only a batch that no bolt has had yet fails without one: at a stop.
fn failing(note: Option<&Note>) -> usize {
    note.and_then(|note| note.bolt).unwrap_or(0)
}
