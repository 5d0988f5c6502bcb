//! A program with a system of its own: a type of connection, `directory`, and a spout that reads it, `lines`.
//!
//! ```sh
//! mkdir -p target/spool; echo '{"order": 1}' >> target/spool/orders.ndjson
//! cargo run -p isobar --example custom_spout -- operators lines
//! cargo run -p isobar --example custom_spout -- run deploy/examples/custom_spout.yaml --exit-when-caught-up
//! ```
//!
//! Once more, the last command reads what has been added since.

#[cfg(test)]
#[path = "../tests/program/commands.rs"]
mod commands;
#[cfg(test)]
#[path = "tests/shown.rs"]
mod shown;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnySpout, ArenaBuilder, ConnectionType, MakeSpout, Next, OperatorError, Partition, Prepare,
    PreparedSpout, Registry, SourceBatch, Spout, SpoutContext, SpoutType,
};
use schemars::JsonSchema;
use serde::Deserialize;

fn main() -> ExitCode {
    isobar::main_with(registry())
}

/// The operators of Isobar, and a system more. A program in which two have one name does not start.
fn registry() -> Registry {
    let mut registry = isobar_operators::registry();
    registry.connections.push(DIRECTORY);
    registry.spouts.push(LINES);
    registry
}

const DIRECTORY: ConnectionType = ConnectionType {
    name: "directory",
    schema: || schemars::schema_for!(DirectoryConnection),
    check: |component| {
        let read = parse_config::<DirectoryConnection>(&component.config, &component.path);
        read.map(drop)
    },
};

/// A directory of files with a record in each line, named once and used by spouts. It stands for a system of your
/// own; there would be an address here, and who one is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DirectoryConnection {
    /// The directory; a relative path starts at the directory of the topology file.
    path: String,
}

const LINES: SpoutType = SpoutType {
    name: "lines",
    schema: || schemars::schema_for!(LinesConfig),
    example: "type: lines\nconnection: spool\nfile: orders.ndjson\n",
    prepare,
};

/// Reads a file line by line, those that are added to it too.
///
/// How many lines are settled is noted beside the file, in `FILE.TOPOLOGY.SPOUT.settled`, so that the next run goes on
/// there. After a crash some lines are read again, as many as were read since.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LinesConfig {
    /// The directory: a connection of type `directory`.
    connection: String,
    /// The name of the file. A line is read when its end is there, and has at most 1 MiB.
    file: String,
}

/// Lines in one batch at most.
const BATCH: usize = 1_000;
/// Longest line, in bytes; also about as many are in one batch at most.
const BYTES_MAX: usize = 1 << 20;
/// How often a file that was read to its end is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Called when a topology file is checked: says what is wrong, touches no file.
fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedSpout, Problems> {
    let config: LinesConfig = parse_config(&component.config, &component.path)?;
    let connection = prepare.connection::<DirectoryConnection>(component, "directory");
    let mut problems = Problems::default();
    let directory = problems.take(connection);
    if config.file.contains('/') {
        let problem = Problem::new(component.path.key("file"), "this is a path");
        problems.push(problem.expected("the name of a file in the directory of the connection"));
    }
    problems.or(())?;
    let directory = directory.expect("no problem means that there is one");
    let from = Source {
        // Ids of documents follow from it, so it must be the same wherever the program is started.
        source: hash(&format!("{}/{}", directory.path, config.file)),
        file: prepare.file(&directory.path).join(&config.file),
        name: config.file.clone(),
    };
    Ok(PreparedSpout {
        start: Box::new(move |context| Ok(vec![start(&from, context)])),
        max_in_flight_records: 10 * BATCH,
        max_in_flight_bytes: 16 * BYTES_MAX,
        batch_bytes: 2 * BYTES_MAX,
        max_uncommitted: 100 * BATCH,
        reads: None,
        memory: BYTES_MAX,
        facts: vec![(
            "file".to_owned(),
            format!("{} of {}", config.file, config.connection),
        )],
    })
}

/// What is read.
struct Source {
    source: u64,
    file: PathBuf,
    name: String,
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// Called when the topology starts. One file is one partition, which one lane reads.
fn start(from: &Source, context: SpoutContext) -> MakeSpout {
    let note = format!("{}.{}.{}.settled", from.name, context.topology, context.id);
    let lines = Lines {
        partition: context.partitions.open(&from.name, 0, from.source),
        file: from.file.clone(),
        note: from.file.with_file_name(note),
        bounded: context.bounded,
        is_assigned: false,
        reader: None,
        line: Vec::new(),
        next: 0,
        noted: 0,
    };
    Box::new(move || AnySpout::new(lines))
}

/// The file on its lane.
struct Lines {
    partition: Arc<Partition>,
    file: PathBuf,
    note: PathBuf,
    /// Ends at the end of the file instead of waiting for more.
    bounded: bool,
    is_assigned: bool,
    reader: Option<BufReader<File>>,
    /// As much of the next line as there is.
    line: Vec<u8>,
    /// The number of the next line, which is its offset.
    next: i64,
    /// The offset that was noted last.
    noted: i64,
}

impl Spout for Lines {
    /// An error is told, and it is tried again: the file may come yet.
    async fn open(&mut self) -> Result<(), OperatorError> {
        let file = File::open(&self.file).map_err(|error| failed(&self.file, error))?;
        let mut reader = BufReader::new(file);
        self.noted = read_note(&self.note)?;
        for line in 0..self.noted {
            let skipped = reader.skip_until(b'\n');
            if skipped.map_err(|error| failed(&self.file, error))? == 0 {
                let (file, note) = (self.file.display(), self.note.display());
                let text = format!(
                    "{file} has {line} lines and not {}: it is another file; delete {note} to read it from its first line",
                    self.noted
                );
                return Err(OperatorError::user(text));
            }
        }
        self.next = self.noted;
        self.reader = Some(reader);
        Ok(())
    }

