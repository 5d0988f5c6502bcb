//! What lines become, compared with the crate `csv`, and lines that do not fit.

use isobar_topology::testing::Input;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::TYPE;
use crate::one_record::{check_problems, run};

fn options() -> Value {
    json!({"columns": ["a", "", "b", "c"]})
}

fn check(options: Value, line: impl AsRef<[u8]>, expected: Value) {
    let shown = String::from_utf8_lossy(line.as_ref()).into_owned();
    let (document, _) = run(&TYPE, &options, Input::raw(line)).expect(&shown);
    assert_eq!(document, expected, "{shown}");
}

fn check_error(line: &str, at: usize, expected: &str) {
    let error = run(&TYPE, &options(), Input::raw(line)).expect_err(line);
    let text = format!("invalid_csv: invalid line of CSV at byte {at}: expected {expected}");
    assert_eq!(error, text, "{line}");
}

#[test]
fn values_become_fields() {
    check(
        options(),
        "1,left out, x ,\"say \"\"hi\"\", now\"\r\n",
        json!({"a": "1", "b": " x ", "c": "say \"hi\", now"}),
    );
    check(options(), ",,\"\",", json!({"b": ""}));
    check(options(), ",,,", json!({}));
    check(
        options(),
        b"a\"b,,\"two\nlines\",\xFF",
        json!({"a": "a\"b", "b": "two\nlines", "c": "\u{FFFD}"}),
    );
    check(
        json!({"columns": ["[\"log.level\"]", "x"], "delimiter": "\t"}),
        "info\t1,5",
        json!({"log.level": "info", "x": "1,5"}),
    );
}

#[test]
fn lines_that_do_not_fit_are_rejected_with_the_position() {
    for (line, at, expected) in [
        ("", 0, "4 values, one for each column, found 1"),
        ("1,2,3", 5, "4 values, one for each column, found 3"),
        ("1,2,3,4,", 8, "4 values, one for each column, found more"),
        ("1,\"2,3,4", 8, "\" after a quoted value"),
        ("1,\"2\"\"", 6, "\" after a quoted value"),
        (
            "1,\"2\" ,3,4",
            5,
            "the delimiter or the end after a quoted value",
        ),
    ] {
        check_error(line, at, expected);
    }
}

#[test]
fn a_line_in_a_field_sets_the_others_beside_it() {
    let options = json!({"columns": ["a", "line"], "field": "line"});
    let input = Input::document(r#"{"line":"1,\"2\"","b":3}"#);
    let (document, _) = run(&TYPE, &options, input).expect("fits");
    assert_eq!(document, json!({"a": "1", "line": "2", "b": 3}));
}

#[test]
fn bad_options_are_problems() {
    check_problems(
        &TYPE,
        &json!({"columns": ["a", "b", "a"], "delimiter": "||"}),
        &[
            "bolts.bolt.columns[2]: the column `a` is there twice; expected each name once, or an empty name for a column to leave out",
            "bolts.bolt.delimiter: `||` is not a delimiter; expected one character of ASCII other than a quote or a line end, such as ;",
        ],
    );
    check_problems(
        &TYPE,
        &json!({"columns": [""]}),
        &[
            "bolts.bolt.columns: no column is named; expected the names of the columns, such as [time, host]",
        ],
    );
}

proptest! {
    #[test]
    fn a_line_is_read_as_it_was_written(values in prop::array::uniform3("[^\0]{0,12}"), quote: bool) {
        let style = if quote { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new().quote_style(style).from_writer(Vec::new());
        writer.write_record(&values).expect("writes to memory");
        let line = String::from_utf8(writer.into_inner().expect("flushes")).expect("UTF-8");
        let mut expected = json!({});
        for (name, value) in ["a", "b", "c"].iter().zip(&values) {
            if quote || !value.is_empty() {
                expected[*name] = json!(value);
            }
        }
        let options = json!({"columns": ["a", "b", "c"]});
        let (document, _) = run(&TYPE, &options, Input::raw(&line)).expect(&line);
        prop_assert_eq!(document, expected, "{}", line);
    }

    #[test]
    fn arbitrary_bytes_give_a_document_or_a_reason(line in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..30),
        "[a,\"\n]{0,20}".prop_map(String::into_bytes),
    ]) {
        let _ = run(&TYPE, &options(), Input::raw(line));
    }
}

#[test]
fn a_field_that_does_not_fit_is_kept_where_that_is_asked_for() {
    let options = json!({"columns": ["a", "b"], "field": "line", "on_invalid": "keep"});
    for document in [
        json!({"line": "1,2,3", "a": 1}),
        json!({"line": 1}),
        json!({}),
    ] {
        let found = run(&TYPE, &options, Input::document(&document.to_string()));
        assert_eq!(found.map(|found| found.0), Ok(document));
    }
}
