//! Rule instances: the automaton of one key, what it was before it did what can still be corrected, and what it found.
//!
//! That is what makes late evidence count: a late event is put in its place, the automaton runs again from the state it
//! had before, and the difference between old and new findings is the correction.
use alloc::{collections::BinaryHeap, vec::Vec};
use core::cmp::Reverse;
use event::Timestamp;
use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::{
    history::{Epoch, Epochs, Link},
    key::Key,
    kind::{Anchor, Automaton, Found, What},
    program::RuleIdx,
    verdict::{EventRef, ViolationId},
};

/// Names an instance inside its partition; stale ones are told by their generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) struct Handle {
    pub(crate) rule: RuleIdx,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Handle {
    /// No instance.
    pub(crate) const NOBODY: Handle = Handle { rule: 0, slot: u32::MAX, generation: 0 };
}

/// A rule applied to one key.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Instance {
    pub(crate) key: Key,
    pub(crate) hash: u64,
    pub(crate) generation: u32,
    /// The state at the frontier.
    pub(crate) now: Automaton,
    /// What it was before it first did something in an epoch, oldest first; none: it did nothing that can still be corrected.
    pub(crate) marks: SmallVec<[Mark; 1]>,
    /// The last of its touches that are kept.
    pub(crate) last_touch: Link,
    /// What it found since the first mark, by violation.
    pub(crate) findings: Vec<Finding>,
    /// The time of its last touch.
    pub(crate) last: Timestamp,
    /// The earliest due time that is queued.
    pub(crate) armed: Timestamp,
}

/// What an instance was before it first did something in an epoch.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Mark {
    pub(crate) epoch: Epoch,
    /// The state has seen everything before this time.
    pub(crate) at: Timestamp,
    /// `None`: the initial one.
    pub(crate) state: Option<Automaton>,
}

impl Instance {
    /// Marks what it is before it does something at `ts`. Returns whether it did nothing else in that epoch.
    pub(crate) fn mark(&mut self, epochs: &Epochs, ts: Timestamp) -> Option<Epoch> {
        // Most do several things in the running epoch.
        let epoch = if ts >= epochs.began() { epochs.running() } else { epochs.of(ts) };
        if self.marks.last().is_some_and(|mark| mark.epoch >= epoch) {
            return None;
        }
        self.marks.push(Mark { epoch, at: ts, state: Some(self.now.clone()) });
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
            None => Mark { epoch, at: ts, state: Some(self.now.clone()) },
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
        let settled = self.findings.iter().filter(|finding| finding.found < end);
        let last = settled.max_by_key(|finding| finding.found).map(|finding| finding.id);
        // So may those be that stand for one of which nothing can be said yet.
        let state = self.marks.first().map_or(Some(&self.now), |mark| mark.state.as_ref());
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
    /// A digest of the evidence, to see it change.
    pub(crate) evidence: u64,
    pub(crate) resolved: Option<Timestamp>,
    pub(crate) late: Option<EventRef>,
}

impl Finding {
    pub(crate) fn digest(found: &Found) -> u64 {
        let What::Violated { at, evidence, .. } = &found.what else { return 0 };
        let mut bytes = Vec::with_capacity(8 + evidence.len() * 17);
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
        crate::key::hash(&bytes)
    }
}

/// All instances of one rule in one partition.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub(crate) struct Table {
    index: HashTable<u32>,
    slots: Vec<Option<Instance>>,
    free: Vec<u32>,
    generation: u32,
    /// Instances by the time of their last touch, which may be later by now. Kept from when there first are too many.
    by_age: Option<BinaryHeap<Reverse<(Timestamp, u32, u32)>>>,
}

/// A table without what is made again.
#[derive(serde::Serialize, serde::Deserialize)]
struct Stored {
    slots: Vec<Option<Instance>>,
    free: Vec<u32>,
    generation: u32,
}

impl From<Table> for Stored {
    fn from(table: Table) -> Self {
        Stored { slots: table.slots, free: table.free, generation: table.generation }
    }
}

impl From<Stored> for Table {
    fn from(stored: Stored) -> Self {
        let Stored { slots, free, generation } = stored;
        let mut table = Table { slots, free, generation, ..Table::default() };
        for (slot, instance) in table.slots.iter().enumerate() {
            if let Some(instance) = instance {
                let slots = &table.slots;
                table.index.insert_unique(instance.hash, slot as u32, |&slot| hash_of(slots, slot));
            }
        }
        table
    }
}

fn hash_of(slots: &[Option<Instance>], slot: u32) -> u64 {
    slots[slot as usize].as_ref().map_or(0, |instance| instance.hash)
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index
            .find(hash, |&slot| {
                self.slots[slot as usize]
                    .as_ref()
                    .is_some_and(|instance| instance.hash == hash && instance.key[..] == *key)
            })
            .copied()
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Instance> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Instance> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(crate) fn handle(&self, rule: RuleIdx, slot: u32) -> Option<Handle> {
        self.get(slot).map(|instance| Handle { rule, slot, generation: instance.generation })
    }

    /// The instance a handle names, if it is still that one.
    pub(crate) fn resolve(&mut self, handle: Handle) -> Option<&mut Instance> {
        self.get_mut(handle.slot).filter(|instance| instance.generation == handle.generation)
    }

    pub(crate) fn insert(&mut self, key: Key, hash: u64, now: Automaton) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        let instance = Instance {
            key,
            hash,
            generation: self.generation,
            now,
            marks: SmallVec::new(),
            last_touch: Link::NONE,
            findings: Vec::new(),
            last: Timestamp::ZERO,
            armed: Timestamp::MAX,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(instance);
                slot
            }
            None => {
                self.slots.push(Some(instance));
                (self.slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        self.index.insert_unique(hash, slot, |&slot| hash_of(slots, slot));
        if let Some(by_age) = &mut self.by_age {
            by_age.push(Reverse((Timestamp::ZERO, slot, self.generation)));
        }
        slot
    }

    /// The instance whose last touch is the oldest.
    pub(crate) fn oldest(&mut self) -> Option<u32> {
        let slots = &self.slots;
        let by_age = self.by_age.get_or_insert_with(|| {
            let aged = slots.iter().enumerate().filter_map(|(slot, instance)| Some((slot as u32, instance.as_ref()?)));
            aged.map(|(slot, instance)| Reverse((instance.last, slot, instance.generation))).collect()
        });
        while let Some(Reverse((last, slot, generation))) = by_age.pop() {
            let instance = slots.get(slot as usize).and_then(Option::as_ref);
            let Some(instance) = instance.filter(|instance| instance.generation == generation) else { continue };
            by_age.push(Reverse((instance.last, slot, generation)));
            if instance.last == last {
                return Some(slot);
            }
        }
        None
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(instance) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        if let Ok(entry) = self.index.find_entry(instance.hash, |&known| known == slot) {
            entry.remove();
        }
        self.free.push(slot);
        // A table that has fallen silent gives its memory back.
        if self.index.is_empty() {
            *self = Table { generation: self.generation, ..Table::default() };
        } else if self.index.capacity() > 1_024 && self.index.len() * 4 < self.index.capacity() {
            let slots = &self.slots;
            self.index.shrink_to(self.index.len() * 2, |&slot| hash_of(slots, slot));
        }
    }

    /// The slots in use, in order of slot.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u32, &Instance)> {
        self.slots.iter().enumerate().filter_map(|(slot, instance)| Some((slot as u32, instance.as_ref()?)))
    }
}
