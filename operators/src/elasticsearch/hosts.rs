//! Which host is asked next. Hosts are taken in turn; one that fails is on probation: left out for a
//! time that doubles with each failure, then tried by one request until that has told, or hangs for too
//! long. All lanes share what is known.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_topology::Health;
use isobar_topology::clock::{self, Instant};
use url::Url;

/// Most hosts of a connection: [`HostSet`] has 64 bits.
pub(crate) const HOSTS_MAX: usize = 64;

/// Probation of a host: doubles from the first to the second. One request in two seconds is no burden for
/// whatever is there, and a cluster that is back is soon noticed, also within a drain.
const PROBATION: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// When a host may be tried by another request while one still tries it: that one may hang, for as long as
/// `request_timeout`, where the host is back.
const TRIAL: Duration = Duration::from_secs(5);

/// So long after a document was found to wait for a host it is told: it is sent again each half of that at the latest, by
/// the longest back-off at its default, and may not wait any more.
const AWAITED_FOR: Duration = Duration::from_secs(60);

/// The kind of the condition while a host is left out.
const CONNECTING: &str = "connecting";

/// Longest cause that a condition tells, in bytes.
pub(crate) const CAUSE_MAX: usize = 300;

/// The hosts of a connection as one bolt sees them.
#[derive(Debug)]
pub(crate) struct Hosts {
    urls: Vec<Url>,
    states: Mutex<Vec<State>>,
    turn: AtomicUsize,
    /// Bytes of a document that waits for a host that is left out, as it is too large for the others, and when that was
    /// said last.
    awaited_by: Mutex<Option<(usize, Instant)>>,
    /// After a request that took all of its time, a host is left out at least this long where there
    /// are others: each try costs as much again.
    after_timeout: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    /// When the host may be tried again; `None` while it is used.
    away_until: Option<Instant>,
    /// Since when a request tries it.
    tried_since: Option<Instant>,
    cause: String,
}

/// Some of the hosts of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostSet(u64);

impl HostSet {
    /// This one alone.
    pub(crate) fn of(host: usize) -> Self {
        Self(1 << host)
    }

    /// From what [`HostSet::bits`] gave.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The first so many, from 1 to [`HOSTS_MAX`].
    pub(crate) fn first(hosts: usize) -> Self {
        Self(u64::MAX >> (HOSTS_MAX - hosts))
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn has(self, host: usize) -> bool {
        !self.among(Self::of(host)).is_empty()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of these and of others.
    pub(crate) fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those of these that are among others.
    pub(crate) fn among(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }
}

/// A host that is to be asked. Dropped before it was said what became of that, it may be tried by another
/// request.
#[derive(Debug)]
pub(crate) struct Chosen<'h> {
    /// Its number.
    pub(crate) host: usize,
    /// Its failures in a row when it was chosen: of several requests that one outage ends, one counts.
    failures: u32,
    /// Where it was on probation until now.
    tries: Option<&'h Hosts>,
}

impl Chosen<'_> {
    /// Whether the host was on probation, and this request finds out whether it is back.
    pub(crate) fn is_tried(&self) -> bool {
        self.tries.is_some()
    }
}

impl Drop for Chosen<'_> {
    fn drop(&mut self) {
        if let Some(hosts) = self.tries {
            let state = &mut hosts.lock()[self.host];
            // Where it was said, this is of another request.
            if state.failures == self.failures {
                state.tried_since = None;
            }
        }
    }
}

/// Whether requests can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Some host is used.
    Used,
    /// None is, and one may be tried.
    ToBeTried,
    /// None may be asked now.
    Away,
}

/// Why a host is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostFailure {
    /// What happened, in a few words without the host's name.
    pub(crate) cause: String,
    /// The request took all of its time.
    pub(crate) timed_out: bool,
}

impl Hosts {
    /// The hosts with these URLs.
    pub(crate) fn new(urls: Vec<Url>, request_timeout: Duration) -> Self {
        let states = urls.iter().map(|_| State::default()).collect();
        Self {
            urls,
            states: Mutex::new(states),
            turn: AtomicUsize::new(0),
            awaited_by: Mutex::default(),
            after_timeout: request_timeout,
        }
    }

    /// The URLs of all.
    pub(crate) fn urls(&self) -> &[Url] {
        &self.urls
    }

    /// All that may be asked.
    pub(crate) fn all(&self) -> HostSet {
        HostSet::first(self.urls.len().min(HOSTS_MAX))
    }

