//! From the syntax tree to the compiled form: names become slots, and everything that is not
//! supported or can never work is a problem.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};
use isobar_topology::Prepare;
use isobar_topology::spec::Problem;

use super::function::{FUNCTIONS, Function, Signature, Style};
use super::kind::Kind;
use super::node::{Attribute, Node, Relation, Source, Step};
use super::number::{self, Number, Operator};
use super::parse::Parsed;
use super::time::TimeFormat;
use super::value::Value;
use crate::event_time::rfc3339;

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
/// Functions that are more than a function of their arguments.
const SPECIAL: [(&str, &str); 3] = [
    ("has", "has(doc.NAME)"),
    ("default", "default(doc.NAME, VALUE)"),
    ("format", "TIME.format('%Y.%m.%d')"),
];

pub(super) struct Compiler<'c, 'p> {
    pub(super) parsed: &'c Parsed<'c>,
    pub(super) prepare: &'c mut Prepare<'p>,
    /// What records can lack, by [`Attribute::name`].
    pub(super) names: Vec<String>,
}

type Result<T> = std::result::Result<T, Problem>;

impl Compiler<'_, '_> {
    pub(super) fn node(&mut self, expr: &IdedExpr) -> Result<Node> {
        match &expr.expr {
            Expr::Literal(literal) => Ok(Node::Literal(value_of(literal))),
            Expr::Ident(_) | Expr::Select(_) => Ok(Node::Attribute(self.attribute(expr)?)),
            Expr::Call(call) => self.call(expr, call),
            Expr::List(_) => Err(self
                .problem(expr, "a list is not supported here")
                .expected("a list behind `in`, such as doc.level in ['warn', 'error']")),
            Expr::Map(_) => Err(self
                .problem(expr, "a map is not supported")
                .expected("one value; bolts such as set_fields make objects")),
            Expr::Struct(_) => Err(self.problem(expr, "messages are not supported")),
            Expr::Comprehension(_) | Expr::Unspecified => {
                Err(self.problem(expr, "this is not supported"))
            }
        }
    }

    /// A part that must be able to be of a type.
    pub(super) fn node_of(&mut self, expr: &IdedExpr, wanted: Kind, why: &str) -> Result<Node> {
        let node = self.node(expr)?;
        let found = Kind::of(&node);
        match found.may_be(wanted) {
            true => Ok(node),
            false => Err(self
                .problem(expr, &format!("{why} is {}", found.words()))
                .expected(wanted.words())),
        }
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Result<Node> {
        let name = call.func_name.as_str();
        let (why, args) = (format!("an operand of {}", shown(name)), &call.args);
        if let Some(operator) = arithmetic(name) {
            return self.compute(operator, args, &why);
        }
        if let Some(relation) = relation(name) {
            return self.compare(expr, relation, args, &why);
        }
        match (name, args.as_slice()) {
            (operators::LOGICAL_NOT, [operand]) => Ok(Node::Not(Box::new(self.node_of(
                operand,
                Kind::Bool,
                &why,
            )?))),
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) => {
                let left = self.node_of(left, Kind::Bool, &why)?;
                let operands = Box::new([left, self.node_of(right, Kind::Bool, &why)?]);
                Ok(match name {
                    operators::LOGICAL_AND => Node::And(operands),
                    _ => Node::Or(operands),
                })
            }
            (operators::CONDITIONAL, [condition, then, otherwise]) => Ok(Node::If(Box::new([
                self.node_of(condition, Kind::Bool, "what stands before `?`")?,
                self.node(then)?,
                self.node(otherwise)?,
            ]))),
            (operators::IN, [value, container]) => self.is_in(expr, value, container),
            (operators::NEGATE, [operand]) => match self.node_of(operand, Kind::Number, &why)? {
                Node::Literal(value) => Number::of(&value)
                    .and_then(number::negate)
                    .map(Node::Literal)
                    .ok_or_else(|| self.problem(expr, "the number does not fit 64 bits")),
                node => Ok(Node::Negate(Box::new(node))),
            },
            (operators::INDEX, [_, _]) => Ok(Node::Attribute(self.attribute(expr)?)),
            _ => self.function(expr, call),
        }
    }

