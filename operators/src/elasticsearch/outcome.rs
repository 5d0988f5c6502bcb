//! What an answer of Elasticsearch or OpenSearch means: the outcome table, as data.
//!
//! A status alone does not tell: a full queue and a full disk are both 429, a closed index and a bad
//! document are both 400. Rules were established against Elasticsearch 8.19 and 9.2 and OpenSearch 2.19
//! and 3.3; the first that matches counts.

use std::ops::RangeInclusive;

use super::reply::Fault;

/// What became of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ItemClass {
    /// It is in the index.
    Stored,
    /// A document of this id was there: a record that is sent again.
    Present,
    /// Queues or memory are full, or a shard is away: the item is sent again later.
    Busy,
    /// The index, or our right to write to it, is at fault: the document waits for somebody to act.
    Held,
    /// The document does not fit the index, or is none.
    Document,
    /// The index would get more fields than it may have.
    Fields,
    /// No index can have this name.
    Name,
    /// It went into the failure store of its data stream instead of the index.
    FailureStore,
    /// Refused for a reason that no other rule knows; it may be the document's or the index's fault.
    Refused,
    /// A fault of the server's code. It is the document's when the server does its work on others.
    Fault,
}

/// What became of a whole request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestClass {
    /// It was worked off: its items say the rest.
    Answered,
    /// Queues or memory are full: the cluster gets time.
    Busy,
    /// This host, or what is behind it, is away: another one may do.
    Away,
    /// The body is larger than the host takes.
    TooLarge,
    /// The body, or one document in it, cannot be read.
    Malformed,
    /// Our credentials do not do.
    Denied,
    /// What answers is no Elasticsearch, or not one that takes such requests.
    Foreign,
}

impl ItemClass {
    /// All of them.
    #[cfg(test)]
    const ALL: [Self; 10] = [
        Self::Stored,
        Self::Present,
        Self::Busy,
        Self::Held,
        Self::Document,
        Self::Fields,
        Self::Name,
        Self::FailureStore,
        Self::Refused,
        Self::Fault,
    ];

    /// What is done with the record.
    pub(crate) fn action(self) -> Action {
        match self {
            Self::Stored => Action::Deliver,
            Self::Present => Action::AlreadyPresent,
            Self::Busy => Action::Retry,
            Self::Held => Action::Hold,
            Self::Document => Action::Reject("mapping"),
            Self::Fields => Action::Reject("field_limit"),
            Self::Name => Action::Reject("index_name"),
            Self::FailureStore => Action::Reject("failure_store"),
            Self::Refused => Action::Reject("refused"),
            Self::Fault => Action::CountAttempt,
        }
    }
}

/// What is done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It is delivered.
    Deliver,
    /// It was delivered before.
    AlreadyPresent,
    /// It is sent again, as often as it takes.
    Retry,
    /// It is sent again, as often as it takes, and a person is told what it waits for.
    Hold,
    /// It is sent again a bounded number of times.
    CountAttempt,
    /// It leaves on `rejected` with a reason of this class.
    Reject(&'static str),
}

/// One row of the table: status, `type` and a part of a `reason`, both empty for any.
struct Rule<C> {
    status: RangeInclusive<u16>,
    kind: &'static str,
    reason: &'static str,
    class: C,
}

const fn rule<C>(
    status: RangeInclusive<u16>,
    kind: &'static str,
    reason: &'static str,
    class: C,
) -> Rule<C> {
    Rule {
        status,
        kind,
        reason,
        class,
    }
}

