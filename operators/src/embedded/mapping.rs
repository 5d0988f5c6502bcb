//! The fields of an index and their types, learnt from its documents as dynamic mapping does: what the
//! first document says about a field, later ones must fit.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bulk::Fault;

/// Most fields of an index, objects included: `index.mapping.total_fields.limit` of Elasticsearch. It
/// also bounds the memory that names of fields take.
const FIELDS_MAX: usize = 1_000;

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Object,
    Long,
    Float,
    Boolean,
    Date,
    Text,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Long => "long",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Text => "text",
        }
    }

    /// The type that a field gets by its first value; nothing is learnt of null and of empty lists.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Bool(_) => Some(Self::Boolean),
            Value::Number(number) if number.is_f64() => Some(Self::Float),
            Value::Number(_) => Some(Self::Long),
            Value::String(text) if is_date(text) => Some(Self::Date),
            Value::String(_) => Some(Self::Text),
            Value::Array(items) => items.iter().find_map(Self::of),
            Value::Object(_) => Some(Self::Object),
        }
    }

    /// Whether a single value goes into such a field, as `coerce` of Elasticsearch has it.
    fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null) | (Self::Object, Value::Object(_)) => true,
            (Self::Object, _) | (_, Value::Object(_)) => false,
            (Self::Text, _) | (Self::Long | Self::Float, Value::Number(_)) => true,
            (Self::Long | Self::Float, Value::String(text)) => text.trim().parse::<f64>().is_ok(),
            (Self::Boolean, Value::Bool(_)) => true,
            (Self::Boolean, Value::String(text)) => matches!(&**text, "true" | "false" | ""),
            (Self::Date, Value::Number(number)) => !number.is_f64(),
            (Self::Date, Value::String(text)) => is_date(text),
            _ => false,
        }
    }
}

/// The fields of one index, by their path with dots.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    fields: BTreeMap<Box<str>, Type>,
}

impl Mapping {
    /// Takes a document's fields in, all or none. Fails with the error that a real server gives when
    /// one does not fit.
    pub(super) fn learn(&mut self, id: &str, document: &Value) -> Result<(), Fault> {
        let mut learnt = BTreeMap::new();
        let mut path = String::new();
        self.fit(id, &mut path, document, &mut learnt)?;
        if self.fields.len() + learnt.len() > FIELDS_MAX {
            let reason = format!(
                "Limit of total fields [{FIELDS_MAX}] has been exceeded while adding new fields [{}]",
                learnt.len()
            );
            return Err(parsing(reason));
        }
        self.fields.extend(learnt);
        Ok(())
    }

