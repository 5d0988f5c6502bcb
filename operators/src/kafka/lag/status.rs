//! What the figures of a partition mean: one word, and why in one sentence.
//!
//! Judged by the clock and not by commits, so a group that is dead is noticed; by progress and not by a
//! number of records, so that nothing has to be tuned. What must not alarm is in the tests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::engine::Circumstances;
use super::eta::Eta;
use super::history::{History, Point};
use super::sample::{Sample, behind};

/// How a partition, a spout or a topology gets on; better ones first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Nothing to worry about.
    #[default]
    Ok,
    /// Much is behind, and it becomes less.
    CatchingUp,
    /// An operator stopped the reading.
    Paused,
    /// Not known: no answer of the brokers, no commit, only one look so far, or nothing behind was settled in
    /// the minutes that it is watched.
    NoData,
    /// The group is before an offset that it had committed.
    Rewound,
    /// All that could be read is answered; a transaction that stays open hides the rest.
    LsoBlocked,
    /// The lag has grown over the whole window without becoming less once; or it was more than what is in hand for
    /// that long, and no more is settled than comes in, or hardly more.
    Slow,
    /// A bolt or what it writes to does not take enough.
    Backpressured,
    /// There is lag, and nothing was answered for long.
    Stalled,
    /// Nothing is read until somebody decides, or mends what the records go to.
    Held,
    /// Records were deleted before they were answered.
    Lost,
}

impl Status {
    /// All of them, better ones first.
    pub const ALL: [Self; 11] = [
        Self::Ok,
        Self::CatchingUp,
        Self::Paused,
        Self::NoData,
        Self::Rewound,
        Self::LsoBlocked,
        Self::Slow,
        Self::Backpressured,
        Self::Stalled,
        Self::Held,
        Self::Lost,
    ];

    /// Its word, as in tables, JSON and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::CatchingUp => "CATCHING_UP",
            Self::Paused => "PAUSED",
            Self::NoData => "NO_DATA",
            Self::Rewound => "REWOUND",
            Self::LsoBlocked => "LSO_BLOCKED",
            Self::Slow => "SLOW",
            Self::Backpressured => "BACKPRESSURED",
            Self::Stalled => "STALLED",
            Self::Held => "HELD",
            Self::Lost => "LOST",
        }
    }

    /// Whether it is `NO_DATA` once the brokers do not answer. What is worse is not better for that, and what was
    /// paused is so whatever they say.
    pub fn gives_way(self) -> bool {
        self <= Self::NoData && self != Self::Paused
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Reads the word in any case, with `-` or `_`.
impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let word = text.to_uppercase().replace('-', "_");
        let found = Self::ALL.into_iter().find(|status| status.word() == word);
        found.ok_or_else(|| {
            let all = Self::ALL.map(|status| status.word().to_lowercase());
            format!("write one of {}", all.join(", "))
        })
    }
}

/// A sample that is older than this says nothing about now, in milliseconds.
const STALE_MS: i64 = 60_000;
/// Time-out of transactions unless a producer sets another one (`transaction.timeout.ms`), in
/// milliseconds: one that is open for longer was left.
const TRANSACTION_MS: i64 = 60_000;
/// No progress for so long, in milliseconds, while a bolt says what it waits for, is backpressure.
const PRESSED_MS: u64 = 10_000;

/// Judges a partition.
pub(super) fn judge(
    sample: &Sample,
    history: &History,
    circumstances: &Circumstances,
    held: Option<&str>,
    now_ms: i64,
) -> (Status, String) {
    if let Some(why) = held {
        return (Status::Held, why.to_owned());
    }
    let reached = match sample.progress {
        // What was read before it was deleted is not lost.
        Some(progress) => progress.next,
        None => sample.committed,
    };
    if let Some(lost) = behind(sample.start, reached).filter(|lost| *lost > 0) {
        return (Status::Lost, deleted_unread(lost));
    }
    if history.lost_lately(now_ms) {
        let why = "records were deleted before they were read, within the last minutes";
        return (Status::Lost, why.to_owned());
    }
    if let Some(why) = &circumstances.paused {
        return (Status::Paused, why.clone());
    }
    let quiet_ms = now_ms - history.heard_ms();
    let Some(newest) = history.newest().filter(|_| quiet_ms <= STALE_MS) else {
        return (Status::NoData, no_data(sample, history, quiet_ms));
    };
    if let Some(peak) = history.rewound_from() {
        let why = format!(
            "the group is at {}, {} before its highest commit {peak}",
            newest.done,
            peak - newest.done
        );
        return (Status::Rewound, why);
    }
    if newest.lag() == 0 {
        return at_end(history, now_ms);
    }
    moving(newest, history, circumstances, now_ms)
}

/// How many records are lost at most: what was deleted cannot be looked at any more. A group that commits behind the
/// last record of a transaction, and not behind the marker that follows, has read all that there was.
fn deleted_unread(offsets: u64) -> String {
    match offsets {
        1 => "1 record was deleted before it was read, unless it was the marker of a transaction"
            .to_owned(),
        _ => format!("up to {offsets} records were deleted before they were read"),
    }
}

