//! Full nodes of Obyte in miniature: triggers of autonomous agents, executed one at a time over two stores.
//!
//! ```text
//! writer     -> aa_composer -> kvstore     (an append-only file, synced)
//!                          \-> sqlite_pool (SQLite, one transaction a trigger)
//!                          \-> event_bus
//! ```
//!
//! State variables are written to the key-value store *before* the SQL transaction commits, as ocore does. Every node
//! executes the same triggers over the same state, so their digests agree. There is no consensus and no network: which
//! triggers are stable, and when, follows from the seed and the clock.

mod agent;
mod composer;
mod database;
mod kvstore;
mod mishap;
mod node;
mod process;
mod writer;

pub(crate) use node::run;

/// Reports a step of a trigger: the attributes that all of them have, then those of the step.
macro_rules! trigger_event {
    ($level:ident, $scope:literal, $name:literal, $trigger:expr, $tx:expr $(, $($rest:tt)+)?) => {
        tracing::event!(
            name: $name,
            target: $scope,
            tracing::Level::$level,
            obyte.mci = $trigger.mci,
            obyte.unit = $trigger.unit.as_str(),
            obyte.aa_address = $trigger.agent.as_str(),
            obyte.tx_id = $tx,
            $($($rest)+)?
        )
    };
}

use trigger_event;
