//! Reads a table from a file of CSV or of JSON lines.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use isobar_topology::json::{self, Kind};
use schemars::JsonSchema;
use serde::Deserialize;

use super::table::{Builder, Table, Unfit};

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

/// Why a file gives no table.
#[derive(Debug)]
pub(super) struct TableError {
    place: Option<Place>,
    /// In bytes from 1, or the column's name.
    column: Option<String>,
    text: String,
    /// Another row that the text speaks of.
    other: Option<Place>,
}

/// Where a row is in a file.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// From 1.
    Line(u64),
    /// A byte at the start of the row or of empty lines before it; becomes a line when it is told.
    Byte(u64),
}

impl TableError {
    fn new(text: impl Into<String>) -> Self {
        Self {
            place: None,
            column: None,
            text: text.into(),
            other: None,
        }
    }

    fn at(place: Place, text: impl Into<String>) -> Self {
        Self {
            place: Some(place),
            ..Self::new(text)
        }
    }

    fn column(self, column: impl fmt::Display) -> Self {
        Self {
            column: Some(column.to_string()),
            ..self
        }
    }

    /// Finds the lines of its places.
    fn with_lines(self, mut file: &File) -> Self {
        let mut line = |place: Place| match place {
            Place::Line(_) => Some(place),
            Place::Byte(byte) => line_at(&mut file, byte).ok().map(Place::Line),
        };
        Self {
            place: self.place.and_then(&mut line),
            other: self.other.and_then(line),
            ..self
        }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place::Line(line)) = self.place {
            write!(f, "line {line}")?;
            if let Some(column) = &self.column {
                write!(f, ", column {column}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.text)?;
        if let Some(Place::Line(line)) = self.other {
            write!(f, " line {line}, too")?;
        }
        Ok(())
    }
}

/// The number of the first line that is not empty, at or behind a byte.
fn line_at(file: &mut &File, byte: u64) -> io::Result<u64> {
    let _start = file.seek(io::SeekFrom::Start(0))?;
    let mut line = 1;
    for (at, read) in (0..).zip(BufReader::new(file).bytes()) {
        match read? {
            b'\n' => line += 1,
            b'\r' => {}
            _ if at >= byte => break,
            _ => {}
        }
    }
    Ok(line)
}

/// What tells that a file is not the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Signature {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
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

fn with_file<T>(
    path: &Path,
    bytes_max: usize,
    read: impl FnOnce(Bounded<'_>) -> Result<T, TableError>,
) -> Result<(T, Signature), TableError> {
    let cannot = |error: io::Error| TableError::new(format!("cannot be read: {error}"));
    // Opening something else than a file, such as a pipe, could wait for ever.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(TableError::new("is not a file"));
    }
    let file = File::open(path).map_err(cannot)?;
    let before = file.metadata().map_err(cannot)?;
    if before.size() > bytes_max as u64 {
        return Err(TableError::new(format!(
            "has {} bytes, more than table_bytes_max ({bytes_max})",
            before.size()
        )));
    }
    let made = read(Bounded {
        file: (&file).take(before.size()),
        left: ROW_BYTES_MAX,
    });
    let made = made.map_err(|error| error.with_lines(&file))?;
    let after = Signature::of(&file.metadata().map_err(cannot)?);
    if after != Signature::of(&before) {
        return Err(TableError::new("changed while it was read"));
    }
    Ok((made, after))
}

/// Longest row, in bytes, to the size of a buffer: an unclosed quote must not take the whole file into
/// memory at once.
pub(super) const ROW_BYTES_MAX: usize = 1 << 20;

/// A file of which only so much is read before the caller asks for the next row.
struct Bounded<'f> {
    file: io::Take<&'f File>,
    left: usize,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(
                "a row of more than 1 MiB; is a quote left open?",
            ));
        }
        let length = buffer.len().min(self.left);
        let read = self.file.read(&mut buffer[..length])?;
        self.left -= read;
        Ok(read)
    }
}

/// Adds rows to a table, given their cells as raw JSON.
struct Rows<'s> {
    shape: &'s Shape,
    /// Makes a place of the number that a row was added with.
    place: fn(u64) -> Place,
    builder: Builder,
    /// The cells of a row, in the order of the shape's fields: ranges of `text`.
    cells: Vec<std::ops::Range<usize>>,
    text: Vec<u8>,
}

impl<'s> Rows<'s> {
    fn new(shape: &'s Shape, place: fn(u64) -> Place) -> Self {
        Self {
            shape,
            place,
            builder: Builder::new(shape.values(), shape.bytes_max),
            cells: Vec::new(),
            text: Vec::new(),
        }
    }

    /// Adds the row at a place. `cell` appends the raw JSON of the cell of a field, or nothing where it has none.
    fn add(
        &mut self,
        place: u64,
        key: &[u8],
        mut cell: impl FnMut(usize, &mut Vec<u8>),
    ) -> Result<(), TableError> {
        if key.is_empty() {
            let error = TableError::at((self.place)(place), "the key is empty");
            return Err(error.column(format!("`{}`", self.shape.key)));
        }
        let (text, cells) = (&mut self.text, &mut self.cells);
        text.clear();
        cells.clear();
        let nested = self.shape.nested;
        if nested {
            text.push(b'{');
        }
        for (number, field) in self.shape.fields.iter().enumerate() {
            let start = text.len();
            if nested {
                json::write_string(text, &field.name);
                text.push(b':');
            }
            let value = text.len();
            cell(number, text);
            if text.len() == value {
                text.extend_from_slice(&field.default);
            }
            if nested {
                match text.len() == value {
                    true => text.truncate(start),
                    false => text.push(b','),
                }
            }
            cells.push(start..text.len());
        }
        if nested {
            if text.last() == Some(&b',') {
                let _ = text.pop();
            }
            text.push(b'}');
            cells.clear();
            cells.push(0..text.len());
        }
        // An object without members adds nothing to a document.
        let has_value = |cell: &[u8]| !(nested && cell == b"{}");
        let values = cells.iter().map(|cell| &text[cell.clone()]);
        let values = values.map(|cell| if has_value(cell) { cell } else { b"" });
        let number = u32::try_from(place).expect("the file has at most 2 GiB");
        let added = self.builder.add(number, key, values);
        added.map_err(|unfit| self.unfit(place, &unfit))
    }

    /// Makes the table of rows up to the one at `last`.
    fn finish(mut self, last: u64) -> Result<Table, TableError> {
        let empty = Builder::new(0, 0);
        let finished = std::mem::replace(&mut self.builder, empty).finish();
        finished.map_err(|unfit| self.unfit(last, &unfit))
    }

    fn unfit(&self, place: u64, unfit: &Unfit) -> TableError {
        match *unfit {
            Unfit::TooLarge => TableError::at(
                (self.place)(place),
                format!(
                    "the table takes more memory than table_bytes_max ({} bytes)",
                    self.shape.bytes_max
                ),
            ),
            Unfit::SameKey { first, second } => TableError {
                other: Some((self.place)(first.into())),
                ..TableError::at(
                    (self.place)(second.into()),
                    "the key of this row is the key of",
                )
            },
        }
    }
}

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
    TableError {
        place,
        ..TableError::new(text)
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
