//! The program under test, as its users run it: the built binary, a topology file, an HTTP address.
//! Nothing here reaches into the library crates.

mod runbook;
mod sampler;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{Launch, Process, Usage};
use crate::scratch::Scratch;
use crate::services::setting;
use crate::{http, ports, wait};

pub use sampler::{Sampler, Samples};

/// What to run: a topology, files beside it, environment, further arguments.
#[derive(Debug)]
pub struct Setup {
    scratch: Scratch,
    topology: PathBuf,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    program: Option<PathBuf>,
    cores: Option<String>,
}

/// What a command that ended by itself left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended; the exit codes are the program's documented ones.
    pub status: ExitStatus,
    /// What it used, with its start and its end.
    pub usage: Usage,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error: logs and error texts.
    pub stderr: String,
}

impl Finished {
    /// The count that the program with the counting allocator prints last on standard error.
    pub fn allocations(&self) -> Result<u64> {
        let last = self.stderr.lines().last().unwrap_or_default();
        let number = last
            .strip_prefix("allocations ")
            .with_context(|| format!("no count of allocations in:\n{}", self.stderr))?;
        Ok(number.parse()?)
    }
}

impl Setup {
    /// Writes the topology to a directory of its own, which is the program's working directory too, so
    /// that relative paths in it mean files of [`file`](Self::file).
    pub fn new(topology: &str) -> Result<Self> {
        let scratch = Scratch::new("isobar")?;
        let topology = scratch.file("topology.yaml", topology)?;
        Ok(Self {
            scratch,
            topology,
            environment: Vec::new(),
            arguments: Vec::new(),
            program: None,
            cores: None,
        })
    }

    /// Runs another program with the same command line instead.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// Keeps the program on these cores: see [`Launch::on_cores`].
    #[must_use]
    pub fn on_cores(mut self, cores: &str) -> Self {
        self.cores = Some(cores.to_owned());
        self
    }

    /// Writes a file beside the topology, such as a lookup table.
    pub fn file(self, name: &str, content: &str) -> Result<Self> {
        let _ = self.scratch.file(name, content)?;
        Ok(self)
    }

    /// Sets a variable of the program's environment, for `${VAR}` in the topology.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds arguments after those of the command.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// The topology file.
    pub fn topology(&self) -> &Path {
        &self.topology
    }

    /// Starts `isobar run` with an HTTP address of its own. It need not be ready when this returns.
    pub fn start(self) -> Result<Isobar> {
        self.start_at(format!("127.0.0.1:{}", ports::free()?))
    }

    /// The same with this HTTP address, which others know beforehand.
    pub fn start_at(self, address: String) -> Result<Isobar> {
        let log = self.scratch.path().join("isobar.log");
        let output = self.scratch.path().join("isobar.out");
        let launch = self.launch(&["run"], &[&self.topology], &log)?;
        let launch = launch.output(&output);
        let launch = launch.arguments(["--http", &address]);
        Ok(Isobar {
            output,
            process: Process::start(launch)?,
            address,
            setup: self,
        })
    }

    /// Runs another command over the topology file (`["validate"]`, `["plan", "-o", "json"]`) to its
    /// end, within `limit`. Any exit status is fine here.
    pub fn finish(&self, command: &[&str], limit: Duration) -> Result<Finished> {
        let errors = self.scratch.path().join("stderr");
        let launch = self.launch(command, &[&self.topology], &errors)?;
        finish_in(&self.scratch, launch, limit)
    }

    /// As [`Setup::finish`], for a command that takes no topology file, such as `["replay", "run",
    /// "plan.json"]`.
    pub fn finish_alone(&self, command: &[&str], limit: Duration) -> Result<Finished> {
        let errors = self.scratch.path().join("stderr");
        finish_in(&self.scratch, self.launch(command, &[], &errors)?, limit)
    }

    /// Starts a command and returns at once, for callers that end it themselves.
    pub fn begin(&self, command: &[&str]) -> Result<Process> {
        let log = self.scratch.path().join("log");
        Process::start(self.launch(command, &[&self.topology], &log)?)
    }

    /// As [`Setup::begin`], for a command that takes no topology file.
    pub fn begin_alone(&self, command: &[&str]) -> Result<Process> {
        let log = self.scratch.path().join("log");
        Process::start(self.launch(command, &[], &log)?)
    }

    fn launch(&self, command: &[&str], files: &[&PathBuf], log: &Path) -> Result<Launch> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => binary()?,
        };
        let mut launch = Launch::new(program, log)
            .arguments(command)
            .arguments(files)
            .arguments(&self.arguments)
            .directory(self.scratch.path());
        for (name, value) in &self.environment {
            launch = launch.environment(name, value);
        }
        if let Some(cores) = &self.cores {
            launch = launch.on_cores(cores);
        }
        Ok(launch)
    }
}

/// A started program. Dropping it kills it.
#[derive(Debug)]
pub struct Isobar {
    // Before the setup, so that the program is gone when its directory goes.
    process: Process,
    output: PathBuf,
    address: String,
    setup: Setup,
}

