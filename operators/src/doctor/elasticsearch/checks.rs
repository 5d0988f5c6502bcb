//! The checks of a cluster: the list, then one function for each.
//!
//! Sources of the bounds: 85, 90 and 95 % are Elasticsearch's defaults of the disk watermarks; the others
//! are said beside them.

mod indices;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::mapping::misfits;
use super::{Facts, Sink, once, written_with};
use crate::doctor::{Check, Depth, Missing, Said, Status, Verdict, fine, or_fine};
use indices::{blocks, mapping, pipeline, privileges, replicas, template};

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
        depth: Depth::All,
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

/// A clock that differs by more, in ms, is worth a warning: five seconds are what certificates and tokens
/// commonly tolerate.
const SKEW_MAX_MS: i64 = 5_000;
/// A heap that is fuller, in percent, twice in a row. The parent circuit breaker trips at 95 %.
const HEAP_MAX: u64 = 85;

fn hosts(facts: &Facts) -> Verdict {
    let mut found = Vec::new();
    for host in &facts.hosts {
        let status = match &host.node {
            Err(Missing::Unknown(why)) => (Status::Error, format!("{}: {why}", host.name)),
            Ok(node)
                if node["nodes"]
                    .as_object()
                    .is_none_or(|nodes| nodes.is_empty()) =>
            {
                (
                    Status::Error,
                    format!(
                        "{}: what answers is neither Elasticsearch nor OpenSearch",
                        host.name
                    ),
                )
            }
            _ => continue,
        };
        found.push(status);
    }
    or_fine(
        found,
        format!("all {} answer", counted(facts.hosts.len(), "host")),
    )
}

fn one_cluster(facts: &Facts) -> Verdict {
    let mut clusters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for_hosts(facts, |host, state| {
        let uuid = state["cluster_uuid"].as_str().unwrap_or("_na_");
        clusters.entry(uuid).or_default().push(host);
    })?;
    if let Some(hosts) = clusters.get("_na_") {
        let hosts = hosts.join(", ");
        let text = format!("{hosts}: no cluster has formed there yet");
        return Ok(vec![(Status::Error, text)]);
    }
    if clusters.len() > 1 {
        let each = clusters
            .iter()
            .map(|(uuid, hosts)| format!("{uuid}: {}", hosts.join(", ")));
        let each: Vec<String> = each.collect();
        let text = format!(
            "the hosts are of {} clusters ({})",
            clusters.len(),
            each.join("; ")
        );
        return Ok(vec![(Status::Error, text)]);
    }
    fine(format!(
        "{} of cluster {}",
        counted(facts.hosts.len(), "host"),
        clusters.keys().next().copied().unwrap_or_default()
    ))
}

fn one_master(facts: &Facts) -> Verdict {
    let mut masters: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for_hosts(facts, |host, state| {
        masters
            .entry(state["master_node"].as_str())
            .or_default()
            .push(host);
    })?;
    let mut found = Vec::new();
    if let Some(hosts) = masters.remove(&None) {
        let text = format!("{} knows of no master", hosts.join(", "));
        found.push((Status::Error, text));
    }
    if masters.len() > 1 {
        let each = masters
            .iter()
            .map(|(master, hosts)| format!("{}: {}", master.unwrap_or_default(), hosts.join(", ")));
        let each: Vec<String> = each.collect();
        let text = format!(
            "the hosts follow {} masters ({})",
            masters.len(),
            each.join("; ")
        );
        found.push((Status::Error, text));
    }
    or_fine(found, "all hosts follow the same one")
}

/// Hands the state of each host that told it to `each`. Fails where none did.
fn for_hosts<'f>(
    facts: &'f Facts,
    mut each: impl FnMut(&'f str, &'f Value),
) -> Result<(), Missing> {
    let mut missing = None;
    let mut any = false;
    for host in &facts.hosts {
        match &host.state {
            Ok(state) => {
                any = true;
                each(&host.name, state);
            }
            Err(why) => missing = missing.or(Some(why)),
        }
    }
    match (any, missing) {
        (false, Some(missing)) => Err(missing.clone()),
        _ => Ok(()),
    }
}

