//! The consensus of one height: Tendermint's algorithm as published (Buchman, Kwon, Milosevic: "The latest gossip on BFT
//! consensus", 2018, algorithm 1). Inputs go in, outputs come out; it does no I/O and reads no clock.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    HONEST, QUORUM, VALIDATORS,
    message::{Decision, Proposal, Validator, Value, ValueId, Vote, VoteType},
};

/// The steps of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) enum Step {
    Propose,
    Prevote,
    Precommit,
}

/// A step that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Timeout {
    pub(super) height: i64,
    pub(super) round: i64,
    pub(super) step: Step,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// A round begins.
    StartRound { round: i64, proposer: Validator },
    /// This node proposes in this round and needs a value.
    GetValue { round: i64 },
    /// To be sent to all.
    Propose(Proposal),
    /// To be sent to all.
    Vote(Vote),
    /// To be given back when the step has taken too long.
    Schedule(Timeout),
    /// The height is decided.
    Decide(Decision),
    /// A validator sent two votes where one was allowed.
    VoteEquivocation(Vote),
    /// A validator sent two proposals for one round.
    ProposalEquivocation(Proposal),
}

/// Who proposes: validators take turns, by height and round.
pub(super) fn proposer(height: i64, round: i64) -> Validator {
    usize::try_from((height + round).rem_euclid(VALIDATORS as i64)).unwrap_or_default()
}

/// One height's consensus at one validator.
#[derive(Debug)]
pub(super) struct Machine {
    me: Validator,
    pub(super) height: i64,
    pub(super) round: i64,
    step: Step,
    locked: Option<(i64, ValueId)>,
    valid: Option<(i64, Value)>,
    proposals: BTreeMap<i64, Proposal>,
    votes: BTreeMap<(i64, VoteType), BTreeMap<Validator, Option<ValueId>>>,
    /// The rules that fire once a round and have.
    fired: BTreeSet<(i64, &'static str)>,
    pub(super) decided: Option<Decision>,
    /// How many votes are taken for a quorum.
    pub(super) quorum: usize,
    out: Vec<Output>,
}

impl Machine {
    pub(super) fn new(me: Validator, height: i64) -> Machine {
        Machine {
            me,
            height,
            round: -1,
            step: Step::Propose,
            locked: None,
            valid: None,
            proposals: BTreeMap::new(),
            votes: BTreeMap::new(),
            fired: BTreeSet::new(),
            decided: None,
            quorum: QUORUM,
            out: Vec::new(),
        }
    }

    /// Begins the height.
    pub(super) fn start(&mut self) -> Vec<Output> {
        self.start_round(0);
        self.advance()
    }

    /// The value this node asked for.
    pub(super) fn value(&mut self, round: i64, value: Value) -> Vec<Output> {
        if round == self.round && self.step == Step::Propose && self.decided.is_none() {
            self.propose(value, -1);
        }
        self.advance()
    }

    /// A proposal, of this node or another. Only the round's proposer is listened to, and only once.
    pub(super) fn proposal(&mut self, proposal: Proposal) -> Vec<Output> {
        if proposal.height == self.height && proposal.validator == proposer(proposal.height, proposal.round) {
            match self.proposals.get(&proposal.round) {
                None => drop(self.proposals.insert(proposal.round, proposal)),
                Some(known) if known.value != proposal.value => {
                    self.out.push(Output::ProposalEquivocation(proposal));
                }
                Some(_) => {}
            }
        }
        self.advance()
    }

    /// A vote, of this node or another. A validator's first vote in a step counts.
    pub(super) fn vote(&mut self, vote: Vote) -> Vec<Output> {
        if vote.height == self.height {
            let known = self.votes.entry((vote.round, vote.kind)).or_default();
            match known.get(&vote.validator) {
                None => drop(known.insert(vote.validator, vote.value)),
                Some(first) if *first != vote.value => self.out.push(Output::VoteEquivocation(vote)),
                Some(_) => {}
            }
        }
        self.advance()
    }

