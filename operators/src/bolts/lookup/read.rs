//! Reads a table from a file of CSV or of JSON lines.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use isobar_topology::json::{self, Kind};
use schemars::JsonSchema;
use serde::Deserialize;

use super::rows::Rows;
use super::table::Table;
use super::table_file::{Bounded, Place, ROW_BYTES_MAX, Signature, TableError, with_file};

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TableFormat {
    /// Comma-separated values with a first line of column names.
    Csv,
    /// One JSON object per line.
    Ndjson,
}

/// What is taken from a file, and what becomes of it.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) format: TableFormat,
    /// The column that is searched.
    pub(super) key: String,
    pub(super) fields: Vec<Field>,
    /// One value per row, an object of all fields, instead of one for each field.
    pub(super) nested: bool,
    /// Most bytes of the file, and of the table made of it.
    pub(super) bytes_max: usize,
}

/// A field of documents.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// The column that its value comes from.
    pub(super) column: String,
    /// Raw JSON for rows that have no value; empty for none.
    pub(super) default: Vec<u8>,
}

impl Shape {
    /// Values in a row of the table.
    pub(super) fn values(&self) -> usize {
        if self.nested { 1 } else { self.fields.len() }
    }
}

/// Reads a table. Waits for the disk, and takes a while for large files.
pub(super) fn read(path: &Path, shape: &Shape) -> Result<(Table, Signature), TableError> {
    with_file(path, shape.bytes_max, |file| match shape.format {
        TableFormat::Csv => read_csv(file, shape),
        TableFormat::Ndjson => read_ndjson(file, shape),
    })
}

/// The names of all columns, in the order in which they first occur.
pub(super) fn columns(
    path: &Path,
    format: TableFormat,
    bytes_max: usize,
) -> Result<Vec<String>, TableError> {
    let read = with_file(path, bytes_max, |file| match format {
        TableFormat::Csv => header(&mut csv_reader(file)),
        TableFormat::Ndjson => ndjson_columns(file),
    });
    read.map(|(columns, _)| columns)
}

/// Most columns of a table; Elasticsearch takes 1000 fields per index by default.
const COLUMNS_MAX: usize = 1_000;

