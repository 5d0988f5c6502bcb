//! Every metric that the program exports: names, kinds, units, labels, help, in one table; and how the
//! numbers of a running topology fill it.
//!
//! Nothing here is updated per record or batch: the core counts, and a scrape takes what it counted.
//! So a partition that is gone has no series any more (the exporter alone can only let series expire),
//! and what is unknown has none either.

mod exposition;
mod families;
pub mod lag;
mod lag_of_others;
pub(crate) mod line_protocol;
pub(crate) mod otlp;
mod recorder;

use crate::configuration;
use crate::lag::SpoutLag;
use crate::observer::Observer;
use crate::push::Pushes;

pub use families::Families;
pub use recorder::Recorder;

/// A family of series.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name: `isobar_…`, with the unit, and `_total` for counters.
    pub name: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// What one series is about.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

/// How the values of a metric behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size: `_bucket`, `_sum` and `_count`, which only grow.
    Histogram,
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind: Kind::Counter,
        labels,
        help,
    }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric {
        name,
        kind: Kind::Gauge,
        labels,
        help,
    }
}

/// What one topology is distinguished by from others that name their spouts and bolts alike.
const TOPOLOGY: &[&str] = &["topology"];
const SPOUT: &[&str] = &["topology", "spout"];
const BOLT: &[&str] = &["topology", "bolt"];
const BOLT_HOST: &[&str] = &["topology", "bolt", "host"];
const LETTERS: &[&str] = &["topology", "topic"];
const TO: &[&str] = &["topology", "to"];

