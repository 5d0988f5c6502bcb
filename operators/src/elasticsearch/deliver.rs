//! Takes a body to the cluster and says what became of each of its records: the work that goes on
//! beside the bolt. A body that is too large, or holds what cannot be read or is not taken by what is on the
//! way, is halved until the record at fault stands alone.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use isobar_topology::clock::Instant;
use isobar_topology::{Emitter, Health, OperatorError, Rejection};

use super::body::Bulk;
use super::breaking::{Breaking, Document};
use super::busy::BusyIndices;
use super::exchange::{Exchange, Outcome, Sent};
use super::failing::FailingIndex;
use super::held::{HeldIndices, Refusal};
use super::hosts::HostSet;
use super::lines::Operation;
use super::outcome::{Action, Class};
use super::pending::Settled;
use super::reply::{Item, without_reason};
use super::spare::Spare;
use super::width::{Sign, Width};

/// From so many items on, an index that refuses all of them for one reason is at fault, not they.
const HELD_FROM: usize = 16;

/// Requests of one body that may be answered as malformed before one is understood: then the requests as such
/// are at fault, and halving on finds nothing.
const MALFORMED_MAX: usize = 32;

/// Requests of one body that may be refused as a whole by hosts that take others: some for each document at fault. What
/// is left then waits as in an outage, which looks the same at first.
const REFUSED_MAX: usize = 32;

/// The size of bodies as hosts, and what is on the way to them, take it: halved when they do not, or not
/// within `request_timeout`, doubled after some requests that went well.
pub(crate) struct BodySize {
    now: Cell<usize>,
    most: usize,
    went_well: Cell<u32>,
    /// Requests refused as a whole in a row.
    refused: Cell<u32>,
}

/// Requests that go well before larger ones are tried.
const GROW_AFTER: u32 = 16;

/// Requests that are refused as a whole, and none in between that is not, before smaller ones are tried.
const SHRINK_AFTER: u32 = 4;

/// Bodies do not become smaller than this, in bytes.
const SIZE_MIN: usize = 16 << 10;

impl BodySize {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            now: Cell::new(most),
            most,
            went_well: Cell::new(0),
            refused: Cell::new(0),
        }
    }

    /// The size from which a body is full, in bytes.
    #[inline]
    pub(crate) fn get(&self) -> usize {
        self.now.get()
    }

    fn went_well(&self) {
        self.refused.set(0);
        if self.now.get() == self.most {
            return;
        }
        self.went_well.set(self.went_well.get() + 1);
        if self.went_well.get() >= GROW_AFTER {
            self.went_well.set(0);
            self.now.set((self.now.get() * 2).min(self.most));
        }
    }

    /// A body of so many bytes met full queues or memory. When none gets through any more, bodies may be
    /// larger than what the cluster takes at one time, and then waiting does not help.
    fn busy(&self, bytes: usize) {
        self.refused.set(self.refused.get() + 1);
        if self.refused.get() >= SHRINK_AFTER {
            self.refused.set(0);
            self.too_large(bytes);
        }
    }

    /// A body of so many bytes was too much.
    fn too_large(&self, bytes: usize) {
        self.went_well.set(0);
        let half = (bytes / 2).max(SIZE_MIN);
        self.now.set(self.now.get().min(half));
    }
}

/// Items of a body that no host has understood that was asked.
struct Unread {
    part: Range<usize>,
    /// The hosts that were.
    by: HostSet,
    /// What they said.
    text: String,
}

/// What the requests of a lane share.
pub(crate) struct Delivery {
    pub(crate) exchange: Exchange,
    pub(crate) body_size: BodySize,
    pub(crate) held: Arc<HeldIndices>,
    pub(crate) failing: Arc<FailingIndex>,
    pub(crate) breaking: Arc<Breaking>,
    pub(crate) busy: Arc<BusyIndices>,
    /// Requests under way at one time.
    pub(crate) width: Width,
    /// Room for bodies that sinks of the connection keep.
    pub(crate) spare: Arc<Spare>,
    /// Until when the lane keeps that of the body that it fills.
    pub(crate) busy_until: Cell<Instant>,
    /// The most room of a body that is kept, in bytes.
    pub(crate) spare_size: usize,
    /// Index names follow from records, so a name that no index can have is the record's fault.
    pub(crate) names_follow_records: bool,
    /// Documents of one body may have the same id, and it is not all the same which of them comes first.
    pub(crate) order_matters: bool,
    /// Bodies of which one document was sent first to find out whether hosts take any.
    pub(crate) trials: Cell<usize>,
}

