//! Fakes and control of real services, for integration tests, end-to-end suites and benches.
//!
//! Everything here blocks the calling thread and returns `anyhow::Result`, so that a suite reads as a
//! list of steps; the library crates never depend on it.

pub mod browser;
pub mod bulk_server;
pub mod figures;
pub mod gate;
pub mod http;
pub mod instructions;
pub mod isobar;
pub mod latency;
pub mod name_server;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod random;
pub mod records;
pub mod scratch;
pub mod services;
pub mod sink;
pub mod wait;
