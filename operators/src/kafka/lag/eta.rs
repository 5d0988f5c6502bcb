//! When a group will have caught up.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// When all of today's lag is settled: at the rates of the last minute; where these are nearly the same, at those of
/// the last five; after a stall, at the rate at which records have been settled since it ended; after several within
/// five minutes, at the rates from one to another.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Eta {
    /// The rates are not known yet.
    #[default]
    Unknown,
    /// Not at these rates: no more is settled than comes in, or hardly more.
    Never,
    /// As much is settled as comes in, and what is behind is what is in hand anyway: there is nothing
    /// to catch up.
    Steady,
    /// In so many seconds.
    Seconds(f64),
}

/// A number of seconds, `"never"`, `"steady"`, or null.
impl Serialize for Eta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unknown => serializer.serialize_none(),
            Self::Never => serializer.serialize_str("never"),
            Self::Steady => serializer.serialize_str("steady"),
            Self::Seconds(seconds) => serializer.serialize_f64(*seconds),
        }
    }
}

impl<'de> Deserialize<'de> for Eta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::deserialize(deserializer)? {
            None => Self::Unknown,
            Some(Written::Seconds(seconds)) => Self::Seconds(seconds),
            Some(Written::Word(word)) => match word.as_str() {
                "never" => Self::Never,
                "steady" => Self::Steady,
                _ => {
                    let what = format!("{word:?} is no number of seconds, \"never\" or \"steady\"");
                    return Err(serde::de::Error::custom(what));
                }
            },
        })
    }
}

impl Eta {
    /// When the last of several has caught up: unknown if one is, never if one never does. Steady
    /// ones have nothing to catch up.
    pub fn last(etas: impl IntoIterator<Item = Self>) -> Self {
        let mut last = Self::Seconds(0.0);
        for eta in etas {
            last = match (last, eta) {
                (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
                (Self::Never, _) | (_, Self::Never) => Self::Never,
                // Those that have nothing to catch up wait for nobody.
                (Self::Steady, Self::Seconds(0.0) | Self::Steady)
                | (Self::Seconds(0.0), Self::Steady) => Self::Steady,
                (Self::Steady, seconds) | (seconds, Self::Steady) => seconds,
                (Self::Seconds(one), Self::Seconds(other)) => Self::Seconds(one.max(other)),
            };
        }
        last
    }
}

/// How a figure is written that is a number of seconds or a word.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Written {
    Seconds(f64),
    Word(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eta_is_a_number_a_word_or_nothing() {
        let json = |eta| serde_json::to_value(eta).expect("JSON");
        assert_eq!(json(Eta::Seconds(2.5)), 2.5);
        assert_eq!(json(Eta::Never), "never");
        assert!(json(Eta::Unknown).is_null());
        for eta in [Eta::Seconds(2.5), Eta::Never, Eta::Steady, Eta::Unknown] {
            assert_eq!(serde_json::from_value::<Eta>(json(eta)).expect("read"), eta);
        }
        let last = Eta::last([Eta::Seconds(1.0), Eta::Seconds(3.0), Eta::Never]);
        assert_eq!(last, Eta::Never);
        let last = |one, other| Eta::last([one, other]);
        assert_eq!(last(Eta::Steady, Eta::Seconds(0.0)), Eta::Steady);
        assert_eq!(last(Eta::Seconds(3.0), Eta::Steady), Eta::Seconds(3.0));
        assert_eq!(last(Eta::Steady, Eta::Unknown), Eta::Unknown);
    }
}
