//! The commands of this very program about one topology file, each in a process of its own: what they
//! take, hold or break stays apart from the topology that runs.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf, absolute};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use axum::http::StatusCode;
use rustix::process::{Pid, setpriority_process};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Semaphore;

use crate::cli::FileArgs;
use crate::exit::Exit;

/// Questions at once: a page or two, and somebody with a script.
const QUESTIONS_MAX: usize = 4;
/// How long one may take: less than a connection may be silent.
pub(super) const WITHIN: Duration = Duration::from_secs(60);
/// Most bytes of an answer: a thousand runs of a hundred partitions.
const ANSWER_MAX: u64 = 16 << 20;
/// Most bytes of what is said against it.
const WORDS_MAX: u64 = 16 << 10;
/// How much later than the live topology the processors serve a command (setpriority(2): 0 to 19).
const NICENESS: i32 = 10;
/// What the library of the command line puts behind what it refuses.
const HELP: &str = "\n\nFor more information, try '--help'.";
/// The first process to go when memory runs out (proc_pid_oom_score_adj(5): -1000 to 1000).
const FIRST_TO_GO: &str = "1000";

/// The program and the topology file that its commands are about.
pub(super) struct Program {
    executable: PathBuf,
    file: PathBuf,
    env_files: Vec<PathBuf>,
    room: Semaphore,
    /// For what operators want at once, which pages that ask again and again must not shut out.
    room_to_act: Semaphore,
}

/// Why something was not done, and the status that says so.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { status, text }
    }

    /// There was no answer [`WITHIN`] its time.
    pub(super) fn late() -> Self {
        let text = format!(
            "there was no answer within {} s; the command of the same name waits longer",
            WITHIN.as_secs()
        );
        Self::new(StatusCode::GATEWAY_TIMEOUT, text)
    }
}

impl Program {
    /// This program, with the topology file of a command line.
    pub(super) fn about(of: &FileArgs) -> io::Result<Self> {
        let env_files = of.env_file.iter().map(absolute);
        Ok(Self {
            executable: executable()?,
            file: absolute(&of.file)?,
            env_files: env_files.collect::<Result<_, _>>()?,
            room: Semaphore::new(QUESTIONS_MAX),
            room_to_act: Semaphore::new(QUESTIONS_MAX),
        })
    }

    /// One that prints this document, whatever it is asked, and lies in this directory.
    #[cfg(test)]
    pub(super) fn that_prints(directory: &Path, document: &serde_json::Value) -> Self {
        let executable = directory.join("program");
        // By a process of its own: a file that this one has open for writing may not be run.
        let script = "printf '#!/bin/sh\\necho '\"'%s'\"'\\n' \"$2\" >\"$1\" && chmod +x \"$1\"";
        let mut made = std::process::Command::new("/bin/sh");
        let _ = made.args(["-c", script, "sh"]).arg(&executable);
        let made = made.arg(document.to_string()).status();
        assert!(made.expect("a shell").success());
        Self {
            executable,
            file: PathBuf::from("/logs.yaml"),
            env_files: Vec::new(),
            room: Semaphore::new(1),
            room_to_act: Semaphore::new(1),
        }
    }

    /// A command that takes the topology file, with its options.
    pub(super) fn over_file(&self, command: &[&str], options: Vec<OsString>) -> Vec<OsString> {
        let mut all: Vec<OsString> = command.iter().map(Into::into).collect();
        all.extend(options);
        for file in &self.env_files {
            all.extend(["--env-file".into(), file.into()]);
        }
        all.push((&self.file).into());
        all
    }

    /// A process that reads nothing and hears no signals of a terminal.
    pub(super) fn process(&self, arguments: Vec<OsString>) -> std::process::Command {
        let mut command = std::process::Command::new(&self.executable);
        let _ = command
            .arg0("isobar")
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }

    /// What a command prints that changes nothing. It is killed when nobody waits for its answer any more.
    pub(super) async fn ask(&self, arguments: Vec<OsString>) -> Result<Vec<u8>, Refusal> {
        self.answer(&self.room, arguments).await
    }

    /// The same for one that changes something and answers soon.
    pub(super) async fn act(&self, arguments: Vec<OsString>) -> Result<Vec<u8>, Refusal> {
        self.answer(&self.room_to_act, arguments).await
    }

