//! Fields that are edited together. What is inside of one top-level field is looked for in one pass, and that
//! field is set once, however many of them there are: a copy for each would cost its length as often.

use isobar_topology::json::{Edit, Place, Ways};
use isobar_topology::{NoDocument, RecordMut, Rejection, Symbol};

use crate::field_path::{EditSpace, FieldPath, apply, edit_inside, no_document, set_inside};

/// Fields, each with a number, by the top-level fields that they are or are inside of.
#[derive(Clone, Debug, Default)]
pub(crate) struct FieldPaths {
    /// Top-level fields inside of which there is none.
    alone: Vec<(Symbol, usize)>,
    /// All others, with the ways into them.
    inside: Vec<(Symbol, Ways)>,
}

impl FieldPaths {
    /// Adds a field; what is there already stays under its own number.
    pub(crate) fn add(&mut self, field: &FieldPath, number: usize) {
        let (symbol, way) = field.way();
        let alone = self.alone.iter().position(|(known, _)| *known == symbol);
        let inside = self.inside.iter().position(|(known, _)| *known == symbol);
        let at = match (alone, inside) {
            (Some(_), _) if way.is_empty() => return,
            (None, None) if way.is_empty() => return self.alone.push((symbol, number)),
            (_, Some(at)) => at,
            (alone, None) => {
                let mut ways = Ways::default();
                if let Some(at) = alone {
                    let _is_new = ways.add::<&str>(&[], self.alone.remove(at).1);
                }
                self.inside.push((symbol, ways));
                self.inside.len() - 1
            }
        };
        let _is_new = self.inside[at].1.add(way, number);
    }

    /// Lets `edit` change the fields, each by its number: where a list is on the way, in each of its
    /// elements. Of two fields one inside of the other the outer one comes first; what is inside of it is
    /// left when it is kept.
    #[inline]
    pub(crate) fn edit(
        &self,
        record: &mut RecordMut<'_>,
        space: &mut EditSpace,
        mut edit: impl FnMut(usize, &[u8], &mut Vec<u8>) -> Edit,
    ) -> Result<(), NoDocument> {
        for (symbol, number) in &self.alone {
            if let Some(raw) = record.view().get(*symbol) {
                space.value.clear();
                let edited = edit(*number, raw, &mut space.value);
                apply(edited, *symbol, record, &space.value)?;
            }
        }
        for (symbol, ways) in &self.inside {
            edit_inside(ways, *symbol, record, space, &mut edit)?;
        }
        space.let_go();
        Ok(())
    }

