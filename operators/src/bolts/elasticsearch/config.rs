//! The options of the `elasticsearch` bolt, and what they come to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use isobar_topology::spec::units::{ByteSize, Duration};
use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{Policy, Prepare, Symbol};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::elasticsearch::connection::ElasticsearchConnection;
use crate::elasticsearch::index_name;
use crate::elasticsearch::lines::{Addressing, Bounds, Id, Index, Operation};
use crate::elasticsearch::reply::FILTER_PATH;
use crate::field_name;
use crate::template::Template;

/// The cluster waits no longer than this for a shard that is away: a new primary is chosen at once where there is a
/// copy of it, and without one each request would wait in vain.
const SHARD_WAIT_MAX: StdDuration = StdDuration::from_secs(10);
/// And at least, where `request_timeout` is short: a master takes its time for a new field or index.
const SHARD_WAIT_MIN: StdDuration = StdDuration::from_secs(1);

/// Indexes documents in Elasticsearch or OpenSearch.
///
/// Documents are sent in bulk requests, several at a time, and a record is done when the cluster has
/// said so for its document. By default a document's id follows from where its record comes from
/// (timestamp, topic, partition, offset) and it is only ever created, so a record that is sent again
/// after a crash or a lost reply is found to be there already and is not stored twice.
///
/// What an outage, a full queue or a full disk keeps away is sent again until it gets through. What an
/// index refuses to take at all, as it is closed, blocked or missing, or we are not permitted, waits
/// the same way, and `/readyz` names the index, why it refuses, and what can be done; `on_held` says for
/// how long. One document is sent now and then to find out whether the index takes them again, and while
/// no host answers one request at a time; what waits follows at once when it is taken. Every answer and
/// what becomes of the record is in `deploy/OUTCOMES.md`. Documents that do not fit the index are rejected
/// with one of these classes:
///
/// | class | what is wrong |
/// |---|---|
/// | `mapping` | the document does not fit the index's mapping, or is none |
/// | `field_limit` | the index would get more fields than it may have |
/// | `failure_store` | its data stream put it into the failure store instead |
/// | `missing_field` | `index`, `id` or `routing` need a field that the document lacks |
/// | `index_name`, `document_id`, `routing` | what they give is no such thing |
/// | `event_time` | the time of the event is out of `event_time_bounds` |
/// | `held` | the index, or the document's shard of it, took no documents, or none like this one, for longer than `on_held` says |
/// | `too_large` | the document alone is larger than any host takes, or is refused at greater length than is read, or the connection breaks on it each time |
/// | `refused` | the cluster refused it for another reason |
/// | `no_document` | no parser made a document of the record |
///
/// Metrics: `items_*` by what became of documents, `requests` and `requests_*` by what went wrong with
/// them, `request_bytes` before compression and `sent_bytes` after it, `bodies_full` and
/// `bodies_flushed`, and `slots_withdrawn` and `slots_restored`, whose difference is how many requests
/// fewer than allowed are made at one time since the cluster is busy; `credentials_reloads` and
/// `credentials_reloads_refused`, how often changed files of the connection were taken over or not; and
/// `isobar_bolt_request_seconds`, how long requests take, by host.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElasticsearchConfig {
    /// The connection, by its name under `connections`.
    pub(crate) connection: String,
    /// The index: a name, or a template such as `logs-{{ event_time.format('%Y.%m.%d') }}`. Either this
    /// or `data_stream`.
    index: Option<String>,
    /// The data stream: a name or a template. Documents without `@timestamp`, which a data stream
    /// needs, get the time of the event there.
    pub(crate) data_stream: Option<String>,
    /// `create` stores a document unless one of its id is there; `index` replaces that one.
    /// Default `create`.
    #[serde(default)]
    op: Op,
    /// The document id. `deterministic`: from the record's timestamp, source, partition and offset,
    /// and the number of a part of a split record. `auto`: the cluster makes one, which indexes a little faster, and a record that is sent again is
    /// stored again. Or a template such as `{{ doc.order }}`, at most 512 bytes: what has the same id
    /// is the same document.
    #[serde(default = "deterministic")]
    id: String,
    /// What decides about the shard instead of the id: a template.
    routing: Option<String>,
    /// An ingest pipeline of the cluster that documents go through.
    pub(crate) pipeline: Option<String>,
    /// The field that tells where the record comes from: `{field: NAME}`, or `off`. It holds `s`, the
    /// source as it stands in the id, `t` topic, `p` partition, `o` offset, `ts` the record's timestamp
    /// in ms if it has one, and `n` the number of a part of a split record, from 0; for a part of a part
    /// an array of both numbers. Without it, replay cannot verify what is in the index. Default: the field `_isobar`.
    #[serde(default)]
    origin: Origin,
    /// Times of events that are taken: `{past: 365d, future: 1d}` before and after the record was read, or `off`.
    /// Others are rejected, as each would make an index of its own. How long a record waits for the cluster does
    /// not count; how long it waited in Kafka does, so `past` is to be longer than all that may be read late: an
    /// outage of this program, or the retention of the topic. By default these bounds, where the
    /// name of the index or data stream follows from `event_time`, else `off`. Replays and redrives have
    /// them around the `record`, so that what was taken once is taken again; `future` is counted from now.
    event_time_bounds: Option<TimeBounds>,
    /// What becomes of records of an index that takes none: `{after: 10m, then: dead_letter}` rejects
    /// them from so long after its first refusal on. By default they wait as long as it takes; with
    /// as many of them waiting as `max_in_flight_records` or `max_in_flight_bytes` of a spout say, all that it reads
    /// waits, and `max_uncommitted` records behind one of them its lane does.
    /// Where it takes others of the same request, as when only a shard of it is full or away, that is so of the documents
    /// that it refuses, from its first refusal on; no others wait.
    /// An outage of the hosts rejects nothing either way.
    /// Of more than 10,000 such indices at one time the others' records wait.
    on_held: Option<OnHeld>,
    /// What becomes of documents for an index, an alias or a data stream that does not exist. `create`: they
    /// are sent, and the cluster makes it, unless it is told not to. `drop`: they are dropped under the policy
    /// `<bolt id>.missing_index`, so that nothing comes back that was deleted; each name is asked for, again
    /// after 10 s, or after 1 s where there is nothing of it, for which the user needs the privilege `view_index_metadata`. Replays do so. Default `create`.
    #[serde(default)]
    missing_index: MissingIndex,
    /// Size of a request's body at most, from 1KiB to 1GiB; one document that is larger goes alone.
    /// Where the host says that it takes less, less is sent.
    #[serde(default = "body_bytes")]
    pub(crate) body_bytes: ByteSize,
    /// Documents in a request at most, from 1 to 100000.
    #[serde(default = "body_records")]
    #[schemars(range(min = 1, max = 100_000))]
    body_records: usize,
    /// How bodies go over the network: `none`, or `gzip`, which makes them a sixth as long, on
    /// threads beside the lanes, for a few ms of CPU per MiB. Worth it where the network is what is short, as
    /// between regions. Sizes, such as `body_bytes` and what hosts take, are those before compression.
    /// Default `none`.
    #[serde(default)]
    compression: Compression,
    /// Requests under way at most in each lane, from 1 to 64. While all are, records wait. When the cluster
    /// refuses as its queues or memory are full, or takes longer than a quarter of `request_timeout`,
    /// half as many are, and then one more after each round that went well.
    #[serde(default = "requests_per_lane")]
    #[schemars(range(min = 1, max = 64))]
    requests_per_lane: usize,
    /// How long a document waits at most for its request to fill. In each lane a request that is not full is sent so
    /// long after the one before; if that was longer ago, at once. Documents are not found by searches before the index
    /// refreshes, every second or less often, so a shorter time brings little.
    #[serde(default = "flush_interval")]
    flush_interval: Duration,
}

