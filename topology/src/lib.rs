//! The runtime core of Isobar. Knows no Kafka, no HTTP, no YAML text and no environment.

mod ack;
mod arena;
mod batch;
pub mod clock;
mod error;
pub mod json;
mod ledger;
mod operator;
mod outcome;
mod partition;
mod record;
mod rejection;
mod stream;
mod symbol;

pub use ack::Ack;
pub use arena::{Arena, ArenaBuilder, Headers};
pub use batch::{Batch, Verdict};
pub use error::{Domain, OperatorError, Retry};
pub use operator::{AnyBolt, AnySpout, Bolt, Emitter, Next, SourceBatch, Spout};
pub use outcome::{Answer, Failure, Policy};
pub use partition::{Account, Partition, Partitions};
pub use record::{DocumentWriter, NoDocument, Record, RecordMut, Shared};
pub use rejection::Rejection;
pub use stream::Stream;
pub use symbol::{Symbol, Symbols};