    /// Whether there is none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.alone.is_empty() && self.inside.is_empty()
    }

    /// Lets `change` append what is to stand in place of the value of each top-level field in which there
    /// are any of the fields, by its raw value and where they are in it; it says whether anything is to.
    pub(crate) fn change(
        &self,
        record: &mut RecordMut<'_>,
        space: &mut EditSpace,
        mut change: impl FnMut(&[u8], &[Place], &mut Vec<u8>) -> bool,
    ) -> Result<(), NoDocument> {
        for (symbol, number) in &self.alone {
            if let Some(raw) = record.view().get(*symbol) {
                space.value.clear();
                if change(raw, &[Place::whole(*number, raw)], &mut space.value) {
                    record.set(*symbol, &space.value)?;
                }
            }
        }
        for (symbol, ways) in &self.inside {
            let Some(raw) = record.view().get(*symbol) else {
                continue;
            };
            ways.find(raw, &mut space.places);
            space.value.clear();
            if !space.places.is_empty() && change(raw, &space.places, &mut space.value) {
                record.set(*symbol, &space.value)?;
            }
        }
        space.let_go();
        Ok(())
    }

    /// Removes the fields.
    #[inline]
    pub(crate) fn remove(&self, record: &mut RecordMut<'_>, space: &mut EditSpace) {
        for (symbol, _) in &self.alone {
            let _was_there = record.remove(*symbol);
        }
        for (symbol, ways) in &self.inside {
            edit_inside(ways, *symbol, record, space, |_, _, _| Edit::Remove)
                .expect("what has a field has a document");
        }
    }

    /// Removes those of the fields that `is_one` says, by their numbers.
    pub(crate) fn remove_some(
        &self,
        record: &mut RecordMut<'_>,
        space: &mut EditSpace,
        is_one: impl Fn(usize) -> bool,
    ) {
        let edit = |number, _: &[u8], _: &mut Vec<u8>| match is_one(number) {
            true => Edit::Remove,
            false => Edit::Keep,
        };
        self.edit(record, space, edit)
            .expect("what has a field has a document");
    }

    /// Sets the fields of which `of` says something, by their numbers, to raw values; objects around them
    /// that are missing are made. None of them may be inside of another. `fields` knows the field of a
    /// number.
    pub(crate) fn set<'f, 'v>(
        &self,
        record: &mut RecordMut<'_>,
        space: &mut EditSpace,
        of: impl Fn(usize) -> Option<&'v [u8]>,
        fields: impl Fn(usize) -> &'f FieldPath,
    ) -> Result<(), Rejection> {
        for (symbol, number) in &self.alone {
            if let Some(value) = of(*number) {
                record.set(*symbol, value).map_err(no_document)?;
            }
        }
        for (symbol, ways) in &self.inside {
            set_inside(ways, *symbol, record, space, &of, &fields)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::spec::Path;
    use isobar_topology::testing::{Harness, Input, with_prepare};
    use isobar_topology::{Batch, Symbols};

    use super::*;

    /// Fields and a batch of one document.
    fn of(written: &[&str], document: &str) -> (Vec<FieldPath>, FieldPaths, Batch) {
        let mut symbols = Symbols::new();
        let read = |written: &&str| {
            let path = Path::root().key("o");
            with_prepare(&mut symbols, |prepare| {
                FieldPath::new(written, &path, prepare)
            })
        };
        let fields: Result<Vec<FieldPath>, _> = written.iter().map(read).collect();
        let fields = fields.expect("fields");
        let mut all = FieldPaths::default();
        for (number, field) in fields.iter().enumerate() {
            all.add(field, number);
        }
        let batch = Harness::new(symbols).batch(&[Input::document(document)]);
        (fields, all, batch)
    }

    fn written(batch: &Batch) -> String {
        let mut out = Vec::new();
        assert!(batch.record(0).write(&mut out));
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn many_edits_of_one_large_field_take_its_length_once() {
        let names: Vec<String> = (0..20).map(|number| format!("payload.f{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let members: Vec<String> = (0..20)
            .map(|number| format!("\"f{number}\":\"1\""))
            .collect();
        let text = "x".repeat(20_000_000);
        let document = format!(
            "{{\"payload\":{{\"text\":\"{text}\",{}}}}}",
            members.join(",")
        );
        let (fields, all, mut batch) = of(&names, &document);
        let before = batch.size();
        let mut space = EditSpace::default();
        let edit = |number: usize, _: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(number.to_string().as_bytes());
            Edit::Replace
        };
        all.edit(&mut batch.record_mut(0), &mut space, edit)
            .expect("a document");
        assert!(batch.size() - before <= document.len(), "one copy");
        assert_eq!(space.value.capacity(), 0, "a large value is let go of");
        let after = written(&batch);
        assert!(after.ends_with("\"f18\":18,\"f19\":19}}"));

        let before = batch.size();
        let one = |_: usize| Some(&b"1"[..]);
        all.set(&mut batch.record_mut(0), &mut space, one, |number| {
            &fields[number]
        })
        .expect("an object");
        assert!(batch.size() - before <= document.len(), "one copy");
        let before = batch.size();
        all.remove(&mut batch.record_mut(0), &mut space);
        assert!(batch.size() - before <= document.len(), "one copy");
        assert!(written(&batch) == format!("{{\"payload\":{{\"text\":\"{text}\"}}}}"));

        // Nothing is there any more, and nothing is copied.
        let before = batch.size();
        all.remove(&mut batch.record_mut(0), &mut space);
        all.edit(&mut batch.record_mut(0), &mut space, edit)
            .expect("a document");
        assert_eq!(batch.size(), before);
    }

    #[test]
    fn fields_beside_and_inside_of_each_other_are_edited_once_each() {
        let (_, all, mut batch) = of(
            &["a.b", "c", "a", "a.d", "[\"a\"].b"],
            r#"{"a":{"b":1,"d":[2]},"c":3}"#,
        );
        let mut seen = Vec::new();
        let edit = |number, raw: &[u8], out: &mut Vec<u8>| {
            seen.push((number, raw.escape_ascii().to_string()));
            out.extend_from_slice(b"0");
            match number {
                2 => Edit::Keep,
                _ => Edit::Replace,
            }
        };
        all.edit(&mut batch.record_mut(0), &mut EditSpace::default(), edit)
            .expect("a document");
        let expected = [
            (1, "3"),
            (2, r#"{\"b\":1,\"d\":[2]}"#),
            (0, "1"),
            (3, "[2]"),
        ];
        assert_eq!(seen, expected.map(|(number, raw)| (number, raw.to_owned())));
        assert_eq!(written(&batch), r#"{"a":{"b":0,"d":0},"c":0}"#);
        all.remove_some(
            &mut batch.record_mut(0),
            &mut EditSpace::default(),
            |number| number < 2,
        );
        assert_eq!(written(&batch), r#"{"a":{"d":0}}"#);
    }
}
