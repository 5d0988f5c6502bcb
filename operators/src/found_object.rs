//! Where an object goes that a parser found in the text of a field: in place of the text, or member by
//! member into the document.

use std::borrow::Cow;
use std::collections::HashSet;

use isobar_topology::json;
use isobar_topology::spec::{Component, Problem, Problems};
use isobar_topology::{Prepare, RecordMut, Rejection};

use crate::field_path::{EditSpace, FieldPath};

/// Puts objects that were found into documents; one for each lane.
#[derive(Clone, Debug)]
pub(crate) struct FoundObject {
    field: FieldPath,
    merges: bool,
    space: EditSpace,
    /// A document without the field, and the same with the members of the object.
    document: Vec<u8>,
    merged: Vec<u8>,
}

impl FoundObject {
    /// Reads the options `field` and `merge` of a parser; `None` where it reads the record's value.
    pub(crate) fn new(
        field: Option<&str>,
        merge: bool,
        component: &Component,
        prepare: &mut Prepare<'_>,
    ) -> Result<Option<Self>, Problems> {
        let Some(field) = field else {
            let text = "`merge` is given without `field`";
            let problem = Problem::new(component.path.key("merge"), text);
            return match merge {
                false => Ok(None),
                true => Err(problem.expected("`field`, the field with the text").into()),
            };
        };
        Ok(Some(Self {
            field: FieldPath::new(field, &component.path.key("field"), prepare)?,
            merges: merge,
            space: EditSpace::default(),
            document: Vec::new(),
            merged: Vec::new(),
        }))
    }

    pub(crate) fn field(&self) -> &FieldPath {
        &self.field
    }

    /// Whether members of objects become fields of the document.
    pub(crate) fn merges(&self) -> bool {
        self.merges
    }

    /// How often it copies what a record has into the batch: to merge, also what is left around the field.
    pub(crate) fn copies(&self) -> usize {
        1 + usize::from(self.merges)
    }

    /// Puts a raw object, whose names do not repeat, where it belongs.
    pub(crate) fn place(
        &mut self,
        record: &mut RecordMut<'_>,
        object: &[u8],
    ) -> Result<(), Rejection> {
        if !self.merges {
            return self.field.set(record, &mut self.space, object);
        }
        self.field.remove(record, &mut self.space);
        self.document.clear();
        let _has_document = record.view().write(&mut self.document);
        // Not one by one: hostile documents may have many.
        let mut names: HashSet<Cow<'_, str>> = HashSet::new();
        json::for_each_member(object, |name, _| {
            let _is_new = names.insert(json::unescape(name));
        });
        let merged = &mut self.merged;
        merged.clear();
        merged.push(b'{');
        json::for_each_member(&self.document, |name, value| {
            if !names.contains(&*json::unescape(name)) {
                add(name, value, merged);
            }
        });
        json::for_each_member(object, |name, value| add(name, value, merged));
        merged.push(b'}');
        let adopted = record.adopt_object(merged);
        adopted.map_err(|error| Rejection::new("invalid_json", error.to_string()))
    }
}

/// Appends a raw member to an object that was begun.
fn add(name: &[u8], value: &[u8], object: &mut Vec<u8>) {
    if object.len() > 1 {
        object.push(b',');
    }
    object.push(b'"');
    object.extend_from_slice(name);
    object.extend_from_slice(b"\":");
    object.extend_from_slice(value);
}
