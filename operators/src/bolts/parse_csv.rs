//! `parse_csv`: makes documents of lines whose values stand in columns.

mod line;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use isobar_topology::json;
use isobar_topology::spec::{Component, Path, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Emitter, Example, OperatorError, Prepare, PreparedBolt,
    RecordMut, Rejection, Symbol,
};
use schemars::JsonSchema;
use serde::Deserialize;

use line::Values;

use crate::field_name;
use crate::text_source::{self, TextSource, WriteFields};
use crate::unfit::{OnInvalid, Unfit};

pub(super) const TYPE: BoltType = BoltType {
    name: "parse_csv",
    schema: || schemars::schema_for!(ParseCsvConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: parse_csv
inputs: [logs]
columns: [time, host, status, message]
",
    &[
        r#"2026-01-31T06:00:00Z,web-1,200,"all, well""#,
        "2026-01-31T06:00:00Z,web-1",
    ],
);

/// Makes a document of a line of CSV (RFC 4180), whose columns it knows.
///
/// Every value is text; the bolt `convert` makes numbers of some. A value may stand in double quotes,
/// with delimiters and line breaks in it and each quote twice. An empty value without quotes is left
/// out.
///
/// A line is rejected as `invalid_csv`, with the position of what is wrong, when it has more or fewer
/// values than there are columns, or when a quote is not closed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseCsvConfig {
    /// The names of the columns, in order: each becomes a field. The values of a column with an empty
    /// name are left out.
    columns: Vec<String>,
    /// The character between two values, of ASCII, such as `;` or a tab. Default `,`.
    #[serde(default = "comma")]
    delimiter: String,
    /// A field with the line, such as `log` or `event.original`; what is found becomes fields of the
    /// document. Default: the record's value is parsed.
    field: Option<String>,
    /// What becomes of a record whose `field` is missing or does not fit: `reject`, or `keep` as it is, counted
    /// by the metric `unparsed_fields`. Default `reject`.
    #[serde(default)]
    on_invalid: OnInvalid,
}

fn comma() -> String {
    ",".to_owned()
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: ParseCsvConfig = parse_config(&component.config, &component.path)?;
    let mut problems = Problems::default();
    let source = TextSource::new(
        config.field.as_deref(),
        config.on_invalid,
        component,
        prepare,
    );
    let source = problems.take(source);
    let columns = columns(&config.columns, &component.path.key("columns"), prepare);
    let columns = problems.take(columns);
    let delimiter = match config.delimiter.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Some(*byte),
        _ => {
            let text = format!("`{}` is not a delimiter", config.delimiter);
            problems.push(
                Problem::new(component.path.key("delimiter"), text)
                    .expected("one character of ASCII other than a quote or a line end, such as ;"),
            );
            None
        }
    };
    problems.or(())?;
    let source = source.expect("no problem means a source");
    let (columns, delimiter) = columns.zip(delimiter).expect("no problem means both");
    Ok(PreparedBolt {
        document: source.document_use(),
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(ParseCsv {
                source: source.clone(),
                unfit: source.unfit(&context),
                values: Values::new(delimiter, columns.len()),
                columns: Arc::clone(&columns),
            })
        }))
    })
}

fn columns(
    names: &[String],
    path: &Path,
    prepare: &mut Prepare<'_>,
) -> Result<Arc<[Option<Symbol>]>, Problems> {
    let mut problems = Problems::default();
    let mut columns: Vec<Option<Symbol>> = Vec::new();
    for (index, written) in names.iter().enumerate() {
        let path = path.index(index);
        if written.is_empty() {
            columns.push(None);
            continue;
        }
        let name = field_name::top_level(written, &path);
        let symbol = name.and_then(|name| prepare.symbol(name, &path));
        let symbol = problems.take(symbol.map_err(Problems::from));
        if symbol.is_some() && columns.contains(&symbol) {
            problems.push(
                Problem::new(path, format!("the column `{written}` is there twice"))
                    .expected("each name once, or an empty name for a column to leave out"),
            );
        }
        columns.push(symbol);
    }
    if !names.iter().any(|name| !name.is_empty()) {
        problems.push(
            Problem::new(path.clone(), "no column is named")
                .expected("the names of the columns, such as [time, host]"),
        );
    }
    problems.or(columns.into())
}

struct ParseCsv {
    source: TextSource,
    unfit: Unfit,
    values: Values,
    /// The field of each column; `None` for those that are left out.
    columns: Arc<[Option<Symbol>]>,
}

impl Bolt for ParseCsv {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let unfit = self.unfit.clone();
        unfit.judge(batch, out, |record| self.parse(record));
        Ok(())
    }
}

impl ParseCsv {
    fn parse(&mut self, record: &mut RecordMut<'_>) -> Result<(), Rejection> {
        let reads_field = self.source.field().is_some();
        let text = self.source.read(record)?;
        let (values, columns) = (&mut self.values, &*self.columns);
        values
            .read(text)
            .map_err(|wrong| wrong.rejection(columns.len()))?;
        text_source::write(record, reads_field, |document| {
            values.for_each(text, |column, value| {
                if let Some(field) = columns[column] {
                    document.member(field, |out| json::write_bytes_lossy(out, value));
                }
            });
        });
        Ok(())
    }
}
