//! The instances of one rule in one partition.
//!
//! Most instances did what they did long ago and wait: for a deadline far off, for a second event that must not come.
//! Those are kept as bytes, a third of what they take while they are at work.
use alloc::{boxed::Box, collections::BinaryHeap, vec::Vec};
use core::{
    cmp::Reverse,
    ops::{Deref, DerefMut},
};
use event::Timestamp;
use hashbrown::HashTable;
use triomphe::ThinArc;

use crate::{
    instance::{Handle, Instance},
    key::{self, Key},
    kind::Automaton,
    pack::Rule,
    program::RuleIdx,
};

/// See the module. Most rules have instances in few partitions: a table without any takes no memory.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Table(Option<Box<Instances>>);

static NONE: Instances = Instances {
    index: HashTable::new(),
    slots: Vec::new(),
    free: Vec::new(),
    generation: 0,
    forgotten: Timestamp::ZERO,
    open_at_rest: 0,
    by_age: None,
};

impl Deref for Table {
    type Target = Instances;

    fn deref(&self) -> &Instances {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for Table {
    fn deref_mut(&mut self) -> &mut Instances {
        self.0.get_or_insert_default()
    }
}

impl Table {
    /// Notes that nobody was told what the instances at work found.
    pub(crate) fn leave_untold(&mut self) {
        for (_, instance) in self.at_work(0, 0) {
            instance.findings.iter_mut().for_each(|finding| finding.untold = !finding.made);
        }
    }

    /// The instances at work, which are a rule's.
    pub(crate) fn at_work(&mut self, partition: u8, rule: RuleIdx) -> impl Iterator<Item = (Handle, &mut Instance)> {
        let slots = self.0.iter_mut().flat_map(|instances| instances.slots.iter_mut().enumerate());
        slots.filter_map(move |(slot, of)| match of {
            Slot::AtWork(instance) => {
                Some((Handle { partition, rule, slot: slot as u32, generation: instance.generation }, &mut **instance))
            }
            _ => None,
        })
    }
}

/// The instances of a table that has some.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub(crate) struct Instances {
    index: HashTable<Place>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    generation: u32,
    /// The last touch of all instances that were forgotten as there were too many.
    forgotten: Timestamp,
    /// How much is open of those at rest.
    open_at_rest: u64,
    /// Instances by the time of their last touch, which may be later by now. Kept from when there first are too many.
    by_age: Option<BinaryHeap<Reverse<(Timestamp, u32, u32)>>>,
}

/// Where the instance of a key with a hash that begins so is: what is looked for is found without a look at any other.
#[derive(Clone, Copy, Debug)]
struct Place {
    high: u32,
    slot: u32,
}

impl Place {
    fn new(hash: u64, slot: u32) -> Self {
        Place { high: (hash >> 32) as u32, slot }
    }

    fn is_of(&self, hash: u64) -> bool {
        self.high == (hash >> 32) as u32
    }

    /// By which it is placed. The hash's other half has chosen the partition: here it would tell little.
    fn spread(&self) -> u64 {
        spread(u64::from(self.high) << 32)
    }
}

/// What a table goes by of a hash: as much of it as places keep, spread over all bits (Knuth, "The art of computer
/// programming", volume 3, 6.4: multiplicative hashing, by the golden ratio).
fn spread(hash: u64) -> u64 {
    (hash >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Where an instance may be.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
enum Slot {
    #[default]
    Empty,
    AtWork(Box<Instance>),
    AtRest(AtRest),
}

/// An instance that did nothing that can still be corrected, as bytes: a [`Head`], its key, and its state.
#[derive(Clone, Debug)]
struct AtRest(ThinArc<(), u8>);

/// What is asked of an instance without waking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) generation: u32,
    /// The time of its last touch.
    pub(crate) last: Timestamp,
    /// The earliest due time that is queued.
    pub(crate) armed: Timestamp,
    /// Whether it did something that can still be corrected.
    pub(crate) correctable: bool,
}

/// The bytes of a [`Head`], of the number of open obligations and of the key's length.
const HEAD: usize = 28;

impl From<&[u8]> for AtRest {
    fn from(bytes: &[u8]) -> Self {
        AtRest(ThinArc::from_header_and_slice((), bytes))
    }
}

impl serde::Serialize for AtRest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0.slice)
    }
}