    /// A step has taken too long.
    pub(super) fn timeout(&mut self, timeout: Timeout) -> Vec<Output> {
        let due = timeout.height == self.height && timeout.round == self.round && self.decided.is_none();
        match timeout.step {
            Step::Propose if due && self.step == Step::Propose => self.prevote(None),
            Step::Prevote if due && self.step == Step::Prevote => self.precommit(None),
            Step::Precommit if due => self.start_round(self.round + 1),
            _ => {}
        }
        self.advance()
    }

    /// Who precommitted the decided value so far.
    pub(super) fn signers(&self, decision: &Decision) -> BTreeSet<Validator> {
        let votes = self.votes.get(&(decision.round, VoteType::Precommit)).into_iter().flatten();
        let late =
            votes.filter(|(_, value)| value.as_ref() == Some(&decision.committed)).map(|(validator, _)| *validator);
        late.chain(decision.signers.iter().copied()).collect()
    }

    /// The step the round is in, to be timed again after a restart.
    pub(super) fn current(&self) -> Timeout {
        Timeout { height: self.height, round: self.round, step: self.step }
    }

    /// What this node voted last, if anything.
    pub(super) fn last_vote(&self) -> Option<Vote> {
        let own = |votes: &BTreeMap<Validator, Option<ValueId>>| votes.get(&self.me).cloned();
        self.votes.iter().rev().find_map(|((round, kind), votes)| Some(self.own_vote(*round, *kind, own(votes)?)))
    }

    fn own_vote(&self, round: i64, kind: VoteType, value: Option<ValueId>) -> Vote {
        Vote { height: self.height, round, kind, value, validator: self.me }
    }

    fn start_round(&mut self, round: i64) {
        (self.round, self.step) = (round, Step::Propose);
        let proposer = proposer(self.height, round);
        self.out.push(Output::StartRound { round, proposer });
        if proposer != self.me {
            self.out.push(Output::Schedule(self.current()));
        } else if let Some((valid_round, value)) = self.valid.clone() {
            self.propose(value, valid_round);
        } else {
            self.out.push(Output::GetValue { round });
            self.out.push(Output::Schedule(self.current()));
        }
    }

    fn propose(&mut self, value: Value, pol_round: i64) {
        let proposal = Proposal { height: self.height, round: self.round, value, pol_round, validator: self.me };
        self.proposals.entry(self.round).or_insert_with(|| proposal.clone());
        self.out.push(Output::Propose(proposal));
    }

    fn prevote(&mut self, value: Option<ValueId>) {
        self.step = Step::Prevote;
        self.cast(VoteType::Prevote, value);
    }

    fn precommit(&mut self, value: Option<ValueId>) {
        self.step = Step::Precommit;
        self.cast(VoteType::Precommit, value);
    }

    fn cast(&mut self, kind: VoteType, value: Option<ValueId>) {
        let vote = self.own_vote(self.round, kind, value);
        let own = self.votes.entry((vote.round, kind)).or_default();
        own.entry(self.me).or_insert_with(|| vote.value.clone());
        self.out.push(Output::Vote(vote));
    }

    fn count(&self, round: i64, kind: VoteType, value: Option<&ValueId>) -> usize {
        let votes = self.votes.get(&(round, kind)).into_iter().flatten();
        votes.filter(|(_, of)| of.as_ref() == value).count()
    }

    fn total(&self, round: i64, kind: VoteType) -> usize {
        self.votes.get(&(round, kind)).map_or(0, BTreeMap::len)
    }

    fn first_time(&mut self, rule: &'static str) -> bool {
        self.fired.insert((self.round, rule))
    }

    /// Applies the algorithm's rules until none has anything to say.
    fn advance(&mut self) -> Vec<Output> {
        while self.decided.is_none() && self.rule() {}
        std::mem::take(&mut self.out)
    }

