//! Rows: events as they come to the engine, borrowed, with only the columns that rules name.
use alloc::vec::Vec;
use event::{Identity, Int, Position, Timestamp, Value, ValueRef};

use crate::{
    expr::{AsOf, Env, Undefined, Val},
    fact::Reader,
    key,
    pack::{Pattern, RoleIdx, Slot},
    route::{Place, Route},
    source::{SourceIdx, SourceState},
    touch::Kept,
};

/// The number of an event's name; see [`crate::Engine::event`].
pub type EventIdx = u32;

/// One event on its way in.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its name's number.
    pub event: EventIdx,
    /// Its name.
    pub name: &'a str,
    /// Who sent it.
    pub source: SourceIdx,
    /// When it happened.
    pub ts: Timestamp,
    /// When it was ready to be sent: for span events the end of their span, else `ts`. Lag is counted from here.
    pub sent: Timestamp,
    /// When it was accepted.
    pub arrived: Timestamp,
    /// What tells it from others.
    pub identity: Identity,
    /// Where it is kept.
    pub position: Position,
    /// OpenTelemetry's severity number.
    pub severity: i32,
    /// The body.
    pub body: ValueRef<'a>,
    /// Lower-case hex.
    pub trace_id: &'a str,
    /// The process it came from, where a lifecycle asks for it.
    pub process: Option<&'a str>,
    /// The values of [`crate::Engine::columns`], in that order.
    pub columns: &'a [Option<ValueRef<'a>>],
}

/// How many virtual events one event may become.
pub(crate) const ELEMENTS_MAX: usize = 10_000;

/// What a pattern's expressions see of a row.
pub(crate) struct RowEnv<'a> {
    pub(crate) row: &'a Row<'a>,
    pub(crate) source: &'a SourceState,
    pub(crate) pattern: &'a Pattern,
    pub(crate) route: &'a Route,
    /// The current elements, by slot.
    pub(crate) elements: &'a [(u16, Value)],
    /// What is known beside events as of the row's time, where the pattern asks for it.
    pub(crate) known: Option<Reader<'a>>,
}

