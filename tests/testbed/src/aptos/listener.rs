//! The network listener: takes what peers send and hands batches to the coordinators in turn. It judges nothing.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc};

use super::{StopRequest, acknowledge, asked, batch::Batch, component_event, mempool::MempoolRequest, network::Gossip};

pub(super) struct NetworkListener {
    pub(super) node: Arc<str>,
    pub(super) gossip: broadcast::Receiver<Gossip>,
    pub(super) coordinators: Vec<mpsc::Sender<Arc<Batch>>>,
    pub(super) mempool: mpsc::Sender<MempoolRequest>,
}

impl NetworkListener {
    /// Listens until asked to stop; then the coordinators' channels close behind what is in them.
    pub(super) async fn run(mut self, mut stop: StopRequest) {
        component_event!("network_listener", "quorum_store.component.started", "network_listener", "node started");
        let mut turn = 0;
        let request = loop {
            let heard = tokio::select! {
                biased;
                request = asked(&mut stop) => break request,
                heard = self.gossip.recv() => heard,
            };
            match heard {
                Ok(Gossip::Transactions(txns)) => {
                    // A mempool that is gone needs no transactions.
                    let _ = self.mempool.send(MempoolRequest::Add(txns)).await;
                }
                Ok(Gossip::Batch { to, batch }) => {
                    if to.is_none_or(|to| to == self.node) {
                        let coordinator = &self.coordinators[turn % self.coordinators.len()];
                        turn += 1;
                        // A worker outlives its channel, so there is always one to take this.
                        let _ = coordinator.send(batch).await;
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => break asked(&mut stop).await,
            }
        };
        component_event!("network_listener", "quorum_store.component.stopped", "network_listener", "shutdown");
        acknowledge(request);
    }
}
