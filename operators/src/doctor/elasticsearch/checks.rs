//! The checks of a cluster: the list, and below it one function for each.
//!
//! Sources of the bounds: 85, 90 and 95 % are Elasticsearch's defaults of the disk watermarks; the others
//! are said beside them.

mod cluster;
mod indices;
mod nodes;
mod targets;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::mapping::misfits;
use super::{ASKED_WITH, FOR_REPLAYS, Facts, Sink, once, written_with};
use crate::doctor::{Check, Depth, Missing, Said, Status, Verdict, fine, or_fine};
use cluster::{
    data_path, health, health_report, hosts, one_cluster, one_master, pending_tasks, quorum,
    versions,
};
use indices::{blocks, mapping, pipeline, privileges, replicas, template};
use nodes::{body_bytes, certificates, clock, disk, heap, lifecycle, rejected_writes};
use targets::{failure_store, index_health, index_pipelines, kind, refresh, write};

pub(in crate::doctor) const CHECKS: &[Check<Facts>] = &[
    Check {
        id: "elasticsearch.hosts",
        depth: Depth::Start,
        why: "Requests go to all hosts in turn; one that does not answer costs a try each time it is taken back.",
        fix: "Start the host, correct `hosts`, `auth` or `tls` of the connection, or take the host out.",
        needs: NO_PRIVILEGE,
        judge: hosts,
    },
    Check {
        id: "elasticsearch.one_cluster",
        depth: Depth::Start,
        why: "Hosts of two clusters split the documents between them, and each id is only known to one.",
        fix: "Name hosts of one cluster; where one cluster became two, stop one of them and replay what it took.",
        needs: MONITOR,
        judge: one_cluster,
    },
    Check {
        id: "elasticsearch.one_master",
        depth: Depth::Start,
        why: "Without a master nothing new can be written; two masters are two clusters that do not know of each other.",
        fix: "Start the missing master-eligible nodes, and check that all nodes discover the same ones.",
        needs: MONITOR,
        judge: one_master,
    },
    Check {
        id: "elasticsearch.versions",
        depth: Depth::All,
        why: "Isobar is tested with Elasticsearch 8 and 9 and OpenSearch 2 and 3, and nodes of different versions answer differently.",
        fix: "Finish the upgrade of the cluster, or use a version that is tested.",
        needs: MONITOR,
        judge: versions,
    },
    Check {
        id: "elasticsearch.data_path",
        depth: Depth::All,
        why: "A node that only leads the cluster should not spend its memory on bulk requests: when it falls, the cluster does.",
        fix: "Name data or ingest nodes in `hosts`, or a proxy before them.",
        needs: MONITOR,
        judge: data_path,
    },
    Check {
        id: "elasticsearch.quorum",
        depth: Depth::All,
        why: "More than half of the voting nodes must be up for anything to be written that is new.",
        fix: "Run three master-eligible nodes, and remove exclusions that were left (`DELETE _cluster/voting_config_exclusions`).",
        needs: MONITOR,
        judge: quorum,
    },
    Check {
        id: "elasticsearch.health",
        depth: Depth::Start,
        why: "An index that is red takes only part of its documents; the others wait.",
        fix: "`GET _cluster/allocation/explain` says why a shard has no place.",
        needs: MONITOR,
        judge: health,
    },
    Check {
        id: "elasticsearch.health_report",
        depth: Depth::All,
        why: "The cluster judges itself, shard limits and repositories included.",
        fix: "`GET _health_report` has a diagnosis and what to do for each indicator.",
        needs: MONITOR,
        judge: health_report,
    },
    Check {
        id: "elasticsearch.pending_tasks",
        depth: Depth::All,
        why: "New indices and new fields are tasks of the master, and what is behind others for 30 s is given up: its documents wait.",
        fix: "`GET _cluster/pending_tasks` has them; fewer shards, or fewer new indices and fields at once.",
        needs: MONITOR,
        judge: pending_tasks,
    },
    Check {
        id: "elasticsearch.disk",
        depth: Depth::All,
        why: "Above the high watermark shards move away; above the flood stage indices take no documents, which then wait.",
        fix: "Delete old indices, add disk, or let the lifecycle policy delete earlier.",
        needs: MONITOR,
        judge: disk,
    },
    Check {
        id: "elasticsearch.blocks",
        depth: Depth::Start,
        why: "An index with a write block takes no documents; they wait until the block is gone.",
        fix: "Remove the block (`PUT INDEX/_settings` with the block set to null), once what set it is over.",
        needs: "it takes `view_index_metadata` on the index",
        judge: blocks,
    },
    Check {
        id: "elasticsearch.replicas",
        depth: Depth::All,
        why: "Documents of an index without replicas are gone with the disk that they are on.",
        fix: "Set `number_of_replicas` to 1 or more, in the index template too.",
        needs: "it takes `view_index_metadata` on the index",
        judge: replicas,
    },
    Check {
        id: "elasticsearch.index_health",
        depth: Depth::All,
        why: "Documents for a shard that has no place wait, and those in a single copy are gone with its disk.",
        fix: "`GET _cluster/allocation/explain` says why a shard has no place.",
        needs: "it takes the cluster privilege `monitor`, and `monitor` on the index",
        judge: index_health,
    },
    Check {
        id: "elasticsearch.kind",
        depth: Depth::Start,
        why: "A data stream takes no document by `index`, and an index in its place never rolls over.",
        fix: "Say `data_stream` or `index` in the bolt as it is, use another name, or reindex and delete what has the name.",
        needs: "it takes `view_index_metadata` on the index",
        judge: kind,
    },
    Check {
        id: "elasticsearch.failure_store",
        depth: Depth::All,
        why: "What a failure store keeps is dead-lettered as well, since the data stream has not taken it: it is stored twice.",
        fix: "Nothing, or switch it off (`PUT _data_stream/NAME/_options` with `failure_store.enabled` of false).",
        needs: "it takes `view_index_metadata` on the index",
        judge: failure_store,
    },
    Check {
        id: "elasticsearch.refresh",
        depth: Depth::All,
        why: "Each refresh makes a small segment that has to be merged; at many documents a second that costs more than writing them.",
        fix: "Set `index.refresh_interval` to 5 s or more, in the index template too.",
        needs: "it takes `view_index_metadata` and `monitor` on the index",
        judge: refresh,
    },
    Check {
        id: "elasticsearch.index_pipelines",
        depth: Depth::All,
        why: "A pipeline of an index may change documents, drop them or send them elsewhere, where `where` and replays do not look.",
        fix: "Nothing where it is meant; else set `index.default_pipeline` and `index.final_pipeline` to `_none`.",
        needs: "it takes `view_index_metadata` on the index",
        judge: index_pipelines,
    },
    Check {
        id: "elasticsearch.write",
        depth: Depth::Writing,
        why: "Whether a document is taken, only writing one tells: blocks, privileges, pipelines and proxies all have a say.",
        fix: "Do what the answer says.",
        needs: "it takes what the bolt needs, and `delete` on the index",
        judge: write,
    },
    Check {
        id: "elasticsearch.template",
        depth: Depth::Start,
        why: "A new index gets its mapping from a template; without one, the first document decides. A data stream needs one.",
        fix: "Install an index template for the name, with `data_stream: {}` where it is one.",
        needs: "it takes `manage_index_templates` or `monitor`",
        judge: template,
    },
    Check {
        id: "elasticsearch.mapping",
        depth: Depth::All,
        why: "Documents that do not fit the mapping are rejected, and origins that are not indexed cannot be found.",
        fix: "Map the origin field as in the reference of the bolt: `s` and `t` keyword, `p` integer, `o` and `ts` long.",
        needs: "it takes `view_index_metadata` on the index",
        judge: mapping,
    },
    Check {
        id: "elasticsearch.pipeline",
        depth: Depth::Start,
        why: "Documents that are to go through an ingest pipeline that is not there are all refused.",
        fix: "Create the pipeline, or correct `pipeline` of the bolt.",
        needs: "it takes `read_pipeline` or `manage_ingest_pipelines`",
        judge: pipeline,
    },
    Check {
        id: "elasticsearch.privileges",
        depth: Depth::Start,
        why: "What the user may not write waits, held, until somebody permits it.",
        fix: "Give the user's role the privileges that are missing.",
        needs: NO_PRIVILEGE,
        judge: privileges,
    },
    Check {
        id: "elasticsearch.rejected_writes",
        depth: Depth::All,
        why: "A cluster that refuses writes for full queues or memory is the bottleneck; records wait, and lag grows.",
        fix: "Fewer `requests_per_lane`, fewer shards for each index, or more data nodes.",
        needs: MONITOR,
        judge: rejected_writes,
    },
    Check {
        id: "elasticsearch.heap",
        depth: Depth::All,
        why: "A node whose heap stays nearly full spends its time collecting garbage and trips its circuit breakers.",
        fix: "More heap or nodes, or fewer shards.",
        needs: MONITOR,
        judge: heap,
    },
    Check {
        id: "elasticsearch.lifecycle",
        depth: Depth::All,
        why: "An index whose lifecycle policy stands still neither rolls over nor is deleted, until the disk is full.",
        fix: "`GET INDEX/_ilm/explain` says what failed; then `POST INDEX/_ilm/retry`.",
        needs: "it takes `view_index_metadata` on the index",
        judge: lifecycle,
    },
    Check {
        id: "elasticsearch.body_bytes",
        depth: Depth::All,
        why: "Hosts refuse larger bodies than `http.max_content_length`; Isobar sends smaller ones then, which costs requests.",
        fix: "Lower `body_bytes` of the bolt, or raise `http.max_content_length` of the nodes.",
        needs: MONITOR,
        judge: body_bytes,
    },
    Check {
        id: "elasticsearch.certificates",
        depth: Depth::All,
        why: "From the moment that a certificate expires, no connection is made any more.",
        fix: "Renew the certificate.",
        needs: NO_PRIVILEGE,
        judge: certificates,
    },
    Check {
        id: "elasticsearch.clock",
        depth: Depth::All,
        why: "`event_time_bounds`, ages and lifecycle policies compare times of different machines.",
        fix: "Let all machines take their time from the same servers (NTP).",
        needs: MONITOR,
        judge: clock,
    },
];

