//! Partitions whose offsets the brokers did not tell, and why, in words.

use std::collections::{BTreeMap, BTreeSet};

use crate::kafka::admin::{RDKafkaErrorCode, TopicPartition};

/// What was not told in a round.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<TopicPartition, RDKafkaErrorCode>);

/// Partitions, and topics with the same fate, that are named; of others there is the number.
const NAMED: usize = 5;

impl Refusals {
    pub(super) fn add(&mut self, partition: TopicPartition, code: RDKafkaErrorCode) {
        let _ = self.0.insert(partition, code);
    }

    /// Topics and partitions with the reason, those that share one together; `None` when all was told.
    pub(super) fn text(&self) -> Option<String> {
        let mut groups: BTreeMap<(&str, String), BTreeSet<i32>> = BTreeMap::new();
        for (TopicPartition { topic, partition }, code) in &self.0 {
            let group = groups.entry((topic, reason(*code)));
            let _ = group.or_default().insert(*partition);
        }
        let named = groups.iter().take(NAMED);
        let named = named.map(|((topic, why), partitions)| {
            let word = match partitions.len() {
                1 => "partition",
                _ => "partitions",
            };
            let shown = partitions.iter().take(NAMED).map(i32::to_string);
            let shown = shown.collect::<Vec<_>>().join(", ");
            let more = match partitions.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("topic {topic}, {word} {shown}{more}: {why}")
        });
        let mut texts: Vec<String> = named.collect();
        if let more @ 1.. = groups.len().saturating_sub(NAMED) {
            texts.push(format!("and {more} more like these"));
        }
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

fn reason(code: RDKafkaErrorCode) -> String {
    match code {
        RDKafkaErrorCode::LeaderNotAvailable => format!("no broker leads it ({code})"),
        code => code.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_share_a_topic_and_a_reason_are_told_together() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.text(), None);
        let mut add = |topic: &str, partitions: std::ops::Range<i32>, code| {
            for number in partitions {
                refusals.add(TopicPartition::new(topic, number), code);
            }
        };
        add("a", 0..2, RDKafkaErrorCode::LeaderNotAvailable);
        add("a", 2..3, RDKafkaErrorCode::TopicAuthorizationFailed);
        add("b", 0..7, RDKafkaErrorCode::LeaderNotAvailable);
        let none = "no broker leads it (LeaderNotAvailable (Broker: Leader not available))";
        let denied = "TopicAuthorizationFailed (Broker: Topic authorization failed)";
        let expected = [
            format!("topic a, partition 2: {denied}"),
            format!("topic a, partitions 0, 1: {none}"),
            format!("topic b, partitions 0, 1, 2, 3, 4 and 2 more: {none}"),
        ];
        assert_eq!(refusals.text(), Some(expected.join("; ")));
        let mut many = Refusals::default();
        for topic in 0..8 {
            let topic = format!("t{topic}");
            many.add(TopicPartition::new(&topic, 0), RDKafkaErrorCode::Fail);
        }
        let text = many.text().expect("there are some");
        assert!(text.ends_with("; and 3 more like these"), "{text}");
    }
}
