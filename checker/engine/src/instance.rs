//! Rule instances: the automaton of one key, what it was before it did what can still be corrected, and what it found.
//!
//! That is what makes late evidence count: a late event is put in its place, the automaton runs again from the state it
//! had before, and the difference between old and new findings is the correction.
use alloc::{boxed::Box, vec::Vec};
use event::Timestamp;
use smallvec::SmallVec;
use thin_vec::ThinVec;

use crate::{
    history::{Epoch, Epochs, Link},
    key::Key,
    kind::{Anchor, Automaton, Found, What},
    program::RuleIdx,
    verdict::{EventRef, ViolationId},
};

/// Names an instance; stale ones are told by their generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) struct Handle {
    /// Its partition's number.
    pub(crate) partition: u8,
    pub(crate) rule: RuleIdx,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Handle {
    /// No instance.
    pub(crate) const NOBODY: Handle = Handle { partition: 0, rule: 0, slot: u32::MAX, generation: 0 };
}

/// A rule applied to one key.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Instance {
    pub(crate) key: Key,
    pub(crate) generation: u32,
    /// The state at the frontier.
    pub(crate) now: Automaton,
    /// What it was before it first did something in an epoch, oldest first; none: it did nothing that can still be corrected.
    pub(crate) marks: SmallVec<[Mark; 1]>,
    /// The last of its touches that are kept.
    pub(crate) last_touch: Link,
    /// What it found since the first mark, by violation, and what those learn of who build on it.
    pub(crate) findings: ThinVec<Finding>,
    /// The time of its last touch.
    pub(crate) last: Timestamp,
    /// The earliest due time that is queued.
    pub(crate) armed: Timestamp,
    /// What happened to its key up to then may not be known: there were too many instances when it was opened, and an earlier
    /// one of its key may have been among those forgotten; or a condition asked for what a fact has forgotten.
    pub(crate) forgotten: Timestamp,
}

/// What an instance was before it first did something in an epoch.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Mark {
    pub(crate) epoch: Epoch,
    /// The state has seen everything before this time.
    pub(crate) at: Timestamp,
    /// `None`: the initial one.
    pub(crate) state: Option<Box<Automaton>>,
}

impl Instance {
    pub(crate) fn new(key: Key, generation: u32, now: Automaton) -> Self {
        Instance {
            key,
            generation,
            now,
            marks: SmallVec::new(),
            last_touch: Link::NONE,
            findings: ThinVec::new(),
            last: Timestamp::ZERO,
            armed: Timestamp::MAX,
            forgotten: Timestamp::ZERO,
        }
    }

    /// Reads a little from everywhere that the work on it needs first.
    pub(crate) fn look(&self) -> usize {
        self.key.len() + self.marks.len() + self.findings.len() + self.now.look()
    }

    /// Marks what it is before it does something at `ts`, in that epoch. Returns whether it did nothing else in that epoch.
    pub(crate) fn mark(&mut self, epoch: Epoch, ts: Timestamp) -> Option<Epoch> {
        if self.marks.last().is_some_and(|mark| mark.epoch >= epoch) {
            return None;
        }
        let state = (!self.now.is_idle()).then(|| Box::new(self.now.clone()));
        self.marks.push(Mark { epoch, at: ts, state });
        Some(epoch)
    }

    /// Sees to it that it can run again from `ts` on. Returns the epoch that has a mark now that had none.
    pub(crate) fn mark_late(&mut self, epochs: &Epochs, ts: Timestamp) -> Option<Epoch> {
        let epoch = epochs.of(ts);
        let place = self.marks.partition_point(|mark| mark.epoch < epoch);
        if let Some(mark) = self.marks.get_mut(place).filter(|mark| mark.epoch == epoch) {
            // It did nothing between.
            mark.at = mark.at.min(ts);
            return None;
        }
        // It was the same until the next thing it did.
        let mark = match self.marks.get(place) {
            Some(next) => Mark { epoch, at: next.at.min(ts), state: next.state.clone() },
            None => Mark { epoch, at: ts, state: Some(Box::new(self.now.clone())) },
        };
        self.marks.insert(place, mark);
        Some(epoch)
    }
}

impl Instance {
    /// Lets go of findings of before `end` that nothing can change any more; `id` names the violation of an anchor.
    pub(crate) fn let_go_of_findings(&mut self, end: Timestamp, id: impl Fn(&[u8], &Anchor) -> ViolationId) {
        if self.findings.is_empty() {
            return;
        }
        // The last one may still be said again: its evidence grows, its level recovers.
        let settled = self.findings.iter().filter(|finding| finding.found < end && !finding.made);
        let last = settled.max_by_key(|finding| finding.found).map(|finding| finding.id);
        // So may those be that stand for one of which nothing can be said yet.
        let state = self.marks.first().map_or(Some(&self.now), |mark| mark.state.as_deref());
        let revocable: Vec<ViolationId> =
            state.into_iter().flat_map(Automaton::revocable).map(|anchor| id(&self.key, &anchor)).collect();
        self.findings
            .retain(|finding| finding.found >= end || Some(finding.id) == last || revocable.contains(&finding.id));
    }
}

/// What became of one violation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Finding {
    pub(crate) id: ViolationId,
    /// When it became certain: its own time, or later.
    pub(crate) found: Timestamp,
    /// A digest of the evidence, or of what is made of it, to see it change.
    pub(crate) evidence: u64,
    pub(crate) resolved: Option<Timestamp>,
    pub(crate) late: Option<Box<EventRef>>,
    /// Only those who build on it learn of it.
    pub(crate) made: bool,
    /// It was found in what was shown of the past, and nobody was told: those who build on it alone know of it.
    pub(crate) untold: bool,
}

impl Finding {
    pub(crate) fn digest(found: &Found) -> u64 {
        let (at, evidence) = match &found.what {
            What::Violated { at, evidence, .. } => (at, evidence.as_slice()),
            What::Made { at, .. } => (at, &[][..]),
            _ => return 0,
        };
        let mut bytes: SmallVec<[u8; 256]> = SmallVec::new();
        bytes.extend_from_slice(&at.0.to_le_bytes());
        for (part, event) in evidence {
            bytes.push(match part {
                crate::kind::Part::Role(role) => *role,
                crate::kind::Part::Dissent(role) => 128 | *role,
                crate::kind::Part::Before => crate::pack::BEFORE,
                crate::kind::Part::Restart => u8::MAX,
            });
            bytes.extend_from_slice(&event.identity.0.to_le_bytes());
        }
        bytes.extend_from_slice(&(found.from.len() as u64).to_le_bytes());
        if let What::Made { proof, .. } = &found.what {
            bytes.extend_from_slice(&proof.identity.0.to_le_bytes());
            let mut encoded = Vec::new();
            for value in &found.values {
                encoded.clear();
                match value {
                    Some(value) => crate::key::push(&mut encoded, &value.into()),
                    None => crate::key::push_absent(&mut encoded),
                }
                bytes.extend_from_slice(&encoded);
            }
        }
        crate::key::hash(&bytes)
    }
}
