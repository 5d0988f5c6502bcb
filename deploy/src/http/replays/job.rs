//! A command that goes on after it was asked for: a run of a plan, or its verification.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isobar_topology::clock;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::program::stand_back;
use crate::exit::Exit;

/// Lines that are kept of what it says, the last ones.
const LINES_MAX: usize = 20;
/// Bytes of a line; longer ones are parted.
const LINE_BYTES_MAX: u64 = 4 << 10;

/// A command under way, or over.
pub(super) struct Job {
    pub(super) command: &'static str,
    spout: String,
    started_ms: i64,
    /// Where it prints what came of it.
    result: PathBuf,
    child: Mutex<Child>,
    said: Mutex<VecDeque<String>>,
    ended: watch::Receiver<Option<Ended>>,
}

/// How a command ended.
#[derive(Clone, Debug)]
struct Ended {
    status: ExitStatus,
    /// Whether it has printed what came of it.
    has_result: bool,
    /// What the index said of it, if that was asked: `exact`, `unknown` or `wrong`.
    verdict: Option<String>,
}

/// A command as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct JobDocument {
    command: &'static str,
    /// That of its plan.
    spout: String,
    /// In ms since 1970.
    pub(super) started_ms: i64,
    pub(super) is_running: bool,
    /// Its exit code; null while it runs, and where it was killed.
    exit: Option<i32>,
    /// The signal that killed it.
    killed_by: Option<i32>,
    /// The last lines of what it said.
    said: Vec<String>,
    /// What the index said at its end: `exact`, `unknown` or `wrong`.
    verdict: Option<String>,
    /// What it printed at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
}

impl Job {
    /// Starts a process about the plan `id` of `spout`, whose result is kept in the file `result` if it comes
    /// to one, and a thread that hears it.
    pub(super) fn start(
        id: &str,
        spout: String,
        command: &'static str,
        mut process: Command,
        result: PathBuf,
    ) -> io::Result<Arc<Self>> {
        let mut child = process.stdout(File::create(new(&result))?).spawn()?;
        stand_back(child.id());
        let words = child.stderr.take();
        let (over, ended) = watch::channel(None);
        let job = Arc::new(Self {
            command,
            spout,
            started_ms: clock::unix_ms(),
            result,
            child: Mutex::new(child),
            said: Mutex::default(),
            ended,
        });
        let (heard, id) = (Arc::clone(&job), id.to_owned());
        let thread = std::thread::Builder::new().name("replay-job".to_owned());
        let listening = thread.spawn(move || heard.listen(&id, words, &over));
        if let Err(error) = listening {
            // Nobody would know of it.
            let mut child = lock(&job.child);
            child.kill()?;
            let _ = child.wait()?;
            return Err(error);
        }
        Ok(job)
    }

    /// Hears it until it ends.
    fn listen(&self, id: &str, words: Option<ChildStderr>, over: &watch::Sender<Option<Ended>>) {
        if let Some(words) = words {
            let mut words = BufReader::new(words);
            while let Some(line) = next_line(&mut words) {
                tracing::info!(replay = id, said = line, "A replay says");
                let mut said = lock(&self.said);
                if said.len() == LINES_MAX {
                    let _ = said.pop_front();
                }
                said.push_back(line);
            }
        }
        // Under the lock, so that nobody signals a number that is another process by then.
        let mut child = lock(&self.child);
        let status = child.wait().unwrap_or_else(|error| {
            tracing::warn!(replay = id, %error, "How a replay's command ended is not known");
            ExitStatus::from_raw(i32::from(Exit::Failed.code()) << 8)
        });
        let result = self.keep().unwrap_or_else(|error| {
            tracing::warn!(replay = id, %error, "The result of a replay's command is not kept");
            None
        });
        tracing::info!(
            replay = id,
            command = self.command,
            status = %status,
            "A replay's command has ended"
        );
        let _ = over.send_replace(Some(Ended {
            status,
            has_result: result.is_some(),
            verdict: result.as_ref().and_then(verdict).map(str::to_owned),
        }));
    }

    /// Keeps what it has printed, also where that is bad news. What was refused or broke off has printed
    /// nothing whole, and leaves the result of an earlier one as it is.
    fn keep(&self) -> io::Result<Option<Value>> {
        let new = new(&self.result);
        let result = serde_json::from_slice(&std::fs::read(&new)?).ok();
        match result {
            Some(_) => std::fs::rename(new, &self.result)?,
            None => std::fs::remove_file(new)?,
        }
        Ok(result)
    }

