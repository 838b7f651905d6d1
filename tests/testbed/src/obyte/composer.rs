//! The AA composer: executes one trigger over both stores, in ocore's order, and says what it did.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep},
};

use super::{
    agent::{Chain, Response, Trigger, state_digest, stored_bytes},
    database::{Database, error_type},
    kvstore::{KvStore, WriteBatch},
    mishap::Mishap,
    trigger_event,
};
use crate::clock::millis;

/// Triggers between two digests of all agents' state.
const CHECKPOINT_EVERY: i64 = 20;
/// Triggers between two dry runs that a wallet asks for.
const DRY_RUN_EVERY: i64 = 25;
/// Database connections that formulas may read by at the same time.
const READERS: usize = 1;
/// How long a disk stalls.
const STALL: Duration = Duration::from_millis(1500);

/// What an announced response tells the event bus.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) response_unit: String,
}

/// Why a node's process cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProcessError {
    #[error("{0}")]
    Sql(#[from] sqlx::Error),
    #[error("key-value store: {0}")]
    Kv(#[from] std::io::Error),
    /// ocore throws: both stores do not match.
    #[error("{0}")]
    Inconsistent(String),
    #[error("killed")]
    Killed,
}

/// Both stores of a node, and the right to execute triggers over them.
#[derive(Debug)]
pub(super) struct Composer {
    chain: Chain,
    kv: KvStore,
    database: Database,
    bus: mpsc::Sender<Announced>,
    /// The database connections that formulas read by.
    readers: Arc<Semaphore>,
    pid: i64,
    transactions: u64,
}

/// In which order queued triggers are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueOrder {
    OldestFirst,
    NewestFirst,
}

impl Composer {
    pub(super) async fn open(
        chain: Chain,
        folder: &Path,
        bus: mpsc::Sender<Announced>,
        pid: i64,
    ) -> Result<Composer, ProcessError> {
        let kv = KvStore::open(&folder.join("kv")).await?;
        let database = Database::open(&folder.join("sqlite")).await?;
        let readers = Arc::new(Semaphore::new(READERS));
        Ok(Composer { chain, kv, database, bus, readers, pid, transactions: 0 })
    }

    pub(super) async fn close(self) {
        self.database.close().await;
    }

    /// The trigger to execute next.
    pub(super) async fn next(&mut self, order: QueueOrder) -> Result<Option<Trigger>, ProcessError> {
        let index = match order {
            QueueOrder::OldestFirst => self.database.first_queued().await?,
            QueueOrder::NewestFirst => self.database.last_queued().await?,
        };
        Ok(index.map(|index| self.chain.trigger(index)))
    }

    /// What a trigger would do now, to choose the one at which something goes wrong.
    pub(super) fn preview(&self, trigger: &Trigger) -> Response {
        trigger.execute(&self.kv.vars(&trigger.agent))
    }

    /// Executes a trigger. Cut short by its mishap, it leaves both stores as ocore would.
    pub(super) async fn execute(&mut self, trigger: &Trigger, mishap: Option<Mishap>) -> Result<(), ProcessError> {
        self.transactions += 1;
        let tx = format!("{}-{}", self.pid, self.transactions);
        let tx = tx.as_str();
        trigger_event!(INFO, "ocore.aa_composer", "obyte.aa.trigger.started", trigger, tx);
        let asked = Instant::now();
        self.database.begin().await?;
        trigger_event!(
            INFO,
            "ocore.sqlite_pool",
            "obyte.sql.transaction.begun",
            trigger,
            tx,
            duration_ms = millis(asked.elapsed()),
        );
        let response = self.respond(trigger, tx, mishap).await?;
        if mishap == Some(Mishap::KvFailsAfterCommit) {
            self.commit(trigger, tx, &response, mishap).await?;
            self.kv.lose_write_access().await?;
            self.write(trigger, tx, &response, mishap).await?;
        } else {
            self.write(trigger, tx, &response, mishap).await?;
            if mishap == Some(Mishap::AnnouncedEarly) {
                self.announce(trigger, tx, &response);
            }
            self.commit(trigger, tx, &response, mishap).await?;
        }
        if mishap != Some(Mishap::AnnouncedEarly) {
            self.announce(trigger, tx, &response);
        }
        self.report_state(trigger, tx, &response).await?;
        trigger_event!(INFO, "ocore.aa_composer", "obyte.aa.trigger.completed", trigger, tx);
        if trigger.index % CHECKPOINT_EVERY == CHECKPOINT_EVERY - 1 {
            self.checkpoint(trigger).await?;
        }
        if trigger.index % DRY_RUN_EVERY == DRY_RUN_EVERY - 1 {
            self.dry_run(trigger).await?;
        }
        Ok(())
    }

