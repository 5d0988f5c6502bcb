//! What is far behind, and stays so or not: SLOW and CATCHING_UP, whatever noise and chance do.

use super::*;

#[test]
fn a_lag_that_only_grows_over_the_whole_window_is_slow() {
    let points = (0..200).map(|n| (n * 5, 1_000 + n * 100, n * 90));
    let script = script(300).seen(points);
    let _ = script.check(200, Status::Ok);
    let why = script.check_why(400, Status::Slow);
    assert_eq!(why, "the lag has only grown for 5 min");
    // Of half a minute's work, a single step back is enough to hope.
    let better = (0..200).map(|n| (n * 5, 100 + n * 100, n * 90 + if n > 50 { 500 } else { 0 }));
    let _ = super::script(300).seen(better).check(400, Status::Ok);
}

/// An hour behind at 1,000 records a second, of which so many per mille are settled, each look 5 % more or less.
fn an_hour_behind(settled: i64, looks: i64, seed: u64) -> Script {
    let mut done = 0;
    let mut random = random(seed);
    let points = (0..looks).map(|n| {
        done += 5 * settled + random() % 501 - 250;
        (n * 5, 3_600_000 + n * 5_000, done)
    });
    script(300).seen(points)
}

#[test]
fn what_stays_far_behind_is_slow_and_never_said_to_catch_up_whatever_the_noise() {
    let seeds = [1_000, 990, 970]
        .into_iter()
        .flat_map(|settled| (1..5).map(move |seed| (settled, seed)));
    for (settled, seed) in seeds {
        let behind = || an_hour_behind(settled, 1_440, seed);
        for script in [
            behind(),
            behind().a_little_late(),
            behind().a_little_late().live(),
        ] {
            let why = script.check_why(200, Status::Ok);
            assert_eq!(why, "it gets on, but hardly more is settled than comes in");
            for seconds in (345..7_195).step_by(65) {
                let why = script.check_why(seconds, Status::Slow);
                assert!(why.ends_with(" for 5 min"), "{why}");
            }
        }
    }
    // A bolt that says what it waits for is to blame.
    let blocked = an_hour_behind(1_000, 100, 1).blocked(false);
    let _ = blocked.check(400, Status::Backpressured);
}

#[test]
fn what_stops_again_and_again_is_not_as_fast_as_it_is_in_between() {
    // An hour behind: so many seconds of nothing, and so many at so many records a second, of 1,000 that come.
    for (nothing, working, rate) in [(15, 15, 1_600), (20, 10, 1_500), (25, 35, 1_543)] {
        let mut done = 0;
        let looks = (0..1_440).map(|n| {
            if n * 5 % (nothing + working) >= nothing {
                done += 5 * rate;
            }
            (n * 5, 3_600_000 + n * 5_000, done)
        });
        let script = script(300).seen(looks).a_little_late().live();
        for seconds in (700..7_195).step_by(15) {
            let (status, why) = script.judged(seconds);
            assert_ne!(
                status,
                Status::CatchingUp,
                "{nothing}/{working} at {seconds} s: {why}"
            );
        }
    }
}

#[test]
fn few_records_tell_little() {
    // One a second by chance, 400 behind, all settled as they come.
    let mut random = random(1);
    let mut came = 0;
    let looks = (0..1_440).map(|n| {
        came += (0..10).map(|_| random() % 2).sum::<i64>();
        (n * 5, 400 + came, n * 5)
    });
    let script = script(300).seen(looks).live();
    let told = (345..7_195)
        .step_by(10)
        .filter(|seconds| script.judged(*seconds).0 == Status::CatchingUp);
    assert!(told.count() < 7, "of 685 looks");
}

#[test]
fn what_is_a_little_faster_than_what_comes_in_catches_up_once_a_window_tells() {
    let script = an_hour_behind(1_080, 720, 1).a_little_late();
    let _ = script.check(200, Status::Ok);
    for seconds in (345..3_600).step_by(5) {
        let why = script.check_why(seconds, Status::CatchingUp);
        assert!(
            why.starts_with("caught up in ") && why.contains(" h at"),
            "{why}"
        );
    }
}

#[test]
fn a_sawtooth_that_grows_is_slow() {
    // Burrow asks for a lag that never decreases (its issue 155): the commit of every second look hides this one.
    let points = (0..400).map(|n| (n * 5, 5_000 + n * 500, n * 450 + n % 2 * 400));
    let script = script(300).seen(points);
    for seconds in 400..1_995 {
        let _ = script.check(seconds, Status::Slow);
    }
}
