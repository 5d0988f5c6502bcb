//! `lookup`: adds fields from a table, found by a value of the record.

mod options;
mod read;
mod reload;
mod rows;
mod table;
mod table_file;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use isobar_topology::clock::Instant;
use isobar_topology::spec::units::{ByteSize, Duration};
use isobar_topology::spec::{Component, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltContext, BoltType, Counter, Emitter, Example, OperatorError, Prepare,
    PreparedBolt, Record, RecordMut, Rejection, Shared, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::expression::Expression;
use crate::field_path::{EditSpace, FieldPath, no_document};
use crate::field_paths::FieldPaths;
use options::{about_file, defaults, fields, shape};
use read::TableFormat;
use reload::{Follower, Source};
use table_file::ROW_BYTES_MAX;

pub(super) const TYPE: BoltType = BoltType {
    name: "lookup",
    schema: || schemars::schema_for!(LookupConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: false,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: lookup
inputs: [parse]
file: hosts.csv
key: host
from: doc.host
fields: {zone: zone, team: owner}
default: {team: unknown}
",
    &[r#"{"host":"web-1"}"#, r#"{"host":"db-1"}"#],
)
.with_files(&[(
    "hosts.csv",
    "host,zone,owner\nweb-1,eu-west,search\nweb-2,eu-north,\n",
)]);

/// Adds fields from a table: the row whose key equals a value of the record gives the fields.
///
/// The table is a file of CSV with a first line of column names, or of JSON with one object per line.
/// A table with `host,zone,owner` and the options `key: host`, `from: doc.host`,
/// `fields: {zone: zone, team: owner}` sets `zone` and `team` by the record's `host`. Fields that a
/// document has already are replaced. `host.zone` is the field inside of `host`, `["host.zone"]` one with a
/// dot in its name; objects that are not there are made, and a record that has something else there is
/// rejected as `not_an_object`. Values of CSV are text; JSON keeps its types. An empty cell, a
/// missing member and null are no value, and set nothing.
///
/// The table is read when the topology starts, and again when the file has changed. Replace the file
/// by renaming a new one to its name. A file that cannot be read, does not fit, or has lost too many
/// rows is refused: the table before stays in use, and the health of the topology says so. Columns
/// are taken up when the topology starts.
///
/// Counts `hits`, `misses`, `reloads` and `reloads_refused`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupConfig {
    /// The file of the table; a relative path starts at the directory of the topology file.
    file: String,
    /// How the file is written. Default: `csv` for names that end in `.csv`, `ndjson` for those in
    /// `.ndjson` or `.jsonl`.
    format: Option<TableFormat>,
    /// The column that is searched. Its values must not repeat. Numbers of JSON count as their text.
    key: String,
    /// An expression for what is searched, such as `doc.host` or `doc.app + '/' + doc.env`.
    from: String,
    /// Fields of the document, each with the column that its value comes from. Default: every column
    /// but `key`, under its own name.
    fields: Option<BTreeMap<String, String>>,
    /// One field for an object of all fields, such as `about` or `host.about`, instead of the fields
    /// themselves, whose names are then names in that object.
    target: Option<String>,
    /// What becomes of a record without a row: `keep` lets it go on, `reject` sends it to `rejected`
    /// as `lookup_missing`. A record that lacks what `from` asks for is one without a row. Default
    /// `keep`.
    #[serde(default)]
    on_missing: OnMissing,
    /// Constant values of fields where the table has none for a record. Default: none.
    #[serde(default)]
    default: BTreeMap<String, serde_json::Value>,
    /// How often to look whether the file has changed; `0s` for never. Default 10s.
    #[serde(default = "reload_interval")]
    reload_interval: Duration,
    /// The part of its rows, in percent from 0% to 100%, that a changed table may have lost and still
    /// be taken. Default 50%.
    #[serde(default)]
    shrink_limit: Percent,
    /// Most bytes of the file, and of the table made of it; up to 2GiB. Old and new table are in
    /// memory together for a while, so the topology may need twice as much. Default 64MiB.
    #[serde(default = "table_bytes_max")]
    table_bytes_max: ByteSize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnMissing {
    #[default]
    Keep,
    Reject,
}

fn reload_interval() -> Duration {
    Duration::secs(10)
}

fn table_bytes_max() -> ByteSize {
    ByteSize::mib(64)
}

/// A whole number of percent, from 0% to 100%.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
struct Percent(u8);

impl Default for Percent {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text
            .strip_suffix('%')
            .and_then(|text| text.trim_end().parse().ok());
        let percent = number.filter(|percent| *percent <= 100);
        percent
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a part: write a whole number from 0% to 100%"))
    }
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: LookupConfig = parse_config(&component.config, &component.path)?;
    let path = &component.path;
    let mut problems = Problems::default();
    let from = Expression::compile(&config.from, &path.key("from"), prepare);
    let from = problems.take(from.map_err(Problems::from));
    let shape = problems.take(shape(&config, path, prepare));
    let fields = shape.as_ref().and_then(|shape| {
        let fields = fields(&config, shape, path, prepare);
        problems.take(fields)
    });
    let source = shape.and_then(|shape| {
        let interval = Some(config.reload_interval.get()).filter(|interval| !interval.is_zero());
        let file = prepare.file(&config.file);
        let loaded = Source::load(file, shape, interval, config.shrink_limit.0);
        problems.take(loaded.map_err(|error| about_file(&config, path, &error).into()))
    });
    problems.or(())?;
    let made = from.zip(fields).zip(source);
    let ((from, fields), source) = made.expect("no problem means all three");
    let size = source.table().size();
    let rows = source.table().rows();
    let mut inside = FieldPaths::default();
    for (number, field) in fields.iter().enumerate() {
        if field.top_level().is_none() {
            inside.add(field, number);
        }
    }
    let prepared = Arc::new(Prepared {
        defaults: defaults(source.shape()),
        file: config.file.clone(),
        source: Arc::new(source),
        from,
        fields,
        inside,
        on_missing: config.on_missing,
    });
    Ok(PreparedBolt {
        // While a table is read, besides old and new there is a row as it is written and as JSON.
        memory_shared: 2 * config.table_bytes_max.get() + 4 * ROW_BYTES_MAX,
        facts: vec![(
            "table".to_owned(),
            format!("{}: {rows} rows, {}", config.file, ByteSize::bytes(size)),
        )],
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(Lookup::new(&prepared, &context))
        }))
    })
}

