//! A program under control: started with its output in a file, signalled as a group, ended when its
//! owner is dropped or when the test process dies. Knows nothing of what the program is.

mod usage;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process_group};

use crate::wait;

pub use usage::Usage;

/// The user that stands in for root with programs that refuse root, and its number on Debian.
const UNPRIVILEGED: (&str, u32) = ("nobody", 65534);

/// The variables that topologies of this repository read, and shells of the quick start have: a program under
/// test is given those that its test names, and no others.
pub const OF_TOPOLOGIES: [&str; 5] = ["KAFKA", "ES", "TOPIC", "DEAD_LETTERS", "ENVIRONMENT"];

/// What to start: program, arguments, environment, directory, log file. Kept by [`Process`], so that
/// a restart is the same start again.
#[derive(Debug, Clone)]
pub struct Launch {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    log: PathBuf,
    output: Option<PathBuf>,
    unprivileged: bool,
    cores: Option<String>,
}

impl Launch {
    /// Describes a start of `program`, whose output and errors are appended to `log`.
    pub fn new(program: impl AsRef<OsStr>, log: &Path) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            log: log.to_owned(),
            output: None,
            unprivileged: false,
            cores: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the program's environment, which otherwise is that of the tests without
    /// [`OF_TOPOLOGIES`].
    #[must_use]
    pub fn environment(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Writes the program's standard output to a file of its own, and only its errors to the log.
    #[must_use]
    pub fn output(mut self, file: &Path) -> Self {
        self.output = Some(file.to_owned());
        self
    }

    /// Runs the program as `nobody` if the tests run as root. The caller gives that user its
    /// directories with [`give_to_unprivileged`].
    #[must_use]
    pub fn not_as_root(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// Keeps the program on these cores, such as `0` or `2-3`.
    #[must_use]
    pub fn on_cores(mut self, cores: &str) -> Self {
        self.cores = Some(cores.to_owned());
        self
    }

    fn command(&self) -> Result<Command> {
        let log = append(&self.log)?;
        let output = match &self.output {
            Some(file) => append(file)?,
            None => log.try_clone().context("cannot share the log file")?,
        };
        // The kernel kills the program when the thread that started it ends: see `spawn`.
        let mut command = Command::new("setpriv");
        let _ = command.args(["--pdeathsig", "KILL"]);
        if self.unprivileged && geteuid().is_root() {
            let _ = command.args(as_unprivileged());
        }
        for name in OF_TOPOLOGIES {
            let _ = command.env_remove(name);
        }
        let _ = command.arg("--");
        if let Some(cores) = &self.cores {
            let _ = command.args(["taskset", "-c", cores]);
        }
        let _ = command
            .arg(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log);
        if let Some(directory) = &self.directory {
            let _ = command.current_dir(directory);
        }
        Ok(command)
    }
}

/// A started program and all that it started itself (one process group). Dropping it kills the group.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Option<Child>,
    paused: bool,
}

impl Process {
    /// Starts the program. It need not be ready when this returns: ask it.
    pub fn start(launch: Launch) -> Result<Self> {
        let mut process = Self {
            launch,
            child: None,
            paused: false,
        };
        process.start_again()?;
        Ok(process)
    }

    /// Runs a program that ends by itself, within `limit`, and fails with its log unless it succeeds.
    pub fn run(launch: Launch, limit: Duration) -> Result<()> {
        let mut process = Self::start(launch)?;
        let status = process.wait(limit)?;
        if !status.success() {
            bail!(
                "{} ended with {status}\n{}",
                process.name(),
                process.log_tail()
            );
        }
        Ok(())
    }

    /// Starts a stopped or killed program again, with the same arguments and log.
    pub fn start_again(&mut self) -> Result<()> {
        if self.child.is_some() {
            bail!("{} is started already: stop it first", self.name());
        }
        let command = self.launch.command()?;
        self.child = Some(spawn(command).with_context(|| {
            format!(
                "cannot start {} (setpriv is needed too: Debian package util-linux)",
                self.name()
            )
        })?);
        Ok(())
    }

    /// The process number, while started.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Fails with the end of the log if the program has ended; for probes of readiness.
    pub fn check_running(&mut self) -> Result<()> {
        let name = self.name();
        let Some(child) = &mut self.child else {
            bail!("{name} is not started")
        };
        if let Some(status) = child.try_wait()? {
            bail!("{name} has ended with {status}\n{}", self.log_tail());
        }
        Ok(())
    }

