//! Copies the records that a lane hands out into a batch.

use std::sync::Arc;

use isobar_topology::{ArenaBuilder, Policy, SourceBatch};

use super::owned::Owned;
use crate::kafka::{Assignment, Record, Sink};

/// Where the records of one read go.
pub(super) struct Fill<'a> {
    ours: &'a [Owned],
    /// Tombstones are dropped by this policy, or stay.
    tombstones: Option<Policy>,
    /// Bytes of the headers of a record, as the last batch had them.
    header_bytes: &'a mut usize,
    batch: Option<ArenaBuilder>,
    dropped: Vec<(u32, Policy)>,
    /// Keys and values of the batch.
    bytes: usize,
    /// The first offset that is not wanted.
    end: i64,
    beyond: bool,
}

/// What came of a read.
pub(super) struct Filled {
    /// `None` when no record was wanted.
    pub(super) batch: Option<SourceBatch>,
    /// There were records beyond the end of what is wanted of the partition.
    pub(super) beyond: bool,
}

impl<'a> Fill<'a> {
    pub(super) fn new(
        ours: &'a [Owned],
        tombstones: Option<Policy>,
        header_bytes: &'a mut usize,
    ) -> Self {
        Self {
            ours,
            tombstones,
            header_bytes,
            batch: None,
            dropped: Vec::new(),
            bytes: 0,
            end: i64::MAX,
            beyond: false,
        }
    }

    /// What was handed out.
    pub(super) fn finish(self) -> Filled {
        let batch = self.batch.filter(|batch| !batch.is_empty());
        let batch = batch.map(|batch| {
            *self.header_bytes = (batch.bytes() - self.bytes).div_ceil(batch.len());
            SourceBatch {
                arena: batch.finish(),
                dropped: self.dropped,
            }
        });
        Filled {
            batch,
            beyond: self.beyond,
        }
    }
}

impl Sink for Fill<'_> {
    fn start(&mut self, assignment: &Arc<Assignment>, records: usize, bytes: usize) {
        self.bytes = bytes;
        let owned = self.ours.iter().find(|owned| owned.is(assignment));
        self.end = owned.map_or(i64::MAX, |owned| owned.end);
        self.batch = owned.map(|owned| {
            // Room for all of it, since growing would copy and leave up to half of it unused.
            let bytes = bytes + records * *self.header_bytes;
            ArenaBuilder::new(Arc::clone(&owned.partition), records, bytes)
        });
    }

    fn record(&mut self, record: Record<'_>) {
        let Some(batch) = &mut self.batch else {
            return;
        };
        let payload = record.payload();
        if record.offset() >= self.end {
            self.bytes -= record.key().map_or(0, <[u8]>::len) + payload.map_or(0, <[u8]>::len);
            self.beyond = true;
            return;
        }
        if let (None, Some(policy)) = (payload, self.tombstones) {
            self.dropped.push((batch.len() as u32, policy));
        }
        // Producers can write negative times; an arena knows one, which stands for none.
        let timestamp = record.timestamp().map_or(-1, |ms| ms.max(-1));
        batch.push(
            record.offset(),
            timestamp,
            record.key(),
            payload,
            record.headers(),
        );
    }
}
