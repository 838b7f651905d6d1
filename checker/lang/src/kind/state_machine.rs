//! `state_machine: {event, state, initial, transitions, terminal, limits}`.
use std::time::Duration;

use engine::{KeyPart, Kind, MachineState, RoleIdx, StateRead, Type};

use super::{Complete, Draft, start, wrong_type};
use crate::{
    diagnostic::Code,
    fields::{Fields, Report, text, texts},
    names,
    pattern::{Context, Layout, Parsed},
    rule::Roles,
    suggest,
    yaml::{Key, Node, Yaml},
};

struct Valued<'n> {
    of: RoleIdx,
    state: Parsed<'n>,
    initial: Option<u16>,
    states: Vec<MachineState>,
}

/// States by name, in the order in which they are met.
#[derive(Default)]
struct States {
    all: Vec<MachineState>,
    /// Every state is known already; a new name is a mistake.
    closed: bool,
}

impl States {
    fn add(&mut self, name: &str) -> u16 {
        match self.all.iter().position(|state| state.name == name) {
            Some(known) => known as u16,
            None => {
                self.all.push(MachineState { name: name.to_owned(), to: Vec::new(), terminal: false, limit: None });
                (self.all.len() - 1) as u16
            }
        }
    }

    fn find(&mut self, name: &str, span: &std::ops::Range<usize>, report: &mut Report<'_>) -> Option<u16> {
        if !self.closed {
            return Some(self.add(name));
        }
        let found = self.all.iter().position(|state| state.name == name).map(|place| place as u16);
        if found.is_none() {
            let names = || self.all.iter().map(|state| state.name.as_str());
            let help = match suggest::closest(name, names()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("states are: {}", names().collect::<Vec<_>>().join(", ")),
            };
            report.error_help(Code::Reference, span, format!("there is no state `{name}`"), help);
        }
        found
    }
}

fn entries<'n>(node: Option<&'n Node>, what: &str, report: &mut Report<'_>) -> &'n [(Key, Node)] {
    match node {
        None => &[],
        Some(Node { value: Yaml::Map(entries), .. }) => entries,
        Some(node) => {
            let message = format!("`{what}` is a map of states, this is {}", node.shape());
            let error = report.error(Code::Shape, &node.span, message);
            if what == "transitions" {
                error.help =
                    Some("write `new: [running, failed]`: a state, and the list of those that may follow".to_owned());
            }
            &[]
        }
    }
}

