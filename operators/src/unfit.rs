//! What becomes of records whose field does not fit a parser, as its option `on_invalid` says: beside the
//! lines that a parser is for there are often others in a field, such as stack traces between lines of JSON.

use isobar_topology::spec::{Component, Problem};
use isobar_topology::{Batch, BoltContext, Counter, Emitter, RecordMut, Rejection, Verdict};
use schemars::JsonSchema;
use serde::Deserialize;

/// What becomes of a record whose field does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnInvalid {
    /// It is rejected.
    #[default]
    Reject,
    /// It stays as it is, and is counted.
    Keep,
}

impl OnInvalid {
    /// Refuses the option where there is no `field`: a record without a document is of no use to anybody.
    pub(crate) fn check(field: Option<&str>, component: &Component) -> Result<(), Problem> {
        match (field, component.config.get("on_invalid")) {
            (None, Some(option)) => {
                let path = component.path.key("on_invalid");
                let problem = Problem::new(path, "`on_invalid` is given without `field`");
                let problem = problem.expected("`field`, the field with the text");
                Err(problem.at(option.place))
            }
            _ => Ok(()),
        }
    }
}

/// Keeps or rejects records that do not fit.
#[derive(Clone, Debug)]
pub(crate) struct Unfit {
    /// Those that were kept; `None` where they are rejected.
    kept: Option<Counter>,
}

impl Unfit {
    pub(crate) fn new(on_invalid: OnInvalid, context: &BoltContext) -> Self {
        let counter = || {
            context.counters.counter(
                "unparsed_fields",
                "Records whose field did not fit and that were kept as they were.",
            )
        };
        Self {
            kept: (on_invalid == OnInvalid::Keep).then(counter),
        }
    }

    /// Keeps the records that `parse` takes, which changes none that it does not take.
    #[inline]
    pub(crate) fn judge(
        &self,
        batch: Batch,
        out: &mut Emitter,
        mut parse: impl FnMut(&mut RecordMut<'_>) -> Result<(), Rejection>,
    ) {
        batch.judge(out, |record| {
            match parse(record).or_else(|no| self.decide(no)) {
                Ok(()) => Verdict::Keep,
                Err(rejection) => Verdict::Reject(rejection),
            }
        });
    }

    /// What becomes of a record that does not fit; what is kept is counted.
    #[cold]
    pub(crate) fn decide(&self, rejection: Rejection) -> Result<(), Rejection> {
        let kept = self.kept.as_ref().ok_or(rejection)?;
        kept.add(1);
        Ok(())
    }
}
