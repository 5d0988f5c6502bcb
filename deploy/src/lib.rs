//! The library behind the `isobar` program: the one crate that reads the environment and prints.

pub mod env_file;
mod substitute;
pub mod topology_file;
mod yaml;

pub use substitute::Outside;
pub use topology_file::{Refused, TopologyFile};
