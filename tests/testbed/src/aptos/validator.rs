//! A validator: wires its components together, keeps their store across restarts, and stops them in order.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber;

use super::{
    CHANNEL_SIZE, WORKERS,
    batch::Batch,
    breaker::{self, Gate, WorkerBreaker},
    component_event,
    coordinator::Coordinator,
    generator::{Generator, GeneratorCommand},
    listener::NetworkListener,
    mempool,
    network::{Gossip, author},
    proof::{CommitNotifier, ProofCommand, ProofCoordinator, ProofManager, report_depth},
    store::BatchStore,
    worker_name,
};
use crate::{
    ExportError, System,
    faults::Fault,
    telemetry::Telemetry,
    world::{World, sleep_until},
};

/// How long a process is away when it restarts. Longer than remote batches are tracked.
const RESTART_TAKES: Duration = Duration::from_millis(1500);
/// How often channel depths are reported; twice a second, because a channel may be full for a second only.
const DEPTHS_EVERY: Duration = Duration::from_millis(500);
/// How often a node with a fault looks again whether it may restart.
const RESTART_PUT_OFF: Duration = Duration::from_secs(10);

/// The faults that happen in a restart, which each of them asks for once.
const IN_A_RESTART: [Fault; 4] = [
    Fault::AptosRestartWithoutReconcile,
    Fault::AptosShutdownOutOfOrder,
    Fault::AptosBatchNumberLost,
    Fault::AptosInFlightLost,
];
/// How long before its restart a node has lost what a worker had in flight.
const IN_FLIGHT_LOST_BEFORE: Duration = Duration::from_secs(3);

/// Runs one node, restarts included, until told to stop.
pub(crate) async fn run(
    world: World,
    index: usize,
    name: String,
    gossip: broadcast::Sender<Gossip>,
    stop: CancellationToken,
) -> Result<(), ExportError> {
    let mut validator = Validator {
        author: author(&world, &name),
        node: name.into(),
        index,
        store: Arc::default(),
        restarted_for: None,
        world,
        gossip,
        stop,
    };
    let mut lost = Ok(());
    for incarnation in 0.. {
        let pid = validator.world.pid(index, incarnation);
        let telemetry = Telemetry::open(&validator.world.config, System::Aptos, &validator.node, pid)?;
        let dispatch = telemetry.dispatch();
        validator.live(telemetry.clone()).with_subscriber(dispatch).await;
        // What one process could not deliver is lost, as in the field; the node goes on, and says so at the end.
        let closed = telemetry.close().await;
        lost = lost.and(closed);
        if validator.stop.is_cancelled() {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(RESTART_TAKES) => {}
            () = validator.stop.cancelled() => break,
        }
    }
    lost
}

struct Validator {
    world: World,
    node: Arc<str>,
    author: Arc<str>,
    index: usize,
    store: Arc<BatchStore>,
    gossip: broadcast::Sender<Gossip>,
    stop: CancellationToken,
    /// The fault for which this process was started, or now stops, if one asked for the restart.
    restarted_for: Option<Fault>,
}

/// The stop requests of a process's components, in the order they go out.
struct Shutdown {
    listener: oneshot::Sender<oneshot::Sender<()>>,
    drained: Vec<oneshot::Receiver<()>>,
    generator: oneshot::Sender<oneshot::Sender<()>>,
    coordinators: Vec<oneshot::Sender<oneshot::Sender<()>>>,
    proof_coordinator: oneshot::Sender<oneshot::Sender<()>>,
    proof_manager: oneshot::Sender<oneshot::Sender<()>>,
}

impl Validator {
    /// One process of the node, from its first component's start to its last one's stop.
    async fn live(&mut self, telemetry: Telemetry) {
        component_event!(
            "quorum_store_coordinator",
            "quorum_store.component.started",
            "quorum_store_coordinator",
            "node started"
        );
        let mut tasks = JoinSet::new();
        let helpers = CancellationToken::new();
        let shutdown = self.start(telemetry, &mut tasks, &helpers);
        self.until_shutdown().await;
        match self.restarted_for {
            Some(Fault::AptosShutdownOutOfOrder) => shutdown.run_out_of_order().await,
            _ => shutdown.run().await,
        }
        if self.restarted_for == Some(Fault::AptosBatchNumberLost) {
            self.store.forget_batch_number();
        }
        helpers.cancel();
        tasks.join_all().await;
        component_event!(
            "quorum_store_coordinator",
            "quorum_store.component.stopped",
            "quorum_store_coordinator",
            "shutdown"
        );
    }