    pub(super) fn is_running(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// Asks it to end in order.
    pub(super) fn stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        let child = lock(&self.child);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let (true, Some(pid)) = (self.is_running(), pid) {
            // It fails where the process is over already.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) {
        let mut ended = self.ended.clone();
        let _ = ended.wait_for(Option::is_some).await;
    }

    /// What there is to be said of it, with its result.
    pub(super) fn document(&self) -> JobDocument {
        let has_result = |ended: &Ended| ended.has_result;
        let result = self.ended.borrow().as_ref().is_some_and(has_result);
        let result = result.then(|| std::fs::read(&self.result).ok()).flatten();
        JobDocument {
            result: result.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
            ..self.summary()
        }
    }

    /// The same without its result, which may be long.
    pub(super) fn summary(&self) -> JobDocument {
        let ended = self.ended.borrow();
        let ended = ended.as_ref();
        JobDocument {
            command: self.command,
            spout: self.spout.clone(),
            started_ms: self.started_ms,
            is_running: ended.is_none(),
            exit: ended.and_then(|ended| ended.status.code()),
            killed_by: ended.and_then(|ended| ended.status.signal()),
            said: lock(&self.said).iter().cloned().collect(),
            verdict: ended.and_then(|ended| ended.verdict.clone()),
            result: None,
        }
    }
}

impl JobDocument {
    /// Whether it is a run, or was one, of which the register has no word yet. `told_ms` is when the attempt
    /// began that it knows of.
    pub(super) fn is_ahead_of(&self, told_ms: Option<i64>) -> bool {
        self.command == "run" && told_ms.is_none_or(|told| told < self.started_ms)
    }
}

/// What the index said, in what a run or a verification prints.
fn verdict(result: &Value) -> Option<&str> {
    let verification = result.get("verification").unwrap_or(result);
    verification.get("verdict")?.as_str()
}

/// Where a result is while it is not whole.
fn new(result: &Path) -> PathBuf {
    result.with_added_extension("new")
}

/// A line, or a part of a long one; `None` at the end.
fn next_line(from: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    let read = from.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
    match read {
        Ok(1..) => Some(String::from_utf8_lossy(&bytes).trim_end().to_owned()),
        Ok(0) | Err(_) => None,
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked has left words or a process, both whole.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    fn start(name: &str, script: &str) -> (Arc<Job>, PathBuf) {
        let file = format!("isobar-job-{name}-{}", std::process::id());
        let result = std::env::temp_dir().join(file);
        let mut process = Command::new("/bin/sh");
        let _ = process.args(["-c", script]).stderr(Stdio::piped());
        let job = Job::start("1a", "logs".to_owned(), "run", process, result.clone());
        (job.expect("it starts"), result)
    }

    #[tokio::test]
    async fn what_a_job_says_and_prints_is_kept() {
        let (job, _) = start(
            "says",
            "seq 30 >&2; echo '{\"verdict\": \"exact\"}'; exit 3",
        );
        job.ended().await;
        let document = job.document();
        assert_eq!((document.is_running, document.exit), (false, Some(3)));
        let said: Vec<String> = (11..=30).map(|number: u32| number.to_string()).collect();
        assert_eq!(document.said, said, "the last lines");
        assert_eq!(document.result.expect("it printed")["verdict"], "exact");
        assert_eq!(document.verdict.as_deref(), Some("exact"));
        assert!(job.summary().result.is_none());
        let (refused, result) = start("says", "echo no; exit 2");
        refused.ended().await;
        assert!(refused.document().result.is_none() && !new(&result).exists());
        let kept = std::fs::read(&result).expect("that of the first one");
        assert_eq!(kept, b"{\"verdict\": \"exact\"}\n");
        let wrong = r#"echo '{"verification": {"verdict": "wrong"}}'; exit 1"#;
        let (wrong, _) = start("says", wrong);
        wrong.ended().await;
        assert_eq!(wrong.document().verdict.as_deref(), Some("wrong"));
        assert!(wrong.document().result.is_some());
        std::fs::remove_file(result).expect("it is there");
    }

    #[tokio::test]
    async fn a_run_is_ahead_of_the_register_until_that_has_its_attempt() {
        let (job, result) = start("ahead", "echo '{}'");
        job.ended().await;
        let shown = job.document();
        for (told_ms, expected) in [(None, true), (Some(-1), true), (Some(0), false)] {
            let told_ms = told_ms.map(|ms| shown.started_ms + ms);
            assert_eq!(shown.is_ahead_of(told_ms), expected);
        }
        std::fs::remove_file(result).expect("it is there");
    }

    #[tokio::test]
    async fn a_job_is_stopped_in_order_and_killed_when_it_does_not_heed_that() {
        let (job, _) = start("stops", "exec sleep 60");
        assert!(job.is_running() && job.document().exit.is_none());
        job.stop();
        job.ended().await;
        assert_eq!(job.document().killed_by, Some(15));
        // It is over, and its number may be that of another process.
        job.stop();
        let (deaf, _) = start("stops", "trap '' TERM; echo ready >&2; exec sleep 60");
        while deaf.document().said.is_empty() {
            tokio::task::yield_now().await;
        }
        deaf.stop();
        assert!(deaf.is_running());
        deaf.kill();
        deaf.ended().await;
        assert_eq!(deaf.document().killed_by, Some(9));
    }
}
