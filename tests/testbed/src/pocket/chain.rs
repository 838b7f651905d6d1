//! The chain: blocks at their time, and what is on chain at a height. All of it but the transactions follows from the
//! height.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{sync::watch, time::sleep};

use crate::world::World;

/// How long a block takes.
pub(super) const BLOCK_TIME: Duration = Duration::from_secs(1);
/// Blocks of a session.
const SESSION_BLOCKS: i64 = 4;
/// After a session's end: when claims open, when they close and proofs open, when those close.
const CLAIM_OPENS: i64 = 2;
const CLAIM_CLOSES: i64 = 5;
const PROOF_CLOSES: i64 = 8;
/// Blocks after which everything that changes has changed once: parameters, stakes, the leaving supplier's mind.
const CYCLE: i64 = 24;
/// In each cycle: when the second supplier asks to leave, until when it serves, and from when on it is back.
const UNSTAKES_AT: i64 = 6;
const SERVES_UNTIL: i64 = 11;
const STAKES_AGAIN_AT: i64 = 20;
/// How long a transaction takes.
const TRANSACTION_TAKES: Duration = Duration::from_millis(20);
/// The suppliers that all instances serve.
pub(super) const SUPPLIERS: [&str; 2] = ["pokt1supplier0", "pokt1supplier1"];

/// Heights between which a transaction is accepted; the second one is too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) opens: i64,
    pub(super) closes: i64,
}

/// A session of one supplier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) id: Arc<str>,
    pub(super) supplier: &'static str,
    pub(super) service: &'static str,
    pub(super) app: Arc<str>,
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Session {
    pub(super) fn claim_window(&self) -> Window {
        Window { opens: self.end + CLAIM_OPENS, closes: self.end + CLAIM_CLOSES }
    }

    pub(super) fn proof_window(&self) -> Window {
        Window { opens: self.end + CLAIM_CLOSES, closes: self.end + PROOF_CLOSES }
    }

    /// What a relay of its service costs.
    pub(super) fn compute_units(&self) -> i64 {
        if self.service == "eth" { 10 } else { 5 }
    }

    /// Whether the chain draws this session for a proof.
    pub(super) fn proof_required(&self) -> bool {
        self.id.bytes().last().is_some_and(|digit| digit % 2 == 0)
    }

    /// The hash of all that the chain says of it.
    pub(super) fn sha256(&self) -> String {
        digest(&format!("{self:?}"))
    }
}

/// The chain.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    height: watch::Sender<i64>,
    genesis: i64,
    run: i64,
    /// Transactions that were accepted.
    accepted: Arc<Mutex<BTreeSet<Transaction>>>,
}

/// What a transaction is for, and of which session.
type Transaction = (&'static str, Arc<str>);

/// A transaction that the chain refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refused {
    OutsideWindow,
    Again,
}

impl Refused {
    pub(super) fn name(self) -> &'static str {
        match self {
            Refused::OutsideWindow => "outside_window",
            Refused::Again => "already_submitted",
        }
    }
}

impl Chain {
    pub(super) fn new(world: &World) -> Chain {
        let run = world.clock.genesis_ms();
        let genesis = run / 1000 / CYCLE * CYCLE;
        Chain { height: watch::Sender::new(genesis), genesis, run, accepted: Arc::default() }
    }

    /// Makes blocks, for ever.
    pub(super) async fn run(self) {
        loop {
            sleep(BLOCK_TIME).await;
            self.height.send_modify(|height| *height += 1);
        }
    }

    pub(super) fn height(&self) -> i64 {
        *self.height.borrow()
    }

    pub(super) fn blocks(&self) -> watch::Receiver<i64> {
        self.height.subscribe()
    }

    /// The sessions that run at a height.
    pub(super) fn sessions(&self, height: i64) -> Vec<Session> {
        let start = height - (height - self.genesis).rem_euclid(SESSION_BLOCKS);
        let staked = SUPPLIERS.iter().copied().filter(|supplier| self.is_staked(supplier, start));
        staked.map(|supplier| self.session(supplier, start)).collect()
    }