fn no_data(sample: &Sample, history: &History, quiet_ms: i64) -> String {
    match (sample.end, history.heard_ms()) {
        (None, 0) => "the brokers have not said yet where it ends".to_owned(),
        (_, heard) if heard > 0 && quiet_ms > STALE_MS => {
            format!("the brokers have not answered for {} s", quiet_ms / 1_000)
        }
        _ => "the group has committed nothing".to_owned(),
    }
}

fn at_end(history: &History, now_ms: i64) -> (Status, String) {
    match history.blocked_ms(now_ms) {
        Some(ms) if ms > TRANSACTION_MS => {
            let seconds = ms / 1_000;
            let why = format!("a transaction has been open for {seconds} s and hides what follows");
            (Status::LsoBlocked, why)
        }
        _ => (Status::Ok, "nothing is behind".to_owned()),
    }
}

/// Judges one that has something to do, of which this is the newest point.
fn moving(
    newest: Point,
    history: &History,
    circumstances: &Circumstances,
    now_ms: i64,
) -> (Status, String) {
    let since_resumed = circumstances.resumed_ms.map(|ms| now_ms - ms);
    let since_resumed = since_resumed.and_then(|ms| u64::try_from(ms).ok());
    let since_resumed_at_most = |ms: Option<u64>| {
        let ms = ms.unwrap_or(0);
        ms.min(since_resumed.unwrap_or(u64::MAX))
    };
    let still_ms = since_resumed_at_most(history.still_ms(now_ms));
    let stalled = i128::from(still_ms) > i128::from(history.patience_ms());
    // What came during a pause says nothing about what is settled since.
    let all_since =
        since_resumed.is_none_or(|ms| i128::from(ms) >= i128::from(history.window().ms()));
    let trend = history
        .trend()
        .filter(|_| all_since && !history.was_at_end());
    let eta = history.eta();
    // While it stands still the lag grows by itself: whether that is long is asked above.
    let moves = i128::from(still_ms) < i128::from(history.window().step_ms);
    // One step up is the beginning of a pause or of a burst.
    let growing = trend
        .as_ref()
        .filter(|_| moves && !matches!(eta, Eta::Seconds(_)));
    let growing = growing.is_some_and(|points| {
        let mut steps = points.windows(2).map(|pair| pair[1].lag() - pair[0].lag());
        let ups = steps.clone().filter(|step| *step > 0).count();
        ups >= 2 && steps.all(|step| step >= 0)
    });
    let in_hand = history.in_hand();
    let is_in_hand = |point: &Point| point.lag() as f64 <= in_hand(point);
    // What has piled up in a pause of some minutes, or in a burst, was not there before.
    let is_far = |points: &Vec<Point>| in_hand(&newest) > 0.0 && !points.iter().any(is_in_hand);
    let moves_at_all =
        history.stops() || i128::from(still_ms) < i128::from(history.moves_within_ms());
    let stays_behind = eta == Eta::Never
        && history.has_moved()
        && moves_at_all
        && trend.as_ref().is_some_and(is_far);
    let rates = history.rates();
    let more = match rates {
        // The rates of a minute are not those by which it is judged then.
        _ if history.stops() => "no more, or hardly more,",
        Some((incoming, outgoing)) if outgoing < incoming * 0.9 => "less",
        _ => "no more, or hardly more,",
    };
    let slow = match (growing, stays_behind) {
        // Whether it becomes less the next looks tell.
        _ if history.works_off_a_stall() => None,
        (true, _) => Some("the lag has only grown".to_owned()),
        (_, true) => Some(format!(
            "it is behind, and {more} is settled than comes in,"
        )),
        _ => None,
    };
    if let Some(blocked) = &circumstances.blocked
        && (still_ms >= PRESSED_MS || stalled || slow.is_some())
    {
        // Records that wait do not keep others from being answered, until they take all the room.
        let silent_ms = since_resumed_at_most(history.silent_ms(now_ms));
        let status = match blocked.held && silent_ms >= PRESSED_MS {
            true => Status::Held,
            false => Status::Backpressured,
        };
        return (status, blocked.why.clone());
    }
    if stalled {
        let why = format!("nothing was settled for {} s", still_ms / 1_000);
        return (Status::Stalled, why);
    }
    if let Some(why) = slow {
        let window = time(history.window().ms() as f64 / 1_000.0);
        return (Status::Slow, format!("{why} for {window}"));
    }
    if rates.is_none() {
        let why = "one look says nothing about progress".to_owned();
        return (Status::NoData, why);
    }
    if !history.has_moved() {
        // A group that is dead looks like one whose next commit is still to come.
        let why = format!(
            "nothing was settled in the {} s that it is watched; {} min tell whether it stands still",
            still_ms / 1_000,
            history.window().ms() / 60_000
        );
        return (Status::NoData, why);
    }
    match eta {
        _ if is_in_hand(&newest) => (Status::Ok, "it gets on".to_owned()),
        Eta::Seconds(seconds) => {
            let why = format!("caught up in {} at the present rate", time(seconds));
            (Status::CatchingUp, why)
        }
        Eta::Never if moves => {
            let why = format!("it gets on, but {more} is settled than comes in");
            (Status::Ok, why)
        }
        Eta::Never => (
            Status::Ok,
            format!("nothing was settled for {} s", still_ms / 1_000),
        ),
        Eta::Steady | Eta::Unknown => (Status::Ok, "it gets on".to_owned()),
    }
}

/// A time, for people.
fn time(seconds: f64) -> String {
    match seconds as u64 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
