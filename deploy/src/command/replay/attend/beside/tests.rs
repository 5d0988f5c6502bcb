//! Against a scripted register, with the clock paused.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use isobar_operators::kafka::admin::TopicPartition;
use isobar_operators::lag::Oldest;
use isobar_operators::replay::registry::Dropped;

use super::super::super::frontier::Passed;
use super::super::super::width::{NO_MORE_ALONE, Width};
use super::*;
use crate::progress::Shown;

/// As long as one of 12 s holds for the run itself.
const HOLDS: Duration = Duration::from_secs(10);

/// When a word was begun, in ms, and what it said.
type Told = (u64, State, Option<String>);

/// What a test sees and does.
#[derive(Clone)]
struct Script {
    start: Instant,
    /// Words are lost, and answered by nobody.
    is_away: Arc<AtomicBool>,
    told: Arc<Mutex<Vec<Told>>>,
    noted: Arc<Mutex<Option<Dropped>>>,
    news: mpsc::Sender<(News, Option<Instant>)>,
}

struct Scripted {
    script: Script,
    news: mpsc::Receiver<(News, Option<Instant>)>,
    holds_until: Instant,
}

impl Register for Scripted {
    fn tell(
        &mut self,
        state: State,
        why: Option<String>,
        _: Vec<Part>,
    ) -> BoxFuture<'static, Result<(), Error>> {
        let script = self.script.clone();
        let now = clock::now();
        let at_ms = (now - script.start).as_millis() as u64;
        script.told.lock().expect("sound").push((at_ms, state, why));
        async move {
            if script.is_away.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let sent = script.news.send((News::Heard, Some(now + HOLDS))).await;
            sent.expect("the loop goes on");
            Ok(())
        }
        .boxed()
    }

    fn note(&mut self, dropped: Dropped) {
        *self.script.noted.lock().expect("sound") = Some(dropped);
    }

    async fn news(&mut self) -> News {
        let (news, holds_until) = self.news.recv().await.expect("the script has one");
        self.holds_until = holds_until.unwrap_or(self.holds_until);
        news
    }

    fn holds_until(&self) -> Instant {
        self.holds_until
    }

    fn partitions(&self) -> Vec<Part> {
        Vec::new()
    }
}

/// A run that is attended to on this thread.
struct Fixture {
    script: Script,
    gate: Arc<Gate>,
    stopped: mpsc::Receiver<&'static str>,
    shared: Arc<Shared>,
    shown: Shown,
}

type End = oneshot::Sender<(State, Option<String>)>;

fn attended() -> (Fixture, End, impl Future<Output = ()>) {
    attended_with(Yielding::default())
}

fn attended_with(yielding: Yielding) -> (Fixture, End, impl Future<Output = ()>) {
    attended_beside(yielding, Moved::of(None))
}

fn attended_beside(yielding: Yielding, moved: Moved) -> (Fixture, End, impl Future<Output = ()>) {
    let (news, heard) = mpsc::channel(64);
    let (stop, stopped) = mpsc::channel(2);
    let (end, ended) = oneshot::channel();
    let script = Script {
        start: clock::now(),
        is_away: Arc::default(),
        told: Arc::default(),
        noted: Arc::default(),
        news,
    };
    let (screen, shown) = Screen::for_tests();
    let fixture = Fixture {
        script: script.clone(),
        gate: Arc::default(),
        stopped,
        shared: Arc::default(),
        shown,
    };
    let beside = Beside {
        register: Scripted {
            holds_until: clock::now() + HOLDS,
            script,
            news: heard,
        },
        gate: Arc::clone(&fixture.gate),
        yielding,
        moved,
        stop,
        screen,
        shared: Arc::clone(&fixture.shared),
        paused: false,
        deaf: false,
    };
    (fixture, end, beside.attend(ended))
}

impl Fixture {
    /// Lets time pass until so many ms after the start.
    async fn pass_to(&self, ms: u64) {
        tokio::time::sleep_until(self.script.start + Duration::from_millis(ms)).await;
    }

    async fn says(&self, news: News) {
        let sent = self.script.news.send((news, None)).await;
        sent.expect("the loop goes on");
        // What is ready at this moment goes first.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn is_away(&self, is_away: bool) {
        self.script.is_away.store(is_away, Ordering::Relaxed);
    }

    fn why(&self) -> Option<String> {
        self.gate.why()
    }

    fn told(&self) -> Vec<Told> {
        self.script.told.lock().expect("sound").clone()
    }

