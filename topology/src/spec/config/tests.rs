//! Configurations of every shape that schemars writes, each with what is wrong and where.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use super::super::secret::Secret;
use super::super::tree::{Entry, Place, Value};
use super::super::units::{ByteSize, Duration};
use super::*;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// How often.
    count: Option<u32>,
    #[schemars(range(min = 1, max = 10))]
    bounded: Option<u64>,
    ratio: f64,
    on: bool,
    names: Vec<String>,
    ports: Vec<u16>,
    env: BTreeMap<String, String>,
    mode: Option<Mode>,
    target: Option<Target>,
    login: Option<Login>,
    hosts: Option<OneOrMany>,
    wait: Option<Duration>,
    size: Option<ByteSize>,
    password: Option<Secret>,
    #[serde(deserialize_with = "even")]
    even: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// First things first.
    Earliest,
    /// Only what is new.
    Latest,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Target {
    Topic {
        #[serde(rename = "topic")]
        _topic: String,
    },
    File {
        path: String,
        append: bool,
    },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    username: String,
    #[serde(rename = "password")]
    _password: Secret,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only read")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn even<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(from)?;
    if number.is_multiple_of(2) {
        return Ok(number);
    }
    Err(de::Error::custom(format!("{number} is odd")))
}

/// Reads JSON whose members stand one per line, so that places can be told apart; a value of the form
/// `$text` came from a variable, `?` could not be read.
fn node(json: &serde_json::Value, line: &mut u32) -> Node {
    let start = *line;
    let mut node = Node::from_json(json);
    node.value = match json {
        serde_json::Value::Object(members) => Value::Map(
            members
                .iter()
                .map(|(key, value)| {
                    *line += 1;
                    let key_place = Place {
                        line: *line,
                        column: 1,
                    };
                    let key = key.clone();
                    let node = self::node(value, line);
                    Entry {
                        key,
                        key_place,
                        node,
                    }
                })
                .collect(),
        ),
        serde_json::Value::Array(items) => {
            Value::List(items.iter().map(|item| self::node(item, line)).collect())
        }
        serde_json::Value::String(text) if text == "?" => Value::Unreadable,
        serde_json::Value::String(text) if text.starts_with('$') => {
            node.hidden = true;
            Value::String(text[1..].to_owned())
        }
        _ => node.value,
    };
    node.place = Place {
        line: start,
        column: 9,
    };
    node
}

fn read(json: &str) -> Result<Options, Problems> {
    let json = serde_json::from_str(json).expect("JSON");
    parse_config(&node(&json, &mut 1), &Path::root().key("o"))
}

/// Compares problems as `line: text`.
fn check(json: &str, expected: &[&str]) {
    let problems = read(json).err().unwrap_or_default().sorted();
    let shown: Vec<String> = problems
        .iter()
        .map(|problem| {
            let place = problem.place.unwrap_or_default();
            format!("{}: {problem}", place.line)
        })
        .collect();
    assert_eq!(shown, expected, "{json}");
}

#[test]
fn a_sound_configuration_is_read() {
    let options = read(
        r#"{"count": 3, "bounded": 10, "ratio": 1, "on": true, "names": ["a"], "env": {"a": "b"},
            "mode": "latest", "target": {"kind": "file", "path": "x", "append": true},
            "login": {"username": "u", "password": "p"}, "hosts": ["a"], "wait": "2s",
            "size": "8MiB", "password": "hush", "even": 4, "ports": [1]}"#,
    )
    .expect("sound");
    assert_eq!(options.size, Some(ByteSize::mib(8)));
    assert_eq!(options.wait, Some(Duration::secs(2)));
    assert_eq!(
        (options.count, options.bounded, options.ratio),
        (Some(3), Some(10), 1.0)
    );
    assert!(options.on && options.even == 4 && options.ports == [1]);
    assert!(matches!(options.mode, Some(Mode::Latest)));
    assert!(matches!(options.hosts, Some(OneOrMany::Many(_))));
    assert!(matches!(options.target, Some(Target::File { append: true, path }) if path == "x"));
    assert_eq!(
        options.login.map(|login| login.username),
        Some("u".to_owned())
    );
}

