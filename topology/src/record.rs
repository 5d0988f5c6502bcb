//! One record of a batch: the raw bytes plus a slot for each field name that the topology mentions.
//!
//! Parsing builds no maps. A slot says where the field's value lies, in the document or, once it was
//! edited, in the batch's scratch space. Writing a document copies the original text, leaves out
//! members that were removed or replaced, and appends what was set, so a key never appears twice.

use std::fmt;
use std::ops::Range;

use crate::arena::{Arena, Headers};
use crate::json::{self, JsonError, Span};
use crate::ordinals::Ordinals;
use crate::symbol::{Symbol, Symbols};

/// Where a record's document is, and what concerns the record as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Index into the arena.
    pub(crate) record: u32,
    /// Which part of its record it is.
    pub(crate) ordinals: Ordinals,
    /// Where its text is in the arena, if that is only a part of the record's value.
    part: Span,
    document: Document,
    /// Whether any slot was set or removed.
    edited: bool,
    /// Whether any member of the document was removed or replaced.
    cut: bool,
    /// [`NO_TIME`] before a parser set it.
    event_time: i64,
}

/// Stands for the whole value of a record: no arena is that large.
const WHOLE: Span = Span {
    start: u32::MAX,
    end: u32::MAX,
};

/// No event has this time: parsers know calendars, which end long before.
const NO_TIME: i64 = i64::MIN;

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
            ordinals: Ordinals::NONE,
            part: WHOLE,
            document: Document::None,
            edited: false,
            cut: false,
            event_time: NO_TIME,
        }
    }

    /// The same record as it was read; a part of its text stays that part.
    pub(crate) fn start_over(self) -> Self {
        Self {
            ordinals: self.ordinals,
            part: self.part,
            ..Self::new(self.record)
        }
    }

    /// Whether a parser made a document.
    #[inline]
    pub(crate) fn has_document(&self) -> bool {
        !matches!(self.document, Document::None)
    }

    /// A part of it.
    pub(crate) fn with(self, ordinals: Ordinals) -> Self {
        Self { ordinals, ..self }
    }

    /// Where its text is in the arena; `None` for a tombstone.
    #[inline]
    fn text(&self, arena: &Arena) -> Option<Span> {
        match self.part {
            WHOLE => arena.payload_span(self.record as usize),
            part => Some(part),
        }
    }
}

