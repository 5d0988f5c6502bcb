//! What a topology file says, checked for everything that needs no operator: a tree of values with
//! their places, the components and edges, and every problem at once.
//!
//! Knows no YAML text: whoever reads a file makes a [`Node`].

mod components;
mod config;
mod mended;
mod problem;
mod schema;
mod settings;
mod tree;
pub mod units;

pub use components::{Component, Grouping, Input, OnFull, OnRejected, Overload, Spec, StreamRef};
pub use config::parse_config;
pub(crate) use mended::{Refused, check_all};
pub use problem::{Path, Problem, Problems, Segment, nearest};
pub use settings::Settings;
pub use tree::{Entry, Node, Place, Value};
