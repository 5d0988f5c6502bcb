//! When the certificates that a running topology relies on expire: looked at when it starts and then a few
//! times a day, on a thread of its own.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_operators::doctor::{Certificate, Patient};
use isobar_topology::clock::{self, Instant};
use isobar_topology::spec::Spec;

/// Between two looks: certificates are renewed days before their end.
const INTERVAL: Duration = Duration::from_secs(6 * 3_600);
/// How long one host may take.
const WITHIN: Duration = Duration::from_secs(5);

/// The certificates of a topology. Dropping it ends the looking.
#[derive(Default)]
pub struct Certificates {
    seen: Arc<Mutex<Vec<Seen>>>,
    _stop: Option<SyncSender<()>>,
}

struct Seen {
    certificate: Certificate,
    at: Instant,
}

/// A certificate now.
pub struct Expiry {
    /// The connection of the topology file.
    pub connection: String,
    /// The host that shows it, or the file that it is in.
    pub of: String,
    /// Seconds until it expires, negative after that.
    pub left_seconds: f64,
}

impl Certificates {
    /// Starts to look. Waits for nothing; without a connection that uses TLS there is nothing to see.
    pub fn watch(spec: &Spec, lanes: usize) -> Self {
        // What is wrong with the options, the plan has said.
        let Ok(patient) = Patient::of(spec, lanes) else {
            return Self::default();
        };
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (stop, stopped) = sync_channel(0);
        let theirs = Arc::clone(&seen);
        let look = move || {
            loop {
                let found = patient.certificates(WITHIN);
                if found.is_empty() {
                    return;
                }
                let at = clock::now();
                let found = found.into_iter();
                *lock(&theirs) = found.map(|certificate| Seen { certificate, at }).collect();
                match stopped.recv_timeout(INTERVAL) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        let thread = std::thread::Builder::new().name("certificates".to_owned());
        let started = thread.spawn(look);
        if let Err(error) = started {
            tracing::warn!(%error, "The expiry of certificates is not looked at");
        }
        Self {
            seen,
            _stop: Some(stop),
        }
    }

    /// Those whose end is known, as of now.
    pub fn expiries(&self) -> Vec<Expiry> {
        let seen = lock(&self.seen);
        let known = seen.iter().filter_map(|Seen { certificate, at }| {
            let left = *certificate.left.as_ref().ok()? as f64;
            Some(Expiry {
                connection: certificate.connection.clone(),
                of: certificate.of.clone(),
                left_seconds: left - (clock::now() - *at).as_secs_f64(),
            })
        });
        known.collect()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use isobar_topology::spec::Node;
    use serde_json::json;

    use super::*;

    fn spec(tls: &serde_json::Value) -> Spec {
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {"kafka": {"type": "kafka", "brokers": "127.0.0.1:9", "tls": tls}},
            "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": "a", "start": "latest"}},
            "bolts": {"end": {"type": "blackhole", "inputs": ["in"], "on_rejected": "drop"}},
        });
        Spec::read(&Node::from_json(&file)).expect("sound")
    }

    fn certificate(days: u32) -> Vec<u8> {
        use openssl::asn1::Asn1Time;
        let key = openssl::rsa::Rsa::generate(2048).expect("a key");
        let key = openssl::pkey::PKey::from_rsa(key).expect("a key");
        let mut builder = openssl::x509::X509::builder().expect("a builder");
        let (begin, end) = (Asn1Time::from_unix(0), Asn1Time::days_from_now(days));
        builder
            .set_not_before(&begin.expect("a time"))
            .expect("set");
        builder.set_not_after(&end.expect("a time")).expect("set");
        builder.set_pubkey(&key).expect("set");
        let digest = openssl::hash::MessageDigest::sha256();
        builder.sign(&key, digest).expect("signed");
        builder.build().to_pem().expect("PEM")
    }

    #[test]
    fn files_of_a_connection_are_seen_and_hosts_that_do_not_answer_are_not() {
        let path = std::env::temp_dir().join(format!("isobar-ca-{}.pem", std::process::id()));
        std::fs::write(&path, certificate(30)).expect("written");
        let watched = Certificates::watch(&spec(&json!({"ca": path})), 1);
        let limit = clock::now() + Duration::from_secs(20);
        let found = loop {
            let found = watched.expiries();
            if !found.is_empty() {
                break found;
            }
            assert!(clock::now() < limit, "nothing is seen");
            std::thread::yield_now();
        };
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!(found.len(), 1, "the host does not answer");
        let Expiry {
            connection,
            of,
            left_seconds,
        } = &found[0];
        assert_eq!(
            (connection.as_str(), of),
            ("kafka", &path.display().to_string())
        );
        let days = left_seconds / 86_400.0;
        assert!((29.0..=30.0).contains(&days), "{days}");
    }
}
