//! How the files of a replay are written: whole, on the disk when it is said, and for their owner alone, as plans hold
//! documents in their samples.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::Serialize;

use crate::exit::Failure;

/// Writes a file and waits until it is on the disk; a `new` one must not exist yet.
pub(super) fn write(path: &Path, value: &impl Serialize, new: bool) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?;
    text.push('\n');
    match new {
        true => write_to(path, private().create_new(true).open(path), &text),
        false => replace(path, &text),
    }
}

/// Writes a text over a file, or to a new one, and waits until it is on the disk.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let file = private().create(true).truncate(true).open(path);
    write_to(path, file, text)
}

/// How files are opened that may hold documents, such as those of a sample: one that is made can be read by its owner
/// alone.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    let _ = options.write(true).mode(0o600);
    options
}

/// Fails where a file cannot be written: better before hours of work than after them. What is there stays
/// as it is.
pub(super) fn check_writable(path: &Path) -> Result<(), Failure> {
    let is_new = !path.exists();
    let opened = File::options().append(true).create(true).open(path);
    let cleared = opened.and_then(|_| match is_new {
        true => std::fs::remove_file(path),
        false => Ok(()),
    });
    cleared.map_err(|error| unwritten(path, &error))
}

/// Fails where a new file cannot be made, also where there is one already: such as the plan of another replay, which
/// whoever goes on would take for the new one.
pub(super) fn check_new(path: &Path) -> Result<(), Failure> {
    match path.exists() {
        true => Err(Failure::usage(format!(
            "{}: there is such a file already, and a plan is written over nothing; give another name",
            path.display()
        ))),
        false => check_writable(path),
    }
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{}: cannot be written: {error}", path.display()))
}

fn write_to(path: &Path, file: io::Result<File>, text: &str) -> Result<(), Failure> {
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| unwritten(path, &error))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn whether_a_file_can_be_written_is_known_without_changing_it() {
        let name = format!("isobar-replay-report-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("it is made");
        let path = directory.join("plan.report.json");
        assert!(check_writable(&path).is_ok());
        assert!(!path.exists(), "nothing is left");
        std::fs::write(&path, "kept").expect("written");
        assert!(check_writable(&path).is_ok());
        assert_eq!(std::fs::read(&path).expect("it is there"), b"kept");
        let refused = check_new(&path).expect_err("there is one");
        let text = refused.error.to_string();
        assert!(text.contains("there is such a file already"), "{text}");
        std::fs::remove_file(&path).expect("it is there");
        assert!(check_new(&path).is_ok() && !path.exists());
        std::fs::remove_dir_all(&directory).expect("it is there");
        let nowhere = path;
        let refused = check_writable(&nowhere).expect_err("there is no directory");
        assert_eq!(refused.exit, crate::exit::Exit::Usage);
        let text = refused.error.to_string();
        assert!(
            text.contains("plan.report.json: cannot be written: "),
            "{text}"
        );
    }

    #[test]
    fn what_is_written_can_be_read_by_its_owner_alone() {
        let name = format!("isobar-replay-private-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("it is made");
        let mode = |path: &Path| std::fs::metadata(path).expect("it is there").mode() & 0o777;
        for new in [true, false] {
            let path = directory.join(format!("{new}.json"));
            write(&path, &["a document"], new).expect("written");
            assert_eq!(mode(&path), 0o600);
        }
        // Who has made it otherwise, such as for a group to read, has meant it.
        let path = directory.join("shared.json");
        std::fs::write(&path, "").expect("written");
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("it is changed");
        replace(&path, "{}").expect("written");
        assert_eq!(mode(&path), 0o640);
        std::fs::remove_dir_all(&directory).expect("it is there");
    }
}
