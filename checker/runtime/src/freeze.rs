//! Freezing: a violation's evidence copied out of the journal, its message written, so that both stay readable after the
//! journal has forgotten the events.
use std::time::Duration;

use engine::{
    BEFORE, BEFORE_NAME, Cited, Grade, Program, RoleIdx, Rule, Severity, Slot, TemplatePart, Violation,
    expr::{Env, Val},
};
use event::{Event, Int, Position, Value};
use serde_json::{Map, Value as Json, json};

use crate::{json, plain};

/// Where cited events are found.
pub trait Evidence {
    /// The event at that position; none when it is not kept any more.
    fn event(&mut self, position: Position) -> Option<Event>;
}

/// How many events of one violation are frozen; the others are only counted.
const EVENTS_MAX: usize = 32;

/// A violation that needs nothing else to be understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Frozen {
    /// The declared key parts, and `network` when it is not empty.
    pub key: Map<String, Json>,
    /// What happened, in a sentence.
    pub message: String,
    /// How bad that is.
    pub severity: Severity,
    /// The cited events.
    pub evidence: Vec<Json>,
    /// What did not come.
    pub missing: Option<Json>,
    /// The node it is about: the key's, else that of the last cited event.
    pub node: String,
    /// The component it is about: the last cited event's.
    pub component: String,
    /// Whose incident it belongs to: the rule's `group_by` parts, else the key's node, else the network. The key alone
    /// decides, so that the violations of one key never part, whichever node was heard last.
    pub group: String,
}

/// Where the events stand that are frozen with a violation.
pub fn cited(violation: &Violation) -> impl Iterator<Item = Position> {
    violation.evidence.iter().take(EVENTS_MAX).map(|cited| cited.event.position)
}

/// Freezes a violation.
pub fn freeze(program: &Program, violation: &Violation, from: &mut dyn Evidence) -> Frozen {
    let (_, rule) = program.rule(violation.rule);
    let mut events: Vec<(String, Event)> = Vec::new();
    for cited in violation.evidence.iter().take(EVENTS_MAX) {
        // One event may play several parts; it may also be gone, and then its time and place still stand.
        let mut event = from.event(cited.event.position).unwrap_or_default();
        event.ts = cited.event.ts;
        if let Some(derived) = derived(program, rule, cited, &event) {
            event = derived;
        }
        event.source.component = program.component(&event.source.component).to_owned();
        events.push((cited.role.to_string(), event));
    }
    let mut key: Map<String, Json> = rule
        .key
        .iter()
        .zip(&violation.key)
        .filter_map(|(part, value)| Some((part.name.clone(), json::value(value.as_ref()?))))
        .collect();
    if !violation.network.is_empty() {
        key.insert("network".into(), violation.network.clone().into());
    }
    let last = events.last().map(|(_, event)| &event.source);
    let node = match key.get("node") {
        Some(Json::String(node)) => node.clone(),
        _ => last.map(|source| source.node.clone()).unwrap_or_default(),
    };
    let group = group(rule, &key, &violation.network);
    let component = last.map(|source| source.component.clone()).unwrap_or_default();
    let message = message(rule, violation, &events);
    let severity = severity(rule, violation, &events);
    let missing = violation.missing.as_ref().map(|missing| {
        let mut told = json!({"role": missing.role, "event": missing.event, "by": missing.by.to_string()});
        if !missing.from.is_empty() {
            told["from"] = missing.from.iter().map(json::value).collect();
        }
        told
    });
    let evidence = events.iter().map(|(role, event)| json::evidence(role, event)).collect();
    Frozen { key, message, severity, evidence, missing, node, component, group }
}

fn group(rule: &Rule, key: &Map<String, Json>, network: &str) -> String {
    if rule.group_by.is_empty() {
        return key.get("node").map_or_else(|| network.to_owned(), json::text_of);
    }
    let parts: Vec<String> =
        rule.group_by.iter().filter_map(|name| Some(format!("{name}={}", json::text_of(key.get(name)?)))).collect();
    parts.join(", ")
}

