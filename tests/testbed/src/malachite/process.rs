//! One process of a validator: the loop around the consensus of each height, with its log, its timers and its peers.

use std::{collections::BTreeSet, path::Path, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    QUORUM, VALIDATORS, engine_event,
    machine::{Machine, Output, Step, Timeout, proposer},
    message::{Decision, Message, Proposal, Validator, Value, Vote, VoteType, spelt},
    network::Network,
    node::Store,
    wal::{Entry, Wal, WalError},
};
use crate::{
    faults::Fault,
    world::{World, sleep_until},
};

/// How long each step may take in round 0, and how much longer in each later one. Far more than a message takes, so that
/// a busy machine costs no round.
const PROPOSE_TAKES: Duration = Duration::from_millis(2000);
const VOTES_TAKE: Duration = Duration::from_millis(1000);
const ROUND_ADDS: Duration = Duration::from_millis(250);
/// How long the application takes to build a value.
const BUILD_TAKES: Duration = Duration::from_millis(10);
/// How long after its decision a height still collects votes. It paces the chain.
const FINALIZE_AFTER: Duration = Duration::from_millis(1000);
/// How often a node tells its last decided height and looks whether it is behind.
const STATUS_EVERY: Duration = Duration::from_millis(250);
/// After how long without progress a vote is sent again.
const REPUBLISH_AFTER: Duration = Duration::from_secs(2);
/// Messages for the next height that wait for it.
const AHEAD_MAX: usize = 256;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// For good, as told to.
    Stopped,
    /// In order, to come back.
    Restart,
    /// In order, to come back to what this fault did meanwhile.
    Detour(Fault),
    /// Without a word.
    Killed,
}

pub(super) struct Process<'a> {
    pub(super) world: &'a World,
    pub(super) node: &'a str,
    pub(super) me: Validator,
    pub(super) folder: &'a Path,
    pub(super) network: &'a Network,
    pub(super) store: &'a mut Store,
    /// Faults that have struck since they were switched on. Some strike once.
    pub(super) struck: &'a mut BTreeSet<Fault>,
    pub(super) stop: &'a CancellationToken,
}

/// What a process knows of the height it works on.
struct Height {
    machine: Machine,
    wal: Wal,
    /// Whether the node does not know what it has voted here, and therefore votes no more.
    mute: bool,
    timers: Vec<(Instant, Timeout)>,
    decision: Option<Decision>,
    finalize_at: Option<Instant>,
    moved_at: Instant,
    evidence_votes: i64,
    evidence_proposals: i64,
}

/// A validator's address.
fn address(validator: Validator) -> String {
    format!("{:040x}", 0xa11ce + validator)
}

