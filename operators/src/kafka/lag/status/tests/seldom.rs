//! Groups that commit seldom, and partitions in which records come seldom.

use super::*;

#[test]
fn no_alarm_a_topic_with_a_record_each_ten_minutes() {
    // Each is committed 5 s later; the sample between sees a lag of 1.
    let points = (0..2_000).map(|n| {
        let end = n * 5 / 600 + 1;
        (n * 5, end, if n * 5 % 600 == 0 { end - 1 } else { end })
    });
    let script = script(300).seen(points);
    for seconds in 2..9_990 {
        let allowed = match seconds < 5 {
            true => Status::NoData,
            false => Status::Ok,
        };
        let _ = script.check(seconds, allowed);
    }
}

/// A commit each 10 minutes, samples each 10 s, a record a second, and always so much lag.
fn commits_seldom(behind: i64, looks: i64) -> Script {
    let points = (0..looks).map(|n| (n * 10, behind + n * 10, n / 60 * 600));
    script(300).seen(points)
}

#[test]
fn no_alarm_a_group_that_commits_seldom_once_a_commit_was_seen() {
    let script = commits_seldom(20, 1_000);
    // Until then it looks like one that is dead.
    let _ = script.check(300, Status::NoData);
    let _ = script.check(310, Status::Stalled);
    for seconds in (600..9_900).step_by(10) {
        script.check_quiet(seconds);
    }
    // When it dies, that is noticed after two of its intervals and not after hours.
    let dead = (1_000..1_300).map(|n| (n * 10, 20 + n * 10, 16 * 600));
    let script = script.seen(dead);
    script.check_quiet(10_700);
    let _ = script.check(10_900, Status::Stalled);
}

#[test]
fn one_that_commits_seldom_and_stays_far_behind_is_slow() {
    let script = commits_seldom(3_600, 1_000);
    for seconds in (1_520..9_900).step_by(10) {
        let _ = script.check(seconds, Status::Slow);
    }
}

#[test]
fn one_that_commits_seldom_has_one_status_from_one_commit_to_the_next() {
    // A commit each so many seconds, and so many seconds' work behind it: what came between two commits may be settled
    // as a whole, up to what comes in five minutes.
    for (apart, behind, expected) in [
        (60, 85, Status::Ok),
        (60, 100, Status::Slow),
        (600, 250, Status::Ok),
        (600, 350, Status::Slow),
        (600, 600, Status::Slow),
        (1_200, 300, Status::Ok),
        (1_200, 700, Status::Slow),
    ] {
        let looks = (0..1_200).map(|n| {
            let seconds = n * 5;
            let end = (behind + seconds) * 100;
            (seconds, end, seconds / apart * apart * 100)
        });
        let script = script(300).seen(looks).a_little_late();
        for (seconds, status, why) in script.each_look() {
            let is_early = seconds < 2 * apart + 900;
            assert!(
                is_early || status == expected,
                "{apart}, {behind}, {seconds} s: {why}"
            );
        }
    }
}

#[test]
fn what_stays_far_behind_is_slow_however_seldom_it_commits() {
    for apart in [7, 20, 40, 45, 60, 130, 150, 160, 200] {
        let looks = (0..1_440).map(|n| {
            let seconds = n * 5;
            (
                seconds,
                3_600_000 + seconds * 1_000,
                seconds / apart * apart * 1_000,
            )
        });
        let script = script(300).seen(looks).a_little_late();
        for seconds in (900..7_195).step_by(35) {
            let (status, why) = script.judged(seconds);
            assert_eq!(
                status,
                Status::Slow,
                "a commit each {apart} s, at {seconds} s: {why}"
            );
        }
    }
}

#[test]
fn an_outage_makes_nobody_patient() {
    // A record each 10 s, which is settled at once but for an outage of 50 minutes; then nothing is any more.
    let done = |seconds: i64| match seconds {
        ..1_000 => seconds / 10,
        1_000..4_000 => 99,
        4_000..6_000 => seconds / 10,
        _ => 600,
    };
    let looks = (0..1_400).map(|n| (n * 5, n * 5 / 10, done(n * 5)));
    let script = script(300).seen(looks);
    let _ = script.check(6_320, Status::Stalled);
    let _ = script.live().check(6_320, Status::Stalled);
}

/// Eleven hours of a partition in which a record comes each so many seconds, by chance, of a group that commits what
/// there is each so many seconds; looked at each 5 s.
fn sparse(record_each: i64, commit_each: i64, seed: u64) -> Script {
    let mut random = random(seed);
    let (mut end, mut committed) = (0, 0);
    let looks = (0..11 * 720).map(|n| {
        end += i64::from(random() % record_each < 5);
        if n * 5 % commit_each == 0 {
            committed = end;
        }
        (n * 5, end, committed)
    });
    script(300).seen(looks)
}

#[test]
fn no_alarm_a_partition_in_which_records_come_seldom_of_a_group_that_commits_seldom() {
    for (record_each, commit_each) in [(900, 600), (200, 900)] {
        for seed in 1..6 {
            let script = sparse(record_each, commit_each, seed);
            let commits = script.samples.windows(2);
            let commits = commits.filter(|pair| pair[0].committed != pair[1].committed);
            // Before it was seen to commit twice it looks like one that is dead.
            let second = commits.map(|pair| pair[1].sampled_ms).nth(1);
            script.never(Status::Stalled, second.expect("it commits") / 1_000);
        }
    }
}

#[test]
fn where_records_come_seldom_and_are_settled_at_once_it_is_soon_told_that_they_are_not() {
    // One each 10 minutes, which the next look sees settled; after two hours none is any more.
    let looks = (0..1_700).map(|n| {
        let seconds = n * 5;
        let end = seconds / 600 + 1;
        let settled = if seconds % 600 == 0 { end - 1 } else { end };
        (seconds, end, settled.min(13))
    });
    let script = script(300).seen(looks);
    let _ = script
        .check(8_100, Status::Ok)
        .check(8_105, Status::Stalled);
}

#[test]
fn a_commit_that_reaches_the_end_tells_as_much_of_how_seldom_they_come() {
    // Each 10 minutes up to the end, first looked at 10 s before one.
    let looks = (59..500).map(|n| ((n - 59) * 10, n * 10, n / 60 * 600));
    let script = script(300).seen(looks);
    // One stretch has to be seen whole.
    for seconds in (620..4_400).step_by(10) {
        script.check_quiet(seconds);
    }
}
