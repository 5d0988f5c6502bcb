//! Fields as options of bolts name them: those of the document itself, and those inside of others.

use isobar_topology::json::{self, Edit, Place, Ways};
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
    /// The same, as edits go it.
    ways: Ways,
}

/// What values are edited in; kept for its memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct EditSpace {
    pub(crate) places: Vec<Place>,
    pub(crate) value: Vec<u8>,
    new: Vec<u8>,
}

impl EditSpace {
    /// Bytes that are kept of a value for the next one.
    const KEPT: usize = 1 << 20;

    /// Places that are kept room for.
    const PLACES_KEPT: usize = 32 << 10;

    /// Lets go of the memory of a value that was larger than most are.
    #[inline]
    pub(crate) fn let_go(&mut self) {
        if self.places.capacity() > Self::PLACES_KEPT {
            self.places = Vec::new();
        }
        if self.value.capacity() > Self::KEPT {
            self.value = Vec::new();
        }
        if self.new.capacity() > Self::KEPT {
            self.new = Vec::new();
        }
    }
}

/// Most names of a field that is looked for in all the forms that there are of it, which are 2 to the power
/// of one less. Deeper than that nobody writes logs.
const NAMES_MAX: usize = 8;

impl FieldPath {
    /// Reads what an option at `path` holds.
    pub(crate) fn new(
        written: &str,
        path: &Path,
        prepare: &mut Prepare<'_>,
    ) -> Result<Self, Problem> {
        let names = checked_names(written, path)?;
        Self::of_names(written, names[0], &names[1..], path, prepare)
    }

    /// As [`FieldPath::new`], and for `a.b.c` also the fields that have dots of it in their names, such as
    /// `b.c` inside of `a`: Elasticsearch takes all of them for the same.
    pub(crate) fn as_indexed(
        written: &str,
        path: &Path,
        prepare: &mut Prepare<'_>,
    ) -> Result<Vec<Self>, Problem> {
        let (names, in_all_forms) = indexed_names(written, path)?;
        if !in_all_forms {
            return Ok(vec![Self::of_names(
                written,
                names[0],
                &names[1..],
                path,
                prepare,
            )?]);
        }
        if names.len() > NAMES_MAX {
            let text = format!("`{written}` has {} names", names.len());
            return Err(Problem::new(path.clone(), text).expected(format!(
                "at most {NAMES_MAX}, or some in brackets, as in a[\"b.c\"], which say where the dots are"
            )));
        }
        // A bit for each dot: whether it is one in a name.
        let forms = (0..1_u32 << (names.len() - 1)).map(|dots| {
            let mut joined: Vec<String> = Vec::new();
            for (at, name) in names.iter().enumerate() {
                match joined.last_mut() {
                    Some(last) if dots >> (at - 1) & 1 == 1 => {
                        last.push('.');
                        last.push_str(name);
                    }
                    _ => joined.push((*name).to_owned()),
                }
            }
            let (outer, inner) = joined.split_first().expect("there is a name");
            Self::of_names(written, outer, inner, path, prepare)
        });
        forms.collect()
    }

    /// Whether it is one, as [`FieldPath::new`] has it.
    pub(crate) fn check(written: &str, path: &Path) -> Result<(), Problem> {
        checked_names(written, path).map(|_| ())
    }

    /// The top-level field of this name, whatever there is in it.
    pub(crate) fn named(
        name: &str,
        path: &Path,
        prepare: &mut Prepare<'_>,
    ) -> Result<Self, Problem> {
        Self::of_names::<&str>(name, name, &[], path, prepare)
    }

    fn of_names<N: AsRef<str>>(
        written: &str,
        outer: &str,
        inner: &[N],
        path: &Path,
        prepare: &mut Prepare<'_>,
    ) -> Result<Self, Problem> {
        let mut ways = Ways::default();
        let _is_new = ways.add(inner, 0);
        Ok(Self {
            written: written.to_owned(),
            outer: prepare.symbol(outer, path)?,
            inner: inner.iter().map(|name| name.as_ref().to_owned()).collect(),
            ways,
        })
    }

    /// As it is written.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }

    /// The top-level field that it is, or is inside of, and the way from there.
    pub(crate) fn way(&self) -> (Symbol, &[String]) {
        (self.outer, &self.inner)
    }

    /// The field itself, where it is one of the document.
    #[inline]
    pub(crate) fn top_level(&self) -> Option<Symbol> {
        self.inner.is_empty().then_some(self.outer)
    }

