//! What the sink counts, by names that metrics show.

use isobar_topology::{Counter, Counters};

use super::outcome::{Action, Class};

/// The counters of a bolt.
pub(crate) struct Counts {
    /// Bodies that were full when they were sent.
    pub(crate) bodies_full: Counter,
    /// Bodies that were sent before they were full.
    pub(crate) bodies_flushed: Counter,
    /// Bytes of both.
    pub(crate) body_bytes: Counter,
    /// Bulk requests.
    pub(crate) requests: Counter,
    /// Bytes of their bodies.
    pub(crate) request_bytes: Counter,
    /// The same as they go over the network.
    pub(crate) sent_bytes: Counter,
    /// Requests at one time that the lanes go without.
    pub(crate) slots_withdrawn: Counter,
    /// Those that they have again.
    pub(crate) slots_restored: Counter,
    requests_unanswered: Counter,
    requests_timed_out: Counter,
    requests_unreadable: Counter,
    requests_busy: Counter,
    requests_unavailable: Counter,
    requests_too_large: Counter,
    requests_malformed: Counter,
    requests_denied: Counter,
    requests_foreign: Counter,
    items_stored: Counter,
    items_present: Counter,
    items_retried: Counter,
    items_held: Counter,
    items_faulty: Counter,
    items_rejected: Counter,
}

impl Counts {
    /// The counters of a bolt, the same for all its lanes.
    pub(crate) fn new(counters: &Counters) -> Self {
        let counter = |name, help| counters.counter(name, help);
        Self {
            bodies_full: counter(
                "bodies_full",
                "Bulk bodies that were sent because they were full.",
            ),
            bodies_flushed: counter(
                "bodies_flushed",
                "Bulk bodies that were sent before they were full.",
            ),
            body_bytes: counter("body_bytes", "Bytes of bulk bodies, each counted once."),
            requests: counter("requests", "Bulk requests, those sent again included."),
            request_bytes: counter(
                "request_bytes",
                "Bytes of the bodies of bulk requests, those sent again included.",
            ),
            sent_bytes: counter(
                "sent_bytes",
                "The same after compression: what went over the network.",
            ),
            slots_withdrawn: counter(
                "slots_withdrawn",
                "Requests at one time that lanes do without, as the cluster refused for want of room or was slow.",
            ),
            slots_restored: counter(
                "slots_restored",
                "Those that they have again: slots_withdrawn less this is by how much requests_per_lane is undercut now, over all lanes.",
            ),
            requests_unanswered: counter(
                "requests_unanswered",
                "Bulk requests whose connection could not be made or broke.",
            ),
            requests_timed_out: counter(
                "requests_timed_out",
                "Bulk requests that took longer than request_timeout.",
            ),
            requests_unreadable: counter(
                "requests_unreadable",
                "Bulk requests whose reply did not fit them, in its form or number of items.",
            ),
            requests_busy: counter(
                "requests_busy",
                "Bulk requests refused as a whole because queues or memory were full.",
            ),
            requests_unavailable: counter(
                "requests_unavailable",
                "Bulk requests that a host could not work off at that time.",
            ),
            requests_too_large: counter(
                "requests_too_large",
                "Bulk requests that were larger than the host takes, or whose reply would have been; sent again in halves.",
            ),
            requests_malformed: counter(
                "requests_malformed",
                "Bulk requests that a host could not read; sent again in halves.",
            ),
            requests_denied: counter(
                "requests_denied",
                "Bulk requests refused for who sent them.",
            ),
            requests_foreign: counter(
                "requests_foreign",
                "Bulk requests answered by something that takes none.",
            ),
            items_stored: counter("items_stored", "Documents stored."),
            items_present: counter(
                "items_already_present",
                "Documents that were there already, under the same id.",
            ),
            items_retried: counter(
                "items_retried",
                "Documents that the cluster was too busy to take and that are sent again.",
            ),
            items_held: counter(
                "items_held",
                "Documents refused by an index that takes none; they are sent again.",
            ),
            items_faulty: counter(
                "items_faulty",
                "Documents on which the server failed; they are sent again a bounded number of times.",
            ),
            items_rejected: counter("items_rejected", "Documents that can never be indexed."),
        }
    }

    /// Counts how a request ended that was not worked off.
    pub(crate) fn request(&self, class: Class) {
        let counter = match class {
            Class::Unconnected | Class::Broken => &self.requests_unanswered,
            Class::TimedOut => &self.requests_timed_out,
            Class::Unreadable => &self.requests_unreadable,
            Class::Busy => &self.requests_busy,
            Class::Away => &self.requests_unavailable,
            Class::TooLarge => &self.requests_too_large,
            Class::Malformed => &self.requests_malformed,
            Class::Denied => &self.requests_denied,
            Class::Foreign | Class::NotUnderstood | Class::Encoding => &self.requests_foreign,
            _ => return,
        };
        counter.add(1);
    }

    /// Counts items of one class.
    pub(crate) fn items(&self, class: Class, items: usize) {
        let counter = match class.action() {
            Action::Deliver => &self.items_stored,
            Action::AlreadyPresent => &self.items_present,
            Action::HoldTarget => &self.items_held,
            Action::CountAttempt => &self.items_faulty,
            Action::Reject(_) => &self.items_rejected,
            _ => &self.items_retried,
        };
        counter.add(items as u64);
    }
}
