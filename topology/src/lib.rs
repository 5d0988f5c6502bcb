//! The runtime core of Isobar. Knows no Kafka, no HTTP, no YAML text and no environment.

pub mod clock;
