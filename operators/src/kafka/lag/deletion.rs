//! When records will be deleted that nobody has answered.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::eta::Written;

/// When the oldest record that is not answered is deleted, by age or by size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Deletion {
    /// It is not known, or there is no such record.
    #[default]
    Unknown,
    /// Its topic deletes nothing.
    Never,
    /// In so many seconds.
    Seconds(f64),
}

impl Deletion {
    /// The first of several: unknown if one is.
    pub fn first(all: impl IntoIterator<Item = Self>) -> Self {
        let first = |first, one| match (first, one) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Never, other) | (other, Self::Never) => other,
            (Self::Seconds(one), Self::Seconds(other)) => Self::Seconds(one.min(other)),
        };
        all.into_iter().reduce(first).unwrap_or_default()
    }
}

/// A number of seconds, `"never"`, or null.
impl Serialize for Deletion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unknown => serializer.serialize_none(),
            Self::Never => serializer.serialize_str(NEVER),
            Self::Seconds(seconds) => serializer.serialize_f64(*seconds),
        }
    }
}

impl<'de> Deserialize<'de> for Deletion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Option::deserialize(deserializer)? {
            None => Ok(Self::Unknown),
            Some(Written::Seconds(seconds)) => Ok(Self::Seconds(seconds)),
            Some(Written::Word(word)) if word == NEVER => Ok(Self::Never),
            Some(Written::Word(word)) => {
                let what = format!("{word:?} is no number of seconds or {NEVER:?}");
                Err(serde::de::Error::custom(what))
            }
        }
    }
}

const NEVER: &str = "never";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_number_a_word_or_nothing() {
        let json = |deletion| serde_json::to_value(deletion).expect("JSON");
        assert_eq!(json(Deletion::Seconds(2.5)), 2.5);
        assert_eq!(json(Deletion::Never), "never");
        assert!(json(Deletion::Unknown).is_null());
        for deletion in [Deletion::Seconds(2.5), Deletion::Never, Deletion::Unknown] {
            let read = serde_json::from_value::<Deletion>(json(deletion)).expect("read");
            assert_eq!(read, deletion);
        }
        assert!(serde_json::from_value::<Deletion>("soon".into()).is_err());
    }

    #[test]
    fn the_first_is_the_soonest_of_those_that_are_known() {
        let soon = Deletion::Seconds(1.0);
        let first = |one, other| Deletion::first([one, other]);
        assert_eq!(first(Deletion::Seconds(3.0), soon), soon);
        assert_eq!(first(Deletion::Never, soon), soon);
        assert_eq!(first(Deletion::Never, Deletion::Never), Deletion::Never);
        assert_eq!(first(soon, Deletion::Unknown), Deletion::Unknown);
        assert_eq!(Deletion::first([]), Deletion::Unknown);
    }
}
