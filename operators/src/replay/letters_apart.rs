//! Where a replay writes the dead letters that the topology has in a file: into one of its own, beside that.
//!
//! A file has one writer at a time. Beside a live topology, a replay would wait with its first rejected record for
//! as long as that runs; and where the replay came first, the live topology would.

use std::io;
use std::path::{Path, PathBuf};

use isobar_topology::spec::{Component, Node, Spec, Value};

use super::graph::set;

/// What stands before the id of the run in the name of such a file.
const MARK: &str = ".replay.";

/// Has a part of a topology write rejected records to files of the run `id`. Returns these files.
///
/// What takes other records than rejected ones into a file has no place in a part. A device or a pipe stays: it is
/// shared.
pub fn letters_apart(part: &mut Spec, id: &str) -> Vec<PathBuf> {
    let directory = part.directory.clone();
    let bolts = part.bolts.iter_mut().chain(&mut part.dead_letter);
    let files = bolts.filter(|bolt| bolt.kind == "file");
    files
        .filter_map(|bolt| apart(bolt, &directory, id))
        .collect()
}

fn apart(bolt: &mut Component, directory: &Path, id: &str) -> Option<PathBuf> {
    let path = Path::new(bolt.config.get("path").and_then(Node::text)?);
    let live = directory.join(path);
    if live.metadata().is_ok_and(|live| !live.is_file()) {
        return None;
    }
    let (stem, end) = parts(path)?;
    let name = format!("{stem}{MARK}{id}{end}");
    let own = path.with_file_name(&name);
    let value = Value::String(own.to_str()?.to_owned());
    set(&mut bolt.config, "path", Some(value));
    Some(live.with_file_name(name))
}

/// The file of the live topology, and those of replays beside it, by name. Fails where its directory cannot be read.
pub(crate) fn with_those_apart(live: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = vec![live.to_owned()];
    let (Some(directory), Some((stem, end))) = (live.parent(), parts(live)) else {
        return Ok(all);
    };
    let start = format!("{stem}{MARK}");
    let directory = match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    };
    let entries = match directory.read_dir() {
        Ok(entries) => entries,
        // It is made with the first letter.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_str().unwrap_or_default();
        let id = name.strip_prefix(&start);
        if id.is_some_and(|rest| rest.ends_with(&end)) {
            all.push(live.with_file_name(name));
        }
    }
    all[1..].sort();
    Ok(all)
}

/// The name of a file before and from the last dot on.
fn parts(path: &Path) -> Option<(String, String)> {
    let stem = path.file_stem()?.to_str()?;
    let end = path.extension().map(|end| end.to_str());
    let end = match end {
        Some(end) => format!(".{}", end?),
        None => String::new(),
    };
    Some((stem.to_owned(), end))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scratch::Scratch;

    fn part(directory: &Path, letters: &str, failed: &str) -> Spec {
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {"kafka": {"type": "kafka", "brokers": "localhost:1"}},
            "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": ["a"], "start": "earliest"}},
            "bolts": {
                "parse": {"type": "parse_json", "inputs": ["in"]},
                "end": {"type": "blackhole", "inputs": ["parse"]},
                "failed": {"type": "file", "path": failed, "inputs": ["parse.rejected"]},
            },
            "dead_letter": {"type": "file", "path": letters},
        });
        let mut spec = Spec::read(&Node::from_json(&file)).expect("sound");
        spec.directory = directory.to_owned();
        spec
    }

    #[test]
    fn letters_of_a_run_go_to_files_of_its_own() {
        let scratch = Scratch::new();
        let mut part = part(scratch.path(), "out/dead.letters.ndjson", "failed");
        let files = letters_apart(&mut part, "19a");
        let expected = ["failed.replay.19a", "out/dead.letters.replay.19a.ndjson"];
        assert_eq!(files, expected.map(|file| scratch.path().join(file)));
        let path = |bolt: &Component| {
            bolt.config
                .get("path")
                .and_then(Node::text)
                .map(str::to_owned)
        };
        let own = part.dead_letter.as_ref().and_then(path);
        assert_eq!(own.as_deref(), Some(expected[1]), "as relative as it was");
        assert_eq!(
            part.bolts.iter().find_map(path).as_deref(),
            Some(expected[0])
        );
    }

    #[test]
    fn a_device_is_shared() {
        let mut part = part(Path::new("/"), "dev/null", "/dev/null");
        assert_eq!(letters_apart(&mut part, "19a"), Vec::<PathBuf>::new());
    }

    #[test]
    fn files_of_all_runs_are_found_beside_that_of_the_live_topology() {
        let scratch = Scratch::new();
        for name in [
            "dead.ndjson",
            "dead.replay.2.ndjson",
            "dead.replay.1.ndjson",
            "dead.replay.1",
            "dead.old.ndjson",
        ] {
            scratch.replace(name, "");
        }
        let found = with_those_apart(&scratch.path().join("dead.ndjson")).expect("it is read");
        let expected = [
            "dead.ndjson",
            "dead.replay.1.ndjson",
            "dead.replay.2.ndjson",
        ];
        assert_eq!(found, expected.map(|name| scratch.path().join(name)));
        let nowhere = scratch.path().join("none/dead.ndjson");
        assert_eq!(with_those_apart(&nowhere).expect("none yet"), [nowhere]);
    }
}
