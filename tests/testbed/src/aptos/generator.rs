//! The batch generator: tracks the batches in progress and pulls what is in none of them into local batches.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use opentelemetry::logs::AnyValue;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, interval_at},
};

use super::{
    CHANNEL_SIZE, EPOCH, StopRequest, acknowledge, asked,
    batch::{Batch, BatchKey, TxnHash, count},
    batch_event, component_event,
    mempool::{MempoolRequest, Pulled},
    network::BATCH_LIFE_USECS,
    store::BatchStore,
};
use crate::{faults::Fault, telemetry::Telemetry, telemetry::list, world::World};

/// How long a remote batch is tracked: `remote_batch_expiry_gap_when_init_usecs`.
const REMOTE_LIFE_USECS: i64 = 500_000;
/// How much longer than promised it is left out of pulls, so that clocks that differ by less make no difference.
const REMOTE_GRACE_USECS: i64 = 50_000;
/// How often it pulls: `batch_generation_poll_interval_ms`, made slower.
const PULL_EVERY: Duration = Duration::from_millis(250);
/// How often it says that it lives.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// Transactions in one local batch at most: `sender_max_batch_txns`.
const BATCH_TXNS_MAX: usize = 50;
/// Hashes that an event lists at most.
const LISTED_MAX: usize = 100;
/// How long it hangs at a time when it is made to.
const HANG: Duration = Duration::from_secs(8);
/// How long it works between two hangs.
const HANG_PAUSE: Duration = Duration::from_secs(3);
/// The faults while which it is gone.
const GONE: [Fault; 3] = [Fault::AptosGeneratorStops, Fault::AptosNotifyFailsButPersists, Fault::AptosBreakerIgnored];
/// The worker that local batches name.
const LOCAL_WORKER: &str = "batch_generator";

/// What a generator is told.
pub(super) enum GeneratorCommand {
    /// A coordinator took this batch.
    RemoteBatch { batch: Arc<Batch>, worker: Arc<str> },
    /// These batches are in a block.
    CommitNotification(Vec<Arc<Batch>>),
}

/// How much the proof manager lets it pull.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackPressure {
    pub(super) txns_per_s: i64,
}

pub(super) struct Generator {
    pub(super) world: World,
    pub(super) node: Arc<str>,
    pub(super) author: Arc<str>,
    pub(super) telemetry: Telemetry,
    pub(super) store: Arc<BatchStore>,
    pub(super) mempool: mpsc::Sender<MempoolRequest>,
    pub(super) proof_coordinator: mpsc::Sender<Arc<Batch>>,
    pub(super) back_pressure: mpsc::Receiver<BackPressure>,
    /// Where coordinators find the way to it; a new one after each of its lives.
    pub(super) address: watch::Sender<mpsc::Sender<GeneratorCommand>>,
    /// Whether its first life skips the reconciliation.
    pub(super) hasty: bool,
}

/// Who made a tracked batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Remote,
    Local,
}

struct Tracked {
    batch: Arc<Batch>,
    worker: Arc<str>,
    origin: Origin,
    expiry_usecs: i64,
}

/// What one life of the generator knows. It dies with it.
struct Life {
    inbox: mpsc::Receiver<GeneratorCommand>,
    tracked: BTreeMap<BatchKey, Tracked>,
    txns_per_s: i64,
    hangs_at: Instant,
}

/// Why a life ended.
enum Ended {
    Asked(Option<oneshot::Sender<()>>),
    Gone,
}

