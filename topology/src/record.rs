//! One record of a batch: the raw bytes plus a slot for each field name that the topology mentions.
//!
//! Parsing builds no maps. A slot says where the field's value lies, in the document or, once it was
//! edited, in the batch's scratch space. Writing a document copies the original text, leaves out
//! members that were removed or replaced, and appends what was set, so a key never appears twice.

use std::fmt;

use crate::arena::{Arena, Headers};
use crate::json::{self, JsonError, Span};
use crate::symbol::{Symbol, Symbols};

/// Where a record's document is, and what concerns the record as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Index into the arena.
    pub(crate) record: u32,
    /// Number of this child among the children of its record, for records that were split.
    pub(crate) ordinal: Option<u32>,
    document: Document,
    /// Whether any slot was set or removed.
    edited: bool,
    /// Whether any member of the document was removed or replaced.
    cut: bool,
    event_time: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
enum Document {
    /// Nothing was parsed yet.
    None,
    /// An object inside the arena.
    Arena(Span),
    /// An object that a parser wrote into the scratch space.
    Scratch(Span),
}

impl Row {
    pub(crate) fn new(record: u32) -> Self {
        Self {
            record,
            ordinal: None,
            document: Document::None,
            edited: false,
            cut: false,
            event_time: None,
        }
    }

    /// The same record as it was read.
    pub(crate) fn start_over(self) -> Self {
        Self {
            ordinal: self.ordinal,
            ..Self::new(self.record)
        }
    }
}

/// A field of a record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    state: SlotState,
    /// The value; in the document's text or in scratch, as `state` says.
    value: Span,
    /// The whole member `"key":value` in the document's text; empty when the document has none.
    member: Span,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SlotState {
    #[default]
    Absent,
    Document,
    Set,
    Removed,
}

/// A record to read.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub(crate) arena: &'a Arena,
    pub(crate) symbols: &'a Symbols,
    pub(crate) row: &'a Row,
    pub(crate) slots: &'a [Slot],
    pub(crate) scratch: &'a [u8],
}