    fn session(&self, supplier: &'static str, start: i64) -> Session {
        let service = if supplier == SUPPLIERS[0] { "eth" } else { "base" };
        let id = digest(&format!("{supplier} {start} {}", self.run)).into();
        Session { id, supplier, service, app: self.application().into(), start, end: start + SESSION_BLOCKS - 1 }
    }

    /// The height at which the session around this one ends.
    pub(super) fn session_end(&self, height: i64) -> i64 {
        height - (height - self.genesis).rem_euclid(SESSION_BLOCKS) + SESSION_BLOCKS - 1
    }

    /// The end of the last session that the supplier serves, while it is leaving; 0 when it is not.
    pub(super) fn unstake_session_end(&self, supplier: &str, height: i64) -> i64 {
        let in_cycle = (height - self.genesis).rem_euclid(CYCLE);
        let leaving = supplier == SUPPLIERS[1] && (UNSTAKES_AT..STAKES_AGAIN_AT).contains(&in_cycle);
        if leaving { height - in_cycle + SERVES_UNTIL } else { 0 }
    }

    /// Whether the supplier serves sessions that start at this height.
    fn is_staked(&self, supplier: &str, start: i64) -> bool {
        let end = self.unstake_session_end(supplier, start);
        end == 0 || start <= end
    }

    /// The one application that stays.
    pub(super) fn application(&self) -> String {
        format!("pokt1app{}", self.run)
    }

    /// An application that is staked for one cycle, and gone in the next.
    pub(super) fn guest(&self, height: i64) -> String {
        format!("pokt1guest{}", height.div_euclid(CYCLE))
    }

    /// The version of the application's stake, which changes once a cycle, in its middle.
    pub(super) fn stake_version(&self, height: i64) -> String {
        format!("stake-{}", (height + CYCLE / 2).div_euclid(CYCLE))
    }

    /// The hash of the shared parameters at a height; governance changes them each cycle.
    pub(super) fn params_hash(&self, height: i64) -> String {
        digest(&format!("{} {}", self.run, height.div_euclid(CYCLE)))
    }

    /// Takes a transaction that was sent at a height.
    pub(super) async fn submit(
        &self,
        what: &'static str,
        session: &Session,
        window: Window,
        height: i64,
    ) -> Result<(), Refused> {
        sleep(TRANSACTION_TAKES).await;
        if height < window.opens || height >= window.closes {
            return Err(Refused::OutsideWindow);
        }
        let news = self.accepted.lock().unwrap_or_else(PoisonError::into_inner).insert((what, Arc::clone(&session.id)));
        if news { Ok(()) } else { Err(Refused::Again) }
    }

    /// Whether such a transaction was accepted for the session.
    pub(super) fn has(&self, what: &'static str, session: &Session) -> bool {
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.contains(&(what, Arc::clone(&session.id)))
    }
}

/// A hash as the miner prints them.
pub(super) fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn a_leaving_supplier_has_sessions_until_its_end() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let chain = runtime.block_on(async { Chain::new(&World::new(Config::default())) });
        let start = chain.genesis;
        assert_eq!(chain.sessions(start + 11).len(), 2);
        assert_eq!(chain.unstake_session_end(SUPPLIERS[1], start + 6), start + 11);
        assert_eq!(chain.sessions(start + 12).len(), 1);
        assert_eq!(chain.sessions(start + 20).len(), 2);
        assert_ne!(chain.params_hash(start + 23), chain.params_hash(start + 24));
        let session = &chain.sessions(start + 5)[0];
        assert_eq!((session.start, session.end), (start + 4, start + 7));
        assert_eq!(session.claim_window(), Window { opens: start + 9, closes: start + 12 });
    }
}
