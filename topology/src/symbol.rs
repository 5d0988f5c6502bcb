//! Field names as small numbers. Only names that the topology mentions are interned, so hostile keys
//! in the input cannot grow memory.
//!
//! The table is built while a topology is prepared and never changes while it runs.

use crate::json;

/// A top-level field name that the topology mentions: an index into the slots of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(u16);

impl Symbol {
    /// The position of the field's slot in each record.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The names of a topology, by [`Symbol`].
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    names: Vec<Name>,
    /// Open addressing: index into `names` plus one, 0 for empty. Always a power of two, at most
    /// half full.
    table: Vec<u16>,
}

#[derive(Clone, Debug)]
struct Name {
    text: String,
    /// The name as a JSON member starts: `"name":`.
    encoded: Vec<u8>,
}

impl Symbols {
    /// Most names that one topology may mention. A file that mentions more is refused.
    pub const MAX: usize = 4096;

    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the symbol of a name, adding it when new; `None` when the table is full.
    pub fn intern(&mut self, name: &str) -> Option<Symbol> {
        if let Some(known) = self.lookup(name.as_bytes()) {
            return Some(known);
        }
        if self.names.len() >= Self::MAX {
            return None;
        }
        let symbol = Symbol(u16::try_from(self.names.len()).ok()?);
        let mut encoded = Vec::with_capacity(name.len() + 3);
        json::write_string(&mut encoded, name);
        encoded.push(b':');
        self.names.push(Name {
            text: name.to_owned(),
            encoded,
        });
        self.rebuild();
        Some(symbol)
    }

    /// Returns the symbol of a name that was interned. `name` is the key as text, without escapes.
    #[inline]
    pub fn lookup(&self, name: &[u8]) -> Option<Symbol> {
        self.lookup_hashed(name, json::key_hash(name))
    }

    /// As [`Symbols::lookup`], of a name whose hash is known.
    #[inline]
    pub(crate) fn lookup_hashed(&self, name: &[u8], hash: u32) -> Option<Symbol> {
        if self.table.is_empty() {
            return None;
        }
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let entry = self.table[at];
            if entry == 0 {
                return None;
            }
            let index = usize::from(entry - 1);
            if self.names[index].text.as_bytes() == name {
                return Some(Symbol(entry - 1));
            }
            at = (at + 1) & mask;
        }
    }

    /// The name of a symbol.
    pub fn name(&self, symbol: Symbol) -> &str {
        &self.names[symbol.index()].text
    }

    /// The name as a JSON member starts, `"name":`.
    pub(crate) fn encoded(&self, symbol: Symbol) -> &[u8] {
        &self.names[symbol.index()].encoded
    }

    /// How many names there are: the number of slots of each record.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no name was interned.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The symbols in the order in which they were interned.
    pub fn iter(&self) -> impl Iterator<Item = Symbol> + use<> {
        (0..u16::try_from(self.names.len()).unwrap_or(u16::MAX)).map(Symbol)
    }

    fn rebuild(&mut self) {
        let size = (self.names.len() * 4).next_power_of_two().max(16);
        self.table.clear();
        self.table.resize(size, 0);
        for (index, name) in self.names.iter().enumerate() {
            let mut at = json::key_hash(name.text.as_bytes()) as usize & (size - 1);
            while self.table[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            self.table[at] = u16::try_from(index + 1).expect("at most MAX names");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_one_symbol_and_unknown_names_have_none() {
        let mut symbols = Symbols::new();
        let names: Vec<String> = (0..500).map(|n| format!("field_{n}_with_a_tail")).collect();
        for name in &names {
            assert!(symbols.intern(name).is_some());
        }
        for (index, name) in names.iter().enumerate() {
            let symbol = symbols.lookup(name.as_bytes()).expect("interned above");
            assert_eq!(symbol.index(), index);
            assert_eq!(symbols.intern(name), Some(symbol));
        }
        assert_eq!(symbols.lookup(b"field_500_with_a_tail"), None);
        assert_eq!(symbols.lookup(b""), None);
    }

    #[test]
    fn a_full_table_refuses_new_names_and_keeps_the_old() {
        let mut symbols = Symbols::new();
        for n in 0..Symbols::MAX {
            assert!(symbols.intern(&n.to_string()).is_some());
        }
        assert_eq!(symbols.intern("one more"), None);
        assert!(symbols.intern("0").is_some());
    }
}
