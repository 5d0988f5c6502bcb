//! Records as lines of text, and the bolt of sinks that write lines: to a file, to standard output.
//!
//! Knows neither; a sink gives the writer. Writing may wait, so it goes on beside the lanes.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use isobar_topology::{
    Answer, Batch, Bolt, BoltContext, Draft, Emitter, Health, NoDocument, OperatorError, Part,
    Record, Rejection,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::letter;

/// What a line is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LineFormat {
    /// The document, as JSON.
    #[default]
    Document,
    /// The record's value as it was read.
    Payload,
}

/// Where lines go.
pub(crate) trait WriteLines: Send + 'static {
    /// Makes ready to write, so that what is wrong shows before anything is read.
    fn open(&mut self) -> io::Result<()>;

    /// Writes whole lines; returns when they are where they should be. What was written of lines that
    /// failed may be written again.
    fn write(&mut self, lines: &[u8]) -> io::Result<()>;
}

/// A writer that all lanes use in turn.
pub(crate) struct SharedWriter<W> {
    /// What it writes to, for people.
    name: String,
    state: Mutex<State<W>>,
}

struct State<W> {
    writer: W,
    /// The last write failed.
    failing: bool,
}

/// The condition of a bolt whose writer fails.
const WRITING: &str = "writing";

impl<W: WriteLines> SharedWriter<W> {
    pub(crate) fn new(name: String, writer: W) -> Arc<Self> {
        let failing = false;
        Arc::new(Self {
            name,
            state: Mutex::new(State { writer, failing }),
        })
    }

    /// Makes ready, or writes these lines; says how the writer is.
    fn work(&self, lines: Option<&[u8]>, bolt: &str, health: &Health) -> Result<(), OperatorError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match lines {
            None => state.writer.open(),
            Some(lines) => state.writer.write(lines),
        };
        let written = written.map_err(|error| self.error(error));
        match &written {
            Err(error) => health.set(bolt, WRITING, error.to_string()),
            Ok(()) if state.failing => health.clear(bolt, WRITING),
            Ok(()) => {}
        }
        state.failing = written.is_err();
        written
    }

    fn error(&self, error: io::Error) -> OperatorError {
        OperatorError::external(format!("cannot write to {}", self.name)).with_source(error)
    }
}

/// The bolt of a sink that writes lines. It answers for records when their lines are written.
pub(crate) struct LineSink<W> {
    writer: Arc<SharedWriter<W>>,
    format: LineFormat,
    topology: Arc<str>,
    bolt: Arc<str>,
    health: Health,
    lines: Vec<u8>,
    /// When to look again whether the writer is well, so that this shows without a record.
    look_again: Option<Instant>,
}

/// Between two looks at a writer that fails.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl<W: WriteLines> LineSink<W> {
    /// Lines of so many bytes are written at once; a record that is longer alone.
    const PORTION: usize = 1 << 20;

    /// Bytes that each lane holds at most, as long as no record is longer than a portion.
    pub(crate) const MEMORY: usize = 2 * Self::PORTION;

    pub(crate) fn new(
        writer: &Arc<SharedWriter<W>>,
        format: LineFormat,
        context: &BoltContext,
    ) -> Self {
        Self {
            writer: Arc::clone(writer),
            format,
            topology: Arc::clone(&context.topology),
            bolt: Arc::clone(&context.id),
            health: context.health.clone(),
            lines: Vec::new(),
            look_again: None,
        }
    }

    async fn write(&mut self) -> Result<(), OperatorError> {
        let (writer, bolt) = (Arc::clone(&self.writer), Arc::clone(&self.bolt));
        let (lines, health) = (std::mem::take(&mut self.lines), self.health.clone());
        let work = tokio::task::spawn_blocking(move || {
            let written = writer.work(Some(&lines), &bolt, &health);
            (lines, written)
        });
        let (lines, written) = work.await.map_err(fault)?;
        self.lines = lines;
        self.lines.clear();
        // One huge record must not keep its memory for ever.
        self.lines.shrink_to(Self::MEMORY);
        self.look_again = written.is_err().then(|| clock::now() + LOOK_AGAIN_AFTER);
        written
    }

    /// Makes ready to write. A writer that cannot is said, and waited for with each batch: a bolt that
    /// did not open would stop the lanes whose records lead here, and good records with them.
    async fn look(&mut self) -> Result<(), OperatorError> {
        let (writer, bolt) = (Arc::clone(&self.writer), Arc::clone(&self.bolt));
        let health = self.health.clone();
        let work = tokio::task::spawn_blocking(move || writer.work(None, &bolt, &health));
        let is_away = work.await.map_err(fault)?.is_err();
        self.look_again = is_away.then(|| clock::now() + LOOK_AGAIN_AFTER);
        Ok(())
    }
}