#[rustfmt::skip]
const ITEMS: &[Rule<ItemClass>] = {
    use ItemClass::{Busy, Document, Fault, Fields, Held, Name, Present, Refused, Stored};
    &[
        rule(200..=299, "", "", Stored),
        rule(409..=409, "version_conflict_engine_exception", "", Present),
        rule(409..=409, "", "", Busy),

        // Flood stage: the disk is full. Both products release the block themselves later.
        rule(429..=429, "cluster_block_exception", "", Held),
        rule(429..=429, "", "", Busy),

        rule(401..=401, "", "", Held),
        rule(403..=403, "", "", Held),
        rule(404..=404, "", "", Held),
        rule(400..=400, "index_closed_exception", "", Held),
        rule(400..=400, "invalid_index_name_exception", "", Name),
        rule(400..=400, "illegal_argument_exception", "pipeline with id [", Held),
        rule(400..=400, "illegal_argument_exception", "no write index is defined for alias", Held),
        rule(400..=400, "illegal_argument_exception", "only write ops with an op_type of create are allowed", Held),
        // Elasticsearch says it in the cause of a document_parsing_exception, OpenSearch at the top.
        rule(400..=400, "", "Limit of total fields", Fields),
        rule(400..=400, "document_parsing_exception", "", Document),
        rule(400..=400, "mapper_parsing_exception", "", Document),
        rule(400..=400, "strict_dynamic_mapping_exception", "", Document),
        rule(400..=400, "mapper_exception", "", Document),
        rule(400..=400, "parsing_exception", "", Document),
        rule(400..=400, "x_content_parse_exception", "", Document),
        rule(400..=400, "not_x_content_exception", "", Document),
        rule(400..=400, "illegal_argument_exception", "immense term", Document),
        rule(400..=400, "illegal_argument_exception", "mapper [", Document),
        rule(400..=400, "illegal_argument_exception", "data stream timestamp field", Document),
        rule(400..=499, "", "", Refused),

        // Elasticsearch 8 answers this to a document that is no object; it never heals.
        rule(500..=500, "not_x_content_exception", "", Document),
        rule(500..=500, "", "", Fault),
        rule(501..=599, "", "", Busy),
    ]
};

#[rustfmt::skip]
const REQUESTS: &[Rule<RequestClass>] = {
    use RequestClass::{Answered, Away, Busy, Denied, Foreign, Malformed, TooLarge};
    &[
        rule(200..=200, "", "", Answered),
        rule(413..=413, "", "", TooLarge),
        rule(429..=429, "", "", Busy),
        rule(401..=401, "", "", Denied),
        rule(403..=403, "", "", Denied),
        rule(400..=400, "", "unrecognized parameter", Foreign),
        rule(400..=400, "", "", Malformed),
        rule(408..=408, "", "", Away),
        rule(500..=599, "", "", Away),
    ]
};

/// What an item's status and error mean.
pub(crate) fn of_item(status: u16, fault: Option<&Fault<'_>>) -> ItemClass {
    find(ITEMS, status, fault).unwrap_or(ItemClass::Refused)
}

/// What a request's status and error mean.
pub(crate) fn of_request(status: u16, fault: Option<&Fault<'_>>) -> RequestClass {
    find(REQUESTS, status, fault).unwrap_or(RequestClass::Foreign)
}

