//! A connection to an Elasticsearch or OpenSearch cluster as the topology file spells it, and what can
//! be found wrong with it before anybody is contacted.

use std::path::{Path as FilePath, PathBuf};

use isobar_topology::ConnectionType;
use isobar_topology::spec::units::Duration;
use isobar_topology::spec::{Component, Problem, Problems, Secret, parse_config};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::hosts::HOSTS_MAX;

/// The type as `connections:` knows it.
pub(crate) const TYPE: ConnectionType = ConnectionType {
    name: "elasticsearch",
    schema: || schemars::schema_for!(ElasticsearchConnection),
    check: |component| ElasticsearchConnection::read(component).map(drop),
};

/// An Elasticsearch or OpenSearch cluster, named once and used by bolts.
///
/// Elasticsearch 8 and 9 and OpenSearch 2 and 3 are tested. `hosts: [embedded]` is a small part of
/// Elasticsearch inside the process that runs the topology, for trying things out: it answers bulk
/// requests item by item, learns mappings from documents, finds documents by words
/// (`_search?q=level:error`), and holds the latest 64 MiB in memory, in up to 1,000 indices; older documents go, and
/// all when the program ends. It has no templates, pipelines or data streams, and `tls` is not used then.
///
/// ```yaml
/// connections:
///   search:
///     type: elasticsearch
///     hosts: ["https://es-1:9200", "https://es-2:9200"]
///     auth: {api_key: "${file:/run/secrets/search}"}
///     tls: {ca: search-ca.pem}
/// ```
///
/// The files of `tls`, and a secret that is all of a `${file:...}`, are read again when they change: they
/// are looked at every 10 s, and at once when a host turns the connection away. The next requests go with
/// what is new, over new connections, without a restart. A file that cannot be used is refused: what was
/// read before stays in use, and the health of the topology names the file and the reason. A user's name,
/// and what comes from a variable, are read at the start only.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElasticsearchConnection {
    /// Hosts of one cluster as URLs, such as `https://es-1:9200`, as a list or separated by commas. A
    /// URL without a port means 80 or 443, and one with a path, such as
    /// `https://gateway.example/search`, puts that path before every request. Requests go to the hosts
    /// in turn; a host that fails is left out for a while, and what it did not do is asked of another.
    #[serde(deserialize_with = "hosts")]
    pub hosts: Vec<String>,
    /// Who the requests come from: one of `basic` and `api_key`. Without it they are anonymous.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// How `https` hosts are verified, and the client's own certificate.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// How long a request may take, connecting and reading the reply included, at least 100ms. A bulk
    /// request that takes longer is sent again: with ids that follow from the record that stores
    /// nothing twice. Later ones are half as large until they are done in time. For a shard that is away, a new
    /// field or a new index the cluster waits a sixth of it, from 1 s to 10 s, and half of it at most.
    #[serde(default = "request_timeout")]
    pub request_timeout: Duration,
    /// How long it may take to find a host by its name and until it accepts a connection, TLS included, at
    /// least 10ms.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Duration,
}

/// Who the requests come from: one of these.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// A user and a password.
    Basic(Basic),
    /// An API key: the encoded form as Kibana shows it, or `id:key`.
    ApiKey(Secret),
}

/// A user and a password.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: Secret,
}

/// Encryption of the connection. All files are PEM; relative paths start where the topology file is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// File with certificates of authorities that are trusted besides the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// File with the client's own certificate, and those between it and its authority, where the hosts
    /// ask for one.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// File with the private key of that certificate.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// Password of the private key, if it has one.
    #[serde(default)]
    pub key_password: Option<Secret>,
    /// Whether the hosts' certificates and names are verified. Without it anybody on the way can read
    /// and change the documents, and sees the password.
    #[serde(default = "yes")]
    pub verify: bool,
}

impl ElasticsearchConnection {
    /// Reads the options and finds everything that cannot work, without contacting anybody.
    pub(crate) fn read(component: &Component) -> Result<Self, Problems> {
        let connection: Self = parse_config(&component.config, &component.path)?;
        let problems = connection.problems(component);
        problems.or(connection)
    }

    /// Whether the cluster is the one inside the process that runs the topology.
    pub(crate) fn is_embedded(&self) -> bool {
        self.hosts == [EMBEDDED]
    }

    /// Lets relative paths start in `directory`.
    pub(crate) fn beside(mut self, directory: impl Fn(&FilePath) -> PathBuf) -> Self {
        if let Some(tls) = &mut self.tls {
            for path in [&mut tls.ca, &mut tls.certificate, &mut tls.key] {
                *path = path.as_deref().map(&directory);
            }
        }
        self
    }

