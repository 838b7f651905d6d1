//! An instance: one process after another, each with all components, stopped in the order of the flow.

use std::{sync::Arc, time::Duration};

use opentelemetry::logs::AnyValue;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber;

use super::{
    QUEUE, blocks, cache,
    chain::Chain,
    gauges::Gauges,
    leader,
    miner::{Memory, Miner},
    pipeline::{Kind, Pipeline, Pool},
    pocket_event,
    redis::Redis,
    relayer::{Backend, Relayer},
};
use crate::{
    ExportError, System,
    faults::Fault,
    telemetry::{Telemetry, list},
    world::{World, sleep_until},
};

/// How long a process is away when it restarts.
const RESTART_TAKES: Duration = Duration::from_millis(1500);
/// How often an instance with a fault looks again whether it may restart.
const RESTART_PUT_OFF: Duration = Duration::from_secs(10);
/// What a process is built with, in health and with the fault.
const RELEASED: [&str; 2] = ["github.com/cometbft/cometbft v1.0.1", "github.com/pokt-network/poktroll v0.1.31"];
const CANDIDATES: [&str; 2] =
    ["github.com/cometbft/cometbft v1.0.0-rc1", "github.com/pokt-network/poktroll v0.1.31-rc1"];

/// What all instances share.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    chain: Chain,
    redis: Redis,
}

impl Surroundings {
    pub(crate) fn new(world: &World) -> Surroundings {
        Surroundings { chain: Chain::new(world), redis: Redis::new() }
    }
}

/// Makes blocks until told to stop.
pub(crate) async fn surround(surroundings: Surroundings, stop: CancellationToken) -> Result<(), ExportError> {
    stop.run_until_cancelled(surroundings.chain.run()).await;
    Ok(())
}

/// What every component of a process has.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) world: World,
    pub(super) node: Arc<str>,
    pub(super) pid: i64,
    pub(super) chain: Chain,
    pub(super) redis: Redis,
}

impl Instance {
    pub(super) fn on(&self, fault: Fault) -> bool {
        self.world.faults.is_on(fault, &self.node)
    }

    /// Whether this instance is cut off from Redis.
    pub(super) fn redis_is_away(&self) -> bool {
        self.on(Fault::PocketRedisOutage)
    }

    /// Whether something is on that a process only meets when it starts.
    fn needs_restart(&self) -> bool {
        self.on(Fault::PocketPipelineIncomplete) || self.on(Fault::PocketDebugBuild)
    }
}

/// Runs one instance, restarts included, until told to stop.
pub(crate) async fn run(
    world: World,
    index: usize,
    name: String,
    surroundings: Surroundings,
    stop: CancellationToken,
) -> Result<(), ExportError> {
    let node: Arc<str> = name.into();
    let mut lost = Ok(());
    for incarnation in 0.. {
        let pid = world.pid(index, incarnation);
        let telemetry = Telemetry::open(&world.config, System::Pocket, &node, pid)?;
        let Surroundings { chain, redis } = surroundings.clone();
        let instance = Instance { world: world.clone(), node: Arc::clone(&node), pid, chain, redis };
        live(&instance, &telemetry, index, &stop).with_subscriber(telemetry.dispatch()).await;
        // What one process could not deliver is lost, as in the field; the node goes on, and says so at the end.
        let closed = telemetry.close().await;
        lost = lost.and(closed);
        tokio::select! {
            () = tokio::time::sleep(RESTART_TAKES) => {}
            () = stop.cancelled() => break,
        }
    }
    lost
}

/// One process, from its start to its end.
async fn live(instance: &Instance, telemetry: &Telemetry, index: usize, stop: &CancellationToken) {
    let debugs = instance.on(Fault::PocketDebugBuild);
    telemetry.record(
        "miner",
        "pocket.process.started",
        [
            ("component", AnyValue::from("miner")),
            ("build.dependencies", list(if debugs { CANDIDATES } else { RELEASED })),
            ("debug_env", list(debugs.then_some("TEST_FORCE_CLAIM_TX_ERROR"))),
        ],
    );
    pocket_event!("proxy_server", "pocket.signer.changed", phase = "startup");
    initialize(!instance.on(Fault::PocketPipelineIncomplete));
    let started_as = instance.needs_restart();
    let mut tasks = JoinSet::new();
    let helpers = CancellationToken::new();
    let (leads, mining) = start(instance, &mut tasks, &helpers);
    until_stop(instance, index, started_as, stop).await;
    // First the miner, which waits for what it has on the way; then the lock; then everything else.
    let Mining { stop, ended } = mining;
    stop.cancel();
    // The miner's task ends only by itself.
    let _ = ended.await;
    leader::resign(instance, &leads);
    helpers.cancel();
    tasks.join_all().await;
}

