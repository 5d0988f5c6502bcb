//! What it takes to be let in: credentials and certificates, read from where the connection says, and
//! the HTTP client that is made of them.

use std::path::Path;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use isobar_topology::OperatorError;
use isobar_topology::spec::Secret;
use openssl::base64;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use openssl::stack::Stack;
use openssl::x509::X509;

use super::connection::{Auth, ElasticsearchConnection, Tls};
use super::http::Http;

/// Credentials and certificates of a connection, ready for the clients of all lanes.
pub(crate) struct Access {
    /// Sent with every request.
    headers: HeaderMap,
    connect_timeout: std::time::Duration,
    /// `None` where no host is asked with it: making it ready reads the system's authorities, which takes
    /// as long as indexing 100,000 records.
    tls: Option<native_tls::TlsConnector>,
}

impl Access {
    /// Reads the files that the connection names, those of its secrets among them. Fails, naming the file,
    /// when one is not there or is not what it should be, and where an embedded index is named that nobody
    /// has started.
    pub(crate) fn load(connection: &ElasticsearchConnection) -> Result<Self, OperatorError> {
        if connection.is_embedded() {
            return Err(OperatorError::user(
                "hosts: embedded is inside the process that runs the topology, and not here; use the address that it logs at its start",
            ));
        }
        let user_agent = concat!("isobar/", env!("CARGO_PKG_VERSION"));
        let mut headers = HeaderMap::new();
        let _ = headers.insert(USER_AGENT, HeaderValue::from_static(user_agent));
        if let Some(auth) = &connection.auth {
            let _ = headers.insert(AUTHORIZATION, authorization(auth)?);
        }
        let urls = connection.urls();
        let is_tls = urls.iter().any(|url| url.scheme() == "https");
        Ok(Self {
            headers,
            connect_timeout: connection.connect_timeout.get(),
            tls: match is_tls {
                true => Some(connector(connection.tls.as_ref())?),
                false => None,
            },
        })
    }

    /// A client of its own for one lane, with at most so many idle connections to each host.
    pub(crate) fn http(&self, idle_max: usize) -> Http {
        let (headers, tls) = (self.headers.clone(), self.tls.clone());
        Http::new(headers, tls, self.connect_timeout, idle_max)
    }
}

