//! The execution layer: a task of its own behind a channel, which outlives the node's process as the real one does.

use std::collections::HashSet;

use tokio::sync::{mpsc, oneshot};

/// One height in so many meets an execution layer that is still syncing.
const SYNCING_EVERY: i64 = 20;

/// A call of the Engine API.
#[derive(Debug)]
pub(super) enum Call {
    /// `engine_newPayloadV3`; answers with the status.
    NewPayload { height: i64, block_hash: String, parent_hash: String, reply: oneshot::Sender<&'static str> },
    /// `engine_forkchoiceUpdatedV3`; answers with the status.
    Forkchoice { block_hash: String, reply: oneshot::Sender<&'static str> },
    /// Takes the next payload as its first one, as after a resync.
    Anchor,
}

/// Runs until nobody can call any more.
pub(super) async fn run(mut calls: mpsc::Receiver<Call>) {
    let mut known: HashSet<String> = HashSet::new();
    let mut put_off: HashSet<String> = HashSet::new();
    while let Some(call) = calls.recv().await {
        // Who asked and went away needs no answer.
        match call {
            Call::NewPayload { height, block_hash, parent_hash, reply } => {
                let status = if height % SYNCING_EVERY == 13 && put_off.insert(block_hash.clone()) {
                    "SYNCING"
                } else if known.is_empty() || known.contains(&parent_hash) {
                    known.insert(block_hash);
                    "VALID"
                } else {
                    "INVALID"
                };
                let _ = reply.send(status);
            }
            Call::Forkchoice { block_hash, reply } => {
                let _ = reply.send(if known.contains(&block_hash) { "VALID" } else { "SYNCING" });
            }
            Call::Anchor => known.clear(),
        }
    }
}