#[test]
fn what_is_wrong_with_a_value_is_said_at_the_value() {
    check(
        r#"{"count": "abc", "on": 1, "names": {"a": 1}, "ratio": [], "even": null}"#,
        &[
            "2: o.count: found the string \"abc\"; expected a whole number",
            "3: o.on: found the number 1; expected true or false",
            "4: o.names: found a mapping; expected a list",
            "6: o.ratio: found a list; expected a number",
            "7: o.even: found nothing; expected a whole number",
        ],
    );
    check(
        r#"{"count": "x", "bounded": "lots"}"#,
        &[
            "2: o.count: found the string \"x\"; expected a whole number",
            "3: o.bounded: found the string \"lots\"; expected a whole number from 1 to 10",
        ],
    );
    check(
        r#"{"count": 1.5, "bounded": 11, "ports": [1, 70000, -1]}"#,
        &[
            "2: o.count: found the number 1.5; expected a whole number",
            "3: o.bounded: found the number 11; expected a number from 1 to 10",
            "4: o.ports[1]: found the number 70000; expected a number from 0 to 65535",
            "4: o.ports[2]: found the number -1; expected a number from 0 to 65535",
        ],
    );
    check(
        r#"{"wait": 30, "size": -1, "env": {"a": [1]}}"#,
        &[
            "2: o.wait: found the number 30; expected a duration such as 500ms, 2s or 10m",
            "3: o.size: found the number -1; expected a number not below 0",
            "5: o.env.a: found a list; expected a string",
        ],
    );
}

#[test]
fn unknown_and_missing_options_are_named() {
    check(
        r#"{"cuont": 1, "login": {"usrname": "u"}}"#,
        &[
            "2: o.cuont: unknown option; expected one of bounded, count, env, even, hosts, login, mode, names, on, password, ports, ratio, size, target, wait; did you mean count?",
            "3: o.login: `password` is missing; expected a string",
            "4: o.login.usrname: unknown option; expected one of password, username; did you mean username?",
        ],
    );
}

#[test]
fn what_a_missing_option_is_for_stands_behind_what_it_takes() {
    #[derive(Debug, Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only read")]
    struct Required {
        /// Where a partition starts. From `earliest`
        /// on.
        start: String,
        /// IDs of
        /// partitions.
        ids: Vec<u32>,
        any: serde_json::Value,
    }
    let problems =
        parse_config::<Required>(&Node::from_json(&serde_json::json!({})), &Path::root());
    assert_eq!(
        problems.expect_err("nothing is given").to_string(),
        "`any` is missing\n\
         `ids` is missing; expected a list (IDs of partitions)\n\
         `start` is missing; expected a string (where a partition starts)"
    );
}

