//! `--from-group`: a new version of a topology, under a group of its own, starts where another group is.

use std::collections::BTreeMap;
use std::time::Duration;

use isobar_operators::lag::{self, Source};
use isobar_operators::offsets::{Change, Group};
use isobar_operators::range::Selection;
use isobar_topology::spec::Spec;

use crate::command::source::asking;
use crate::exit::Failure;
use crate::output::number;

/// How long each question to the brokers may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Gives the group of each Kafka spout that has committed nothing the commits of another group. Returns
/// a sentence for each about what was done.
///
/// Fails, before anything is changed for the spout, when the other group has committed nothing for its
/// topics.
pub(super) fn start_from(spec: &Spec, other: &str) -> Result<Vec<String>, Failure> {
    let sources = lag::sources(spec).map_err(|problems| Failure::usage(problems.to_string()))?;
    if sources.is_empty() {
        return Err(Failure::usage(
            "--from-group: no spout of the topology reads Kafka",
        ));
    }
    let each = sources.iter();
    each.map(|source| copy(source, other)).collect()
}

fn copy(source: &Source, other: &str) -> Result<String, Failure> {
    let spout = &source.spout;
    if source.group == other {
        return Err(Failure::usage(format!(
            "--from-group: {other} is the group of {spout} itself; give the new version a group of its own"
        )));
    }
    let ours = Group::of(source, WITHIN).map_err(asking)?;
    let positions = ours.positions(&Selection::default()).map_err(asking)?;
    let has_begun = || {
        format!(
            "{spout}: the group {} has committed before, and goes on from there",
            ours.name()
        )
    };
    if positions.iter().any(|one| one.committed.is_some()) {
        return Ok(has_begun());
    }
    let mut theirs = source.clone();
    other.clone_into(&mut theirs.group);
    let theirs = Group::of(&theirs, WITHIN).map_err(asking)?;
    let partitions: Vec<_> = positions.into_iter().map(|one| one.partition).collect();
    let commits: BTreeMap<_, _> = theirs.commits(&partitions).map_err(asking)?;
    let changes: Vec<_> = commits
        .into_iter()
        .map(|(partition, commit)| {
            // With its text: it says which topic is meant.
            let change = Change::To(commit.offset, commit.metadata.unwrap_or_default());
            (partition, change)
        })
        .collect();
    if changes.is_empty() {
        return Err(Failure::usage(format!(
            "--from-group: the group {other} has committed nothing for the topics of {spout}"
        )));
    }
    if let Err(not_made) = ours.change(&changes) {
        // Another copy may have been faster, and be a member by now.
        let commits = ours.commits(&partitions).map_err(asking)?;
        return match commits.is_empty() {
            false => Ok(has_begun()),
            true => Err(asking(not_made.error)),
        };
    }
    Ok(format!(
        "{spout}: the group {} starts where {other} is, in {} of {} partitions",
        ours.name(),
        number(changes.len()),
        number(partitions.len())
    ))
}

#[cfg(test)]
mod tests {
    use isobar_operators::embedded::EmbeddedKafka;
    use isobar_operators::kafka::admin::TopicPartition;
    use isobar_operators::kafka::connection::KafkaConnection;

    use super::*;

    #[test]
    fn a_group_without_commits_gets_those_of_the_other_and_keeps_its_own_later() {
        let kafka = EmbeddedKafka::start().expect("a stand-in cluster");
        kafka.create_topic("t").expect("it is created");
        let brokers = [kafka.brokers().to_owned()];
        let source = |group: &str| {
            Source::of_group(KafkaConnection::plain(&brokers), group, &["t".to_owned()])
        };
        let group = |name: &str| Group::of(&source(name), WITHIN).expect("a client");
        let commits = |name: &str| {
            let all: Vec<_> = (0..4)
                .map(|number| TopicPartition::new("t", number))
                .collect();
            let commits = group(name).commits(&all).expect("the broker answers");
            let commits = commits.into_values();
            commits
                .map(|one| {
                    (
                        one.partition.partition,
                        one.offset,
                        one.metadata.unwrap_or_default(),
                    )
                })
                .collect::<Vec<_>>()
        };
        let problem = copy(&source("green"), "blue").expect_err("it has none");
        let text = problem.error.to_string();
        assert!(text.contains("blue has committed nothing"), "{text}");
        assert!(copy(&source("blue"), "blue").is_err(), "itself");

        let at = |number, offset| {
            let change = Change::To(offset, "text".to_owned());
            (TopicPartition::new("t", number), change)
        };
        let made = group("blue").change(&[at(0, 7), at(2, 9)]);
        assert!(made.is_ok(), "{made:?}");
        let said = copy(&source("green"), "blue").expect("it is copied");
        assert!(
            said.ends_with("starts where blue is, in 2 of 4 partitions"),
            "{said}"
        );
        let expected = [(0, 7, "text".to_owned()), (2, 9, "text".to_owned())];
        assert_eq!(commits("green"), expected);

        let made = group("blue").change(&[at(0, 100)]);
        assert!(made.is_ok(), "{made:?}");
        let said = copy(&source("green"), "blue").expect("nothing to do");
        assert!(said.contains("has committed before"), "{said}");
        assert_eq!(commits("green"), expected);
    }
}
