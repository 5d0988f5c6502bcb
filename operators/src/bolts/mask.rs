//! `mask`: takes personal data out of documents: whole fields, and what patterns find in text.

mod card_number;
mod ipv6;
mod patterns;
mod pseudonyms;
mod text;

use std::sync::Arc;

use isobar_topology::json::Edit;
use isobar_topology::spec::{Component, Path, Problem, Problems, Secret, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Counter, Emitter, Example, NoDocument, OperatorError, Prepare,
    PreparedBolt, RecordMut, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use patterns::Find;
use pseudonyms::Pseudonyms;
use text::{Masker, Replacement};

use crate::field_path::{FieldPath, no_document};

pub(super) const TYPE: BoltType = BoltType {
    name: "mask",
    schema: || schemars::schema_for!(MaskConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: mask
inputs: [parse]
fields: [secret, user.password]
search: [message, user]
patterns: [email, card_number, 'token=\\w+']
",
    &[
        r#"{"user":{"id":7,"password":"x"},"secret":"x","message":"mail to frank@example.com, token=abc1"}"#,
    ],
);

/// Takes personal data out of documents before they are stored.
///
/// The values of `fields` are replaced as a whole, whatever they are. In the values of `search`, and in
/// all texts and numbers inside of them, what a pattern finds is replaced. Names of fields stay.
///
/// `user.password` is the field inside of `user`, in each element where `user` is a list, and one that has
/// this whole name, as Elasticsearch takes both for the same. `["user.password"]` is only the latter.
///
/// Only the document is changed: what the topology rejects later goes to its dead letters as it was read.
/// Moves the metric `masked_values`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskConfig {
    /// Fields whose values are replaced as a whole, by their whole names.
    #[serde(default)]
    fields: Vec<String>,
    /// Fields whose values are searched for `patterns`.
    #[serde(default)]
    search: Vec<String>,
    /// What to look for: `email`, `ipv4`, `ipv6`, `card_number` (13 to 19 digits, with spaces or dashes,
    /// whose check digit is right, whatever stands beside them), or regular expressions as in
    /// `parse_regex`, such as `token=\w+`; `(?:secret)` finds just this text. They are looked for one after
    /// the other.
    #[serde(default)]
    patterns: Vec<String>,
    /// What stands in place of what was found. Default `***`.
    replacement: Option<String>,
    /// A key of at least 16 bytes, for pseudonyms in place of `replacement`: the first 32 hexadecimal digits
    /// of the HMAC-SHA-256 of what was found. The same text has the same pseudonym wherever it is found,
    /// also in a replay, so that it can still be counted and followed; only who has the key can find out
    /// whose it is, by trying. Another key gives other pseudonyms.
    pseudonym_key: Option<Secret>,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: MaskConfig = parse_config(&component.config, &component.path)?;
    let path = |option: &str| component.path.key(option);
    let mut problems = Problems::default();
    let whole = problems.take(fields(&config.fields, &path("fields"), prepare));
    let searched = problems.take(fields(&config.search, &path("search"), prepare));
    let finds = (config.patterns.iter().enumerate()).filter_map(|(index, text)| {
        let find = Find::new(text, &path("patterns").index(index));
        problems.take(find.map_err(Problems::from))
    });
    let finds: Vec<Find> = finds.collect();
    for (name, is_missing) in [
        (
            "fields",
            config.fields.is_empty() && config.search.is_empty(),
        ),
        (
            "search",
            config.search.is_empty() && !config.patterns.is_empty(),
        ),
        (
            "patterns",
            config.patterns.is_empty() && !config.search.is_empty(),
        ),
    ] {
        if is_missing {
            problems.push(
                Problem::new(path(name), format!("`{name}` is missing"))
                    .expected("fields to replace, or fields to search and patterns to find"),
            );
        }
    }
    let replacement = replacement(&config, &component.path);
    let replacement = problems.take(replacement.map_err(Problems::from));
    problems.or(())?;
    let replacement = replacement.expect("no problem means a replacement");
    let (whole, searched) = whole.zip(searched).expect("no problem means both");
    let finds: Arc<[Find]> = finds.into();
    Ok(PreparedBolt {
        memory_per_lane: finds.iter().map(Find::finder_size).sum(),
        memory_shared: finds.iter().map(Find::size).sum(),
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(Mask {
                whole: Arc::clone(&whole),
                searched: Arc::clone(&searched),
                replacement: replacement.clone(),
                masker: Masker::new(&finds, replacement.clone()),
                buffer: Vec::new(),
                masked: context.counters.counter(
                    "masked_values",
                    "Values of fields in which something was replaced.",
                ),
            })
        }))
    })
}