impl<'a> Record<'a> {
    /// The topic that the record comes from.
    pub fn topic(&self) -> &'a str {
        self.arena.partition().topic()
    }

    /// The partition's number.
    pub fn partition(&self) -> i32 {
        self.arena.partition().number()
    }

    /// The hash of cluster and topic that is part of document ids.
    pub fn source(&self) -> u64 {
        self.arena.partition().source()
    }

    /// The offset in the partition.
    pub fn offset(&self) -> i64 {
        self.arena.offset(self.row.record as usize)
    }

    /// The record's own timestamp in ms since 1970, −1 when it has none.
    pub fn timestamp(&self) -> i64 {
        self.arena.timestamp(self.row.record as usize)
    }

    /// The record's value as it was read, `None` for a tombstone.
    pub fn payload(&self) -> Option<&'a [u8]> {
        self.arena.payload(self.row.record as usize)
    }

    /// The record's key.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.arena.key(self.row.record as usize)
    }

    /// The record's headers.
    pub fn headers(&self) -> Headers<'a> {
        self.arena.headers(self.row.record as usize)
    }

    /// The value of the last header of that name.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers()
            .filter(|(key, _)| *key == name.as_bytes())
            .last()
            .and_then(|(_, value)| value)
    }

    /// For children of a split record, their number among their siblings.
    pub fn ordinal(&self) -> Option<u32> {
        self.row.ordinal
    }

    /// The time of the event in ms since 1970: what a parser set, else the record's timestamp, else
    /// `None`.
    pub fn event_time(&self) -> Option<i64> {
        self.row
            .event_time
            .or_else(|| Some(self.timestamp()).filter(|ms| *ms >= 0))
    }

    /// Whether a parser made a document.
    pub fn has_document(&self) -> bool {
        !matches!(self.row.document, Document::None)
    }

    /// The raw JSON of a top-level field, `None` where it is absent.
    #[inline]
    pub fn get(&self, symbol: Symbol) -> Option<&'a [u8]> {
        let slot = self.slots.get(symbol.index())?;
        match slot.state {
            SlotState::Absent | SlotState::Removed => None,
            SlotState::Set => Some(slot.value.of(self.scratch)),
            SlotState::Document => Some(slot.value.of(self.text())),
        }
    }

    /// The document as it was parsed, without the edits since; `None` before a parser ran.
    pub fn original(&self) -> Option<&'a [u8]> {
        match self.row.document {
            Document::None => None,
            Document::Arena(span) => Some(span.of(self.arena.bytes())),
            Document::Scratch(span) => Some(span.of(self.scratch)),
        }
    }

    /// Appends the document with all edits to `out`, as one JSON object on one line if the input was
    /// one. Returns `false`, with nothing appended, when no parser made a document.
    pub fn write(&self, out: &mut Vec<u8>) -> bool {
        self.write_with(out, None, |_| {})
    }

    /// As [`Record::write`], with one more member: `append` writes `"name":value` (or nothing).
    /// `reserved` is that member's name; a field of the document with the name is left out.
    pub fn write_with(
        &self,
        out: &mut Vec<u8>,
        reserved: Option<Symbol>,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let (text, span) = match self.row.document {
            Document::None => return false,
            Document::Arena(span) => (self.arena.bytes(), span),
            Document::Scratch(span) => (self.scratch, span),
        };
        let start = out.len();
        let reserved_cut = reserved
            .and_then(|symbol| self.slots.get(symbol.index()))
            .is_some_and(|slot| !slot.member.is_empty());
        if self.row.cut || reserved_cut {
            self.copy_uncut(out, text, span, reserved);
        } else {
            out.extend_from_slice(&text[span.start as usize..span.end as usize - 1]);
        }
        while out.last().is_some_and(u8::is_ascii_whitespace) {
            let _ = out.pop();
        }
        let mut first = out.len() == start + 1;
        if self.row.edited {
            for symbol in self.symbols.iter() {
                let slot = &self.slots[symbol.index()];
                if slot.state == SlotState::Set && Some(symbol) != reserved {
                    if !first {
                        out.push(b',');
                    }
                    first = false;
                    out.extend_from_slice(self.symbols.encoded(symbol));
                    out.extend_from_slice(slot.value.of(self.scratch));
                }
            }
        }
        let end = out.len();
        if !first {
            out.push(b',');
        }
        let before = out.len();
        append(out);
        if out.len() == before {
            out.truncate(end);
        }
        out.push(b'}');
        true
    }

    /// Copies the document without its closing brace and without members that were removed, replaced
    /// or are reserved.
    fn copy_uncut(&self, out: &mut Vec<u8>, text: &[u8], span: Span, reserved: Option<Symbol>) {
        let start = out.len();
        let end = span.end - 1;
        let mut at = span.start;
        // Few members are cut, so the next one is looked for rather than kept sorted.
        while let Some(member) = self.next_cut(at, reserved) {
            out.extend_from_slice(&text[at as usize..member.start as usize]);
            at = skip_comma(text, member.end, end);
        }
        out.extend_from_slice(&text[at as usize..end as usize]);
        // The last member was cut: the comma before it goes too.
        while out.len() > start + 1
            && out
                .last()
                .is_some_and(|b| b.is_ascii_whitespace() || *b == b',')
        {
            let _ = out.pop();
        }
    }

    fn next_cut(&self, from: u32, reserved: Option<Symbol>) -> Option<Span> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(index, slot)| {
                !slot.member.is_empty()
                    && slot.member.start >= from
                    && (matches!(slot.state, SlotState::Set | SlotState::Removed)
                        || reserved.is_some_and(|symbol| symbol.index() == *index))
            })
            .map(|(_, slot)| slot.member)
            .min_by_key(|member| member.start)
    }

    fn text(&self) -> &'a [u8] {
        match self.row.document {
            Document::Scratch(_) => self.scratch,
            _ => self.arena.bytes(),
        }
    }
}

/// The position after the comma that follows a member, or where the member ended.
fn skip_comma(text: &[u8], from: u32, end: u32) -> u32 {
    let mut at = from;
    while at < end && text[at as usize].is_ascii_whitespace() {
        at += 1;
    }
    if at < end && text[at as usize] == b',' {
        at + 1
    } else {
        from
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic(), self.partition(), self.offset())
    }
}

/// The record has no document yet: a parser such as `parse_json` must come before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record has no document: put a parser such as parse_json before this bolt")]
pub struct NoDocument;

/// A record to edit.
pub struct RecordMut<'a> {
    pub(crate) arena: &'a Arena,
    pub(crate) symbols: &'a Symbols,
    pub(crate) row: &'a mut Row,
    pub(crate) slots: &'a mut [Slot],
    pub(crate) scratch: &'a mut Vec<u8>,
}

