//! From a batch to its commit: the proof coordinator collects signatures on local batches, the proof manager keeps
//! what can be proposed, the quorum store coordinator passes on what was committed. Nothing is signed in earnest.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    StopRequest, acknowledge, asked,
    batch::{Batch, count},
    component_event,
    generator::{BackPressure, GeneratorCommand},
    mempool::MempoolRequest,
    store::BatchStore,
};

/// How long a quorum of signatures takes.
const PROOF_TAKES: Duration = Duration::from_millis(20);
/// How long a batch waits for its block.
const COMMIT_AFTER: Duration = Duration::from_millis(300);
/// How often a block is made.
const BLOCK_EVERY: Duration = Duration::from_millis(200);
/// How often the generator is told how much it may pull.
const BACK_PRESSURE_EVERY: Duration = Duration::from_secs(1);
/// Batches beyond which the generator is slowed down.
const PROPOSABLE_GOAL: usize = 300;
/// What the generator may pull a second, at least and at most: `dynamic_min_txn_per_s`, `dynamic_max_txn_per_s`.
const PULL_TXNS_PER_S: (i64, i64) = (160, 4000);

/// What a proof manager is told.
pub(super) enum ProofCommand {
    /// A remote batch is stored here.
    ReceiveBatch(Arc<Batch>),
    /// A local batch has its proof.
    ReceiveProof(Arc<Batch>),
}

pub(super) struct ProofCoordinator {
    pub(super) batches: mpsc::Receiver<Arc<Batch>>,
    pub(super) proof_manager: mpsc::Sender<ProofCommand>,
}

impl ProofCoordinator {
    pub(super) async fn run(mut self, mut stop: StopRequest) {
        component_event!("proof_coordinator", "quorum_store.component.started", "proof_coordinator", "node started");
        let request = loop {
            tokio::select! {
                request = asked(&mut stop) => break request,
                Some(batch) = self.batches.recv() => {
                    sleep(PROOF_TAKES).await;
                    let _ = self.proof_manager.send(ProofCommand::ReceiveProof(batch)).await;
                }
            }
        };
        component_event!("proof_coordinator", "quorum_store.component.stopped", "proof_coordinator", "shutdown");
        acknowledge(request);
    }
}

pub(super) struct ProofManager {
    pub(super) commands: mpsc::Receiver<ProofCommand>,
    pub(super) commits: mpsc::Sender<Vec<Arc<Batch>>>,
    pub(super) back_pressure: mpsc::Sender<BackPressure>,
}

impl ProofManager {
    pub(super) async fn run(mut self, mut stop: StopRequest) {
        component_event!("proof_manager", "quorum_store.component.started", "proof_manager", "node started");
        let mut proposable: VecDeque<(Instant, Arc<Batch>)> = VecDeque::new();
        let mut block = interval(BLOCK_EVERY);
        let mut pressure = interval(BACK_PRESSURE_EVERY);
        for timer in [&mut block, &mut pressure] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let request = loop {
            tokio::select! {
                request = asked(&mut stop) => break request,
                Some(command) = self.commands.recv() => {
                    let (ProofCommand::ReceiveBatch(batch) | ProofCommand::ReceiveProof(batch)) = command;
                    proposable.push_back((Instant::now(), batch));
                }
                _ = block.tick() => {
                    let ripe = proposable.iter().take_while(|(since, _)| since.elapsed() >= COMMIT_AFTER).count();
                    // Without room the block is made later: the proof manager must not wait on who waits for it.
                    if ripe > 0 && let Ok(slot) = self.commits.try_reserve() {
                        slot.send(proposable.drain(..ripe).map(|(_, batch)| batch).collect());
                    }
                }
                _ = pressure.tick() => {
                    let (least, most) = PULL_TXNS_PER_S;
                    let txns_per_s = if proposable.len() > PROPOSABLE_GOAL { least } else { most };
                    let _ = self.back_pressure.try_send(BackPressure { txns_per_s });
                }
            }
        };
        component_event!("proof_manager", "quorum_store.component.stopped", "proof_manager", "shutdown");
        acknowledge(request);
    }
}

/// Tells everybody who keeps batches which ones are in a block.
pub(super) struct CommitNotifier {
    pub(super) commits: mpsc::Receiver<Vec<Arc<Batch>>>,
    pub(super) store: Arc<BatchStore>,
    pub(super) mempool: mpsc::Sender<MempoolRequest>,
    pub(super) generator: watch::Receiver<mpsc::Sender<GeneratorCommand>>,
}

impl CommitNotifier {
    /// Runs until the proof manager is gone.
    pub(super) async fn run(mut self) {
        while let Some(batches) = self.commits.recv().await {
            self.store.commit(&batches);
            let txns = batches.iter().flat_map(|batch| batch.txns.iter().cloned()).collect();
            let _ = self.mempool.send(MempoolRequest::Committed(txns)).await;
            let generator = self.generator.borrow().clone();
            // A generator that is gone has nothing to let go of.
            let _ = generator.send(GeneratorCommand::CommitNotification(batches)).await;
        }
    }
}

/// Reports how full a channel is.
pub(super) fn report_depth(channel: &'static str, capacity: usize, free: usize) {
    tracing::info!(
        name: "quorum_store.channel.depth",
        target: "quorum_store_coordinator",
        channel,
        depth = count(capacity - free),
        capacity = count(capacity),
    );
}
