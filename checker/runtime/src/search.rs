//! Searching the journal: events, the newest first.
use event::{Event, Position, Timestamp};
use journal::{Frame, Journal, Kind, Order, ReadError, ScanRange};
use wire::{Refused, Signal};

use crate::{feed, freeze::Evidence, json};

/// What is looked for; empty parts match everything.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Event time, from.
    pub from: Option<Timestamp>,
    /// Event time, to.
    pub to: Option<Timestamp>,
    /// The network.
    pub network: Option<String>,
    /// The node.
    pub node: Option<String>,
    /// The component.
    pub component: Option<String>,
    /// The event's name; `*` stands for any run.
    pub event: Option<String>,
    /// Attributes and their values, as text.
    pub attrs: Vec<(String, String)>,
    /// The trace id.
    pub trace: Option<String>,
    /// Text anywhere in the name or the values.
    pub q: Option<String>,
    /// Only what stands before this.
    pub before: Option<Position>,
    /// How many.
    pub limit: usize,
}

/// How long before its arrival an event may have happened and still be found by time: bounds what a search reads.
const DELAY_MAX: std::time::Duration = std::time::Duration::from_secs(3_600);

/// How many frames one search looks at before it answers with what it has, and where to go on.
const FRAMES_MAX: usize = 20_000;

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The newest first.
    pub events: Vec<Event>,
    /// Where the search stopped, when there may be more: the next one's [`Query::before`]. There may be one even when
    /// nothing was found, because a search looks at a bounded part of the journal.
    pub next: Option<Position>,
}

/// The signal of a frame's body.
#[must_use]
pub fn signal(frame: &Frame) -> Option<Signal> {
    match frame.kind {
        Kind::LOGS => Some(Signal::Logs),
        Kind::TRACES => Some(Signal::Traces),
        _ => None,
    }
}

/// A frame's events, in order.
#[must_use]
pub fn events(frame: &Frame) -> Vec<Event> {
    let Some(signal) = signal(frame) else { return Vec::new() };
    let at = Position { partition: 0, frame: frame.number, record: 0 };
    feed::events(signal, &frame.body, &Refused::from(&*frame.refused), frame.arrived, at)
}

/// Runs a search; blocks on the disk.
///
/// # Errors
/// When the journal cannot be read.
pub fn search(journal: &Journal, query: &Query) -> Result<Found, ReadError> {
    let mut found = Found::default();
    let last = query.before.map_or(u64::MAX, |before| before.frame);
    let arrived_from = query.from.map_or(Timestamp::ZERO, |from| from.minus(std::time::Duration::from_secs(60)));
    let arrived_to = query.to.map_or(Timestamp::MAX, |to| to.plus(DELAY_MAX));
    let range = ScanRange { frames: 0..=last, arrived: arrived_from..=arrived_to, order: Order::NewestFirst };
    let glob = query.event.as_deref().map(engine::Glob::new);
    let mut looked_at = 0;
    for frame in journal.scan(range) {
        let frame = frame?;
        if frame.events == 0 {
            continue;
        }
        looked_at += 1;
        for event in events(&frame).into_iter().rev() {
            if matches(query, glob.as_ref(), &event) {
                let at = event.position;
                found.events.push(event);
                if found.events.len() == query.limit {
                    found.next = Some(at);
                    return Ok(found);
                }
            }
        }
        if looked_at == FRAMES_MAX {
            found.next = Some(Position { partition: 0, frame: frame.number, record: 0 });
            break;
        }
    }
    Ok(found)
}

fn matches(query: &Query, glob: Option<&engine::Glob>, event: &Event) -> bool {
    let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
    let text = |name: &str| event.attr(name).map(json::text);
    query.before.is_none_or(|before| event.position < before)
        && query.from.is_none_or(|from| from <= event.ts)
        && query.to.is_none_or(|to| event.ts <= to)
        && is(&query.network, &event.source.network)
        && is(&query.node, &event.source.node)
        && is(&query.component, &event.source.component)
        && is(&query.trace, &event.trace_id)
        && glob.is_none_or(|glob| glob.matches(&event.name))
        && query.attrs.iter().all(|(name, value)| text(name).as_deref() == Some(value))
        && query.q.as_deref().is_none_or(|q| {
            event.name.contains(q) || event.attrs.iter().any(|(_, value)| json::text(value).contains(q))
        })
}

/// Evidence out of the journal, with the last few frames kept decoded.
pub struct FromJournal {
    journal: Journal,
    decoded: std::collections::VecDeque<(u64, Vec<Event>)>,
}

impl FromJournal {
    /// Evidence out of this journal.
    #[must_use]
    pub fn new(journal: Journal) -> Self {
        FromJournal { journal, decoded: std::collections::VecDeque::new() }
    }
}

/// How many frames are kept decoded.
const DECODED_MAX: usize = 16;

impl Evidence for FromJournal {
    fn event(&mut self, position: Position) -> Option<Event> {
        if !self.decoded.iter().any(|(frame, _)| *frame == position.frame) {
            let frame = match self.journal.read_frame(position.frame) {
                Ok(frame) => frame?,
                Err(error) => {
                    tracing::warn!(%error, %position, "evidence cannot be read");
                    return None;
                }
            };
            if self.decoded.len() == DECODED_MAX {
                self.decoded.pop_front();
            }
            self.decoded.push_back((position.frame, events(&frame)));
        }
        let (_, events) = self.decoded.iter().find(|(frame, _)| *frame == position.frame)?;
        events.iter().find(|event| event.position == position).cloned()
    }
}
