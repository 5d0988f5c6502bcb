//! Conditions on copies of records that somebody looks at, in the language of topology files. They are
//! evaluated on the copies, away from the data, so their fields need not be ones that the topology mentions.

use isobar_topology::spec::{Path, Problem};
use isobar_topology::{Prepare, Symbols, Tapped, Text};

use crate::expression::Condition;

/// A condition, such as `doc.status >= 500`.
#[derive(Debug)]
pub struct TapCondition {
    condition: Condition,
    symbols: Symbols,
}

/// Whether a copy meets a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// That cannot be told; a sentence without a full stop says why.
    Unknown(String),
}

impl TapCondition {
    /// Compiles a condition; a problem is at `path` and names the character.
    pub fn compile(text: &str, path: &Path) -> Result<Self, Problem> {
        let mut symbols = Symbols::new();
        let condition = Prepare::alone(&mut symbols, |prepare| {
            Condition::compile(text, path, prepare)
        })?;
        Ok(Self { condition, symbols })
    }

    /// Whether a copy meets it.
    pub fn met_by(&self, copy: &Tapped) -> Met {
        let met = copy.read(&self.symbols, |record| self.condition.explained(record));
        match (met, &copy.text) {
            (Some(Ok(true)), _) => Met::Yes,
            (Some(Ok(false)), _) => Met::No,
            (Some(Err(why)), Text::Value(_)) if why.contains("doc.") => {
                Met::Unknown(match copy.rejection {
                    None => format!(
                        "{why}: there are fields of documents only behind a parser such as parse_json"
                    ),
                    Some(_) => format!("{why}: rejected records are as they were read"),
                })
            }
            (Some(Err(why)), _) => Met::Unknown(why),
            (None, _) => {
                let most = Tapped::TEXT_MAX >> 10;
                Met::Unknown(format!("it has more than {most} KiB"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::{Ordinals, OwnedHeaders};

    use super::*;

    fn copy(text: Text) -> Tapped {
        Tapped {
            topic: "logs".to_owned(),
            partition: 3,
            offset: 17,
            timestamp: 7,
            part: Ordinals::default(),
            event_time: None,
            key: Some(b"me".to_vec()),
            headers: OwnedHeaders::default(),
            text,
            rejection: None,
        }
    }

    fn check(condition: &str, text: Text, expected: Met) {
        let compiled = TapCondition::compile(condition, &Path::root());
        let compiled = compiled.unwrap_or_else(|problem| panic!("{condition}: {problem}"));
        assert_eq!(compiled.met_by(&copy(text)), expected, "{condition}");
    }

    fn unknown(why: &str) -> Met {
        Met::Unknown(why.to_owned())
    }

    #[test]
    fn a_copy_meets_a_condition_or_not_or_that_cannot_be_told() {
        let document = || Text::Document(br#"{"status":503,"user":{"name":"me"}}"#.to_vec());
        check("doc.status >= 500", document(), Met::Yes);
        check("doc.status < 500", document(), Met::No);
        check(
            "doc.user.name == 'me' && kafka.key == 'me'",
            document(),
            Met::Yes,
        );
        check(
            "kafka.partition == 3 && kafka.offset == 17",
            document(),
            Met::Yes,
        );
        check(
            "event_time < timestamp('1970-01-01T00:00:01Z')",
            document(),
            Met::Yes,
        );
        check("has(doc.level)", document(), Met::No);
        check(
            "doc.level == 'error'",
            document(),
            unknown("doc.level is missing"),
        );
        let odd = "a value is of a type that does not fit there";
        check("doc.status > 'odd'", document(), unknown(odd));
    }

    #[test]
    fn of_records_without_document_the_rest_can_be_asked() {
        let value = || Text::Value(br#"{"status":503}"#.to_vec());
        check("kafka.topic == 'logs'", value(), Met::Yes);
        let why = "doc.status is missing: there are fields of documents only behind a parser such as parse_json";
        check("doc.status == 503", value(), unknown(why));
        check("kafka.key == 'me'", Text::Tombstone, Met::Yes);
        let long = unknown("it has more than 64 KiB");
        check("kafka.key == 'me'", Text::TooLong(1 << 20), long);
    }

    #[test]
    fn a_bad_condition_is_a_problem_with_its_place() {
        let problem = |text: &str| {
            let compiled = TapCondition::compile(text, &Path::root().key("where"));
            compiled.expect_err(text).to_string()
        };
        assert_eq!(
            problem("dco.a == 1"),
            "where: at character 1 of the expression: unknown name `dco`; expected doc.NAME, kafka.NAME or event_time; did you mean doc?"
        );
        assert_eq!(
            problem("doc.a + 1"),
            "where: at character 1 of the expression: the expression is a number; expected a condition"
        );
    }
}
