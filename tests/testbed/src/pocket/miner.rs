//! The session lifecycle of the leader: sessions in memory, their trees, and what each block means for each of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    chain::{SUPPLIERS, digest},
    count,
    instance::Instance,
    pipeline::{End, Job, Kind, Outcome},
    pocket_event,
    redis::{Record, State},
};
use crate::faults::Fault;

/// How often the stream of relays is read.
const CONSUME_EVERY: Duration = Duration::from_millis(100);
/// How long a new leader waits for the last transactions of the one before it.
const SETTLE: Duration = Duration::from_millis(100);
/// Jobs that a stuck claim queue is given at each block for one session.
const RETRIES: usize = 300;
/// Relay ids that are remembered against repetition.
const REMEMBERED: usize = 10_000;

pub(super) struct Miner {
    pub(super) instance: Instance,
    pub(super) observed: watch::Receiver<i64>,
    pub(super) leads: watch::Receiver<bool>,
    pub(super) claims: mpsc::Sender<Job>,
    pub(super) proofs: mpsc::Sender<Job>,
    pub(super) outcomes: mpsc::Receiver<Outcome>,
    pub(super) memory: Memory,
}

/// The leader's memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// `activeSessions`.
    sessions: BTreeMap<Arc<str>, Record>,
    seen: BTreeSet<String>,
    /// The block that is being worked on.
    height: i64,
}

impl Miner {
    /// Works until told to stop, and then until every job it gave has ended.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut consume = interval(CONSUME_EVERY);
        consume.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                changed = self.leads.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.memory.sessions.clear();
                    if *self.leads.borrow_and_update() {
                        self.recover().await;
                    }
                }
                Ok(()) = self.observed.changed() => {
                    self.memory.height = *self.observed.borrow_and_update();
                    if *self.leads.borrow() {
                        self.block();
                    }
                }
                Some(outcome) = self.outcomes.recv() => self.memory.settle(&self.instance, &outcome),
                _ = consume.tick() => {
                    if *self.leads.borrow() && !self.instance.redis_is_away() {
                        self.memory.consume(&self.instance);
                    }
                }
            }
        }
        let Miner { instance, claims, proofs, mut outcomes, mut memory, .. } = self;
        drop((claims, proofs));
        while let Some(outcome) = outcomes.recv().await {
            memory.settle(&instance, &outcome);
        }
    }

    /// Loads what Redis has, and asks the chain what became of claims and proofs that were on their way.
    async fn recover(&mut self) {
        sleep(SETTLE).await;
        let stored = self.instance.redis.sessions();
        let loses = self.instance.on(Fault::PocketRecoveryLosesSessions);
        for supplier in SUPPLIERS {
            let mut of_supplier: Vec<Record> =
                stored.iter().filter(|record| record.session.supplier == supplier).cloned().collect();
            let in_redis = of_supplier.len();
            if loses {
                of_supplier.pop();
            }
            let loaded = of_supplier.len();
            for record in of_supplier {
                self.memory.track(record, "recovered");
            }
            pocket_event!(
                "session_lifecycle",
                "pocket.session.recovered",
                supplier_operator = supplier,
                in_redis = count(in_redis),
                loaded = count(loaded),
            );
        }
        let on_their_way: Vec<Record> = self.memory.sessions.values().cloned().collect();
        for record in on_their_way {
            let kind = match record.state {
                State::Claiming => Kind::Claim,
                State::Proving => Kind::Proof,
                _ => continue,
            };
            if self.instance.chain.has(kind.name(), &record.session) {
                let outcome = Outcome { kind, session_id: Arc::clone(&record.session.id), end: End::Accepted };
                self.memory.settle(&self.instance, &outcome);
            } else {
                self.queue(kind, &record);
            }
        }
    }

    /// Gives a job to a pipeline. A full queue takes it at the next block, if the window is still open then.
    fn queue(&self, kind: Kind, record: &Record) {
        let queue = if kind == Kind::Claim { &self.claims } else { &self.proofs };
        let root = record.root.clone().unwrap_or_default();
        let _ = queue.try_send(Job { session: record.session.clone(), root });
    }

    /// What a block means for every session in memory.
    fn block(&mut self) {
        let height = self.memory.height;
        self.create(height);
        let ids: Vec<Arc<str>> = self.memory.sessions.keys().cloned().collect();
        for id in ids {
            let Some(record) = self.memory.sessions.get(&id).cloned() else { continue };
            pocket_event!(
                "session_lifecycle",
                "pocket.session.processed",
                session_id = &*id,
                session_state = record.state.name(),
                height = height,
            );
            self.process(&record, height);
        }
    }

    fn process(&mut self, record: &Record, height: i64) {
        let (claim, proof) = (record.session.claim_window(), record.session.proof_window());
        let id = &record.session.id;
        match record.state {
            State::Active if height >= claim.closes => {
                self.memory.turn(&self.instance, id, State::ClaimWindowClosed, "expire");
            }
            State::Active if height >= claim.opens => {
                self.memory.consume(&self.instance);
                self.memory.flush(&self.instance, id);
                self.memory.turn(&self.instance, id, State::Claiming, "claim");
                if let Some(flushed) = self.memory.sessions.get(id).cloned() {
                    self.queue(Kind::Claim, &flushed);
                }
            }
            State::Claiming if self.instance.on(Fault::PocketClaimsStuck) => {
                // Retries are not told from first tries, and nobody takes them out again.
                for _ in 0..RETRIES {
                    self.queue(Kind::Claim, record);
                }
            }
            State::Claimed if height >= proof.closes => {
                self.memory.turn(&self.instance, id, State::ProofWindowClosed, "expire");
            }
            State::Claimed if height >= proof.opens && record.session.proof_required() => {
                self.memory.turn(&self.instance, id, State::Proving, "prove");
                self.queue(Kind::Proof, record);
            }
            State::Claimed if height >= proof.opens => {
                self.memory.turn(&self.instance, id, State::ProbabilisticProved, "settle");
            }
            // Left in memory by the fault: its window is looked at as if it were still to be proven.
            State::Proved if self.instance.on(Fault::PocketSessionReopened) => {
                self.memory.turn(&self.instance, id, State::ProofWindowClosed, "expire");
            }
            state if state.is_terminal() => self.memory.call_back(&self.instance, id),
            _ => {}
        }
    }

    /// Creates the sessions that begin, once for all instances.
    fn create(&mut self, height: i64) {
        let sessions = self.instance.chain.sessions(height);
        let Some(start) = sessions.first().map(|session| session.start) else { return };
        if !self.instance.redis.create_at(start) {
            return;
        }
        for session in sessions {
            pocket_event!(
                "session_lifecycle",
                "pocket.session.created",
                session_id = &*session.id,
                supplier_operator = session.supplier,
                service_id = session.service,
                app_address = &*session.app,
                session_start_height = session.start,
                session_end_height = session.end,
            );
            let record = Record { session, state: State::Active, tree: String::new(), root: None };
            self.instance.redis.save(&record);
            self.memory.track(record, "created");
        }
    }
}