    /// The files that credentials and certificates come from.
    pub(crate) fn files(&self) -> Vec<&FilePath> {
        let secret = match &self.auth {
            Some(Auth::Basic(basic)) => Some(&basic.password),
            Some(Auth::ApiKey(key)) => Some(key),
            None => None,
        };
        let tls = self.tls.as_ref();
        let secrets = secret.into_iter();
        let secrets = secrets.chain(tls.and_then(|tls| tls.key_password.as_ref()));
        let of_tls = tls.map(|tls| [&tls.ca, &tls.certificate, &tls.key]);
        let of_tls = of_tls.into_iter().flatten().filter_map(Option::as_deref);
        secrets.filter_map(Secret::file).chain(of_tls).collect()
    }

    /// The hosts as URLs that end in a slash, so that paths can be put behind them.
    pub(crate) fn urls(&self) -> Vec<Url> {
        self.hosts
            .iter()
            .filter_map(|host| base_url(host).ok())
            .collect()
    }

    fn problems(&self, component: &Component) -> Problems {
        let mut problems = Problems::default();
        let mut complain = |option: &[&str], message: String, expected: &str| {
            let below = option.iter();
            let path = below.fold(component.path.clone(), |path, step| path.key(step));
            problems.push(Problem::new(path, message).expected(expected));
        };
        if self.hosts.is_empty() {
            complain(
                &["hosts"],
                "no host is named".to_owned(),
                "at least one, such as http://localhost:9200",
            );
        }
        if self.hosts.len() > HOSTS_MAX {
            complain(
                &["hosts"],
                format!("{} hosts", self.hosts.len()),
                &format!("at most {HOSTS_MAX}: name some, requests are spread by the cluster"),
            );
        }
        let is_hidden = (component.config.get("hosts"))
            .is_some_and(|hosts| hosts.walk().any(|node| node.hidden));
        if self.hosts.len() > 1 && self.hosts.iter().any(|host| host == EMBEDDED) {
            complain(
                &["hosts"],
                "embedded is named beside other hosts".to_owned(),
                "embedded alone, or the others",
            );
        }
        for host in self.hosts.iter().filter(|host| *host != EMBEDDED) {
            if let Err((problem, expected)) = base_url(host) {
                // What came from outside, or has a password in it, is not shown.
                let shown = match is_hidden || host.contains('@') {
                    true => "a host".to_owned(),
                    false => format!("the host {host:?}"),
                };
                complain(&["hosts"], format!("{shown} {problem}"), &expected);
            }
        }
        if let Some(tls) = &self.tls {
            match (&tls.certificate, &tls.key) {
                (Some(_), None) => complain(
                    &["tls", "certificate"],
                    "a certificate without its key".to_owned(),
                    "`key` beside it",
                ),
                (None, Some(_)) => complain(
                    &["tls", "key"],
                    "a key without its certificate".to_owned(),
                    "`certificate` beside it",
                ),
                _ => {}
            }
            if self.urls().iter().any(|url| url.scheme() == "http") {
                complain(
                    &["tls"],
                    "a host is asked without encryption".to_owned(),
                    "hosts that start with https://, or no `tls`",
                );
            }
        }
        if self.request_timeout < Duration::millis(100) {
            complain(
                &["request_timeout"],
                format!("{} is too short", self.request_timeout),
                "at least 100ms",
            );
        }
        if self.connect_timeout < Duration::millis(10) {
            complain(
                &["connect_timeout"],
                format!("{} is too short", self.connect_timeout),
                "at least 10ms",
            );
        }
        problems
    }
}

/// The name of the cluster inside the process.
pub(crate) const EMBEDDED: &str = "embedded";