impl Isobar {
    /// `host:port` of its HTTP API. Stays the same over restarts.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The program, for its log, memory and CPU time.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What it was started with.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Waits until `/readyz` answers 200. Fails at once, with the log, when the program ends instead.
    pub fn wait_until_ready(&mut self, limit: Duration) -> Result<()> {
        self.wait_for("readiness", limit, |address| {
            let answer = http::get(address, "/readyz")?;
            if answer.status != 200 {
                bail!("/readyz: status {}: {}", answer.status, answer.text());
            }
            Ok(())
        })
    }

    /// Asks until `probe`, which is given the HTTP address, succeeds. Fails at once, with the log, when
    /// the program ends instead.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut(&str) -> Result<T>,
    ) -> Result<T> {
        let Self {
            process, address, ..
        } = self;
        let found = wait::until(what, limit, || match process.check_running() {
            Ok(()) => probe(address).map(Ok),
            Err(ended) => Ok(Err(ended)),
        });
        match found {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(ended)) => Err(ended.context(what.to_owned())),
            Err(error) => Err(error.context(process.log_tail())),
        }
    }

    /// The current `/accounting`.
    pub fn accounting(&self) -> Result<Value> {
        http::get(&self.address, "/accounting")?.json()
    }

    /// The current `/metrics`, as text.
    pub fn metrics(&self) -> Result<String> {
        let answer = http::get(&self.address, "/metrics")?;
        if answer.status != 200 {
            bail!("/metrics: status {}: {}", answer.status, answer.text());
        }
        Ok(answer.text())
    }

    /// Starts to watch `/accounting` for differences; see [`Sampler`].
    pub fn sample_accounting(&self) -> Result<Sampler> {
        Sampler::start(&self.address)
    }

    /// Waits until the program ends by itself, as with `--exit-when-caught-up`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let status = self.process.wait(limit);
        status.map_err(|error| error.context(self.process.log_tail()))
    }

    /// Asks it to drain and end (SIGTERM) and returns how it ended; kills it and fails after `limit`.
    pub fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.process.stop(limit)
    }

    /// Kills it (SIGKILL).
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again after it has ended, with the same topology, arguments and address.
    pub fn start_again(&mut self) -> Result<()> {
        self.process.start_again()
    }

    /// Freezes it (SIGSTOP).
    pub fn pause(&mut self) {
        self.process.pause();
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&mut self) {
        self.process.resume();
    }

    /// The last JSON document on its standard output, such as the report of a run with `-o json`.
    pub fn report(&self) -> Result<Value> {
        let output = std::fs::read(&self.output).context("cannot read the output")?;
        let documents = serde_json::Deserializer::from_slice(&output).into_iter();
        let last = documents.last().context("nothing is on standard output")?;
        Ok(last?)
    }

    /// Everything that it has logged so far, over all its starts.
    pub fn log(&self) -> Result<String> {
        let bytes = std::fs::read(self.process.log()).context("cannot read the log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Runs a command that takes no topology file to its end, within `limit`. Any exit status is fine here.
pub fn finish(command: &[&str], limit: Duration) -> Result<Finished> {
    let scratch = Scratch::new("isobar")?;
    let launch = Launch::new(binary()?, &scratch.path().join("stderr")).arguments(command);
    finish_in(&scratch, launch, limit)
}

/// Runs what logs to `stderr` in the directory to its end.
fn finish_in(scratch: &Scratch, launch: Launch, limit: Duration) -> Result<Finished> {
    let [output, errors] = ["stdout", "stderr"].map(|name| scratch.path().join(name));
    for file in [&output, &errors] {
        std::fs::write(file, "")?;
    }
    let usage = Process::start(launch.output(&output))?.wait_measured(limit)?;
    let read = |file: &Path| -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(file)?).into_owned())
    };
    Ok(Finished {
        status: usage.status,
        usage,
        stdout: read(&output)?,
        stderr: read(&errors)?,
    })
}

/// The program that counts allocations and has operators which need no services, `isobar-counting`,
/// beside [`binary`].
pub fn counting() -> Result<PathBuf> {
    let path = binary()?.with_file_name("isobar-counting");
    if !path.is_file() {
        bail!(
            "{} is not there: run cargo build -p isobar-measured in the profile of the program",
            path.display()
        );
    }
    Ok(path)
}

/// The built program: `ISOBAR_BIN`, else the one that was built in the same profile as the tests.
pub fn binary() -> Result<PathBuf> {
    let path = match setting("ISOBAR_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            // target/PROFILE/deps/TEST
            let test = std::env::current_exe().context("where is the test program?")?;
            test.ancestors()
                .nth(2)
                .context("the test program is not under target")?
                .join("isobar")
        }
    };
    if !path.is_file() {
        bail!(
            "{} is not there: run ./tests/run build, or set ISOBAR_BIN",
            path.display()
        );
    }
    Ok(path)
}
