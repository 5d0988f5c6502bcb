//! `split`: makes several records of one.

mod parts;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Counter, DocumentUse, Emitter, Example, OperatorError,
    Ordinals, Policy, Prepare, PreparedBolt, Rejection, Symbol, Verdict, clock,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::field_name;
use crate::field_path::{EditSpace, FieldPath};
use parts::{NoParts, Parts, Source};

pub(super) const TYPE: BoltType = BoltType {
    name: "split",
    schema: || schemars::schema_for!(SplitConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: split
inputs: [parse]
field: events
as: document
",
    &[
        r#"{"sender":"web-1","events":[{"a":1},{"a":2},3]}"#,
        r#"{"sender":"web-1","events":[]}"#,
    ],
);

/// Parts that are made at a time, before those behind it have taken them: what bounds the memory. One
/// record is always split as a whole.
const ENOUGH: usize = 4_096;

/// Makes several records of one: of the elements of an array, or of the lines of a text.
///
/// Where each record is a JSON array of events, put `{type: split, value: json_array}` before the
/// `parse_json`, which gets each of them alone.
///
/// Each part is a record of its own from here on, with a document, an index and a dead letter of its own.
/// Its id is that of the record with the number of the part behind it, from 0, which the document also has
/// as `n` in its origin: a record that is read again gives the same ids. So the number of parts, and their
/// order, should follow from the record alone, and a change of these options makes other ids.
///
/// The accounting counts records that were read, so a record counts once, as the worst of its parts: as
/// delivered when all of them are, as dead-lettered when one of them is. What counts parts: the edges behind
/// this bolt, the bolts there, and `parts` of this one. A part that fails is sent again with its whole
/// record; the other parts are already present then. The dead letter of a part holds the whole record, and
/// a redrive sends that through once, whatever part was rejected.
///
/// A record is rejected as a whole as `missing_field` when it lacks the field, as `no_parts` when that is
/// neither an array nor a text, and as `too_many_parts`. With `as: document` a part that is no object is
/// rejected alone, as `not_an_object`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitConfig {
    /// The field with the array or the text, such as `events` or `payload.events`. Default: the record's
    /// value is split, for a parser that comes behind this bolt.
    field: Option<String>,
    /// What the record's value is, where that is split: `text`, with parts between separators, or
    /// `json_array`, with its elements as parts; a value of another kind, such as a single object, is one
    /// part then, and an array that is not sound JSON is rejected as `invalid_json`. Default `text`.
    #[serde(default)]
    value: ValueForm,
    /// What stands between the parts of a text, such as `","`. Empty parts are left out and have no number.
    /// Default: line ends.
    separator: Option<String>,
    /// What a part is: `field`, a record with all fields of the whole one, and the part in place of the
    /// array or text; `document`, an object that is the document, without the other fields. Default
    /// `field`.
    #[serde(default, rename = "as")]
    shape: Shape,
    /// The top-level field that gets the part, with `as: field`; the one that is split is removed then.
    /// Default: the one that is split, where that is a top-level field itself.
    into: Option<String>,
    /// Parts of one record at most; one with more is rejected. Default 1000.
    #[serde(default = "max_parts")]
    #[schemars(range(min = 1, max = 65535))]
    max_parts: u16,
    /// What becomes of a record without parts: an empty array, null, or a text with nothing in it. `drop`
    /// leaves it out, under the policy `<bolt id>.empty`; `reject` makes a dead letter of it. Default
    /// `drop`.
    #[serde(default)]
    on_empty: OnEmpty,
}

/// What the value of a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ValueForm {
    /// A text with parts between separators.
    #[default]
    Text,
    /// An array of JSON.
    JsonArray,
}

const _: () = assert!(Ordinals::PARTS_MAX == u16::MAX as usize);

fn max_parts() -> u16 {
    1_000
}

/// What a part is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Shape {
    /// The record with the part in a field.
    #[default]
    Field,
    /// The part alone.
    Document,
}

