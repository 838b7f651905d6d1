//! Judging up to the frontier: what came late is put in its place first, then all touches reach their instances in order
//! of time, then what falls due is judged.
//!
//! Touches of all partitions are worked off in one go: what concerns one instance does not concern another, and where
//! all of them are can be looked up side by side.
use alloc::vec::Vec;
use event::Timestamp;

use crate::{
    instance::Handle,
    mail::Mail,
    partition::{Partition, Said},
    program::RuleIdx,
    touch::Addressed,
    world::{Interruption, World},
};

/// Judges everything before `to`: the rules of one stratum, or all.
pub(crate) fn judge(
    world: &World<'_>,
    partitions: &mut [Partition],
    mail: &mut Mail,
    stratum: Option<u8>,
    interruptions: &[Interruption],
    to: Timestamp,
    said: &mut Said,
) {
    let own = |rule: RuleIdx| stratum.is_none_or(|stratum| world.traits[rule as usize].stratum == stratum);
    correct(world, partitions, mail, &own, interruptions, to, said);
    let mut ready = mail.take_ready(to, own);
    look_ahead(partitions, &mut ready);
    let breaks = interruptions.iter().filter(|known| own(known.rule) && !known.late && known.ts() < to);
    let mut breaks = breaks.peekable();
    let mut touches = ready.as_mut_slice();
    loop {
        let ts = match (touches.first().map(Addressed::ts), breaks.peek().map(|interruption| interruption.ts())) {
            (Some(touch), Some(interruption)) => touch.min(interruption),
            (Some(ts), None) | (None, Some(ts)) => ts,
            (None, None) => break,
        };
        let instant = touches.iter().take_while(|touch| touch.ts() == ts).count();
        let (instant, rest) = touches.split_at_mut(instant);
        touches = rest;
        let mut concerned: Vec<&Interruption> = Vec::new();
        while let Some(interruption) = breaks.next_if(|interruption| interruption.ts() == ts) {
            concerned.push(interruption);
        }
        let mut seen: Vec<Handle> = Vec::new();
        for group in instant.chunk_by_mut(|a, b| a.same_instance(b, mail.keys())) {
            let partition = &mut partitions[group[0].key.partition()];
            let owner = partition.touched(world, group, mail.keys(), &concerned, said);
            seen.extend(owner.filter(|_| !concerned.is_empty()));
        }
        if !concerned.is_empty() {
            seen.sort_unstable();
            partitions.iter_mut().for_each(|partition| partition.interrupt(world, ts, &concerned, &seen, said));
        }
    }
    fall_due(world, partitions, own, to, said);
    if !world.offline {
        for handle in core::mem::take(&mut said.agenda.awake) {
            partitions[handle.partition as usize].wake(world, handle, to, said);
        }
    }
    forget(world, partitions, said);
    mail.worked_off(ready);
}

/// Judges what falls due before `to`.
fn fall_due(
    world: &World<'_>,
    partitions: &mut [Partition],
    own: impl Fn(RuleIdx) -> bool,
    to: Timestamp,
    said: &mut Said,
) {
    let mut due = said.agenda.deadlines.take_before(to, own);
    // Most of what was queued has been settled since: that is seen side by side.
    due.retain(|(at, handle)| partitions[handle.partition as usize].is_armed(*handle, *at));
    for (at, handle) in due {
        let partition = &mut partitions[handle.partition as usize];
        // It may be queued twice for one time.
        if partition.is_armed(handle, at) {
            partition.falls_due(world, handle, to, said);
        }
    }
}

/// Forgets the instances that were not touched for so long that their memory matters no more.
fn forget(world: &World<'_>, partitions: &mut [Partition], said: &mut Said) {
    for (_, handle) in said.agenda.forget.take_before(world.judged_to, |_| true) {
        if let Some(again) = partitions[handle.partition as usize].forget(world, handle) {
            said.agenda.forget.push(again, handle);
        }
    }
}

/// Guesses where the instances are that are touched, and looks at them, so that what is needed is at hand when it is
/// needed. That goes much faster for many at once than for each in its turn: the processor fetches them side by side.
fn look_ahead(partitions: &[Partition], touches: &mut [Addressed]) {
    for addressed in touches.iter_mut() {
        addressed.guess = partitions[addressed.key.partition()].guess(addressed);
    }
    let looked = touches.iter().map(|addressed| partitions[addressed.key.partition()].look(addressed));
    core::hint::black_box(looked.sum::<usize>());
}

/// Puts late touches in their places and runs the instances concerned again.
fn correct(
    world: &World<'_>,
    partitions: &mut [Partition],
    mail: &mut Mail,
    own: &impl Fn(RuleIdx) -> bool,
    interruptions: &[Interruption],
    to: Timestamp,
    said: &mut Said,
) {
    let mut again: Vec<Handle> = Vec::new();
    for gone in mail.take_gone(own) {
        again.extend(partitions[gone.key.partition()].take_out(world, &gone, mail.keys()));
    }
    for late in mail.take_late(own) {
        again.extend(partitions[late.key.partition()].put_in(world, late, mail.keys(), said));
    }
    for interruption in interruptions.iter().filter(|known| known.late && own(known.rule)) {
        for partition in partitions.iter_mut() {
            again.extend(partition.interrupted_late(world, interruption));
        }
    }
    again.sort_unstable();
    again.dedup();
    // What was already judged ends at the frontier as it stood; the rest follows in order.
    let judged_to = world.judged_to.min(to);
    for handle in again {
        partitions[handle.partition as usize].run_again(world, handle, judged_to, said);
    }
}