impl Env for RowEnv<'_> {
    fn slot(&self, slot: u16) -> Option<Val<'_>> {
        let column = || {
            let column = (*self.route.columns.get(slot as usize)?)?;
            *self.row.columns.get(column as usize)?
        };
        Some(match self.pattern.slots.get(slot as usize)? {
            Slot::Attr { int: true, .. } => Val::Int(integer(column()?)?),
            Slot::Attr { int: false, .. } | Slot::Resource(_) => Val::from(column()?),
            Slot::Name => Val::String(self.row.name.into()),
            Slot::Node => Val::String(self.source.node.as_str().into()),
            Slot::Component => Val::String(self.source.component.as_str().into()),
            Slot::Network => Val::String(self.source.network.as_str().into()),
            Slot::Ts => Val::Timestamp(self.row.ts),
            Slot::Severity => Val::Int(Int::from(i64::from(self.row.severity))),
            Slot::Body => Val::from(self.row.body),
            Slot::TraceId => Val::String(self.row.trace_id.into()),
            Slot::Let(expression) => expression.eval(self).ok()?,
            Slot::Captured(place) => {
                let ValueRef::String(text) = self.row.body else { return None };
                let captured = self.pattern.body.as_ref()?.matches(text)?;
                Val::String((*captured.get(*place as usize)?).into())
            }
            Slot::Element => Val::from(&self.elements.iter().rev().find(|(at, _)| *at == slot)?.1),
        })
    }

    fn absent(&self, slot: u16) -> Undefined {
        let why = match self.pattern.slots.get(slot as usize) {
            Some(Slot::Let(expression)) if self.known.is_some() => expression.eval(self).err(),
            // Nobody knows what there is an element of.
            Some(Slot::Element) => Some(Undefined::Forgotten),
            _ => None,
        };
        why.filter(|why| *why == Undefined::Forgotten).unwrap_or(Undefined::Absent { slot })
    }

    fn role(&self, _role: RoleIdx, _slot: u16) -> Option<Val<'_>> {
        None
    }

    fn fact(&self, fact: u16, key: &[Val<'_>], as_of: AsOf) -> Result<Val<'_>, Undefined> {
        self.known.as_ref().ok_or(Undefined::NotAFact { fact })?.read(fact, key, as_of)
    }

    fn clock(&self, clock: u16, key: &[Val<'_>]) -> Option<Val<'_>> {
        self.known.as_ref()?.clock(clock, key)
    }

    fn breaker(&self, breaker: u16, scope: &[Val<'_>]) -> Option<Val<'_>> {
        self.known.as_ref()?.breaker(breaker, scope)
    }

    fn live(&self, component: &str) -> Option<Val<'_>> {
        self.known.as_ref()?.live(component)
    }
}

impl RowEnv<'_> {
    /// Whether the pattern's own conditions hold; none: what they ask was forgotten.
    pub(crate) fn matches(&self) -> Option<bool> {
        if self.route.unconditional {
            return Some(true);
        }
        let body = |template: &crate::BodyTemplate| match self.row.body {
            ValueRef::String(text) => template.matches(text).is_some(),
            _ => false,
        };
        let plainly = self.pattern.component.as_ref().is_none_or(|glob| glob.matches(&self.source.component))
            && self.pattern.severity.is_none_or(|least| self.row.severity >= least)
            && self.pattern.body.as_ref().is_none_or(body);
        if !plainly {
            return Some(false);
        }
        match self.pattern.where_own.as_ref().map_or(Ok(true), |condition| condition.test(self)) {
            Err(Undefined::Forgotten) => None,
            holds => Some(holds.unwrap_or(false)),
        }
    }

    /// Whether the value that belongs there was forgotten.
    pub(crate) fn has_forgotten(&self, slot: u16) -> bool {
        let is_made = matches!(self.pattern.slots.get(slot as usize), Some(Slot::Let(_)));
        is_made && self.slot(slot).is_none() && self.absent(slot) == Undefined::Forgotten
    }

    /// The values later conditions will ask for.
    pub(crate) fn kept(&self) -> Kept {
        Kept::first(self.route.kept, |slot| match self.pattern.slots.get(slot as usize)? {
            // Most are kept as they stand in the event.
            Slot::Attr { int: false, .. } | Slot::Resource(_) => {
                let column = (*self.route.columns.get(slot as usize)?)?;
                self.row.columns.get(column as usize)?.map(ValueRef::to_value)
            }
            Slot::Node => Some(Value::from(self.source.node.as_str())),
            _ => self.slot(slot).map(|value| value.to_value()),
        })
    }

    /// Appends what stands there to a key; nothing where nothing does.
    pub(crate) fn push_key(&self, keys: &mut Vec<u8>, place: Place) -> Option<()> {
        let column = |column: u16| *self.row.columns.get(column as usize)?;
        let value = match place {
            Place::Integer(number) => {
                key::push(keys, &Val::Int(integer(column(number)?)?));
                return Some(());
            }
            Place::Ts => {
                key::push(keys, &Val::Timestamp(self.row.ts));
                return Some(());
            }
            Place::Column(number) => column(number)?,
            Place::Name => ValueRef::String(self.row.name),
            Place::Node => ValueRef::String(&self.source.node),
            Place::Component => ValueRef::String(&self.source.component),
            Place::Network => ValueRef::String(&self.source.network),
            Place::Severity => ValueRef::Int(self.row.severity.into()),
            Place::Body => self.row.body,
            Place::TraceId => ValueRef::String(self.row.trace_id),
        };
        key::push_ref(keys, value);
        Some(())
    }
}

/// An integer that may be written as text; none of anything else.
fn integer(value: ValueRef<'_>) -> Option<Int> {
    match value {
        ValueRef::String(text) => Int::parse(text),
        ValueRef::Int(word) => Some(Int::from(word)),
        ValueRef::BigInt(int) => Some(int.clone()),
        _ => None,
    }
}

/// The elements that a `for_each` runs over.
pub(crate) fn elements(over: &Val<'_>) -> Vec<Value> {
    let from_value = |value: Value| match value {
        Value::List(items) => items,
        Value::Map(entries) => entries
            .into_iter()
            .map(|(name, value)| Value::Map([("key".into(), Value::String(name)), ("value".into(), value)].into()))
            .collect(),
        _ => Vec::new(),
    };
    let mut elements = match over {
        Val::String(text) => crate::expr::parse_json(text).map(from_value).unwrap_or_default(),
        other => from_value(other.to_value()),
    };
    elements.truncate(ELEMENTS_MAX);
    elements
}
