//! Offsets with several documents in one index: each is one too many, unless several sinks write there.

use isobar_operators::replay::Search;
use isobar_topology::OperatorError;

use super::Tally;

/// Whether several documents in one index are too many: asked once, and only where there are some.
#[derive(Default)]
pub(super) struct Twice {
    are_apart: Option<bool>,
}

impl Twice {
    /// Forgets those of a partition where they may be those of several sinks.
    pub(super) async fn look(
        &mut self,
        searches: &[Search],
        tally: &mut Tally,
    ) -> Result<(), OperatorError> {
        if tally.repeated > 0 && self.are_apart.is_none() {
            self.are_apart = Some(Search::are_apart(searches).await?);
        }
        if self.are_apart == Some(false) {
            tally.forget_repeated();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use isobar_operators::replay::Found;

    use super::super::{
        PlanFile, PlannedPartition, Shape, Verdict, Window, Word, Written, verified,
    };
    use super::*;

    fn plan() -> PlanFile {
        let plan = serde_json::json!({
            "version": 2, "id": "19a", "made_at_ms": 5, "topology": "logs", "file": "/logs.yaml",
            "env_files": [], "configuration": "0f", "spout": "in", "group": "g", "cluster_id": "c",
            "topics": {"t": null}, "from": "10", "to": "14", "target": "missing", "sinks": [],
            "left_out": [], "narrowed": false,
            "partitions": [{"topic": "t", "partition": 0, "from": 10, "to": 14, "narrowed": [], "notes": []}],
        });
        serde_json::from_value(plan).expect("a plan")
    }

    /// Of four offsets that all have a document, with what else was found.
    fn tally(found: Found) -> Tally {
        let mut window = Window::of((10, 14));
        window.add(Found {
            offsets: vec![10, 11, 12, 13],
            ..found
        });
        let mut tally = Tally::default();
        tally.take(&window, 1);
        tally
    }

    fn check(found: Found, expected: Word, notes: &str) {
        let (plan, shape) = (
            plan(),
            Shape {
                sinks: 1,
                forks: false,
                splits: false,
                shares_ids: false,
            },
        );
        let planned: &PlannedPartition = &plan.partitions[0];
        let verified = verified(planned, tally(found), None, None, Written::All, shape);
        let verdict = Verdict::of(&plan, vec![verified]);
        assert_eq!(
            (verdict.verdict, verdict.notes().as_str()),
            (expected, notes)
        );
    }

    #[test]
    fn an_offset_that_has_a_document_twice_is_wrong_in_one_index_as_in_two() {
        check(Found::default(), Word::Exact, "");
        let doubled = Found {
            doubled: vec![11],
            ..Found::default()
        };
        check(doubled, Word::Wrong, "t/0: in two indices: 11\n");
        let repeated = Found {
            more: 2,
            repeated: vec![12, 13],
            ..Found::default()
        };
        let notes = "t/0: more than once in one index, under several ids: 12, 13\n";
        check(repeated, Word::Wrong, notes);
    }

    #[tokio::test]
    async fn where_several_sinks_write_to_one_index_several_documents_are_none_too_many() {
        let repeated = || {
            tally(Found {
                more: 2,
                repeated: vec![12, 13],
                ..Found::default()
            })
        };
        for (are_apart, expected) in [(true, 2), (false, 0)] {
            let mut twice = Twice {
                are_apart: Some(are_apart),
            };
            let mut tally = repeated();
            twice.look(&[], &mut tally).await.expect("nobody is asked");
            assert_eq!(tally.repeated, expected);
        }
    }
}
