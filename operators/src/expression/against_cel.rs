//! Random expressions of what CEL and this language share, evaluated by the interpreter of the `cel`
//! crate and by ours over random documents: both give the same value, or none.
//!
//! Left out is where they differ on purpose: numbers of mixed notation in arithmetic, results that pass
//! 64 bits or are not finite, `has` behind a missing field, and comparing objects and lists; and where
//! the crate is wrong: it rounds large whole numbers to compare them with doubles.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::objects::{Key, Map};
use cel::{Context, Env, ExecutionError};
use isobar_topology::Symbols;
use isobar_topology::testing::{Harness, Input, with_prepare};
use proptest::prelude::*;

use super::*;

/// Decisions of a random choice, one byte each: fewer and smaller bytes give smaller cases.
struct Choices<'b>(std::slice::Iter<'b, u8>);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % bound
    }

    fn of<'o>(&mut self, options: &[&'o str]) -> &'o str {
        options[self.below(options.len())]
    }
}

const INTS: [&str; 11] = [
    "0",
    "1",
    "-1",
    "2",
    "7",
    "-40",
    "999",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
];
/// All exact: documents for the other interpreter are read by serde_json, which can be off by a bit.
const DOUBLES: [&str; 7] = ["0.0", "1.0", "-1.0", "2.5", "-40.25", "1.5e10", "-0.125"];
/// As JSON; also literals of CEL.
const TEXTS: [&str; 10] = [
    r#""""#,
    r#""a""#,
    r#""ab""#,
    r#""b""#,
    r#""Ba\u0062""#,
    r#""\u00e9""#,
    r#""é😀""#,
    r#""q\"\\\n""#,
    r#""42""#,
    r#""-7""#,
];
const NUMBER_FIELDS: [&str; 3] = ["doc.i", "doc.j", "doc.o.i"];
const DOUBLE_FIELDS: [&str; 2] = ["doc.d", "doc.e"];
const TEXT_FIELDS: [&str; 4] = ["doc.s", "doc.t", "doc.o.s", "doc[\"x y\"]"];
/// Fields whose type is another one than where they are used, or that are missing.
const WILD_FIELDS: [&str; 7] = [
    "doc.absent",
    "doc.o.absent",
    "doc.n",
    "doc.w",
    "doc.l[0]",
    "doc.l[9]",
    "doc.w.deeper",
];

/// Fields that are no numbers, or missing.
const NO_NUMBERS: [&str; 7] = [
    "doc.absent",
    "doc.o.absent",
    "doc.n",
    "doc.s",
    "doc.b",
    "doc.l[9]",
    "doc.s.deeper",
];

fn int(from: &mut Choices<'_>, depth: usize) -> String {
    match from.below(if depth == 0 { 9 } else { 16 }) {
        0..=3 => from.of(&INTS).to_owned(),
        4..=7 => from.of(&NUMBER_FIELDS).to_owned(),
        8 => from.of(&NO_NUMBERS).to_owned(),
        9..=13 => computed(from, depth - 1),
        14 => format!("int({})", text(from, depth - 1)),
        _ => {
            let condition = condition(from, depth - 1);
            format!(
                "({condition} ? {} : {})",
                int(from, depth - 1),
                int(from, depth - 1)
            )
        }
    }
}

/// A whole number that stays far below 64 bits.
fn computed(from: &mut Choices<'_>, depth: usize) -> String {
    match from.below(if depth == 0 { 7 } else { 16 }) {
        0..=5 => small(from).to_owned(),
        6 => from.of(&NO_NUMBERS).to_owned(),
        7..=12 => {
            let operator = from.of(&["+", "-", "*", "/", "%"]);
            format!(
                "({} {operator} {})",
                computed(from, depth - 1),
                computed(from, depth - 1)
            )
        }
        13 => "-doc.k".to_owned(),
        14 => format!("size({})", text(from, depth - 1)),
        _ => format!("int({})", double(from, depth - 1)),
    }
}

