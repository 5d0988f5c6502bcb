//! `console`: writes records to standard output, one per line.

use std::io::{self, Write};
use std::sync::Arc;

use isobar_topology::spec::{Component, Problems, parse_config};
use isobar_topology::{AnyBolt, BoltType, DocumentUse, Example, LetterUse, Prepare, PreparedBolt};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::lines::{self, LineFormat, LineSink, SharedWriter, WriteLines};

pub(super) const TYPE: BoltType = BoltType {
    name: "console",
    schema: || schemars::schema_for!(ConsoleConfig),
    example: EXAMPLE,
    side_effects: true,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: console
inputs: [parse]
format: document
",
    &[r#"{"level":"warn","message":"slow"}"#],
);

/// Writes every record to standard output, one per line.
///
/// For trying a topology out and for piping records into another program. Records that were rejected
/// are written as dead letters: one JSON object with the reason, where the record comes from, and the
/// record itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsoleConfig {
    /// `document`: the document as JSON on one line. `payload`: the record's value as it was read; one
    /// that has line ends in it takes several lines, and a tombstone is an empty line. Default
    /// `document`.
    #[serde(default)]
    format: LineFormat,
}

fn prepare(component: &Component, _prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let ConsoleConfig { format } = parse_config(&component.config, &component.path)?;
    let writer = SharedWriter::new("standard output".to_owned(), StandardOutput);
    Ok(PreparedBolt {
        emits: false,
        document: document_use(format),
        letters: LetterUse::Writes,
        rehearsal: lines::rehearsal("console", "standard output", format),
        memory_per_lane: LineSink::<StandardOutput>::MEMORY,
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(LineSink::new(&writer, format, &context))
        }))
    })
}

/// What lines of this format need.
pub(super) fn document_use(format: LineFormat) -> DocumentUse {
    match format {
        LineFormat::Document => DocumentUse::Needs,
        LineFormat::Payload => DocumentUse::Any,
    }
}

/// Records are what this sink prints: everything else that is printed is printed by the program.
struct StandardOutput;

impl WriteLines for StandardOutput {
    fn open(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut output = io::stdout().lock();
        output.write_all(lines)?;
        output.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use isobar_topology::testing::{Input, PreparedForTest};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn prints() {
        let mut bolt = PreparedForTest::new(&TYPE, &json!({})).expect("good options");
        let inputs = [
            Input::document("{\"printed\": 1}"),
            Input::document("{\"printed\": 2}"),
        ];
        let emitted = bolt.run(&inputs).await;
        assert!(emitted.is_empty(), "a sink emits nothing");
        assert!(bolt.harness.fates().is_some());
    }

    #[test]
    fn lines_are_on_standard_output() {
        let program = std::env::current_exe().expect("tests are programs");
        let output = Command::new(program)
            .args(["--exact", "bolts::console::tests::prints", "--nocapture"])
            .output()
            .expect("this program runs");
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains("{\"printed\": 1}\n{\"printed\": 2}\n"),
            "{text}"
        );
    }
}
