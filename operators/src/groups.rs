//! What bolts that parse by a pattern share: each group of the match is a field.

use std::sync::Arc;

use isobar_topology::{
    AnyBolt, Batch, Bolt, Emitter, OperatorError, PreparedBolt, RecordMut, Rejection, Symbol,
};

use crate::conversion::Kind;
use crate::pattern::{Matcher, Pattern};
use crate::text_source::{self, TextSource, WriteFields};
use crate::unfit::Unfit;

/// A group and its field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) group: usize,
    pub(crate) symbol: Symbol,
    /// What the text is converted to.
    pub(crate) kind: Kind,
}

/// A bolt that parses the text of `source`. Several groups for one field that are part of the match make
/// a list, in the order of the pattern.
pub(crate) fn bolt(
    source: TextSource,
    pattern: Arc<Pattern>,
    mut fields: Vec<Field>,
) -> PreparedBolt {
    // Those of one field side by side, in the order of the pattern.
    fields.sort_by_key(|field| field.symbol);
    PreparedBolt {
        document: source.document_use(),
        memory_shared: pattern.size(),
        memory_per_lane: Pattern::MATCHER_SIZE,
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(ParseGroups {
                source: source.clone(),
                unfit: source.unfit(&context),
                matcher: Matcher::new(Arc::clone(&pattern)),
                fields: fields.clone(),
                tried: Vec::new(),
            })
        }))
    }
}

struct ParseGroups {
    source: TextSource,
    unfit: Unfit,
    matcher: Matcher,
    fields: Vec<Field>,
    /// A value that was converted to see whether it can be.
    tried: Vec<u8>,
}

impl Bolt for ParseGroups {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let unfit = self.unfit.clone();
        unfit.judge(batch, out, |record| self.parse(record));
        Ok(())
    }
}

impl ParseGroups {
    fn parse(&mut self, record: &mut RecordMut<'_>) -> Result<(), Rejection> {
        let reads_field = self.source.field().is_some();
        let text = String::from_utf8_lossy(self.source.read(record)?);
        let fields = &self.fields;
        let matcher = &mut self.matcher;
        if !matcher.find(&text, 0) {
            return Err(no_match(matcher.fits_until(&text)));
        }
        // A document that is there is changed only where all of it fits.
        for field in fields.iter().filter(|_| reads_field) {
            if let Some((start, end)) = matcher.group(field.group) {
                self.tried.clear();
                if !field
                    .kind
                    .write(&text.as_bytes()[start..end], &mut self.tried)
                {
                    return Err(not_of_kind(field.kind, start));
                }
            }
        }
        let mut rejection = None;
        let mut write = |out: &mut Vec<u8>, (kind, (start, end)): (Kind, (usize, usize))| {
            if !kind.write(&text.as_bytes()[start..end], out) {
                out.extend_from_slice(b"null");
                rejection = Some(not_of_kind(kind, start));
            }
        };
        text_source::write(record, reads_field, |document| {
            for fields in fields.chunk_by(|one, next| one.symbol == next.symbol) {
                let found = |field: &Field| Some((field.kind, matcher.group(field.group)?));
                let mut values = fields.iter().filter_map(found);
                let Some(first) = values.next() else {
                    continue;
                };
                document.member(fields[0].symbol, |out| match values.next() {
                    None => write(out, first),
                    Some(second) => {
                        out.push(b'[');
                        write(out, first);
                        for value in [second].into_iter().chain(values) {
                            out.push(b',');
                            write(out, value);
                        }
                        out.push(b']');
                    }
                });
            }
        });
        rejection.map_or(Ok(()), Err)
    }
}

#[cold]
fn not_of_kind(kind: Kind, at: usize) -> Rejection {
    let reason = format!("invalid text at byte {at}: expected {}", kind.expected());
    Rejection::new("no_match", reason)
}

#[cold]
fn no_match(fits_until: Option<usize>) -> Rejection {
    let reason = match fits_until {
        Some(at) => format!("The text does not match: its start fits the pattern up to byte {at}"),
        None => "The text does not match the pattern".to_owned(),
    };
    Rejection::new("no_match", reason)
}
