//! The outcome table: (level, status, type, reason) → class. What follows from a class is
//! [`Class::action`]. Established against Elasticsearch 8.19 and 9.2 and OpenSearch 2.19 and 3.3, and
//! held against them by `tests/e2e/outcomes.rs`; every row is tried on the stand-in by `tests/sink`.

use super::Class::*;
use super::Level::{Connection, Item, Request};
use super::Proof::{Servers, StandIn};
use super::Server::{Elasticsearch8, Elasticsearch9, OpenSearch2, OpenSearch3};
use super::{Class, Level, Proof, Row};

const ALL: Proof = Servers(&[Elasticsearch8, Elasticsearch9, OpenSearch2, OpenSearch3]);
const ELASTICSEARCH: Proof = Servers(&[Elasticsearch8, Elasticsearch9]);
const OPENSEARCH: Proof = Servers(&[OpenSearch2, OpenSearch3]);
const ELASTICSEARCH_8: Proof = Servers(&[Elasticsearch8]);
const ELASTICSEARCH_9: Proof = Servers(&[Elasticsearch9]);

/// The type of an item that says so in a field of its own and not in an error.
pub(crate) const FAILURE_STORE: &str = "failure_store";
/// The type that an item gets which has both a success and an error.
pub(crate) const CONTRADICTION: &str = "error_in_a_success";
/// The type that the refusal of a request gets which has no error with a type in it.
pub(crate) const NO_ERROR: &str = "no_error_in_a_refusal";
/// The type with which the embedded index refuses to make one index more. Its bound is not that of a cluster, and
/// neither is what can be done about it.
pub(crate) const EMBEDDED_INDICES: &str = "embedded_index_limit_exception";

const fn row(
    id: &'static str,
    level: Level,
    (from, to): (u16, u16),
    (kind, reason): (&'static str, &'static str),
    class: Class,
    proof: Proof,
) -> Row {
    Row {
        id,
        level,
        status: from..=to,
        kind,
        reason,
        class,
        proof,
    }
}