    /// Starts every component of a process.
    fn start(&self, telemetry: Telemetry, tasks: &mut JoinSet<()>, helpers: &CancellationToken) -> Shutdown {
        let (generator, generator_inbox) = mpsc::channel::<GeneratorCommand>(CHANNEL_SIZE);
        let address = watch::Sender::new(generator);
        let (to_proof_manager, proof_commands) = mpsc::channel::<ProofCommand>(CHANNEL_SIZE);
        let (to_proof_coordinator, local_batches) = mpsc::channel::<Arc<Batch>>(CHANNEL_SIZE);
        let (commits, committed) = mpsc::channel(CHANNEL_SIZE);
        let (back_pressure_tx, back_pressure) = mpsc::channel(CHANNEL_SIZE);
        let (to_mempool, mempool_requests) = mpsc::channel(CHANNEL_SIZE);
        let gate = Arc::new(Gate::default());
        let (stop_listener, listener_stops) = oneshot::channel();
        let (stop_generator, generator_stops) = oneshot::channel();
        let (stop_proof_coordinator, proof_coordinator_stops) = oneshot::channel();
        let (stop_proof_manager, proof_manager_stops) = oneshot::channel();

        tasks.spawn(mempool::run(mempool_requests).with_current_subscriber());
        let notifier = CommitNotifier {
            commits: committed,
            store: Arc::clone(&self.store),
            mempool: to_mempool.clone(),
            generator: address.subscribe(),
        };
        tasks.spawn(notifier.run().with_current_subscriber());
        let depths = Depths {
            generator: address.subscribe(),
            proof_manager: to_proof_manager.downgrade(),
            back_pressure: back_pressure_tx.downgrade(),
            coordinators: Vec::new(),
        };
        let manager = ProofManager { commands: proof_commands, commits, back_pressure: back_pressure_tx };
        tasks.spawn(manager.run(proof_manager_stops).with_current_subscriber());
        let proof_coordinator = ProofCoordinator { batches: local_batches, proof_manager: to_proof_manager.clone() };
        tasks.spawn(proof_coordinator.run(proof_coordinator_stops).with_current_subscriber());

        let mut workers = Vec::new();
        let mut drained = Vec::new();
        let mut stop_coordinators = Vec::new();
        for index in 0..WORKERS {
            let coordinator = Coordinator {
                world: self.world.clone(),
                node: Arc::clone(&self.node),
                name: worker_name(index),
                fragile: index == 1 % WORKERS,
                generator: address.subscribe(),
                store: Arc::clone(&self.store),
                proof_manager: to_proof_manager.clone(),
                gate: Arc::clone(&gate),
                breaker: self.world.config.own_breaker.then(WorkerBreaker::closed),
            };
            let (worker, inbox) = mpsc::channel(CHANNEL_SIZE);
            let (is_drained, when_drained) = oneshot::channel();
            let (stop, stops) = oneshot::channel();
            tasks.spawn(coordinator.run(inbox, is_drained, stops).with_current_subscriber());
            workers.push(worker);
            drained.push(when_drained);
            stop_coordinators.push(stop);
        }
        let depths = Depths { coordinators: workers.iter().map(mpsc::Sender::downgrade).collect(), ..depths };
        let generator = Generator {
            world: self.world.clone(),
            node: Arc::clone(&self.node),
            author: Arc::clone(&self.author),
            telemetry,
            store: Arc::clone(&self.store),
            mempool: to_mempool.clone(),
            proof_coordinator: to_proof_coordinator,
            back_pressure,
            address,
            hasty: self.restarted_for == Some(Fault::AptosRestartWithoutReconcile),
        };
        tasks.spawn(generator.run(generator_inbox, generator_stops).with_current_subscriber());
        let listener = NetworkListener {
            node: Arc::clone(&self.node),
            gossip: self.gossip.subscribe(),
            coordinators: workers,
            mempool: to_mempool,
        };
        tasks.spawn(listener.run(listener_stops).with_current_subscriber());

        let until = helpers.clone();
        tasks.spawn(
            async move { until.run_until_cancelled(depths.run()).await.unwrap_or(()) }.with_current_subscriber(),
        );
        if let Some(base) = self.world.config.breakers.clone() {
            let until = helpers.clone();
            let obeys = breaker::obey(base, Arc::clone(&self.node), gate);
            tasks.spawn(async move { until.run_until_cancelled(obeys).await.unwrap_or(()) }.with_current_subscriber());
        }
        Shutdown {
            listener: stop_listener,
            drained,
            generator: stop_generator,
            coordinators: stop_coordinators,
            proof_coordinator: stop_proof_coordinator,
            proof_manager: stop_proof_manager,
        }
    }

