//! What names stand for: in an event that arrives, and in what an instance has kept of its events.
use engine::{EventDecl, RoleIdx, Slot, Type, expr::Expr};

use super::{Context, Written, WrittenRole};
use crate::{
    breaker, clock,
    diagnostic::Code,
    fact::{self, Known},
    names::{self, BUILTINS, Names, Problem, Variable},
    suggest,
};

/// The variable that the longest prefix of these segments names, for a role: the first alternative that knows it.
pub(super) fn longest(segments: &[String], role: &WrittenRole<'_>, cx: &Context<'_>) -> Option<(usize, Variable)> {
    role.alternatives.iter().find_map(|written| longest_in(segments, written, cx))
}

pub(super) fn longest_in(segments: &[String], written: &Written<'_>, cx: &Context<'_>) -> Option<(usize, Variable)> {
    let first = segments[0].as_str();
    if written.lets.iter().chain(&written.each).any(|(name, _)| name == first) {
        return Some((1, Variable::Let(first.to_owned())));
    }
    if let Some((builtin, _)) = BUILTINS.iter().find(|(name, _)| *name == first)
        && segments.len() == 1
    {
        return Some((1, Variable::Builtin(builtin)));
    }
    let captured = |name: &str| written.body.iter().any(|body| body.names().iter().any(|known| known == name));
    if let Some(length) = (1..=segments.len()).rev().find(|length| captured(&segments[..*length].join("."))) {
        return Some((length, Variable::Let(segments[..length].join("."))));
    }
    (1..=segments.len()).rev().find_map(|length| {
        let name = segments[..length].join(".");
        let declared = cx
            .events
            .iter()
            .filter(|event| written.name.matches(&event.name))
            .any(|event| event.attrs.iter().any(|(attr, _)| *attr == name));
        declared.then_some((length, Variable::Attr(name)))
    })
}

/// The declared type of an attribute of the events a pattern matches; an error where the vocabulary rules it out.
fn attr_type(name: &str, written: &Written<'_>, cx: &Context<'_>) -> Result<Type, Problem> {
    let matched: Vec<&EventDecl> = cx.events.iter().filter(|event| written.name.matches(&event.name)).collect();
    let kinds: Vec<Type> = matched
        .iter()
        .filter_map(|event| event.attrs.iter().find(|(attr, _)| attr == name).map(|(_, kind)| *kind))
        .collect();
    match kinds.first() {
        Some(&first) => Ok(if kinds.iter().all(|kind| *kind == first) { first } else { Type::Any }),
        None if matched.is_empty() || matched.iter().any(|event| event.attrs.is_empty()) => Ok(Type::Any),
        None => {
            let known = matched.iter().flat_map(|event| event.attrs.iter().map(|(attr, _)| attr.as_str()));
            let all: Vec<&str> = known.clone().chain(BUILTINS.iter().map(|(name, _)| *name)).collect();
            let problem = Problem::new(Code::Attribute, format!("unknown attribute `{name}` of `{}`", written.name));
            let qualified = cx.events.iter().find_map(|event| {
                let attr = name.strip_prefix(event.name.as_str())?.strip_prefix('.')?;
                event.attrs.iter().any(|(known, _)| known == attr).then_some((event, attr))
            });
            // `labels.namespace`, as other tools have them.
            let bare = name.split_once('.').filter(|(first, _)| {
                matches!(
                    *first,
                    "labels" | "label" | "attributes" | "attrs" | "attr" | "fields" | "event" | "data" | "tags"
                )
            });
            if let Some((_, bare)) = bare.filter(|(_, bare)| known.clone().any(|known| known == *bare)) {
                return Err(problem.help(format!("an attribute stands by itself: `{bare}`")));
            }
            if let Some((event, attr)) = qualified {
                let own = written.name.matches(&event.name);
                let help = format!("an attribute is named without its event: `{attr}`");
                let other = "another event is spoken of by its part in the rule, as in `when.amount`, where the kind has several";
                return Err(problem.help(if own { help } else { other.to_owned() }));
            }
            Err(match suggest::closest(name, all.iter().copied()) {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None => problem.help(format!("it has: {}", known.collect::<Vec<_>>().join(", "))),
            })
        }
    }
}