    fn screen(&self) -> String {
        self.shown.text()
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_stands_still_before_its_lease_is_over_and_goes_on_when_the_register_answers() {
    let (run, end, attended) = attended();
    let seen = async {
        run.pass_to(3_500).await;
        assert_eq!(run.why(), None);
        run.is_away(true);
        // The word of 3 s counts until 13 s; those of 6 s and 12 s are lost.
        run.pass_to(12_999).await;
        assert_eq!(run.why(), None);
        run.pass_to(13_001).await;
        assert_eq!(run.why().as_deref(), Some(LEASE_OVER));
        run.pass_to(29_000).await;
        assert_eq!(run.why().as_deref(), Some(LEASE_OVER));
        run.is_away(false);
        run.pass_to(29_999).await;
        assert_eq!(
            run.why().as_deref(),
            Some(LEASE_OVER),
            "it says nothing by itself"
        );
        run.pass_to(30_001).await;
        assert_eq!(run.why(), None);
        end.send((State::Done, None)).expect("it listens");
    };
    let ((), ()) = tokio::join!(attended, seen);
    let over = Some(LEASE_OVER.to_owned());
    let expected = [
        (0, State::Running, None),
        (3_000, State::Running, None),
        (6_000, State::Running, None),
        (12_000, State::Running, None),
        (18_000, State::Paused, over.clone()),
        (24_000, State::Paused, over.clone()),
        (30_000, State::Paused, over),
        // That it goes on does not wait for its turn.
        (30_000, State::Running, None),
        (30_001, State::Done, None),
    ];
    assert_eq!(run.told(), expected);
    assert_eq!(
        run.screen(),
        format!("isobar: paused: {LEASE_OVER}\nisobar: goes on\n")
    );
}

#[tokio::test(start_paused = true)]
async fn a_word_that_hangs_keeps_no_news_waiting() {
    let (mut run, _end, attended) = attended();
    run.is_away(true);
    let seen = async {
        run.pass_to(1).await;
        assert_eq!(run.told().len(), 1, "it is under way");
        run.says(News::Wanted(Wanted::Pause)).await;
        assert_eq!(run.why().as_deref(), Some(BY_OPERATOR));
        // What an operator wants is the reason that counts, also behind the lease.
        run.pass_to(15_000).await;
        assert_eq!(run.why().as_deref(), Some(BY_OPERATOR));
        run.says(News::Wanted(Wanted::Resume)).await;
        assert_eq!(run.why().as_deref(), Some(LEASE_OVER));
        assert!(
            run.screen()
                .ends_with(&format!("isobar: paused: {LEASE_OVER}\n"))
        );
        run.says(News::Wanted(Wanted::Abort)).await;
        assert_eq!(run.stopped.try_recv(), Ok("replay abort"));
        assert!(
            run.stopped.try_recv().is_err(),
            "what is in flight is settled"
        );
        assert_eq!(*lock(&run.shared.ended), Some(Ended::Aborted));
    };
    tokio::select! {
        () = attended => unreachable!("nothing ends it"),
        () = seen => {}
    }
}

#[tokio::test(start_paused = true)]
async fn one_whose_records_were_taken_over_reads_nothing_and_says_nothing_more() {
    let (mut run, end, attended) = attended();
    let seen = async {
        run.pass_to(3_500).await;
        run.says(News::TakenOver("19b on elsewhere".to_owned()))
            .await;
        assert_eq!(run.why().as_deref(), Some(TAKEN_OVER));
        assert_eq!(run.stopped.try_recv(), Ok("another run"));
        let at_once = run.stopped.try_recv();
        assert_eq!(
            at_once,
            Ok("another run"),
            "nothing in flight is waited for"
        );
        let by = Some(Ended::TakenOver("19b on elsewhere".to_owned()));
        assert_eq!(*lock(&run.shared.ended), by);
        run.pass_to(60_000).await;
        end.send((State::Aborted, None)).expect("it listens");
    };
    let ((), ()) = tokio::join!(attended, seen);
    assert_eq!(run.told().len(), 2, "{:?}", run.told());
}

#[tokio::test(start_paused = true)]
async fn what_a_run_has_dropped_is_told_once_it_is_known_and_with_its_last_word() {
    let (run, end, attended) = attended();
    let dropped = Dropped {
        by_policy: 3,
        left_out: 1,
    };
    let noted = || *run.script.noted.lock().expect("sound");
    let seen = async {
        run.pass_to(3_500).await;
        *lock(&run.shared.dropped) = Some(dropped);
        assert_eq!(noted(), None);
        run.pass_to(6_500).await;
        assert_eq!(noted(), Some(dropped), "its check may take long");
        *run.script.noted.lock().expect("sound") = None;
        end.send((State::Done, None)).expect("it listens");
    };
    let ((), ()) = tokio::join!(attended, seen);
    assert_eq!(noted(), Some(dropped));
}

#[tokio::test(start_paused = true)]
async fn a_run_stands_still_while_the_live_topology_is_behind_or_its_age_is_not_known() {
    let oldest = Arc::new(Mutex::new(Oldest::Age(0)));
    let asked = Arc::clone(&oldest);
    let ask = move || asked.lock().expect("sound").clone();
    let (run, end, attended) = attended_with(Yielding::above(Duration::from_secs(30), ask));
    let becomes = |seen: Oldest| *oldest.lock().expect("sound") = seen;
    let last = || run.told().pop().expect("it has told something");
    let seen = async {
        run.pass_to(1_500).await;
        assert_eq!(run.why(), None);
        becomes(Oldest::Age(45_000));
        run.pass_to(1_999).await;
        assert_eq!(run.why(), None, "it looks once a second");
        run.pass_to(2_001).await;
        let behind = run.why().expect("the gate is closed");
        assert!(
            behind.contains("the live topology is 45.0 s behind"),
            "{behind}"
        );
        // That does not wait for its turn.
        assert_eq!(last(), (2_000, State::Paused, Some(behind.clone())));
        becomes(Oldest::Unknown("no answer".to_owned()));
        run.pass_to(4_001).await;
        let unknown = run.why().expect("it stays closed");
        assert!(unknown.contains("not known"), "{unknown}");
        // What an operator wants comes before it, and is not taken back by it.
        run.says(News::Wanted(Wanted::Pause)).await;
        assert_eq!(run.why().as_deref(), Some(BY_OPERATOR));
        becomes(Oldest::Age(30_000));
        run.pass_to(6_500).await;
        assert_eq!(run.why().as_deref(), Some(BY_OPERATOR));
        run.says(News::Wanted(Wanted::Resume)).await;
        assert_eq!(run.why(), None);
        assert_eq!((last().1, last().2), (State::Running, None));
        becomes(Oldest::Age(31_000));
        run.pass_to(7_001).await;
        assert!(run.why().is_some(), "it closes again");
        becomes(Oldest::NobodyReads);
        run.pass_to(8_001).await;
        assert_eq!(run.why(), None);
        assert_eq!(last(), (8_000, State::Running, None));
        end.send((State::Done, None)).expect("it listens");
        behind
    };
    let ((), behind) = tokio::join!(attended, seen);
    let said = run.screen();
    let start = format!("isobar: paused: {behind}\nisobar: goes on\nisobar: paused: ");
    assert!(said.starts_with(&start), "{said}");
    assert!(said.ends_with("isobar: goes on\n"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_began_alone_says_once_that_somebody_reads_and_yields_to_them() {
    let oldest = Arc::new(Mutex::new(Oldest::NobodyReads));
    let asked = Arc::clone(&oldest);
    let ask = move || asked.lock().expect("sound").clone();
    let yielding = Yielding::above(Duration::from_secs(30), ask).of_width(Width::Alone);
    let (run, end, attended) = attended_with(yielding);
    let becomes = |seen: Oldest| *oldest.lock().expect("sound") = seen;
    let seen = async {
        run.pass_to(1_500).await;
        assert_eq!(run.why(), None);
        assert_eq!(run.screen(), "", "its width has said so");
        becomes(Oldest::Age(0));
        run.pass_to(3_500).await;
        assert_eq!(run.why(), None);
        assert_eq!(run.screen(), format!("{NO_MORE_ALONE}\n"));
        becomes(Oldest::Age(45_000));
        run.pass_to(4_500).await;
        assert!(run.why().is_some(), "it waits as any other");
        end.send((State::Done, None)).expect("it listens");
    };
    let ((), ()) = tokio::join!(attended, seen);
    assert_eq!(run.screen().matches(NO_MORE_ALONE).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_stands_still_while_the_live_group_is_before_what_it_writes_anew() {
    let settled = Arc::new(Mutex::new(Some(1_000)));
    let asked = Arc::clone(&settled);
    let ask = move || {
        let settled = *asked.lock().expect("sound");
        let answer = settled.ok_or_else(|| "no answer".to_owned());
        let answer = answer.map(|settled| {
            (settled < 1_000).then(|| Passed {
                partition: TopicPartition::new("t", 3),
                settled,
                to: 1_000,
            })
        });
        std::future::ready(answer).boxed()
    };
    let moved = Moved::asking(Some(Box::new(ask)));
    let (run, end, attended) = attended_beside(Yielding::default(), moved);
    let becomes = |seen: Option<i64>| *settled.lock().expect("sound") = seen;
    let seen = async {
        run.pass_to(6_000).await;
        assert_eq!(run.why(), None);
        becomes(Some(40));
        run.pass_to(10_001).await;
        let why = run.why().expect("the gate is closed");
        let start = "the live group was moved back: of t/3 it has settled what is before 40, and this run writes \
                     documents up to 999 anew";
        assert!(why.starts_with(start), "{why}");
        // Brokers that do not answer open nothing.
        becomes(None);
        run.pass_to(30_001).await;
        assert_eq!(run.why(), Some(why));
        becomes(Some(1_000));
        run.pass_to(35_001).await;
        assert_eq!(run.why(), None);
        end.send((State::Done, None)).expect("it listens");
    };
    let ((), ()) = tokio::join!(attended, seen);
}
