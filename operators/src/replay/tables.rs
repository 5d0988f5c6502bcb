//! Tables that a part of a topology looks things up in: they are no part of its configuration, and what
//! they say may have changed since the records were indexed.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use isobar_topology::spec::{Node, Spec};

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 16;

/// A table as its file is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The bolt that looks things up in it.
    pub bolt: String,
    /// The file.
    pub file: PathBuf,
    /// When it was last written, in ms since 1970; `None` where the system does not say.
    pub modified_ms: Option<i64>,
    /// A hash of what is in it, FNV-1a over its bytes: the same in every version of the program.
    pub hash: u64,
}

/// The tables of a part of a topology. Reads them whole. Fails with a sentence when one cannot be read.
pub fn tables(part: &Spec) -> Result<Vec<Table>, String> {
    let lookups = part.bolts.iter().filter(|bolt| bolt.kind == "lookup");
    let files = lookups.filter_map(|bolt| {
        let file = bolt.config.get("file").and_then(Node::text)?;
        Some((&bolt.id, part.directory.join(file)))
    });
    files
        .map(|(bolt, file)| {
            let (modified_ms, hash) = look(&file)
                .map_err(|error| format!("{bolt}: the table {}: {error}", file.display()))?;
            Ok(Table {
                bolt: bolt.clone(),
                file,
                modified_ms,
                hash,
            })
        })
        .collect()
}

fn look(file: &PathBuf) -> io::Result<(Option<i64>, u64)> {
    let mut file = File::open(file)?;
    let modified = file.metadata()?.modified().ok();
    let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified_ms = modified.and_then(|since| i64::try_from(since.as_millis()).ok());
    let (mut hash, mut chunk): (u64, _) = (0xCBF2_9CE4_8422_2325, vec![0; CHUNK]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((modified_ms, hash));
        }
        for byte in &chunk[..read] {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn tables_are_told_with_what_is_in_them() {
        let scratch = Scratch::new();
        let path = scratch.path().join("hosts.csv");
        std::fs::write(&path, "a").expect("written");
        let file = json!({
            "isobar": 1, "name": "logs",
            "spouts": {"in": {"type": "script"}},
            "bolts": {
                "find": {"type": "lookup", "inputs": ["in"], "file": "hosts.csv", "key": "h"},
                "end": {"type": "blackhole", "inputs": ["find"]},
            },
        });
        let mut spec = Spec::read(&Node::from_json(&file)).expect("sound");
        spec.directory = scratch.path().to_owned();
        let found = tables(&spec).expect("it is there");
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].bolt.as_str(), &found[0].file, found[0].hash),
            ("find", &path, 0xaf63_dc4c_8601_ec8c)
        );
        assert!(found[0].modified_ms > Some(1_600_000_000_000));
        std::fs::remove_file(&path).expect("removed");
        let problem = tables(&spec).expect_err("it is gone");
        assert!(problem.starts_with("find: the table "), "{problem}");
    }
}
