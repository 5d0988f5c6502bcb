//! The types of connections, spouts and bolts that a program knows, and what they give when a
//! topology is prepared.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;

use crate::graph::{MakeBolt, StartSpout};
use crate::outcome::Policy;
use crate::rehearsal::Part;
use crate::spec::{Component, Path, Problem, Problems, parse_config};
use crate::symbol::{Symbol, Symbols};

/// Every type that a program knows, each in the order in which it is listed to users.
#[derive(Default)]
pub struct Registry {
    /// Types of outside systems.
    pub connections: Vec<ConnectionType>,
    /// Types of spouts.
    pub spouts: Vec<SpoutType>,
    /// Types of bolts.
    pub bolts: Vec<BoltType>,
}

/// A type of outside system.
pub struct ConnectionType {
    /// Its name in `type:`.
    pub name: &'static str,
    /// The options as a JSON schema; the description is the user's documentation.
    pub schema: fn() -> Schema,
    /// Finds everything that is wrong with the options.
    pub check: fn(&Component) -> Result<(), Problems>,
}

/// A type of spout.
pub struct SpoutType {
    /// Its name in `type:`.
    pub name: &'static str,
    /// The options as a JSON schema; the description is the user's documentation.
    pub schema: fn() -> Schema,
    /// A spout of this type as it stands in a topology file.
    pub example: &'static str,
    /// Checks the options and makes ready.
    pub prepare: fn(&Component, &mut Prepare<'_>) -> Result<PreparedSpout, Problems>,
}

/// A type of bolt.
#[derive(Clone, Copy, Debug)]
pub struct BoltType {
    /// Its name in `type:`.
    pub name: &'static str,
    /// The options as a JSON schema; the description is the user's documentation.
    pub schema: fn() -> Schema,
    /// A bolt of this type, and what it is shown at work with.
    pub example: Example,
    /// Whether it changes something outside of the topology and of the index that its records end in, such as a
    /// topic, a file, or whom it sends a mail: a replay leaves it out.
    pub side_effects: bool,
    /// Whether the same record always gives the same, whenever it comes and whatever came before. Where not, a
    /// replay says so before it is run.
    pub deterministic: bool,
    /// Checks the options and makes ready.
    pub prepare: fn(&Component, &mut Prepare<'_>) -> Result<PreparedBolt, Problems>,
}

impl BoltType {
    /// What it makes of a component, with the memory of what it had made while it was prepared.
    pub(crate) fn prepared(
        &self,
        component: &Component,
        prepare: &mut Prepare<'_>,
    ) -> Result<PreparedBolt, Problems> {
        (prepare.memory_per_lane, prepare.memory_shared) = (0, 0);
        let mut bolt = (self.prepare)(component, prepare)?;
        bolt.memory_per_lane += prepare.memory_per_lane;
        bolt.memory_shared += prepare.memory_shared;
        Ok(bolt)
    }
}

/// A bolt as users are shown it: how it stands in a topology file, and what goes through it.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// The bolt as it stands under its id. One that reads `logs` gets records as a topic has them, any
    /// other what a `parse_json` made of them.
    pub yaml: &'static str,
    /// Values of records to run through it, in this order. What becomes of them is never written down:
    /// the reference of the operator runs them.
    pub records: &'static [&'static str],
    /// Files that it reads: names, relative to the topology file, and contents.
    pub files: &'static [(&'static str, &'static str)],
}