const MONITOR: &str = "it takes the cluster privilege `monitor`";
const NO_PRIVILEGE: &str = "it takes credentials that are valid";

/// Major versions of OpenSearch and of Elasticsearch that the tests run against, as `deploy/SUPPORT.md` has them.
pub(super) const TESTED: [u64; 4] = [2, 3, 8, 9];

/// The nodes of an answer, by id.
fn nodes(answer: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let nodes = answer["nodes"].as_object().into_iter().flatten();
    nodes.map(|(id, node)| (id.as_str(), node))
}

/// The first names of several, which are counted beside them.
fn some(names: &BTreeSet<&str>) -> String {
    let first: Vec<&str> = names.iter().take(3).copied().collect();
    first.join(", ")
}

/// Whether a name fits a pattern with `*` in it.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(rest) = name.strip_prefix(before) else {
        return false;
    };
    (0..=rest.len())
        .filter(|at| rest.is_char_boundary(*at))
        .any(|at| fits(after, &rest[at..]))
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str)
}

/// Settings of the cluster under their whole names, what somebody set before the defaults.
fn settings(answer: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for from in ["defaults", "persistent", "transient"] {
        flatten(&answer[from], String::new(), &mut all);
    }
    all
}

fn flatten(value: &Value, name: String, all: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                let name = match name.as_str() {
                    "" => member.clone(),
                    name => format!("{name}.{member}"),
                };
                flatten(value, name, all);
            }
        }
        Value::String(text) => drop(all.insert(name, text.clone())),
        Value::Null => {}
        other => drop(all.insert(name, other.to_string())),
    }
}

/// `1 host`, `3 hosts`; `1 index`, `2 indices`; the first word of a longer text gets the ending.
fn counted(count: usize, what: &str) -> String {
    match (count, what) {
        (1, what) => format!("1 {what}"),
        (count, "index") => format!("{count} indices"),
        (count, "node is") => format!("{count} nodes are"),
        (count, "task waits") => format!("{count} tasks wait"),
        (count, what) => format!("{count} {what}s"),
    }
}
