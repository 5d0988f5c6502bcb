//! `elasticsearch`: indexes documents in Elasticsearch or OpenSearch by bulk requests.

mod config;
mod draft;
mod facts;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use isobar_topology::clock::{self, Instant};
use isobar_topology::spec::{Component, Problems};
use isobar_topology::{
    Answer, AnyBolt, Batch, Bolt, BoltContext, BoltType, Emitter, Example, Failure, OperatorError,
    Part, Prepare, PreparedBolt,
};

use crate::elasticsearch::ask::Ask;
use crate::elasticsearch::body::{Body, Limits, NotAdded, Room};
use crate::elasticsearch::breaking::Breaking;
use crate::elasticsearch::busy::BusyIndices;
use crate::elasticsearch::counts::Counts;
use crate::elasticsearch::credentials::{Client, Credentials};
use crate::elasticsearch::deliver::{BodySize, Delivery};
use crate::elasticsearch::exchange::{Cluster, Exchange, Shared};
use crate::elasticsearch::existing::{self, Existing};
use crate::elasticsearch::failing::FailingIndex;
use crate::elasticsearch::gzip;
use crate::elasticsearch::held::HeldIndices;
use crate::elasticsearch::hosts::{Hosts, Standing, named};
use crate::elasticsearch::identity::identify;
use crate::elasticsearch::lines::{Index, Lines};
use crate::elasticsearch::pending::{Pending, Settled};
use crate::elasticsearch::renewal::{self, Renewal};
use crate::elasticsearch::reply;
use crate::elasticsearch::spare::{KEPT_FOR, Spare};
use crate::elasticsearch::width::Width;
use crate::embedded;

pub(crate) use config::ElasticsearchConfig;
pub use config::missing_index_policy;
use config::{Compression, Settings};

pub(super) const TYPE: BoltType = BoltType {
    name: "elasticsearch",
    schema: || schemars::schema_for!(ElasticsearchConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: elasticsearch
connection: search
inputs: [enrich]
index: \"logs-{{ event_time.format('%Y.%m.%d') }}\"
",
    &[r#"{"level":"warn","message":"slow"}"#],
);

/// Room in a body for the record that fills it, in bytes: without it the last record of most bodies
/// would have the whole body copied to twice its room.
const LAST_RECORD: usize = 64 << 10;

/// The kind of the condition while nobody tells which indices exist.
const EXISTENCE: &str = "existence";

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let settings = Arc::new(config::read(component, prepare)?);
    let hosts = Hosts::new(
        settings.connection.urls(),
        settings.connection.request_timeout.get(),
    );
    let shared = Arc::new(Shared::new(hosts));
    let held = Arc::new(HeldIndices::new(settings.patience, settings.shard_wait()));
    let failing = Arc::new(FailingIndex::default());
    let breaking = Arc::new(Breaking::new(!settings.addressing.id.holds_fields()));
    let busy = Arc::new(BusyIndices::default());
    let existing = settings
        .missing_dropped
        .map(|policy| Arc::new(Existing::new(policy)));
    let bodies = settings.requests_per_lane + 1;
    let body_max = settings.body_bytes + LAST_RECORD;
    let spare: Arc<Spare> = prepare.shared(&format!(
        "{} {body_max}",
        settings.connection.hosts.join(" ")
    ));
    spare.is_of(prepare.lanes * bodies);
    let compressed = match settings.compression {
        Compression::None => 0,
        Compression::Gzip => settings.requests_per_lane * gzip::memory(body_max),
    };
    let replies = settings.requests_per_lane * reply::memory(settings.body_records, body_max);
    let rehearsed = Arc::clone(&settings);
    Ok(PreparedBolt {
        emits: false,
        writes: settings.writes(),
        memory_shared: match settings.connection.is_embedded() {
            true => embedded::BYTES_MAX,
            false => 0,
        },
        memory_per_lane: bodies * body_max + compressed + replies,
        facts: facts::of(&settings),
        rehearsal: Some(Part::Drafts(Arc::new(move |_| draft::drafter(&rehearsed)))),
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(Elasticsearch {
                lines: Lines::new(Arc::clone(&settings.addressing)),
                body: Body::default(),
                send_at: None,
                sent_last: None,
                body_bytes: settings.body_bytes,
                delivery: None,
                settings: Arc::clone(&settings),
                shared: Arc::clone(&shared),
                held: Arc::clone(&held),
                failing: Arc::clone(&failing),
                breaking: Arc::clone(&breaking),
                busy: Arc::clone(&busy),
                existing: existing.clone(),
                spare: Arc::clone(&spare),
                ask: None,
                context,
            })
        }))
    })
}

