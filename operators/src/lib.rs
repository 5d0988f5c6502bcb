//! The spouts and bolts of Isobar: everything that knows an outside system or a transformation.
//!
//! | change | open |
//! |---|---|
//! | a type of bolt or spout, its options and its example | its file in `bolts/` or `spouts/`; the list of all: `bolts.rs`, `spouts.rs` |
//! | how records are fetched, groups, commits, librdkafka | `kafka.rs`, which has a picture |
//! | how documents are sent, and what each answer means | `elasticsearch.rs`, which has a picture |
//! | conditions and templates | `expression.rs`, `template.rs`; fields inside of others: `field_path.rs` |
//! | lag, and what is wrong with a group | `lag.rs`, asked of brokers in `kafka/lag.rs` |
//! | replays and their check | `replay.rs`; dead letters that go through again: `redrive.rs` |
//! | what `doctor` looks at | `doctor.rs` |
//! | the small Kafka and index inside of the program | `embedded.rs` |

mod bolts;
mod connections;
mod conversion;
mod cursor;
pub mod dead_letter;
pub mod doctor;
mod elasticsearch;
pub mod embedded;
mod escapes;
mod event_time;
mod excerpt;
mod expression;
mod field_name;
mod field_path;
mod field_paths;
mod found_object;
mod groups;
pub mod indexed_field;
pub mod inquiry;
pub mod kafka;
pub mod lag;
mod letter;
pub mod letters;
mod lines;
pub mod offsets;
#[cfg(test)]
mod one_record;
mod ordered;
mod pattern;
pub mod range;
pub mod redrive;
pub mod replay;
pub mod sample;
#[cfg(test)]
mod scratch;
mod spouts;
#[cfg(test)]
mod stand_in;
pub mod tap;
mod template;
mod text_source;
mod unfit;

pub use elasticsearch::outcome;
use isobar_topology::Registry;

/// Every type of connection, spout and bolt that the program ships, in the order in which they are
/// listed to users. A program with types of its own adds them to these.
pub fn registry() -> Registry {
    Registry {
        connections: connections::list(),
        spouts: spouts::list(),
        bolts: bolts::list(),
    }
}
