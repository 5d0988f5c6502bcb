//! The client layer of the `elasticsearch` bolt: connection, hosts, bulk bodies, document ids, and what
//! each outcome means. Which records come, and when their bodies are sent, is the bolt's matter.

pub(crate) mod access;
pub(crate) mod ask;
pub(crate) mod body;
mod connect;
pub(crate) mod connection;
pub(crate) mod counts;
pub(crate) mod credentials;
pub(crate) mod deliver;
pub(crate) mod document_id;
pub(crate) mod exchange;
pub(crate) mod existing;
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
pub(crate) mod renewal;
pub(crate) mod reply;
mod resolver;
pub(crate) mod width;

pub(crate) use connection::TYPE as CONNECTION;
