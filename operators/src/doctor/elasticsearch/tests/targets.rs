//! The checks of what documents go to.

use super::*;

#[test]
fn shards_without_a_place_are_told_of_the_indices_of_the_bolts() {
    let id = "elasticsearch.index_health";
    let name = once::INDEX_HEALTH;
    let of = |health: &str| json!([{"index": "logs-1", "health": health}, {"index": "logs-2", "health": "green"}]);
    finds_in(id, name, of("red"), Status::Error, "1 index red: logs-1");
    finds_in(id, name, of("red"), Status::Ok, "1 index green: logs-2");
    finds_in(id, name, of("yellow"), Status::Warning, "1 index yellow");
    let mut alone = healthy();
    let health = json!({"status": "yellow", "number_of_data_nodes": 1});
    let _ = alone.answers.insert((once::HEALTH, 0), Ok(health));
    let _ = alone.answers.insert((name, 0), Ok(of("yellow")));
    finds(id, &alone, Status::Info, "1 index yellow");
    let closed = json!([{"index": "logs-1", "health": null}]);
    finds_in(
        id,
        name,
        closed,
        Status::Unknown,
        "1 index not known: logs-1",
    );
    let _ = alone
        .answers
        .insert((name, 0), Err(Missing::Absent("404".to_owned())));
    let none = judge(id, &alone);
    assert!(matches!(none, Err(Missing::Absent(_))), "{none:?}");
}

#[test]
fn what_is_there_and_is_of_the_other_kind_is_named() {
    let id = "elasticsearch.kind";
    let streams = json!({"data_streams": [
        {"name": "logs-a", "indices": [{"index_name": ".ds-logs-a-1"}]}, {"name": "other"},
    ]});
    let mut facts = healthy();
    let _ = facts
        .answers
        .insert((once::DATA_STREAMS, 0), Ok(streams.clone()));
    let text = "index may go to the data stream logs-a, where ids protect until it rolls over";
    finds(id, &facts, Status::Warning, text);
    facts.sinks[0].operation = "index";
    finds(
        id,
        &facts,
        Status::Warning,
        "takes no document by `op: index`",
    );
    facts.sinks[0].target = "logs-a".to_owned();
    let text = "index goes to the data stream logs-a, which takes no document";
    finds(id, &facts, Status::Error, text);
    facts.sinks[0].operation = "create";
    finds(
        id,
        &facts,
        Status::Warning,
        "index goes to the data stream logs-a",
    );

    // What is behind a data stream, or behind an alias of the name, is not of its name.
    facts.sinks[0].is_data_stream = true;
    let behind = json!({".ds-logs-a-1": {}, "aliased-1": {}});
    let _ = facts.answers.insert((once::INDICES, 0), Ok(behind));
    finds(id, &facts, Status::Ok, "");
    let plain = json!({"logs-a": {}});
    let _ = facts.answers.insert((once::INDICES, 0), Ok(plain));
    let text = "index goes to logs-a, which is an index and no data stream";
    finds(id, &facts, Status::Warning, text);
    // None of this name is an answer, too.
    let absent = Err(Missing::Absent("404".to_owned()));
    let _ = facts.answers.insert((once::DATA_STREAMS, 0), absent);
    finds(id, &facts, Status::Warning, text);
}

#[test]
fn failure_stores_are_told_where_clusters_tell_of_them() {
    let id = "elasticsearch.failure_store";
    let name = once::DATA_STREAMS;
    let on = json!({"data_streams": [{"name": "logs-a", "failure_store": {"enabled": true}}]});
    finds_in(id, name, on, Status::Info, "1 data stream with one: logs-a");
    let mut facts = healthy();
    let silent = json!({"data_streams": [{"name": "logs-a"}]});
    let _ = facts.answers.insert((name, 0), Ok(silent));
    let verdict = judge(id, &facts);
    assert!(matches!(verdict, Err(Missing::Absent(_))), "{verdict:?}");
}

#[test]
fn a_refresh_each_second_is_a_warning_while_much_is_written() {
    let id = "elasticsearch.refresh";
    let mut facts = healthy();
    let set =
        |interval: &str| json!({"logs-1": {"settings": {"index": {"refresh_interval": interval}}}});
    let _ = facts.answers.insert((once::INDICES, 0), Ok(set("1s")));
    let text = "1 index with `refresh_interval` of 1s: logs-1, at 2500 documents a second";
    finds(id, &facts, Status::Warning, text);
    for set_to in ["5s", "1m", "-1", "5000ms"] {
        let _ = facts.answers.insert((once::INDICES, 0), Ok(set(set_to)));
        finds(id, &facts, Status::Ok, "");
    }
    let _ = facts.answers.insert((once::INDICES, 0), Ok(set("500ms")));
    let _ = facts
        .answers
        .insert((once::WRITES_AGAIN, 0), Ok(writes(1_998)));
    finds(id, &facts, Status::Info, "at 999 documents a second");
    let _ = facts
        .answers
        .insert((once::WRITES, 0), Err(Missing::Denied));
    finds(id, &facts, Status::Info, "how much is written is not known");
}