    /// Runs the formula, and writes what it does to the open transaction.
    async fn respond(&mut self, trigger: &Trigger, tx: &str, mishap: Option<Mishap>) -> Result<Response, ProcessError> {
        if mishap == Some(Mishap::ConnectionLeaks) {
            self.readers.forget_permits(READERS);
        }
        let reader = Arc::clone(&self.readers).acquire_owned().await;
        let mut response = self.preview(trigger);
        drop(reader);
        if mishap == Some(Mishap::Miscomputed)
            && let Some(change) = response.changes.iter_mut().find(|change| change.var == "counter")
        {
            change.new = (change.new.as_i64().unwrap_or_default() + 1).into();
        }
        if mishap == Some(Mishap::BounceKept) {
            (response.changes, response.discarded) = (trigger.stage(&self.kv.vars(&trigger.agent)), 0);
        }
        self.database.savepoint().await?;
        if mishap != Some(Mishap::OutputLost) {
            self.database.store_output(trigger, &response).await?;
        }
        self.database.credit(trigger, &response).await?;
        if response.bounced {
            self.undo(trigger, tx, &response).await?;
        }
        self.database.respond(trigger, &response).await?;
        if let Some(Mishap::CommitFails | Mishap::Compensated | Mishap::CompensationFails) = mishap {
            self.database.spoil_commit(trigger).await?;
        }
        Ok(response)
    }

    /// Undoes what a bounced trigger has done so far.
    async fn undo(&mut self, trigger: &Trigger, tx: &str, response: &Response) -> Result<(), ProcessError> {
        if response.discarded > 0 {
            trigger_event!(
                INFO,
                "ocore.kvstore",
                "obyte.kv.batch.cleared",
                trigger,
                tx,
                kv.ops.discarded = count(response.discarded),
            );
        }
        self.database.rollback_to_savepoint().await?;
        trigger_event!(
            INFO,
            "ocore.sqlite_pool",
            "obyte.sql.savepoint.rolled_back",
            trigger,
            tx,
            savepoint = "initial_balances",
        );
        Ok(())
    }

    /// The KV batch: from here until COMMIT the two stores differ.
    async fn write(
        &mut self,
        trigger: &Trigger,
        tx: &str,
        response: &Response,
        mishap: Option<Mishap>,
    ) -> Result<(), ProcessError> {
        let mut batch = WriteBatch::default();
        for change in &response.changes {
            batch.state_var(&trigger.agent, &change.var, change.new.clone());
        }
        batch.joint(&response.unit);
        let (state_vars, joints) = (count(batch.state_var_count()), count(batch.joint_count()));
        let sync = mishap != Some(Mishap::Unsynced);
        let asked = Instant::now();
        let written = self.kv.write(batch, sync).await;
        let duration_ms = millis(asked.elapsed());
        if let Err(error) = written {
            trigger_event!(
                ERROR,
                "ocore.kvstore",
                "obyte.kv.batch.write_failed",
                trigger,
                tx,
                kv.ops.state_var = state_vars,
                kv.ops.joint = joints,
                kv.ops.other = 0_i64,
                kv.ops.del = 0_i64,
                kv.sync = sync,
                duration_ms,
            );
            return Err(error.into());
        }
        trigger_event!(
            INFO,
            "ocore.kvstore",
            "obyte.kv.batch.written",
            trigger,
            tx,
            kv.ops.state_var = state_vars,
            kv.ops.joint = joints,
            kv.ops.other = 0_i64,
            kv.ops.del = 0_i64,
            kv.sync = sync,
            duration_ms,
        );
        if mishap == Some(Mishap::KilledBetween) {
            return Err(ProcessError::Killed);
        }
        Ok(())
    }

