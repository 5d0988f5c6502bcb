//! Rates, times to catch up and stretches without progress of partitions that were looked at.

use super::super::sample::Progress;
use super::*;

fn history(points: impl IntoIterator<Item = (i64, i64, i64)>) -> History {
    let mut history = History::new(Window::default());
    for (seconds, end, done) in points {
        history.add(&Sample {
            committed: Some(done),
            start: Some(0),
            end: Some(end),
            sampled_ms: seconds * 1_000,
            ..Sample::default()
        });
    }
    history
}

#[test]
fn rates_are_those_of_the_last_minute_and_say_when_it_has_caught_up() {
    let old = (0..20).map(|n| (n * 5, 1_000_000, 0));
    let new = (20..40).map(|n| (n * 5, 1_000_000 + (n - 19) * 50, (n - 19) * 550));
    let history = history(old.chain(new));
    assert_eq!(history.rates(), Some((10.0, 110.0)));
    assert_eq!(history.eta(), Eta::Seconds(9_900.0));
}

#[test]
fn a_single_look_says_nothing_about_rates() {
    assert_eq!(history([(5, 10, 5)]).rates(), None);
    assert_eq!(history([(5, 10, 5)]).eta(), Eta::Unknown);
    assert_eq!(history([(5, 10, 10)]).eta(), Eta::Seconds(0.0));
    assert_eq!(
        history([(0, 1_000, 500), (5, 1_200, 600)]).eta(),
        Eta::Never
    );
}

#[test]
fn two_commits_that_are_near_to_each_other_take_no_rate_away() {
    let mut history = History::new(Window::default());
    for look in 0..8 {
        history.add(&Sample {
            committed: Some(look * 10),
            start: Some(0),
            end: Some(1_000),
            sampled_ms: look * 999,
            ..Sample::default()
        });
        assert_eq!(history.rates().is_some(), look > 1, "{look}");
    }
}

#[test]
fn a_level_run_has_nothing_to_catch_up() {
    // 100 records/s come and go, some 50 are on their way; looks fall before or after a batch.
    let level = |jitter: i64| {
        let looks =
            (0..13).map(move |n| (n * 5, 1_000 + n * 500, 950 + n * 500 - (n % 2) * jitter));
        history(looks).eta()
    };
    assert_eq!([level(0), level(40)], [Eta::Steady; 2]);
    // As much goes as comes, an hour behind.
    let behind = history((0..13).map(|n| (n * 5, 400_000 + n * 500, n * 500)));
    assert_eq!(behind.eta(), Eta::Never);
    // A record a minute.
    let seldom = history([(0, 5, 5), (30, 6, 5), (35, 6, 6), (60, 6, 6), (90, 7, 6)]);
    assert_eq!(seldom.eta(), Eta::Steady);
    let first = history([(0, 5, 5), (30, 5, 5), (60, 6, 5)]);
    assert_eq!(first.eta(), Eta::Unknown);
}

/// 100 records/s come; nothing is settled from the 30th second to the 50th, then 600 a second. Looked
/// at once a second.
fn outage(until: i64) -> History {
    let done = |n| match n {
        ..30 => n * 100 - 50,
        30..50 => 2_950,
        _ => 2_950 + (n - 49) * 600,
    };
    history((0..=until).map(|n| (n, n * 100, done(n).min(n * 100 - 50))))
}

#[test]
fn after_a_stall_it_is_caught_up_at_the_rate_since_then() {
    assert_eq!(outage(45).eta(), Eta::Never);
    // What the first look saw may have been waiting for its answer only.
    assert_eq!(outage(50).eta(), Eta::Never);
    let Eta::Seconds(eta) = outage(51).eta() else {
        panic!("{:?}", outage(51).eta());
    };
    assert!((1.8..2.0).contains(&eta), "{eta}");
    assert_eq!(outage(56).eta(), Eta::Steady);
    // As much is settled as comes in, so what piled up stays.
    let stuck = (0..=70).map(|n| (n, n * 100, if n < 20 { 0 } else { (n - 20) * 100 + 100 }));
    assert_eq!(history(stuck).eta(), Eta::Steady);
    let far_behind = (0..=90).map(|n| (n, 90_000 + n * 100, (n - 20).max(0) * 100));
    assert_eq!(history(far_behind).eta(), Eta::Never);
}