impl Delivery {
    /// Delivers a body once a request may be made, settles its records, and emits those that are
    /// rejected.
    pub(crate) async fn deliver(self: Rc<Self>, mut bulk: Bulk, mut out: Emitter) -> Emitter {
        {
            let _slot = self.width.enter().await;
            self.deliver_parts(&bulk).await;
        }
        bulk.manifest.close(&mut out);
        if let Some(room) = bulk.recycle(self.spare_size) {
            self.spare.give(room);
        }
        out
    }

    async fn deliver_parts(&self, bulk: &Bulk) {
        // The hosts that have understood a request, and how many were not understood.
        let (mut understood, mut malformed) = (HostSet::default(), 0);
        let mut refused = 0;
        // Documents with which a request is refused as a whole, and indices that took others beside them.
        let (mut turned_away, mut took) = (Vec::new(), HashSet::new());
        // What was not understood, and is neither halved nor refused for that.
        let mut unread: Vec<Unread> = Vec::new();
        let mut parts = self.first_parts(bulk.len());
        let mut is_trial = parts.len() > 1;
        while let Some(part) = parts.pop() {
            let body = bulk.part(&part);
            let is_suspect = (1..REFUSED_MAX).contains(&refused);
            let sent = self.exchange.send(&body, part.len(), is_suspect).await;
            let Sent { outcome, by, began } = sent;
            if std::mem::take(&mut is_trial) && outcome.is_no_answer() {
                // Hosts take nothing still, and of how large requests may be a small one says nothing.
                let is_held = matches!(outcome, Outcome::Held);
                for part in parts.drain(..).chain([part]) {
                    bulk.manifest.settle(part, |_| match is_held {
                        true => Settled::Held,
                        false => Settled::Failed,
                    });
                }
                break;
            }
            match outcome {
                Outcome::AllStored | Outcome::Items(_) => {
                    self.body_size.went_well();
                    // What was not understood before may be now: whatever was in the way may be gone.
                    if understood.among(by).is_empty() {
                        parts.extend(unread.drain(..).map(|unread| unread.part));
                    }
                    understood = understood.with(by);
                    if refused > 0 || part.len() < bulk.len() {
                        took.extend(match &outcome {
                            Outcome::Items(items) => taken(bulk, &part, items, |class| {
                                matches!(class, Class::Stored | Class::Present)
                            }),
                            _ => indices_of(bulk, &part),
                        });
                    }
                }
                // Half of what a host could not take in time may be done in time.
                Outcome::TooLarge
                | Outcome::ReplyTooLarge(_)
                | Outcome::Broken
                | Outcome::TimedOut => {
                    self.body_size.too_large(body.len());
                }
                Outcome::Busy(_) => self.body_size.busy(body.len()),
                Outcome::Malformed(_) | Outcome::Refused(_) | Outcome::Held | Outcome::Failed => {}
            }
            self.learn_of_connections(bulk, &part, body.len(), &outcome);
            self.width.learn(began, sign(&outcome));
            match outcome {
                Outcome::AllStored => {
                    self.exchange.counts.items(Class::Stored, part.len());
                    let manifest = &bulk.manifest;
                    if part.len() == bulk.len() {
                        self.accepted(manifest.targets());
                    } else {
                        self.accepted(part.map(|item| manifest.target_of(item)));
                    }
                }
                Outcome::Items(items) => self.settle(bulk, part, items),
                Outcome::Held => bulk.manifest.settle(part, |_| Settled::Held),
                Outcome::Broken if is_large(&part, body.len()) => {
                    let document = document(bulk, &part);
                    let fault = self.breaking.broke_on(document, self.to());
                    match fault {
                        Some(text) => self.reject(bulk, part.start, "too_large", &text),
                        None => self.fail(bulk, part),
                    }
                }
                Outcome::Busy(text) => {
                    let indices = indices_of(bulk, &part).into_iter();
                    self.busy
                        .refused(indices.map(|index| (index, &*text)), self.to());
                    self.fail(bulk, part);
                }
                Outcome::Failed | Outcome::TimedOut | Outcome::Broken => self.fail(bulk, part),
                Outcome::TooLarge | Outcome::ReplyTooLarge(_) if part.len() > 1 => {
                    halve(&mut parts, part);
                }
                Outcome::TooLarge => {
                    let bytes = body.len();
                    self.reject(bulk, part.start, "too_large", &format!(
                        "the host takes no request of {bytes} bytes, which is what this document alone makes"
                    ));
                }
                Outcome::ReplyTooLarge(bytes) => {
                    self.reject(bulk, part.start, "too_large", &format!(
                        "the host refuses it in more than {bytes} bytes, which is all that is read of a reply to this document alone"
                    ));
                }
                Outcome::Refused(text) if part.len() == 1 => {
                    turned_away.push((part.start, text));
                    refused += 1;
                }
                Outcome::Refused(_) => {
                    refused += 1;
                    match refused < REFUSED_MAX {
                        true => halve(&mut parts, part),
                        false => self.fail(bulk, part),
                    }
                }
                Outcome::Malformed(text) => {
                    malformed += 1;
                    let goes_on = !understood.is_empty() || malformed <= MALFORMED_MAX;
                    let is_at_fault = self.exchange.shared.understands(by.among(understood));
                    match part.len() {
                        1 if is_at_fault => self.reject(bulk, part.start, "refused", &text),
                        2.. if goes_on => halve(&mut parts, part),
                        _ => unread.push(Unread { part, by, text }),
                    }
                }
            }
        }
        self.hold_unread(bulk, unread);
        for (position, text) in turned_away {
            self.hold_turned_away(bulk, position, &took, &text);
        }
    }

