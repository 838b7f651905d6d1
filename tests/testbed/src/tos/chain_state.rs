//! The state of one execution: the accounts it has read, the counters of the block, and the permit for storage reads.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{RwLock, Semaphore},
    time::Instant,
};

use super::{
    block_event,
    chain::{Account, Action, Asset, BURN_LIMIT, Block, COIN, Transaction},
    storage::Storage,
};
use crate::{clock::millis, faults::Fault};

/// How long a read takes from a disk that is slow.
const SLOW_DISK: Duration = Duration::from_millis(20);
/// How long a read takes that holds one of several permits.
const SLOW_READ: Duration = Duration::from_millis(2);

/// What goes wrong at a node while it executes a block.
pub(super) type Wrong = BTreeSet<Fault>;

/// One account, as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AccountState {
    pub(super) nonce: u64,
    pub(super) balances: BTreeMap<Asset, u64>,
    pub(super) multisig: Option<u64>,
}

/// What a transaction came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) result: Outcomes,
    pub(super) error: String,
    pub(super) gas_used: u64,
    pub(super) burned: u64,
}

/// Its own fault is `Failed`, the node's is `Aborted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcomes {
    Success,
    Failed,
    Aborted,
}

impl Outcomes {
    pub(super) fn name(self) -> &'static str {
        match self {
            Outcomes::Success => "success",
            Outcomes::Failed => "failed",
            Outcomes::Aborted => "aborted",
        }
    }
}

impl Outcome {
    pub(super) fn without_effect(result: Outcomes, error: impl Into<String>) -> Outcome {
        Outcome { result, error: error.into(), gas_used: 0, burned: 0 }
    }
}

/// Nothing more may be burned.
#[derive(Debug, thiserror::Error)]
#[error("BurnedSupplyLimitExceeded: {amount} more than {before} of {BURN_LIMIT}")]
struct BurnedSupplyLimitExceeded {
    amount: u64,
    before: u64,
}