impl<'de> serde::Deserialize<'de> for AtRest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(AtRest::from)
    }
}

impl AtRest {
    fn new(instance: &Instance, open: u64) -> Option<Self> {
        let Instance { key, generation, now, findings, last, armed, forgotten, .. } = instance;
        let mut bytes = Vec::with_capacity(HEAD + key.len() + 228);
        bytes.extend_from_slice(&last.0.to_le_bytes());
        bytes.extend_from_slice(&armed.0.to_le_bytes());
        bytes.extend_from_slice(&generation.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(open).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(key.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(key);
        let bytes = postcard::to_extend(&(now, findings, forgotten), bytes).ok()?;
        Some(AtRest::from(&bytes[..]))
    }

    fn wake(&self) -> Option<Instance> {
        let (now, findings, forgotten) = postcard::from_bytes(self.0.slice.get(HEAD + self.key().len()..)?).ok()?;
        let Head { generation, last, armed, .. } = self.head();
        let instance = Instance::new(Key::from(self.key()), generation, now);
        Some(Instance { findings, last, armed, forgotten, ..instance })
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.slice.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }

    fn head(&self) -> Head {
        Head {
            last: Timestamp(u64::from_le_bytes(self.array(0))),
            armed: Timestamp(u64::from_le_bytes(self.array(8))),
            generation: u32::from_le_bytes(self.array(16)),
            correctable: false,
        }
    }

    fn open(&self) -> u64 {
        u32::from_le_bytes(self.array(20)).into()
    }

    fn key(&self) -> &[u8] {
        let len = u32::from_le_bytes(self.array(24)) as usize;
        self.0.slice.get(HEAD..HEAD + len).unwrap_or_default()
    }
}

impl Slot {
    fn head(&self) -> Option<Head> {
        match self {
            Slot::Empty => None,
            Slot::AtWork(instance) => Some(Head {
                generation: instance.generation,
                last: instance.last,
                armed: instance.armed,
                correctable: !instance.marks.is_empty(),
            }),
            Slot::AtRest(rest) => Some(rest.head()),
        }
    }

    fn key(&self) -> &[u8] {
        match self {
            Slot::Empty => &[],
            Slot::AtWork(instance) => &instance.key,
            Slot::AtRest(rest) => rest.key(),
        }
    }
}

/// A table without what is made again.
#[derive(serde::Serialize, serde::Deserialize)]
struct Stored {
    slots: Vec<Slot>,
    free: Vec<u32>,
    generation: u32,
    forgotten: Timestamp,
}

impl From<Instances> for Stored {
    fn from(table: Instances) -> Self {
        let Instances { slots, free, generation, forgotten, .. } = table;
        Stored { slots, free, generation, forgotten }
    }
}

impl From<Stored> for Instances {
    fn from(stored: Stored) -> Self {
        let Stored { slots, free, generation, forgotten } = stored;
        let mut table = Instances { slots, free, generation, forgotten, ..Instances::default() };
        for slot in 0..table.slots.len() {
            if let Slot::AtRest(rest) = &table.slots[slot] {
                table.open_at_rest += rest.open();
            }
            if !matches!(table.slots[slot], Slot::Empty) {
                table.place(key::hash(table.slots[slot].key()), slot as u32);
            }
        }
        table
    }
}

impl Instances {
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    fn place(&mut self, hash: u64, slot: u32) {
        self.index.insert_unique(spread(hash), Place::new(hash, slot), Place::spread);
    }

    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index.find(spread(hash), |place| place.is_of(hash) && self.is_of(place.slot, key)).map(|place| place.slot)
    }

    fn is_of(&self, slot: u32, key: &[u8]) -> bool {
        self.slots.get(slot as usize).is_some_and(|slot| !matches!(slot, Slot::Empty) && slot.key() == key)
    }

    /// Where an instance with that hash is now.
    pub(crate) fn guess(&self, hash: u64) -> Option<u32> {
        self.index.find(spread(hash), |place| place.is_of(hash)).map(|place| place.slot)
    }

    /// Where the instance is, which was guessed to be in a slot: mostly it still is, and is seen to be.
    pub(crate) fn find_at(&self, guess: Option<u32>, hash: u64, key: &[u8]) -> Option<u32> {
        guess.filter(|guess| self.is_of(*guess, key)).or_else(|| self.find(hash, key))
    }

    /// Looks at what the work on an instance needs first, so that it is at hand then.
    pub(crate) fn look(&self, slot: u32) -> usize {
        match self.slots.get(slot as usize) {
            Some(Slot::AtWork(instance)) => instance.look(),
            Some(Slot::AtRest(rest)) => rest.0.slice.first().map_or(0, |first| usize::from(*first)),
            Some(Slot::Empty) | None => 0,
        }
    }

    /// The instance in a slot, at work.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Instance> {
        let place = self.slots.get_mut(slot as usize)?;
        if let Slot::AtRest(rest) = place {
            let instance = rest.wake()?;
            self.open_at_rest -= rest.open();
            *place = Slot::AtWork(Box::new(instance));
        }
        match place {
            Slot::AtWork(instance) => Some(instance),
            Slot::Empty | Slot::AtRest(_) => None,
        }
    }