/// Every row. The first of a level that matches counts.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    // Requests without an answer that can be believed.
    row("unconnected", Connection, (0, 0), ("unconnected", ""), Unconnected, ALL),
    row("broken", Connection, (0, 0), ("broken", ""), Broken, ALL),
    row("timed_out", Connection, (0, 0), ("timed_out", ""), TimedOut, ALL),
    // Elasticsearch 9 can answer a body that was cut on its way with a success of fewer items.
    row("item_count", Connection, (0, 0), ("item_count", ""), Unreadable, ELASTICSEARCH_9),
    row("unreadable", Connection, (0, 0), ("unreadable", ""), Unreadable, StandIn("needs something else that answers in the server's place")),
    // Servers quote what does not fit. Of a document that is left alone most of it is read, and classed.
    row("reply_too_long", Connection, (0, 0), ("reply_too_long", ""), TooLarge, ALL),

    // Whole requests.
    row("answered", Request, (200, 200), ("", ""), Answered, ALL),
    row("body_too_large", Request, (413, 413), ("", ""), TooLarge, ALL),
    row("overload", Request, (429, 429), ("es_rejected_execution_exception", ""), Busy, ELASTICSEARCH),
    row("overload_opensearch", Request, (429, 429), ("rejected_execution_exception", ""), Busy, OPENSEARCH),
    row("memory", Request, (429, 429), ("circuit_breaking_exception", ""), Busy, Servers(&[Elasticsearch8, OpenSearch2, OpenSearch3])),
    row("too_many_requests", Request, (429, 429), ("", ""), Busy, StandIn("what proxies answer")),
    row("unauthenticated", Request, (401, 401), ("", ""), Denied, ELASTICSEARCH),
    row("forbidden", Request, (403, 403), ("", ""), Denied, ELASTICSEARCH),
    row("unknown_parameter", Request, (400, 400), ("", "unrecognized parameter"), NotUnderstood, ALL),
    // Halving would end at a sound document that alone is cut.
    row("no_newline", Request, (400, 400), ("", "terminated by a newline"), NotUnderstood, ALL),
    row("media_type", Request, (406, 406), ("", ""), NotUnderstood, ALL),
    row("encoding", Request, (415, 415), ("", ""), Encoding, StandIn("needs a proxy that refuses what servers take")),
    // Rejecting for it would dead-letter everything while a proxy is set up wrong.
    row("without_error", Request, (400, 400), (NO_ERROR, ""), Foreign, StandIn("what proxies answer")),
    row("malformed", Request, (400, 400), ("", ""), Malformed, ALL),
    row("request_timeout", Request, (408, 408), ("", ""), TimedOut, StandIn("what proxies answer")),
    row("gateway_timeout", Request, (504, 504), ("", ""), TimedOut, StandIn("what proxies answer")),
    row("no_master", Request, (503, 503), ("cluster_block_exception", ""), Away, StandIn("needs a cluster of several nodes that loses its master")),
    row("unavailable", Request, (500, 599), ("", ""), Away, StandIn("what proxies answer, and servers with a bug")),

    // Documents.
    row("failure_store", Item, (200, 299), (FAILURE_STORE, ""), FailureStore, StandIn("the test distributions lack failure stores")),
    row("contradiction", Item, (200, 299), (CONTRADICTION, ""), Refused, StandIn("servers do not answer so")),
    row("stored", Item, (200, 299), ("", ""), Stored, ALL),
    row("present", Item, (409, 409), ("version_conflict_engine_exception", ""), Present, ALL),
    row("conflict", Item, (409, 409), ("", ""), Busy, StandIn("no other conflict is known")),
    // Flood stage: both products release the block themselves later.
    row("disk_full", Item, (429, 429), ("cluster_block_exception", ""), DiskFull, ALL),
    row("queue_full", Item, (429, 429), ("es_rejected_execution_exception", ""), Busy, ELASTICSEARCH),
    row("queue_full_opensearch", Item, (429, 429), ("rejected_execution_exception", ""), Busy, OPENSEARCH),
    row("item_memory", Item, (429, 429), ("circuit_breaking_exception", ""), Busy, StandIn("comes and goes with the load of the server")),
    row("item_busy", Item, (429, 429), ("", ""), Busy, StandIn("no other is known")),
    row("item_unauthenticated", Item, (401, 401), ("", ""), NotPermitted, StandIn("servers answer it to the whole request")),
    row("index_blocked", Item, (403, 403), ("cluster_block_exception", ""), Blocked, ALL),
    row("not_permitted", Item, (403, 403), ("security_exception", ""), NotPermitted, ELASTICSEARCH),
    row("item_forbidden", Item, (403, 403), ("", ""), Blocked, StandIn("no other is known")),
    row("index_missing", Item, (404, 404), ("index_not_found_exception", ""), Missing, ALL),
    // A data stream that is required and is none. The program does not ask for that.
    row("item_missing", Item, (404, 404), ("", ""), Missing, ELASTICSEARCH),
    row("index_closed", Item, (400, 400), ("index_closed_exception", ""), Closed, ALL),
    row("index_name", Item, (400, 400), ("invalid_index_name_exception", ""), Name, ALL),
    row("no_pipeline", Item, (400, 400), ("illegal_argument_exception", "pipeline with id ["), Misconfigured, ALL),
    row("no_write_index", Item, (400, 400), ("illegal_argument_exception", "no write index is defined for alias"), Misconfigured, ALL),
    row("create_only", Item, (400, 400), ("illegal_argument_exception", "only write ops with an op_type of create are allowed"), Misconfigured, ALL),
    // The index is not made, as the cluster would have more shards than its nodes may.
    row("shard_limit", Item, (400, 400), ("validation_exception", "this action would add"), Shards, ALL),
    row("shard_limit_as_argument", Item, (400, 400), ("illegal_argument_exception", "this action would add"), Shards, StandIn("from versions before those tested")),
    // A shard is one Lucene index, and that holds so many. Other shards of the same index may still take documents.
    row("shard_full", Item, (400, 400), ("illegal_argument_exception", "Number of documents in "), Full, StandIn("takes 2,147,483,519 documents in a shard")),
    row("embedded_indices", Item, (400, 400), (EMBEDDED_INDICES, ""), Indices, StandIn("of all servers only the embedded index answers so")),
    // Elasticsearch says it in the cause of a document_parsing_exception, OpenSearch at the top.
    row("field_limit", Item, (400, 400), ("", "Limit of total fields"), Fields, ALL),
    row("document", Item, (400, 400), ("document_parsing_exception", ""), Document, ELASTICSEARCH),
    row("document_opensearch", Item, (400, 400), ("mapper_parsing_exception", ""), Document, OPENSEARCH),
    row("strict_mapping", Item, (400, 400), ("strict_dynamic_mapping_exception", ""), Document, ALL),
    row("mapper", Item, (400, 400), ("mapper_exception", ""), Document, StandIn("from versions before those tested")),
    row("parsing", Item, (400, 400), ("parsing_exception", ""), Document, StandIn("from versions before those tested")),
    row("x_content", Item, (400, 400), ("x_content_parse_exception", ""), Document, StandIn("needs a document that the program does not write")),
    row("not_x_content", Item, (400, 400), ("not_x_content_exception", ""), Document, StandIn("needs a document that the program does not write")),
    row("immense_term", Item, (400, 400), ("illegal_argument_exception", "immense term"), Document, OPENSEARCH),
    row("mapper_conflict", Item, (400, 400), ("illegal_argument_exception", "mapper ["), Document, StandIn("comes of two mappings that are made at one moment")),
    row("timestamp", Item, (400, 400), ("illegal_argument_exception", "data stream timestamp field"), Document, StandIn("from versions before those tested")),
    row("refused", Item, (400, 499), ("", ""), Refused, ALL),
    // An ingest pipeline refuses the document with its `fail` processor, whose exception has no status of its own.
    row("fail_processor", Item, (500, 500), ("fail_processor_exception", ""), Unwanted, StandIn("the test distributions lack the processor")),
    // Elasticsearch 8 answers this to a document that is no object; it never heals.
    row("no_object", Item, (500, 500), ("not_x_content_exception", ""), Document, ELASTICSEARCH_8),
    // A master that is busy has not taken a new field within `timeout` of the request.
    row("mapping_late", Item, (500, 500), ("mapper_exception", "timed out while waiting for a dynamic mapping update"), Busy, StandIn("needs a master that is slow")),
    row("server_fault", Item, (500, 500), ("", ""), Fault, StandIn("needs a server with a bug")),
    // Once the cluster has waited for it as long as `timeout` of the request says.
    row("shard_away", Item, (503, 503), ("unavailable_shards_exception", ""), ShardAway, ALL),
    row("item_unavailable", Item, (501, 599), ("", ""), Busy, StandIn("no other is known")),
];
