//! One process of a node: takes proposals from gossip, decides at the time that consensus would, syncs what it missed.

use std::{collections::BTreeSet, io, path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, broadcast, mpsc},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber;

use super::{
    blobs::{BlobEngine, Step, verify},
    chain::{At, Chain, Payload, Proposal, hash_hex},
    client::Scores,
    execution::Call,
    height_event,
    network::{Network, due},
    server::{named_blobs, serve},
    store::FileStore,
};
use crate::{
    clock::millis,
    faults::Fault,
    telemetry::{Telemetry, count},
    world::{World, sleep_until},
};

/// How long after a height's proposals consensus decides.
const DECIDES_AFTER: Duration = Duration::from_millis(400);
/// How long a peer must have been ahead before a node asks it.
const BEHIND_FOR: Duration = Duration::from_millis(300);
/// How long a failed attempt to sync waits for the next one, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(5));
/// One height in so many does not reach a node by gossip.
const MISSED_EVERY: i64 = 4;
/// Requests that may wait for a server.
const REQUESTS_CAPACITY: usize = 64;

/// Both stores of a node.
#[derive(Debug)]
pub(super) struct Stores {
    consensus: FileStore,
    pub(super) blobs: BlobEngine,
}

impl Stores {
    pub(super) async fn open(folder: &Path) -> io::Result<Stores> {
        let consensus = FileStore::open(&folder.join("consensus")).await?;
        Ok(Stores { consensus, blobs: BlobEngine::open(&folder.join("blobs")).await? })
    }

    pub(super) async fn put_payload(&mut self, at: At, payload: &[u8]) -> io::Result<()> {
        self.consensus.put(format!("block/{}/{}", at.height, at.round), payload).await
    }

    pub(super) async fn payload(&mut self, at: At) -> io::Result<Option<Vec<u8>>> {
        self.consensus.get(&format!("block/{}/{}", at.height, at.round)).await
    }

    pub(super) async fn forget_payload(&mut self, at: At) -> io::Result<()> {
        self.consensus.delete(format!("block/{}/{}", at.height, at.round)).await
    }

    pub(super) async fn put_proposal(&mut self, at: At, value_id: &str, blobs: usize) -> io::Result<()> {
        let record = format!("{value_id} {blobs}");
        self.consensus.put(format!("proposal/{}/{}", at.height, at.round), record.as_bytes()).await
    }

    /// The proposal that is stored under a height and round: its value and how many blobs it has.
    pub(super) async fn proposal(&mut self, at: At) -> io::Result<Option<(String, usize)>> {
        let record = self.consensus.get(&format!("proposal/{}/{}", at.height, at.round)).await?;
        Ok(record.and_then(|record| {
            let (value_id, blobs) = std::str::from_utf8(&record).ok()?.split_once(' ')?;
            Some((value_id.to_owned(), blobs.parse().ok()?))
        }))
    }

    /// How many blobs a proposal has, by its payload or else by its own word.
    pub(super) async fn expected_blobs(&mut self, at: At, payload: Option<&[u8]>) -> io::Result<usize> {
        Ok(match payload {
            Some(payload) => named_blobs(payload),
            None => self.proposal(at).await?.map_or(0, |(_, blobs)| blobs),
        })
    }

    pub(super) async fn put_decided(&mut self, at: At, value_id: &str) -> io::Result<()> {
        self.consensus.put(format!("decided/{}", at.height), format!("{} {value_id}", at.round).as_bytes()).await
    }

    /// The round and the value in which a height was decided and committed.
    pub(super) async fn decided(&mut self, height: i64) -> io::Result<Option<(i64, String)>> {
        let record = self.consensus.get(&format!("decided/{height}")).await?;
        Ok(record.and_then(|record| {
            let (round, value_id) = std::str::from_utf8(&record).ok()?.split_once(' ')?;
            Some((round.parse().ok()?, value_id.to_owned()))
        }))
    }

    /// The height after the last one that was committed.
    fn next_height(&self) -> Option<i64> {
        let names = self.consensus.names("decided/");
        Some(names.last()?.strip_prefix("decided/")?.parse::<i64>().ok()? + 1)
    }
}

/// What a node carries from one of its processes to the next.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Whether something was wrong since the node last agreed with all others.
    pub(super) astray: bool,
    /// The height to commit next.
    pub(super) next: i64,
    /// Whether the write-ahead log was replayed too far once.
    pub(super) replayed: bool,
    pub(super) scores: Scores,
    /// Heights and rounds whose blobs could not be marked as decided.
    pub(super) unmarkable: BTreeSet<At>,
}