/// What all lanes share.
struct Prepared {
    source: Arc<Source>,
    /// As the topology file names it.
    file: String,
    from: Expression,
    fields: Vec<FieldPath>,
    /// Those that are inside of others, by their numbers.
    inside: FieldPaths,
    defaults: Vec<Vec<u8>>,
    on_missing: OnMissing,
}

struct Lookup {
    prepared: Arc<Prepared>,
    follower: Follower,
    hits: Counter,
    misses: Counter,
    batch: InBatch,
    space: EditSpace,
}

/// What was found for the records of a batch; kept for its memory.
#[derive(Default)]
struct InBatch {
    key: Vec<u8>,
    /// Where the values of each record start in `values`; `None` for a miss.
    places: Vec<Option<usize>>,
    /// Values for misses, and for each row of the table that occurs.
    values: Vec<Option<Found>>,
    /// Those for fields inside of others.
    text: Vec<u8>,
    /// Where the values of a row of the table start.
    place_of_row: HashMap<usize, usize>,
    misses: usize,
}

/// A value that was found.
enum Found {
    /// It was put into the batch.
    Shared(Shared),
    /// Where it is among those for fields inside of others.
    Inside(Range<usize>),
}

impl Lookup {
    fn new(prepared: &Arc<Prepared>, context: &BoltContext) -> Self {
        let counters = &context.counters;
        Self {
            prepared: Arc::clone(prepared),
            follower: Follower::new(&prepared.source, context),
            hits: counters.counter("hits", "Records for which the table has a row."),
            misses: counters.counter("misses", "Records for which the table has no row."),
            batch: InBatch::default(),
            space: EditSpace::default(),
        }
    }
}