/// The event that was judged, where it was made out of the one that was reported.
fn derived(program: &Program, rule: &Rule, cited: &Cited, origin: &Event) -> Option<Event> {
    let roles = rule.roles.iter().filter(|role| role.name == cited.role || *cited.role == *"dissent");
    let patterns: Vec<_> = roles.flat_map(|role| &role.alternatives).collect();
    if patterns.is_empty() || patterns.iter().any(|pattern| pattern.name.matches(&origin.name)) {
        return None;
    }
    let mut made = program.derived(origin);
    made.retain(|event| patterns.iter().any(|pattern| pattern.name.matches(&event.name)));
    if made.is_empty() {
        // A verdict: what was reported is the event that proved it.
        let name = patterns.iter().find_map(|pattern| pattern.name.literal())?;
        let makes = |rule: &Rule| rule.emits.iter().any(|emit| emit.event == name);
        return program.rules().any(|(_, _, rule)| makes(rule)).then(|| Event { name: name.into(), ..origin.clone() });
    }
    let exact = made.iter().position(|event| event.identity == cited.event.identity);
    Some(made.swap_remove(exact.unwrap_or(0)))
}

/// The rule's message with its holes filled; without one, the engine's plain words.
fn message(rule: &Rule, violation: &Violation, events: &[(String, Event)]) -> String {
    let Some(template) = &rule.message else { return plain::words(rule, violation) };
    let env = Told { rule, violation, events, slots: &template.slots };
    let mut text = String::new();
    for part in &template.parts {
        match part {
            TemplatePart::Text(piece) => text.push_str(piece),
            TemplatePart::Hole(expression) => match expression.eval(&env) {
                Ok(value) => text.push_str(&told(&value)),
                Err(_) => text.push('?'),
            },
        }
    }
    text
}

/// A value as people read it: a length of time and an instant in their units, not as a number of nanoseconds.
fn told(value: &Val<'_>) -> String {
    match value {
        Val::Duration(nanos) => {
            let length = Duration::from_nanos(u64::try_from(nanos.unsigned_abs()).unwrap_or(u64::MAX));
            format!("{}{}", if *nanos < 0 { "-" } else { "" }, event::format_duration(length))
        }
        Val::Timestamp(ts) => ts.to_string(),
        value => json::text(&value.to_value()),
    }
}

/// The first grade whose condition holds, else the rule's own severity.
fn severity(rule: &Rule, violation: &Violation, events: &[(String, Event)]) -> Severity {
    let holds = |grade: &&Grade| {
        let env = Told { rule, violation, events, slots: &grade.slots };
        grade.condition.test(&env).unwrap_or(false)
    };
    rule.grades.iter().find(holds).map_or(rule.severity, |grade| grade.is)
}

/// What a message may speak of: the key, and the events in evidence.
struct Told<'a> {
    rule: &'a Rule,
    violation: &'a Violation,
    events: &'a [(String, Event)],
    slots: &'a [(Option<RoleIdx>, Slot)],
}

impl Told<'_> {
    /// The events a hole may take its value from: those of its role, or all, the last first.
    fn candidates(&self, role: Option<RoleIdx>) -> impl Iterator<Item = &Event> {
        let name = match role {
            Some(BEFORE) => Some(BEFORE_NAME),
            role => role.and_then(|role| self.rule.roles.get(role as usize)).map(|role| &*role.name),
        };
        self.events.iter().rev().filter(move |(role, _)| name.is_none_or(|name| name == role)).map(|(_, event)| event)
    }

    fn key(&self, name: &str) -> Option<&Value> {
        let part = self.rule.key.iter().position(|part| part.name == name)?;
        self.violation.key.get(part)?.as_ref()
    }
}

