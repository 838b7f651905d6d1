//! Records: log records, spans and span events as the events they are.
use event::{Event, Identity, Position, Source, Timestamp, Value};

use crate::{
    Any, Occurrences,
    any::last_wins,
    reader::{Flaw, Reader, Wire, text},
};

/// A value, read only when somebody asks for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lazy<'a> {
    /// The `AnyValue` message.
    Sent(&'a [u8]),
    /// What the walk says itself.
    Said(Any<'a>),
}

impl<'a> Lazy<'a> {
    /// What a checked message holds can be read; of any other, what cannot is null.
    #[inline]
    pub(crate) fn value(self) -> Any<'a> {
        match self {
            Lazy::Sent(message) => Any::parse(message).unwrap_or(Any::Null),
            Lazy::Said(value) => value,
        }
    }
}

/// An attribute of which only the ends are known: most are asked for by nobody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: Lazy<'a>,
}

impl<'a> Attribute<'a> {
    /// An attribute without a name and a value.
    pub(crate) const EMPTY: Attribute<'static> = Attribute { name: &[], value: Lazy::Sent(&[]) };

    pub(crate) fn said(name: &'static str, value: Any<'a>) -> Self {
        Self { name: name.as_bytes(), value: Lazy::Said(value) }
    }

    /// Finds name and value of one `KeyValue` message.
    #[inline]
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, Flaw> {
        let mut attribute = Self::EMPTY;
        for field in Reader::new(message) {
            match field? {
                (1, Wire::Bytes(name)) => attribute.name = name,
                (2, Wire::Bytes(value)) => attribute.value = Lazy::Sent(value),
                _ => {}
            }
        }
        Ok(attribute)
    }

    fn pair(&self) -> (&'a str, Any<'a>) {
        (text(self.name).unwrap_or_default(), self.value.value())
    }
}

/// What a resource says, read once for all its records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resource<'a> {
    pub(crate) attrs: Vec<Attribute<'a>>,
    pub(crate) node: &'a str,
    pub(crate) network: &'a str,
    pub(crate) service: &'a str,
}

/// What names the node: the first that is there (OpenTelemetry semantic conventions, resource attributes).
pub(crate) const NODE_NAMES: [&str; 3] = ["service.instance.id", "host.name", "service.name"];
/// What names its network.
pub(crate) const NETWORK_NAMES: [&str; 3] = ["deployment.environment.name", "network", "service.namespace"];

impl<'a> Resource<'a> {
    /// Resolves who is speaking: see [`NODE_NAMES`] and [`NETWORK_NAMES`]; empty where none is there.
    pub(crate) fn resolve(&mut self) {
        let first = |names: &[&str]| names.iter().find_map(|name| self.text(name)).unwrap_or_default();
        let node = first(&NODE_NAMES);
        let network = first(&NETWORK_NAMES);
        let service = first(&["service.name"]);
        (self.node, self.network, self.service) = (node, network, service);
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        find(&self.attrs, name).and_then(|value| match value {
            Any::Str(text) if !text.is_empty() => Some(text),
            _ => None,
        })
    }
}

/// Of equal names the last wins.
fn find<'a>(attrs: &[Attribute<'a>], name: &str) -> Option<Any<'a>> {
    attrs.iter().rev().find(|attribute| attribute.name == name.as_bytes()).map(|attribute| attribute.value.value())
}

/// One event, borrowed from the request (`'a`) and from what the walk keeps for reuse (`'s`).
#[derive(Clone, Copy, Debug)]
pub struct Record<'a, 's> {
    pub(crate) index: u32,
    pub(crate) event_name: &'a str,
    pub(crate) time: u64,
    pub(crate) observed: u64,
    /// The end of the span, for span events.
    pub(crate) sent: u64,
    pub(crate) severity: i32,
    pub(crate) body: Lazy<'a>,
    pub(crate) attrs: &'s [Attribute<'a>],
    pub(crate) resource: &'s Resource<'a>,
    pub(crate) scope: &'a str,
    pub(crate) trace_id: &'a [u8],
    pub(crate) span_id: &'a [u8],
    pub(crate) dropped_attributes: u32,
}

/// Whether that is what `tracing` makes of a place in the source.
fn is_place(name: &str) -> bool {
    let line = name.strip_prefix("event ").and_then(|place| place.rsplit_once(':')).map(|(_, line)| line);
    line.is_some_and(|line| !line.is_empty() && line.bytes().all(|digit| digit.is_ascii_digit()))
}

