//! What validators say to one another, and what they decide. It judges nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A value's hash, in hex.
pub(super) type ValueId = String;
/// A validator's place in the set.
pub(super) type Validator = usize;

/// What a height is decided on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Value {
    pub(super) payload: String,
}

impl Value {
    pub(super) fn id(&self) -> ValueId {
        hex::encode(&Sha256::digest(self.payload.as_bytes())[..20])
    }
}

/// The two steps of voting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum VoteType {
    Prevote,
    Precommit,
}

impl VoteType {
    pub(super) fn name(self) -> &'static str {
        match self {
            VoteType::Prevote => "prevote",
            VoteType::Precommit => "precommit",
        }
    }
}

/// A vote; no value is a vote for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Vote {
    pub(super) height: i64,
    pub(super) round: i64,
    pub(super) kind: VoteType,
    pub(super) value: Option<ValueId>,
    pub(super) validator: Validator,
}

/// How events spell what was voted for.
pub(super) fn spelt(value: &Option<ValueId>) -> &str {
    value.as_deref().unwrap_or("nil")
}

/// A proposal, with the round in which a quorum prevoted its value before; -1 when none did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proposal {
    pub(super) height: i64,
    pub(super) round: i64,
    pub(super) value: Value,
    pub(super) pol_round: i64,
    pub(super) validator: Validator,
}

/// A decided height with who precommitted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) height: i64,
    pub(super) round: i64,
    pub(super) value: Value,
    /// The value that the precommits name.
    pub(super) committed: ValueId,
    pub(super) signers: BTreeSet<Validator>,
}

/// What travels between nodes.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Proposal(Proposal),
    Vote(Vote),
    /// The last height that a node has decided.
    Status {
        from: Validator,
        tip: i64,
    },
    /// A node that is behind asks for a decided height.
    Request {
        from: Validator,
        height: i64,
    },
    /// The answer.
    Answer(Decision),
}
