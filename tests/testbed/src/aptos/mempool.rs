//! The mempool: transactions that are in no block yet, oldest first. The generator pulls from it and it forgets only
//! what is committed, so the generator must say what it has already.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use tokio::sync::{mpsc, oneshot};

use super::batch::{TxnHash, count};

/// Transactions that wait at most; newer ones are refused, as a real mempool refuses them.
const CAPACITY: usize = 10_000;

/// What a mempool is asked.
pub(super) enum MempoolRequest {
    /// Take these in.
    Add(Arc<[TxnHash]>),
    /// Hand out up to `max_count` that are not excluded.
    Pull { max_count: usize, exclude: HashSet<TxnHash>, reply: oneshot::Sender<Pulled> },
    /// These are in a block.
    Committed(Vec<TxnHash>),
}

/// What was pulled.
pub(super) struct Pulled {
    pub(super) txns: Vec<TxnHash>,
    /// How many were passed over.
    pub(super) excluded: i64,
}

/// Serves until every requester is gone.
pub(super) async fn run(mut requests: mpsc::Receiver<MempoolRequest>) {
    let mut waiting: VecDeque<TxnHash> = VecDeque::new();
    while let Some(request) = requests.recv().await {
        match request {
            MempoolRequest::Add(txns) => {
                let room = CAPACITY - waiting.len();
                waiting.extend(txns.iter().take(room).cloned());
            }
            MempoolRequest::Pull { max_count, exclude, reply } => {
                let mut pulled = Pulled { txns: Vec::new(), excluded: 0 };
                for txn in &waiting {
                    if pulled.txns.len() == max_count {
                        break;
                    }
                    if exclude.contains(txn) {
                        pulled.excluded += count(1);
                    } else {
                        pulled.txns.push(Arc::clone(txn));
                    }
                }
                // A generator that is gone meanwhile has pulled nothing: the transactions still wait.
                let _ = reply.send(pulled);
            }
            MempoolRequest::Committed(txns) => {
                let committed: HashSet<TxnHash> = txns.into_iter().collect();
                waiting.retain(|txn| !committed.contains(txn));
            }
        }
    }
}
