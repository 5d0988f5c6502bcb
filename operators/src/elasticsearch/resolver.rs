//! The addresses of hosts, as the system's resolver tells them. It cannot be interrupted and may take as
//! long as name servers are away, so a name is looked up once at a time, on a thread that nobody's end
//! waits for, and an answer that comes too late for one who asked serves whoever asks next.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use isobar_topology::clock::{self, Instant};
use tokio::sync::watch;
use tower_service::Service;

/// For so long an answer is used that came too late for one who asked. One that came in time for all is asked
/// for anew by the next, since hosts move.
const LATE_USED_FOR: Duration = Duration::from_secs(60);

/// Looks names up for all lanes of all connections.
#[derive(Clone)]
pub(crate) struct Resolver {
    look_up: LookUp,
    /// By name: no more than connections have hosts.
    lookups: Arc<Mutex<HashMap<String, Lookup>>>,
}

type LookUp = Arc<dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// One that goes on, or the last one of a name.
struct Lookup {
    /// How many have asked until there was an answer.
    asked: Arc<AtomicUsize>,
    /// `None` until there is one.
    answer: watch::Receiver<Option<Answer>>,
}

#[derive(Clone)]
struct Answer {
    /// When it came, where that was too late for one who asked.
    late: Option<Instant>,
    /// The addresses, or why there are none.
    found: Result<Vec<SocketAddr>, (io::ErrorKind, String)>,
}

impl Resolver {
    /// The one of this process. Clients are made anew again and again while hosts are away, and each would
    /// begin what hangs once more.
    pub(crate) fn of_system() -> Self {
        static SYSTEM: LazyLock<Resolver> =
            LazyLock::new(|| Resolver::by(|name| Ok((name, 0).to_socket_addrs()?.collect())));
        SYSTEM.clone()
    }

    fn by(look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self {
            look_up: Arc::new(look_up),
            lookups: Arc::default(),
        }
    }

    /// Whether somebody waits for the addresses of this name, or would.
    pub(crate) fn is_looking_up(&self, name: &str) -> bool {
        let lookups = self.lock();
        lookups.get(name).is_some_and(Lookup::goes_on)
    }

    fn answer_for(&self, name: &str) -> io::Result<watch::Receiver<Option<Answer>>> {
        let mut lookups = self.lock();
        if let Some(lookup) = lookups.get(name)
            && (lookup.goes_on() || lookup.is_used_again())
        {
            let _ = lookup.asked.fetch_add(1, Ordering::AcqRel);
            return Ok(lookup.answer.clone());
        }
        let (tell, answer) = watch::channel(None);
        let asked = Arc::new(AtomicUsize::new(1));
        // Before it begins, so that it counts who waits.
        let waits = answer.clone();
        self.begin(name.to_owned(), Arc::clone(&asked), tell)?;
        let _ = lookups.insert(name.to_owned(), Lookup { asked, answer });
        Ok(waits)
    }

