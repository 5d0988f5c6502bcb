//! What parsers of text share: they read the record's value and make a document of it, or read one
//! field of a document and set others beside it.

use isobar_topology::json::{self, Kind};
use isobar_topology::spec::{Component, Problems};
use isobar_topology::{
    BoltContext, DocumentUse, DocumentWriter, Prepare, RecordMut, Rejection, Symbol,
};

use crate::cursor::without_line_end;
use crate::expression::text_of;
use crate::field_path::FieldPath;
use crate::unfit::{OnInvalid, Unfit};

/// Where the text of a record is, as the option `field` says.
#[derive(Clone, Debug)]
pub(crate) struct TextSource {
    field: Option<FieldPath>,
    on_invalid: OnInvalid,
    /// The text of a field while it is parsed.
    text: Vec<u8>,
}

impl TextSource {
    /// Reads the options `field` and `on_invalid` of a parser.
    pub(crate) fn new(
        field: Option<&str>,
        on_invalid: OnInvalid,
        component: &Component,
        prepare: &mut Prepare<'_>,
    ) -> Result<Self, Problems> {
        OnInvalid::check(field, component)?;
        let path = component.path.key("field");
        let field = field.map(|field| FieldPath::new(field, &path, prepare));
        Ok(Self {
            field: field.transpose()?,
            on_invalid,
            text: Vec::new(),
        })
    }

    /// What becomes of records that do not fit.
    pub(crate) fn unfit(&self, context: &BoltContext) -> Unfit {
        Unfit::new(self.on_invalid, context)
    }

    /// The field that is read; `None` where it is the record's value.
    pub(crate) fn field(&self) -> Option<&FieldPath> {
        self.field.as_ref()
    }

    /// What a parser with this source has to do with documents.
    pub(crate) fn document_use(&self) -> DocumentUse {
        match self.field {
            None => DocumentUse::Makes,
            Some(_) => DocumentUse::Needs,
        }
    }

    /// The text of a record, without its line end.
    #[inline]
    pub(crate) fn read<'t, 'a: 't>(
        &'t mut self,
        record: &RecordMut<'a>,
    ) -> Result<&'t [u8], Rejection> {
        let Some(field) = &self.field else {
            let payload = record.payload();
            return payload.map(without_line_end).ok_or_else(no_value);
        };
        let missing = |what| {
            let name = field.written();
            Rejection::new("missing_field", format!("The field {name} {what}"))
        };
        let raw = field.get(record.view());
        let raw = raw.ok_or_else(|| missing("is missing"))?;
        if Kind::of(raw) != Kind::String {
            return Err(missing("is not text"));
        }
        self.text.clear();
        self.text.extend_from_slice(&text_of(raw));
        Ok(without_line_end(&self.text))
    }
}

#[cold]
fn no_value() -> Rejection {
    Rejection::new("no_value", "The record has no value: it is a tombstone")
}

/// Writes the fields that a parser found: into a new document where it read the record's value, into
/// the document that is there where it read a field of that.
#[inline]
pub(crate) fn write(
    record: &mut RecordMut<'_>,
    reads_field: bool,
    fill: impl FnOnce(&mut Members<'_, '_>),
) {
    match reads_field {
        false => record.write_document(|document| fill(&mut Members::New(document))),
        true => fill(&mut Members::Existing(record)),
    }
}

/// What parsers write fields into.
pub(crate) trait WriteFields {
    /// Writes a field whose value `write` appends as raw JSON, in place of one that has its name.
    fn member(&mut self, symbol: Symbol, write: impl FnOnce(&mut Vec<u8>));

    /// Writes a field with text; bytes that are not UTF-8 are replaced by U+FFFD.
    #[inline]
    fn string(&mut self, symbol: Symbol, text: &[u8]) {
        self.member(symbol, |out| json::write_bytes_lossy(out, text));
    }
}

impl WriteFields for DocumentWriter<'_> {
    #[inline]
    fn member(&mut self, symbol: Symbol, write: impl FnOnce(&mut Vec<u8>)) {
        DocumentWriter::member(self, symbol, write);
    }
}

/// A document that is there.
impl WriteFields for RecordMut<'_> {
    #[inline]
    fn member(&mut self, symbol: Symbol, write: impl FnOnce(&mut Vec<u8>)) {
        let set = self.set_with(symbol, write);
        set.expect("a record with a field to read has a document");
    }
}

/// The fields of a new document or of one that is there.
pub(crate) enum Members<'m, 'r> {
    New(&'m mut DocumentWriter<'r>),
    Existing(&'m mut RecordMut<'r>),
}

impl WriteFields for Members<'_, '_> {
    #[inline]
    fn member(&mut self, symbol: Symbol, write: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Members::New(document) => WriteFields::member(*document, symbol, write),
            Members::Existing(record) => WriteFields::member(*record, symbol, write),
        }
    }
}
