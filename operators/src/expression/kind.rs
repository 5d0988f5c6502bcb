//! What is known of the type of a part of an expression before any record is seen: enough to refuse
//! what can never work.

use super::function::{FUNCTIONS, Function};
use super::node::{Node, Source};
use super::number::Operator;
use super::value::Value;

/// A type, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only the record knows.
    Any,
    Null,
    Bool,
    Number,
    Text,
    Time,
}

impl Kind {
    /// How it is called in problems.
    pub(super) fn words(self) -> &'static str {
        match self {
            Kind::Any => "a value",
            Kind::Null => "null",
            Kind::Bool => "a condition",
            Kind::Number => "a number",
            Kind::Text => "text",
            Kind::Time => "a time",
        }
    }

    /// Whether it can turn out to be the other one.
    pub(super) fn may_be(self, other: Kind) -> bool {
        self == other || self == Kind::Any || other == Kind::Any
    }

    pub(super) fn of_value(value: &Value<'_>) -> Kind {
        match value {
            Value::Null => Kind::Null,
            Value::Bool(_) => Kind::Bool,
            Value::Int(_) | Value::UInt(_) | Value::Float(_) | Value::Number(_) => Kind::Number,
            Value::Str(_) | Value::Bytes(_) => Kind::Text,
            Value::Json(_) => Kind::Any,
            Value::Time(_) => Kind::Time,
        }
    }

    pub(super) fn of(node: &Node) -> Kind {
        match node {
            Node::Literal(value) => Kind::of_value(value),
            Node::Attribute(attribute) => match attribute.source {
                Source::Field(..) => Kind::Any,
                Source::Partition | Source::Offset => Kind::Number,
                Source::Topic | Source::Key | Source::Header(_) => Kind::Text,
                Source::Timestamp | Source::EventTime => Kind::Time,
            },
            Node::Has(_)
            | Node::Not(_)
            | Node::And(_)
            | Node::Or(_)
            | Node::Compare(..)
            | Node::OneOf(..)
            | Node::In(_)
            | Node::Matches(..) => Kind::Bool,
            Node::If(parts) => Kind::both(&parts[1], &parts[2]),
            Node::Default(parts) => Kind::both(&parts[0], &parts[1]),
            Node::Compute(Operator::Add, operands) => match Kind::of(&operands[0]) {
                Kind::Any => Kind::of(&operands[1]),
                known => known,
            },
            Node::Compute(..) | Node::Negate(_) => Kind::Number,
            Node::Call(function, _) => Kind::given_by(*function),
            Node::Format(..) => Kind::Text,
        }
    }

    fn both(a: &Node, b: &Node) -> Kind {
        match (Kind::of(a), Kind::of(b)) {
            (a, b) if a == b => a,
            _ => Kind::Any,
        }
    }

    fn given_by(function: Function) -> Kind {
        let signature = FUNCTIONS.iter().find(|known| known.function == function);
        signature.map_or(Kind::Any, |signature| signature.gives)
    }
}