fn replacement(config: &MaskConfig, path: &Path) -> Result<Replacement, Problem> {
    let path = path.key("pseudonym_key");
    match (&config.replacement, &config.pseudonym_key) {
        (Some(_), Some(_)) => {
            Err(Problem::new(path, "`replacement` is given too").expected("one of them"))
        }
        (_, Some(key)) if key.reveal().len() < Pseudonyms::KEY_LEAST => {
            let least = Pseudonyms::KEY_LEAST;
            Err(
                Problem::new(path, "the key is too short to be secret").expected(format!(
                    "at least {least} bytes, such as of `openssl rand -hex 16`"
                )),
            )
        }
        (_, Some(key)) => {
            let pseudonyms = Pseudonyms::new(key.reveal().as_bytes());
            Ok(Replacement::Pseudonym(Arc::new(pseudonyms)))
        }
        (text, None) => Ok(Replacement::Text(text.as_deref().unwrap_or("***").into())),
    }
}

fn fields(
    names: &[String],
    path: &Path,
    prepare: &mut Prepare<'_>,
) -> Result<Arc<[FieldPath]>, Problems> {
    let (mut problems, mut fields) = (Problems::default(), Vec::new());
    for (index, written) in names.iter().enumerate() {
        let path = path.index(index);
        let paths = whole_name(written, &path)
            .and_then(|()| FieldPath::as_indexed(written, &path, prepare));
        match paths {
            Ok(paths) => fields.extend(paths),
            Err(problem) => problems.push(problem),
        }
    }
    problems.or(fields.into())
}

/// Refuses what is meant for many fields: it would hide none.
fn whole_name(written: &str, path: &Path) -> Result<(), Problem> {
    if written.contains('*') && !written.contains("[\"") {
        let problem = Problem::new(
            path.clone(),
            format!("`{written}` does not stand for many fields"),
        );
        return Err(problem.expected(format!(
            "the name of each field, or [\"{written}\"] for one that has a star in its name"
        )));
    }
    Ok(())
}

struct Mask {
    whole: Arc<[FieldPath]>,
    searched: Arc<[FieldPath]>,
    replacement: Replacement,
    masker: Masker,
    buffer: Vec<u8>,
    masked: Counter,
}

impl Bolt for Mask {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let mut masked = 0;
        batch.judge(out, |record| match self.mask(record) {
            Ok(count) => {
                masked += count;
                Verdict::Keep
            }
            Err(error) => Verdict::Reject(no_document(error)),
        });
        self.masked.add(masked);
        Ok(())
    }
}

impl Mask {
    /// How many fields were changed.
    fn mask(&mut self, record: &mut RecordMut<'_>) -> Result<u64, NoDocument> {
        let mut masked = 0;
        for field in &*self.searched {
            let is_masked = field.edit(record, &mut self.buffer, |raw, out| {
                match self.masker.mask(raw, out) {
                    true => Edit::Replace,
                    false => Edit::Keep,
                }
            })?;
            masked += u64::from(is_masked);
        }
        for field in &*self.whole {
            let is_masked = field.edit(record, &mut self.buffer, |raw, out| {
                self.replacement.write(raw, out);
                Edit::Replace
            })?;
            masked += u64::from(is_masked);
        }
        Ok(masked)
    }
}

#[cfg(test)]
mod tests;
