//! Carries librdkafka's own log lines into `tracing`, so that they appear in the program's format.
//!
//! Every client context of this layer forwards to here; nothing is decided on these lines.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The facility of connections that failed. It is told again and again while a broker is away; the client's
/// error callback has the same, and conditions and answers say it once.
const FAIL: &str = "FAIL";

/// Writes one line of librdkafka's log; its levels below notice become debug lines, as do connections that
/// failed.
pub(crate) fn forward(level: RDKafkaLogLevel, facility: &str, text: &str) {
    match level {
        _ if facility == FAIL => tracing::debug!(target: "librdkafka", facility, "{text}"),
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => {
            tracing::warn!(target: "librdkafka", facility, "{text}");
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(target: "librdkafka", facility, "{text}");
        }
    }
}

/// The context of clients that ask and never consume or produce: logs, and remembers the last
/// failure of a connection, to explain a question that got no answer.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    failure: Mutex<Option<String>>,
}

impl Asking {
    /// Returns the last failure, which names the broker and the cause. librdkafka keeps repeated
    /// ones to itself for a while, so it stands until something works.
    pub(crate) fn failure(&self) -> Option<String> {
        lock(&self.failure).clone()
    }

    /// Notes that something worked.
    pub(crate) fn works(&self) {
        *lock(&self.failure) = None;
    }
}

impl rdkafka::ClientContext for Asking {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        forward(level, facility, text);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        // "All brokers are down" says less than the failure of the last one.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *lock(&self.failure) = Some(reason.to_owned());
        }
    }
}

impl rdkafka::consumer::ConsumerContext for Asking {}

/// Locks, also after a panic elsewhere: what these locks guard is whole at every moment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
