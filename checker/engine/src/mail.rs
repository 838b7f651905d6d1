//! Touches on their way to their instances, of all partitions, with their keys side by side.
use alloc::vec::Vec;
use event::Timestamp;

use crate::{
    program::RuleIdx,
    touch::{Addressed, KeyAt, Touch},
};

/// See the module.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Mail {
    /// The frontier has not passed them; in any order.
    waiting: Vec<Addressed>,
    /// They came when the frontier had passed them.
    late: Vec<Addressed>,
    /// Touches that were made of verdicts and are to be taken back.
    gone: Vec<Addressed>,
    /// The keys of all.
    keys: Vec<u8>,
}

impl Mail {
    /// Takes a touch; `late`: the frontier has already passed it.
    pub(crate) fn push(&mut self, touch: Touch, rule: RuleIdx, key: KeyAt, keys: &[u8], late: bool) {
        let to = if late { &self.late } else { &self.waiting };
        // Parts of one event mostly have one key.
        let known = to.last().map(|last| last.key).filter(|last| last.hash == key.hash);
        let key = match known.filter(|known| known.of(&self.keys) == key.of(keys)) {
            Some(known) => known,
            None => key.copied(keys, &mut self.keys),
        };
        self.send(touch, rule, key, late);
    }

    /// The memory of the keys, to which that of a touch to be sent is written.
    pub(crate) fn keys_mut(&mut self) -> &mut Vec<u8> {
        &mut self.keys
    }

    /// Takes a touch of which the key has been written to the memory of the keys.
    pub(crate) fn send(&mut self, touch: Touch, rule: RuleIdx, key: KeyAt, late: bool) {
        let to = if late { &mut self.late } else { &mut self.waiting };
        to.push(Addressed { touch, rule, key, guess: None });
    }

    /// Takes a touch back that was made of a verdict which has been corrected.
    pub(crate) fn take_back(&mut self, touch: Touch, rule: RuleIdx, key: KeyAt, keys: &[u8]) {
        let same = |known: &Addressed, own: &[u8]| {
            known.rule == rule && known.touch.repeats(&touch) && known.key.of(own) == key.of(keys)
        };
        // One that is still on its way never arrives. Now, not when touches are next worked off: what is sent meanwhile may be
        // called the same and be otherwise.
        for touches in [&mut self.waiting, &mut self.late] {
            if let Some(place) = touches.iter().position(|known| same(known, &self.keys)) {
                touches.remove(place);
                return;
            }
        }
        let key = key.copied(keys, &mut self.keys);
        self.gone.push(Addressed { touch, rule, key, guess: None });
    }

    /// How many wait for the frontier.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The memory of the keys.
    pub(crate) fn keys(&self) -> &[u8] {
        &self.keys
    }

    /// Takes what of these rules the frontier has passed at `to`, in the order in which it is worked off.
    pub(crate) fn take_ready(&mut self, to: Timestamp, own: impl Fn(RuleIdx) -> bool) -> Vec<Addressed> {
        let keys = &self.keys;
        if self.waiting.is_sorted_by_key(Addressed::ts) {
            // What the reorder buffer gives comes in order of time.
            let instants = self.waiting.chunk_by_mut(|a, b| a.ts() == b.ts()).filter(|instant| instant.len() > 1);
            instants.for_each(|instant| instant.sort_unstable_by(|a, b| a.order(b, keys)));
        } else {
            self.waiting.sort_unstable_by(|a, b| a.order(b, keys));
        }
        let passed = self.waiting.partition_point(|touch| touch.ts() < to);
        if passed == self.waiting.len() && self.waiting.iter().all(|touch| own(touch.rule)) {
            return core::mem::take(&mut self.waiting);
        }
        self.waiting.extract_if(..passed, |touch| own(touch.rule)).collect()
    }

    /// Takes what of these rules is late.
    pub(crate) fn take_late(&mut self, own: impl Fn(RuleIdx) -> bool) -> Vec<Addressed> {
        self.late.extract_if(.., |touch| own(touch.rule)).collect()
    }

    /// Takes what of these rules is to be taken back.
    pub(crate) fn take_gone(&mut self, own: impl Fn(RuleIdx) -> bool) -> Vec<Addressed> {
        self.gone.extract_if(.., |touch| own(touch.rule)).collect()
    }

    /// What was taken has been worked off: its memory, and that of the keys if nothing else is on its way, is used again.
    pub(crate) fn worked_off(&mut self, mut ready: Vec<Addressed>) {
        if self.waiting.is_empty() && self.late.is_empty() && self.gone.is_empty() {
            ready.clear();
            self.waiting = ready;
            self.keys.clear();
        }
    }

    /// Takes over what another one has on its way to some rules.
    pub(crate) fn take_over(&mut self, from: &mut Mail, is_theirs: impl Fn(RuleIdx) -> bool) {
        for addressed in core::mem::take(&mut from.waiting).into_iter().filter(|touch| is_theirs(touch.rule)) {
            self.push(addressed.touch, addressed.rule, addressed.key, &from.keys, false);
        }
    }

    /// Gives rules other numbers.
    pub(crate) fn renumber(&mut self, number: impl Fn(RuleIdx) -> Option<RuleIdx>) {
        for touches in [&mut self.waiting, &mut self.late, &mut self.gone] {
            touches.retain_mut(|touch| number(touch.rule).map(|rule| touch.rule = rule).is_some());
        }
    }
}