    /// The first rule that applies; whether there was one.
    fn rule(&mut self) -> bool {
        self.decide() || self.skip_ahead() || self.judge_proposal() || self.count_prevotes() || self.count_precommits()
    }

    /// A proposal and a quorum of precommits for it, of any round.
    fn decide(&mut self) -> bool {
        let decided = self.proposals.values().find_map(|proposal| {
            let id = proposal.value.id();
            let enough = self.count(proposal.round, VoteType::Precommit, Some(&id)) >= self.quorum;
            enough.then(|| (proposal.clone(), id))
        });
        let Some((proposal, committed)) = decided else { return false };
        let decision = Decision {
            height: self.height,
            round: proposal.round,
            value: proposal.value,
            committed,
            signers: BTreeSet::new(),
        };
        let decision = Decision { signers: self.signers(&decision), ..decision };
        self.decided = Some(decision.clone());
        self.out.push(Output::Decide(decision));
        true
    }

    /// Messages of a later round from enough validators that one of them is honest.
    fn skip_ahead(&mut self) -> bool {
        let rounds: BTreeSet<i64> = self.votes.keys().map(|(round, _)| *round).filter(|r| *r > self.round).collect();
        let ahead = rounds.into_iter().rev().find(|round| {
            let of = |kind| self.votes.get(&(*round, kind)).into_iter().flat_map(BTreeMap::keys);
            of(VoteType::Prevote).chain(of(VoteType::Precommit)).collect::<BTreeSet<_>>().len() >= HONEST
        });
        if let Some(round) = ahead {
            self.start_round(round);
        }
        ahead.is_some()
    }

    /// The round's proposal, once it can be judged.
    fn judge_proposal(&mut self) -> bool {
        if self.step != Step::Propose {
            return false;
        }
        let Some(proposal) = self.proposals.get(&self.round) else { return false };
        let (id, pol_round) = (proposal.value.id(), proposal.pol_round);
        let free = match &self.locked {
            None => true,
            Some((round, value)) => *value == id || (pol_round >= 0 && *round <= pol_round),
        };
        let known = pol_round < 0
            || (pol_round < self.round && self.count(pol_round, VoteType::Prevote, Some(&id)) >= self.quorum);
        if known {
            self.prevote(free.then_some(id));
        }
        known
    }

    fn count_prevotes(&mut self) -> bool {
        if self.step == Step::Propose {
            return false;
        }
        let proposed = self.proposals.get(&self.round).map(|proposal| (proposal.value.clone(), proposal.value.id()));
        if let Some((value, id)) = proposed
            && self.count(self.round, VoteType::Prevote, Some(&id)) >= self.quorum
            && self.first_time("polka")
        {
            self.valid = Some((self.round, value));
            if self.step == Step::Prevote {
                self.locked = Some((self.round, id.clone()));
                self.precommit(Some(id));
            }
            return true;
        }
        if self.step != Step::Prevote {
            return false;
        }
        if self.count(self.round, VoteType::Prevote, None) >= self.quorum {
            self.precommit(None);
            return true;
        }
        let mixed = self.total(self.round, VoteType::Prevote) >= self.quorum && self.first_time("prevotes");
        if mixed {
            self.out.push(Output::Schedule(Timeout { step: Step::Prevote, ..self.current() }));
        }
        mixed
    }

