//! A node: executes blocks at their time, starts again when its settings change or its turn comes, and resyncs once the
//! faults are gone that led it astray.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval, sleep_until as sleep_until_instant};
use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber;

use super::{
    blockchain::{Blockchain, Settings},
    chain::Chain,
    chain_state::Wrong,
};
use crate::{
    ExportError, System,
    faults::{Fault, Faults},
    telemetry::{Telemetry, count},
    world::{World, sleep_until},
};

/// How long a node is away when it restarts.
const RESTART_TAKES: Duration = Duration::from_millis(1500);
/// How long a node waits before it executes a rejected block again.
const RETRY_AFTER: Duration = Duration::from_millis(300);
/// How long a block may take before whoever supervises the process ends it.
const WATCHDOG: Duration = Duration::from_secs(40);
/// One block in so many meets a storage read that fails, at one node, once.
const READ_FAILS_EVERY: i64 = 24;

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
enum Exit {
    /// As it was told to.
    Stopped,
    /// Told to, because it went astray and the faults behind that are gone.
    Resync,
}

struct Process<'a> {
    world: &'a World,
    node: &'a str,
    index: usize,
    settings: Settings,
    telemetry: &'a Telemetry,
    stop: &'a CancellationToken,
    /// Whether a block was executed while something was wrong.
    astray: &'a mut bool,
}

/// How long a block is apart from the next.
fn block_period(world: &World) -> Duration {
    Duration::from_secs_f64(60.0 / world.config.rate)
}

/// Runs one node, restarts included, until told to stop.
pub(crate) async fn run(
    world: World,
    index: usize,
    name: String,
    folder: PathBuf,
    stop: CancellationToken,
) -> Result<(), ExportError> {
    let chain = Chain { seed: world.config.seed, genesis_ms: world.clock.genesis_ms() };
    let mut astray = false;
    let mut resync = false;
    let mut lost = Ok(());
    for incarnation in 0.. {
        let pid = world.pid(index, incarnation);
        let telemetry = Telemetry::open(&world.config, System::Tos, &name, pid)?;
        let life = async {
            let mut blockchain = prepare(&world, chain, &folder, pid, resync).await?;
            let process = Process {
                world: &world,
                node: &name,
                index,
                settings: settings(&world, index, &name),
                telemetry: &telemetry,
                stop: &stop,
                astray: &mut astray,
            };
            Ok::<Exit, std::io::Error>(process.run(&mut blockchain).await)
        };
        let exit = life.with_subscriber(telemetry.dispatch()).await;
        resync = match exit {
            Ok(exit) => exit == Exit::Resync,
            Err(error) => {
                tracing::error!(node = name, %error, "the node's files cannot be used, it resyncs");
                true
            }
        };
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

/// What a node is started with now.
fn settings(world: &World, index: usize, node: &str) -> Settings {
    let on = |fault| world.faults.is_on(fault, node);
    Settings {
        permits: if on(Fault::TosManyPermits) { 4 } else { 1 },
        // Every third node never opted in.
        parallel_enabled: index % 3 != 2 && !on(Fault::TosKillSwitchIgnored),
        network: match world.config.network.as_str() {
            "mainnet" => "mainnet",
            "testnet" => "testnet",
            _ => "devnet",
        },
    }
}

/// What is wrong at a node now.
fn wrong(world: &World, node: &str) -> Wrong {
    let here = |fault: &Fault| fault.system() == System::Tos && world.faults.is_on(*fault, node);
    Fault::ALL.iter().copied().filter(here).collect()
}

/// Opens a node's storage as the last process left it, or rebuilds it from the agreed blocks.
async fn prepare(world: &World, chain: Chain, folder: &Path, pid: i64, resync: bool) -> std::io::Result<Blockchain> {
    if resync {
        tokio::fs::remove_dir_all(folder).await?;
    }
    tokio::fs::create_dir_all(folder).await?;
    let blockchain = Blockchain::open(chain, folder, pid).await?;
    if resync {
        // The block at index 0 is due at the start.
        let periods = world.clock.start().elapsed().as_secs_f64() / block_period(world).as_secs_f64();
        blockchain.resync(periods.floor() as i64 + 1).await.map_err(std::io::Error::other)?;
    }
    Ok(blockchain)
}

impl Process<'_> {
    async fn run(mut self, blockchain: &mut Blockchain) -> Exit {
        tracing::event!(
            name: "tos.config.loaded",
            target: "blockchain",
            tracing::Level::INFO,
            storage_read_permits = count(self.settings.permits),
            parallel_enabled = self.settings.parallel_enabled,
            min_txs_for_parallel = count(self.settings.min_txs()),
            network = self.settings.network,
        );
        let mut restart_at = self.world.next_restart(self.index);
        let mut look = interval(Duration::from_millis(200));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = blockchain.next().await;
        loop {
            let due = self.world.clock.start() + block_period(self.world).mul_f64(next as f64);
            tokio::select! {
                () = self.stop.cancelled() => return Exit::Stopped,
                () = sleep_until(restart_at) => {
                    if !self.world.faults.any_on(self.node) {
                        return Exit::Stopped;
                    }
                    restart_at = None;
                }
                _ = look.tick() => {
                    if *self.astray && !self.world.faults.any_on(self.node) {
                        *self.astray = false;
                        return Exit::Resync;
                    }
                    if self.settings != settings(self.world, self.index, self.node) {
                        return Exit::Stopped;
                    }
                }
                () = sleep_until_instant(due), if !self.world.faults.is_on(Fault::TosNodeIdle, self.node) => {
                    if !self.execute(blockchain, next).await {
                        return Exit::Stopped;
                    }
                    next = blockchain.next().await;
                }
            }
        }
    }

    /// Executes a block, again when it was rejected. False when the node has to end in the middle of it.
    async fn execute(&mut self, blockchain: &mut Blockchain, index: i64) -> bool {
        let wrong = wrong(self.world, self.node);
        *self.astray |= !wrong.is_empty();
        let turn = usize::try_from(index / READ_FAILS_EVERY).unwrap_or_default() % self.world.config.nodes;
        let first_read_fails = index % READ_FAILS_EVERY == 6 && turn == self.index;
        let execution = async {
            for attempt in 0..3 {
                let read_fails = first_read_fails && attempt == 0;
                let added = blockchain.add_new_block(index, &self.settings, self.telemetry, read_fails, &wrong).await;
                if added.is_ok() || blockchain.next().await > index {
                    return;
                }
                tokio::time::sleep(RETRY_AFTER).await;
            }
        };
        // With a permit lost the execution never ends, and nothing more is heard of the node until it is started again.
        let mended = async {
            if wrong.contains(&Fault::TosPermitLeaks) {
                let gone = |faults: &Faults| !faults.is_on(Fault::TosPermitLeaks, self.node);
                self.world.faults.until(gone).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = execution => true,
            () = mended => false,
            () = tokio::time::sleep(WATCHDOG) => false,
        }
    }
}
