//! What a topology wants of an Elasticsearch or OpenSearch cluster, and the questions whose answers the
//! checks judge. All questions are asked before the first check.

mod checks;
mod mapping;
mod write_test;

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use isobar_topology::spec::{Problems, Spec, parse_config};
use isobar_topology::{OperatorError, clock};
use serde_json::{Value, json};
use url::Url;

use super::certificate::Expiry;
use super::{Depth, Finding, Missing, examine};
use crate::bolts::ElasticsearchConfig;
use crate::connections::elasticsearch_of;
use crate::elasticsearch::ask::{Ask, said};
use crate::elasticsearch::connection::ElasticsearchConnection;
use crate::elasticsearch::hosts::named;
use crate::replay::index_pattern;

pub(super) use checks::CHECKS;

/// Between two looks at counters that should not grow.
const BETWEEN: Duration = Duration::from_secs(1);

/// A cluster, and what the bolts of a topology write to it.
pub struct Cluster {
    name: String,
    connection: ElasticsearchConnection,
    sinks: Vec<Sink>,
}

/// A bolt that writes to it.
#[derive(Clone, Debug)]
struct Sink {
    bolt: String,
    /// The index or data stream as the topology file has it.
    target: String,
    is_data_stream: bool,
    /// The field of the origin; `None` where documents carry none.
    origin: Option<String>,
    pipeline: Option<String>,
    /// `create` or `index`.
    operation: &'static str,
    /// Whether it asks which indices exist, so as to make none.
    asks_existence: bool,
    body_bytes: usize,
}

impl Sink {
    /// All indices that it may write to, with `*` where the record decides.
    fn pattern(&self) -> String {
        index_pattern(&self.target)
    }

    /// Whether what fits its pattern is its own: the name begins with something that the topology file says, and not
    /// with a dot, as those do that belong to the cluster. Where a record decides how the name begins anything fits.
    fn is_named(&self) -> bool {
        !self.pattern().starts_with(['*', '.'])
    }

    /// One name that it may write to.
    fn example(&self) -> String {
        self.pattern().replace('*', "isobar")
    }
}

/// The clusters that bolts of a topology write to, in the order of the file.
pub(super) fn clusters(spec: &Spec) -> Result<Vec<Cluster>, Problems> {
    let mut problems = Problems::default();
    let mut clusters: Vec<Cluster> = Vec::new();
    let bolts = spec.bolts.iter().chain(&spec.dead_letter);
    for bolt in bolts.filter(|bolt| bolt.kind == "elasticsearch") {
        let config: Result<ElasticsearchConfig, _> = parse_config(&bolt.config, &bolt.path);
        let Some(config) = problems.take(config) else {
            continue;
        };
        let sink = Sink {
            bolt: bolt.id.clone(),
            target: config.written_target().to_owned(),
            is_data_stream: config.data_stream.is_some(),
            origin: config.origin_field().map(str::to_owned),
            pipeline: config.pipeline.clone(),
            operation: config.operation().name(),
            asks_existence: config.asks_existence(),
            body_bytes: config.body_bytes.get(),
        };
        let of_name = |one: &&mut Cluster| one.name == config.connection;
        if let Some(cluster) = clusters.iter_mut().find(of_name) {
            cluster.sinks.push(sink);
            continue;
        }
        let connection = problems.take(elasticsearch_of(spec, &config.connection));
        if let Some(Some(connection)) = connection {
            clusters.push(Cluster {
                name: config.connection.clone(),
                connection,
                sinks: vec![sink],
            });
        }
    }
    problems.or(clusters)
}