/// The relay pipeline says what it has; a process that lacks something serves all the same.
fn initialize(complete: bool) {
    if complete {
        pocket_event!(
            "proxy_server",
            "pocket.pipeline.initialized",
            has_validator = true,
            has_meter = true,
            has_signer = true,
            has_processor = true,
        );
    } else {
        pocket_event!(
            "proxy_server",
            "pocket.pipeline.initialization_failed",
            has_validator = true,
            has_meter = true,
            has_signer = false,
            has_processor = true,
        );
    }
}

/// How the miner is stopped before everything else.
struct Mining {
    stop: CancellationToken,
    ended: tokio::sync::oneshot::Receiver<()>,
}

/// Starts every component of a process.
fn start(instance: &Instance, tasks: &mut JoinSet<()>, helpers: &CancellationToken) -> (watch::Sender<bool>, Mining) {
    let leads = watch::Sender::new(false);
    let observed = watch::Sender::new(0);
    let (claims, claim_jobs) = mpsc::channel(QUEUE);
    let (proofs, proof_jobs) = mpsc::channel(QUEUE);
    let (registry, changes) = mpsc::channel(QUEUE);
    let (outcomes_to, outcomes) = mpsc::channel(QUEUE);
    let pool = Arc::new(Pool::new());
    let backend = Arc::new(Backend::new());
    let mut helper = |task: futures_util::future::BoxFuture<'static, ()>| {
        let until = helpers.clone();
        tasks.spawn(async move { until.run_until_cancelled(task).await.unwrap_or(()) }.with_current_subscriber());
    };
    helper(Box::pin(leader::run(instance.clone(), leads.clone())));
    helper(Box::pin(blocks::publish(instance.clone(), leads.subscribe())));
    helper(Box::pin(blocks::subscribe(instance.clone(), observed.clone())));
    helper(Box::pin(cache::registry(instance.clone(), changes)));
    let gauges = Gauges {
        instance: instance.clone(),
        claims: claims.downgrade(),
        proofs: proofs.downgrade(),
        registry: registry.downgrade(),
        pool: Arc::clone(&pool),
        backend: Arc::clone(&backend),
    };
    helper(Box::pin(cache::run(instance.clone(), observed.subscribe(), leads.subscribe(), registry)));
    helper(Box::pin(gauges.run()));
    helper(Box::pin(Relayer::new(instance.clone(), observed.subscribe(), backend).run()));
    helper(Box::pin(reload_signer(instance.clone())));
    for (kind, jobs) in [(Kind::Claim, claim_jobs), (Kind::Proof, proof_jobs)] {
        let pipeline = Pipeline {
            instance: instance.clone(),
            kind,
            jobs,
            outcomes: outcomes_to.clone(),
            leads: leads.subscribe(),
            pool: Arc::clone(&pool),
        };
        // A pipeline ends when the miner has dropped its queue.
        tasks.spawn(pipeline.run().with_current_subscriber());
    }
    drop(outcomes_to);
    let miner = Miner {
        instance: instance.clone(),
        observed: observed.subscribe(),
        leads: leads.subscribe(),
        claims,
        proofs,
        outcomes,
        memory: Memory::default(),
    };
    let (is_ended, ended) = tokio::sync::oneshot::channel();
    let stop = CancellationToken::new();
    let until = stop.clone();
    let mining = async move {
        miner.run(until).await;
        let _ = is_ended.send(());
    };
    tasks.spawn(mining.with_current_subscriber());
    (leads, Mining { stop, ended })
}

/// Reloads the signer while relays are served, whenever the fault is switched on.
async fn reload_signer(instance: Instance) {
    let faults = instance.world.faults.clone();
    loop {
        faults.until(|_| instance.on(Fault::PocketSignerReloaded)).await;
        pocket_event!("proxy_server", "pocket.signer.changed", phase = "runtime");
        faults.until(|_| !instance.on(Fault::PocketSignerReloaded)).await;
    }
}

/// Waits for a reason to stop: the testbed's end, the instance's turn to restart, or a fault that needs a restart.
async fn until_stop(instance: &Instance, index: usize, started_as: bool, stop: &CancellationToken) {
    let faults = instance.world.faults.clone();
    let mut restart_at = instance.world.next_restart(index);
    // A process that started with such a fault restarts once it is switched off.
    let turned = faults.until(|_| instance.needs_restart() != started_as);
    tokio::pin!(turned);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = &mut turned => return,
            () = sleep_until(restart_at) => {
                // An operator does not restart an instance that is broken: its fault would not show.
                if instance.world.faults.any_on(&instance.node) {
                    restart_at = Some(Instant::now() + RESTART_PUT_OFF);
                } else {
                    return;
                }
            }
        }
    }
}