const READ: Metric = counter(
    "isobar_records_read_total",
    SPOUT,
    "Records handed out by the spout.",
);
const DELIVERED: Metric = counter(
    "isobar_records_delivered_total",
    SPOUT,
    "Records that the outside system took.",
);
const ALREADY_PRESENT: Metric = counter(
    "isobar_records_already_present_total",
    SPOUT,
    "Records that the outside system had already, under the same id.",
);
const DROPPED: Metric = counter(
    "isobar_records_dropped_total",
    &["topology", "spout", "policy"],
    "Records left out on purpose, by policy.",
);
const DEAD_LETTERED: Metric = counter(
    "isobar_records_dead_lettered_total",
    SPOUT,
    "Records that were rejected and whose dead letter is written.",
);
const HANDED_BACK: Metric = counter(
    "isobar_records_handed_back_total",
    SPOUT,
    "Records given back unfinished because their partition moved to another member or the topology stopped.",
);
const RETRIED: Metric = counter(
    "isobar_records_retried_total",
    SPOUT,
    "Times that a record was sent again after a failure.",
);
const LOST: Metric = counter(
    "isobar_records_lost_total",
    SPOUT,
    "Records that were deleted at the source before they were read: anything but 0 is loss, unless all were markers of transactions, or aborted or compacted records, since offsets are counted.",
);
const IN_FLIGHT: Metric = gauge(
    "isobar_records_in_flight",
    SPOUT,
    "Records that were read and are not settled.",
);
const IN_FLIGHT_BYTES: Metric = gauge(
    "isobar_in_flight_bytes",
    SPOUT,
    "Bytes of batches that were read and are not settled.",
);
const PAUSED: Metric = gauge(
    "isobar_spout_paused",
    SPOUT,
    "1 while an operator has paused the spout, 0 while it reads.",
);
const DIFFERENCE: Metric = gauge(
    "isobar_accounting_difference_records",
    SPOUT,
    "Records read that are in none of the terms of the account: anything but 0 is a bug.",
);
const LATENCY: Metric = Metric {
    name: "isobar_end_to_end_latency_seconds",
    kind: Kind::Histogram,
    labels: SPOUT,
    help: "Time from the timestamp of a record (of a topic with LogAppendTime when the broker appended it, else when its producer made it) to the answer that settled it, retries included; for every settled record.",
};
const BOLT_BATCHES: Metric = counter(
    "isobar_bolt_batches_total",
    BOLT,
    "Batches that the bolt took.",
);
const BOLT_RECORDS: Metric = counter(
    "isobar_bolt_records_total",
    BOLT,
    "Records that the bolt took, those sent again included.",
);
const BOLT_REJECTED: Metric = counter(
    "isobar_bolt_rejected_records_total",
    BOLT,
    "Records that the bolt rejected, those sent again included.",
);
const BOLT_REJECTED_BY_CLASS: Metric = counter(
    "isobar_bolt_rejected_records_by_class_total",
    &["topology", "bolt", "class"],
    "The same by the kind of reason, as dead letters name it; absent before the first one of a kind.",
);
const BOLT_FAILURES: Metric = counter(
    "isobar_bolt_failures_total",
    BOLT,
    "Calls on the bolt that ended in an error or a panic.",
);
const BOLT_RESTARTS: Metric = counter(
    "isobar_bolt_restarts_total",
    BOLT,
    "Times that the bolt was made anew after a panic.",
);
const BOLT_BUSY: Metric = counter(
    "isobar_bolt_busy_seconds_total",
    BOLT,
    "Time inside of the bolt over all lanes, waiting for room at an outside system included.",
);
const BOLT_WAITING: Metric = gauge(
    "isobar_bolt_waiting_batches",
    BOLT,
    "Batches that wait in the queues of the bolt; absent for a bolt without a queue.",
);
const BOLT_REQUESTS: Metric = Metric {
    name: "isobar_bolt_request_seconds",
    kind: Kind::Histogram,
    labels: BOLT_HOST,
    help: "Time of a bulk request by the host that was asked, from when it is sent to the end of its answer, whatever that says; one that takes request_timeout counts as so long, and one that finds no connection, or whose connection breaks, does not count.",
};
const CONDITION: Metric = gauge(
    "isobar_condition",
    &["topology", "component", "kind"],
    "1 while something is wrong with the component; absent otherwise.",
);
const READY: Metric = gauge(
    "isobar_ready",
    TOPOLOGY,
    "1 while everything reads as it should, 0 otherwise; what is wrong and keeps no record waiting does not count.",
);
const LANES: Metric = gauge(
    "isobar_lanes",
    TOPOLOGY,
    "Threads that each run a copy of all bolts.",
);
const STUCK: Metric = gauge(
    "isobar_stuck_lanes",
    TOPOLOGY,
    "Lanes that have ended or that an operator blocks.",
);
const MEMORY_BOUND: Metric = gauge(
    "isobar_memory_bound_bytes",
    TOPOLOGY,
    "The most memory that the plan allows the process to take.",
);
const LETTERS_OPEN: Metric = gauge(
    "isobar_dead_letters_open",
    LETTERS,
    "Dead letters in the topic that nothing has settled, each rejection once; of `isobar lag FILE --serve`, which reads the topic of `dead_letter` every 10 minutes, and no other topic or file that letters are in.",
);
const LETTERS_AGE: Metric = gauge(
    "isobar_dead_letters_oldest_open_age_seconds",
    LETTERS,
    "Age of the open dead letter that is deleted first, 0 without any; of `isobar lag FILE --serve`.",
);
const LETTERS_RETENTION: Metric = gauge(
    "isobar_dead_letters_retention_seconds",
    LETTERS,
    "Age at which the topic deletes dead letters; absent where it never does; of `isobar lag FILE --serve`.",
);
const CERTIFICATE: Metric = gauge(
    "isobar_certificate_expires_seconds",
    &["topology", "connection", "certificate"],
    "Time until the first certificate expires that a host of a connection shows or that is in a file of it, negative after that; looked at every 6 hours, absent while unknown and without TLS.",
);
const PUSHES: Metric = counter(
    "isobar_pushes_total",
    TO,
    "Times that metrics were sent (`--push-influx`, `--push-otlp`) and taken.",
);
const FAILED_PUSHES: Metric = counter(
    "isobar_failed_pushes_total",
    TO,
    "Times that metrics were sent and not taken.",
);
const BUILD: Metric = gauge(
    "isobar_build_info",
    &["topology", "version", "revision"],
    "1; the labels say what runs.",
);
const CONFIGURATION: Metric = gauge(
    "isobar_configuration_info",
    &["topology", "hash"],
    "1; the hash is the same in copies of the program that were started with the same topology file.",
);
const MEMORY: Metric = gauge(
    "process_resident_memory_bytes",
    &[],
    "Resident memory of the process.",
);
const CPU: Metric = counter(
    "process_cpu_seconds_total",
    &[],
    "User and system CPU time of the process.",
);
const START: Metric = gauge(
    "process_start_time_seconds",
    &[],
    "When the topology was started, in seconds since 1970.",
);