fn fault(error: tokio::task::JoinError) -> OperatorError {
    OperatorError::internal("writing ended by a fault").with_source(error)
}

impl<W: WriteLines> Bolt for LineSink<W> {
    async fn open(&mut self) -> Result<(), OperatorError> {
        self.look().await
    }

    fn deadline(&self) -> Option<Instant> {
        self.look_again
    }

    async fn flush(&mut self, _out: &mut Emitter) -> Result<(), OperatorError> {
        match self.look_again {
            Some(_) => self.look().await,
            None => Ok(()),
        }
    }

    async fn process(&mut self, batch: Batch, _out: &mut Emitter) -> Result<(), OperatorError> {
        self.lines.clear();
        for row in 0..batch.len() {
            let record = batch.record(row);
            match batch.rejection(row) {
                Some(rejection) => {
                    letter::write(&mut self.lines, &self.topology, record, rejection)
                }
                None => write_record(&mut self.lines, record, self.format)
                    .map_err(|missing| OperatorError::user(missing.to_string()))?,
            }
            self.lines.push(b'\n');
            if self.lines.len() >= Self::PORTION {
                self.write().await?;
            }
        }
        if !self.lines.is_empty() {
            self.write().await?;
        }
        batch.answer(Answer::Delivered);
        Ok(())
    }
}

/// How sinks that write lines take part in a rehearsal; `target` is what they write to.
pub(crate) fn rehearsal(kind: &'static str, target: &str, format: LineFormat) -> Option<Part> {
    let target = target.to_owned();
    Some(Part::Drafts(Arc::new(move |_| {
        let target = target.clone();
        Box::new(move |batch| {
            let mut line = Vec::new();
            write_record(&mut line, batch.record(0), format)
                .map_err(|missing| Rejection::new("refused", missing.to_string()))?;
            Ok(Draft {
                kind,
                target: target.clone(),
                content: Some(line),
                ..Draft::default()
            })
        })
    })))
}