impl Bolt for Lookup {
    async fn process(&mut self, mut batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        self.follower.follow(out);
        let (prepared, found) = (&*self.prepared, &mut self.batch);
        found.find(&mut batch, prepared, self.follower.table());
        self.misses.add(found.misses as u64);
        self.hits.add((batch.len() - found.misses) as u64);
        let InBatch {
            places,
            values,
            text,
            key,
            ..
        } = found;
        let mut places = places.iter();
        let (text, space, count) = (text.as_slice(), &mut self.space, prepared.fields.len());
        batch.judge(out, |record| {
            let set = match places.next() {
                Some(Some(place)) => prepared.set(record, &values[*place..][..count], text, space),
                _ if prepared.on_missing == OnMissing::Reject => {
                    Err(prepared.missing(record.view(), key))
                }
                _ => prepared.set(record, &values[..count], text, space),
            };
            set.map_or_else(Verdict::Reject, |()| Verdict::Keep)
        });
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.follower.deadline()
    }

    async fn flush(&mut self, out: &mut Emitter) -> Result<(), OperatorError> {
        self.follower.follow(out);
        Ok(())
    }
}

impl InBatch {
    /// Finds the row of each record. Every row that occurs is put into the batch once.
    fn find(&mut self, batch: &mut Batch, prepared: &Prepared, table: &table::Table) {
        self.places.clear();
        self.values.clear();
        self.text.clear();
        self.place_of_row.clear();
        self.misses = 0;
        for (field, value) in prepared.fields.iter().zip(&prepared.defaults) {
            let value = Some(value.as_slice()).filter(|value| !value.is_empty());
            let found = value.map(|value| found(field, value, batch, &mut self.text));
            self.values.push(found);
        }
        for record in 0..batch.len() {
            self.key.clear();
            let written = prepared
                .from
                .write_text(batch.record(record), &mut self.key);
            let row = written.ok().and_then(|()| table.find(&self.key));
            let Some(row) = row else {
                self.misses += 1;
                self.places.push(None);
                continue;
            };
            let place = *self.place_of_row.entry(row).or_insert_with(|| {
                let place = self.values.len();
                for (number, field) in prepared.fields.iter().enumerate() {
                    let value = table.value(row, number);
                    let found = value.map(|value| found(field, value, batch, &mut self.text));
                    self.values.push(found);
                }
                place
            });
            self.places.push(Some(place));
        }
    }
}

/// Keeps a value for the records of a batch.
fn found(field: &FieldPath, value: &[u8], batch: &mut Batch, inside: &mut Vec<u8>) -> Found {
    match field.top_level() {
        Some(symbol) => Found::Shared(batch.share(symbol, value)),
        None => {
            let start = inside.len();
            inside.extend_from_slice(value);
            Found::Inside(start..inside.len())
        }
    }
}

impl Prepared {
    /// Sets the fields to values, of which `text` has those that are inside of others.
    fn set(
        &self,
        record: &mut RecordMut<'_>,
        values: &[Option<Found>],
        text: &[u8],
        space: &mut EditSpace,
    ) -> Result<(), Rejection> {
        for value in values {
            if let Some(Found::Shared(value)) = value {
                record.set_shared(*value).map_err(no_document)?;
            }
        }
        let inside = |number: usize| match &values[number] {
            Some(Found::Inside(range)) => Some(&text[range.clone()]),
            _ => None,
        };
        self.inside
            .set(record, space, inside, |number| &self.fields[number])
    }

    #[cold]
    fn missing(&self, record: Record<'_>, key: &mut Vec<u8>) -> Rejection {
        Rejection::new("lookup_missing", self.why_missing(record, key))
    }

    fn why_missing(&self, record: Record<'_>, key: &mut Vec<u8>) -> String {
        key.clear();
        match self.from.write_text(record, key) {
            Ok(()) => {
                let key = String::from_utf8_lossy(&key[..key.len().min(200)]);
                format!("{} has no row for {key:?}", self.file)
            }
            Err(undefined) => format!(
                "there is nothing to look up: {}",
                self.from.explain(undefined)
            ),
        }
    }
}
