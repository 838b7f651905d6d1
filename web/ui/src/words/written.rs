//! Compiled expressions as their authors would write them, and patterns with their conditions: what is said of a rule is what
//! is judged.
use std::fmt::Write as _;

use engine::{
    Pack, Pattern, Role, RoleIdx, Rule, Slot, Ticks,
    expr::{AsOf, Binary, Expr, Function, Macro, Unary},
};
use event::Value;

use crate::text::span;

/// What the names in an expression stand for.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    /// Of facts, clocks and breakers.
    pub(super) pack: &'a Pack,
    /// Of roles and parts of the key.
    pub(super) rule: &'a Rule,
}

/// What a slot is called where it stands.
type Slots<'s> = &'s dyn Fn(u16) -> String;

/// How tightly an expression holds together, as in the grammar: the greater, the tighter.
const CONDITIONAL: u8 = 0;
const UNARY: u8 = 6;
const POSTFIX: u8 = 7;

impl<'a> Written<'a> {
    /// What an event in a role is called, without its conditions.
    pub(super) fn label(self, role: RoleIdx) -> String {
        self.role(role).map_or_else(|| "an event".to_owned(), |role| role.label.to_string())
    }

    fn role(self, role: RoleIdx) -> Option<&'a Role> {
        self.rule.roles.get(usize::from(role))
    }

    /// What an event in a role is, with its conditions: `request.done where code >= 500`.
    pub(super) fn event(self, role: RoleIdx) -> String {
        let Some(declared) = self.role(role) else { return self.label(role) };
        let conditions: Vec<String> =
            declared.alternatives.iter().map(|pattern| self.conditions(role, pattern)).collect();
        match conditions.as_slice() {
            [] => self.label(role),
            [first, others @ ..] if others.iter().all(|other| other == first) => self.label(role) + first,
            _ => {
                let named = declared.alternatives.iter().zip(&conditions);
                let named = named.map(|(pattern, condition)| format!("{}{condition}", pattern.name));
                named.collect::<Vec<_>>().join(", or ")
            }
        }
    }

    /// What a pattern asks of an event beside its name.
    fn conditions(self, role: RoleIdx, pattern: &Pattern) -> String {
        let mut said = String::new();
        if let Some(component) = &pattern.component {
            let _ = write!(said, " of component {component}");
        }
        if let Some(severity) = pattern.severity {
            let _ = write!(said, " of severity {severity} at least");
        }
        for each in &pattern.for_each {
            let over = self.text(&each.over, &|slot| self.slot(pattern, slot));
            let _ = write!(said, ", for each of {over}");
        }
        let condition = |expression: &Expr| {
            let text = self.spell(expression, &|slot| self.slot(pattern, slot), 0);
            (text, Self::tightness(expression))
        };
        let parts: Vec<(String, u8)> = pattern.where_own.iter().chain(&pattern.where_late).map(condition).collect();
        match parts.as_slice() {
            [] => {}
            [(only, _)] => {
                let _ = write!(said, " where {only}");
            }
            several => {
                let braced =
                    several.iter().map(|(text, tight)| if *tight < 2 { format!("({text})") } else { text.clone() });
                let _ = write!(said, " where {}", braced.collect::<Vec<_>>().join(" && "));
            }
        }
        // In its own conditions an event goes by its attributes alone.
        let own = self.role(role).map(|role| format!("{}.", role.name)).unwrap_or_default();
        if own.len() > 1 { said.replace(&format!(" {own}"), " ") } else { said }
    }

    /// So many ticks of a clock: `4 height`.
    pub(super) fn counted(self, ticks: &Ticks) -> String {
        let clock = self.pack.clocks.get(usize::from(ticks.clock));
        format!("{} {}", ticks.count, clock.map_or("ticks of a clock", |clock| clock.name.as_str()))
    }

    /// The same, and what else has to pass.
    pub(super) fn ticks(self, ticks: &Ticks) -> String {
        let and = ticks.and.map(|and| format!(" (and not before {})", span(and)));
        self.counted(ticks) + &and.unwrap_or_default()
    }

    /// An expression over the kept values of a role.
    pub(super) fn of_role(self, role: RoleIdx, expression: &Expr) -> String {
        let pattern = self.role(role).and_then(|role| role.alternatives.first());
        self.text(expression, &|slot| pattern.map_or_else(|| "?".to_owned(), |pattern| self.slot(pattern, slot)))
    }

    /// An expression over named slots.
    pub(super) fn over(self, names: &[String], expression: &Expr) -> String {
        self.text(expression, &|slot| names.get(usize::from(slot)).cloned().unwrap_or_else(|| "?".to_owned()))
    }

    /// An expression whose first locals have these names.
    pub(super) fn with_locals(self, locals: &[&str], expression: &Expr) -> String {
        let names: Vec<String> = locals.iter().map(|&name| name.to_owned()).collect();
        let speller = Speller { of: self, slots: &|_| "?".to_owned(), given: &names };
        speller.spell(expression, names.len())
    }

    fn text(self, expression: &Expr, slots: Slots<'_>) -> String {
        self.spell(expression, slots, 0)
    }

    fn spell(self, expression: &Expr, slots: Slots<'_>, locals: usize) -> String {
        Speller { of: self, slots, given: &[] }.spell(expression, locals)
    }

    /// What a slot of a pattern holds.
    fn slot(self, pattern: &Pattern, slot: u16) -> String {
        let part_of_key = || {
            let part = pattern.key.iter().position(|part| matches!(part, Some(Expr::Slot(own)) if *own == slot))?;
            self.rule.key.get(part).map(|part| part.name.clone())
        };
        match pattern.slots.get(usize::from(slot)) {
            Some(Slot::Attr { name, .. }) => attribute(name),
            Some(Slot::Resource(name)) => format!("resource[{name:?}]"),
            Some(Slot::Name) => "event".to_owned(),
            Some(Slot::Node) => "node".to_owned(),
            Some(Slot::Component) => "component".to_owned(),
            Some(Slot::Network) => "network".to_owned(),
            Some(Slot::Ts) => "ts".to_owned(),
            Some(Slot::Severity) => "severity".to_owned(),
            Some(Slot::Body) => "body".to_owned(),
            Some(Slot::TraceId) => "trace_id".to_owned(),
            Some(Slot::Let(expression)) => part_of_key().unwrap_or_else(|| {
                let text = self.text(expression, &|slot| self.slot(pattern, slot));
                if Self::tightness(expression) < POSTFIX { format!("({text})") } else { text }
            }),
            Some(Slot::Element) => part_of_key().unwrap_or_else(|| "element".to_owned()),
            Some(Slot::Captured(place)) => {
                let names = pattern.body.as_ref().map_or(&[][..], |body| body.names());
                names.get(usize::from(*place)).cloned().unwrap_or_else(|| "?".to_owned())
            }
            None => "?".to_owned(),
        }
    }

    fn tightness(expression: &Expr) -> u8 {
        match expression {
            Expr::Conditional(..) => CONDITIONAL,
            Expr::Binary(operator, ..) => sign(*operator).1,
            Expr::Unary(..) => UNARY,
            _ => POSTFIX,
        }
    }
}