    /// What is sent of a body of so many items, the last part first: all at once; or, where hosts that refuse whole
    /// requests are tried again, one document before the others, and another one each time. Were there one in each body
    /// that they refuse, no body would find out that they take the rest. Where order matters it is always the first one.
    fn first_parts(&self, items: usize) -> Vec<Range<usize>> {
        let shared = &self.exchange.shared;
        if items == 1 || !shared.is_to_be_tried_with_one_document() {
            let whole = 0..items;
            return vec![whole];
        }
        let trial = match self.order_matters {
            true => 0,
            false => spread(self.trials.get()) % items,
        };
        self.trials.set(self.trials.get().wrapping_add(1));
        let parts = [trial + 1..items, 0..trial, trial..trial + 1];
        parts.into_iter().filter(|part| !part.is_empty()).collect()
    }

    /// Hosts that take other requests refuse each with this document. Whether that is for what is in it, as by a
    /// firewall, or for its index, nobody can tell: it waits as what an index refuses does, beside others of its index
    /// where that took some, and is given up only where that is wanted.
    fn hold_turned_away(
        &self,
        bulk: &Bulk,
        position: usize,
        took: &HashSet<&Arc<str>>,
        text: &str,
    ) {
        let index = bulk.manifest.target_of(position);
        let refusal = match took.contains(index) {
            true => Refusal::InPart(Class::TurnedAway),
            false => Refusal::Of(Class::TurnedAway),
        };
        let given_up = self.held.refused(index, refusal, text, self.to());
        self.exchange.counts.items(Class::TurnedAway, 1);
        bulk.manifest
            .settle(position..position + 1, |position| match &given_up {
                Some(text) => {
                    let rejection = rejection(bulk, position, "held", text);
                    Settled::Rejected(rejection.given_up())
                }
                None if self.held.holds(index) => Settled::Held,
                None => Settled::Failed,
            });
    }

