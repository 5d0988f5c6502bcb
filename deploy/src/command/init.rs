//! `isobar init`: a topology file for a topic that nobody has described yet. Looks at a sample of it,
//! without a group, and writes down what fits.

mod advice;
mod group;
mod proposal;
mod recognise;
#[cfg(test)]
mod tests;
mod times;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
use isobar_operators::lag::Source;
use isobar_operators::offsets::Group;
use isobar_operators::range::Selection;
use isobar_operators::sample::{Sampled, Which, sample};
use isobar_topology::spec::units::Duration;

use super::Context;
use super::brokers::{SecurityArgs, check_readable, quoted, reference, tls_text};
use super::source::asking;
use crate::environment::Environment;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::printable;
use proposal::Subject;
use recognise::{Recognised, recognise};

/// What `init` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct InitArgs {
    /// Brokers of the topic, host:port each, separated by commas.
    #[arg(long, value_name = "BROKERS", value_delimiter = ',', required = true)]
    brokers: Vec<String>,

    /// The topic.
    #[arg(long, value_name = "NAME")]
    topic: String,

    /// The hosts to index in, as URLs separated by commas. Not contacted. Default: http://localhost:9200, or
    /// what the variable ES is set to where the file is run.
    #[arg(long, value_name = "URLS")]
    es: Option<String>,

    /// The topology's name, and that of its group and its indices. Default: made of the topic's, with
    /// `-isobar` behind it where that is a group already.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// How many of the newest records are looked at.
    #[arg(long, value_name = "NUMBER", default_value = "200")]
    sample: NonZeroU32,

    /// The file to write, which must not exist yet. Standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// How long each of a few questions to the brokers may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Duration,

    #[command(flatten)]
    security: SecurityArgs,

    #[command(flatten)]
    search: SearchArgs,
}

/// Who indexes, for the file: nobody is asked yet.
#[derive(Args, Debug)]
struct SearchArgs {
    /// The user who indexes.
    #[arg(long, value_name = "NAME", requires = "es_password_from", help_heading = SEARCH)]
    es_username: Option<String>,

    /// Where the password is, as with --sasl-password-from.
    #[arg(long, value_name = "WHERE", requires = "es_username", help_heading = SEARCH)]
    es_password_from: Option<String>,

    /// Where the API key is, in place of a user and a password.
    #[arg(long, value_name = "WHERE", conflicts_with = "es_username", help_heading = SEARCH)]
    es_api_key_from: Option<String>,

    /// A file with certificates of authorities to trust besides those of the system, in PEM.
    #[arg(long, value_name = "FILE", help_heading = SEARCH)]
    es_ca: Option<PathBuf>,
}

const SEARCH: &str = "Connection to the index";

const EXAMPLE: &str = "\
Examples:
  isobar init --brokers localhost:9092 --topic access --out access.yaml
  isobar try access.yaml
  isobar run access.yaml
  isobar init --brokers kafka-1:9093 --topic access --tls \\
    --sasl-mechanism SCRAM-SHA-512 --sasl-username isobar \\
    --sasl-password-from KAFKA_PASSWORD \\
    --es https://es-1:9200 --es-api-key-from file:/run/secrets/search

Recognises JSON, syslog, access logs of web servers, keys and values (logfmt) and CSV, by parsing the \
sample with the bolt of each. Joins no group and commits nothing. Secrets are named, such as \
${KAFKA_PASSWORD}, in the file that is written, and do not stand in it.";

impl InitArgs {
    /// What the file is about.
    fn subject(&self, environment: &Environment) -> Result<Subject, Failure> {
        let hosts = self.es.as_deref().unwrap_or("http://localhost:9200");
        let mut subject = Subject::new(self.name.as_deref(), &self.brokers, &self.topic, hosts);
        subject.tls = self.security.tls_text()?;
        subject.sasl = self.security.sasl_text();
        subject.search_auth = self.search.auth_text(environment)?;
        let ca = &self.search.es_ca;
        subject.search_tls = match ca {
            Some(_) => Some(tls_text([("ca", ca)])?),
            None => None,
        };
        Ok(subject)
    }

