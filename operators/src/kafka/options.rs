//! Which librdkafka settings a topology may pass through, and which ones Isobar owns.
//!
//! Knows names only. Values are judged by librdkafka itself, when a client is made or when
//! [`check`] asks it.

use std::collections::BTreeMap;

use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaType;
use rdkafka::{ClientConfig, ClientContext};
use rdkafka_sys::RDKafkaConfRes;

use super::asked::let_go;
use super::ffi::conf;

/// Checks a map of librdkafka settings; returns one sentence for each that cannot be used.
///
/// A setting is refused when Isobar sets it itself (the sentence names the option to use
/// instead), when librdkafka does not know it (with the nearest name that it knows), or when
/// librdkafka refuses the value. Never waits.
pub fn check(options: &BTreeMap<String, String>) -> Vec<String> {
    options
        .iter()
        .filter_map(|(name, value)| check_one(name, value))
        .collect()
}

fn check_one(name: &str, value: &str) -> Option<String> {
    if let Some((_, instead)) = OWNED.iter().find(|(owned, _)| matches(owned, name)) {
        return Some(format!("{name} is set by Isobar: {instead}"));
    }
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => None,
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Some(unknown(name))
        }
        Err(KafkaError::ClientConfig(_, reason, ..)) => Some(format!("{name}: {reason}")),
        Err(error) => Some(format!("{name}: {error}")),
    }
}

/// Makes a client with these settings and drops it: some cannot go together, which librdkafka says only
/// then. The client knows no broker and no secret, so it contacts nobody and reads no file.
pub(crate) fn check_together(mut config: ClientConfig, kind: RDKafkaType) -> Option<String> {
    let is_of_connection = |name: &str| {
        name == "bootstrap.servers"
            || name == "security.protocol"
            || name.starts_with("ssl.")
            || name.starts_with("sasl.")
    };
    let names: Vec<String> = config
        .config_map()
        .keys()
        .map(|&name| name.to_owned())
        .collect();
    for name in names.iter().filter(|name| is_of_connection(name)) {
        let _ = config.remove(name);
    }
    let made = config
        .create_native_config()
        .and_then(|native| Client::new(&config, native, kind, Unheard));
    match made {
        Ok(client) => {
            // Its threads take longer to end than to begin.
            let_go(client);
            None
        }
        Err(KafkaError::ClientCreation(reason)) => Some(reason),
        Err(error) => Some(error.to_string()),
    }
}

/// Listens to a client that is dropped at once, and says nothing.
struct Unheard;

impl ClientContext for Unheard {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, _: KafkaError, _: &str) {}
}

fn unknown(name: &str) -> String {
    let known = conf::known_names();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= name.len() / 3 + 1);
    match nearest {
        Some((_, candidate)) => {
            format!("{name} is not a setting of librdkafka; did you mean {candidate}?")
        }
        None => format!("{name} is not a setting of librdkafka (its CONFIGURATION.md lists them)"),
    }
}

fn matches(owned: &str, name: &str) -> bool {
    match owned.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => owned == name,
    }
}

