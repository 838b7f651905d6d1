//! What instances did lately, kept so that late evidence can be put in its place.
//!
//! Time is cut into epochs. An instance keeps what it was before it first did something in an epoch, and a partition's
//! log keeps the touches that it took since. A late event is put among them, and the instance runs again from what it
//! was before. Whole epochs are let go of when nothing can correct them any more.
use alloc::{collections::VecDeque, vec::Vec};
use event::Timestamp;

use crate::{instance::Handle, program::RuleIdx, touch::Touch};

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

/// What one instance did at one time.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Entry {
    who: Handle,
    /// The touch it took; none: it fell due, or shared its time with something that concerned many.
    touch: Option<Touch>,
    /// The instance's touch before this one.
    before: Link,
}

/// What the instances of a partition did, by epoch. The touches of one instance are linked backwards in order of time.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Log {
    first: Epoch,
    epochs: VecDeque<Vec<Entry>>,
    len: u64,
}

impl Log {
    /// How many entries are kept.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many of them are of one epoch.
    pub(crate) fn len_of(&self, epoch: Epoch) -> u64 {
        let entries = epoch.checked_sub(self.first).and_then(|number| self.epochs.get(number as usize));
        entries.map_or(0, |entries| entries.len() as u64)
    }

    fn push(&mut self, epoch: Epoch, entry: Entry) -> Link {
        if self.epochs.is_empty() {
            self.first = epoch;
        }
        while epoch < self.first {
            self.epochs.push_front(Vec::new());
            self.first -= 1;
        }
        let number = (epoch - self.first) as usize;
        while self.epochs.len() <= number {
            self.epochs.push_back(Vec::new());
        }
        self.len += 1;
        let entries = &mut self.epochs[number];
        entries.push(entry);
        Link { epoch, place: (entries.len() - 1) as u32 }
    }

    fn get(&self, link: Link) -> Option<&Entry> {
        self.epochs.get(link.epoch.checked_sub(self.first)? as usize)?.get(link.place as usize)
    }

    fn get_mut(&mut self, link: Link) -> Option<&mut Entry> {
        self.epochs.get_mut(link.epoch.checked_sub(self.first)? as usize)?.get_mut(link.place as usize)
    }

    /// Notes that an instance did something that was no touch.
    pub(crate) fn note(&mut self, epoch: Epoch, who: Handle) {
        self.push(epoch, Entry { who, touch: None, before: Link::NONE });
    }

    /// Appends a touch that comes after all others of its instance, whose last one is `last`.
    pub(crate) fn append(&mut self, epoch: Epoch, who: Handle, last: &mut Link, touch: Touch) {
        *last = self.push(epoch, Entry { who, touch: Some(touch), before: *last });
    }

    /// Puts a late touch in its place among those of its instance, whose last one is `last`; false when it is there already.
    pub(crate) fn insert(&mut self, epoch: Epoch, who: Handle, last: &mut Link, touch: Touch) -> bool {
        let mut after = Link::NONE;
        let mut before = *last;
        while let Some((known, further)) = self.touch(before) {
            if known.repeats(&touch) {
                return false;
            }
            if known.order(&touch).is_lt() {
                break;
            }
            (after, before) = (before, further);
        }
        let new = self.push(epoch, Entry { who, touch: Some(touch), before });
        match self.get_mut(after) {
            Some(entry) => entry.before = new,
            None => *last = new,
        }
        true
    }

    fn touch(&self, link: Link) -> Option<(&Touch, Link)> {
        let entry = self.get(link)?;
        Some((entry.touch.as_ref()?, entry.before))
    }

    /// The touches that are kept of an instance whose last one is `last`, in order.
    pub(crate) fn trail(&self, last: Link) -> Vec<&Touch> {
        let mut trail = Vec::new();
        let mut next = last;
        while let Some((touch, before)) = self.touch(next) {
            trail.push(touch);
            next = before;
        }
        trail.reverse();
        trail
    }

    /// Takes who did something in an epoch, and lets go of what they did.
    pub(crate) fn actors(&self, epoch: Epoch) -> Vec<Handle> {
        let entries = epoch.checked_sub(self.first).and_then(|number| self.epochs.get(number as usize));
        entries.into_iter().flatten().map(|entry| entry.who).collect()
    }

    /// Lets go of everything up to an epoch.
    pub(crate) fn let_go(&mut self, epoch: Epoch) {
        while self.first <= epoch {
            let Some(gone) = self.epochs.pop_front() else { return };
            self.len -= gone.len() as u64;
            self.first += 1;
        }
    }

    /// Gives rules other numbers.
    pub(crate) fn renumber(&mut self, number: impl Fn(RuleIdx) -> Option<RuleIdx>) {
        for entry in self.epochs.iter_mut().flatten() {
            entry.who = number(entry.who.rule).map_or(Handle::NOBODY, |rule| Handle { rule, ..entry.who });
        }
    }
}