/// What becomes of records of an index that takes none.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnHeld {
    /// How long they wait, counted from the first refusal.
    after: Duration,
    /// What becomes of them then.
    then: Then,
}

/// What becomes of records that have waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// They go on waiting.
    Wait,
    /// They are rejected.
    DeadLetter,
}

/// What becomes of documents for what does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingIndex {
    /// They are sent.
    #[default]
    Create,
    /// They are dropped.
    Drop,
}

/// How bodies go over the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// Compressed with gzip.
    Gzip,
}

/// What is asked for each document.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Stores a document unless one of its id is there.
    #[default]
    Create,
    /// Stores a document, replacing one of its id.
    Index,
}

/// The field that tells where the record comes from.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// None.
    Off,
    /// The top-level field of this name.
    Field(String),
}

impl Default for Origin {
    fn default() -> Self {
        Self::Field("_isobar".to_owned())
    }
}

/// Times of events that are taken.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TimeBounds {
    /// All.
    Off(Off),
    /// Those of a time around when the record was read.
    Around(Around),
}

/// All times.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Off {
    /// No bounds.
    Off,
}

/// Times around when the record was read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Around {
    /// How long before at most.
    #[serde(default = "past")]
    past: Duration,
    /// How long after at most.
    #[serde(default = "future")]
    future: Duration,
    /// What the past is counted from: when a record was `read`, or, with `record`, when it was written, by its Kafka
    /// timestamp: for topologies that read what is long past. One without a timestamp counts as written when it was
    /// read. Default: `read`.
    #[serde(default)]
    around: Present,
}

