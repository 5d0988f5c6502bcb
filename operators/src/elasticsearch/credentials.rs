//! Credentials and certificates of a connection as its files have them now, and clients that go on with new
//! ones. Whose work the connection is, and who is told, is not known here.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_topology::OperatorError;
use isobar_topology::clock::{self, Instant};

use super::access::Access;
use super::connection::ElasticsearchConnection;
use super::http::Http;

/// How long a look at the files may hold a request up. Other hosts must not wait for a volume that hangs.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// What a connection is let in with: what its files said when they were last found sound.
pub(crate) struct Credentials {
    connection: ElasticsearchConnection,
    /// Counts what was taken since the start.
    version: AtomicU64,
    access: Mutex<Arc<Access>>,
    /// Held while files are read, by one at a time.
    seen: Mutex<Seen>,
    /// When the last look began that requests wait for; held while it goes on. Those that come meanwhile wait
    /// for it without a thread: where a volume hangs they would pile up.
    looked: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

/// Digests of all files, in the order in which the connection names them; `None` for one that cannot be
/// read. Not the time of the last change: a file that is a link to another one, as volumes of Kubernetes
/// have them, changes without it.
type Contents = Vec<Option<[u8; 32]>>;

struct Seen {
    /// What the files held when they were taken.
    taken: Contents,
    /// What they held when they were last refused, if nothing was taken since.
    refused: Option<Contents>,
}

/// What a look at the files led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The files are those that are in use.
    Current,
    /// What these files hold now is in use from here on.
    Renewed(Vec<String>),
    /// The files cannot be used, for this reason that names one.
    Refused(String),
    /// They are those that were refused.
    StillRefused,
}

impl Credentials {
    /// Reads the files for the first time. Waits for the disk. Fails as [`Access::load`] does.
    pub(crate) fn load(connection: &ElasticsearchConnection) -> Result<Arc<Self>, OperatorError> {
        // Before the files are read for use: a change in between is found by the next look.
        let taken = contents(connection);
        Ok(Arc::new(Self {
            access: Mutex::new(Arc::new(Access::load(connection)?)),
            connection: connection.clone(),
            version: AtomicU64::new(0),
            seen: Mutex::new(Seen {
                taken,
                refused: None,
            }),
            looked: Arc::default(),
        }))
    }

    /// Whether anything of it comes from a file, and so may change.
    pub(crate) fn may_change(&self) -> bool {
        !self.connection.files().is_empty()
    }

    /// How many times something new was taken.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Reads the files and takes what they hold if it has changed. Waits for the disk.
    pub(crate) fn look(&self) -> Look {
        let mut seen = lock(&self.seen);
        let now = contents(&self.connection);
        if now == seen.taken {
            seen.refused = None;
            return Look::Current;
        }
        if seen.refused.as_ref() == Some(&now) {
            return Look::StillRefused;
        }
        match Access::load(&self.connection) {
            Err(error) => {
                seen.refused = Some(now);
                Look::Refused(error.to_string())
            }
            Ok(access) => {
                let files = self.connection.files();
                let both = now.iter().zip(&seen.taken);
                let changed = files.iter().zip(both).filter(|(_, (now, old))| now != old);
                let changed = changed.map(|(file, _)| file.display().to_string());
                let changed = changed.collect();
                *lock(&self.access) = Arc::new(access);
                let _ = self.version.fetch_add(1, Ordering::Release);
                seen.taken = now;
                seen.refused = None;
                Look::Renewed(changed)
            }
        }
    }

    /// Whether there is something newer than this version, after a look where there was nothing yet. One
    /// look goes on at a time, and serves all who asked before it began. `false` after 1 s without an end of
    /// it: it goes on.
    pub(crate) async fn is_renewed_since(
        self: Arc<Self>,
        version: u64,
        look: impl FnOnce(&Self) + Send + 'static,
    ) -> bool {
        if self.version() == version && self.may_change() {
            let looking = Arc::clone(&self).look_in_turn(version, look);
            let _ = tokio::time::timeout(LOOK_WITHIN, looking).await;
        }
        self.version() != version
    }

