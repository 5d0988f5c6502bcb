//! Brokers that a command line names: how their connection is encrypted, and who logs in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use isobar_operators::kafka::connection::{KafkaConnection, Mechanism, Sasl, Tls};
use isobar_topology::spec::Secret;

use crate::environment::Environment;
use crate::exit::Failure;
use crate::substitute::{is_variable, substitute};

/// What a topology file says under `tls` and `sasl`, for brokers of the option --brokers.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SecurityArgs {
    /// Encrypts the connection to the brokers. Their certificates are checked with the authorities that
    /// the system trusts, unless --tls-ca names others.
    #[arg(long, requires = "brokers", help_heading = SECURITY)]
    tls: bool,

    /// A file with the certificates of the authorities to trust, in PEM. Encrypts, as --tls does.
    #[arg(long, value_name = "FILE", requires = "brokers", help_heading = SECURITY)]
    tls_ca: Option<PathBuf>,

    /// A file with the client's own certificate, where the brokers ask for one. Encrypts, as --tls does.
    #[arg(long, value_name = "FILE", requires_all = ["brokers", "tls_key"], help_heading = SECURITY)]
    tls_certificate: Option<PathBuf>,

    /// A file with the private key of that certificate, without a password.
    #[arg(long, value_name = "FILE", requires = "tls_certificate", help_heading = SECURITY)]
    tls_key: Option<PathBuf>,

    /// How a login proves the password: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    #[arg(
        long,
        value_name = "MECHANISM",
        value_parser = MECHANISMS.map(|(name, _)| name),
        hide_possible_values = true,
        requires_all = ["brokers", "sasl_username", "sasl_password_from"],
        help_heading = SECURITY
    )]
    sasl_mechanism: Option<String>,

    /// The user who logs in at the brokers.
    #[arg(long, value_name = "NAME", requires = "sasl_mechanism", help_heading = SECURITY)]
    sasl_username: Option<String>,

    /// Where the password is: the name of a variable of the environment, or file: and the absolute path
    /// of a file.
    #[arg(
        long,
        value_name = "WHERE",
        requires = "sasl_mechanism",
        help_heading = SECURITY
    )]
    sasl_password_from: Option<String>,
}

const SECURITY: &str = "Connection to the brokers";

/// What options of secrets are for.
const TAKES: &str = "takes the name of a variable of the environment, or file: and the absolute path of \
    a file, and not the secret itself, which everybody on this machine could read";

const MECHANISMS: [(&str, Mechanism); 3] = [
    ("PLAIN", Mechanism::Plain),
    ("SCRAM-SHA-256", Mechanism::ScramSha256),
    ("SCRAM-SHA-512", Mechanism::ScramSha512),
];

impl SecurityArgs {
    /// The connection to these brokers. Fails when they cannot be any, when a file cannot be read, or when
    /// the password is not where it is said to be.
    pub(super) fn connection(
        &self,
        brokers: &[String],
        environment: &Environment,
    ) -> Result<KafkaConnection, Failure> {
        for (option, file) in [
            ("--tls-ca", &self.tls_ca),
            ("--tls-certificate", &self.tls_certificate),
            ("--tls-key", &self.tls_key),
        ] {
            check_readable(option, file.as_deref())?;
        }
        self.described(brokers, environment)
    }

    /// The same, of files that nobody has looked at.
    fn described(
        &self,
        brokers: &[String],
        environment: &Environment,
    ) -> Result<KafkaConnection, Failure> {
        let text = |path: &Option<PathBuf>| path.as_deref().map(file_name);
        let (ca, certificate, key) = (&self.tls_ca, &self.tls_certificate, &self.tls_key);
        let tls = self.encrypts().then(|| Tls {
            ca: text(ca),
            certificate: text(certificate),
            key: text(key),
            key_password: None,
            verify: true,
        });
        let connection = KafkaConnection {
            brokers: brokers.to_vec(),
            tls,
            sasl: self.sasl(environment)?,
            options: BTreeMap::new(),
        };
        match connection.check() {
            wrong if wrong.is_empty() => Ok(connection),
            wrong => Err(Failure::usage(wrong.join("\n"))),
        }
    }

