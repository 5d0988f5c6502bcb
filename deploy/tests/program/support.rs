//! Operators without an outside system, and a way to run commands over them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use isobar::environment::Environment;
use isobar_topology::spec::{Component, Problems, parse_config};
use isobar_topology::testing::{FnBolt, source_batch};
use isobar_topology::{
    Answer, AnyBolt, AnySpout, Batch, Bolt, BoltType, DocumentUse, Emitter, Example, MakeSpout,
    Next, OperatorError, Partition, Prepare, PreparedBolt, PreparedSpout, Registry, Rejection,
    Spout, SpoutContext, SpoutType, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use testkit::http::{self, Response};
use testkit::process::{OF_TOPOLOGIES, Process};
use testkit::wait;

use crate::commands;
pub use crate::commands::Done;

/// The built program, in the environment of the tests without what shells of the quick start have.
pub fn built_program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_isobar"));
    for name in OF_TOPOLOGIES {
        let _ = program.env_remove(name);
    }
    program
}

/// The arguments of a bash that runs a script with the built program as `isobar`, and ends with the first command
/// that fails, also where its output goes to another one.
pub fn in_bash(script: &str) -> [String; 5] {
    let directory = Path::new(env!("CARGO_BIN_EXE_isobar")).parent();
    let directory = directory.expect("it is in one").display();
    let script = format!("PATH=$0:$PATH\n{script}");
    ["-euo", "pipefail", "-c", &script, &directory.to_string()].map(str::to_owned)
}

/// That bash, in the same environment as [`built_program`].
pub fn shell(script: &str) -> Command {
    let mut shell = Command::new("bash");
    for name in OF_TOPOLOGIES {
        let _ = shell.env_remove(name);
    }
    let _ = shell.args(in_bash(script));
    shell
}

/// Waits until a program says at `/readyz` that it misses the Kafka at `127.0.0.1:9`, where nobody listens.
pub fn missing_kafka(process: &mut Process, address: &str) -> Response {
    let reasons = wait::until("a reason", Duration::from_secs(30), || {
        process.check_running()?;
        let answer = http::get(address, "/readyz")?;
        anyhow::ensure!(answer.text().contains("127.0.0.1:9"), "{}", answer.text());
        Ok(answer)
    });
    reasons.expect("Kafka is missed")
}

/// Connections aside, everything that a topology needs.
pub fn registry() -> Registry {
    Registry {
        connections: Vec::new(),
        spouts: vec![SpoutType {
            name: "numbers",
            schema: || schemars::schema_for!(NumbersConfig),
            example: "type: numbers\nrecords: 10\n",
            prepare: prepare_numbers,
        }],
        bolts: vec![
            bolt_type("pass", |_, _| {
                Ok(bolt(|_, out, batch| out.emit(batch), true))
            }),
            bolt_type("sink", |_, _| {
                Ok(bolt(|_, _, batch| batch.answer(Answer::Delivered), false))
            }),
            bolt_type("present", |_, _| {
                Ok(bolt(
                    |_, _, batch| batch.answer(Answer::AlreadyPresent),
                    false,
                ))
            }),
            bolt_type("refuse_odd", |_, _| Ok(bolt(refuse_odd, true))),
            bolt_type("count", |_, _| {
                Ok(asks_a_host(bolt(
                    |counter, out, batch| {
                        counter.add(batch.len() as u64);
                        out.emit(batch);
                    },
                    true,
                )))
            }),
            bolt_type("drop", |component, prepare| {
                let policy = prepare.policy(&component.id, &component.path)?;
                let drop = move |_: &isobar_topology::Counter, _: &mut Emitter, batch: Batch| {
                    batch.answer(Answer::Dropped(policy));
                };
                Ok(bolt(drop, false))
            }),
            // Half of the odd ones go on.
            bolt_type("some", |component, prepare| {
                let name = format!("{}.others", component.id);
                let policy = prepare.policy(&name, &component.path)?;
                let some = move |_: &isobar_topology::Counter, out: &mut Emitter, batch: Batch| {
                    batch.judge(out, |record| match record.view().offset() % 4 {
                        1 => Verdict::Keep,
                        _ => Verdict::Drop(policy),
                    });
                };
                Ok(bolt(some, true))
            }),
            bolt_type("away", |_, _| {
                Ok(PreparedBolt {
                    emits: false,
                    document: DocumentUse::Any,
                    ..PreparedBolt::new(Arc::new(|_| AnyBolt::new(Away)))
                })
            }),
        ],
    }
}

