//! Fields as options of bolts name them: those of the document itself, and those inside of others.

use isobar_topology::json::{self, Edit};
use isobar_topology::spec::{Path, Problem};
use isobar_topology::{NoDocument, Prepare, Record, RecordMut, Rejection, Symbol};

/// A field: `host`, `user.name` for one inside of another, `["log.level"]` for a name with a dot in it.
#[derive(Clone, Debug)]
pub(crate) struct FieldPath {
    /// As it is written.
    written: String,
    outer: Symbol,
    /// The way from the top-level field to one inside of it.
    inner: Vec<String>,
}

impl FieldPath {
    /// Reads what an option at `path` holds.
    pub(crate) fn new(
        written: &str,
        path: &Path,
        prepare: &mut Prepare<'_>,
    ) -> Result<Self, Problem> {
        let names = names(written).ok_or_else(|| {
            Problem::new(path.clone(), format!("`{written}` is not a field")).expected(
                "a name such as host, user.name for a field inside of another, or [\"user.name\"] for a name with a dot in it",
            )
        })?;
        if let Some(rest) = written.strip_prefix("doc.") {
            let problem = format!("`{written}` begins as in an expression");
            return Err(Problem::new(path.clone(), problem).expected(format!(
                "`{rest}`, or [\"doc\"].{rest} for what is inside of a field `doc`"
            )));
        }
        let (outer, inner) = names.split_first().expect("there is a name");
        Ok(Self {
            written: written.to_owned(),
            outer: prepare.symbol(outer, path)?,
            inner: inner.iter().map(|name| (*name).to_owned()).collect(),
        })
    }

    /// As [`FieldPath::new`], and for `user.name` also the field that has this whole name: Elasticsearch
    /// takes both for the same.
    pub(crate) fn as_indexed(
        written: &str,
        path: &Path,
        prepare: &mut Prepare<'_>,
    ) -> Result<Vec<Self>, Problem> {
        let mut all = vec![Self::new(written, path, prepare)?];
        if written.contains('.') && !written.contains("[\"") {
            all.push(Self::new(&format!("[\"{written}\"]"), path, prepare)?);
        }
        Ok(all)
    }

    /// As it is written.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }

    /// The field itself, where it is one of the document.
    pub(crate) fn top_level(&self) -> Option<Symbol> {
        self.inner.is_empty().then_some(self.outer)
    }

    /// Whether it is the other one, or one of the two is inside of the other.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let mut both = self.inner.iter().zip(&other.inner);
        self.outer == other.outer && both.all(|(one, other)| one == other)
    }

    /// The raw value.
    #[inline]
    pub(crate) fn get<'a>(&self, record: Record<'a>) -> Option<&'a [u8]> {
        let mut inner = self.inner.iter();
        let outer = record.get(self.outer)?;
        inner.try_fold(outer, |raw, name| json::member(raw, name))
    }

    /// Lets `edit` change the field, as [`json::edit_inside`] has it: where a list is on the way, in each
    /// of its elements. Whether anything was changed. `buffer` is overwritten.
    pub(crate) fn edit(
        &self,
        record: &mut RecordMut<'_>,
        buffer: &mut Vec<u8>,
        mut edit: impl FnMut(&[u8], &mut Vec<u8>) -> Edit,
    ) -> Result<bool, NoDocument> {
        buffer.clear();
        let edited = match record.view().get(self.outer) {
            Some(raw) => json::edit_inside(raw, &self.inner, buffer, &mut edit),
            None => Edit::Keep,
        };
        match edited {
            Edit::Keep => Ok(false),
            Edit::Remove => Ok(record.remove(self.outer)),
            Edit::Replace => record.set(self.outer, buffer).map(|()| true),
        }
    }

    /// Removes the field; whether it was there. `buffer` is overwritten.
    pub(crate) fn remove(&self, record: &mut RecordMut<'_>, buffer: &mut Vec<u8>) -> bool {
        if self.inner.is_empty() {
            return record.remove(self.outer);
        }
        self.edit(record, buffer, |_, _| Edit::Remove)
            .expect("what has a field has a document")
    }

    /// Sets the field to a raw value; objects around it that are missing are made. `buffer` is
    /// overwritten.
    pub(crate) fn set(
        &self,
        record: &mut RecordMut<'_>,
        buffer: &mut Vec<u8>,
        value: &[u8],
    ) -> Result<(), Rejection> {
        if self.inner.is_empty() {
            return record.set(self.outer, value).map_err(no_document);
        }
        buffer.clear();
        let write = |out: &mut Vec<u8>| out.extend_from_slice(value);
        match json::set_inside(record.view().get(self.outer), &self.inner, buffer, write) {
            true => record.set(self.outer, buffer).map_err(no_document),
            false => Err(self.not_an_object()),
        }
    }

    #[cold]
    fn not_an_object(&self) -> Rejection {
        let reason = format!(
            "The field {} cannot be set: what is around it is no object",
            self.written
        );
        Rejection::new("not_an_object", reason)
    }
}

/// However it is written.
impl PartialEq for FieldPath {
    fn eq(&self, other: &Self) -> bool {
        self.outer == other.outer && self.inner == other.inner
    }
}

#[cold]
pub(crate) fn no_document(error: NoDocument) -> Rejection {
    Rejection::new("no_document", error.to_string())
}

