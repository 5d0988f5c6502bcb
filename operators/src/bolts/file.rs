//! `file`: appends records to a file, one per line.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{AnyBolt, BoltType, Example, LetterUse, Prepare, PreparedBolt};
use schemars::JsonSchema;
use serde::Deserialize;

use super::console::document_use;
use crate::lines::{self, LineFormat, LineSink, SharedWriter, WriteLines};

pub(super) const TYPE: BoltType = BoltType {
    name: "file",
    schema: || schemars::schema_for!(FileConfig),
    example: EXAMPLE,
    side_effects: true,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: file
inputs: [parse]
path: out/records.ndjson
format: document
sync: true
",
    &[r#"{"level":"warn","message":"slow"}"#],
);

/// Appends every record to a file, one per line.
///
/// The file and its directory are made when they are not there. One bolt writes to a file at a time:
/// the file is locked, and the records of a second writer wait until the first is gone. Records are answered for
/// when their lines are written; after a failure or a crash, lines may be there twice, and a line that
/// was cut short may stand before the whole one. While the file cannot be written, records wait, and
/// the health of the topology says so.
///
/// Records that were rejected are written as dead letters: one JSON object with the reason, where the
/// record comes from, and the record itself. So this bolt can be the `dead_letter` of a topology. Bolts
/// that pass records on, such as `route`, may be between; a record that a bolt has made a document of, such
/// as another parser, is a record like any other. A replay has its own in a file
/// beside this one, with `.replay.` and its id before the ending.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The file; a relative path starts at the directory of the topology file.
    path: String,
    /// `document`: the document as JSON on one line. `payload`: the record's value as it was read; one
    /// that has line ends in it takes several lines, and a tombstone is an empty line. Default
    /// `document`.
    #[serde(default)]
    format: LineFormat,
    /// Whether lines must be on the disk before records are answered for: `true` outlives a crash of
    /// the machine, and waits for the disk once per batch. Default `false`: they outlive a crash of
    /// the program.
    #[serde(default)]
    sync: bool,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: FileConfig = parse_config(&component.config, &component.path)?;
    let path = component.path.key("path");
    if config.path.is_empty() || config.path.contains("{{") {
        let problem = Problem::new(path, format!("`{}` is not the path of a file", config.path));
        return Err(problem
            .expected("one path for all records, without templates")
            .into());
    }
    let file = prepare.file(&config.path);
    let writer = Appender {
        path: file.clone(),
        sync: config.sync,
        open: None,
    };
    let writer = SharedWriter::new(writer.path.display().to_string(), writer);
    let format = config.format;
    // `./a` and `a` are one file.
    let written: PathBuf = file.components().collect();
    Ok(PreparedBolt {
        emits: false,
        document: document_use(format),
        letters: LetterUse::Writes,
        owns: Some(format!("the file {}", written.display())),
        rehearsal: lines::rehearsal("file", &config.path, format),
        memory_per_lane: LineSink::<Appender>::MEMORY,
        facts: vec![("path".to_owned(), config.path)],
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(LineSink::new(&writer, format, &context))
        }))
    })
}

/// Appends whole lines to a file.
struct Appender {
    path: PathBuf,
    sync: bool,
    /// `None` before the first write and after one that failed.
    open: Option<Open>,
}

struct Open {
    file: File,
    /// Whoever wrote before left a line without its end.
    mid_line: bool,
}

impl WriteLines for Appender {
    fn open(&mut self) -> io::Result<()> {
        self.opened().map(|_| ())
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let sync = self.sync;
        let open = self.opened()?;
        let written = open.append(lines).and_then(|()| match sync {
            true => open.file.sync_data(),
            false => Ok(()),
        });
        if written.is_err() {
            self.open = None;
        }
        written
    }
}

impl Appender {
    fn opened(&mut self) -> io::Result<&mut Open> {
        // Lines in a file that was removed would be lost.
        let is_removed = |open: &Open| open.file.metadata().map_or(true, |file| file.nlink() == 0);
        let open = self.open.take().filter(|open| !is_removed(open));
        let open = match open {
            Some(open) => open,
            None => Open::new(&self.path, self.sync)?,
        };
        Ok(self.open.insert(open))
    }
}

impl Open {
    fn new(path: &Path, sync: bool) -> io::Result<Self> {
        let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
        if let Some(directory) = directory {
            std::fs::create_dir_all(directory)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        if !file.metadata()?.is_file() {
            // A pipe or a device has no lines from before, and may be shared.
            let mid_line = false;
            return Ok(Self { file, mid_line });
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    ErrorKind::ResourceBusy,
                    "another bolt or program is writing to it; every writer needs a file of its own",
                ));
            }
            // Not every file system has locks.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if sync {
            // A file that was just made is on the disk when its directory is.
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        let mid_line = file.metadata()?.len() > 0 && last_byte(path)? != b'\n';
        Ok(Self { file, mid_line })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if std::mem::take(&mut self.mid_line) {
            self.file.write_all(b"\n")?;
        }
        self.file.write_all(lines)
    }
}