impl<'a, 's> Record<'a, 's> {
    /// Its number in the request, in the order of the walk, refused ones counted.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The event's name: `event_name`, else attribute `event.name`, else `log`. What Rust's `tracing` calls an event that has
    /// no name, after its place in the source (`event src/main.rs:12`), is none.
    #[must_use]
    pub fn name(&self) -> &'a str {
        if !self.event_name.is_empty() && !is_place(self.event_name) {
            return self.event_name;
        }
        match find(self.attrs, "event.name") {
            Some(Any::Str(name)) if !name.is_empty() => name,
            _ => "log",
        }
    }

    /// When it happened: its time, else when it was observed, else when it arrived.
    #[must_use]
    pub fn ts(&self, arrived: Timestamp) -> Timestamp {
        match (self.time, self.observed) {
            (0, 0) => arrived,
            (0, observed) => Timestamp(observed),
            (time, _) => Timestamp(time),
        }
    }

    /// When it was ready to be sent: the end of its span, for span events; else when it happened.
    #[must_use]
    pub fn sent_at(&self, arrived: Timestamp) -> Timestamp {
        if self.sent == 0 { self.ts(arrived) } else { Timestamp(self.sent) }
    }

    /// OpenTelemetry's severity number; 0 when unset.
    #[must_use]
    pub fn severity(&self) -> i32 {
        self.severity
    }

    /// The log record's body.
    #[must_use]
    pub fn body(&self) -> Any<'a> {
        self.body.value()
    }

    /// The attribute of that name; of equal names the last.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<Any<'a>> {
        find(self.attrs, name)
    }

    /// The resource's attribute of that name.
    #[must_use]
    pub fn resource_attr(&self, name: &str) -> Option<Any<'a>> {
        find(&self.resource.attrs, name)
    }

    /// The running instance that sent it.
    #[must_use]
    pub fn node(&self) -> &'a str {
        self.resource.node
    }

    /// The network it belongs to; may be empty.
    #[must_use]
    pub fn network(&self) -> &'a str {
        self.resource.network
    }

    /// The part of the node: the scope's name, else attribute `component`, else the service's name.
    #[must_use]
    pub fn component(&self) -> &'a str {
        if !self.scope.is_empty() {
            return self.scope;
        }
        match find(self.attrs, "component") {
            Some(Any::Str(name)) if !name.is_empty() => name,
            _ => self.resource.service,
        }
    }

    /// 16 bytes; empty when absent or of the wrong length.
    #[must_use]
    pub fn trace_id(&self) -> &'a [u8] {
        self.trace_id
    }

    /// The trace id in lower-case hex, written into `digits`; empty when absent.
    #[must_use]
    pub fn trace_id_hex_in<'d>(&self, digits: &'d mut [u8; 32]) -> &'d str {
        let used = self.trace_id.len() * 2;
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.trace_id) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        digits.get(..used).and_then(|digits| str::from_utf8(digits).ok()).unwrap_or_default()
    }

    /// 8 bytes; empty when absent or of the wrong length.
    #[must_use]
    pub fn span_id(&self) -> &'a [u8] {
        self.span_id
    }

    /// How many attributes its sender left out.
    #[must_use]
    pub fn dropped_attributes(&self) -> u32 {
        self.dropped_attributes
    }

    /// What tells it from others and shows its repeats; see [`Identity`].
    #[must_use]
    pub fn identity(&self, occurrences: &mut Occurrences) -> Identity {
        occurrences.identity(self)
    }

    /// The event, owned; its identity is left for the caller, who knows the others of the request.
    #[must_use]
    pub fn to_event(self, arrived: Timestamp, position: Position) -> Event {
        Event {
            position,
            identity: Identity::default(),
            ts: self.ts(arrived),
            arrived,
            source: Source {
                network: self.network().into(),
                node: self.node().into(),
                component: self.component().into(),
            },
            name: self.name().into(),
            attrs: owned(self.attrs),
            resource: owned(&self.resource.attrs),
            body: self.body().to_value(),
            trace_id: hex(self.trace_id),
            span_id: hex(self.span_id),
            severity: self.severity,
        }
    }
}

fn owned(attrs: &[Attribute<'_>]) -> Vec<(String, Value)> {
    last_wins(attrs.iter().map(|attribute| {
        let (name, value) = attribute.pair();
        (name, value.to_value())
    }))
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}
