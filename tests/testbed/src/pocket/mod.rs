//! Relay miners of a Pocket Network supplier in miniature: relays in, claims and proofs out, by block height.
//!
//! ```text
//! gateways ~> proxy_server -> relay_validator -> relay_meter -> backend -> relay_processor ~> redis stream
//! chain ~> block_publisher (of the leader) ~> redis ~> block_subscriber -> session_lifecycle, cache_orchestrator
//!          redis stream ~> smst (of the leader) -> session_lifecycle -> claim_pipeline, proof_pipeline ~> chain
//! ```
//!
//! Every instance serves relays; one of them, the leader, has the sessions in memory and claims and proves them. The
//! chain and Redis are the surroundings, shared by all instances: they report nothing. A block takes a second, a session
//! four blocks, and each window three. Roots are hashes over hashes, not sparse Merkle sums.

mod blocks;
mod cache;
mod chain;
mod gauges;
mod instance;
mod leader;
mod miner;
mod pipeline;
mod redis;
mod relayer;

pub(crate) use instance::{Surroundings, run, surround};

/// Capacity of the claim and proof queues and of the supplier registry's.
const QUEUE: usize = 2000;

/// Reports an event of a component.
macro_rules! pocket_event {
    ($scope:literal, $name:literal $(, $($fields:tt)+)?) => {
        tracing::event!(name: $name, target: $scope, tracing::Level::INFO, $($($fields)+)?)
    };
}

use pocket_event;

/// A number of things, as an OTLP integer.
fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