#[test]
fn of_two_alternatives_with_a_key_each_one_is_chosen() {
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Access {
        auth: Option<Auth>,
    }
    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "only read")]
    enum Auth {
        Basic(Login),
        ApiKey(Secret),
    }
    for (auth, expected) in [
        (
            r#"{"api_key": "k", "basic": {"username": "u"}}"#,
            "auth: `api_key` and `basic` are both given; expected one of them",
        ),
        (
            r#"{"apikey": "k"}"#,
            "auth.apikey: unknown option; expected one of api_key, basic; did you mean api_key?",
        ),
        (
            "{}",
            "auth: the mapping is empty; expected one of api_key, basic",
        ),
        (
            r#"{"basic": {"username": "u"}, "token": "t"}"#,
            "auth.basic: `password` is missing; expected a string\n\
             auth.token: unknown option; expected basic",
        ),
    ] {
        let json = serde_json::from_str(&format!(r#"{{"auth": {auth}}}"#)).expect("JSON");
        let read = parse_config::<Access>(&Node::from_json(&json), &Path::root());
        assert_eq!(read.expect_err(auth).to_string(), expected);
    }
}

#[test]
fn of_alternatives_the_one_that_was_meant_is_explained() {
    check(
        r#"{"mode": "erliest"}"#,
        &[
            "2: o.mode: found the string \"erliest\"; expected one of earliest, latest; did you mean earliest?",
        ],
    );
    check(
        r#"{"target": {"kind": "fiel", "path": "x"}}"#,
        &[
            "3: o.target.kind: found the string \"fiel\"; expected one of file, topic; did you mean file?",
        ],
    );
    check(
        r#"{"target": {"kind": "file", "path": 7.5, "appendd": true}}"#,
        &[
            "4: o.target.path: found the number 7.5; expected a string",
            "5: o.target.appendd: unknown option; expected one of append, kind, path; did you mean append?",
        ],
    );
    check(
        r#"{"target": {"topic": "x"}}"#,
        &["2: o.target: `kind` is missing; expected one of file, topic"],
    );
    check(
        r#"{"hosts": {"a": 1}}"#,
        &["2: o.hosts: found a mapping; expected a string or a list"],
    );
}

#[test]
fn what_a_schema_cannot_say_has_its_place_too() {
    check(r#"{"ratio": 1, "even": 3}"#, &["3: o.even: 3 is odd"]);
    // Nor does what the schema finds hide it.
    check(
        r#"{"bounded": 11, "even": 3, "on": true}"#,
        &[
            "2: o.bounded: found the number 11; expected a number from 1 to 10",
            "3: o.even: 3 is odd",
        ],
    );
    check(
        r#"{"wait": "2 weeks", "size": "big"}"#,
        &[
            "2: o.wait: found the string \"2 weeks\"; expected a duration such as 500ms, 2s or 10m",
            "3: o.size: found the string \"big\"; expected a size such as 64KiB or 8MiB",
        ],
    );
    check(
        r#"{"count": 5000000000}"#,
        &["2: o.count: found the number 5000000000; expected a number from 0 to 4294967295"],
    );
}

#[test]
fn values_from_outside_and_secrets_are_never_shown() {
    check(
        r#"{"count": "$hunter2", "mode": "$hunter2", "wait": "$hunter2"}"#,
        &[
            "2: o.count: found a string; expected a whole number",
            "3: o.mode: found a string; expected one of earliest, latest",
            "4: o.wait: found a string; expected a duration such as 500ms, 2s or 10m",
        ],
    );
    check(
        r#"{"password": ["hunter2"], "login": {"username": "u", "password": true}}"#,
        &[
            "2: o.password: found a list; expected a string",
            "5: o.login.password: found a boolean; expected a string",
        ],
    );
}

#[test]
fn text_is_taken_as_it_was_written() {
    let mut number = Node::new(Value::Int(7), Place::default());
    number.written = Some("007".into());
    let entry = |key: &str, node: &Node| Entry {
        key: key.to_owned(),
        key_place: Place::default(),
        node: node.clone(),
    };
    let env = Node::new(Value::Map(vec![entry("zone", &number)]), Place::default());
    let names = Node::new(Value::String("a, b,,c".to_owned()), Place::default());
    let entries = vec![
        entry("password", &number),
        entry("env", &env),
        entry("names", &names),
    ];
    let node = Node::new(Value::Map(entries), Place::default());
    let options: Options = parse_config(&node, &Path::root()).expect("sound");
    assert_eq!(options.password.as_ref().map(Secret::reveal), Some("007"));
    assert_eq!(options.env["zone"], "007");
    assert_eq!(options.names, ["a", "b", "c"]);
}

#[test]
fn what_could_not_be_read_leads_to_no_further_problem() {
    check(
        r#"{"count": "?", "mode": "?", "target": "?", "login": {"username": "?", "password": "?"}, "bounded": 11}"#,
        &["8: o.bounded: found the number 11; expected a number from 1 to 10"],
    );
    assert!(read(r#"{"count": "?"}"#).is_err_and(|problems| problems.is_empty()));
}
