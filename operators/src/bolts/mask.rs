//! `mask`: takes personal data out of documents: whole fields, and what patterns find in text.

mod card_number;
mod ipv6;
mod patterns;
mod pseudonyms;
mod text;

use std::sync::Arc;

use isobar_topology::spec::{Component, Path, Problem, Problems, Secret, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Counter, Emitter, Example, OperatorError, Prepare,
    PreparedBolt, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use patterns::Find;
use pseudonyms::Pseudonyms;
use text::{Masker, Replacement};

use crate::field_path::{EditSpace, FieldPath, no_document};
use crate::field_paths::FieldPaths;

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
/// this whole name, as Elasticsearch takes both for the same; so `a.b.c` is also `b.c` inside of `a`, and `c`
/// inside of `a.b`. `["user.password"]` is only the field that has this whole name.
///
/// A value of `fields` is replaced as it came, also inside of one that is searched, and what was put in is
/// not searched.
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
    /// `parse_regex`, such as `token=\w+`; `(?:secret)` finds just this text. All are looked for in the text
    /// as it came; where what they find overlaps, it is replaced as one.
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
    let mut fields = FieldPaths::default();
    // The first one of a place counts.
    whole.iter().for_each(|field| fields.add(field, WHOLE));
    searched
        .iter()
        .for_each(|field| fields.add(field, SEARCHED));
    let fields = Arc::new(fields);
    let finds: Arc<[Find]> = finds.into();
    Ok(PreparedBolt {
        memory_per_lane: finds.iter().map(Find::finder_size).sum(),
        memory_shared: finds.iter().map(Find::size).sum(),
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(Mask {
                fields: Arc::clone(&fields),
                masker: Masker::new(&finds, replacement.clone()),
                space: EditSpace::default(),
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
) -> Result<Vec<FieldPath>, Problems> {
    let (mut problems, mut fields) = (Problems::default(), Vec::new());
    for (index, written) in names.iter().enumerate() {
        match FieldPath::as_indexed(written, &path.index(index), prepare) {
            Ok(paths) => fields.extend(paths),
            Err(problem) => problems.push(problem),
        }
    }
    problems.or(fields)
}

/// The numbers of fields that are replaced as a whole, and of those that are searched.
const WHOLE: usize = 0;
const SEARCHED: usize = 1;

struct Mask {
    fields: Arc<FieldPaths>,
    masker: Masker,
    space: EditSpace,
    masked: Counter,
}

impl Bolt for Mask {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let (fields, masker, space) = (&*self.fields, &mut self.masker, &mut self.space);
        let mut masked = 0;
        batch.judge(out, |record| {
            let changed = fields.change(record, space, |raw, places, out| {
                let count = masker.mask(raw, places, out);
                masked += count;
                count > 0
            });
            match changed {
                Ok(()) => Verdict::Keep,
                Err(error) => Verdict::Reject(no_document(error)),
            }
        });
        self.masked.add(masked);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
