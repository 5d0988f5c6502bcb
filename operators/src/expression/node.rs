//! The compiled form of an expression: a tree whose leaves are slots of the record, and its
//! evaluation. Nothing is allocated for comparisons, conditions and texts without escapes.

use std::borrow::Cow;
use std::cmp::Ordering;

use isobar_topology::{Record, Symbol, json};

use super::function::Function;
use super::number::{self, Number, Operator};
use super::time::TimeFormat;
use super::value::{Value, text_of};
use super::{Result, Undefined};
use crate::pattern::Search;

/// A part of an expression.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Value<'static>),
    Attribute(Attribute),
    Has(Attribute),
    Not(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    /// Condition, value, other value.
    If(Box<[Node; 3]>),
    Compare(Relation, Box<[Node; 2]>),
    /// Whether a value is among literals.
    OneOf(Box<Node>, Box<[Value<'static>]>),
    /// Whether a value is an element of a list, or a name in an object.
    In(Box<[Node; 2]>),
    Negate(Box<Node>),
    Compute(Operator, Box<[Node; 2]>),
    Call(Function, Box<[Node]>),
    /// Whether a pattern is found in a text.
    Matches(Box<Node>, Search),
    Format(Box<Node>, TimeFormat),
    /// A value, and what stands for it where it is missing or null.
    Default(Box<[Node; 2]>),
}

/// Something that a record has by itself.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) source: Source,
    /// Its number among the names of the expression.
    pub(super) name: u16,
}

#[derive(Debug)]
pub(super) enum Source {
    /// A top-level field, and the way from its value on.
    Field(Symbol, Box<[Step]>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Header(Box<str>),
    EventTime,
}

#[derive(Debug)]
pub(super) enum Step {
    Member(Box<str>),
    Element(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Relation {
    #[inline]
    fn holds(self, order: Ordering) -> bool {
        match self {
            Relation::Equal => order.is_eq(),
            Relation::NotEqual => order.is_ne(),
            Relation::Less => order.is_lt(),
            Relation::LessOrEqual => order.is_le(),
            Relation::Greater => order.is_gt(),
            Relation::GreaterOrEqual => order.is_ge(),
        }
    }

    /// What holds of `b` and `a` when this holds of `a` and `b`.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Relation::Equal | Relation::NotEqual => self,
            Relation::Less => Relation::Greater,
            Relation::LessOrEqual => Relation::GreaterOrEqual,
            Relation::Greater => Relation::Less,
            Relation::GreaterOrEqual => Relation::LessOrEqual,
        }
    }
}

impl Attribute {
    /// The raw JSON of a field.
    #[inline]
    fn raw<'a>(record: Record<'a>, symbol: Symbol, steps: &[Step]) -> Option<&'a [u8]> {
        let mut value = record.get(symbol)?;
        for step in steps {
            value = match step {
                Step::Member(name) => json::member(value, name)?,
                Step::Element(index) => json::element(value, *index)?,
            };
        }
        Some(value)
    }

    /// The value, made where the caller wants it: values are large to move about.
    #[inline]
    fn get<'a>(&self, record: Record<'a>) -> Result<Value<'a>> {
        let missing = Err(Undefined::Missing(self.name));
        match &self.source {
            Source::Field(symbol, steps) => match Self::raw(record, *symbol, steps) {
                Some(raw) => Ok(Value::of(raw)),
                None => missing,
            },
            Source::Topic => Ok(Value::Str(Cow::Borrowed(record.topic().as_bytes()))),
            Source::Partition => Ok(Value::Int(record.partition().into())),
            Source::Offset => Ok(Value::Int(record.offset())),
            Source::Timestamp if record.timestamp() >= 0 => Ok(Value::Time(record.timestamp())),
            Source::Timestamp => missing,
            Source::Key => record.key().map_or(missing, |key| Ok(Value::of_bytes(key))),
            Source::Header(name) => {
                let header = record.header(name);
                header.map_or(missing, |header| Ok(Value::of_bytes(header)))
            }
            Source::EventTime => match record.event_time() {
                Some(ms) => Ok(Value::Time(ms)),
                None => missing,
            },
        }
    }

    fn is_there(&self, record: Record<'_>) -> bool {
        match &self.source {
            Source::Field(symbol, steps) => Self::raw(record, *symbol, steps).is_some(),
            Source::Key => record.key().is_some(),
            _ => self.get(record).is_ok(),
        }
    }
}

impl Node {
    /// Whether it is the time of the event and nothing else.
    pub(super) fn is_event_time(&self) -> bool {
        matches!(self, Node::Attribute(attribute) if matches!(attribute.source, Source::EventTime))
    }

