//! Validators of a Malachite chain in miniature: a small Tendermint consensus that really decides.
//!
//! ```text
//! peers <-> network <-> consensus <-> host
//!                         |   \-> sync (in the same loop: statuses, requests, answers)
//!                         \--> wal (an append-only file with checksums)
//! ```
//!
//! Four validators of equal power propose, prevote and precommit over bounded channels, with timeouts, rounds and
//! locks; a write-ahead log brings a restarted one back to where it was; one that is behind asks its peers for decided
//! values. Nothing is signed: a vote names its validator and is believed. Events follow the engine's public stream.

mod machine;
mod message;
mod network;
mod node;
mod process;
mod wal;

pub(crate) use {network::Network, node::run};

/// Validators of the network; one of them may be wrong or away.
pub(crate) const VALIDATORS: usize = 4;
/// Votes that are more than two thirds of four.
const QUORUM: usize = 3;
/// Votes of which one is honest.
const HONEST: usize = 2;

/// Reports an event of the engine's stream.
macro_rules! engine_event {
    ($name:literal $(, $($fields:tt)+)?) => {
        tracing::event!(
            name: $name,
            target: "malachitebft.engine.events",
            tracing::Level::INFO,
            $($($fields)+)?
        )
    };
}

use engine_event;

#[cfg(test)]
mod tests;
