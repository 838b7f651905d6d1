//! A node: starts its process again whenever that ended, and keeps its decided heights across processes.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber;

use super::{
    message::Decision,
    network::Network,
    process::{Exit, Process},
    wal,
};
use crate::{ExportError, System, faults::Fault, telemetry::Telemetry, world::World};

/// How long a node is away when it restarts: less than the heights until it proposes again take.
const RESTART_TAKES: Duration = Duration::from_millis(500);
/// How long one is away that comes back to a chain that has moved on.
const DETOUR_TAKES: Duration = Duration::from_millis(2200);
/// How long a killed node is away.
const KILLED_FOR: Duration = Duration::from_secs(8);

/// What a node keeps on disk besides its log: the decided heights, without gaps.
#[derive(Debug)]
pub(super) struct Store {
    /// The height before the chain's first one. Each run of the testbed is a chain of its own: it begins higher than any
    /// before it could have come.
    genesis: i64,
    decisions: Vec<Decision>,
}

impl Store {
    pub(super) fn tip(&self) -> i64 {
        self.genesis + i64::try_from(self.decisions.len()).unwrap_or_default()
    }

    /// Whether the chain has not begun.
    pub(super) fn is_empty(&self) -> bool {
        self.decisions.is_empty()
    }

    pub(super) fn get(&self, height: i64) -> Option<&Decision> {
        self.decisions.get(usize::try_from(height - self.genesis - 1).ok()?)
    }

    pub(super) fn push(&mut self, decision: Decision) {
        self.decisions.push(decision);
    }
}

/// Runs one node, restarts included, until told to stop.
pub(crate) async fn run(
    world: World,
    index: usize,
    name: String,
    folder: PathBuf,
    network: Network,
    stop: CancellationToken,
) -> Result<(), ExportError> {
    let mut store = Store { genesis: world.clock.genesis_ms() / 1000, decisions: Vec::new() };
    let mut struck = BTreeSet::new();
    let mut lost = Ok(());
    for incarnation in 0.. {
        let pid = world.pid(index, incarnation);
        let telemetry = Telemetry::open(&world.config, System::Malachite, &name, pid)?;
        let dispatch = telemetry.dispatch();
        struck.retain(|fault| world.faults.is_on(*fault, &name));
        let process = Process {
            world: &world,
            node: &name,
            me: index,
            folder: &folder,
            network: &network,
            store: &mut store,
            struck: &mut struck,
            stop: &stop,
        };
        let exit = process.run(pid).with_subscriber(dispatch).await;
        let away = match exit {
            Exit::Stopped => Duration::ZERO,
            Exit::Restart => RESTART_TAKES,
            Exit::Killed => KILLED_FOR,
            Exit::Detour(fault) => {
                match fault {
                    // A log that cannot be damaged is not there: nothing was voted since it was emptied.
                    Fault::MalachiteWalCorrupted => drop(wal::damage(&folder)),
                    Fault::MalachiteStoreLosesHeight => drop(store.decisions.pop()),
                    _ => {}
                }
                DETOUR_TAKES
            }
        };
        // The last records are delivered while it is away: a slow receiver must not cost it its turn.
        let (closed, _) = tokio::join!(telemetry.close(), stop.run_until_cancelled(tokio::time::sleep(away)));
        // What one process could not deliver is lost, as in the field; the node goes on, and says so at the end.
        lost = lost.and(closed);
        if stop.is_cancelled() {
            break;
        }
    }
    lost
}
