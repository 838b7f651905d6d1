//! Resolution: names in an expression become slots, roles, parameters and facts, and each part gets its type.
use std::ops::Range;

use engine::{
    RoleIdx, Type,
    expr::{AsOf, Binary, Expr, Function, Macro, Unary},
};
use event::{Int, Value};

use crate::{
    diagnostic::Code,
    elsewhere,
    fact::Known,
    syntax::{Node, NodeKind},
};

/// What a name may stand for, where an expression stands. Implemented by whoever lays out slots.
pub(crate) trait Names {
    /// The slot of a variable of the event at hand, by its resolved name.
    fn variable(&mut self, variable: Variable) -> Result<(Expr, Type), Problem>;
    /// The longest prefix of these segments that names a variable: how many segments, and which.
    fn longest(&mut self, segments: &[String]) -> Option<(usize, Variable)>;
    /// The role of that name, if another event may be spoken of by it here.
    fn role(&mut self, name: &str) -> Option<RoleIdx>;
    /// The kept slot of another role's event.
    fn role_variable(&mut self, role: RoleIdx, segments: &[String]) -> Result<(usize, Expr, Type), Problem>;
    /// A parameter.
    fn param(&mut self, name: &str) -> Result<(Expr, Type), Problem>;
    /// A fact: its number, and what is known of it.
    fn fact(&mut self, name: &str) -> Result<(u16, Known), Problem>;
    /// A clock: its number and its key's parts.
    fn clock(&mut self, _name: &str) -> Result<(u16, Vec<String>), Problem> {
        only_in_rules("clocks can be read")
    }
    /// A breaker: its number and its scope's parts.
    fn breaker(&mut self, _name: &str) -> Result<(u16, Vec<String>), Problem> {
        only_in_rules("`breaker(…)` can be asked")
    }
    /// Whether one may ask here which nodes' components of that name are live.
    fn live(&mut self, _component: &str) -> Result<(), Problem> {
        only_in_rules("`live(…)` can be asked")
    }
}

/// What is said of something that stands outside of rules and cannot.
pub(crate) fn only_in_rules<T>(what: &str) -> Result<T, Problem> {
    Err(Problem::new(Code::Unsupported, format!("{what} in rules only: in `where`, `let`, `for_each` and `assert`")))
}

/// A variable of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    Builtin(&'static str),
    Attr(String),
    Resource(String),
    Let(String),
}

/// The built-in names, which win over attributes of the same name.
pub(crate) const BUILTINS: &[(&str, Type)] = &[
    ("node", Type::String),
    ("component", Type::String),
    ("network", Type::String),
    ("event", Type::String),
    ("ts", Type::Timestamp),
    ("severity", Type::Int),
    ("body", Type::Any),
    ("trace_id", Type::String),
];

/// Something wrong inside an expression.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) span: Range<usize>,
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Problem { code, message: message.into(), span: 0..0, help: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Problem { help: Some(help.into()), ..self }
    }

    fn at(self, span: &Range<usize>) -> Self {
        if self.span == (0..0) { Problem { span: span.clone(), ..self } } else { self }
    }
}

type Typed = (Expr, Type);

/// Resolves an expression.
pub(crate) fn resolve(node: &Node, names: &mut dyn Names) -> Result<Typed, Problem> {
    Resolver { names, locals: Vec::new() }.expr(node)
}

/// Resolves an expression in which some locals are bound already, by these names.
pub(crate) fn resolve_with(node: &Node, names: &mut dyn Names, locals: Vec<String>) -> Result<Typed, Problem> {
    Resolver { names, locals }.expr(node)
}

/// Resolves `a.b.c`, as a part of a key is written.
pub(crate) fn resolve_path(segments: &[String], names: &mut dyn Names) -> Result<Typed, Problem> {
    Resolver { names, locals: Vec::new() }.path(segments)
}

struct Resolver<'n> {
    names: &'n mut dyn Names,
    /// Variables of enclosing macros, outermost first.
    locals: Vec<String>,
}

/// `a.b.c` as its segments, when it is nothing but names.
pub(crate) fn path(node: &Node) -> Option<Vec<String>> {
    match &node.kind {
        NodeKind::Name(name) => Some(vec![name.clone()]),
        NodeKind::Field(of, name) => {
            let mut segments = path(of)?;
            segments.push(name.clone());
            Some(segments)
        }
        _ => None,
    }
}

