//! Expressions over records, each with its value, and bad expressions, each with its problem.

use isobar_topology::Symbols;
use isobar_topology::testing::{Harness, Input, with_prepare};
use proptest::prelude::*;

use super::*;

fn path() -> Path {
    Path::root().key("when")
}

/// The value as JSON, or why there is none.
fn evaluate(text: &str, input: &Input) -> String {
    let mut symbols = Symbols::new();
    let expression = with_prepare(&mut symbols, |prepare| {
        Expression::compile(text, &path(), prepare)
    });
    let expression = expression.unwrap_or_else(|problem| panic!("{text}: {problem}"));
    let batch = Harness::new(symbols).batch(std::slice::from_ref(input));
    let mut out = Vec::new();
    match expression.evaluate(batch.record(0)) {
        Ok(value) => value.write_json(&mut out),
        Err(undefined) => return format!("! {}", expression.explain(undefined)),
    }
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn record() -> Input {
    let document = r#"{
        "status": 503, "level": "error", "took": 1.5, "host": "web-01.example.org", "ok": true,
        "none": null, "empty": "", "tags": ["a", "b", 3, null], "@timestamp": "2024-05-06T07:08:09.123Z",
        "nested": {"a": {"b": [10, {"c": "deep"}]}, "k\u0065y": 1, "x y": 2},
        "esc\u0061ped": "q\"\\\u00e9\ud83d\ude00", "long": "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\n",
        "big": 9007199254740993, "huge": 18446744073709551615, "beyond": 18446744073709551616,
        "inf": 1e400, "text": "42", "umlaut": "größe", "for": 1
    }"#;
    Input {
        key: Some(b"user-7".to_vec()),
        headers: vec![
            ("trace".to_owned(), b"first".to_vec()),
            ("trace".to_owned(), b"last".to_vec()),
            ("raw".to_owned(), vec![0xFF, 0x00]),
        ],
        ..Input::document(document)
    }
}

/// Checks lines of `expression => value`.
fn check(lines: &str) {
    let record = record();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (text, expected) = line.split_once(" => ").expect("EXPRESSION => VALUE");
        assert_eq!(evaluate(text, &record), expected, "{text}");
    }
}

#[test]
fn fields_are_found_wherever_they_are() {
    check(
        r#"
        doc.status => 503
        doc["@timestamp"] => "2024-05-06T07:08:09.123Z"
        doc.nested.a.b[0] => 10
        doc.nested.a.b[1].c => "deep"
        doc["nested"]["a"].b[1] => {"c": "deep"}
        doc.nested.key => 1
        doc.nested["x y"] => 2
        doc.escaped => "q\"\\é😀"
        doc.for => 1
        doc.tags => ["a", "b", 3, null]
        .doc.status => 503
        doc.none => null
        doc.absent => ! doc.absent is missing
        doc["a b"].c[3] => ! doc["a b"].c[3] is missing
        doc.nested.a.b[2] => ! doc.nested.a.b[2] is missing
        doc.status.code => ! doc.status.code is missing
        kafka.topic => "topic"
        kafka.partition => 3
        kafka.offset => 0
        kafka.timestamp => "2023-11-14T22:13:20Z"
        kafka.key => "user-7"
        kafka.headers["trace"] => "last"
        kafka.headers.trace => "last"
        kafka.headers["absent"] => ! kafka.headers["absent"] is missing
        kafka.headers.raw == b'\xff\x00' => true
        event_time => "2023-11-14T22:13:20Z"
        "#,
    );
    let bare = Input {
        timestamp: -1,
        ..Input::raw("no document")
    };
    for (text, expected) in [
        ("doc.a", "! doc.a is missing"),
        ("has(doc.a)", "false"),
        ("kafka.key", "! kafka.key is missing"),
        ("kafka.timestamp", "! kafka.timestamp is missing"),
        ("event_time", "! the event time is missing"),
        ("has(event_time) || has(kafka.timestamp)", "false"),
    ] {
        assert_eq!(evaluate(text, &bare), expected);
    }
}