struct Elasticsearch {
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    held: Arc<HeldIndices>,
    failing: Arc<FailingIndex>,
    breaking: Arc<Breaking>,
    busy: Arc<BusyIndices>,
    /// What exists, where no index is made.
    existing: Option<Arc<Existing>>,
    /// Room for bodies that sinks of the connection keep.
    spare: Arc<Spare>,
    /// Who is asked about that; `None` until it is opened, and where nobody is.
    ask: Option<Ask>,
    context: BoltContext,
    lines: Lines,
    /// What is not sent yet.
    body: Body,
    /// When the body goes also if it is not full; `None` while it is empty.
    send_at: Option<Instant>,
    /// When the one before went.
    sent_last: Option<Instant>,
    /// The size from which a body is full: as configured, or less where the host takes less.
    body_bytes: usize,
    /// `None` until it is opened.
    delivery: Option<Rc<Delivery>>,
}

impl Bolt for Elasticsearch {
    async fn open(&mut self) -> Result<(), OperatorError> {
        let shared = Arc::clone(&self.shared);
        let cluster = shared.cluster.get_or_try_init(|| self.connect()).await?;
        if let Some(body_max) = cluster.identity.body_max
            && body_max < self.settings.body_bytes as u64
        {
            let (bolt, body_bytes) = (&self.context.id, self.settings.body_bytes);
            tracing::warn!(%bolt, body_bytes, body_max, "The hosts take smaller bodies than body_bytes: smaller ones are sent");
            self.body_bytes = body_max as usize;
        }
        let client = cluster.renewal.client(self.settings.requests_per_lane);
        self.delivery = Some(Rc::new(self.delivery(client)));
        if self.existing.is_some() {
            let connection = &self.settings.connection;
            let within = connection.request_timeout.get().min(existing::WITHIN);
            self.ask =
                Some(Ask::of_several(connection, within, existing::AT_ONE_TIME)?.within(within));
        }
        Ok(())
    }

    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let delivery = Rc::clone(self.delivery.as_ref().expect("opened before"));
        // Waits while all requests are under way. Only bodies of earlier calls are waited for: those
        // of this call begin when it has returned.
        if delivery.width.is_full() {
            drop(delivery.width.enter().await);
            // Requests are what is scarce: this one is filled for as long as if one had begun now.
            self.sent_last = Some(clock::now());
        }
        let standing = self.shared.hosts.standing();
        if standing == Standing::Away {
            batch.answer(Answer::Failed(Failure::Held));
            return Ok(());
        }
        if self.body.is_without_room() {
            self.body = self.body_of(self.spare.take());
        }
        let pending = Pending::new();
        let rows = batch.len();
        self.lines.begin(&batch);
        let held = self.held.any().then(|| Arc::clone(&self.held));
        let existing = self.existing.clone();
        let limits = Limits {
            held: held.as_deref(),
            existing: existing.as_deref(),
        };
        let mut unasked = Vec::new();
        for row in 0..rows {
            let (place, record) = ((row as u32, rows), batch.record(row));
            let lines = &mut self.lines;
            match self.body.add(lines, record, &pending, place, limits) {
                Ok(()) => self.send_if_full(&delivery, out),
                Err(NotAdded::Settled(settled)) => pending.settle(place.0, rows, settled),
                Err(NotAdded::Unasked(index)) => unasked.push((row, index)),
            }
        }
        if !unasked.is_empty() {
            self.learn(unasked.iter().map(|(_, index)| index)).await;
            for (row, _) in unasked {
                let (place, record) = ((row as u32, rows), batch.record(row));
                let lines = &mut self.lines;
                match self.body.add(lines, record, &pending, place, limits) {
                    Ok(()) => self.send_if_full(&delivery, out),
                    Err(NotAdded::Settled(settled)) => pending.settle(place.0, rows, settled),
                    // Nobody told, or the answer is too old already: once more.
                    Err(NotAdded::Unasked(_)) => pending.settle(place.0, rows, Settled::Failed),
                }
            }
        }
        self.decide_when_to_send();
        pending.written(batch, out);
        // All that is held waits for what becomes of this.
        if standing == Standing::ToBeTried {
            let _ = self.send_what_there_is(&delivery, out);
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        match self.send_at {
            Some(at) => Some(at),
            None if self.body.is_without_room() => self.spare.until(),
            None => Some(self.delivery.as_ref()?.busy_until.get()),
        }
    }

    async fn flush(&mut self, out: &mut Emitter) -> Result<(), OperatorError> {
        let Some(delivery) = self.delivery.clone() else {
            return Ok(());
        };
        self.spare.let_go();
        let is_sent = self.send_what_there_is(&delivery, out);
        if !is_sent && delivery.busy_until.get() <= clock::now() {
            self.body = Body::default();
        }
        Ok(())
    }
}