impl Resolver<'_> {
    fn expr(&mut self, node: &Node) -> Result<Typed, Problem> {
        self.kind(node).map_err(|problem| problem.at(&node.span))
    }

    fn kind(&mut self, node: &Node) -> Result<Typed, Problem> {
        if let Some(segments) = path(node) {
            return self.path(&segments);
        }
        match &node.kind {
            NodeKind::Literal(value) => Ok((Expr::Const(value.clone()), type_of(value))),
            NodeKind::Name(name) => self.path(std::slice::from_ref(name)),
            NodeKind::Field(of, name) => {
                if let (Some((fact, args)), Some(as_of)) = (asked(of), as_of(name)) {
                    return self.fact(fact, args, &[], as_of);
                }
                let (of, kind) = self.expr(of)?;
                expect(kind, &[Type::Map, Type::Any], "`.` reads a field of a map")?;
                Ok((Expr::Field(Box::new(of), name.as_str().into()), Type::Any))
            }
            NodeKind::Index(of, at) => self.index(of, at),
            NodeKind::Call { receiver, name, args, .. } => self.call(receiver.as_deref(), name, args),
            NodeKind::Unary(unary, operand) => {
                let (operand, kind) = self.expr(operand)?;
                let kind = match unary {
                    Unary::Not => {
                        expect(kind, &[Type::Bool, Type::Any], "`!` needs a boolean")?;
                        Type::Bool
                    }
                    Unary::Negate => {
                        expect(kind, &[Type::Int, Type::Double, Type::Duration, Type::Any], "`-` needs a number")?;
                        kind
                    }
                };
                Ok((Expr::Unary(*unary, Box::new(operand)), kind))
            }
            NodeKind::Binary(binary, a, b) => self.binary(*binary, a, b),
            NodeKind::Conditional(condition, yes, no) => {
                let (condition, kind) = self.expr(condition)?;
                expect(kind, &[Type::Bool, Type::Any], "the condition of `? :` is a boolean")?;
                let ((yes, a), (no, b)) = (self.expr(yes)?, self.expr(no)?);
                let kind = if a == b { a } else { Type::Any };
                Ok((Expr::Conditional(Box::new(condition), Box::new(yes), Box::new(no)), kind))
            }
            NodeKind::List(items) => {
                let items = items.iter().map(|item| Ok(self.expr(item)?.0)).collect::<Result<_, _>>()?;
                Ok((Expr::List(items), Type::List))
            }
            NodeKind::Map(entries) => {
                let mut map = Vec::new();
                for (name, value) in entries {
                    map.push((self.expr(name)?.0, self.expr(value)?.0));
                }
                Ok((Expr::Map(map), Type::Map))
            }
        }
    }

    fn path(&mut self, segments: &[String]) -> Result<Typed, Problem> {
        let first = segments[0].as_str();
        let fields = |(expr, kind): Typed, rest: &[String]| {
            if let Some(name) = rest.first().filter(|_| !matches!(kind, Type::Map | Type::Any)) {
                let of = segments[..segments.len() - rest.len()].join(".");
                let message = format!("`{of}` is {}, it has no `{name}`", type_name(kind));
                return Err(Problem::new(Code::Type, message));
            }
            Ok(rest
                .iter()
                .fold((expr, kind), |(of, _), name| (Expr::Field(Box::new(of), name.as_str().into()), Type::Any)))
        };
        if let Some(place) = self.locals.iter().rposition(|local| local == first) {
            return fields((Expr::Local(place as u16), Type::Any), &segments[1..]);
        }
        match (first, segments.get(1)) {
            ("param", Some(name)) => return fields(self.names.param(name)?, &segments[2..]),
            ("clock", Some(name)) => {
                let (clock, parts) = self.names.clock(name)?;
                let mut key = Vec::new();
                for part in parts {
                    let segments: Vec<String> = part.split('.').map(str::to_owned).collect();
                    key.push(self.path(&segments)?.0);
                }
                return fields((Expr::Clock { clock, key }, Type::Int), &segments[2..]);
            }
            ("fact", Some(_)) => {
                return Err(Problem::new(Code::Name, "a fact is asked with its key")
                    .help(format!("write `fact.{}(…)`", segments[1])));
            }
            _ => {}
        }
        if segments.len() > 1
            && let Some(role) = self.names.role(first)
        {
            let (used, expr, kind) = self.names.role_variable(role, &segments[1..])?;
            return fields((typed(expr, kind), kind), &segments[1 + used..]);
        }
        let (used, variable) = match self.names.longest(segments) {
            Some(found) => found,
            None => (segments.len(), Variable::Attr(segments.join("."))),
        };
        let (expr, kind) = self.names.variable(variable)?;
        fields((expr, kind), &segments[used..])
    }

    fn index(&mut self, of: &Node, at: &Node) -> Result<Typed, Problem> {
        if let (NodeKind::Name(name), NodeKind::Literal(Value::String(key))) = (&of.kind, &at.kind) {
            match name.as_str() {
                "attr" => return self.names.variable(Variable::Attr(key.to_string())),
                "resource" => return self.names.variable(Variable::Resource(key.to_string())),
                _ => {}
            }
        }
        let ((of, kind), (at, _)) = (self.expr(of)?, self.expr(at)?);
        expect(kind, &[Type::List, Type::Map, Type::Any], "`[ ]` reads from a list or a map")?;
        Ok((Expr::Index(Box::new(of), Box::new(at)), Type::Any))
    }

    fn call(&mut self, receiver: Option<&Node>, name: &str, args: &[Node]) -> Result<Typed, Problem> {
        if let Some(receiver) = receiver {
            // `fact.x(k)`, `fact.x(k).during(from, to)` and `fact.x.before(k)`.
            if let (Some((fact, key)), Some(as_of)) = (asked(receiver), as_of(name)) {
                return self.fact(fact, key, args, as_of);
            }
            if let Some(segments) = path(receiver).filter(|segments| segments[0] == "fact") {
                return match (segments.len(), as_of(name)) {
                    (1, _) => self.fact(name, args, &[], AsOf::At),
                    (2, Some(as_of @ (AsOf::During | AsOf::Throughout))) if args.len() >= 2 => {
                        let (key, ends) = args.split_at(args.len() - 2);
                        self.fact(&segments[1], key, ends, as_of)
                    }
                    (2, Some(as_of)) => self.fact(&segments[1], args, &[], as_of),
                    (2, None) => Err(Problem::new(Code::Name, format!("a fact cannot be asked `.{name}`")).help(
                        "there are `.before`, `.since`, `.during(from, to)` and `.throughout(from, to)`, after the key",
                    )),
                    _ => Err(Problem::new(Code::Name, "a fact is asked as `fact.name(key)`")),
                };
            }
            if let Some(kind) = macro_of(name)
                && let [variable, body] = args
            {
                return self.run_macro(kind, receiver, variable, body);
            }
        }
        if receiver.is_none() && name == "has" {
            let [arg] = args else { return Err(Problem::new(Code::Name, "`has(x)` takes one name")) };
            let (expr, _) = self.expr(arg)?;
            return Ok((Expr::Has(Box::new(expr)), Type::Bool));
        }
        if receiver.is_none() && name == "live" {
            let [arg] = args else {
                return Err(Problem::new(Code::Name, "`live(\"component\")` takes the name of a component")
                    .help("it is the list of the nodes whose component was heard lately"));
            };
            let (expr, kind) = self.expr(arg)?;
            expect(kind, &[Type::String, Type::Any], "`live(…)` takes the name of a component")
                .map_err(|problem| problem.at(&arg.span))?;
            let literal = match &expr {
                Expr::Const(Value::String(text)) => text.to_string(),
                _ => String::new(),
            };
            self.names.live(&literal).map_err(|problem| problem.at(&arg.span))?;
            return Ok((Expr::Live(Box::new(expr)), Type::List));
        }
        if receiver.is_none() && name == "breaker" {
            return self.breaker(args);
        }
        let Some((function, method)) = Function::named(name) else {
            let known = crate::suggest::closest(name, Function::NAMES.iter().copied());
            let problem = Problem::new(Code::Name, format!("there is no function `{name}`"));
            return Err(match (elsewhere::function(name), known) {
                (Some(help), _) => problem.help(help),
                (None, Some(known)) => problem.help(format!("did you mean `{known}`?")),
                (None, None) if elsewhere::is_over_time(name) => {
                    problem.help("what is counted, summed or compared over time is a term of an `aggregate`")
                }
                (None, None) => problem.help(format!("there are: {}", Function::NAMES.join(", "))),
            });
        };
        if method != receiver.is_some() && !(function == Function::Size) {
            let help = if method { format!("write `x.{name}(…)`") } else { format!("write `{name}(x)`") };
            return Err(Problem::new(Code::Name, format!("`{name}` is not called like that")).help(help));
        }
        let mut compiled = Vec::new();
        let mut kinds = Vec::new();
        for arg in receiver.into_iter().chain(args) {
            let (expr, kind) = self.expr(arg)?;
            compiled.push(expr);
            kinds.push(kind);
        }
        let kind = match function {
            Function::Size | Function::Int | Function::GetSeconds | Function::GetMilliseconds => Type::Int,
            Function::StartsWith | Function::EndsWith | Function::Contains => Type::Bool,
            Function::Double => Type::Double,
            Function::String => Type::String,
            Function::Duration | Function::Nanoseconds => Type::Duration,
            Function::Timestamp => Type::Timestamp,
            Function::Abs | Function::Min | Function::Max => kinds.first().copied().unwrap_or(Type::Any),
            Function::Json => Type::Any,
        };
        let kind = if kind == Type::List { Type::Any } else { kind };
        // Literal lengths of time are worked out once.
        if let (Function::Duration, [Expr::Const(Value::String(text))]) = (function, compiled.as_slice()) {
            return match engine::expr::parse_duration(text) {
                Some(nanos) => Ok((Expr::Duration(nanos), Type::Duration)),
                None => {
                    Err(Problem::new(Code::Duration, format!("`{text}` is not a duration"))
                        .help("write `5s` or `1m30s`"))
                }
            };
        }
        Ok((Expr::Call(function, compiled), kind))
    }

    /// `breaker("id", part…)`: what state it is in.
    fn breaker(&mut self, args: &[Node]) -> Result<Typed, Problem> {
        let called = || {
            Problem::new(
                Code::Name,
                "`breaker(\"id\", part…)` takes the breaker's id as text, and the parts of its scope",
            )
            .help("it is `closed`, `open` or `half_open`")
        };
        let Some((id, parts)) = args.split_first() else { return Err(called()) };
        let (Expr::Const(Value::String(name)), _) = self.expr(id)? else { return Err(called().at(&id.span)) };
        let (breaker, per) = self.names.breaker(&name).map_err(|problem| problem.at(&id.span))?;
        if parts.len() != per.len() {
            let message = format!(
                "`{name}` has {} ({}), {} are given",
                count(per.len(), "part of its scope"),
                per.join(", "),
                parts.len()
            );
            return Err(Problem::new(Code::Name, message));
        }
        let scope = parts.iter().map(|part| Ok(self.expr(part)?.0)).collect::<Result<Vec<_>, Problem>>()?;
        Ok((Expr::Breaker { breaker, scope }, Type::String))
    }

    /// A question to a fact; `ends` are those of the span it is about.
    fn fact(&mut self, name: &str, key: &[Node], ends: &[Node], as_of: AsOf) -> Result<Typed, Problem> {
        let (fact, known) = self.names.fact(name)?;
        let columns = &known.columns;
        let shape = |of: usize| format!("`fact.{name}` has {} ({})", count(of, "key part"), columns.join(", "));
        if key.len() > columns.len() {
            return Err(Problem::new(Code::Name, format!("{}, {} are given", shape(columns.len()), key.len())));
        }
        let partial = key.len() < columns.len();
        let span = matches!(as_of, AsOf::During | AsOf::Throughout);
        if known.computed && (partial || span || as_of == AsOf::Since) {
            return Err(Problem::new(Code::Name, format!("`fact.{name}` is computed: it has no rows of its own"))
                .help("ask it with its whole key, and at one time"));
        }
        if partial && as_of == AsOf::Since {
            return Err(Problem::new(Code::Name, format!("{}, `.since` needs them all", shape(columns.len()))));
        }
        if ends.len() != if span { 2 } else { 0 } {
            let problem = Problem::new(Code::Name, "a span of time has two ends, and an instant none");
            return Err(problem.help("write `.during(from, to)`, `.throughout(from, to)`, `.before` or `.since`"));
        }
        let mut args = Vec::new();
        for part in key {
            args.push(self.expr(part)?.0);
        }
        for end in ends {
            let (expr, kind) = self.expr(end)?;
            expect(kind, &[Type::Timestamp, Type::Any], "a span of time begins and ends with an instant")
                .map_err(|problem| problem.at(&end.span))?;
            args.push(expr);
        }
        Ok(crate::fact::answer(&known, key.len(), as_of, Expr::Fact { fact, args, as_of }))
    }

    fn run_macro(&mut self, kind: Macro, over: &Node, variable: &Node, body: &Node) -> Result<Typed, Problem> {
        let (over, over_kind) = self.expr(over)?;
        expect(over_kind, &[Type::List, Type::Map, Type::Any], "macros run over a list or a map")?;
        let NodeKind::Name(name) = &variable.kind else {
            return Err(Problem::new(Code::Name, "the first argument of a macro is a new name").at(&variable.span));
        };
        self.locals.push(name.clone());
        let body = self.expr(body);
        self.locals.pop();
        let (body, body_kind) = body?;
        if kind != Macro::Map {
            expect(body_kind, &[Type::Bool, Type::Any], "the body of this macro is a condition")?;
        }
        let result = if matches!(kind, Macro::Filter | Macro::Map) { Type::List } else { Type::Bool };
        Ok((Expr::Macro(kind, Box::new(over), Box::new(body)), result))
    }

    fn binary(&mut self, binary: Binary, left: &Node, right: &Node) -> Result<Typed, Problem> {
        let ((a, a_kind), (b, b_kind)) = (self.expr(left)?, self.expr(right)?);
        let number = |kind| matches!(kind, Type::Int | Type::Double);
        let clash = |what: &str| {
            Err(Problem::new(Code::Type, format!("{what}: {} and {}", type_name(a_kind), type_name(b_kind))))
        };
        let any = a_kind == Type::Any || b_kind == Type::Any;
        let result = match binary {
            Binary::And | Binary::Or => {
                for (kind, node) in [(a_kind, left), (b_kind, right)] {
                    expect(kind, &[Type::Bool, Type::Any], "`&&` and `||` join conditions")
                        .map_err(|problem| problem.at(&node.span))?;
                }
                Type::Bool
            }
            Binary::Equal | Binary::NotEqual => {
                let alike = a_kind == b_kind
                    || (number(a_kind) && number(b_kind))
                    || matches!((a_kind, b_kind), (Type::Bytes, Type::String) | (Type::String, Type::Bytes))
                    || a_kind == Type::Null
                    || b_kind == Type::Null;
                if !any && !alike {
                    return clash("these are never equal")
                        .map_err(|problem: Problem| problem.help(literal_help(a_kind, b_kind)));
                }
                fraction(&a, &b)?;
                Type::Bool
            }
            Binary::Less | Binary::LessEqual | Binary::Greater | Binary::GreaterEqual => {
                if !any && a_kind != b_kind && !(number(a_kind) && number(b_kind)) {
                    return clash("these have no order")
                        .map_err(|problem: Problem| problem.help(literal_help(a_kind, b_kind)));
                }
                fraction(&a, &b)?;
                Type::Bool
            }
            Binary::In => {
                expect(b_kind, &[Type::List, Type::Map, Type::Any], "`in` looks into a list or a map")?;
                Type::Bool
            }
            Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Remainder => {
                match (a_kind, b_kind) {
                    _ if any => Type::Any,
                    (Type::Int, Type::Int) => Type::Int,
                    (a, b) if number(a) && number(b) => Type::Double,
                    (Type::String, Type::String) if binary == Binary::Add => Type::String,
                    (Type::List, Type::List) if binary == Binary::Add => Type::List,
                    (Type::Timestamp, Type::Timestamp) if binary == Binary::Subtract => Type::Duration,
                    (Type::Timestamp, Type::Duration) | (Type::Duration, Type::Timestamp) => Type::Timestamp,
                    (Type::Duration, Type::Duration) => Type::Duration,
                    (Type::Duration, n) | (n, Type::Duration) if number(n) => Type::Duration,
                    _ => return clash("this arithmetic is not possible"),
                }
            }
        };
        Ok((Expr::Binary(binary, Box::new(a), Box::new(b)), result))
    }
}