/// The settings that Isobar owns and what a user sets instead; `*` stands for any ending.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "use `brokers` of the connection"),
    ("metadata.broker.list", "use `brokers` of the connection"),
    (
        "security.protocol",
        "it follows from `tls` and `sasl` of the connection",
    ),
    ("ssl.ca.*", "use `tls: {ca: FILE}` of the connection"),
    (
        "ssl.certificate.*",
        "use `tls: {certificate: FILE}` of the connection",
    ),
    (
        "ssl.key.*",
        "use `tls: {key: FILE, key_password: ...}` of the connection",
    ),
    ("ssl_*", "use `tls` of the connection"),
    (
        "ssl.keystore.*",
        "use `tls: {certificate: FILE, key: FILE}` of the connection",
    ),
    (
        "enable.ssl.certificate.verification",
        "use `tls: {verify: false}` of the connection",
    ),
    (
        "ssl.endpoint.identification.algorithm",
        "use `tls: {verify: false}` of the connection",
    ),
    (
        "sasl.mechanism",
        "use `sasl: {mechanism: ...}` of the connection",
    ),
    (
        "sasl.mechanisms",
        "use `sasl: {mechanism: ...}` of the connection",
    ),
    (
        "sasl.username",
        "use `sasl: {username: ...}` of the connection",
    ),
    (
        "sasl.password",
        "use `sasl: {password: ...}` of the connection",
    ),
    ("group.id", "use `group` of the spout"),
    (
        "group.protocol",
        "use `group_protocol: classic | consumer` of the spout",
    ),
    (
        "group.protocol.type",
        "Kafka Connect and Isobar differ; it stays `consumer`",
    ),
    ("group.instance.id", "use `group_instance_id` of the spout"),
    (
        "partition.assignment.strategy",
        "it is always cooperative-sticky, so that a rebalance moves only what must move",
    ),
    (
        "auto.offset.reset",
        "use `start` of the spout; a range that was deleted is always reported, never skipped in silence",
    ),
    (
        "enable.auto.commit",
        "Isobar commits what has been answered, and nothing else; see `commit_interval` of the spout",
    ),
    ("auto.commit.*", "use `commit_interval` of the spout"),
    (
        "enable.auto.offset.store",
        "Isobar commits what has been answered, and nothing else",
    ),
    ("offset.store.*", "offsets are kept in Kafka"),
    (
        "enable.partition.eof",
        "with batched reading it loses records (librdkafka issue 4844)",
    ),
    (
        "queued.*",
        "use `queue_size` of the spout, from which both limits follow",
    ),
    (
        "fetch.queue.backoff.ms",
        "Isobar keeps it at 20 ms; the default of 1 s stalls a busy consumer",
    ),
    ("consume.callback.max.messages", "Isobar reads in batches"),
    (
        "statistics.interval.ms",
        "end offsets are asked from the brokers, since these statistics freeze under backpressure",
    ),
    ("enabled_events", "Isobar serves librdkafka's events"),
    (
        "background_event_cb",
        "Isobar serves librdkafka's callbacks",
    ),
    ("consume_cb", "Isobar serves librdkafka's callbacks"),
    ("rebalance_cb", "Isobar serves librdkafka's callbacks"),
    ("offset_commit_cb", "Isobar serves librdkafka's callbacks"),
    ("dr_cb", "Isobar serves librdkafka's callbacks"),
    ("dr_msg_cb", "Isobar serves librdkafka's callbacks"),
    ("error_cb", "Isobar serves librdkafka's callbacks"),
    ("throttle_cb", "Isobar serves librdkafka's callbacks"),
    ("stats_cb", "Isobar serves librdkafka's callbacks"),
    ("log_cb", "Isobar serves librdkafka's callbacks"),
    (
        "log_level",
        "use the program's log filter, target `librdkafka`",
    ),
    (
        "log.queue",
        "Isobar carries librdkafka's log lines into its own log",
    ),
    (
        "log.thread.name",
        "Isobar carries librdkafka's log lines into its own log",
    ),
    ("opaque", "it is a pointer inside the client"),
    (
        "default_topic_conf",
        "it is a pointer inside the client; topic settings can be given directly",
    ),
    ("interceptors", "Isobar loads no code into the client"),
    (
        "plugin.library.paths",
        "Isobar loads no code into the client",
    ),
    ("test.mock.*", "a stand-in cluster is not a connection"),
    (
        "enable.idempotence",
        "Isobar's producer is always idempotent",
    ),
    (
        "acks",
        "Isobar's producer always waits for all in-sync replicas",
    ),
    (
        "request.required.acks",
        "Isobar's producer always waits for all in-sync replicas",
    ),
    (
        "max.in.flight",
        "Isobar's producer has one request under way, since with more librdkafka can take a record for written \
         that is not",
    ),
    (
        "max.in.flight.requests.per.connection",
        "Isobar's producer has one request under way, since with more librdkafka can take a record for written \
         that is not",
    ),
    (
        "transactional.id",
        "Isobar's producer writes no transactions",
    ),
    ("delivery.report.only.error", "Isobar counts every delivery"),
    ("dr.*", "Isobar counts every delivery"),
    (
        "queue.buffering.max.kbytes",
        "use `queue_size` of the bolt, from which it follows",
    ),
    (
        "queue.buffering.max.messages",
        "use `queue_size` of the bolt, from which it follows",
    ),
    ("compression.*", "use `compression` of the bolt"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(name: &str, value: &str) -> Vec<String> {
        check(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn a_setting_that_isobar_owns_is_refused_with_the_option_to_use_instead() {
        for (name, instead) in [
            ("bootstrap.servers", "`brokers`"),
            ("enable.partition.eof", "loses records"),
            ("queued.min.messages", "`queue_size`"),
            ("queued.max.messages.kbytes", "`queue_size`"),
            ("auto.offset.reset", "`start`"),
            ("ssl.ca.location", "`tls"),
            ("group.instance.id", "`group_instance_id`"),
        ] {
            let problems = check_text(name, "1");
            assert_eq!(problems.len(), 1, "{name}");
            assert!(problems[0].contains(instead), "{}", problems[0]);
        }
    }

    #[test]
    fn an_unknown_setting_is_refused_with_the_nearest_known_name() {
        assert_eq!(
            check_text("sesion.timeout.ms", "6000"),
            ["sesion.timeout.ms is not a setting of librdkafka; did you mean session.timeout.ms?"]
        );
        let far = check_text("zzzzzzzzzz", "1");
        assert!(far[0].contains("CONFIGURATION.md"), "{}", far[0]);
    }

    #[test]
    fn a_value_that_librdkafka_refuses_is_reported_and_a_good_one_is_not() {
        let bad = check_text("session.timeout.ms", "soon");
        assert!(bad[0].contains("session.timeout.ms"), "{}", bad[0]);
        assert!(check_text("session.timeout.ms", "6000").is_empty());
        assert!(
            check_text("message.timeout.ms", "6000").is_empty(),
            "a topic setting"
        );
    }

    #[test]
    fn all_problems_come_at_once() {
        let options = BTreeMap::from([
            ("acks".to_owned(), "1".to_owned()),
            ("fetch.min.bytes".to_owned(), "many".to_owned()),
            ("fetch.wait.max.ms".to_owned(), "10".to_owned()),
            ("linger".to_owned(), "10".to_owned()),
        ]);
        assert_eq!(check(&options).len(), 3);
    }
}
