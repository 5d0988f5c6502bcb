//! Each check against answers of a script: all well, and what it is there to find.

use serde_json::{Value, json};

use super::*;
use crate::doctor::{Check, Status, Verdict};

mod targets;

fn sink() -> Sink {
    Sink {
        bolt: "index".to_owned(),
        target: "logs-{{ event_time.format('%Y') }}".to_owned(),
        is_data_stream: false,
        origin: Some("_isobar".to_owned()),
        pipeline: None,
        operation: "create",
        asks_existence: false,
        body_bytes: 4 << 20,
    }
}

fn host(name: &str, uuid: &str, master: Option<&str>) -> Host {
    Host {
        name: name.to_owned(),
        node: Ok(json!({"nodes": {name: {
            "name": name, "version": "9.2.0", "roles": ["data", "ingest", "master"],
            "http": {"max_content_length_in_bytes": 104_857_600},
        }}})),
        state: Ok(json!({"cluster_uuid": uuid, "master_node": master})),
    }
}

fn statistics(rejected: u64, heap: u64, free: u64) -> Value {
    json!({"nodes": {"n1": {
        "name": "es-1", "timestamp": 1_000_000,
        "fs": {"total": {"total_in_bytes": 1_000_u64 << 30, "available_in_bytes": free << 30}},
        "jvm": {"mem": {"heap_used_percent": heap}},
        "thread_pool": {"write": {"rejected": rejected}},
        "breakers": {"parent": {"tripped": 0}},
    }}})
}

fn writes(total: u64) -> Value {
    json!({"_all": {"primaries": {"indexing": {"index_total": total}}}})
}

/// A cluster of three nodes that lacks nothing.
pub(super) fn healthy() -> Facts {
    let mappings = json!({"dynamic": "strict", "properties": {"_isobar": {"dynamic": true, "properties": {
        "s": {"type": "keyword"}, "o": {"type": "long"},
    }}}});
    let answers = [
        (
            once::HEALTH,
            json!({
                "status": "green", "number_of_data_nodes": 3,
                "number_of_pending_tasks": 0, "task_max_waiting_in_queue_millis": 0,
            }),
        ),
        (
            once::REPORT,
            json!({"status": "green", "indicators": {"disk": {"status": "green"}}}),
        ),
        (
            once::NODES,
            json!({"nodes": {"n1": {}, "n2": {}, "n3": {}}}),
        ),
        (
            once::VOTING,
            json!({"metadata": {"cluster_coordination": {"last_committed_config": ["a", "b", "c"]}}}),
        ),
        (once::SETTINGS, json!({"defaults": {}})),
        (once::STATISTICS, statistics(0, 50, 500)),
        (once::STATISTICS_AGAIN, statistics(0, 50, 500)),
        (
            once::TEMPLATES,
            json!({"index_templates": [{
                "name": "logs", "index_template": {"index_patterns": ["logs-*"], "priority": 200},
            }]}),
        ),
        (
            once::SIMULATED,
            json!({"template": {"mappings": mappings.clone()}}),
        ),
        (once::MAPPINGS, json!({"logs-2026": {"mappings": mappings}})),
        (
            once::INDICES,
            json!({"logs-2026": {"settings": {"index": {"number_of_replicas": "1"}}}}),
        ),
        (
            once::PRIVILEGES,
            json!({"cluster": {"monitor": true}, "index": {"logs-*": {
                "create_doc": true, "auto_configure": true, "read": true,
            }}}),
        ),
        (once::PIPELINE, json!({})),
        (once::LIFECYCLE, json!({})),
        (
            once::DATA_STREAMS,
            json!({"data_streams": [{
                "name": "apart", "indices": [{"index_name": ".ds-apart-1"}], "failure_store": {"enabled": false},
            }]}),
        ),
        (
            once::INDEX_HEALTH,
            json!([{"index": "logs-2026", "health": "green"}]),
        ),
        (once::WRITES, writes(0)),
        (once::WRITES_AGAIN, writes(5_000)),
        (
            once::WRITTEN,
            json!({"index": "logs-2026", "id": "x", "status": 201, "deleted": 200}),
        ),
    ];
    Facts {
        now_ms: 1_000_400,
        hosts: ["es-1", "es-2", "es-3"]
            .map(|name| host(name, "uuid", Some("n1")))
            .into(),
        answers: answers
            .into_iter()
            .map(|(name, answer)| ((name, 0), Ok(answer)))
            .collect(),
        asked_ms: [(once::WRITES, 1_000), (once::WRITES_AGAIN, 3_000)]
            .map(|(name, ms)| ((name, 0), ms))
            .into(),
        certificates: Vec::new(),
        sinks: vec![sink()],
    }
}

