//! One process of a node: its main chain, its composer, its checks, until it stops, crashes or is killed.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, interval_at, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber;

use super::{
    agent::{Chain, Trigger},
    composer::{Announced, Composer, ProcessError, QueueOrder},
    mishap::{self, Mishap},
    writer::Writer,
};
use crate::{
    faults::Fault,
    telemetry::Telemetry,
    world::{World, sleep_until},
};

/// When `checkStorageSizes` first runs, and how often again.
const STORAGE_CHECK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// When `checkBalances` first runs, and how often again.
const BALANCES_CHECK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(600));
/// How often the volume is looked at.
const DISK_EVERY: Duration = Duration::from_secs(5);
/// Triggers or announcements that wait between two tasks.
const CHANNEL_CAPACITY: usize = 1000;
/// The volume's size, and what is free of it in health.
const DISK: (i64, i64) = (256 << 30, 160 << 30);
/// When, with the fault on, the volume falls below 2 % free, and when COMMIT finds no space.
const DISK_TIGHT_AFTER: Duration = Duration::from_secs(20);
const DISK_FULL_AFTER: Duration = Duration::from_secs(75);
/// Triggers that pile up before a node works them off in the wrong order.
const PILED_UP: u32 = 6;

/// What a node carries from one of its processes to the next.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Faults that have struck since they were switched on. Most strike once.
    pub(super) struck: Vec<Fault>,
    /// Whether the stores are known to differ from each other or from other nodes'.
    pub(super) inconsistent: bool,
    /// Whether the new process's reports are lost until it executes a trigger.
    pub(super) unheard: bool,
    /// Since when the volume runs full.
    pub(super) filling_since: Option<Instant>,
}

/// How a process ended.
#[derive(Debug)]
pub(super) enum Exit {
    /// As it was told to.
    Stopped,
    /// Told to, because the faults that made it inconsistent are gone and it can resync.
    Resync,
    /// By an exception.
    Crashed(String),
    /// Without a word.
    Killed,
}

pub(super) struct Process<'a> {
    pub(super) world: &'a World,
    pub(super) node: &'a str,
    pub(super) index: usize,
    pub(super) chain: Chain,
    pub(super) folder: PathBuf,
    pub(super) pid: i64,
    pub(super) telemetry: &'a Telemetry,
    pub(super) carried: &'a mut Carried,
    pub(super) stop: &'a CancellationToken,
    /// Whether the operator has asked for a restart.
    pub(super) restart_asked: bool,
}

/// How long a trigger is apart from the next.
pub(super) fn trigger_period(world: &World) -> Duration {
    Duration::from_secs_f64(10.0 / world.config.rate)
}

