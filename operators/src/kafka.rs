//! The client layer over librdkafka: connections, the laned consumer, admin look-ups, lag and the
//! batch producer.
//!
//! Knows Kafka and librdkafka; knows nothing of spouts, bolts, ledgers or the topology file. What
//! adapts this layer to the runtime's traits lives in `spouts/kafka.rs` and `bolts/kafka.rs`.
//!
//! A consumer in one picture: the poll thread (`session.rs`) serves librdkafka's callbacks
//! (`rebalance.rs`), repairs (`recovery.rs`), and looks whether the group's coordinator counts the same
//! partitions as its own (`membership.rs`); it tells the lanes through mailboxes (`mailbox.rs`) what is
//! theirs. Each lane (`lane.rs`) reads its own queue (`ffi/consume.rs`), accepts by its own offsets
//! (`acceptance.rs`), and hands out batches of one partition (`table.rs`).

pub mod admin;
pub mod commit_metadata;
pub mod connection;
pub mod error;
pub mod lag;
pub mod options;

mod acceptance;
mod asked;
mod assignment;
mod commits;
mod conditions;
mod config;
mod consumer;
mod create_topic;
mod ffi;
mod lane;
mod log;
mod mailbox;
mod membership;
mod parting;
mod password;
mod pending;
mod producer;
mod reading;
mod rebalance;
mod recovery;
mod served;
mod session;
mod shared;
mod start;
mod table;
mod tail;

pub(crate) use asked::{Asked, beside, let_go};
pub use assignment::{Assignment, Held, Start, State};
pub use conditions::{Condition, Subject};
pub use config::{ConsumerConfig, Fixed, GroupProtocol, StartPolicy};
pub(crate) use config::{topic_name_problem, topics_name};
pub use consumer::{Handle, LanedConsumer};
pub use create_topic::create_topic;
pub(crate) use create_topic::create_topic_with;
pub(crate) use ffi::mock::set_initial_rebalance_delay;
pub(crate) use ffi::record::leader_epoch;
pub use ffi::record::{Headers, Record};
pub use lane::{LaneReader, Limits, Read, Sink};
pub use mailbox::{Event, Frontier, Reply};
pub use producer::{
    Compression, Delivery, DeliveryError, Failures, OutRecord, Producer, ProducerConfig,
};
pub(crate) use reading::{Looking, read_ranges, read_rounds, read_topic};
pub use shared::{Closed, Counts};
pub(crate) use tail::{Tailed, tail};