    /// The next host that this request has not tried and that may be asked now. A host whose probation
    /// is over is given to one request; the others go on without it until that one has told, or for [`TRIAL`].
    pub(crate) fn choose(&self, tried: &mut HostSet) -> Option<Chosen<'_>> {
        let count = self.urls.len().min(HOSTS_MAX);
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut states = self.lock();
        let now = clock::now();
        let chosen = (0..count)
            .map(|step| first.wrapping_add(step) % count)
            .find(|host| !tried.has(*host) && states[*host].may_be_asked(now))?;
        *tried = tried.with(HostSet::of(chosen));
        let state = &mut states[chosen];
        let is_away = state.away_until.is_some();
        state.tried_since = is_away.then_some(now);
        Some(Chosen {
            host: chosen,
            failures: state.failures,
            tries: is_away.then_some(self),
        })
    }

    /// Whether requests can be made now.
    pub(crate) fn standing(&self) -> Standing {
        let states = self.lock();
        if states.iter().any(|state| state.away_until.is_none()) {
            return Standing::Used;
        }
        let now = clock::now();
        match states.iter().any(|state| state.may_be_asked(now)) {
            true => Standing::ToBeTried,
            false => Standing::Away,
        }
    }

    /// The host has answered as it should. Says whether that ends an outage: no host was used before.
    pub(crate) fn answered(&self, chosen: Chosen<'_>, component: &str, health: &Health) -> bool {
        let mut states = self.lock();
        let ends_outage = states.iter().all(|state| state.away_until.is_some());
        if states[chosen.host].away_until.is_some() {
            states[chosen.host] = State::default();
            // It may take what waits; else that is said again.
            *self.awaited_by() = None;
            self.tell(&states, component, health);
        }
        ends_outage
    }

    /// The host did not do its work.
    pub(crate) fn failed(
        &self,
        chosen: Chosen<'_>,
        failure: &HostFailure,
        component: &str,
        health: &Health,
    ) {
        let mut states = self.lock();
        let others = self.urls.len() > 1;
        let state = &mut states[chosen.host];
        if state.failures != chosen.failures {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        state.tried_since = None;
        let mut wait = probation(state.failures);
        if failure.timed_out && others {
            wait = wait.max(self.after_timeout);
        }
        state.away_until = Some(clock::now() + wait);
        state.cause = cut(&failure.cause, CAUSE_MAX).to_owned();
        self.tell(&states, component, health);
    }

    /// A document of so many bytes waits for a host that is left out, as it is too large for the others.
    pub(crate) fn awaited(&self, bytes: usize, component: &str, health: &Health) {
        let states = self.lock();
        // It may have come back meanwhile.
        if states.iter().any(|state| state.away_until.is_some()) {
            *self.awaited_by() = Some((bytes, clock::now()));
            self.tell(&states, component, health);
        }
    }

    /// Says in the topology's conditions which hosts are left out and why.
    fn tell(&self, states: &[State], component: &str, health: &Health) {
        let away = (self.urls.iter().zip(states)).filter(|(_, state)| state.away_until.is_some());
        let causes: Vec<String> = away
            .map(|(url, state)| {
                let times = match state.failures {
                    1 => String::new(),
                    times => format!(" ({times} times in a row)"),
                };
                format!("{}: {}{times}", named(url), state.cause)
            })
            .collect();
        if causes.is_empty() {
            return health.clear(component, CONNECTING);
        }
        let used = self.urls.len() - causes.len();
        let causes = causes.join("; ");
        let awaited_by = self
            .awaited_by()
            .filter(|(_, said)| clock::now() - *said < AWAITED_FOR);
        match (used, awaited_by) {
            (0, _) => {
                let rest = "records wait until a host answers, nothing is lost";
                health.set(component, CONNECTING, format!("{causes}; {rest}"));
            }
            (used, Some((bytes, _))) => {
                let rest = format!(
                    "a document waits, as the other hosts ({used}) take no request of its {bytes} bytes (413)"
                );
                health.set(component, CONNECTING, format!("{causes}; {rest}"));
            }
            // No record waits for those that are away.
            (used, None) => {
                let rest = format!("the other hosts ({used}) are used meanwhile");
                health.note(component, CONNECTING, format!("{causes}; {rest}"));
            }
        }
    }

    /// Asked for while `states` is held, or alone.
    fn awaited_by(&self) -> MutexGuard<'_, Option<(usize, Instant)>> {
        // Nothing panics while holding this lock.
        let awaited_by = self.awaited_by.lock();
        awaited_by.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<State>> {
        // Nothing panics while holding this lock.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn may_be_asked(&self, now: Instant) -> bool {
        match self.away_until {
            None => true,
            Some(at) => at <= now && self.tried_since.is_none_or(|since| since + TRIAL <= now),
        }
    }
}