    /// Takes in what the outcome of items of so many bytes says about connections, but for a document that one
    /// broke on.
    fn learn_of_connections(
        &self,
        bulk: &Bulk,
        part: &Range<usize>,
        bytes: usize,
        outcome: &Outcome,
    ) {
        match outcome {
            Outcome::Broken if !is_large(part, bytes) => self.breaking.broke(bytes),
            Outcome::Broken | Outcome::Held | Outcome::Failed | Outcome::TimedOut => {}
            Outcome::AllStored
            | Outcome::Items(_)
            | Outcome::TooLarge
            | Outcome::ReplyTooLarge(_)
            | Outcome::Malformed(_)
            | Outcome::Refused(_)
            | Outcome::Busy(_) => {
                self.breaking.answered(bytes, self.to());
                if is_large(part, bytes) {
                    self.breaking.passed(|| document(bulk, part), self.to());
                }
            }
        }
    }

    /// Whose conditions tell what is wrong.
    fn to(&self) -> (&str, &Health) {
        (&self.exchange.component, &self.exchange.health)
    }

    /// Of these items no document was understood, and no host that was asked is known to understand others of
    /// their body, so the requests as such are at fault: they are no longer allowed to say where documents go, for
    /// example. Of documents that were sent one by one it counts as an attempt where one of these hosts understands
    /// other requests meanwhile, each time.
    fn hold_unread(&self, bulk: &Bulk, unread: Vec<Unread>) {
        let Some(Unread { text, .. }) = unread.first() else {
            return;
        };
        let shared = &self.exchange.shared;
        let asked = unread.iter().map(|unread| unread.by);
        let understand = match unread.iter().all(|unread| unread.part.len() == 1) {
            true => shared.not_understood(asked.reduce(HostSet::with).unwrap_or_default()),
            false => HostSet::default(),
        };
        if understand.is_empty() {
            self.exchange.tell_malformed(text);
        }
        for Unread { part, by, text } in unread {
            match by.among(understand).is_empty() {
                true => self.fail(bulk, part),
                false => bulk
                    .manifest
                    .settle(part, |position| counted(bulk, position, &text)),
            }
        }
    }

    /// Enters what a reply says about each item.
    fn settle(&self, bulk: &Bulk, part: Range<usize>, mut items: Vec<Item>) {
        self.correct(bulk, &part, &mut items);
        let busy = busy_of(bulk, &part, &items);
        if let Some(position) = weigh(bulk, &part, &mut items) {
            let error = items[position - part.start].text.as_deref();
            let index = bulk.manifest.target_of(position);
            self.failing
                .failed(index, error.unwrap_or_default(), self.to());
        }
        let mut accepted = Vec::new();
        let mut refused: HashMap<(&Arc<str>, Class), &Item> = HashMap::new();
        for (position, item) in part.clone().zip(&items) {
            self.exchange.counts.items(item.class, 1);
            let target = bulk.manifest.target_index(position);
            match item.class.action() {
                Action::Deliver | Action::AlreadyPresent if accepted.last() != Some(&target) => {
                    accepted.push(target);
                }
                Action::HoldTarget => {
                    let index = bulk.manifest.target_of(position);
                    let _ = refused.entry((index, item.class)).or_insert(item);
                }
                _ => {}
            }
        }
        let name = |target: &usize| &bulk.manifest.targets()[*target];
        self.accepted(accepted.iter().map(name));
        if !busy.is_empty() {
            let refusals = busy.iter().map(|(index, answer)| (*index, &**answer));
            self.busy.refused(refusals, self.to());
        }
        let took: HashSet<&Arc<str>> = match refused.is_empty() {
            true => HashSet::new(),
            false => accepted.iter().map(name).collect(),
        };
        // Indices whose records have waited enough, and why.
        let mut given_up: HashMap<(&Arc<str>, Class), String> = HashMap::new();
        for ((index, class), item) in refused {
            let error = item.text.as_deref().unwrap_or_default();
            let refusal = match took.contains(index) {
                true => Refusal::InPart(class),
                false => Refusal::Of(class),
            };
            let verdict = self.held.refused(index, refusal, error, self.to());
            given_up.extend(verdict.map(|verdict| ((index, class), verdict)));
        }
        let first = part.start;
        bulk.manifest.settle(part, |position| {
            let item = &items[position - first];
            let text = item.text.as_deref().unwrap_or_default();
            match item.class.action() {
                Action::Deliver => Settled::Delivered,
                Action::AlreadyPresent => Settled::AlreadyPresent,
                Action::CountAttempt => counted(bulk, position, text),
                Action::Reject(class) => Settled::Rejected(rejection(bulk, position, class, text)),
                Action::HoldTarget => {
                    let index = bulk.manifest.target_of(position);
                    match given_up.get(&(index, item.class)) {
                        Some(text) => {
                            let rejection = rejection(bulk, position, "held", text);
                            Settled::Rejected(rejection.given_up())
                        }
                        // It is the index that takes nothing. Of more indices than are remembered nobody
                        // tells when they do, nor of one that takes others.
                        None if self.held.holds(index) => Settled::Held,
                        None => Settled::Failed,
                    }
                }
                _ => Settled::Failed,
            }
        });
    }

