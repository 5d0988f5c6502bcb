//! The directory of plans: each by its id, and beside it what came of it. It outlives the process.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use axum::http::StatusCode;

use super::program::Refusal;
use crate::command::replay::private;

/// Plans at most. They are some KiB each, and nobody reads so many.
const PLANS_MAX: usize = 1_000;

/// Most characters of an id: a time in ms in hexadecimal digits.
const ID_MAX: usize = 16;

/// The directory of `--replay-dir`.
pub(super) struct Store(PathBuf);

impl Store {
    /// Makes the directory if it is not there.
    pub(super) fn at(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        std::path::absolute(directory).map(Self)
    }

    /// The file of a plan that is there.
    pub(super) fn plan(&self, id: &str) -> Result<PathBuf, Refusal> {
        match self.file(id).filter(|file| file.exists()) {
            Some(file) => Ok(file),
            None => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                format!(
                    "there is no plan {id} in {}; POST /replays/plans makes one",
                    self.0.display()
                ),
            )),
        }
    }

    /// That the plan of a run which the register knows is not here, whatever is wanted of it; `host` is where
    /// the run was, by the register.
    pub(super) fn is_elsewhere(&self, id: &str, command: &str, host: &str) -> Refusal {
        let command = match command {
            "run" => "run PLAN --resume",
            command => &format!("{command} PLAN"),
        };
        let text = format!(
            "replay {id} was begun elsewhere, and its plan is not in {}: on {host}, where it ran last, ask the \
             topology that began it, or use isobar replay {command}",
            self.0.display()
        );
        Refusal::new(StatusCode::NOT_FOUND, text)
    }

    /// The file for what a command about a plan prints.
    pub(super) fn result(&self, plan: &Path, command: &str) -> PathBuf {
        plan.with_extension(format!("{command}.json"))
    }

    /// Refuses when there is room for no further plan.
    pub(super) fn check_room(&self) -> Result<(), Refusal> {
        let plans = std::fs::read_dir(&self.0).map_err(|error| self.failed(&error))?;
        let names = plans.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let is_plan = |name: &String| name.strip_suffix(".json").is_some_and(is_id);
        match names.filter(is_plan).count() {
            ..PLANS_MAX => Ok(()),
            _ => Err(Refusal::new(
                StatusCode::CONFLICT,
                format!(
                    "{} has {PLANS_MAX} plans: let somebody delete those that nobody needs",
                    self.0.display()
                ),
            )),
        }
    }

    /// Keeps a new plan.
    pub(super) fn keep(&self, id: &str, plan: &[u8]) -> Result<(), Refusal> {
        let Some(file) = self.file(id) else {
            let error = io::Error::other(format!("{id} is no id of a plan"));
            return Err(self.failed(&error));
        };
        write_new(&file, plan).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Refusal {
        let text = format!("{}: {error}", self.0.display());
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// `None` for what can be no id, and so names no file outside of the directory.
    fn file(&self, id: &str) -> Option<PathBuf> {
        is_id(id).then(|| self.0.join(format!("{id}.json")))
    }
}

/// Writes a file that must not be there yet, whole or not at all. Without hard links: not every file system
/// has them.
fn write_new(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = file.with_extension("new");
    // Only who has made it may give it the file's name, and looks whether another one has before.
    let mut open = private().create_new(true).open(&unfinished)?;
    let written = match file.try_exists() {
        Ok(false) => open
            .write_all(bytes)
            .and_then(|()| std::fs::rename(&unfinished, file)),
        Ok(true) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the plan exists",
        )),
        Err(error) => Err(error),
    };
    if written.is_err() {
        // What is wrong is said by the first error.
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

fn is_id(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (1..=ID_MAX).contains(&text.len()) && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn of_two_that_keep_one_plan_at_the_same_time_the_later_changes_nothing() {
        let name = format!("isobar-plans-twice-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let store = Store::at(&directory).expect("a directory");
        // The first one has not ended.
        let unfinished = directory.join("19a.new");
        std::fs::write(&unfinished, b"first").expect("written");
        let refused = store.keep("19a", b"second").expect_err("it is being kept");
        assert!(refused.text.contains("exists"), "{}", refused.text);
        assert_eq!(std::fs::read(&unfinished).expect("read"), b"first");
        assert!(store.plan("19a").is_err());
        std::fs::remove_dir_all(directory).expect("it is there");
    }

    #[test]
    fn plans_are_found_by_id_and_nothing_else_is() {
        let name = format!("isobar-plans-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let store = Store::at(&directory).expect("a directory");
        store.keep("19a", b"{}").expect("written");
        let again = store.keep("19a", b"[]").expect_err("it is there");
        assert!(again.text.contains("exists"), "{}", again.text);
        let file = store.plan("19a").expect("it is there");
        assert!(!file.with_extension("new").exists());
        let mode = std::fs::metadata(&file).expect("it is there").mode();
        assert_eq!(mode & 0o777, 0o600, "its sample holds documents");
        assert_eq!(std::fs::read(&file).expect("read"), b"{}");
        std::fs::write(directory.join("19a.run.json"), b"").expect("written");
        for other in ["19b", "", "../19a", "19a.run", "19A", "/etc/passwd"] {
            let refused = store.plan(other).expect_err(other);
            assert_eq!(refused.status, StatusCode::NOT_FOUND);
        }
        for number in 1..PLANS_MAX {
            store.check_room().expect("room");
            store.keep(&format!("{number:x}a00"), b"").expect("written");
        }
        let full = store.check_room().expect_err("no room");
        assert_eq!(full.status, StatusCode::CONFLICT);
        std::fs::remove_dir_all(directory).expect("it is there");
    }
}
