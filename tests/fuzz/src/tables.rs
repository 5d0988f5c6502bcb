//! Tables of `lookup`, beside what a plain reading makes of the same file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;

use serde_json::{Map, Value, json};

use super::against_serde;
use super::bolt::Bolt;

/// A file that has no name and goes with its process.
pub struct Nameless(File);

impl Nameless {
    pub fn new() -> Self {
        let name = format!(
            "isobar-fuzz-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        );
        let path = std::env::temp_dir().join(name);
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).expect("a file can be made");
        std::fs::remove_file(&path).expect("it is there");
        Self(file)
    }

    /// Where others find it.
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }

    pub fn hold(&mut self, text: &[u8]) {
        self.0.set_len(0).expect("it can be cut");
        self.0.rewind().expect("it has a begin");
        self.0.write_all(text).expect("it takes a few bytes");
    }
}

/// Rows by their keys: what a table that is taken must find.
type Rows = Vec<(String, Map<String, Value>)>;

/// A table of CSV with the key `k`. One without quotes is taken if it is sound, and only then, and its rows are
/// those of its lines.
pub fn csv(input: &[u8]) {
    check(input, "csv", plain_csv(input));
}

/// A table of JSON lines with the key `k`. One that serde_json reads is taken if it is sound, and means the same.
pub fn ndjson(input: &[u8]) {
    check(input, "ndjson", plain_ndjson(input));
}

/// `expected` has the rows, or that the table is to be refused; nothing where a plain reading cannot tell.
fn check(input: &[u8], format: &str, expected: Option<Result<Rows, ()>>) {
    let mut file = Nameless::new();
    file.hold(input);
    let options = json!({
        "file": file.path(), "format": format, "key": "k", "from": "doc.id", "target": "t",
        "reload_interval": "0s",
    });
    let made = Bolt::try_new("lookup", &options);
    match (made, expected) {
        (Err(_), Some(Ok(rows))) => panic!("refused, and it is a table: {rows:?}"),
        (Ok(_), Some(Err(()))) => panic!("taken, and it is no table"),
        (Ok(bolt), Some(Ok(rows))) => {
            for (key, row) in rows {
                let mut document = Map::from_iter([("id".to_owned(), Value::from(key))]);
                let text = Value::Object(document.clone()).to_string();
                if !row.is_empty() {
                    let _ = document.insert("t".to_owned(), row.into());
                }
                let found = bolt.document(&text);
                let found = found.document().expect("it is not rejected");
                let found = against_serde::object(found.as_bytes());
                assert_eq!(found, Some(document), "{text}");
            }
        }
        (Ok(bolt), None) if !is_deep(input) => bolt.document(r#"{"id":"a"}"#).is_sound(),
        _ => {}
    }
}

/// What stands in a document nests deeper than where it was read.
fn is_deep(input: &[u8]) -> bool {
    let opened = input.iter().filter(|byte| matches!(byte, b'{' | b'['));
    opened.count() > 50
}

fn plain_csv(input: &[u8]) -> Option<Result<Rows, ()>> {
    // What is no UTF-8 counts only in some places, and quotes have rules of their own.
    let text = std::str::from_utf8(input).ok()?;
    if text.contains(['"', '\r', '\u{feff}']) {
        return None;
    }
    let mut lines = text.split('\n').filter(|line| !line.is_empty());
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let unique: BTreeSet<&&str> = names.iter().collect();
    let Some(key) = names.iter().position(|name| *name == "k") else {
        return Some(Err(()));
    };
    if unique.len() < names.len() || names.len() < 2 {
        return Some(Err(()));
    }
    let (mut rows, mut keys) = (Rows::new(), BTreeSet::new());
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        if cells.len() != names.len() || cells[key].is_empty() || !keys.insert(cells[key]) {
            return Some(Err(()));
        }
        let others = names.iter().zip(&cells);
        let others = others.filter(|(name, cell)| **name != "k" && !cell.is_empty());
        let others = others.map(|(name, cell)| ((*name).to_owned(), Value::from(*cell)));
        rows.push((cells[key].to_owned(), others.collect()));
    }
    Some(Ok(rows))
}

fn plain_ndjson(input: &[u8]) -> Option<Result<Rows, ()>> {
    if is_deep(input) {
        return None;
    }
    let input = input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input);
    let lines = input.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let (mut rows, mut keys, mut columns) = (Rows::new(), BTreeSet::new(), BTreeSet::new());
    let mut is_sound = true;
    for line in lines.filter(|line| !line.is_empty()) {
        let mut row = against_serde::object(line)?;
        columns.extend(row.keys().cloned());
        let key = match row.remove("k") {
            Some(Value::String(key)) => key,
            Some(Value::Bool(key)) => key.to_string(),
            // As it is written, which serde_json forgets.
            Some(Value::Number(_)) => return None,
            _ => String::new(),
        };
        is_sound &= !key.is_empty() && keys.insert(key.clone());
        row.retain(|_, value| !value.is_null());
        rows.push((key, row));
    }
    is_sound &= columns.iter().any(|column| column != "k");
    Some(if is_sound { Ok(rows) } else { Err(()) })
}