    /// These indices have taken documents. What waits for one of them goes on.
    fn accepted<'i>(&self, indices: impl IntoIterator<Item = &'i Arc<str>> + Clone) {
        self.failing.accepted(indices.clone(), self.to());
        self.busy.accepted(indices.clone(), self.to());
        let (component, health) = self.to();
        if self.held.accepted(indices, component, health) {
            self.exchange.recoveries.tell();
        }
    }

    /// Corrects classes that mean something else for this bolt.
    fn correct(&self, bulk: &Bulk, part: &Range<usize>, items: &mut [Item]) {
        let taken = match self.held.any() {
            true => taken(bulk, part, items, |class| class == Class::Stored),
            false => HashSet::new(),
        };
        let takes_none = |index: &Arc<str>| self.held.holds(index) && !taken.contains(index);
        for (position, item) in part.clone().zip(items) {
            item.class = match item.class {
                // One that was sent to find out is not at fault for what all the others met.
                Class::Refused if takes_none(bulk.manifest.target_of(position)) => {
                    Class::AllRefused
                }
                // A name that does not follow from records is not a record's fault.
                Class::Name if !self.names_follow_records => Class::Misconfigured,
                // Somebody else writes the same document at this moment.
                Class::Present if self.exchange.operation != Operation::Create.name() => {
                    item.text = Some("409 version_conflict_engine_exception".into());
                    Class::Busy
                }
                class => class,
            }
        }
    }

    fn fail(&self, bulk: &Bulk, part: Range<usize>) {
        bulk.manifest.settle(part, |_| Settled::Failed);
    }

    fn reject(&self, bulk: &Bulk, item: usize, class: &'static str, text: &str) {
        self.exchange.counts.items(Class::Refused, 1);
        bulk.manifest.settle(item..item + 1, |item| {
            Settled::Rejected(rejection(bulk, item, class, text))
        });
    }
}

/// One more attempt with this item that failed as the server says.
fn counted(bulk: &Bulk, position: usize, text: &str) -> Settled {
    let error = OperatorError::user(format!("the server answered {text}"));
    let target = Arc::clone(bulk.manifest.target_of(position));
    Settled::Counted(error.tried(target, bulk.id_of(position)))
}

/// Whether these items of so many bytes are one document that is larger than bodies become small: it is not halved.
fn is_large(part: &Range<usize>, bytes: usize) -> bool {
    part.len() == 1 && bytes > SIZE_MIN
}

/// Numbers in a row, far apart: documents that are refused often lie side by side. The factor is 2^64 divided by the golden
/// ratio (Knuth, The Art of Computer Programming 3, 6.4).
fn spread(number: usize) -> usize {
    ((number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize
}

/// The document that is the only one of these items.
fn document(bulk: &Bulk, part: &Range<usize>) -> Document {
    Document {
        index: Arc::clone(bulk.manifest.target_of(part.start)),
        id: bulk.id_of(part.start),
        bytes: bulk.part(part).len(),
    }
}

/// What an outcome says about how much the cluster takes at one time.
fn sign(outcome: &Outcome) -> Sign {
    match outcome {
        // A shard that is away says nothing of the queues, and is waited for by its own documents alone.
        Outcome::Items(items) if items.iter().any(|item| item.is_refused_by_full_queue()) => {
            Sign::Refused
        }
        Outcome::AllStored | Outcome::Items(_) => Sign::Taken,
        Outcome::Busy(_) | Outcome::TimedOut => Sign::Refused,
        Outcome::TooLarge
        | Outcome::ReplyTooLarge(_)
        | Outcome::Malformed(_)
        | Outcome::Refused(_)
        | Outcome::Held
        | Outcome::Failed
        | Outcome::Broken => Sign::None,
    }
}

/// The indices of these items.
fn indices_of<'b>(bulk: &'b Bulk, part: &Range<usize>) -> HashSet<&'b Arc<str>> {
    let targets = part.clone().map(|item| bulk.manifest.target_of(item));
    targets.collect()
}