/// Names as an arriving event has them.
pub(super) struct OwnNames<'w, 'n> {
    pub(super) cx: &'w Context<'w>,
    pub(super) written: &'w Written<'n>,
    pub(super) slots: Vec<(Variable, Slot, Type)>,
    /// `let` names being resolved, against circles.
    pub(super) open: Vec<String>,
}

impl OwnNames<'_, '_> {
    /// The slot of a variable, made if it is new.
    pub(super) fn slot(&mut self, variable: Variable) -> Result<(u16, Type), Problem> {
        if let Some(place) = self.slots.iter().position(|(known, _, _)| *known == variable) {
            return Ok((place as u16, self.slots[place].2));
        }
        let (slot, kind) = self.make(variable.clone())?;
        self.slots.push((variable, slot, kind));
        Ok(((self.slots.len() - 1) as u16, kind))
    }

    pub(super) fn make(&mut self, variable: Variable) -> Result<(Slot, Type), Problem> {
        Ok(match variable {
            Variable::Builtin(name) => {
                let kind = BUILTINS.iter().find(|(known, _)| *known == name).map_or(Type::Any, |(_, kind)| *kind);
                (builtin(name), kind)
            }
            Variable::Resource(name) => (Slot::Resource(name), Type::Any),
            Variable::Attr(name) => {
                let kind = attr_type(&name, self.written, self.cx)?;
                (Slot::Attr { name, int: kind == Type::Int }, kind)
            }
            Variable::Let(name) => {
                if self.written.each.iter().any(|(known, _)| *known == name) {
                    return Ok((Slot::Element, Type::Any));
                }
                let mut captures = self.written.body.iter().flat_map(|body| body.names());
                if let Some(place) = captures.position(|known| *known == name) {
                    return Ok((Slot::Captured(place as u16), Type::String));
                }
                if self.open.contains(&name) {
                    return Err(Problem::new(Code::Name, format!("`{name}` is defined by itself")));
                }
                let Some((_, parsed)) = self.written.lets.iter().find(|(known, _)| *known == name) else {
                    return Err(Problem::new(
                        Code::Name,
                        format!("`{name}` is not defined for `{}`", self.written.name),
                    ));
                };
                let parsed = parsed.clone();
                self.open.push(name);
                let resolved = names::resolve(&parsed.tree, self);
                self.open.pop();
                let (expr, kind) = resolved?;
                (Slot::Let(expr), kind)
            }
        })
    }
}

fn builtin(name: &str) -> Slot {
    match name {
        "node" => Slot::Node,
        "component" => Slot::Component,
        "network" => Slot::Network,
        "ts" => Slot::Ts,
        "severity" => Slot::Severity,
        "body" => Slot::Body,
        "trace_id" => Slot::TraceId,
        _ => Slot::Name,
    }
}

impl Names for OwnNames<'_, '_> {
    fn variable(&mut self, variable: Variable) -> Result<(Expr, Type), Problem> {
        // An attribute that was a time arrives as a plain value.
        let plain = matches!(variable, Variable::Attr(_));
        let (slot, kind) = self.slot(variable)?;
        let read = Expr::Slot(slot);
        Ok((if plain { names::typed(read, kind) } else { read }, kind))
    }

    fn longest(&mut self, segments: &[String]) -> Option<(usize, Variable)> {
        longest_in(segments, self.written, self.cx)
    }

    fn role(&mut self, _name: &str) -> Option<RoleIdx> {
        None
    }

    fn role_variable(&mut self, _role: RoleIdx, _segments: &[String]) -> Result<(usize, Expr, Type), Problem> {
        Err(Problem::new(Code::Name, "another role cannot be spoken of here"))
    }

    fn param(&mut self, name: &str) -> Result<(Expr, Type), Problem> {
        self.cx.params.expression(name)
    }

