//! The claim and proof pipelines: they take jobs from a queue and send transactions while the window is open.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use tokio::sync::{Semaphore, mpsc, watch};

use super::{
    chain::{Refused, Session, Window, digest},
    count,
    instance::Instance,
    pocket_event,
};
use crate::faults::Fault;

/// Workers that send transactions.
pub(super) const WORKERS: usize = 4;

/// What a pipeline sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Claim,
    Proof,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Claim => "claim",
            Kind::Proof => "proof",
        }
    }

    fn window(self, session: &Session) -> Window {
        match self {
            Kind::Claim => session.claim_window(),
            Kind::Proof => session.proof_window(),
        }
    }
}

/// A session that is to be claimed or proven.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) session: Session,
    pub(super) root: String,
}

/// What became of a job.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) kind: Kind,
    pub(super) session_id: Arc<str>,
    pub(super) end: End,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Accepted,
    Refused,
    WindowClosed,
}

/// The workers that both pipelines share.
#[derive(Debug)]
pub(super) struct Pool {
    workers: Semaphore,
    waiting: AtomicI64,
}

impl Pool {
    pub(super) fn new() -> Pool {
        Pool { workers: Semaphore::new(WORKERS), waiting: AtomicI64::new(0) }
    }

    /// Jobs at work, and jobs that wait for a worker.
    pub(super) fn status(&self) -> (i64, i64) {
        (count(WORKERS - self.workers.available_permits()), self.waiting.load(Ordering::Relaxed))
    }
}

pub(super) struct Pipeline {
    pub(super) instance: Instance,
    pub(super) kind: Kind,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) outcomes: mpsc::Sender<Outcome>,
    pub(super) leads: watch::Receiver<bool>,
    pub(super) pool: Arc<Pool>,
}

impl Pipeline {
    /// Works until its queue is closed and empty.
    pub(super) async fn run(mut self) {
        let mut sent = BTreeSet::new();
        let faults = self.instance.world.faults.clone();
        while let Some(job) = self.jobs.recv().await {
            if self.kind == Kind::Claim {
                let instance = self.instance.clone();
                faults.until(|_| !instance.on(Fault::PocketClaimsStuck)).await;
            }
            // A job that is queued twice is done once; one of a leader that was is the next leader's.
            if !sent.insert(Arc::clone(&job.session.id)) || !*self.leads.borrow() {
                continue;
            }
            self.pool.waiting.fetch_add(1, Ordering::Relaxed);
            let _worker = self.pool.workers.acquire().await;
            self.pool.waiting.fetch_sub(1, Ordering::Relaxed);
            let end = self.send(&job).await;
            let outcome = Outcome { kind: self.kind, session_id: job.session.id, end };
            if self.outcomes.send(outcome).await.is_err() {
                return;
            }
        }
    }

    async fn send(&self, job: &Job) -> End {
        let window = self.kind.window(&job.session);
        let chain = &self.instance.chain;
        if self.kind == Kind::Claim && self.instance.on(Fault::PocketClaimsLate) {
            // Something before it takes so long that the window closes, and nobody looks again.
            let mut blocks = chain.blocks();
            while *blocks.borrow_and_update() < window.closes && blocks.changed().await.is_ok() {}
        } else if chain.height() >= window.closes {
            return End::WindowClosed;
        }
        let height = chain.height();
        let what = self.kind.name();
        let tx_hash = digest(&format!("{what} {} {}", job.session.id, self.instance.node));
        let wrong = self.kind == Kind::Claim && self.instance.on(Fault::PocketClaimsWrongRoot);
        let root = if wrong { digest("an empty tree") } else { job.root.clone() };
        macro_rules! submitted {
            ($scope:literal, $name:literal) => {
                pocket_event!(
                    $scope,
                    $name,
                    session_id = &*job.session.id,
                    supplier_operator = job.session.supplier,
                    height = height,
                    window_open_height = window.opens,
                    window_close_height = window.closes,
                    tx_hash = tx_hash.as_str(),
                    root_hash = root.as_str(),
                )
            };
        }
        match self.kind {
            Kind::Claim => submitted!("claim_pipeline", "pocket.claim.submitted"),
            Kind::Proof => submitted!("proof_pipeline", "pocket.proof.submitted"),
        }
        match chain.submit(what, &job.session, window, height).await {
            Ok(()) => End::Accepted,
            Err(refused) => {
                self.failed(job, window, height, refused);
                End::Refused
            }
        }
    }

    fn failed(&self, job: &Job, window: Window, height: i64, refused: Refused) {
        macro_rules! failed {
            ($scope:literal, $name:literal) => {
                pocket_event!(
                    $scope,
                    $name,
                    session_id = &*job.session.id,
                    supplier_operator = job.session.supplier,
                    height = height,
                    window_open_height = window.opens,
                    window_close_height = window.closes,
                    error_type = refused.name(),
                )
            };
        }
        match self.kind {
            Kind::Claim => failed!("claim_pipeline", "pocket.claim.failed"),
            Kind::Proof => failed!("proof_pipeline", "pocket.proof.failed"),
        }
    }
}
