//! Changing what lies inside of raw values. What is around it is copied as it is written.

use std::ops::Range;

use super::walk::skip_space;

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It stays as it is.
    Keep,
    /// It goes, with its name.
    Remove,
    /// Something else stands in its place.
    Replace,
}

/// Where in a raw value another one lies; see [`super::Ways::find`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    way: usize,
    /// The opening quote of its name; of the value itself, its start.
    member: usize,
    start: usize,
    pub(super) end: usize,
}

impl Place {
    pub(super) fn new(way: usize, member: usize, start: usize) -> Self {
        Self {
            way,
            member,
            start,
            end: start,
        }
    }

    /// The whole of a raw value, as the end of a way.
    #[inline]
    pub fn whole(way: usize, value: &[u8]) -> Self {
        Self {
            way,
            member: 0,
            start: 0,
            end: value.len(),
        }
    }

    /// The number of the way that leads there.
    #[inline]
    pub fn way(&self) -> usize {
        self.way
    }

    /// Its bytes in the raw value.
    #[inline]
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// Lets `edit` change what lies at places of a raw value, in their order, and appends the whole with what it
/// made of that. What is inside of a value that was replaced or removed is not asked for.
///
/// `edit` gets the number of a way and a raw value, and appends what is to stand in its place. Nothing is
/// appended unless the answer is [`Edit::Replace`].
pub fn edit_places(
    value: &[u8],
    places: &[Place],
    out: &mut Vec<u8>,
    mut edit: impl FnMut(usize, &[u8], &mut Vec<u8>) -> Edit,
) -> Edit {
    let before = out.len();
    // Growing bit by bit would copy a long value twice.
    out.reserve(value.len() + value.len() / 16);
    let (mut copied, mut edited) = (0, Edit::Keep);
    for place in places {
        if place.start < copied {
            continue;
        }
        out.extend_from_slice(&value[copied..place.start]);
        copied = place.start;
        let at = out.len();
        match edit(place.way, &value[place.range()], out) {
            Edit::Keep => {
                out.truncate(at);
                continue;
            }
            Edit::Replace => copied = place.end,
            Edit::Remove if place.member == place.start => {
                out.truncate(before);
                return Edit::Remove;
            }
            Edit::Remove => {
                out.truncate(at - (place.start - place.member));
                copied = end_without(value, place.end, out);
            }
        }
        edited = Edit::Replace;
    }
    match edited {
        Edit::Keep => out.truncate(before),
        _ => out.extend_from_slice(&value[copied..]),
    }
    edited
}

/// Where to go on behind a member that ended at `end` and was left out: one comma beside it goes, too.
fn end_without(value: &[u8], end: usize, out: &mut Vec<u8>) -> usize {
    let behind = skip_space(value, end);
    if value.get(behind) == Some(&b',') {
        return skip_space(value, behind + 1);
    }
    while out.last().is_some_and(u8::is_ascii_whitespace) {
        let _ = out.pop();
    }
    if out.last() == Some(&b',') {
        let _ = out.pop();
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::super::{Kind, Ways};
    use super::*;

    fn edit_ways(
        value: &str,
        ways: &[Vec<&str>],
        out: &mut Vec<u8>,
        edit: impl FnMut(usize, &[u8], &mut Vec<u8>) -> Edit,
    ) -> Edit {
        let mut all = Ways::default();
        for (number, way) in ways.iter().enumerate() {
            let _is_new = all.add(way, number);
        }
        let mut places = vec![Place::whole(99, b"before")];
        all.find(value.as_bytes(), &mut places);
        edit_places(value.as_bytes(), &places, out, edit)
    }

    /// What becomes of it when numbers are removed, true and false are kept, and everything else at the end
    /// of a way is its number as text.
    fn edited(value: &str, paths: &[&'static str]) -> String {
        let names = |path: &&'static str| path.split('.').filter(|name| !name.is_empty()).collect();
        let ways: Vec<Vec<&str>> = paths.iter().map(names).collect();
        let mut out = b"before ".to_vec();
        let edited = edit_ways(value, &ways, &mut out, |way, value, out| {
            match Kind::of(value) {
                Kind::Number => Edit::Remove,
                Kind::Bool => {
                    out.extend_from_slice(b"discarded");
                    Edit::Keep
                }
                _ => {
                    out.extend_from_slice(format!("\"{way}\"").as_bytes());
                    Edit::Replace
                }
            }
        });
        let out = String::from_utf8(out).expect("UTF-8");
        let out = out.strip_prefix("before ").expect("it is appended");
        assert_eq!(out.is_empty(), edited != Edit::Replace);
        match edited {
            Edit::Keep => "kept".to_owned(),
            Edit::Remove => "removed".to_owned(),
            Edit::Replace => out.to_owned(),
        }
    }

    #[test]
    fn what_lies_at_the_end_of_a_way_is_changed_and_nothing_else() {
        for (value, path, expected) in [
            ("\"a\"", "", "\"0\""),
            ("1", "", "removed"),
            ("true", "", "kept"),
            (r#"{"a":1}"#, "a", "{}"),
            (r#"{"a":1,"b":2}"#, "a", r#"{"b":2}"#),
            (r#"{"b":2 , "a":1}"#, "a", r#"{"b":2 }"#),
            (r#"{"a":true}"#, "a", "kept"),
            (r#"{"b":1,"c":{"a":1}}"#, "a", "kept"),
            ("[]", "a", "kept"),
            ("7", "a", "kept"),
            (
                r#"{"a" : {"b" : "}", "c":[ 1, 2 ]} , "b": 0}"#,
                "a.b",
                r#"{"a" : {"b" : "0", "c":[ 1, 2 ]} , "b": 0}"#,
            ),
            (
                r#"{"a":[{"b":"1"},{"c":2},[{"b":3}],4,{"b":true}]}"#,
                "a.b",
                r#"{"a":[{"b":"0"},{"c":2},[{}],4,{"b":true}]}"#,
            ),
            (r#"{"\u0061":"1","a":2}"#, "a", r#"{"\u0061":"0"}"#),
        ] {
            assert_eq!(edited(value, &[path]), expected, "{path} in {value}");
        }
    }

    #[test]
    fn many_places_are_changed_at_once() {
        for (value, paths, expected) in [
            (r#"{"a":1,"b":2,"c":3}"#, &["a", "b", "c"][..], "{}"),
            (
                r#"{"a":1, "b":true,"c":3}"#,
                &["a", "b", "c"],
                r#"{"b":true}"#,
            ),
            (
                r#"{"a":{"b":"x","c":{"d":1}},"e":["y"]}"#,
                &["e", "a.c.d", "a.b"],
                r#"{"a":{"b":"2","c":{}},"e":"0"}"#,
            ),
            // Inside of what is replaced, removed, and kept.
            (r#"{"a":{"b":"x"}}"#, &["a.b", "a"], r#"{"a":"1"}"#),
            (r#"{"a":[{"b":1}],"c":1}"#, &["", "a.b"], "\"0\""),
        ] {
            assert_eq!(edited(value, paths), expected, "{paths:?} in {value}");
        }
        let mut out = Vec::new();
        let ways = [vec!["a"], vec!["a", "b"]];
        let edited = edit_ways(
            r#"{"a":{"b":1,"c":2}}"#,
            &ways,
            &mut out,
            |way, _, _| match way {
                0 => Edit::Keep,
                _ => Edit::Remove,
            },
        );
        assert_eq!((edited, &*out), (Edit::Replace, &br#"{"a":{"c":2}}"#[..]));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a\"\\\\{},:]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let name = prop_oneof![Just("a".to_owned()), Just("b".to_owned()), "[\"\\\\ä]"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..4)
                    .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    /// Replaces strings at the end of the way, removes numbers.
    fn by_serde(value: &mut Value, way: &[&str]) {
        let Some((name, rest)) = way.split_first() else {
            if value.is_string() {
                *value = Value::from("x");
            }
            return;
        };
        match value {
            Value::Array(elements) => elements.iter_mut().for_each(|one| by_serde(one, way)),
            Value::Object(members) => {
                if rest.is_empty() && members.get(*name).is_some_and(Value::is_number) {
                    let _ = members.remove(*name);
                }
                if let Some(member) = members.get_mut(*name) {
                    by_serde(member, rest);
                }
            }
            _ => {}
        }
    }

    fn way() -> impl Strategy<Value = Vec<&'static str>> {
        prop::collection::vec(prop_oneof![Just("a"), Just("b")], 1..4)
    }

    proptest! {
        #[test]
        fn values_are_changed_as_a_tree_of_them_is(
            value in value(),
            ways in prop::collection::vec(way(), 1..5),
        ) {
            let text = value.to_string();
            let mut out = Vec::new();
            let edited = edit_ways(&text, &ways, &mut out, |_, value, out| {
                match Kind::of(value) {
                    Kind::Number => Edit::Remove,
                    Kind::String => {
                        out.extend_from_slice(b"\"x\"");
                        Edit::Replace
                    }
                    _ => Edit::Keep,
                }
            });
            let mut expected = value.clone();
            for way in &ways {
                by_serde(&mut expected, way);
            }
            let found = match edited {
                Edit::Replace => serde_json::from_slice(&out).expect("JSON"),
                _ => value,
            };
            prop_assert_eq!(found, expected, "{:?} in {}", ways, text);
        }

        #[test]
        fn members_are_set_as_in_a_tree(value in value(), ways in prop::collection::vec(way(), 1..4)) {
            let apart = |way: &[&str], others: &[Vec<&str>]| {
                others.iter().all(|other| !way.starts_with(other) && !other.starts_with(way))
            };
            let mut all = Ways::default();
            let mut expected = Some(value.clone());
            for (number, way) in ways.iter().enumerate() {
                if apart(way, &ways[..number]) {
                    prop_assert!(all.add(way, number));
                    expected = expected.and_then(|tree| set_by_serde(tree, way));
                }
            }
            let mut out = Vec::new();
            let text = value.to_string();
            let set = all.set(Some(text.as_bytes()), &mut out, &|_| Some(&b"[7]"[..]));
            let found = set.ok().map(|()| serde_json::from_slice(&out).expect("JSON"));
            prop_assert_eq!(found, expected, "{:?} in {}", ways, text);
        }
    }

    /// `None` where something on the way is no object.
    fn set_by_serde(value: Value, way: &[&str]) -> Option<Value> {
        let Some((name, rest)) = way.split_first() else {
            return Some(serde_json::json!([7]));
        };
        let mut members = match value {
            Value::Object(members) => members,
            Value::Null => Map::new(),
            _ => return None,
        };
        let before = members.remove(*name).unwrap_or_default();
        let _ = members.insert((*name).to_owned(), set_by_serde(before, rest)?);
        Some(members.into())
    }
}