    /// May be dropped where it waits and is called again then, so nothing is half done at an `await`.
    async fn next(&mut self) -> Result<Next, OperatorError> {
        if !self.is_assigned {
            self.is_assigned = true;
            return Ok(Next::Assigned {
                partition: Arc::clone(&self.partition),
                start: self.next,
            });
        }
        loop {
            self.note_settled()?;
            if let Some(batch) = self.read()? {
                return Ok(Next::Batch(batch));
            }
            if self.bounded {
                return Ok(Next::End);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Called when nothing is in flight any more.
    async fn close(&mut self) -> Result<(), OperatorError> {
        self.note_settled()
    }
}

impl Lines {
    /// A batch of lines, if there is any whole one. Reads from a disk, which keeps the lane for no longer than its
    /// bolts do; what waits for others must not do so in a lane.
    fn read(&mut self) -> Result<Option<SourceBatch>, OperatorError> {
        let mut arena = ArenaBuilder::new(Arc::clone(&self.partition), BATCH, 0);
        let mut bytes = 0;
        while arena.len() < BATCH && bytes < BYTES_MAX {
            match self.read_line() {
                Ok(true) => {}
                Ok(false) => break,
                // What was read before it is handed out first: these lines are not read again.
                Err(_) if !arena.is_empty() => break,
                Err(error) => return Err(error),
            }
            let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            // Without a timestamp: it is part of ids, and would be another one when the line is read again.
            arena.push(self.next, -1, None, Some(line), std::iter::empty());
            bytes += line.len();
            self.next += 1;
            self.line.clear();
        }
        Ok((!arena.is_empty()).then(|| SourceBatch {
            arena: arena.finish(),
            dropped: Vec::new(),
        }))
    }

    /// Reads on in a line; tells whether it is whole.
    fn read_line(&mut self) -> Result<bool, OperatorError> {
        let reader = self.reader.as_mut().expect("it was opened before");
        let room = BYTES_MAX + 1 - self.line.len();
        let read = reader.take(room as u64).read_until(b'\n', &mut self.line);
        let _ = read.map_err(|error| failed(&self.file, error))?;
        let is_whole = self.line.ends_with(b"\n");
        if !is_whole && self.line.len() > BYTES_MAX {
            let (file, line) = (self.file.display(), self.next + 1);
            let text = format!("{file}: line {line} has more than {BYTES_MAX} bytes");
            return Err(OperatorError::user(text));
        }
        Ok(is_whole)
    }

    /// Notes the frontier, the offset before which all lines are settled: as a whole or not at all.
    fn note_settled(&mut self) -> Result<(), OperatorError> {
        let frontier = self.partition.account().frontier;
        let Some(frontier) = frontier.filter(|frontier| *frontier > self.noted) else {
            return Ok(());
        };
        let draft = self.note.with_extension("draft");
        let written = fs::write(&draft, frontier.to_string());
        let written = written.and_then(|()| fs::rename(&draft, &self.note));
        written.map_err(|error| failed(&self.note, error))?;
        self.noted = frontier;
        Ok(())
    }
}

/// The offset that was noted; 0 where none was.
fn read_note(note: &Path) -> Result<i64, OperatorError> {
    match fs::read_to_string(note) {
        Ok(text) => text.trim().parse().map_err(|error| {
            let text = format!("{}: not a number of lines", note.display());
            OperatorError::user(text).with_source(error)
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(failed(note, error)),
    }
}

fn failed(file: &Path, error: io::Error) -> OperatorError {
    OperatorError::external(file.display().to_string()).with_source(error)
}

#[cfg(test)]
mod tests {
    use isobar::{Outside, TopologyFile};
    use isobar_topology::Partitions;
    use serde_json::Value;
    use testkit::scratch::Scratch;

    use super::*;

    /// Adds to the file of orders.
    fn add(spool: &Path, text: &str) {
        let file = spool.join("orders.ndjson");
        let before = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, before + text).expect("it can be written");
    }

    #[test]
    fn what_the_documentation_shows_is_what_it_does() {
        let scratch = Scratch::new("custom-spout").expect("a directory");
        let spool = scratch.path().join("target/spool");
        let variables = [("SPOOL", spool.to_str().expect("text"))];
        let registry = registry();
        assert_eq!(registry.named_twice(), None);
        let source = include_str!("custom_spout.rs");
        let done = shown::run(source, &registry, scratch.path(), &variables);
        let [reference, run] = &done[..] else {
            panic!("{} commands are shown", done.len());
        };
        let option = "a connection of type `directory`";
        assert!(reference.output.contains(option), "{}", reference.output);
        shown::assert_row(&run.told, "orders 1 1 0 0 0 0 0 0");

        // What has been added since, and what of it is no JSON.
        add(&spool, "{\"order\": 2}\n{\"order\":\n{\"order\": 4}\n");
        let topology = "deploy/examples/custom_spout.yaml";
        let run = ["run", topology, "--exit-when-caught-up", "-o", "json"];
        let run = shown::isobar(&registry, &run, &variables);
        let report: Value = serde_json::from_str(&run.output).expect("JSON");
        let total = &report["accounting"]["total"];
        let terms = ["read", "delivered", "dead_lettered", "difference"];
        assert_eq!(terms.map(|term| &total[term]), [3, 2, 1, 0], "{total}");
        let partition = &report["accounting"]["spouts"][0]["partitions"][0];
        assert_eq!([&partition["frontier"], &partition["next"]], [4, 4]);
        let letters = fs::read_to_string(spool.join("dead-letters.ndjson"));
        let letters = letters.expect("one was written");
        assert!(letters.contains("\"offset\":2"), "{letters}");
        let settled = fs::read_to_string(spool.join("orders.ndjson.orders.orders.settled"));
        assert_eq!(settled.expect("it was noted"), "4");
    }

    #[test]
    fn each_line_comes_once_and_when_it_is_whole() {
        let scratch = Scratch::new("custom-spout-lines").expect("a directory");
        let topology = "\
isobar: 1
name: t
connections: {spool: {type: directory, path: .}}
spouts: {orders: {type: lines, connection: spool, file: orders.ndjson}}
bolts:
  out: {type: file, inputs: [orders], path: out, format: payload, on_rejected: drop}
";
        let topology = scratch.file("t.yaml", topology).expect("written");
        let run = [
            "run",
            topology.to_str().expect("text"),
            "--exit-when-caught-up",
        ];
        let numbers: Vec<String> = (0..2_500).map(|number| format!("{number}\n")).collect();
        let mut all = numbers.concat();
        for (added, whole) in [(&*all.clone(), ""), ("a\nb", "a\n"), ("c\n", "bc\n")] {
            add(scratch.path(), added);
            if !whole.is_empty() {
                all.push_str(whole);
            }
            let _ = shown::isobar(&registry(), &run, &[]);
            let out = fs::read_to_string(scratch.path().join("out"));
            assert_eq!(out.expect("it was written"), all);
        }
    }

    #[test]
    fn what_stands_before_a_line_that_cannot_be_read_is_handed_out() {
        let scratch = Scratch::new("custom-spout-long").expect("a directory");
        let file = scratch.path().join("orders.ndjson");
        fs::write(&file, "1\n2\n".to_owned() + &"x".repeat(BYTES_MAX + 1)).expect("written");
        let mut lines = Lines {
            partition: Partitions::default().open("orders.ndjson", 0, 1),
            note: file.with_extension("settled"),
            file,
            bounded: true,
            is_assigned: false,
            reader: None,
            line: Vec::new(),
            next: 0,
            noted: 0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let opened = runtime.expect("a runtime").block_on(lines.open());
        opened.expect("it is there");
        let batch = lines.read().expect("two lines").expect("a batch");
        assert_eq!((batch.arena.len(), lines.next), (2, 2));
        let refused = lines.read().expect_err("the third is too long");
        assert!(
            refused.to_string().contains("line 3 has more than"),
            "{refused}"
        );

        // Another file of the name.
        fs::write(&lines.note, "5").expect("written");
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let refused = runtime.expect("a runtime").block_on(lines.open());
        let refused = refused.expect_err("it has two lines").to_string();
        assert!(
            refused.contains("not 5: it is another file; delete "),
            "{refused}"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let text = "\
isobar: 1
name: t
connections: {spool: {type: directory, path: spool, user: me}}
spouts: {orders: {type: lines, connection: spol, file: a/b}}
bolts: {out: {type: blackhole, inputs: [orders]}}
";
        let outside = Outside {
            variable: &|_| None,
            file: &|_| Err(ErrorKind::NotFound.into()),
        };
        let file = TopologyFile::from_text(Path::new("t.yaml"), text.to_owned(), &outside);
        let refused = file.plan(&registry(), 1).err().expect("it is wrong");
        let said = refused.to_string();
        for problem in [
            "connections.spool.user: ",
            "spouts.orders.connection: unknown connection `spol`; expected spool",
            "spouts.orders.file: this is a path; expected the name of a file",
        ] {
            assert!(said.contains(problem), "{said}");
        }
    }
}