/// All metrics but those of lag, in the order in which they are exported. Besides these, each counter that a type of
/// operator defines is exported as `isobar_spout_NAME_total{topology, spout}` or
/// `isobar_bolt_NAME_total{topology, bolt}`, with its own help.
const BASIC: &[&Metric] = &[
    &READ,
    &DELIVERED,
    &ALREADY_PRESENT,
    &DROPPED,
    &DEAD_LETTERED,
    &HANDED_BACK,
    &RETRIED,
    &LOST,
    &IN_FLIGHT,
    &IN_FLIGHT_BYTES,
    &PAUSED,
    &DIFFERENCE,
    &LATENCY,
    &BOLT_BATCHES,
    &BOLT_RECORDS,
    &BOLT_REJECTED,
    &BOLT_REJECTED_BY_CLASS,
    &BOLT_FAILURES,
    &BOLT_RESTARTS,
    &BOLT_BUSY,
    &BOLT_WAITING,
    &BOLT_REQUESTS,
    &CONDITION,
    &READY,
    &LANES,
    &STUCK,
    &MEMORY_BOUND,
    &LETTERS_OPEN,
    &LETTERS_AGE,
    &LETTERS_RETENTION,
    &CERTIFICATE,
    &PUSHES,
    &FAILED_PUSHES,
    &BUILD,
    &CONFIGURATION,
    &MEMORY,
    &CPU,
    &START,
];

/// All metrics that have fixed names.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    BASIC.iter().chain(lag::OWN).copied()
}

/// The page `deploy/METRICS.md`.
pub fn page() -> String {
    let mut page = String::from(PAGE);
    let row = |metric: &Metric| {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let Metric {
            name, labels, help, ..
        } = metric;
        format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", "))
    };
    page.extend(all().map(row));
    page.push_str(PAGE_OF_OTHERS);
    page.extend(lag_of_others::ALL.iter().map(|metric| row(metric)));
    page
}

const PAGE: &str = "\
<!-- Written by `cargo regenerate`; change deploy/src/metrics instead. -->

# Metrics

What `/metrics` of a running topology and of `isobar lag --serve` answers, in the text format of Prometheus. What is unknown has no series, and a partition that moves to another member takes its series along. `isobar run --metrics-by spout` leaves out those with the label `partition`; the alerts `IsobarNoProgress` and `IsobarRecordsExpireSoon` need them; without them `IsobarTooOld` tells of a standstill, by the age of the spout, which is not known while that of a partition is not. Each counter that a type of operator defines is exported besides, as `isobar_spout_NAME_total{topology, spout}` or `isobar_bolt_NAME_total{topology, bolt}`.

`--push-influx URL` sends the same in the line protocol of InfluxDB, and `--push-otlp URL` to a collector of OpenTelemetry, every `--push-every`. OpenTelemetry has them under these names. In the line protocol the measurement is what stands before the first `_` and the field is the rest, so `isobar_lag_records` is the field `lag_records` of `isobar`, and labels are tags; `instance` (in OpenTelemetry `service.instance.id`) is host and port of the program. `+Inf` is not sent, nor is what operators of your own record with the `metrics` crate.

Of latency: every record counts once, with the outcome that settled it (delivered, already present, dropped or dead-lettered); a record without a timestamp does not. Buckets go in steps of 1, 2.5, 5 from 10 ms, below which a record that waits for a bulk body does not come, to 10 s, so that a quantile is off by at most that factor; then 30 s, 1, 5 and 15 minutes, 1 and 6 hours and a day, which is how a backlog is talked about. Over a backlog it tells how old the records were, as it should; for the time inside of the topology look at busy time, queues and requests.

Of requests: a request that is sent again, to another host or later, counts each time. Buckets go in steps of 1, 2, 5 or 1, 2.5, 5 from 1 ms to 10 s, then 30 s, 1, 2 and 5 minutes; parts of a millisecond count as one. What Elasticsearch itself needs is less by the way there and back, and by what of the request waits for room on a connection.

Of lag: the committed lag of a partition is the sum of its read lag (brokers or fetching are slow), open records (bolts or what they write to are slow) and commit debt (commits are slow), all of one moment.

