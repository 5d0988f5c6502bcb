//! Settings of a topology as a whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{ByteSize, Duration};

/// Bounds and paces of a topology. All optional.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Lanes: threads that each read their own partitions and run their own copy of the bolts.
    /// Default: the number of processor cores. From 1 to 255.
    #[schemars(range(min = 1, max = 255))]
    pub lanes: Option<usize>,
    /// Attempts before a record is rejected. Only failures that are the record's own fault count,
    /// never an outage. Default 5.
    #[schemars(range(min = 1, max = 1000))]
    pub max_attempts: u32,
    /// First wait before failed records are sent again; doubles each time. Default 100ms.
    pub retry_initial: Duration,
    /// Longest wait before failed records are sent again. Default 30s.
    pub retry_max: Duration,
    /// How long a stop waits for what is in flight. Default 30s.
    pub drain_timeout: Duration,
    /// Batches that wait at most on each edge that is not fused. Default 4.
    #[schemars(range(min = 1, max = 10000))]
    pub queue_batches: usize,
    /// Bytes that wait at most on each edge that is not fused. Default 8MiB.
    pub queue_bytes: ByteSize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lanes: None,
            max_attempts: 5,
            retry_initial: Duration::millis(100),
            retry_max: Duration::secs(30),
            drain_timeout: Duration::secs(30),
            queue_batches: 4,
            queue_bytes: ByteSize::mib(8),
        }
    }
}
