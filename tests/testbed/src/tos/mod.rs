//! Nodes of TOS in miniature: blocks whose transactions run in parallel and are merged under one commit point.
//!
//! ```text
//! blockchain -> parallel_executor -> parallel_chain_state -> merge -> storage (an append-only file, synced)
//!                                             \-> storage             \-> applicable_chain_state
//! ```
//!
//! A block's transactions are grouped into batches without common accounts; each batch runs on as many tokio tasks as it
//! has transactions, and the tasks share accounts, counters and one permit for reads. Every node executes the same blocks,
//! so write sequences and state roots agree, whatever the scheduler did. The third node has parallel execution switched
//! off and must reach the same roots on the sequential path. There is no consensus and no network: which blocks there are,
//! and when, follows from the seed and the clock.

mod blockchain;
mod chain;
mod chain_state;
mod executor;
mod merge;
mod node;
mod storage;

pub(crate) use node::run;

/// Reports something about a block: the attributes that all such events have, then its own.
macro_rules! block_event {
    ($level:ident, $scope:literal, $name:literal, $block:expr $(, $($rest:tt)+)?) => {
        tracing::event!(
            name: $name,
            target: $scope,
            tracing::Level::$level,
            block.hash = $block.hash.as_str(),
            topoheight = $block.topoheight,
            $($($rest)+)?
        )
    };
}

use block_event;

#[cfg(test)]
mod tests;
