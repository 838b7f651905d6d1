//! `clocks`, and deadlines in their ticks.
use std::time::Duration;

use engine::{Clock, KeyPart, RoleIdx, Ticks, Type};
use event::Int;

use crate::{
    diagnostic::Code,
    duration,
    fields::{Fields, Report},
    names::{self, Problem, Variable},
    pattern::{self, Context, Layout, Parsed},
    rule, suggest, syntax,
    yaml::{Node, Yaml},
};

/// A clock as expressions and deadlines may ask it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) key: Vec<String>,
}

/// The clock of that name: its number, and its key's parts.
pub(crate) fn find(name: &str, known: &[Known]) -> Result<(u16, Vec<String>), Problem> {
    match known.iter().position(|known| known.name == name) {
        Some(place) => Ok((place as u16, known[place].key.clone())),
        None => {
            let problem = Problem::new(Code::Name, format!("there is no clock `{name}`"));
            Err(match suggest::closest(name, known.iter().map(|known| known.name.as_str())) {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None => problem.help("declare it under `clocks:`"),
            })
        }
    }
}

/// Compiles a clock.
pub(crate) fn compile(name: &str, node: &Node, cx: &Context<'_>, report: &mut Report<'_>) -> Option<Clock> {
    let mut fields = Fields::of(node, "clock", report)?;
    let of = fields.need("event", report);
    let value = fields.need("value", report).and_then(|node| Parsed::of(node, 0, report));
    let key = fields.take("key").map(|node| rule::key_parts(node, report)).unwrap_or_default();
    let quorum = fields.take("quorum").and_then(|node| cx.params.number(node, report)).unwrap_or(1);
    let max_step = fields.take("max_step").and_then(|node| cx.params.number(node, report));
    fields.finish(report);
    let (value, mut role) = (value?, pattern::read(of?, "event", cx, report));
    let variable = Variable::Let("value of the clock".to_owned());
    role.bind("value of the clock", &value);
    role.kept = vec![variable.clone()];
    let mut roles = vec![role];
    let layout = Layout { cx, roles: &mut roles };
    match layout.kept_type(0, &variable) {
        Ok(Type::Int | Type::Any) => {}
        Ok(kind) => {
            let message = format!("a clock counts in whole numbers, this is {}", names::type_name(kind));
            let problem = Problem { span: value.tree.span.clone(), ..Problem::new(Code::Type, message) };
            report.inside(
                value.node,
                value.offset,
                problem.help("declare the attribute `int`, or convert it with int()"),
            );
        }
        Err(problem) => report.inside(value.node, value.offset, problem),
    }
    Some(Clock {
        name: name.to_owned(),
        of: layout.role(0, &key, report),
        key: key.into_iter().map(|part: KeyPart| part.name).collect(),
        value: engine::expr::Expr::Slot(0),
        quorum,
        max_step: max_step.map(|step| Int::Small(i128::from(step))),
    })
}

/// A deadline in ticks as written.
pub(crate) struct Written {
    clock: u16,
    key: Vec<String>,
    count: u64,
    and: Option<Duration>,
    or: Option<Duration>,
}

/// Reads `4 height`, `{4 height, or: 10m}` or a list of ends; none of them when it is a plain length of time.
pub(crate) fn ticks(node: &Node, cx: &Context<'_>, report: &mut Report<'_>) -> Option<Result<Written, ()>> {
    match &node.value {
        Yaml::Text(text) => one(text, node, cx, report),
        Yaml::Map(entries) => {
            let mut found = None;
            let mut or = None;
            for (key, value) in entries {
                match (key.name.as_str(), &value.value) {
                    ("or", _) => or = cx.params.duration(value, report),
                    (ticks, Yaml::Null) => found = one(ticks, node, cx, report),
                    (clock, _) => {
                        let text = format!("{} {clock}", value.scalar().unwrap_or_default());
                        found = one(&text, node, cx, report);
                    }
                }
            }
            let Some(found) = found else {
                report.error_help(
                    Code::Shape,
                    &node.span,
                    "this is no deadline",
                    "write `5s`, `4 height`, or `{4 height, or: 10m}`",
                );
                return Some(Err(()));
            };
            Some(found.map(|ticks| Written { or, ..ticks }))
        }
        Yaml::List(items) => {
            let mut longest: Option<Duration> = None;
            let mut found: Option<Written> = None;
            for item in items {
                match ticks(item, cx, report) {
                    Some(Ok(_)) if found.is_some() => {
                        let message = "only one of several ends can be in ticks";
                        report.error(Code::Shape, &item.span, message);
                        return Some(Err(()));
                    }
                    Some(Ok(ticks)) => found = Some(ticks),
                    Some(Err(())) => return Some(Err(())),
                    None => longest = longest.max(cx.params.duration(item, report)),
                }
            }
            Some(match (found, longest) {
                (Some(ticks), and) => Ok(Written { and, ..ticks }),
                (None, Some(_)) => {
                    report.error_help(
                        Code::Shape,
                        &node.span,
                        "of several lengths of time the longest is the later end",
                        "write it alone, or give one end in ticks of a clock",
                    );
                    Err(())
                }
                (None, None) => Err(()),
            })
        }
        _ => None,
    }
}

fn one(text: &str, node: &Node, cx: &Context<'_>, report: &mut Report<'_>) -> Option<Result<Written, ()>> {
    let (count, name) = text.trim().split_once(' ')?;
    let name = name.trim();
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        return None;
    }
    let count = match count.strip_prefix("param.") {
        Some(_) => {
            let given = Node { value: Yaml::Text(count.to_owned()), span: node.span.clone() };
            cx.params.number(&given, report)
        }
        None => Some(count.parse().ok()?),
    };
    Some(match find(name, cx.clocks) {
        Ok((clock, key)) => count.map(|count| Written { clock, key, count, and: None, or: None }).ok_or(()),
        // No clock of that name, and a length of time in words.
        Err(_) if duration::meant(text).is_some() => return None,
        Err(problem) => {
            let help = problem.help.unwrap_or_default();
            report.error_help(problem.code, &node.span, problem.message, help);
            Err(())
        }
    })
}

fn part(name: &str) -> syntax::Node {
    use syntax::NodeKind;
    let mut segments = name.split('.');
    let first = NodeKind::Name(segments.next().unwrap_or_default().to_owned());
    let leaf = |kind| syntax::Node { kind, span: 0..0, depth: 1 };
    segments.fold(leaf(first), |of, name| leaf(NodeKind::Field(Box::new(of), name.to_owned())))
}

impl Written {
    /// Marks the clock's key as kept of the event that opens the deadline.
    pub(crate) fn mark(&self, when: RoleIdx, layout: &mut Layout<'_, '_>) {
        self.key.iter().for_each(|name| layout.mark(when as usize, &part(name)));
    }

    /// Whether waiting for the clock ends at some time.
    pub(crate) fn waits_at_most(&self) -> bool {
        self.or.is_some()
    }

    /// Compiles it.
    pub(crate) fn finish(
        self,
        when: RoleIdx,
        node: &Node,
        layout: &Layout<'_, '_>,
        report: &mut Report<'_>,
    ) -> Option<Ticks> {
        let mut key = Vec::new();
        for name in &self.key {
            let parsed = Parsed { node, offset: 0, tree: part(name) };
            key.push(layout.late(when as usize, &parsed, report)?.0);
        }
        Some(Ticks { clock: self.clock, key, count: self.count, and: self.and, or: self.or })
    }
}
