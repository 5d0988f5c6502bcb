//! What a record says, and that edits of ranges of bytes mean what edits of a map mean.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::arena::ArenaBuilder;
use crate::partition::Partition;

/// A record with this payload, in a topology that mentions `a` to `d` and `_origin`.
struct Fixture {
    arena: Arena,
    symbols: Symbols,
    row: Row,
    slots: Vec<Slot>,
    scratch: Vec<u8>,
}

impl Fixture {
    fn new(payload: &str) -> Self {
        let mut symbols = Symbols::new();
        for name in ["a", "b", "c", "d", "_origin"] {
            let _ = symbols.intern(name);
        }
        let mut builder = ArenaBuilder::new(Partition::for_tests("t", 0), 2, 0);
        // A first record, so that positions in the arena differ from positions in the payload.
        builder.push(0, 0, None, Some(b"before"), std::iter::empty());
        builder.push(1, 0, None, Some(payload.as_bytes()), std::iter::empty());
        Self {
            arena: builder.finish(),
            slots: vec![Slot::default(); symbols.len()],
            symbols,
            row: Row::new(1),
            scratch: b"before".to_vec(),
        }
    }

    fn parsed(payload: &str) -> Self {
        let mut fixture = Self::new(payload);
        fixture.edit().adopt_json().expect("valid");
        fixture
    }

    fn edit(&mut self) -> RecordMut<'_> {
        RecordMut {
            arena: &self.arena,
            symbols: &self.symbols,
            row: &mut self.row,
            slots: &mut self.slots,
            scratch: &mut self.scratch,
        }
    }

    fn symbol(&self, name: &str) -> Symbol {
        self.symbols.lookup(name.as_bytes()).expect("interned")
    }

    fn written(&mut self) -> String {
        let mut out = Vec::new();
        assert!(self.edit().view().write(&mut out));
        String::from_utf8(out).expect("UTF-8")
    }
}

