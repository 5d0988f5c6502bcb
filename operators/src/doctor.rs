//! What can be found wrong with the outside systems of a topology before records run into it: checks as
//! data, one list for Elasticsearch and one for Kafka.
//!
//! A side first asks all its questions and keeps the answers as facts; a check is a function of these
//! facts, so tests script the answers. Nothing is changed at either side, unless somebody asks for a write.

mod certificate;
mod elasticsearch;
mod kafka;

use std::fmt;
use std::time::Duration;

use isobar_topology::OperatorError;
use isobar_topology::spec::{Problems, Spec};
use serde::Serialize;

pub use elasticsearch::Cluster;
pub use kafka::Brokers;

/// How a check ended; worse ones last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All is as it should be.
    Ok,
    /// Worth knowing; nothing to do.
    Info,
    /// Could not be asked, for lack of a privilege or as the product has no such thing.
    Skipped,
    /// There was no answer.
    Unknown,
    /// Will go wrong, or costs something now.
    Warning,
    /// Goes wrong now, or loses records.
    Error,
}

impl Status {
    /// Its word, as in tables and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How many of the checks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Those that cost next to nothing and tell what stops a start.
    Start,
    /// All that change nothing.
    All,
    /// These, and those that write a document and delete it.
    Writing,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check, `elasticsearch.disk` for example. Never changes, so that findings can be told apart by
    /// programs.
    pub check: &'static str,
    /// How it ended.
    pub status: Status,
    /// The connection of the topology file.
    pub connection: String,
    /// What was found, in one sentence.
    pub text: String,
    /// Why the check matters.
    pub why: &'static str,
    /// What can be done about it.
    pub fix: &'static str,
}

/// A check over the facts `F` of a side.
struct Check<F> {
    id: &'static str,
    depth: Depth,
    why: &'static str,
    fix: &'static str,
    /// What the user of the connection needs for it, for the sentence when that is missing.
    needs: &'static str,
    judge: fn(&F) -> Verdict,
}

/// What a check says: at least one statement, or why there is none.
type Verdict = Result<Vec<Said>, Missing>;

/// One statement of a check.
type Said = (Status, String);

/// Why a check cannot say anything.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Missing {
    /// The connection's user may not ask.
    Denied,
    /// There is nothing to ask about.
    Absent(String),
    /// No answer, for this reason.
    Unknown(String),
}

impl<F> Check<F> {
    fn examine(&self, facts: &F, connection: &str) -> Vec<Finding> {
        let said = (self.judge)(facts).unwrap_or_else(|missing| {
            vec![match missing {
                Missing::Denied => (Status::Skipped, format!("not permitted: {}", self.needs)),
                Missing::Absent(why) => (Status::Skipped, why),
                Missing::Unknown(why) => (Status::Unknown, why),
            }]
        });
        said.into_iter()
            .map(|(status, text)| Finding {
                check: self.id,
                status,
                connection: connection.to_owned(),
                text,
                why: self.why,
                fix: self.fix,
            })
            .collect()
    }
}

/// Makes all checks of a list that belong to `depth`.
fn examine<F>(checks: &[Check<F>], depth: Depth, facts: &F, connection: &str) -> Vec<Finding> {
    let checks = checks.iter().filter(|check| check.depth <= depth);
    checks
        .flat_map(|check| check.examine(facts, connection))
        .collect()
}

/// One statement that all is well.
fn fine(text: impl Into<String>) -> Verdict {
    Ok(vec![(Status::Ok, text.into())])
}

/// What was found; that all is well, in these words, where nothing was.
fn or_fine(found: Vec<Said>, text: impl Into<String>) -> Verdict {
    match found.is_empty() {
        true => fine(text),
        false => Ok(found),
    }
}

/// The outside systems of a topology.
pub struct Patient {
    clusters: Vec<Cluster>,
    brokers: Vec<Brokers>,
}