/// A kept value that was a time is plain again: it is read back as what it was.
pub(crate) fn typed(expr: Expr, kind: Type) -> Expr {
    match kind {
        Type::Timestamp => Expr::Call(Function::Timestamp, vec![expr]),
        Type::Duration => Expr::Call(Function::Nanoseconds, vec![expr]),
        _ => expr,
    }
}

/// Dividing two integers and comparing with a fraction is hardly meant.
fn fraction(a: &Expr, b: &Expr) -> Result<(), Problem> {
    let whole_division =
        |expr: &Expr| matches!(expr, Expr::Binary(Binary::Divide, x, y) if !is_double(x) && !is_double(y));
    let fractional = |expr: &Expr| matches!(expr, Expr::Const(Value::Double(value)) if value.fract() != 0.0);
    if (whole_division(a) && fractional(b)) || (whole_division(b) && fractional(a)) {
        return Err(Problem::new(Code::Type, "dividing two integers drops the fraction that is compared here")
            .help("write `double(a) / b`"));
    }
    Ok(())
}

fn is_double(expr: &Expr) -> bool {
    matches!(expr, Expr::Const(Value::Double(_)) | Expr::Call(Function::Double, _))
}

fn literal_help(a: Type, b: Type) -> String {
    match (a, b) {
        (Type::Int, Type::String) | (Type::String, Type::Int) => {
            "a number is written without quotes, text with them; the vocabulary says which it is".to_owned()
        }
        _ => "compare values of one type, or convert with int(), double() or string()".to_owned(),
    }
}