    /// The value for a record.
    #[inline]
    pub(super) fn value<'a>(&'a self, record: Record<'a>) -> Result<Value<'a>> {
        match self {
            Node::Literal(value) => Ok(value.borrowed()),
            Node::Attribute(attribute) => attribute.get(record),
            computed => computed.compute(record),
        }
    }

    #[inline(never)]
    fn compute<'a>(&'a self, record: Record<'a>) -> Result<Value<'a>> {
        Ok(match self {
            Node::Literal(_) | Node::Attribute(_) => self.value(record)?,
            Node::Has(_)
            | Node::Not(_)
            | Node::And(_)
            | Node::Or(_)
            | Node::Compare(..)
            | Node::OneOf(..)
            | Node::In(_)
            | Node::Matches(..) => Value::Bool(self.truth(record)?),
            Node::If(parts) => {
                let [condition, then, otherwise] = &**parts;
                match condition.truth(record)? {
                    true => then.value(record)?,
                    false => otherwise.value(record)?,
                }
            }
            Node::Negate(node) => {
                let number = Number::of(&node.value(record)?).ok_or(Undefined::Type)?;
                number::negate(number).ok_or(Undefined::Number)?
            }
            Node::Compute(operator, operands) => {
                let [left, right] = &**operands;
                arithmetic(*operator, left.value(record)?, right.value(record)?)?
            }
            Node::Call(function, arguments) => function.call(arguments, record)?,
            Node::Format(node, format) => {
                let mut text = Vec::new();
                format
                    .write(node.time(record)?, &mut text)
                    .ok_or(Undefined::Time)?;
                Value::Str(text.into())
            }
            Node::Default(parts) => {
                let [value, fallback] = &**parts;
                match value.value(record) {
                    Ok(Value::Null) | Err(Undefined::Missing(_)) => fallback.value(record)?,
                    other => other?,
                }
            }
        })
    }

    /// Whether it is true for a record. What `&&` and `||` can decide without an operand that is
    /// undefined is defined, as CEL has it.
    pub(super) fn truth(&self, record: Record<'_>) -> Result<bool> {
        match self {
            Node::Has(attribute) => Ok(attribute.is_there(record)),
            Node::Not(node) => node.truth(record).map(|truth| !truth),
            Node::And(operands) => either_decides(operands, false, record),
            Node::Or(operands) => either_decides(operands, true, record),
            Node::Compare(relation, operands) => compare(*relation, operands, record),
            Node::OneOf(node, literals) => {
                let value = node.value(record);
                let value = value.as_ref().map_err(|undefined| *undefined)?;
                let mut literals = literals.iter();
                Ok(literals.any(|literal| equal(value, literal) == Ok(true)))
            }
            Node::In(parts) => {
                let [value, container] = &**parts;
                is_in(&value.value(record)?, &container.value(record)?)
            }
            Node::Matches(node, search) => match &node.value(record) {
                Ok(Value::Str(text)) => Ok(search.is_in(text)),
                Ok(_) => Err(Undefined::Type),
                Err(undefined) => Err(*undefined),
            },
            Node::Call(
                function @ (Function::StartsWith | Function::EndsWith | Function::Contains),
                arguments,
            ) => function.test(arguments, record),
            _ => match &self.value(record) {
                Ok(Value::Bool(truth)) => Ok(*truth),
                Ok(_) => Err(Undefined::Type),
                Err(undefined) => Err(*undefined),
            },
        }
    }

    fn time(&self, record: Record<'_>) -> Result<i64> {
        match self.value(record) {
            Ok(Value::Time(ms)) => Ok(ms),
            Ok(_) => Err(Undefined::Type),
            Err(undefined) => Err(undefined),
        }
    }

    /// Appends the value as text, without an intermediate text for times. Null is no text.
    pub(super) fn write_text(&self, record: Record<'_>, out: &mut Vec<u8>) -> Result<()> {
        if let Node::Format(node, format) = self {
            return format.write(node.time(record)?, out).ok_or(Undefined::Time);
        }
        match &self.value(record) {
            Ok(Value::Null) => Err(Undefined::Null),
            Ok(value) => {
                value.write_text(out);
                Ok(())
            }
            Err(undefined) => Err(*undefined),
        }
    }
}

/// `&&` with `decisive` false, `||` with `decisive` true.
#[inline]
fn either_decides(operands: &[Node; 2], decisive: bool, record: Record<'_>) -> Result<bool> {
    let [left, right] = operands;
    match left.truth(record) {
        Ok(truth) if truth == decisive => Ok(decisive),
        Ok(_) => right.truth(record),
        Err(undefined) => match right.truth(record) {
            Ok(truth) if truth == decisive => Ok(decisive),
            _ => Err(undefined),
        },
    }
}

