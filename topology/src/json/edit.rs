//! Changing what lies inside of raw values. What is around it is copied as it is written, but for white
//! space.

use super::Kind;
use super::text::write_string;
use super::walk::{for_each_element, for_each_member, is_key};

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

/// Lets `edit` change what lies at the end of a way of names into a raw value, and appends the whole with
/// what it made of that. An empty way means the value itself. A list on the way leads on through each of
/// its elements; what the way does not lead to is left alone.
///
/// `edit` gets a raw value and appends what is to stand in its place. Nothing is appended unless the
/// answer is [`Edit::Replace`].
pub fn edit_inside<N: AsRef<str>>(
    value: &[u8],
    way: &[N],
    out: &mut Vec<u8>,
    edit: &mut impl FnMut(&[u8], &mut Vec<u8>) -> Edit,
) -> Edit {
    let start = out.len();
    let edited = match (way.split_first(), Kind::of(value)) {
        (None, _) => edit(value, out),
        (Some((name, rest)), Kind::Object) => edit_member(value, name.as_ref(), rest, out, edit),
        (Some(_), Kind::Array) => edit_elements(value, way, out, edit),
        _ => Edit::Keep,
    };
    if edited != Edit::Replace {
        out.truncate(start);
    }
    edited
}

fn edit_member<N: AsRef<str>>(
    object: &[u8],
    name: &str,
    rest: &[N],
    out: &mut Vec<u8>,
    edit: &mut impl FnMut(&[u8], &mut Vec<u8>) -> Edit,
) -> Edit {
    let mut edited = Edit::Keep;
    out.push(b'{');
    for_each_member(object, |key, value| {
        let before = out.len();
        start_member(key, out);
        let of_value = match is_key(key, name) {
            true => edit_inside(value, rest, out, edit),
            false => Edit::Keep,
        };
        match of_value {
            Edit::Keep => return out.extend_from_slice(value),
            Edit::Remove => out.truncate(before),
            Edit::Replace => {}
        }
        edited = Edit::Replace;
    });
    out.push(b'}');
    edited
}

fn edit_elements<N: AsRef<str>>(
    array: &[u8],
    way: &[N],
    out: &mut Vec<u8>,
    edit: &mut impl FnMut(&[u8], &mut Vec<u8>) -> Edit,
) -> Edit {
    let mut edited = Edit::Keep;
    out.push(b'[');
    for_each_element(array, |element| {
        if out.last() != Some(&b'[') {
            out.push(b',');
        }
        match edit_inside(element, way, out, edit) {
            Edit::Replace => edited = Edit::Replace,
            _ => out.extend_from_slice(element),
        }
    });
    out.push(b']');
    edited
}

/// Appends a raw object in which the member at the end of a way of names is what `write` appends: in place
/// of one of its name, behind the others. Objects on the way that are missing or null are made.
///
/// `false` where something on the way, or the value itself, is no object: what was appended is meaningless
/// then.
pub fn set_inside<N: AsRef<str>>(
    value: Option<&[u8]>,
    way: &[N],
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) -> bool {
    let Some((name, rest)) = way.split_first() else {
        write(out);
        return true;
    };
    let object = value.filter(|value| Kind::of(value) != Kind::Null);
    let object = object.unwrap_or(b"{}");
    if Kind::of(object) != Kind::Object {
        return false;
    }
    let (name, mut replaced) = (name.as_ref(), None);
    out.push(b'{');
    for_each_member(object, |key, value| {
        if is_key(key, name) {
            replaced = Some(value);
            return;
        }
        start_member(key, out);
        out.extend_from_slice(value);
    });
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_string(out, name);
    out.push(b':');
    let is_set = set_inside(replaced, rest, out, write);
    out.push(b'}');
    is_set
}

