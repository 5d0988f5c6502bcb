//! What can be wrong with the hosts and the cluster that they are.

use super::*;

pub(super) fn hosts(facts: &Facts) -> Verdict {
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

pub(super) fn one_cluster(facts: &Facts) -> Verdict {
    let mut clusters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut found = for_hosts(facts, |host, state| {
        let uuid = state["cluster_uuid"].as_str().unwrap_or("_na_");
        clusters.entry(uuid).or_default().push(host);
    })?;
    if let Some(hosts) = clusters.remove("_na_") {
        let hosts = hosts.join(", ");
        let text = format!("{hosts}: no cluster has formed there yet");
        found.push((Status::Error, text));
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
        found.push((Status::Error, text));
    } else if let Some((uuid, hosts)) = clusters.first_key_value() {
        let text = format!("{} of cluster {uuid}", counted(hosts.len(), "host"));
        found.push((Status::Ok, text));
    }
    Ok(found)
}

pub(super) fn one_master(facts: &Facts) -> Verdict {
    let mut masters: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    let mut found = for_hosts(facts, |host, state| {
        masters
            .entry(state["master_node"].as_str())
            .or_default()
            .push(host);
    })?;
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

/// Hands the state of each host that told it to `each`, and names the others: nobody knows what they are part
/// of. Fails where none did.
fn for_hosts<'f>(
    facts: &'f Facts,
    mut each: impl FnMut(&'f str, &'f Value),
) -> Result<Vec<Said>, Missing> {
    let mut silent = Vec::new();
    let mut missing = None;
    for host in &facts.hosts {
        match &host.state {
            Ok(state) => each(&host.name, state),
            Err(why) => {
                missing = missing.or(Some(why));
                let why = match why {
                    Missing::Denied => "not permitted",
                    Missing::Absent(why) | Missing::Unknown(why) => why,
                };
                let text = format!("{} does not tell: {why}", host.name);
                silent.push((Status::Unknown, text));
            }
        }
    }
    match missing {
        Some(missing) if silent.len() == facts.hosts.len() => Err(missing.clone()),
        _ => Ok(silent),
    }
}

pub(super) fn versions(facts: &Facts) -> Verdict {
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
    if let Some(other) = versions.iter().find(|(major, _)| !TESTED.contains(major)) {
        found.push((
            Status::Warning,
            format!("version {} is not tested", text(other)),
        ));
    }
    or_fine(found, format!("version {}", text(last)))
}

pub(super) fn data_path(facts: &Facts) -> Verdict {
    let mut found = Vec::new();
    let mut missing = None;
    for host in &facts.hosts {
        match &host.node {
            Ok(node) => {
                let leads_only = nodes(node).any(|(_, node)| {
                    let mut roles = texts(&node["roles"]).peekable();
                    roles.peek().is_some() && roles.all(leads)
                });
                if !nodes(node).all(|(_, node)| node["roles"].is_array()) {
                    let text = format!("{} does not tell its roles", host.name);
                    missing = Some(Missing::Absent(text));
                }
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

pub(super) fn quorum(facts: &Facts) -> Verdict {
    let coordination = &facts.answer(once::VOTING)?["metadata"]["cluster_coordination"];
    let Some(voting) = coordination["last_committed_config"].as_array() else {
        return Err(Missing::Absent(
            "the cluster does not tell who votes".to_owned(),
        ));
    };
    let answer = facts.answer(once::NODES).ok();
    let nodes = answer.map(|answer| nodes(answer).count());
    let mut found: Vec<Said> = Vec::new();
    match voting.len() {
        1 if nodes == Some(1) => found.push((
            Status::Info,
            "the cluster is one node: while that is away, everything waits".to_owned(),
        )),
        1 | 2 => {
            let of = nodes.map_or(String::new(), |nodes| format!(" of {nodes}"));
            let text = format!(
                "{}{of} may vote: with one of them away, nothing new is written",
                counted(voting.len(), "node")
            );
            found.push((Status::Warning, text));
        }
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

pub(super) fn health(facts: &Facts) -> Verdict {
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
            let status = match health["number_of_data_nodes"].as_u64() {
                Some(0 | 1) => Status::Info,
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

pub(super) fn health_report(facts: &Facts) -> Verdict {
    let report = facts.answer(once::REPORT)?;
    let Some(indicators) = report["indicators"].as_object() else {
        return Err(Missing::Absent("the cluster has no indicators".to_owned()));
    };
    let found = indicators
        .iter()
        .filter(|(name, indicator)| match indicator["status"].as_str() {
            Some("red") => true,
            // At one data node it always is, and `elasticsearch.health` says so.
            Some("yellow") => *name != "shards_availability",
            _ => false,
        })
        .map(|(name, indicator)| {
            let symptom = indicator["symptom"].as_str().unwrap_or("no reason given");
            (Status::Warning, format!("{name}: {symptom}"))
        });
    let status = report["status"].as_str().unwrap_or("not told");
    or_fine(
        found.collect(),
        format!("no indicator is bad, the whole is {status}"),
    )
}

/// What waits for longer, in ms, is near the 30 s after which tasks are given up.
const TASK_WAITS_MAX_MS: u64 = 10_000;

pub(super) fn pending_tasks(facts: &Facts) -> Verdict {
    let health = facts.answer(once::HEALTH)?;
    let number = |name: &str| health[name].as_u64();
    let (Some(tasks), Some(longest_ms)) = (
        number("number_of_pending_tasks"),
        number("task_max_waiting_in_queue_millis"),
    ) else {
        let text = "the cluster does not tell what waits for its master";
        return Err(Missing::Absent(text.to_owned()));
    };
    if longest_ms > TASK_WAITS_MAX_MS {
        let text = format!(
            "{} for the master, the first of them for {} s",
            counted(tasks as usize, "task waits"),
            longest_ms / 1_000
        );
        return Ok(vec![(Status::Warning, text)]);
    }
    fine(format!(
        "{} for the master, none for long",
        counted(tasks as usize, "task waits")
    ))
}
