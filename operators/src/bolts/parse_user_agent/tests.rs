//! Agents against rules of our own, and rules that are wrong.

use isobar_topology::testing::{Input, PreparedForTest};
use serde_json::{Value, json};

use super::*;
use crate::scratch::Scratch;

fn prepared(rules: &str, options: Value) -> Result<PreparedForTest, String> {
    let scratch = Scratch::new();
    scratch.replace("regexes.yaml", rules);
    let mut all = json!({"file": "regexes.yaml"});
    let members = all.as_object_mut().expect("an object");
    members.extend(options.as_object().expect("an object").clone());
    let prepared = PreparedForTest::with_connections(&TYPE, &all, &Value::Null, scratch.path());
    prepared.map_err(|problems| problems.to_string())
}

/// The document, or class and reason of the rejection.
async fn one(bolt: &mut PreparedForTest, document: &Value) -> Result<Value, String> {
    let input = Input::document(&document.to_string());
    let mut emitted = bolt.run(&[input]).await;
    let record = emitted.pop().expect("a record comes out");
    match record.rejection {
        Some(rejection) => Err(format!("{}: {}", rejection.class, rejection.reason)),
        None => Ok(serde_json::from_str(&record.document.expect("a document")).expect("JSON")),
    }
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile/15E148 Safari/604.1";

#[tokio::test(start_paused = true)]
async fn known_agents_give_what_the_rules_say() {
    let mut bolt = prepared(RULES, json!({})).expect("good options");
    for (agent, expected) in [
        (
            FIREFOX,
            json!({"name": "Firefox", "version": "140.0", "os": {"name": "Linux"}}),
        ),
        (
            PHONE,
            json!({"name": "Mobile Safari", "version": "17.5",
                "os": {"name": "iOS", "version": "17.5"}, "device": {"name": "iPhone"}}),
        ),
        ("an IPHONE", json!({"device": {"name": "IPHONE"}})),
        ("curl/8.5.0", json!({})),
        ("", json!({})),
    ] {
        let mut object = json!({"original": agent});
        let members = object.as_object_mut().expect("an object");
        members.extend(expected.as_object().expect("an object").clone());
        let found = one(&mut bolt, &json!({"user_agent": agent, "n": 1})).await;
        assert_eq!(found, Ok(json!({"user_agent": object, "n": 1})));
    }
    let (name, _, unknown) = bolt.counters.values()[0];
    assert_eq!((name, unknown), ("unknown_agents", 2));
}

#[tokio::test(start_paused = true)]
async fn what_a_rule_finds_empty_is_not_found() {
    let rules = "\
user_agent_parsers: [{regex: 'app/(\\w*)'}]
os_parsers: [{regex: '(app)', os_replacement: '$2'}]
device_parsers: [{regex: 'app(.?)', device_replacement: ' $2 '}]
";
    let mut bolt = prepared(rules, json!({})).expect("good options");
    let found = one(&mut bolt, &json!({"user_agent": "app/"})).await;
    assert_eq!(found, Ok(json!({"user_agent": {"original": "app/"}})));
    assert_eq!(bolt.counters.values()[0].2, 1, "unknown_agents");
}

#[tokio::test(start_paused = true)]
async fn the_text_stays_where_another_field_gets_the_object() {
    let options = json!({"field": "[\"http.agent\"]", "target": "agent"});
    let mut bolt = prepared(RULES, options).expect("good options");
    let found = one(&mut bolt, &json!({"http.agent": "x \u{e9}\" Firefox/1.2"})).await;
    let agent = json!({"original": "x \u{e9}\" Firefox/1.2", "name": "Firefox", "version": "1.2"});
    let expected = json!({"http.agent": "x \u{e9}\" Firefox/1.2", "agent": agent});
    assert_eq!(found, Ok(expected));
}

#[tokio::test(start_paused = true)]
async fn fields_may_be_inside_of_others() {
    let options = json!({"field": "user_agent.original", "target": "user_agent"});
    let mut bolt = prepared(RULES, options).expect("good options");
    let found = one(
        &mut bolt,
        &json!({"user_agent": {"original": "Firefox/1.2"}}),
    )
    .await;
    let agent = json!({"original": "Firefox/1.2", "name": "Firefox", "version": "1.2"});
    assert_eq!(found, Ok(json!({"user_agent": agent})));
    let options = json!({"field": "http.agent", "target": "client.agent"});
    let mut bolt = prepared(RULES, options).expect("good options");
    for (client, expected) in [
        (json!({"ip": 1}), Ok(json!({"ip": 1, "agent": agent}))),
        (
            json!("x"),
            Err("not_an_object: The field client.agent cannot be set: what is around it is no object".to_owned()),
        ),
    ] {
        let http = json!({"agent": "Firefox/1.2"});
        let found = one(&mut bolt, &json!({"http": http, "client": client})).await;
        let expected = expected.map(|client| json!({"http": http, "client": client}));
        assert_eq!(found, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn records_without_text_are_kept_or_rejected() {
    for document in [
        json!({}),
        json!({"user_agent": 1}),
        json!({"user_agent": null}),
    ] {
        let mut keeps = prepared(RULES, json!({})).expect("good options");
        assert_eq!(one(&mut keeps, &document).await, Ok(document.clone()));
        let mut rejects = prepared(RULES, json!({"on_missing": "reject"})).expect("good options");
        let reason = "missing_field: The field user_agent with the user agent is missing";
        assert_eq!(one(&mut rejects, &document).await, Err(reason.to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_start_of_a_long_text_is_looked_at() {
    let mut bolt = prepared(RULES, json!({})).expect("good options");
    // The bound would be in the middle of a character.
    for (before, is_found) in [("\u{e9}".repeat(400), true), ("a\u{e9}".repeat(400), false)] {
        let agent = format!("{before} Firefox/1.2");
        let found = one(&mut bolt, &json!({"user_agent": agent}))
            .await
            .expect("is kept");
        assert_eq!(found["user_agent"]["original"], agent);
        assert_eq!(found["user_agent"]["name"] == "Firefox", is_found);
    }
}

#[test]
fn files_that_are_no_rules_are_problems() {
    let lists = "user_agent_parsers: []\nos_parsers: []\n";
    for (rules, problem) in [
        ("", "there is nothing in it"),
        ("a: [", "line 2: "),
        ("a: 1\na: 2\n", "line 2: `a` is there twice"),
        ("a: &x 1\nb: *x\n", "aliases are not read"),
        (&"[".repeat(20), "nested deeper than 8 levels"),
        (lists, "missing field `device_parsers`"),
        (
            &format!("{lists}device_parsers: [{{regex: a}}, {{regex: '(a'}}]\n"),
            "device_parsers[1]: ",
        ),
    ] {
        let found = prepared(rules, json!({})).err().expect("is refused");
        let start = "bolts.bolt.file: regexes.yaml: ";
        assert!(found.starts_with(&format!("{start}{problem}")), "{found}");
        assert!(
            found.contains("expected the file regexes.yaml of https://"),
            "{found}"
        );
    }
}

#[test]
fn bad_options_are_problems() {
    let found = prepared(
        RULES,
        json!({"field": "a..b", "target": "c.", "file": "none.yaml"}),
    );
    let found = found.err().expect("is refused");
    let paths: Vec<&str> = found
        .lines()
        .filter_map(|line| line.split(": ").next())
        .collect();
    assert_eq!(
        paths,
        ["bolts.bolt.field", "bolts.bolt.file", "bolts.bolt.target"]
    );
    assert!(found.contains("none.yaml: cannot be read: "), "{found}");
}