impl Memory {
    fn track(&mut self, record: Record, reason: &'static str) {
        let id = Arc::clone(&record.session.id);
        let state = record.state.name();
        self.sessions.insert(Arc::clone(&id), record);
        pocket_event!(
            "session_lifecycle",
            "pocket.session.tracked",
            session_id = &*id,
            session_state = state,
            reason = reason,
            active_sessions = count(self.sessions.len()),
        );
    }

    /// Puts the relays of the stream into their sessions' trees, each once, and only while those are open.
    fn consume(&mut self, instance: &Instance) {
        let mut changed = BTreeSet::new();
        for relay in instance.redis.take() {
            let Some(record) = self.sessions.get_mut(&relay.session_id) else { continue };
            if record.state != State::Active || !self.seen.insert(relay.id.clone()) {
                continue;
            }
            update(record, &relay.id);
            changed.insert(relay.session_id);
        }
        while self.seen.len() > REMEMBERED {
            self.seen.pop_first();
        }
        for id in changed {
            if let Some(record) = self.sessions.get(&id) {
                instance.redis.save(record);
            }
        }
    }

    /// Closes a session's tree.
    fn flush(&mut self, instance: &Instance, id: &Arc<str>) {
        let Some(record) = self.sessions.get_mut(id) else { return };
        pocket_event!("smst", "pocket.smst.flush_started", session_id = &**id, root_hash = "", op = "flush");
        let root = digest(&record.tree);
        pocket_event!(
            "smst",
            "pocket.smst.flush_completed",
            session_id = &**id,
            root_hash = root.as_str(),
            op = "flush"
        );
        record.root = Some(root);
        if instance.on(Fault::PocketFlushNotExclusive) {
            // A relay that another task held while the tree was flushed.
            update(record, &digest(&format!("late {id}")));
        }
    }

    /// What a pipeline says of a session.
    fn settle(&mut self, instance: &Instance, outcome: &Outcome) {
        let next = match (outcome.kind, outcome.end) {
            (Kind::Claim, End::Accepted) => State::Claimed,
            (Kind::Claim, End::Refused) => State::ClaimTxError,
            (Kind::Claim, End::WindowClosed) => State::ClaimWindowClosed,
            (Kind::Proof, End::Accepted) => State::Proved,
            (Kind::Proof, End::Refused) => State::ProofTxError,
            (Kind::Proof, End::WindowClosed) => State::ProofWindowClosed,
        };
        self.turn(instance, &outcome.session_id, next, outcome.kind.name());
    }

    /// Moves a session on, in Redis first.
    fn turn(&mut self, instance: &Instance, id: &Arc<str>, next: State, action: &'static str) {
        // A session of a leadership that is over is the next leader's.
        let Some(record) = self.sessions.get_mut(id) else { return };
        let former = std::mem::replace(&mut record.state, next);
        instance.redis.save(record);
        pocket_event!(
            "session_lifecycle",
            "pocket.session.state_changed",
            session_id = &**id,
            supplier_operator = record.session.supplier,
            old_state = former.name(),
            new_state = next.name(),
            action = action,
            height = self.height,
        );
        let stays = next == State::Proved && instance.on(Fault::PocketSessionReopened);
        if next.is_terminal() && !stays {
            self.call_back(instance, id);
        }
    }

    /// What follows the end of a session: it leaves Redis and memory.
    fn call_back(&mut self, instance: &Instance, id: &Arc<str>) {
        let Some(record) = self.sessions.get(id) else { return };
        let state = record.state.name();
        if instance.on(Fault::PocketCallbackFails) {
            // The error is logged and the session is left where it is.
            pocket_event!(
                "session_lifecycle",
                "pocket.session.callback_failed",
                session_id = &**id,
                session_state = state,
                error = "failed to delete session: i/o timeout",
            );
            return;
        }
        instance.redis.remove(id);
        self.sessions.remove(id);
        pocket_event!(
            "session_lifecycle",
            "pocket.session.untracked",
            session_id = &**id,
            session_state = state,
            reason = "terminal state",
            active_sessions = count(self.sessions.len()),
        );
    }
}

fn update(record: &mut Record, relay: &str) {
    record.tree = digest(&format!("{}{relay}", record.tree));
    pocket_event!(
        "smst",
        "pocket.smst.updated",
        session_id = &*record.session.id,
        root_hash = record.tree.as_str(),
        op = "set",
    );
}