impl<'a> RecordMut<'a> {
    /// The record to read.
    #[inline]
    pub fn view(&self) -> Record<'_> {
        Record {
            arena: self.arena,
            symbols: self.symbols,
            row: self.row,
            slots: self.slots,
            scratch: self.scratch,
        }
    }

    /// The record's value as it was read; it stays borrowed from the batch, not from this view.
    pub fn payload(&self) -> Option<&'a [u8]> {
        self.arena.payload(self.row.record as usize)
    }

    /// The names of the topology.
    pub fn symbols(&self) -> &'a Symbols {
        self.symbols
    }

    /// Makes the payload itself the document: validates it as one JSON object and notes where the
    /// fields that the topology mentions are. Copies nothing. A tombstone counts as empty text.
    pub fn adopt_json(&mut self) -> Result<(), JsonError> {
        let Some(payload) = self.arena.payload_span(self.row.record as usize) else {
            return json::scan_object(b"", |_| {}).map(|_| ());
        };
        let text = payload.of(self.arena.bytes());
        self.forget_document();
        let (symbols, slots) = (self.symbols, &mut *self.slots);
        let object = json::scan_object(text, |member| {
            let key = member.key.of(text);
            let symbol = if member.escaped_key {
                symbols.lookup(json::unescape(key).as_bytes())
            } else {
                symbols.lookup(key)
            };
            if let Some(symbol) = symbol {
                slots[symbol.index()] = Slot {
                    state: SlotState::Document,
                    value: shift(member.value, payload.start),
                    member: Span {
                        start: member.key_start + payload.start,
                        end: member.value.end + payload.start,
                    },
                };
            }
        });
        match object {
            Ok(span) => {
                self.row.document = Document::Arena(shift(span, payload.start));
                Ok(())
            }
            Err(error) => {
                self.forget_document();
                Err(error)
            }
        }
    }

    /// Makes a new document, written member by member into scratch space by `fill`.
    pub fn write_document(&mut self, fill: impl FnOnce(&mut DocumentWriter<'_>)) {
        self.forget_document();
        self.make_room();
        let start = position(self.scratch);
        self.scratch.push(b'{');
        let mut writer = DocumentWriter {
            symbols: self.symbols,
            slots: self.slots,
            scratch: self.scratch,
        };
        fill(&mut writer);
        if self.scratch.last() == Some(&b',') {
            let _ = self.scratch.pop();
        }
        self.scratch.push(b'}');
        self.row.document = Document::Scratch(Span {
            start,
            end: position(self.scratch),
        });
    }

    /// Makes room in scratch space for the documents of this record and those behind it, when there is
    /// none for a few of them: growing bit by bit would copy what is there time and again. A document
    /// is to its record as those before it are; the first may be three times as long.
    fn make_room(&mut self) {
        let payload = self.arena.payload_span(self.row.record as usize);
        let payload = payload.unwrap_or_default();
        if self.scratch.capacity() - self.scratch.len() > ROOM_LEAST + 4 * payload.len() {
            return;
        }
        let before = payload.start as usize;
        let behind = self.arena.bytes().len() - before;
        let written = self.scratch.len();
        let room = match written {
            0 => 3 * behind,
            // What is there may be no documents, which says nothing of those to come.
            _ => (behind.saturating_mul(written) / before.max(1)).min(4 * behind) + written / 16,
        };
        self.scratch.reserve(room + ROOM_LEAST);
    }

    /// Sets the time of the event, in ms since 1970.
    pub fn set_event_time(&mut self, ms: i64) {
        self.row.event_time = Some(ms);
    }

    /// Sets a top-level field to a raw JSON value, which must be valid.
    pub fn set(&mut self, symbol: Symbol, json: &[u8]) -> Result<(), NoDocument> {
        self.set_with(symbol, |out| out.extend_from_slice(json))
    }

    /// Sets a top-level field to a string.
    pub fn set_string(&mut self, symbol: Symbol, text: &str) -> Result<(), NoDocument> {
        self.set_with(symbol, |out| json::write_string(out, text))
    }

    /// Sets a top-level field to what `write` appends, which must be one valid JSON value.
    pub fn set_with(
        &mut self,
        symbol: Symbol,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), NoDocument> {
        let start = position(self.scratch);
        write(self.scratch);
        let end = position(self.scratch);
        self.set_span(symbol, Span { start, end })
    }

    /// Sets a top-level field to a value that [`crate::Batch::share`] put into scratch space.
    pub fn set_shared(&mut self, symbol: Symbol, value: Shared) -> Result<(), NoDocument> {
        self.set_span(symbol, value.0)
    }

    /// Removes a top-level field; returns whether it was there.
    pub fn remove(&mut self, symbol: Symbol) -> bool {
        let slot = &mut self.slots[symbol.index()];
        let was_there = matches!(slot.state, SlotState::Document | SlotState::Set);
        if was_there {
            slot.state = SlotState::Removed;
            self.row.edited = true;
            self.row.cut |= !slot.member.is_empty();
        }
        was_there
    }

    /// Gives a top-level field another name, replacing a field that has it; returns whether the
    /// field was there. Copies the value.
    pub fn rename(&mut self, from: Symbol, to: Symbol) -> bool {
        if from == to {
            return self.view().get(from).is_some();
        }
        let Some(value) = self.copy_to_scratch(from) else {
            return false;
        };
        let _ = self.remove(from);
        self.set_span(to, value).is_ok()
    }

    fn copy_to_scratch(&mut self, symbol: Symbol) -> Option<Span> {
        let slot = self.slots[symbol.index()];
        let start = position(self.scratch);
        match (slot.state, self.row.document) {
            (SlotState::Absent | SlotState::Removed, _) => return None,
            (SlotState::Set, _) | (_, Document::Scratch(_)) => {
                let value = slot.value;
                self.scratch
                    .extend_from_within(value.start as usize..value.end as usize);
            }
            _ => self
                .scratch
                .extend_from_slice(slot.value.of(self.arena.bytes())),
        }
        Some(Span {
            start,
            end: position(self.scratch),
        })
    }

    fn set_span(&mut self, symbol: Symbol, value: Span) -> Result<(), NoDocument> {
        if matches!(self.row.document, Document::None) {
            return Err(NoDocument);
        }
        let slot = &mut self.slots[symbol.index()];
        slot.state = SlotState::Set;
        slot.value = value;
        self.row.edited = true;
        self.row.cut |= !slot.member.is_empty();
        Ok(())
    }

    fn forget_document(&mut self) {
        self.slots.fill(Slot::default());
        self.row.document = Document::None;
        self.row.edited = false;
        self.row.cut = false;
    }
}

