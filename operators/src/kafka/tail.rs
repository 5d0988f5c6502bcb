//! Reads a small topic of one partition from an offset on, and goes on as it grows, on a thread of its own:
//! for what copies of the program tell each other.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::asked::beside;
use super::connection::KafkaConnection;
use super::error::Error;
use super::password::Follower;
use super::reading::{failed, is_passing, reader};

/// How long one look for a record takes; so long the thread lives on when nobody takes records any more.
const POLL: Duration = Duration::from_millis(200);

/// Records that wait to be taken at most.
const WAITING_MAX: usize = 64;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tailed {
    /// Where it is.
    pub(crate) offset: i64,
    /// Its timestamp in ms since 1970, −1 without one.
    pub(crate) at_ms: i64,
    /// Key and value; `None` where there is none.
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Tailed {
    pub(crate) fn of(record: &impl Message) -> Self {
        Self {
            offset: record.offset(),
            at_ms: record.timestamp().to_millis().unwrap_or(-1),
            key: record.key().map(<[u8]>::to_vec),
            value: record.payload().map(<[u8]>::to_vec),
        }
    }
}

/// Hands out the records of partition 0 of a topic from the offset `from` on, 0 for all, first those that
/// are there. Ends when the receiver is dropped, or after an error that does not pass, as when `from` is not
/// in the topic any more. Brokers that are away are waited for.
///
/// Fails when no client or thread can be made. Making the client reads files.
pub(crate) async fn tail(
    connection: &KafkaConnection,
    topic: &str,
    from: i64,
) -> Result<mpsc::Receiver<Result<Tailed, Error>>, Error> {
    let (connection, topic) = (connection.clone(), topic.to_owned());
    beside(move || begin(&connection, topic, from)).await
}

fn begin(
    connection: &KafkaConnection,
    topic: String,
    from: i64,
) -> Result<mpsc::Receiver<Result<Tailed, Error>>, Error> {
    let client = Arc::new(reader(connection)?);
    let password = Follower::of(connection, &client);
    let mut list = TopicPartitionList::with_capacity(1);
    let from = match from {
        0 => Offset::Beginning,
        from => Offset::Offset(from),
    };
    list.add_partition_offset(&topic, 0, from)
        .and_then(|()| client.assign(&list))
        .map_err(|error| failed(&topic, &error))?;
    let (sender, records) = mpsc::channel(WAITING_MAX);
    let spawned = std::thread::Builder::new()
        .name("kafka-tail".to_owned())
        .spawn(move || {
            let _password = password;
            while !sender.is_closed() {
                let told = match client.poll(POLL) {
                    None | Some(Err(KafkaError::PartitionEOF(_))) => continue,
                    Some(Err(error)) if is_passing(&error) => continue,
                    Some(Ok(record)) => Ok(Tailed::of(&record)),
                    Some(Err(error)) => Err(failed(&topic, &error)),
                };
                let ends = told.is_err();
                if sender.blocking_send(told).is_err() || ends {
                    return;
                }
            }
        });
    match spawned {
        Ok(_detached) => Ok(records),
        Err(error) => Err(Error::Config(format!(
            "the thread that reads a topic could not be started: {error}"
        ))),
    }
}