/// What a question is called among the facts: its name, and the sink that it is about if it is about one.
type Name = (&'static str, usize);

/// Asked of the first host that answers.
mod once {
    pub(super) const HEALTH: &str = "health";
    pub(super) const REPORT: &str = "report";
    pub(super) const NODES: &str = "nodes";
    pub(super) const VOTING: &str = "voting";
    pub(super) const SETTINGS: &str = "settings";
    pub(super) const STATISTICS: &str = "statistics";
    pub(super) const STATISTICS_AGAIN: &str = "statistics again";
    // These are of one sink.
    pub(super) const PRIVILEGES: &str = "privileges";
    pub(super) const INDICES: &str = "indices";
    pub(super) const MAPPINGS: &str = "mappings";
    pub(super) const TEMPLATES: &str = "templates";
    pub(super) const SIMULATED: &str = "simulated";
    pub(super) const PIPELINE: &str = "pipeline";
    pub(super) const LIFECYCLE: &str = "lifecycle";
    pub(super) const DATA_STREAMS: &str = "data streams";
    pub(super) const INDEX_HEALTH: &str = "index health";
    pub(super) const WRITES: &str = "writes";
    pub(super) const WRITES_AGAIN: &str = "writes again";
    /// What became of the document that was written and deleted, if it was.
    pub(super) const WRITTEN: &str = "written";
}

/// One question.
struct Question {
    name: Name,
    depth: Depth,
    method: Method,
    path: String,
    body: Option<Value>,
}

/// An answer that can be judged, or why there is none.
pub(super) type Answer = Result<Value, Missing>;

/// What the checks judge.
pub(super) struct Facts {
    /// Milliseconds since 1970, by this machine's clock.
    now_ms: i64,
    hosts: Vec<Host>,
    answers: BTreeMap<Name, Answer>,
    /// When each of these was asked for, in ms since 1970.
    asked_ms: BTreeMap<Name, i64>,
    certificates: Vec<Expiry>,
    sinks: Vec<Sink>,
}

/// A host and what it alone was asked.
pub(super) struct Host {
    name: String,
    node: Answer,
    state: Answer,
}

impl Facts {
    fn answer(&self, name: &'static str) -> Result<&Value, Missing> {
        self.of_sink(name, 0)
    }

    fn of_sink(&self, name: &'static str, sink: usize) -> Result<&Value, Missing> {
        match self.answers.get(&(name, sink)) {
            Some(answer) => answer.as_ref().map_err(Clone::clone),
            None => Err(Missing::Unknown("no host answered".to_owned())),
        }
    }
}

impl Cluster {
    /// Asks and judges.
    pub(super) async fn examine(
        &self,
        depth: Depth,
        within: Duration,
    ) -> Result<Vec<Finding>, OperatorError> {
        let ask = Ask::of(&self.connection, within)?;
        let facts = self.ask(&ask, depth, within).await;
        Ok(examine(CHECKS, depth, &facts, &self.name))
    }

    async fn ask(&self, ask: &Ask, depth: Depth, within: Duration) -> Facts {
        let mut hosts = Vec::new();
        for host in ask.hosts() {
            let node = answer(ask, host, Method::GET, NODE_PATH, None).await;
            // One that does not answer is not waited for again.
            let state = match &node {
                Err(Missing::Unknown(why)) => Err(Missing::Unknown(why.clone())),
                _ => answer(ask, host, Method::GET, STATE_PATH, None).await,
            };
            hosts.push((host, node, state));
        }
        let answers_at = |node: &Answer| !matches!(node, Err(Missing::Unknown(_)));
        let chosen = hosts.iter().find(|(_, node, _)| answers_at(node));
        let chosen = chosen.map(|(host, ..)| *host);
        let (mut answers, mut asked_ms) = (BTreeMap::new(), BTreeMap::new());
        if let Some(host) = chosen {
            for question in self.questions() {
                if question.depth > depth {
                    continue;
                }
                if question.name.0 == once::STATISTICS_AGAIN {
                    tokio::time::sleep(BETWEEN).await;
                }
                let Question { method, path, .. } = question;
                let _ = asked_ms.insert(question.name, clock::unix_ms());
                let said = answer(ask, host, method, &path, question.body.as_ref()).await;
                let _ = answers.insert(question.name, said);
            }
        }
        let hosts = hosts.into_iter().map(|(host, node, state)| Host {
            name: named(host).to_owned(),
            node,
            state,
        });
        let mut facts = Facts {
            now_ms: clock::unix_ms(),
            hosts: hosts.collect(),
            answers,
            asked_ms,
            certificates: match depth {
                Depth::Start => Vec::new(),
                Depth::All | Depth::Writing => self.certificates(within),
            },
            sinks: self.sinks.clone(),
        };
        if let (Depth::Writing, Some(host)) = (depth, chosen) {
            for number in 0..self.sinks.len() {
                let written = match write_test::Target::of(&facts, number) {
                    Ok(target) => target.write(ask, host).await,
                    Err(missing) => Err(missing),
                };
                let _ = facts.answers.insert((once::WRITTEN, number), written);
            }
        }
        facts
    }

    /// The connection's name in the topology file.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Those of its hosts and in files of the connection; none where TLS is not used. Waits at most
    /// `within` for each host.
    pub(super) fn certificates(&self, within: Duration) -> Vec<Expiry> {
        let hosts = self.connection.urls().into_iter();
        let shown = hosts.filter(|host| host.scheme() == "https");
        let shown = shown.filter_map(|host| {
            let port = host.port_or_known_default()?;
            Some(Expiry::of_server(host.host_str()?, port, within))
        });
        let tls = self.connection.tls.iter();
        let own = tls.flat_map(|tls| [&tls.certificate, &tls.ca]).flatten();
        shown.chain(own.map(|path| Expiry::of_file(path))).collect()
    }

    fn questions(&self) -> Vec<Question> {
        let get = |depth, name, path: &str| Question {
            name: (name, 0),
            depth,
            method: Method::GET,
            path: path.to_owned(),
            body: None,
        };
        let mut questions = vec![
            get(Depth::Start, once::HEALTH, HEALTH_PATH),
            get(Depth::Start, once::SETTINGS, SETTINGS_PATH),
            get(Depth::All, once::REPORT, REPORT_PATH),
            get(Depth::All, once::NODES, NODES_PATH),
            get(Depth::All, once::VOTING, VOTING_PATH),
            get(Depth::All, once::STATISTICS, STATISTICS_PATH),
            get(Depth::Start, once::TEMPLATES, TEMPLATES_PATH),
        ];
        for (number, sink) in self.sinks.iter().enumerate() {
            questions.extend(of_sink(number, sink));
        }
        // As late as can be.
        questions.push(get(Depth::All, once::STATISTICS_AGAIN, STATISTICS_PATH));
        let sinks = self.sinks.iter().enumerate();
        questions.extend(sinks.map(|(number, sink)| writes(once::WRITES_AGAIN, number, sink)));
        questions
    }
}

const NODE_PATH: &str = "_nodes/_local/http?filter_path=nodes.*.name,nodes.*.version,nodes.*.roles,nodes.*.http.max_content_length_in_bytes";
const STATE_PATH: &str = "_cluster/state/version,master_node?local=true&filter_path=cluster_name,cluster_uuid,master_node";
const HEALTH_PATH: &str = "_cluster/health?filter_path=status,number_of_data_nodes,unassigned_shards,number_of_pending_tasks,task_max_waiting_in_queue_millis&master_timeout=5s";
const SETTINGS_PATH: &str = "_cluster/settings?include_defaults=true&filter_path=*.cluster.routing.allocation.disk,*.cluster.blocks&master_timeout=5s";
const REPORT_PATH: &str =
    "_health_report?verbose=false&filter_path=status,indicators.*.status,indicators.*.symptom";
const NODES_PATH: &str = "_nodes?filter_path=nodes.*.name,nodes.*.roles";
const VOTING_PATH: &str = "_cluster/state/metadata?filter_path=metadata.cluster_coordination.last_committed_config,metadata.cluster_coordination.voting_config_exclusions";
const STATISTICS_PATH: &str = "_nodes/stats/fs,jvm,thread_pool,indexing_pressure,breaker?filter_path=nodes.*.name,nodes.*.timestamp,nodes.*.fs.total,nodes.*.jvm.mem.heap_used_percent,nodes.*.thread_pool.write.rejected,nodes.*.indexing_pressure.memory.total.*_rejections,nodes.*.breakers.*.tripped";
const TEMPLATES_PATH: &str = "_index_template?filter_path=index_templates.name,index_templates.index_template.index_patterns,index_templates.index_template.priority,index_templates.index_template.data_stream.hidden";
/// No index at all is an answer.
const LENIENT: &str = "ignore_unavailable=true&allow_no_indices=true&expand_wildcards=all";

fn of_sink(number: usize, sink: &Sink) -> Vec<Question> {
    let pattern = sink.pattern();
    let question = |depth, name, method, path: String, body| Question {
        name: (name, number),
        depth,
        method,
        path,
        body,
    };
    let get = |depth, name, path| question(depth, name, Method::GET, path, None);
    let mut of_index = vec![written_with(sink), "auto_configure", "read"];
    of_index.extend(FOR_REPLAYS);
    if sink.asks_existence {
        of_index.push(ASKED_WITH);
    }
    let privileges = json!({
        "cluster": ["monitor"],
        "index": [{"names": [pattern], "privileges": of_index}],
    });
    let mut questions = vec![
        get(
            Depth::Start,
            once::INDICES,
            format!(
                "{pattern}/_settings?{LENIENT}&filter_path=*.settings.index.blocks,*.settings.index.number_of_replicas,*.settings.index.refresh_interval,*.settings.index.default_pipeline,*.settings.index.final_pipeline"
            ),
        ),
        question(
            Depth::Start,
            once::PRIVILEGES,
            Method::POST,
            "_security/user/_has_privileges".to_owned(),
            Some(privileges),
        ),
        get(
            Depth::All,
            once::MAPPINGS,
            format!("{pattern}/_mapping?{LENIENT}"),
        ),
        question(
            Depth::All,
            once::SIMULATED,
            Method::POST,
            format!(
                "_index_template/_simulate_index/{}?filter_path=template.mappings,template.settings.index.default_pipeline,template.settings.index.final_pipeline",
                sink.example()
            ),
            None,
        ),
        get(
            Depth::All,
            once::LIFECYCLE,
            format!("{pattern}/_ilm/explain?only_errors=true&filter_path=indices.*.step_info"),
        ),
        get(
            Depth::Start,
            once::DATA_STREAMS,
            format!(
                "_data_stream/{pattern}?filter_path=data_streams.name,data_streams.indices.index_name,data_streams.failure_store.enabled"
            ),
        ),
        get(
            Depth::All,
            once::INDEX_HEALTH,
            format!("_cat/indices/{pattern}?format=json&h=index,health"),
        ),
        writes(once::WRITES, number, sink),
    ];
    if let Some(pipeline) = &sink.pipeline {
        let path = format!("_ingest/pipeline/{pipeline}?filter_path=*.description");
        questions.push(get(Depth::Start, once::PIPELINE, path));
    }
    questions
}

/// How many documents its indices have taken.
fn writes(name: &'static str, number: usize, sink: &Sink) -> Question {
    let pattern = sink.pattern();
    Question {
        name: (name, number),
        depth: Depth::All,
        method: Method::GET,
        path: format!("{pattern}/_stats/indexing?filter_path=_all.primaries.indexing.index_total"),
        body: None,
    }
}

/// The privilege that it takes to ask whether an index exists.
const ASKED_WITH: &str = "view_index_metadata";

/// The privileges of replays: to have what is indexed visible at once, and to delete what is written anew.
const FOR_REPLAYS: [&str; 2] = ["maintenance", "delete"];

/// The privilege that its bulk requests need.
fn written_with(sink: &Sink) -> &'static str {
    match sink.operation {
        "create" => "create_doc",
        _ => "index",
    }
}

/// Asks one host.
async fn answer(ask: &Ask, host: &Url, method: Method, path: &str, body: Option<&Value>) -> Answer {
    let (status, answer) = match ask.host(host, method, path, body).await {
        Ok(answer) => answer,
        Err(cause) => return Err(Missing::Unknown(cause)),
    };
    let text = || format!("{status} {}", said(&answer));
    match status {
        200 => serde_json::from_slice(&answer)
            .map_err(|error| Missing::Unknown(format!("the answer is no JSON: {error}"))),
        401 => Err(Missing::Unknown(format!(
            "{status}: check `auth` of the connection"
        ))),
        403 => Err(Missing::Denied),
        400 | 404 | 405 | 410 => Err(Missing::Absent(format!(
            "the cluster has no such thing to ask for ({status})"
        ))),
        _ => Err(Missing::Unknown(text())),
    }
}

#[cfg(test)]
mod tests;
