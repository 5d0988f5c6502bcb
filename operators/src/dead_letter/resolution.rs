//! What says in a dead-letter topic that rejections are settled: their record was sent through the
//! topology again, and what became of it then is on record elsewhere.
//!
//! A record without key and value, with these headers and the `isobar.origin.*` ones of the letters:
//!
//! | header | value |
//! |---|---|
//! | `isobar.resolution.version` | `1` |
//! | `isobar.resolution.run` | the redrive that settled them |
//! | `isobar.resolution.bolt` | id of the bolt that rejected the record |
//! | `isobar.resolution.redrives` | how often the record had been redriven before; absent for never |
//! | `isobar.resolution.rejected_at` | when the last of them was rejected, in ms since 1970 |
//!
//! It settles the letters of one identity that have no more redrives and were rejected no later; two
//! resolutions together settle what one of them does. Rejected again, the record has a letter with more
//! redrives, which is open whatever the clocks of two machines say; read and rejected once more by the
//! live topology, it has a later one, which is open, too.

use super::{Fields, NotALetter, Origin};

/// Rejections of one record by one bolt that need nobody any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Where the record was first read.
    pub origin: Origin,
    /// The bolt that rejected it.
    pub bolt: String,
    /// How often the record had been redriven before, by the letters of all bolts: those of no more redrives are
    /// settled, and those that this redrive has led to have one more.
    pub redrives: u32,
    /// When the last of them was rejected, in ms since 1970.
    pub rejected_at: i64,
    /// The redrive that settled it.
    pub run: String,
}

const PREFIX: &[u8] = b"isobar.resolution.";
const VERSION: &str = "isobar.resolution.version";
const RUN: &str = "isobar.resolution.run";
const BOLT: &str = "isobar.resolution.bolt";
const REDRIVES: &str = "isobar.resolution.redrives";
const REJECTED_AT: &str = "isobar.resolution.rejected_at";

impl Resolution {
    /// Reads the headers of a record of a dead-letter topic; `None` when it is no resolution.
    pub fn read<'a>(
        headers: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Option<Result<Self, NotALetter>> {
        let headers = headers.into_iter();
        let is_ours = |name: &[u8]| name.starts_with(PREFIX) || super::is_envelope(name);
        let fields = Fields(headers.filter(|(name, _)| is_ours(name)).collect());
        let version = fields.get(VERSION)?;
        Some(match version {
            b"1" => Self::from(&fields),
            other => Err(NotALetter::Version(
                String::from_utf8_lossy(other).into_owned(),
            )),
        })
    }

    fn from(fields: &Fields<'_>) -> Result<Self, NotALetter> {
        Ok(Self {
            origin: Origin::from(fields)?,
            bolt: fields.text(BOLT)?,
            redrives: fields.optional(REDRIVES)?.unwrap_or(0),
            rejected_at: fields.number(REJECTED_AT)?,
            run: fields.text(RUN)?,
        })
    }

    /// The headers of the record that says it.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let redrives = Some(self.redrives).filter(|redrives| *redrives > 0);
        let ours = [
            (VERSION, "1".to_owned()),
            (RUN, self.run.clone()),
            (BOLT, self.bolt.clone()),
            (REJECTED_AT, self.rejected_at.to_string()),
        ];
        let ours = ours.into_iter();
        ours.chain(redrives.map(|redrives| (REDRIVES, redrives.to_string())))
            .chain(self.origin.clone().headers())
            .collect()
    }

    /// Whether a letter of the same identity is among those that are settled.
    pub fn settles(&self, redrives: u32, rejected_at: i64) -> bool {
        redrives <= self.redrives && rejected_at <= self.rejected_at
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::Ordinals;

    use super::*;

    fn resolution() -> Resolution {
        Resolution {
            origin: Origin {
                source: 7,
                topic: "logs".to_owned(),
                partition: 3,
                offset: 40,
                timestamp: Some(1_700_000_000_000),
                ordinals: Ordinals::NONE,
            },
            bolt: "parse".to_owned(),
            redrives: 1,
            rejected_at: 1_700_000_001_000,
            run: "logs.redrive.1".to_owned(),
        }
    }

    fn read(headers: &[(&str, String)]) -> Option<Result<Resolution, NotALetter>> {
        let headers = headers.iter();
        Resolution::read(headers.map(|(name, value)| (name.as_bytes(), Some(value.as_bytes()))))
    }

    #[test]
    fn a_resolution_is_read_as_it_was_written_and_is_no_letter() {
        let written = resolution().headers();
        let texts: Vec<String> = written
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let expected = [
            "isobar.resolution.version=1",
            "isobar.resolution.run=logs.redrive.1",
            "isobar.resolution.bolt=parse",
            "isobar.resolution.rejected_at=1700000001000",
            "isobar.resolution.redrives=1",
            "isobar.origin.source=0000000000000007",
            "isobar.origin.topic=logs",
            "isobar.origin.partition=3",
            "isobar.origin.offset=40",
            "isobar.origin.timestamp=1700000000000",
        ];
        assert_eq!(texts, expected);
        assert_eq!(read(&written), Some(Ok(resolution())));
        let views = written
            .iter()
            .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
        assert!(super::super::Letter::read(views).is_err());
    }

    #[test]
    fn what_cannot_be_read_says_why_and_letters_are_none() {
        assert_eq!(
            read(&[("isobar.dead_letter.version", "1".to_owned())]),
            None
        );
        let later = read(&[(VERSION, "2".to_owned())]);
        assert_eq!(later, Some(Err(NotALetter::Version("2".to_owned()))));
        let mut written = resolution().headers();
        written.retain(|(name, _)| *name != BOLT);
        assert_eq!(read(&written), Some(Err(NotALetter::Missing(BOLT))));
    }

    #[test]
    fn letters_up_to_the_named_one_are_settled() {
        let resolution = resolution();
        assert!(resolution.settles(1, 1_700_000_001_000));
        assert!(resolution.settles(0, 1_600_000_000_000));
        // Rejected again by the redrive, on a machine whose clock is behind.
        assert!(!resolution.settles(2, 1_600_000_000_000));
        // Read and rejected once more by the live topology.
        assert!(!resolution.settles(0, 1_700_000_001_001));
    }
}