impl Process<'_> {
    /// Runs from the node's start to its end, and reports both.
    pub(super) async fn run(mut self) -> Exit {
        if self.carried.unheard {
            self.telemetry.cut();
        }
        tracing::event!(name: "obyte.node.started", target: "ocore.process", tracing::Level::INFO, process.pid = self.pid);
        let exit = match self.work().await {
            Ok(exit) => exit,
            Err(ProcessError::Killed) => Exit::Killed,
            Err(error) => Exit::Crashed(error.to_string()),
        };
        match &exit {
            Exit::Stopped | Exit::Resync => {
                tracing::event!(name: "obyte.node.stopped", target: "ocore.process", tracing::Level::INFO, process.pid = self.pid);
            }
            Exit::Crashed(message) => tracing::event!(
                name: "obyte.node.crashed",
                target: "ocore.process",
                tracing::Level::ERROR,
                process.pid = self.pid,
                exception.message = message.as_str(),
            ),
            Exit::Killed => {}
        }
        exit
    }

    async fn work(&mut self) -> Result<Exit, ProcessError> {
        let (bus, announcements) = mpsc::channel(CHANNEL_CAPACITY);
        let mut composer = Composer::open(self.chain, &self.folder, bus, self.pid).await?;
        let writer = Writer::open(self.world, self.node, self.chain, &self.folder, self.pid).await?;
        let (stable, queued) = mpsc::channel(CHANNEL_CAPACITY);
        let mut tasks = JoinSet::new();
        let ends = CancellationToken::new();
        let free_bytes = Arc::new(AtomicI64::new(DISK.1));
        tasks.spawn(event_bus(announcements));
        tasks.spawn(writer.run(stable, ends.clone()).with_current_subscriber());
        let disk = report_disk(format!("/data/{}", self.node), Arc::clone(&free_bytes));
        let until = ends.clone();
        tasks.spawn(async move { until.run_until_cancelled(disk).await.unwrap_or(()) }.with_current_subscriber());
        let exit = self.serve(&mut composer, queued, &free_bytes).await;
        // A killed process would not tidy up; what it leaves on disk is the same.
        ends.cancel();
        composer.close().await;
        tasks.join_all().await;
        exit
    }

    async fn serve(
        &mut self,
        composer: &mut Composer,
        mut queued: mpsc::Receiver<()>,
        free_bytes: &AtomicI64,
    ) -> Result<Exit, ProcessError> {
        let now = Instant::now();
        let mut sizes = interval_at(now + STORAGE_CHECK.0, STORAGE_CHECK.1);
        let mut balances = interval_at(now + BALANCES_CHECK.0, BALANCES_CHECK.1);
        let mut restart_at = self.world.next_restart(self.index);
        let mut look = interval(Duration::from_millis(200));
        for timer in [&mut sizes, &mut balances, &mut look] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        // What a former process left in the queue comes first.
        self.execute_all(composer).await?;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(Exit::Stopped),
                () = sleep_until(restart_at) => {
                    if !self.world.faults.any_on(self.node) && !self.carried.inconsistent {
                        return Ok(Exit::Stopped);
                    }
                    restart_at = None;
                }
                Some(()) = queued.recv() => self.execute_all(composer).await?,
                _ = sizes.tick() => composer.check_storage_sizes().await?,
                _ = balances.tick() => composer.check_balances().await?,
                _ = look.tick() => {
                    free_bytes.store(self.free_bytes(), Ordering::Relaxed);
                    let faults = &self.world.faults;
                    self.carried.struck.retain(|fault| faults.is_on(*fault, self.node));
                    if std::mem::take(&mut self.restart_asked) {
                        return Ok(Exit::Stopped);
                    }
                    if self.carried.inconsistent && self.carried.struck.is_empty() {
                        return Ok(Exit::Resync);
                    }
                }
            }
        }
    }

    async fn execute_all(&mut self, composer: &mut Composer) -> Result<(), ProcessError> {
        let order = self.queue_order().await;
        while let Some(trigger) = composer.next(order).await? {
            if self.stop.is_cancelled() {
                // What is queued waits for the next process.
                return Ok(());
            }
            if std::mem::take(&mut self.carried.unheard) {
                self.telemetry.mend();
            }
            let mishap = self.mishap(composer, &trigger);
            let (faults, node) = (self.world.faults.clone(), self.node);
            let given_up = async {
                if mishap != Some(Mishap::ConnectionLeaks) {
                    std::future::pending::<()>().await;
                }
                faults.until(|faults| !faults.is_on(Fault::ObyteTriggerHangs, node)).await;
            };
            tokio::select! {
                executed = composer.execute(&trigger, mishap) => executed?,
                // A trigger that waits for ever holds up all others: its operator kills the process.
                () = given_up => return Err(ProcessError::Killed),
            }
        }
        Ok(())
    }

    /// In which order the queue is worked off. A node that takes the newest first has let some pile up.
    async fn queue_order(&mut self) -> QueueOrder {
        let fault = Fault::ObyteTriggersOutOfOrder;
        if !self.world.faults.is_on(fault, self.node) || self.carried.struck.contains(&fault) {
            return QueueOrder::OldestFirst;
        }
        self.carried.struck.push(fault);
        self.carried.inconsistent = true;
        sleep(trigger_period(self.world) * PILED_UP).await;
        QueueOrder::NewestFirst
    }

    /// What goes wrong with this trigger, if anything.
    fn mishap(&mut self, composer: &Composer, trigger: &Trigger) -> Option<Mishap> {
        let is_on = |fault| self.world.faults.is_on(fault, self.node);
        let strike = mishap::next(is_on, &self.carried.struck)?;
        if !strike.fits(&composer.preview(trigger)) {
            return None;
        }
        match strike.fault {
            Fault::ObyteDiskFull if self.carried.filling_since?.elapsed() < DISK_FULL_AFTER => return None,
            Fault::ObyteTelemetryLost => {
                self.telemetry.cut();
                self.carried.unheard = true;
            }
            // ocore compares balances and outputs two seconds after a start.
            Fault::ObyteOutputLost => self.restart_asked = true,
            _ => {}
        }
        if !self.carried.struck.contains(&strike.fault) {
            self.carried.struck.push(strike.fault);
        }
        self.carried.inconsistent |= strike.leaves_inconsistent;
        Some(strike.mishap)
    }

    /// What is free on the node's volume now.
    fn free_bytes(&mut self) -> i64 {
        let (total, free) = DISK;
        if !self.world.faults.is_on(Fault::ObyteDiskFull, self.node) {
            self.carried.filling_since = None;
            return free;
        }
        let since = *self.carried.filling_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= DISK_FULL_AFTER {
            0
        } else if since.elapsed() >= DISK_TIGHT_AFTER {
            total / 100
        } else {
            total / 20
        }
    }
}

/// Wallets and peers, who hear of responses.
async fn event_bus(mut announcements: mpsc::Receiver<Announced>) {
    while let Some(Announced { response_unit }) = announcements.recv().await {
        tracing::trace!(response_unit, "announced");
    }
}

async fn report_disk(path: String, free_bytes: Arc<AtomicI64>) {
    let mut turn = interval(DISK_EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        tracing::event!(
            name: "obyte.disk.usage",
            target: "ocore.process",
            tracing::Level::INFO,
            path = path.as_str(),
            free_bytes = free_bytes.load(Ordering::Relaxed),
            total_bytes = DISK.0,
        );
    }
}