    fn fit(
        &self,
        id: &str,
        path: &mut String,
        value: &Value,
        learnt: &mut BTreeMap<Box<str>, Type>,
    ) -> Result<(), Fault> {
        match value {
            Value::Object(members) => {
                let length = path.len();
                for (name, value) in members {
                    if length > 0 {
                        path.push('.');
                    }
                    path.push_str(name);
                    self.fit_field(id, path, value, learnt)?;
                    self.fit(id, path, value, learnt)?;
                    path.truncate(length);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.fit(id, path, item, learnt)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn fit_field(
        &self,
        id: &str,
        path: &str,
        value: &Value,
        learnt: &mut BTreeMap<Box<str>, Type>,
    ) -> Result<(), Fault> {
        let known = self.fields.get(path).or_else(|| learnt.get(path)).copied();
        let kind = match known {
            Some(kind) => kind,
            None => {
                let Some(kind) = Type::of(value) else {
                    return Ok(());
                };
                let _ = learnt.insert(path.into(), kind);
                kind
            }
        };
        match misfit(kind, value) {
            None => Ok(()),
            Some(value) => Err(parsing(refusal(kind, path, id, value))),
        }
    }
}

/// The first single value that does not go into such a field.
fn misfit(kind: Type, value: &Value) -> Option<&Value> {
    match value {
        Value::Array(items) => items.iter().find_map(|item| misfit(kind, item)),
        value => (!kind.takes(value)).then_some(value),
    }
}

fn refusal(kind: Type, path: &str, id: &str, value: &Value) -> String {
    if kind == Type::Object {
        return format!(
            "object mapping for [{path}] tried to parse field [{path}] as object, but found a concrete value"
        );
    }
    let shown = match value {
        Value::String(text) => text.chars().take(50).collect(),
        Value::Object(_) => "{…}".to_owned(),
        value => value.to_string(),
    };
    let kind = kind.name();
    format!(
        "failed to parse field [{path}] of type [{kind}] in document with id '{id}'. Preview of field's value: '{shown}'"
    )
}

/// The error of a document that does not fit its index.
pub(super) fn parsing(reason: String) -> Fault {
    Fault {
        kind: "document_parsing_exception".into(),
        reason: reason.into(),
    }
}

/// Whether dynamic mapping takes a text for a date: `strict_date_optional_time` with a month at least.
fn is_date(text: &str) -> bool {
    let starts = text.len() >= 10 && text.as_bytes()[..4].iter().all(u8::is_ascii_digit);
    starts
        && text.as_bytes()[4] == b'-'
        && (text.parse::<jiff::Timestamp>().is_ok()
            || (text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok())
            || text.parse::<jiff::civil::DateTime>().is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The reason why the last of these documents is refused; empty when it is not.
    fn check(documents: &[Value], expected: &str) {
        let mut mapping = Mapping::default();
        let (last, before) = documents.split_last().expect("at least one");
        for document in before {
            mapping.learn("0", document).expect("it fits");
        }
        let reason = match mapping.learn("7", last) {
            Ok(()) => String::new(),
            Err(fault) => fault.reason.into_owned(),
        };
        assert!(reason.contains(expected), "{documents:?}: {reason}");
        assert_eq!(reason.is_empty(), expected.is_empty(), "{reason}");
    }

    #[test]
    fn later_documents_must_fit_what_the_first_one_said() {
        let status = || json!({"http": {"status": 200}});
        check(&[status(), json!({"http": {"status": "500"}})], "");
        check(&[status(), json!({"http": {"status": 1.5}})], "");
        check(&[status(), json!({"http": {"status": null}})], "");
        check(&[status(), json!({"http": {"status": [200, 404]}})], "");
        check(
            &[status(), json!({"http": {"status": [200, "bad"]}})],
            "failed to parse field [http.status] of type [long] in document with id '7'. Preview of field's value: 'bad'",
        );
        check(
            &[status(), json!({"http": "yes"})],
            "object mapping for [http] tried to parse field [http] as object",
        );
        check(
            &[status(), json!({"http": {"status": {"code": 1}}})],
            "of type [long]",
        );
        check(
            &[json!({"ok": true}), json!({"ok": "no"})],
            "of type [boolean]",
        );
        check(&[json!({"text": "a"}), json!({"text": 5})], "");
        check(&[json!({"a": [{"b": 1}, {"b": "x"}]})], "of type [long]");
    }

    #[test]
    fn dates_are_recognised() {
        let first = || json!({"at": "2026-01-31T10:00:00.5Z"});
        for fits in [
            json!("2026-01-31"),
            json!("2026-01-31T10:00:00+02:00"),
            json!(1_700),
        ] {
            check(&[first(), json!({ "at": fits })], "");
        }
        check(&[first(), json!({"at": "yesterday"})], "of type [date]");
        check(&[json!({"v": "2026"}), json!({"v": "x"})], "");
    }

    #[test]
    fn fields_are_limited_and_a_refused_document_adds_none() {
        let wide = |from: usize, to: usize| {
            let members = (from..to).map(|n| (format!("f{n}"), json!(n)));
            Value::Object(members.collect())
        };
        check(&[wide(0, FIELDS_MAX)], "");
        let over = "Limit of total fields [1000] has been exceeded while adding new fields [1]";
        check(
            &[wide(0, FIELDS_MAX), wide(FIELDS_MAX, FIELDS_MAX + 1)],
            over,
        );
        let mut mapping = Mapping::default();
        let _ = mapping
            .learn("0", &wide(0, FIELDS_MAX + 1))
            .expect_err("too many");
        mapping
            .learn("1", &json!({"f0": "text"}))
            .expect("nothing was learnt");
    }
}