/// Spells one expression out.
struct Speller<'s> {
    of: Written<'s>,
    slots: Slots<'s>,
    /// The names of the first locals.
    given: &'s [String],
}

impl Speller<'_> {
    /// With so many variables of macros around it.
    fn spell(&self, expression: &Expr, depth: usize) -> String {
        let list = |items: &[Expr]| items.iter().map(|item| self.spell(item, depth)).collect::<Vec<_>>().join(", ");
        match expression {
            Expr::Const(value) => literal(value),
            Expr::Duration(nanos) => format!("duration(\"{}\")", length(*nanos)),
            Expr::Timestamp(at) => format!("timestamp(\"{at}\")"),
            Expr::Slot(slot) => (self.slots)(*slot),
            Expr::Role(role, slot) => {
                let declared = self.of.role(*role);
                let pattern = declared.and_then(|role| role.alternatives.first());
                let value = pattern.map_or_else(|| "?".to_owned(), |pattern| self.of.slot(pattern, *slot));
                format!("{}.{value}", declared.map_or("?", |role| &role.name))
            }
            Expr::Local(local) => self.variable(usize::from(*local)),
            Expr::Fact { fact, args, as_of } => {
                let declared = self.of.pack.facts.get(usize::from(*fact));
                let name = declared.map_or("?", |fact| fact.name.as_str());
                let (key, ends) = match as_of {
                    AsOf::During | AsOf::Throughout => args.split_at(args.len().saturating_sub(2)),
                    _ => (args.as_slice(), &[][..]),
                };
                let asked = format!("fact.{name}({})", list(key));
                match as_of {
                    AsOf::At => asked,
                    AsOf::Before => asked + ".before",
                    AsOf::Since => asked + ".since",
                    AsOf::During => format!("{asked}.during({})", list(ends)),
                    AsOf::Throughout => format!("{asked}.throughout({})", list(ends)),
                }
            }
            Expr::Clock { clock, .. } => {
                let declared = self.of.pack.clocks.get(usize::from(*clock));
                format!("clock.{}", declared.map_or("?", |clock| clock.name.as_str()))
            }
            Expr::Breaker { breaker, scope } => {
                let id = self.of.pack.breakers.get(usize::from(*breaker)).map_or("?", |breaker| breaker.id.as_str());
                let scope = if scope.is_empty() { String::new() } else { format!(", {}", list(scope)) };
                format!("breaker({id:?}{scope})")
            }
            Expr::Live(component) => format!("live({})", self.spell(component, depth)),
            Expr::Unary(operator, operand) => {
                let sign = if *operator == Unary::Not { "!" } else { "-" };
                format!("{sign}{}", self.tight(operand, UNARY, depth))
            }
            Expr::Binary(operator, a, b) => {
                let (sign, tightness) = sign(*operator);
                format!("{} {sign} {}", self.tight(a, tightness, depth), self.tight(b, tightness + 1, depth))
            }
            Expr::Conditional(condition, then, otherwise) => {
                let condition = self.tight(condition, CONDITIONAL + 1, depth);
                format!("{condition} ? {} : {}", self.tight(then, CONDITIONAL + 1, depth), self.spell(otherwise, depth))
            }
            Expr::Call(function, args) => self.call(*function, args, depth),
            Expr::Index(of, index) => format!("{}[{}]", self.tight(of, POSTFIX, depth), self.spell(index, depth)),
            Expr::Field(of, name) => format!("{}.{name}", self.tight(of, POSTFIX, depth)),
            Expr::Has(operand) => format!("has({})", self.spell(operand, depth)),
            Expr::List(items) => format!("[{}]", list(items)),
            Expr::Map(entries) => {
                let entry =
                    |(key, value): &(Expr, Expr)| format!("{}: {}", self.spell(key, depth), self.spell(value, depth));
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
            Expr::Macro(which, over, body) => {
                let name = match which {
                    Macro::All => "all",
                    Macro::Exists => "exists",
                    Macro::ExistsOne => "exists_one",
                    Macro::Filter => "filter",
                    Macro::Map => "map",
                };
                let over = self.tight(over, POSTFIX, depth);
                format!("{over}.{name}({}, {})", self.variable(depth), self.spell(body, depth + 1))
            }
        }
    }

    fn tight(&self, expression: &Expr, least: u8, depth: usize) -> String {
        let text = self.spell(expression, depth);
        if Written::tightness(expression) < least { format!("({text})") } else { text }
    }

    fn call(&self, function: Function, args: &[Expr], depth: usize) -> String {
        // How values that were kept as plain ones are read is nothing that anybody writes.
        let reads = match (function, args) {
            (Function::Nanoseconds | Function::Timestamp, [kept @ (Expr::Slot(_) | Expr::Role(..))]) => Some(kept),
            _ => None,
        };
        if let Some(kept) = reads {
            let text = self.spell(kept, depth);
            let is_time = function == Function::Nanoseconds || text == "ts" || text.ends_with(".ts");
            return if is_time { text } else { format!("timestamp({text})") };
        }
        let all = |args: &[Expr]| args.iter().map(|arg| self.spell(arg, depth)).collect::<Vec<_>>().join(", ");
        let name = Function::NAMES.into_iter().find_map(|name| {
            Function::named(name).filter(|(named, _)| *named == function).map(|(_, method)| (name, method))
        });
        match (name, args) {
            (Some((name, true)), [receiver, args @ ..]) => {
                format!("{}.{name}({})", self.tight(receiver, POSTFIX, depth), all(args))
            }
            (Some((name, _)), args) => format!("{name}({})", all(args)),
            (None, args) => all(args),
        }
    }

    fn variable(&self, local: usize) -> String {
        const NAMES: [&str; 4] = ["x", "y", "z", "w"];
        self.given.get(local).cloned().unwrap_or_else(|| {
            let place = local - self.given.len();
            NAMES.get(place).map_or_else(|| format!("x{place}"), |&name| name.to_owned())
        })
    }
}

