//! A small topology with the sink at its end: generated records, a parser, the bolt as the program
//! ships it, and dead letters that are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::bulk_server::{BulkServer, Options, Stored};
use crate::wait;
use isobar_topology::spec::{self, Node, Spec};
use isobar_topology::testing::{FnBolt, Script};
use isobar_topology::{
    Account, Answer, ArenaBuilder, BoltType, DocumentUse, Example, Finish, Latency, MakeSpout,
    Next, Partition, PreparedBolt, PreparedSpout, Registry, Rejection, Running, SourceBatch,
    SpoutType, Verdict, Waits, Whereabouts, plan, start,
};
use serde_json::{Value, json};

/// How long a run may take: far longer than any does, also beside others on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(300);

/// A Wednesday in the past, in ms since 1970: the timestamp of the first record.
pub const FIRST_TIMESTAMP: i64 = 1_767_225_600_000;

/// A topology to run. The defaults suit most tests; the rest is changed in place.
pub struct Setup {
    /// Names the topology; dead letters are kept by it, so it is a test's own.
    pub name: &'static str,
    /// URLs of the hosts.
    pub hosts: Vec<String>,
    /// Options of the connection.
    pub connection: Value,
    /// Options of the bolt.
    pub index: Value,
    /// Partitions of the spout.
    pub partitions: usize,
    /// Records of each partition.
    pub records: i64,
    /// Records of a batch.
    pub batch: i64,
    /// Lanes of the topology.
    pub lanes: usize,
    /// Settings of the topology.
    pub settings: Value,
    /// Records that may be open.
    pub max_in_flight: usize,
    /// Makes the payload of the record with an offset.
    pub payload: Payload,
}

/// Makes a payload of an offset.
pub type Payload = fn(i64) -> String;

/// A topology at work.
pub struct Run {
    name: &'static str,
    running: Running,
    records: u64,
}

/// A dead letter.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The record's offset.
    pub offset: i64,
    /// Why it was rejected, and by whom.
    pub rejection: Rejection,
}

/// A server that keeps what it gets.
pub fn server() -> BulkServer {
    BulkServer::start(Options {
        keep_documents: true,
        ..Options::default()
    })
    .expect("a free port")
}

impl Setup {
    /// 500 records in each of two partitions, into the index `logs` of this server.
    pub fn new(name: &'static str, server: &BulkServer) -> Self {
        Self::to(name, server.url())
    }

    /// The same, into any server.
    pub fn to(name: &'static str, url: String) -> Self {
        Self {
            name,
            hosts: vec![url],
            connection: json!({"request_timeout": "5s"}),
            index: json!({"index": "logs", "body_bytes": "16KiB", "flush_interval": "20ms"}),
            partitions: 2,
            records: 500,
            batch: 50,
            lanes: 2,
            settings: json!({"retry_initial": "5ms", "retry_max": "50ms", "drain_timeout": "20s"}),
            max_in_flight: 100_000,
            payload,
        }
    }

    /// Sets options of the bolt.
    pub fn with(mut self, options: &Value) -> Self {
        merge(&mut self.index, options);
        self
    }

    /// Starts it; it reads everything once and ends when all is settled.
    pub fn start(&self) -> Run {
        let mut connection = json!({"type": "elasticsearch", "hosts": self.hosts});
        merge(&mut connection, &self.connection);
        let mut index =
            json!({"type": "elasticsearch", "connection": "search", "inputs": ["parse"]});
        merge(&mut index, &self.index);
        let mut settings = json!({"lanes": self.lanes});
        merge(&mut settings, &self.settings);
        let file = json!({
            "isobar": 1,
            "name": self.name,
            "connections": {"search": connection},
            "spouts": {"in": {
                "type": "script",
                "partitions": self.partitions,
                "records": self.records,
                "batch": self.batch,
                "max_in_flight": self.max_in_flight,
            }},
            "bolts": {"parse": {"type": "parse", "inputs": ["in"]}, "index": index},
            "dead_letter": {"type": "letters"},
            "settings": settings,
        });
        let mut payloads = PAYLOADS.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = payloads.insert(self.name.to_owned(), self.payload);
        drop(payloads);
        let mut file = Node::from_json(&file);
        put_files_in(&mut file);
        let spec = Spec::read(&file).expect("a sound file");
        let plan = plan(&spec, &registry(), self.lanes, Path::new(".")).expect("sound options");
        Run {
            name: self.name,
            running: start(plan.graph, true).expect("the script starts"),
            records: self.partitions as u64 * self.records as u64,
        }
    }

