//! Ways of names into raw values: finding what lies at their ends, all in one pass, and setting it.

use std::borrow::Cow;

use super::text::write_string;
use super::walk::{for_each_member, skip_space, skip_string};
use super::{Kind, Place, member, skip_value, unescape};

/// Ways of names into values, each with a number. Those that begin with the same names are gone together.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// The number of the way that ends here.
    end: Option<usize>,
    further: Vec<(String, Ways)>,
}

impl Ways {
    /// Adds a way; one without names means the value itself. `false`, with nothing changed, when it is
    /// there already.
    pub fn add<N: AsRef<str>>(&mut self, way: &[N], number: usize) -> bool {
        let Some((name, rest)) = way.split_first() else {
            let before = self.end;
            self.end = before.or(Some(number));
            return before.is_none();
        };
        let name = name.as_ref();
        let known = self.further.iter().position(|(known, _)| known == name);
        let at = known.unwrap_or_else(|| {
            self.further.push((name.to_owned(), Ways::default()));
            self.further.len() - 1
        });
        self.further[at].1.add(rest, number)
    }

    /// The number of the way to the value itself, where there is no other.
    #[inline]
    pub fn alone(&self) -> Option<usize> {
        self.end.filter(|_| self.further.is_empty())
    }

    /// Finds what lies at the ends of the ways into a raw value, in the order of the text: what is inside
    /// of something else that is found comes behind that. A list on a way leads on through each of its
    /// elements. Whatever the ways, the text is gone through once. `places` is overwritten.
    pub fn find(&self, value: &[u8], places: &mut Vec<Place>) {
        places.clear();
        let _end = self.walk(value, 0, 0, places);
    }

    /// Looks at the value at `at`, whose name begins at `member`; returns where it ends.
    fn walk(&self, text: &[u8], at: usize, member: usize, places: &mut Vec<Place>) -> usize {
        let place = self.end.map(|way| {
            places.push(Place::new(way, member, at));
            places.len() - 1
        });
        let end = self.walk_inside(text, at, places);
        if let Some(place) = place {
            places[place].end = end;
        }
        end
    }

    fn walk_inside(&self, text: &[u8], at: usize, places: &mut Vec<Place>) -> usize {
        match text.get(at) {
            Some(b'{') if !self.further.is_empty() => self.walk_members(text, at, places),
            Some(b'[') if !self.further.is_empty() => self.walk_elements(text, at, places),
            _ => skip_value(text, at).min(text.len()),
        }
    }

    fn walk_members(&self, text: &[u8], object: usize, places: &mut Vec<Place>) -> usize {
        let mut at = skip_space(text, object + 1);
        while text.get(at) == Some(&b'"') {
            let member = at;
            at = skip_string(text, member);
            let key = text.get(member + 1..at.saturating_sub(1));
            let next = self.behind(key.unwrap_or_default());
            at = skip_space(text, skip_space(text, at) + 1).min(text.len());
            at = match next {
                Some(next) => next.walk(text, at, member, places),
                None => skip_value(text, at),
            };
            at = skip_space(text, at);
            if text.get(at) != Some(&b',') {
                break;
            }
            at = skip_space(text, at + 1);
        }
        (at + 1).min(text.len())
    }

    fn walk_elements(&self, text: &[u8], array: usize, places: &mut Vec<Place>) -> usize {
        let mut at = skip_space(text, array + 1);
        while at < text.len() && text[at] != b']' {
            at = skip_space(text, self.walk_inside(text, at, places));
            if text.get(at) != Some(&b',') {
                break;
            }
            at = skip_space(text, at + 1);
        }
        (at + 1).min(text.len())
    }

    /// The ways behind a raw key.
    fn behind(&self, key: &[u8]) -> Option<&Ways> {
        let key = match key.contains(&b'\\') {
            true => Cow::Owned(unescape(key).into_owned().into_bytes()),
            false => Cow::Borrowed(key),
        };
        let mut further = self.further.iter();
        let found = further.find(|(name, _)| name.as_bytes() == &*key);
        found.map(|(_, ways)| ways)
    }