#[test]
fn pipelines_that_indices_bring_are_worth_knowing() {
    let id = "elasticsearch.index_pipelines";
    let of = |setting: &str| json!({"logs-1": {"settings": {"index": {setting: "clean"}}}});
    let mut facts = healthy();
    for setting in ["default_pipeline", "final_pipeline"] {
        let _ = facts.answers.insert((once::INDICES, 0), Ok(of(setting)));
        let text = format!("the pipeline clean, the {setting} of 1 index: logs-1");
        finds(id, &facts, Status::Info, &text);
    }
    // That of the bolt takes the place of the default one only.
    facts.sinks[0].pipeline = Some("own".to_owned());
    finds(id, &facts, Status::Info, "final_pipeline");
    let _ = facts
        .answers
        .insert((once::INDICES, 0), Ok(of("default_pipeline")));
    finds(id, &facts, Status::Ok, "");
    let none = json!({"logs-1": {"settings": {"index": {"final_pipeline": "_none"}}}});
    finds_in(id, once::INDICES, none, Status::Ok, "");
    let simulated = json!({"template": {"settings": {"index": {"final_pipeline": "clean"}}}});
    finds_in(id, once::SIMULATED, simulated, Status::Info, "new ones");
}

#[test]
fn indices_that_may_be_of_others_are_not_told_of() {
    let mut facts = healthy();
    facts.sinks[0].target = "{{ doc.tenant }}-logs".to_owned();
    let tell = |facts: &mut Facts, name, answer| drop(facts.answers.insert((name, 0), Ok(answer)));
    let health = json!([{"index": "orders", "health": "red"}]);
    tell(&mut facts, once::INDEX_HEALTH, health);
    let settings = json!({"refresh_interval": "1s", "final_pipeline": "clean"});
    let settings = json!({"orders": {"settings": {"index": settings}}});
    tell(&mut facts, once::INDICES, settings);
    for id in ["index_health", "refresh", "index_pipelines"] {
        let said = judge(&format!("elasticsearch.{id}"), &facts).expect("a reason");
        let text = "index: indices are not looked at, as *-logs may be what others write to";
        assert_eq!(said, [(Status::Skipped, text.to_owned())], "{id}");
    }
    // What a bolt beside it writes to is.
    facts.sinks.push(sink());
    for name in [once::INDICES, once::INDEX_HEALTH, once::SIMULATED] {
        let answer = facts.answers[&(name, 0)].clone();
        let _ = facts.answers.insert((name, 1), answer);
    }
    for id in ["index_health", "refresh", "index_pipelines"] {
        let said = judge(&format!("elasticsearch.{id}"), &facts).expect("both");
        assert!(said.len() == 2 && said[1].1.contains("orders"), "{said:?}");
    }
}

#[test]
fn what_became_of_the_document_that_was_written_is_told() {
    let id = "elasticsearch.write";
    for (written, status, part) in [
        (
            json!({"status": 201, "deleted": 200}),
            Status::Ok,
            "deleted it again",
        ),
        (
            json!({"status": 200, "deleted": 404}),
            Status::Info,
            "did not keep it",
        ),
        (
            json!({"status": 201, "deleted": 403, "id": "d-1", "index": "logs-1"}),
            Status::Warning,
            "logs-1 took the document d-1, and it is still there",
        ),
        (
            json!({"status": 400, "said": "no"}),
            Status::Warning,
            "without fields: no",
        ),
        (
            json!({"status": 400, "said": "closed", "is_of_index": true}),
            Status::Error,
            "took no document: 400 closed",
        ),
        (
            json!({"status": 403, "said": "blocked"}),
            Status::Error,
            "403 blocked",
        ),
    ] {
        finds_in(id, once::WRITTEN, written, status, part);
    }
    let mut facts = healthy();
    let why = Missing::Absent("nothing is written".to_owned());
    let _ = facts.answers.insert((once::WRITTEN, 0), Err(why));
    finds(id, &facts, Status::Skipped, "index: nothing is written");
}
