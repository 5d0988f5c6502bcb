//! Whether a time says where a group is to go: in a log whose records carry no timestamps it finds the end.

use std::time::Duration;

use isobar_operators::kafka::admin::TopicPartition;
use isobar_operators::lag::Source;
use isobar_operators::offsets::Position;
use isobar_operators::range::{self, Look, Range};

use crate::command::source::{asking, without_times};
use crate::exit::Failure;

/// Fails where a time has found the end of a log though nothing in it has one: the group would skip all that is
/// there. Waits for the brokers, at most `within` for each answer.
pub(super) fn check_times(
    source: &Source,
    positions: &[Position],
    places: &[(TopicPartition, i64, Option<String>)],
    within: Duration,
) -> Result<(), Failure> {
    let at_end = positions.iter().zip(places).filter(|(position, place)| {
        let log = position.log;
        log.start < log.end && place.1 >= log.end
    });
    let ends: Vec<(&Position, Range)> = at_end
        .map(|(position, _)| {
            let end = Range {
                partition: position.partition.clone(),
                from: position.log.end,
                to: position.log.end,
                narrowed: Vec::new(),
                notes: Vec::new(),
            };
            (position, end)
        })
        .collect();
    let looks = ends.iter().map(|(position, range)| Look {
        range,
        before_ms: None,
        log: Some((position.log.start, position.log.end)),
    });
    let looks: Vec<Look<'_>> = looks.collect();
    let extents = range::extents(source, &looks, within, |_| {}).map_err(asking)?;
    let mut found = ends.iter().zip(extents);
    match found.find(|(_, extent)| extent.is_without_times) {
        Some(((position, _), _)) => Err(without_times(
            &position.partition,
            "give an offset as --to, earliest or now",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use isobar_operators::embedded::EmbeddedKafka;
    use isobar_operators::kafka::connection::KafkaConnection;
    use isobar_operators::kafka::{Compression, OutRecord, Producer, ProducerConfig};
    use isobar_operators::range::Log;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_time_moves_no_group_over_records_without_any() {
        let kafka = EmbeddedKafka::start().expect("a stand-in cluster");
        let connection = KafkaConnection::plain(&[kafka.brokers().to_owned()]);
        let producer = Producer::new(&ProducerConfig {
            connection: connection.clone(),
            compression: Compression::None,
            queue_size: 1 << 20,
            options: BTreeMap::new(),
        });
        let producer = producer.expect("a client");
        for (topic, timestamp) in [("dated", 5_000), ("undated", -1)] {
            kafka.create_topic(topic).expect("it is created");
            let record = OutRecord {
                topic,
                partition: Some(0),
                payload: Some(b"{}"),
                timestamp: Some(timestamp),
                ..OutRecord::default()
            };
            let failed = producer.send([record]).await.await;
            assert!(failed.is_empty(), "{failed:?}");
        }
        let check = |topic: &str, log_end: i64, found: i64| {
            let source = Source::of_group(connection.clone(), "g", &[topic.to_owned()]);
            let partition = TopicPartition::new(topic, 0);
            let position = Position {
                topic_id: None,
                log: Log {
                    start: 0,
                    end: log_end,
                    high: log_end,
                },
                committed: None,
                partition: partition.clone(),
            };
            check_times(&source, &[position], &[(partition, found, None)], WITHIN)
        };
        assert!(check("dated", 1, 1).is_ok());
        let refused = check("undated", 1, 1).expect_err("no time says where");
        let text = refused.error.to_string();
        assert!(
            text.starts_with("undated/0: records carry no timestamp"),
            "{text}"
        );
        assert!(text.ends_with("give an offset as --to, earliest or now"));
        assert!(check("undated", 1, 0).is_ok(), "the time has found one");
        assert!(check("undated", 0, 0).is_ok(), "nothing is skipped");
    }
}
