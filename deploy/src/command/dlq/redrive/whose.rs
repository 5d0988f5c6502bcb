//! Whose letters are, where a topology has several spouts: a letter does not say which of them has read its record, and
//! the dead letters of all are in the same places.
//!
//! Knows nothing of brokers: which topic of a name there is in the cluster of a spout somebody tells it.

use std::collections::{BTreeMap, BTreeSet};

use isobar_operators::dead_letter::Origin;
use isobar_operators::lag::Source;
use isobar_operators::replay::reached_by;
use isobar_topology::spec::Spec;

use super::super::letters::Letters;
use super::selection::is_of;

/// Whose a letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The spout's that is meant.
    Ours,
    /// Another spout's.
    Others,
    /// Nobody's: no spout reads its topic any more, or nobody can say which of several did.
    Nobodys,
}

/// The spouts of a topology, of which one is meant.
pub(super) struct Owners<'a> {
    /// The one that is meant first.
    spouts: Vec<Owner<'a>>,
    /// Whatever is in the topology by now.
    components: BTreeSet<&'a str>,
}

struct Owner<'a> {
    source: &'a Source,
    /// What may have rejected its records.
    reaches: BTreeSet<&'a str>,
    /// The sources of the topics that were asked for; `None` for one that is not there.
    known: BTreeMap<String, Option<u64>>,
}

impl<'a> Owners<'a> {
    pub(super) fn of(spec: &'a Spec, sources: &'a [Source], spout: &str) -> Self {
        let owners = sources.iter().map(|source| Owner {
            source,
            reaches: reached_by(spec, &source.spout),
            known: BTreeMap::new(),
        });
        let (own, others): (Vec<_>, Vec<_>) = owners.partition(|one| one.source.spout == spout);
        let components = spec.spouts.iter().chain(&spec.bolts);
        Self {
            spouts: own.into_iter().chain(others).collect(),
            components: components.map(|one| one.id.as_str()).collect(),
        }
    }

    /// Asks which topics there are, as far as that tells whose the open letters of the topology are: each once, and none
    /// where it does not matter. Fails as `ask` does.
    pub(super) fn find<E>(
        &mut self,
        letters: &Letters,
        topology: &str,
        mut ask: impl FnMut(&Source, &str) -> Result<Option<u64>, E>,
    ) -> Result<(), E> {
        let open = letters.open();
        for ((origin, bolt), _) in open.filter(|(_, line)| is_of(&line.topology, topology)) {
            while let Err(spout) = self.judge(origin, bolt) {
                let owner = &mut self.spouts[spout];
                let source = ask(owner.source, &origin.topic)?;
                let _ = owner.known.insert(origin.topic.clone(), source);
            }
        }
        Ok(())
    }

    /// Whose a letter is of the record of an origin, which a bolt has rejected. Of one that [`Self::find`] was not shown
    /// nobody may know.
    pub(super) fn whose(&self, origin: &Origin, bolt: &str) -> Whose {
        self.judge(origin, bolt).unwrap_or(Whose::Nobodys)
    }

    /// Whose it is; or the number of the spout of which is to be asked first which topic of that name it reads.
    fn judge(&self, origin: &Origin, bolt: &str) -> Result<Whose, usize> {
        let spouts = self.spouts.iter().enumerate();
        let mut readers = spouts.filter(|(_, one)| one.source.reads(&origin.topic));
        let own = match readers.next() {
            None => return Ok(Whose::Nobodys),
            Some((0, own)) => own,
            Some(_) => return Ok(Whose::Others),
        };
        let is_there = self.components.contains(bolt);
        if is_there && !own.reaches.contains(bolt) {
            return Ok(Whose::Others);
        }
        let others: Vec<(usize, &Owner<'_>)> = readers.collect();
        if others.is_empty() {
            return Ok(Whose::Ours);
        }
        let has_read = |number: usize| match self.spouts[number].known.get(&origin.topic) {
            Some(source) => Ok(*source == Some(origin.source)),
            None => Err(number),
        };
        let is_own = has_read(0)?;
        if is_own && is_there {
            return Ok(Whose::Ours);
        }
        let mut is_anothers = false;
        for (number, _) in &others {
            is_anothers |= has_read(*number)?;
        }
        let may_be_anothers = || others.iter().any(|(_, one)| one.reaches.contains(bolt));
        Ok(match (is_own, is_anothers) {
            (true, false) => Whose::Ours,
            (false, true) => Whose::Others,
            // It was in a topic that was made again since.
            (false, false) if is_there && !may_be_anothers() => Whose::Ours,
            // Only the bolt could tell, and that is gone or leads from both.
            (true, true) | (false, false) => Whose::Nobodys,
        })
    }
}

#[cfg(test)]
mod tests {
    use isobar_operators::lag;
    use isobar_operators::letters::{Content, Stored};
    use isobar_topology::Ordinals;
    use isobar_topology::spec::Node;
    use serde_json::{Value, json};

    use super::super::selection::letter_for_tests;
    use super::*;

    const EU: u64 = 7;
    const US: u64 = 8;