fn check(id: &str) -> &'static Check<Facts> {
    let found = CHECKS.iter().find(|check| check.id == id);
    found.expect("a check of that id")
}

fn judge(id: &str, facts: &Facts) -> Verdict {
    (check(id).judge)(facts)
}

/// The check finds this, in a sentence with `part` in it.
#[track_caller]
fn finds(id: &str, facts: &Facts, status: Status, part: &str) {
    let said = judge(id, facts).unwrap_or_else(|missing| panic!("{id}: {missing:?}"));
    assert!(
        said.iter()
            .any(|(found, text)| *found == status && text.contains(part)),
        "{id}: {said:?}"
    );
}

/// As [`finds`], with one answer exchanged.
#[track_caller]
fn finds_in(id: &str, name: &'static str, answer: Value, status: Status, part: &str) {
    let mut facts = healthy();
    let _ = facts.answers.insert((name, 0), Ok(answer));
    finds(id, &facts, status, part);
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let facts = healthy();
    for check in CHECKS {
        match (check.judge)(&facts) {
            Ok(said) => assert!(
                said.iter().all(|(status, _)| *status == Status::Ok),
                "{}: {said:?}",
                check.id
            ),
            Err(missing) => assert!(
                matches!(missing, Missing::Absent(_))
                    && matches!(
                        check.id,
                        "elasticsearch.pipeline" | "elasticsearch.certificates"
                    ),
                "{}: {missing:?}",
                check.id
            ),
        }
    }
}

#[test]
fn nothing_is_called_well_that_was_not_answered() {
    let mut facts = healthy();
    for answer in facts.answers.values_mut() {
        *answer = Err(Missing::Denied);
    }
    for host in &mut facts.hosts {
        host.state = Err(Missing::Denied);
        host.node = Err(Missing::Denied);
    }
    facts.sinks[0].pipeline = Some("p".to_owned());
    for check in CHECKS {
        let verdict = (check.judge)(&facts);
        let asks_nothing = matches!(
            check.id,
            "elasticsearch.hosts" | "elasticsearch.certificates"
        );
        assert!(
            asks_nothing || verdict == Err(Missing::Denied),
            "{}: {verdict:?}",
            check.id
        );
    }
}

#[test]
fn hosts_that_do_not_answer_are_named() {
    let mut facts = healthy();
    facts.hosts[1].node = Err(Missing::Unknown("connection refused".to_owned()));
    facts.hosts[1].state = Err(Missing::Unknown("connection refused".to_owned()));
    finds(
        "elasticsearch.hosts",
        &facts,
        Status::Error,
        "es-2: connection refused",
    );
    let id = "elasticsearch.one_cluster";
    finds(id, &facts, Status::Ok, "2 hosts of cluster uuid");
    // Nobody knows what that one is part of.
    for id in [id, "elasticsearch.one_master"] {
        let text = "es-2 does not tell: connection refused";
        finds(id, &facts, Status::Unknown, text);
    }
    facts.hosts[1].state = Err(Missing::Denied);
    let text = "es-2 does not tell: not permitted";
    finds(id, &facts, Status::Unknown, text);
    facts.hosts[2].node = Ok(json!({"hello": 1}));
    finds("elasticsearch.hosts", &facts, Status::Error, "neither");
}

