//! The gauges of a process: queues, workers, connections, memory. It only looks.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::{
    count,
    instance::Instance,
    pipeline::{Job, Pool, WORKERS},
    pocket_event,
    relayer::{self, Backend},
};
use crate::faults::Fault;

/// How often queues are looked at; twice a second, because a queue may be full for a second only.
const QUEUES_EVERY: Duration = Duration::from_millis(500);
/// How often workers and connections are looked at.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// How often memory is looked at.
const MEMORY_EVERY: Duration = Duration::from_secs(5);
/// What part of the memory in use leaks between two looks.
const LEAKS_ONE_IN: i64 = 7;
/// Bytes of a page, as `statm` counts.
const PAGE: i64 = 4096;

/// What is looked at. It keeps no queue open.
pub(super) struct Gauges {
    pub(super) instance: Instance,
    pub(super) claims: mpsc::WeakSender<Job>,
    pub(super) proofs: mpsc::WeakSender<Job>,
    pub(super) registry: mpsc::WeakSender<&'static str>,
    pub(super) pool: Arc<Pool>,
    pub(super) backend: Arc<Backend>,
}

impl Gauges {
    pub(super) async fn run(self) {
        let mut queues = interval(QUEUES_EVERY);
        let mut status = interval(STATUS_EVERY);
        let mut memory = interval(MEMORY_EVERY);
        for timer in [&mut queues, &mut status, &mut memory] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        // Buffers that a pool has lost sight of.
        let mut leaked: Vec<Vec<u8>> = Vec::new();
        loop {
            tokio::select! {
                _ = queues.tick() => {
                    depth("claim", &self.claims);
                    depth("proof", &self.proofs);
                    depth("supplier_registry", &self.registry);
                }
                _ = status.tick() => {
                    let (running, waiting) = self.pool.status();
                    pocket_event!(
                        "tx_client",
                        "pocket.pool.status",
                        pool = "transactions",
                        running = running,
                        size = count(WORKERS),
                        waiting = waiting,
                        dropped = 0_i64,
                    );
                    relayer::report(&self.backend, STATUS_EVERY);
                }
                _ = memory.tick() => {
                    if let Some(rss_bytes) = resident().await {
                        pocket_event!("miner", "pocket.process.memory", rss_bytes = rss_bytes);
                        if self.instance.on(Fault::PocketMemoryLeaks) {
                            // Pages count once they are written to.
                            leaked.push(vec![1; usize::try_from(rss_bytes / LEAKS_ONE_IN).unwrap_or_default()]);
                        } else {
                            leaked.clear();
                        }
                    }
                }
            }
        }
    }
}

fn depth<T>(queue: &'static str, sender: &mpsc::WeakSender<T>) {
    if let Some(sender) = sender.upgrade() {
        pocket_event!(
            "miner",
            "pocket.queue.depth",
            queue = queue,
            depth = count(sender.max_capacity() - sender.capacity()),
            capacity = count(sender.max_capacity()),
        );
    }
}

/// The memory of this process, in which all nodes of the testbed are.
async fn resident() -> Option<i64> {
    let statm = tokio::fs::read_to_string("/proc/self/statm").await.ok()?;
    Some(statm.split_whitespace().nth(1)?.parse::<i64>().ok()? * PAGE)
}
