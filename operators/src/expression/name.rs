//! Compiles names: fields of the document become slots and a way from there on.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use super::compile::{Compiler, Result};
use super::node::{Attribute, Source, Step};

/// What can stand at the start of a name.
const ROOTS: [&str; 3] = ["doc", "kafka", "event_time"];
const ROOTS_SHOWN: &str = "doc.NAME, kafka.NAME or event_time";
const KAFKA: [&str; 6] = [
    "topic",
    "partition",
    "offset",
    "timestamp",
    "key",
    "headers",
];
impl Compiler<'_, '_> {
    /// A name with its path: `doc.a["b"][0]`, `kafka.headers["x"]`, `event_time`.
    pub(super) fn attribute(&mut self, expr: &IdedExpr) -> Result<Attribute> {
        let mut steps = Vec::new();
        let mut at = expr;
        let root = loop {
            match &at.expr {
                Expr::Ident(name) => break name.trim_start_matches('.'),
                Expr::Select(SelectExpr { operand, field, .. }) => {
                    steps.push((at, Step::Member(field.as_str().into())));
                    at = operand;
                }
                Expr::Call(call) if call.func_name == operators::INDEX => {
                    let [operand, index] = call.args.as_slice() else {
                        unreachable!("the parser gives an index two operands");
                    };
                    steps.push((at, self.step(index)?));
                    at = operand;
                }
                _ => {
                    return Err(self
                        .problem(at, "only fields have parts")
                        .expected(ROOTS_SHOWN));
                }
            }
        };
        steps.reverse();
        let root_place = at;
        match root {
            "doc" => match steps.split_first() {
                Some(((_, Step::Member(name)), _)) => {
                    let name = name.clone();
                    let rest = steps.drain(1..).map(|(_, step)| step).collect();
                    self.field(&name, rest)
                }
                Some(((at, Step::Element(_)), _)) => Err(self
                    .problem(at, "a document is an object, not a list")
                    .expected("doc.NAME or doc[\"NAME\"]")),
                None => Err(self
                    .problem(root_place, "`doc` alone is not a value")
                    .expected("doc.NAME or doc[\"NAME\"]")),
            },
            "kafka" => self.kafka(root_place, &steps),
            "event_time" => match steps.first() {
                None => Ok(self.named(Source::EventTime, "the event time".to_owned())),
                Some((at, _)) => Err(self
                    .problem(at, "event_time has no parts")
                    .expected("event_time.format('%Y.%m.%d')")),
            },
            unknown => Err(self
                .problem(root_place, &format!("unknown name `{unknown}`"))
                .expected(ROOTS_SHOWN)
                .near(unknown, ROOTS)),
        }
    }

    fn kafka(&mut self, root: &IdedExpr, steps: &[(&IdedExpr, Step)]) -> Result<Attribute> {
        let expected = || {
            format!(
                "one of {}",
                KAFKA.map(|name| format!("kafka.{name}")).join(", ")
            )
        };
        let name = match steps.first() {
            Some((_, Step::Member(name))) => &**name,
            Some((at, Step::Element(_))) => {
                return Err(self.problem(at, "kafka is not a list").expected(expected()));
            }
            None => {
                return Err(self
                    .problem(root, "`kafka` alone is not a value")
                    .expected(expected()));
            }
        };
        let source = match (name, &steps[1..]) {
            ("topic", []) => Source::Topic,
            ("partition", []) => Source::Partition,
            ("offset", []) => Source::Offset,
            ("timestamp", []) => Source::Timestamp,
            ("key", []) => Source::Key,
            ("headers", [(_, Step::Member(name))]) => {
                let shown = format!("kafka.headers[{name:?}]");
                return Ok(self.named(Source::Header(name.clone()), shown));
            }
            ("headers", _) => {
                return Err(self
                    .problem(steps[0].0, "a header has a name and no parts")
                    .expected("kafka.headers[\"NAME\"]"));
            }
            (name, [(at, _), ..]) if KAFKA.contains(&name) => {
                return Err(self.problem(at, &format!("kafka.{name} has no parts")));
            }
            (unknown, _) => {
                return Err(self
                    .problem(steps[0].0, &format!("unknown name `kafka.{unknown}`"))
                    .expected(expected())
                    .near(unknown, KAFKA));
            }
        };
        Ok(self.named(source, format!("kafka.{name}")))
    }

    fn step(&self, index: &IdedExpr) -> Result<Step> {
        let element = match &index.expr {
            Expr::Literal(LiteralValue::String(name)) => {
                return Ok(Step::Member(name.inner().into()));
            }
            Expr::Literal(LiteralValue::Int(index)) => usize::try_from(*index.inner()).ok(),
            Expr::Literal(LiteralValue::UInt(index)) => usize::try_from(*index.inner()).ok(),
            _ => None,
        };
        element.map(Step::Element).ok_or_else(|| {
            self.problem(index, "names and positions in brackets must be literals")
                .expected("a name such as [\"@timestamp\"], or a position from [0]")
        })
    }

    pub(super) fn field(&mut self, name: &str, steps: Vec<Step>) -> Result<Attribute> {
        let symbol = self.prepare.symbol(name, self.parsed.place.path)?;
        let mut shown = "doc".to_owned();
        for step in std::iter::once(&Step::Member(name.into())).chain(&steps) {
            match step {
                Step::Member(name) if is_identifier(name) => {
                    shown.push('.');
                    shown.push_str(name);
                }
                Step::Member(name) => shown.push_str(&format!("[{name:?}]")),
                Step::Element(index) => shown.push_str(&format!("[{index}]")),
            }
        }
        Ok(self.named(Source::Field(symbol, steps.into()), shown))
    }

    fn named(&mut self, source: Source, name: String) -> Attribute {
        let known = self.names.iter().position(|known| *known == name);
        let index = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        Attribute {
            source,
            name: u16::try_from(index).expect("an expression is shorter than 65536 bytes"),
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
