//! The blocks and their transactions, the same on every node: a pure function of the seed and the place in the chain.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};

/// A public key's bytes, which order every map of a merge.
pub(super) type Account = [u8; 32];
/// An asset's hash.
pub(super) type Asset = [u8; 32];

/// The chain's own coin, in which rewards, gas and burns are.
pub(super) const COIN: Asset = [0; 32];
/// What may ever be burned: 18 million TOS in nanoTOS.
pub(super) const BURN_LIMIT: u64 = 18_000_000_000_000_000;

/// How many users there are; one of them is rich enough to try to burn more than may be burned.
const USERS: u8 = 30;
/// What a user owns at the start, and the rich one.
const FUNDS: u64 = 1_000_000_000_000;
const RICH_FUNDS: u64 = 19_000_000_000_000_000;
/// What the rich one tries to burn: a thousand TOS over the limit.
const RICH_BURN: u64 = 18_000_001_000_000_000;
/// What a miner is paid for a block, and of it the developers.
const REWARD: u64 = 500_000_000;
const DEV_FEE: u64 = 25_000_000;

/// What tells one run of the testbed from another: its seed and its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) seed: u64,
    /// Milliseconds since 1970.
    pub(super) genesis_ms: i64,
}

/// A block, as it comes to `add_new_block`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Its place in the chain, from 0.
    pub(super) index: i64,
    pub(super) hash: String,
    pub(super) topoheight: i64,
    pub(super) miner: Account,
    pub(super) developers: Account,
    /// What the miner is paid, without the developers' part; 0 for some blocks.
    pub(super) reward: u64,
    pub(super) dev_fee: u64,
    pub(super) transactions: Vec<Transaction>,
}

/// A transaction of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    pub(super) hash: String,
    /// Its place in the block, from 0.
    pub(super) index: usize,
    pub(super) from: Account,
    pub(super) action: Action,
    /// What it pays when it succeeds.
    pub(super) gas: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Transfer { to: Account, asset: Asset, amount: u64 },
    Burn { amount: u64 },
    Multisig { threshold: u8 },
}

impl Transaction {
    /// Every account that it may change.
    pub(super) fn accounts(&self) -> Vec<Account> {
        match self.action {
            Action::Transfer { to, .. } if to != self.from => vec![self.from, to],
            _ => vec![self.from],
        }
    }
}

/// Whether blocks at this place are too small for parallel execution anywhere.
pub(super) fn is_small(index: i64) -> bool {
    index % 4 == 3
}

/// Whether the rich user tries to burn more than may be burned.
pub(super) fn burns_too_much(index: i64) -> bool {
    index % 4 == 1
}

impl Chain {
    fn digest(&self, what: &str, number: i64) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(self.genesis_ms.to_be_bytes());
        hash.update(what.as_bytes());
        hash.update(number.to_be_bytes());
        hash.finalize().into()
    }

    fn user(&self, user: u8) -> Account {
        self.digest("user", user.into())
    }

    fn token(&self) -> Asset {
        self.digest("token", 0)
    }

    /// What everybody owns before the first block.
    pub(super) fn genesis(&self) -> BTreeMap<(Account, Asset), u64> {
        let funds = |user: u8| if user == 0 { RICH_FUNDS } else { FUNDS };
        (0..USERS)
            .flat_map(|user| [((self.user(user), COIN), funds(user)), ((self.user(user), self.token()), FUNDS)])
            .collect()
    }

    /// The block at a place in the chain.
    pub(super) fn block(&self, index: i64) -> Block {
        let mut choices = StdRng::from_seed(self.digest("block", index));
        let count: usize = if is_small(index) { choices.random_range(1..4) } else { choices.random_range(20..36) };
        let mut transactions: Vec<Transaction> =
            (0..count).map(|place| self.transaction(index, place, &mut choices)).collect();
        if burns_too_much(index) {
            transactions[0].from = self.user(0);
            transactions[0].action = Action::Burn { amount: RICH_BURN };
        }
        let (reward, dev_fee) = match index % 10 {
            9 => (0, 0),
            8 => (REWARD, 0),
            _ => (REWARD - DEV_FEE, DEV_FEE),
        };
        Block {
            index,
            hash: hex::encode(self.digest("hash", index)),
            // Grows over the life of the chain and, by the clock, over its runs.
            topoheight: self.genesis_ms / 1000 + index,
            miner: self.digest("miner", index % 3),
            developers: self.digest("developers", 0),
            reward,
            dev_fee,
            transactions,
        }
    }

    fn transaction(&self, block: i64, index: usize, choices: &mut StdRng) -> Transaction {
        let from = self.user(choices.random_range(1..USERS));
        let to = self.user(choices.random_range(1..USERS));
        // In a block with a burn that is refused nothing else fails, so that the one follows from the other.
        let fails = !burns_too_much(block) && choices.random_ratio(1, 12);
        let action = match choices.random_range(0..8) {
            0 if !fails => Action::Burn { amount: choices.random_range(1..1000) },
            1 if !fails => Action::Multisig { threshold: choices.random_range(1..5) },
            kind => Action::Transfer {
                to,
                asset: if kind % 2 == 0 { COIN } else { self.token() },
                amount: if fails { RICH_FUNDS } else { choices.random_range(1..100_000) },
            },
        };
        let place = i64::try_from(index).unwrap_or_default();
        let hash = hex::encode(self.digest("transaction", block * 1000 + place));
        Transaction { hash, index, from, action, gas: choices.random_range(1_000..50_000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: Chain = Chain { seed: 7, genesis_ms: 1_790_000_000_000 };

    #[test]
    fn same_chain_same_blocks() {
        assert_eq!(CHAIN.block(5), CHAIN.block(5));
        assert_ne!(CHAIN.block(5).hash, CHAIN.block(6).hash);
        assert_ne!(Chain { seed: 8, ..CHAIN }.block(5).hash, CHAIN.block(5).hash);
    }

    #[test]
    fn blocks_vary_as_nodes_must_bear() {
        let blocks: Vec<Block> = (0..40).map(|index| CHAIN.block(index)).collect();
        assert!(blocks.iter().any(|block| block.transactions.len() < 4));
        assert!(blocks.iter().filter(|block| block.transactions.len() >= 20).count() >= 20);
        assert!(blocks.iter().any(|block| block.reward == 0) && blocks.iter().any(|block| block.dev_fee == 0));
        let too_much =
            |block: &Block| block.transactions.iter().any(|tx| tx.action == Action::Burn { amount: RICH_BURN });
        assert_eq!(blocks.iter().filter(|block| too_much(block)).count(), 10);
    }
}
