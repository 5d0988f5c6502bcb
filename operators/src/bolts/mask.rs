//! `mask`: takes personal data out of documents: whole fields, and what patterns find in text.

mod card_number;
mod ipv6;
mod patterns;
mod text;

use std::sync::Arc;

use isobar_topology::spec::{Component, Path, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Counter, Emitter, Example, OperatorError, Prepare,
    PreparedBolt, RecordMut, Rejection, Symbol, Verdict, json,
};
use schemars::JsonSchema;
use serde::Deserialize;

use patterns::Find;
use text::Masker;

use crate::field_name;

pub(super) const TYPE: BoltType = BoltType {
    name: "mask",
    schema: || schemars::schema_for!(MaskConfig),
    example: EXAMPLE,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: mask
inputs: [parse]
fields: [secret, password]
search: [message, user]
patterns: [email, card_number, 'token=\\w+']
",
    &[r#"{"user":"frank","secret":"x","message":"mail to frank@example.com, token=abc1"}"#],
);

/// Takes personal data out of documents before they are stored.
///
/// The values of `fields` are replaced as a whole, whatever they are. In the values of `search`, and in
/// all texts and numbers inside of them, what a pattern finds is replaced. Names of fields stay.
///
/// Only the document is changed: what the topology rejects later goes to its dead letters as it was read.
/// Moves the metric `masked_values`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskConfig {
    /// Top-level fields whose values are replaced as a whole, by their whole names.
    #[serde(default)]
    fields: Vec<String>,
    /// Top-level fields whose values are searched for `patterns`.
    #[serde(default)]
    search: Vec<String>,
    /// What to look for: `email`, `ipv4`, `ipv6`, `card_number` (13 to 19 digits, with spaces or dashes,
    /// whose check digit is right, whatever stands beside them), or regular expressions as in
    /// `parse_regex`, such as `token=\w+`; `(?:secret)` finds just this text. They are looked for one after
    /// the other.
    #[serde(default)]
    patterns: Vec<String>,
    /// What stands in place of what was found. Default `***`.
    #[serde(default = "stars")]
    replacement: String,
}

fn stars() -> String {
    "***".to_owned()
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: MaskConfig = parse_config(&component.config, &component.path)?;
    let path = |option: &str| component.path.key(option);
    let mut problems = Problems::default();
    let whole = problems.take(symbols(&config.fields, &path("fields"), prepare));
    let searched = problems.take(symbols(&config.search, &path("search"), prepare));
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
    problems.or(())?;
    let (whole, searched) = whole.zip(searched).expect("no problem means both");
    let mut replacement = Vec::new();
    json::write_string(&mut replacement, &config.replacement);
    let (finds, plain): (Arc<[Find]>, Arc<str>) = (finds.into(), config.replacement.into());
    Ok(PreparedBolt {
        memory_per_lane: finds.iter().map(Find::finder_size).sum(),
        memory_shared: finds.iter().map(Find::size).sum(),
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(Mask {
                whole: whole.clone(),
                searched: searched.clone(),
                replacement: replacement.clone(),
                masker: Masker::new(&finds, Arc::clone(&plain)),
                value: Vec::new(),
                masked: context.counters.counter(
                    "masked_values",
                    "Values of fields in which something was replaced.",
                ),
            })
        }))
    })
}

fn symbols(
    names: &[String],
    path: &Path,
    prepare: &mut Prepare<'_>,
) -> Result<Vec<Symbol>, Problems> {
    let mut problems = Problems::default();
    let symbols = names.iter().enumerate().filter_map(|(index, written)| {
        let path = path.index(index);
        let name = field_name::top_level(written, &path);
        let name = name.and_then(|name| whole_name(name, written, &path));
        let symbol = name.and_then(|name| prepare.symbol(name, &path));
        problems.take(symbol.map_err(Problems::from))
    });
    let symbols = symbols.collect();
    problems.or(symbols)
}

/// Refuses what is meant for many fields: it would hide none.
fn whole_name<'n>(name: &'n str, written: &str, path: &Path) -> Result<&'n str, Problem> {
    if name == written && name.contains('*') {
        let problem = Problem::new(
            path.clone(),
            format!("`{written}` does not stand for many fields"),
        );
        return Err(problem.expected(format!(
            "the name of each field, or [\"{written}\"] for one that has a star in its name"
        )));
    }
    Ok(name)
}

struct Mask {
    whole: Vec<Symbol>,
    searched: Vec<Symbol>,
    /// As JSON.
    replacement: Vec<u8>,
    masker: Masker,
    /// A value with what was found replaced.
    value: Vec<u8>,
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
            Err(error) => Verdict::Reject(Rejection::new("no_document", error.to_string())),
        });
        self.masked.add(masked);
        Ok(())
    }
}

impl Mask {
    /// How many values were changed.
    fn mask(&mut self, record: &mut RecordMut<'_>) -> Result<u64, isobar_topology::NoDocument> {
        let mut masked = 0;
        for field in &self.searched {
            let view = record.view();
            let Some(raw) = view.get(*field) else {
                continue;
            };
            self.value.clear();
            if self.masker.mask(raw, &mut self.value) {
                record.set(*field, &self.value)?;
                masked += 1;
            }
        }
        for field in &self.whole {
            if record.view().get(*field).is_some() {
                record.set(*field, &self.replacement)?;
                masked += 1;
            }
        }
        Ok(masked)
    }
}

#[cfg(test)]
mod tests;
