//! The writer: makes triggers stable at their time and saves the joints that hold them. As in the composer, the KV write
//! comes before COMMIT; here a joint that was written and not committed is written once more, to the same end.

use std::path::{Path, PathBuf};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    agent::{Chain, Trigger},
    composer::ProcessError,
    database::{Database, error_type},
    kvstore::{KvStore, WriteBatch},
    process::trigger_period,
};
use crate::{clock::millis, faults::Fault, world::World};

/// Saves what becomes stable, for the composer to execute.
#[derive(Debug)]
pub(super) struct Writer {
    world: World,
    node: String,
    chain: Chain,
    path: PathBuf,
    database: Database,
    /// Joints, in a file of their own: they are written while the composer writes state variables.
    joints: KvStore,
    pid: i64,
    transactions: u64,
    /// Whether a COMMIT has failed since that was switched on.
    struck: bool,
}

impl Writer {
    pub(super) async fn open(
        world: &World,
        node: &str,
        chain: Chain,
        folder: &Path,
        pid: i64,
    ) -> Result<Writer, ProcessError> {
        let path = folder.join("sqlite");
        Ok(Writer {
            world: world.clone(),
            node: node.to_owned(),
            chain,
            database: Database::open(&path).await?,
            path,
            joints: KvStore::open(&folder.join("joints")).await?,
            pid,
            transactions: 0,
            struck: false,
        })
    }

    /// Goes on from where the last process stopped, until it is ended.
    pub(super) async fn run(mut self, stable: mpsc::Sender<()>, ends: CancellationToken) {
        let period = trigger_period(&self.world);
        let mut next = self.database.next_trigger().await.unwrap_or_default();
        loop {
            let due = self.world.clock.start() + period.mul_f64(next as f64);
            tokio::select! {
                () = ends.cancelled() => break,
                () = sleep_until(due) => {}
            }
            // A database that is busy or gone: the unit is saved at the next attempt.
            if self.save(&self.chain.trigger(next)).await.is_ok() {
                next += 1;
                let _ = stable.send(()).await;
            } else {
                sleep(period).await;
            }
        }
        self.database.close().await;
    }

    /// Saves the joint of a unit and queues the trigger in it.
    async fn save(&mut self, trigger: &Trigger) -> Result<(), ProcessError> {
        self.transactions += 1;
        let tx = format!("{}-joint-{}", self.pid, self.transactions);
        let asked = Instant::now();
        self.database.begin().await?;
        tracing::event!(
            name: "obyte.sql.transaction.begun",
            target: "ocore.sqlite_pool",
            tracing::Level::INFO,
            obyte.tx_id = tx.as_str(),
            duration_ms = millis(asked.elapsed()),
        );
        let saved = self.write(trigger, &tx).await;
        if saved.is_err() {
            // What is open is rolled back when its connection closes.
            let again = Database::open(&self.path).await?;
            std::mem::replace(&mut self.database, again).close().await;
        }
        saved
    }

    async fn write(&mut self, trigger: &Trigger, tx: &str) -> Result<(), ProcessError> {
        self.database.enqueue(trigger).await?;
        let fails = self.fails();
        if fails {
            self.database.spoil_commit(trigger).await?;
        }
        let mut batch = WriteBatch::default();
        batch.joint(&trigger.unit);
        let asked = Instant::now();
        self.joints.write(batch, true).await?;
        tracing::event!(
            name: "obyte.kv.batch.written",
            target: "ocore.kvstore",
            tracing::Level::INFO,
            obyte.tx_id = tx,
            kv.ops.state_var = 0_i64,
            kv.ops.joint = 1_i64,
            kv.ops.other = 0_i64,
            kv.ops.del = 0_i64,
            kv.sync = true,
            duration_ms = millis(asked.elapsed()),
        );
        let asked = Instant::now();
        if let Err(error) = self.database.commit().await {
            tracing::event!(
                name: "obyte.sql.transaction.commit_failed",
                target: "ocore.sqlite_pool",
                tracing::Level::ERROR,
                obyte.tx_id = tx,
                "error.type" = error_type(&error),
                exception.message = error.to_string().as_str(),
            );
            return Err(error.into());
        }
        tracing::event!(
            name: "obyte.sql.transaction.committed",
            target: "ocore.sqlite_pool",
            tracing::Level::INFO,
            obyte.tx_id = tx,
            duration_ms = millis(asked.elapsed()),
        );
        Ok(())
    }

    /// Whether this COMMIT is the one that fails.
    fn fails(&mut self) -> bool {
        let on = self.world.faults.is_on(Fault::ObyteJointCommitFails, &self.node);
        let fails = on && !self.struck;
        self.struck = on;
        fails
    }
}
