//! What is proposed and decided at each height: a pure function of the seed, the same on every node.

use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Blobs of a block at most, and the bytes of one: a 32nd of a real one.
const BLOBS_MAX: usize = 6;
const BLOB_BYTES: usize = 4096;
/// Bytes of a payload beside its header.
const PAYLOAD_BYTES: usize = 3000;

/// A height and round; all that is stored of a proposal is stored under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) height: i64,
    pub(super) round: i64,
}

/// What tells one run of the testbed from another: its seed and its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) seed: u64,
    /// Milliseconds since 1970.
    pub(super) genesis_ms: i64,
}

/// An execution payload, as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload {
    pub(super) height: i64,
    pub(super) round: i64,
    pub(super) block_hash: String,
    pub(super) parent_hash: String,
    pub(super) versioned_hashes: Vec<String>,
    transactions: String,
}

/// A proposed value with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) at: At,
    pub(super) value_id: String,
    /// The payload's bytes.
    pub(super) payload: Vec<u8>,
    pub(super) blobs: Vec<Vec<u8>>,
}

impl Chain {
    fn digest(&self, what: &str, at: At) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(self.genesis_ms.to_be_bytes());
        hash.update(what.as_bytes());
        hash.update(at.height.to_be_bytes());
        hash.update(at.round.to_be_bytes());
        hash.finalize().into()
    }

    /// The first height, which grows from one run to the next.
    pub(super) fn first_height(&self) -> i64 {
        self.genesis_ms / 1000
    }

    /// The round in which a height is decided.
    pub(super) fn decided(&self, height: i64) -> At {
        At { height, round: i64::from(height % 5 == 0) }
    }

    fn block_hash(&self, at: At) -> String {
        format!("0x{}", hex::encode(self.digest("block", at)))
    }

    /// The value that is proposed at a height and round.
    pub(super) fn proposal(&self, at: At) -> Proposal {
        let mut choices = StdRng::from_seed(self.digest("proposal", at));
        let mut bytes = |count: usize| {
            let mut bytes = vec![0; count];
            choices.fill_bytes(&mut bytes);
            bytes
        };
        let transactions = hex::encode(bytes(PAYLOAD_BYTES));
        let roll = usize::from(bytes(1)[0]);
        let count = if roll % 2 == 0 { 0 } else { roll / 2 % (BLOBS_MAX + 1) };
        let blobs: Vec<Vec<u8>> = (0..count).map(|_| bytes(BLOB_BYTES)).collect();
        let payload = Payload {
            height: at.height,
            round: at.round,
            block_hash: self.block_hash(at),
            parent_hash: self.block_hash(self.decided(at.height - 1)),
            versioned_hashes: blobs.iter().map(|blob| versioned_hash(&commitment(blob))).collect(),
            transactions,
        };
        let payload = serde_json::to_vec(&payload).unwrap_or_default();
        Proposal { at, value_id: hash_hex(&payload), payload, blobs }
    }

    /// A choice among `count`, another for each height.
    pub(super) fn choice(&self, height: i64, count: usize) -> usize {
        StdRng::from_seed(self.digest("choice", At { height, round: 0 })).random_range(0..count.max(1))
    }
}

/// What a blob is bound to; a hash stands in for KZG.
pub(super) fn commitment(blob: &[u8]) -> String {
    hash_hex(blob)
}

/// A commitment as the payload names it: its hash, with 1 as the first byte.
pub(super) fn versioned_hash(commitment: &str) -> String {
    format!("01{}", &hash_hex(commitment.as_bytes())[2..])
}

/// The hash of bytes in lowercase hex.
pub(super) fn hash_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: Chain = Chain { seed: 7, genesis_ms: 1_790_000_000_000 };

    #[test]
    fn decided_blocks_continue_one_another() {
        let payload = |height: i64| {
            let proposal = CHAIN.proposal(CHAIN.decided(height));
            assert_eq!(proposal.value_id, hash_hex(&proposal.payload));
            serde_json::from_slice::<Payload>(&proposal.payload).unwrap()
        };
        let first = CHAIN.first_height();
        for height in first + 1..first + 12 {
            assert_eq!(payload(height).parent_hash, payload(height - 1).block_hash);
        }
        assert!((first..first + 40).any(|height| payload(height).versioned_hashes.len() > 1));
        assert_ne!(
            CHAIN.proposal(At { height: 9, round: 0 }).value_id,
            CHAIN.proposal(At { height: 9, round: 1 }).value_id
        );
    }
}