    fn encrypts(&self) -> bool {
        self.tls || self.tls_ca.is_some() || self.tls_certificate.is_some()
    }

    fn sasl(&self, environment: &Environment) -> Result<Option<Sasl>, Failure> {
        let given = self.sasl_mechanism.as_ref();
        let given = given.zip(self.sasl_username.as_ref());
        let Some(((mechanism, username), from)) = given.zip(self.sasl_password_from.as_ref())
        else {
            return Ok(None);
        };
        let known = MECHANISMS.iter().find(|(name, _)| name == mechanism);
        let (_, mechanism) = known.expect("the parser takes no others");
        Ok(Some(Sasl {
            mechanism: *mechanism,
            username: username.clone(),
            password: secret("--sasl-password-from", from, environment)?,
        }))
    }

    /// The option `tls` of a topology file; `None` where the connection is not encrypted. Paths are
    /// absolute: the file may come to stand in another directory.
    pub(super) fn tls_text(&self) -> anyhow::Result<Option<String>> {
        let files = [
            ("ca", &self.tls_ca),
            ("certificate", &self.tls_certificate),
            ("key", &self.tls_key),
        ];
        match self.encrypts() {
            true => tls_text(files).map(Some),
            false => Ok(None),
        }
    }

    /// The option `sasl` of a topology file, which names the password and does not have it; `None`
    /// without a login.
    pub(super) fn sasl_text(&self) -> Option<String> {
        let (mechanism, username) = self
            .sasl_mechanism
            .as_ref()
            .zip(self.sasl_username.as_ref())?;
        let password = named(self.sasl_password_from.as_ref()?);
        let username = quoted(username);
        Some(format!(
            "{{mechanism: {mechanism}, username: {username}, password: {password}}}"
        ))
    }
}

/// Refuses a file that cannot be read, by the name of its option.
pub(super) fn check_readable(option: &str, file: Option<&Path>) -> Result<(), Failure> {
    let Some(file) = file else {
        return Ok(());
    };
    match std::fs::read(file) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::usage(format!(
            "{option} {}: cannot be read: {error}",
            file.display()
        ))),
    }
}

/// An option `tls` with those files that there are, by absolute paths.
pub(super) fn tls_text<'a>(
    files: impl IntoIterator<Item = (&'static str, &'a Option<PathBuf>)>,
) -> anyhow::Result<String> {
    let named = files
        .into_iter()
        .filter_map(|(name, file)| Some((name, file.as_deref()?)));
    let each = named.map(|(name, file)| {
        let absolute = std::path::absolute(file)
            .with_context(|| format!("cannot find out where {} is", file.display()))?;
        Ok(format!("{name}: {}", quoted(&file_name(&absolute))))
    });
    let each = each.collect::<anyhow::Result<Vec<String>>>()?;
    Ok(format!("{{{}}}", each.join(", ")))
}

/// A text as YAML and JSON write it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// What stands for a secret in a topology file. Fails when the secret is not where it is said to be: what
/// was given could be the secret itself, which must not come into the file.
pub(super) fn reference(
    option: &str,
    from: &str,
    environment: &Environment,
) -> Result<String, Failure> {
    secret(option, from, environment).map(|_| named(from))
}

fn named(from: &str) -> String {
    quoted(&format!("${{{from}}}"))
}

/// Refuses what names no variable and no file. Does not say what was given: it may be the secret.
fn check_reference(option: &str, from: &str) -> Result<(), Failure> {
    let is_file = from
        .strip_prefix("file:")
        .is_some_and(|path| Path::new(path).is_absolute() && !path.contains(['}', '\n']));
    match is_file || is_variable(from) {
        true => Ok(()),
        false => Err(Failure::usage(format!("{option} {TAKES}"))),
    }
}

