//! What a topology file says, checked for everything that needs no operator: a tree of values with
//! their places, the components and edges, and every problem at once.
//!
//! Knows no YAML text: whoever reads a file makes a [`Node`].

mod components;
mod config;
mod mended;
mod problem;
mod schema;
mod secret;
mod settings;
mod tree;
pub mod units;
mod value_file;

pub use components::{Component, Grouping, Input, OnFull, OnRejected, Overload, Spec, StreamRef};
pub use config::parse_config;
pub(crate) use mended::{Refused, check_all};
pub use problem::{Path, Problem, Problems, Segment, nearest};
pub use secret::Secret;
pub use settings::Settings;
pub use tree::{Entry, Node, Place, Value};
pub use value_file::{VALUE_FILE_MAX, read_text, read_value_file, without_line_break};
