//! What the options of a lookup and the columns of its table mean together.

use isobar_topology::spec::{Path, Problem, Problems};
use isobar_topology::{Prepare, json};

use super::read::{Field, Shape, TableFormat, columns};
use super::table_file::TableError;
use super::{LookupConfig, OnMissing};
use crate::field_path::FieldPath;

/// A problem of the file.
pub(super) fn about_file(config: &LookupConfig, path: &Path, error: &TableError) -> Problem {
    Problem::new(path.key("file"), format!("{}: {error}", config.file))
        .expected("a table that can be read")
}

/// What to take from the file, as far as options and the names of its columns tell.
pub(super) fn shape(
    config: &LookupConfig,
    path: &Path,
    prepare: &Prepare<'_>,
) -> Result<Shape, Problems> {
    let mut problems = Problems::default();
    let bytes_max = config.table_bytes_max.get();
    if bytes_max > 1 << 31 {
        let problem = Problem::new(
            path.key("table_bytes_max"),
            format!("found {}", config.table_bytes_max),
        );
        problems.push(problem.expected("at most 2GiB"));
    }
    if config.on_missing == OnMissing::Reject && !config.default.is_empty() {
        let problem = Problem::new(path.key("default"), "records without a row are rejected");
        problems.push(problem.expected("`on_missing: keep`, or no defaults"));
    }
    let Some(format) = problems.take(format(config, path)) else {
        return Err(problems);
    };
    let file = prepare.file(&config.file);
    let names = columns(&file, format, bytes_max).map_err(|e| about_file(config, path, &e).into());
    let Some(names) = problems.take(names) else {
        return Err(problems);
    };
    let known = |column: &str, path: Path, problems: &mut Problems| {
        // A table of JSON without rows has no columns, and need not have them yet.
        if !names.is_empty() && !names.iter().any(|name| name == column) {
            let names = names.iter().map(String::as_str);
            let shown = names.clone().take(20).collect::<Vec<_>>().join(", ");
            problems.push(
                Problem::new(path, format!("{} has no column `{column}`", config.file))
                    .expected(format!("one of {shown}"))
                    .near(column, names),
            );
        }
    };
    known(&config.key, path.key("key"), &mut problems);
    let pairs: Vec<(String, String)> = match &config.fields {
        Some(fields) => {
            let named = fields.iter().filter_map(|(written, column)| {
                let path = path.key("fields").key(written);
                // Names inside of an object are names and nothing else.
                if config.target.is_none() {
                    let checked = FieldPath::check(written, &path);
                    problems.take(checked.map_err(Problems::from))?;
                }
                known(column, path, &mut problems);
                Some((written.clone(), column.clone()))
            });
            named.collect()
        }
        None => {
            let others = names.iter().filter(|name| **name != config.key);
            others.map(|name| (name.clone(), name.clone())).collect()
        }
    };
    if pairs.is_empty() && problems.is_empty() {
        let problem = Problem::new(path.key("fields"), "there is no field to set");
        problems.push(problem.expected("fields of the document, each with a column of the table"));
    }
    for (name, value) in &config.default {
        if value.as_str().is_some_and(|text| text.contains("{{")) {
            let problem = Problem::new(path.key("default").key(name), "a template");
            problems.push(problem.expected("a constant; `set_fields` takes templates"));
        }
        if !pairs.iter().any(|(field, _)| is_called(field, name)) {
            let fields = pairs.iter().map(|(field, _)| field.as_str());
            problems.push(
                Problem::new(
                    path.key("default").key(name),
                    "it is not a field of this lookup",
                )
                .expected(format!(
                    "one of {}",
                    fields.clone().take(20).collect::<Vec<_>>().join(", ")
                ))
                .near(name, fields),
            );
        }
    }
    let fields = pairs.into_iter().map(|(name, column)| Field {
        default: (config.default.iter())
            .find(|(of, _)| is_called(&name, of))
            .map(|(_, value)| value.to_string().into_bytes())
            .unwrap_or_default(),
        name,
        column,
    });
    problems.or(Shape {
        format,
        key: config.key.clone(),
        fields: fields.collect(),
        nested: config.target.is_some(),
        bytes_max,
    })
}

/// Whether a field is meant by a name, with or without the brackets around one with dots.
fn is_called(field: &str, name: &str) -> bool {
    let bare = field.strip_prefix("[\"");
    field == name || bare.and_then(|field| field.strip_suffix("\"]")) == Some(name)
}

fn format(config: &LookupConfig, path: &Path) -> Result<TableFormat, Problems> {
    let ending = config.file.rsplit_once('.').map(|(_, ending)| ending);
    match (config.format, ending) {
        (Some(format), _) => Ok(format),
        (None, Some("csv")) => Ok(TableFormat::Csv),
        (None, Some("ndjson" | "jsonl")) => Ok(TableFormat::Ndjson),
        (None, _) => {
            let text = format!(
                "the name {} does not tell how the file is written",
                config.file
            );
            let problem = Problem::new(path.key("file"), text);
            Err(problem
                .expected("a name in .csv, .ndjson or .jsonl, or the option `format`")
                .into())
        }
    }
}

/// The fields that are set, in the order of the values of a row.
pub(super) fn fields(
    config: &LookupConfig,
    shape: &Shape,
    path: &Path,
    prepare: &mut Prepare<'_>,
) -> Result<Vec<FieldPath>, Problems> {
    if let Some(target) = &config.target {
        return Ok(vec![FieldPath::new(target, &path.key("target"), prepare)?]);
    }
    let path = path.key("fields");
    let (mut fields, mut problems): (Vec<FieldPath>, _) = (Vec::new(), Problems::default());
    for Field { name, .. } in &shape.fields {
        let path = path.key(name);
        let field = match config.fields {
            Some(_) => FieldPath::new(name, &path, prepare),
            // Columns may be called anything.
            None => FieldPath::named(name, &path, prepare),
        };
        match field {
            Ok(field) if fields.iter().any(|known| known.overlaps(&field)) => {
                let text = format!("the field `{name}` is set twice");
                problems.push(
                    Problem::new(path, text)
                        .expected("each field once, and none inside of another one that is set"),
                );
            }
            Ok(field) => fields.push(field),
            Err(problem) => problems.push(problem),
        }
    }
    problems.or(fields)
}

/// The values of a record without a row: raw JSON, empty for none.
pub(super) fn defaults(shape: &Shape) -> Vec<Vec<u8>> {
    if !shape.nested {
        return shape
            .fields
            .iter()
            .map(|field| field.default.clone())
            .collect();
    }
    let mut object = vec![b'{'];
    for field in shape
        .fields
        .iter()
        .filter(|field| !field.default.is_empty())
    {
        if object.len() > 1 {
            object.push(b',');
        }
        json::write_string(&mut object, &field.name);
        object.push(b':');
        object.extend_from_slice(&field.default);
    }
    object.push(b'}');
    let is_empty = object == b"{}";
    vec![if is_empty { Vec::new() } else { object }]
}