    /// Runs it to its end, in which everything is settled.
    pub fn run(&self) -> Ran {
        self.start().finish()
    }
}

/// Puts what files hold in the place of `${file:...}`, as the program does when it reads a topology file.
fn put_files_in(node: &mut Node) {
    match &mut node.value {
        spec::Value::List(items) => items.iter_mut().for_each(put_files_in),
        spec::Value::Map(entries) => entries
            .iter_mut()
            .for_each(|entry| put_files_in(&mut entry.node)),
        spec::Value::String(text) => {
            let inside = text.strip_prefix("${file:");
            if let Some(path) = inside.and_then(|rest| rest.strip_suffix('}')) {
                let file: Arc<Path> = Path::new(path).into();
                let value = spec::read_value_file(&file).expect("a readable file");
                *text = spec::without_line_break(value);
                node.file = Some(file);
                node.hidden = true;
            }
        }
        _ => {}
    }
}

fn merge(into: &mut Value, from: &Value) {
    let into = into.as_object_mut().expect("a mapping");
    for (key, value) in from.as_object().expect("a mapping") {
        let _ = into.insert(key.clone(), value.clone());
    }
}

/// What a run came to.
pub struct Ran {
    /// What became of the records.
    pub account: Account,
    /// The dead letters.
    pub letters: Vec<Letter>,
    /// How long requests took, by host.
    pub times: Vec<(Arc<str>, Latency)>,
    counters: BTreeMap<&'static str, u64>,
}

impl Run {
    /// Waits until all is settled.
    pub fn finish(self) -> Ran {
        let ran = self.end(Finish::Drained);
        assert_eq!(ran.account.in_flight, 0);
        assert_eq!(ran.account.handed_back, 0);
        ran
    }

    /// Stops it; what was read is settled first.
    pub fn stop(self) -> Ran {
        self.running.stop();
        self.finish()
    }

    /// Stops it while its sink is away: what is open is handed back.
    pub fn stop_with_open_records(self) -> Ran {
        self.running.stop();
        self.end(Finish::HandedBack)
    }

    fn end(self, expected: Finish) -> Ran {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let finished = self.running.finished();
        let finish = runtime.block_on(async { tokio::time::timeout(LIMIT, finished).await });
        let account = self.running.account(0);
        let conditions = self.running.health().conditions();
        assert_eq!(finish, Ok(expected), "{account:?}\n{conditions:#?}");
        assert_eq!(account.read, self.records.min(account.read));
        assert_eq!(account.difference(), 0, "{account:?}");
        let counters = self.running.bolt_counters(sink(&self.running));
        Ran {
            account,
            letters: letters_of(self.name),
            times: self.running.request_times(sink(&self.running)),
            counters: counters.into_iter().map(|(name, _, n)| (name, n)).collect(),
        }
    }

    /// Waits until the topology says that something is wrong, and returns what.
    pub fn condition(&self, kind: &str) -> String {
        wait::until(
            &format!("{}: the condition {kind}", self.name),
            LIMIT,
            || {
                let conditions = self.running.health().conditions();
                let found = conditions.iter().find(|c| c.kind == kind);
                let found = found.ok_or_else(|| anyhow::anyhow!("{conditions:?}"));
                found.map(|condition| condition.text.clone())
            },
        )
        .expect("it is told")
    }

    /// What is wrong now.
    pub fn conditions(&self) -> Vec<String> {
        let conditions = self.running.health().conditions();
        conditions.into_iter().map(|c| c.text).collect()
    }