/// How an operator is written, and how tightly it holds its operands together.
fn sign(operator: Binary) -> (&'static str, u8) {
    match operator {
        Binary::Or => ("||", 1),
        Binary::And => ("&&", 2),
        Binary::Equal => ("==", 3),
        Binary::NotEqual => ("!=", 3),
        Binary::Less => ("<", 3),
        Binary::LessEqual => ("<=", 3),
        Binary::Greater => (">", 3),
        Binary::GreaterEqual => (">=", 3),
        Binary::In => ("in", 3),
        Binary::Add => ("+", 4),
        Binary::Subtract => ("-", 4),
        Binary::Multiply => ("*", 5),
        Binary::Divide => ("/", 5),
        Binary::Remainder => ("%", 5),
    }
}

fn attribute(name: &str) -> String {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let own = ["node", "component", "network", "event", "ts", "severity", "body", "trace_id"];
    if name.split('.').all(is_name) && !own.contains(&name) { name.to_owned() } else { format!("attr[{name:?}]") }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => format!("{value:?}"),
        Value::String(text) => format!("{text:?}"),
        Value::Bytes(bytes) => bytes.iter().fold("\"0x".to_owned(), |text, byte| text + &format!("{byte:02x}")) + "\"",
        Value::List(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entry = |(name, value): &(Box<str>, Value)| format!("{name:?}: {}", literal(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A length of time as `duration(…)` takes it.
fn length(nanos: i128) -> String {
    const UNITS: [(i128, &str); 6] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let mut left = nanos.unsigned_abs() as i128;
    let mut said = String::from(if nanos < 0 { "-" } else { "" });
    for (unit, name) in UNITS {
        if left >= unit {
            let _ = write!(said, "{}{name}", left / unit);
            left %= unit;
        }
    }
    if nanos == 0 { "0s".to_owned() } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A condition as it is said of a rule that has it.
    fn said(condition: &str) -> String {
        let pack = format!(
            "pack: p\nfacts:\n  f:\n    key: [node]\n    set_by: s\n    value: v\n  members:\n    row: [who, role]\n    \
             set_by: j\nclocks:\n  height:\n    event: b\n    value: h\nrules:\n  - id: r\n    key: [node]\n    response:\n      \
             when: asked\n      then:\n        event: answered\n        let:\n          twice: a + a\n        where: >-\n          \
             {condition}\n      within: 5s\n"
        );
        let (pack, diagnostics) = lang::compile(&pack, "p.yaml", &lang::Options::default());
        let pack = pack.unwrap_or_else(|| panic!("{diagnostics:?}"));
        let event = Written { pack: &pack, rule: &pack.rules[0] }.event(1);
        event.strip_prefix("answered where ").unwrap_or_else(|| panic!("{event}")).to_owned()
    }

    #[test]
    fn conditions_are_said_as_they_are_written() {
        for same in [
            "code in [500, 502]",
            "a.b == \"x\" && !(c > 1 || d < 2.5)",
            "-a * (b + 1) - c % 2 - (d - 1) >= 0",
            "attr[\"k8s.pod/name\"].startsWith(\"kube-\")",
            "attr[\"node\"] == node || resource[\"pid\"] != null",
            "has(a) ? a == 1 : json(body).x[0] == true",
            "names.filter(x, x.size > 3).exists(x, x in other)",
            "fact.f(node) == a || size(fact.members()) > 2",
            "fact.f(node).before == when.a",
            "a <= clock.height",
            "size(a) == min(b, 3)",
            "a < {\"k\": [1, \"two\"]}.k",
        ] {
            let back = said(same);
            assert_eq!(said(&back), back, "what is said means the same");
            let plain = |text: &str| text.replace(['(', ')'], "");
            assert_eq!(plain(&back), plain(same));
        }
        assert_eq!(said("ts - when.ts > duration(\"90s\")"), "ts - when.ts > duration(\"1m30s\")");
        assert_eq!(said("twice > 3"), "(a + a) > 3");
        assert_eq!(said("a == 1 && fact.f(node) == 2 && b == 3"), "a == 1 && b == 3 && fact.f(node) == 2");
    }
}
