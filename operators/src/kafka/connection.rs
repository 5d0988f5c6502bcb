//! A connection to a Kafka cluster as the topology file spells it, and the client configuration
//! that follows from it.
//!
//! Knows brokers, TLS, SASL and passed-through settings; knows nothing of groups or topics.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use isobar_topology::spec::Secret;
use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::error::Error;
use super::log::Asking;
use super::options;

/// A Kafka cluster, named once and used by spouts, bolts, lag and replay.
///
/// ```yaml
/// connections:
///   kafka:
///     type: kafka
///     brokers: [kafka-1:9093, kafka-2:9093]
///     tls: {ca: /etc/ssl/kafka-ca.pem}
///     sasl: {mechanism: SCRAM-SHA-512, username: isobar, password: "${file:/run/secrets/kafka}"}
///     options: {client.rack: eu-1a}
/// ```
///
/// A password that is all of a `${file:...}` is read again when the file changes: it is looked at every
/// 10 s, and connections that are made from then on log in with what is new, without a restart. Those that
/// are open stay. The files of `tls`, the user's name, and what comes from a variable are read at the start
/// only: after a change start the topology again, one replica after the other.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaConnection {
    /// Brokers to ask for the cluster at first, `host:port` each, as a list or separated by
    /// commas. Two or three are enough: the others are learnt from them. Or `embedded`: a small
    /// Kafka inside the process that runs the topology, for trying things out. It makes the topics
    /// that the file names, with 4 partitions, keeps the last 5 MiB of each partition in memory,
    /// loses all when the program ends, finds no records by their time, knows no transactions, and takes
    /// up to two minutes to share a group between two programs; `tls` and `sasl` are not used then.
    #[serde(deserialize_with = "brokers")]
    #[schemars(with = "Brokers")]
    pub brokers: Vec<String>,
    /// Encrypts the connection. Without it, everything is sent in the clear.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Logs in at the brokers.
    #[serde(default)]
    pub sasl: Option<Sasl>,
    /// Settings of librdkafka that are passed through as they are, for example
    /// `{client.rack: eu-1a, socket.keepalive.enable: true}`. Settings that Isobar owns are
    /// refused with the option to use instead. With `debug`, such as `{debug: broker}`, librdkafka says what
    /// it does, in lines of level debug of the target `librdkafka`. Take it out again when you know: with it,
    /// librdkafka 2.12.1 was seen to crash the program as a client ended.
    #[serde(default, deserialize_with = "settings")]
    #[schemars(with = "BTreeMap<String, Setting>")]
    pub options: BTreeMap<String, String>,
}

/// Encryption of a Kafka connection. All files are PEM; relative paths start where the topology file
/// is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// File with the certificates of the authorities to trust. Default: the system's.
    #[serde(default)]
    pub ca: Option<String>,
    /// File with the client's own certificate, where the brokers ask for one.
    #[serde(default)]
    pub certificate: Option<String>,
    /// File with the private key of that certificate.
    #[serde(default)]
    pub key: Option<String>,
    /// Password of the private key, if it has one.
    #[serde(default)]
    pub key_password: Option<Secret>,
    /// Whether the broker's certificate and host name are verified. Default: true. Without it
    /// anybody on the way can read and change the records.
    #[serde(default = "yes")]
    pub verify: bool,
}

/// Login at the brokers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// How the password is proved. `PLAIN` shows it to the broker: use it with `tls` only.
    pub mechanism: Mechanism,
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: Secret,
}

