//! A batch coordinator worker: takes remote batches, tells the generator *first*, then stores, signs and announces them.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::Instant,
};
use tracing::instrument::WithSubscriber;

use super::{
    StopRequest, acknowledge, asked,
    batch::{Batch, count},
    batch_event,
    breaker::{Gate, State, WorkerBreaker},
    component_event,
    generator::GeneratorCommand,
    proof::ProofCommand,
    store::BatchStore,
};
use crate::{clock::micros, faults::Fault, world::World};

/// Transactions in one remote batch at most: `receiver_max_batch_txns`.
pub(super) const RECEIVER_MAX_BATCH_TXNS: usize = 150;
/// Batches that one worker stores at the same time at most.
const PERSISTS_MAX: usize = 256;
/// How often a worker panics while it is made to.
const PANIC_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Coordinator {
    pub(super) world: World,
    pub(super) node: Arc<str>,
    /// `batch_coordinator-3`.
    pub(super) name: Arc<str>,
    /// Whether it is this worker that panics when one is made to.
    pub(super) fragile: bool,
    pub(super) generator: watch::Receiver<mpsc::Sender<GeneratorCommand>>,
    pub(super) store: Arc<BatchStore>,
    pub(super) proof_manager: mpsc::Sender<ProofCommand>,
    /// Invar's breaker.
    pub(super) gate: Arc<Gate>,
    /// The worker's own, if it has one.
    pub(super) breaker: Option<WorkerBreaker>,
}

/// What a worker keeps between batches, and across a panic.
struct Progress {
    /// Failed sends in a row.
    consecutive: i64,
    persists: JoinSet<()>,
    panics_at: Instant,
}

