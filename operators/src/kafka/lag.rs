//! Lag: how far a group's answered and committed offsets are behind the end of each partition, since
//! when, how fast that changes, and what it means.
//!
//! `sample.rs` asks the brokers in an order that makes no figure negative, `age.rs` finds out how old records
//! are that nobody has read, `leaders.rs` who leads a partition. `history.rs` remembers, with
//! `deletion_rate.rs` how fast Kafka deletes and `habits.rs` how seldom a group commits, and tells rates, with
//! `pace.rs` what follows from them; `eta.rs` and `deletion.rs` have the words for what is to come; `status.rs`
//! judges; `row.rs` puts the figures together, `engine.rs` and `sampler.rs` do so again and again. All but the
//! last are pure or ask through [`Brokers`], so that tests script the brokers and the time. The client's own
//! statistics are not used: they freeze under backpressure, when lag matters.

mod age;
mod brokers;
mod deletion;
mod deletion_rate;
mod engine;
mod eta;
mod habits;
mod history;
mod leaders;
mod pace;
mod refusals;
mod row;
mod sample;
mod sampler;
#[cfg(test)]
mod scripted;
mod status;

pub use brokers::{Brokers, Found, Retention, TopicSettings};
pub use deletion::Deletion;
pub use engine::{Blocked, Circumstances, Engine};
pub use eta::Eta;
pub use history::Window;
pub use leaders::NO_LEADER;
pub use row::{Exactness, HERE, Row};
pub use sample::{Ages, Progress, Sample, Samples, sample};
pub use sampler::{Live, Sampler, Told};
pub use status::Status;