pub(super) fn read<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    let mut fields = Fields::of(node, "state_machine", report)?;
    let span = fields.span().clone();
    let state = fields.need("state", report);
    let by_pattern = matches!(state.map(|node| &node.value), Some(Yaml::Map(_)));
    let of = if by_pattern {
        if let Some(event) = fields.take("event") {
            report.error_help(
                Code::Shape,
                &event.span,
                "`event` and a map of patterns under `state` are alternatives",
                "with `event`, `state` is an expression that yields the state's name",
            );
        }
        None
    } else {
        roles.need(&mut fields, "event", cx, report)
    };
    let transitions_node = fields.need("transitions", report);
    let transitions = entries(transitions_node, "transitions", report);
    let listed = transitions_node.is_none_or(|node| matches!(node.value, Yaml::Map(_)));
    let terminal = fields.take("terminal").map(|node| texts(node, report)).unwrap_or_default();
    let mut states = States::default();
    let mut by_role = Vec::new();
    if by_pattern {
        for (name, pattern) in entries(state, "state", report) {
            let number = states.add(&name.name);
            by_role.push((roles.add_named(pattern, "state", &name.name, cx, report), number));
        }
        states.closed = true;
    } else {
        // The states are those that transitions are listed from, and those that they lead to after which nothing comes.
        for (name, _) in transitions {
            states.add(&name.name);
        }
        let leads_to = |name: &str| {
            let lists = transitions.iter().filter_map(|(_, to)| match &to.value {
                Yaml::List(to) => Some(to),
                _ => None,
            });
            lists.flatten().any(|to| to.scalar().is_some_and(|to| to == name))
        };
        for (name, _) in terminal.iter().filter(|(name, _)| leads_to(name)) {
            states.add(name);
        }
        states.closed = !transitions.is_empty();
    }
    for (from, to) in transitions {
        let Some(from) = states.find(&from.name, &from.span, report) else { continue };
        let to = if to.value == Yaml::Null { Vec::new() } else { texts(to, report) };
        for (name, span) in to {
            let Some(next) = states.find(&name, &span, report) else { continue };
            let listed = &mut states.all[from as usize].to;
            if !listed.contains(&next) {
                listed.push(next);
            }
        }
    }
    for (name, span) in terminal {
        let Some(state) = states.find(&name, &span, report) else { continue };
        let state = &mut states.all[state as usize];
        state.terminal = true;
        if !state.to.is_empty() {
            let message = format!("`{name}` is terminal and has transitions");
            report.error_help(
                Code::Shape,
                &span,
                message,
                "nothing may follow a terminal state: leave one of both out",
            );
        }
    }
    for (name, node) in entries(fields.take("limits"), "limits", report) {
        let state = states.find(&name.name, &name.span, report);
        let limit: Option<Duration> = cx.params.duration(node, report);
        if let (Some(state), Some(limit)) = (state, limit) {
            states.all[state as usize].limit = Some(limit);
        }
    }
    let initial_node = fields.need("initial", report);
    let initial = initial_node.and_then(|node| {
        let name = text(node, report)?;
        if name == "any" { Some(None) } else { states.find(&name, &node.span, report).map(Some) }
    });
    fields.finish(report);
    if states.all.is_empty() {
        report.error(Code::MissingField, &start(&span), "this state_machine has no states");
    }
    let initial = initial?;
    if let Some(initial) = initial.filter(|_| listed) {
        unreachable(&states.all, initial, transitions_node.map_or(&span, |node| &node.span), report);
    }
    if by_pattern && listed {
        stuck(&states.all, transitions, state, report);
    }
    if by_pattern {
        let read = StateRead::Roles(by_role);
        return Some(Box::new(Complete(Kind::StateMachine { read, initial, states: states.all })));
    }
    let state = state.and_then(|node| Parsed::of(node, 0, report))?;
    Some(Box::new(Valued { of: of?, state, initial, states: states.all }))
}

/// Warns of states that no chain of transitions leads to.
fn unreachable(states: &[MachineState], initial: u16, span: &std::ops::Range<usize>, report: &mut Report<'_>) {
    let mut reached = vec![initial];
    let mut at = 0;
    while let Some(&state) = reached.get(at) {
        let fresh: Vec<u16> =
            states[state as usize].to.iter().copied().filter(|next| !reached.contains(next)).collect();
        reached.extend(fresh);
        at += 1;
    }
    for (number, state) in states.iter().enumerate() {
        if !reached.contains(&(number as u16)) {
            report.warning(
                Code::Unreachable,
                &start(span),
                format!("no transitions lead from `{}` to `{}`", states[initial as usize].name, state.name),
                "list a transition to it, or leave it out",
            );
        }
    }
}

/// Warns of states that no transitions were thought of: where none is meant, an empty list or `terminal` says so.
fn stuck(states: &[MachineState], listed: &[(Key, Node)], declared: Option<&Node>, report: &mut Report<'_>) {
    for (key, _) in entries(declared, "state", report) {
        let named = listed.iter().any(|(from, _)| from.name == key.name);
        if states.iter().any(|state| state.name == key.name && !state.terminal && !named) {
            report.warning(
                Code::Stuck,
                &key.span,
                format!("nothing leads out of `{}`, and it is not terminal", key.name),
                format!(
                    "list what follows it, or write `{0}: []` if nothing does, or `terminal: [{0}]` if it cannot even happen twice",
                    key.name
                ),
            );
        }
    }
}

impl<'n> Draft<'n> for Valued<'n> {
    fn mark(&self, layout: &mut Layout<'_, 'n>) {
        layout.mark(self.of as usize, &self.state.tree);
    }

    fn finish(self: Box<Self>, layout: &Layout<'_, 'n>, _: &[KeyPart], report: &mut Report<'_>) -> Option<Kind> {
        let (state, kind) = layout.late(self.of as usize, &self.state, report)?;
        if !matches!(kind, Type::String | Type::Int | Type::Bool | Type::Any) {
            let message = format!("`state` needs the name of a state, this is {}", names::type_name(kind));
            wrong_type(&self.state, message, None, report);
        }
        let Valued { of, initial, states, .. } = *self;
        Some(Kind::StateMachine { read: StateRead::Value { of, state }, initial, states })
    }
}
