//! Which letters are meant: what is not given does not matter.

use std::str::FromStr;

use clap::Args;
use isobar_operators::range::Place;
use isobar_topology::clock;

use super::letters::Line;

/// The letters that are meant.
#[derive(Args, Debug)]
pub(super) struct FilterArgs {
    /// Those of this bolt.
    #[arg(long, value_name = "BOLT")]
    bolt: Option<String>,

    /// Those with this kind of reason, such as invalid_json.
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,

    /// Those whose record was meant for this index or topic.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,

    /// Those whose record has this key.
    #[arg(long, value_name = "KEY")]
    pub(super) key: Option<String>,

    /// Those rejected at this time or later: a time with its zone, or a duration before now such as 2h.
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,

    /// Those rejected before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
}

/// A time as people write it.
#[derive(Clone, Copy, Debug)]
struct Moment(Place);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(place @ (Place::Time(_) | Place::Ago(_))) => Ok(Self(place)),
            _ => Err(format!(
                "{text:?} is no time; write one with its zone such as 2026-01-31T00:00:00Z, or a \
                 duration before now such as 2h"
            )),
        }
    }
}

/// The same, with times fixed.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) bolt: Option<String>,
    pub(super) class: Option<String>,
    pub(super) target: Option<String>,
    pub(super) from_ms: Option<i64>,
    pub(super) to_ms: Option<i64>,
}

impl FilterArgs {
    /// As the command line has them, for those who ask later. A key may be somebody's own.
    pub(super) fn options(&self) -> Vec<String> {
        let place = |moment: &Option<Moment>| moment.map(|Moment(place)| place.to_string());
        let options = [
            ("bolt", self.bolt.clone()),
            ("class", self.class.clone()),
            ("target", self.target.clone()),
            ("key", self.key.as_ref().map(|_| "…".to_owned())),
            ("from", place(&self.from)),
            ("to", place(&self.to)),
        ];
        let given = options.into_iter();
        let given = given.filter_map(|(name, value)| Some(format!("--{name}={}", value?)));
        given.collect()
    }

    pub(super) fn filter(&self) -> Filter {
        let now = clock::unix_ms();
        let ms = |moment: Option<Moment>| moment.and_then(|Moment(place)| place.time(now));
        Filter {
            bolt: self.bolt.clone(),
            class: self.class.clone(),
            target: self.target.clone(),
            from_ms: ms(self.from),
            to_ms: ms(self.to),
        }
    }
}

impl Filter {
    pub(super) fn takes(&self, line: &Line) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == found
        };
        is(&self.bolt, Some(&line.bolt))
            && is(&self.class, Some(&line.class))
            && is(&self.target, line.target.as_deref())
            && self.from_ms.is_none_or(|from| line.rejected_at_ms >= from)
            && self.to_ms.is_none_or(|to| line.rejected_at_ms < to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_is_told_but_for_the_key() {
        let args = FilterArgs {
            bolt: Some("parse".to_owned()),
            class: None,
            target: None,
            key: Some("somebody".to_owned()),
            from: Some("2h".parse().expect("a time")),
            to: None,
        };
        assert_eq!(args.options(), ["--bolt=parse", "--key=…", "--from=2h ago"]);
    }

    #[test]
    fn times_have_a_zone_or_are_durations() {
        for text in ["2026-01-31T00:00:00Z", "2h"] {
            assert!(text.parse::<Moment>().is_ok(), "{text}");
        }
        for text in ["2026-01-31T00:00:00", "17", "now", "earliest", ""] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