fn csv_reader(file: Bounded<'_>) -> csv::Reader<Bounded<'_>> {
    csv::ReaderBuilder::new().from_reader(file)
}

fn csv_error(error: csv::Error) -> TableError {
    let place = error
        .position()
        .map(|position| Place::Byte(position.byte()));
    let text = match error.kind() {
        csv::ErrorKind::Io(error) => format!("cannot be read: {error}"),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("the row has {len} cells, the first line {expected_len}"),
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    match place {
        Some(place) => TableError::at(place, text),
        None => TableError::new(text),
    }
}

fn header(reader: &mut csv::Reader<Bounded<'_>>) -> Result<Vec<String>, TableError> {
    let names = reader.headers().map_err(csv_error)?;
    let names: Vec<String> = names.iter().map(str::to_owned).collect();
    if names.is_empty() {
        return Err(TableError::at(
            Place::Line(1),
            "the file is empty; the first line names the columns",
        ));
    }
    if names.len() > COLUMNS_MAX {
        return Err(TableError::at(
            Place::Line(1),
            format!("more than {COLUMNS_MAX} columns"),
        ));
    }
    for (number, name) in names.iter().enumerate() {
        if names[..number].contains(name) {
            return Err(TableError::at(
                Place::Line(1),
                format!("two columns are called `{name}`"),
            ));
        }
    }
    Ok(names)
}

fn read_csv(file: Bounded<'_>, shape: &Shape) -> Result<Table, TableError> {
    let mut reader = csv_reader(file);
    let names = header(&mut reader)?;
    let place = |column: &str| {
        let found = names.iter().position(|name| name == column);
        found
            .ok_or_else(|| TableError::at(Place::Line(1), format!("there is no column `{column}`")))
    };
    let key = place(&shape.key)?;
    let fields = shape.fields.iter().map(|field| place(&field.column));
    let fields: Vec<usize> = fields.collect::<Result<_, _>>()?;
    let mut rows = Rows::new(shape, Place::Byte);
    let mut record = csv::ByteRecord::new();
    let mut start = 0;
    while reader.read_byte_record(&mut record).map_err(csv_error)? {
        reader.get_mut().left = ROW_BYTES_MAX;
        start = record.position().map_or(start, csv::Position::byte);
        for (cell, name) in record.iter().zip(&names) {
            if std::str::from_utf8(cell).is_err() {
                let error = TableError::at(Place::Byte(start), "not UTF-8");
                return Err(error.column(format!("`{name}`")));
            }
        }
        rows.add(start, &record[key], |number, out| {
            let cell = &record[fields[number]];
            if !cell.is_empty() {
                json::write_bytes_lossy(out, cell);
            }
        })?;
    }
    rows.finish(start)
}

fn read_ndjson(file: Bounded<'_>, shape: &Shape) -> Result<Table, TableError> {
    let mut rows = Rows::new(shape, Place::Line);
    // Several fields can take their values from one column.
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, field) in shape.fields.iter().enumerate() {
        places.entry(&field.column).or_default().push(number);
    }
    let mut cells = vec![None; shape.fields.len()];
    let last = each_object(file, |line, text| {
        let mut key = None;
        cells.fill(None);
        scan(line, text, |name, value| {
            let is_null = Kind::of(&text[value.clone()]) == Kind::Null;
            for place in places.get(name).into_iter().flatten() {
                cells[*place] = Some(value.clone()).filter(|_| !is_null);
            }
            if name == shape.key {
                key = Some(value);
            }
        })?;
        let in_key =
            |text: &str| TableError::at(Place::Line(line), text).column(format!("`{}`", shape.key));
        let key = key.ok_or_else(|| in_key("the row has no key"))?;
        let value = &text[key];
        let key = match Kind::of(value) {
            Kind::String => json::string(value).expect("it is a string").into_owned(),
            Kind::Number | Kind::Bool => String::from_utf8_lossy(value).into_owned(),
            _ => {
                return Err(in_key(
                    "the key is neither text nor a number, nor true or false",
                ));
            }
        };
        rows.add(line, key.as_bytes(), |number, out| {
            if let Some(value) = &cells[number] {
                out.extend_from_slice(&text[value.clone()]);
            }
        })
    })?;
    rows.finish(last)
}

fn ndjson_columns(file: Bounded<'_>) -> Result<Vec<String>, TableError> {
    let mut names: Vec<String> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    let _lines = each_object(file, |line, text| {
        scan(line, text, |name, _| {
            if known.len() <= COLUMNS_MAX && known.insert(name.to_owned()) {
                names.push(name.to_owned());
            }
        })?;
        match known.len() > COLUMNS_MAX {
            true => Err(TableError::at(
                Place::Line(line),
                format!("more than {COLUMNS_MAX} columns"),
            )),
            false => Ok(()),
        }
    })?;
    Ok(names)
}

/// Calls `each` with the number and the text of each line that is not empty; returns the last number.
fn each_object(
    file: Bounded<'_>,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), TableError>,
) -> Result<u64, TableError> {
    let mut file = BufReader::new(file);
    let mut text = Vec::new();
    let mut line = 0;
    loop {
        text.clear();
        let read = file.read_until(b'\n', &mut text);
        let cannot =
            |error| TableError::at(Place::Line(line + 1), format!("cannot be read: {error}"));
        if read.map_err(cannot)? == 0 {
            return Ok(line);
        }
        line += 1;
        file.get_mut().left = ROW_BYTES_MAX;
        if line == 1 && text.starts_with(b"\xEF\xBB\xBF") {
            let _ = text.drain(..3);
        }
        let trimmed = text.trim_ascii();
        if !trimmed.is_empty() {
            each(line, trimmed)?;
        }
    }
}

/// Calls `visit` with the name and the place of the value of each member of an object.
fn scan(
    line: u64,
    text: &[u8],
    mut visit: impl FnMut(&str, std::ops::Range<usize>),
) -> Result<(), TableError> {
    let scanned = json::scan_object(text, |member| {
        let name = json::unescape(member.key.of(text));
        visit(
            &name,
            member.value.start as usize..member.value.end as usize,
        );
    });
    match scanned {
        Ok(_) => Ok(()),
        Err(error) => Err(TableError::at(Place::Line(line), error.problem).column(error.at + 1)),
    }
}
