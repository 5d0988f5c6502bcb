//! What commands print: results to standard output, as tables for people or JSON for programs.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use comfy_table::{CellAlignment, Row, presets};
use serde::Serialize;

/// Where results are written.
#[derive(Clone)]
pub struct Output {
    writer: Arc<Mutex<dyn Write + Send>>,
    is_read: Arc<AtomicBool>,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Self::to(io::stdout())
    }

    /// Any other place.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Self {
            writer: Arc::new(Mutex::new(writer)),
            is_read: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Whether somebody reads what is written, as far as the last writing told: what writes again and
    /// again ends when nobody does.
    pub fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Relaxed)
    }

    /// Writes a text, [`printable`]. That nobody reads any more (`isobar operators | head`) is no
    /// failure.
    pub fn text(&self, text: &str) -> anyhow::Result<()> {
        self.write(printable(text).as_bytes()).map(|_| ())
    }

    /// Writes a text and ends the line.
    pub fn line(&self, text: &str) -> anyhow::Result<()> {
        self.text(&format!("{text}\n"))
    }

    /// Writes a value as indented JSON.
    pub fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(value).context("cannot write JSON")?;
        text.push('\n');
        // As it is: JSON escapes what a terminal would obey, but for U+0080 to U+009F, which are data.
        self.write(text.as_bytes()).map(|_| ())
    }

    /// Writes bytes; `false` when nobody reads any more.
    pub fn write(&self, bytes: &[u8]) -> anyhow::Result<bool> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match writer.write_all(bytes).and_then(|()| writer.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_read.store(false, Ordering::Relaxed);
                Ok(false)
            }
            Err(error) => Err(error).context("cannot write to standard output"),
        }
    }
}

/// A text that a terminal only shows: parts of it may be of records, and so of anybody, and control
/// characters could rewrite the screen. Only ends of lines and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    match text.contains(obeyed) {
        true => text.replace(obeyed, "\u{fffd}").into(),
        false => text.into(),
    }
}

/// A table without lines: columns of text, numbers to the right.
pub struct Table(comfy_table::Table);

impl Table {
    /// A table with these columns; names that end in `>` are of numbers.
    pub fn new<'a>(columns: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = comfy_table::Table::new();
        let columns: Vec<&str> = columns.into_iter().collect();
        let names = columns.iter().map(|name| name.trim_end_matches('>'));
        let _ = table.load_style(presets::NOTHING).set_header(names);
        for (number, name) in columns.iter().enumerate() {
            if let Some(column) = table.column_mut(number) {
                let _ = column.set_padding((0, 2));
                if name.ends_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self(table)
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let _ = self
            .0
            .add_row(Row::from(cells.into_iter().collect::<Vec<_>>()));
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text, each line ended, without blanks at the ends of lines.
    pub fn text(&self) -> String {
        let lines = self.0.to_string();
        lines
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect()
    }
}

/// A whole number with commas between thousands.
pub fn number(value: impl TryInto<i128>) -> String {
    let Ok(value) = value.try_into() else {
        return "?".to_owned();
    };
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

/// The first of so many, and how many more there are.
pub fn and_more(first: &[String], count: u64) -> String {
    match count.saturating_sub(first.len() as u64) {
        0 => first.join(", "),
        more => format!("{} and {} more", first.join(", "), number(more)),
    }
}

/// A number that may be unknown.
pub fn known(value: Option<impl TryInto<i128>>) -> String {
    value.map_or_else(|| "?".to_owned(), number)
}

/// A size in the largest unit that leaves a number of at least 1, with one decimal where it is small.
pub fn bytes(value: usize) -> String {
    let (unit, factor) = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .find(|(_, factor)| value >= *factor)
        .unwrap_or(("B", 1));
    let size = value as f64 / factor as f64;
    if value.is_multiple_of(factor) || size >= 100.0 {
        format!("{size:.0} {unit}")
    } else {
        format!("{size:.1} {unit}")
    }
}

/// A length of time in ms as people say it.
pub fn time(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        3_600_000..86_400_000 => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{} d {} h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567, -12_345].map(number),
            ["0", "999", "1,000", "1,234,567", "-12,345"]
        );
        assert_eq!(known(None::<u64>), "?");
        assert_eq!(
            [0, 1023, 1 << 10, 1_600_000, 200 << 20, 3 << 30].map(bytes),
            ["0 B", "1023 B", "1 KiB", "1.5 MiB", "200 MiB", "3 GiB"]
        );
        assert_eq!(
            [5, 61_000, 1_250, 3_700_000, 90_000_000].map(time),
            ["5 ms", "1 min 1 s", "1.2 s", "1 h 1 min", "1 d 1 h"]
        );
    }

    #[test]
    fn tables_are_plain_text() {
        let mut table = Table::new(["SPOUT", "READ>"]);
        table.row(["logs".to_owned(), "1,000".to_owned()]);
        table.row(["a".to_owned(), "5".to_owned()]);
        assert_eq!(table.text(), "SPOUT   READ\nlogs   1,000\na          5\n");
    }

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        assert_eq!(
            printable("a\u{1b}]52;c;eA==\u{7}\tb\u{9b}2J\r\n"),
            "a\u{fffd}]52;c;eA==\u{fffd}\tb\u{fffd}2J\u{fffd}\n"
        );
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let output = Output::to(Gone);
        assert!(output.is_read());
        output.text("x").expect("no failure");
        assert!(!output.is_read());
    }
}