    /// Stops reading until [`Run::resume`]; what is in flight is worked off.
    pub fn pause(&self) {
        let _ = self.running.pause(0);
    }

    /// Reads on.
    pub fn resume(&self) {
        let _ = self.running.resume(0);
    }

    /// What has become of the records so far.
    pub fn account(&self) -> Account {
        self.running.account(0)
    }

    /// How many records wait as the sink's system takes nothing.
    pub fn held(&self) -> u64 {
        let partitions = self.running.partitions(0).all();
        let of_partition = |partition: Arc<Partition>| {
            let account = partition.account();
            let open = account.frontier.unwrap_or(0)..account.next.unwrap_or(0);
            let is_held = |offset: &i64| {
                matches!(
                    partition.whereabouts(*offset),
                    Whereabouts::InFlight {
                        waits: Some(Waits { held: true, .. }),
                        ..
                    }
                )
            };
            open.filter(is_held).count() as u64
        };
        partitions.into_iter().map(of_partition).sum()
    }
}

impl Ran {
    /// A counter of the bolt.
    pub fn count(&self, name: &str) -> u64 {
        let known = self.counters.get(name);
        *known.unwrap_or_else(|| panic!("no counter {name}: {:?}", self.counters))
    }

    /// Every record became a document of `server`, each exactly once, under an id of its own.
    pub fn assert_exact(&self, setup: &Setup, server: &BulkServer) {
        assert_eq!(self.letters.len(), 0, "{:?}", self.letters.first());
        let total = setup.partitions as u64 * setup.records as u64;
        let account = &self.account;
        let settled = account.delivered + account.already_present;
        assert_eq!(settled, total, "{account:?}");
        assert_eq!(origins(&server.documents()), setup.origins());
    }
}

impl Setup {
    /// Partition and offset of every record.
    pub fn origins(&self) -> BTreeSet<(i64, i64)> {
        let partitions = 0..self.partitions as i64;
        let origins = partitions.flat_map(|p| (0..self.records).map(move |o| (p, o)));
        origins.collect()
    }
}

/// Partition and offset of each document, each exactly once.
pub fn origins(documents: &[Stored]) -> BTreeSet<(i64, i64)> {
    let mut found = BTreeSet::new();
    for document in documents {
        let source = source(document);
        let place = |name: &str| source["_isobar"][name].as_i64().expect("an origin");
        let origin = (place("p"), place("o"));
        assert_eq!(source["n"].as_i64(), Some(origin.1), "its own payload");
        assert!(found.insert(origin), "{origin:?} is there twice");
    }
    found
}

/// A document as JSON.
pub fn source(document: &Stored) -> Value {
    serde_json::from_slice(&document.source).expect("JSON")
}

/// The offset of a document on its way, from its origin.
pub fn offset_of(source: &[u8]) -> i64 {
    let source: Value = serde_json::from_slice(source).expect("JSON");
    source["_isobar"]["o"].as_i64().expect("an origin")
}

fn sink(running: &Running) -> usize {
    let bolts = &running.graph().bolts;
    let found = bolts.iter().position(|bolt| &*bolt.id == "index");
    found.expect("every setup has it")
}

/// What the spouts of topologies read, by the topology's name: no option of a file can hold it.
static PAYLOADS: Mutex<BTreeMap<String, Payload>> = Mutex::new(BTreeMap::new());

fn payload_of(topology: &str) -> Payload {
    let payloads = PAYLOADS.lock().unwrap_or_else(PoisonError::into_inner);
    payloads.get(topology).copied().unwrap_or(payload)
}

static LETTERS: Mutex<BTreeMap<String, Vec<Letter>>> = Mutex::new(BTreeMap::new());

fn letters_of(topology: &str) -> Vec<Letter> {
    let mut letters = LETTERS.lock().unwrap_or_else(PoisonError::into_inner);
    letters.remove(topology).unwrap_or_default()
}