/// Compares; a field with a literal of the commonest types without making a value of either.
#[inline]
fn compare(relation: Relation, operands: &[Node; 2], record: Record<'_>) -> Result<bool> {
    let [left, right] = operands;
    if let (Node::Attribute(attribute), Node::Literal(literal)) = (left, right)
        && let Source::Field(symbol, steps) = &attribute.source
    {
        let raw = Attribute::raw(record, *symbol, steps);
        let raw = raw.ok_or(Undefined::Missing(attribute.name))?;
        match (relation, literal) {
            (Relation::Equal, Value::Str(text)) => return Ok(is_string(raw, text)),
            (Relation::NotEqual, Value::Str(text)) => return Ok(!is_string(raw, text)),
            (_, Value::Int(other)) => {
                if let Some(number) = number::short_integer(raw) {
                    return Ok(relation.holds(number.cmp(other)));
                }
            }
            _ => {}
        }
        return relate(relation, &Value::of(raw), literal);
    }
    match (&left.value(record), &right.value(record)) {
        (Ok(left), Ok(right)) => relate(relation, left, right),
        (Err(undefined), _) | (_, Err(undefined)) => Err(*undefined),
    }
}

fn relate(relation: Relation, left: &Value<'_>, right: &Value<'_>) -> Result<bool> {
    match relation {
        Relation::Equal => equal(left, right),
        Relation::NotEqual => equal(left, right).map(|equal| !equal),
        _ => order(left, right).map(|order| relation.holds(order)),
    }
}

/// Whether a raw value is a string of this text. A string that is as long as the text between its
/// quotes has no escape, or is another one, so long texts are not searched for escapes.
#[inline]
fn is_string(raw: &[u8], text: &[u8]) -> bool {
    if raw.first() != Some(&b'"') || raw.len() < text.len() + 2 {
        return false;
    }
    if raw.len() == text.len() + 2 && !text.contains(&b'\\') {
        return raw[1..].starts_with(text);
    }
    // No escape has more than 6 bytes for a byte of the text.
    raw.len() <= 6 * text.len() + 2 && *text_of(raw) == *text
}

/// Values of different types are not equal. Objects and lists cannot be compared with each other:
/// that would take time out of all proportion.
pub(super) fn equal(a: &Value<'_>, b: &Value<'_>) -> Result<bool> {
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Time(a), Value::Time(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Json(_), Value::Json(_)) => return Err(Undefined::Type),
        _ => match (a.bytes(), b.bytes()) {
            (Some(a), Some(b)) => a == b,
            _ => match (Number::of(a), Number::of(b)) {
                (Some(a), Some(b)) => a.compare(b).is_eq(),
                _ => false,
            },
        },
    })
}

fn order(a: &Value<'_>, b: &Value<'_>) -> Result<Ordering> {
    if let (Value::Int(a), Value::Int(b)) | (Value::Time(a), Value::Time(b)) = (a, b) {
        return Ok(a.cmp(b));
    }
    if let (Some(a), Some(b)) = (Number::of(a), Number::of(b)) {
        return Ok(a.compare(b));
    }
    match (a, b) {
        // In UTF-8 the order of bytes is that of characters.
        (Value::Str(a), Value::Str(b)) => Ok(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        _ => Err(Undefined::Type),
    }
}

fn is_in(value: &Value<'_>, container: &Value<'_>) -> Result<bool> {
    let Value::Json(raw) = container else {
        return Err(Undefined::Type);
    };
    if raw.first() == Some(&b'[') {
        let mut found = false;
        json::for_each_element(raw, |element| {
            found = found || equal(value, &Value::of(element)) == Ok(true);
        });
        return Ok(found);
    }
    match value {
        Value::Str(name) => {
            let name = std::str::from_utf8(name).map_err(|_| Undefined::Type)?;
            Ok(json::member(raw, name).is_some())
        }
        _ => Err(Undefined::Type),
    }
}

fn arithmetic<'a>(operator: Operator, left: Value<'a>, right: Value<'a>) -> Result<Value<'a>> {
    if let (Operator::Add, Value::Str(left), Value::Str(right)) = (operator, &left, &right) {
        let mut text = Vec::with_capacity(left.len() + right.len());
        text.extend_from_slice(left);
        text.extend_from_slice(right);
        return Ok(Value::Str(Cow::Owned(text)));
    }
    match (Number::of(&left), Number::of(&right)) {
        (Some(left), Some(right)) => operator.apply(left, right).ok_or(Undefined::Number),
        _ => Err(Undefined::Type),
    }
}
