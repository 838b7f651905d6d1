//! The batch store: what it persists survives a restart of the node, until it is committed or expires.
//! It lives in memory, in the hands of the node's runner; the testbed's nodes never lose power.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::batch::{Batch, BatchKey};

/// Batches that one store holds at most: `batch_quota`.
const BATCH_QUOTA: usize = 300_000;

/// Why a batch was not stored, as its event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PersistError {
    StorageQuota,
    Expired,
}

impl PersistError {
    pub(super) fn reason(self) -> &'static str {
        match self {
            PersistError::StorageQuota => "storage_quota",
            PersistError::Expired => "expired",
        }
    }
}

/// A node's stored batches and its last batch number.
#[derive(Debug, Default)]
pub(super) struct BatchStore {
    inner: Mutex<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    batches: BTreeMap<BatchKey, Arc<Batch>>,
    last_batch_number: u64,
}

impl BatchStore {
    fn lock(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a batch, unless it has expired or `quota` (of remote batches) is used up.
    pub(super) fn persist(&self, batch: &Arc<Batch>, now_usecs: i64, quota: Option<usize>) -> Result<(), PersistError> {
        let mut stored = self.lock();
        if batch.expiration_usecs <= now_usecs {
            return Err(PersistError::Expired);
        }
        if stored.batches.len() >= quota.unwrap_or(BATCH_QUOTA) {
            return Err(PersistError::StorageQuota);
        }
        stored.batches.insert(batch.key(), Arc::clone(batch));
        Ok(())
    }

    /// Drops what is committed.
    pub(super) fn commit(&self, batches: &[Arc<Batch>]) {
        let mut stored = self.lock();
        for batch in batches {
            stored.batches.remove(&batch.key());
        }
    }

    /// What is stored and has not expired; what has is dropped.
    pub(super) fn unexpired(&self, now_usecs: i64) -> Vec<Arc<Batch>> {
        let mut stored = self.lock();
        stored.batches.retain(|_, batch| batch.expiration_usecs > now_usecs);
        stored.batches.values().cloned().collect()
    }

    /// Forgets which numbers were used.
    pub(super) fn forget_batch_number(&self) {
        self.lock().last_batch_number = 0;
    }

    /// Saves and returns the next number of an own batch: never one that was used before, restarts included.
    pub(super) fn next_batch_number(&self) -> u64 {
        let mut stored = self.lock();
        stored.last_batch_number += 1;
        stored.last_batch_number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_refuses_over_quota_and_expired_batches() {
        let store = BatchStore::default();
        let batch = |id: &str| Arc::new(Batch::new("0xa".into(), id.to_owned(), vec!["0x1".into()], 10));
        assert_eq!(store.persist(&batch("1"), 9, None), Ok(()));
        assert_eq!(store.persist(&batch("2"), 10, None), Err(PersistError::Expired));
        assert_eq!(store.persist(&batch("3"), 9, Some(1)), Err(PersistError::StorageQuota));
        assert_eq!(store.unexpired(9).len(), 1);
        assert!(store.unexpired(10).is_empty());
        assert_eq!((store.next_batch_number(), store.next_batch_number()), (1, 2));
    }
}