impl Env for Told<'_> {
    fn slot(&self, slot: u16) -> Option<Val<'_>> {
        let (role, slot) = self.slots.get(slot as usize)?;
        let mut events = self.candidates(*role);
        let text = |text: &str| Some(Val::String(text.to_owned().into()));
        let measured =
            |name: &str| self.violation.values.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let from_key = |name: &str| {
            if role.is_none() { self.key(name).or_else(|| measured(name)).map(Val::from) } else { None }
        };
        match slot {
            Slot::Attr { name, int } => {
                if let Some(value) = from_key(name) {
                    return Some(value);
                }
                let value = events.find_map(|event| event.attr(name))?;
                match value {
                    Value::String(text) if *int => Int::parse(text).map(Val::Int),
                    value => Some(Val::from(value)),
                }
            }
            Slot::Resource(name) => {
                events.find_map(|event| event.resource.iter().find(|(key, _)| key == name)).map(|(_, v)| Val::from(v))
            }
            Slot::Node => from_key("node").or_else(|| text(&events.next()?.source.node)),
            Slot::Component => from_key("component").or_else(|| text(&events.next()?.source.component)),
            Slot::Network => text(&self.violation.network),
            Slot::Name => text(&events.next()?.name),
            Slot::TraceId => text(&events.next()?.trace_id),
            Slot::Ts => Some(Val::Timestamp(events.next()?.ts)),
            Slot::Severity => Some(Val::Int(Int::from(i64::from(events.next()?.severity)))),
            Slot::Body => events.next().map(|event| Val::from(&event.body)),
            Slot::Let(expression) => expression.eval(self).ok(),
            Slot::Element | Slot::Captured(_) => None,
        }
    }

    fn role(&self, _role: RoleIdx, slot: u16) -> Option<Val<'_>> {
        // A template's slots know their role; holes never name one.
        self.slot(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::{Engine, Input, Output, Timing};
    use event::{Identity, Source, Timestamp};

    use super::*;

    struct Told(Vec<Event>);

    impl Evidence for Told {
        fn event(&mut self, position: Position) -> Option<Event> {
            self.0.get(position.record as usize).cloned()
        }
    }

    /// Votes of three nodes on two heights; the last node heard differs from height to height.
    fn frozen(key: &str) -> Vec<Frozen> {
        let yaml = format!(
            "pack: p\nrules:\n  - id: nodes-agree\n    key: {key}\n    agreement:\n      event: vote\n      value: root\n"
        );
        let (pack, diagnostics) = lang::compile(&yaml, "p.yaml", &lang::Options::default());
        assert!(diagnostics.is_empty(), "{}", lang::render(&diagnostics, &yaml));
        let program = Program::link([Arc::new(pack.unwrap())]);
        let votes = [(1, "n1", "a"), (1, "n2", "a"), (1, "n3", "b"), (2, "n3", "a"), (2, "n2", "a"), (2, "n1", "b")];
        let events = votes.iter().enumerate().map(|(number, (height, node, root))| Event {
            position: Position { partition: 0, frame: 1, record: number as u32 },
            identity: Identity(number as u128),
            ts: Timestamp(1_000 + number as u64),
            source: Source { network: "testnet".into(), node: (*node).into(), component: "c".into() },
            name: "vote".into(),
            attrs: vec![("height".into(), Value::from(*height)), ("root".into(), Value::from(*root))],
            ..Event::default()
        });
        let mut told = Told(events.collect());
        let mut engine = Engine::new(program, Timing::default(), Input::Offline);
        told.0.iter().for_each(|event| crate::feed::event(&mut engine, event));
        let mut said = Vec::new();
        engine.finish(true, &mut said);
        said.iter()
            .filter_map(|output| match output {
                Output::Violated(violation) => Some(freeze(engine.program(), violation, &mut told)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn violations_without_a_node_in_their_key_share_the_networks_incident() {
        let frozen = frozen("[height]");
        assert_eq!(frozen.iter().map(|one| &*one.group).collect::<Vec<_>>(), ["testnet", "testnet"]);
        let mut nodes: Vec<&str> = frozen.iter().map(|one| &*one.node).collect();
        nodes.sort_unstable();
        assert_eq!(nodes, ["n1", "n3"], "each still shows the node that was heard last");
    }

    #[test]
    fn lengths_of_time_are_told_in_their_units() {
        assert_eq!(told(&Val::Duration(10_000_000_000)), "10s");
        assert_eq!(told(&Val::Duration(-1_500_000_000)), "-1s500ms");
        assert_eq!(told(&Val::Timestamp(Timestamp(0))), Timestamp(0).to_string());
        assert_eq!(told(&Val::String("claim".into())), "claim");
    }
}
