//! The only unsafe code of the program: calls into librdkafka that the `rdkafka` crate lacks, and
//! into the C library where it must do as librdkafka does.
//!
//! Each file wraps one area in types that are safe to use; no raw pointer leaves this folder.

pub(super) mod admin;
pub(super) mod commit;
pub(super) mod conf;
pub(super) mod consume;
pub(super) mod list;
pub(super) mod main_queue;
pub(super) mod mock;
pub(super) mod pattern;
pub(super) mod record;
pub(super) mod sasl;