fn versions(facts: &Facts) -> Verdict {
    let mut versions: BTreeSet<(u64, u64)> = BTreeSet::new();
    let mut missing = Missing::Absent("no host says its version".to_owned());
    for host in &facts.hosts {
        match &host.node {
            Ok(node) => versions.extend(nodes(node).filter_map(|(_, node)| {
                let mut parts = node["version"].as_str()?.split('.');
                Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
            })),
            Err(why) => missing = why.clone(),
        }
    }
    let (Some(first), Some(last)) = (versions.first(), versions.last()) else {
        return Err(missing);
    };
    let text = |(major, minor): &(u64, u64)| format!("{major}.{minor}");
    let mut found = Vec::new();
    if first.0 != last.0 || last.1 - first.1 > 1 {
        let text = format!(
            "the hosts have versions from {} to {}",
            text(first),
            text(last)
        );
        found.push((Status::Warning, text));
    }
    // OpenSearch 2 and 3, Elasticsearch 8 and 9.
    if let Some(other) = versions
        .iter()
        .find(|(major, _)| !matches!(major, 2 | 3 | 8 | 9))
    {
        found.push((
            Status::Warning,
            format!("version {} is not tested", text(other)),
        ));
    }
    or_fine(found, format!("version {}", text(last)))
}

fn data_path(facts: &Facts) -> Verdict {
    let mut found = Vec::new();
    let mut missing = None;
    for host in &facts.hosts {
        match &host.node {
            Ok(node) => {
                let leads_only = nodes(node).any(|(_, node)| {
                    let mut roles = texts(&node["roles"]).peekable();
                    roles.peek().is_some() && roles.all(leads)
                });
                if leads_only {
                    let text = format!("{} is a node that only leads the cluster", host.name);
                    found.push((Status::Warning, text));
                }
            }
            Err(why) => missing = Some(why.clone()),
        }
    }
    match missing {
        Some(missing) if found.is_empty() => Err(missing),
        _ => or_fine(found, "no host is a node that only leads"),
    }
}

fn leads(role: &str) -> bool {
    matches!(
        role,
        "master" | "cluster_manager" | "voting_only" | "remote_cluster_client"
    )
}

fn quorum(facts: &Facts) -> Verdict {
    let coordination = &facts.answer(once::VOTING)?["metadata"]["cluster_coordination"];
    let Some(voting) = coordination["last_committed_config"].as_array() else {
        return Err(Missing::Absent(
            "the cluster does not tell who votes".to_owned(),
        ));
    };
    let nodes = match facts.answer(once::NODES) {
        Ok(answer) => nodes(answer).count(),
        Err(_) => 0,
    };
    let mut found: Vec<Said> = Vec::new();
    match voting.len() {
        1 if nodes <= 1 => found.push((
            Status::Info,
            "the cluster is one node: while that is away, everything waits".to_owned(),
        )),
        1 | 2 => found.push((
            Status::Warning,
            format!(
                "{} of {} may vote: with one of them away, nothing new is written",
                counted(voting.len(), "node"),
                nodes
            ),
        )),
        _ => {}
    }
    let excluded = coordination["voting_config_exclusions"].as_array();
    if let Some(excluded) = excluded.filter(|excluded| !excluded.is_empty()) {
        let text = format!(
            "{} excluded from voting",
            counted(excluded.len(), "node is")
        );
        found.push((Status::Warning, text));
    }
    or_fine(found, format!("{} vote", counted(voting.len(), "node")))
}

fn health(facts: &Facts) -> Verdict {
    let health = facts.answer(once::HEALTH)?;
    let number = |name: &str| health[name].as_u64().unwrap_or(0);
    let unassigned = number("unassigned_shards");
    let shards = format!("{} without a place", counted(unassigned as usize, "shard"));
    match health["status"].as_str() {
        Some("red") => Ok(vec![(
            Status::Error,
            format!("the cluster is red: {shards}"),
        )]),
        Some("yellow") => {
            // With one data node no replica has a place, ever.
            let status = match number("number_of_data_nodes") {
                0 | 1 => Status::Info,
                _ => Status::Warning,
            };
            Ok(vec![(status, format!("the cluster is yellow: {shards}"))])
        }
        Some(status) => fine(format!("the cluster is {status}")),
        None => Err(Missing::Absent(
            "the cluster does not tell its health".to_owned(),
        )),
    }
}