    fn begin(
        &self,
        name: String,
        asked: Arc<AtomicUsize>,
        tell: watch::Sender<Option<Answer>>,
    ) -> io::Result<()> {
        let look_up = Arc::clone(&self.look_up);
        let looking = move || {
            let found = look_up(&name).map_err(|error| (error.kind(), error.to_string()));
            // Each that still waits has a receiver, besides that of the lookup.
            let waiting = tell.receiver_count().saturating_sub(1);
            let gave_up = waiting < asked.load(Ordering::Acquire);
            let late = gave_up.then(clock::now);
            let _ = tell.send_replace(Some(Answer { late, found }));
        };
        let thread = std::thread::Builder::new().name("resolver".to_owned());
        thread.spawn(looking).map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Lookup>> {
        // Nothing panics while holding this lock.
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lookup {
    fn goes_on(&self) -> bool {
        // Its thread has the sender until it ends.
        self.answer.borrow().is_none() && self.answer.has_changed().is_ok()
    }

    fn is_used_again(&self) -> bool {
        match &*self.answer.borrow() {
            Some(Answer {
                late: Some(came),
                found: Ok(_),
            }) => clock::now() < *came + LATE_USED_FOR,
            // That there is none may change at any time.
            _ => false,
        }
    }
}

type Looking = Pin<Box<dyn Future<Output = io::Result<vec::IntoIter<SocketAddr>>> + Send>>;

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Looking;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Looking {
        let answer = self.answer_for(name.as_str());
        Box::pin(async move {
            let fault = || io::Error::other("looking the name up ended by a fault");
            let mut answer = answer?;
            let told = answer.wait_for(Option::is_some).await;
            let told = told.map_err(|_| fault())?.clone();
            let Answer { found, .. } = told.ok_or_else(fault)?;
            let found = found.map_err(|(kind, text)| io::Error::new(kind, text))?;
            Ok(found.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// A resolver that answers each question when it is told to, and the questions that it was asked.
    fn scripted() -> (Resolver, SyncSender<io::Result<u8>>, Receiver<String>) {
        let (answers, script) = sync_channel::<io::Result<u8>>(9);
        let (ask, asked) = sync_channel(9);
        let script = Mutex::new(script);
        let resolver = Resolver::by(move |name| {
            ask.send(name.to_owned()).expect("the test listens");
            let script = script.lock().expect("no panic");
            let last = script.recv().expect("an answer")?;
            Ok(vec![SocketAddr::from(([127, 0, 0, last], 0))])
        });
        (resolver, answers, asked)
    }

    fn call(resolver: &mut Resolver, name: &str) -> Looking {
        resolver.call(name.parse().expect("every text is a name"))
    }

    fn last_byte(found: io::Result<vec::IntoIter<SocketAddr>>) -> Result<u8, String> {
        let mut found = found.map_err(|error| error.to_string())?;
        match found.next() {
            Some(SocketAddr::V4(address)) => Ok(address.ip().octets()[3]),
            other => Err(format!("{other:?}")),
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_however_many_ask_and_give_up() {
        let (mut resolver, answers, asked) = scripted();
        for _ in 0..100 {
            // Another lane has a copy.
            let looking = call(&mut resolver.clone(), "es");
            let given_up = tokio::time::timeout(Duration::from_millis(1), looking).await;
            assert!(given_up.is_err());
        }
        assert!(resolver.is_looking_up("es"));
        assert!(!resolver.is_looking_up("other"));
        assert_eq!(asked.recv_timeout(SOON).as_deref(), Ok("es"));
        let looking = call(&mut resolver, "es");
        answers.send(Ok(1)).expect("it waits");
        assert_eq!(last_byte(looking.await), Ok(1));
        assert!(!resolver.is_looking_up("es"));
        assert!(asked.try_recv().is_err(), "asked more than once");
    }

    #[tokio::test]
    async fn an_answer_that_came_too_late_for_one_serves_whoever_asks_next() {
        let come = async |resolver: &Resolver| {
            while resolver.is_looking_up("es") {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        for somebody_waits in [false, true] {
            let (mut resolver, answers, asked) = scripted();
            drop(call(&mut resolver, "es"));
            let waits = somebody_waits.then(|| call(&mut resolver, "es"));
            answers.send(Ok(1)).expect("it waits");
            come(&resolver).await;
            for looking in waits.into_iter().chain([call(&mut resolver, "es")]) {
                assert_eq!(last_byte(looking.await), Ok(1));
            }
            assert_eq!(asked.try_iter().count(), 1);
        }

        // One that came in time, and that there is none, do not.
        let (mut resolver, answers, asked) = scripted();
        for last in [1, 2] {
            answers.send(Ok(last)).expect("there is room");
            assert_eq!(last_byte(call(&mut resolver, "es").await), Ok(last));
        }
        drop(call(&mut resolver, "es"));
        let failure = io::Error::new(io::ErrorKind::NotFound, "no such name");
        answers.send(Err(failure)).expect("there is room");
        come(&resolver).await;
        answers.send(Ok(3)).expect("there is room");
        assert_eq!(last_byte(call(&mut resolver, "es").await), Ok(3));
        assert_eq!(asked.try_iter().count(), 4);
    }

    #[tokio::test]
    async fn names_do_not_wait_for_each_other_and_a_fault_is_an_answer() {
        let (release, hold) = sync_channel::<()>(0);
        let hold = Mutex::new(hold);
        let mut resolver = Resolver::by(move |name| match name {
            "hangs" => {
                let _ = hold.lock().expect("no panic").recv();
                Err(io::ErrorKind::TimedOut.into())
            }
            "fault" => panic!("it is meant"),
            _ => Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))]),
        });
        let hangs = call(&mut resolver, "hangs");
        assert_eq!(last_byte(call(&mut resolver, "es").await), Ok(1));
        assert!(resolver.is_looking_up("hangs"));
        let fault = last_byte(call(&mut resolver, "fault").await).expect_err("a panic");
        assert!(fault.contains("ended by a fault"), "{fault}");
        assert!(!resolver.is_looking_up("fault"));
        drop(release);
        let error = hangs.await.expect_err("no answer came");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_is_asked_for_anew_after_a_while() {
        let late = Some(Answer {
            late: Some(clock::now()),
            found: Ok(Vec::new()),
        });
        let lookup = Lookup {
            asked: Arc::default(),
            answer: watch::channel(late).1,
        };
        tokio::time::advance(LATE_USED_FOR - Duration::from_millis(1)).await;
        assert!(lookup.is_used_again());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!lookup.is_used_again());
    }
}