/// A storage read that failed: the node's own error.
#[derive(Debug, thiserror::Error)]
#[error("storage read failed: {0}")]
pub(super) struct ReadError(&'static str);

/// The shared state of an execution.
#[derive(Debug)]
pub(super) struct ChainState {
    block: Arc<Block>,
    storage: Arc<RwLock<Storage>>,
    accounts: Mutex<HashMap<Account, AccountState>>,
    gas_fee: AtomicU64,
    burned_supply: AtomicU64,
    /// What the burned supply was before this block.
    pub(super) burned_before: u64,
    permits: Arc<Semaphore>,
    permit_count: usize,
    holders: AtomicI64,
    wrong: Wrong,
    /// Whether this is the parallel path, whose steps are reported.
    pub(super) parallel: bool,
}

impl ChainState {
    pub(super) async fn begin(
        block: Arc<Block>,
        storage: Arc<RwLock<Storage>>,
        permit_count: usize,
        parallel: bool,
        wrong: Wrong,
    ) -> ChainState {
        let burned_before = storage.read().await.get("total/burned");
        ChainState {
            block,
            storage,
            accounts: Mutex::default(),
            gas_fee: AtomicU64::new(0),
            burned_supply: AtomicU64::new(burned_before),
            burned_before,
            permits: Arc::new(Semaphore::new(permit_count)),
            permit_count,
            holders: AtomicI64::new(0),
            wrong,
            parallel,
        }
    }

    /// Whether something is wrong with this execution.
    pub(super) fn is_wrong(&self, fault: Fault) -> bool {
        self.wrong.contains(&fault)
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Account, AccountState>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that was read or changed, in the order of a hash map.
    pub(super) fn touched(&self) -> Vec<(Account, AccountState)> {
        self.accounts().iter().map(|(account, state)| (*account, state.clone())).collect()
    }

    pub(super) fn gas_fee(&self) -> u64 {
        self.gas_fee.load(Ordering::SeqCst)
    }

    /// What this block has burned.
    pub(super) fn burned(&self) -> u64 {
        self.burned_supply.load(Ordering::SeqCst) - self.burned_before
    }

    /// Reads accounts from storage that were not read yet, under the permit.
    pub(super) async fn load(&self, accounts: &[Account], holder: &str) -> Result<(), ReadError> {
        let missing: Vec<Account> = {
            let known = self.accounts();
            accounts.iter().filter(|account| !known.contains_key(*account)).copied().collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        if !self.parallel {
            return self.read(&missing).await;
        }
        block_event!(INFO, "parallel_chain_state", "tos.storage.permit.requested", self.block, permits = 1_i64, holder);
        let asked = Instant::now();
        // The semaphore lives as long as the state and is never closed.
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
            return Err(ReadError("the semaphore is closed"));
        };
        let concurrent = self.holders.fetch_add(1, Ordering::SeqCst) + 1;
        block_event!(
            INFO,
            "parallel_chain_state",
            "tos.storage.permit.acquired",
            self.block,
            permits = 1_i64,
            holder,
            wait_ms = millis(asked.elapsed()),
            concurrent
        );
        if self.is_wrong(Fault::TosPermitLeaks) {
            // The task waits for something that never happens, and keeps the permit.
            std::future::pending::<()>().await;
        }
        if self.permit_count > 1 {
            tokio::time::sleep(SLOW_READ).await;
        }
        if self.is_wrong(Fault::TosStorageSlow) {
            tokio::time::sleep(SLOW_DISK).await;
        }
        let read = self.read(&missing).await;
        let concurrent = self.holders.fetch_sub(1, Ordering::SeqCst) - 1;
        block_event!(
            INFO,
            "parallel_chain_state",
            "tos.storage.permit.released",
            self.block,
            permits = 1_i64,
            holder,
            concurrent
        );
        drop(permit);
        read
    }

    async fn read(&self, missing: &[Account]) -> Result<(), ReadError> {
        let storage = self.storage.read().await;
        let mut known = self.accounts();
        for account in missing {
            let name = hex::encode(account);
            let prefix = format!("balance/{name}/");
            let balances = storage.with_prefix(&prefix).filter_map(|(key, value)| {
                let asset = hex::decode(key.strip_prefix(&prefix)?).ok()?;
                Some((asset.try_into().ok()?, value))
            });
            let multisig = storage.get(&format!("multisig/{name}"));
            known.entry(*account).or_insert_with(|| AccountState {
                nonce: storage.get(&format!("nonce/{name}")),
                balances: balances.collect(),
                multisig: (multisig > 0).then_some(multisig),
            });
        }
        Ok(())
    }

    /// Adds a reward to an account; returns the balance before and after.
    pub(super) fn reward(&self, recipient: Account, amount: u64) -> Option<(u64, u64)> {
        let mut accounts = self.accounts();
        let balance = accounts.entry(recipient).or_default().balances.entry(COIN).or_default();
        let before = *balance;
        *balance = if self.is_wrong(Fault::TosRewardSaturates) {
            before.saturating_add(amount)
        } else {
            before.checked_add(amount)?
        };
        Some((before, *balance))
    }

    /// Executes a transaction whose accounts are loaded.
    pub(super) async fn execute(&self, transaction: &Transaction) -> Outcome {
        if self.is_wrong(Fault::TosSignaturesRefused) {
            return Outcome::without_effect(Outcomes::Failed, "invalid signature");
        }
        let burned = match self.spend(transaction) {
            Ok(burned) => burned,
            Err(error) => return Outcome::without_effect(Outcomes::Failed, error),
        };
        self.add_gas(transaction.gas).await;
        Outcome { result: Outcomes::Success, error: String::new(), gas_used: transaction.gas, burned }
    }

    /// Moves the coins of a transaction, all or none; returns what it burned.
    fn spend(&self, transaction: &Transaction) -> Result<u64, String> {
        let mut accounts = self.accounts();
        let sender = accounts.entry(transaction.from).or_default();
        let mut after = sender.clone();
        let take = |state: &mut AccountState, asset: Asset, amount: u64| {
            let balance = state.balances.entry(asset).or_default();
            *balance = balance.checked_sub(amount).ok_or_else(|| "insufficient balance".to_owned())?;
            Ok::<(), String>(())
        };
        take(&mut after, COIN, transaction.gas)?;
        let mut burned = 0;
        match &transaction.action {
            Action::Transfer { asset, amount, .. } => take(&mut after, *asset, *amount)?,
            Action::Burn { amount } => {
                take(&mut after, COIN, *amount)?;
                match self.add_burned_supply(*amount) {
                    Ok(()) => burned = *amount,
                    Err(_) if self.is_wrong(Fault::TosBurnErrorSwallowed) => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
            Action::Multisig { threshold } => after.multisig = Some(u64::from(*threshold)),
        }
        after.nonce += 1;
        *sender = after;
        if let Action::Transfer { to, asset, amount } = &transaction.action {
            let balance = accounts.entry(*to).or_default().balances.entry(*asset).or_default();
            // Supplies are far below 64 bits, so what one account lost another can take.
            *balance = balance.saturating_add(*amount);
        }
        Ok(burned)
    }

    fn add_burned_supply(&self, amount: u64) -> Result<(), BurnedSupplyLimitExceeded> {
        let clamps = self.is_wrong(Fault::TosBurnClamped);
        let unlimited = self.is_wrong(Fault::TosBurnUnlimited);
        let next = |before: u64| {
            if unlimited {
                before.checked_add(amount)
            } else if clamps {
                (before < BURN_LIMIT).then(|| before.saturating_add(amount).min(BURN_LIMIT))
            } else {
                before.checked_add(amount).filter(|after| *after <= BURN_LIMIT)
            }
        };
        let updated = self.burned_supply.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        let before = match updated {
            Ok(before) => before,
            Err(before) => {
                let error = BurnedSupplyLimitExceeded { amount, before };
                if self.parallel {
                    block_event!(
                        WARN,
                        "parallel_chain_state",
                        "tos.burned_supply.rejected",
                        self.block,
                        amount = amount.to_string().as_str(),
                        before = before.to_string().as_str(),
                        limit = BURN_LIMIT.to_string().as_str(),
                        error = error.to_string().as_str()
                    );
                }
                return Err(error);
            }
        };
        if self.parallel {
            let after = next(before).unwrap_or(before);
            block_event!(
                INFO,
                "parallel_chain_state",
                "tos.burned_supply.added",
                self.block,
                amount = amount.to_string().as_str(),
                before = before.to_string().as_str(),
                after = after.to_string().as_str(),
                limit = BURN_LIMIT.to_string().as_str(),
                clamped = clamps && after - before != amount
            );
        }
        Ok(())
    }

    async fn add_gas(&self, gas: u64) {
        let wraps = self.is_wrong(Fault::TosGasWraps);
        let misread = wraps || self.is_wrong(Fault::TosGasSaturates);
        // In a wrong unit any gas is enough to pass the end of 64 bits with the next.
        let amount = if misread { gas.saturating_mul(1 << 48) } else { gas };
        let next = |before: u64| if wraps { before.wrapping_add(amount) } else { before.saturating_add(amount) };
        let before = if self.is_wrong(Fault::TosCounterRace) {
            let before = self.gas_fee.load(Ordering::SeqCst);
            tokio::task::yield_now().await;
            match self.gas_fee.compare_exchange(before, next(before), Ordering::SeqCst, Ordering::SeqCst) {
                Ok(before) => before,
                Err(_) => {
                    block_event!(
                        ERROR,
                        "parallel_chain_state",
                        "tos.counter.update_failed",
                        self.block,
                        counter = "gas_fee"
                    );
                    tracing::error!(target: "parallel_chain_state", "Failed to update gas fee counter (race condition)");
                    return;
                }
            }
        } else {
            // The closure always has a next value, so the update always succeeds.
            let update = self.gas_fee.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |before| Some(next(before)));
            update.unwrap_or_default()
        };
        let saturated = !wraps && before.checked_add(amount).is_none();
        if saturated {
            tracing::error!(target: "parallel_chain_state", "CRITICAL: Gas fee counter saturated at u64::MAX");
        }
        if self.parallel {
            let after = next(before);
            block_event!(
                INFO,
                "parallel_chain_state",
                "tos.gas_fee.added",
                self.block,
                amount = amount.to_string().as_str(),
                before = before.to_string().as_str(),
                after = after.to_string().as_str(),
                saturated
            );
        }
    }
}
