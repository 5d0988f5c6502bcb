//! Looks at the files of a bolt's credentials for as long as the bolt is there, and tells its health what
//! was found: a change that cannot be used is a condition of the bolt, as with the table of a `lookup`.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use isobar_topology::{BoltContext, Counter, Health};

use super::credentials::{Client, Credentials, Look};

/// Between two looks. Reading a few small files costs nothing, and whoever rotates credentials leaves the
/// old ones valid for longer.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// The kind of the condition while files were changed to something that cannot be used.
const REFUSED: &str = "credentials";

/// The credentials of a bolt, which follow their files. Dropping it ends the looking.
pub(crate) struct Renewal {
    credentials: Arc<Credentials>,
    reporter: Reporter,
    _stop: Option<SyncSender<()>>,
}

/// Where a look is reported.
#[derive(Clone)]
struct Reporter {
    bolt: Arc<str>,
    health: Health,
    reloads: Counter,
    refused: Counter,
}

impl Renewal {
    /// Looks every `interval`, on a thread of its own; never where nothing comes from a file.
    pub(crate) fn start(
        credentials: Arc<Credentials>,
        context: &BoltContext,
        interval: Duration,
    ) -> Self {
        let counters = &context.counters;
        let reporter = Reporter {
            bolt: Arc::clone(&context.id),
            health: context.health.clone(),
            reloads: counters.counter(
                "credentials_reloads",
                "Times that changed files of credentials or certificates were taken over.",
            ),
            refused: counters.counter(
                "credentials_reloads_refused",
                "Times that changed files of credentials or certificates were refused, so that what was read before stayed in use.",
            ),
        };
        let stop = credentials
            .may_change()
            .then(|| watch(Arc::clone(&credentials), reporter.clone(), interval))
            .flatten();
        Self {
            credentials,
            reporter,
            _stop: stop,
        }
    }

    /// A client of its own for one lane, with at most so many idle connections to each host.
    pub(crate) fn client(&self, idle_max: usize) -> Client {
        self.credentials.client(idle_max)
    }

    /// Whether there is something newer than this version to be let in with, for one whom a host has
    /// turned away with it: looks at once.
    pub(crate) async fn is_renewed_since(&self, version: u64) -> bool {
        let reporter = self.reporter.clone();
        let look = move |credentials: &Credentials| reporter.report(credentials.look());
        let credentials = Arc::clone(&self.credentials);
        credentials.is_renewed_since(version, look).await
    }
}

fn watch(
    credentials: Arc<Credentials>,
    reporter: Reporter,
    interval: Duration,
) -> Option<SyncSender<()>> {
    let (stop, stopped) = sync_channel(0);
    let bolt = Arc::clone(&reporter.bolt);
    let look = move || {
        while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            reporter.report(credentials.look());
        }
    };
    let thread = std::thread::Builder::new().name("credentials".to_owned());
    match thread.spawn(look) {
        Ok(_detached) => Some(stop),
        Err(error) => {
            tracing::warn!(%bolt, %error, "No thread for looking at the files of credentials: they are looked at when a host refuses them");
            None
        }
    }
}

impl Reporter {
    fn report(&self, look: Look) {
        let bolt = &self.bolt;
        match look {
            Look::StillRefused => {}
            Look::Current => self.health.clear(bolt, REFUSED),
            Look::Renewed(files) => {
                self.reloads.add(1);
                self.health.clear(bolt, REFUSED);
                let files = files.join(", ");
                tracing::info!(%bolt, files, "Changed credentials were read, and are used from now on");
            }
            Look::Refused(why) => {
                self.refused.add(1);
                let text = format!("{why}. What was read before stays in use");
                self.health.note(bolt, REFUSED, text);
            }
        }
    }
}
