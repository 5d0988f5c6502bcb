//! The end-to-end suites: one file each, against real services, run one after the other by
//! `tests/run e2e`; those in `long` only when they are named. A service that is not there is a failure that says what to run, never a skip.

mod alerts;
mod bad_input;
mod chaos;
mod commands;
mod demo;
mod doctor;
mod exactly_once;
mod hot_path;
mod instructions;
mod kafka;
mod kafka_group;
mod kafka_sink;
mod kill;
mod lag;
mod long;
mod offsets;
mod outage;
mod outcomes;
mod page;
mod readme;
mod replay;
mod replicas;
mod slow;
mod support;
mod syslog;
mod try_out;
mod uneven;
mod whereabouts;