/// A field of a record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    state: SlotState,
    /// The value; in the document's text or in scratch, as `state` says. Where it was set, comma and name
    /// of the member are right before it.
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

    /// The record's value as it was read, `None` for a tombstone. Where that text was split, the part of
    /// it.
    pub fn payload(&self) -> Option<&'a [u8]> {
        let text = self.row.text(self.arena)?;
        Some(text.of(self.arena.bytes()))
    }

    /// The whole value as it was read, also where it was split: what a dead letter keeps.
    pub fn whole_payload(&self) -> Option<&'a [u8]> {
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

    /// Which part of a split record it is.
    pub fn ordinals(&self) -> Ordinals {
        self.row.ordinals
    }

    /// The time of the event in ms since 1970: what a parser set, else the record's timestamp, else
    /// `None`.
    pub fn event_time(&self) -> Option<i64> {
        match self.row.event_time {
            NO_TIME => Some(self.timestamp()).filter(|ms| *ms >= 0),
            time => Some(time),
        }
    }

    /// Whether a parser made a document.
    pub fn has_document(&self) -> bool {
        self.row.has_document()
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
            for (symbol, slot) in self.symbols.iter().zip(self.slots) {
                if slot.state == SlotState::Set && Some(symbol) != reserved {
                    // The comma and the name are in front of the value, see `start_member`.
                    let name = self.symbols.encoded(symbol).len();
                    let name_start = slot.value.start as usize - name;
                    let start = name_start - usize::from(!first);
                    first = false;
                    out.extend_from_slice(&self.scratch[start..slot.value.end as usize]);
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

    /// As [`Record::payload`]; it stays borrowed from the batch, not from this view.
    pub fn payload(&self) -> Option<&'a [u8]> {
        let text = self.row.text(self.arena)?;
        Some(text.of(self.arena.bytes()))
    }

    /// Makes a part of the value, in bytes from its start, the record's value. Without document and
    /// edits then: they are not of this part.
    ///
    /// Panics when the range is not inside of the value.
    pub fn narrow(&mut self, part: Range<usize>) {
        let text = self.row.text(self.arena).expect("a tombstone has no parts");
        assert!(part.start <= part.end && part.end <= text.len());
        self.forget_document();
        self.row.event_time = NO_TIME;
        self.row.part = Span {
            start: text.start + part.start as u32,
            end: text.start + part.end as u32,
        };
    }

    /// The names of the topology.
    pub fn symbols(&self) -> &'a Symbols {
        self.symbols
    }

    /// Makes the payload itself the document: validates it as one JSON object and notes where the
    /// fields that the topology mentions are. Copies nothing. A tombstone counts as empty text.
    pub fn adopt_json(&mut self) -> Result<(), JsonError> {
        let Some(payload) = self.row.text(self.arena) else {
            return json::scan_object(b"", |_| {}).map(|_| ());
        };
        self.adopt(
            payload.of(self.arena.bytes()),
            payload.start,
            Document::Arena,
        )
    }

    /// Makes another text than the payload the document: validates it as one JSON object, and copies it
    /// into scratch space.
    pub fn adopt_object(&mut self, text: &[u8]) -> Result<(), JsonError> {
        let start = position(self.scratch);
        self.scratch.extend_from_slice(text);
        self.adopt(text, start, Document::Scratch)
    }

    /// Makes a text that starts at `start` of what `document` means the document.
    #[inline]
    fn adopt(
        &mut self,
        text: &[u8],
        start: u32,
        document: fn(Span) -> Document,
    ) -> Result<(), JsonError> {
        self.start_document();
        let (symbols, slots) = (self.symbols, &mut *self.slots);
        let object = json::scan_object(text, |member| {
            let key = member.key.of(text);
            let symbol = if member.escaped_key {
                symbols.lookup(json::unescape(key).as_bytes())
            } else {
                symbols.lookup_hashed(key, member.key_hash)
            };
            if let Some(symbol) = symbol {
                slots[symbol.index()] = Slot {
                    state: SlotState::Document,
                    value: shift(member.value, start),
                    member: Span {
                        start: member.key_start + start,
                        end: member.value.end + start,
                    },
                };
            }
        });
        match object {
            Ok(span) => {
                self.row.document = document(shift(span, start));
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
        self.start_document();
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
        self.row.event_time = ms;
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
        let start = start_member(self.scratch, self.symbols, symbol);
        write(self.scratch);
        let end = position(self.scratch);
        self.set_span(symbol, Span { start, end })
    }

    /// Sets a top-level field to the value that [`crate::Batch::share`] put into scratch space for it.
    #[inline]
    pub fn set_shared(&mut self, shared: Shared) -> Result<(), NoDocument> {
        self.set_span(shared.symbol, shared.value)
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
        let slot = self.slots[from.index()];
        if matches!(slot.state, SlotState::Absent | SlotState::Removed) {
            return false;
        }
        let start = start_member(self.scratch, self.symbols, to);
        match (slot.state, self.row.document) {
            (SlotState::Set, _) | (_, Document::Scratch(_)) => {
                let value = slot.value.start as usize..slot.value.end as usize;
                self.scratch.extend_from_within(value);
            }
            _ => self
                .scratch
                .extend_from_slice(slot.value.of(self.arena.bytes())),
        }
        let end = position(self.scratch);
        let _ = self.remove(from);
        self.set_span(to, Span { start, end }).is_ok()
    }

    #[inline]
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

    /// Gets ready for a new document. The slots of a record that no parser has read are empty already.
    #[inline]
    fn start_document(&mut self) {
        if self.row.edited || !matches!(self.row.document, Document::None) {
            self.forget_document();
        }
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

/// A field's value in a batch's scratch space that many records can share.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    pub(crate) symbol: Symbol,
    pub(crate) value: Span,
}

/// Begins a member that is set: `,"name":`, so that a document takes it in one copy. Returns where its
/// value starts.
#[inline]
pub(crate) fn start_member(scratch: &mut Vec<u8>, symbols: &Symbols, symbol: Symbol) -> u32 {
    scratch.push(b',');
    scratch.extend_from_slice(symbols.encoded(symbol));
    position(scratch)
}

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
mod tests;