fn health_report(facts: &Facts) -> Verdict {
    let report = facts.answer(once::REPORT)?;
    let indicators = report["indicators"].as_object().into_iter().flatten();
    // What is yellow at one data node is said by `elasticsearch.health`.
    let found = indicators
        .filter(|(_, indicator)| indicator["status"] == "red")
        .map(|(name, indicator)| {
            let symptom = indicator["symptom"].as_str().unwrap_or("no reason given");
            (Status::Warning, format!("{name}: {symptom}"))
        });
    let status = report["status"].as_str().unwrap_or("not told");
    or_fine(
        found.collect(),
        format!("no indicator is red, the whole is {status}"),
    )
}

fn disk(facts: &Facts) -> Verdict {
    let settings = settings(facts.answer(once::SETTINGS)?);
    let statistics = facts.answer(once::STATISTICS)?;
    let of = |name: &str| {
        let key = format!("cluster.routing.allocation.disk.{name}");
        settings.get(&key).map(String::as_str)
    };
    if of("threshold_enabled") == Some("false") {
        let text = "disk watermarks are switched off: a full disk is noticed when writes fail";
        return Ok(vec![(Status::Info, text.to_owned())]);
    }
    let marks = [
        ("flood_stage", "95%", Status::Error),
        ("high", "90%", Status::Warning),
        ("low", "85%", Status::Warning),
    ];
    let mut found = Vec::new();
    for (_, node) in nodes(statistics) {
        let disk = &node["fs"]["total"];
        let (Some(total), Some(free)) = (
            disk["total_in_bytes"].as_u64(),
            disk["available_in_bytes"].as_u64(),
        ) else {
            continue;
        };
        let over = marks.iter().find(|(mark, default, _)| {
            let mark = format!("watermark.{mark}");
            let headroom = of(&format!("{mark}.max_headroom"));
            free < least_free(of(&mark).unwrap_or(default), headroom, total)
        });
        if let Some((mark, _, status)) = over {
            let percent = (total - free.min(total)) * 100 / total.max(1);
            let name = node["name"].as_str().unwrap_or("a node");
            let text = format!("the disk of {name} is {percent} % full, above the mark `{mark}`");
            found.push((*status, text));
        }
    }
    or_fine(found, "all disks are below the low watermark")
}

/// Bytes that must be free at a watermark: a share in use, a ratio or a size that is free, and for shares
/// never more than the headroom.
fn least_free(mark: &str, headroom: Option<&str>, total: u64) -> u64 {
    let share = |used: f64| ((1.0 - used).clamp(0.0, 1.0) * total as f64) as u64;
    let free = match (mark.strip_suffix('%'), mark.parse::<f64>()) {
        (Some(percent), _) => percent.parse().map(|percent: f64| share(percent / 100.0)),
        (None, Ok(ratio)) => Ok(share(ratio)),
        (None, Err(_)) => return size(mark).unwrap_or(0),
    };
    let free = free.unwrap_or(0);
    headroom.and_then(size).map_or(free, |most| free.min(most))
}

/// A size as Elasticsearch writes it, such as `200gb`.
fn size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "b" => 1,
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        "tb" => 1_u64 << 40,
        "pb" => 1_u64 << 50,
        _ => return None,
    };
    let number: f64 = digits.parse().ok().filter(|number| *number >= 0.0)?;
    Some((number * factor as f64) as u64)
}

fn rejected_writes(facts: &Facts) -> Verdict {
    let before = rejections(facts.answer(once::STATISTICS)?);
    let after = rejections(facts.answer(once::STATISTICS_AGAIN)?);
    let found = after.iter().filter_map(|(name, count)| {
        let more = count.saturating_sub(before.get(name).copied().unwrap_or(*count));
        (more > 0).then(|| (Status::Warning, format!("{name}: {more} within a second")))
    });
    let found: Vec<Said> = found.collect();
    let total: u64 = after.values().sum();
    match (found.is_empty(), total) {
        (true, 1..) => Ok(vec![(
            Status::Info,
            format!("{total} since the nodes started, none within the last second"),
        )]),
        _ => or_fine(found, "none"),
    }
}

