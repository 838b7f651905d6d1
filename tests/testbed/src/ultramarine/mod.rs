//! Nodes of Ultramarine in miniature: decided blocks with blobs, and the sync of what a node missed.
//!
//! ```text
//! validators (stand-in) -> gossip -> app -> consensus_store, blob_engine   (append-only files, synced)
//!                                    app -> execution_layer                (a task behind a channel)
//!            malachite_sync of a peer <-> malachite_sync -> app
//! ```
//!
//! Which value is proposed and decided at a height and round follows from the seed and the clock, so all nodes decide the
//! same. Every node misses the gossip of every fourth height, and of those that pass while it restarts, and then asks its
//! peers: real requests over channels, packages of bytes that are decoded, verified and stored. A blob is 4 KiB here, and
//! a hash stands in for its KZG commitment.

mod blobs;
mod chain;
mod client;
mod execution;
mod import;
mod network;
mod node;
mod process;
mod server;
mod store;

pub(crate) use network::{Network, validators};
pub(crate) use node::run;

/// Reports something about a height and round: the attributes that all such events have, then its own.
macro_rules! height_event {
    ($level:ident, $scope:literal, $name:literal, $at:expr $(, $($rest:tt)+)?) => {
        tracing::event!(
            name: $name,
            target: $scope,
            tracing::Level::$level,
            height = $at.height,
            round = $at.round,
            $($($rest)+)?
        )
    };
}

use height_event;

#[cfg(test)]
mod tests;
