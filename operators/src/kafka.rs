//! The client layer over librdkafka: connections, the laned consumer, admin look-ups, lag and the
//! batch producer.
//!
//! Knows Kafka and librdkafka; knows nothing of spouts, bolts, ledgers or the topology file. What
//! adapts this layer to the runtime's traits lives in `spouts/kafka.rs` and `bolts/kafka.rs`.

pub mod admin;
pub mod commit_metadata;
pub mod connection;
pub mod error;
pub mod lag;
pub mod options;

mod ffi;
mod log;
