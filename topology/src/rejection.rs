//! Why a record can never succeed: what its dead letter tells.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::Domain;

/// The reason of a rejection. The bolt's name and the attempts are filled in by the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// A short stable word for grouping and metrics: `invalid_json`, `mapping`, `event_time`, …
    pub class: &'static str,
    /// One sentence for the person who reads the dead letter, at most [`Rejection::REASON_MAX`] bytes.
    pub reason: Cow<'static, str>,
    /// The bolt that rejected the record.
    pub bolt: Arc<str>,
    /// How often the record was tried, outages aside: those count as no attempt.
    pub attempts: u32,
    /// The index or topic that was tried, where there was one.
    pub target: Option<Arc<str>>,
    /// The document id that was tried, where there was one.
    pub document_id: Option<String>,
    /// Whether the record was given up though nothing is wrong with it, as somebody chose: it counts
    /// towards no `reject_limit`, which is there for records that are at fault.
    pub is_given_up: bool,
}

impl Rejection {
    /// Longest reason, in bytes: it travels in a header of the dead letter.
    pub const REASON_MAX: usize = 1024;

    /// A rejection for this reason; longer reasons are cut.
    pub fn new(class: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut reason = reason.into();
        if reason.len() > Self::REASON_MAX {
            let mut end = Self::REASON_MAX - '…'.len_utf8();
            while !reason.is_char_boundary(end) {
                end -= 1;
            }
            reason = Cow::Owned(format!("{}…", &reason[..end]));
        }
        Self {
            class,
            reason,
            bolt: Arc::from(""),
            attempts: 1,
            target: None,
            document_id: None,
            is_given_up: false,
        }
    }

    /// What the runtime rejects a record for when a bolt failed on it.
    pub(crate) fn of_fault(domain: Domain, reason: Cow<'static, str>) -> Self {
        let class = match domain {
            Domain::User => "refused",
            Domain::External | Domain::Internal => "fault",
        };
        Self::new(class, reason)
    }

    /// Says that nothing is wrong with the record: what it was meant for took none for too long.
    pub fn given_up(mut self) -> Self {
        self.is_given_up = true;
        self
    }

    /// Adds the index and id that were tried.
    pub fn tried(mut self, target: Arc<str>, document_id: Option<String>) -> Self {
        self.target = Some(target);
        self.document_id = document_id;
        self
    }
}
