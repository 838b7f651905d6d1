//! The bytes that bodies in flight may take, all requests together. It refuses to wait: who finds it spent is told to
//! come again.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::Failure;

/// A budget of bytes, shared by all requests.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    bytes: usize,
}

/// What one request has taken out of the budget; given back on drop.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(bytes)), bytes }
    }

    /// Bytes taken now.
    pub(crate) fn used(&self) -> usize {
        self.bytes - self.free.available_permits()
    }

    pub(crate) fn reserve(&self) -> Reservation {
        Reservation { budget: self.clone(), held: None }
    }
}

impl Reservation {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// When that many are not free now; the sender is to come again.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        let more = u32::try_from(bytes)
            .ok()
            .and_then(|bytes| Arc::clone(&self.budget.free).try_acquire_many_owned(bytes).ok())
            .ok_or_else(|| Failure::overloaded("too many bytes in flight, try again later"))?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }

    /// Bytes taken so far.
    pub(crate) fn bytes(&self) -> usize {
        self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }
}
