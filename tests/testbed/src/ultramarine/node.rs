//! A node: starts its process again whenever that ended, gives up on one that keeps crashing, and resyncs it once the
//! faults behind that are gone. The execution layer goes on meanwhile.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber;

use super::{
    chain::Chain,
    execution::{self, Call},
    network::Network,
    process::{App, Carried, Exit, Stores},
};
use crate::{ExportError, System, telemetry::Telemetry, world::World};

/// How long a node is away when it restarts.
const RESTART_TAKES: Duration = Duration::from_millis(1500);
/// Crashes in a row after which a node is not started again.
const CRASHES_MAX: u32 = 3;
/// Heights that a resync rebuilds: further back no peer asks.
const REBUILT: i64 = 200;
/// Calls that may wait for the execution layer.
const CALLS_CAPACITY: usize = 16;

/// Runs one node, restarts included, until told to stop.
pub(crate) async fn run(
    world: World,
    index: usize,
    name: String,
    folder: PathBuf,
    network: Network,
    stop: CancellationToken,
) -> Result<(), ExportError> {
    let chain = Chain { seed: world.config.seed, genesis_ms: world.clock.genesis_ms() };
    let (calls, called) = mpsc::channel(CALLS_CAPACITY);
    let execution_layer = tokio::spawn(execution::run(called));
    let mut carried = Carried::default();
    let mut crashes = 0;
    let mut resync = false;
    let mut lost = Ok(());
    for incarnation in 0.. {
        let pid = world.pid(index, incarnation);
        let telemetry = Telemetry::open(&world.config, System::Ultramarine, &name, pid)?;
        let life = async {
            if resync {
                // The execution layer takes the next block as it comes.
                let _ = calls.send(Call::Anchor).await;
            }
            let stores = match prepare(chain, &folder, resync.then_some(carried.next)).await {
                Ok(stores) => Arc::new(Mutex::new(stores)),
                Err(error) => return Exit::Crashed(error.to_string()),
            };
            let app = App {
                world: &world,
                node: &name,
                index,
                pid,
                chain,
                network: &network,
                telemetry: &telemetry,
                stores,
                execution: calls.clone(),
                carried: &mut carried,
                stop: &stop,
                requests: 0,
                failures: 0,
                retry_at: None,
                behind_since: None,
            };
            app.run().await
        };
        let exit = life.with_subscriber(telemetry.dispatch()).await;
        resync = false;
        match exit {
            Exit::Stopped => crashes = 0,
            Exit::Resync => (resync, crashes) = (true, 0),
            Exit::Crashed(error) => {
                tracing::warn!(node = name, error, "crashed");
                crashes += 1;
            }
        }
        // What one process could not deliver is lost, as in the field; the node goes on, and says so at the end.
        let closed = telemetry.close().await;
        lost = lost.and(closed);
        let away = async {
            if crashes >= CRASHES_MAX {
                world.faults.until(|faults| !faults.any_on(&name)).await;
                (resync, crashes) = (true, 0);
                (carried.astray, carried.replayed) = (false, false);
            }
            tokio::time::sleep(RESTART_TAKES).await;
        };
        tokio::select! {
            () = away => {}
            () = stop.cancelled() => break,
        }
        if resync {
            (carried.astray, carried.replayed) = (false, false);
            carried.unmarkable.clear();
        }
    }
    drop(calls);
    // It ends with its channel.
    let _ = execution_layer.await;
    lost
}

/// Opens a node's stores as the last process left them, or rebuilds them up to a height from what was decided.
async fn prepare(chain: Chain, folder: &Path, rebuilt_to: Option<i64>) -> std::io::Result<Stores> {
    if rebuilt_to.is_some() {
        tokio::fs::remove_dir_all(folder).await?;
    }
    tokio::fs::create_dir_all(folder).await?;
    let mut stores = Stores::open(folder).await?;
    if let Some(end) = rebuilt_to {
        for height in chain.first_height().max(end - REBUILT)..end {
            let at = chain.decided(height);
            let proposal = chain.proposal(at);
            stores.put_payload(at, &proposal.payload).await?;
            let indices: Vec<i64> = (0..).take(proposal.blobs.len()).collect();
            stores.blobs.store(at, &proposal.blobs, &indices).await?;
            stores.blobs.mark_decided(at).await?;
            stores.put_proposal(at, &proposal.value_id, proposal.blobs.len()).await?;
            stores.put_decided(at, &proposal.value_id).await?;
        }
    }
    Ok(stores)
}