impl Coordinator {
    /// Works until its channel closes and everything in flight is done, says so, and waits to be asked to stop.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Arc<Batch>>,
        drained: oneshot::Sender<()>,
        mut stop: StopRequest,
    ) {
        component_event!("batch_coordinator", "quorum_store.component.started", self.name, "node started");
        let mut progress = Progress { consecutive: 0, persists: JoinSet::new(), panics_at: Instant::now() };
        while let Err(panic) = AssertUnwindSafe(self.work(&mut inbox, &mut progress)).catch_unwind().await {
            let reason = panic.downcast_ref::<&str>().copied().unwrap_or("unknown");
            tracing::error!(
                name: "quorum_store.component.panicked",
                target: "batch_coordinator",
                component = &*self.name,
                reason,
            );
            component_event!("batch_coordinator", "quorum_store.component.started", self.name, "after a panic");
        }
        while progress.persists.join_next().await.is_some() {}
        let _ = drained.send(());
        let request = asked(&mut stop).await;
        component_event!("batch_coordinator", "quorum_store.component.stopped", self.name, "shutdown");
        acknowledge(request);
    }

    async fn work(&mut self, inbox: &mut mpsc::Receiver<Arc<Batch>>, progress: &mut Progress) {
        while let Some(batch) = inbox.recv().await {
            while progress.persists.try_join_next().is_some() {}
            if self.admits() {
                self.take(batch, progress).await;
            }
        }
    }

    fn admits(&mut self) -> bool {
        if !self.gate.admits() {
            return false;
        }
        let Some(breaker) = &mut self.breaker else { return true };
        let (admits, turned) = breaker.admits(Instant::now());
        self.report(turned);
        admits || self.fails(Fault::AptosBreakerIgnored)
    }

    /// Reports a change of the worker's own breaker.
    fn report(&self, turned: Option<State>) {
        if let (Some(state), Some(breaker)) = (turned, &self.breaker) {
            tracing::info!(
                name: "quorum_store.breaker.state",
                target: "batch_coordinator",
                worker = &*self.name,
                state = state.name(),
                failures = breaker.failures(),
            );
        }
    }

    fn fails(&self, fault: Fault) -> bool {
        self.world.faults.is_on(fault, &self.node)
    }

    async fn take(&mut self, batch: Arc<Batch>, progress: &mut Progress) {
        batch_event!(
            INFO,
            "batch_coordinator",
            "quorum_store.batch.received",
            batch,
            self.name,
            peer = &*batch.author,
            num_txns = batch.num_txns(),
            num_bytes = batch.num_bytes,
            expiration_usecs = batch.expiration_usecs,
            is_remote = true,
        );
        let panics = self.fails(Fault::AptosWorkerPanics) || self.fails(Fault::AptosInFlightLost);
        if self.fragile && panics && progress.panics_at <= Instant::now() {
            progress.panics_at = Instant::now() + PANIC_EVERY;
            // Unwinds without the panic hook, which would print over what the testbed's user reads.
            resume_unwind(Box::new("index out of bounds: the len is 0 but the index is 0"));
        }
        if batch.txns.len() > RECEIVER_MAX_BATCH_TXNS {
            tracing::error!(
                name: "quorum_store.message.rejected",
                target: "batch_coordinator",
                worker = &*self.name,
                peer = &*batch.author,
                reason = "batch_txns",
                value = batch.num_txns(),
                limit = count(RECEIVER_MAX_BATCH_TXNS),
            );
            return;
        }
        if !self.notify_generator(&batch, progress).await && !self.fails(Fault::AptosNotifyFailsButPersists) {
            return;
        }
        // Storing never holds up the next batch, but a slow store must not grow the node without bound.
        if progress.persists.len() >= PERSISTS_MAX {
            progress.persists.join_next().await;
        }
        let persist = Persist {
            world: self.world.clone(),
            node: Arc::clone(&self.node),
            worker: Arc::clone(&self.name),
            store: Arc::clone(&self.store),
            proof_manager: self.proof_manager.clone(),
        };
        progress.persists.spawn(persist.run(batch).with_current_subscriber());
    }

    /// Hands the batch to the generator; false when the generator is gone.
    async fn notify_generator(&mut self, batch: &Arc<Batch>, progress: &mut Progress) -> bool {
        let generator = self.generator.borrow().clone();
        let asked = Instant::now();
        // A slot first, then the report, then the batch: no event of the generator can come before this one.
        let Ok(slot) = generator.reserve().await else {
            progress.consecutive += 1;
            let error = "channel closed";
            batch_event!(
                WARN,
                "batch_coordinator",
                "quorum_store.batch.generator_notify_failed",
                batch,
                self.name,
                error,
                consecutive = progress.consecutive,
                "Failed to send batch to batch generator: {error}"
            );
            let turned = self.breaker.as_mut().and_then(|breaker| breaker.failed(Instant::now()));
            self.report(turned);
            return false;
        };
        progress.consecutive = 0;
        batch_event!(
            INFO,
            "batch_coordinator",
            "quorum_store.batch.generator_notified",
            batch,
            self.name,
            send_latency_us = micros(asked.elapsed()),
            queue.depth = count(generator.max_capacity() - generator.capacity()),
            queue.capacity = count(generator.max_capacity()),
        );
        slot.send(GeneratorCommand::RemoteBatch { batch: Arc::clone(batch), worker: Arc::clone(&self.name) });
        let turned = self.breaker.as_mut().and_then(WorkerBreaker::succeeded);
        self.report(turned);
        true
    }
}

/// What happens to a batch after the generator was told of it.
struct Persist {
    world: World,
    node: Arc<str>,
    worker: Arc<str>,
    store: Arc<BatchStore>,
    proof_manager: mpsc::Sender<ProofCommand>,
}

impl Persist {
    async fn run(self, batch: Arc<Batch>) {
        let refuses = self.world.faults.is_on(Fault::AptosPersistFailsAfterNotify, &self.node);
        let quota = refuses.then_some(0);
        match self.store.persist(&batch, self.world.clock.unix_usecs(), quota) {
            Ok(()) => {
                batch_event!(
                    INFO,
                    "batch_store",
                    "quorum_store.batch.persisted",
                    batch,
                    self.worker,
                    is_remote = true,
                    storage_mode = "MemoryAndPersisted",
                );
                batch_event!(
                    INFO,
                    "batch_coordinator",
                    "quorum_store.batch.signed_info_sent",
                    batch,
                    self.worker,
                    peer = &*batch.author,
                );
            }
            Err(error) => {
                batch_event!(
                    WARN,
                    "batch_store",
                    "quorum_store.batch.persist_failed",
                    batch,
                    self.worker,
                    reason = error.reason(),
                );
                if !refuses {
                    return;
                }
            }
        }
        batch_event!(INFO, "batch_coordinator", "quorum_store.batch.proof_manager_notified", batch, self.worker);
        // The proof manager stops last.
        let _ = self.proof_manager.send(ProofCommand::ReceiveBatch(batch)).await;
    }
}