impl Generator {
    /// Lives until asked to stop, and again after each time its task was made to end.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<GeneratorCommand>, mut stop: StopRequest) {
        let mut reason = "node started";
        loop {
            component_event!("batch_generator", "quorum_store.component.started", "batch_generator", reason);
            let now = Instant::now();
            let life = Life { inbox, tracked: BTreeMap::new(), txns_per_s: 0, hangs_at: now };
            match self.live(life, &mut stop).await {
                Ended::Asked(request) => {
                    component_event!(
                        "batch_generator",
                        "quorum_store.component.stopped",
                        "batch_generator",
                        "shutdown"
                    );
                    acknowledge(request);
                    return;
                }
                Ended::Gone => {
                    // The receiving end went with the life: from here on, sends fail.
                    component_event!(
                        "batch_generator",
                        "quorum_store.component.stopped",
                        "batch_generator",
                        "task ended"
                    );
                }
            }
            let faults = self.world.faults.clone();
            tokio::select! {
                request = asked(&mut stop) => return acknowledge(request),
                () = faults.until(|_| !self.is_gone()) => {}
            }
            let (address, next_inbox) = mpsc::channel(CHANNEL_SIZE);
            self.address.send_replace(address);
            inbox = next_inbox;
            self.hasty = false;
            reason = "restarted";
        }
    }

    fn fails(&self, fault: Fault) -> bool {
        self.world.faults.is_on(fault, &self.node)
    }

    fn is_gone(&self) -> bool {
        GONE.iter().any(|fault| self.fails(*fault))
    }

    async fn live(&mut self, mut life: Life, stop: &mut StopRequest) -> Ended {
        if !self.hasty {
            self.reconcile(&mut life);
        }
        let mut heartbeat = interval(HEARTBEAT_EVERY);
        let mut pull = interval_at(Instant::now() + PULL_EVERY, PULL_EVERY);
        for timer in [&mut heartbeat, &mut pull] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let faults = self.world.faults.clone();
        let node = Arc::clone(&self.node);
        let ends = faults.until(|faults| GONE.iter().any(|fault| faults.is_on(*fault, &node)));
        tokio::pin!(ends);
        loop {
            if self.fails(Fault::AptosChannelFull) && life.hangs_at <= Instant::now() {
                self.hang().await;
                life.hangs_at = Instant::now() + HANG_PAUSE;
                while let Ok(command) = life.inbox.try_recv() {
                    self.obey(&mut life, command);
                }
            }
            tokio::select! {
                request = asked(stop) => {
                    // Coordinators have stopped sending: what they announced is all in the channel.
                    while let Ok(command) = life.inbox.try_recv() {
                        self.obey(&mut life, command);
                    }
                    return Ended::Asked(request);
                }
                () = &mut ends => return Ended::Gone,
                Some(command) = life.inbox.recv() => self.obey(&mut life, command),
                Some(BackPressure { txns_per_s }) = self.back_pressure.recv() => life.txns_per_s = txns_per_s,
                _ = pull.tick() => self.pull(&mut life).await,
                _ = heartbeat.tick() => {
                    tracing::info!(
                        name: "quorum_store.generator.heartbeat",
                        target: "batch_generator",
                        batches_in_progress = count(life.tracked.len()),
                        txns_in_progress = life.tracked.values().map(|tracked| tracked.batch.num_txns()).sum::<i64>(),
                        queue.depth = count(life.inbox.len()),
                        dynamic_pull_txn_per_s = life.txns_per_s,
                    );
                }
            }
        }
    }

    /// Does nothing at all for a while, or until it is no longer made to.
    async fn hang(&self) {
        let faults = self.world.faults.clone();
        tokio::select! {
            () = tokio::time::sleep(HANG) => {}
            () = faults.until(|_| !self.fails(Fault::AptosChannelFull)) => {}
        }
    }

    /// Takes over what is stored, so that none of it is pulled again.
    fn reconcile(&self, life: &mut Life) {
        let now = self.world.clock.unix_usecs();
        let stored = self.store.unexpired(now);
        for batch in &stored {
            let origin = if batch.author == self.author { Origin::Local } else { Origin::Remote };
            let expiry_usecs = now + REMOTE_LIFE_USECS;
            let worker = LOCAL_WORKER.into();
            life.tracked.insert(batch.key(), Tracked { batch: Arc::clone(batch), worker, origin, expiry_usecs });
        }
        tracing::info!(
            name: "quorum_store.generator.reconciled",
            target: "batch_generator",
            stored_batches = count(stored.len()),
            tracked_batches = count(life.tracked.len()),
        );
    }

    fn obey(&self, life: &mut Life, command: GeneratorCommand) {
        match command {
            GeneratorCommand::RemoteBatch { batch, worker } => {
                let expiry_usecs = self.world.clock.unix_usecs() + REMOTE_LIFE_USECS;
                self.track(life, Tracked { batch, worker, origin: Origin::Remote, expiry_usecs });
            }
            GeneratorCommand::CommitNotification(batches) => {
                for batch in batches {
                    if let Some(tracked) = life.tracked.remove(&batch.key()) {
                        untracked(&tracked, "committed");
                    }
                }
            }
        }
    }

    fn track(&self, life: &mut Life, tracked: Tracked) {
        let Tracked { batch, worker, origin, expiry_usecs } = &tracked;
        let origin = match origin {
            Origin::Remote => "remote",
            Origin::Local => "local",
        };
        self.telemetry.record(
            "batch_generator",
            "quorum_store.batch.tracked",
            [
                ("batch.author", AnyValue::from(batch.author.to_string())),
                ("batch.id", AnyValue::from(batch.id.clone())),
                ("batch.digest", AnyValue::from(batch.digest.clone())),
                ("epoch", AnyValue::from(EPOCH)),
                ("worker", AnyValue::from(worker.to_string())),
                ("origin", AnyValue::from(origin)),
                ("expiry_usecs", AnyValue::from(*expiry_usecs)),
                ("num_txns", AnyValue::from(batch.num_txns())),
                ("txn_hashes", list(batch.txns.iter().take(LISTED_MAX).map(|txn| &**txn))),
            ],
        );
        life.tracked.insert(tracked.batch.key(), tracked);
    }

    async fn pull(&mut self, life: &mut Life) {
        let now = self.world.clock.unix_usecs();
        if self.fails(Fault::AptosTrackingLost) {
            life.tracked.clear();
        }
        let expired = |tracked: &Tracked| tracked.expiry_usecs + REMOTE_GRACE_USECS <= now;
        life.tracked.retain(|_, tracked| {
            if expired(tracked) {
                untracked(tracked, "expired");
            }
            !expired(tracked)
        });
        let hashes = |origin: Origin| -> HashSet<TxnHash> {
            let of_origin = life.tracked.values().filter(|tracked| tracked.origin == origin);
            of_origin.flat_map(|tracked| tracked.batch.txns.iter().cloned()).collect()
        };
        let remote = hashes(Origin::Remote);
        let mut exclude = hashes(Origin::Local);
        if !self.fails(Fault::AptosDuplicateLocalBatch) {
            exclude.extend(remote.iter().cloned());
        }
        let (reply, answer) = oneshot::channel();
        let request = MempoolRequest::Pull { max_count: BATCH_TXNS_MAX, exclude, reply };
        if self.mempool.send(request).await.is_err() {
            return;
        }
        let Ok(Pulled { txns, excluded }) = answer.await else { return };
        tracing::info!(
            name: "quorum_store.mempool.pulled",
            target: "batch_generator",
            num_txns = count(txns.len()),
            excluded_txns = excluded,
            max_count = count(BATCH_TXNS_MAX),
        );
        if !txns.is_empty() {
            let duplicate_txns = count(txns.iter().filter(|txn| remote.contains(*txn)).count());
            self.create(life, txns, duplicate_txns).await;
        }
    }

    /// Makes a local batch of what was pulled, stores and tracks it, and sends it out to be signed.
    async fn create(&mut self, life: &mut Life, txns: Vec<TxnHash>, duplicate_txns: i64) {
        let number = self.store.next_batch_number();
        let id = format!("{number}-{}", self.world.clock.genesis_ms());
        let expiry_usecs = self.world.clock.unix_usecs() + BATCH_LIFE_USECS;
        let batch = Arc::new(Batch::new(Arc::clone(&self.author), id, txns, expiry_usecs));
        self.telemetry.record(
            "batch_generator",
            "quorum_store.batch.created",
            [
                ("batch.author", AnyValue::from(batch.author.to_string())),
                ("batch.id", AnyValue::from(batch.id.clone())),
                ("batch.digest", AnyValue::from(batch.digest.clone())),
                ("epoch", AnyValue::from(EPOCH)),
                ("worker", AnyValue::from(LOCAL_WORKER)),
                ("num_txns", AnyValue::from(batch.num_txns())),
                ("duplicate_txns", AnyValue::from(duplicate_txns)),
                ("txn_hashes", list(batch.txns.iter().take(LISTED_MAX).map(|txn| &**txn))),
            ],
        );
        let worker: Arc<str> = LOCAL_WORKER.into();
        match self.store.persist(&batch, self.world.clock.unix_usecs(), None) {
            Ok(()) => batch_event!(
                INFO,
                "batch_store",
                "quorum_store.batch.persisted",
                batch,
                worker,
                is_remote = false,
                storage_mode = "MemoryAndPersisted",
            ),
            Err(error) => {
                batch_event!(
                    WARN,
                    "batch_store",
                    "quorum_store.batch.persist_failed",
                    batch,
                    worker,
                    reason = error.reason(),
                );
                return;
            }
        }
        self.track(life, Tracked { batch: Arc::clone(&batch), worker, origin: Origin::Local, expiry_usecs });
        let _ = self.proof_coordinator.send(batch).await;
    }
}

fn untracked(tracked: &Tracked, cause: &'static str) {
    batch_event!(INFO, "batch_generator", "quorum_store.batch.untracked", tracked.batch, tracked.worker, cause,);
}
