//! What the instances share: the leader's lock, sessions, the stream of relays, cached copies, published messages. One
//! process here, so calls do not fail by themselves; an instance that is cut off does not call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::broadcast,
    time::{Duration, Instant},
};

use super::chain::Session;

/// Published messages that wait for an instance; one that reads slower misses some.
const PUBLISHED: usize = 4096;
/// How long a candidate is believed to live after its last sign.
const CANDIDATE_LIVES: Duration = Duration::from_secs(2);

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Active,
    Claiming,
    Claimed,
    Proving,
    Proved,
    ProbabilisticProved,
    ClaimWindowClosed,
    ClaimTxError,
    ProofWindowClosed,
    ProofTxError,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Claiming => "claiming",
            State::Claimed => "claimed",
            State::Proving => "proving",
            State::Proved => "proved",
            State::ProbabilisticProved => "probabilistic_proved",
            State::ClaimWindowClosed => "claim_window_closed",
            State::ClaimTxError => "claim_tx_error",
            State::ProofWindowClosed => "proof_window_closed",
            State::ProofTxError => "proof_tx_error",
        }
    }

    pub(super) fn is_terminal(self) -> bool {
        !matches!(self, State::Active | State::Claiming | State::Claimed | State::Proving)
    }
}

/// A session with what the miner knows of it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) session: Session,
    pub(super) state: State,
    /// The relays in its tree, hashed one over the other.
    pub(super) tree: String,
    /// The root its tree was flushed to.
    pub(super) root: Option<String>,
}

/// A relay that counts.
#[derive(Clone, Debug)]
pub(super) struct MinedRelay {
    pub(super) id: String,
    pub(super) session_id: Arc<str>,
}

/// What is published to all instances.
#[derive(Clone, Debug)]
pub(super) enum Published {
    Block(i64),
    Invalidate { by: Arc<str>, cache_type: &'static str, entity: String, version: String },
}

#[derive(Debug, Default)]
struct Contents {
    lock: Option<(Arc<str>, Instant)>,
    candidates: BTreeMap<Arc<str>, Instant>,
    sessions: BTreeMap<Arc<str>, Record>,
    /// The last height at which sessions were created.
    created_at: i64,
    stream: Vec<MinedRelay>,
    fetched: BTreeMap<Arc<str>, String>,
    last_block: i64,
}

/// The server.
#[derive(Clone, Debug)]
pub(crate) struct Redis {
    contents: Arc<Mutex<Contents>>,
    published: broadcast::Sender<Published>,
}

impl Redis {
    pub(super) fn new() -> Redis {
        Redis { contents: Arc::default(), published: broadcast::Sender::new(PUBLISHED) }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes or keeps the leader's lock for so long; false when another one has it.
    pub(super) fn lock(&self, holder: &Arc<str>, ttl: Duration) -> bool {
        let mut contents = self.contents();
        let now = Instant::now();
        let free = contents.lock.as_ref().is_none_or(|(by, until)| by == holder || *until <= now);
        if free {
            contents.lock = Some((Arc::clone(holder), now + ttl));
        }
        free
    }

    /// Whether somebody else has the lock.
    pub(super) fn is_locked_by_another(&self, node: &Arc<str>) -> bool {
        self.contents().lock.as_ref().is_some_and(|(by, until)| by != node && *until > Instant::now())
    }

    pub(super) fn unlock(&self, holder: &Arc<str>) {
        let mut contents = self.contents();
        if contents.lock.as_ref().is_some_and(|(by, _)| by == holder) {
            contents.lock = None;
        }
    }

    /// A candidate for the lock shows that it lives.
    pub(super) fn candidate(&self, node: &Arc<str>) {
        self.contents().candidates.insert(Arc::clone(node), Instant::now());
    }

    pub(super) fn withdraw(&self, node: &Arc<str>) {
        self.contents().candidates.remove(node);
    }

    pub(super) fn is_candidate(&self, node: &str) -> bool {
        self.contents().candidates.get(node).is_some_and(|seen| seen.elapsed() < CANDIDATE_LIVES)
    }

    /// Stores a session as it is now.
    pub(super) fn save(&self, record: &Record) {
        self.contents().sessions.insert(Arc::clone(&record.session.id), record.clone());
    }

    /// Forgets a session that is over.
    pub(super) fn remove(&self, session_id: &str) {
        self.contents().sessions.remove(session_id);
    }

    /// All sessions that are not over.
    pub(super) fn sessions(&self) -> Vec<Record> {
        self.contents().sessions.values().filter(|record| !record.state.is_terminal()).cloned().collect()
    }

    /// Whether the sessions that start here are still to be created; true once.
    pub(super) fn create_at(&self, start: i64) -> bool {
        let mut contents = self.contents();
        let news = contents.created_at < start;
        contents.created_at = contents.created_at.max(start);
        news
    }

    pub(super) fn add(&self, relay: MinedRelay) {
        self.contents().stream.push(relay);
    }

    /// Everything in the stream, which is empty then.
    pub(super) fn take(&self) -> Vec<MinedRelay> {
        std::mem::take(&mut self.contents().stream)
    }

    /// The shared copy of a session's hash.
    pub(super) fn fetched(&self, session_id: &Arc<str>) -> Option<String> {
        self.contents().fetched.get(session_id).cloned()
    }

    pub(super) fn remember(&self, session_id: &Arc<str>, sha256: &str) {
        self.contents().fetched.insert(Arc::clone(session_id), sha256.to_owned());
    }

    /// Publishes every block up to this height that nobody has published.
    pub(super) fn publish_blocks(&self, height: i64) {
        let mut contents = self.contents();
        let first = if contents.last_block == 0 { height } else { contents.last_block + 1 };
        for block in first..=height {
            // Nobody listens while all instances restart: then the blocks are missed, and asked for later.
            let _ = self.published.send(Published::Block(block));
        }
        contents.last_block = contents.last_block.max(height);
    }

    pub(super) fn publish(&self, message: Published) {
        let _ = self.published.send(message);
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Published> {
        self.published.subscribe()
    }
}
