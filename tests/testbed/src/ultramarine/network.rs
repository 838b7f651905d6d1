//! What is between the nodes: the gossip of proposals, everybody's height, and the channels that requests go through.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::chain::{At, Chain, Proposal};
use crate::world::World;

/// Proposals that may wait for a node; one that falls further behind syncs.
const GOSSIP_CAPACITY: usize = 64;

/// A request for a decided value.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) height: i64,
    pub(super) from: String,
    pub(super) id: String,
    /// Whether the client would be content with metadata.
    pub(super) metadata_only: bool,
    /// Where the package's bytes go.
    pub(super) reply: oneshot::Sender<Option<Vec<u8>>>,
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Package {
    pub(super) height: i64,
    pub(super) round: i64,
    pub(super) certificate_round: i64,
    pub(super) value_id: String,
    /// The payload and its blobs, in hex; none in a package of metadata only.
    pub(super) content: Option<(String, Vec<String>)>,
}

/// A node as its peers see it.
#[derive(Clone, Debug)]
struct Peer {
    committed: i64,
    requests: mpsc::Sender<Request>,
}

/// The network of one testbed.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(super) gossip: broadcast::Sender<Arc<Proposal>>,
    peers: Arc<Mutex<BTreeMap<String, Peer>>>,
}

impl Default for Network {
    fn default() -> Network {
        Network { gossip: broadcast::Sender::new(GOSSIP_CAPACITY), peers: Arc::default() }
    }
}

impl Network {
    fn peers(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Peer>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self, node: &str, committed: i64, requests: mpsc::Sender<Request>) {
        self.peers().insert(node.to_owned(), Peer { committed, requests });
    }

    pub(super) fn leave(&self, node: &str) {
        self.peers().remove(node);
    }

    pub(super) fn announce(&self, node: &str, committed: i64) {
        if let Some(peer) = self.peers().get_mut(node) {
            peer.committed = committed;
        }
    }

    /// The other nodes and their heights.
    pub(super) fn others(&self, node: &str) -> Vec<(String, i64)> {
        self.peers()
            .iter()
            .filter(|(name, _)| *name != node)
            .map(|(name, peer)| (name.clone(), peer.committed))
            .collect()
    }

    /// The greatest height that any node has committed.
    fn highest(&self) -> Option<i64> {
        self.peers().values().map(|peer| peer.committed).max()
    }

    /// Where requests to a node go.
    pub(super) fn requests_to(&self, node: &str) -> Option<mpsc::Sender<Request>> {
        self.peers().get(node).map(|peer| peer.requests.clone())
    }
}

/// How long a height is apart from the next.
pub(super) fn height_period(world: &World) -> Duration {
    Duration::from_secs_f64(20.0 / world.config.rate)
}

/// When a height's proposals are sent.
pub(super) fn due(world: &World, chain: Chain, height: i64) -> Instant {
    world.clock.start() + height_period(world).mul_f64((height - chain.first_height() + 1) as f64)
}

/// The network's validators, as far as the nodes hear of them: proposals of every round come at their time, and again
/// when not one node has got on.
pub(crate) async fn validators(world: World, network: Network, stop: CancellationToken) {
    let chain = Chain { seed: world.config.seed, genesis_ms: world.clock.genesis_ms() };
    for height in chain.first_height().. {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(due(&world, chain, height)) => {}
        }
        let stuck = network.highest().map(|committed| committed + 1).filter(|next| *next < height - 1);
        for height in stuck.into_iter().chain([height]) {
            for round in 0..=chain.decided(height).round {
                // Nobody may be listening.
                let _ = network.gossip.send(Arc::new(chain.proposal(At { height, round })));
            }
        }
    }
}