    fn compute(&mut self, operator: Operator, args: &[IdedExpr], why: &str) -> Result<Node> {
        let [left, right] = args else {
            unreachable!("the parser gives arithmetic two operands");
        };
        let is_sum = operator == Operator::Add;
        let first = match is_sum {
            true => self.node(left)?,
            false => self.node_of(left, Kind::Number, why)?,
        };
        let kind = Kind::of(&first);
        if is_sum && !matches!(kind, Kind::Any | Kind::Number | Kind::Text) {
            return Err(self
                .problem(left, &format!("{why} is {}", kind.words()))
                .expected("a number or text"));
        }
        let second = self.node_of(right, if is_sum { kind } else { Kind::Number }, why)?;
        Ok(Node::Compute(operator, Box::new([first, second])))
    }

    fn compare(
        &mut self,
        expr: &IdedExpr,
        relation: Relation,
        args: &[IdedExpr],
        why: &str,
    ) -> Result<Node> {
        let [left, right] = args else {
            unreachable!("the parser gives relations two operands");
        };
        let operands = [self.node(left)?, self.node(right)?];
        let kinds = [Kind::of(&operands[0]), Kind::of(&operands[1])];
        let is_equality = matches!(relation, Relation::Equal | Relation::NotEqual);
        if !is_equality && let Some(at) = kinds.iter().position(|kind| *kind == Kind::Null) {
            return Err(self
                .problem(&args[at], &format!("{why} is null"))
                .expected("a number, text or a time; null can only be == and !="));
        }
        let can_be_null = is_equality && kinds.contains(&Kind::Null);
        if !kinds[0].may_be(kinds[1]) && !can_be_null {
            let [left, right] = kinds.map(Kind::words);
            return Err(self
                .problem(expr, &format!("{left} is compared with {right}"))
                .expected(match kinds.contains(&Kind::Time) {
                    true => "both sides of one type; timestamp('2024-01-31T00:00:00Z') is a time",
                    false => "both sides of one type",
                }));
        }
        // A literal on the right is what evaluation is fast for.
        Ok(match operands {
            [literal @ Node::Literal(_), other @ Node::Attribute(_)] => {
                Node::Compare(relation.mirrored(), Box::new([other, literal]))
            }
            operands => Node::Compare(relation, Box::new(operands)),
        })
    }

    fn is_in(&mut self, expr: &IdedExpr, value: &IdedExpr, container: &IdedExpr) -> Result<Node> {
        if let Expr::List(list) = &container.expr {
            let value = self.node(value)?;
            let mut literals = Vec::new();
            for element in &list.elements {
                match self.node(element)? {
                    Node::Literal(literal) => {
                        let (wanted, found) = (Kind::of(&value), Kind::of_value(&literal));
                        if !wanted.may_be(found) && found != Kind::Null {
                            return Err(self
                                .problem(
                                    element,
                                    &format!(
                                        "{} is looked for in a list with {}",
                                        wanted.words(),
                                        found.words()
                                    ),
                                )
                                .expected(wanted.words()));
                        }
                        literals.push(literal);
                    }
                    _ => {
                        return Err(self
                            .problem(element, "an element of the list is no literal")
                            .expected("numbers and texts; compare with == for other values"));
                    }
                }
            }
            return Ok(Node::OneOf(Box::new(value), literals.into()));
        }
        if matches!(&container.expr, Expr::Ident(root) if root == "doc") {
            return match self.node(value)? {
                Node::Literal(Value::Str(name)) => {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    Ok(Node::Has(self.field(&name, Vec::new())?))
                }
                _ => Err(self
                    .problem(value, "the name before `in doc` is no literal")
                    .expected("'NAME' in doc, or has(doc.NAME)")),
            };
        }
        let value = self.node(value)?;
        let container_node = self.node(container)?;
        match Kind::of(&container_node) {
            Kind::Any => Ok(Node::In(Box::new([value, container_node]))),
            found => Err(self
                .problem(
                    expr,
                    &format!("what stands behind `in` is {}", found.words()),
                )
                .expected("a list such as ['warn', 'error'], or a field with a list")),
        }
    }

