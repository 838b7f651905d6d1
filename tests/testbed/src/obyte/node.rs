//! A node: starts its process again whenever that ended, gives up on one that keeps crashing, and resyncs it once the
//! fault behind it is gone.

use std::{path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber;

use super::{
    agent::Chain,
    composer::{Composer, ProcessError},
    process::{Carried, Exit, Process, trigger_period},
};
use crate::{ExportError, System, faults::Fault, telemetry::Telemetry, world::World};

/// How long a node is away when it restarts.
const RESTART_TAKES: Duration = Duration::from_secs(2);
/// Crashes in a row after which a node is not started again.
const CRASHES_MAX: u32 = 3;

/// Runs one node, restarts included, until told to stop.
pub(crate) async fn run(
    world: World,
    index: usize,
    name: String,
    folder: PathBuf,
    stop: CancellationToken,
) -> Result<(), ExportError> {
    let chain = Chain { seed: world.config.seed, genesis_ms: world.clock.genesis_ms() };
    let mut carried = Carried::default();
    let mut crashes = 0;
    let mut lost = Ok(());
    let mut resync = false;
    for incarnation in 0.. {
        let pid = world.pid(index, incarnation);
        let telemetry = Telemetry::open(&world.config, System::Obyte, &name, pid)?;
        let dispatch = telemetry.dispatch();
        let life = async {
            if let Err(error) = prepare(&world, chain, &folder, pid, std::mem::take(&mut resync)).await {
                return Exit::Crashed(error.to_string());
            }
            let process = Process {
                world: &world,
                node: &name,
                index,
                chain,
                folder: folder.clone(),
                pid,
                telemetry: &telemetry,
                carried: &mut carried,
                stop: &stop,
                restart_asked: false,
            };
            process.run().await
        };
        let exit = life.with_subscriber(dispatch.clone()).await;
        match exit {
            Exit::Stopped => crashes = 0,
            Exit::Resync => resync = true,
            Exit::Killed => {}
            Exit::Crashed(_) => crashes += 1,
        }
        let quarantined = crashes >= CRASHES_MAX && !world.faults.is_on(Fault::ObyteQuarantineIgnored, &name);
        if quarantined {
            tracing::dispatcher::with_default(&dispatch, || {
                tracing::event!(
                    name: "obyte.node.quarantined",
                    target: "ocore.process",
                    tracing::Level::ERROR,
                    reason = "crash loop: the stores do not match",
                );
            });
        }
        // What one process could not deliver is lost, as in the field; the node goes on, and says so at the end.
        let closed = telemetry.close().await;
        lost = lost.and(closed);
        let away = async {
            if quarantined {
                world.faults.until(|faults| !faults.any_on(&name)).await;
                carried.struck.clear();
                (resync, crashes) = (true, 0);
            }
            tokio::time::sleep(RESTART_TAKES).await;
        };
        tokio::select! {
            () = away => {}
            () = stop.cancelled() => break,
        }
        if resync {
            carried = Carried::default();
            crashes = 0;
        }
    }
    lost
}

/// Makes the node's folder ready for a process: as the last one left it, or rebuilt from the agreed triggers.
async fn prepare(world: &World, chain: Chain, folder: &PathBuf, pid: i64, resync: bool) -> Result<(), ProcessError> {
    if resync {
        tokio::fs::remove_dir_all(folder).await?;
    }
    tokio::fs::create_dir_all(folder).await?;
    if resync {
        // The trigger at index 0 is due at the start.
        let periods = world.clock.start().elapsed().as_secs_f64() / trigger_period(world).as_secs_f64();
        let due = periods.floor() as i64 + 1;
        let (bus, _announcements) = tokio::sync::mpsc::channel(1);
        let mut composer = Composer::open(chain, folder, bus, pid).await?;
        let resynced = composer.resync(due).await;
        composer.close().await;
        resynced?;
    }
    Ok(())
}