Of how exact that is: `isobar_spout_exactness` and `isobar_partition_exactness` have a label for each figure that may be less than exact: `upper_bound` where the truth is that or less, `sampled` where it may be more or less, `unknown` where there is no figure. Offsets, and differences of them that have no such label, are exact, as old as `isobar_lag_sample_age_seconds` says; rates are always estimates, and so is the time to catch up, which follows from them. Ages that are exact, and no others: `isobar_oldest_unsettled_age_seconds and on (instance, topology, spout, group, topic, partition) isobar_partition_exactness{oldest_unsettled_age=\"exact\"}`. No alert asks for that: what is behind by an estimate is behind.

Of both at once: `isobar lag FILE --serve` beside the program, scraped by the same job, says which partitions have no owner and how old dead letters are, and has all figures of lag as well, with the same `topology`, `spout` and `group`: a sum over instances counts records twice. The rules in `deploy/alerts` record which series of an exporter that is, `isobar:said_by_the_program_itself`; alerts about lag and the dashboard leave them out, `unless on (instance, topology, spout, group)`, and so should queries of your own. Of a program that does not run, or is not scraped, those of the exporter count; so they do, for all partitions of a spout, where one of several replicas is not scraped.

| metric | kind | labels | meaning |
|---|---|---|---|
";

const PAGE_OF_OTHERS: &str = "
With `--metrics-also kafka_exporter` or `--metrics-also kafka_lag_exporter`, the same figures under the names and labels of these exporters (danielqsj/kafka_exporter, seglo/kafka-lag-exporter); lag is there what is not committed, and what is unknown has no series, where the second has `NaN`. `cluster_name` is the name of the connection in the topology file, or the brokers as they were given with `--brokers`. The labels of members are those of who reads the partition as `isobar lag --serve` sees it, and `unknown` where nobody does, where the brokers do not tell, and of the program itself, which does not ask. What the first says of brokers, replicas and leaders, and the second of its own polls (`kafka_consumergroup_poll_time_ms`), is not there.

| metric | kind | labels | meaning |
|---|---|---|---|
";

/// The metrics of lag alone, of groups that are watched from outside.
pub fn of_lag(topology: &str, spouts: &[SpoutLag], options: &lag::Options) -> Families {
    let mut figures = Families::default();
    lag::fill(topology, spouts, options, &mut figures);
    figures
}

/// The metrics of now.
pub fn of(observer: &Observer) -> Families {
    let mut figures = Families::default();
    spouts(observer, &mut figures);
    let lags = observer.lag.read(&observer.running);
    let topology = &observer.plan.topology;
    lag::fill(topology, &lags, &observer.metrics, &mut figures);
    bolts(observer, &mut figures);
    program(observer, &mut figures);
    figures
}

/// What is known of the dead letters of a topology.
pub struct Letters {
    /// The topic that they are in.
    pub topic: String,
    /// Letters that nothing has settled.
    pub open: Option<usize>,
    /// Age of the one that is deleted first; 0 without any.
    pub oldest_seconds: Option<f64>,
    /// When the topic deletes letters by age.
    pub retention_seconds: Option<f64>,
}

/// Adds the metrics of dead letters.
pub fn add_letters(topology: &str, letters: &Letters, figures: &mut Families) {
    let labels = [topology, &letters.topic];
    for (metric, value) in [
        (&LETTERS_OPEN, letters.open.map(|open| open as f64)),
        (&LETTERS_AGE, letters.oldest_seconds),
        (&LETTERS_RETENTION, letters.retention_seconds),
    ] {
        if let Some(value) = value {
            figures.sample(metric, &labels, value);
        }
    }
}

/// Adds how often metrics were sent.
pub fn add_pushes(topology: &str, pushes: &Pushes, figures: &mut Families) {
    for push in pushes.all() {
        let labels = [topology, push.name()];
        figures.sample(&PUSHES, &labels, push.sent() as f64);
        figures.sample(&FAILED_PUSHES, &labels, push.failed() as f64);
    }
}

/// In the text format of Prometheus.
pub fn text(figures: &Families) -> String {
    exposition::text(figures)
}