    /// Waits until the program ends by itself. Fails, with the program still running, after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let name = self.name();
        let Some(child) = &mut self.child else {
            bail!("{name} is not started")
        };
        let status = wait::until(&format!("end of {name}"), limit, || {
            child.try_wait()?.context("it is still running")
        })?;
        // What it started itself must not outlive it.
        self.signal(Signal::KILL);
        self.child = None;
        Ok(status)
    }

    /// As [`Process::wait`], with what the program used in all. Asks every ms, for the sake of the time.
    pub fn wait_measured(&mut self, limit: Duration) -> Result<Usage> {
        let name = self.name();
        let Some(id) = self.id() else {
            bail!("{name} is not started")
        };
        let end = wait::now() + limit;
        let (mut asked, mut peak_memory) = (0u64, 0);
        loop {
            if let Some((status, cpu)) = usage::take_ended(id)? {
                self.signal(Signal::KILL);
                self.child = None;
                return Ok(Usage {
                    status,
                    cpu,
                    peak_memory,
                });
            }
            if asked % 20 == 0 {
                peak_memory = self.peak_memory().unwrap_or(peak_memory);
            }
            if wait::now() >= end {
                bail!("{name} did not end within {limit:?}\n{}", self.log_tail());
            }
            asked += 1;
            wait::rest(Duration::from_millis(1));
        }
    }

