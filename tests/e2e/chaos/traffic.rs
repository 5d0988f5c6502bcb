//! What is sent, and what is to become of each record: that follows from its offset alone.

use testkit::records;

use super::PARTITIONS;

/// One in so many records of a partition is no JSON, and another one is dropped. So few that all dead
/// letters of ten minutes are read in a moment.
pub(super) const EVERY: u64 = 250;
const DROPPED: u64 = 3;
const REJECTED: u64 = 7;

/// The policy that drops.
pub(super) const POLICY: &str = "regular.filtered";
/// The topic with the dead letters.
pub(super) const DEAD: &str = "dead";

/// What a record comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Indexed,
    DeadLettered,
    Dropped,
}

impl End {
    /// That of the record at an offset, in any partition.
    pub(super) fn of(offset: u64) -> Self {
        match offset % EVERY {
            DROPPED => Self::Dropped,
            REJECTED => Self::DeadLettered,
            _ => Self::Indexed,
        }
    }

    /// That of a record by its number.
    pub(super) fn of_number(number: u64) -> Self {
        Self::of(number / PARTITIONS)
    }

    /// The last offset up to this one whose record comes to it, if there is one.
    pub(super) fn at_or_before(self, offset: u64) -> Option<u64> {
        let first = offset.saturating_sub(EVERY);
        (first..=offset)
            .rev()
            .find(|offset| Self::of(*offset) == self)
    }
}

/// What record `number` holds.
pub(super) fn value(number: u64) -> Vec<u8> {
    match End::of_number(number) {
        End::DeadLettered => format!("no JSON: {number}").into_bytes(),
        End::Indexed | End::Dropped => records::json(number),
    }
}

/// The number of the record that a dead letter is of.
pub(super) fn number_of(letter: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(letter).ok()?;
    text.strip_prefix("no JSON: ")?.parse().ok()
}

/// Kafka topic `logs` → parse → drop → enrich → one index per day, dead letters in a topic. `spout` has
/// further options of the spout.
pub(super) fn topology(group: &str, spout: &str) -> String {
    let (round, first) = (EVERY * PARTITIONS, DROPPED * PARTITIONS);
    let end = first + PARTITIONS;
    format!(
        "\
isobar: 1
name: {group}
connections:
  kafka: {{type: kafka, brokers: \"${{KAFKA}}\"}}
  search: {{type: elasticsearch, hosts: \"${{ES}}\"}}
spouts:
  logs: {{type: kafka, connection: kafka, topics: [logs], start: earliest{spout}}}
bolts:
  parse: {{type: parse_json, inputs: [logs], event_time: timestamp}}
  regular:
    type: filter
    inputs: [parse]
    drop_when: \"doc.number % {round} >= {first} && doc.number % {round} < {end}\"
  enrich:
    type: set_fields
    inputs: [regular]
    fields: {{env: test, is_error: \"{{{{ doc.level == 'error' }}}}\"}}
  index:
    type: elasticsearch
    connection: search
    inputs: [enrich]
    index: \"logs-{{{{ event_time.format('%Y.%m.%d') }}}}\"
    event_time_bounds: off
dead_letter: {{type: kafka, connection: kafka, topic: {DEAD}}}
settings: {{drain_timeout: 5s, retry_max: 2s}}
"
    )
}