#[test]
fn an_untouched_document_is_written_as_it_was_read() {
    let text = r#"{"x": [1, 2], "a":"\u0041" }"#;
    let mut fixture = Fixture::parsed(text);
    assert_eq!(fixture.written(), r#"{"x": [1, 2], "a":"\u0041"}"#);
    let a = fixture.symbol("a");
    assert_eq!(fixture.edit().view().get(a), Some(&br#""\u0041""#[..]));
}

#[test]
fn the_origin_replaces_a_field_of_its_name() {
    for (text, expected) in [
        ("{}", r#"{"_origin":1}"#),
        (r#"{"_origin":{"x":2}}"#, r#"{"_origin":1}"#),
        (
            r#"{"a":1, "_origin":2 , "b":3}"#,
            r#"{"a":1,  "b":3,"_origin":1}"#,
        ),
        (r#"{"a":1,"_origin":2}"#, r#"{"a":1,"_origin":1}"#),
    ] {
        let mut fixture = Fixture::parsed(text);
        let origin = fixture.symbol("_origin");
        let mut out = Vec::new();
        let append = |out: &mut Vec<u8>| out.extend_from_slice(br#""_origin":1"#);
        assert!(
            fixture
                .edit()
                .view()
                .write_with(&mut out, Some(origin), append)
        );
        assert_eq!(String::from_utf8(out).as_deref(), Ok(expected));
    }
}

#[test]
fn a_record_without_document_takes_no_fields_and_writes_nothing() {
    let mut fixture = Fixture::new("plain text");
    let a = fixture.symbol("a");
    assert_eq!(fixture.edit().set_string(a, "x"), Err(NoDocument));
    assert!(!fixture.edit().view().write(&mut Vec::new()));
    assert!(fixture.edit().adopt_json().is_err());
    assert!(!fixture.edit().view().has_document());
}

#[test]
fn a_part_of_a_text_is_the_record_and_stays_that_when_it_starts_over() {
    let mut fixture = Fixture::new("x;{\"a\":1};y");
    fixture.edit().set_event_time(5);
    fixture.edit().narrow(2..11);
    fixture.edit().narrow(0..7);
    let payload = |fixture: &mut Fixture| {
        let record = fixture.edit();
        let view = record.view();
        let text =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned();
        (
            text(view.payload()),
            text(view.whole_payload()),
            view.event_time(),
        )
    };
    let part = ("{\"a\":1}".to_owned(), "x;{\"a\":1};y".to_owned(), Some(0));
    assert_eq!(payload(&mut fixture), part);
    fixture.edit().adopt_json().expect("a part of it is valid");
    assert_eq!(fixture.written(), "{\"a\":1}");
    fixture.row = fixture.row.start_over();
    assert_eq!(payload(&mut fixture), part);
    assert!(!fixture.edit().view().has_document());
    assert_eq!(size_of::<Row>(), 48, "each record in flight has one");
}

#[test]
fn another_text_than_the_payload_can_be_the_document() {
    let mut fixture = Fixture::parsed(r#"{"a":{"b":1,"x":2}}"#);
    let (a, b) = (fixture.symbol("a"), fixture.symbol("b"));
    let inner = fixture.edit().view().get(a).expect("it is there").to_vec();
    fixture.edit().adopt_object(&inner).expect("an object");
    assert_eq!(fixture.edit().view().get(b), Some(&b"1"[..]));
    fixture.edit().set(b, b"3").expect("a document");
    assert_eq!(fixture.written(), r#"{"x":2,"b":3}"#);
    assert!(fixture.edit().adopt_object(b"[]").is_err());
    assert!(!fixture.edit().view().has_document());
}

#[test]
fn a_parser_writes_its_own_document() {
    let mut fixture = Fixture::new("x");
    let (a, b) = (fixture.symbol("a"), fixture.symbol("b"));
    fixture.edit().write_document(|doc| {
        doc.string(a, b"q\"\xFF");
        doc.other("free", |out| out.extend_from_slice(b"[1]"));
        doc.other("b", |out| out.extend_from_slice(b"2"));
    });
    assert_eq!(
        fixture.written(),
        "{\"a\":\"q\\\"\u{FFFD}\",\"free\":[1],\"b\":2}"
    );
    assert!(fixture.edit().rename(b, a));
    assert_eq!(fixture.written(), r#"{"free":[1],"a":2}"#);
}

#[derive(Clone, Debug)]
enum Edit {
    Set(usize, i64),
    Remove(usize),
    Rename(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (0usize..4, any::<i64>()).prop_map(|(at, value)| Edit::Set(at, value)),
        (0usize..4).prop_map(Edit::Remove),
        (0usize..4, 0usize..4).prop_map(|(from, to)| Edit::Rename(from, to)),
    ]
}

proptest! {
    /// Edits on ranges mean what edits on a map mean, and the text written never repeats a key.
    #[test]
    fn edits_mean_what_they_mean_on_a_map(
        keys in prop::sample::subsequence(vec!["a", "x", "b", "y", "c", "d"], 0..=6).prop_shuffle(),
        pretty: bool,
        edits in prop::collection::vec(edit(), 0..12),
    ) {
        let names = ["a", "b", "c", "d"];
        let mut model = Map::new();
        for key in keys {
            let _ = model.insert(key.to_owned(), json!({"of": key, "list": [1, "}"]}));
        }
        let text = if pretty {
            serde_json::to_string_pretty(&model)
        } else {
            serde_json::to_string(&model)
        }.expect("a map");
        let mut fixture = Fixture::parsed(&text);
        for edit in edits {
            match edit {
                Edit::Set(at, value) => {
                    let symbol = fixture.symbol(names[at]);
                    fixture.edit().set(symbol, value.to_string().as_bytes()).expect("a document");
                    let _ = model.insert(names[at].to_owned(), Value::from(value));
                }
                Edit::Remove(at) => {
                    let symbol = fixture.symbol(names[at]);
                    let was_there = fixture.edit().remove(symbol);
                    prop_assert_eq!(was_there, model.remove(names[at]).is_some());
                }
                Edit::Rename(from, to) => {
                    let (source, target) = (fixture.symbol(names[from]), fixture.symbol(names[to]));
                    let was_there = fixture.edit().rename(source, target);
                    prop_assert_eq!(was_there, model.contains_key(names[from]));
                    if let Some(value) = model.remove(names[from]) {
                        let _ = model.insert(names[to].to_owned(), value);
                    }
                }
            }
        }
        let written = fixture.written();
        let _ = crate::json::scan_object(written.as_bytes(), |_| {})
            .map_err(|e| TestCaseError::fail(format!("{e} in {written}")))?;
        let back: Map<String, Value> = serde_json::from_str(&written).expect("checked");
        prop_assert_eq!(back, model);
        for name in names {
            let symbol = fixture.symbol(name);
            let view = fixture.edit();
            let value = view.view().get(symbol).map(|raw| serde_json::from_slice::<Value>(raw).ok());
            prop_assert_eq!(value.flatten(), serde_json::from_str::<Map<String, Value>>(&written).expect("checked").get(name).cloned());
        }
    }
}