fn last_byte(path: &Path) -> io::Result<u8> {
    let mut file = File::open(path)?;
    let _position = file.seek(SeekFrom::End(-1))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use isobar_topology::testing::{Fate, Input, PreparedForTest};
    use isobar_topology::{Batch, Bolt};
    use serde_json::{Value, json};

    use super::*;
    use crate::scratch::Scratch;

    fn prepared(scratch: &Scratch, options: &Value) -> PreparedForTest {
        PreparedForTest::with_connections(&TYPE, options, &Value::Null, scratch.path())
            .expect("good options")
    }

    fn appender(scratch: &Scratch) -> Appender {
        Appender {
            path: scratch.path().join("a.txt"),
            sync: false,
            open: None,
        }
    }

    #[tokio::test]
    async fn records_are_appended_to_a_file_in_a_directory_that_is_made() {
        let scratch = Scratch::new();
        for sync in [false, true] {
            let options = json!({"path": "new/deep/a.ndjson", "sync": sync});
            let mut bolt = prepared(&scratch, &options);
            let inputs = [Input::document("{\"a\":1}"), Input::document("{\"b\":2}")];
            assert!(bolt.run(&inputs).await.is_empty(), "a sink emits nothing");
            assert_eq!(bolt.harness.fates(), Some(vec![Fate::Delivered; 2]));
        }
        let text = "{\"a\":1}\n{\"b\":2}\n";
        assert_eq!(scratch.read("new/deep/a.ndjson"), text.repeat(2));
    }

    #[tokio::test]
    async fn what_cannot_be_written_fails_and_is_said() {
        let scratch = Scratch::new();
        scratch.replace("a", "a file, not a directory");
        let options = json!({"path": "a/b", "format": "payload"});
        let mut bolt = prepared(&scratch, &options);
        let mut sink = bolt.make();
        sink.open().await.expect("records wait, the lane does not");
        let before = bolt.health.conditions()[0].text.clone();
        let batch: Batch = bolt.harness.batch(&[Input::raw("x")]);
        let mut out = bolt.harness.emitter();
        let error = sink
            .process(batch, &mut out)
            .await
            .expect_err("cannot be made");
        assert_eq!(error.to_string(), before);
        assert_eq!(error.domain, isobar_topology::Domain::External);
        let file = scratch.path().join("a/b");
        let text = format!("cannot write to {}: ", file.display());
        assert!(error.to_string().starts_with(&text), "{error}");
        assert_eq!(bolt.harness.fates(), Some(vec![Fate::Failed]));
        assert_eq!(bolt.health.conditions()[0].text, error.to_string());
    }

    #[test]
    fn one_file_is_one_target_however_it_is_written() {
        let scratch = Scratch::new();
        let owns = |path: &str| {
            let bolt = prepared(&scratch, &json!({"path": path}));
            bolt.prepared.owns.expect("a file")
        };
        assert_eq!(owns("out/a"), owns("./out//a"));
        assert_ne!(owns("out/a"), owns("out/b"));
    }

    #[test]
    fn one_path_is_asked_for() {
        let scratch = Scratch::new();
        for path in ["", "logs-{{ doc.host }}.txt"] {
            let options = json!({"path": path});
            let problems =
                PreparedForTest::with_connections(&TYPE, &options, &Value::Null, scratch.path());
            let text = problems.err().expect("no path").to_string();
            assert!(text.contains("bolts.bolt.path"), "{text}");
        }
    }

    #[test]
    fn a_line_that_was_cut_short_gets_an_end() {
        let scratch = Scratch::new();
        scratch.replace("a.txt", "one\ntw");
        let mut appender = appender(&scratch);
        appender.write(b"two\n").expect("can be written");
        appender.write(b"three\n").expect("can be written");
        assert_eq!(scratch.read("a.txt"), "one\ntw\ntwo\nthree\n");
    }

    #[test]
    fn a_file_that_is_removed_is_made_again() {
        let scratch = Scratch::new();
        let mut appender = appender(&scratch);
        appender.write(b"one\n").expect("can be written");
        std::fs::remove_file(scratch.path().join("a.txt")).expect("is there");
        appender.write(b"two\n").expect("can be written");
        assert_eq!(scratch.read("a.txt"), "two\n");
    }

    #[test]
    fn a_second_writer_waits_until_the_first_is_gone() {
        let scratch = Scratch::new();
        let mut first = appender(&scratch);
        first.write(b"one\n").expect("can be written");
        let mut second = appender(&scratch);
        let error = second.write(b"two\n").expect_err("is locked");
        assert!(
            error
                .to_string()
                .starts_with("another bolt or program is writing to it")
        );
        drop(first);
        second.write(b"two\n").expect("is free");
        assert_eq!(scratch.read("a.txt"), "one\ntwo\n");
    }

    #[test]
    fn a_full_disk_fails_and_is_tried_again() {
        let mut full = Appender {
            path: "/dev/full".into(),
            sync: false,
            open: None,
        };
        full.open().expect("it can be opened");
        let error = full.write(b"line\n").expect_err("nothing fits");
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(full.open.is_none(), "it is opened anew next time");
    }

    #[test]
    fn lines_of_several_lanes_stay_whole() {
        let scratch = Scratch::new();
        let appender = Mutex::new(appender(&scratch));
        std::thread::scope(|threads| {
            for letter in ["a", "b", "c", "d"] {
                let appender = &appender;
                let _handle = threads.spawn(move || {
                    for length in 1..100 {
                        let lines = format!("{}\n", letter.repeat(length)).repeat(3);
                        let mut appender = appender.lock().expect("no panic");
                        appender.write(lines.as_bytes()).expect("can be written");
                    }
                });
            }
        });
        let text = scratch.read("a.txt");
        assert_eq!(text.lines().count(), 4 * 99 * 3);
        let is_whole = |line: &str| line.bytes().all(|byte| byte == line.as_bytes()[0]);
        assert!(text.lines().all(is_whole));
    }
}