    async fn look_in_turn(
        self: Arc<Self>,
        version: u64,
        look: impl FnOnce(&Self) + Send + 'static,
    ) {
        let asked = clock::now();
        let mut began = Arc::clone(&self.looked).lock_owned().await;
        if self.version() != version || began.is_some_and(|began| began >= asked) {
            return;
        }
        *began = Some(clock::now());
        let looking = tokio::task::spawn_blocking(move || {
            // Until the look ends, also where nobody waits for it any more.
            let _turn = began;
            look(&self);
        });
        if let Err(error) = looking.await {
            tracing::error!(%error, "Looking at the files of credentials ended by a fault");
        }
    }

    /// A client of its own for one lane, with at most so many idle connections to each host.
    pub(crate) fn client(self: &Arc<Self>, idle_max: usize) -> Client {
        Client {
            made: Mutex::new(self.make(idle_max)),
            credentials: Arc::clone(self),
            idle_max,
        }
    }

    fn make(&self, idle_max: usize) -> Made {
        // Read first: what is taken in between is found to be newer, and made again.
        let version = self.version();
        let http = Arc::new(lock(&self.access).http(idle_max));
        Made { version, http }
    }
}

/// Sends requests with the credentials that are in use when each of them begins.
pub(crate) struct Client {
    credentials: Arc<Credentials>,
    idle_max: usize,
    made: Mutex<Made>,
}

/// An HTTP client, and the version of the credentials that it goes with.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) version: u64,
    pub(crate) http: Arc<Http>,
}

impl Client {
    /// The client to send a request with. After a change it is another one: connections that are open
    /// end with the requests on them, and idle ones at once.
    pub(crate) fn now(&self) -> Made {
        let mut made = lock(&self.made);
        if made.version != self.credentials.version() {
            *made = self.credentials.make(self.idle_max);
        }
        made.clone()
    }

    /// Whether there is something newer than this version to be let in with, for one whom a host has
    /// turned away with it: looks at the files.
    pub(crate) async fn is_renewed_since(&self, version: u64) -> bool {
        let credentials = Arc::clone(&self.credentials);
        let look = |credentials: &Credentials| drop(credentials.look());
        credentials.is_renewed_since(version, look).await
    }
}

