//! Compiles calls of functions.

use cel::common::ast::{CallExpr, Expr, IdedExpr, operators};
use isobar_topology::spec::Problem;

use super::compile::{Compiler, Result};
use super::function::{FUNCTIONS, Function, Signature, Style};
use super::kind::Kind;
use super::node::Node;
use super::time::TimeFormat;
use super::value::Value;
use crate::event_time::joda::{as_strftime, mixed};
use crate::event_time::rfc3339;
use crate::pattern::{Pattern, Search};

/// Functions that are more than a function of their arguments.
const SPECIAL: [(&str, &str); 4] = [
    ("has", "has(doc.NAME)"),
    ("default", "default(doc.NAME, VALUE)"),
    ("format", "TIME.format('%Y.%m.%d')"),
    ("matches", "TEXT.matches('PATTERN')"),
];

impl Compiler<'_, '_> {
    pub(super) fn function(&mut self, expr: &IdedExpr, call: &CallExpr) -> Result<Node> {
        let name = call.func_name.as_str();
        let is_method = call.target.is_some();
        match (name, is_method) {
            ("has", false) => return self.has(expr, &call.args),
            ("default", false) => return self.default(expr, &call.args),
            ("format", true) => return self.format(expr, call),
            ("matches", _) => return self.matches(expr, call),
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
        let text = String::from_utf8_lossy(&text);
        // It would write the same text for all times, or all of a year, and put all days into one index.
        let instead = as_strftime(&text);
        let has_conversion = text.replace("%%", "").contains('%');
        if instead.is_some() || !has_conversion {
            let message = match has_conversion {
                true => mixed(&text),
                false => format!("`{text}` has no conversion such as %Y"),
            };
            let instead = instead.unwrap_or_else(|| "%Y.%m.%d".to_owned());
            return Err(self
                .problem(pattern, &message)
                .expected(format!("for example {instead}")));
        }
        let format = TimeFormat::new(&text).map_err(|error| {
            self.problem(pattern, &error.to_string())
                .expected("strftime's letters, such as %Y, %m, %d, %H, %G and %V")
        })?;
        Ok(Node::Format(Box::new(time), format))
    }

    fn matches(&mut self, expr: &IdedExpr, call: &CallExpr) -> Result<Node> {
        let arguments: Vec<&IdedExpr> = call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect();
        let [text, pattern] = arguments.as_slice() else {
            return Err(self
                .problem(
                    expr,
                    "`matches` asks of one text whether one pattern is found in it",
                )
                .expected(SPECIAL[3].1));
        };
        let text = self.node_of(text, Kind::Text, "an argument of `matches`")?;
        let Node::Literal(Value::Str(written)) = self.node(pattern)? else {
            return Err(self
                .problem(pattern, "the pattern is no literal")
                .expected("text such as r'^/api/v\\d+/'"));
        };
        let written = String::from_utf8_lossy(&written);
        let search = Search::compile(&written).map_err(|fault| {
            let message = fault.text(&written, "the pattern");
            self.problem(pattern, &message).expected(fault.expected)
        })?;
        self.prepare
            .has_memory(Pattern::MATCHER_SIZE, search.size());
        Ok(Node::Matches(Box::new(text), search))
    }

    fn unknown_function(&self, expr: &IdedExpr, name: &str) -> Problem {
        let usages = SPECIAL.iter().map(|(_, usage)| *usage);
        let usages = usages.chain(FUNCTIONS.iter().map(|known| known.usage));
        let names = SPECIAL.iter().map(|(name, _)| *name);
        let names = names.chain(FUNCTIONS.iter().map(|known| known.name));
        match name {
            "not" => self
                .problem(expr, "`not` is not expected here")
                .expected("`!`"),
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
}

fn is_name(expr: &IdedExpr) -> bool {
    match &expr.expr {
        Expr::Ident(name) => name == "event_time",
        Expr::Select(_) => true,
        Expr::Call(call) => call.func_name == operators::INDEX,
        _ => false,
    }
}