/// The indices of which a document is refused for the moment, each with what the server says of one.
fn busy_of<'b>(
    bulk: &'b Bulk,
    part: &Range<usize>,
    items: &[Item],
) -> HashMap<&'b Arc<str>, String> {
    let mut busy = HashMap::new();
    let items = part.clone().zip(items);
    for (position, item) in items.filter(|(_, item)| item.class == Class::Busy) {
        let text = item.text.as_deref().unwrap_or_default();
        let index = bulk.manifest.target_of(position);
        let _ = busy
            .entry(index)
            .or_insert_with(|| without_reason(text).to_owned());
    }
    busy
}

/// The first half is sent first.
fn halve(parts: &mut Vec<Range<usize>>, part: Range<usize>) {
    let middle = part.start + part.len() / 2;
    parts.push(middle..part.end);
    parts.push(part.start..middle);
}

/// Corrects classes by what happened to the other items of the same index: a fault of the server is the
/// document's only where others came through, and what is refused to all is the index's. Returns the place of
/// a document of an index of which the server failed on all, if there is one.
fn weigh(bulk: &Bulk, part: &Range<usize>, items: &mut [Item]) -> Option<usize> {
    let open = |class| matches!(class, Class::Refused | Class::Fault);
    if !items.iter().any(|item| open(item.class)) {
        return None;
    }
    #[derive(Default)]
    struct Seen {
        items: usize,
        taken: bool,
        refused: usize,
        /// Status and type of those refused.
        kind: Option<u64>,
        differ: bool,
    }
    // By name: of many indices in turn each has several places among the targets of a body.
    let mut seen: HashMap<&str, Seen> = HashMap::new();
    for (position, item) in part.clone().zip(items.iter()) {
        let seen = seen.entry(bulk.manifest.target_of(position)).or_default();
        seen.items += 1;
        match item.class {
            Class::Stored | Class::Present => seen.taken = true,
            Class::Refused => {
                let kind = kind_of(item);
                seen.refused += 1;
                seen.differ |= seen.kind.is_some_and(|known| known != kind);
                seen.kind = Some(kind);
            }
            _ => {}
        }
    }
    let mut failed = None;
    for (position, item) in part.clone().zip(items) {
        let seen = &seen[&**bulk.manifest.target_of(position)];
        match item.class {
            Class::Fault if !seen.taken => {
                item.class = Class::Busy;
                failed = Some(position);
            }
            Class::Refused
                if seen.items >= HELD_FROM && seen.refused == seen.items && !seen.differ =>
            {
                item.class = Class::AllRefused;
            }
            _ => {}
        }
    }
    failed
}

/// The indices of those of these items that are of such a class.
fn taken<'b>(
    bulk: &'b Bulk,
    part: &Range<usize>,
    items: &[Item],
    is_taken: impl Fn(Class) -> bool,
) -> HashSet<&'b Arc<str>> {
    let items = part.clone().zip(items);
    let taken = items.filter(|(_, item)| is_taken(item.class));
    taken
        .map(|(position, _)| bulk.manifest.target_of(position))
        .collect()
}

/// Status and type alone, as the reason names the document.
fn kind_of(item: &Item) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let text = item.text.as_deref().unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    without_reason(text).hash(&mut hasher);
    hasher.finish()
}

fn rejection(bulk: &Bulk, item: usize, class: &'static str, text: &str) -> Rejection {
    let id = bulk.id_of(item);
    Rejection::new(class, text.to_owned()).tried(Arc::clone(bulk.manifest.target_of(item)), id)
}
