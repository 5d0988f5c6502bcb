//! A table in memory: keys, and for each a row of values as raw JSON, back to back in one text.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use isobar_topology::json::Span;

/// A table that does not change any more.
#[derive(Debug)]
pub(super) struct Table {
    text: Vec<u8>,
    /// Row by row: the key, then the values. Values that a row does not have are empty.
    spans: Vec<Span>,
    /// Spans of a row.
    width: usize,
    /// Open addressing: number of a row plus one, 0 for a free place. A power of two, at most half
    /// full.
    index: Vec<u32>,
    /// Seeded, so that whoever chooses keys cannot choose equal hashes.
    hasher: RandomState,
}

impl Table {
    /// The number of the row with this key.
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        let mask = self.index.len() - 1;
        let mut at = self.hasher.hash_one(key) as usize & mask;
        loop {
            let row = self.index[at].checked_sub(1)? as usize;
            if self.key(row) == key {
                return Some(row);
            }
            at = (at + 1) & mask;
        }
    }

    /// A value of a row, by its number from 0; `None` where the row has none.
    pub(super) fn value(&self, row: usize, value: usize) -> Option<&[u8]> {
        let value = self.spans[row * self.width + 1 + value].of(&self.text);
        Some(value).filter(|value| !value.is_empty())
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.spans.len() / self.width
    }

    /// Bytes that the table takes.
    pub(super) fn size(&self) -> usize {
        self.text.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.index.capacity() * size_of::<u32>()
    }

    fn key(&self, row: usize) -> &[u8] {
        self.spans[row * self.width].of(&self.text)
    }
}

/// Why a table cannot be finished.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It takes more memory than it may.
    TooLarge,
    /// The rows at these places have one key.
    SameKey { first: u32, second: u32 },
}

/// Fills a table row by row, within a bound of memory.
pub(super) struct Builder {
    table: Table,
    /// Where each row is in its file.
    places: Vec<u32>,
    bytes_max: usize,
}

impl Builder {
    /// Starts a table with so many values in a row. It takes at most `bytes_max` while it grows, up to
    /// 2 GiB.
    pub(super) fn new(values: usize, bytes_max: usize) -> Self {
        const POSITIONS: usize = 1 << 31;
        Self {
            table: Table {
                text: Vec::new(),
                spans: Vec::new(),
                width: values + 1,
                index: Vec::new(),
                hasher: RandomState::new(),
            },
            places: Vec::new(),
            bytes_max: bytes_max.min(POSITIONS),
        }
    }

    /// Adds the row at a place of its file: its key, then its values, of which an empty one is none.
    pub(super) fn add<'v>(
        &mut self,
        place: u32,
        key: &[u8],
        values: impl Iterator<Item = &'v [u8]>,
    ) -> Result<(), Unfit> {
        self.push(key)?;
        for value in values {
            self.push(value)?;
        }
        let others = self.size() - size_of_capacity(&self.places);
        grow(&mut self.places, 1, others, self.bytes_max)?;
        self.places.push(place);
        debug_assert_eq!(self.table.spans.len(), self.places.len() * self.table.width);
        Ok(())
    }

    /// Ends the filling.
    pub(super) fn finish(mut self) -> Result<Table, Unfit> {
        let places = (self.places.len() * 2).next_power_of_two();
        let size = self.size();
        grow(&mut self.table.index, places, size, self.bytes_max)?;
        self.table.index.resize(places, 0);
        let mask = places - 1;
        for row in 0..self.places.len() {
            let key = self.table.key(row);
            if let Some(first) = self.table.find(key) {
                return Err(Unfit::SameKey {
                    first: self.places[first],
                    second: self.places[row],
                });
            }
            let mut at = self.table.hasher.hash_one(key) as usize & mask;
            while self.table.index[at] != 0 {
                at = (at + 1) & mask;
            }
            self.table.index[at] = row as u32 + 1;
        }
        Ok(self.table)
    }

    fn push(&mut self, text: &[u8]) -> Result<(), Unfit> {
        let others = self.size() - self.table.text.capacity();
        grow(&mut self.table.text, text.len(), others, self.bytes_max)?;
        let others = self.size() - size_of_capacity(&self.table.spans);
        grow(&mut self.table.spans, 1, others, self.bytes_max)?;
        let start = self.table.text.len() as u32;
        self.table.text.extend_from_slice(text);
        let end = self.table.text.len() as u32;
        self.table.spans.push(Span { start, end });
        Ok(())
    }

    fn size(&self) -> usize {
        self.table.size() + size_of_capacity(&self.places)
    }
}

