//! What every node of a testbed shares: its settings, its clock, its faults. No node's state is here.

use std::{sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::{Config, clock::Clock, faults::Faults};

/// The surroundings of a node.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
}

impl World {
    pub(crate) fn new(config: Config) -> World {
        World { config: Arc::new(config), clock: Clock::starting_now(), faults: Faults::default() }
    }

    /// The choices of one part of the testbed: the same for the same seed and name.
    pub(crate) fn choices(&self, of: &str) -> StdRng {
        let mut hash = Sha256::new();
        hash.update(self.config.seed.to_be_bytes());
        hash.update(of.as_bytes());
        StdRng::from_seed(hash.finalize().into())
    }

    /// A made-up process id: another for each node, each of its runs and each run of the testbed.
    pub(crate) fn pid(&self, index: usize, incarnation: usize) -> i64 {
        let run = self.clock.genesis_ms() / 1000 % 1000;
        let node = i64::try_from(index).unwrap_or_default();
        let life = i64::try_from(incarnation).unwrap_or_default();
        100_000 + (run * 101 + node) * 1000 + life
    }

    /// When the node at `index` restarts next in health; nodes take turns.
    pub(crate) fn next_restart(&self, index: usize) -> Option<Instant> {
        let every = self.config.restart_every?;
        let turn = every.mul_f64((index + 1) as f64 / self.config.nodes as f64);
        let first = self.clock.start() + turn;
        let now = Instant::now();
        // A node that comes up within its turn waits for the next one.
        let soon = now + Duration::from_secs(5);
        if first > soon {
            return Some(first);
        }
        let rounds = ((soon - first).as_secs_f64() / every.as_secs_f64()).floor() + 1.0;
        Some(first + every.mul_f64(rounds))
    }
}

/// Sleeps until then, or for ever.
pub(crate) async fn sleep_until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}