#[test]
fn presence_is_asked_for() {
    check(
        r#"
        has(doc.status) => true
        has(doc["@timestamp"]) => true
        has(doc.none) => true
        has(doc.absent) => false
        has(doc.absent.deeper[1]) => false
        has(doc.nested.a.b[1].c) => true
        has(kafka.key) && has(kafka.headers["trace"]) && !has(kafka.headers.nothing) => true
        has(event_time) => true
        'status' in doc => true
        "absent" in doc => false
        'key' in doc.nested => true
        'y' in doc.nested => false
        default(doc.absent, 'x') => "x"
        default(doc.none, 'x') => "x"
        default(doc.status, 'x') => 503
        default(doc.absent, default(doc.none, 1 + 1)) => 2
        default(doc.status + 'x', 1) => ! a value is of a type that does not fit there
        "#,
    );
}

#[test]
fn values_compare_by_what_they_are() {
    check(
        r#"
        doc.status == 503 => true
        503 == doc.status => true
        500 <= doc.status => true
        600 < doc.status => false
        doc.status == 503.0 => true
        doc.took > 1 => true
        1 < doc.took && doc.took < 2u => true
        doc.big == 9007199254740993 => true
        doc.big == 9007199254740992.0 => false
        doc.big > 9007199254740992.0 => true
        doc.huge == 18446744073709551615u => true
        doc.huge > 9223372036854775807 => true
        doc.beyond > doc.huge => true
        doc.beyond == 18446744073709551616.0 => true
        doc.inf > doc.beyond => true
        doc.level == 'error' => true
        'error' == doc.level => true
        doc.level != "error" => false
        doc.level == 'erro' => false
        doc.level == 'errors' => false
        doc.escaped == 'q"\\é😀' => true
        doc.escaped != 'q"\\é😀' => false
        doc.escaped == 'q"\\é' => false
        doc.long == 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\n' => true
        doc.long == 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\\n' => false
        doc.empty == '' => true
        doc.level == 503 => false
        doc.status == '503' => false
        doc.status != '503' => true
        doc.none == null => true
        doc.none != null => false
        doc.level == null => false
        doc.ok == true => true
        doc.nested == 'x' => false
        doc.nested == null => false
        doc.nested == doc.tags => ! a value is of a type that does not fit there
        doc.level < 'f' => true
        doc.level < 5 => ! a value is of a type that does not fit there
        doc.none < 5 => ! a value is of a type that does not fit there
        doc.level < doc.status => ! a value is of a type that does not fit there
        doc.umlaut > 'grz' => true
        false < doc.ok => true
        kafka.key == b'user-7' => true
        event_time > timestamp('2023-11-14T22:13:19Z') => true
        event_time == timestamp('2023-11-14T23:13:20+01:00') => true
        timestamp(doc["@timestamp"]) > event_time => true
        timestamp(doc.level) > event_time => ! text is no time, or a time is outside of the years 0 to 9999
        doc.level in ['warn', 'error'] => true
        doc.level in ['warn'] => false
        doc.level in [] => false
        doc.status in [500, 503.0, 'x'] => true
        doc.none in [1, null] => true
        doc.absent in ['x'] => ! doc.absent is missing
        'a' in doc.tags => true
        3.0 in doc.tags => true
        'c' in doc.tags => false
        null in doc.tags => true
        1 in doc.nested => ! a value is of a type that does not fit there
        'a' in doc.level => ! a value is of a type that does not fit there
        "#,
    );
}

#[test]
fn conditions_absorb_what_does_not_matter() {
    check(
        r#"
        doc.absent == 1 && false => false
        false && doc.absent == 1 => false
        true && doc.absent == 1 => ! doc.absent is missing
        doc.absent == 1 && true => ! doc.absent is missing
        doc.absent == 1 || true => true
        true || doc.absent == 1 => true
        false || doc.absent == 1 => ! doc.absent is missing
        doc.absent == 1 || doc.level < 5 => ! doc.absent is missing
        !(doc.absent == 1) => ! doc.absent is missing
        !doc.ok => false
        !!doc.ok => true
        doc.level && true => ! a value is of a type that does not fit there
        doc.level && false => false
        doc.ok ? 'yes' : 'no' => "yes"
        doc.status < 500 ? 'good' : doc.status < 600 ? 'bad' : 'odd' => "bad"
        doc.absent ? 1 : 2 => ! doc.absent is missing
        doc.level ? 1 : 2 => ! a value is of a type that does not fit there
        (true ? doc.status : doc.absent) == 503 => true
        "#,
    );
}