#[test]
fn a_split_brain_is_seen_by_asking_every_host() {
    let mut facts = healthy();
    facts.hosts[2] = host("es-3", "other", Some("n3"));
    finds(
        "elasticsearch.one_cluster",
        &facts,
        Status::Error,
        "2 clusters (other: es-3; uuid: es-1, es-2)",
    );
    finds(
        "elasticsearch.one_master",
        &facts,
        Status::Error,
        "2 masters",
    );
    facts.hosts[2] = host("es-3", "_na_", None);
    facts.hosts[1] = host("es-2", "other", Some("n2"));
    finds(
        "elasticsearch.one_cluster",
        &facts,
        Status::Error,
        "2 clusters (other: es-2; uuid: es-1)",
    );
    finds(
        "elasticsearch.one_cluster",
        &facts,
        Status::Error,
        "no cluster has formed",
    );
    finds(
        "elasticsearch.one_master",
        &facts,
        Status::Error,
        "es-3 knows of no master",
    );
}

#[test]
fn versions_and_roles_of_the_hosts_matter() {
    let mut facts = healthy();
    let node = |version: &str, roles: &[&str]| {
        Ok(json!({"nodes": {"n": {"version": version, "roles": roles,
            "http": {"max_content_length_in_bytes": 1_000_000}}}}))
    };
    facts.hosts[0].node = node("8.19.0", &["master", "remote_cluster_client"]);
    finds(
        "elasticsearch.versions",
        &facts,
        Status::Warning,
        "from 8.19 to 9.2",
    );
    finds(
        "elasticsearch.data_path",
        &facts,
        Status::Warning,
        "es-1 is a node that only leads",
    );
    finds(
        "elasticsearch.body_bytes",
        &facts,
        Status::Warning,
        "es-1 takes 1000000",
    );
    facts.hosts[0].node = node("7.17.0", &[]);
    finds(
        "elasticsearch.versions",
        &facts,
        Status::Warning,
        "7.17 is not tested",
    );
}

#[test]
fn the_versions_that_are_tested_are_those_that_are_listed() {
    let listed = include_str!("../../../../deploy/SUPPORT.md").lines();
    let searched = listed
        .filter(|line| line.starts_with("| Elasticsearch |") || line.starts_with("| OpenSearch |"));
    let versions = searched.map(|line| line.split('|').nth(2).expect("a version").trim());
    let majors = versions.map(|version| version.split('.').next().expect("a major version"));
    let mut majors: Vec<u64> = majors
        .map(|major| major.parse().expect("a number"))
        .collect();
    majors.sort_unstable();
    assert_eq!(majors, checks::TESTED);
}

#[test]
fn quorum_and_health_are_judged_by_how_many_nodes_there_are() {
    let voting = |ids: &[&str], excluded: &[&str]| {
        json!({"metadata": {"cluster_coordination": {
            "last_committed_config": ids, "voting_config_exclusions": excluded,
        }}})
    };
    let id = "elasticsearch.quorum";
    let two = voting(&["a", "b"], &[]);
    finds_in(id, once::VOTING, two, Status::Warning, "2 nodes of 3");
    let left = voting(&["a", "b", "c"], &["d"]);
    finds_in(
        id,
        once::VOTING,
        left,
        Status::Warning,
        "1 node is excluded",
    );
    let mut alone = healthy();
    let one = voting(&["a"], &[]);
    let _ = alone.answers.insert((once::VOTING, 0), Ok(one));
    let nodes = json!({"nodes": {"n1": {}}});
    let _ = alone.answers.insert((once::NODES, 0), Ok(nodes));
    finds(id, &alone, Status::Info, "one node");

    let id = "elasticsearch.health";
    let health = |status: &str, nodes: u64| json!({"status": status, "number_of_data_nodes": nodes, "unassigned_shards": 2});
    finds_in(
        id,
        once::HEALTH,
        health("red", 3),
        Status::Error,
        "2 shards",
    );
    finds_in(id, once::HEALTH, health("yellow", 3), Status::Warning, "2");
    finds_in(id, once::HEALTH, health("yellow", 1), Status::Info, "2");
    finds_in(
        "elasticsearch.health_report",
        once::REPORT,
        json!({"status": "red", "indicators": {"shards_capacity": {
            "status": "red", "symptom": "Cluster is close to reaching the limit."}}}),
        Status::Warning,
        "shards_capacity: Cluster is close",
    );
    let yellow = |name: &str| json!({"status": "yellow", "indicators": {name: {"status": "yellow", "symptom": "x"}}});
    let id = "elasticsearch.health_report";
    let capacity = yellow("shards_capacity");
    finds_in(
        id,
        once::REPORT,
        capacity,
        Status::Warning,
        "shards_capacity",
    );
    let replicas = yellow("shards_availability");
    finds_in(id, once::REPORT, replicas, Status::Ok, "yellow");
}