    async fn commit(
        &mut self,
        trigger: &Trigger,
        tx: &str,
        response: &Response,
        mishap: Option<Mishap>,
    ) -> Result<(), ProcessError> {
        let asked = Instant::now();
        if mishap == Some(Mishap::DiskStalls) {
            sleep(STALL).await;
        }
        let (error_type, message) = if mishap == Some(Mishap::NoSpace) {
            ("SQLITE_FULL", "database or disk is full".to_owned())
        } else {
            let Err(error) = self.database.commit().await else {
                trigger_event!(
                    INFO,
                    "ocore.sqlite_pool",
                    "obyte.sql.transaction.committed",
                    trigger,
                    tx,
                    duration_ms = millis(asked.elapsed()),
                );
                return Ok(());
            };
            (error_type(&error), error.to_string())
        };
        trigger_event!(
            ERROR,
            "ocore.sqlite_pool",
            "obyte.sql.transaction.commit_failed",
            trigger,
            tx,
            "error.type" = error_type,
            exception.message = message.as_str(),
        );
        match mishap {
            Some(Mishap::Compensated) => self.compensate(trigger, tx, response).await?,
            Some(Mishap::CompensationFails) => {
                self.kv.lose_write_access().await?;
                self.compensate(trigger, tx, response).await?;
            }
            _ => {}
        }
        // The process dies of it: what is open is rolled back when its connection closes.
        Err(ProcessError::Inconsistent(format!("{error_type}: {message}")))
    }