fn contents(connection: &ElasticsearchConnection) -> Contents {
    let digest = |file: &&Path| {
        let bytes = std::fs::read(file).ok()?;
        Some(openssl::sha::sha256(&bytes))
    };
    connection.files().iter().map(digest).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is replaced as a whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::task::Poll;

    use isobar_topology::spec::{Entry, Node, Path as Place, Value, parse_config};

    use super::*;
    use crate::scratch::Scratch;

    /// A connection whose API key comes from a file of this directory.
    fn keyed(scratch: &Scratch) -> Arc<Credentials> {
        let file = scratch.path().join("key");
        let key = Node {
            hidden: true,
            file: Some(Arc::from(file.as_path())),
            ..Node::new(Value::String("as it was read".into()), Default::default())
        };
        let entry = |key: &str, node| Entry {
            key: key.to_owned(),
            key_place: Default::default(),
            node,
        };
        let map = |entries| Node::new(Value::Map(entries), Default::default());
        let hosts = Node::from_json(&serde_json::json!(["http://127.0.0.1:9"]));
        let auth = map(vec![entry("api_key", key)]);
        let options = map(vec![entry("hosts", hosts), entry("auth", auth)]);
        let connection = parse_config(&options, &Place::root()).expect("sound");
        Credentials::load(&connection).expect("the file is there")
    }

    #[test]
    fn what_changed_is_taken_once_and_what_is_broken_is_refused_once() {
        let scratch = Scratch::new();
        scratch.replace("key", "first\n");
        let file = scratch.path().join("key").display().to_string();
        let credentials = keyed(&scratch);
        let client = credentials.client(1);
        let first = client.now();
        assert_eq!(credentials.look(), Look::Current);
        assert!(Arc::ptr_eq(&first.http, &client.now().http));

        // As one that is being written.
        scratch.replace("key", "");
        let Look::Refused(why) = credentials.look() else {
            panic!("it is empty");
        };
        assert_eq!(
            why,
            format!("auth.api_key: {file} cannot be used: it is empty")
        );
        assert_eq!(credentials.look(), Look::StillRefused);
        scratch.replace("key", "hunter2\u{1}");
        let Look::Refused(why) = credentials.look() else {
            panic!("no key has such characters");
        };
        assert!(!why.contains("hunter2"), "{why}");
        assert!(Arc::ptr_eq(&first.http, &client.now().http));
        scratch.replace("key", "first\n");
        assert_eq!(credentials.look(), Look::Current);

        scratch.replace("key", "second\n");
        assert_eq!(credentials.look(), Look::Renewed(vec![file]));
        assert_eq!(credentials.look(), Look::Current);
        let second = client.now();
        assert!(!Arc::ptr_eq(&first.http, &second.http));
        assert!(Arc::ptr_eq(&second.http, &client.now().http));
    }

    #[tokio::test]
    async fn one_who_is_turned_away_finds_what_is_new_at_once() {
        let scratch = Scratch::new();
        scratch.replace("key", "first");
        let credentials = keyed(&scratch);
        let client = credentials.client(1);
        let version = client.now().version;
        assert!(!client.is_renewed_since(version).await);
        scratch.replace("key", "second");
        assert!(client.is_renewed_since(version).await);
        // Another one was turned away with the same, and finds what the first has taken.
        assert!(client.is_renewed_since(version).await);
        assert!(!client.is_renewed_since(client.now().version).await);
    }

    /// A look that begins at a volume that hangs until `release` is dropped, and counts.
    struct Hanging {
        begun: Arc<AtomicU64>,
        hangs: Arc<Mutex<Receiver<()>>>,
        release: SyncSender<()>,
    }

    impl Hanging {
        fn new() -> Self {
            let (release, hangs) = sync_channel(0);
            Self {
                begun: Arc::default(),
                hangs: Arc::new(Mutex::new(hangs)),
                release,
            }
        }

        fn look(&self) -> impl FnOnce(&Credentials) + Send + 'static {
            let (begun, hangs) = (Arc::clone(&self.begun), Arc::clone(&self.hangs));
            move |_| {
                let _ = begun.fetch_add(1, Ordering::Relaxed);
                let _ = lock(&hangs).recv();
            }
        }
    }

    #[tokio::test]
    async fn while_a_volume_hangs_one_look_serves_all_who_ask() {
        let scratch = Scratch::new();
        scratch.replace("key", "first");
        let credentials = keyed(&scratch);
        let hanging = Hanging::new();
        let ask = || Arc::clone(&credentials).is_renewed_since(0, hanging.look());
        let mut asked: Vec<_> = (0..20).map(|_| Box::pin(ask())).collect();
        for one in &mut asked {
            assert!(futures::poll!(one).is_pending());
        }
        // Nobody waits for the look any more, and it goes on all the same.
        drop(asked.remove(0));
        let begun = Arc::clone(&hanging.begun);
        drop(hanging.release);
        let renewed = futures::future::join_all(asked).await;
        assert!(!renewed.contains(&true));
        // The one that hung, and one that began after all had asked.
        assert!(begun.load(Ordering::Relaxed) <= 2, "{begun:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_holds_a_request_up_for_a_second_at_most() {
        let scratch = Scratch::new();
        scratch.replace("key", "first");
        let credentials = keyed(&scratch);
        let hanging = Hanging::new();
        let mut looks = Box::pin(Arc::clone(&credentials).is_renewed_since(0, hanging.look()));
        let mut waits = Box::pin(Arc::clone(&credentials).is_renewed_since(0, hanging.look()));
        for (after, ends) in [(0, false), (999, false), (1, true)] {
            // By hand: time does not go on by itself while a thread is at work.
            tokio::time::advance(Duration::from_millis(after)).await;
            for one in [&mut looks, &mut waits] {
                let answer = match ends {
                    true => Poll::Ready(false),
                    false => Poll::Pending,
                };
                assert_eq!(futures::poll!(one), answer, "after {after} ms");
            }
        }
        drop(hanging.release);
    }
}