#[test]
fn what_waits_for_the_master_for_long_is_a_warning() {
    let id = "elasticsearch.pending_tasks";
    let waiting = |ms: u64| {
        json!({"status": "green", "number_of_data_nodes": 3,
            "number_of_pending_tasks": 7, "task_max_waiting_in_queue_millis": ms})
    };
    let name = once::HEALTH;
    let text = "7 tasks wait for the master, the first of them for 20 s";
    finds_in(id, name, waiting(20_000), Status::Warning, text);
    finds_in(id, name, waiting(9_000), Status::Ok, "7 tasks wait");
}

#[test]
fn answers_that_say_nothing_are_not_called_good() {
    let mut facts = healthy();
    for answer in facts.answers.values_mut() {
        *answer = Ok(json!({}));
    }
    for host in &mut facts.hosts {
        host.node = Ok(json!({"nodes": {"n": {}}}));
    }
    for check in [
        "elasticsearch.versions",
        "elasticsearch.data_path",
        "elasticsearch.quorum",
        "elasticsearch.health",
        "elasticsearch.health_report",
        "elasticsearch.pending_tasks",
        "elasticsearch.disk",
        "elasticsearch.index_health",
        "elasticsearch.failure_store",
        "elasticsearch.rejected_writes",
        "elasticsearch.heap",
        "elasticsearch.body_bytes",
        "elasticsearch.clock",
    ] {
        let verdict = judge(check, &facts);
        assert!(
            matches!(verdict, Err(Missing::Absent(_))),
            "{check}: {verdict:?}"
        );
    }
    let silent = json!({"logs-1": {"settings": {"index": {}}}});
    let _ = facts.answers.insert((once::INDICES, 0), Ok(silent));
    let verdict = judge("elasticsearch.replicas", &facts);
    assert!(matches!(verdict, Err(Missing::Absent(_))), "{verdict:?}");
}

#[test]
fn disks_are_held_against_the_marks_of_the_cluster() {
    let id = "elasticsearch.disk";
    let with = |free| statistics(0, 50, free);
    for (free, status, part) in [
        (149, Status::Warning, "85 % full, above the mark `low`"),
        (99, Status::Warning, "`high`"),
        (49, Status::Error, "`flood_stage`"),
    ] {
        finds_in(id, once::STATISTICS, with(free), status, part);
    }
    // With 200 GB of headroom a large disk may be fuller than 85 %.
    let mark =
        json!({"low": "85%", "low.max_headroom": "100GB", "high": "20gb", "flood_stage": "0.99"});
    let defaults = json!({"defaults": {"cluster": {"routing": {"allocation": {"disk": {"watermark": mark}}}}}});
    let mut facts = healthy();
    let _ = facts.answers.insert((once::SETTINGS, 0), Ok(defaults));
    for (free, status) in [(101, Status::Ok), (99, Status::Warning), (9, Status::Error)] {
        let _ = facts.answers.insert((once::STATISTICS, 0), Ok(with(free)));
        finds(id, &facts, status, "");
    }
    let off = json!({"persistent": {"cluster": {"routing": {"allocation": {"disk": {"threshold_enabled": "false"}}}}}});
    finds_in(id, once::SETTINGS, off, Status::Info, "switched off");
}

