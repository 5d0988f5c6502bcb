//! A second way to a broker: encrypted, by a certificate of its own, and with a login.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

use super::node;
use crate::ports;
use crate::scratch::Scratch;
use crate::services::PASSWORD;

/// Who may log in, by the mechanism `PLAIN` and with [`PASSWORD`].
pub const USER: &str = "isobar";

/// Where a broker takes encrypted connections with a login.
#[derive(Debug)]
pub struct Secured {
    /// Its `host:port`.
    pub brokers: String,
    /// A file with the certificate that is to be trusted.
    pub ca: PathBuf,
}

impl Secured {
    /// Adds the listener to the settings of a broker, and its certificate to the directory.
    pub(super) fn add_to(
        settings: &mut BTreeMap<String, String>,
        scratch: &Scratch,
    ) -> Result<Self> {
        let brokers = format!("127.0.0.1:{}", ports::free()?);
        let (key, certificate) = self_signed()?;
        let ca = scratch.file("ca.pem", &certificate)?;
        let store = scratch.file("broker.pem", &(key + &certificate))?;
        node::add_listener(settings, ("SASL_SSL", "SASL_SSL"), &brokers, &brokers);
        let login = format!(
            "org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";"
        );
        for (name, value) in [
            ("sasl.enabled.mechanisms", "PLAIN"),
            ("listener.name.sasl_ssl.plain.sasl.jaas.config", &login),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", &store.display().to_string()),
        ] {
            let _ = settings.insert(name.to_owned(), value.to_owned());
        }
        Ok(Self { brokers, ca })
    }
}

/// A private key and its certificate for 127.0.0.1, which signs for itself, in PEM. Lasts a day.
fn self_signed() -> Result<(String, String)> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&curve)?)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "127.0.0.1")?;
    let name = name.build();
    let (now, tomorrow) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(1)?);
    let number = BigNum::from_u32(1)?.to_asn1_integer()?;

    let mut certificate = X509::builder()?;
    // Counted from 0: version 3, which has extensions.
    certificate.set_version(2)?;
    certificate.set_serial_number(&number)?;
    certificate.set_subject_name(&name)?;
    certificate.set_issuer_name(&name)?;
    certificate.set_pubkey(&key)?;
    certificate.set_not_before(&now)?;
    certificate.set_not_after(&tomorrow)?;
    certificate.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    let mut address = SubjectAlternativeName::new();
    let address = address
        .ip("127.0.0.1")
        .build(&certificate.x509v3_context(None, None))?;
    certificate.append_extension(address)?;
    certificate.sign(&key, MessageDigest::sha256())?;

    let certificate = certificate.build().to_pem()?;
    let key = key.private_key_to_pem_pkcs8()?;
    Ok((String::from_utf8(key)?, String::from_utf8(certificate)?))
}