    /// Two spouts of topics called `orders`, here and there, with bolts of their own and one that both reach, and a
    /// third one of `users`.
    fn spec() -> Spec {
        let spout = |connection: &str, topic: &str| json!({"type": "kafka", "connection": connection, "topics": [topic], "start": "earliest"});
        let parse = |input: &str| json!({"type": "parse_json", "inputs": [input]});
        let file: Value = json!({
            "isobar": 1, "name": "logs",
            "connections": {
                "here": {"type": "kafka", "brokers": "localhost:1"},
                "there": {"type": "kafka", "brokers": "localhost:2"},
            },
            "spouts": {
                "us": spout("there", "^ord"), "eu": spout("here", "orders"), "users": spout("here", "users"),
            },
            "bolts": {
                "parse_eu": parse("eu"), "parse_us": parse("us"), "parse_users": parse("users"),
                "both": {"type": "blackhole", "inputs": ["parse_eu", "parse_us", "parse_users"]},
            },
        });
        Spec::read(&Node::from_json(&file)).expect("sound")
    }

    /// Whose the letters are, for `eu`, by topic, source and bolt. Beside them, which spouts were asked.
    fn find(all: &[(&str, u64, &str)], topics: [Option<u64>; 2]) -> (Vec<Whose>, Vec<String>) {
        let spec = spec();
        let sources = lag::sources(&spec).expect("sound");
        let mut owners = Owners::of(&spec, &sources, "eu");
        let (mut letters, mut asked) = (Letters::default(), Vec::new());
        let origin = |topic: &str, source: u64| Origin {
            source,
            topic: topic.to_owned(),
            partition: 0,
            offset: 5,
            timestamp: None,
            ordinals: Ordinals::NONE,
        };
        for (topic, source, bolt) in all {
            let mut letter = letter_for_tests(0, 5, bolt);
            letter.origin = origin(topic, *source);
            letters.add(Stored {
                partition: 0,
                offset: 0,
                content: Ok(Content::Letter(letter)),
                key: None,
                payload: None,
            });
        }
        let found = owners.find(&letters.finish(), "logs", |source, topic| {
            assert_eq!(topic, "orders");
            asked.push(source.spout.clone());
            let [eu, us] = topics;
            Ok::<_, ()>(if source.spout == "eu" { eu } else { us })
        });
        assert_eq!(found, Ok(()));
        let whose = all.iter();
        let whose = whose.map(|(topic, source, bolt)| owners.whose(&origin(topic, *source), bolt));
        (whose.collect(), asked)
    }

    fn check(letter: (&str, u64, &str), topics: [u64; 2], expected: Whose, asked: &[&str]) {
        let (whose, of) = find(&[letter], topics.map(Some));
        assert_eq!(whose, [expected], "{letter:?}");
        assert_eq!(of, asked, "{letter:?}");
    }

    #[test]
    fn letters_of_bolts_that_a_spout_does_not_reach_are_anothers_whatever_their_topic_is_called() {
        check(("orders", US, "parse_us"), [EU, US], Whose::Others, &[]);
        check(("orders", EU, "parse_users"), [EU, US], Whose::Others, &[]);
        check(("users", EU, "both"), [EU, US], Whose::Others, &[]);
        check(("gone", EU, "both"), [EU, US], Whose::Nobodys, &[]);
    }

    #[test]
    fn of_two_topics_of_one_name_the_source_tells_whose_a_letter_is() {
        check(("orders", EU, "parse_eu"), [EU, US], Whose::Ours, &["eu"]);
        check(("orders", EU, "both"), [EU, US], Whose::Ours, &["eu"]);
        let all = &["eu", "us"];
        check(("orders", US, "both"), [EU, US], Whose::Others, all);
        check(("orders", US, "parse_eu"), [EU, US], Whose::Others, all);
        // A bolt of that name is no more.
        check(("orders", EU, "parse"), [EU, US], Whose::Ours, all);
        check(("orders", US, "parse"), [EU, US], Whose::Others, all);
        // The topic was made again since.
        check(("orders", 9, "parse_eu"), [EU, US], Whose::Ours, all);
        check(("orders", 9, "both"), [EU, US], Whose::Nobodys, all);
        check(("orders", 9, "parse"), [EU, US], Whose::Nobodys, all);
    }

    #[test]
    fn of_two_spouts_of_one_topic_the_bolt_tells_whose_a_letter_is() {
        check(("orders", EU, "parse_eu"), [EU, EU], Whose::Ours, &["eu"]);
        check(("orders", EU, "parse_us"), [EU, EU], Whose::Others, &[]);
        // Both lead to it, with the same record.
        check(("orders", EU, "both"), [EU, EU], Whose::Ours, &["eu"]);
        let all = &["eu", "us"];
        check(("orders", EU, "parse"), [EU, EU], Whose::Nobodys, all);
    }

    #[test]
    fn a_topic_is_asked_for_once_and_may_be_gone() {
        let letters = [("orders", EU, "both"), ("orders", US, "both")];
        let (whose, asked) = find(&letters, [None, Some(US)]);
        assert_eq!(whose, [Whose::Nobodys, Whose::Others]);
        assert_eq!(asked, ["eu", "us"]);
    }
}