    /// Puts the old values back into the key-value store.
    async fn compensate(&mut self, trigger: &Trigger, tx: &str, response: &Response) -> Result<(), ProcessError> {
        let mut batch = WriteBatch::default();
        for change in &response.changes {
            batch.state_var(&trigger.agent, &change.var, change.old.clone().unwrap_or_default());
        }
        let state_vars = count(batch.state_var_count());
        match self.kv.write(batch, true).await {
            Ok(()) => trigger_event!(
                WARN,
                "ocore.kvstore",
                "obyte.kv.batch.compensated",
                trigger,
                tx,
                kv.ops.state_var = state_vars,
            ),
            Err(error) => {
                trigger_event!(
                    ERROR,
                    "ocore.kvstore",
                    "obyte.kv.batch.compensation_failed",
                    trigger,
                    tx,
                    kv.ops.state_var = state_vars,
                );
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Tells everybody what the agent answers, in health after COMMIT.
    fn announce(&self, trigger: &Trigger, tx: &str, response: &Response) {
        trigger_event!(
            INFO,
            "ocore.aa_composer",
            "obyte.aa.response.emitted",
            trigger,
            tx,
            obyte.trigger_unit = trigger.unit.as_str(),
            obyte.trigger_address = trigger.from.as_str(),
            obyte.bounced = response.bounced,
            obyte.response_unit = response.unit.as_str(),
            obyte.response_error = if response.bounced { "one of formulas failed" } else { "" },
        );
        // A full bus loses announcements, not state.
        let _ = self.bus.try_send(Announced { response_unit: response.unit.clone() });
    }

    /// Reports what the trigger did, and the digest of the state that it came to.
    async fn report_state(&mut self, trigger: &Trigger, tx: &str, response: &Response) -> Result<(), ProcessError> {
        let balance = self.database.balance(&trigger.agent).await?;
        let digest = state_digest(&self.kv.vars(&trigger.agent), balance);
        let balances = serde_json::json!({ "base": balance }).to_string();
        trigger_event!(
            INFO,
            "ocore.aa_composer",
            "obyte.aa.state.applied",
            trigger,
            tx,
            obyte.bounced = response.bounced,
            obyte.updated_vars = count(response.changes.len()),
            obyte.state_vars = response.state_vars().as_str(),
            obyte.balances = balances.as_str(),
            obyte.state_digest = digest.as_str(),
        );
        Ok(())
    }

    /// The digest of all agents' state.
    async fn checkpoint(&mut self, trigger: &Trigger) -> Result<(), ProcessError> {
        let mut digests = Vec::new();
        for agent in self.chain.agents() {
            let balance = self.database.balance(&agent).await?;
            digests.push(state_digest(&self.kv.vars(&agent), balance));
        }
        let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(digests.concat()));
        tracing::event!(
            name: "obyte.aa.state.checkpoint",
            target: "ocore.aa_composer",
            tracing::Level::INFO,
            obyte.mci = trigger.mci,
            obyte.state_digest = digest.as_str(),
        );
        Ok(())
    }

    /// A trigger that a wallet only wants to see the outcome of: everything is undone, and names no trigger.
    async fn dry_run(&mut self, trigger: &Trigger) -> Result<(), ProcessError> {
        let response = self.preview(trigger);
        self.database.begin().await?;
        self.database.store_output(trigger, &response).await?;
        self.database.credit(trigger, &response).await?;
        self.database.rollback().await?;
        self.transactions += 1;
        let tx = format!("{}-{}", self.pid, self.transactions);
        tracing::event!(
            name: "obyte.sql.transaction.rolled_back",
            target: "ocore.sqlite_pool",
            tracing::Level::INFO,
            obyte.tx_id = tx.as_str(),
            obyte.tx_kind = "other",
        );
        Ok(())
    }

    /// `checkStorageSizes`: the recorded size of each agent is that of its variables, or the process ends.
    pub(super) async fn check_storage_sizes(&mut self) -> Result<(), ProcessError> {
        for agent in self.chain.agents() {
            let recorded = self.database.storage_size(&agent).await?;
            let found: i64 = self.kv.vars(&agent).iter().map(|(var, value)| stored_bytes(var, value)).sum();
            if recorded != found {
                tracing::event!(
                    name: "obyte.aa.storage_size.mismatch",
                    target: "ocore.aa_composer",
                    tracing::Level::ERROR,
                    obyte.aa_address = agent.as_str(),
                    obyte.storage_size.db = recorded,
                    obyte.storage_size.kv = found,
                );
                return Err(ProcessError::Inconsistent(format!(
                    "storage size mismatch on {agent}: db={recorded}, kv={found}"
                )));
            }
        }
        Ok(())
    }

    /// `checkBalances`: each agent's balance is the sum of its unspent outputs, or the process ends.
    pub(super) async fn check_balances(&mut self) -> Result<(), ProcessError> {
        for agent in self.chain.agents() {
            let recorded = self.database.balance(&agent).await?;
            let found = self.database.unspent(&agent).await?;
            if recorded != found {
                let message = format!("balance mismatch on {agent}: aa_balances={recorded}, outputs={found}");
                tracing::event!(
                    name: "obyte.aa.balances.mismatch",
                    target: "ocore.aa_composer",
                    tracing::Level::ERROR,
                    obyte.aa_address = agent.as_str(),
                    exception.message = message.as_str(),
                );
                return Err(ProcessError::Inconsistent(message));
            }
        }
        Ok(())
    }

    /// Executes every trigger before `end` in silence: a resync from what the network agrees on.
    pub(super) async fn resync(&mut self, end: i64) -> Result<(), ProcessError> {
        let mut batch = WriteBatch::default();
        let mut state = std::collections::BTreeMap::<String, super::agent::Vars>::new();
        for index in 0..end {
            let trigger = self.chain.trigger(index);
            let vars = state.entry(trigger.agent.clone()).or_default();
            let response = trigger.execute(vars);
            for change in &response.changes {
                vars.insert(change.var.clone(), change.new.clone());
            }
            self.database.begin().await?;
            self.database.enqueue(&trigger).await?;
            if !response.bounced {
                self.database.store_output(&trigger, &response).await?;
                self.database.credit(&trigger, &response).await?;
            }
            self.database.respond(&trigger, &response).await?;
            self.database.commit().await?;
        }
        for (agent, vars) in state {
            for (var, value) in vars {
                batch.state_var(&agent, &var, value);
            }
        }
        Ok(self.kv.write(batch, true).await?)
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
