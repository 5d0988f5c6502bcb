//! What bolts that parse by a pattern share: each group of the match is a field.

use std::sync::Arc;

use isobar_topology::{
    AnyBolt, Batch, Bolt, Emitter, OperatorError, PreparedBolt, RecordMut, Rejection, Symbol,
    Verdict,
};

use crate::conversion::Kind;
use crate::pattern::{Matcher, Pattern};
use crate::text_source::{self, TextSource};

/// A group and its field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) group: usize,
    pub(crate) symbol: Symbol,
    /// What the text is converted to.
    pub(crate) kind: Kind,
}

/// A bolt that parses the text of `source`. Of several groups for one field the first that is part of
/// the match counts.
pub(crate) fn bolt(
    source: TextSource,
    pattern: Arc<Pattern>,
    mut fields: Vec<Field>,
) -> PreparedBolt {
    // Side by side, so that the others are easily left out.
    fields.sort_by_key(|field| field.symbol);
    PreparedBolt {
        document: source.document_use(),
        memory_shared: pattern.size(),
        memory_per_lane: Pattern::MATCHER_SIZE,
        ..PreparedBolt::new(Arc::new(move |_| {
            AnyBolt::new(ParseGroups {
                source: source.clone(),
                matcher: Matcher::new(Arc::clone(&pattern)),
                fields: fields.clone(),
            })
        }))
    }
}

struct ParseGroups {
    source: TextSource,
    matcher: Matcher,
    fields: Vec<Field>,
}

impl Bolt for ParseGroups {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        batch.judge(out, |record| match self.parse(record) {
            Ok(()) => Verdict::Keep,
            Err(rejection) => Verdict::Reject(rejection),
        });
        Ok(())
    }
}

impl ParseGroups {
    fn parse(&mut self, record: &mut RecordMut<'_>) -> Result<(), Rejection> {
        let source = self.source.field();
        let text = String::from_utf8_lossy(self.source.read(record)?);
        let fields = &self.fields;
        let matcher = &mut self.matcher;
        if !matcher.find(&text, 0) {
            return Err(no_match(matcher.fits_until(&text)));
        }
        let mut before = None;
        let mut rejection = None;
        text_source::write(record, source, |document| {
            for field in fields {
                let group = matcher.group(field.group);
                let Some((start, end)) = group.filter(|_| before != Some(field.symbol)) else {
                    continue;
                };
                before = Some(field.symbol);
                document.member(field.symbol, |out| {
                    if !field.kind.write(&text.as_bytes()[start..end], out) {
                        out.extend_from_slice(b"null");
                        rejection = Some((field.kind, start));
                    }
                });
            }
        });
        rejection.map_or(Ok(()), |(kind, at)| {
            let reason = format!("invalid text at byte {at}: expected {}", kind.expected());
            Err(Rejection::new("no_match", reason))
        })
    }
}

#[cold]
fn no_match(fits_until: Option<usize>) -> Rejection {
    let reason = match fits_until {
        Some(at) => format!("The text does not match: its start fits the pattern up to byte {at}"),
        None => "The text does not match the pattern".to_owned(),
    };
    Rejection::new("no_match", reason)
}