/// What the past is counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Present {
    /// When the record was read.
    #[default]
    Read,
    /// When the record was written.
    Record,
}

impl Around {
    /// The same, with the past counted from when a record was written; as the option has it.
    pub(crate) fn of_records(&self) -> serde_json::Value {
        serde_json::json!({
            "past": self.past.to_string(), "future": self.future.to_string(), "around": "record",
        })
    }
}

impl fmt::Display for Around {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { past, future, .. } = self;
        match self.around {
            Present::Read => write!(f, "from {past} ago to {future} ahead"),
            Present::Record => write!(f, "from {past} before the record to {future} ahead"),
        }
    }
}

/// What the options come to.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) connection: ElasticsearchConnection,
    pub(super) addressing: Arc<Addressing>,
    /// The index or data stream as it is written.
    pub(super) target: String,
    pub(super) is_data_stream: bool,
    /// The id as it is written.
    pub(super) id: String,
    pub(super) origin: Option<String>,
    pub(super) bounds: Option<Around>,
    pub(super) pipeline: Option<String>,
    /// How long records of a held index wait; `None` for ever.
    pub(super) patience: Option<StdDuration>,
    /// By which documents are dropped whose index does not exist; `None` where it is made.
    pub(super) missing_dropped: Option<Policy>,
    pub(super) body_bytes: usize,
    pub(super) body_records: usize,
    pub(super) compression: Compression,
    pub(super) requests_per_lane: usize,
    pub(super) flush_interval: StdDuration,
}

impl Settings {
    /// Where the bulk requests to a host go.
    pub(super) fn bulk_url(&self, host: &Url) -> Url {
        let mut url = host.join("_bulk").expect("a relative path of letters");
        url.set_query(Some(FILTER_PATH));
        let timeout = format!("{}ms", self.shard_wait().as_millis());
        let _ = url.query_pairs_mut().append_pair("timeout", &timeout);
        if let Some(pipeline) = &self.pipeline {
            let _ = url.query_pairs_mut().append_pair("pipeline", pipeline);
        }
        url
    }

    /// How long the cluster waits for a shard that is away before it says so of its documents. Less than a quarter of
    /// `request_timeout`, from which on an answer counts as late, unless that is short: the others of the request wait
    /// for it. The master has as long to take new fields, or to make an index.
    pub(super) fn shard_wait(&self) -> StdDuration {
        let whole = self.connection.request_timeout.get();
        (whole / 6)
            .clamp(SHARD_WAIT_MIN, SHARD_WAIT_MAX)
            .min(whole / 2)
    }

    /// Names the target where two copies of a record would become one document.
    pub(super) fn writes(&self) -> Option<String> {
        if matches!(self.addressing.id, Id::Auto) {
            return None;
        }
        let mut hosts = self.connection.hosts.clone();
        hosts.sort();
        Some(format!("`{}` at {}", self.target, hosts.join(", ")))
    }
}

/// The policy by which a bolt drops documents whose index does not exist.
pub fn missing_index_policy(bolt: &str) -> String {
    format!("{bolt}.missing_index")
}

