//! Texts with the tree or the problems that they give.

use std::io;

use proptest::prelude::*;

use super::*;

fn read_text(text: &str) -> Read {
    let outside = Outside {
        variable: &|name| match name {
            "N" => Some("7".to_owned()),
            "TRICKY" => Some("x: [1, 2]\ny: 'z".to_owned()),
            "LARGE" => Some("x".repeat(1024 * 1024)),
            _ => None,
        },
        file: &|_| Err(io::ErrorKind::NotFound.into()),
    };
    read(text, &outside)
}

fn tree(text: &str, expected: &str) {
    let read = read_text(text);
    assert_eq!(read.problems.to_string(), "", "{text}");
    assert_eq!(read.root.to_json().to_string(), expected, "{text}");
}

fn problems(text: &str, expected: &[&str]) {
    let found: Vec<String> = read_text(text)
        .problems
        .sorted()
        .iter()
        .map(|problem| match problem.place {
            Some(Place { line, column }) => format!("{line}:{column}: {problem}"),
            None => problem.to_string(),
        })
        .collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn values_are_typed_unless_they_are_quoted() {
    tree(
        "a: 1\nb: '1'\nc: \"true\"\nd: true\ne:\nf: |\n  1\ng: [1.5, x]\n",
        r#"{"a":1,"b":"1","c":"true","d":true,"e":null,"f":"1\n","g":[1.5,"x"]}"#,
    );
    tree("a: !!str 1\nb: ! 2\n", r#"{"a":"1","b":"2"}"#);
    tree(
        "%YAML 1.2\n---\n{\"a\": [], 'b': {}}\n...\n",
        r#"{"a":[],"b":{}}"#,
    );
    tree("\u{feff}# only a comment\n", "null");
}

#[test]
fn values_from_outside_are_typed_and_cannot_add_structure() {
    tree(
        "a: ${N}\nb: '${N}'\nc: x${N}\n",
        r#"{"a":7,"b":"7","c":"x7"}"#,
    );
    tree("a: ${TRICKY}\n", r#"{"a":"x: [1, 2]\ny: 'z"}"#);
    tree(
        "a: ${O:-8}\nb: $${N}\nc: |\n  ${N}\n",
        r#"{"a":8,"b":"${N}","c":"7\n"}"#,
    );
    let root = read_text("a: ${N}\nb: ${O:-8}\nc: 007\n").root;
    let of = |key: &str| {
        root.get(key)
            .map(|node| (node.hidden, node.written.as_deref()))
    };
    assert_eq!(of("a"), Some((true, Some("7"))));
    assert_eq!(of("b"), Some((false, Some("8"))));
    assert_eq!(of("c"), Some((false, Some("007"))));
}

#[test]
fn places_are_those_of_the_text() {
    let root = read_text("é: 1\na:\n  b: [x, {c: y}]\n").root;
    let place = |path: &Path| {
        let place = root.place_at(path);
        (place.line, place.column)
    };
    let a = Path::root().key("a");
    assert_eq!(place(&a.key("b")), (3, 3));
    assert_eq!(place(&a.key("b").index(0)), (3, 7));
    assert_eq!(place(&a.key("b").index(1).key("c")), (3, 14));
    let y = root.nearest_to(&a.key("b").index(1).key("c"));
    assert_eq!((y.text(), y.place.column), (Some("y"), 14));
}

#[test]
fn aliases_are_followed_within_bounds() {
    tree(
        "a: &x [1, {b: 2}]\nc: *x\n",
        r#"{"a":[1,{"b":2}],"c":[1,{"b":2}]}"#,
    );
    problems(
        "a: &x [*x]\n",
        &[
            "1:8: an alias inside of what it stands for; expected an alias of a value that is complete",
        ],
    );
    problems(
        "a: *x\n",
        &[
            "1:4: not YAML: while parsing node, found unknown anchor; expected an anchor &name before its alias *name",
        ],
    );
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let before = format!("*a{}, ", n - 1).repeat(9);
        bomb.push_str(&format!("a{n}: &a{n} [{before}]\n"));
    }
    let found = read_text(&bomb).problems.to_string();
    assert_eq!(
        found,
        "aliases and variables make the file too large; expected at most 8 MiB in all"
    );
    let long = (0..9)
        .map(|n| format!("a{n}: ${{LARGE}}\n"))
        .collect::<String>();
    problems(
        &long,
        &["9:5: a8: aliases and variables make the file too large; expected at most 8 MiB in all"],
    );
    // Each alias adds a level, and the text is flat.
    let mut tower = "a0: &a0 [x]\n".to_owned();
    for n in 1..100 {
        tower.push_str(&format!("a{n}: &a{n} [*a{}]\n", n - 1));
    }
    let found = read_text(&tower).problems.to_string();
    assert_eq!(found, "nested too deep; expected at most 64 levels");
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read_text(&nested(64)).problems.is_empty());
    problems(
        &nested(65),
        &["1:65: nested too deep; expected at most 64 levels"],
    );
    problems(
        &"[".repeat(BYTES_MAX),
        &["1:256: not YAML: recursion limit exceeded; expected at most 64 levels"],
    );
    let block: String = (0..1000).map(|n| format!("{}-\n", " ".repeat(n))).collect();
    assert!(
        read_text(&block)
            .problems
            .to_string()
            .starts_with("nested too deep")
    );
    problems(
        &" ".repeat(BYTES_MAX + 1),
        &["the file is too large; expected at most 1024 KiB"],
    );
}

#[test]
fn what_would_be_read_differently_than_meant_is_refused() {
    problems(
        "a: 1\nb:\n  c: 1\n  c: 2\na: 3\n",
        &[
            "4:3: b.c: stands in line 3 already; expected each key once",
            "5:1: a: stands in line 1 already; expected each key once",
        ],
    );
    problems(
        "1: a\ntrue: b\n? [x]\n: c\n: d\n",
        &[
            "1:1: a key that is not text; expected text: write \"1\"",
            "2:1: a key that is not text; expected text: write \"true\"",
            "3:3: a key that is a list, a mapping or an alias; expected text; a template such as \"{{ doc.host }}\" needs quotes",
            "5:1: a key that is not text; expected text: write \"\"",
        ],
    );
    problems(
        "index: {{ doc.host }}\n",
        &[
            "1:9: index: a key that is a list, a mapping or an alias; expected text; a template such as \"{{ doc.host }}\" needs quotes",
        ],
    );
    problems(
        "a: &x {b: 1}\nc: {<<: *x, d: 2}\n\"${N}\": 1\n",
        &[
            "2:5: c: a merge key; expected the options written out: YAML 1.2 has no merge keys",
            "3:1: a substitution in a key; expected a key without ${: values are put into values only",
        ],
    );
    problems(
        "a: !secret x\nb: !!int '1'\nc: !x [1]\n",
        &[
            "1:4: a: a tag; expected a value without a tag; quotes make text of anything",
            "2:4: b: a tag; expected a value without a tag; quotes make text of anything",
            "3:4: c: a tag; expected a value without a tag; quotes make text of anything",
        ],
    );
    problems(
        "a: 1\n---\nb: 2\n",
        &["2:1: a second document starts here; expected one document per file"],
    );
}

#[test]
fn errors_of_syntax_say_what_to_do() {
    problems(
        "a: ${UNSET}\nb: c: d\n",
        &[
            "1:4: a: the variable UNSET is not set; expected UNSET in the environment or in --env-file, or a default: ${UNSET:-...}",
            "2:5: not YAML: mapping values are not allowed in this context; expected quotes around a value with `: ` in it, or the key on a line of its own",
        ],
    );
    problems(
        "a: 'x\n",
        &[
            "1:4: not YAML: while scanning a quoted scalar, found unexpected end of stream; expected a closing quote",
        ],
    );
    problems(
        "a: @x\n",
        &[
            "1:4: not YAML: unexpected character: `@'; expected quotes around a value that starts with it",
        ],
    );
    problems(
        "a: \"\\d\"\n",
        &[
            "1:4: not YAML: while parsing a quoted scalar, found unknown escape character; expected \\\\ for a backslash, or single quotes",
        ],
    );
}

#[test]
fn a_line_that_is_indented_wrongly_is_told_so() {
    let same = "expected options of one mapping in the same column";
    problems(
        "bolts:\n  parse:\n    type: parse_json\n\n    # c\n   inputs: [logs]\n",
        &[&format!(
            "6:4: not YAML: this line is indented by 3 spaces, its neighbours by 4; {same}"
        )],
    );
    problems(
        "bolts:\n  parse:\n    type: a\n    fields:\n      b: c\n inputs: [logs]\n",
        &[&format!(
            "6:2: not YAML: this line is indented by 1 space, its neighbours by 2; {same}"
        )],
    );
    problems(
        "parse:\n  type: parse_json\n   inputs: [logs]\n",
        &[&format!(
            "3:10: not YAML: this line is indented by 3 spaces, its neighbours by 2; {same}"
        )],
    );
    // Nothing is said of indentation where something else is wrong.
    problems(
        "a:\n  b:\n    c: d\n  - e\n",
        &["4:5: not YAML: while parsing a block mapping, did not find expected key"],
    );
    problems(
        "a:\n  b: c\n  d: e: f\n",
        &[
            "3:7: not YAML: mapping values are not allowed in this context; expected quotes around a value with `: ` in it, or the key on a line of its own",
        ],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = read_text(&text);
    }

    #[test]
    fn no_text_of_yaml_signs_makes_it_panic(
        text in "(\\$\\{N\\}|\\$\\{|<<|---|\\.\\.\\.|!!str|&a|\\*a|%|[-a1?: \t\n\r,\\[\\]{}'\"|>#&*!~é\u{feff}\u{85}]){0,60}",
    ) {
        let _ = read_text(&text);
    }

    #[test]
    fn what_is_written_as_json_reads_back(
        keys in prop::collection::btree_set("[ -~é]{0,8}", 0..5),
        value in any::<i64>(),
        text in "[ -~é\t\n]{0,20}",
    ) {
        let keys = keys.into_iter().filter(|key| !key.contains("${"));
        let text = text.replace('$', "S");
        let json: serde_json::Value = keys
            .map(|key| (key, serde_json::json!([value, text, {"x": null}])))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let read = read_text(&json.to_string());
        prop_assert_eq!(read.problems.to_string(), "");
        prop_assert_eq!(read.root.to_json(), json);
    }
}
