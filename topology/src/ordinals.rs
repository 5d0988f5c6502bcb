//! Which part of its record a record is, once it was split: part of the id, so it can never change.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The numbers of a part among its siblings, from 0: the outermost split first. Empty for a record that
/// was not split.
///
/// They sort as the parts lie in the record, a record before its parts.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ordinals(
    /// Sixteen bits for each level from the highest on: the number plus one, 0 where there is none. One
    /// word, since every record has it, split or not.
    u64,
);

const BITS: u32 = 16;

impl Ordinals {
    /// Of a record that was not split.
    pub const NONE: Ordinals = Ordinals(0);

    /// Most splits that a record can go through, one behind the other.
    pub const DEPTH_MAX: usize = (u64::BITS / BITS) as usize;

    /// Most parts of one split.
    pub const PARTS_MAX: usize = (1 << BITS) - 1;

    /// Whether the record was not split.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The same, to leave it out of what is serialized.
    pub fn is_none(&self) -> bool {
        self.is_empty()
    }

    /// Whether it is a part of what `outer` stands for, or that itself.
    pub fn is_of(self, outer: Ordinals) -> bool {
        let mut numbers = self.iter();
        outer.iter().all(|number| numbers.next() == Some(number))
    }

    /// How many splits it went through.
    pub fn depth(self) -> usize {
        self.iter().count()
    }

    /// The numbers, the outermost first.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        let levels = (0..Self::DEPTH_MAX as u32).rev();
        let levels = levels.map(move |level| (self.0 >> (level * BITS)) as u16);
        let numbers = levels.take_while(|level| *level > 0);
        numbers.map(|level| u32::from(level) - 1)
    }

    /// The part of this number of what these stand for; `None` when it is too deep or too far.
    pub fn part(self, number: usize) -> Option<Ordinals> {
        let level = Self::DEPTH_MAX.checked_sub(self.depth() + 1)?;
        let fits = number < Self::PARTS_MAX;
        fits.then(|| Ordinals(self.0 | (number as u64 + 1) << (level as u32 * BITS)))
    }
}

/// As in dead letters: `3`, or `3.0` for a part of a part.
impl fmt::Display for Ordinals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (level, number) in self.iter().enumerate() {
            let dot = if level > 0 { "." } else { "" };
            write!(f, "{dot}{number}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Ordinals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Why a text is no [`Ordinals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the numbers of a part: expected 3, or 3.0 for a part of a part")]
pub struct NoOrdinals;

impl FromStr for Ordinals {
    type Err = NoOrdinals;

    fn from_str(text: &str) -> Result<Self, NoOrdinals> {
        text.split('.').try_fold(Self::NONE, |of, number| {
            let number = number.parse().map_err(|_| NoOrdinals)?;
            of.part(number).ok_or(NoOrdinals)
        })
    }
}

/// As in documents: null, one number, or an array of them for a part of a part.
impl Serialize for Ordinals {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut numbers = self.iter();
        match (numbers.next(), self.depth()) {
            (None, _) => to.serialize_none(),
            (Some(only), 1) => to.serialize_u32(only),
            _ => to.collect_seq(self.iter()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(numbers: &[usize]) -> Option<Ordinals> {
        let mut numbers = numbers.iter();
        numbers.try_fold(Ordinals::NONE, |of, number| of.part(*number))
    }

    #[test]
    fn there_is_room_for_four_levels_of_65535_parts() {
        let last = Ordinals::PARTS_MAX - 1;
        let deepest = of(&[last; 4]).expect("it fits");
        assert_eq!(deepest.iter().collect::<Vec<_>>(), [65_534; 4]);
        assert_eq!(deepest.part(0), None);
        assert_eq!(Ordinals::NONE.part(last + 1), None);
        assert_eq!(size_of::<Ordinals>(), 8);
    }

    #[test]
    fn texts_that_are_no_ordinals_are_refused() {
        for text in ["", "x", "1.", "-1", "65535", "0.0.0.0.0"] {
            assert_eq!(text.parse::<Ordinals>(), Err(NoOrdinals), "{text}");
        }
    }

    #[test]
    fn they_are_written_as_a_number_or_an_array() {
        for (numbers, text, json) in [
            (&[][..], "", "null"),
            (&[7], "7", "7"),
            (&[7, 0], "7.0", "[7,0]"),
        ] {
            let ordinals = of(numbers).expect("it fits");
            assert_eq!(ordinals.to_string(), text);
            assert_eq!(serde_json::to_string(&ordinals).expect("JSON"), json);
        }
    }

    proptest! {
        #[test]
        fn they_sort_as_their_numbers_and_are_read_as_written(
            a in prop::collection::vec(0..Ordinals::PARTS_MAX, 0..=4),
            b in prop::collection::vec(0..Ordinals::PARTS_MAX, 0..=4),
        ) {
            let (of_a, of_b) = (of(&a).expect("it fits"), of(&b).expect("it fits"));
            prop_assert_eq!(of_a.cmp(&of_b), a.cmp(&b));
            prop_assert_eq!(of_a.is_of(of_b), a.starts_with(&b));
            prop_assert_eq!(of_a.iter().map(|n| n as usize).collect::<Vec<_>>(), a.clone());
            if !a.is_empty() {
                prop_assert_eq!(of_a.to_string().parse(), Ok(of_a));
            }
        }
    }
}
