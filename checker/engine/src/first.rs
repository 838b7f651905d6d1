//! Derived events that only the first event of each key makes: the first in event time, whichever comes first.
//!
//! An event that comes later and happened earlier takes the place of the one that was taken for the first, like late evidence
//! that corrects a verdict. That is why only rules may build on such events: what they were told can be taken back.
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::time::Duration;
use event::Timestamp;

use crate::{emission::Sent, engine::Engine, program::RuleIdx, row::Row, verdict::EventRef};

/// How long after its last event a key is remembered.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// How many keys are remembered of each derived event.
const KEYS_MAX: usize = 1_000_000;

/// The first events known, by what decides which they are, and by key.
pub(crate) type Firsts = BTreeMap<u64, BTreeMap<Box<[u8]>, First>>;

/// The first event of a key, as far as is known.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct First {
    at: EventRef,
    /// The last event of the key.
    last: Timestamp,
    /// What rules were told of it.
    sent: Vec<Sent>,
}

/// The order in which one of two events is the first.
fn order(at: &EventRef) -> impl Ord + use<> {
    (at.ts, at.identity, at.element)
}

impl Engine {
    /// Takes a derived event of which only the first of each key counts: `row`, made of the event `at`.
    pub(crate) fn first(&mut self, decided_by: u64, pack: u16, key: &[u8], at: EventRef, row: &Row<'_>) {
        let mut old = Vec::new();
        let known = self.state.firsts.entry(decided_by).or_default();
        let mut last = at.ts;
        if let Some(known) = known.get_mut(key) {
            known.last = known.last.max(at.ts);
            last = known.last;
            // The same one again was known from before these rules were in force.
            if order(&known.at) < order(&at) {
                return;
            }
            old = core::mem::take(&mut known.sent);
        } else if known.len() >= KEYS_MAX {
            forget_older_half(known);
        }
        let Some(source) = self.state.sources.states.get(row.source as usize).cloned() else { return };
        let made = self.touches(pack, row, &source);
        let sent = self.replace(old, made.into_iter().map(Sent::once).collect());
        self.state.firsts.entry(decided_by).or_default().insert(key.into(), First { at, last, sent });
    }
}

/// Makes room: half at once.
fn forget_older_half(firsts: &mut BTreeMap<Box<[u8]>, First>) {
    let mut times: Vec<Timestamp> = firsts.values().map(|first| first.last).collect();
    let middle = times.len() / 2;
    let (_, &mut middle, _) = times.select_nth_unstable(middle);
    let mut room = firsts.len() / 2;
    firsts.retain(|_, first| {
        let goes = room > 0 && first.last <= middle;
        room -= usize::from(goes);
        !goes
    });
}

/// Forgets what nothing can take back any more, and keys that were not heard of for long.
pub(crate) fn prune(firsts: &mut Firsts, floor: Timestamp) {
    let oldest = floor.minus(FORGET_AFTER);
    for known in firsts.values_mut() {
        known.retain(|_, first| {
            if first.at.ts < floor {
                first.sent = Vec::new();
            }
            first.last >= oldest
        });
    }
}

/// Has what rules were told follow rules that change their numbers, and forgets what nothing is derived by any more.
pub(crate) fn renumber(firsts: &mut Firsts, known: &[u64], number: impl Fn(RuleIdx) -> Option<RuleIdx>) {
    firsts.retain(|decided_by, _| known.contains(decided_by));
    for first in firsts.values_mut().flat_map(BTreeMap::values_mut) {
        first.sent.retain_mut(|sent| sent.renumber(&number));
    }
}

/// The firsts without what rules were told of them.
pub(crate) fn untold(firsts: &Firsts) -> Firsts {
    let mut untold = firsts.clone();
    untold.values_mut().flat_map(BTreeMap::values_mut).for_each(|first| first.sent = Vec::new());
    untold
}

/// Takes over what new rules were told while they were shown the past.
pub(crate) fn take_over(own: &mut Firsts, past: Firsts, is_new: impl Fn(RuleIdx) -> bool) {
    for (decided_by, known) in past {
        let own = own.entry(decided_by).or_default();
        for (key, mut first) in known {
            first.sent.retain(|sent| is_new(sent.rule()));
            match own.get_mut(&key) {
                None => drop(own.insert(key, first)),
                Some(known) => known.sent.append(&mut first.sent),
            }
        }
    }
}