    fn fact(&mut self, name: &str) -> Result<(u16, Known), Problem> {
        if !self.cx.verdicts.in_rule {
            return names::only_in_rules("facts can be asked");
        }
        fact::find(name, self.cx.facts)
    }

    fn clock(&mut self, name: &str) -> Result<(u16, Vec<String>), Problem> {
        match self.cx.verdicts.in_rule {
            true => clock::find(name, self.cx.clocks),
            false => names::only_in_rules("clocks can be read"),
        }
    }

    fn breaker(&mut self, name: &str) -> Result<(u16, Vec<String>), Problem> {
        if !self.cx.verdicts.in_rule {
            return names::only_in_rules("`breaker(…)` can be asked");
        }
        let (number, known) = breaker::find(name, self.cx.breakers, self.cx.verdicts.above)?;
        Ok((number, known.per.clone()))
    }

    fn live(&mut self, component: &str) -> Result<(), Problem> {
        match self.cx.verdicts.in_rule {
            true => self.cx.component(component),
            false => names::only_in_rules("`live(…)` can be asked"),
        }
    }
}

/// Names as an instance has them later: kept values of its events, and facts.
pub(super) struct LateNames<'l, 'n> {
    pub(super) cx: &'l Context<'l>,
    pub(super) roles: &'l [WrittenRole<'n>],
    pub(super) own: usize,
}

impl LateNames<'_, '_> {
    pub(super) fn kept(&self, role: usize, variable: &Variable) -> Result<(u16, Type), Problem> {
        let written = &self.roles[role];
        let place = written.kept.iter().position(|known| known == variable);
        let kinds: Vec<Type> = written
            .alternatives
            .iter()
            .map(|one| {
                OwnNames { cx: self.cx, written: one, slots: Vec::new(), open: Vec::new() }.make(variable.clone())
            })
            .map(|made| made.map(|(_, kind)| kind))
            .collect::<Result<_, _>>()?;
        let kind = match kinds.split_first() {
            Some((first, rest)) if rest.iter().all(|kind| kind == first) => *first,
            _ => Type::Any,
        };
        match place {
            Some(place) => Ok((place as u16, kind)),
            None => Err(Problem::new(Code::Name, "this value is not kept")),
        }
    }
}

impl Names for LateNames<'_, '_> {
    fn variable(&mut self, variable: Variable) -> Result<(Expr, Type), Problem> {
        let (slot, kind) = self.kept(self.own, &variable)?;
        Ok((names::typed(Expr::Slot(slot), kind), kind))
    }

    fn longest(&mut self, segments: &[String]) -> Option<(usize, Variable)> {
        longest(segments, &self.roles[self.own], self.cx)
    }

    fn role(&mut self, name: &str) -> Option<RoleIdx> {
        let place = self.roles.iter().position(|role| role.name == name || role.word == name)?;
        Some(place as RoleIdx)
    }

    fn role_variable(&mut self, role: RoleIdx, segments: &[String]) -> Result<(usize, Expr, Type), Problem> {
        let place = role as usize;
        let (used, variable) = longest(segments, &self.roles[place], self.cx)
            .unwrap_or_else(|| (segments.len(), Variable::Attr(segments.join("."))));
        let (slot, kind) = self.kept(place, &variable)?;
        let expr = if place == self.own { Expr::Slot(slot) } else { Expr::Role(role, slot) };
        Ok((used, expr, kind))
    }

    fn param(&mut self, name: &str) -> Result<(Expr, Type), Problem> {
        self.cx.params.expression(name)
    }

    fn fact(&mut self, name: &str) -> Result<(u16, Known), Problem> {
        fact::find(name, self.cx.facts)
    }

    fn live(&mut self, component: &str) -> Result<(), Problem> {
        self.cx.component(component)
    }

    fn breaker(&mut self, name: &str) -> Result<(u16, Vec<String>), Problem> {
        let (number, known) = breaker::find(name, self.cx.breakers, self.cx.verdicts.above)?;
        Ok((number, known.per.clone()))
    }

    fn clock(&mut self, name: &str) -> Result<(u16, Vec<String>), Problem> {
        clock::find(name, self.cx.clocks)
    }
}