/// The SASL mechanisms that are built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Mechanism {
    /// The password itself.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge and response over SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge and response over SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl KafkaConnection {
    /// Returns one sentence for each thing that cannot work, without contacting anybody.
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.brokers.is_empty() {
            problems.push("brokers: name at least one, such as localhost:9092".to_owned());
        }
        for broker in &self.brokers {
            if broker == EMBEDDED {
                if self.brokers.len() > 1 {
                    problems.push("brokers: embedded stands alone, without other brokers".into());
                }
            } else if let Some(problem) = broker_problem(broker) {
                problems.push(format!("brokers: {broker:?} {problem}"));
            }
        }
        if let Some(tls) = &self.tls {
            match (&tls.certificate, &tls.key) {
                (Some(_), None) => problems.push("tls: `certificate` needs `key`".to_owned()),
                (None, Some(_)) => problems.push("tls: `key` needs `certificate`".to_owned()),
                _ => {}
            }
        }
        problems.extend(
            options::check(&self.options)
                .into_iter()
                .map(|problem| format!("options: {problem}")),
        );
        problems
    }

    /// Whether the cluster is the one inside the process that runs the topology.
    pub(crate) fn is_embedded(&self) -> bool {
        self.brokers == [EMBEDDED]
    }

    /// Fails where an embedded cluster is named that nobody has started: it is in another process.
    pub(crate) fn within_reach(&self) -> Result<(), Error> {
        match self.is_embedded() {
            false => Ok(()),
            true => Err(Error::Config(
                "brokers: embedded is inside the process that runs the topology, begins empty and ends with it: there is nothing of it here; ask a process that runs at its HTTP address, or use the brokers that it logs at its start; replays need real brokers"
                    .to_owned(),
            )),
        }
    }

    /// A connection to brokers (`host:port`) that takes neither encryption nor login.
    pub fn plain(brokers: &[String]) -> Self {
        Self {
            brokers: brokers.to_vec(),
            tls: None,
            sasl: None,
            options: BTreeMap::new(),
        }
    }

    /// Lets relative paths start in `directory`.
    pub(crate) fn beside(mut self, directory: &Path) -> Self {
        if let Some(tls) = &mut self.tls {
            let files = [&mut tls.ca, &mut tls.certificate, &mut tls.key];
            for path in files.into_iter().flatten() {
                *path = directory.join(&*path).to_string_lossy().into_owned();
            }
        }
        self
    }

    /// Returns the configuration that every client of this connection starts from.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.options {
            let _ = config.set(name, value);
        }
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        let _ = config
            .set("bootstrap.servers", self.brokers.join(","))
            .set("security.protocol", protocol)
            // What it says at this level, the setting `debug` chooses; the log's filter comes after.
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Debug);
        let _ = config.set("client.id", self.client_id());
        if let Some(tls) = &self.tls {
            set_tls(&mut config, tls);
        }
        if let Some(sasl) = &self.sasl {
            let _ = config
                .set("sasl.mechanism", sasl.mechanism.name())
                .set("sasl.username", &sasl.username)
                .set("sasl.password", sasl.password.now().reveal());
        }
        config
    }

    /// Makes a client for questions about the cluster, and about commits of `group` if one is
    /// given. It joins no group.
    ///
    /// Contacts nobody yet. Fails when a certificate or key cannot be read.
    pub(crate) fn asking_client(&self, group: Option<&str>) -> Result<BaseConsumer<Asking>, Error> {
        self.within_reach()?;
        let mut config = self.client_config();
        if let Some(group) = group {
            let _ = config.set("group.id", group);
        }
        config
            .create_with_context(Asking::default())
            .map_err(|source| Error::client(&config, source))
    }

    /// The name by which brokers know its clients.
    pub(crate) fn client_id(&self) -> &str {
        let given = self.options.get("client.id");
        given.map_or("isobar", String::as_str)
    }

    /// Tells whether records of open and aborted transactions are read, by the setting
    /// `isolation.level`; librdkafka's default is `read_committed`.
    pub(crate) fn reads_uncommitted(&self) -> bool {
        self.options
            .get("isolation.level")
            .is_some_and(|level| level == "read_uncommitted")
    }
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

fn set_tls(config: &mut ClientConfig, tls: &Tls) {
    let files = [
        ("ssl.ca.location", &tls.ca),
        ("ssl.certificate.location", &tls.certificate),
        ("ssl.key.location", &tls.key),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            let _ = config.set(name, file);
        }
    }
    if let Some(password) = &tls.key_password {
        let _ = config.set("ssl.key.password", password.reveal());
    }
    if !tls.verify {
        let _ = config
            .set("enable.ssl.certificate.verification", "false")
            .set("ssl.endpoint.identification.algorithm", "none");
    }
}

/// The name of the cluster inside the process.
pub(crate) const EMBEDDED: &str = "embedded";

fn broker_problem(broker: &str) -> Option<&'static str> {
    if broker.contains("://") {
        return Some("must be host:port without a scheme; encryption follows from `tls`");
    }
    let (host, port) = match broker.rsplit_once(':') {
        Some(parts) => parts,
        None => return Some("has no port: write host:port, Kafka's usual port is 9092"),
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Some("has no usable host: write host:port");
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => None,
        _ => Some("has no usable port: it is a number from 1 to 65535"),
    }
}

/// The two ways to write brokers.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Brokers {
    One(String),
    Many(Vec<String>),
}

fn brokers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts = match Brokers::deserialize(deserializer)? {
        Brokers::One(text) => vec![text],
        Brokers::Many(texts) => texts,
    };
    Ok(texts
        .iter()
        .flat_map(|text| text.split(','))
        .map(|broker| broker.trim().to_owned())
        .filter(|broker| !broker.is_empty())
        .collect())
}

/// A librdkafka setting: YAML reads `10`, `true` and `0.5` as numbers and booleans.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Setting {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