fn size_of_capacity<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}

/// Makes room for `more` elements. While a list moves, its old place counts too.
fn grow<T>(list: &mut Vec<T>, more: usize, others: usize, bytes_max: usize) -> Result<(), Unfit> {
    let needed = list.len() + more;
    if needed <= list.capacity() {
        return Ok(());
    }
    let free = bytes_max.saturating_sub(others + size_of_capacity(list)) / size_of::<T>();
    if needed > free {
        return Err(Unfit::TooLarge);
    }
    let roomy = needed.max(list.capacity() * 2).max(64);
    list.reserve_exact(roomy.min(free) - list.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;

    const PLENTY: usize = 1 << 30;

    #[test]
    fn an_empty_table_finds_nothing() {
        let table = Builder::new(1, PLENTY).finish().expect("fits");
        assert_eq!((table.rows(), table.find(b"")), (0, None));
    }

    #[test]
    fn a_key_that_occurs_twice_is_told_with_both_places() {
        let mut builder = Builder::new(0, PLENTY);
        for (line, key) in [(2, "a"), (3, "b"), (5, "a")] {
            builder
                .add(line, key.as_bytes(), std::iter::empty())
                .expect("fits");
        }
        let unfit = builder.finish().expect_err("two rows of one key");
        assert_eq!(
            unfit,
            Unfit::SameKey {
                first: 2,
                second: 5
            }
        );
    }

    #[test]
    fn a_table_never_takes_more_than_it_may() {
        let bytes_max = 100_000;
        let mut builder = Builder::new(1, bytes_max);
        let mut line = 0;
        let unfit = loop {
            line += 1;
            let key = line.to_string();
            if let Err(unfit) = builder.add(line, key.as_bytes(), [&b"\"value\""[..]].into_iter()) {
                break unfit;
            }
            assert!(builder.size() <= bytes_max);
        };
        assert_eq!(unfit, Unfit::TooLarge);
        // Growing by doubling must still leave most of the room for rows: 27 bytes each.
        assert!(line > 1_000, "{line}");
    }

    proptest! {
        #[test]
        fn every_row_is_found_by_its_key(
            rows in prop::collection::btree_map(prop::collection::vec(any::<u8>(), 0..6), "[a-z]{0,3}", 0..200),
            other in prop::collection::vec(any::<u8>(), 0..6),
        ) {
            let rows: BTreeMap<Vec<u8>, String> = rows;
            let mut builder = Builder::new(2, PLENTY);
            for (line, (key, value)) in rows.iter().enumerate() {
                let values = [value.as_bytes(), b"1"];
                prop_assert!(builder.add(line as u32, key, values.into_iter()).is_ok());
            }
            let table = builder.finish().expect("keys differ");
            prop_assert_eq!(table.rows(), rows.len());
            for (key, value) in &rows {
                let row = table.find(key).expect("was added");
                let expected = Some(value.as_bytes()).filter(|value| !value.is_empty());
                prop_assert_eq!(table.value(row, 0), expected);
                prop_assert_eq!(table.value(row, 1), Some(&b"1"[..]));
            }
            prop_assert_eq!(table.find(&other).is_some(), rows.contains_key(&other));
        }
    }
}