/// The URL of a host, or what is wrong with it and what was expected.
fn base_url(host: &str) -> Result<Url, (&'static str, String)> {
    let example = || "a URL such as https://es-1:9200".to_owned();
    if !host.contains("://") {
        return Err(("has no scheme", format!("https://{host} or http://{host}")));
    }
    let mut url = Url::parse(host).map_err(|_| ("is not a URL", example()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(("is neither http nor https", example()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err((
            "has a user or password in it",
            "them under `auth`, which is never shown".to_owned(),
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(("has a query or fragment", example()));
    }
    if url.port() == Some(0) {
        return Err(("has port 0", "a port from 1 to 65535".to_owned()));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// The elements of a list may hold several hosts too: `hosts: ["${ES}"]`.
fn hosts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let hosts = texts.iter().flat_map(|text| text.split(','));
    Ok(hosts
        .map(|host| host.trim().to_owned())
        .filter(|host| !host.is_empty())
        .collect())
}

fn request_timeout() -> Duration {
    Duration::secs(60)
}

fn connect_timeout() -> Duration {
    Duration::secs(10)
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use isobar_topology::spec::{Node, Overload, Path, Place};
    use serde_json::{Value, json};

    use super::*;

    fn component(options: &Value) -> Component {
        Component {
            id: "search".to_owned(),
            kind: "elasticsearch".to_owned(),
            inputs: Vec::new(),
            overload: Overload::default(),
            on_rejected: None,
            config: Node::from_json(options),
            place: Place::default(),
            path: Path::root().key("connections").key("search"),
        }
    }

    fn problems(options: &Value) -> Vec<String> {
        match ElasticsearchConnection::read(&component(options)) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.sorted().iter().map(Problem::to_string).collect(),
        }
    }

    #[test]
    fn hosts_are_a_list_or_separated_by_commas() {
        for hosts in [
            json!("http://a:1, https://b"),
            json!(["http://a:1", "https://b"]),
            json!(["http://a:1,https://b"]),
        ] {
            let connection = ElasticsearchConnection::read(&component(&json!({ "hosts": hosts })));
            let urls = connection.expect("both are fine").urls();
            let urls: Vec<&str> = urls.iter().map(Url::as_str).collect();
            assert_eq!(urls, ["http://a:1/", "https://b/"]);
        }
        let with_path = ElasticsearchConnection::read(&component(&json!({"hosts": "http://a/es"})));
        let url = with_path.expect("a path is fine").urls().remove(0);
        assert_eq!(
            url.join("_bulk").expect("a URL").as_str(),
            "http://a/es/_bulk"
        );
    }

    #[test]
    fn a_host_that_cannot_be_asked_is_named_with_the_fix() {
        for (host, part) in [
            ("", "no host is named"),
            (
                "es-1:9200",
                "has no scheme; expected https://es-1:9200 or http://es-1:9200",
            ),
            ("ftp://es-1", "neither http nor https"),
            ("http://", "is not a URL"),
            ("http://es-1:99999", "is not a URL"),
            ("http://es-1:0", "has port 0"),
            (
                "http://u:hunter2@es-1",
                "a host has a user or password in it; expected them under `auth`",
            ),
            ("http://es-1/?pretty", "has a query or fragment"),
            (
                "embedded,http://es-1",
                "embedded is named beside other hosts",
            ),
        ] {
            let found = problems(&json!({ "hosts": [host] }));
            assert_eq!(found.len(), 1, "{host}: {found:?}");
            assert!(found[0].contains(part), "{host}: {found:?}");
            assert!(!found[0].contains("hunter2"), "{found:?}");
            assert!(
                found[0].starts_with("connections.search.hosts"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn every_problem_is_found_at_its_place() {
        let found = problems(&json!({
            "hosts": "http://a:9200",
            "auth": {"api_key": "a2V5"},
            "tls": {"certificate": "c.pem"},
            "request_timeout": "1ms",
            "connect_timeout": "0ms",
        }));
        let starts = [
            "connections.search.connect_timeout: 0ms is too short",
            "connections.search.request_timeout: 1ms is too short",
            "connections.search.tls: a host is asked without encryption",
            "connections.search.tls.certificate: a certificate without its key; expected `key`",
        ];
        assert_eq!(found.len(), starts.len(), "{found:?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}");
        }
    }

    #[test]
    fn of_two_ways_to_log_in_one_is_chosen() {
        let basic = json!({"basic": {"username": "u", "password": "hunter2"}});
        let read = |auth: &Value| problems(&json!({"hosts": "http://a", "auth": auth.clone()}));
        assert_eq!(read(&basic), Vec::<String>::new());
        assert_eq!(read(&json!({"api_key": "id:key"})), Vec::<String>::new());
        for wrong in [
            json!({"basic": {"username": "u"}}),
            json!({"token": "x"}),
            json!("anonymous"),
            json!({"basic": {"username": "u", "password": "hunter2"}, "api_key": "hunter2"}),
        ] {
            let found = read(&wrong);
            assert!(!found.is_empty(), "{wrong}");
            assert!(!found.concat().contains("hunter2"), "{found:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown_and_paths_start_beside_the_file() {
        let options = json!({
            "hosts": "https://a",
            "auth": {"basic": {"username": "u", "password": "hunter2"}},
            "tls": {"ca": "ca.pem", "certificate": "/c.pem", "key": "k.pem", "key_password": "hunter2"},
        });
        let connection = ElasticsearchConnection::read(&component(&options)).expect("sound");
        assert!(!format!("{connection:?}").contains("hunter2"));
        let connection = connection.beside(|path| FilePath::new("/etc/isobar").join(path));
        let tls = connection.tls.expect("given");
        assert_eq!(tls.ca.as_deref(), Some(FilePath::new("/etc/isobar/ca.pem")));
        assert_eq!(tls.certificate.as_deref(), Some(FilePath::new("/c.pem")));
    }
}
