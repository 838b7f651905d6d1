//! Rule instances: the automaton of one key, the trail of what touched it lately, and what it found.
//!
//! The trail is what makes late evidence count: a late event is put in its place, the automaton runs again from the
//! state it had before the trail, and the difference between old and new findings is the correction.
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use event::Timestamp;
use hashbrown::HashTable;

use crate::{
    kind::{Automaton, Found, What},
    program::RuleIdx,
    touch::Touch,
    verdict::{EventRef, ViolationId},
};

/// Names an instance inside its partition; stale ones are told by their generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) struct Handle {
    pub(crate) rule: RuleIdx,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A rule applied to one key.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Instance {
    pub(crate) key: Box<[u8]>,
    pub(crate) hash: u64,
    pub(crate) generation: u32,
    /// The state at the frontier.
    pub(crate) now: Automaton,
    /// The state before everything in the trail; `None`: the initial one.
    pub(crate) base: Option<Automaton>,
    /// `base` has seen everything before this time.
    pub(crate) base_to: Timestamp,
    /// What touched it since `base_to`, in order.
    pub(crate) trail: VecDeque<Touch>,
    /// What it found since, by violation.
    pub(crate) findings: Vec<Finding>,
    /// The time of its last touch.
    pub(crate) last: Timestamp,
    /// The time of its last touch or due time.
    pub(crate) changed: Timestamp,
    /// The earliest due time that is queued.
    pub(crate) armed: Timestamp,
}

/// What an instance runs through again.
pub(crate) struct Past<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) from: Timestamp,
    pub(crate) trail: &'a VecDeque<Touch>,
}

impl Instance {
    pub(crate) fn past(&self) -> Past<'_> {
        Past { key: &self.key, from: self.base_to, trail: &self.trail }
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
}

/// A table without its index, which is made again.
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
        let mut table =
            Table { index: HashTable::new(), slots: stored.slots, free: stored.free, generation: stored.generation };
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
            .find(hash, |&slot| self.slots[slot as usize].as_ref().is_some_and(|instance| *instance.key == *key))
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

    pub(crate) fn insert(&mut self, key: Box<[u8]>, hash: u64, now: Automaton) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        let instance = Instance {
            key,
            hash,
            generation: self.generation,
            now,
            base: None,
            base_to: Timestamp::ZERO,
            trail: VecDeque::new(),
            findings: Vec::new(),
            last: Timestamp::ZERO,
            changed: Timestamp::ZERO,
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
        slot
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

    /// Tells the trails the rule's new number.
    pub(crate) fn renumber(&mut self, rule: RuleIdx) {
        for touch in self.slots.iter_mut().flatten().flat_map(|instance| &mut instance.trail) {
            touch.rule = rule;
        }
    }

    /// The slots in use, in order of slot.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u32, &Instance)> {
        self.slots.iter().enumerate().filter_map(|(slot, instance)| Some((slot as u32, instance.as_ref()?)))
    }
}
