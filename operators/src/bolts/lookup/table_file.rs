//! The file of a table: opening it within bounds, telling whether it changed, and what is said when it
//! gives no table.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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
pub(super) enum Place {
    /// From 1.
    Line(u64),
    /// A byte at the start of the row or of empty lines before it; becomes a line when it is told.
    Byte(u64),
}

impl TableError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            place: None,
            column: None,
            text: text.into(),
            other: None,
        }
    }

    pub(super) fn at(place: Place, text: impl Into<String>) -> Self {
        Self {
            place: Some(place),
            ..Self::new(text)
        }
    }

    /// Adds another row, which ends the sentence.
    pub(super) fn and(self, other: Place) -> Self {
        Self {
            other: Some(other),
            ..self
        }
    }

    pub(super) fn column(self, column: impl fmt::Display) -> Self {
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

/// Opens a file and reads it; fails if it is not the same at the end.
pub(super) fn with_file<T>(
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
pub(super) struct Bounded<'f> {
    file: io::Take<&'f File>,
    /// Bytes that may still be read.
    pub(super) left: usize,
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