    /// Asks the program to end (SIGTERM) and does not wait.
    pub fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks the program to end (SIGTERM), waits up to `limit`, then kills it and fails.
    pub fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.resume();
        self.signal(Signal::TERM);
        match self.wait(limit) {
            Ok(status) => Ok(status),
            Err(error) => {
                let tail = self.log_tail();
                self.kill9();
                Err(error.context(format!("killed after SIGTERM\n{tail}")))
            }
        }
    }

    /// Kills the program and all it started (SIGKILL), and waits until it is gone. Nothing happens if
    /// it is not started.
    pub fn kill9(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            // Cannot fail for a child that nobody else waits for, and SIGKILL cannot be refused.
            drop(child.wait());
        }
        self.paused = false;
    }

    /// Freezes the program (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
        self.paused = true;
    }

    /// Lets a paused program go on (SIGCONT).
    pub fn resume(&mut self) {
        if std::mem::take(&mut self.paused) {
            self.signal(Signal::CONT);
        }
    }

    /// Keeps the program on these cores from now on, such as `0` or `0-3`: all its threads, and what they start.
    pub fn keep_on(&self, cores: &str) -> Result<()> {
        let id = self.id().context("the program is not started")?.to_string();
        let arguments = ["--all-tasks", "--cpu-list", "--pid", cores, &id];
        let output = Command::new("taskset").args(arguments).output();
        let output = output.context("cannot run taskset (Debian package util-linux)")?;
        if !output.status.success() {
            bail!("taskset: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// The most memory that the program has had resident since it was started, in bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        self.status_bytes("VmHWM:")
    }

    /// The memory that the program has resident now, in bytes.
    pub fn memory(&self) -> Result<u64> {
        self.status_bytes("VmRSS:")
    }

    /// How many threads the program has now.
    pub fn threads(&self) -> Result<u64> {
        Ok(self.status("Threads:")?.parse()?)
    }

    /// A size of `/proc/PID/status` (proc(5)).
    fn status_bytes(&self, name: &str) -> Result<u64> {
        let size = self.status(name)?;
        let kib = size.strip_suffix(" kB");
        let kib = kib.with_context(|| format!("{name} {size} is no size"))?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// What a line of `/proc/PID/status` says.
    fn status(&self, name: &str) -> Result<String> {
        let status = self.proc_file("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("no {name} in the process's status"))?;
        Ok(line.trim().to_owned())
    }

    /// The CPU time, user and system, that the program has used since it was started. Resolution 10 ms
    /// (`USER_HZ` is 100 on every Linux that Isobar is built for).
    pub fn cpu_time(&self) -> Result<Duration> {
        cpu_time(&self.proc_file("stat")?)
    }

    /// As [`cpu_time`](Self::cpu_time), of the program's threads of this name. Fails without any.
    pub fn cpu_time_of(&self, thread: &str) -> Result<Duration> {
        let id = self.id().context("the program is not started")?;
        let mut found = None;
        for task in std::fs::read_dir(format!("/proc/{id}/task"))? {
            // A thread that has just ended has no file any more.
            let Ok(stat) = std::fs::read_to_string(task?.path().join("stat")) else {
                continue;
            };
            if stat.contains(&format!("({thread})")) {
                *found.get_or_insert(Duration::ZERO) += cpu_time(&stat)?;
            }
        }
        found.with_context(|| format!("{} has no thread {thread}", self.name()))
    }

    /// The file that holds the program's output.
    pub fn log(&self) -> &Path {
        &self.launch.log
    }

    /// The last lines of the log, under its path, for error texts.
    pub fn log_tail(&self) -> String {
        const LINES: usize = 30;
        let text = std::fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        format!("end of {}:\n{}", self.log().display(), last.join("\n"))
    }

    fn name(&self) -> String {
        Path::new(&self.launch.program).display().to_string()
    }

    fn proc_file(&self, file: &str) -> Result<String> {
        let id = self
            .id()
            .with_context(|| format!("{} is not started", self.name()))?;
        let path = format!("/proc/{id}/{file}");
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }

    fn signal(&self, signal: Signal) {
        let group = self
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(group) = group {
            // Fails only when the whole group is gone already, which every caller then notices.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the evidence of a failing test")]
            {
                eprintln!("{}: log kept in {}", self.name(), self.log().display());
            }
        }
        self.kill9();
    }
}

/// User and system time in a `stat` file of `/proc`: fields 14 and 15 (proc(5)). The name in parentheses
/// before them may hold spaces.
fn cpu_time(stat: &str) -> Result<Duration> {
    let (_, after_name) = stat.rsplit_once(')').context("no name in a stat")?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = 0;
    for _ in 0..2 {
        let field = fields.next().context("a stat is short")?;
        ticks += field.parse::<u64>()?;
    }
    Ok(Duration::from_millis(ticks * 10))
}

/// Gives a directory with all that is in it to the user that [`Launch::not_as_root`] uses. Does
/// nothing unless the tests run as root.
pub fn give_to_unprivileged(directory: &Path) -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let owner = format!("{0}:{0}", UNPRIVILEGED.1);
    let status = Command::new("chown")
        .arg("-R")
        .arg(owner)
        .arg(directory)
        .status()?;
    if !status.success() {
        bail!("cannot give {} to {}", directory.display(), UNPRIVILEGED.0);
    }
    Ok(())
}

/// Tells whether the user that [`Launch::not_as_root`] uses can read the file, through all its parents.
pub fn unprivileged_can_read(file: &Path) -> Result<bool> {
    if !geteuid().is_root() {
        return Ok(File::open(file).is_ok());
    }
    let mut command = Command::new("setpriv");
    let _ = command
        .args(as_unprivileged())
        .args(["--", "test", "-r"])
        .arg(file);
    Ok(command
        .status()
        .context("cannot run setpriv: Debian package util-linux")?
        .success())
}

fn append(file: &Path) -> Result<File> {
    let opened = File::options().create(true).append(true).open(file);
    opened.with_context(|| format!("cannot write {}", file.display()))
}

fn as_unprivileged() -> [String; 5] {
    let id = UNPRIVILEGED.1.to_string();
    [
        "--reuid".into(),
        id.clone(),
        "--regid".into(),
        id,
        "--clear-groups".into(),
    ]
}

/// Starts a command on a thread that lives as long as the test process. The kernel sends a child its
/// death signal when the *thread* that started it ends, and the test's own thread, or a helper's that
/// starts several services at once, ends earlier.
fn spawn(command: Command) -> io::Result<Child> {
    type Request = (Command, SyncSender<io::Result<Child>>);
    static STARTER: OnceLock<SyncSender<Request>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (requests, queue) = sync_channel::<Request>(16);
        let _ = std::thread::spawn(move || {
            for (mut command, answer) in queue {
                drop(answer.send(command.spawn()));
            }
        });
        requests
    });
    let (answer, child) = sync_channel(1);
    starter
        .send((command, answer))
        .expect("the starting thread never ends");
    child.recv().expect("the starting thread always answers")
}

#[cfg(test)]
mod tests {
    use anyhow::ensure;

    use super::*;
    use crate::scratch::Scratch;

    const SOON: Duration = Duration::from_secs(20);