/// `fact.name(key…)`, when it is that.
fn asked(node: &Node) -> Option<(&str, &[Node])> {
    match &node.kind {
        NodeKind::Call { receiver: Some(receiver), name, args, .. } => {
            matches!(&receiver.kind, NodeKind::Name(fact) if fact == "fact").then_some((name.as_str(), args.as_slice()))
        }
        _ => None,
    }
}

fn as_of(name: &str) -> Option<AsOf> {
    Some(match name {
        "before" => AsOf::Before,
        "since" => AsOf::Since,
        "during" => AsOf::During,
        "throughout" => AsOf::Throughout,
        _ => return None,
    })
}

fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        more => format!("{more} {what}s"),
    }
}

/// Whether it is the name of a macro.
pub(crate) fn is_macro(name: &str) -> bool {
    macro_of(name).is_some()
}

fn macro_of(name: &str) -> Option<Macro> {
    Some(match name {
        "all" => Macro::All,
        "exists" => Macro::Exists,
        "exists_one" => Macro::ExistsOne,
        "filter" => Macro::Filter,
        "map" => Macro::Map,
        _ => return None,
    })
}

fn expect(kind: Type, wanted: &[Type], what: &str) -> Result<(), Problem> {
    if wanted.contains(&kind) {
        Ok(())
    } else {
        Err(Problem::new(Code::Type, format!("{what}, this is {}", type_name(kind))))
    }
}