    /// Whether the instance in a slot has found something that can still be corrected.
    pub(crate) fn has_found(&self, slot: u32) -> bool {
        let Some(Slot::AtWork(instance)) = self.slots.get(slot as usize) else { return false };
        !instance.marks.is_empty() && !instance.findings.is_empty()
    }

    /// What is known of the instance in a slot without waking it.
    pub(crate) fn head(&self, slot: u32) -> Option<Head> {
        self.slots.get(slot as usize)?.head()
    }

    pub(crate) fn handle(&self, partition: u8, rule: RuleIdx, slot: u32) -> Option<Handle> {
        self.head(slot).map(|head| Handle { partition, rule, slot, generation: head.generation })
    }

    /// What is known of the instance that a handle names, if it is still that one.
    pub(crate) fn head_of(&self, handle: Handle) -> Option<Head> {
        self.head(handle.slot).filter(|head| head.generation == handle.generation)
    }

    /// The instance a handle names, at work, if it is still that one.
    pub(crate) fn resolve(&mut self, handle: Handle) -> Option<&mut Instance> {
        self.head_of(handle)?;
        self.get_mut(handle.slot)
    }

    pub(crate) fn insert(&mut self, key: Key, hash: u64, now: Automaton) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        let instance = Slot::AtWork(Box::new(Instance::new(key, self.generation, now)));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = instance;
                slot
            }
            None => {
                self.slots.push(instance);
                (self.slots.len() - 1) as u32
            }
        };
        self.place(hash, slot);
        if let Some(by_age) = &mut self.by_age {
            by_age.push(Reverse((Timestamp::ZERO, slot, self.generation)));
        }
        slot
    }

    /// Puts an instance that did nothing that can still be corrected, and of which so much is open, to rest.
    pub(crate) fn rest(&mut self, slot: u32, open: u64) {
        let Some(place) = self.slots.get_mut(slot as usize) else { return };
        if let Slot::AtWork(instance) = place
            && let Some(rest) = AtRest::new(instance, open)
        {
            self.open_at_rest += rest.open();
            *place = Slot::AtRest(rest);
        }
    }

    /// The instance whose last touch is the oldest.
    fn oldest(&mut self) -> Option<u32> {
        let slots = &self.slots;
        let by_age = self.by_age.get_or_insert_with(|| {
            let aged = slots.iter().enumerate().filter_map(|(slot, instance)| Some((slot as u32, instance.head()?)));
            aged.map(|(slot, head)| Reverse((head.last, slot, head.generation))).collect()
        });
        while let Some(Reverse((last, slot, generation))) = by_age.pop() {
            let head = slots.get(slot as usize).and_then(Slot::head);
            let Some(head) = head.filter(|head| head.generation == generation) else { continue };
            by_age.push(Reverse((head.last, slot, generation)));
            if head.last == last {
                return Some(slot);
            }
        }
        None
    }

    /// The last touch of all instances that were forgotten as there were too many.
    pub(crate) fn forgotten(&self) -> Timestamp {
        self.forgotten
    }

    /// Forgets the instance whose last touch is the oldest, as there are too many. Returns how much of it was open.
    pub(crate) fn forget_oldest(&mut self, rule: &Rule) -> Option<u64> {
        let oldest = self.oldest()?;
        let open = self.open(oldest, rule);
        self.forgotten = self.forgotten.max(self.head(oldest)?.last);
        self.remove(oldest);
        Some(open)
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(place) = self.slots.get_mut(slot as usize) else { return };
        let gone = core::mem::take(place);
        if matches!(gone, Slot::Empty) {
            return;
        }
        if let Slot::AtRest(rest) = &gone {
            self.open_at_rest -= rest.open();
        }
        if let Ok(entry) = self.index.find_entry(spread(key::hash(gone.key())), |place| place.slot == slot) {
            entry.remove();
        }
        self.free.push(slot);
        // A table that has fallen silent gives its memory back.
        if self.index.is_empty() {
            *self = Instances { generation: self.generation, forgotten: self.forgotten, ..Instances::default() };
        } else if self.index.capacity() > 1_024 && self.index.len() * 4 < self.index.capacity() {
            self.index.shrink_to(self.index.len() * 2, Place::spread);
        }
    }

    /// The slots in use with their keys, in order of slot.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let used = self.slots.iter().enumerate().filter(|(_, slot)| !matches!(slot, Slot::Empty));
        used.map(|(number, slot)| (number as u32, slot.key()))
    }

    /// How many obligations and levels of all instances are open.
    pub(crate) fn open_of_all(&self, rule: &Rule) -> u64 {
        let at_work = self.slots.iter().filter_map(|slot| match slot {
            Slot::AtWork(instance) => Some(instance.now.open(rule)),
            Slot::Empty | Slot::AtRest(_) => None,
        });
        self.open_at_rest + at_work.sum::<u64>()
    }

    /// How many obligations and levels of an instance are open.
    pub(crate) fn open(&self, slot: u32, rule: &Rule) -> u64 {
        match self.slots.get(slot as usize) {
            Some(Slot::AtWork(instance)) => instance.now.open(rule),
            Some(Slot::AtRest(rest)) => rest.open(),
            Some(Slot::Empty) | None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Finding;
    use crate::verdict::ViolationId;

    #[test]
    fn what_rests_wakes_as_it_was() {
        let mut table = Table::default();
        let key = Key::from(&[7; 90][..]);
        let hash = key::hash(&key);
        let slot = table.insert(key.clone(), hash, Automaton::blank());
        let finding = Finding {
            id: ViolationId([3; 16]),
            found: Timestamp(5),
            evidence: 9,
            resolved: Some(Timestamp(6)),
            late: None,
            made: false,
            untold: false,
        };
        let instance = table.get_mut(slot).unwrap();
        (instance.last, instance.armed) = (Timestamp(11), Timestamp(12));
        instance.findings.push(finding.clone());
        let before = table.head(slot);
        table.rest(slot, 2);
        assert_eq!(table.slots[slot as usize].key(), &key[..]);
        assert!(matches!(table.slots[slot as usize], Slot::AtRest(_)));
        assert_eq!(table.head(slot), before);
        assert_eq!(table.find(hash, &key), Some(slot));
        assert_eq!(table.find(hash, &[7; 89]), None);
        assert_eq!(table.keys().collect::<Vec<_>>(), [(slot, &key[..])]);
        let instance = table.get_mut(slot).unwrap();
        assert_eq!(
            (instance.last, instance.armed, &instance.findings[..]),
            (Timestamp(11), Timestamp(12), &[finding][..])
        );
        assert_eq!(instance.key, key);
    }

    #[test]
    fn the_oldest_is_found_though_its_age_has_changed() {
        let mut table = Table::default();
        let slots: Vec<u32> =
            (0..4_u8).map(|n| table.insert(Key::from(&[n][..]), key::hash(&[n]), Automaton::blank())).collect();
        for (slot, last) in slots.iter().zip([4, 3, 2, 5]) {
            table.get_mut(*slot).unwrap().last = Timestamp(last);
        }
        assert_eq!(table.oldest(), Some(slots[2]));
        table.get_mut(slots[2]).unwrap().last = Timestamp(9);
        table.rest(slots[1], 0);
        assert_eq!(table.oldest(), Some(slots[1]));
        table.remove(slots[1]);
        assert_eq!(table.oldest(), Some(slots[0]));
    }
}
