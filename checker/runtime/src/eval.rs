//! Trying out an expression against one event.
use engine::{
    RoleIdx, Slot,
    expr::{Env, Undefined, Val},
};
use event::{Event, Int, Position, Timestamp};
use lang::{Diagnostic, expression};
use serde_json::Value as Json;
use wire::{Limits, Refused, Signal};

use crate::{feed, json};

/// What an expression gives, with the name of its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The value as JSON; integers that a reader could round are strings.
    pub value: Json,
    /// `bool`, `int`, `double`, `string`, `bytes`, `list`, `map`, `timestamp`, `duration` or `null`.
    pub kind: &'static str,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The event cannot be read.
    #[error("the event: {0}")]
    Event(String),
    /// The expression is not one.
    #[error("{}", .0.message)]
    Expression(Box<Diagnostic>),
    /// It has no value for this event.
    #[error("no value: {why}{}", read.iter().map(|read| format!("\n  {read}")).collect::<String>())]
    Undefined {
        /// Why.
        why: Undefined,
        /// What it read of the event, a sentence each.
        read: Vec<String>,
    },
}

/// Evaluates an expression against an event written as an event line (`ts` and `node` may be left out).
///
/// # Errors
/// When either cannot be read, or there is no value.
pub fn eval(expression: &str, line: &str) -> Result<Answer, EvalError> {
    let event = read(line)?;
    let attributes: Vec<&str> = event.attrs.iter().map(|(name, _)| name.as_str()).collect();
    let made = expression::standalone(expression, &attributes).map_err(EvalError::Expression)?;
    let env = OneEvent { event: &event, slots: &made.slots };
    match made.expr.eval(&env) {
        Ok(value) => Ok(answer(&value)),
        Err(why) => Err(EvalError::Undefined { why, read: what_was_read(&env) }),
    }
}

/// What an expression read of the event's attributes, and how what is text becomes a number.
fn what_was_read(env: &OneEvent<'_>) -> Vec<String> {
    let mut read: Vec<String> = Vec::new();
    for (place, slot) in env.slots.iter().enumerate() {
        let (Slot::Attr { name, .. }, Some(value)) = (slot, env.slot(place as u16)) else { continue };
        let Answer { value: said, kind } = answer(&value);
        let number = match &value {
            Val::String(text) if Int::parse(text).is_some() => {
                format!("; `int({name})` is a number, and so is an attribute that the vocabulary of a pack calls `int`")
            }
            _ => String::new(),
        };
        let told = format!("{name} is {said} ({kind}){number}");
        if !read.contains(&told) {
            read.push(told);
        }
    }
    read
}

/// What an event line may say.
const FIELDS: [&str; 11] =
    ["ts", "node", "component", "network", "event", "attrs", "observed", "trace_id", "span_id", "severity", "body"];

fn read(line: &str) -> Result<Event, EvalError> {
    let wrong = |error: String| EvalError::Event(error);
    // An event line must say when and where; for an expression that seldom matters.
    let mut fields: Json = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
    let object = fields.as_object_mut().ok_or_else(|| wrong("it is no JSON object".to_owned()))?;
    if let Some((name, value)) = object.iter().find(|(name, _)| !FIELDS.contains(&name.as_str())) {
        let example = serde_json::json!({"attrs": {name: value}});
        return Err(wrong(format!("it has no field `{name}`: attributes stand under `attrs`, as in {example}")));
    }
    for (name, default) in [("ts", "1970-01-01T00:00:00Z"), ("node", "node"), ("event", "event")] {
        object.entry(name).or_insert_with(|| default.into());
    }
    let body = wire::lines_to_protobuf(fields.to_string().as_bytes()).map_err(|error| wrong(error.to_string()))?;
    wire::check(Signal::Logs, &body, &Limits::default()).map_err(|error| wrong(error.to_string()))?;
    let events = feed::events(Signal::Logs, &body, &Refused::default(), Timestamp::ZERO, Position::default());
    events.into_iter().next().ok_or_else(|| wrong("it is empty".to_owned()))
}

fn answer(value: &Val<'_>) -> Answer {
    let kind = match value {
        Val::Null => "null",
        Val::Bool(_) => "bool",
        Val::Int(_) => "int",
        Val::Double(_) => "double",
        Val::String(_) => "string",
        Val::Bytes(_) => "bytes",
        Val::List(_) => "list",
        Val::Map(_) => "map",
        Val::Timestamp(_) => "timestamp",
        Val::Duration(_) => "duration",
    };
    Answer { value: json::value(&value.to_value()), kind }
}

struct OneEvent<'a> {
    event: &'a Event,
    slots: &'a [Slot],
}

impl Env for OneEvent<'_> {
    fn slot(&self, slot: u16) -> Option<Val<'_>> {
        let event = self.event;
        Some(match self.slots.get(slot as usize)? {
            Slot::Attr { name, .. } => Val::from(event.attr(name)?),
            Slot::Resource(name) => Val::from(&event.resource.iter().find(|(key, _)| key == name)?.1),
            Slot::Name => Val::String(event.name.as_str().into()),
            Slot::Node => Val::String(event.source.node.as_str().into()),
            Slot::Component => Val::String(event.source.component.as_str().into()),
            Slot::Network => Val::String(event.source.network.as_str().into()),
            Slot::Ts => Val::Timestamp(event.ts),
            Slot::Severity => Val::Int(Int::from(i64::from(event.severity))),
            Slot::Body => Val::from(&event.body),
            Slot::TraceId => Val::String(event.trace_id.as_str().into()),
            Slot::Let(_) | Slot::Element | Slot::Captured(_) => return None,
        })
    }

    fn role(&self, _role: RoleIdx, _slot: u16) -> Option<Val<'_>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(expression: &str) -> String {
        let line =
            r#"{"node":"n1","attrs":{"gas":"18446744073709551615","bytes":7,"tags":["a","b"],"state":"{\"x\":1}"}}"#;
        match eval(expression, line) {
            Ok(answer) => format!("{} {}", answer.kind, answer.value),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn answers_have_their_type() {
        assert_eq!(tried("bytes * 2"), "int 14");
        assert_eq!(tried("int(gas) + 1"), r#"int "18446744073709551616""#);
        assert_eq!(tried("node == 'n1' && tags.exists(t, t == 'b')"), "bool true");
        assert_eq!(tried("json(state).x"), "int 1");
        assert_eq!(tried("size(tags)"), "int 2");
    }

    #[test]
    fn what_has_no_value_says_why() {
        assert_eq!(tried("bytes / 0"), "no value: division by zero\n  bytes is 7 (int)");
        assert_eq!(
            tried("gas > 1"),
            "no value: a value is of the wrong type\n  gas is \"18446744073709551615\" (string); `int(gas)` is a number, and so \
             is an attribute that the vocabulary of a pack calls `int`"
        );
        assert_eq!(tried("byte"), "the event has no attribute `byte`");
        assert!(matches!(eval("1", "[]"), Err(EvalError::Event(_))));
        let bare = eval("bytes > 1", r#"{"bytes":2}"#).unwrap_err().to_string();
        assert_eq!(
            bare,
            "the event: it has no field `bytes`: attributes stand under `attrs`, as in {\"attrs\":{\"bytes\":2}}"
        );
    }
}
