//! `add_new_block`: takes a block, chooses its path, executes it and merges what it did.

use std::{path::Path, sync::Arc};

use tokio::{sync::RwLock, time::Instant};

use super::{
    block_event,
    chain::{Block, COIN, Chain, is_small},
    chain_state::{ChainState, Wrong},
    executor::{Execution, ExecutionError},
    merge::{MergeError, merge},
    storage::Storage,
};
use crate::{
    clock::millis,
    faults::Fault,
    telemetry::{Telemetry, count},
};

/// What a node is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) permits: usize,
    pub(super) parallel_enabled: bool,
    /// The chain's name for its network, which decides how many transactions a parallel block needs.
    pub(super) network: &'static str,
}

impl Settings {
    /// How many transactions a block needs to run in parallel.
    pub(super) fn min_txs(&self) -> usize {
        match self.network {
            "mainnet" => 20,
            "testnet" => 10,
            _ => 4,
        }
    }
}

/// Why a block was not executed.
#[derive(Debug, thiserror::Error)]
pub(super) enum BlockError {
    #[error("{0}")]
    Execution(#[from] ExecutionError),
    #[error("{0}")]
    Merge(#[from] MergeError),
    #[error("the reward overflows a balance")]
    Overflow,
    #[error("storage: {0}")]
    Storage(#[from] std::io::Error),
}

/// The chain of one process of a node.
#[derive(Debug)]
pub(super) struct Blockchain {
    chain: Chain,
    storage: Arc<RwLock<Storage>>,
    pid: i64,
    executions: u64,
}

/// What one execution is told.
struct Attempt<'a> {
    block: Arc<Block>,
    id: String,
    settings: &'a Settings,
    telemetry: &'a Telemetry,
    read_fails: bool,
    wrong: &'a Wrong,
}

impl Blockchain {
    /// Opens a node's storage, and writes the genesis into an empty one.
    pub(super) async fn open(chain: Chain, folder: &Path, pid: i64) -> std::io::Result<Blockchain> {
        let mut storage = Storage::open(&folder.join("rocks")).await?;
        if storage.get("genesis") == 0 {
            storage.start_commit_point()?;
            storage.put("genesis".to_owned(), 1).await?;
            for ((account, asset), balance) in chain.genesis() {
                let key = format!("balance/{}/{}", hex::encode(account), hex::encode(asset));
                storage.put(key, balance).await?;
            }
            storage.end_commit_point(true).await?;
        }
        Ok(Blockchain { chain, storage: Arc::new(RwLock::new(storage)), pid, executions: 0 })
    }

    /// The place of the block to execute next.
    pub(super) async fn next(&self) -> i64 {
        i64::try_from(self.storage.read().await.get("next")).unwrap_or(i64::MAX)
    }

    /// Executes a block until it is executed or rejected. `first_read_fails` rejects the first attempt.
    pub(super) async fn add_new_block(
        &mut self,
        index: i64,
        settings: &Settings,
        telemetry: &Telemetry,
        first_read_fails: bool,
        wrong: &Wrong,
    ) -> Result<(), BlockError> {
        self.executions += 1;
        let id = format!("{}-{}", self.pid, self.executions);
        let block = Arc::new(self.chain.block(index));
        let ignores_switch = wrong.contains(&Fault::TosKillSwitchIgnored);
        let enabled = settings.parallel_enabled || ignores_switch;
        let small_too = wrong.contains(&Fault::TosSmallBlockParallel) && is_small(index);
        let parallel = enabled && (block.transactions.len() >= settings.min_txs() || small_too);
        let path = if parallel { "parallel" } else { "sequential" };
        let tx_count = count(block.transactions.len());
        block_event!(
            INFO,
            "blockchain",
            "tos.block.execution.started",
            block,
            execution_id = id.as_str(),
            path,
            tx_count,
            network = settings.network,
            block_reward = block.reward.to_string().as_str(),
            dev_fee = block.dev_fee.to_string().as_str()
        );
        let begun = Instant::now();
        let attempt = Attempt {
            block: Arc::clone(&block),
            id: id.clone(),
            settings,
            telemetry,
            read_fails: first_read_fails,
            wrong,
        };
        let executed = self.execute(attempt, parallel).await;
        if let Err(error) = executed {
            block_event!(
                ERROR,
                "blockchain",
                "tos.block.execution.rejected",
                block,
                execution_id = id.as_str(),
                path,
                tx_count,
                network = settings.network,
                error = error.to_string().as_str()
            );
            return Err(error);
        }
        if wrong.contains(&Fault::TosRewardAppliedTwice) && parallel && block.reward > 0 {
            self.reward_again(&block, &id).await?;
        }
        let state_root = self.storage.read().await.root();
        block_event!(
            INFO,
            "blockchain",
            "tos.block.execution.completed",
            block,
            execution_id = id.as_str(),
            path,
            tx_count,
            network = settings.network,
            duration_ms = millis(begun.elapsed()),
            state_root = state_root.as_str()
        );
        Ok(())
    }

    async fn execute(&self, attempt: Attempt<'_>, parallel: bool) -> Result<(), BlockError> {
        let Attempt { block, id, settings, telemetry, read_fails, wrong } = attempt;
        // On the sequential path nothing of the parallel one can be wrong.
        let wrong = if parallel { wrong.clone() } else { Wrong::new() };
        let (storage, permits) = (Arc::clone(&self.storage), settings.permits);
        let state = ChainState::begin(Arc::clone(&block), storage, permits, parallel, wrong.clone()).await;
        let state = Arc::new(state);
        let late = wrong.contains(&Fault::TosRewardComesLate);
        let forgotten = wrong.contains(&Fault::TosRewardForgotten);
        if !late && !forgotten {
            reward(&state, &block, &id, true).await?;
        }
        if parallel {
            let read_fails = read_fails || wrong.contains(&Fault::TosAbortIgnored);
            let execution = Execution {
                block: Arc::clone(&block),
                id: id.clone(),
                state,
                telemetry: telemetry.clone(),
                read_fails,
            };
            execution.run().await?;
            if late {
                reward(&execution.state, &block, &id, true).await?;
            }
            return Ok(merge(&execution.state, &mut *self.storage.write().await, &block, &id).await?);
        }
        run_in_order(&state, &block).await?;
        Ok(merge(&state, &mut *self.storage.write().await, &block, &id).await?)
    }

    /// Executes every block before `end` in silence: a resync from what the network agrees on.
    pub(super) async fn resync(&self, end: i64) -> Result<(), BlockError> {
        for index in self.next().await..end {
            let block = Arc::new(self.chain.block(index));
            let storage = Arc::clone(&self.storage);
            let state = ChainState::begin(Arc::clone(&block), storage, 1, false, Wrong::new()).await;
            reward(&state, &block, "", false).await?;
            run_in_order(&state, &block).await?;
            merge(&state, &mut *self.storage.write().await, &block, "").await?;
        }
        Ok(())
    }

    /// The known defect: the merge has written the miner's balance, and `add_new_block` adds the reward once more.
    async fn reward_again(&self, block: &Block, id: &str) -> Result<(), BlockError> {
        let miner = hex::encode(block.miner);
        let key = format!("balance/{miner}/{}", hex::encode(COIN));
        let mut storage = self.storage.write().await;
        let before = storage.get(&key);
        let after = before.checked_add(block.reward).ok_or(BlockError::Overflow)?;
        storage.put(key, after).await?;
        report_reward(block, id, &miner, "miner", "add_new_block", block.reward, (before, after));
        Ok(())
    }
}

/// Executes a block's transactions one after the other.
async fn run_in_order(state: &ChainState, block: &Block) -> Result<(), BlockError> {
    for transaction in &block.transactions {
        let loaded = state.load(&transaction.accounts(), "").await;
        loaded.map_err(|error| ExecutionError::Aborted { hash: transaction.hash.clone(), error: error.to_string() })?;
        state.execute(transaction).await;
    }
    Ok(())
}

/// Pays the miner and the developers.
async fn reward(state: &ChainState, block: &Block, id: &str, reports: bool) -> Result<(), BlockError> {
    let payments = [("miner", block.miner, block.reward), ("dev_fee", block.developers, block.dev_fee)];
    for (kind, recipient, amount) in payments.into_iter().filter(|(_, _, amount)| *amount > 0) {
        let loaded = state.load(&[recipient], &format!("{id}/{kind}")).await;
        loaded.map_err(|error| ExecutionError::Aborted { hash: String::new(), error: error.to_string() })?;
        let misread = state.is_wrong(Fault::TosRewardSaturates) && kind == "miner";
        let amount = if misread { u64::MAX } else { amount };
        let (before, after) = state.reward(recipient, amount).ok_or(BlockError::Overflow)?;
        if reports {
            let source = if state.parallel { "parallel_chain_state" } else { "add_new_block" };
            report_reward(block, id, &hex::encode(recipient), kind, source, amount, (before, after));
        }
    }
    Ok(())
}

fn report_reward(
    block: &Block,
    id: &str,
    recipient: &str,
    kind: &'static str,
    source: &'static str,
    amount: u64,
    (before, after): (u64, u64),
) {
    macro_rules! applied {
        ($scope:literal) => {
            block_event!(
                INFO,
                $scope,
                "tos.reward.applied",
                block,
                execution_id = id,
                recipient,
                kind,
                source,
                amount = amount.to_string().as_str(),
                balance_before = before.to_string().as_str(),
                balance_after = after.to_string().as_str()
            )
        };
    }
    // A scope is fixed where an event is written.
    if source == "add_new_block" { applied!("blockchain") } else { applied!("parallel_chain_state") }
}