    /// Whether it is the other one, or one of the two is inside of the other.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let mut both = self.inner.iter().zip(&other.inner);
        self.outer == other.outer && both.all(|(one, other)| one == other)
    }

    /// Whether it is inside of the other one, and not that one itself.
    pub(crate) fn is_inside(&self, other: &Self) -> bool {
        self.overlaps(other) && self.inner.len() > other.inner.len()
    }

    /// The raw value.
    #[inline]
    pub(crate) fn get<'a>(&self, record: Record<'a>) -> Option<&'a [u8]> {
        let mut inner = self.inner.iter();
        let outer = record.get(self.outer)?;
        inner.try_fold(outer, |raw, name| json::member(raw, name))
    }

    /// Removes the field, where a list is on the way from each of its elements.
    pub(crate) fn remove(&self, record: &mut RecordMut<'_>, space: &mut EditSpace) {
        if self.inner.is_empty() {
            let _was_there = record.remove(self.outer);
            return;
        }
        edit_inside(&self.ways, self.outer, record, space, |_, _, _| {
            Edit::Remove
        })
        .expect("what has a field has a document");
    }

    /// Sets the field to a raw value; objects around it that are missing are made.
    pub(crate) fn set(
        &self,
        record: &mut RecordMut<'_>,
        space: &mut EditSpace,
        value: &[u8],
    ) -> Result<(), Rejection> {
        if self.inner.is_empty() {
            return record.set(self.outer, value).map_err(no_document);
        }
        set_inside(
            &self.ways,
            self.outer,
            record,
            space,
            |_| Some(value),
            |_| self,
        )
    }

    /// As [`FieldPath::set`], to what `write` appends as raw JSON.
    pub(crate) fn set_with(
        &self,
        record: &mut RecordMut<'_>,
        space: &mut EditSpace,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Rejection> {
        if self.inner.is_empty() {
            return record.set_with(self.outer, write).map_err(no_document);
        }
        let mut new = std::mem::take(&mut space.new);
        new.clear();
        write(&mut new);
        let set = self.set(record, space, &new);
        space.new = new;
        space.let_go();
        set
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

/// Lets `edit` change what is at the ends of ways into a top-level field, which is set once.
pub(crate) fn edit_inside(
    ways: &Ways,
    outer: Symbol,
    record: &mut RecordMut<'_>,
    space: &mut EditSpace,
    edit: impl FnMut(usize, &[u8], &mut Vec<u8>) -> Edit,
) -> Result<(), NoDocument> {
    let Some(raw) = record.view().get(outer) else {
        return Ok(());
    };
    ways.find(raw, &mut space.places);
    // Most often there is nothing, and nothing to be copied then.
    if space.places.is_empty() {
        return Ok(());
    }
    space.value.clear();
    let edited = json::edit_places(raw, &space.places, &mut space.value, edit);
    let applied = apply(edited, outer, record, &space.value);
    space.let_go();
    applied
}

/// Does what was decided about a top-level field.
#[inline]
pub(crate) fn apply(
    edit: Edit,
    outer: Symbol,
    record: &mut RecordMut<'_>,
    value: &[u8],
) -> Result<(), NoDocument> {
    match edit {
        Edit::Keep => {}
        Edit::Remove => {
            let _was_there = record.remove(outer);
        }
        Edit::Replace => record.set(outer, value)?,
    }
    Ok(())
}

/// Sets what is at the ends of ways into a top-level field to what `of` says of their numbers; `fields`
/// knows the field of a number.
pub(crate) fn set_inside<'f, 'v>(
    ways: &Ways,
    outer: Symbol,
    record: &mut RecordMut<'_>,
    space: &mut EditSpace,
    of: impl Fn(usize) -> Option<&'v [u8]>,
    fields: impl Fn(usize) -> &'f FieldPath,
) -> Result<(), Rejection> {
    if ways.first(&of).is_none() {
        return Ok(());
    }
    space.value.clear();
    ways.set(record.view().get(outer), &mut space.value, &of)
        .map_err(|number| fields(number).not_an_object())?;
    let set = record.set(outer, &space.value).map_err(no_document);
    space.let_go();
    set
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

/// The names of a field that is looked for as it is indexed, and whether in all the forms that there are of
/// it: brackets say just one. Refuses what is meant for many fields: it would find none.
pub(crate) fn indexed_names<'w>(
    written: &'w str,
    path: &Path,
) -> Result<(Vec<&'w str>, bool), Problem> {
    let names = checked_names(written, path)?;
    if written.contains("[\"") {
        return Ok((names, false));
    }
    if written.contains('*') {
        let text = format!("`{written}` does not stand for many fields");
        return Err(Problem::new(path.clone(), text).expected(format!(
            "the name of each field, or [\"{written}\"] for one that has a star in its name"
        )));
    }
    Ok((names, true))
}

/// The names on the way to a field that an option at `path` holds, at least one.
fn checked_names<'w>(written: &'w str, path: &Path) -> Result<Vec<&'w str>, Problem> {
    let names = names(written).ok_or_else(|| {
        Problem::new(path.clone(), format!("`{written}` is not a field")).expected(
            "a name such as host, user.name for a field inside of another, or [\"user.name\"] for a name with a dot in it",
        )
    })?;
    let behind = written.strip_prefix("doc");
    if let Some(behind) = behind.filter(|behind| behind.starts_with(['.', '['])) {
        let rest = behind.strip_prefix('.').unwrap_or(behind);
        let text = format!("`{written}` begins as in an expression");
        return Err(Problem::new(path.clone(), text).expected(format!(
            "`{rest}`, or [\"doc\"]{behind} for what is inside of a field `doc`"
        )));
    }
    Ok(names)
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
        change: impl FnOnce(&FieldPath, &mut RecordMut<'_>, &mut EditSpace) -> T,
    ) -> (T, String) {
        let mut symbols = Symbols::new();
        let field = path(written, &mut symbols).expect("a field");
        let mut batch = Harness::new(symbols).batch(&[Input::document(document)]);
        let mut space = EditSpace {
            value: b"before".to_vec(),
            ..EditSpace::default()
        };
        let changed = change(&field, &mut batch.record_mut(0), &mut space);
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
            let get = |field: &FieldPath, record: &mut RecordMut<'_>, _: &mut EditSpace| {
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
        for (written, expected) in [
            (
                "doc[\"user.name\"]",
                "`[\"user.name\"]`, or [\"doc\"][\"user.name\"]",
            ),
            ("doc.[\"a\"]", "`[\"a\"]`, or [\"doc\"].[\"a\"]"),
        ] {
            assert_eq!(
                path(written, &mut Symbols::new()).expect_err("of an expression"),
                format!(
                    "o: `{written}` begins as in an expression; expected {expected} for what is inside of a field `doc`"
                )
            );
        }
        for written in ["doc", "[\"doc\"].a", "[\"doc\"][\"a\"]", "document.a"] {
            assert!(path(written, &mut Symbols::new()).is_ok(), "{written}");
        }
    }

    #[test]
    fn a_field_has_a_form_for_each_way_to_take_its_dots() {
        let forms = |written: &str| {
            let mut symbols = Symbols::new();
            let path = Path::root().key("o");
            let read = with_prepare(&mut symbols, |prepare| {
                FieldPath::as_indexed(written, &path, prepare)
            });
            let read = read.map_err(|problem| problem.to_string())?;
            let form = |field: FieldPath| {
                let (outer, inner) = field.way();
                format!("{} {}", symbols.name(outer), inner.join(" "))
            };
            Ok::<Vec<String>, String>(read.into_iter().map(form).collect())
        };
        assert_eq!(forms("a").expect("good"), ["a "]);
        assert_eq!(
            forms("a.b.c").expect("good"),
            ["a b c", "a.b c", "a b.c", "a.b.c "]
        );
        assert_eq!(forms("a[\"b.c\"].d").expect("good"), ["a b.c d"]);
        assert_eq!(forms("a.b.c.d.e.f.g.h").expect("good").len(), 128);
        assert_eq!(
            forms("a.b.c.d.e.f.g.h.i").expect_err("too many"),
            "o: `a.b.c.d.e.f.g.h.i` has 9 names; expected at most 8, or some in brackets, as in a[\"b.c\"], which say where the dots are"
        );
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
            let set = |field: &FieldPath, record: &mut RecordMut<'_>, space: &mut EditSpace| {
                field.set(record, space, b"9")
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
            ("a", r#"{"a":1,"b":2}"#, r#"{"b":2}"#),
            ("a.b", r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"c":2}}"#),
            ("a.b", r#"{"a": {"c":2}}"#, r#"{"a": {"c":2}}"#),
            ("x.b", r#"{"a":1}"#, r#"{"a":1}"#),
        ] {
            let ((), after) = changed(written, document, FieldPath::remove);
            assert_eq!(after, expected, "{written}");
        }
    }
}
