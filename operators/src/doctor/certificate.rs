//! When certificates expire: those that a server shows, and those in files.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::X509;

use super::{Said, Status};

/// From so many days before its end on, a certificate is worth a warning.
const SOON_DAYS: i64 = 14;
const DAY_SECONDS: i64 = 86_400;

/// The certificate of a chain that expires first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expiry {
    /// Where it was found: a host or a file.
    pub(super) of: String,
    /// Seconds until its end, negative after it; or why that is not known.
    pub(super) left: Result<i64, String>,
}

impl Expiry {
    /// Of the chain that a server shows in a TLS handshake. Nothing is verified, nothing is sent.
    pub(super) fn of_server(host: &str, port: u16, within: Duration) -> Self {
        Self {
            of: format!("{host}:{port}"),
            left: server(host, port, within),
        }
    }

    /// Of the certificates in a PEM file.
    pub(super) fn of_file(path: &Path) -> Self {
        let left = std::fs::read(path)
            .map_err(|error| error.to_string())
            .and_then(|pem| {
                let chain = X509::stack_from_pem(&pem).unwrap_or_default();
                let left = chain.iter().map(|one| left(one.not_after())).min();
                left.ok_or_else(|| "it holds no certificate in PEM".to_owned())
            });
        Self {
            of: path.display().to_string(),
            left,
        }
    }

    /// Whole days until its end, negative after it.
    fn days(&self) -> Result<i64, &str> {
        let left = self.left.as_ref().map_err(String::as_str)?;
        Ok(left.div_euclid(DAY_SECONDS))
    }

    /// What to say of it.
    pub(super) fn judge(&self) -> Said {
        let of = &self.of;
        match self.days() {
            Err(why) => (
                Status::Unknown,
                format!("the certificate of {of} cannot be seen: {why}"),
            ),
            Ok(days @ ..0) => (
                Status::Error,
                format!("a certificate of {of} expired {} days ago", -days),
            ),
            Ok(days @ ..=SOON_DAYS) => (
                Status::Warning,
                format!("a certificate of {of} expires in {days} days"),
            ),
            Ok(days) => (
                Status::Ok,
                format!("the certificates of {of} are valid for {days} days"),
            ),
        }
    }
}

fn server(host: &str, port: u16, within: Duration) -> Result<i64, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses = (bare, port)
        .to_socket_addrs()
        .map_err(|error| text(&error))?;
    let address = addresses.next().ok_or("it has no address")?;
    let stream = TcpStream::connect_timeout(&address, within).map_err(|error| text(&error))?;
    let timeouts = stream
        .set_read_timeout(Some(within))
        .and_then(|()| stream.set_write_timeout(Some(within)));
    timeouts.map_err(|error| text(&error))?;
    // The chain is read where it would be verified, which comes before the server asks for a certificate
    // of ours and gives up.
    let first = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&first);
    let mut builder = SslConnector::builder(SslMethod::tls()).map_err(|error| text(&error))?;
    builder.set_verify_callback(SslVerifyMode::PEER, move |_, chain| {
        let mut first = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(certificate) = chain.current_cert() {
            let left = left(certificate.not_after());
            *first = Some(first.map_or(left, |first: i64| first.min(left)));
        }
        true
    });
    let handshake = builder
        .build()
        .configure()
        .map(|connector| connector.verify_hostname(false))
        .and_then(|connector| connector.into_ssl(bare))
        .map_err(|error| text(&error))?
        .connect(stream);
    let first = *first.lock().unwrap_or_else(PoisonError::into_inner);
    match (first, handshake) {
        (Some(left), _) => Ok(left),
        (None, Err(error)) => Err(error.to_string()),
        (None, Ok(_)) => Err("the server showed none".to_owned()),
    }
}

fn left(end: &Asn1TimeRef) -> i64 {
    let now = Asn1Time::days_from_now(0);
    let left = now.and_then(|now| now.diff(end));
    // A time that cannot be read is not one to rely on.
    left.map_or(0, |left| {
        i64::from(left.days) * DAY_SECONDS + i64::from(left.secs)
    })
}

#[cfg(test)]
mod tests {
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;
    use openssl::ssl::{SslAcceptor, SslMethod};

    use super::*;
    use crate::scratch::Scratch;

    fn certificate(days: u32) -> (X509, PKey<openssl::pkey::Private>) {
        let key = PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
        let mut builder = X509::builder().expect("a builder");
        let begin = Asn1Time::from_unix(0).expect("a time");
        let end = Asn1Time::days_from_now(days).expect("a time");
        builder.set_not_before(&begin).expect("set");
        builder.set_not_after(&end).expect("set");
        builder.set_pubkey(&key).expect("set");
        builder.sign(&key, MessageDigest::sha256()).expect("signed");
        (builder.build(), key)
    }

    #[test]
    fn a_server_is_asked_for_its_certificate_without_trusting_it() {
        let (shown, key) = certificate(100);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let serving = std::thread::spawn(move || {
            let mut acceptor =
                SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("an acceptor");
            acceptor.set_private_key(&key).expect("set");
            acceptor.set_certificate(&shown).expect("set");
            let (stream, _) = listener.accept().expect("a client");
            drop(acceptor.build().accept(stream));
        });
        let expiry = Expiry::of_server("127.0.0.1", port, Duration::from_secs(10));
        serving.join().expect("it ends");
        assert!(matches!(expiry.days(), Ok(99..=100)), "{expiry:?}");
        assert_eq!(expiry.judge().0, Status::Ok);
    }

    #[test]
    fn files_are_judged_by_the_certificate_that_ends_first() {
        let directory = Scratch::new();
        let path = directory.path().join("chain.pem");
        let mut pem = certificate(400).0.to_pem().expect("PEM");
        pem.extend(certificate(3).0.to_pem().expect("PEM"));
        std::fs::write(&path, pem).expect("written");
        let (status, text) = Expiry::of_file(&path).judge();
        assert_eq!(status, Status::Warning, "{text}");
        assert!(text.contains("expires in"), "{text}");
        let missing = Expiry::of_file(&directory.path().join("none"));
        assert_eq!(missing.judge().0, Status::Unknown);
        let over = Expiry {
            of: "es-1:9200".to_owned(),
            left: Ok(-2 * DAY_SECONDS),
        };
        let expected = "a certificate of es-1:9200 expired 2 days ago";
        assert_eq!(over.judge(), (Status::Error, expected.to_owned()));
    }
}
