//! How a command ends: exit codes, which scripts rely on, and the error that goes with them.

use std::fmt;
use std::process::ExitCode;

use crate::topology_file::Refused;

/// The exit code of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The command line or the topology file is wrong; nothing was started.
    Usage = 2,
    /// Done, but a threshold was passed, records were rejected under `--fail-on-reject`, `doctor` found
    /// something, or less was done than was asked for.
    Threshold = 3,
    /// Could not be determined: an outside system did not answer in time.
    Undetermined = 4,
}

/// What `--help` begins with for who has never used the program, and the exit codes.
pub const HELP: &str = "\
Examples:
  isobar demo                  see it work, with nothing else installed
  isobar init --brokers localhost:9092 --topic logs --out logs.yaml
  isobar try logs.yaml         what becomes of records; writes nothing
  isobar run logs.yaml
  isobar operators             what a topology file can name

Exit codes:
  0  done
  1  failed
  2  the command line or the topology file is wrong; nothing was started
  3  done, but a threshold was passed (lag --fail-...), records were rejected
     (run --fail-on-reject), something was found (doctor), or less was done
     than was asked for
  4  could not be determined: an outside system did not answer in time";

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Of two that say how a command ends, the one that counts, whatever their numbers are.
    pub fn worse(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Done => 0,
            Self::Threshold => 1,
            Self::Undetermined => 2,
            Self::Failed => 3,
            Self::Usage => 4,
        };
        match rank(other) > rank(self) {
            true => other,
            false => self,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command ended without its result.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What to tell.
    pub error: anyhow::Error,
}

/// What a command ends with.
pub type Outcome = Result<Exit, Failure>;

impl Failure {
    /// The command line or a file that it names is wrong.
    pub fn usage(text: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, anyhow::anyhow!("{text}"))
    }

    /// Ends with this code.
    pub fn new(exit: Exit, error: anyhow::Error) -> Self {
        Self { exit, error }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, error)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::new(Exit::Usage, refused.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_help() {
        let all = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Threshold,
            Exit::Undetermined,
        ];
        let lines = HELP.lines().skip_while(|line| *line != "Exit codes:");
        let lines: Vec<&str> = lines.skip(1).collect();
        let lines: Vec<&str> = lines
            .into_iter()
            .filter(|l| !l.starts_with("     "))
            .collect();
        assert_eq!(lines.len(), all.len());
        for (exit, line) in all.into_iter().zip(lines) {
            assert!(line.starts_with(&format!("  {}  ", exit.code())), "{line}");
        }
    }

    #[test]
    fn that_less_was_done_hides_no_failure() {
        let from_the_best = [
            Exit::Done,
            Exit::Threshold,
            Exit::Undetermined,
            Exit::Failed,
            Exit::Usage,
        ];
        for (at, one) in from_the_best.iter().enumerate() {
            for worse in &from_the_best[at..] {
                assert_eq!(one.worse(*worse), *worse);
                assert_eq!(worse.worse(*one), *worse);
            }
        }
    }
}
