//! What an operator says when it cannot do its work: who must act, and whether trying again helps.
//!
//! Knows nothing of batches; the runtime attaches an error to the records that it concerns.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// Who must act on a failure. Labels the metrics, and decides whether an attempt counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// The record or the configuration is wrong.
    User,
    /// An outside system is unreachable, overloaded or refuses for now. Never counts as an attempt:
    /// an outage dead-letters nothing.
    External,
    /// A fault of this program.
    Internal,
}

impl Domain {
    /// The label used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Domain::User => "user",
            Domain::External => "external",
            Domain::Internal => "internal",
        }
    }
}

/// Whether the same input could succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Try again after a back-off.
    Backoff,
    /// The same input will fail each time: reject it.
    Never,
}

/// The error of a spout or bolt.
///
/// `context` is one sentence that names what was tried, on what, and what to do about it. It never
/// contains secrets.
pub struct OperatorError {
    /// Who must act.
    pub domain: Domain,
    /// Whether to try again.
    pub retry: Retry,
    /// What was tried and on what.
    pub context: String,
    /// Index or topic, and document id, that the record was tried with: for its dead letter, should it be
    /// given up.
    pub tried: Option<(Arc<str>, Option<String>)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl OperatorError {
    /// The record or the configuration is wrong and stays wrong.
    pub fn user(context: impl Into<String>) -> Self {
        Self::new(Domain::User, Retry::Never, context)
    }

    /// An outside system failed; trying again is right.
    pub fn external(context: impl Into<String>) -> Self {
        Self::new(Domain::External, Retry::Backoff, context)
    }

    /// A fault of this program; it is tried again a bounded number of times.
    pub fn internal(context: impl Into<String>) -> Self {
        Self::new(Domain::Internal, Retry::Backoff, context)
    }

    /// Attaches the cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the index and id that the record was tried with.
    pub fn tried(mut self, target: Arc<str>, document_id: Option<String>) -> Self {
        self.tried = Some((target, document_id));
        self
    }

    fn new(domain: Domain, retry: Retry, context: impl Into<String>) -> Self {
        Self {
            domain,
            retry,
            context: context.into(),
            tried: None,
            source: None,
        }
    }
}

impl fmt::Display for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}: {self}", self.domain, self.retry)
    }
}

impl StdError for OperatorError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}