/// The secret that a variable or a file has.
fn secret(option: &str, from: &str, environment: &Environment) -> Result<Secret, Failure> {
    check_reference(option, from)?;
    let wanted = format!("${{{from}}}");
    let found = environment.outside(|outside| {
        substitute(&wanted, outside).map(|found| Secret::new(found.text.into_owned()))
    });
    found.map_err(|wrong| {
        let first = wrong.into_iter().next();
        Failure::usage(match first {
            // That of a variable could be the secret.
            Some(wrong) if from.starts_with("file:") => {
                format!("{option}: {}; expected {}", wrong.message, wrong.expected)
            }
            _ => format!("{option}: no variable of this name is set; it {TAKES}"),
        })
    })
}

fn file_name(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[arg(long)]
        brokers: Vec<String>,
        #[command(flatten)]
        security: SecurityArgs,
    }

    fn environment() -> Environment {
        Environment::new(|name| (name == "PASSWORD").then(|| "hunter2".to_owned()))
    }

    fn parsed(options: &str) -> Result<Line, clap::Error> {
        Line::try_parse_from(format!("isobar --brokers a:1 {options}").split_whitespace())
    }

    #[test]
    fn the_connection_and_its_text_say_the_same() {
        for (options, tls, sasl) in [
            ("", None, None),
            ("--tls", Some("{}"), None),
            ("--tls-ca /a/ca.pem", Some("{ca: \"/a/ca.pem\"}"), None),
            (
                "--tls-certificate /c --tls-key /k --sasl-mechanism SCRAM-SHA-256 --sasl-username u \
                 --sasl-password-from PASSWORD",
                Some("{certificate: \"/c\", key: \"/k\"}"),
                Some("{mechanism: SCRAM-SHA-256, username: \"u\", password: \"${PASSWORD}\"}"),
            ),
        ] {
            let line = parsed(options).expect("sound");
            let connection = line.security.described(&line.brokers, &environment());
            let connection = connection.unwrap_or_else(|f| panic!("{options}: {:#}", f.error));
            let text = line.security.tls_text().expect("absolute");
            assert_eq!(text.as_deref(), tls, "{options}");
            assert_eq!(connection.tls.is_some(), tls.is_some(), "{options}");
            assert_eq!(line.security.sasl_text().as_deref(), sasl, "{options}");
            let password = connection.sasl.map(|sasl| sasl.password);
            let password = password.as_ref().map(Secret::reveal);
            assert_eq!(password, sasl.map(|_| "hunter2"), "{options}");
        }
    }

    #[test]
    fn mechanisms_are_those_of_topology_files() {
        for (name, mechanism) in MECHANISMS {
            let read = serde_json::from_value::<Mechanism>(name.into());
            assert_eq!(read.expect(name), mechanism);
        }
    }

    #[test]
    fn half_a_login_is_refused_and_a_secret_is_not_said_again() {
        for options in [
            "--sasl-username u",
            "--sasl-mechanism PLAIN --sasl-username u",
            "--sasl-mechanism GSSAPI --sasl-username u --sasl-password-from PASSWORD",
            "--tls-key /k",
        ] {
            assert!(parsed(options).is_err(), "{options}");
        }
        for (from, expected) in [
            ("s3cr-et", "not the secret itself"),
            ("file:s3cret", "not the secret itself"),
            ("s3cret", "no variable of this name is set"),
            ("file:/nowhere/at/all", "cannot read /nowhere/at/all"),
        ] {
            let login =
                format!("--sasl-mechanism PLAIN --sasl-username u --sasl-password-from {from}");
            let line = parsed(&login).expect("sound");
            let refused = line.security.connection(&line.brokers, &environment());
            let said = format!("{:#}", refused.expect_err(from).error);
            assert!(said.contains(expected), "{said}");
            assert!(!said.contains("s3cr"), "{said}");
        }
    }
}
