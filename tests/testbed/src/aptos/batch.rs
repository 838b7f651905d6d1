//! A batch of transactions, as peers send it and as the generator makes it. It holds hashes, no transactions.

use std::sync::Arc;

use sha2::{Digest, Sha256};

/// A transaction's hash, printed.
pub(super) type TxnHash = Arc<str>;

/// What names a batch: its author and the author's number for it.
pub(super) type BatchKey = (Arc<str>, String);

/// A batch.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(super) author: Arc<str>,
    pub(super) id: String,
    pub(super) digest: String,
    pub(super) txns: Vec<TxnHash>,
    pub(super) num_bytes: i64,
    /// When it may be forgotten, in microseconds since 1970.
    pub(super) expiration_usecs: i64,
}

/// What a transaction weighs on average.
const TXN_BYTES: i64 = 420;

impl Batch {
    pub(super) fn new(author: Arc<str>, id: String, txns: Vec<TxnHash>, expiration_usecs: i64) -> Batch {
        let mut hash = Sha256::new();
        for part in [&*author, &id].into_iter().chain(txns.iter().map(|txn| &**txn)) {
            hash.update(part.as_bytes());
        }
        let num_bytes = TXN_BYTES * count(txns.len());
        Batch { author, id, digest: hex::encode(hash.finalize()), txns, num_bytes, expiration_usecs }
    }

    pub(super) fn key(&self) -> BatchKey {
        (Arc::clone(&self.author), self.id.clone())
    }

    pub(super) fn num_txns(&self) -> i64 {
        count(self.txns.len())
    }
}

/// A length as an OTLP integer.
pub(super) fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
