//! What the checks of replays and of redrives have in common: the words of a verdict with their exit codes, and
//! whether several documents of a record in one index are too many.

use isobar_operators::replay::Search;
use isobar_topology::OperatorError;
use serde::Serialize;

use crate::exit::Exit;

/// The verdict on what a run has done, the best one first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// All is accounted for.
    #[default]
    Exact,
    /// What became of some is known to nobody any more.
    Unknown,
    /// Some is not accounted for, or is there twice.
    Wrong,
}

impl Word {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Unknown => "unknown",
            Self::Wrong => "wrong",
        }
    }

    /// How a command ends with it; `is_short` where less was done than was asked for.
    pub(super) fn exit(self, is_short: bool) -> Exit {
        match self {
            Self::Wrong => Exit::Failed,
            Self::Unknown => Exit::Undetermined,
            Self::Exact if is_short => Exit::Threshold,
            Self::Exact => Exit::Done,
        }
    }
}

/// Whether several documents of a record in one index are too many, or those of several sinks that write there: asked
/// once, and only where there are some.
#[derive(Debug, Default)]
pub(super) struct Twice {
    are_apart: Option<bool>,
}

impl Twice {
    /// Whether so many that were found are too many.
    pub(super) async fn are_too_many(
        &mut self,
        found: u64,
        searches: &[Search],
    ) -> Result<bool, OperatorError> {
        if found == 0 {
            return Ok(false);
        }
        let are_apart = match self.are_apart {
            Some(are_apart) => are_apart,
            None => Search::are_apart(searches).await?,
        };
        self.are_apart = Some(are_apart);
        Ok(are_apart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_word_counts_and_decides_how_a_command_ends() {
        assert!(Word::Exact < Word::Unknown && Word::Unknown < Word::Wrong);
        let exits = |word: Word| (word.text(), word.exit(false), word.exit(true));
        let expected = ("exact", Exit::Done, Exit::Threshold);
        assert_eq!(exits(Word::Exact), expected);
        let expected = ("unknown", Exit::Undetermined, Exit::Undetermined);
        assert_eq!(exits(Word::Unknown), expected);
        assert_eq!(exits(Word::Wrong), ("wrong", Exit::Failed, Exit::Failed));
    }

    #[tokio::test]
    async fn where_several_sinks_write_to_one_index_several_documents_are_none_too_many() {
        for are_apart in [true, false] {
            let mut twice = Twice {
                are_apart: Some(are_apart),
            };
            let found = twice.are_too_many(2, &[]).await;
            assert_eq!(found.expect("nobody is asked"), are_apart);
        }
        let mut twice = Twice::default();
        let none = twice.are_too_many(0, &[]).await;
        assert!(!none.expect("nobody is asked"));
        assert_eq!(twice.are_apart, None);
    }
}