/// The names on the way to a field: each bare, or in brackets and quotes. `None` where one is missing.
fn names(written: &str) -> Option<Vec<&str>> {
    let (mut names, mut rest) = (Vec::new(), written);
    loop {
        let name = match rest.strip_prefix("[\"") {
            Some(quoted) => {
                let (name, behind) = quoted.split_once("\"]")?;
                rest = behind;
                name
            }
            None => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let name = &rest[..end];
                rest = &rest[end..];
                Some(name).filter(|name| !name.is_empty())?
            }
        };
        names.push(name);
        rest = match rest.strip_prefix('.') {
            Some(next) => next,
            None if rest.is_empty() => return Some(names),
            None if rest.starts_with("[\"") => rest,
            None => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::Symbols;
    use isobar_topology::testing::{Harness, Input, with_prepare};

    use super::*;

    fn path(written: &str, symbols: &mut Symbols) -> Result<FieldPath, String> {
        let path = Path::root().key("o");
        let read = with_prepare(symbols, |prepare| FieldPath::new(written, &path, prepare));
        read.map_err(|problem| problem.to_string())
    }

    /// A document after a change of one field, and what the change says.
    fn changed<T>(
        written: &str,
        document: &str,
        change: impl FnOnce(&FieldPath, &mut RecordMut<'_>, &mut Vec<u8>) -> T,
    ) -> (T, String) {
        let mut symbols = Symbols::new();
        let field = path(written, &mut symbols).expect("a field");
        let mut batch = Harness::new(symbols).batch(&[Input::document(document)]);
        let changed = change(&field, &mut batch.record_mut(0), &mut b"before".to_vec());
        let mut out = Vec::new();
        assert!(batch.record(0).write(&mut out));
        (changed, String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn a_field_is_found_by_the_way_to_it() {
        for (written, value) in [
            ("a", Some("{\"b\":{\"c.d\":1}}")),
            ("a.b", Some("{\"c.d\":1}")),
            ("a.b[\"c.d\"]", Some("1")),
            ("[\"a\"].b.[\"c.d\"]", Some("1")),
            ("a.b.c.d", None),
            ("[\"a.b\"]", Some("2")),
            ("a.x", None),
            ("list.x", None),
        ] {
            let document = r#"{"a":{"b":{"c.d":1}},"a.b":2,"list":[{"x":3}]}"#;
            let get = |field: &FieldPath, record: &mut RecordMut<'_>, _: &mut Vec<u8>| {
                let raw = field.get(record.view());
                raw.map(|raw| String::from_utf8_lossy(raw).into_owned())
            };
            let (found, _) = changed(written, document, get);
            assert_eq!(found.as_deref(), value, "{written}");
        }
    }

    #[test]
    fn what_is_no_field_is_a_problem() {
        for written in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a[0]",
            "a[\"b\"]c",
            "[\"a\"",
            "[\"a\"]b",
        ] {
            let problem = path(written, &mut Symbols::new()).expect_err(written);
            let expected = format!("o: `{written}` is not a field; expected a name such as host, ");
            assert!(problem.starts_with(&expected), "{problem}");
        }
        assert_eq!(
            path("doc.user.name", &mut Symbols::new()).expect_err("of an expression"),
            "o: `doc.user.name` begins as in an expression; expected `user.name`, or [\"doc\"].user.name for what is inside of a field `doc`"
        );
        assert!(path("doc", &mut Symbols::new()).is_ok());
        assert!(path("[\"doc\"].a", &mut Symbols::new()).is_ok());
    }

    #[test]
    fn a_field_is_set_with_the_objects_around_it() {
        for (written, document, expected) in [
            ("a", r#"{"a":1,"b":2}"#, Ok(r#"{"b":2,"a":9}"#)),
            ("a.b", r#"{"b":2}"#, Ok(r#"{"b":2,"a":{"b":9}}"#)),
            ("a.b", r#"{"a":{"c":1}}"#, Ok(r#"{"a":{"c":1,"b":9}}"#)),
            ("a.b", r#"{"a":null}"#, Ok(r#"{"a":{"b":9}}"#)),
            (
                "a.b",
                r#"{"a":"text"}"#,
                Err("not_an_object: The field a.b cannot be set: what is around it is no object"),
            ),
        ] {
            let set = |field: &FieldPath, record: &mut RecordMut<'_>, buffer: &mut Vec<u8>| {
                field.set(record, buffer, b"9")
            };
            let (set, after) = changed(written, document, set);
            let found = set.map(|()| after.as_str());
            let found =
                found.map_err(|rejection| format!("{}: {}", rejection.class, rejection.reason));
            assert_eq!(found, expected.map_err(str::to_owned), "{written}");
        }
    }

    #[test]
    fn a_field_is_removed_where_it_is() {
        for (written, document, expected) in [
            ("a", r#"{"a":1,"b":2}"#, (true, r#"{"b":2}"#)),
            ("a.b", r#"{"a":{"b":1,"c":2}}"#, (true, r#"{"a":{"c":2}}"#)),
            ("a.b", r#"{"a": {"c":2}}"#, (false, r#"{"a": {"c":2}}"#)),
            ("x.b", r#"{"a":1}"#, (false, r#"{"a":1}"#)),
        ] {
            let (removed, after) = changed(written, document, FieldPath::remove);
            assert_eq!((removed, after.as_str()), expected, "{written}");
        }
    }
}