#[test]
fn blocks_replicas_and_policies_of_indices_are_seen() {
    let settings = json!({
        "logs-1": {"settings": {"index": {"blocks": {"read_only_allow_delete": "true"}}}},
        "logs-2": {"settings": {"index":
            {"number_of_replicas": "0", "blocks": {"metadata": "true"}}}},
    });
    finds_in(
        "elasticsearch.blocks",
        once::INDICES,
        settings.clone(),
        Status::Error,
        "logs-1 takes no documents: index.blocks.read_only_allow_delete",
    );
    finds_in(
        "elasticsearch.replicas",
        once::INDICES,
        settings,
        Status::Warning,
        "1 index without a replica: logs-2",
    );
    finds_in(
        "elasticsearch.blocks",
        once::SETTINGS,
        json!({"persistent": {"cluster": {"blocks": {"read_only": "true"}}}}),
        Status::Error,
        "cluster.blocks.read_only",
    );
    finds_in(
        "elasticsearch.lifecycle",
        once::LIFECYCLE,
        json!({"indices": {"logs-1": {"step_info": {"reason": "no alias"}}}}),
        Status::Warning,
        "logs-1: no alias",
    );
}

#[test]
fn templates_make_what_the_bolt_writes_to() {
    let id = "elasticsearch.template";
    let mut facts = healthy();
    facts.sinks[0].is_data_stream = true;
    finds(id, &facts, Status::Error, "logs makes logs-");
    let stream = |patterns: &[&str]| {
        json!({"index_templates": [
            {"name": "all", "index_template": {"index_patterns": ["*"], "priority": 0}},
            {"name": "streams", "index_template":
                {"index_patterns": patterns, "priority": 9, "data_stream": {"hidden": false}}},
        ]})
    };
    let used = stream(&["x", "l*s-*"]);
    finds_in(
        id,
        once::TEMPLATES,
        used.clone(),
        Status::Error,
        "say `data_stream`",
    );
    let _ = facts.answers.insert((once::TEMPLATES, 0), Ok(used));
    finds(id, &facts, Status::Ok, "");
    let none = json!({});
    finds_in(
        id,
        once::TEMPLATES,
        none.clone(),
        Status::Info,
        "no template",
    );
    let _ = facts.answers.insert((once::TEMPLATES, 0), Ok(none));
    finds(
        id,
        &facts,
        Status::Error,
        "no template makes the data stream",
    );
}

#[test]
fn mappings_that_do_not_fit_documents_are_found_in_indices_and_templates() {
    let id = "elasticsearch.mapping";
    let index = |mappings: Value| json!({"logs-1": {"mappings": mappings}});
    let origin = |origin: Value| index(json!({"properties": {"_isobar": origin}}));
    for (answer, status, part) in [
        (
            index(json!({"dynamic": "strict"})),
            Status::Error,
            "rejects every document",
        ),
        (
            index(json!({"dynamic": "false"})),
            Status::Warning,
            "does not index _isobar",
        ),
        (
            origin(json!({"type": "keyword"})),
            Status::Error,
            "maps _isobar as keyword",
        ),
        (
            origin(json!({"type": "object", "enabled": false})),
            Status::Warning,
            "does not index _isobar",
        ),
        (
            origin(json!({"properties": {"o": {"type": "integer"}}})),
            Status::Error,
            "_isobar.o as integer",
        ),
        (
            origin(json!({"properties": {"o": {"type": "keyword"}}})),
            Status::Warning,
            "order is not that of numbers",
        ),
        (
            origin(json!({"properties": {"t": {"type": "date"}}})),
            Status::Error,
            "_isobar.t as date",
        ),
        (
            origin(json!({"dynamic": "strict", "properties": {"o": {"type": "long"}}})),
            Status::Error,
            "does not name s",
        ),
    ] {
        finds_in(id, once::MAPPINGS, answer, status, part);
    }
    let simulated = json!({"template": {"mappings": {"dynamic": "strict"}}});
    finds_in(
        id,
        once::SIMULATED,
        simulated,
        Status::Error,
        "a new index of",
    );
    let mut facts = healthy();
    facts.sinks[0].is_data_stream = true;
    let text = json!({"logs-1": {"mappings": {"properties": {"@timestamp": {"type": "text"}}}}});
    let _ = facts.answers.insert((once::MAPPINGS, 0), Ok(text));
    finds(id, &facts, Status::Error, "maps @timestamp as text");
}

