//! What it takes to be let in: credentials and certificates, read from where the connection says, and
//! the two clients that are made of them.
//!
//! Small questions go through the official client. It gives a reply only whole, whatever its size, so
//! bulk requests are sent by the HTTP client beneath it, which gives it piece by piece.

use std::path::Path;

use bytes::Bytes;
use elasticsearch::Elasticsearch;
use elasticsearch::auth::{ClientCertificate, Credentials};
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use isobar_topology::OperatorError;
use openssl::base64;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use openssl::stack::Stack;
use openssl::x509::X509;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Url, redirect};

use super::connection::{Auth, ElasticsearchConnection, Tls};

/// Credentials and certificates of a connection.
pub(crate) struct Access {
    authorization: Option<HeaderValue>,
    /// PEM.
    authorities: Option<Vec<u8>>,
    /// Own certificate and key, as PKCS #12 without a password.
    identity: Option<Vec<u8>>,
    verify: bool,
    connect_timeout: std::time::Duration,
    /// Shared by the clients of all lanes: making one reads the system's authorities, which costs a
    /// twentieth of a second of CPU each time.
    tls: native_tls::TlsConnector,
}

impl Access {
    /// Reads the files that the connection names. Fails, naming the file, when one is not there or is
    /// not what it should be, and where an embedded index is named that nobody has started.
    pub(crate) fn load(connection: &ElasticsearchConnection) -> Result<Self, OperatorError> {
        if connection.is_embedded() {
            return Err(OperatorError::user(
                "hosts: embedded is inside the process that runs the topology, and not here; use the address that it logs at its start",
            ));
        }
        let tls = connection.tls.as_ref();
        let authorities = match tls.and_then(|tls| tls.ca.as_deref()) {
            Some(path) => Some(read("tls.ca", path)?),
            None => None,
        };
        let identity = match tls {
            Some(tls) => identity(tls)?,
            None => None,
        };
        let verify = tls.is_none_or(|tls| tls.verify);
        Ok(Self {
            authorization: match &connection.auth {
                Some(auth) => Some(authorization(auth)?),
                None => None,
            },
            tls: connector(authorities.as_deref(), identity.as_deref(), verify)?,
            authorities,
            identity,
            verify,
            connect_timeout: connection.connect_timeout.get(),
        })
    }

    /// The official client for one host, for small questions.
    pub(crate) fn api(&self, host: &Url) -> Result<Elasticsearch, OperatorError> {
        let pool = SingleNodeConnectionPool::new(host.clone());
        // The environment is read by the program alone, hence no proxies from there.
        let mut builder = TransportBuilder::new(pool).disable_proxy();
        if let Some(header) = &self.authorization {
            builder = builder.header(AUTHORIZATION, header.clone());
        }
        if let Some(identity) = &self.identity {
            let certificate = ClientCertificate::Pkcs12(identity.clone(), None);
            builder = builder.auth(Credentials::Certificate(certificate));
        }
        if !self.verify {
            builder = builder.cert_validation(CertificateValidation::None);
        } else if let Some(pem) = &self.authorities {
            let certificates = Certificate::from_pem(pem).map_err(unusable)?;
            builder = builder.cert_validation(CertificateValidation::Full(certificates));
        }
        Ok(Elasticsearch::new(builder.build().map_err(unusable)?))
    }

    /// The HTTP client for bulk requests of one lane, with at most so many idle connections to each
    /// host.
    pub(crate) fn http(&self, idle_max: usize) -> Result<reqwest::Client, OperatorError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("isobar/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.connect_timeout)
            .pool_max_idle_per_host(idle_max)
            // A document must not go to a host that nobody named.
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            // A reply is 26 bytes for a document: compressing it would cost more than it saves.
            .no_gzip()
            .use_preconfigured_tls(self.tls.clone());
        if let Some(header) = &self.authorization {
            let headers = [(AUTHORIZATION, header.clone())];
            builder = builder.default_headers(headers.into_iter().collect());
        }
        builder.build().map_err(unusable)
    }
}

/// A bulk request's body and where it goes.
pub(crate) fn bulk_request(
    http: &reqwest::Client,
    url: Url,
    body: Bytes,
) -> reqwest::RequestBuilder {
    http.post(url)
        .header("content-type", "application/x-ndjson")
        .header("accept", "application/json")
        .body(body)
}

fn connector(
    authorities: Option<&[u8]>,
    identity: Option<&[u8]>,
    verify: bool,
) -> Result<native_tls::TlsConnector, OperatorError> {
    let mut builder = native_tls::TlsConnector::builder();
    if let Some(pem) = authorities {
        let certificates = native_tls::Certificate::stack_from_pem(pem).unwrap_or_default();
        if certificates.is_empty() {
            let text = "tls.ca: the file holds no certificate in PEM";
            return Err(OperatorError::user(text));
        }
        for certificate in certificates {
            let _ = builder.add_root_certificate(certificate);
        }
    }
    if let Some(identity) = identity {
        let identity = native_tls::Identity::from_pkcs12(identity, "").map_err(unusable)?;
        let _ = builder.identity(identity);
    }
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
            let pair = format!("{}:{}", basic.username, basic.password.reveal());
            format!("Basic {}", base64::encode_block(pair.as_bytes()))
        }
        Auth::ApiKey(key) => match key.reveal().trim() {
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

/// The client's own certificate and key in the form that both clients take.
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
    let password = tls
        .key_password
        .as_ref()
        .map_or("", |secret| secret.reveal());
    let own_key =
        PKey::private_key_from_pem_passphrase(&read("tls.key", key)?, password.as_bytes())
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
