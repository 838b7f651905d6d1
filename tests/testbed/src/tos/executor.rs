//! The parallel executor: batches of transactions without common accounts, a task for each transaction.

use std::{collections::HashMap, sync::Arc};

use opentelemetry::logs::AnyValue;
use tokio::task::JoinSet;
use tracing::instrument::WithSubscriber;

use super::{
    block_event,
    chain::{Account, Block, Transaction},
    chain_state::{ChainState, Outcome, Outcomes},
};
use crate::{
    faults::Fault,
    telemetry::{Telemetry, count, list},
};

/// The place that a result without a transaction is given.
const NOWHERE: i64 = -1;

/// Why a block cannot go on: the node's own error, never a transaction's.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecutionError {
    #[error("transaction {hash} was aborted: {error}")]
    Aborted { hash: String, error: String },
    #[error("the task of a transaction was lost")]
    TaskLost,
}

/// One execution of a block on the parallel path.
#[derive(Clone, Debug)]
pub(super) struct Execution {
    pub(super) block: Arc<Block>,
    pub(super) id: String,
    pub(super) state: Arc<ChainState>,
    pub(super) telemetry: Telemetry,
    /// Whether a storage read of the first batch fails.
    pub(super) read_fails: bool,
}

/// Puts transactions into batches: none shares an account with another of its batch, and those that share one keep their
/// order. An extraction of accounts that overlooks recipients breaks the first half of that.
pub(super) fn group_by_conflicts(transactions: &[Transaction], overlooks_recipients: bool) -> Vec<Vec<usize>> {
    let mut next_batch: HashMap<Account, usize> = HashMap::new();
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for transaction in transactions {
        let mut accounts = transaction.accounts();
        if overlooks_recipients {
            accounts.truncate(1);
        }
        let known = |account: &Account| next_batch.get(account).copied().unwrap_or_default();
        let batch = accounts.iter().map(known).max().unwrap_or_default();
        if batch == batches.len() {
            batches.push(Vec::new());
        }
        batches[batch].push(transaction.index);
        for account in accounts {
            next_batch.insert(account, batch + 1);
        }
    }
    batches
}

impl Execution {
    fn wrong(&self, fault: Fault) -> bool {
        self.state.is_wrong(fault)
    }

    /// Runs all batches, one after the other.
    pub(super) async fn run(&self) -> Result<(), ExecutionError> {
        let overlooks = self.wrong(Fault::TosConflictingBatch);
        for (number, batch) in group_by_conflicts(&self.block.transactions, overlooks).into_iter().enumerate() {
            let outcome = self.run_batch(count(number), &batch).await;
            let goes_on = match &outcome {
                Ok(()) => true,
                Err(ExecutionError::Aborted { .. }) => self.wrong(Fault::TosAbortIgnored),
                Err(ExecutionError::TaskLost) => self.wrong(Fault::TosTaskLost),
            };
            if !goes_on {
                return outcome;
            }
        }
        Ok(())
    }

    async fn run_batch(&self, number: i64, batch: &[usize]) -> Result<(), ExecutionError> {
        block_event!(
            INFO,
            "parallel_executor",
            "tos.batch.started",
            self.block,
            execution_id = self.id.as_str(),
            batch.index = number,
            tx_count = count(batch.len())
        );
        let lost = (number == 0 && self.wrong(Fault::TosTaskLost)).then_some(batch[0]);
        let failing = (number == 0 && self.read_fails).then_some(batch[0]);
        let mut tasks = JoinSet::new();
        for index in batch.iter().copied() {
            let execution = self.clone();
            let task = async move {
                if lost == Some(index) {
                    // It never comes back, and is given up below.
                    std::future::pending::<()>().await;
                }
                execution.run_transaction(number, index, failing == Some(index)).await
            };
            tasks.spawn(task.with_current_subscriber());
        }
        let mut ended = Ok(());
        for _ in 0..batch.len() - usize::from(lost.is_some()) {
            match tasks.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => ended = Err(error),
                Some(Err(_)) | None => ended = Err(ExecutionError::TaskLost),
            }
        }
        tasks.abort_all();
        while let Some(joined) = tasks.join_next().await {
            if joined.is_err() {
                tracing::error!(target: "parallel_executor", "[PARALLEL] Task {} panicked: it was given up", batch[0]);
                let lost = Outcome::without_effect(Outcomes::Failed, "join ERROR: the task was lost");
                self.report(number, &"0".repeat(64), NOWHERE, &[], &lost);
                ended = Err(ExecutionError::TaskLost);
            }
        }
        block_event!(
            INFO,
            "parallel_executor",
            "tos.batch.completed",
            self.block,
            execution_id = self.id.as_str(),
            batch.index = number,
            tx_count = count(batch.len())
        );
        ended
    }

    async fn run_transaction(&self, batch: i64, index: usize, read_fails: bool) -> Result<(), ExecutionError> {
        let transaction = &self.block.transactions[index];
        let accounts = transaction.accounts();
        let holder = format!("{}/{index}", self.id);
        let loaded = if read_fails {
            Err("storage read failed: checksum mismatch".to_owned())
        } else {
            self.state.load(&accounts, &holder).await.map_err(|error| error.to_string())
        };
        let outcome = match loaded {
            Ok(()) => self.state.execute(transaction).await,
            Err(error) => Outcome::without_effect(Outcomes::Aborted, error),
        };
        let names: Vec<String> = accounts.iter().map(hex::encode).collect();
        self.report(batch, &transaction.hash, count(index), &names, &outcome);
        if outcome.result == Outcomes::Aborted {
            return Err(ExecutionError::Aborted { hash: transaction.hash.clone(), error: outcome.error });
        }
        Ok(())
    }

    fn report(&self, batch: i64, hash: &str, index: i64, accounts: &[String], outcome: &Outcome) {
        let text = |text: &str| AnyValue::from(text.to_owned());
        let attributes = [
            ("block.hash", text(&self.block.hash)),
            ("topoheight", self.block.topoheight.into()),
            ("execution_id", text(&self.id)),
            ("batch.index", batch.into()),
            ("tx.hash", text(hash)),
            ("tx.index", index.into()),
            ("result", text(outcome.result.name())),
            ("error", text(&outcome.error)),
            ("gas_used", text(&outcome.gas_used.to_string())),
            ("burned", text(&outcome.burned.to_string())),
            ("accounts", list(accounts.iter().map(String::as_str))),
        ];
        self.telemetry.record("parallel_executor", "tos.tx.executed", attributes);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::tos::chain::Chain;

    #[test]
    fn batches_share_no_account_and_keep_order() {
        let chain = Chain { seed: 3, genesis_ms: 1_790_000_000_000 };
        for index in 0..20 {
            let block = chain.block(index);
            let batches = group_by_conflicts(&block.transactions, false);
            let mut place = vec![0; block.transactions.len()];
            for (number, batch) in batches.iter().enumerate() {
                let mut seen = BTreeSet::new();
                for index in batch {
                    place[*index] = number;
                    assert!(block.transactions[*index].accounts().into_iter().all(|account| seen.insert(account)));
                }
            }
            for (later, transaction) in block.transactions.iter().enumerate() {
                for (earlier, other) in block.transactions[..later].iter().enumerate() {
                    if transaction.accounts().iter().any(|account| other.accounts().contains(account)) {
                        assert!(place[earlier] < place[later]);
                    }
                }
            }
            assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), block.transactions.len());
        }
    }
}