impl Patient {
    /// Every connection that a spout, a bolt or the dead letter of the topology uses, with what they want
    /// of it. `lanes` is how many read. Contacts nobody; fails with what is wrong with the options.
    pub fn of(spec: &Spec, lanes: usize) -> Result<Self, Problems> {
        Ok(Self {
            clusters: elasticsearch::clusters(spec)?,
            brokers: kafka::brokers(spec, lanes)?,
        })
    }

    /// Whether there is nobody to ask.
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty() && self.brokers.is_empty()
    }

    /// Asks all of them and judges. One question takes as long as `within` at most; a system that does
    /// not answer is a finding. Fails when credentials or certificates cannot be read.
    ///
    /// Blocks its thread while it asks Kafka: call it where nothing else is waited for.
    pub async fn examine(
        &self,
        depth: Depth,
        within: Duration,
    ) -> Result<Vec<Finding>, OperatorError> {
        let mut findings = Vec::new();
        for brokers in &self.brokers {
            findings.extend(brokers.examine(depth, within)?);
        }
        for cluster in &self.clusters {
            findings.extend(cluster.examine(depth, within).await?);
        }
        Ok(findings)
    }
}

/// A certificate that a connection relies on: of a chain, the one that expires first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The connection of the topology file.
    pub connection: String,
    /// The host that shows it, or the file that it is in.
    pub of: String,
    /// Seconds until it expires, negative after that; or why that is not known.
    pub left: Result<i64, String>,
}

impl Patient {
    /// The certificates of the hosts and in the files of all connections; empty where none uses TLS.
    /// Connects to the hosts without trusting them and sends nothing; waits at most `within` for each.
    pub fn certificates(&self, within: Duration) -> Vec<Certificate> {
        let brokers = self.brokers.iter();
        let brokers = brokers.map(|brokers| (brokers.name(), brokers.certificates(within)));
        let clusters = self.clusters.iter();
        let clusters = clusters.map(|cluster| (cluster.name(), cluster.certificates(within)));
        let all = brokers.chain(clusters);
        let certificates = all.flat_map(|(connection, found)| {
            found.into_iter().map(move |expiry| Certificate {
                connection: connection.to_owned(),
                of: expiry.of,
                left: expiry.left,
            })
        });
        certificates.collect()
    }
}

/// What there is to know about a check before it is made.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its id.
    pub id: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What can be done about what it finds.
    pub fix: &'static str,
    /// What the connection's user needs for it.
    pub needs: &'static str,
    /// From which depth on it is made.
    pub depth: Depth,
}

/// Every check there is, in the order in which they are made.
pub fn checks() -> impl Iterator<Item = About> {
    let kafka = kafka::CHECKS.iter().map(about);
    kafka.chain(elasticsearch::CHECKS.iter().map(about))
}

fn about<F>(check: &Check<F>) -> About {
    About {
        id: check.id,
        why: check.why,
        fix: check.fix,
        needs: check.needs,
        depth: check.depth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_have_ids_of_their_side_once_and_say_why_and_what_to_do() {
        let mut ids: Vec<&str> = checks().map(|check| check.id).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
        for About {
            id,
            why,
            fix,
            needs,
            ..
        } in checks()
        {
            assert!(id.starts_with("kafka.") || id.starts_with("elasticsearch."));
            for text in [why, fix] {
                assert!(text.ends_with('.') && text.len() > 20, "{id}: {text}");
            }
            assert!(needs.starts_with("it takes "), "{id}: {needs}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_skipped_with_the_privilege_that_is_missing() {
        let check = Check::<()> {
            id: "kafka.x",
            depth: Depth::All,
            why: "",
            fix: "",
            needs: "it takes `Describe` on the topic",
            judge: |()| Err(Missing::Denied),
        };
        let findings = examine(&[check], Depth::All, &(), "kafka");
        assert_eq!(findings[0].status, Status::Skipped);
        assert_eq!(
            findings[0].text,
            "not permitted: it takes `Describe` on the topic"
        );
    }
}