/// What nodes refused since they started, by node and kind.
fn rejections(statistics: &Value) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (_, node) in nodes(statistics) {
        let name = node["name"].as_str().unwrap_or("a node");
        let pressure = &node["indexing_pressure"]["memory"]["total"];
        let kinds = [
            (
                "full write queue",
                node["thread_pool"]["write"]["rejected"].as_u64(),
            ),
            (
                "indexing pressure",
                pressure["coordinating_rejections"].as_u64(),
            ),
            (
                "indexing pressure (primary)",
                pressure["primary_rejections"].as_u64(),
            ),
        ];
        let breakers = node["breakers"].as_object().into_iter().flatten();
        let tripped = breakers.filter_map(|(_, breaker)| breaker["tripped"].as_u64());
        let kinds = kinds
            .into_iter()
            .chain([("circuit breakers", Some(tripped.sum()))]);
        for (kind, count) in kinds {
            if let Some(count) = count {
                let _ = counts.insert(format!("{kind} of {name}"), count);
            }
        }
    }
    counts
}

fn heap(facts: &Facts) -> Verdict {
    let full = |statistics: &Value| -> BTreeMap<String, u64> {
        let used = nodes(statistics).filter_map(|(id, node)| {
            let percent = node["jvm"]["mem"]["heap_used_percent"].as_u64()?;
            let name = node["name"].as_str().unwrap_or(id);
            (percent > HEAP_MAX).then(|| (name.to_owned(), percent))
        });
        used.collect()
    };
    let before = full(facts.answer(once::STATISTICS)?);
    let after = full(facts.answer(once::STATISTICS_AGAIN)?);
    let found = after
        .into_iter()
        .filter(|(name, _)| before.contains_key(name))
        .map(|(name, percent)| {
            (
                Status::Warning,
                format!("the heap of {name} is {percent} % full"),
            )
        });
    or_fine(found.collect(), format!("no heap stays above {HEAP_MAX} %"))
}

fn lifecycle(facts: &Facts) -> Verdict {
    let mut found = Vec::new();
    for number in 0..facts.sinks.len() {
        let answer = facts.of_sink(once::LIFECYCLE, number)?;
        for (index, explained) in answer["indices"].as_object().into_iter().flatten() {
            let reason = explained["step_info"]["reason"].as_str();
            let text = format!("{index}: {}", reason.unwrap_or("its policy stands still"));
            found.push((Status::Warning, text));
        }
    }
    or_fine(found, "no policy stands still")
}

fn body_bytes(facts: &Facts) -> Verdict {
    let mut least: Option<(u64, &str)> = None;
    let mut missing = Missing::Absent("no host says what it takes".to_owned());
    for host in &facts.hosts {
        match &host.node {
            Ok(node) => {
                for (_, node) in nodes(node) {
                    let most = node["http"]["max_content_length_in_bytes"].as_u64();
                    let most = most.map(|most| (most, host.name.as_str()));
                    least = least.into_iter().chain(most).min();
                }
            }
            Err(why) => missing = why.clone(),
        }
    }
    let Some((least, host)) = least else {
        return Err(missing);
    };
    let too_large = facts
        .sinks
        .iter()
        .filter(|sink| sink.body_bytes as u64 > least);
    let found = too_large.map(|sink| {
        let text = format!(
            "{} sends up to {} bytes, and {host} takes {least}",
            sink.bolt, sink.body_bytes
        );
        (Status::Warning, text)
    });
    or_fine(found.collect(), format!("the hosts take {least} bytes"))
}

fn certificates(facts: &Facts) -> Verdict {
    match facts.certificates.is_empty() {
        true => Err(Missing::Absent(
            "the connection is not encrypted".to_owned(),
        )),
        false => Ok(facts.certificates.iter().map(|one| one.judge()).collect()),
    }
}

fn clock(facts: &Facts) -> Verdict {
    let statistics = facts.answer(once::STATISTICS_AGAIN)?;
    let skews = nodes(statistics).filter_map(|(id, node)| {
        let skew = node["timestamp"].as_i64()? - facts.now_ms;
        Some((node["name"].as_str().unwrap_or(id), skew))
    });
    let skews: Vec<(&str, i64)> = skews.collect();
    if skews.is_empty() {
        return Err(Missing::Absent("no node says its time".to_owned()));
    }
    let found = skews.iter().filter(|(_, skew)| skew.abs() > SKEW_MAX_MS);
    let found = found.map(|(name, skew)| {
        let by = if *skew > 0 { "ahead" } else { "behind" };
        let text = format!("the clock of {name} is {} s {by}", skew.abs() / 1_000);
        (Status::Warning, text)
    });
    or_fine(found.collect(), "all clocks agree within 5 s")
}

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