/// The same seen by the running spout, the oldest records answered last: until then the offset before
/// which all is answered stays. One in a hundred records is rejected at once and waits for nothing.
fn outage_out_of_order(until: i64, answered_per_second: i64) -> History {
    let mut history = History::new(Window::default());
    for n in 0..=until {
        let rejected = n.min(50) - 30;
        let answered = match n {
            ..30 => n * 100 - 50,
            _ => 2_950 + rejected + (n - 50).max(0) * answered_per_second,
        };
        let answered = answered.min(n * 100 - 50);
        let catches_up = (30..70).contains(&n) && answered < n * 100 - 50;
        let next = n * 100 - 20;
        history.add(&Sample {
            progress: Some(Progress {
                next: Some(next),
                frontier: Some(if catches_up { 2_850 } else { answered }),
                in_flight: (next - answered) as u64,
                ..Progress::default()
            }),
            start: Some(0),
            end: Some(n * 100),
            sampled_ms: n * 1_000,
            ..Sample::default()
        });
    }
    history
}

#[test]
fn what_is_answered_before_an_older_record_counts_for_a_recovery() {
    for until in [45, 50] {
        assert_eq!(outage_out_of_order(until, 300).eta(), Eta::Never);
    }
    // 2,030 are waiting at the end of the stall, and 200 fewer each second.
    for until in 51..59 {
        let Eta::Seconds(eta) = outage_out_of_order(until, 300).eta() else {
            panic!("{until}: {:?}", outage_out_of_order(until, 300).eta());
        };
        let left = 60.1 - until as f64;
        assert!((left / 1.5..left * 1.5).contains(&eta), "{until}: {eta}");
    }
    assert_eq!(outage_out_of_order(70, 300).eta(), Eta::Steady);
}

/// Looks once a second at a running spout, whose time to catch up is never told in seconds.
fn never_finite(seconds: i64, end: impl Fn(i64) -> i64, progress: impl Fn(i64) -> Progress) {
    let mut history = History::new(Window::default());
    for n in 0..=seconds {
        history.add(&Sample {
            progress: Some(progress(n)),
            start: Some(0),
            end: Some(end(n)),
            sampled_ms: n * 1_000,
            ..Sample::default()
        });
        let finite = matches!(history.eta(), Eta::Seconds(seconds) if seconds > 0.0);
        assert!(!finite, "{n}: {:?}", history.eta());
    }
    assert_eq!(history.eta(), Eta::Never);
}

#[test]
fn one_record_that_is_waited_for_is_no_recovery() {
    let progress = |n: i64| Progress {
        next: Some(n * 100),
        frontier: Some((n * 100).min(2_000)),
        in_flight: 1 + (n % 3) as u64 * 20,
        ..Progress::default()
    };
    never_finite(120, |n| n * 100 + 30, progress);
}

#[test]
fn a_few_records_that_fail_for_good_are_no_recovery() {
    // One in five seconds, after all that there is has come and waits.
    let end = |n: i64| 100 + n.min(20) * 250;
    let progress = |n: i64| Progress {
        next: Some(end(n)),
        frontier: Some(0),
        in_flight: (end(n) - (n - 25).max(0) / 5) as u64,
        ..Progress::default()
    };
    never_finite(100, end, progress);
}

#[test]
fn the_long_way_from_commit_to_commit_is_no_stall() {
    let commits_every_20_s = (0..=120).map(|n| (n, 1_000 + n * 10, n / 20 * 200 + 900));
    for until in 0..=120 {
        let history = history(commits_every_20_s.clone().take(until));
        let finite = matches!(history.eta(), Eta::Seconds(_));
        assert!(!finite, "{until}: {:?}", history.eta());
    }
}

#[test]
fn memory_is_bounded_however_often_is_looked() {
    let history = history((0..100_000).map(|n| (n / 10, n, n / 2)));
    assert!(
        history.points.len() <= 11 * 6 + 2,
        "{}",
        history.points.len()
    );
    let span = history.points[0].at_ms..history.newest().expect("it has one").at_ms;
    assert!((300_000..=330_000).contains(&(span.end - span.start)));
}

#[test]
fn time_without_progress_counts_from_when_there_was_something_to_do() {
    let quiet_then_record = history([(0, 5, 5), (3_600, 6, 5), (3_605, 6, 5)]);
    assert_eq!(quiet_then_record.still_ms(3_610_000), Some(10_000));
    assert_eq!(history([(0, 5, 5)]).still_ms(9_000), Some(0));
    assert_eq!(history([]).still_ms(9_000), None);
}
