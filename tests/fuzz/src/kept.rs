//! What programs keep for others that come later: commits, the register of replays, files of dead letters and of
//! variables. Anybody who may write there can have written anything.

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use isobar::{Outside, TopologyFile, env_file};
use isobar_operators::inquiry::{Letters, Logged, Place};
use isobar_operators::kafka::admin::TopicPartition;
use isobar_operators::kafka::commit_metadata::CommitMetadata;
use isobar_operators::range::Log;
use isobar_operators::replay::registry::{Entry, Listed};
use serde_json::Value;

use super::tables::Nameless;

/// What stands with a commit: what was read and written is read again as the same, and no longer than it was.
pub fn commit_metadata(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let read = CommitMetadata::parse(text);
    assert_eq!(read.is_some(), text.split(';').next() == Some("isobar1"));
    let Some(read) = read else {
        return;
    };
    let written = read.to_string();
    assert!(written.len() <= text.len(), "{written}");
    assert_eq!(CommitMetadata::parse(&written), Some(read), "{written}");
}

/// Entries of the register of replays, one in each line behind a first one with the time of all of them: what was
/// read and written is read again as the same, and of two each stands in the way of the other or neither does.
pub fn register(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let time = std::str::from_utf8(lines.next().unwrap_or_default());
    let told_ms = time.ok().and_then(|time| time.parse().ok()).unwrap_or(0);
    let entries: Vec<Entry> = lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    for entry in &entries {
        let written = serde_json::to_vec(entry).expect("it is plain data");
        let again: Entry = serde_json::from_slice(&written).expect("it was read before");
        assert_eq!(again, *entry);
        assert!(entry.overlaps(entry));
        for other in &entries {
            assert_eq!(entry.overlaps(other), other.overlaps(entry));
        }
        let listed = Listed {
            entry: again,
            told_ms,
        };
        assert!(!listed.is_alive() || listed.entry.state.is_active());
    }
}

/// A file of dead letters, with one of a record before what is made up and one behind it: both are found, and
/// nothing that is no letter of that record.
pub fn letter_file(input: &[u8]) {
    const LETTER: &[u8] = br#"{"dead_letter":1,"topic":"logs","partition":1,"offset":4,"source":"0000000000000007","ordinal":null,"bolt":"parse","class":"invalid_json","reason":"no"}"#;
    thread_local!(static FILE: RefCell<(Nameless, Letters)> = RefCell::new({
        let file = Nameless::new();
        let letters = letters_in(&file.path());
        (file, letters)
    }));
    let text = [LETTER, input, LETTER].join(&b'\n');
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let found = FILE.with_borrow_mut(|(file, letters)| {
        file.hold(&text);
        let place = Place {
            partition: TopicPartition::new("logs", 1),
            offset: 4,
        };
        letters.find(&place, &logged(), Duration::from_secs(1))
    });
    let found = found.expect("a file can be read");
    let number = |place: &str| -> usize {
        let number = place.rsplit(':').next().expect("it ends with the line");
        number.parse().expect("lines have numbers")
    };
    let numbers: Vec<usize> = found.iter().map(|one| number(&one.place)).collect();
    assert_eq!(numbers.first(), Some(&1));
    assert_eq!(numbers.last(), Some(&lines.len()));
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    for number in numbers {
        let letter: Value = serde_json::from_slice(lines[number - 1]).expect("a letter is JSON");
        assert_eq!(
            (&letter["topic"], &letter["offset"]),
            (&"logs".into(), &4.into())
        );
    }
}

fn letters_in(path: &str) -> Letters {
    let text = format!(
        "isobar: 1\nname: fuzzed\nconnections:\n  kafka: {{type: kafka, brokers: localhost:1}}\nspouts:\n  in: {{type: kafka, connection: kafka, topics: [logs], start: earliest}}\nbolts:\n  end: {{type: blackhole, inputs: [in]}}\ndead_letter: {{type: file, path: {path}}}\n"
    );
    let outside = Outside {
        variable: &|_| None,
        file: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };
    let file = TopologyFile::from_text(Path::new("fuzzed.yaml"), text, &outside);
    let plan = file.plan(&isobar_operators::registry(), 1);
    let plan = plan.unwrap_or_else(|refused| panic!("{refused}"));
    Letters::of(file.spec().expect("it was planned"), &plan.graph, "in")
}

/// A record of which nothing matters but where it comes from.
fn logged() -> Logged {
    Logged {
        log: Ok(Log {
            start: 0,
            end: 9,
            high: 9,
        }),
        committed: Ok(None),
        members: Ok(0),
        exists: Ok(Some(true)),
        source: 7,
        origin: String::new(),
    }
}

/// A file of variables: refused with a line of its own for each problem, or read; and what was read and is written
/// in quotes is read again as the same.
pub fn variables(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let read = match env_file::parse(text) {
        Ok(read) => read,
        Err(problems) => {
            let lines = text.lines().count();
            for problem in problems.sorted() {
                let place = problem.place.expect("each has a line");
                assert!((1..=lines).contains(&(place.line as usize)), "{place:?}");
            }
            return;
        }
    };
    let mut written = String::new();
    for (name, value) in &read {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(!name.is_empty() && name.chars().all(bare), "{name}");
        written.push_str(&format!("{name}=\""));
        for c in value.chars() {
            match c {
                '\n' => written.push_str("\\n"),
                '\r' => written.push_str("\\r"),
                '"' | '\\' | '$' => written.extend(['\\', c]),
                c => written.push(c),
            }
        }
        written.push_str("\"\n");
    }
    let again = env_file::parse(&written).expect("it was read before");
    assert_eq!(again, read, "{written}");
}