/// The type of a literal.
pub(crate) fn type_of(value: &Value) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Double(_) => Type::Double,
        Value::String(_) => Type::String,
        Value::Bytes(_) => Type::Bytes,
        Value::List(_) => Type::List,
        Value::Map(_) => Type::Map,
    }
}

/// What a type is called, for people.
pub(crate) fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Any => "a value of unknown type",
        Type::Bool => "a boolean",
        Type::Int => "an integer",
        Type::Double => "a double",
        Type::String => "text",
        Type::Bytes => "bytes",
        Type::List => "a list",
        Type::Map => "a map",
        Type::Timestamp => "an instant",
        Type::Duration => "a duration",
        Type::Null => "null",
    }
}

/// A scalar as a literal of an expression: a duration where it reads as one.
pub(crate) fn literal(text: &str, quoted_text: bool) -> Typed {
    if let Some(nanos) = engine::expr::parse_duration(text).filter(|_| quoted_text) {
        return (Expr::Duration(nanos), Type::Duration);
    }
    match (quoted_text, Int::parse(text), text.parse::<f64>()) {
        (false, Some(int), _) => (Expr::Const(Value::Int(int)), Type::Int),
        (false, None, Ok(double)) => (Expr::Const(Value::Double(double)), Type::Double),
        _ => (Expr::Const(Value::from(text)), Type::String),
    }
}
