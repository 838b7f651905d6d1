//! What a component reported: plain data that knows nobody.
//!
//! An [`Event`] is a named, timestamped fact from a [`Source`], with typed [`Value`]s. This crate refuses to know where
//! events come from (OTLP, lines), where they are kept (the journal) and what is asked of them (rules).
#![no_std]
extern crate alloc;

mod identity;
mod int;
mod time;
mod value;

use alloc::{string::String, vec::Vec};
use core::fmt;

pub use identity::Identity;
pub use int::Int;
pub use time::{Timestamp, format_duration};
pub use value::{Value, ValueRef};

/// Where an event stands in the journal: partition, frame, and the event's number inside the frame.
///
/// Any value is fine; the order is the order of the journal within one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// The journal's partition; 0 where there is only one.
    pub partition: u16,
    /// The frame's number, counted from 1 over the life of the journal.
    pub frame: u64,
    /// The event's number inside its frame, in the order of the walk, from 0.
    pub record: u32,
}

impl fmt::Display for Position {
    /// `partition-frame-record`, the form the JSON API and links use.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.partition, self.frame, self.record)
    }
}

impl core::str::FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(InvalidPosition);
        let position = Position {
            partition: next()?.parse().map_err(|_| InvalidPosition)?,
            frame: next()?.parse().map_err(|_| InvalidPosition)?,
            record: next()?.parse().map_err(|_| InvalidPosition)?,
        };
        if parts.next().is_some() { Err(InvalidPosition) } else { Ok(position) }
    }
}

/// The text is not of the form `partition-frame-record`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPosition;

impl fmt::Display for InvalidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a position is written `partition-frame-record`, for example `0-17-3`")
    }
}

impl core::error::Error for InvalidPosition {}

/// The (network, node, component) that emitted an event; any of them may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Source {
    /// The network the node belongs to (`mainnet`); empty when the sender names none.
    pub network: String,
    /// The running instance (`validator-3`).
    pub node: String,
    /// The part of the node (`batch_coordinator`).
    pub component: String,
}

/// An owned event, as searches, evidence and tests handle it. The path to the rules borrows instead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// Where it stands in the journal (or in the files of a replay).
    pub position: Position,
    /// What tells it from its twins and shows its repeats (see [`Identity`]).
    pub identity: Identity,
    /// When it happened, by its sender's clock.
    pub ts: Timestamp,
    /// When it was accepted, by the journal's clock; [`Timestamp::ZERO`] offline.
    pub arrived: Timestamp,
    /// Who reported it.
    pub source: Source,
    /// What happened (`quorum_store.batch.persisted`).
    pub name: String,
    /// Attributes in the order sent; names are unique, the last of equal names wins.
    pub attrs: Vec<(String, Value)>,
    /// The resource's attributes, in the order sent.
    pub resource: Vec<(String, Value)>,
    /// The log record's body; [`Value::Null`] when there is none.
    pub body: Value,
    /// Lower-case hex, 32 digits; empty when absent.
    pub trace_id: String,
    /// Lower-case hex, 16 digits; empty when absent.
    pub span_id: String,
    /// OpenTelemetry's severity number, 0 when unset (1 to 4 trace, 5 debug, 9 info, 13 warn, 17 error, 21 fatal).
    pub severity: i32,
}

impl Event {
    /// The attribute of that name.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<&Value> {
        self.attrs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}