impl Elasticsearch {
    /// Asks which of these indices exist. No record is lost by what is not told.
    async fn learn<'i>(&self, indices: impl Iterator<Item = &'i Arc<str>>) {
        let (Some(existing), Some(ask)) = (&self.existing, &self.ask) else {
            return;
        };
        let indices: BTreeSet<Arc<str>> = indices.cloned().collect();
        let (bolt, health) = (&self.context.id, self.context.health.of_records());
        match existing.learn(ask, indices).await {
            Ok(()) => health.clear(bolt, EXISTENCE),
            Err(error) => health.set(bolt, EXISTENCE, error.to_string()),
        }
    }

    /// Sends the body when the last record filled it. A record that does not fit any more begins the
    /// next one, so a body is larger than it should be only when one record alone is.
    #[inline]
    fn send_if_full(&mut self, delivery: &Rc<Delivery>, out: &mut Emitter) {
        let size = delivery.body_size.get();
        if self.body.size() < size && self.body.len() < self.settings.body_records {
            return;
        }
        let is_over = self.body.size() > size && self.body.len() > 1;
        let mut next = self.body_of(self.spare.take_after_full());
        if is_over {
            self.body.split_last(&mut next);
        }
        delivery.exchange.counts.bodies_full.add(1);
        delivery.busy_until.set(clock::now() + KEPT_FOR);
        self.send(delivery, next, out);
    }

    /// Sends the body as full as it is; says whether anything was in it.
    fn send_what_there_is(&mut self, delivery: &Rc<Delivery>, out: &mut Emitter) -> bool {
        if self.body.is_empty() {
            return false;
        }
        delivery.exchange.counts.bodies_flushed.add(1);
        self.send(delivery, Body::default(), out);
        true
    }

    /// A body that is not full goes when the last one left long enough ago, whichever of its records came when: none of
    /// them waits longer, and there are no more such requests than that. Where records are few, none waits.
    fn decide_when_to_send(&mut self) {
        if self.send_at.is_none() && !self.body.is_empty() {
            let due = self.sent_last.map(|at| at + self.settings.flush_interval);
            let now = clock::now();
            self.send_at = Some(due.map_or(now, |due| due.max(now)));
        }
    }

    /// Lets the body go on its way and puts `next` in its place.
    fn send(&mut self, delivery: &Rc<Delivery>, next: Body, out: &mut Emitter) {
        let body = std::mem::replace(&mut self.body, next);
        self.sent_last = Some(clock::now());
        self.send_at = None;
        self.decide_when_to_send();
        delivery.exchange.counts.body_bytes.add(body.size() as u64);
        out.detach(Rc::clone(delivery).deliver(body.seal(), out.later()));
    }

    /// An empty body in this room, or in one that is made.
    fn body_of(&self, room: Option<Room>) -> Body {
        let made = || Body::with_capacity(self.body_bytes + LAST_RECORD);
        room.map_or_else(made, Body::from)
    }

    /// Asks the hosts, one after the other, until one says that it is what it should be.
    async fn connect(&self) -> Result<Cluster, OperatorError> {
        let credentials = Credentials::load(&self.settings.connection)?;
        let client = credentials.client(1).now();
        let mut causes = Vec::new();
        let timeout = self.settings.connection.request_timeout.get();
        for url in self.shared.hosts.urls() {
            match identify(&client.http, url, timeout).await {
                Ok(identity) => {
                    let bolt = &self.context.id;
                    tracing::info!(%bolt, host = named(url), %identity, "Connected");
                    let renewal = Renewal::start(credentials, &self.context, renewal::INTERVAL);
                    return Ok(Cluster { renewal, identity });
                }
                Err(cause) => causes.push(format!("{}: {cause}", named(url))),
            }
        }
        Err(OperatorError::external(causes.join("; ")))
    }

    fn delivery(&self, client: Client) -> Delivery {
        let settings = &self.settings;
        let request_timeout = settings.connection.request_timeout.get();
        let counts = Counts::new(&self.context.counters);
        let width = Width::new(
            settings.requests_per_lane,
            request_timeout,
            counts.slots_withdrawn.clone(),
            counts.slots_restored.clone(),
        );
        let hosts = self.shared.hosts.urls();
        let times = hosts
            .iter()
            .map(|url| self.context.request_times.of(named(url)));
        Delivery {
            exchange: Exchange {
                shared: Arc::clone(&self.shared),
                client,
                urls: hosts.iter().map(|url| settings.bulk_url(url)).collect(),
                operation: settings.addressing.operation.name(),
                compresses: settings.compression == Compression::Gzip,
                request_timeout,
                component: Arc::clone(&self.context.id),
                health: self.context.health.of_records(),
                recoveries: self.context.recoveries.clone(),
                counts,
                times: times.collect(),
            },
            body_size: BodySize::new(self.body_bytes),
            held: Arc::clone(&self.held),
            failing: Arc::clone(&self.failing),
            breaking: Arc::clone(&self.breaking),
            busy: Arc::clone(&self.busy),
            width,
            spare: Arc::clone(&self.spare),
            busy_until: Cell::new(clock::now()),
            spare_size: self.body_bytes + LAST_RECORD,
            names_follow_records: matches!(settings.addressing.index, Index::Template(_)),
            order_matters: settings.addressing.id.holds_fields(),
            trials: Cell::new(0),
        }
    }
}

#[cfg(test)]
mod tests;