fn find<C: Copy>(rules: &[Rule<C>], status: u16, fault: Option<&Fault<'_>>) -> Option<C> {
    let matches = |rule: &&Rule<C>| {
        rule.status.contains(&status)
            && (rule.kind.is_empty() || fault.is_some_and(|fault| fault.kind == rule.kind))
            && (rule.reason.is_empty() || fault.is_some_and(|fault| fault.says(rule.reason)))
    };
    rules.iter().find(matches).map(|rule| rule.class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault<'a>(kind: &'a str, reason: &'a str) -> Option<Fault<'a>> {
        (!kind.is_empty()).then(|| Fault {
            kind: kind.into(),
            reason: reason.into(),
            caused_by: None,
        })
    }

    /// What real servers answered, and what must come of it.
    #[test]
    fn items_are_classed_by_status_type_and_reason() {
        use ItemClass::*;
        for (status, kind, reason, class) in [
            (201, "", "", Stored),
            (200, "", "", Stored),
            (
                409,
                "version_conflict_engine_exception",
                "[1]: version conflict, document already exists (current version [1])",
                Present,
            ),
            (
                429,
                "es_rejected_execution_exception",
                "rejected execution of primary operation",
                Busy,
            ),
            (429, "rejected_execution_exception", "", Busy),
            (
                429,
                "circuit_breaking_exception",
                "[parent] Data too large",
                Busy,
            ),
            (
                429,
                "cluster_block_exception",
                "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];",
                Held,
            ),
            (
                403,
                "cluster_block_exception",
                "index [x] blocked by: [FORBIDDEN/8/index write (api)];",
                Held,
            ),
            (
                403,
                "security_exception",
                "action [indices:admin/auto_create] is unauthorized",
                Held,
            ),
            (404, "index_not_found_exception", "no such index [x]", Held),
            (404, "resource_not_found_exception", "", Held),
            (400, "index_closed_exception", "closed", Held),
            (
                400,
                "invalid_index_name_exception",
                "Invalid index name [A]",
                Name,
            ),
            (
                400,
                "illegal_argument_exception",
                "pipeline with id [x] does not exist",
                Held,
            ),
            (
                400,
                "illegal_argument_exception",
                "no write index is defined for alias [x]. The write index may be explicitly disabled",
                Held,
            ),
            (
                400,
                "illegal_argument_exception",
                "only write ops with an op_type of create are allowed in data streams",
                Held,
            ),
            (
                400,
                "illegal_argument_exception",
                "Limit of total fields [10] has been exceeded",
                Fields,
            ),
            (
                400,
                "document_parsing_exception",
                "[1:9] failed to parse field [n] of type [long]",
                Document,
            ),
            (400, "mapper_parsing_exception", "failed to parse", Document),
            (
                400,
                "strict_dynamic_mapping_exception",
                "mapping set to strict",
                Document,
            ),
            (
                400,
                "illegal_argument_exception",
                "Document contains at least one immense term in field=\"k\"",
                Document,
            ),
            (400, "some_new_exception", "whatever", Refused),
            (405, "", "", Refused),
            (
                500,
                "not_x_content_exception",
                "Compressor detection can only be called on some xcontent bytes",
                Document,
            ),
            (500, "null_pointer_exception", "", Fault),
            (
                503,
                "unavailable_shards_exception",
                "[x][0] primary shard is not active",
                Busy,
            ),
            (503, "process_cluster_event_timeout_exception", "", Busy),
        ] {
            let found = of_item(status, fault(kind, reason).as_ref());
            assert_eq!(found, class, "{status} {kind} {reason}");
        }
    }

    #[test]
    fn a_reason_counts_wherever_in_the_chain_it_stands() {
        let limit = Fault {
            kind: "document_parsing_exception".into(),
            reason: "[1:2] failed to parse".into(),
            caused_by: fault(
                "illegal_argument_exception",
                "Limit of total fields [10] has been exceeded",
            )
            .map(Box::new),
        };
        assert_eq!(of_item(400, Some(&limit)), ItemClass::Fields);
    }

    #[test]
    fn requests_are_classed_by_status() {
        use RequestClass::*;
        for (status, kind, reason, class) in [
            (200, "", "", Answered),
            (429, "es_rejected_execution_exception", "", Busy),
            (429, "circuit_breaking_exception", "", Busy),
            (503, "cluster_block_exception", "", Away),
            (502, "", "", Away),
            (504, "", "", Away),
            (500, "", "", Away),
            (413, "", "", TooLarge),
            (401, "security_exception", "", Denied),
            (403, "security_exception", "", Denied),
            (
                400,
                "illegal_argument_exception",
                "Malformed action/metadata line [1]",
                Malformed,
            ),
            (
                400,
                "illegal_argument_exception",
                "request [/_bulk] contains unrecognized parameter: [x]",
                Foreign,
            ),
            (404, "", "", Foreign),
            (405, "", "", Foreign),
            (302, "", "", Foreign),
            (204, "", "", Foreign),
        ] {
            let found = of_request(status, fault(kind, reason).as_ref());
            assert_eq!(found, class, "{status} {kind} {reason}");
        }
    }

    /// Nothing but what the document itself is at fault for is rejected at once; an outage never is.
    #[test]
    fn every_class_has_its_action() {
        for class in ItemClass::ALL {
            let rejects = matches!(class.action(), Action::Reject(_));
            let waits = matches!(class, ItemClass::Busy | ItemClass::Held);
            assert!(!(rejects && waits), "{class:?}");
        }
    }
}