    /// Appends a raw value in which `of` says what is at the ends of the ways, by their numbers: raw values
    /// in place of members of their names, behind the others. A way of which it says nothing is left alone.
    /// Objects on a way that are missing or null are made. The ends of ways must not be on others.
    ///
    /// Fails with the number of a way on which something is no object, as is a list: what was appended is
    /// meaningless then.
    pub fn set<'v>(
        &self,
        value: Option<&[u8]>,
        out: &mut Vec<u8>,
        of: &impl Fn(usize) -> Option<&'v [u8]>,
    ) -> Result<(), usize> {
        if let Some(new) = self.end.and_then(of) {
            out.extend_from_slice(new);
            return Ok(());
        }
        let object = value.filter(|value| Kind::of(value) != Kind::Null);
        let object = object.unwrap_or(b"{}");
        if Kind::of(object) != Kind::Object {
            return Err(self.first(of).unwrap_or_default());
        }
        out.push(b'{');
        for_each_member(object, |key, value| {
            if self.behind(key).is_none_or(|next| next.first(of).is_none()) {
                start_member(out);
                out.push(b'"');
                out.extend_from_slice(key);
                out.extend_from_slice(b"\":");
                out.extend_from_slice(value);
            }
        });
        for (name, next) in &self.further {
            if next.first(of).is_some() {
                start_member(out);
                write_string(out, name);
                out.push(b':');
                let before = match next.further.is_empty() {
                    true => None,
                    false => member(object, name),
                };
                next.set(before, out, of)?;
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// The first way of which `of` says something.
    pub fn first<'v>(&self, of: &impl Fn(usize) -> Option<&'v [u8]>) -> Option<usize> {
        let end = self.end.filter(|way| of(*way).is_some());
        end.or_else(|| self.further.iter().find_map(|(_, next)| next.first(of)))
    }
}

/// Parts a member from the one before it in an object that was begun.
fn start_member(out: &mut Vec<u8>) {
    // Nothing but the start of an object ends so, as a value is between.
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_set_and_the_objects_around_them_are_made() {
        for (value, ways, expected) in [
            (None, &[""][..], Ok("0")),
            (None, &["a.b"], Ok(r#"{"a":{"b":0}}"#)),
            (Some("null"), &["a"], Ok(r#"{"a":0}"#)),
            (Some("{}"), &["a"], Ok(r#"{"a":0}"#)),
            (Some(r#"{"b":1, "a":2}"#), &["a"], Ok(r#"{"b":1,"a":0}"#)),
            (
                Some(r#"{"a":{"c":[1]},"d":2}"#),
                &["a.b"],
                Ok(r#"{"d":2,"a":{"c":[1],"b":0}}"#),
            ),
            (Some(r#"{"\u0061":2}"#), &["a"], Ok(r#"{"a":0}"#)),
            (
                Some(r#"{"a":{"x":5,"c":6},"e":7,"f":8}"#),
                &["a.b", "e", "a.x", "g.h.i", "g.h.j"],
                Ok(r#"{"f":8,"a":{"c":6,"b":0,"x":2},"e":1,"g":{"h":{"i":3,"j":4}}}"#),
            ),
            (Some("1"), &["a"], Err(0)),
            (Some(r#"{"a":"text"}"#), &["b", "a.b"], Err(1)),
            (Some(r#"{"a":[{}]}"#), &["a.b"], Err(0)),
        ] {
            let mut all = Ways::default();
            for (number, way) in ways.iter().enumerate() {
                let names: Vec<&str> = way.split('.').filter(|name| !name.is_empty()).collect();
                assert!(all.add(&names, number), "{way}");
            }
            let numbers: Vec<String> = (0..ways.len()).map(|number| number.to_string()).collect();
            let mut out = Vec::new();
            let set = all.set(value.map(str::as_bytes), &mut out, &|number| {
                Some(numbers[number].as_bytes())
            });
            let found = set.map(|()| String::from_utf8(out).expect("UTF-8"));
            let expected = expected.map(str::to_owned);
            assert_eq!(found, expected, "{ways:?} in {value:?}");
        }
    }

    #[test]
    fn a_way_of_which_nothing_is_said_is_left_alone() {
        let mut ways = Ways::default();
        for (number, way) in [&["a", "b"][..], &["a", "c"], &["d"], &["e", "f"]]
            .iter()
            .enumerate()
        {
            assert!(ways.add(way, number));
        }
        let mut out = Vec::new();
        let only = |number: usize| (number == 1).then_some(&b"9"[..]);
        let value = br#"{"a":{"b":1},"d":2,"e":"text"}"#;
        assert_eq!(ways.set(Some(value), &mut out, &only), Ok(()));
        let set = br#"{"d":2,"e":"text","a":{"b":1,"c":9}}"#;
        assert_eq!(
            out.escape_ascii().to_string(),
            set.escape_ascii().to_string()
        );
    }

    #[test]
    fn a_way_counts_once() {
        let mut ways = Ways::default();
        assert!(ways.add(&["a"], 0));
        assert!(!ways.add(&["a"], 1));
        assert!(ways.add(&["a", "b"], 1));
        assert_eq!(ways.alone(), None);
        let mut whole = Ways::default();
        assert!(whole.add::<&str>(&[], 7));
        assert_eq!(whole.alone(), Some(7));
    }
}