/// Bytes of scratch space that are always made room for.
const ROOM_LEAST: usize = 256;

/// A value in a batch's scratch space that many records can share.
#[derive(Clone, Copy, Debug)]
pub struct Shared(pub(crate) Span);

/// Writes the members of a new document; see [`RecordMut::write_document`].
///
/// Names must not repeat: a parser knows the names that it writes.
pub struct DocumentWriter<'a> {
    symbols: &'a Symbols,
    slots: &'a mut [Slot],
    scratch: &'a mut Vec<u8>,
}

impl DocumentWriter<'_> {
    /// Writes a string member; bytes that are not UTF-8 are replaced by U+FFFD.
    pub fn string(&mut self, symbol: Symbol, text: &[u8]) {
        self.member(symbol, |out| json::write_bytes_lossy(out, text));
    }

    /// Writes a member whose value `write` appends as raw JSON.
    pub fn member(&mut self, symbol: Symbol, write: impl FnOnce(&mut Vec<u8>)) {
        let start = position(self.scratch);
        self.scratch.extend_from_slice(self.symbols.encoded(symbol));
        let value = position(self.scratch);
        write(self.scratch);
        let end = position(self.scratch);
        self.slots[symbol.index()] = Slot {
            state: SlotState::Document,
            value: Span { start: value, end },
            member: Span { start, end },
        };
        self.scratch.push(b',');
    }

    /// Writes a member under a name that the topology does not mention. The caller makes sure that
    /// no symbol has this name: such a member could not be removed or replaced.
    pub fn other(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(symbol) = self.symbols.lookup(name.as_bytes()) {
            return self.member(symbol, write);
        }
        json::write_string(self.scratch, name);
        self.scratch.push(b':');
        write(self.scratch);
        self.scratch.push(b',');
    }
}

fn shift(span: Span, by: u32) -> Span {
    Span {
        start: span.start + by,
        end: span.end + by,
    }
}

/// The end of the scratch space. A batch holds at most some 2^31 bytes of payload, and edits of a
/// batch stay far below the rest.
pub(crate) fn position(scratch: &[u8]) -> u32 {
    u32::try_from(scratch.len()).expect("the edits of one batch stay below 4 GiB")
}

#[cfg(test)]
mod tests {
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
}