impl Example {
    /// An example that reads no file. Without records it is not shown at work.
    pub const fn of(yaml: &'static str, records: &'static [&'static str]) -> Self {
        Self {
            yaml,
            records,
            files: &[],
        }
    }

    /// With files that it reads.
    pub const fn with_files(self, files: &'static [(&'static str, &'static str)]) -> Self {
        Self { files, ..self }
    }
}

/// A spout that can be started.
pub struct PreparedSpout {
    /// Starts it.
    pub start: Box<StartSpout>,
    /// Most records in flight over all lanes.
    pub max_in_flight_records: usize,
    /// Most bytes in flight over all lanes.
    pub max_in_flight_bytes: usize,
    /// Bytes of records in one batch at most; a larger record is a batch of its own.
    pub batch_bytes: usize,
    /// Most records of one partition between frontier and last read.
    pub max_uncommitted: usize,
    /// Tells whether it reads this topic; `None` where no bolt can write what it reads.
    pub reads: Option<Box<ReadsTopic>>,
    /// Bytes that its client holds at most, over all lanes, besides what is in flight.
    pub memory: usize,
    /// What a plan tells about it: (what, value).
    pub facts: Vec<(String, String)>,
}

/// A bolt that can be made, once per lane.
pub struct PreparedBolt {
    /// Makes one copy.
    pub make: Arc<MakeBolt>,
    /// Whether it emits on `out`; sinks do not, nor do bolts that emit on declared streams only.
    pub emits: bool,
    /// Whether it may reject records, or fail on them for good. The stream `rejected` of one that cannot
    /// leads nowhere unless a bolt consumes it; what it fails on all the same is sent again for ever.
    pub rejects: bool,
    /// Outputs besides `out` and `rejected`, by [`crate::Stream::declared`].
    pub streams: Vec<String>,
    /// What it has to do with documents.
    pub document: DocumentUse,
    /// What a sink makes of dead letters.
    pub letters: LetterUse,
    /// Rows that each copy makes out of one batch in flight at most, for bolts that split records; 0 for
    /// all others.
    pub parts_per_lane: usize,
    /// How often it copies what a record has into the batch at most, for documents that it makes or fields
    /// that it sets; 0 for bolts that change none.
    pub copies: usize,
    /// Whether batches stay with it, with what bolts before it have copied, until an outside system has
    /// answered; for sinks that do not let go of that before.
    pub keeps_documents: bool,
    /// Whether it takes the year of some times from the time of reading where a record has no timestamp: read
    /// again much later, that one may get another time.
    pub dates_by_clock: bool,
    /// Fields of documents that records have in common which must come to the same copy, as groupings
    /// write them (`doc.host`): for bolts that compare records. A plan with more lanes says so where they
    /// may not. `None` for bolts that look at one record at a time.
    pub alike: Option<Vec<String>>,
    /// What it writes to, for sinks where two copies of one record would be taken for one: the same
    /// text means the same target.
    pub writes: Option<String>,
    /// The topic that it writes, where that is the same for all records.
    pub topic: Option<Topic>,
    /// What nobody else may write while it runs, such as a file.
    pub owns: Option<String>,
    /// How it takes part in a rehearsal. `None`: a sink stands back, everything else runs, so whatever
    /// reaches an outside system on the way says another.
    pub rehearsal: Option<Part>,
    /// Bytes that each copy holds at most, besides the batches in flight.
    pub memory_per_lane: usize,
    /// Bytes that all copies share, such as tables.
    pub memory_shared: usize,
    /// What a plan tells about it: (what, value).
    pub facts: Vec<(String, String)>,
}

impl PreparedBolt {
    /// A bolt that transforms documents, rejects some, and holds nothing.
    pub fn new(make: Arc<MakeBolt>) -> Self {
        Self {
            make,
            emits: true,
            rejects: true,
            streams: Vec::new(),
            document: DocumentUse::Needs,
            letters: LetterUse::None,
            parts_per_lane: 0,
            copies: 1,
            keeps_documents: false,
            dates_by_clock: false,
            alike: None,
            writes: None,
            topic: None,
            owns: None,
            rehearsal: None,
            memory_per_lane: 0,
            memory_shared: 0,
            facts: Vec::new(),
        }
    }

    /// How it takes part in a rehearsal.
    pub(crate) fn part(&self) -> Part {
        match &self.rehearsal {
            Some(part) => part.clone(),
            None if self.is_sink() => Part::StandsBack,
            None => Part::Runs,
        }
    }

    /// Whether records end here.
    pub(crate) fn is_sink(&self) -> bool {
        !self.emits && self.streams.is_empty()
    }
}

/// Tells whether a spout reads a topic.
pub type ReadsTopic = dyn Fn(&Topic) -> bool;

/// A topic that bolts write and spouts read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Addresses of its cluster; clusters that share one are the same.
    pub brokers: Vec<String>,
    /// Its name.
    pub name: String,
}

/// What a bolt has to do with documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentUse {
    /// It parses records into documents.
    Makes,
    /// It works on documents only.
    Needs,
    /// It takes records with or without.
    Any,
    /// It takes records with or without, and leaves them without: it makes another text of them, unless
    /// it has this option.
    Unmakes(&'static str),
}

/// What a sink makes of dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LetterUse {
    /// They are records like others to it.
    #[default]
    None,
    /// It writes them as such, though they have no document.
    Writes,
    /// It would, but for what is wrong with its options: refused where dead letters come to it.
    Cannot(Problem),
}

/// What operators share while a topology is prepared.
pub struct Prepare<'a> {
    /// The topology's name.
    pub topology: &'a str,
    /// How many lanes there will be.
    pub lanes: usize,
    /// Names of fields; whoever wants to read or set a field interns it here.
    pub symbols: &'a mut Symbols,
    pub(crate) policies: &'a mut Vec<String>,
    /// Those that drop records since too many come.
    pub(crate) lossy: &'a mut BTreeSet<Policy>,
    pub(crate) connections: &'a BTreeMap<&'a str, &'a Component>,
    pub(crate) directory: &'a FilePath,
    /// Of the bolt that is being prepared, besides what it says itself.
    pub(crate) memory_per_lane: usize,
    pub(crate) memory_shared: usize,
    /// By what they are and their names.
    pub(crate) shared: BTreeMap<(TypeId, String), Arc<dyn Any + Send + Sync>>,
}

