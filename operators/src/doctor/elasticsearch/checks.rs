//! The checks of a cluster: the list, and below it one function for each.
//!
//! Sources of the bounds: 85, 90 and 95 % are Elasticsearch's defaults of the disk watermarks; the others
//! are said beside them.

mod cluster;
mod indices;
mod nodes;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::mapping::misfits;
use super::{ASKED_WITH, FOR_REPLAYS, Facts, Sink, once, written_with};
use crate::doctor::{Check, Depth, Missing, Said, Status, Verdict, fine, or_fine};
use cluster::{data_path, health, health_report, hosts, one_cluster, one_master, quorum, versions};
use indices::{blocks, mapping, pipeline, privileges, replicas, template};
use nodes::{body_bytes, certificates, clock, disk, heap, lifecycle, rejected_writes};

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

/// The nodes of an answer, by id.
fn nodes(answer: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let nodes = answer["nodes"].as_object().into_iter().flatten();
    nodes.map(|(id, node)| (id.as_str(), node))
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
        (count, what) => format!("{count} {what}s"),
    }
}