#[test]
fn numbers_and_texts_are_computed() {
    check(
        r#"
        doc.status + 1 => 504
        doc.status - 1.5 => 501.5
        doc.status * 2 => 1006
        doc.status / 2 => 251
        doc.status / 2.0 => 251.5
        -doc.status % 10 => -3
        - -doc.status => 503
        doc.status / 0 => ! a number does not fit 64 bits, is not finite, or text is no number
        doc.took / 0.0 => ! a number does not fit 64 bits, is not finite, or text is no number
        doc.huge + 1 => ! a number does not fit 64 bits, is not finite, or text is no number
        doc.inf - 1 => ! a number does not fit 64 bits, is not finite, or text is no number
        -doc.huge => ! a number does not fit 64 bits, is not finite, or text is no number
        -9223372036854775808 => -9223372036854775808
        9223372036854775807 + doc.status => 9223372036854776310
        doc.level + '-' + doc.host => "error-web-01.example.org"
        doc.level + 1 => ! a value is of a type that does not fit there
        doc.took => 1.5
        1.0 => 1.0
        0x10 + 1 => 17
        "#,
    );
}

#[test]
fn functions_do_what_cel_says() {
    check(
        r#"
        doc.host.startsWith('web-') && doc.host.endsWith('.org') && doc.host.contains('example') => true
        doc.host.startsWith('eb') || doc.host.endsWith('.or') || doc.host.contains('exampel') => false
        doc.escaped.contains('é') => true
        doc.status.startsWith('5') => ! a value is of a type that does not fit there
        kafka.headers.raw.startsWith(b'\xff') => true
        kafka.headers.raw.contains('x') => ! a value is of a type that does not fit there
        doc.host.matches('^web-[0-9]+\\.') && matches(doc.host, 'org$') => true
        doc.host.matches(r'^web-\d+\.example') => true
        doc.host.matches('^org') => false
        doc.umlaut.matches('(?i)^GRÖ') ? 1 : 2 => 1
        doc.status.matches('5') => ! a value is of a type that does not fit there
        doc.absent.matches('5') => ! doc.absent is missing
        kafka.headers.raw.matches('x') => ! a value is of a type that does not fit there
        doc.host.substring(0, 3) => "web"
        doc.host.substring(15) => "org"
        doc.umlaut.substring(2, 4) => "öß"
        doc.escaped.substring(4) => "😀"
        doc.umlaut.substring(5) => ""
        doc.umlaut.substring(6) => ! a position is outside of the text
        doc.umlaut.substring(0, 6) => ! a position is outside of the text
        doc.umlaut.substring(3, 2) => ! a position is outside of the text
        doc.umlaut.substring(-1) => ! a position is outside of the text
        doc.umlaut.substring(doc.took) => ! a value is of a type that does not fit there
        size(doc.umlaut) => 5
        doc.umlaut.size() + size('') => 5
        size(doc.tags) => 4
        size(doc.nested) => 3
        size(kafka.headers.raw) => 2
        size(doc.status) => ! a value is of a type that does not fit there
        doc.level.upperAscii() => "ERROR"
        'GRÖSSE'.lowerAscii() => "grÖsse"
        doc.status.lowerAscii() => ! a value is of a type that does not fit there
        int(doc.text) + 1 => 43
        int(doc.took) => 1
        int(doc.huge) => 18446744073709551615
        int(doc.inf) => ! a number does not fit 64 bits, is not finite, or text is no number
        int(doc.level) => ! a number does not fit 64 bits, is not finite, or text is no number
        int('') => ! a number does not fit 64 bits, is not finite, or text is no number
        int(event_time) => 1700000000
        int(doc.ok) => ! a value is of a type that does not fit there
        double(doc.text) => 42.0
        double('1e3') => 1000.0
        double('NaN') => ! a number does not fit 64 bits, is not finite, or text is no number
        double(doc.status) => 503.0
        string(doc.status) => "503"
        string(doc.took) + string(1.0) => "1.51"
        string(doc.ok) => "true"
        string(doc.tags) => "[\"a\", \"b\", 3, null]"
        string(event_time) => "2023-11-14T22:13:20Z"
        string(kafka.headers.raw) => ! a value is of a type that does not fit there
        event_time.format('%Y.%m.%d') => "2023.11.14"
        timestamp(doc["@timestamp"]).format('%H:%M') => "07:08"
        timestamp('2024-01-31T00:00:00Z').format('%G-%V') => "2024-05"
        "#,
    );
}