/// Reads a map of librdkafka settings whose values may be text, numbers or booleans.
pub(crate) fn settings<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let settings = BTreeMap::<String, Setting>::deserialize(deserializer)?;
    Ok(settings
        .into_iter()
        .map(|(name, value)| (name, value.to_string()))
        .collect())
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn read(json: serde_json::Value) -> KafkaConnection {
        serde_json::from_value(json).expect("the test's connection is well formed")
    }

    #[test]
    fn brokers_are_a_list_or_separated_by_commas() {
        for brokers in [
            serde_json::json!("a:1, b:2"),
            serde_json::json!(["a:1", "b:2"]),
            serde_json::json!(["a:1,b:2"]),
        ] {
            let connection = read(serde_json::json!({ "brokers": brokers }));
            assert_eq!(connection.brokers, ["a:1", "b:2"]);
            assert!(connection.check().is_empty());
        }
    }

    #[test]
    fn a_broker_that_cannot_be_contacted_is_named_with_the_fix() {
        for (broker, part) in [
            ("", "at least one"),
            ("kafka", "has no port"),
            ("kafka:", "usable port"),
            ("kafka:0", "usable port"),
            (":9092", "usable host"),
            ("kafka://kafka:9092", "without a scheme"),
            ("embedded,kafka:9092", "embedded stands alone"),
        ] {
            let problems = read(serde_json::json!({ "brokers": broker })).check();
            assert_eq!(problems.len(), 1, "{broker}: {problems:?}");
            assert!(problems[0].contains(part), "{broker}: {problems:?}");
        }
    }

    #[test]
    fn security_follows_from_tls_and_sasl() {
        let tls = serde_json::json!({"ca": "ca.pem", "verify": false});
        let sasl =
            serde_json::json!({"mechanism": "SCRAM-SHA-512", "username": "u", "password": "p"});
        for (tls, sasl, protocol) in [
            (None, None, "plaintext"),
            (Some(&tls), None, "ssl"),
            (None, Some(&sasl), "sasl_plaintext"),
            (Some(&tls), Some(&sasl), "sasl_ssl"),
        ] {
            let connection = read(serde_json::json!({"brokers": "a:1", "tls": tls, "sasl": sasl}));
            let config = connection.client_config();
            assert_eq!(config.get("security.protocol"), Some(protocol));
            assert_eq!(config.get("sasl.password"), sasl.map(|_| "p"));
            assert_eq!(config.get("ssl.ca.location"), tls.map(|_| "ca.pem"));
        }
    }

    #[test]
    fn files_lie_beside_the_topology_file_and_are_named_when_they_cannot_be_used() {
        let scratch = Scratch::new();
        scratch.replace("bad.pem", "no certificate");
        for (ca, why) in [
            ("gone.pem", "cannot be read: No such file"),
            ("bad.pem", "is no such file in PEM"),
        ] {
            let tls = serde_json::json!({ "ca": ca });
            let connection = read(serde_json::json!({"brokers": "a:1", "tls": tls}));
            let connection = connection.beside(scratch.path());
            let refused = connection.asking_client(None).map(|_| ());
            let said = refused.expect_err(ca).to_string();
            let file = scratch.path().join(ca);
            let named = format!("(`tls: {{ca: {}}}` {why}", file.display());
            assert!(said.contains(&named), "{said}");
        }
        let tls = serde_json::json!({"ca": "/etc/ca.pem"});
        let connection = read(serde_json::json!({"brokers": "a:1", "tls": tls}));
        let tls = connection.beside(scratch.path()).tls.expect("it has");
        assert_eq!(tls.ca.as_deref(), Some("/etc/ca.pem"));
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let tls = serde_json::json!({"certificate": "c.pem"});
        let problems = read(serde_json::json!({"brokers": "a:1", "tls": tls})).check();
        assert_eq!(problems, ["tls: `certificate` needs `key`"]);
    }

    #[test]
    fn settings_pass_through_whatever_their_type_and_owned_ones_are_refused() {
        let connection = read(serde_json::json!({
            "brokers": "a:1",
            "options": {"fetch.min.bytes": 10, "socket.keepalive.enable": true, "acks": "all"}
        }));
        let problems = connection.check();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("options: acks"), "{problems:?}");
        let config = connection.client_config();
        assert_eq!(config.get("fetch.min.bytes"), Some("10"));
        assert_eq!(config.get("socket.keepalive.enable"), Some("true"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let connection = read(serde_json::json!({
            "brokers": "a:1",
            "tls": {"key_password": "hunter2"},
            "sasl": {"mechanism": "PLAIN", "username": "u", "password": "hunter2"}
        }));
        assert!(!format!("{connection:?}").contains("hunter2"));
    }
}
