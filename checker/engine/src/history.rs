//! What instances did lately, kept so that late evidence can be put in its place.
//!
//! Time is cut into epochs. An instance keeps what it was before it first did something in an epoch, and a partition's
//! log keeps the touches that it took since. A late event is put among them, and the instance runs again from what it
//! was before. Whole epochs are let go of when nothing can correct them any more.
use alloc::{collections::VecDeque, vec::Vec};
use event::Timestamp;

use crate::{
    chunks::Chunks,
    instance::Handle,
    pack::RoleIdx,
    program::RuleIdx,
    touch::{Kept, Touch},
    verdict::EventRef,
};

/// An epoch's number.
pub(crate) type Epoch = u32;

/// Where the epochs that are kept begin.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Epochs {
    first: Epoch,
    starts: VecDeque<Timestamp>,
}

impl Default for Epochs {
    fn default() -> Self {
        Epochs { first: 0, starts: VecDeque::from([Timestamp::ZERO]) }
    }
}

impl Epochs {
    /// The epoch of a time; of a time before the first that is kept, that one.
    pub(crate) fn of(&self, ts: Timestamp) -> Epoch {
        // Most ask for the one that lasts.
        if ts >= self.began() {
            return self.running();
        }
        let later = self.starts.iter().rev().take_while(|start| **start > ts).count();
        self.first + (self.starts.len() - later).saturating_sub(1) as Epoch
    }

    /// Nothing before this is corrected any more.
    pub(crate) fn floor(&self) -> Timestamp {
        self.starts.front().copied().unwrap_or_default()
    }

    /// The epoch that lasts.
    pub(crate) fn running(&self) -> Epoch {
        self.first + self.starts.len().saturating_sub(1) as Epoch
    }

    /// When it began.
    pub(crate) fn began(&self) -> Timestamp {
        self.starts.back().copied().unwrap_or_default()
    }

    pub(crate) fn begin(&mut self, at: Timestamp) {
        self.starts.push_back(at);
    }

    /// The epochs that have ended, oldest first, and when.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (Epoch, Timestamp)> {
        self.starts.iter().skip(1).enumerate().map(|(number, end)| (self.first + number as Epoch, *end))
    }

    /// Lets go of the oldest epochs.
    pub(crate) fn let_go(&mut self, count: usize) {
        self.starts.drain(..count);
        self.first += count as Epoch;
    }
}

/// Names an entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Link {
    epoch: Epoch,
    place: u32,
}

impl Link {
    /// No entry.
    pub(crate) const NONE: Link = Link { epoch: 0, place: u32::MAX };
}

/// A touch that an instance took.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Entry {
    /// The event's number in the epoch.
    event: u32,
    role: RoleIdx,
    alternative: u8,
    slots: Kept,
    /// The instance's touch before this one.
    before: Link,
}

/// What instances did in one epoch.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Deeds {
    /// The events that touched them: one that touches several in a row is kept once.
    events: Chunks<EventRef>,
    touches: Chunks<Entry>,
    /// Who has a mark in the epoch, for a touch or for anything else that it did.
    actors: Chunks<Handle>,
}

impl Deeds {
    fn len(&self) -> u64 {
        (self.touches.len() + self.actors.len()) as u64
    }

    fn push(&mut self, touch: Touch, before: Link) -> u32 {
        let Touch { at, role, alternative, slots } = touch;
        let event = match self.events.last() {
            Some(last) if *last == at => self.events.len() - 1,
            _ => self.events.push(at),
        };
        self.touches.push(Entry { event: event as u32, role, alternative, slots, before }) as u32
    }
}

/// What the instances of a partition did, by epoch. The touches of one instance are linked backwards in order of time.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Log {
    first: Epoch,
    epochs: VecDeque<Deeds>,
    len: u64,
}

impl Log {
    /// How many entries are kept.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many of them are of one epoch.
    pub(crate) fn len_of(&self, epoch: Epoch) -> u64 {
        self.deeds(epoch).map_or(0, Deeds::len)
    }

    fn deeds(&self, epoch: Epoch) -> Option<&Deeds> {
        self.epochs.get(epoch.checked_sub(self.first)? as usize)
    }