fn registry() -> Registry {
    let mut registry = isobar_operators::registry();
    registry.spouts.push(SpoutType {
        name: "script",
        schema: || schemars::schema_for!(()),
        example: "",
        prepare: |component, prepare| {
            let payload = payload_of(prepare.topology);
            let options = component.config.to_json();
            let number = |name: &str| options[name].as_i64().expect("given by the setup");
            let (partitions, records, batch) =
                (number("partitions"), number("records"), number("batch"));
            let start = move |context: isobar_topology::SpoutContext| {
                let lanes = (0..partitions).map(|number| {
                    let partition = context.partitions.open("logs", number as i32, 7);
                    let assigned = Next::Assigned {
                        partition: Arc::clone(&partition),
                        start: 0,
                    };
                    let starts = (0..records).step_by(batch as usize);
                    let batches = starts.map(|start| {
                        let end = (start + batch).min(records);
                        let mut arena = ArenaBuilder::new(Arc::clone(&partition), 0, 0);
                        for offset in start..end {
                            let payload = payload(offset);
                            let timestamp = FIRST_TIMESTAMP + offset * 60_000;
                            let payload = Some(payload.as_bytes());
                            arena.push(offset, timestamp, None, payload, std::iter::empty());
                        }
                        Next::Batch(SourceBatch {
                            arena: arena.finish(),
                            dropped: Vec::new(),
                        })
                    });
                    let steps: Vec<Next> = std::iter::once(assigned).chain(batches).collect();
                    let make: MakeSpout = Box::new(move || Script::spout(steps));
                    make
                });
                Ok(lanes.collect())
            };
            Ok(PreparedSpout {
                start: Box::new(start),
                max_in_flight_records: number("max_in_flight") as usize,
                max_in_flight_bytes: 1 << 30,
                batch_bytes: 1 << 20,
                max_uncommitted: usize::MAX,
                reads: None,
                memory: 0,
                facts: Vec::new(),
            })
        },
    });
    registry.bolts.push(BoltType {
        name: "parse",
        schema: || schemars::schema_for!(()),
        example: Example::of("", &[]),
        side_effects: false,
        deterministic: true,
        prepare: |_, _| {
            Ok(PreparedBolt {
                document: DocumentUse::Makes,
                ..PreparedBolt::new(Arc::new(|_| {
                    FnBolt::any(|batch, out| {
                        batch.judge(out, |record| match record.adopt_json() {
                            Ok(()) => Verdict::Keep,
                            Err(error) => {
                                Verdict::Reject(Rejection::new("invalid_json", error.to_string()))
                            }
                        });
                        Ok(())
                    })
                }))
            })
        },
    });
    registry.bolts.push(BoltType {
        name: "letters",
        schema: || schemars::schema_for!(()),
        example: Example::of("", &[]),
        side_effects: false,
        deterministic: true,
        prepare: |_, prepare| {
            let topology = prepare.topology.to_owned();
            Ok(PreparedBolt {
                emits: false,
                document: DocumentUse::Any,
                ..PreparedBolt::new(Arc::new(move |_| {
                    let topology = topology.clone();
                    FnBolt::any(move |batch, _| {
                        let mut kept = LETTERS.lock().unwrap_or_else(PoisonError::into_inner);
                        let kept = kept.entry(topology.clone()).or_default();
                        for (row, record) in batch.records().enumerate() {
                            kept.push(Letter {
                                offset: record.offset(),
                                rejection: batch.rejection(row).expect("a reason").clone(),
                            });
                        }
                        batch.answer(Answer::Delivered);
                        Ok(())
                    })
                }))
            })
        },
    });
    registry
}

/// The payload of a record: some hundred bytes, a line end in every third.
fn payload(offset: i64) -> String {
    let space = if offset % 3 == 0 { "\n" } else { "" };
    let filler = "x".repeat(100 + (offset % 50) as usize);
    format!("{{\"n\":{offset},{space}\"text\":\"{filler}\"{space}}}")
}
