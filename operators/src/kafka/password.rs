//! The password of a connection that comes from a file: clients that are alive log in with what the file has
//! now. librdkafka has no such way for the files of `tls`, which a client reads once.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};

use super::connection::{KafkaConnection, Sasl};
use super::ffi::sasl;

/// Between two looks at the file, as for credentials of Elasticsearch.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Looks at the file of a client's password. Dropping it ends the looking.
pub(crate) struct Follower {
    _stop: SyncSender<()>,
}

impl Follower {
    /// Gives a changed password to a client for as long as it is there.
    pub(crate) fn of<C: ConsumerContext + 'static>(
        connection: &KafkaConnection,
        client: &Arc<BaseConsumer<C>>,
    ) -> Option<Self> {
        let client = Arc::downgrade(client);
        Self::start(connection, INTERVAL, move |sasl| {
            let client = client.upgrade();
            client.is_some_and(|client| give(client.client(), sasl))
        })
    }

    /// Looks every `interval`, on a thread of its own, and gives a changed password to `give`, which says
    /// whether a client has taken it: if not, it is given again. `None` where the connection has no password
    /// that comes from a file.
    pub(crate) fn start(
        connection: &KafkaConnection,
        interval: Duration,
        give: impl Fn(&Sasl) -> bool + Send + 'static,
    ) -> Option<Self> {
        let mut sasl = connection.sasl.clone()?;
        let file = sasl.password.file()?.to_owned();
        let (stop, stopped) = sync_channel(0);
        let look = move || {
            let mut refused = None;
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                match sasl.password.read_again() {
                    Ok(password) => {
                        refused = None;
                        let is_new = password.reveal() != sasl.password.reveal();
                        let changed = Sasl {
                            password,
                            ..sasl.clone()
                        };
                        if !is_new || !give(&changed) {
                            continue;
                        }
                        sasl = changed;
                        let file = file.display();
                        tracing::info!(%file, "A changed password of Kafka was read: connections that are made from now on log in with it");
                    }
                    Err(error) => tell(&file, &mut refused, error.to_string()),
                }
            }
        };
        let thread = std::thread::Builder::new().name("kafka-password".to_owned());
        match thread.spawn(look) {
            Ok(_detached) => Some(Self { _stop: stop }),
            Err(error) => {
                tracing::warn!(%error, "No thread for looking at the file of a Kafka password: a changed one is used after the next start");
                None
            }
        }
    }
}

/// Lets a client log in with this password from its next connection on, and says whether it will.
pub(crate) fn give<C: ClientContext>(client: &Client<C>, sasl: &Sasl) -> bool {
    let given = sasl::set_credentials(client, sasl);
    if let Err(error) = &given {
        tracing::warn!(%error, "A Kafka client does not take its new password");
    }
    given.is_ok()
}

/// Says once why a file cannot be used.
fn tell(file: &Path, refused: &mut Option<String>, why: String) {
    if refused.as_ref() == Some(&why) {
        return;
    }
    let file = file.display();
    tracing::warn!(%file, error = why, "The file of a Kafka password cannot be used; the password that was read before stays in use");
    *refused = Some(why);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::json;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_changed_password_is_given_to_who_lives_and_to_who_is_made() {
        let scratch = Scratch::new();
        scratch.replace("password", "first\n");
        let file = scratch.path().join("password");
        let password = json!({"text": "first", "file": file});
        let sasl = json!({"mechanism": "PLAIN", "username": "isobar", "password": password});
        let connection = json!({"brokers": "localhost:9092", "sasl": sasl});
        let connection: KafkaConnection = serde_json::from_value(connection).expect("sound");
        let (give, given) = sync_channel(8);
        let refuses = AtomicBool::new(true);
        let follower = Follower::start(&connection, Duration::from_millis(1), move |sasl| {
            let login = (sasl.username.clone(), sasl.password.reveal().to_owned());
            give.send(login).expect("the test reads it");
            // As while there is no client.
            !refuses.swap(false, Ordering::Relaxed)
        });
        assert!(follower.is_some());
        let config = |name| connection.client_config().get(name).map(str::to_owned);
        assert_eq!(config("sasl.password").as_deref(), Some("first"));

        scratch.replace("password", "");
        scratch.replace("password", "second");
        let second = ("isobar".to_owned(), "second".to_owned());
        for given in given.iter().take(2) {
            assert_eq!(given, second);
        }
        assert_eq!(config("sasl.password").as_deref(), Some("second"));
        // As a file is that is being written.
        scratch.replace("password", "");
        assert_eq!(config("sasl.password").as_deref(), Some("second"));
        drop(follower);
        assert!(given.recv().is_err(), "the thread ends");
    }

    #[test]
    fn a_password_without_a_file_is_not_followed() {
        let sasl = json!({"mechanism": "PLAIN", "username": "isobar", "password": "fixed"});
        let connection = json!({"brokers": "localhost:9092", "sasl": sasl});
        let connection: KafkaConnection = serde_json::from_value(connection).expect("sound");
        assert!(Follower::start(&connection, INTERVAL, |_| true).is_none());
    }
}