/// Appends the raw key of a member to an object that was begun.
fn start_member(key: &[u8], out: &mut Vec<u8>) {
    // Nothing but the start of an object ends so, as a value is between.
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(key);
    out.extend_from_slice(b"\":");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn way(text: &str) -> Vec<&str> {
        text.split('.').filter(|name| !name.is_empty()).collect()
    }

    /// What becomes of it when numbers are removed and everything else at the end of the way is `"x"`.
    fn edited(value: &str, path: &str) -> String {
        let mut out = b"before ".to_vec();
        let edited =
            edit_inside(
                value.as_bytes(),
                &way(path),
                &mut out,
                &mut |value, out| match Kind::of(value) {
                    Kind::Number => Edit::Remove,
                    Kind::Bool => {
                        out.extend_from_slice(b"discarded");
                        Edit::Keep
                    }
                    _ => {
                        out.extend_from_slice(b"\"x\"");
                        Edit::Replace
                    }
                },
            );
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
            ("\"a\"", "", "\"x\""),
            ("1", "", "removed"),
            ("true", "", "kept"),
            (r#"{"a":1}"#, "a", "{}"),
            (r#"{"a":1,"b":2}"#, "a", r#"{"b":2}"#),
            (r#"{"b":2,"a":1}"#, "a", r#"{"b":2}"#),
            (r#"{"a":true}"#, "a", "kept"),
            (r#"{"b":1,"c":{"a":1}}"#, "a", "kept"),
            ("[]", "a", "kept"),
            ("7", "a", "kept"),
            (
                r#" {"a" : {"b" : "}", "c":[ 1, 2 ]} , "b": 0}"#.trim_start(),
                "a.b",
                r#"{"a":{"b":"x","c":[ 1, 2 ]},"b":0}"#,
            ),
            (
                r#"{"a":[{"b":"1"},{"c":2},[{"b":3}],4,{"b":true}]}"#,
                "a.b",
                r#"{"a":[{"b":"x"},{"c":2},[{}],4,{"b":true}]}"#,
            ),
            (r#"{"\u0061":"1","a":2}"#, "a", r#"{"\u0061":"x"}"#),
        ] {
            assert_eq!(edited(value, path), expected, "{path} in {value}");
        }
    }

    #[test]
    fn a_member_is_set_and_the_objects_around_it_are_made() {
        for (value, path, expected) in [
            (None, "", Some("9")),
            (None, "a.b", Some(r#"{"a":{"b":9}}"#)),
            (Some("null"), "a", Some(r#"{"a":9}"#)),
            (Some("{}"), "a", Some(r#"{"a":9}"#)),
            (Some(r#"{"b":1, "a":2}"#), "a", Some(r#"{"b":1,"a":9}"#)),
            (
                Some(r#"{"a":{"c":[1]},"d":2}"#),
                "a.b",
                Some(r#"{"d":2,"a":{"c":[1],"b":9}}"#),
            ),
            (Some(r#"{"\u0061":2}"#), "a", Some(r#"{"a":9}"#)),
            (Some("1"), "a", None),
            (Some(r#"{"a":"text"}"#), "a.b", None),
            (Some(r#"{"a":[{}]}"#), "a.b", None),
        ] {
            let mut out = Vec::new();
            let is_set = set_inside(value.map(str::as_bytes), &way(path), &mut out, |out| {
                out.push(b'9');
            });
            let found = is_set.then(|| String::from_utf8(out).expect("UTF-8"));
            assert_eq!(found.as_deref(), expected, "{path} in {value:?}");
        }
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

    proptest! {
        #[test]
        fn values_are_changed_as_a_tree_of_them_is(
            value in value(),
            way in prop::collection::vec(prop_oneof![Just("a"), Just("b")], 1..4),
        ) {
            let text = value.to_string();
            let mut out = Vec::new();
            let edited = edit_inside(text.as_bytes(), &way, &mut out, &mut |value, out| {
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
            by_serde(&mut expected, &way);
            let found = match edited {
                Edit::Replace => serde_json::from_slice(&out).expect("JSON"),
                _ => value,
            };
            prop_assert_eq!(found, expected, "{:?} in {}", way, text);
        }
    }
}