/// Reads the files of `tls`. A connection without it trusts the system's authorities.
fn connector(tls: Option<&Tls>) -> Result<native_tls::TlsConnector, OperatorError> {
    let mut builder = native_tls::TlsConnector::builder();
    if let Some(path) = tls.and_then(|tls| tls.ca.as_deref()) {
        let pem = read("tls.ca", path)?;
        let certificates = native_tls::Certificate::stack_from_pem(&pem).unwrap_or_default();
        if certificates.is_empty() {
            let text = "tls.ca: the file holds no certificate in PEM";
            return Err(OperatorError::user(text));
        }
        for certificate in certificates {
            let _ = builder.add_root_certificate(certificate);
        }
    }
    if let Some(pkcs12) = tls.map(identity).transpose()?.flatten() {
        let identity = native_tls::Identity::from_pkcs12(&pkcs12, "").map_err(unusable)?;
        let _ = builder.identity(identity);
    }
    let verify = tls.is_none_or(|tls| tls.verify);
    let _ = builder
        .danger_accept_invalid_certs(!verify)
        .danger_accept_invalid_hostnames(!verify);
    builder.build().map_err(unusable)
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> OperatorError {
    OperatorError::user("the connection's credentials or certificates cannot be used")
        .with_source(error)
}

fn authorization(auth: &Auth) -> Result<HeaderValue, OperatorError> {
    let text = match auth {
        Auth::Basic(basic) => {
            let password = current("auth.basic.password", &basic.password)?;
            let pair = format!("{}:{}", basic.username, password.reveal());
            format!("Basic {}", base64::encode_block(pair.as_bytes()))
        }
        Auth::ApiKey(key) => match current("auth.api_key", key)?.reveal().trim() {
            pair if pair.contains(':') => {
                format!("ApiKey {}", base64::encode_block(pair.as_bytes()))
            }
            encoded => format!("ApiKey {encoded}"),
        },
    };
    let mut header = HeaderValue::from_str(&text)
        // The error's own text could show the value.
        .map_err(|_| OperatorError::user("auth.api_key holds characters that no key has"))?;
    header.set_sensitive(true);
    Ok(header)
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, OperatorError> {
    std::fs::read(path).map_err(|error| {
        OperatorError::user(format!("{option}: cannot read {}", path.display())).with_source(error)
    })
}

/// A secret as its file has it now.
fn current(option: &str, secret: &Secret) -> Result<Secret, OperatorError> {
    secret.read_again().map_err(|error| {
        let file = secret.file().unwrap_or(Path::new(""));
        OperatorError::user(format!("{option}: {} cannot be used", file.display()))
            .with_source(error)
    })
}

/// The client's own certificate and key, as PKCS #12 without a password.
fn identity(tls: &Tls) -> Result<Option<Vec<u8>>, OperatorError> {
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else {
        return Ok(None);
    };
    let wrong = |option: &'static str, path: &Path, what: &str| {
        OperatorError::user(format!("{option}: {} {what}", path.display()))
    };
    let pem = read("tls.certificate", certificate)?;
    let mut chain = X509::stack_from_pem(&pem)
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| {
            wrong(
                "tls.certificate",
                certificate,
                "holds no certificate in PEM",
            )
        })?
        .into_iter();
    let own = chain.next().expect("it is not empty");
    let password = tls.key_password.as_ref();
    let password = password.map(|secret| current("tls.key_password", secret));
    let password = password.transpose()?.unwrap_or(Secret::new(""));
    let own_key =
        PKey::private_key_from_pem_passphrase(&read("tls.key", key)?, password.reveal().as_bytes())
            .map_err(|_| {
                let what = match tls.key_password {
                    Some(_) => "holds no private key in PEM, or `key_password` does not open it",
                    None => "holds no private key in PEM, or one that needs a `key_password`",
                };
                wrong("tls.key", key, what)
            })?;
    if !own
        .public_key()
        .is_ok_and(|public| public.public_eq(&own_key))
    {
        return Err(wrong("tls.key", key, "is not the key of `certificate`"));
    }
    let pack = || {
        let mut between = Stack::new()?;
        for certificate in chain {
            between.push(certificate)?;
        }
        let mut builder = Pkcs12::builder();
        let _ = builder.pkey(&own_key).cert(&own).ca(between);
        builder.build2("")?.to_der()
    };
    pack().map(Some).map_err(unusable)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::mpsc::{SyncSender, sync_channel};
    use std::thread::JoinHandle;
    use std::time::Duration;

    use bytes::Bytes;
    use hyper::Method;
    use isobar_topology::spec::{Node, Path, parse_config};
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::{PKeyRef, Private};
    use openssl::rsa::Rsa;
    use openssl::ssl::{SslAcceptor, SslMethod};
    use openssl::x509::extension::SubjectAlternativeName;
    use openssl::x509::{X509NameBuilder, X509Ref};
    use serde_json::{Value, json};

    use super::{Access, ElasticsearchConnection, PKey, X509};
    use crate::scratch::Scratch;
    use crate::stand_in::{answer, request};

    fn certificate() -> (X509, PKey<Private>) {
        let key = PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
        let mut name = X509NameBuilder::new().expect("a builder");
        name.append_entry_by_text("CN", "localhost").expect("set");
        let name = name.build();
        let mut builder = X509::builder().expect("a builder");
        builder.set_version(2).expect("set");
        builder.set_subject_name(&name).expect("set");
        builder.set_issuer_name(&name).expect("set");
        let (begin, end) = (Asn1Time::from_unix(0), Asn1Time::days_from_now(9));
        builder
            .set_not_before(&begin.expect("a time"))
            .expect("set");
        builder.set_not_after(&end.expect("a time")).expect("set");
        builder.set_pubkey(&key).expect("set");
        let names = SubjectAlternativeName::new()
            .dns("localhost")
            .build(&builder.x509v3_context(None, None));
        builder
            .append_extension(names.expect("built"))
            .expect("set");
        builder.sign(&key, MessageDigest::sha256()).expect("signed");
        (builder.build(), key)
    }

    /// Answers one request, if the client accepts the certificate: its head and body.
    fn serve(
        shown: &X509Ref,
        key: &PKeyRef<Private>,
    ) -> (u16, JoinHandle<Option<(String, String)>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let mut acceptor =
            SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("an acceptor");
        acceptor.set_private_key(key).expect("set");
        acceptor.set_certificate(shown).expect("set");
        let acceptor = acceptor.build();
        let serving = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            let mut stream = acceptor.accept(stream).ok()?;
            let asked = request(&mut stream)?;
            answer(&mut stream, "{}");
            Some(asked)
        });
        (port, serving)
    }

    fn connection(options: &Value) -> ElasticsearchConnection {
        parse_config(&Node::from_json(options), &Path::root()).expect("sound")
    }

    async fn ask(options: Value, body: &str) -> Result<Bytes, String> {
        let connection = connection(&options);
        let http = Access::load(&connection).expect("readable").http(1);
        let url = connection.urls().remove(0);
        let body = Bytes::copy_from_slice(body.as_bytes());
        let asked = http.send(Method::POST, &url, &[], body).await;
        let reply = asked.map_err(|none| none.cause)?;
        reply.bytes(10).await.map_err(|none| none.cause)
    }

    #[tokio::test]
    async fn a_host_with_tls_is_verified_before_it_is_told_anything() {
        let (shown, key) = certificate();
        let directory = Scratch::new();
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, shown.to_pem().expect("PEM")).expect("written");

        // More than goes in one piece.
        let body = "0123456789".repeat(100_000);
        let (port, serving) = serve(&shown, &key);
        let hosts = format!("https://localhost:{port}");
        let auth = json!({"basic": {"username": "u", "password": "p"}});
        let answer = ask(
            json!({"hosts": hosts, "auth": auth, "tls": {"ca": ca}}),
            &body,
        )
        .await;
        assert_eq!(answer.as_deref(), Ok(&b"{}"[..]));
        let asked = serving.join().expect("it ends");
        let (head, sent) = asked.expect("a request");
        assert!(head.contains("authorization: Basic dTpw\r\n"), "{head}");
        assert!(head.contains("user-agent: isobar/"), "{head}");
        assert!(sent == body, "{} bytes", sent.len());

        let (port, serving) = serve(&shown, &key);
        let hosts = format!("https://localhost:{port}");
        let cause = ask(json!({"hosts": hosts}), &body)
            .await
            .expect_err("not trusted");
        assert!(cause.contains("certificate verify failed"), "{cause}");
        assert_eq!(serving.join().expect("it ends"), None);
    }

    /// What is left of a request, until it is let go.
    struct Held(Vec<u8>, #[expect(dead_code, reason = "counted")] Arc<()>);

    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    /// Takes one connection, with TLS or without, reads nothing more, and keeps it until the sender is
    /// dropped.
    fn takes_and_does_not_read(is_tls: bool) -> (u16, SyncSender<()>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (shown, key) = certificate();
        let mut acceptor =
            SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("an acceptor");
        acceptor.set_private_key(&key).expect("set");
        acceptor.set_certificate(&shown).expect("set");
        let acceptor = acceptor.build();
        let (release, hold) = sync_channel::<()>(0);
        let serving = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            let (mut plain, mut tls) = (None, None);
            match is_tls {
                true => tls = Some(acceptor.accept(stream).expect("it is let in")),
                false => plain = Some(stream),
            }
            let _ = hold.recv();
            drop((plain.take(), tls.take()));
        });
        (port, release, serving)
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_is_let_go_although_its_host_does_not_read() {
        for (scheme, is_tls) in [("http", false), ("https", true)] {
            let (port, release, serving) = takes_and_does_not_read(is_tls);
            let mut options = json!({"hosts": format!("{scheme}://localhost:{port}")});
            if is_tls {
                options["tls"] = json!({"verify": false});
            }
            let connection = connection(&options);
            let http = Access::load(&connection).expect("readable").http(1);
            let url = connection.urls().remove(0);
            let held = Arc::new(());
            // More than all buffers on the way take.
            let body = Bytes::from_owner(Held(vec![b'x'; 64 << 20], Arc::clone(&held)));
            let asked = http.send(Method::POST, &url, &[], body);
            let answer = tokio::time::timeout(Duration::from_millis(500), asked).await;
            assert!(answer.is_err(), "nobody answers");
            let let_go = async {
                while Arc::strong_count(&held) > 1 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let let_go = tokio::time::timeout(Duration::from_secs(5), let_go).await;
            assert!(let_go.is_ok(), "{scheme}: it is kept");
            drop(release);
            serving.join().expect("it ends");
        }
    }

    #[test]
    fn without_tls_nothing_is_read_of_what_the_system_trusts() {
        for (hosts, is_ready) in [("http://a", false), ("http://a,https://b", true)] {
            let connection = connection(&json!({ "hosts": hosts }));
            let access = Access::load(&connection).expect("nothing to read");
            assert_eq!(access.tls.is_some(), is_ready, "{hosts}");
        }
    }
}
