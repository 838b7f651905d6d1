//! The queue in front of the writer: bounded in bytes, and the place where arrival stamps are given. Knows no disk.
use crate::{AppendError, Appended, Entry, Fullness, SyncPolicy};
use event::Timestamp;
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

pub(crate) type Reply = oneshot::Sender<Result<Appended, AppendError>>;

/// An entry on its way to the disk.
pub(crate) struct Pending {
    pub(crate) entry: Entry,
    pub(crate) arrived: Timestamp,
    /// Nobody waits for ticks that the writer makes itself.
    pub(crate) reply: Option<Reply>,
}

/// What the writer is to do next.
pub(crate) enum Work {
    Write(Vec<Pending>),
    Stop,
}

/// What the writer sleeps for; appends wake it for nothing else.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asleep {
    No,
    UntilAny,
    UntilDeep,
}

struct State {
    entries: VecDeque<Pending>,
    waiting_bytes: u64,
    writing_bytes: u64,
    last_arrival: Timestamp,
    last_at: Instant,
    asleep: Asleep,
    closing: bool,
    poisoned: Option<String>,
}

/// See the module.
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    bytes_max: u64,
    policy: SyncPolicy,
    tick_every: Option<Duration>,
}

impl Queue {
    pub(crate) fn new(
        config: &crate::Config,
        last_arrival: Timestamp,
        clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        let state = State {
            entries: VecDeque::new(),
            waiting_bytes: 0,
            writing_bytes: 0,
            last_arrival,
            last_at: Instant::now(),
            asleep: Asleep::No,
            closing: false,
            poisoned: None,
        };
        Self {
            state: Mutex::new(state),
            wake: Condvar::new(),
            clock,
            bytes_max: config.queue_bytes_max,
            policy: config.sync,
            tick_every: config.tick_every,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the entry its stamp and its place.
    pub(crate) fn push(&self, entry: Entry, reply: Reply) -> Result<(), AppendError> {
        let bytes = entry.frame_bytes();
        let mut state = self.lock();
        if let Some(why) = &state.poisoned {
            return Err(AppendError::Poisoned(why.clone()));
        }
        if state.closing {
            return Err(AppendError::Closed);
        }
        let held = state.waiting_bytes + state.writing_bytes;
        if 0 < held && self.bytes_max < held + bytes {
            return Err(AppendError::Full(Fullness::Queue { limit_bytes: self.bytes_max }));
        }
        state.push(self, entry, Some(reply));
        let wake = match state.asleep {
            Asleep::No => false,
            Asleep::UntilAny => true,
            Asleep::UntilDeep => self.policy.deep_bytes <= state.waiting_bytes,
        };
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits until there is something to write and it is time to. Gives back the bytes of what was taken before.
    pub(crate) fn take(&self, synced_at: Option<Instant>) -> Work {
        let mut state = self.lock();
        state.writing_bytes = 0;
        loop {
            let now = Instant::now();
            let until = if state.entries.is_empty() {
                if state.closing {
                    return Work::Stop;
                }
                let tick_at = self.tick_every.map(|every| state.last_at + every);
                if tick_at.is_some_and(|at| at <= now) {
                    state.push(self, Entry::tick(), None);
                    break;
                }
                state.asleep = Asleep::UntilAny;
                tick_at
            } else {
                let linger_until = synced_at.map(|at| at + self.policy.linger_max).filter(|at| now < *at);
                let Some(linger_until) = linger_until else { break };
                if state.closing || self.policy.deep_bytes <= state.waiting_bytes {
                    break;
                }
                state.asleep = Asleep::UntilDeep;
                Some(linger_until)
            };
            state = match until {
                Some(at) => {
                    let waited = self.wake.wait_timeout(state, at.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.asleep = Asleep::No;
        }
        Work::Write(self.batch(&mut state))
    }

    /// What there is to write now, without lingering for more.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn take_now(&self) -> Option<Vec<Pending>> {
        let mut state = self.lock();
        state.writing_bytes = 0;
        let batch = self.batch(&mut state);
        (!batch.is_empty()).then_some(batch)
    }

    /// As much as goes into one commit.
    fn batch(&self, state: &mut State) -> Vec<Pending> {
        let mut batch = Vec::new();
        while let Some(first) = state.entries.front() {
            let bytes = first.entry.frame_bytes();
            if !batch.is_empty() && self.policy.commit_bytes_max < state.writing_bytes + bytes {
                break;
            }
            state.waiting_bytes -= bytes;
            state.writing_bytes += bytes;
            batch.extend(state.entries.pop_front());
        }
        batch
    }

    /// A stamp for a frame that the writer adds after everything it took.
    pub(crate) fn stamp_last(&self) -> Timestamp {
        self.lock().stamp(self)
    }

    /// No more appends; what waits is still written.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
    }

    /// No more appends, ever, and what waits is refused.
    pub(crate) fn poison(&self, why: &str) {
        let mut state = self.lock();
        state.poisoned = Some(why.to_owned());
        state.closing = true;
        let entries = std::mem::take(&mut state.entries);
        state.waiting_bytes = 0;
        state.writing_bytes = 0;
        drop(state);
        for reply in entries.into_iter().filter_map(|pending| pending.reply) {
            // Whoever asked may have gone.
            let _ = reply.send(Err(AppendError::Poisoned(why.to_owned())));
        }
    }

    /// Why it is poisoned, if it is.
    pub(crate) fn poisoned(&self) -> Option<String> {
        self.lock().poisoned.clone()
    }

    /// Bytes that wait or are being written.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.lock();
        state.waiting_bytes + state.writing_bytes
    }
}

impl State {
    fn stamp(&mut self, queue: &Queue) -> Timestamp {
        let arrived = (queue.clock)().max(Timestamp(self.last_arrival.0.saturating_add(1)));
        self.last_arrival = arrived;
        self.last_at = Instant::now();
        arrived
    }

    fn push(&mut self, queue: &Queue, entry: Entry, reply: Option<Reply>) {
        let arrived = self.stamp(queue);
        self.waiting_bytes += entry.frame_bytes();
        self.entries.push_back(Pending { entry, arrived, reply });
    }
}