/// Appends what `format` says of a record. A tombstone has an empty payload.
fn write_record(
    out: &mut Vec<u8>,
    record: Record<'_>,
    format: LineFormat,
) -> Result<(), NoDocument> {
    if format == LineFormat::Payload {
        out.extend_from_slice(record.payload().unwrap_or_default());
        return Ok(());
    }
    let start = out.len();
    if !record.write(out) {
        return Err(NoDocument);
    }
    // Between the parts of a document line ends are space; inside of its texts they are escaped.
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use isobar_topology::testing::{Fate, Harness, Input};
    use isobar_topology::{Condition, Symbols};

    use super::*;

    /// Keeps what is written; fails while `away`.
    #[derive(Default)]
    struct Memory {
        written: Vec<Vec<u8>>,
        away: bool,
    }

    impl WriteLines for Memory {
        fn open(&mut self) -> io::Result<()> {
            self.write(b"")
        }

        fn write(&mut self, lines: &[u8]) -> io::Result<()> {
            if self.away {
                return Err(io::Error::other("no room"));
            }
            self.written.push(lines.to_vec());
            Ok(())
        }
    }

    struct Fixture {
        writer: Arc<SharedWriter<Memory>>,
        sink: LineSink<Memory>,
        harness: Harness,
        health: Health,
    }

    impl Fixture {
        fn new(format: LineFormat) -> Self {
            let writer = SharedWriter::new("memory".to_owned(), Memory::default());
            let health = Health::default();
            let sink = LineSink {
                writer: Arc::clone(&writer),
                format,
                topology: "access-logs".into(),
                bolt: "out".into(),
                health: health.clone(),
                lines: Vec::new(),
                look_again: None,
            };
            Self {
                writer,
                sink,
                harness: Harness::new(Symbols::new()),
                health,
            }
        }

        fn set_away(&self, away: bool) {
            self.writer.state.lock().expect("no panic").writer.away = away;
        }

        fn written(&self) -> Vec<Vec<u8>> {
            std::mem::take(&mut self.writer.state.lock().expect("no panic").writer.written)
        }

        async fn process(&mut self, inputs: &[Input]) -> (Result<(), OperatorError>, Vec<Fate>) {
            let batch = self.harness.batch(inputs);
            let mut out = self.harness.emitter();
            let result = self.sink.process(batch, &mut out).await;
            (result, self.harness.fates().expect("the batch is answered"))
        }
    }

    #[tokio::test]
    async fn a_document_is_one_line_however_it_was_written() {
        let mut fixture = Fixture::new(LineFormat::Document);
        let pretty = "{\r\n  \"a\": \"x\\ny\",\n  \"b\": 1\n}\n";
        let (result, fates) = fixture
            .process(&[Input::document(pretty), Input::document("{}")])
            .await;
        assert!(result.is_ok());
        assert_eq!(fates, [Fate::Delivered; 2]);
        let text = fixture.written().concat();
        assert_eq!(text, b"{    \"a\": \"x\\ny\",   \"b\": 1}\n{}\n");
    }

    #[tokio::test]
    async fn a_payload_is_written_as_it_is_and_a_tombstone_is_an_empty_line() {
        let mut fixture = Fixture::new(LineFormat::Payload);
        let inputs = [Input::raw(b"\xFFa"), Input::default(), Input::raw("")];
        let (result, fates) = fixture.process(&inputs).await;
        assert!(result.is_ok());
        assert_eq!(fates, [Fate::Delivered; 3]);
        assert_eq!(fixture.written().concat(), b"\xFFa\n\n\n");
    }

    #[tokio::test]
    async fn a_record_without_document_fails_as_its_own_fault() {
        let mut fixture = Fixture::new(LineFormat::Document);
        let (result, fates) = fixture.process(&[Input::raw("{}")]).await;
        let error = result.expect_err("no parser ran");
        assert_eq!(error.domain, isobar_topology::Domain::User);
        assert_eq!(fates, [Fate::Failed]);
        assert!(fixture.written().is_empty());
    }

    #[tokio::test]
    async fn what_was_rejected_is_a_dead_letter_until_a_bolt_makes_a_document_of_it() {
        let mut fixture = Fixture::new(LineFormat::Document);
        let rejection = Rejection::new("invalid_json", "no JSON");
        let inputs = [Input::raw("a=1"), Input::raw("a=2")];
        let mut batch = fixture.harness.letters(&inputs, &rejection);
        let mended = batch.record_mut(0).adopt_object(br#"{"a":"1"}"#);
        mended.expect("an object");
        let mut out = fixture.harness.emitter();
        let result = fixture.sink.process(batch, &mut out).await;
        assert!(result.is_ok());
        let text = String::from_utf8(fixture.written().concat()).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (2, r#"{"a":"1"}"#));
        assert!(lines[1].contains(r#""class":"invalid_json""#), "{text}");
    }

    #[tokio::test]
    async fn a_writer_that_fails_is_waited_for_and_says_so() {
        let mut fixture = Fixture::new(LineFormat::Payload);
        fixture.set_away(true);
        for _attempt in 0..2 {
            let (result, fates) = fixture.process(&[Input::raw("a")]).await;
            let error = result.expect_err("is away");
            assert_eq!(error.domain, isobar_topology::Domain::External);
            assert_eq!(fates, [Fate::Failed]);
        }
        let conditions = fixture.health.conditions();
        let text = |c: &Condition| (c.component.clone(), c.kind, c.text.clone());
        let expected = (
            "out".to_owned(),
            "writing",
            "cannot write to memory: no room".to_owned(),
        );
        assert_eq!(conditions.iter().map(text).collect::<Vec<_>>(), [expected]);

        fixture.set_away(false);
        let (result, _) = fixture.process(&[Input::raw("a")]).await;
        assert!(result.is_ok());
        assert_eq!(fixture.written(), [b"a\n"]);
        assert_eq!(fixture.health.conditions(), []);
    }

    #[tokio::test]
    async fn a_writer_that_is_away_lets_the_bolt_open_and_is_looked_at_again() {
        let mut fixture = Fixture::new(LineFormat::Payload);
        fixture.set_away(true);
        assert!(fixture.sink.open().await.is_ok(), "or the lane would stop");
        assert_eq!(fixture.health.conditions()[0].kind, "writing");
        let (result, fates) = fixture.process(&[Input::raw("a")]).await;
        assert!(result.is_err());
        assert_eq!(fates, [Fate::Failed]);

        fixture.set_away(false);
        assert!(fixture.sink.deadline().is_some());
        let mut out = fixture.harness.emitter();
        assert!(fixture.sink.flush(&mut out).await.is_ok());
        assert_eq!(fixture.health.conditions(), [], "no record was needed");
        assert_eq!(fixture.sink.deadline(), None);
    }

    #[tokio::test]
    async fn large_batches_are_written_in_portions_of_whole_lines() {
        let mut fixture = Fixture::new(LineFormat::Payload);
        let line = "x".repeat(400_000);
        let huge = "y".repeat(5 << 20);
        let inputs = [&line, &line, &line, &line, &huge, &line].map(Input::raw);
        let (result, _) = fixture.process(&inputs).await;
        assert!(result.is_ok());
        let written = fixture.written();
        let lengths: Vec<usize> = written.iter().map(Vec::len).collect();
        assert_eq!(lengths, [3 * 400_001, 400_001 + (5 << 20) + 1, 400_001]);
        assert!(written.iter().all(|lines| lines.ends_with(b"\n")));
        assert!(fixture.sink.lines.capacity() <= LineSink::<Memory>::MEMORY);
    }
}