/// How a process ended.
#[derive(Debug)]
pub(super) enum Exit {
    /// As it was told to.
    Stopped,
    /// Told to, because it went astray and the faults behind that are gone.
    Resync,
    /// By an error.
    Crashed(String),
}

/// An error that ends the process.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fatal {
    #[error("{0}")]
    Broken(String),
    #[error("store: {0}")]
    Store(#[from] io::Error),
}

/// The process.
pub(super) struct App<'a> {
    pub(super) world: &'a World,
    pub(super) node: &'a str,
    pub(super) index: usize,
    pub(super) pid: i64,
    pub(super) chain: Chain,
    pub(super) network: &'a Network,
    pub(super) telemetry: &'a Telemetry,
    pub(super) stores: Arc<Mutex<Stores>>,
    pub(super) execution: mpsc::Sender<Call>,
    pub(super) carried: &'a mut Carried,
    pub(super) stop: &'a CancellationToken,
    pub(super) requests: u64,
    /// Failed attempts in a row to sync the next height, and when it is tried again.
    pub(super) failures: usize,
    pub(super) retry_at: Option<Instant>,
    pub(super) behind_since: Option<Instant>,
}

impl App<'_> {
    pub(super) fn on(&self, fault: Fault) -> bool {
        self.world.faults.is_on(fault, self.node)
    }

    /// Runs from the node's start to its end.
    pub(super) async fn run(mut self) -> Exit {
        tracing::event!(name: "ultramarine.node.started", target: "app", tracing::Level::INFO, pid = self.pid);
        let stored = self.stores.lock().await.next_height();
        self.carried.next = stored.unwrap_or(self.chain.first_height());
        if stored.is_some() && self.on(Fault::UltramarineWalReplaysHeight) && !self.carried.replayed {
            self.carried.replayed = true;
            self.carried.next -= 1;
        }
        let (sender, requests) = mpsc::channel(REQUESTS_CAPACITY);
        self.network.join(self.node, self.carried.next - 1, sender);
        let server = serve(self.world.clone(), self.node.to_owned(), Arc::clone(&self.stores), requests);
        let server = tokio::spawn(server.with_current_subscriber());
        let exit = match self.work().await {
            Ok(exit) => exit,
            Err(error) => {
                let error = error.to_string();
                let text = error.as_str();
                tracing::event!(name: "ultramarine.node.crashed", target: "app", tracing::Level::ERROR, error = text);
                Exit::Crashed(error)
            }
        };
        self.network.leave(self.node);
        // The server ends with its channel; what it still answers belongs to this process.
        let _ = server.await;
        exit
    }

    async fn work(&mut self) -> Result<Exit, Fatal> {
        let mut gossip = self.network.gossip.subscribe();
        let mut restart_at = self.world.next_restart(self.index);
        let mut look = interval(Duration::from_millis(100));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(Exit::Stopped),
                () = sleep_until(restart_at) => {
                    if !self.world.faults.any_on(self.node) {
                        return Ok(Exit::Stopped);
                    }
                    restart_at = None;
                }
                proposal = gossip.recv() => match proposal {
                    Ok(proposal) => self.receive(&proposal).await?,
                    // What was missed is synced.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Ok(Exit::Stopped),
                },
                _ = look.tick() => {
                    if self.world.faults.any_on(self.node) {
                        self.carried.astray = true;
                    } else if std::mem::take(&mut self.carried.astray) {
                        return Ok(Exit::Resync);
                    }
                    if self.on(Fault::UltramarineWalReplaysHeight) && !self.carried.replayed {
                        return Ok(Exit::Stopped);
                    }
                    self.advance().await?;
                }
            }
        }
    }

    /// Takes a proposal from gossip: from its own proposer, or in parts from another.
    async fn receive(&mut self, proposal: &Proposal) -> Result<(), Fatal> {
        let at = proposal.at;
        let nodes = i64::try_from(self.world.config.nodes).unwrap_or(i64::MAX);
        let index = i64::try_from(self.index).unwrap_or_default();
        let own = (at.height + at.round) % nodes == index;
        let missed = nodes > 1 && !own && (at.height + index) % MISSED_EVERY == 1;
        if missed || at.height < self.carried.next {
            return Ok(());
        }
        let path = if own { "proposer" } else { "receiver" };
        let mut stores = self.stores.lock().await;
        stores.put_payload(at, &proposal.payload).await?;
        height_event!(
            INFO,
            "consensus_store",
            "ultramarine.block_data.stored",
            at,
            bytes = count(proposal.payload.len()),
            payload_hash = hash_hex(&proposal.payload).as_str(),
            path
        );
        let blobs = count(proposal.blobs.len());
        if blobs > 0 && !own {
            height_event!(INFO, "blob_engine", "ultramarine.blob.verify_started", at, count = blobs);
            let begun = Instant::now();
            let hashes = serde_json::from_slice::<Payload>(&proposal.payload).map(|payload| payload.versioned_hashes);
            let slow = self.on(Fault::UltramarineVerificationSlow);
            let verified = verify(proposal.blobs.clone(), hashes.unwrap_or_default(), slow).await;
            let duration_ms = millis(begun.elapsed());
            if let Err(index) = verified {
                let index = count(index);
                height_event!(
                    WARN,
                    "blob_engine",
                    "ultramarine.blob.verify_failed",
                    at,
                    count = blobs,
                    duration_ms,
                    index
                );
                return Ok(());
            }
            height_event!(INFO, "blob_engine", "ultramarine.blob.verified", at, count = blobs, duration_ms);
        }
        if blobs > 0 && !(own && self.on(Fault::UltramarineProposerDropsBlobs)) {
            let step = if self.on(Fault::UltramarineBlobsMisnumbered) { 2 } else { 1 };
            let indices: Vec<i64> = (0..blobs).map(|index| index * step).collect();
            stores.blobs.store(at, &proposal.blobs, &indices).await?;
            let stored = Step { telemetry: self.telemetry, at, peer: None };
            stored.report("ultramarine.blob.stored", &indices, "UNDECIDED");
        }
        stores.put_proposal(at, &proposal.value_id, proposal.blobs.len()).await?;
        height_event!(
            INFO,
            "consensus_store",
            "ultramarine.proposal.stored",
            at,
            value_id = proposal.value_id.as_str(),
            path
        );
        Ok(())
    }

    /// Decides and imports what is due, or syncs what others have and this node has not.
    async fn advance(&mut self) -> Result<(), Fatal> {
        loop {
            let height = self.carried.next;
            let now = Instant::now();
            if now < due(self.world, self.chain, height) + DECIDES_AFTER {
                return Ok(());
            }
            let mut at = self.chain.decided(height);
            if self.on(Fault::UltramarineCommitsOtherRound) {
                at.round = 0;
            }
            let held = self.stores.lock().await.proposal(at).await?;
            if let Some((value_id, _)) = held {
                self.import(at, &value_id).await?;
                continue;
            }
            let ahead = self.network.others(self.node).into_iter().max_by_key(|(_, committed)| *committed);
            if ahead.is_none_or(|(_, committed)| committed < height) {
                self.behind_since = None;
                return Ok(());
            }
            let since = *self.behind_since.get_or_insert(now);
            if now < since + BEHIND_FOR || self.retry_at.is_some_and(|at| now < at) {
                return Ok(());
            }
            self.report_lag(height);
            match self.sync(height).await? {
                Some((at, value_id)) => {
                    (self.failures, self.retry_at) = (0, None);
                    self.import(at, &value_id).await?;
                }
                None => {
                    let wait = RETRY.0.saturating_mul(1 << self.failures.min(10)).min(RETRY.1);
                    self.retry_at = Some(Instant::now() + wait);
                    self.failures += 1;
                    return Ok(());
                }
            }
        }
    }

    /// Says how far the peer that is furthest ahead is.
    pub(super) fn report_lag(&self, height: i64) {
        let ahead = self.network.others(self.node).into_iter().max_by_key(|(_, committed)| *committed);
        if let Some((peer, peer_height)) = ahead {
            tracing::event!(
                name: "ultramarine.sync.lag.detected",
                target: "malachite_sync",
                tracing::Level::INFO,
                height = height - 1,
                peer_height,
                peer = peer.as_str(),
            );
        }
    }

    /// Goes on to the next height, and lets the others know.
    pub(super) fn committed(&mut self, height: i64) {
        self.carried.next = height + 1;
        self.network.announce(self.node, height);
    }
}