    /// What to tell where a variable of the environment wins over what the file says in its place, so that the
    /// file is about others than were named. Their values are not shown: they may hold a password.
    fn overridden(&self, environment: &Environment) -> Vec<String> {
        let parts = |text: &str| -> Vec<String> {
            let parts = text.split(',').map(|part| part.trim().to_owned());
            parts.collect()
        };
        let named = [
            ("KAFKA", "--brokers", Some(self.brokers.join(","))),
            ("ES", "--es", self.es.clone()),
        ];
        let told = named.into_iter().filter_map(|(variable, option, given)| {
            let given = given?;
            let set = environment.get(variable)?;
            let wins = !set.is_empty() && parts(&set) != parts(&given);
            wins.then(|| {
                format!(
                    "{variable} is set, is not {given} ({option}), and wins over the file: unset it, or the next \
                     commands go elsewhere"
                )
            })
        });
        told.collect()
    }
}

impl SearchArgs {
    /// The option `auth` of a topology file.
    fn auth_text(&self, environment: &Environment) -> Result<Option<String>, Failure> {
        if let Some(from) = &self.es_api_key_from {
            let key = reference("--es-api-key-from", from, environment)?;
            return Ok(Some(format!("{{api_key: {key}}}")));
        }
        let Some((name, from)) = self
            .es_username
            .as_ref()
            .zip(self.es_password_from.as_ref())
        else {
            return Ok(None);
        };
        let password = reference("--es-password-from", from, environment)?;
        let name = quoted(name);
        Ok(Some(format!(
            "{{basic: {{username: {name}, password: {password}}}}}"
        )))
    }
}

pub(super) fn execute(args: &InitArgs, context: Context<'_>) -> Outcome {
    // Before anybody is asked; that it appears meanwhile is found when it is written.
    if let Some(path) = args.out.as_deref().filter(|path| path.exists()) {
        return Err(Failure::usage(format!(
            "--out {}: there is such a file already; give another name, or remove it",
            path.display()
        )));
    }
    let connection = args
        .security
        .connection(&args.brokers, &context.environment)?;
    check_readable("--es-ca", args.search.es_ca.as_deref())?;
    let mut subject = args.subject(&context.environment)?;
    recognise::check(&subject, context.registry)?;
    let of_group = |name: &str| {
        let topics = std::slice::from_ref(&args.topic);
        Source::of_group(connection.clone(), name, topics)
    };
    let source = of_group("isobar");
    let (count, within) = (args.sample.get() as usize, args.timeout.get());
    let sampled = sample(&source, &Selection::default(), Which::Newest, count, within);
    let records = with_values(sampled.map_err(asking)?.records, &args.topic)?;
    let is_group = |name: &str| Group::of(&of_group(name), within)?.exists();
    let of_name = group::settle(&mut subject, args.name.is_some(), is_group);
    let Recognised { text, told } = recognise(&subject, &records, context.registry)?;
    let overridden = args.overridden(&context.environment);
    for line in told.into_iter().chain(of_name).chain(overridden) {
        context.screen.line(&printable(&format!("isobar: {line}")));
    }
    match &args.out {
        None => context.output.text(&text)?,
        Some(path) => {
            let name = path.display();
            let file = OpenOptions::new().write(true).create_new(true).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
                .with_context(|| format!("cannot write {name}"))?;
            context
                .screen
                .line(&format!("isobar: wrote {name}; next: isobar try {name}"));
        }
    }
    Ok(Exit::Done)
}

/// The records without tombstones, which say nothing of the format. Fails when there are no others.
fn with_values(mut records: Vec<Sampled>, topic: &str) -> Result<Vec<Sampled>, Failure> {
    let all = records.len();
    records.retain(|record| record.payload.is_some());
    let text = match (all, records.len()) {
        (_, 1..) => return Ok(records),
        (0, 0) => format!("topic {topic} has no record to look at; `isobar generate` makes some"),
        (all, 0) => format!(
            "the newest {all} records of topic {topic} are tombstones, which have no value; `--sample NUMBER` looks \
             at more of them"
        ),
    };
    Err(Failure::new(Exit::Failed, anyhow!(text)))
}