/// Reads the options and finds everything that is wrong with them.
pub(super) fn read(component: &Component, prepare: &mut Prepare<'_>) -> Result<Settings, Problems> {
    let config: ElasticsearchConfig = parse_config(&component.config, &component.path)?;
    let mut problems = Problems::default();
    let connection = problems.take(prepare.connection(component, "elasticsearch"));
    config.check_bounds(component, &mut problems);
    let target = config.target(component, &mut problems);
    let index = target.and_then(|(option, text)| {
        problems.take(index(option, text, component, prepare).map_err(Problems::from))
    });
    let id = problems.take(config.id(component, prepare).map_err(Problems::from));
    let routing = config.routing.as_deref().map(|text| {
        Template::compile(text, &component.path.key("routing"), prepare).map_err(Problems::from)
    });
    let routing = routing.map(|routing| problems.take(routing));
    let origin = problems.take(config.origin(component, prepare).map_err(Problems::from));
    let missing_dropped = match config.missing_index {
        MissingIndex::Create => Some(None),
        MissingIndex::Drop => {
            let path = component.path.key("missing_index");
            let name = missing_index_policy(&component.id);
            problems.take(
                prepare
                    .policy(&name, &path)
                    .map(Some)
                    .map_err(Problems::from),
            )
        }
    };
    let is_data_stream = config.data_stream.is_some();
    let timestamp = match is_data_stream {
        true => {
            let path = component.path.key("data_stream");
            problems.take(
                prepare
                    .symbol("@timestamp", &path)
                    .map(Some)
                    .map_err(Problems::from),
            )
        }
        false => Some(None),
    };
    let (
        Some(connection),
        Some((_, target)),
        Some(index),
        Some(id),
        Some(origin),
        Some(timestamp),
        Some(missing_dropped),
    ) = (
        connection,
        target,
        index,
        id,
        origin,
        timestamp,
        missing_dropped,
    )
    else {
        return Err(problems);
    };
    let connection: ElasticsearchConnection = connection;
    let bounds = config.time_bounds();
    let ms = |duration: Duration| i64::try_from(duration.get().as_millis()).unwrap_or(i64::MAX);
    let addressing = Addressing {
        operation: config.operation(),
        index,
        id,
        routing: routing.flatten(),
        bounds: bounds.as_ref().map(|around| Bounds {
            past: ms(around.past),
            future: ms(around.future),
            of_record: around.around == Present::Record,
        }),
        origin,
        timestamp,
    };
    let settings = Settings {
        target: target.to_owned(),
        is_data_stream,
        id: config.id.clone(),
        origin: origin.map(|symbol| prepare.symbols.name(symbol).to_owned()),
        addressing: Arc::new(addressing),
        connection: connection.beside(|path| prepare.file(&path.to_string_lossy())),
        bounds,
        pipeline: config.pipeline.clone(),
        patience: config.on_held.and_then(|on_held| match on_held.then {
            Then::Wait => None,
            Then::DeadLetter => Some(on_held.after.get()),
        }),
        missing_dropped,
        body_bytes: config.body_bytes.get(),
        body_records: config.body_records,
        compression: config.compression,
        requests_per_lane: config.requests_per_lane,
        flush_interval: config.flush_interval.get(),
    };
    problems.or(settings)
}

impl ElasticsearchConfig {
    /// The index or data stream as it is written.
    pub(crate) fn written_target(&self) -> &str {
        let target = self.index.as_ref().or(self.data_stream.as_ref());
        target.map_or("", String::as_str)
    }

    /// The field of the origin; `None` where documents carry none.
    pub(crate) fn origin_field(&self) -> Option<&str> {
        match &self.origin {
            Origin::Off => None,
            Origin::Field(name) => Some(name),
        }
    }

    /// What is asked for each document.
    pub(crate) fn operation(&self) -> Operation {
        match self.op {
            Op::Create => Operation::Create,
            Op::Index => Operation::Index,
        }
    }

    /// Times of events that are taken; `None` where all are.
    pub(crate) fn time_bounds(&self) -> Option<Around> {
        match &self.event_time_bounds {
            Some(TimeBounds::Off(Off::Off)) => None,
            Some(TimeBounds::Around(around)) => Some(around.clone()),
            None => {
                let target = self.written_target();
                let follows = target.contains("{{") && target.contains("event_time");
                follows.then(|| Around {
                    past: past(),
                    future: future(),
                    around: Present::Read,
                })
            }
        }
    }

    /// Whether it is asked which indices exist.
    pub(crate) fn asks_existence(&self) -> bool {
        self.missing_index == MissingIndex::Drop
    }

    fn check_bounds(&self, component: &Component, problems: &mut Problems) {
        let mut complain = |option: &str, message: String, expected: &str| {
            let path = component.path.key(option);
            problems.push(Problem::new(path, message).expected(expected));
        };
        let (least, most) = (ByteSize::bytes(1 << 10), ByteSize::mib(1 << 10));
        if self.body_bytes < least || self.body_bytes > most {
            let found = format!("{} is out of range", self.body_bytes);
            complain("body_bytes", found, "from 1KiB to 1GiB");
        }
        if !(1..=100_000).contains(&self.body_records) {
            let found = format!("{} is out of range", self.body_records);
            complain("body_records", found, "from 1 to 100000");
        }
        if !(1..=64).contains(&self.requests_per_lane) {
            let found = format!("{} is out of range", self.requests_per_lane);
            complain("requests_per_lane", found, "from 1 to 64");
        }
        if self.flush_interval < Duration::millis(1) {
            let found = format!("{} is too short", self.flush_interval);
            complain("flush_interval", found, "at least 1ms");
        }
        if self
            .pipeline
            .as_ref()
            .is_some_and(|name| name.trim().is_empty())
        {
            complain(
                "pipeline",
                "the name is empty".to_owned(),
                "the name of an ingest pipeline",
            );
        }
        if matches!(self.op, Op::Index) && self.data_stream.is_some() {
            let found = "a data stream takes no replacements".to_owned();
            complain("op", found, "create, which is the default");
        }
        if matches!(self.op, Op::Index) && self.id == "auto" {
            let found = "a document whose id the cluster makes replaces none".to_owned();
            complain("op", found, "create, which is the default, or another `id`");
        }
    }

