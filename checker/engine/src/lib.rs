//! Events and time in, verdicts out.
//!
//! The engine is a deterministic function of its input: it does no I/O, reads no clock, spawns no thread and never
//! iterates over a hash map. Time enters as data: arrival stamps and ticks from the journal. Replay, tests, backtests,
//! restarts and several machines all run this code and reach the same verdicts.
#![no_std]
extern crate alloc;

mod adopt;
mod agenda;
mod arrival;
mod body;
pub mod breaker;
mod chunks;
mod clock;
mod definition;
mod derive;
mod emission;
mod engine;
pub mod expr;
mod fact;
mod first;
mod gap;
mod glob;
mod history;
mod hold;
mod instance;
mod intake;
mod judge;
mod key;
mod kind;
mod mail;
mod measure;
mod pack;
mod partition;
mod pattern;
mod program;
mod reading;
mod relation;
mod remembered;
mod rerun;
mod route;
mod row;
mod scope;
mod source;
mod table;
mod timer;
mod touch;
mod tripping;
mod undecided;
mod verdict;
mod warm;
mod world;

pub use adopt::CheckpointError;
pub use body::{BodyTemplate, TemplateError};
pub use breaker::{Breaker, BreakerChange, BreakerState};
pub use engine::{Census, Engine, Health, Input};
pub use glob::Glob;
pub use kind::Tally;
pub use pack::*;
pub use program::{Program, RuleIdx};
pub use route::{Column, Wanted};
pub use row::{EventIdx, Row};
pub use source::{SourceIdx, SourceState, Timing};
pub use tripping::{Forced, UnknownBreaker};
pub use verdict::{Cited, EventRef, Missing, Output, Unknown, Violation, ViolationId};
pub use warm::{WARM_UP_MAX, WarmUp};