/// A whole number that a double can be.
fn small(from: &mut Choices<'_>) -> &'static str {
    from.of(&["0", "1", "-1", "2", "7", "-40", "doc.k"])
}

fn double(from: &mut Choices<'_>, depth: usize) -> String {
    match from.below(if depth == 0 { 2 } else { 6 }) {
        0 => from.of(&DOUBLES).to_owned(),
        1 => from.of(&DOUBLE_FIELDS).to_owned(),
        2 | 3 => {
            let operator = from.of(&["+", "-", "*"]);
            format!(
                "({} {operator} {})",
                double(from, depth - 1),
                double(from, depth - 1)
            )
        }
        4 => format!("double({})", computed(from, depth - 1)),
        _ => format!("({} / 2.0)", double(from, depth - 1)),
    }
}

fn text(from: &mut Choices<'_>, depth: usize) -> String {
    match from.below(if depth == 0 { 2 } else { 9 }) {
        0 => from.of(&TEXTS).to_owned(),
        1 => from.of(&TEXT_FIELDS).to_owned(),
        2 => format!("({} + {})", text(from, depth - 1), text(from, depth - 1)),
        3 => format!("{}.lowerAscii()", text(from, depth - 1)),
        4 => format!("{}.upperAscii()", text(from, depth - 1)),
        5 => format!("{}.substring({})", text(from, depth - 1), from.below(4)),
        6 => format!(
            "{}.substring({}, {})",
            text(from, depth - 1),
            from.below(3),
            from.below(4)
        ),
        7 => format!("string({})", int(from, depth - 1)),
        _ => format!(
            "({} ? {} : {})",
            condition(from, depth - 1),
            text(from, depth - 1),
            text(from, depth - 1)
        ),
    }
}

fn condition(from: &mut Choices<'_>, depth: usize) -> String {
    if depth == 0 {
        return from
            .of(&["true", "false", "doc.b", "doc.absent", "doc.w"])
            .to_owned();
    }
    let relation = from.of(&["==", "!=", "<", "<=", ">", ">="]);
    match from.below(14) {
        0 => format!(
            "{} {relation} {}",
            int(from, depth - 1),
            int(from, depth - 1)
        ),
        1 => format!("{} {relation} {}", double(from, depth - 1), small(from)),
        2 => format!("{} {relation} {}", small(from), double(from, depth - 1)),
        3 => format!(
            "{} {relation} {}",
            text(from, depth - 1),
            text(from, depth - 1)
        ),
        4 | 5 => format!(
            "({} && {})",
            condition(from, depth - 1),
            condition(from, depth - 1)
        ),
        6 | 7 => format!(
            "({} || {})",
            condition(from, depth - 1),
            condition(from, depth - 1)
        ),
        8 => format!("!({})", condition(from, depth - 1)),
        9 => from
            .of(&[
                "has(doc.s)",
                "has(doc.n)",
                "has(doc.absent)",
                "has(doc.o.i)",
                "has(doc.o.absent)",
                "'s' in doc",
                "'i' in doc.o",
            ])
            .to_owned(),
        10 => {
            let function = from.of(&["startsWith", "endsWith", "contains"]);
            format!(
                "{}.{function}({})",
                text(from, depth - 1),
                text(from, depth - 1)
            )
        }
        11 => {
            let items: Vec<&str> = (0..from.below(4))
                .map(|_| from.of(&["1", "2.5", "'a'", "null", "true", "'é'"]))
                .collect();
            format!(
                "{} in [{}]",
                from.of(&["doc.s", "doc.i", "doc.d", "doc.w", "doc.n", "doc.absent"]),
                items.join(", ")
            )
        }
        12 => format!(
            "{} in doc.l",
            from.of(&["1", "1.0", "'a'", "null", "true", "doc.s", "doc.d", "doc.n"])
        ),
        _ => format!(
            "{} {} {}",
            from.of(&WILD_FIELDS),
            from.of(&["==", "!="]),
            from.of(&["null", "1", "1.0", "'a'", "true", "doc.s", "doc.n"])
        ),
    }
}

/// A document as text, written in ways of its own.
fn document(from: &mut Choices<'_>) -> String {
    let scalar = |from: &mut Choices<'_>| match from.below(5) {
        0 => from.of(&INTS).to_owned(),
        1 => from.of(&DOUBLES).to_owned(),
        2 => from.of(&TEXTS).to_owned(),
        3 => "null".to_owned(),
        _ => from.of(&["true", "false"]).to_owned(),
    };
    let list: Vec<String> = (0..from.below(5)).map(|_| scalar(from)).collect();
    let members = [
        ("i", from.of(&INTS).to_owned()),
        ("j", from.of(&INTS).to_owned()),
        ("k", from.of(&["0", "1", "2", "-40"]).to_owned()),
        ("d", from.of(&DOUBLES).to_owned()),
        ("\\u0065", from.of(&DOUBLES).to_owned()),
        ("s", from.of(&TEXTS).to_owned()),
        ("t", from.of(&TEXTS).to_owned()),
        ("x y", from.of(&TEXTS).to_owned()),
        ("b", from.of(&["true", "false"]).to_owned()),
        ("n", "null".to_owned()),
        ("w", scalar(from)),
        ("l", format!("[ {} ]", list.join(" , "))),
        (
            "o",
            format!(
                r#"{{"\u0069":{},"s" : {}}}"#,
                from.of(&INTS),
                from.of(&TEXTS)
            ),
        ),
    ];
    let members = members.map(|(key, value)| format!("\"{key}\":{value}"));
    format!("{{{}}}", members.join(", "))
}

