//! Whole requests that a host does not take: for its own reasons, or for what one document in them holds.

use super::hosts::Chosen;
use super::outcome::{Action, Class};

/// A request that a host has refused as a whole, until it is known whose fault that is.
pub(crate) struct RefusedBy<'h> {
    pub(crate) chosen: Chosen<'h>,
    pub(crate) class: Class,
    /// What it has answered.
    pub(crate) text: String,
}

impl RefusedBy<'_> {
    /// Whether a server, or what is on the way to it, may answer so for what one document holds, as firewalls do.
    /// Overload, lack of time and a full disk (503, 504, 507 and such) are of no document.
    pub(crate) fn may_be_for_a_document(status: u16) -> bool {
        matches!(status, 403 | 500..=502)
    }
}

/// How it is told where the host is at fault.
pub(crate) fn told(class: Class, text: String) -> String {
    match class.action() {
        Action::HoldConnection | Action::ClientBug => {
            format!("{text} to a bulk request: {}", class.advice())
        }
        _ => text,
    }
}