fn spouts(observer: &Observer, figures: &mut Families) {
    let topology = observer.plan.topology.as_str();
    for spout in observer.accounting().spouts {
        let labels = [topology, spout.spout.as_str()];
        let terms = spout.terms;
        for (metric, value) in [
            (&READ, terms.read),
            (&DELIVERED, terms.delivered),
            (&ALREADY_PRESENT, terms.already_present),
            (&DEAD_LETTERED, terms.dead_lettered),
            (&HANDED_BACK, terms.handed_back),
            (&RETRIED, terms.retried),
            (&LOST, terms.lost),
            (&IN_FLIGHT, terms.in_flight),
        ] {
            figures.sample(metric, &labels, value as f64);
        }
        figures.sample(&DIFFERENCE, &labels, terms.difference as f64);
        for (policy, dropped) in terms.dropped_by_policy {
            let labels = [topology, &spout.spout, &policy];
            figures.sample(&DROPPED, &labels, dropped as f64);
        }
    }
    for (number, spout) in observer.statistics().spouts.into_iter().enumerate() {
        let labels = [topology, spout.spout.as_str()];
        for (name, help, value) in observer.running.spout_counters(number) {
            figures.own_counter("spout", name, help, labels, value as f64);
        }
        figures.sample(&IN_FLIGHT_BYTES, &labels, spout.in_flight_bytes as f64);
        let paused = f64::from(u8::from(spout.paused_since_ms.is_some()));
        figures.sample(&PAUSED, &labels, paused);
        let latency = observer.running.account(number).latency;
        figures.histogram(&LATENCY, &labels, &latency);
    }
}

fn bolts(observer: &Observer, figures: &mut Families) {
    let topology = observer.plan.topology.as_str();
    for (number, bolt) in observer.statistics().bolts.into_iter().enumerate() {
        let labels = [topology, bolt.bolt.as_str()];
        for (metric, value) in [
            (&BOLT_BATCHES, bolt.batches),
            (&BOLT_RECORDS, bolt.records),
            (&BOLT_REJECTED, bolt.rejected),
            (&BOLT_FAILURES, bolt.failures),
            (&BOLT_RESTARTS, bolt.restarts),
        ] {
            figures.sample(metric, &labels, value as f64);
        }
        for (class, rejected) in observer.running.rejected(number) {
            let labels = [topology, bolt.bolt.as_str(), class];
            figures.sample(&BOLT_REJECTED_BY_CLASS, &labels, rejected as f64);
        }
        figures.sample(&BOLT_BUSY, &labels, bolt.busy_seconds);
        if let Some(waiting) = bolt.waiting_batches {
            figures.sample(&BOLT_WAITING, &labels, waiting as f64);
        }
        for (host, times) in observer.running.request_times(number) {
            let labels = [topology, bolt.bolt.as_str(), &host];
            figures.histogram(&BOLT_REQUESTS, &labels, &times);
        }
        for (name, help, value) in observer.running.bolt_counters(number) {
            figures.own_counter("bolt", name, help, labels, value as f64);
        }
    }
}

fn program(observer: &Observer, figures: &mut Families) {
    let topology = observer.plan.topology.as_str();
    for condition in observer.conditions() {
        let labels = [topology, &condition.component, condition.kind];
        figures.sample(&CONDITION, &labels, 1.0);
    }
    for expiry in observer.certificates.expiries() {
        let labels = [topology, expiry.connection.as_str(), expiry.of.as_str()];
        figures.sample(&CERTIFICATE, &labels, expiry.left_seconds);
    }
    add_pushes(topology, &observer.pushes, figures);
    let process = crate::process::Process::now();
    let revision = option_env!("ISOBAR_REVISION").unwrap_or("unknown");
    let ready = f64::from(u8::from(observer.is_ready()));
    for (metric, value) in [
        (&READY, ready),
        (&LANES, observer.plan.lanes as f64),
        (&STUCK, observer.stuck().len() as f64),
        (&MEMORY_BOUND, observer.plan.memory.total as f64),
    ] {
        figures.sample(metric, &[topology], value);
    }
    figures.sample(
        &BUILD,
        &[topology, env!("CARGO_PKG_VERSION"), revision],
        1.0,
    );
    let hash = configuration::hash(&observer.configuration);
    figures.sample(&CONFIGURATION, &[topology, &hash], 1.0);
    if let Some(bytes) = process.resident_bytes {
        figures.sample(&MEMORY, &[], bytes as f64);
    }
    if let Some(seconds) = process.cpu_seconds {
        figures.sample(&CPU, &[], seconds);
    }
    figures.sample(&START, &[], observer.started_ms as f64 / 1000.0);
}
