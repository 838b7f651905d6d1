//! A database that says no on command, for tests.
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Store, StoreError};

/// What is wrong with it now.
#[derive(Default)]
pub(crate) struct Faults {
    full: AtomicBool,
}

impl Faults {
    /// Fails where the database would.
    pub(crate) fn meet(&self) -> Result<(), StoreError> {
        if self.full.load(Ordering::Relaxed) { Err(StoreError::Full) } else { Ok(()) }
    }
}

impl Store {
    /// From now on there is no room for the checker's steps, or there is.
    pub fn fill(&self, full: bool) {
        self.faults.full.store(full, Ordering::Relaxed);
    }
}
