//! Facts: relations kept from events, and facts computed from others.
use std::time::Duration;

use engine::{
    Fact, Keep, KeyPart, Role, Type,
    expr::{Expr, Function},
};
use event::{Int, Value};

use crate::{
    choice::choice,
    diagnostic::Code,
    fields::{Fields, Report},
    names::{self, Names, Problem, Variable},
    pattern::{self, Context, Layout, Parsed, WrittenRole},
    rule, suggest,
    yaml::{Node, Yaml},
};

/// How deep computed facts may rest on one another; each level may ask the one below several times.
const DEPTH_MAX: usize = 4;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A fact as expressions may ask it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) name: String,
    /// Its key's parts, then a relation's further columns.
    pub(crate) columns: Vec<String>,
    pub(crate) relation: bool,
    pub(crate) computed: bool,
    /// How deep it rests on other computed facts.
    depth: usize,
    /// Of its value.
    pub(crate) kind: Type,
}

/// The fact of that name, with its number.
pub(crate) fn find(name: &str, known: &[Known]) -> Result<(u16, Known), Problem> {
    match known.iter().position(|known| known.name == name) {
        Some(place) => Ok((place as u16, known[place].clone())),
        None => {
            let problem = Problem::new(Code::Name, format!("there is no fact `{name}`"));
            Err(match suggest::closest(name, known.iter().map(|known| known.name.as_str())) {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None => problem.help("declare it under `facts:`; a computed fact may ask those above it"),
            })
        }
    }
}

/// Compiles a fact.
pub(crate) fn compile(name: &str, node: &Node, cx: &Context<'_>, report: &mut Report<'_>) -> Option<(Fact, Known)> {
    let mut fields = Fields::of(node, "fact", report)?;
    let key = columns(fields.take("key"), report);
    let row_node = fields.take("row");
    let row = columns(row_node, report);
    let mut all: Vec<String> = Vec::new();
    for (column, node) in key.iter().map(|name| (name, node)).chain(row.iter().map(|name| (name, node))) {
        if all.contains(column) {
            report.error(Code::Duplicate, &node.span, format!("`{column}` is a column of this fact already"));
        }
        all.push(column.clone());
    }
    let is = fields.take("is");
    let set_by = fields.take("set_by");
    let unset_by = fields.take("unset_by");
    let value = fields.take("value");
    let keep_node = fields.take("keep");
    let keep = keep_node.map_or(Keep::Last, |node| keep(node, report));
    let expires = fields.take("expires");
    let default = fields.take("default").and_then(|node| default(node, report));
    let forget_after = fields.take("forget_after").and_then(|node| cx.params.duration(node, report)).unwrap_or(DAY);
    let max_keys = fields.take("max_keys").and_then(|node| cx.params.number(node, report)).unwrap_or(1_000_000);
    let start = fields.span().start..fields.span().start + 1;
    fields.finish(report);

    let mut fact = Fact {
        name: name.to_owned(),
        key,
        row,
        set_by: Role { name: "set_by".into(), alternatives: Vec::new(), kept: 0, label: "".into() },
        value: Expr::Const(Value::Bool(true)),
        unset_by: None,
        keep,
        expires: None,
        is: None,
        default,
        forget_after,
        max_keys,
    };
    if let Some(node) = is {
        for other in [set_by, unset_by, value, keep_node, expires, row_node].into_iter().flatten() {
            report.error_help(
                Code::Shape,
                &other.span,
                "a computed fact is not kept from events",
                "beside `is` it has only `key` and `default`",
            );
        }
        return computed(fact, node, cx, report);
    }
    let Some(set_by) = set_by else {
        report.error_help(
            Code::MissingField,
            &start,
            "this fact has no `set_by`",
            "name the event that sets it, or give `is:` with an expression over other facts",
        );
        return None;
    };
    let value = match (row_node, keep, value) {
        (Some(_), _, Some(value)) => {
            report.error_help(
                Code::Shape,
                &value.span,
                "a relation has no `value`: its rows are all it says",
                "leave `row` out for one value per key, or make the value a column of it",
            );
            None
        }
        (None, Keep::Count, Some(value)) => {
            report.error(Code::Shape, &value.span, "`keep: count` counts the events that set it, it has no `value`");
            None
        }
        (None, Keep::Last | Keep::Max | Keep::Min, None) => {
            report.error_help(
                Code::MissingField,
                &start,
                "this fact has neither `value` nor `row`",
                "give `value: attribute` for one value per key, or `row: [column]` where many may hold",
            );
            return None;
        }
        (_, _, value) => value,
    };
    if let (Some(_), Some(keep)) = (row_node, keep_node) {
        report.error(Code::Shape, &keep.span, "a relation keeps every row: `keep` is for one value per key");
    }
    if let (Some(node), Some(_)) = (row_node, &fact.default) {
        report.error(Code::Shape, &node.span, "a relation has no `default`: a row holds or it does not");
    }
    let set_by = pattern::read(set_by, "set_by", cx, report);
    let unset_by = unset_by.map(|node| pattern::read(node, "unset_by", cx, report));
    let value = value.and_then(|node| Parsed::of(node, 0, report));
    let expires = expires.and_then(|node| Parsed::of(node, 0, report));
    let kind = roles(&mut fact, set_by, unset_by, value, expires, cx, report);
    let known = Known {
        name: name.to_owned(),
        columns: all,
        relation: row_node.is_some(),
        computed: false,
        depth: 0,
        kind: if keep == Keep::Count { Type::Int } else { kind },
    };
    Some((fact, known))
}

