//! One bolt, made as a topology file would make it, and what becomes of a single record in it.

use std::cell::RefCell;

use isobar_topology::AnyBolt;
use isobar_topology::spec::Problems;
use isobar_topology::testing::{Emitted, Fate, Input, PreparedForTest};
use serde_json::Value;

use super::against_serde;

/// A bolt and the harness that runs it.
pub struct Bolt(RefCell<Made>);

struct Made {
    bolt: AnyBolt,
    test: PreparedForTest,
    runtime: tokio::runtime::Runtime,
}

/// What became of a record.
pub struct Ended {
    emitted: Vec<Emitted>,
    fates: Vec<Fate>,
}

impl Bolt {
    /// A bolt whose options are good.
    pub fn new(kind: &str, options: Value) -> Self {
        Self::try_new(kind, &options).expect("good options")
    }

    /// A bolt, or why its options are refused.
    pub fn try_new(kind: &str, options: &Value) -> Result<Self, Problems> {
        let registry = isobar_operators::registry();
        let kind = registry.bolt(kind).expect("a known type");
        let test = PreparedForTest::new(kind, options).inspect_err(|problems| {
            assert!(!problems.to_string().is_empty(), "a problem has a text");
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without I/O always starts");
        let bolt = test.make();
        Ok(Self(RefCell::new(Made {
            bolt,
            test,
            runtime,
        })))
    }

    /// Gives it a record that no parser has seen.
    pub fn raw(&self, payload: &[u8]) -> Ended {
        self.run(Input::raw(payload))
    }

    /// Gives it a document, which is valid.
    pub fn document(&self, json: &str) -> Ended {
        self.run(Input::document(json))
    }

    fn run(&self, input: Input) -> Ended {
        let Made {
            bolt,
            test,
            runtime,
        } = &mut *self.0.borrow_mut();
        let emitted = runtime.block_on(test.harness.run(bolt, &[input]));
        let fates = test.harness.fates().expect("every record is answered");
        Ended { emitted, fates }
    }
}

impl Ended {
    /// Asserts that there is one end to it: a document that is valid JSON and repeats no key, a reject
    /// with a reason, or a drop.
    pub fn is_sound(&self) {
        match (self.emitted.as_slice(), self.fates.as_slice()) {
            ([], [Fate::Dropped(_)]) => {}
            ([one], [Fate::Delivered]) => {
                let document = one.document.as_deref().expect("a document");
                let is_document = against_serde::is_document(document.as_bytes());
                assert!(is_document, "no document: {document}");
            }
            ([one], [Fate::DeadLettered]) => {
                let why = one.rejection.as_ref().expect("rejects have a reason");
                assert!(!why.reason.is_empty() && !why.class.is_empty());
            }
            other => panic!("neither passed, rejected nor dropped: {other:?}"),
        }
    }

    /// Asserts that each part of it is a document that is valid and repeats no key, or a reject with a reason.
    pub fn parts_are_sound(&self) {
        assert_eq!(self.fates.len(), 1, "the record has one end");
        for one in &self.emitted {
            match (&one.rejection, one.document.as_deref()) {
                (Some(why), _) => assert!(!why.reason.is_empty() && !why.class.is_empty()),
                (None, Some(document)) => {
                    let is_document = against_serde::is_document(document.as_bytes());
                    assert!(is_document, "no document: {document}");
                }
                (None, None) => panic!("a part of a document is one"),
            }
        }
    }

    /// The document that went on; `None` where the record was rejected or dropped.
    pub fn document(&self) -> Option<&str> {
        self.is_sound();
        let passed = self.fates == [Fate::Delivered];
        let one = self.emitted.first().filter(|_| passed)?;
        one.document.as_deref()
    }

    /// The time of the event, if the record went on.
    pub fn event_time(&self) -> Option<i64> {
        self.emitted.first().and_then(|one| one.event_time)
    }
}