    fn function(&mut self, expr: &IdedExpr, call: &CallExpr) -> Result<Node> {
        let name = call.func_name.as_str();
        let is_method = call.target.is_some();
        match (name, is_method) {
            ("has", false) => return self.has(expr, &call.args),
            ("default", false) => return self.default(expr, &call.args),
            ("format", true) => return self.format(expr, call),
            _ => {}
        }
        let Some(signature) = FUNCTIONS.iter().find(|known| known.name == name) else {
            return Err(self.unknown_function(expr, name));
        };
        let arguments: Vec<&IdedExpr> = call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect();
        let called_well = match signature.style {
            Style::Method => is_method,
            Style::Global => !is_method,
            Style::Both => true,
        };
        let most = signature.takes.len();
        let counts = most - signature.optional..=most;
        if !called_well || !counts.contains(&arguments.len()) {
            return Err(self
                .problem(expr, &format!("`{name}` is called in another way"))
                .expected(signature.usage));
        }
        let nodes = arguments
            .iter()
            .zip(signature.takes)
            .map(|(argument, wanted)| {
                self.node_of(argument, *wanted, &format!("an argument of `{name}`"))
            })
            .collect::<Result<Vec<Node>>>()?;
        self.applied(expr, signature, nodes)
    }

    fn applied(&self, expr: &IdedExpr, signature: &Signature, nodes: Vec<Node>) -> Result<Node> {
        let found = Kind::of(&nodes[0]);
        let fits = match signature.function {
            Function::Size => matches!(found, Kind::Any | Kind::Text),
            Function::Int => !matches!(found, Kind::Null | Kind::Bool),
            Function::Double => !matches!(found, Kind::Null | Kind::Bool | Kind::Time),
            _ => true,
        };
        if !fits {
            return Err(self
                .problem(
                    expr,
                    &format!(
                        "`{}` takes no such value: it is {}",
                        signature.name,
                        found.words()
                    ),
                )
                .expected(match signature.function {
                    Function::Size => "text, a list or an object",
                    Function::Int => "a number, text or a time",
                    _ => "a number or text",
                }));
        }
        if let (Function::Timestamp, [Node::Literal(Value::Str(text))]) =
            (signature.function, nodes.as_slice())
        {
            return match rfc3339::parse(text) {
                Some(ms) => Ok(Node::Literal(Value::Time(ms))),
                None => Err(self
                    .problem(
                        expr,
                        &format!("`{}` is not a time", String::from_utf8_lossy(text)),
                    )
                    .expected("RFC 3339 with a zone, such as 2024-01-31T00:00:00Z")),
            };
        }
        Ok(Node::Call(signature.function, nodes.into()))
    }

    fn has(&mut self, expr: &IdedExpr, args: &[IdedExpr]) -> Result<Node> {
        const EXPECTED: &str = "has(doc.NAME), has(doc[\"NAME\"]), has(kafka.key) or the like";
        match args {
            [arg] if is_name(arg) => Ok(Node::Has(self.attribute(arg)?)),
            _ => Err(self
                .problem(args.first().unwrap_or(expr), "`has` asks for one field")
                .expected(EXPECTED)),
        }
    }

    fn default(&mut self, expr: &IdedExpr, args: &[IdedExpr]) -> Result<Node> {
        match args {
            [value, fallback] => Ok(Node::Default(Box::new([
                self.node(value)?,
                self.node(fallback)?,
            ]))),
            _ => Err(self
                .problem(
                    expr,
                    "`default` takes a value and what stands for it where it is missing",
                )
                .expected("default(doc.NAME, VALUE)")),
        }
    }

