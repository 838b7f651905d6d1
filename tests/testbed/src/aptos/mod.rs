//! Validators of an Aptos quorum store in miniature: from the network listener to the proof manager.
//!
//! ```text
//! peers ~> network_listener -> batch_coordinator-{0..3} -> batch_generator <-> mempool
//!                                  |  \-> batch_store          |
//!                                  \--> proof_manager <- proof_coordinator
//!                                            \-> quorum_store_coordinator -> batch_generator, batch_store, mempool
//! ```
//!
//! Every arrow is a bounded channel, but for the store, which is called. Names, channel sizes and limits are those of
//! `QuorumStoreConfig` in aptos-core. There is no consensus: what the proof manager holds is committed a moment later.

mod batch;
mod breaker;
mod coordinator;
mod generator;
mod listener;
mod mempool;
mod network;
mod proof;
mod store;
mod validator;

pub(crate) use network::{GOSSIP_CAPACITY, peers};
pub(crate) use validator::run;

/// `QuorumStoreConfig::channel_size`: the capacity of every channel of the quorum store.
const CHANNEL_SIZE: usize = 1000;
/// Coordinator workers; aptos-core runs ten.
const WORKERS: usize = 4;
/// The epoch all batches are of: the testbed does not run long enough for another.
const EPOCH: i64 = 1;

use std::sync::Arc;

use tokio::sync::oneshot;

/// Asks a component to stop; it answers through the enclosed sender when it has.
type StopRequest = oneshot::Receiver<oneshot::Sender<()>>;

/// Reports a step of a batch: the attributes that all of them have, then those of the step.
macro_rules! batch_event {
    ($level:ident, $scope:literal, $name:literal, $batch:expr, $worker:expr $(, $($rest:tt)+)?) => {
        tracing::event!(
            name: $name,
            target: $scope,
            tracing::Level::$level,
            batch.author = &*$batch.author,
            batch.id = $batch.id.as_str(),
            batch.digest = $batch.digest.as_str(),
            epoch = $crate::aptos::EPOCH,
            worker = &*$worker,
            $($($rest)+)?
        )
    };
}

/// Reports that a component started or stopped.
macro_rules! component_event {
    ($scope:literal, $name:literal, $component:expr, $reason:expr) => {
        tracing::info!(name: $name, target: $scope, component = &*$component, reason = &*$reason)
    };
}

use {batch_event, component_event};

/// Waits to be asked to stop. A requester that is gone has stopped everything already.
async fn asked(stop: &mut StopRequest) -> Option<oneshot::Sender<()>> {
    stop.await.ok()
}

/// Answers a request to stop. Nobody may be waiting any more.
fn acknowledge(request: Option<oneshot::Sender<()>>) {
    if let Some(request) = request {
        let _ = request.send(());
    }
}

/// A worker's name, as its events and its node's shutdown spell it.
fn worker_name(index: usize) -> Arc<str> {
    format!("batch_coordinator-{index}").into()
}
