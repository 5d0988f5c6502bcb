//! Makes a table of rows, given their cells.

use isobar_topology::json;

use super::read::Shape;
use super::table::{Builder, Table, Unfit};
use super::table_file::{Place, TableError};

/// Adds rows to a table, given their cells as raw JSON.
pub(super) struct Rows<'s> {
    shape: &'s Shape,
    /// Makes a place of the number that a row was added with.
    place: fn(u64) -> Place,
    builder: Builder,
    /// The cells of a row, in the order of the shape's fields: ranges of `text`.
    cells: Vec<std::ops::Range<usize>>,
    text: Vec<u8>,
}

impl<'s> Rows<'s> {
    pub(super) fn new(shape: &'s Shape, place: fn(u64) -> Place) -> Self {
        Self {
            shape,
            place,
            builder: Builder::new(shape.values(), shape.bytes_max),
            cells: Vec::new(),
            text: Vec::new(),
        }
    }

    /// Adds the row at a place. `cell` appends the raw JSON of the cell of a field, or nothing where it has none.
    pub(super) fn add(
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
    pub(super) fn finish(mut self, last: u64) -> Result<Table, TableError> {
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
            Unfit::SameKey { first, second } => TableError::at(
                (self.place)(second.into()),
                "the key of this row is the key of",
            )
            .and((self.place)(first.into())),
        }
    }
}