fn columns(node: Option<&Node>, report: &mut Report<'_>) -> Vec<String> {
    let parts = node.map(|node| rule::key_parts(node, report)).unwrap_or_default();
    if let (Some(node), Some(optional)) = (node, parts.iter().find(|part| part.optional)) {
        report.error(Code::Shape, &node.span, format!("a fact's column cannot be absent: write `{}`", optional.name));
    }
    parts.into_iter().map(|part| part.name).collect()
}

fn keep(node: &Node, report: &mut Report<'_>) -> Keep {
    let words = [("last", Keep::Last), ("max", Keep::Max), ("min", Keep::Min), ("count", Keep::Count)];
    choice(node, "keep", &words, report).unwrap_or(Keep::Last)
}

fn default(node: &Node, report: &mut Report<'_>) -> Option<Value> {
    match &node.value {
        Yaml::Bool(value) => Some(Value::Bool(*value)),
        Yaml::Number(text) => match (Int::parse(text), text.parse()) {
            (Some(int), _) => Some(Value::Int(int)),
            (None, Ok(double)) => Some(Value::Double(double)),
            (None, Err(_)) => None,
        },
        Yaml::Text(text) => Some(Value::from(text.as_str())),
        Yaml::Null | Yaml::List(_) | Yaml::Map(_) => {
            report.error(Code::Shape, &node.span, "a default is a single value");
            None
        }
    }
}

/// Compiles the roles of a kept fact: value and expiry are the kept slots of `set_by`.
fn roles<'n>(
    fact: &mut Fact,
    mut set_by: WrittenRole<'n>,
    unset_by: Option<WrittenRole<'n>>,
    value: Option<Parsed<'n>>,
    expires: Option<Parsed<'n>>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Type {
    let parts: Vec<KeyPart> = fact.columns().map(|name| KeyPart { name: name.to_owned(), optional: false }).collect();
    let mut kept = Vec::new();
    for (name, parsed) in [("value of the fact", &value), ("expiry of the fact", &expires)] {
        if let Some(parsed) = parsed {
            set_by.bind(name, parsed);
            kept.push((Variable::Let(name.to_owned()), parsed));
        }
    }
    set_by.kept = kept.iter().map(|(variable, _)| variable.clone()).collect();
    let mut roles = vec![set_by];
    let layout = Layout { cx, roles: &mut roles };
    let mut kinds = Vec::new();
    for (variable, parsed) in &kept {
        kinds.push(layout.kept_type(0, variable).unwrap_or_else(|problem| {
            report.inside(parsed.node, parsed.offset, problem);
            Type::Any
        }));
    }
    fact.set_by = layout.role(0, &parts, report);
    let mut place = 0;
    let mut value_type = Type::Bool;
    if value.is_some() {
        value_type = kinds[0];
        fact.value = names::typed(Expr::Slot(0), value_type);
        place = 1;
    }
    if let Some(parsed) = &expires {
        let kind = kinds[place];
        if !matches!(kind, Type::Timestamp | Type::Duration | Type::Any) {
            let message = format!("`expires` needs an instant or a duration, this is {}", names::type_name(kind));
            let problem = Problem { span: parsed.tree.span.clone(), ..Problem::new(Code::Type, message) };
            let help = "write `duration(\"500ms\")`, or `timestamp(0) + expiry_usecs * duration(\"1us\")`";
            report.inside(parsed.node, parsed.offset, problem.help(help));
        }
        fact.expires = Some(Expr::Slot(place as u16));
    }
    fact.unset_by = unset_by.map(|unset_by| {
        let mut roles = vec![unset_by];
        Layout { cx, roles: &mut roles }.role(0, &parts, report)
    });
    value_type
}

