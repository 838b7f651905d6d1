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
    time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until as sleep_until_instant},
};
use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber;

use super::{
    agent::{Chain, Trigger},
    composer::{Announced, Composer, Mishap, ProcessError},
    database::Database,
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
        let main_chain = Database::open(&self.folder.join("sqlite")).await?;
        let (stable, queued) = mpsc::channel(CHANNEL_CAPACITY);
        let mut tasks = JoinSet::new();
        let ends = CancellationToken::new();
        let free_bytes = Arc::new(AtomicI64::new(DISK.1));
        tasks.spawn(event_bus(announcements));
        tasks.spawn(run_main_chain(self.world.clone(), self.chain, main_chain, stable, ends.clone()));
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
                    if self.carried.inconsistent && self.carried.struck.is_empty() {
                        return Ok(Exit::Resync);
                    }
                }
            }
        }
    }

    async fn execute_all(&mut self, composer: &mut Composer) -> Result<(), ProcessError> {
        while let Some(trigger) = composer.next().await? {
            if self.stop.is_cancelled() {
                // What is queued waits for the next process.
                return Ok(());
            }
            if std::mem::take(&mut self.carried.unheard) {
                self.telemetry.mend();
            }
            let mishap = self.mishap(composer, &trigger);
            composer.execute(&trigger, mishap).await?;
        }
        Ok(())
    }

    /// What goes wrong with this trigger, if anything. A fault that tears the stores apart waits for a trigger that
    /// changes the storage size, without which ocore's own check would not notice.
    fn mishap(&mut self, composer: &Composer, trigger: &Trigger) -> Option<Mishap> {
        let on = |fault: Fault| self.world.faults.is_on(fault, self.node);
        let fault = [
            Fault::ObyteCommitFailsAfterKv,
            Fault::ObyteKilledBetween,
            Fault::ObyteTelemetryLost,
            Fault::ObyteReplicaDiverges,
            Fault::ObyteDiskFull,
        ]
        .into_iter()
        .find(|fault| on(*fault) && (*fault == Fault::ObyteDiskFull || !self.carried.struck.contains(fault)))?;
        let response = composer.preview(trigger);
        if response.bounced || response.storage_growth() == 0 {
            return None;
        }
        let mishap = match fault {
            Fault::ObyteCommitFailsAfterKv => Mishap::CommitFails,
            Fault::ObyteKilledBetween => Mishap::KilledBetween,
            Fault::ObyteTelemetryLost => {
                self.telemetry.cut();
                self.carried.unheard = true;
                Mishap::KilledBetween
            }
            Fault::ObyteReplicaDiverges => Mishap::Miscomputed,
            _ => {
                let since = self.carried.filling_since?;
                if since.elapsed() < DISK_FULL_AFTER {
                    return None;
                }
                Mishap::NoSpace
            }
        };
        self.carried.struck.push(fault);
        self.carried.inconsistent = true;
        Some(mishap)
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

/// Makes triggers stable at their time and queues them, from where the last process stopped.
async fn run_main_chain(
    world: World,
    chain: Chain,
    mut database: Database,
    stable: mpsc::Sender<()>,
    ends: CancellationToken,
) {
    let period = trigger_period(&world);
    let mut next = database.next_trigger().await.unwrap_or_default();
    loop {
        let due = world.clock.start() + period.mul_f64(next as f64);
        tokio::select! {
            () = ends.cancelled() => break,
            () = sleep_until_instant(due) => {}
        }
        // A database that is busy or gone: the trigger is queued at the next attempt.
        if database.stabilize(&chain.trigger(next)).await.is_ok() {
            next += 1;
            let _ = stable.send(()).await;
        } else {
            tokio::time::sleep(period).await;
        }
    }
    database.close().await;
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
