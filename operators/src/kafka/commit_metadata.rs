//! The text that Isobar stores with each commit, so that any tool can read exact time lag from an
//! offset fetch alone and a topic that was deleted and made again is noticed.
//!
//! Format, version 1: `isobar1;id=<topic id>;f=<ms>;l=<ms>;h=<ms>;c=<five counts>`, each field optional and unknown
//! fields ignored. It outlives the process, so a change of meaning needs a new version.

use std::fmt;

use isobar_topology::Fates;

/// What version 1 can say about a committed offset. All fields are optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitMetadata {
    /// The topic's id at the broker, in Kafka's unpadded base64 spelling (22 characters).
    pub topic_id: Option<String>,
    /// Timestamp, in milliseconds since 1970, of the first record that is not answered yet, if it
    /// has been read: its age is the exact time lag.
    pub frontier_ms: Option<i64>,
    /// Timestamp, in milliseconds since 1970, of the last answered record before the offset.
    pub last_ms: Option<i64>,
    /// When somebody last put the group anywhere, in milliseconds since 1970: going back then was meant. A program
    /// repeats it with each of its commits, so that whoever has not seen that one learns of it.
    pub by_hand_ms: Option<i64>,
    /// Of a replay, whose group has a known begin: what became of all before the offset.
    pub counts: Option<Counts>,
}

/// What became of a range of offsets, by the runs that went through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of the records that were read.
    pub fates: Fates,
    /// Offsets that were deleted at the broker before they were read.
    pub lost: u64,
}

impl Counts {
    fn parse(text: &str) -> Option<Self> {
        let numbers = text.split(',').map(|number| number.parse().ok());
        let numbers: Vec<u64> = numbers.collect::<Option<_>>()?;
        let [delivered, already_present, dropped, dead_lettered, lost] = *numbers else {
            return None;
        };
        Some(Self {
            fates: Fates {
                delivered,
                already_present,
                dropped,
                dead_lettered,
            },
            lost,
        })
    }
}

impl CommitMetadata {
    /// Reads commit metadata; `None` for text of another program or another version.
    ///
    /// Fields that cannot be read are left out rather than failing the whole.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(';');
        if fields.next() != Some(VERSION) {
            return None;
        }
        let mut metadata = Self::default();
        for field in fields {
            match field.split_once('=') {
                Some(("id", id)) if !id.is_empty() => metadata.topic_id = Some(id.to_owned()),
                Some(("f", ms)) => metadata.frontier_ms = ms.parse().ok(),
                Some(("l", ms)) => metadata.last_ms = ms.parse().ok(),
                Some(("h", ms)) => metadata.by_hand_ms = ms.parse().ok(),
                Some(("c", counts)) => metadata.counts = Counts::parse(counts),
                _ => {}
            }
        }
        Some(metadata)
    }
}

/// Writes the text to commit: at most 208 bytes for a topic id of Kafka's, where brokers accept
/// 4,096 (`offset.metadata.max.bytes`).
impl fmt::Display for CommitMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(VERSION)?;
        if let Some(id) = &self.topic_id {
            write!(f, ";id={id}")?;
        }
        if let Some(ms) = self.frontier_ms {
            write!(f, ";f={ms}")?;
        }
        if let Some(ms) = self.last_ms {
            write!(f, ";l={ms}")?;
        }
        if let Some(ms) = self.by_hand_ms {
            write!(f, ";h={ms}")?;
        }
        if let Some(Counts { fates, lost }) = &self.counts {
            let Fates {
                delivered,
                already_present,
                dropped,
                dead_lettered,
            } = fates;
            write!(
                f,
                ";c={delivered},{already_present},{dropped},{dead_lettered},{lost}"
            )?;
        }
        Ok(())
    }
}

const VERSION: &str = "isobar1";

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> CommitMetadata {
        CommitMetadata {
            topic_id: Some("MkU3OEVBNTcwNTJENDM2Qg".to_owned()),
            frontier_ms: Some(1_795_412_342_123),
            last_ms: Some(-1),
            by_hand_ms: Some(1_795_412_000_000),
            counts: Counts::parse("1,2,3,4,5"),
        }
    }

    #[test]
    fn the_text_is_the_documented_one() {
        assert_eq!(
            full().to_string(),
            "isobar1;id=MkU3OEVBNTcwNTJENDM2Qg;f=1795412342123;l=-1;h=1795412000000;c=1,2,3,4,5"
        );
        assert_eq!(CommitMetadata::default().to_string(), "isobar1");
    }

    #[test]
    fn what_was_written_is_read_back() {
        for metadata in [full(), CommitMetadata::default()] {
            assert_eq!(CommitMetadata::parse(&metadata.to_string()), Some(metadata));
        }
    }

    #[test]
    fn text_of_others_is_not_taken_for_ours() {
        for text in ["", "isobar2;f=1", "{\"f\":1}", "isobar1x", "f=1;isobar1"] {
            assert_eq!(CommitMetadata::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_broken_or_unknown_field_is_left_out() {
        let read = CommitMetadata::parse("isobar1;id=;f=soon;l=5;h=now;c=1,2;z=1;;=");
        assert_eq!(
            read,
            Some(CommitMetadata {
                last_ms: Some(5),
                ..CommitMetadata::default()
            })
        );
    }
}