    fn deeds_mut(&mut self, epoch: Epoch) -> &mut Deeds {
        if self.epochs.is_empty() {
            self.first = epoch;
        }
        while epoch < self.first {
            self.epochs.push_front(Deeds::default());
            self.first -= 1;
        }
        let number = (epoch - self.first) as usize;
        while self.epochs.len() <= number {
            self.epochs.push_back(Deeds::default());
        }
        self.len += 1;
        &mut self.epochs[number]
    }

    fn push(&mut self, epoch: Epoch, touch: Touch, before: Link) -> Link {
        Link { epoch, place: self.deeds_mut(epoch).push(touch, before) }
    }

    fn before_mut(&mut self, link: Link) -> Option<&mut Link> {
        let deeds = self.epochs.get_mut(link.epoch.checked_sub(self.first)? as usize)?;
        deeds.touches.get_mut(link.place as usize).map(|entry| &mut entry.before)
    }

    /// A touch, and the one of its instance before it.
    fn get(&self, link: Link) -> Option<(Touch, Link)> {
        let deeds = self.deeds(link.epoch)?;
        let entry = deeds.touches.get(link.place as usize)?;
        let at = *deeds.events.get(entry.event as usize)?;
        let touch = Touch { at, role: entry.role, alternative: entry.alternative, slots: entry.slots.clone() };
        Some((touch, entry.before))
    }

    /// Notes that an instance has a mark in an epoch.
    pub(crate) fn note(&mut self, epoch: Epoch, who: Handle) {
        self.deeds_mut(epoch).actors.push(who);
    }

    /// Appends a touch that comes after all others of its instance, whose last one is `last`.
    pub(crate) fn append(&mut self, epoch: Epoch, last: &mut Link, touch: Touch) {
        *last = self.push(epoch, touch, *last);
    }

    /// Puts a late touch in its place among those of its instance, whose last one is `last`; false when it is there already.
    pub(crate) fn insert(&mut self, epoch: Epoch, last: &mut Link, touch: Touch) -> bool {
        let mut after = Link::NONE;
        let mut before = *last;
        while let Some((known, earlier)) = self.get(before) {
            if known.repeats(&touch) {
                return false;
            }
            if known.order(&touch).is_lt() {
                break;
            }
            (after, before) = (before, earlier);
        }
        let new = self.push(epoch, touch, before);
        *self.before_mut(after).unwrap_or(last) = new;
        true
    }

    /// Takes a touch out from among those of its instance, whose last one is `last`; false when it is not there.
    pub(crate) fn remove(&mut self, last: &mut Link, touch: &Touch) -> bool {
        let mut after = Link::NONE;
        let mut next = *last;
        while let Some((known, before)) = self.get(next) {
            if known.repeats(touch) {
                *self.before_mut(after).unwrap_or(last) = before;
                return true;
            }
            (after, next) = (next, before);
        }
        false
    }

    /// The touches that are kept of an instance whose last one is `last`, in order.
    pub(crate) fn trail(&self, last: Link) -> Vec<Touch> {
        let mut trail = Vec::new();
        let mut next = last;
        while let Some((touch, before)) = self.get(next) {
            trail.push(touch);
            next = before;
        }
        trail.reverse();
        trail
    }

    /// Who has a mark in an epoch, or had one; some may be named twice.
    pub(crate) fn actors(&self, epoch: Epoch) -> Vec<Handle> {
        self.deeds(epoch).map_or_else(Vec::new, |deeds| deeds.actors.iter().copied().collect())
    }

    /// Lets go of everything up to an epoch.
    pub(crate) fn let_go(&mut self, epoch: Epoch) {
        while self.first <= epoch {
            let Some(gone) = self.epochs.pop_front() else { return };
            self.len -= gone.len();
            self.first += 1;
        }
    }

    /// Gives rules other numbers.
    pub(crate) fn renumber(&mut self, number: impl Fn(RuleIdx) -> Option<RuleIdx>) {
        let change = |who: &mut Handle| *who = number(who.rule).map_or(Handle::NOBODY, |rule| Handle { rule, ..*who });
        self.epochs.iter_mut().for_each(|deeds| deeds.actors.iter_mut().for_each(change));
    }
}