#[test]
fn pipelines_and_privileges_that_are_missing_are_named() {
    let mut facts = healthy();
    facts.sinks[0].pipeline = Some("clean".to_owned());
    finds("elasticsearch.pipeline", &facts, Status::Ok, "");
    let absent = Err(Missing::Absent("404".to_owned()));
    let _ = facts.answers.insert((once::PIPELINE, 0), absent);
    finds(
        "elasticsearch.pipeline",
        &facts,
        Status::Error,
        "no pipeline clean",
    );
    let granted = json!({"cluster": {"monitor": false}, "index": {"logs-*": {
        "create_doc": false, "auto_configure": false, "read": true, "view_index_metadata": false,
        "maintenance": false, "delete": false,
    }}});
    for (status, part) in [
        (Status::Error, "no `create_doc` on logs-*"),
        (Status::Error, "no `view_index_metadata` on logs-*"),
        (Status::Warning, "no `auto_configure`"),
        (Status::Info, "no `monitor`"),
        (Status::Info, "no `maintenance` on logs-*"),
        (Status::Info, "no `delete` on logs-*: a replay cannot purge"),
    ] {
        let id = "elasticsearch.privileges";
        finds_in(id, once::PRIVILEGES, granted.clone(), status, part);
    }
}

#[test]
fn counters_alarm_while_they_grow_and_heaps_while_they_stay_full() {
    let id = "elasticsearch.rejected_writes";
    let again = once::STATISTICS_AGAIN;
    finds_in(
        id,
        again,
        statistics(7, 50, 500),
        Status::Warning,
        "full write queue of es-1: 7",
    );
    let mut facts = healthy();
    for name in [once::STATISTICS, again] {
        let _ = facts.answers.insert((name, 0), Ok(statistics(7, 99, 500)));
    }
    finds(id, &facts, Status::Info, "7 since the nodes started");
    finds("elasticsearch.heap", &facts, Status::Warning, "99 % full");
    let _ = facts.answers.insert((again, 0), Ok(statistics(7, 50, 500)));
    finds("elasticsearch.heap", &facts, Status::Ok, "");
    facts.now_ms = 1_006_000;
    finds(
        "elasticsearch.clock",
        &facts,
        Status::Warning,
        "the clock of es-1 is 6 s behind",
    );
}

#[test]
fn targets_of_bolts_become_the_names_that_are_asked_for() {
    let sink = sink();
    assert_eq!(
        (sink.pattern(), sink.example()),
        ("logs-*".into(), "logs-isobar".into())
    );
    let questions = of_sink(0, &sink);
    assert!(
        questions
            .iter()
            .all(|question| question.path.contains("logs-") || question.name.0 == once::PRIVILEGES)
    );
    // Who makes indices need not ask whether they exist.
    for asks_existence in [false, true] {
        let sink = Sink {
            asks_existence,
            ..sink.clone()
        };
        let questions = of_sink(0, &sink);
        let asked = |question: &Question| question.name.0 == once::PRIVILEGES;
        let asked = questions.into_iter().find(asked).expect("it is asked");
        let body = asked.body.expect("it has one").to_string();
        assert_eq!(
            body.contains("view_index_metadata"),
            asks_existence,
            "{body}"
        );
    }
}