    fn format(&mut self, expr: &IdedExpr, call: &CallExpr) -> Result<Node> {
        let time = match &call.target {
            Some(time) => self.node_of(time, Kind::Time, "what stands before `.format`")?,
            None => unreachable!("methods have a target"),
        };
        if Kind::of(&time) == Kind::Any {
            return Err(self
                .problem(expr, "a field is no time by itself")
                .expected("event_time.format(...) or timestamp(doc.NAME).format(...)"));
        }
        let [pattern] = call.args.as_slice() else {
            return Err(self
                .problem(expr, "`format` takes one pattern")
                .expected(SPECIAL[2].1));
        };
        let Node::Literal(Value::Str(text)) = self.node(pattern)? else {
            return Err(self
                .problem(pattern, "the pattern of a time is no literal")
                .expected("text such as '%Y.%m.%d'"));
        };
        let format = TimeFormat::new(&String::from_utf8_lossy(&text)).map_err(|error| {
            self.problem(pattern, &error.to_string())
                .expected("strftime's letters, such as %Y, %m, %d, %H, %G and %V")
        })?;
        Ok(Node::Format(Box::new(time), format))
    }

    fn unknown_function(&self, expr: &IdedExpr, name: &str) -> Problem {
        let usages = SPECIAL.iter().map(|(_, usage)| *usage);
        let usages = usages.chain(FUNCTIONS.iter().map(|known| known.usage));
        let names = SPECIAL.iter().map(|(name, _)| *name);
        let names = names.chain(FUNCTIONS.iter().map(|known| known.name));
        match name {
            "matches" => self
                .problem(
                    expr,
                    "`matches` is not supported: there are no regular expressions",
                )
                .expected("startsWith, endsWith or contains"),
            "duration" => self
                .problem(
                    expr,
                    "`duration` is not supported: times cannot be computed with",
                )
                .expected("a comparison with timestamp('2024-01-31T00:00:00Z')"),
            _ => self
                .problem(expr, &format!("unknown function `{name}`"))
                .expected(format!("one of {}", usages.collect::<Vec<_>>().join(", ")))
                .near(name, names),
        }
    }

    /// A name with its path: `doc.a["b"][0]`, `kafka.headers["x"]`, `event_time`.
    fn attribute(&mut self, expr: &IdedExpr) -> Result<Attribute> {
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

    fn field(&mut self, name: &str, steps: Vec<Step>) -> Result<Attribute> {
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

    fn problem(&self, at: &IdedExpr, message: &str) -> Problem {
        self.parsed.problem(at, message)
    }
}

fn value_of(literal: &LiteralValue) -> Value<'static> {
    match literal {
        LiteralValue::Boolean(value) => Value::Bool(*value.inner()),
        LiteralValue::Int(value) => Value::Int(*value.inner()),
        LiteralValue::UInt(value) => number::from_u64(*value.inner()),
        LiteralValue::Double(value) => Value::Float(*value.inner()),
        LiteralValue::Null => Value::Null,
        LiteralValue::String(text) => Value::Str(text.inner().as_bytes().to_vec().into()),
        // As keys and headers are: equal to text of the same bytes.
        LiteralValue::Bytes(bytes) => Value::Str(bytes.inner().to_vec().into()),
    }
}

fn is_name(expr: &IdedExpr) -> bool {
    match &expr.expr {
        Expr::Ident(name) => name == "event_time",
        Expr::Select(_) => true,
        Expr::Call(call) => call.func_name == operators::INDEX,
        _ => false,
    }
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn relation(name: &str) -> Option<Relation> {
    Some(match name {
        operators::EQUALS => Relation::Equal,
        operators::NOT_EQUALS => Relation::NotEqual,
        operators::LESS => Relation::Less,
        operators::LESS_EQUALS => Relation::LessOrEqual,
        operators::GREATER => Relation::Greater,
        operators::GREATER_EQUALS => Relation::GreaterOrEqual,
        _ => return None,
    })
}

fn arithmetic(name: &str) -> Option<Operator> {
    Some(match name {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Remainder,
        _ => return None,
    })
}

/// An operator as users write it: `_&&_` is `&&`.
fn shown(name: &str) -> String {
    format!("`{}`", name.trim_matches('_'))
}
