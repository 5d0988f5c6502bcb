//! Which comes first: a run waits while the live topology is behind, or while nobody knows.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use isobar_operators::lag::{Oldest, Source};
use isobar_topology::spec::units;

use super::super::width::{NO_MORE_ALONE, Width};
use crate::command::source::asking;
use crate::exit::Failure;
use crate::output::time;
use crate::progress::Screen;

/// How often the brokers are asked how far the live topology is, and how long an answer may take.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Why a run waits at its start, which is nothing to tell anybody.
pub(super) const ASKED: &str = "the brokers are asked how far the live topology is";

/// The age of the oldest record of the live topology above which a replay or a redrive waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) enum YieldTo {
    /// It never does.
    Off,
    Above(units::Duration),
}

impl FromStr for YieldTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            text => match text.parse() {
                Ok(age) => Ok(Self::Above(age)),
                Err(why) => Err(format!("{why}, or off")),
            },
        }
    }
}

impl fmt::Display for YieldTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Above(age) => age.fmt(f),
        }
    }
}

/// Asks how old the oldest record is that the live topology has not answered. Never waits.
type Ask = Box<dyn Fn() -> Oldest + Send>;

/// What is seen of the live topology.
#[derive(Default)]
pub(super) struct Yielding {
    live: Option<(Ask, Duration)>,
    behind: Option<String>,
    /// It was told that there is nobody to yield to.
    told_idle: bool,
    /// The run is as wide as one that is alone, and nobody was told that it is not any more.
    is_alone: bool,
}

impl Yielding {
    /// Starts to ask the brokers about `live`, unless that is off.
    pub(super) fn start(live: &Source, yield_to: YieldTo, width: Width) -> Result<Self, Failure> {
        let YieldTo::Above(age) = yield_to else {
            return Ok(Self::default());
        };
        let standing = live.stand(ASK_EVERY, ASK_EVERY).map_err(asking)?;
        let yielding = Self::above(age.get(), move || standing.oldest());
        Ok(yielding.of_width(width))
    }

    /// The same for a run of this width, which was told when it began.
    pub(super) fn of_width(self, width: Width) -> Self {
        let is_alone = width == Width::Alone;
        Self {
            told_idle: is_alone,
            is_alone,
            ..self
        }
    }

    /// Yields while what `ask` answers is older than an age.
    pub(super) fn above(age: Duration, ask: impl Fn() -> Oldest + Send + 'static) -> Self {
        Self {
            live: Some((Box::new(ask), age)),
            ..Self::default()
        }
    }

    /// Looks at the newest answers. Says it once when there is nobody to yield to, and when there is somebody after
    /// all.
    pub(super) fn look(&mut self, screen: &Screen) {
        let Some((ask, above)) = &self.live else {
            return;
        };
        let oldest = ask();
        if matches!(oldest, Oldest::Age(_)) && std::mem::take(&mut self.is_alone) {
            screen.line(NO_MORE_ALONE);
        }
        self.behind = match oldest {
            Oldest::NobodyReads => {
                if !std::mem::replace(&mut self.told_idle, true) {
                    screen.line(
                        "isobar: nobody reads for the live group, so there is nobody to yield to",
                    );
                }
                None
            }
            oldest => behind(&oldest, *above),
        };
    }

    /// Why the live topology comes first just now, if it does.
    pub(super) fn behind(&self) -> Option<&str> {
        self.behind.as_deref()
    }
}

/// Why a replay waits for a live topology whose oldest record is so old, if it does.
fn behind(oldest: &Oldest, above: Duration) -> Option<String> {
    let above_ms = u64::try_from(above.as_millis()).unwrap_or(u64::MAX);
    match oldest {
        Oldest::NobodyReads => None,
        Oldest::Age(ms) if *ms <= above_ms => None,
        Oldest::Age(ms) => Some(format!(
            "the live topology is {} behind, and it yields above {} (--yield-to-live)",
            time(*ms),
            time(above_ms)
        )),
        Oldest::Asked => Some(ASKED.to_owned()),
        Oldest::Unknown(why) => Some(format!(
            "it is not known how far the live topology is behind: {why} (--yield-to-live)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_yields_above_an_age_and_where_the_age_is_not_known() {
        let check = |oldest: Oldest, part: Option<&str>| {
            let found = behind(&oldest, Duration::from_secs(30));
            assert_eq!(found.is_some(), part.is_some(), "{oldest:?}");
            for (found, part) in found.iter().zip(part) {
                assert!(found.contains(part), "{found}");
            }
        };
        check(Oldest::Age(0), None);
        check(Oldest::Age(30_000), None);
        check(Oldest::Age(30_001), Some("is 30.0 s behind"));
        check(Oldest::NobodyReads, None);
        check(Oldest::Unknown("no answer".to_owned()), Some("no answer"));
        check(Oldest::Asked, Some("are asked"));
    }

    #[test]
    fn yielding_is_an_age_or_off() {
        for text in ["30s", "5m", "off"] {
            assert_eq!(text.parse::<YieldTo>().expect(text).to_string(), text);
        }
        let problem = "soon".parse::<YieldTo>().expect_err("no duration");
        assert!(problem.ends_with(", or off"), "{problem}");
    }
}