/// What becomes of a record without parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnEmpty {
    /// It is left out, by a policy.
    #[default]
    Drop,
    /// It is rejected.
    Reject,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: SplitConfig = parse_config(&component.config, &component.path)?;
    let at = |option: &str| component.path.key(option);
    let mut problems = Problems::default();
    let field = (config.field.as_deref())
        .map(|written| FieldPath::new(written, &at("field"), prepare))
        .transpose();
    let field = problems.take(field.map_err(Problems::from)).flatten();
    let into = config.into.as_deref().map(|written| {
        let path = at("into");
        prepare.symbol(field_name::top_level(written, &path)?, &path)
    });
    let into = problems
        .take(into.transpose().map_err(Problems::from))
        .flatten();
    let is_document = config.shape == Shape::Document;
    let needs = |option: &str, what: &str| {
        Problem::new(at(option), "there is no `field` to split").expected(what.to_owned())
    };
    if config.field.is_none() && is_document {
        problems.push(needs("as", "`field`, the name of a field with an array"));
    }
    if config.field.is_none() && config.into.is_some() {
        problems.push(needs(
            "into",
            "`field`, or no `into`: a parser behind this bolt makes documents of the parts",
        ));
    }
    for (option, is_given) in [
        ("into", config.into.is_some()),
        ("separator", config.separator.is_some()),
    ] {
        if is_document && is_given && config.field.is_some() {
            let text = "a part that is the document has no use for it";
            problems.push(Problem::new(at(option), text).expected("`as: field`, or nothing here"));
        }
    }
    let is_array = config.value == ValueForm::JsonArray;
    for (option, is_given) in [
        ("field", config.field.is_some()),
        ("separator", config.separator.is_some()),
    ] {
        if is_array && is_given {
            let text = "an array that is the record's value has no use for it";
            problems
                .push(Problem::new(at(option), text).expected("`value: text`, or nothing here"));
        }
    }
    let is_inside = field
        .as_ref()
        .is_some_and(|field| field.top_level().is_none());
    if is_inside && !is_document && config.into.is_none() {
        // Each part would have a copy of what is around it.
        let text = "`field` is inside of another";
        problems.push(
            Problem::new(at("into"), text)
                .expected("`into`, the top-level field that gets the part, or `as: document`"),
        );
    }
    if config.separator.as_deref() == Some("") {
        problems.push(
            Problem::new(at("separator"), "it is empty")
                .expected("one character or more, such as \",\""),
        );
    }
    let policy = match config.on_empty {
        OnEmpty::Reject => None,
        OnEmpty::Drop => {
            let policy = prepare.policy(&format!("{}.empty", component.id), &at("on_empty"));
            problems.take(policy.map_err(Problems::from))
        }
    };
    problems.or(())?;
    let becomes = match &field {
        None => Part::Value,
        Some(_) if is_document => Part::Document,
        Some(field) => Part::Field(
            into.or(field.top_level())
                .expect("one inside of another has `into`"),
        ),
    };
    let source = Source {
        field,
        separator: config.separator.map(String::into_bytes),
        is_array,
        takes_text: !is_document,
        parts_max: usize::from(config.max_parts),
    };
    Ok(PreparedBolt {
        document: match becomes {
            Part::Value => DocumentUse::Unmakes("field: NAME"),
            _ => DocumentUse::Needs,
        },
        copies: match becomes {
            Part::Value => 0,
            // What is left around the field, and the parts.
            Part::Document | Part::Field(_) => 2,
        },
        parts_per_lane: ENOUGH + source.parts_max,
        facts: vec![(
            "parts".to_owned(),
            format!("at most {} of a record", config.max_parts),
        )],
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(Split {
                field: source.field.clone(),
                parts: Parts::new(source.clone()),
                space: EditSpace::default(),
                becomes,
                policy,
                waiting: VecDeque::new(),
                made_at: clock::now(),
                made: context.counters.counter(
                    "parts",
                    "Records that were made by splitting others, those sent again included.",
                ),
            })
        }))
    })
}

/// What a part becomes.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// The record's value.
    Value,
    /// The document.
    Document,
    /// A field of the whole record, without the one that was split.
    Field(Symbol),
}

struct Split {
    /// What is split; `None` for the record's value.
    field: Option<FieldPath>,
    parts: Parts,
    space: EditSpace,
    becomes: Part,
    /// By which records without parts are dropped; `None` rejects them.
    policy: Option<Policy>,
    /// What is not split yet, in order. Its records are in flight either way.
    waiting: VecDeque<Batch>,
    /// A time that has passed.
    made_at: clock::Instant,
    made: Counter,
}

impl Bolt for Split {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        self.waiting.push_back(batch);
        self.split_some(out);
        Ok(())
    }

    /// At once, while something waits: the parts that were made have gone on by then.
    fn deadline(&self) -> Option<clock::Instant> {
        (!self.waiting.is_empty()).then_some(self.made_at)
    }

    async fn flush(&mut self, out: &mut Emitter) -> Result<(), OperatorError> {
        self.split_some(out);
        Ok(())
    }
}

impl Split {
    fn split_some(&mut self, out: &mut Emitter) {
        let Some(batch) = self.waiting.pop_front() else {
            return;
        };
        let (parts, policy, becomes) = (&mut self.parts, self.policy, self.becomes);
        let (field, space) = (&self.field, &mut self.space);
        parts.clear();
        let split = batch.split(out, ENOUGH, |record| {
            let count = parts.find(record.view());
            let count = count.map_err(|none| match (none, policy) {
                (NoParts::Empty(_), Some(policy)) => Verdict::Drop(policy),
                (none, _) => Verdict::Reject(none.into()),
            })?;
            // Once, and not for each part: it may be long.
            if let (Part::Field(_), Some(field)) = (becomes, field) {
                field.remove(record, space);
            }
            Ok(count)
        });
        if let Some(rest) = split.rest {
            self.waiting.push_front(rest);
        }
        let Some(batch) = split.parts else { return };
        self.made.add(batch.len() as u64);
        let mut found = self.parts.iter();
        batch.judge(out, |part| {
            let (text, range) = found.next().expect("one for each row");
            match becomes {
                Part::Value => part.narrow(range),
                Part::Document => {
                    if let Err(error) = part.adopt_object(text) {
                        let text = format!("The part is no object: {error}");
                        return Verdict::Reject(Rejection::new("not_an_object", text));
                    }
                }
                Part::Field(into) => {
                    part.set(into, text).expect("the field is of a document");
                }
            }
            Verdict::Keep
        });
    }
}