    /// The option that names the target, and what it says.
    fn target(&self, component: &Component, problems: &mut Problems) -> Option<(&str, &str)> {
        let (path, message) = match (&self.index, &self.data_stream) {
            (Some(index), None) => return Some(("index", index)),
            (None, Some(stream)) => return Some(("data_stream", stream)),
            (None, None) => (
                component.path.clone(),
                "neither `index` nor `data_stream` is given",
            ),
            (Some(_), Some(_)) => (
                component.path.key("data_stream"),
                "`index` and `data_stream` are both given",
            ),
        };
        problems.push(Problem::new(path, message).expected("one of them, such as index: logs"));
        None
    }

    fn id(&self, component: &Component, prepare: &mut Prepare<'_>) -> Result<Id, Problem> {
        let path = component.path.key("id");
        match self.id.as_str() {
            "deterministic" => return Ok(Id::Deterministic),
            "auto" => return Ok(Id::Auto),
            _ => {}
        }
        let template = Template::compile(&self.id, &path, prepare)?;
        match template.constant() {
            None => Ok(Id::Template(template)),
            Some(_) => Err(Problem::new(path, "every document would have the same id")
                .expected("deterministic, auto, or a template such as {{ doc.order }}")
                .near(&self.id, ["deterministic", "auto"])),
        }
    }

    fn origin(
        &self,
        component: &Component,
        prepare: &mut Prepare<'_>,
    ) -> Result<Option<Symbol>, Problem> {
        /// Names that documents cannot use, as both products keep them for themselves.
        const KEPT: [&str; 15] = [
            "_data_stream_timestamp",
            "_doc_count",
            "_feature",
            "_field_names",
            "_id",
            "_ignored",
            "_index",
            "_nested_path",
            "_primary_term",
            "_routing",
            "_seq_no",
            "_source",
            "_tier",
            "_type",
            "_version",
        ];
        let Origin::Field(written) = &self.origin else {
            return Ok(None);
        };
        let path = component.path.key("origin").key("field");
        let name = field_name::top_level(written, &path)?;
        if name.is_empty() || name == "@timestamp" || KEPT.contains(&name) {
            return Err(
                Problem::new(path, format!("the field cannot be named `{name}`"))
                    .expected("a name that nothing else uses, such as _isobar"),
            );
        }
        prepare.symbol(name, &path).map(Some)
    }
}

fn index(
    option: &str,
    text: &str,
    component: &Component,
    prepare: &mut Prepare<'_>,
) -> Result<Index, Problem> {
    let path = component.path.key(option);
    let template = Template::compile(text, &path, prepare)?;
    let constant = template.constant();
    let pattern = template.fixed().find_map(index_name::pattern_of_others);
    if let Some(pattern) = pattern {
        let problem = format!("`{pattern}` stands for itself here");
        return Err(Problem::new(path, problem)
            .expected("an expression, such as logs-{{ event_time.format('%Y.%m.%d') }}"));
    }
    let problem = match constant {
        Some(name) => index_name::problem(name),
        None => index_name::problem_of_parts(template.fixed()),
    };
    match (problem, constant) {
        (None, Some(name)) => Ok(Index::Constant(name.into())),
        (None, None) => Ok(Index::Template(template)),
        (Some(problem), _) => Err(Problem::new(path, format!("the name {problem}"))
            .expected("a name as Elasticsearch allows them, such as logs-app")),
    }
}

fn deterministic() -> String {
    "deterministic".to_owned()
}

fn past() -> Duration {
    Duration::secs(365 * 86_400)
}

fn future() -> Duration {
    Duration::secs(86_400)
}

fn body_bytes() -> ByteSize {
    ByteSize::mib(4)
}

fn body_records() -> usize {
    10_000
}

fn requests_per_lane() -> usize {
    3
}

fn flush_interval() -> Duration {
    Duration::secs(1)
}