fn to_cel(json: &serde_json::Value) -> cel::Value {
    match json {
        serde_json::Value::Null => cel::Value::Null,
        serde_json::Value::Bool(value) => cel::Value::Bool(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(int) => cel::Value::Int(int),
            None => cel::Value::Float(number.as_f64().expect("a number")),
        },
        serde_json::Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        serde_json::Value::Array(items) => {
            cel::Value::List(Arc::new(items.iter().map(to_cel).collect()))
        }
        serde_json::Value::Object(members) => {
            let members = members.iter();
            let members: HashMap<Key, cel::Value> = members
                .map(|(key, value)| (Key::String(Arc::new(key.clone())), to_cel(value)))
                .collect();
            cel::Value::Map(Map {
                map: Arc::new(members),
            })
        }
    }
}

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    env.add_extension(cel::extensions::strings)
        .expect("functions of their own names");
    Arc::new(env)
});

fn theirs(text: &str, document: &str) -> std::result::Result<cel::Value, ExecutionError> {
    let json = serde_json::from_str(document).expect("a document");
    let mut context = Context::with_env(Arc::clone(&ENV));
    context.add_variable_from_value("doc", to_cel(&json));
    let program = ENV.compile(text).expect("an expression");
    program.execute(&context)
}

/// Our value, as a value of theirs; numbers of a document by what they are.
fn ours(text: &str, document: &str) -> Option<cel::Value> {
    let mut symbols = Symbols::new();
    let expression = with_prepare(&mut symbols, |prepare| {
        Expression::compile(text, &Path::root(), prepare)
    });
    let expression = expression.unwrap_or_else(|problem| panic!("{text}: {problem}"));
    let batch = Harness::new(symbols).batch(&[Input::document(document)]);
    Some(match expression.evaluate(batch.record(0)).ok()? {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(value),
        Value::Int(number) => cel::Value::Int(number),
        Value::UInt(number) => cel::Value::UInt(number),
        Value::Float(number) => cel::Value::Float(number),
        Value::Str(text) => {
            let text = String::from_utf8(text.into_owned()).expect("UTF-8");
            cel::Value::String(Arc::new(text))
        }
        Value::Number(raw) | Value::Json(raw) => {
            to_cel(&serde_json::from_slice(raw).expect("JSON"))
        }
        Value::Bytes(_) | Value::Time(_) => unreachable!("not in these expressions"),
    })
}

proptest! {
    #[test]
    fn both_interpreters_give_the_same(
        for_document in prop::collection::vec(any::<u8>(), 0..40),
        choices in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let document = document(&mut Choices(for_document.iter()));
        let mut from = Choices(choices.iter());
        let text = match from.below(4) {
            0 => int(&mut from, 3),
            1 => text(&mut from, 3),
            _ => condition(&mut from, 5),
        };
        let theirs = theirs(&text, &document);
        let ours = ours(&text, &document);
        prop_assert_eq!(ours, theirs.as_ref().ok().cloned(), "{} over {}: {:?}", text, document, theirs);
    }
}
