//! The watched systems in miniature, with faults that can be switched on.
//!
//! The systems run as nodes inside one process: validators of an Aptos quorum store ([`System::Aptos`]), full nodes of
//! Obyte ([`System::Obyte`]), relay miners of Pocket ([`System::Pocket`]), validators of a Malachite chain
//! ([`System::Malachite`]), TOS nodes that execute blocks in parallel ([`System::Tos`]) and Ultramarine nodes that sync
//! decided blocks ([`System::Ultramarine`]). A node is a handful of tokio tasks that talk over bounded channels; an Obyte node also
//! has a real append-only key-value file and a real SQLite database. The components report through `tracing` and the
//! OpenTelemetry SDK, each node under its own resource, as nodes in the field do.
//!
//! Left alone, the systems keep every invariant of their packs. A [`Fault`] breaks some, and says which.
//! [`pager`] stands in for the services that page people.
//!
//! The testbed knows nothing of Invar but two public wires: OTLP to report, and the HTTP answer of a breaker to obey.

mod aptos;
mod clock;
mod config;
mod faults;
mod malachite;
mod obyte;
pub mod pager;
mod pocket;
mod telemetry;
mod tos;
mod ultramarine;
mod world;

use std::{collections::BTreeSet, time::Duration};

use tokio::{sync::broadcast, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub use config::{Config, Protocol, System, UnknownSystem};
pub use faults::{Fault, Injection, UnknownFault};
pub use telemetry::{ExportError, Recorded, Recorder};

use world::World;

/// How long [`Testbed::stop`] waits for nodes before it ends them by force.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Why a testbed did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration asks for something that cannot be.
    #[error("{0}")]
    Config(String),
    /// The folder for the nodes' files could not be made.
    #[error("no folder for the nodes' files: {0}")]
    Folder(#[source] std::io::Error),
}

/// Why a fault was not switched on.
#[derive(Debug, thiserror::Error)]
#[error("no node `{node}` runs {system}; the nodes are {known:?}")]
pub struct UnknownNode {
    node: String,
    system: System,
    known: Vec<String>,
}

/// What a testbed could not deliver.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Some nodes' last records did not arrive.
    #[error("{} nodes could not deliver their last records, first: {}", .0.len(), .0[0])]
    Export(Vec<ExportError>),
    /// Nodes were still running after the grace period and were ended by force.
    #[error("{0} nodes did not stop in time")]
    Stuck(usize),
}

/// The running systems.
///
/// Dropping it ends all nodes at once, like a power cut; [`Testbed::stop`] ends them in order.
#[derive(Debug)]
pub struct Testbed {
    world: World,
    stop: CancellationToken,
    nodes: JoinSet<Result<(), ExportError>>,
    names: Vec<(System, String)>,
    /// Holds the Obyte nodes' files until the testbed ends.
    _files: tempfile::TempDir,
}