impl Process<'_> {
    /// Runs from the node's start to its end, and reports both.
    pub(super) async fn run(mut self, pid: i64) -> Exit {
        engine_event!("malachite.node.started", pid = pid);
        let inbox = self.network.join(self.me);
        // A validator that cannot write its log must not vote: it ends like one that crashed.
        let exit = self.work(inbox).await.unwrap_or(Exit::Killed);
        self.network.leave(self.me);
        if exit != Exit::Killed {
            engine_event!("malachite.node.stopped", pid = pid);
        }
        exit
    }

    fn on(&self, fault: Fault) -> bool {
        self.world.faults.is_on(fault, self.node)
    }

    /// Whether a fault that strikes once is to strike now.
    fn strikes(&mut self, fault: Fault) -> bool {
        self.on(fault) && self.struck.insert(fault)
    }

    async fn work(&mut self, mut inbox: mpsc::Receiver<Message>) -> Result<Exit, WalError> {
        if self.store.is_empty() {
            tokio::select! {
                () = self.network.complete() => {}
                () = self.stop.cancelled() => return Ok(Exit::Stopped),
            }
        }
        let (built_to, mut built) = mpsc::channel(4);
        let mut ahead = Vec::new();
        let mut tips = [0; VALIDATORS];
        // A node that the fault brought back believes its first answer.
        let mut believes =
            self.on(Fault::MalachiteSyncUnverified) && self.struck.contains(&Fault::MalachiteSyncUnverified);
        let restart_at = self.world.next_restart(self.me);
        let mut status = interval(STATUS_EVERY);
        status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut height = self.begin(&built_to)?;
        loop {
            let timer = height.timers.iter().map(|(at, _)| *at).min();
            let exit = tokio::select! {
                () = self.stop.cancelled() => Some(Exit::Stopped),
                Some(message) = inbox.recv() => self.hear(&mut height, message, &mut ahead, &mut tips, &mut believes, &built_to)?,
                Some((round, value)) = built.recv() => self.built(&mut height, round, value, &built_to)?,
                () = sleep_until(timer) => self.time_out(&mut height, &built_to)?,
                () = sleep_until(height.finalize_at) => {
                    let own_turn = proposer(height.machine.height, 0) == self.me;
                    self.finalize(&mut height)?;
                    let due = restart_at.is_some_and(|at| at <= Instant::now());
                    if own_turn && let Some(fault) = [Fault::MalachiteSyncUnverified, Fault::MalachiteStoreLosesHeight]
                        .into_iter().find(|fault| self.strikes(*fault))
                    {
                        return Ok(Exit::Detour(fault));
                    }
                    if own_turn && due && !self.world.faults.any_on(self.node) {
                        return Ok(Exit::Restart);
                    }
                    height = self.begin(&built_to)?;
                    let mut left = None;
                    for message in std::mem::take(&mut ahead) {
                        left = left.or(self.hear(&mut height, message, &mut ahead, &mut tips, &mut believes, &built_to)?);
                    }
                    left
                }
                _ = status.tick() => {
                    self.network.broadcast(self.me, &Message::Status { from: self.me, tip: self.store.tip() });
                    self.catch_up(&height, &tips, believes);
                    self.republish(&mut height);
                    None
                }
            };
            if let Some(exit) = exit {
                return Ok(exit);
            }
        }
    }

    /// Begins the height after the last stored one, from its log if there is one.
    fn begin(&mut self, host: &mpsc::Sender<(i64, Value)>) -> Result<Height, WalError> {
        let number = self.store.tip() + 1;
        let (wal, entries, mute) = match Wal::open(self.folder, number) {
            Ok((wal, entries)) => (wal, entries, false),
            Err(error @ WalError::Corrupted(_)) => {
                let error = error.to_string();
                engine_event!("malachite.wal.corrupted", height = number, error = error.as_str());
                (Wal::empty(self.folder, number)?, Vec::new(), true)
            }
            Err(error) => return Err(error),
        };
        let mut machine = Machine::new(self.me, number);
        if self.on(Fault::MalachiteQuorumMiscounted) {
            machine.quorum = QUORUM - 1;
        }
        let mut height = Height {
            machine,
            wal,
            mute,
            timers: Vec::new(),
            decision: None,
            finalize_at: None,
            moved_at: Instant::now(),
            evidence_votes: 0,
            evidence_proposals: 0,
        };
        engine_event!("malachite.consensus.height.started", height = number);
        let outputs = height.machine.start();
        if entries.is_empty() {
            self.obey(&mut height, outputs, host);
        } else {
            self.replay(&mut height, entries, host);
        }
        Ok(height)
    }

    /// Tells the machine again what it was told before. What it said then was sent then.
    fn replay(&mut self, height: &mut Height, entries: Vec<Entry>, host: &mpsc::Sender<(i64, Value)>) {
        let number = height.machine.height;
        let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        engine_event!("malachite.wal.replay.started", height = number, entries = count);
        for entry in entries {
            let said = match entry {
                Entry::Value { round, value } => height.machine.value(round, value),
                Entry::Proposal(proposal) => height.machine.proposal(proposal),
                Entry::Vote(vote) => height.machine.vote(vote),
                Entry::Timeout(timeout) => height.machine.timeout(timeout),
            };
            let decided = said.into_iter().filter(|output| matches!(output, Output::Decide(_))).collect();
            self.obey(height, decided, host);
        }
        engine_event!("malachite.wal.replay.completed", height = number, entries = count);
        let current = height.machine.current();
        engine_event!(
            "malachite.consensus.round.started",
            height = number,
            round = current.round,
            proposer = address(proposer(number, current.round)).as_str(),
        );
        height.timers.push((Instant::now() + takes(current), current));
    }

    fn hear(
        &mut self,
        height: &mut Height,
        message: Message,
        ahead: &mut Vec<Message>,
        tips: &mut [i64; VALIDATORS],
        believes: &mut bool,
        host: &mpsc::Sender<(i64, Value)>,
    ) -> Result<Option<Exit>, WalError> {
        let current = height.machine.height;
        match message {
            Message::Status { from, tip } => tips[from] = tip,
            Message::Request { from, height } => {
                if let Some(decision) = self.store.get(height) {
                    self.network.send(self.me, from, Message::Answer(decision.clone()));
                }
            }
            Message::Answer(decision) => self.synced(height, decision, believes),
            Message::Proposal(Proposal { height: of, .. }) | Message::Vote(Vote { height: of, .. }) if of > current => {
                if of == current + 1 && ahead.len() < AHEAD_MAX {
                    ahead.push(message);
                }
            }
            Message::Proposal(Proposal { height: of, .. }) | Message::Vote(Vote { height: of, .. }) if of < current => {
            }
            Message::Proposal(proposal) => {
                engine_event!(
                    "malachite.consensus.proposal.received",
                    height = current,
                    round = proposal.round,
                    value_id = proposal.value.id().as_str(),
                    validator = address(proposal.validator).as_str(),
                );
                if proposal.validator == proposer(current, proposal.round) {
                    engine_event!(
                        "malachite.consensus.value.received",
                        height = current,
                        round = proposal.round,
                        value_id = proposal.value.id().as_str(),
                        validator = address(proposal.validator).as_str(),
                        origin = "consensus",
                        validity = "valid",
                    );
                }
                height.wal.append(&Entry::Proposal(proposal.clone()))?;
                let outputs = height.machine.proposal(proposal);
                return Ok(self.obey(height, outputs, host));
            }
            Message::Vote(vote) => {
                engine_event!(
                    "malachite.consensus.vote.received",
                    height = current,
                    round = vote.round,
                    vote_type = vote.kind.name(),
                    value_id = spelt(&vote.value),
                    validator = address(vote.validator).as_str(),
                );
                height.wal.append(&Entry::Vote(vote.clone()))?;
                let outputs = height.machine.vote(vote);
                return Ok(self.obey(height, outputs, host));
            }
        }
        Ok(None)
    }

    fn built(
        &mut self,
        height: &mut Height,
        round: i64,
        value: Value,
        host: &mpsc::Sender<(i64, Value)>,
    ) -> Result<Option<Exit>, WalError> {
        height.wal.append(&Entry::Value { round, value: value.clone() })?;
        let outputs = height.machine.value(round, value);
        Ok(self.obey(height, outputs, host))
    }

    fn time_out(&mut self, height: &mut Height, host: &mpsc::Sender<(i64, Value)>) -> Result<Option<Exit>, WalError> {
        let now = Instant::now();
        let mut exit = None;
        while let Some(place) = height.timers.iter().position(|(at, _)| *at <= now) {
            let (_, timeout) = height.timers.swap_remove(place);
            height.wal.append(&Entry::Timeout(timeout))?;
            let outputs = height.machine.timeout(timeout);
            exit = exit.or(self.obey(height, outputs, host));
        }
        Ok(exit)
    }

    /// Does what the machine wants done; says when the process ends over it.
    fn obey(&mut self, height: &mut Height, outputs: Vec<Output>, host: &mpsc::Sender<(i64, Value)>) -> Option<Exit> {
        let number = height.machine.height;
        let mut exit = None;
        for output in outputs {
            match output {
                Output::StartRound { round, proposer } => {
                    height.moved_at = Instant::now();
                    engine_event!(
                        "malachite.consensus.round.started",
                        height = number,
                        round = round,
                        proposer = address(proposer).as_str(),
                    );
                    if proposer != self.me && self.on(Fault::MalachiteWrongProposer) {
                        let value = self.build(number, round, "out of turn");
                        let validator = self.me;
                        self.publish(&Proposal { height: number, round, value, pol_round: -1, validator }, None);
                    }
                }
                // An application that hangs gives no value; the proposer is silent then.
                Output::GetValue { .. } if self.on(Fault::MalachiteProposerSilent) => {}
                Output::GetValue { round } => {
                    let value = self.build(number, round, "");
                    let host = host.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(BUILD_TAKES).await;
                        // A process that has ended needs no value.
                        let _ = host.send((round, value)).await;
                    });
                }
                Output::Propose(proposal) => {
                    let second = self.on(Fault::MalachiteProposalEquivocation).then(|| Proposal {
                        value: self.build(number, proposal.round, "for the others"),
                        ..proposal.clone()
                    });
                    engine_event!(
                        "malachite.consensus.value.proposed",
                        height = number,
                        round = proposal.round,
                        value_id = proposal.value.id().as_str(),
                        validator = address(self.me).as_str(),
                    );
                    self.publish(&proposal, second.as_ref());
                }
                Output::Vote(vote) if !height.mute => {
                    height.moved_at = Instant::now();
                    self.cast(&vote);
                    if vote.kind == VoteType::Prevote && vote.value.is_some() {
                        if self.on(Fault::MalachiteVoteEquivocation) {
                            self.cast(&Vote { value: None, ..vote.clone() });
                        }
                        exit = exit.or_else(|| self.mishap(number));
                    }
                }
                Output::Vote(_) => {}
                Output::Schedule(timeout) => height.timers.push((Instant::now() + takes(timeout), timeout)),
                Output::Decide(decision) => self.decide(height, decision),
                Output::VoteEquivocation(vote) => {
                    height.evidence_votes += 1;
                    engine_event!(
                        "malachite.consensus.evidence.vote_equivocation",
                        height = number,
                        round = vote.round,
                        validator = address(vote.validator).as_str(),
                    );
                }
                Output::ProposalEquivocation(proposal) => {
                    height.evidence_proposals += 1;
                    engine_event!(
                        "malachite.consensus.evidence.proposal_equivocation",
                        height = number,
                        round = proposal.round,
                        validator = address(proposal.validator).as_str(),
                    );
                }
            }
        }
        exit
    }

    /// What ends the process in the middle of a height, right after its vote; in the height it proposed, so that it is
    /// back before its next turn if it is not away for long.
    fn mishap(&mut self, number: i64) -> Option<Exit> {
        if proposer(number, 0) != self.me {
            return None;
        }
        if self.strikes(Fault::MalachiteNodeKilled) {
            return Some(Exit::Killed);
        }
        self.strikes(Fault::MalachiteWalCorrupted).then_some(Exit::Detour(Fault::MalachiteWalCorrupted))
    }

    /// What the application puts into a value.
    fn build(&self, height: i64, round: i64, note: &str) -> Value {
        let genesis = self.world.clock.genesis_ms();
        Value { payload: format!("{} of {genesis}, height {height}, round {round} {note}", self.node) }
    }

    /// Sends a proposal to all, or another one to every second validator.
    fn publish(&self, proposal: &Proposal, second: Option<&Proposal>) {
        for published in [Some(proposal), second].into_iter().flatten() {
            engine_event!(
                "malachite.consensus.proposal.published",
                height = published.height,
                round = published.round,
                value_id = published.value.id().as_str(),
                validator = address(self.me).as_str(),
            );
        }
        for to in (0..VALIDATORS).filter(|to| *to != self.me) {
            let sent = second.filter(|_| to % 2 == 0).unwrap_or(proposal);
            self.network.send(self.me, to, Message::Proposal(sent.clone()));
        }
    }

    fn cast(&self, vote: &Vote) {
        engine_event!(
            "malachite.consensus.vote.published",
            height = vote.height,
            round = vote.round,
            vote_type = vote.kind.name(),
            value_id = spelt(&vote.value),
            validator = address(self.me).as_str(),
        );
        self.network.broadcast(self.me, &Message::Vote(vote.clone()));
    }

    fn decide(&mut self, height: &mut Height, mut decision: Decision) {
        if self.on(Fault::MalachiteReplicaForks) {
            // The node takes what it would have built itself for what was voted on.
            decision.value = self.build(decision.height, decision.round, "its own");
        }
        engine_event!(
            "malachite.consensus.decided",
            height = height.machine.height,
            round = decision.round,
            value_id = decision.value.id().as_str(),
            signatures = signatures(&decision.signers),
        );
        height.timers.clear();
        height.moved_at = Instant::now();
        height.finalize_at = Some(Instant::now() + FINALIZE_AFTER);
        height.decision = Some(decision);
    }

    /// Ends the height: nobody votes on it any more, and it is stored.
    fn finalize(&mut self, height: &mut Height) -> Result<(), WalError> {
        let Some(mut decision) = height.decision.take() else { return Ok(()) };
        decision.signers = height.machine.signers(&decision);
        engine_event!(
            "malachite.consensus.finalized",
            height = height.machine.height,
            round = decision.round,
            value_id = decision.value.id().as_str(),
            signatures = signatures(&decision.signers),
            evidence.proposals = height.evidence_proposals,
            evidence.votes = height.evidence_votes,
        );
        self.store.push(decision);
        let next = self.store.tip() + 1;
        if let Err(error) = height.wal.reset(next) {
            let error_text = error.to_string();
            engine_event!("malachite.wal.reset.failed", height = next, error = error_text.as_str());
            return Err(error);
        }
        Ok(())
    }

    /// Asks a peer that has stored the height this node still works on.
    fn catch_up(&self, height: &Height, tips: &[i64; VALIDATORS], believes: bool) {
        let wanted = height.machine.height;
        if height.decision.is_none()
            && let Some(peer) = (0..VALIDATORS).find(|peer| *peer != self.me && tips[*peer] >= wanted)
        {
            // The fault: off by one, and the answer is not looked at.
            let asked = if believes && wanted > 1 { wanted - 1 } else { wanted };
            self.network.send(self.me, peer, Message::Request { from: self.me, height: asked });
        }
    }

    /// An answer to a request. It is good when the value is the one that a quorum committed at this height.
    fn synced(&mut self, height: &mut Height, decision: Decision, believes: &mut bool) {
        let number = height.machine.height;
        let good =
            decision.height == number && decision.value.id() == decision.committed && decision.signers.len() >= QUORUM;
        if !good && !*believes {
            return;
        }
        let decision = Decision { height: number, ..decision };
        engine_event!(
            "malachite.consensus.value.received",
            height = number,
            round = decision.round,
            value_id = decision.value.id().as_str(),
            origin = "sync",
            validity = "valid",
        );
        if height.decision.is_none() {
            *believes = false;
            height.machine.decided = Some(decision.clone());
            self.decide(height, decision);
            // Others are ahead: there is no vote to wait for.
            height.finalize_at = Some(Instant::now());
        }
    }

    /// Sends the last vote again when nothing has moved for long.
    fn republish(&self, height: &mut Height) {
        if height.decision.is_some() || height.mute || height.moved_at.elapsed() < REPUBLISH_AFTER {
            return;
        }
        let Some(vote) = height.machine.last_vote() else { return };
        height.moved_at = Instant::now();
        engine_event!(
            "malachite.consensus.vote.republished",
            height = vote.height,
            round = vote.round,
            vote_type = vote.kind.name(),
            value_id = spelt(&vote.value),
            validator = address(self.me).as_str(),
        );
        self.network.broadcast(self.me, &Message::Vote(vote));
    }
}

fn takes(timeout: Timeout) -> Duration {
    let step = if timeout.step == Step::Propose { PROPOSE_TAKES } else { VOTES_TAKE };
    step + ROUND_ADDS * u32::try_from(timeout.round).unwrap_or_default()
}

fn signatures(signers: &BTreeSet<Validator>) -> i64 {
    i64::try_from(signers.len()).unwrap_or(i64::MAX)
}
