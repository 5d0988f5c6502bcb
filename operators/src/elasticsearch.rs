//! The client layer of the `elasticsearch` bolt: connection, hosts, bulk bodies, document ids, and what
//! each outcome means. Which records come, and when their bodies are sent, is the bolt's matter
//! (`bolts/elasticsearch.rs`).
//!
//! A document's way in one picture: the bolt has it written into a body (`lines.rs`, `body.rs`) under an id
//! that follows from its record (`document_id.rs`), unless its index is known to take none (`held.rs`) or is
//! not there (`existing.rs`). A full or old body goes to the cluster beside the bolt (`deliver.rs`), as many
//! at a time as do it good (`width.rs`): a request and its reply (`exchange.rs`, `reply.rs`) at the host whose
//! turn it is (`hosts.rs`). What each item's answer means is one table (`outcome/table.rs`), and a batch is
//! answered when the last body with a record of it has come back (`pending.rs`).
//!
//! Below that: connections and names (`http.rs`, `connect.rs`, `resolver.rs`), and who is let in with what
//! (`access.rs`, `credentials.rs`, `renewal.rs`).

pub(crate) mod access;
pub(crate) mod ask;
pub(crate) mod body;
pub(crate) mod breaking;
pub(crate) mod busy;
mod connect;
pub(crate) mod connection;
pub(crate) mod counts;
pub(crate) mod credentials;
pub(crate) mod deliver;
pub(crate) mod document_id;
pub(crate) mod exchange;
pub(crate) mod existing;
pub(crate) mod failing;
mod frames;
pub(crate) mod gzip;
pub(crate) mod held;
pub(crate) mod hosts;
pub(crate) mod http;
pub(crate) mod identity;
pub(crate) mod index_name;
pub(crate) mod lines;
pub mod outcome;
pub(crate) mod pending;
pub(crate) mod refused;
pub(crate) mod renewal;
pub(crate) mod reply;
mod resolver;
pub(crate) mod spare;
pub(crate) mod width;

pub(crate) use connection::TYPE as CONNECTION;