impl Testbed {
    /// Starts every node of the configured systems.
    ///
    /// # Errors
    ///
    /// When the configuration asks for no system, no node or no events, or the temporary folder cannot be made. An
    /// endpoint that cannot be reached is no error: nodes try again, and lose what they cannot keep, like any node.
    pub async fn start(config: Config) -> Result<Testbed, StartError> {
        config.check().map_err(StartError::Config)?;
        // The HTTP clients are built without a cryptography provider of their own; a second install is refused, and harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let files = tempfile::Builder::new().prefix("testbed-").tempdir().map_err(StartError::Folder)?;
        let world = World::new(config);
        let stop = CancellationToken::new();
        let mut nodes = JoinSet::new();
        let mut names = Vec::new();
        let systems: BTreeSet<System> = world.config.systems.iter().copied().collect();
        for system in systems {
            let gossip = broadcast::Sender::new(aptos::GOSSIP_CAPACITY);
            let network = malachite::Network::new(&world.faults);
            let surroundings = pocket::Surroundings::new(&world);
            let sync = ultramarine::Network::default();
            for index in 0..system.nodes(world.config.nodes) {
                let name = system.node(index);
                match system {
                    System::Aptos => {
                        nodes.spawn(aptos::run(world.clone(), index, name.clone(), gossip.clone(), stop.clone()));
                    }
                    System::Obyte => {
                        let folder = files.path().join(&name);
                        nodes.spawn(obyte::run(world.clone(), index, name.clone(), folder, stop.clone()));
                    }
                    System::Pocket => {
                        let surroundings = surroundings.clone();
                        nodes.spawn(pocket::run(world.clone(), index, name.clone(), surroundings, stop.clone()));
                    }
                    System::Malachite => {
                        let folder = files.path().join(&name);
                        let network = network.clone();
                        nodes.spawn(malachite::run(world.clone(), index, name.clone(), folder, network, stop.clone()));
                    }
                    System::Tos => {
                        let folder = files.path().join(&name);
                        nodes.spawn(tos::run(world.clone(), index, name.clone(), folder, stop.clone()));
                    }
                    System::Ultramarine => {
                        let folder = files.path().join(&name);
                        let (sync, stop) = (sync.clone(), stop.clone());
                        nodes.spawn(ultramarine::run(world.clone(), index, name.clone(), folder, sync, stop));
                    }
                }
                names.push((system, name));
            }
            if system == System::Aptos {
                nodes.spawn(aptos::peers(world.clone(), gossip, stop.clone()));
            }
            if system == System::Pocket {
                nodes.spawn(pocket::surround(surroundings, stop.clone()));
            }
            if system == System::Ultramarine {
                let validators = ultramarine::validators(world.clone(), sync, stop.clone());
                nodes.spawn(async move {
                    validators.await;
                    Ok(())
                });
            }
        }
        Ok(Testbed { world, stop, nodes, names, _files: files })
    }

    /// Switches a fault on, at the first node of its system when the injection names none.
    ///
    /// # Errors
    ///
    /// When the named node does not run, or not the fault's system.
    pub fn inject(&self, injection: impl Into<Injection>) -> Result<(), UnknownNode> {
        let injection = injection.into();
        let system = injection.fault.system();
        let node = injection.node();
        if self.names.iter().any(|(of, name)| *of == system && *name == node) {
            self.world.faults.switch_on(injection.fault, node);
            return Ok(());
        }
        let known = self.names.iter().filter(|(of, _)| *of == system).map(|(_, name)| name.clone()).collect();
        Err(UnknownNode { node, system, known })
    }

    /// Switches a fault off at every node. Nodes that it left inconsistent recover by themselves, within seconds.
    pub fn clear(&self, fault: Fault) {
        self.world.faults.switch_off(fault);
    }

    /// The faults that are on, with their nodes.
    #[must_use]
    pub fn active(&self) -> Vec<Injection> {
        self.world.faults.active()
    }

    /// The names of the nodes, as they stand in `service.instance.id`.
    pub fn nodes(&self) -> impl Iterator<Item = (System, &str)> {
        self.names.iter().map(|(system, name)| (*system, name.as_str()))
    }

    /// Switches all faults off, stops every node in its proper order and delivers what they still have to report.
    ///
    /// # Errors
    ///
    /// When last records could not be delivered, or a node had to be ended by force.
    pub async fn stop(mut self) -> Result<(), StopError> {
        self.world.faults.switch_all_off();
        self.stop.cancel();
        let mut lost = Vec::new();
        let all = async {
            while let Some(ended) = self.nodes.join_next().await {
                match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => lost.push(error),
                    Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
                    Err(_) => {}
                }
            }
        };
        if tokio::time::timeout(STOP_WITHIN, all).await.is_err() {
            let left = self.nodes.len();
            self.nodes.abort_all();
            return Err(StopError::Stuck(left));
        }
        if lost.is_empty() { Ok(()) } else { Err(StopError::Export(lost)) }
    }
}
