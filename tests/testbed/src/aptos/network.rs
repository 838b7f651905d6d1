//! The other validators of the network: they send batches and transactions to every node of the testbed.
//! They run no quorum store of their own.

use std::{sync::Arc, time::Duration};

use rand::Rng;
use sha2::{Digest, Sha256};
use tokio::{
    sync::broadcast,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    CHANNEL_SIZE,
    batch::{Batch, TxnHash},
    coordinator::RECEIVER_MAX_BATCH_TXNS,
};
use crate::{ExportError, faults::Fault, world::World};

/// Messages on their way to a node; one that reads slower misses some, as from a real network.
pub(crate) const GOSSIP_CAPACITY: usize = 4096;
/// How many validators there are beside those of the testbed.
const PEERS: usize = 4;
/// How long a batch lives: `batch_expiry_gap_when_init_usecs`.
pub(super) const BATCH_LIFE_USECS: i64 = 60_000_000;
/// How often a peer sends a batch over the limits, by mistake.
const OVERSIZED_EVERY: Duration = Duration::from_secs(30);
/// Batches in one flood: enough to fill the generator's channel while all workers wait.
const FLOOD: usize = CHANNEL_SIZE + 200;
/// How often a peer that knows no limits sends a batch over them.
const LIMITS_IGNORED_EVERY: Duration = Duration::from_secs(1);
/// How often a flood comes; the generator hangs a little shorter.
const FLOOD_EVERY: Duration = Duration::from_secs(11);

/// What the network carries.
#[derive(Clone, Debug)]
pub(crate) enum Gossip {
    /// Transactions for every mempool.
    Transactions(Arc<[TxnHash]>),
    /// A batch, for every node or for one.
    Batch { to: Option<Arc<str>>, batch: Arc<Batch> },
}

/// Sends batches and transactions until it is told to stop.
pub(crate) async fn peers(
    world: World,
    gossip: broadcast::Sender<Gossip>,
    stop: CancellationToken,
) -> Result<(), ExportError> {
    let mut peers = Peers::new(world);
    let mut turn = interval(Duration::from_secs_f64(1.0 / peers.world.config.rate));
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut oversized_at = Instant::now() + OVERSIZED_EVERY;
    let mut flood_at = Instant::now();
    let mut ignored_at = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = turn.tick() => {}
        }
        // Nobody listens while all nodes restart: then the messages are lost.
        let own = peers.transactions(1);
        let _ = gossip.send(Gossip::Transactions(own.into()));
        let size = if oversized_at <= Instant::now() {
            oversized_at += OVERSIZED_EVERY;
            RECEIVER_MAX_BATCH_TXNS + 1
        } else {
            peers.choices.random_range(3..=8)
        };
        let author = peers.any_author();
        let batch = peers.batch(&author, size);
        // Some of a batch's transactions also wait in every mempool.
        let _ = gossip.send(Gossip::Transactions(batch.txns.iter().take(2).cloned().collect()));
        let _ = gossip.send(Gossip::Batch { to: None, batch: Arc::new(batch) });
        if let Some(node) = peers.world.faults.node_of(Fault::AptosChannelFull)
            && flood_at <= Instant::now()
        {
            flood_at = Instant::now() + FLOOD_EVERY;
            let node: Arc<str> = node.into();
            for _ in 0..FLOOD {
                let author = peers.any_author();
                let batch = Arc::new(peers.batch(&author, 1));
                let _ = gossip.send(Gossip::Batch { to: Some(Arc::clone(&node)), batch });
            }
        }
        if let Some(node) = peers.world.faults.node_of(Fault::AptosPeerIgnoresLimits)
            && ignored_at <= Instant::now()
        {
            ignored_at = Instant::now() + LIMITS_IGNORED_EVERY;
            let author = Arc::clone(&peers.authors[0]);
            let batch = Arc::new(peers.batch(&author, RECEIVER_MAX_BATCH_TXNS + 1));
            let _ = gossip.send(Gossip::Batch { to: Some(node.into()), batch });
        }
    }
}

struct Peers {
    world: World,
    choices: rand::rngs::StdRng,
    authors: Vec<Arc<str>>,
    batches: u64,
    txns: u64,
}

impl Peers {
    fn new(world: World) -> Peers {
        let authors = (0..PEERS).map(|peer| author(&world, &format!("peer-{peer}"))).collect();
        Peers { choices: world.choices("peers"), world, authors, batches: 0, txns: 0 }
    }

    fn transactions(&mut self, count: usize) -> Vec<TxnHash> {
        (0..count)
            .map(|_| {
                self.txns += 1;
                let mut hash = Sha256::new();
                hash.update(self.world.clock.genesis_ms().to_be_bytes());
                hash.update(self.world.config.seed.to_be_bytes());
                hash.update(self.txns.to_be_bytes());
                format!("0x{}", hex::encode(&hash.finalize()[..16])).into()
            })
            .collect()
    }

    fn any_author(&mut self) -> Arc<str> {
        Arc::clone(&self.authors[self.choices.random_range(0..PEERS)])
    }

    fn batch(&mut self, author: &Arc<str>, size: usize) -> Batch {
        self.batches += 1;
        let id = format!("{}-{}", self.batches, self.world.clock.genesis_ms());
        let txns = self.transactions(size);
        Batch::new(Arc::clone(author), id, txns, self.world.clock.unix_usecs() + BATCH_LIFE_USECS)
    }
}

/// A validator's address.
pub(super) fn author(world: &World, name: &str) -> Arc<str> {
    let mut hash = Sha256::new();
    hash.update(world.config.seed.to_be_bytes());
    hash.update(name.as_bytes());
    format!("0x{}", hex::encode(&hash.finalize()[..20])).into()
}
