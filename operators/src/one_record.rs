//! What tests of bolts share that look at one record: what the bolt makes of it, and what is wrong with
//! options.

use isobar_topology::testing::{Emitted, Input, PreparedForTest};
use isobar_topology::{BoltType, Stream, json};
use serde_json::Value;

/// Document and event time after a bolt with these options, or class and reason of the rejection.
pub(crate) fn run(
    kind: &BoltType,
    options: &Value,
    input: Input,
) -> Result<(Value, Option<i64>), String> {
    let mut emitted = emitted(kind, options, &[input]);
    let record = emitted.pop().expect("a record comes out");
    assert!(emitted.is_empty(), "one record comes out");
    if let Some(rejection) = record.rejection {
        assert_eq!(record.stream, Stream::REJECTED);
        return Err(format!("{}: {}", rejection.class, rejection.reason));
    }
    let document = record.document.expect("a document");
    // Which also refuses keys that repeat.
    let scanned = json::scan_object(document.as_bytes(), |_| {});
    assert_eq!(scanned.err(), None, "{document}");
    let document = serde_json::from_str(&document).expect("was scanned");
    Ok((document, record.event_time))
}

/// Everything that a bolt with these options emits for records in one batch.
pub(crate) fn emitted(kind: &BoltType, options: &Value, inputs: &[Input]) -> Vec<Emitted> {
    let mut bolt = PreparedForTest::new(kind, options).expect("good options");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(bolt.run(inputs))
}

/// Checks that a bolt refuses these options with exactly these problems, one per line.
pub(crate) fn check_problems(kind: &BoltType, options: &Value, expected: &[&str]) {
    let problems = PreparedForTest::new(kind, options).err();
    let problems = problems.expect("these options are wrong").to_string();
    assert_eq!(problems, expected.join("\n"));
}