/// The URL of a host as it is told to people: without the slash at its end.
pub(crate) fn named(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// The start of a text, at most so many bytes.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn probation(failures: u32) -> Duration {
    let (first, longest) = PROBATION;
    let doublings = failures.saturating_sub(1).min(16);
    first.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Hosts {
        let urls = names.iter().map(|name| Url::parse(name).expect("a URL"));
        Hosts::new(urls.collect(), Duration::from_secs(60))
    }

    fn refused() -> HostFailure {
        HostFailure {
            cause: "connection refused".to_owned(),
            timed_out: false,
        }
    }

    fn next(hosts: &Hosts) -> Option<usize> {
        Some(hosts.choose(&mut HostSet::default())?.host)
    }

    fn answer(hosts: &Hosts, health: &Health) -> bool {
        let chosen = hosts
            .choose(&mut HostSet::default())
            .expect("one may be asked");
        hosts.answered(chosen, "index", health)
    }

    fn fail(hosts: &Hosts, health: &Health, failure: &HostFailure) {
        let chosen = hosts.choose(&mut HostSet::default()).expect("one is left");
        hosts.failed(chosen, failure, "index", health);
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_are_asked_in_turn_and_each_once_per_request() {
        let hosts = hosts(&["http://a", "http://b", "http://c"]);
        assert_eq!([0; 4].map(|_| next(&hosts)), [0, 1, 2, 0].map(Some));
        let mut tried = HostSet::default();
        let mut asked = [0; 3].map(|_| hosts.choose(&mut tried).expect("not tried yet").host);
        asked.sort_unstable();
        assert_eq!(asked, [0, 1, 2]);
        assert!(hosts.choose(&mut tried).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_fails_is_left_out_and_tried_by_one_request_at_a_time() {
        let hosts = hosts(&["http://a", "http://b"]);
        let health = Health::default();
        fail(&hosts, &health, &refused());
        assert_eq!([0; 3].map(|_| next(&hosts)), [1, 1, 1].map(Some));
        let conditions = health.conditions();
        assert_eq!(
            conditions[0].text,
            "http://a: connection refused; the other hosts (1) are used meanwhile"
        );
        assert!(!conditions[0].holds_up, "{conditions:?}");

        tokio::time::advance(PROBATION.0).await;
        let asked = [0; 4].map(|_| hosts.choose(&mut HostSet::default()));
        let mut again: Vec<Chosen<'_>> = asked.into_iter().flatten().collect();
        again.retain(|chosen| chosen.host == 0);
        assert_eq!(again.len(), 1, "{again:?}");
        // Until that one has told, or hangs for long.
        tokio::time::advance(TRIAL - Duration::from_millis(1)).await;
        assert_eq!([0; 3].map(|_| next(&hosts)), [1, 1, 1].map(Some));
        tokio::time::advance(Duration::from_millis(1)).await;
        let asked = [0; 4].map(|_| hosts.choose(&mut HostSet::default()));
        let more = asked.iter().flatten().filter(|chosen| chosen.host == 0);
        assert_eq!(more.count(), 1, "{asked:?}");

        let ends_outage = hosts.answered(again.remove(0), "index", &health);
        assert!(!ends_outage, "the other one was there all the time");
        assert!(health.conditions().is_empty());
        assert!([0; 2].map(|_| next(&hosts)).contains(&Some(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn with_every_host_away_nothing_is_asked_until_a_probation_ends() {
        let hosts = hosts(&["http://a"]);
        let health = Health::default();
        for failures in 1..=9 {
            assert_ne!(hosts.standing(), Standing::Away);
            fail(&hosts, &health, &refused());
            assert_eq!(hosts.standing(), Standing::Away);
            assert_eq!(next(&hosts), None);
            tokio::time::advance(probation(failures)).await;
            assert_eq!(hosts.standing(), Standing::ToBeTried);
        }
        assert_eq!(probation(9), PROBATION.1);
        let text = &health.conditions()[0].text;
        assert!(text.contains("(9 times in a row)"), "{text}");
        assert!(text.contains("records wait"), "{text}");
        assert!(health.conditions()[0].holds_up, "{text}");
        assert!(answer(&hosts, &health), "it ends the outage");
        assert!(!answer(&hosts, &health), "there is none");
        assert_eq!(hosts.standing(), Standing::Used);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_tries_a_host_and_is_let_go_leaves_that_to_another() {
        let hosts = hosts(&["http://a"]);
        let health = Health::default();
        fail(&hosts, &health, &refused());
        tokio::time::advance(PROBATION.0).await;
        let tries = hosts.choose(&mut HostSet::default());
        assert!(tries.is_some());
        assert_eq!((hosts.standing(), next(&hosts)), (Standing::Away, None));
        drop(tries);
        assert_eq!(hosts.standing(), Standing::ToBeTried);
        // One that says what became of it lets go nothing of the next.
        fail(&hosts, &health, &refused());
        assert_eq!(hosts.standing(), Standing::Away);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_one_outage_ends_count_as_one_failure() {
        let hosts = hosts(&["http://a"]);
        let health = Health::default();
        let under_way = [0; 8].map(|_| hosts.choose(&mut HostSet::default()).expect("none failed"));
        for chosen in under_way {
            hosts.failed(chosen, &refused(), "index", &health);
        }
        tokio::time::advance(PROBATION.0).await;
        assert_eq!(next(&hosts), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_takes_all_the_time_is_left_out_longer_where_there_are_others() {
        let slow = HostFailure {
            cause: "no answer within 60s".to_owned(),
            timed_out: true,
        };
        let health = Health::default();
        for (names, away) in [
            (&["http://a", "http://b"][..], Duration::from_secs(60)),
            (&["http://a"], PROBATION.0),
        ] {
            let hosts = hosts(names);
            fail(&hosts, &health, &slow);
            tokio::time::advance(away - Duration::from_millis(1)).await;
            assert!(![0; 3].map(|_| next(&hosts)).contains(&Some(0)));
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!([0; 3].map(|_| next(&hosts)).contains(&Some(0)));
        }
    }
}
