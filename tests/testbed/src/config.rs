//! What a testbed is asked to be. It holds no defaults of the systems themselves: those are theirs.

use std::{fmt, str::FromStr, time::Duration};

use crate::Recorder;

/// A system that can be run in miniature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum System {
    /// The quorum store of Aptos validators.
    Aptos,
    /// The autonomous-agent composer of Obyte full nodes.
    Obyte,
    /// Relay miners of a Pocket Network supplier. Each serves three quarters as many relays as [`Config::rate`] says.
    Pocket,
    /// Validators of a Malachite chain. There are four, whatever is configured, and they keep their own pace.
    Malachite,
    /// Parallel execution on TOS nodes, which execute a sixtieth as many blocks as [`Config::rate`] says.
    Tos,
    /// State sync of Ultramarine nodes, which decide a twentieth as many blocks.
    Ultramarine,
}

impl System {
    /// All of them.
    pub const ALL: [System; 6] =
        [System::Aptos, System::Obyte, System::Pocket, System::Malachite, System::Tos, System::Ultramarine];

    /// The name as flags and faults spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            System::Aptos => "aptos",
            System::Obyte => "obyte",
            System::Pocket => "pocket",
            System::Malachite => "malachite",
            System::Tos => "tos",
            System::Ultramarine => "ultramarine",
        }
    }

    /// How many of its nodes run when so many are configured.
    #[must_use]
    pub fn nodes(self, configured: usize) -> usize {
        match self {
            System::Malachite => crate::malachite::VALIDATORS,
            _ => configured,
        }
    }

    /// The name of the node at `index`, counted from 0; names count from 1.
    #[must_use]
    pub fn node(self, index: usize) -> String {
        let prefix = match self {
            System::Aptos => "validator",
            System::Obyte => "obyte",
            System::Pocket => "miner",
            System::Malachite => "malachite",
            System::Tos => "tos",
            System::Ultramarine => "ultramarine",
        };
        format!("{prefix}-{}", index + 1)
    }

    /// What its nodes call themselves in `service.name`.
    pub(crate) fn service(self) -> &'static str {
        match self {
            System::Aptos => "aptos-node",
            System::Obyte => "ocore",
            System::Pocket => "pocket-relay-miner",
            System::Malachite => "malachite-app",
            System::Tos => "tos-daemon",
            System::Ultramarine => "ultramarine",
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A system's name that is none.
#[derive(Debug, thiserror::Error)]
#[error("no system is called `{0}`: write one of {known}", known = System::ALL.map(System::name).join(", "))]
pub struct UnknownSystem(String);

impl FromStr for System {
    type Err = UnknownSystem;

    fn from_str(text: &str) -> Result<System, UnknownSystem> {
        System::ALL.into_iter().find(|system| system.name() == text).ok_or_else(|| UnknownSystem(text.to_owned()))
    }
}

/// How nodes send their records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC, port 4317 by custom.
    #[default]
    Grpc,
    /// OTLP over HTTP as protobuf, port 4318 by custom.
    Http,
}

/// What to run. `Config::default()` is three nodes of each system that report to a local receiver over gRPC.
#[derive(Clone, Debug)]
pub struct Config {
    /// The receiver's base address, without a path.
    pub endpoint: String,
    /// How to talk to it.
    pub protocol: Protocol,
    /// Which systems run.
    pub systems: Vec<System>,
    /// Nodes of each system, but for those whose number is fixed ([`System::nodes`]).
    pub nodes: usize,
    /// Remote batches a second that each Aptos validator receives. Obyte executes a tenth as many triggers.
    pub rate: f64,
    /// Where every choice comes from: what is sent, to whom, in which order. Scheduling is tokio's.
    pub seed: u64,
    /// The name of the network, in `deployment.environment.name`.
    pub network: String,
    /// How often each node restarts in health, in proper order; `None` for never.
    pub restart_every: Option<Duration>,
    /// The base address of an Invar whose breakers Aptos validators obey; `None` to obey nobody.
    pub breakers: Option<String>,
    /// Whether each Aptos coordinator has a circuit breaker of its own, as the audit asks for. Validators in the field
    /// have none.
    pub own_breaker: bool,
    /// How long a record may wait to be sent in a batch.
    pub batch_delay: Duration,
    /// Keeps records in memory instead of sending them.
    pub recorder: Option<Recorder>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            endpoint: "http://127.0.0.1:4317".to_owned(),
            protocol: Protocol::Grpc,
            systems: System::ALL.to_vec(),
            nodes: 3,
            rate: 20.0,
            seed: 1,
            network: "testnet".to_owned(),
            restart_every: Some(Duration::from_secs(240)),
            breakers: None,
            own_breaker: false,
            batch_delay: Duration::from_millis(500),
            recorder: None,
        }
    }
}

impl Config {
    /// More nodes than this in one process would measure the machine, not the watcher.
    pub const NODES_MAX: usize = 100;
    /// More batches a second than this would fill channels in health.
    pub const RATE_MAX: f64 = 2_000.0;
    /// Restarts more frequent than this would overlap their own recovery.
    pub const RESTART_EVERY_MIN: Duration = Duration::from_secs(20);

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.systems.is_empty() {
            return Err(format!("no system to run: name some of {}", System::ALL.map(System::name).join(", ")));
        }
        if self.nodes == 0 || self.nodes > Config::NODES_MAX {
            return Err(format!("{} nodes: expected 1 to {}", self.nodes, Config::NODES_MAX));
        }
        if !(self.rate > 0.0 && self.rate <= Config::RATE_MAX) {
            return Err(format!("rate {}: expected more than 0 and at most {}", self.rate, Config::RATE_MAX));
        }
        if let Some(every) = self.restart_every.filter(|every| *every < Config::RESTART_EVERY_MIN) {
            return Err(format!("restarts every {every:?}: expected {:?} or more", Config::RESTART_EVERY_MIN));
        }
        Ok(())
    }
}