    async fn answer(
        &self,
        room: &Semaphore,
        mut arguments: Vec<OsString>,
    ) -> Result<Vec<u8>, Refusal> {
        let Ok(_room) = room.try_acquire() else {
            let text = format!("{QUESTIONS_MAX} questions about replays wait for answers already");
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, text));
        };
        arguments.extend(["--log-level", "error", "-o", "json"].map(Into::into));
        let broken = |error: io::Error| {
            let text = format!("this program could not be started once more: {error}");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
        };
        let mut command = tokio::process::Command::from(self.process(arguments));
        let _ = command.stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(broken)?;
        if let Some(id) = child.id() {
            stand_back(id);
        }
        let (output, words) = (child.stdout.take(), child.stderr.take());
        let ended = async {
            tokio::try_join!(
                read(output, ANSWER_MAX),
                read(words, WORDS_MAX),
                child.wait()
            )
        };
        match tokio::time::timeout(WITHIN, ended).await {
            Ok(ended) => {
                let (output, words, status) = ended.map_err(broken)?;
                if output.len() as u64 == ANSWER_MAX {
                    let text = format!(
                        "the answer has more than {} MiB; the command of the same name gives it whole",
                        ANSWER_MAX >> 20
                    );
                    return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text));
                }
                judge(status, output, &String::from_utf8_lossy(&words))
            }
            Err(_) => Err(Refusal::late()),
        }
    }
}

/// Lets the live topology have processors and memory first. What the system does not allow is left.
pub(super) fn stand_back(id: u32) {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    let _ = setpriority_process(pid, NICENESS);
    let _ = std::fs::write(format!("/proc/{id}/oom_score_adj"), FIRST_TO_GO);
}

/// The file of this program. Under Linux the very one that runs, also after another was put in its place.
fn executable() -> io::Result<PathBuf> {
    match Path::new("/proc/self/exe") {
        this if this.exists() => Ok(this.to_owned()),
        _ => std::env::current_exe(),
    }
}

/// Reads up to so many bytes; whoever writes more finds nobody there.
async fn read(from: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let _ = from.take(most).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// The answer by how a command ended; what is not done is said in its own words.
fn judge(status: ExitStatus, output: Vec<u8>, words: &str) -> Result<Vec<u8>, Refusal> {
    let is = |exit: Exit| status.code() == Some(exit.code().into());
    let status = match () {
        () if is(Exit::Done) || is(Exit::Threshold) => return Ok(output),
        () if is(Exit::Usage) => StatusCode::BAD_REQUEST,
        () if is(Exit::Failed) => StatusCode::CONFLICT,
        () if is(Exit::Undetermined) => StatusCode::GATEWAY_TIMEOUT,
        () => {
            let text = format!("the command broke off ({status}): {}", said(words));
            return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text));
        }
    };
    Err(Refusal::new(status, said(words)))
}

/// What a command says at its end, without what is for a terminal.
fn said(words: &str) -> String {
    let (words, _) = words.split_once(HELP).unwrap_or((words, ""));
    let words = words.trim();
    let words = words.strip_prefix("error: ").unwrap_or(words);
    words.strip_prefix("isobar: ").unwrap_or(words).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Program, Vec<OsString>) {
        let program = Program {
            executable: "/bin/sh".into(),
            file: "/logs.yaml".into(),
            env_files: vec!["/e".into()],
            room: Semaphore::new(1),
            room_to_act: Semaphore::new(1),
        };
        (program, vec!["-c".into(), script.into()])
    }

    async fn asked(script: &str) -> Result<String, (u16, String)> {
        let (program, arguments) = shell(script);
        let answer = program.ask(arguments).await;
        let answer = answer.map(|bytes| String::from_utf8(bytes).expect("text"));
        answer.map_err(|refusal| (refusal.status.as_u16(), refusal.text))
    }

    #[tokio::test]
    async fn the_answer_is_what_the_command_prints_and_says_by_its_exit_code() {
        assert_eq!(asked("echo one").await, Ok("one\n".to_owned()));
        assert_eq!(asked("echo two; exit 3").await, Ok("two\n".to_owned()));
        let refused = |status, text: &str| Err((status, text.to_owned()));
        let script = |exit| format!("echo 'isobar: no such thing' >&2; exit {exit}");
        for (exit, status) in [(1, 409), (2, 400), (4, 504)] {
            assert_eq!(asked(&script(exit)).await, refused(status, "no such thing"));
        }
        let script = r#"printf 'error: what?\n\nFor more information, try %s--help%s.\n' "'" "'" >&2; exit 2"#;
        assert_eq!(asked(script).await, refused(400, "what?"));
        let killed = asked("kill -9 $$").await.expect_err("it was killed");
        assert_eq!(killed.0, 500, "{}", killed.1);
    }

    #[tokio::test]
    async fn who_asks_too_much_at_once_is_refused() {
        let (program, arguments) = shell("echo");
        let room = program.room.acquire().await.expect("it is open");
        let refused = program.ask(arguments.clone()).await.expect_err("no room");
        assert_eq!(program.act(arguments.clone()).await.expect("room"), b"\n");
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        drop(room);
        assert_eq!(program.ask(arguments).await.expect("room"), b"\n");
    }

    #[test]
    fn a_command_has_the_file_and_its_variables() {
        let (program, _) = shell("");
        let command = program.over_file(&["replay", "list"], vec!["--spout=a".into()]);
        let expected = [
            "replay",
            "list",
            "--spout=a",
            "--env-file",
            "/e",
            "/logs.yaml",
        ];
        assert_eq!(command, expected.map(OsString::from));
    }
}
