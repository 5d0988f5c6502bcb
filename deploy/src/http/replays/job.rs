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
    started_ms: i64,
    /// Where it prints what came of it.
    result: PathBuf,
    child: Mutex<Child>,
    said: Mutex<VecDeque<String>>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

/// A command as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct JobDocument {
    command: &'static str,
    /// In ms since 1970.
    started_ms: i64,
    is_running: bool,
    /// Its exit code; null while it runs, and where it was killed.
    exit: Option<i32>,
    /// The signal that killed it.
    killed_by: Option<i32>,
    /// The last lines of what it said.
    said: Vec<String>,
    /// What it printed at its end.
    result: Option<Value>,
}

impl Job {
    /// Starts a process whose result is kept in the file `result` if it comes to one, and a thread that hears
    /// it.
    pub(super) fn start(
        id: &str,
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
    fn listen(
        &self,
        id: &str,
        words: Option<ChildStderr>,
        over: &watch::Sender<Option<ExitStatus>>,
    ) {
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
        if let Err(error) = self.keep(status) {
            tracing::warn!(replay = id, %error, "The result of a replay's command is not kept");
        }
        tracing::info!(
            replay = id,
            command = self.command,
            status = %status,
            "A replay's command has ended"
        );
        let _ = over.send_replace(Some(status));
    }

    /// What was refused or failed leaves the result of an earlier one as it is.
    fn keep(&self, status: ExitStatus) -> io::Result<()> {
        match has_result(status) {
            true => std::fs::rename(new(&self.result), &self.result),
            false => std::fs::remove_file(new(&self.result)),
        }
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

    pub(super) fn document(&self) -> JobDocument {
        let status = *self.ended.borrow();
        let has_result = status.is_some_and(has_result);
        let result = has_result.then(|| std::fs::read(&self.result).ok());
        JobDocument {
            command: self.command,
            started_ms: self.started_ms,
            is_running: status.is_none(),
            exit: status.and_then(|status| status.code()),
            killed_by: status.and_then(|status| status.signal()),
            said: lock(&self.said).iter().cloned().collect(),
            result: result
                .flatten()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok()),
        }
    }
}

/// Where a result is while it is not whole.
fn new(result: &Path) -> PathBuf {
    result.with_added_extension("new")
}

/// Whether a command that ended so has done what it was asked for.
fn has_result(status: ExitStatus) -> bool {
    [Exit::Done, Exit::Threshold]
        .iter()
        .any(|exit| status.code() == Some(exit.code().into()))
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
        let job = Job::start("1a", "run", process, result.clone());
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
        let (refused, result) = start("says", "echo no; exit 2");
        refused.ended().await;
        assert!(refused.document().result.is_none() && !new(&result).exists());
        let kept = std::fs::read(&result).expect("that of the first one");
        assert_eq!(kept, b"{\"verdict\": \"exact\"}\n");
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
