//! The faults that a test can script, for whole requests and for single items.

use std::time::Duration;

/// What happens to a whole bulk request instead of a plain answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestFault {
    /// Nothing is stored; the answer has this status and error. Without an error type the body is
    /// empty, as it is with a real server's 413.
    Refuse {
        /// The status code.
        status: u16,
        /// The error's `type`; empty for no body at all.
        kind: String,
        /// The error's `reason`.
        reason: String,
    },
    /// Nothing is stored; the answer has this status, and this text as its whole error, as from a gateway.
    RefuseInWords(u16, &'static str),
    /// Nothing is stored; this much later 504 comes with an empty body, as from a proxy that has waited long
    /// enough.
    GatewayTimeout(Duration),
    /// The connection is closed once the body is read; nothing is stored.
    CutBefore,
    /// All is stored, then the connection is closed without an answer.
    CutAfter,
    /// All is stored, and the connection is closed in the middle of the answer.
    CutReply,
    /// All is stored; the answer comes this much later.
    Delay(Duration),
    /// The last so many items are not stored and missing from an answer that claims success, as
    /// Elasticsearch 9 does with a body that was cut on its way.
    ItemsMissing(usize),
    /// All is stored; the answer is 200 with an HTML page, as a proxy in between may give.
    NotJson,
}

impl RequestFault {
    /// 429 for the whole request, as Elasticsearch's indexing pressure gives.
    pub fn too_many_requests() -> Self {
        Self::refuse(
            429,
            "es_rejected_execution_exception",
            "rejected execution of coordinating operation",
        )
    }

    /// 503, as a cluster without a master gives.
    pub fn unavailable() -> Self {
        Self::refuse(
            503,
            "cluster_block_exception",
            "blocked by: [SERVICE_UNAVAILABLE/1/state not recovered]",
        )
    }

    /// 413 with an empty body.
    pub fn too_large() -> Self {
        Self::refuse(413, "", "")
    }

    /// Any status with any error.
    pub fn refuse(status: u16, kind: &str, reason: &str) -> Self {
        Self::Refuse {
            status,
            kind: kind.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

/// The error of one item; the item is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemFault {
    /// The item's status.
    pub status: u16,
    /// The error's `type`.
    pub kind: String,
    /// The error's `reason`.
    pub reason: String,
}

impl ItemFault {
    /// Any status with any error.
    pub fn new(status: u16, kind: &str, reason: &str) -> Self {
        Self {
            status,
            kind: kind.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// 429, as a full write queue gives.
    pub fn too_many_requests() -> Self {
        Self::new(
            429,
            "es_rejected_execution_exception",
            "rejected execution of primary operation",
        )
    }

    /// 503, as a shard gives that no node has, once the server has waited for it as long as the request says.
    pub fn shard_away() -> Self {
        Self::new(
            503,
            SHARD_AWAY,
            "[logs][0] primary shard is not active Timeout: [10s], request: [BulkShardRequest [[logs][0]]]",
        )
    }

    /// A success that went into the failure store of its data stream.
    pub fn failure_store() -> Self {
        Self::new(201, FAILURE_STORE, "")
    }

    /// 400, as a field of the wrong type gives.
    pub fn mapping() -> Self {
        Self::new(
            400,
            "document_parsing_exception",
            "[1:2] failed to parse field [status] of type [long]",
        )
    }
}

/// The kind of an item that is answered as a success in a field of its own, and not as an error.
pub(super) const FAILURE_STORE: &str = "failure_store";

/// The kind of an item for whose shard the server has waited in vain.
pub(super) const SHARD_AWAY: &str = "unavailable_shards_exception";

/// A bulk request as a fault's condition sees it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    /// How many bulk requests came before this one.
    pub number: u64,
    /// Requests that are under way, this one included.
    pub under_way: usize,
    /// Its body.
    pub body: &'r [u8],
}

/// An item as a fault's condition sees it.
#[derive(Debug, Clone, Copy)]
pub struct Item<'r> {
    /// Its place in the request, from 0.
    pub position: usize,
    /// The index it goes to.
    pub index: &'r str,
    /// Its id, if it has one.
    pub id: Option<&'r str>,
    /// The document; empty for a `delete`.
    pub source: &'r [u8],
}

type RequestCondition = Box<dyn FnMut(&Request<'_>) -> bool + Send>;
type ItemCondition = Box<dyn FnMut(&Item<'_>) -> bool + Send>;

/// The faults that are still to come.
#[derive(Default)]
pub(super) struct Faults {
    requests: Vec<Rule<RequestCondition, RequestFault>>,
    items: Vec<Rule<ItemCondition, ItemFault>>,
}

struct Rule<C, F> {
    left: u64,
    matches: C,
    fault: F,
}

impl Faults {
    pub(super) fn add_request(
        &mut self,
        left: u64,
        matches: RequestCondition,
        fault: RequestFault,
    ) {
        self.requests.push(Rule {
            left,
            matches,
            fault,
        });
    }

    pub(super) fn add_item(&mut self, left: u64, matches: ItemCondition, fault: ItemFault) {
        self.items.push(Rule {
            left,
            matches,
            fault,
        });
    }

    /// The fault that this request meets; uses it up by one.
    pub(super) fn of_request(&mut self, request: &Request<'_>) -> Option<RequestFault> {
        use_up(&mut self.requests, |matches| matches(request)).cloned()
    }

    /// The fault that this item meets; uses it up by one. Costs nothing while none is scripted.
    pub(super) fn of_item(&mut self, item: &Item<'_>) -> Option<&ItemFault> {
        use_up(&mut self.items, |matches| matches(item))
    }
}

/// The fault of the first rule that has uses left and whose condition `asks` finds true.
fn use_up<C, F>(rules: &mut [Rule<C, F>], mut asks: impl FnMut(&mut C) -> bool) -> Option<&F> {
    for rule in rules {
        if rule.left > 0 && asks(&mut rule.matches) {
            rule.left -= 1;
            return Some(&rule.fault);
        }
    }
    None
}
