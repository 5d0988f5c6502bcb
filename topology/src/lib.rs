//! The runtime core of Isobar. Knows no Kafka, no HTTP, no YAML text and no environment.
//!
#![doc = include_str!("../ARCHITECTURE.md")]

mod ack;
mod arena;
mod batch;
pub mod clock;
mod dropped;
mod error;
mod graph;
pub mod grouping;
mod health;
pub mod json;
mod latency;
mod ledger;
pub mod memory;
mod operator;
mod ordinals;
mod outcome;
mod overload;
mod partition;
mod plan;
mod record;
mod registry;
mod rehearsal;
mod rejection;
mod request_times;
mod retry;
mod run;
pub mod spec;
mod statistics;
mod stream;
mod symbol;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod trail;

pub use ack::Ack;
pub use arena::{Arena, ArenaBuilder, Headers, OwnedHeaders};
pub use batch::{AsRead, Batch, Split, Verdict};
pub use dropped::{Dropped, DroppedBy};
pub use error::{Domain, OperatorError, Retry};
pub use graph::{
    BoltContext, BoltNode, Graph, Grouping, KeySlot, KeySlots, MakeBolt, MakeSpout, Output,
    SpoutContext, SpoutNode, StartSpout, Target,
};
pub use health::{Condition, HELD, Health};
pub use latency::{LATENCY_BOUNDS_MS, Latency, REQUEST_BOUNDS_MS};
pub use operator::{AnyBolt, AnySpout, Bolt, Emitter, Next, SourceBatch, Spout};
pub use ordinals::{NoOrdinals, Ordinals};
pub use outcome::{Answer, Failure, Policy};
pub use overload::{OnFull, Overload};
pub use partition::{Account, Fates, Partition, Partitions};
pub use plan::{EdgeReport, MemoryReport, NodeReport, Plan, PlanReport, plan, plan_after};
pub use record::{DocumentWriter, NoDocument, Record, RecordMut, Shared};
pub use registry::{
    BoltType, ConnectionType, DocumentUse, Example, LetterUse, Prepare, PreparedBolt,
    PreparedSpout, ReadsTopic, Registry, SpoutType, Topic,
};
pub use rehearsal::{Draft, Drafter, End, MakeDrafter, Outcome, Part, Rehearsal, Step, Trace};
pub use rejection::Rejection;
pub use request_times::{RequestTime, RequestTimes};
pub use retry::RetryPolicy;
pub use run::{
    Finish, LaneLife, NotOpen, Recoveries, RejectLimit, Running, Tap, Tapped, Text, start,
    start_here,
};
pub use statistics::{BoltCounts, BoltStatistics, Counter, Counters};
pub use stream::Stream;
pub use symbol::{Symbol, Symbols};
pub use trail::{Waits, Whereabouts};