    /// Waits for a reason to stop: the testbed's end, the node's turn to restart, or a fault that needs a restart.
    async fn until_shutdown(&mut self) {
        let faults = self.world.faults.clone();
        let node = Arc::clone(&self.node);
        let asking =
            |faults: &crate::faults::Faults| IN_A_RESTART.into_iter().find(|fault| faults.is_on(*fault, &node));
        // The fault is one restart: a process that came of it waits until it was switched off before it obeys again.
        let restarted_before = self.restarted_for.take();
        let asked_again = async {
            if let Some(fault) = restarted_before {
                faults.until(|faults| !faults.is_on(fault, &node)).await;
            }
            faults.until(|faults| asking(faults).is_some()).await;
            asking(&faults)
        };
        let mut restart_at = self.world.next_restart(self.index);
        tokio::pin!(asked_again);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                asked_for = &mut asked_again => {
                    self.restarted_for = asked_for;
                    if asked_for == Some(Fault::AptosInFlightLost) {
                        tokio::time::sleep(IN_FLIGHT_LOST_BEFORE).await;
                    }
                    return;
                }
                () = sleep_until(restart_at) => {
                    // An operator does not restart a node that is broken: its fault would not show.
                    if self.world.faults.any_on(&self.node) {
                        restart_at = Some(Instant::now() + RESTART_PUT_OFF);
                    } else {
                        return;
                    }
                }
            }
        }
    }
}

impl Shutdown {
    /// Stops every component in the order of the flow. Each one's channel is empty before it is asked.
    async fn run(self) {
        ask("network_listener", self.listener).await;
        for drained in self.drained {
            // A worker that is gone has nothing left in flight.
            let _ = drained.await;
        }
        ask("batch_generator", self.generator).await;
        for (index, coordinator) in self.coordinators.into_iter().enumerate() {
            ask(&worker_name(index), coordinator).await;
        }
        ask("proof_coordinator", self.proof_coordinator).await;
        ask("proof_manager", self.proof_manager).await;
    }

    /// Stops the listener first, and then every component before the one that it should outlive.
    async fn run_out_of_order(self) {
        ask("network_listener", self.listener).await;
        for drained in self.drained {
            // A worker that is gone has nothing left in flight.
            let _ = drained.await;
        }
        for (index, coordinator) in self.coordinators.into_iter().enumerate() {
            ask(&worker_name(index), coordinator).await;
        }
        ask("batch_generator", self.generator).await;
        ask("proof_manager", self.proof_manager).await;
        ask("proof_coordinator", self.proof_coordinator).await;
    }
}

/// Asks one component to stop and waits for its answer.
async fn ask(component: &str, stop: oneshot::Sender<oneshot::Sender<()>>) {
    tracing::info!(name: "quorum_store.shutdown.requested", target: "quorum_store_coordinator", component);
    let (request, answer) = oneshot::channel();
    if stop.send(request).is_ok() && answer.await.is_ok() {
        tracing::info!(name: "quorum_store.shutdown.acked", target: "quorum_store_coordinator", component);
    }
}

/// The channels whose depth is reported. It keeps none of them open.
struct Depths {
    coordinators: Vec<mpsc::WeakSender<Arc<Batch>>>,
    generator: watch::Receiver<mpsc::Sender<GeneratorCommand>>,
    proof_manager: mpsc::WeakSender<ProofCommand>,
    back_pressure: mpsc::WeakSender<super::generator::BackPressure>,
}

impl Depths {
    async fn run(self) {
        let mut turn = interval(DEPTHS_EVERY);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            let generator = self.generator.borrow().clone();
            if !generator.is_closed() {
                report_depth("sender_to_batch_generator", generator.max_capacity(), generator.capacity());
            }
            // Of the workers' channels the fullest is told.
            let workers = self.coordinators.iter().filter_map(mpsc::WeakSender::upgrade);
            if let Some(fullest) = workers.min_by_key(mpsc::Sender::capacity) {
                report_depth("remote_batch_coordinator_cmd_tx", fullest.max_capacity(), fullest.capacity());
            }
            if let Some(manager) = self.proof_manager.upgrade() {
                report_depth("sender_to_proof_manager", manager.max_capacity(), manager.capacity());
            }
            if let Some(pressure) = self.back_pressure.upgrade() {
                report_depth("back_pressure_tx", pressure.max_capacity(), pressure.capacity());
            }
        }
    }
}