/// Compiles `is`: over the key's parts and the facts above.
fn computed(mut fact: Fact, node: &Node, cx: &Context<'_>, report: &mut Report<'_>) -> Option<(Fact, Known)> {
    let parsed = Parsed::of(node, 0, report)?;
    let mut locals = fact.key.clone();
    locals.push("ts".to_owned());
    let mut names = KeyNames { cx, locals: &locals, depth: 0 };
    let (is, kind) = match names::resolve_with(&parsed.tree, &mut names, locals.clone()) {
        Ok(resolved) => resolved,
        Err(problem) => {
            report.inside(node, 0, problem);
            return None;
        }
    };
    let depth = names.depth + 1;
    if depth > DEPTH_MAX {
        let message = format!("computed facts rest on one another {depth} deep here, at most {DEPTH_MAX} are allowed");
        report.error(Code::ExpressionTooLarge, &node.span, message);
    }
    fact.is = Some(is);
    let known =
        Known { name: fact.name.clone(), columns: fact.key.clone(), relation: false, computed: true, depth, kind };
    Some((fact, known))
}

/// What a computed fact may speak of.
struct KeyNames<'k> {
    cx: &'k Context<'k>,
    locals: &'k [String],
    /// The deepest computed fact asked.
    depth: usize,
}

impl Names for KeyNames<'_> {
    fn variable(&mut self, variable: Variable) -> Result<(Expr, Type), Problem> {
        let (Variable::Attr(name) | Variable::Let(name) | Variable::Resource(name)) = variable else {
            return Err(Problem::new(Code::Name, "a computed fact has no event at hand"));
        };
        match self.locals.iter().position(|local| *local == name) {
            Some(place) if name == "ts" => Ok((Expr::Local(place as u16), Type::Timestamp)),
            Some(place) => Ok((Expr::Local(place as u16), Type::Any)),
            None => {
                Err(Problem::new(Code::Name, format!("a computed fact has no event at hand to read `{name}` from"))
                    .help(format!(
                        "it may use its key and the time ({}), facts and parameters",
                        self.locals.join(", ")
                    )))
            }
        }
    }

    fn longest(&mut self, segments: &[String]) -> Option<(usize, Variable)> {
        (1..=segments.len()).rev().find_map(|length| {
            let name = segments[..length].join(".");
            self.locals.contains(&name).then_some((length, Variable::Attr(name)))
        })
    }

    fn role(&mut self, _name: &str) -> Option<engine::RoleIdx> {
        None
    }

    fn role_variable(&mut self, _: engine::RoleIdx, _: &[String]) -> Result<(usize, Expr, Type), Problem> {
        Err(Problem::new(Code::Name, "a computed fact has no event at hand"))
    }

    fn param(&mut self, name: &str) -> Result<(Expr, Type), Problem> {
        self.cx.params.expression(name)
    }

    fn fact(&mut self, name: &str) -> Result<(u16, Known), Problem> {
        let (number, known) = find(name, self.cx.facts)?;
        self.depth = self.depth.max(known.depth);
        Ok((number, known))
    }

    fn live(&mut self, component: &str) -> Result<(), Problem> {
        self.cx.component(component)
    }

    fn clock(&mut self, name: &str) -> Result<(u16, Vec<String>), Problem> {
        crate::clock::find(name, self.cx.clocks)
    }
}

/// What a fact's answer is of, for the resolver: the asked columns fix the shape.
pub(crate) fn answer(known: &Known, given: usize, as_of: engine::expr::AsOf, ask: Expr) -> (Expr, Type) {
    use engine::expr::AsOf;
    if given < known.columns.len() {
        return (ask, Type::List);
    }
    match as_of {
        AsOf::Since => (ask, Type::Timestamp),
        _ if known.relation => (ask, Type::Bool),
        AsOf::During => (ask, Type::List),
        AsOf::At | AsOf::Before | AsOf::Throughout => match known.kind {
            // Kept as a plain value, and read back as what it was.
            Type::Timestamp => (Expr::Call(Function::Timestamp, vec![ask]), Type::Timestamp),
            Type::Duration => (Expr::Call(Function::Nanoseconds, vec![ask]), Type::Duration),
            kind => (ask, kind),
        },
    }
}