fn bolt_type(
    name: &'static str,
    prepare: fn(&Component, &mut Prepare<'_>) -> Result<PreparedBolt, Problems>,
) -> BoltType {
    BoltType {
        name,
        schema: || schemars::schema_for!(NothingConfig),
        example: Example::of("", &[]),
        side_effects: false,
        deterministic: true,
        prepare,
    }
}

/// Does what its name says.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NothingConfig {}

fn bolt(
    work: impl Fn(&isobar_topology::Counter, &mut Emitter, Batch) + Clone + Send + Sync + 'static,
    emits: bool,
) -> PreparedBolt {
    let make = move |context: isobar_topology::BoltContext| {
        let counter = context.counters.counter("seen", "Records seen.");
        let work = work.clone();
        FnBolt::any(move |batch, out| {
            work(&counter, out, batch);
            Ok(())
        })
    };
    PreparedBolt {
        emits,
        document: DocumentUse::Any,
        facts: vec![("works on".to_owned(), "anything".to_owned())],
        ..PreparedBolt::new(Arc::new(make))
    }
}

/// Each copy of it has asked a host once, which took 2 ms.
fn asks_a_host(bolt: PreparedBolt) -> PreparedBolt {
    let make = Arc::clone(&bolt.make);
    PreparedBolt {
        make: Arc::new(move |context| {
            let host = context.request_times.of("es-1:9200");
            host.took(Duration::from_millis(2));
            make(context)
        }),
        ..bolt
    }
}

fn refuse_odd(_: &isobar_topology::Counter, out: &mut Emitter, batch: Batch) {
    batch.judge(out, |record| match record.view().offset() % 2 {
        0 => Verdict::Keep,
        _ => Verdict::Reject(Rejection::new("odd", "the offset is odd")),
    });
}

struct Away;

impl Bolt for Away {
    async fn open(&mut self) -> Result<(), OperatorError> {
        Err(OperatorError::external(
            "cannot reach http://127.0.0.1:9: connection refused",
        ))
    }

    async fn process(&mut self, _: Batch, _: &mut Emitter) -> Result<(), OperatorError> {
        Err(OperatorError::internal("never opened"))
    }
}

/// Hands out numbered records.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NumbersConfig {
    /// How many records each partition has.
    records: i64,
    /// How many partitions there are. Default 1.
    #[serde(default = "one")]
    partitions: i32,
    /// Waits for more at the end. Default false.
    #[serde(default)]
    waits: bool,
    /// A password that nobody asks for.
    #[serde(default)]
    password: Option<String>,
}

fn one() -> i32 {
    1
}

fn prepare_numbers(component: &Component, _: &mut Prepare<'_>) -> Result<PreparedSpout, Problems> {
    let config: NumbersConfig = parse_config(&component.config, &component.path)?;
    let _ = config.password;
    let start = move |context: SpoutContext| {
        let partitions = (0..config.partitions)
            .map(|number| context.partitions.open("numbers", number, 7))
            .collect();
        let numbers = Numbers {
            partitions,
            assigned: 0,
            read: 0,
            records: config.records,
            waits: config.waits,
        };
        let make: MakeSpout = Box::new(|| AnySpout::new(numbers));
        Ok(vec![make])
    };
    Ok(PreparedSpout {
        start: Box::new(start),
        max_in_flight_records: 1_000,
        max_in_flight_bytes: 1 << 20,
        batch_bytes: 1 << 20,
        max_uncommitted: 10_000,
        reads: None,
        memory: 1 << 20,
        facts: vec![("records".to_owned(), config.records.to_string())],
    })
}

struct Numbers {
    partitions: Vec<Arc<Partition>>,
    assigned: usize,
    read: i64,
    records: i64,
    waits: bool,
}

impl Spout for Numbers {
    async fn next(&mut self) -> Result<Next, OperatorError> {
        const BATCH: i64 = 10;
        if let Some(partition) = self.partitions.get(self.assigned) {
            self.assigned += 1;
            return Ok(Next::Assigned {
                partition: Arc::clone(partition),
                start: 0,
            });
        }
        let partitions = self.partitions.len() as i64;
        let start = self.read / partitions / BATCH * BATCH;
        if start >= self.records {
            return match self.waits {
                true => std::future::pending().await,
                false => Ok(Next::End),
            };
        }
        let partition = &self.partitions[(self.read / BATCH % partitions) as usize];
        let end = self.records.min(start + BATCH);
        self.read += BATCH;
        let payloads = (start..end).map(|number| number.to_string());
        Ok(Next::Batch(source_batch(partition, start, payloads)))
    }
}

/// A topology file in a directory of its own; gone when it is dropped.
pub struct File {
    directory: PathBuf,
    pub path: PathBuf,
}

impl File {
    pub fn new(name: &str, text: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("isobar-program-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for temporary files");
        let path = directory.join("topology.yaml");
        std::fs::write(&path, text).expect("written");
        Self { directory, path }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Done {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.output).expect("the output is JSON")
    }
}

/// Runs a command over a topology text; `FILE` among the arguments stands for its path.
pub fn isobar(name: &str, topology: &str, arguments: &[&str]) -> Done {
    let file = File::new(name, topology);
    let path = file.path.to_str().expect("UTF-8");
    let arguments = arguments.iter().map(|argument| match *argument {
        "FILE" => path,
        argument => argument,
    });
    let environment = Environment::new(|name| (name == "SECRET").then(|| "hunter2".to_owned()));
    let done = commands::run(&registry(), environment, arguments);
    let text = |text: &str| text.replace(path, "FILE");
    Done {
        exit: done.exit,
        output: text(&done.output),
        told: text(&done.told),
        error: text(&done.error),
    }
}

/// Compares a text with a file beside the manifest; `cargo regenerate` writes it instead. Read the
/// difference before committing it.
pub fn check_file(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no other way to be told"
    )]
    let regenerate = std::env::var_os("ISOBAR_REGENERATE").is_some();
    if regenerate {
        std::fs::write(&file, text).expect("the file can be written");
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        text == expected,
        "{path} is stale: run `cargo regenerate`, then read the difference. The text now:\n{text}"
    );
}
