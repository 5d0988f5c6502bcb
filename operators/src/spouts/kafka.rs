//! `kafka`: reads topics as one member of a consumer group.

mod config;

pub(crate) use config::KafkaConfig;