impl Prepare<'_> {
    /// Prepares what belongs to no topology, such as a condition on records that somebody looks at: it has
    /// its own names of fields, and no connections.
    pub fn alone<T>(symbols: &mut Symbols, prepare: impl FnOnce(&mut Prepare<'_>) -> T) -> T {
        prepare(&mut Prepare {
            topology: "",
            lanes: 1,
            symbols,
            policies: &mut Vec::new(),
            lossy: &mut BTreeSet::new(),
            connections: &BTreeMap::new(),
            directory: FilePath::new("."),
            memory_per_lane: 0,
            memory_shared: 0,
            shared: BTreeMap::new(),
        })
    }

    /// The one of its type that all operators of the topology share that ask for this name; the first gets it as it
    /// is by default.
    pub fn shared<T: Any + Default + Send + Sync>(&mut self, name: &str) -> Arc<T> {
        let key = (TypeId::of::<T>(), name.to_owned());
        let shared = self
            .shared
            .entry(key)
            .or_insert_with(|| Arc::<T>::default());
        let shared = Arc::clone(shared).downcast();
        shared.expect("it is filed under its type")
    }

    /// Counts memory that a bolt holds by a part that it has made here and need not know, such as an
    /// expression: bytes for each lane, and bytes that all lanes share.
    pub fn has_memory(&mut self, per_lane: usize, shared: usize) {
        self.memory_per_lane += per_lane;
        self.memory_shared += shared;
    }

    /// Interns a field name; a problem at `path` when the topology mentions too many.
    pub fn symbol(&mut self, name: &str, path: &Path) -> Result<Symbol, Problem> {
        self.symbols.intern(name).ok_or_else(|| {
            Problem::new(path.clone(), "too many field names")
                .expected(format!("at most {} in one topology", Symbols::MAX))
        })
    }

    /// Names a policy by which records are dropped; its counts appear under this name.
    pub fn policy(&mut self, name: &str, path: &Path) -> Result<Policy, Problem> {
        let known = self.policies.iter().position(|policy| policy == name);
        let index = known.unwrap_or(self.policies.len());
        let policy = Policy::new(index).ok_or_else(|| {
            Problem::new(path.clone(), "too many policies that drop records")
                .expected(format!("at most {} in one topology", Policy::MAX))
        })?;
        if known.is_none() {
            self.policies.push(name.to_owned());
        }
        Ok(policy)
    }

    /// As [`Prepare::policy`], for one that drops records since too many come: which ones depends on the
    /// moment, and a plan says so.
    pub fn overload_policy(&mut self, name: &str, path: &Path) -> Result<Policy, Problem> {
        let policy = self.policy(name, path)?;
        let _ = self.lossy.insert(policy);
        Ok(policy)
    }

    /// The options of the connection that a component names in its option `connection`.
    pub fn connection<T: DeserializeOwned + JsonSchema>(
        &self,
        component: &Component,
        kind: &str,
    ) -> Result<T, Problems> {
        let path = component.path.key("connection");
        let name = component.config.get("connection");
        let place = name.map_or(component.place, |node| node.place);
        let name = name.and_then(|node| node.text()).unwrap_or_default();
        let known = || {
            let of_kind = self.connections.iter().filter(|(_, c)| c.kind == kind);
            of_kind.map(|(name, _)| *name)
        };
        match self.connections.get(name) {
            Some(connection) if connection.kind == kind => {
                parse_config(&connection.config, &connection.path)
            }
            Some(other) => Err(Problem::new(
                path,
                format!("the connection `{name}` is of type {}", other.kind),
            )
            .expected(format!("a connection of type {kind}"))
            .at(place)
            .into()),
            None => Err(Problem::new(path, format!("unknown connection `{name}`"))
                .expected(match known().collect::<Vec<_>>().as_slice() {
                    [] => format!("a connection of type {kind}; `connections` has none"),
                    names => names.join(" or "),
                })
                .near(name, known())
                .at(place)
                .into()),
        }
    }

    /// A path that a topology file names: relative ones are relative to the file.
    pub fn file(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }
}

impl Registry {
    /// The type of connection of this name.
    pub fn connection(&self, name: &str) -> Option<&ConnectionType> {
        self.connections.iter().find(|kind| kind.name == name)
    }

    /// The type of spout of this name.
    pub fn spout(&self, name: &str) -> Option<&SpoutType> {
        self.spouts.iter().find(|kind| kind.name == name)
    }

    /// The type of bolt of this name.
    pub fn bolt(&self, name: &str) -> Option<&BoltType> {
        self.bolts.iter().find(|kind| kind.name == name)
    }

    /// A name that two types of connections, of spouts or of bolts have, and which of these they are, such as
    /// `("bolts", "filter")`: only the first of them would ever be used.
    pub fn named_twice(&self) -> Option<(&'static str, &'static str)> {
        let connections = self.connections.iter().map(|kind| kind.name);
        let spouts = self.spouts.iter().map(|kind| kind.name);
        let bolts = self.bolts.iter().map(|kind| kind.name);
        let mut all = (connections.map(|name| ("connections", name)))
            .chain(spouts.map(|name| ("spouts", name)))
            .chain(bolts.map(|name| ("bolts", name)));
        let mut seen = BTreeSet::new();
        all.find(|one| !seen.insert(*one))
    }
}