    fn shell(scratch: &Scratch, script: &str) -> Process {
        let log = scratch.path().join("log");
        Process::start(Launch::new("sh", &log).arguments(["-c", script])).expect("sh starts")
    }

    fn wait_for_log(process: &Process, text: &str) {
        wait::until("log", SOON, || {
            let log = std::fs::read_to_string(process.log())?;
            log.contains(text).then_some(()).context(log)
        })
        .expect("the script writes it");
    }

    #[test]
    fn a_program_that_ends_by_itself_reports_its_status() {
        let scratch = Scratch::new("process").expect("a directory");
        let status = shell(&scratch, "exit 3").wait(SOON).expect("it ends");
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn a_failing_run_shows_the_end_of_its_log() {
        let scratch = Scratch::new("process").expect("a directory");
        let log = scratch.path().join("log");
        let launch = Launch::new("sh", &log).arguments(["-c", "echo broken; exit 1"]);
        let error = Process::run(launch, SOON)
            .expect_err("it exits 1")
            .to_string();
        assert!(error.contains("broken"), "{error}");
    }

    #[test]
    fn stop_asks_first_and_kills_what_does_not_listen() {
        let scratch = Scratch::new("process").expect("a directory");
        let mut polite = shell(
            &scratch,
            "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done",
        );
        wait_for_log(&polite, "up");
        assert_eq!(polite.stop(SOON).expect("it listens").code(), Some(7));

        let mut deaf = shell(
            &scratch,
            "trap '' TERM; echo deaf; while :; do sleep 0.05; done",
        );
        wait_for_log(&deaf, "deaf");
        let error = deaf
            .stop(Duration::from_millis(200))
            .expect_err("it does not listen");
        assert!(
            format!("{error:#}").contains("killed after SIGTERM"),
            "{error:#}"
        );
        assert_eq!(deaf.id(), None);
    }

    #[test]
    fn dropping_kills_what_the_program_started_too() {
        let scratch = Scratch::new("process").expect("a directory");
        let process = shell(&scratch, "sleep 1000 & echo child $!; wait");
        wait_for_log(&process, "child");
        let log = std::fs::read_to_string(process.log()).expect("the log is there");
        let child: u32 = log
            .trim_start_matches("child")
            .trim()
            .parse()
            .expect("a number");
        drop(process);
        wait::until("end of the child", SOON, || {
            // Gone, or a zombie that the first process of the system has yet to collect.
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z "))
                .then_some(())
                .context(stat)
        })
        .expect("the whole group is killed");
    }

    #[test]
    fn a_started_thread_that_ends_does_not_take_its_program_along() {
        let scratch = Scratch::new("process").expect("a directory");
        let log = scratch.path().join("log");
        let script = "while :; do echo tick; sleep 0.05; done";
        let launch = Launch::new("sh", &log).arguments(["-c", script]);
        let start = std::thread::spawn(move || Process::start(launch));
        let mut process = start.join().expect("no panic").expect("sh starts");
        wait_for_log(&process, &"tick\n".repeat(5));
        process.check_running().expect("it outlives the thread");
    }

    #[test]
    fn a_program_stays_on_the_cores_that_it_is_kept_on() {
        let scratch = Scratch::new("process").expect("a directory");
        let launch = Launch::new("sleep", &scratch.path().join("log")).arguments(["60"]);
        let cores = |process: &Process| process.status("Cpus_allowed_list:").expect("it has some");
        let kept = Process::start(launch.clone().on_cores("0")).expect("it starts");
        wait::until("the program itself", SOON, || {
            let name = kept.status("Name:")?;
            ensure!(name == "sleep", "{name} comes first");
            Ok(())
        })
        .expect("it runs");
        assert_eq!(cores(&kept), "0");
        let later = Process::start(launch).expect("it starts");
        later.keep_on("0").expect("there is a core");
        assert_eq!(cores(&later), "0");
    }

    #[test]
    fn memory_and_cpu_of_a_running_program_are_read() {
        let scratch = Scratch::new("process").expect("a directory");
        let process = shell(
            &scratch,
            "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo up; sleep 1000",
        );
        wait_for_log(&process, "up");
        assert!(process.peak_memory().expect("it runs") > 100_000);
        assert_eq!(process.threads().expect("it runs"), 1);
        assert!(process.cpu_time().expect("it runs") > Duration::ZERO);
    }
}