    fn count_precommits(&mut self) -> bool {
        let any = self.total(self.round, VoteType::Precommit) >= self.quorum && self.first_time("precommits");
        if any {
            self.out.push(Output::Schedule(Timeout { step: Step::Precommit, ..self.current() }));
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(round: i64, payload: &str) -> Proposal {
        let value = Value { payload: payload.to_owned() };
        Proposal { height: 4, round, value, pol_round: -1, validator: proposer(4, round) }
    }

    fn vote(round: i64, kind: VoteType, value: Option<&str>, validator: Validator) -> Vote {
        let value = value.map(|payload| Value { payload: payload.to_owned() }.id());
        Vote { height: 4, round, kind, value, validator }
    }

    fn votes(outputs: &[Output]) -> Vec<(i64, VoteType, bool)> {
        let cast = |output: &Output| match output {
            Output::Vote(vote) => Some((vote.round, vote.kind, vote.value.is_some())),
            _ => None,
        };
        outputs.iter().filter_map(cast).collect()
    }

    /// Validator 1 at height 4, where validator 0 proposes in round 0.
    fn started() -> Machine {
        let mut machine = Machine::new(1, 4);
        assert_eq!(machine.start()[0], Output::StartRound { round: 0, proposer: 0 });
        machine
    }

    #[test]
    fn three_of_four_decide_and_two_do_not() {
        let mut machine = started();
        assert_eq!(votes(&machine.proposal(proposal(0, "a"))), [(0, VoteType::Prevote, true)]);
        assert!(votes(&machine.vote(vote(0, VoteType::Prevote, Some("a"), 0))).is_empty());
        let precommitted = machine.vote(vote(0, VoteType::Prevote, Some("a"), 2));
        assert_eq!(votes(&precommitted), [(0, VoteType::Precommit, true)]);
        machine.vote(vote(0, VoteType::Precommit, Some("a"), 0));
        assert!(machine.decided.is_none());
        let decided = machine.vote(vote(0, VoteType::Precommit, Some("a"), 3));
        assert!(decided.iter().any(|output| matches!(output, Output::Decide(decision) if decision.signers.len() == 3)));
    }

    #[test]
    fn a_silent_proposer_costs_a_round() {
        let mut machine = started();
        let timed_out = machine.timeout(Timeout { height: 4, round: 0, step: Step::Propose });
        assert_eq!(votes(&timed_out), [(0, VoteType::Prevote, false)]);
        machine.vote(vote(0, VoteType::Prevote, None, 2));
        assert_eq!(votes(&machine.vote(vote(0, VoteType::Prevote, None, 3))), [(0, VoteType::Precommit, false)]);
        machine.vote(vote(0, VoteType::Precommit, None, 2));
        machine.vote(vote(0, VoteType::Precommit, None, 3));
        let next = machine.timeout(Timeout { height: 4, round: 0, step: Step::Precommit });
        assert!(next.contains(&Output::GetValue { round: 1 }), "validator 1 proposes in round 1: {next:?}");
    }

    #[test]
    fn a_locked_validator_prevotes_nothing_else() {
        let mut machine = started();
        machine.proposal(proposal(0, "a"));
        machine.vote(vote(0, VoteType::Prevote, Some("a"), 0));
        machine.vote(vote(0, VoteType::Prevote, Some("a"), 2));
        machine.vote(vote(0, VoteType::Precommit, None, 2));
        machine.vote(vote(0, VoteType::Precommit, None, 3));
        machine.vote(vote(2, VoteType::Prevote, None, 0));
        machine.vote(vote(2, VoteType::Prevote, None, 3));
        assert_eq!(machine.round, 2, "two validators are there already");
        let cast = votes(&machine.proposal(proposal(2, "b")));
        assert_eq!(cast, [(2, VoteType::Prevote, false), (2, VoteType::Precommit, false)]);
    }

    #[test]
    fn the_first_vote_counts_and_the_second_is_evidence() {
        let mut machine = started();
        machine.vote(vote(0, VoteType::Prevote, None, 2));
        let second = vote(0, VoteType::Prevote, Some("a"), 2);
        assert_eq!(machine.vote(second.clone()), [Output::VoteEquivocation(second)]);
    }

    #[test]
    fn a_proposal_out_of_turn_is_not_listened_to() {
        let mut machine = started();
        assert!(machine.proposal(Proposal { validator: 3, ..proposal(0, "a") }).is_empty());
    }
}