#[test]
fn hostile_documents_are_read_like_others() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(127), "}".repeat(127));
    let path = ".a".repeat(40);
    assert_eq!(
        evaluate(
            &format!("size(doc{path}) == 1 && !has(doc{path}.b)"),
            &Input::document(&deep)
        ),
        "true"
    );
    for (document, text, expected) in [
        (r#"{"\u0061":1}"#, "doc.a", "1"),
        (r#"{"x":{"a":1,"a":2}}"#, "doc.x.a", "1"),
        (r#"{"x":"\ud800"}"#, "doc.x == '\u{FFFD}'", "true"),
        (r#"{"x":"\ud800"}"#, "size(doc.x)", "1"),
        (
            r#"{"x":"\ud800\udc00"}"#,
            "doc.x.substring(0, 1) == '\u{10000}'",
            "true",
        ),
        (r#"{"x":-0}"#, "doc.x == 0", "true"),
        (r#"{"x":1E+2}"#, "doc.x == 100", "true"),
        (r#"{"":{"":7}}"#, r#"doc[""][""]"#, "7"),
    ] {
        assert_eq!(
            evaluate(text, &Input::document(document)),
            expected,
            "{document}"
        );
    }
    let digits = format!(
        r#"{{"x":{},"y":0.{}1}}"#,
        "9".repeat(100_000),
        "0".repeat(100_000)
    );
    assert_eq!(
        evaluate("doc.x > 1e300 && doc.y < 1", &Input::document(&digits)),
        "true"
    );
}

/// Checks lines of `expression => problem`, for conditions.
fn check_problems(lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (text, expected) = line.split_once(" => ").expect("EXPRESSION => PROBLEM");
        assert_eq!(problem(text), expected, "{text}");
    }
}

fn problem(text: &str) -> String {
    let compiled = with_prepare(&mut Symbols::new(), |prepare| {
        Condition::compile(text, &path(), prepare)
    });
    let problem = compiled.err().unwrap_or_else(|| panic!("{text} is good"));
    problem.to_string()
}

#[test]
fn what_is_not_supported_is_a_problem_with_its_place() {
    check_problems(
        r#"
        dco.a == 1 => when: at character 1 of the expression: unknown name `dco`; expected doc.NAME, kafka.NAME or event_time; did you mean doc?
        doc.a == 1 && status > 2 => when: at character 15 of the expression: unknown name `status`; expected doc.NAME, kafka.NAME or event_time
        doc.a == kafka.tpoic => when: at character 10 of the expression: unknown name `kafka.tpoic`; expected one of kafka.topic, kafka.partition, kafka.offset, kafka.timestamp, kafka.key, kafka.headers; did you mean topic?
        doc => when: at character 1 of the expression: `doc` alone is not a value; expected doc.NAME or doc["NAME"]
        doc[0] => when: at character 1 of the expression: a document is an object, not a list; expected doc.NAME or doc["NAME"]
        doc[doc.name] => when: at character 5 of the expression: names and positions in brackets must be literals; expected a name such as ["@timestamp"], or a position from [0]
        doc.a[-1] => when: at character 8 of the expression: names and positions in brackets must be literals; expected a name such as ["@timestamp"], or a position from [0]
        kafka => when: at character 1 of the expression: `kafka` alone is not a value; expected one of kafka.topic, kafka.partition, kafka.offset, kafka.timestamp, kafka.key, kafka.headers
        kafka.headers => when: at character 1 of the expression: a header has a name and no parts; expected kafka.headers["NAME"]
        kafka.key.x == 1 => when: at character 1 of the expression: kafka.key has no parts
        event_time.year == 1 => when: at character 1 of the expression: event_time has no parts; expected event_time.format('%Y.%m.%d')
        size(doc.a).b => when: at character 1 of the expression: only fields have parts; expected doc.NAME, kafka.NAME or event_time
        doc.a.startWith('x') => when: at character 1 of the expression: unknown function `startWith`; expected one of has(doc.NAME), default(doc.NAME, VALUE), TIME.format('%Y.%m.%d'), TEXT.matches('PATTERN'), TEXT.startsWith(TEXT), TEXT.endsWith(TEXT), TEXT.contains(TEXT), TEXT.substring(START, END), TEXT.lowerAscii(), TEXT.upperAscii(), size(VALUE), int(VALUE), double(VALUE), string(VALUE), timestamp(TEXT); did you mean startsWith?
        doc.a.matches('x(') => when: at character 15 of the expression: at character 2 of the pattern: unclosed group; expected a regular expression as the Rust crate regex takes it, such as ^(?<host>\S+) (?<status>\d+)$
        doc.a.matches(doc.b) => when: at character 15 of the expression: the pattern is no literal; expected text such as r'^/api/v\d+/'
        doc.a.matches() => when: at character 1 of the expression: `matches` asks of one text whether one pattern is found in it; expected TEXT.matches('PATTERN')
        (1).matches('x') => when: at character 2 of the expression: an argument of `matches` is a number; expected text
        event_time > timestamp('x') => when: at character 14 of the expression: `x` is not a time; expected RFC 3339 with a zone, such as 2024-01-31T00:00:00Z
        event_time > '2024' => when: at character 1 of the expression: a time is compared with text; expected both sides of one type; timestamp('2024-01-31T00:00:00Z') is a time
        duration('1h') > 1 => when: at character 1 of the expression: `duration` is not supported: times cannot be computed with; expected a comparison with timestamp('2024-01-31T00:00:00Z')
        startsWith(doc.a, 'x') => when: at character 1 of the expression: `startsWith` is called in another way; expected TEXT.startsWith(TEXT)
        doc.a.startsWith() => when: at character 1 of the expression: `startsWith` is called in another way; expected TEXT.startsWith(TEXT)
        doc.a.startsWith(1) => when: at character 18 of the expression: an argument of `startsWith` is a number; expected text
        has(doc.a, doc.b) => when: at character 5 of the expression: `has` asks for one field; expected has(doc.NAME), has(doc["NAME"]), has(kafka.key) or the like
        has('a') => when: at character 5 of the expression: `has` asks for one field; expected has(doc.NAME), has(doc["NAME"]), has(kafka.key) or the like
        has() => when: at character 1 of the expression: `has` asks for one field; expected has(doc.NAME), has(doc["NAME"]), has(kafka.key) or the like
        default(doc.a) => when: at character 1 of the expression: `default` takes a value and what stands for it where it is missing; expected default(doc.NAME, VALUE)
        [1, 2] == doc.a => when: at character 1 of the expression: a list is not supported here; expected a list behind `in`, such as doc.level in ['warn', 'error']
        {'a': 1} == doc.a => when: at character 1 of the expression: a map is not supported; expected one value; bolts such as set_fields make objects
        Foo{a: 1} == doc.a => when: at character 4 of the expression: messages are not supported
        doc.a in [doc.b] => when: at character 11 of the expression: an element of the list is no literal; expected numbers and texts; compare with == for other values
        doc.a in 'abc' => when: at character 1 of the expression: what stands behind `in` is text; expected a list such as ['warn', 'error'], or a field with a list
        kafka.offset in ['a'] => when: at character 18 of the expression: a number is looked for in a list with text; expected a number
        doc.a in doc => when: at character 1 of the expression: the name before `in doc` is no literal; expected 'NAME' in doc, or has(doc.NAME)
        doc.list.exists(x, x == 1) => when: at character 1 of the expression: unknown function `exists`; expected one of has(doc.NAME), default(doc.NAME, VALUE), TIME.format('%Y.%m.%d'), TEXT.matches('PATTERN'), TEXT.startsWith(TEXT), TEXT.endsWith(TEXT), TEXT.contains(TEXT), TEXT.substring(START, END), TEXT.lowerAscii(), TEXT.upperAscii(), size(VALUE), int(VALUE), double(VALUE), string(VALUE), timestamp(TEXT)
        doc.a.format('%Y') == '1' => when: at character 1 of the expression: a field is no time by itself; expected event_time.format(...) or timestamp(doc.NAME).format(...)
        kafka.key.format('%Y') == '1' => when: at character 1 of the expression: what stands before `.format` is text; expected a time
        event_time.format('%E') == '1' => when: at character 19 of the expression: strftime formatting failed: found unrecognized specifier directive `E`; expected strftime's letters, such as %Y, %m, %d, %H, %G and %V
        event_time.format('yyyy.mm.dd') == '1' => when: at character 19 of the expression: `yyyy.mm.dd` has no conversion such as %Y; expected for example %Y.%m.%d
        event_time.format('YYYY-MM-dd_HH:mm') == '1' => when: at character 19 of the expression: `YYYY-MM-dd_HH:mm` has no conversion such as %Y; expected for example %Y-%m-%d_%H:%M
        event_time.format('%Y.MM.dd') == '1' => when: at character 19 of the expression: `%Y.MM.dd` mixes conversions such as %Y with letters of Java such as MM, which stand for themselves; expected for example %Y.%m.%d
        event_time.format('100%%') == '1' => when: at character 19 of the expression: `100%%` has no conversion such as %Y; expected for example %Y.%m.%d
        event_time.format(doc.p) == '1' => when: at character 19 of the expression: the pattern of a time is no literal; expected text such as '%Y.%m.%d'
        "#,
    );
}

#[test]
fn what_can_never_work_is_a_problem() {
    check_problems(
        r#"
        doc.a + 1 => when: at character 1 of the expression: the expression is a number; expected a condition
        'text' => when: at character 1 of the expression: the expression is text; expected a condition
        doc.a && 'x' => when: at character 10 of the expression: an operand of `&&` is text; expected a condition
        !kafka.offset => when: at character 2 of the expression: an operand of `!` is a number; expected a condition
        kafka.topic ? true : false => when: at character 1 of the expression: what stands before `?` is text; expected a condition
        kafka.topic == 1 => when: at character 1 of the expression: text is compared with a number; expected both sides of one type
        kafka.offset < 'a' => when: at character 1 of the expression: a number is compared with text; expected both sides of one type
        doc.a < null => when: at character 9 of the expression: an operand of `<` is null; expected a number, text or a time; null can only be == and !=
        1 + 'a' == 2 => when: at character 5 of the expression: an operand of `+` is text; expected a number
        doc.a * true == 2 => when: at character 9 of the expression: an operand of `*` is a condition; expected a number
        event_time - 5 > 1 => when: at character 1 of the expression: an operand of `-` is a time; expected a number
        true + true == 2 => when: at character 1 of the expression: an operand of `+` is a condition; expected a number or text
        -'x' == 1 => when: at character 2 of the expression: an operand of `-` is text; expected a number
        size(1) == 1 => when: at character 1 of the expression: `size` takes no such value: it is a number; expected text, a list or an object
        int(true) == 1 => when: at character 1 of the expression: `int` takes no such value: it is a condition; expected a number, text or a time
        "#,
    );
}

#[test]
fn bad_syntax_is_said_in_words() {
    // `=>` divides the lines of the table below.
    for (text, expected) in [
        (
            "doc.a => 1",
            "character 7 of the expression: `=>` is no operator; expected `>=`",
        ),
        (
            "doc.a >== 1",
            "character 7 of the expression: `>==` is no operator; expected `>=`",
        ),
        (
            "doc.a =< 1",
            "character 7 of the expression: `=<` is no operator; expected `<=`",
        ),
        (
            "doc.a<==1",
            "character 6 of the expression: `<==` is no operator; expected `<=`",
        ),
        (
            "doc.a === 1",
            "character 7 of the expression: `===` is no operator; expected `==`",
        ),
        (
            "doc.a !== 1",
            "character 7 of the expression: `!==` is no operator; expected `!=`",
        ),
    ] {
        assert_eq!(problem(text), format!("when: at {expected}"));
    }
    check_problems(
        r#"
        doc.a = 1 => when: at character 7 of the expression: `=` is no operator; expected `==`
        doc.a & doc.b => when: at character 7 of the expression: single `&` and `|` are no operators; expected `&&` and `||`
        doc.a == 'x => when: at character 10 of the expression: the string has no closing ', or an unknown escape; expected \n, \t, \\, \' and \" as escapes, or r'...' for text without any
        doc.a == => when: at character 9 of the expression: the expression ends too early; expected a value, such as doc.status, 500 or 'text'
        (doc.a == 1 => when: at character 12 of the expression: `)` is missing
        doc.a == 1) => when: at character 11 of the expression: `)` is not expected here; expected an operator or the end of the expression
        doc.a and doc.b => when: at character 7 of the expression: `and` is not expected here; expected `&&`
        doc.a == 1 or doc.b == 2 => when: at character 12 of the expression: `or` is not expected here; expected `||`
        not doc.a => when: at character 1 of the expression: `not` is not expected here; expected `!`
        doc.b && not doc.a => when: at character 10 of the expression: `not` is not expected here; expected `!`
        not (doc.a == 1) => when: at character 1 of the expression: `not` is not expected here; expected `!`
        doc.a not doc.b => when: at character 7 of the expression: `not` is not expected here; expected `!`
        && doc.a => when: at character 1 of the expression: `&&` is not expected here; expected a value, such as doc.status, 500 or 'text'
        doc.é == 1 => when: at character 5 of the expression: `é` has no meaning here
        for == 1 => when: at character 1 of the expression: `for` is a reserved word; expected doc["NAME"] for a field of this name
        'é' == doc.a ? 1 => when: at character 1 of the expression: the expression is incomplete; expected CONDITION ? VALUE : OTHER, with all of its parts
        doc.a == 9223372036854775808 => when: at character 10 of the expression: invalid int literal
        "#,
    );
    assert_eq!(
        problem(""),
        "when: at character 1 of the expression: the expression is empty; expected an expression such as doc.status >= 500"
    );
    assert_eq!(
        problem("doc.a == 1 &&\n  'é' == dco.b"),
        "when: at character 10 of line 2 of the expression: unknown name `dco`; expected doc.NAME, kafka.NAME or event_time; did you mean doc?"
    );
}

#[test]
fn expressions_have_bounds() {
    for (text, expected) in [
        (
            format!("doc.a == '{}'", "x".repeat(5_000)),
            "when: at character 1 of the expression: the expression has 5011 bytes; expected at most 4096",
        ),
        (
            format!("{}true{}", "(".repeat(2_000), ")".repeat(2_000)),
            "when: at character 26 of the expression: brackets or `? :` are nested too deep; expected at most 24 in each other",
        ),
        (
            format!("{}true", "true ? true : ".repeat(100)),
            "when: at character 351 of the expression: brackets or `? :` are nested too deep; expected at most 24 in each other",
        ),
        (
            format!("1{} == 1", "+1".repeat(2_000)),
            "when: at character 1 of the expression: the expression has too many operators in a row or in each other; expected at most 100",
        ),
        (
            format!("doc{} == 1", ".a".repeat(2_000)),
            "when: at character 1 of the expression: the expression has too many operators in a row or in each other; expected at most 100",
        ),
    ] {
        assert_eq!(problem(&text), expected);
    }
    // Conditions in a row are no deeper for being many.
    let many = vec!["doc.a == 1"; 250].join(" || ");
    assert_eq!(evaluate(&many, &Input::document(r#"{"a":1}"#)), "true");
    assert_eq!(evaluate(&many, &Input::document(r#"{"a":2}"#)), "false");
    let most = format!("{}true{}", "(".repeat(24), ")".repeat(24));
    assert_eq!(evaluate(&most, &record()), "true");
}

/// Pieces of expressions, and what does not belong there.
const TOKENS: [&str; 40] = [
    "doc", ".", "a", "[", "]", "(", ")", "{", "}", "'x'", "\"", "'", "\\", "&&", "||", "!", "-",
    "+", "*", "/", "%", "?", ":", ",", "==", "<", ">=", "in", "1", "2.5", "0x", "1e", "null",
    "has", "default", "é", "😀", "\n", "//", "`",
];

proptest! {
    /// Whatever text an option holds, it is compiled or a problem: no panic, no stack overflow.
    #[test]
    fn any_text_is_an_expression_or_a_problem(
        tokens in prop::collection::vec(prop::sample::select(&TOKENS[..]), 0..40),
        separator in prop::sample::select(&["", " "][..]),
        noise in ".{0,30}",
    ) {
        for text in [tokens.join(separator), noise] {
            let problem = with_prepare(&mut Symbols::new(), |prepare| {
                Condition::compile(&text, &path(), prepare).err()
            });
            if let Some(problem) = problem {
                let message = problem.to_string();
                prop_assert!(message.starts_with("when: at character "), "{}", message);
                prop_assert!(!message.contains("could not be read"), "{} of {:?}", message, text);
            }
        }
    }
}
