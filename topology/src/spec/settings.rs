//! Settings of a topology as a whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::parse_config;
use super::mended::check_all;
use super::problem::{Path, Problem, Problems};
use super::tree::Node;
use super::units::{ByteSize, Duration, Percent};

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
    /// First back-off before failed records are sent again; doubles each time. The wait is random, from
    /// 0 to the back-off, so that what failed at one moment does not come back at one moment. From 1ms to
    /// 1h. Default 100ms.
    pub retry_initial: Duration,
    /// Longest back-off before failed records are sent again. What waits for a host or an index that takes
    /// nothing is sent as soon as that is over, whatever its back-off. From `retry_initial` to 1h. Default
    /// 30s.
    pub retry_max: Duration,
    /// How much of what is read within a time may be dead-lettered, such as `{ratio: 5%, over: 1m}`;
    /// 100 records within it may in any case, and a batch with more than is allowed when nothing else
    /// did. Records that were only given up, after `on_held`, do not count. What is above that waits, and `/readyz` says so, so that a bad deploy does not dead-letter a
    /// whole stream. By default everything may.
    pub reject_limit: Option<RejectLimitSettings>,
    /// How long a stop waits for what is in flight. Default 30s.
    pub drain_timeout: Duration,
    /// Batches that wait at most on each edge that is not fused. Default 4.
    #[schemars(range(min = 1, max = 10000))]
    pub queue_batches: usize,
    /// Bytes that wait at most on each edge that is not fused; one batch is let in however large it is.
    /// From 1KiB to 1GiB. Default 8MiB.
    pub queue_bytes: ByteSize,
}

/// How much of what is read may be dead-lettered.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectLimitSettings {
    /// The part of the records that were read, such as `5%`.
    pub ratio: Percent,
    /// Within which time, from 1s to 24h.
    pub over: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lanes: None,
            max_attempts: 5,
            retry_initial: Duration::millis(100),
            retry_max: Duration::secs(30),
            reject_limit: None,
            drain_timeout: Duration::secs(30),
            queue_batches: 4,
            queue_bytes: ByteSize::mib(8),
        }
    }
}

impl Settings {
    /// Reads the mapping `settings` of a file.
    pub(super) fn read(node: &Node) -> Result<Self, Problems> {
        let path = Path::root().key("settings");
        let schema = || schemars::schema_for!(Settings);
        let read = check_all(node, &path, schema, |node| {
            let settings: Settings = parse_config(node, &path)?;
            settings.out_of_range(&path).or(settings)
        });
        let settings = read.map_err(|refused| refused.problems)?;
        match settings.longest_is_below_first(node, &path) {
            Some(problem) => Err(problem.into()),
            None => Ok(settings),
        }
    }

    /// A longest back-off below the first one: said of what the file has, as one of both may be a default.
    fn longest_is_below_first(&self, node: &Node, path: &Path) -> Option<Problem> {
        let (first, longest) = (self.retry_initial, self.retry_max);
        let problem = |option: &str, message: String| Problem::new(path.key(option), message);
        let default = |option: &str| match node.get(option) {
            Some(_) => "",
            None => ", the default",
        };
        let (of_first, of_longest) = (default("retry_initial"), default("retry_max"));
        (longest < first).then(|| match of_first {
            "" => problem(
                "retry_initial",
                format!("{first} is above `retry_max` ({longest}{of_longest})"),
            )
            .expected(format!("at most {longest}, or a larger `retry_max`")),
            _ => problem(
                "retry_max",
                format!("{longest} is below `retry_initial` ({first}{of_first})"),
            )
            .expected(format!("at least {first}, or a smaller `retry_initial`")),
        })
    }

    /// Values that are not in their range; `path` is where the settings are.
    fn out_of_range(&self, path: &Path) -> Problems {
        let hour = Duration::secs(3_600);
        let at = |option: &str| path.key(option);
        let mut problems = Problems::default();
        let first = self.retry_initial;
        let least = Duration::millis(1);
        problems.extend([
            Problem::out_of_range(at("retry_initial"), first, least, hour),
            Problem::out_of_range(at("retry_max"), self.retry_max, least, hour),
            Problem::out_of_range(
                at("queue_bytes"),
                self.queue_bytes,
                ByteSize::bytes(1 << 10),
                ByteSize::mib(1 << 10),
            ),
        ]);
        if let Some(limit) = &self.reject_limit {
            let (least, most) = (Duration::secs(1), Duration::secs(24 * 3_600));
            let at = at("reject_limit").key("over");
            problems.extend([Problem::out_of_range(at, limit.over, least, most)]);
        }
        problems
    }
}
