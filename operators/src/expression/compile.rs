//! From the syntax tree to the compiled form; everything that is not supported or can never work is a
//! problem. Here are operators; `call.rs` has functions, `name.rs` has names.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use isobar_topology::Prepare;
use isobar_topology::spec::Problem;

use super::kind::Kind;
use super::node::{Node, Relation};
use super::number::{self, Number, Operator};
use super::parse::Parsed;
use super::value::Value;

pub(super) struct Compiler<'c, 'p> {
    pub(super) parsed: &'c Parsed<'c>,
    pub(super) prepare: &'c mut Prepare<'p>,
    /// What records can lack, by [`Attribute::name`].
    pub(super) names: Vec<String>,
}

pub(super) type Result<T> = std::result::Result<T, Problem>;

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

    pub(super) fn problem(&self, at: &IdedExpr, message: &str) -> Problem {
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
