//! One virtual partition: its instances and their deadlines.
//!
//! Instances take touches in order of time, when the frontier has passed them. A touch that comes later is put among
//! those that its instance took, and the instance runs again.
use alloc::vec::Vec;
use event::Timestamp;
use smallvec::SmallVec;

use crate::{
    emission::Made,
    history::{Epoch, Epochs, Link, Log},
    instance::{Handle, Instance, Mark},
    key::Key,
    kind::{Automaton, Instant, Tally},
    pack::Rule,
    program::RuleIdx,
    rerun::{Past, replay, report, rerun},
    table::Table,
    timer::Timers,
    touch::{Addressed, KeyAt, Touch},
    verdict::{EventRef, Output},
    world::{Interruption, Why, World},
};

/// See the module.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Partition {
    /// On their way to their instances, in any order.
    waiting: Vec<Addressed>,
    late: Vec<Addressed>,
    /// Touches that were made of verdicts and are to be taken back.
    gone: Vec<Addressed>,
    /// The keys of both.
    keys: Vec<u8>,
    tables: Vec<Table>,
    timers: Timers,
    /// What instances did that may still be corrected.
    log: Log,
    /// When to look whether an instance can be forgotten.
    forget: Timers,
}

/// What a partition says, and counts, while it works.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) outputs: Vec<Output>,
    pub(crate) tallies: Vec<Tally>,
    /// What only those learn of who build on it.
    pub(crate) made: Vec<Made>,
    /// Instances that can judge now what they had left open.
    awake: Vec<Handle>,
    /// Whose the touches at hand are; empty between partitions, kept for its memory.
    owners: Vec<Option<Handle>>,
}

impl Said {
    pub(crate) fn with_tallies(tallies: Vec<Tally>) -> Self {
        Said { tallies, ..Said::default() }
    }
}

impl Partition {
    pub(crate) fn with_rules(rules: usize) -> Self {
        Partition { tables: (0..rules).map(|_| Table::default()).collect(), ..Partition::default() }
    }

    /// Takes a touch back that was made of a verdict which has been corrected.
    pub(crate) fn take_back(&mut self, touch: Touch, rule: RuleIdx, key: KeyAt, keys: &[u8]) {
        let same = |known: &Addressed, own: &[u8]| {
            known.rule == rule && known.touch.repeats(&touch) && known.key.of(own) == key.of(keys)
        };
        // One that is still on its way never arrives.
        for touches in [&mut self.waiting, &mut self.late] {
            if let Some(place) = touches.iter().position(|known| same(known, &self.keys)) {
                touches.remove(place);
                return;
            }
        }
        let from = self.keys.len();
        self.keys.extend_from_slice(key.of(keys));
        let key = KeyAt::since(from, &self.keys);
        self.gone.push(Addressed { touch, rule, key, guess: None });
    }

    /// Takes a touch; `late`: the frontier has already passed it.
    pub(crate) fn push(&mut self, touch: Touch, rule: RuleIdx, key: KeyAt, keys: &[u8], late: bool) {
        let to = if late { &mut self.late } else { &mut self.waiting };
        let known = to.last().map(|last| last.key).filter(|last| last.hash == key.hash);
        let key = match known.filter(|known| known.of(&self.keys) == key.of(keys)) {
            Some(known) => known,
            None => {
                let from = self.keys.len();
                self.keys.extend_from_slice(key.of(keys));
                KeyAt::since(from, &self.keys)
            }
        };
        to.push(Addressed { touch, rule, key, guess: None });
    }

    /// Guesses where the instances are whose touches wait, so that what is looked up is at hand when it is needed. That
    /// goes much faster for many at once than for each in its turn: the processor fetches them side by side.
    pub(crate) fn guess(&mut self) {
        for addressed in &mut self.waiting {
            if let Some(table) = self.tables.get(addressed.rule as usize) {
                addressed.guess = table.guess(addressed.key.hash);
            }
        }
    }

    /// Looks at the instances that were guessed.
    pub(crate) fn look(&self) -> usize {
        let look = |addressed: &Addressed| Some(self.tables.get(addressed.rule as usize)?.look(addressed.guess?));
        self.waiting.iter().filter_map(look).sum()
    }

    /// How many obligations and levels of a rule are open.
    pub(crate) fn open_count(&self, rule: RuleIdx, definition: &Rule) -> u64 {
        self.tables.get(rule as usize).map_or(0, |table| table.open_of_all(definition))
    }

    pub(crate) fn instance_count(&self, rule: RuleIdx) -> u64 {
        self.tables.get(rule as usize).map_or(0, |table| table.len() as u64)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len() + self.timers.len()
    }

    /// How many things are kept that instances did.
    pub(crate) fn logged(&self) -> u64 {
        self.log.len()
    }

    /// How many of them in one epoch.
    pub(crate) fn logged_in(&self, epoch: Epoch) -> u64 {
        self.log.len_of(epoch)
    }

    /// Whether nothing happens before `to`.
    fn rests(&self, to: Timestamp) -> bool {
        let next = [self.timers.first(), self.forget.first()];
        self.late.is_empty()
            && self.gone.is_empty()
            && self.waiting.is_empty()
            && next.into_iter().flatten().all(|next| next >= to)
    }

    /// Judges everything before `to`: the rules of one stratum, or all.
    pub(crate) fn advance(
        &mut self,
        world: &World<'_>,
        stratum: Option<u8>,
        interruptions: &[Interruption],
        to: Timestamp,
        said: &mut Said,
    ) {
        if interruptions.is_empty() && self.rests(to) {
            return;
        }
        let own = |rule: RuleIdx| stratum.is_none_or(|stratum| world.traits[rule as usize].stratum == stratum);
        self.correct(world, &own, interruptions, to, said);
        let mut ready = self.take_ready(to);
        if stratum.is_some() {
            self.waiting.extend(ready.extract_if(.., |touch| !own(touch.rule)));
        }
        let keys = core::mem::take(&mut self.keys);
        let mut owners = core::mem::take(&mut said.owners);
        let mut touches = ready.as_slice();
        let breaks = interruptions.iter().filter(|known| own(known.rule) && !known.late && known.ts() < to);
        let mut breaks = breaks.peekable();
        loop {
            let next = [touches.first().map(Addressed::ts), breaks.peek().map(|interruption| interruption.ts())];
            let Some(ts) = next.into_iter().flatten().min() else { break };
            let instant = touches.iter().take_while(|touch| touch.ts() == ts).count();
            let (instant, rest) = touches.split_at(instant);
            touches = rest;
            let mut concerned: Vec<&Interruption> = Vec::new();
            while let Some(interruption) = breaks.next_if(|interruption| interruption.ts() == ts) {
                concerned.push(interruption);
            }
            let mut seen: Vec<(RuleIdx, u32)> = Vec::new();
            for group in instant.chunk_by(|a, b| a.same_instance(b, &keys)) {
                let owner = self.touched(world, group, &keys, &concerned, said);
                owners.extend(group.iter().map(|_| owner));
                if let Some(owner) = owner.filter(|_| !concerned.is_empty()) {
                    seen.push((owner.rule, owner.slot));
                }
            }
            if !concerned.is_empty() {
                seen.sort_unstable();
                self.interrupt(world, ts, &concerned, &seen, said);
            }
        }
        self.fall_due(world, &own, to, said);
        if !world.offline || world.recalls {
            self.keep(world, ready.drain(..).zip(owners.drain(..)));
        }
        if !world.offline {
            self.wake(world, to, said);
        }
        self.forget(world);
        ready.clear();
        owners.clear();
        self.keys = keys;
        // Rules of a later stratum may still have some to be worked off.
        if self.waiting.is_empty() && self.late.is_empty() && self.gone.is_empty() {
            (self.waiting, said.owners) = (ready, owners);
            self.keys.clear();
        }
    }

    /// Takes what the frontier has passed, in order. Other rules may have left some that it has not.
    fn take_ready(&mut self, to: Timestamp) -> Vec<Addressed> {
        let mut ready = core::mem::take(&mut self.waiting);
        let keys = &self.keys;
        ready.sort_unstable_by(|a, b| a.order(b, keys));
        self.waiting = ready.split_off(ready.partition_point(|touch| touch.ts() < to));
        ready
    }

    /// Feeds one instance the touches of one instant.
    fn touched(
        &mut self,
        world: &World<'_>,
        group: &[Addressed],
        keys: &[u8],
        concerned: &[&Interruption],
        said: &mut Said,
    ) -> Option<Handle> {
        let first = group.first()?;
        let (rule, ts) = (first.rule, first.ts());
        let (key, hash) = (first.key.of(keys), first.key.hash);
        let slot = match self.tables[rule as usize].find_at(first.guess, hash, key) {
            Some(slot) => slot,
            None => self.open(world, rule, key, hash, world.epochs.of(ts), Some(ts), said),
        };
        if self.tables[rule as usize].armed(slot) < ts {
            self.caught_up(world, rule, slot, ts, said);
        }
        let instance = self.tables[rule as usize].get_mut(slot)?;
        let handle = Handle { rule, slot, generation: instance.generation };
        if world.corrects(ts) {
            instance.mark(world.epochs, ts);
        }
        let own: SmallVec<[&Touch; 8]> = group.iter().map(|addressed| &addressed.touch).collect();
        if concerned.is_empty() {
            step(world, rule, instance, &Instant { ts, touches: &own, restart: None, starts: &[] }, said);
        } else {
            let around = Around::of(world, rule, &instance.key, concerned);
            let touches = around.with(own);
            step(world, rule, instance, &around.instant(ts, &touches), said);
        }
        instance.last = instance.last.max(ts);
        arm(world, &mut self.timers, handle, instance);
        Some(handle)
    }

    /// Opens an instance, which first sees what concerns it from before `seen`, if that has been judged already.
    fn open(
        &mut self,
        world: &World<'_>,
        rule: RuleIdx,
        key: &[u8],
        hash: u64,
        epoch: Epoch,
        seen: Option<Timestamp>,
        said: &mut Said,
    ) -> u32 {
        let limit = usize::try_from(world.rule(rule).max_keys / world.partitions).unwrap_or(usize::MAX).max(1);
        let table = &mut self.tables[rule as usize];
        if table.len() >= limit
            && let Some(oldest) = table.oldest()
        {
            table.remove(oldest);
            said.tallies[rule as usize].forgotten += 1;
        }
        let mut now = Automaton::new(world.rule(rule));
        if let Some(ts) = seen
            && world.wides(rule).iter().any(|(touch, partial)| touch.ts() < ts && partial.agrees(key))
        {
            let mut ctx = world.ctx(rule, key);
            let past = Past { key, from: Timestamp::ZERO, trail: &[] };
            replay(world, rule, &mut now, &mut ctx, &mut |_, _| {}, &mut |_, _| {}, &past, ts);
        }
        let slot = table.insert(Key::from_slice(key), hash, now);
        if let Some(instance) = table.get_mut(slot).filter(|_| world.corrects(seen.unwrap_or(Timestamp::MAX))) {
            instance.marks.push(Mark { epoch, at: Timestamp::ZERO, state: None });
        }
        if let Some(handle) = table.handle(rule, slot) {
            self.forget.push(world.forget_at(rule, seen.unwrap_or_default()), handle);
        }
        slot
    }

    /// Feeds the instances that interruptions of one time concern; those in `seen` had touches then, and took them along.
    fn interrupt(
        &mut self,
        world: &World<'_>,
        ts: Timestamp,
        concerned: &[&Interruption],
        seen: &[(RuleIdx, u32)],
        said: &mut Said,
    ) {
        let mut rules: Vec<RuleIdx> = concerned.iter().map(|interruption| interruption.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        for rule in rules {
            let own: Vec<&Interruption> =
                concerned.iter().copied().filter(|interruption| interruption.rule == rule).collect();
            let table = &self.tables[rule as usize];
            let slots: Vec<u32> = table
                .keys()
                .filter(|(slot, key)| {
                    own.iter().any(|interruption| {
                        interruption.concerns(world, key)
                            // A clock's tick is for those who wait for it, a new member for all.
                            && (!matches!(interruption.what, Why::Ticked(_))
                                || !world.traits[rule as usize].members.is_empty()
                                || table.open(*slot, world.rule(rule)) > 0)
                    }) && seen.binary_search(&(rule, *slot)).is_err()
                })
                .map(|(slot, _)| slot)
                .collect();
            for slot in slots {
                self.caught_up(world, rule, slot, ts, said);
                let table = &mut self.tables[rule as usize];
                let handle = table.handle(rule, slot);
                let Some((instance, handle)) = table.get_mut(slot).zip(handle) else { continue };
                note(world, &mut self.log, handle, instance, ts);
                let around = Around::of(world, rule, &instance.key, &own);
                let touches = around.with(SmallVec::new());
                step(world, rule, instance, &around.instant(ts, &touches), said);
                self.arm(world, rule, slot);
            }
        }
    }

    /// Judges what of the instance falls due strictly before `ts`.
    fn caught_up(&mut self, world: &World<'_>, rule: RuleIdx, slot: u32, ts: Timestamp, said: &mut Said) {
        let table = &mut self.tables[rule as usize];
        let handle = table.handle(rule, slot);
        let Some((instance, handle)) = table.get_mut(slot).zip(handle) else { return };
        // What falls due is queued.
        if instance.armed >= ts {
            return;
        }
        while let Some(due) = world.next_due(rule, &instance.now).filter(|due| *due < ts) {
            note(world, &mut self.log, handle, instance, due);
            let mut ctx = world.ctx(rule, &instance.key);
            instance.now.due(&mut ctx, due);
            let (found, tally) = (core::mem::take(&mut ctx.found), ctx.tally);
            drop(ctx);
            said.tallies[rule as usize].add(&tally);
            report(world, rule, instance, found, due, said);
        }
        if instance.now.is_awake() {
            said.awake.push(handle);
        }
    }

    /// Judges again, in order of time, the instances that had left something open and can judge it by now.
    fn wake(&mut self, world: &World<'_>, to: Timestamp, said: &mut Said) {
        for handle in core::mem::take(&mut said.awake) {
            let Some(instance) = self.tables[handle.rule as usize].resolve(handle) else { continue };
            if instance.now.is_awake() {
                rerun(world, &mut self.log, handle, instance, to, said);
                self.arm(world, handle.rule, handle.slot);
            }
        }
    }

    fn fall_due(&mut self, world: &World<'_>, own: &impl Fn(RuleIdx) -> bool, to: Timestamp, said: &mut Said) {
        let mut others: Vec<(Timestamp, Handle)> = Vec::new();
        while let Some((due, handle)) = self.timers.pop_before(to) {
            if !own(handle.rule) {
                others.push((due, handle));
                continue;
            }
            if self.tables[handle.rule as usize].head_of(handle).is_some_and(|head| head.armed == due) {
                self.caught_up(world, handle.rule, handle.slot, to, said);
                if let Some(instance) = self.tables[handle.rule as usize].resolve(handle) {
                    instance.armed = Timestamp::MAX;
                }
                self.arm(world, handle.rule, handle.slot);
            }
        }
        others.into_iter().for_each(|(due, handle)| self.timers.push(due, handle));
    }

    /// Queues the instance's next due time, unless an earlier one is queued.
    fn arm(&mut self, world: &World<'_>, rule: RuleIdx, slot: u32) {
        let Some(instance) = self.tables[rule as usize].get_mut(slot) else { return };
        let handle = Handle { rule, slot, generation: instance.generation };
        arm(world, &mut self.timers, handle, instance);
    }

    /// Keeps what was worked off, for corrections.
    fn keep(&mut self, world: &World<'_>, touches: impl Iterator<Item = (Addressed, Option<Handle>)>) {
        for (addressed, owner) in touches.filter(|(addressed, _)| world.corrects(addressed.ts())) {
            let Some(owner) = owner else { continue };
            let epoch = world.epochs.of(addressed.ts());
            if let Some(instance) = self.tables[owner.rule as usize].resolve(owner) {
                self.log.append(epoch, owner, &mut instance.last_touch, addressed.touch);
            }
        }
    }

    /// Puts late touches in their places and runs the instances concerned again.
    fn correct(
        &mut self,
        world: &World<'_>,
        own: &impl Fn(RuleIdx) -> bool,
        interruptions: &[Interruption],
        to: Timestamp,
        said: &mut Said,
    ) {
        let mut again: Vec<Handle> = Vec::new();
        let keys = core::mem::take(&mut self.keys);
        for gone in self.gone.extract_if(.., |touch| own(touch.rule)) {
            let (rule, ts) = (gone.rule, gone.ts());
            let table = &mut self.tables[rule as usize];
            let Some(slot) = table.find(gone.key.hash, gone.key.of(&keys)) else { continue };
            let handle = table.handle(rule, slot);
            let Some((instance, handle)) = table.get_mut(slot).zip(handle) else { continue };
            if ts >= world.epochs.floor() && self.log.remove(&mut instance.last_touch, &gone.touch) {
                instance.mark_late(world.epochs, ts);
                again.push(handle);
            }
        }
        let late: Vec<Addressed> = self.late.extract_if(.., |touch| own(touch.rule)).collect();
        for addressed in late {
            let (rule, ts) = (addressed.rule, addressed.ts());
            let (key, hash) = (addressed.key.of(&keys), addressed.key.hash);
            if ts < world.epochs.floor() {
                continue;
            }
            let epoch = world.epochs.of(ts);
            let slot = match self.tables[rule as usize].find(hash, key) {
                Some(slot) => slot,
                None => self.open(world, rule, key, hash, epoch, None, said),
            };
            let table = &mut self.tables[rule as usize];
            let handle = table.handle(rule, slot);
            let Some((instance, handle)) = table.get_mut(slot).zip(handle) else { continue };
            if self.log.insert(epoch, handle, &mut instance.last_touch, addressed.touch) {
                instance.mark_late(world.epochs, ts);
                instance.last = instance.last.max(ts);
                again.push(handle);
            }
        }
        self.keys = keys;
        for interruption in interruptions.iter().filter(|known| known.late && own(known.rule)) {
            let table = &mut self.tables[interruption.rule as usize];
            let concerned: Vec<u32> =
                table.keys().filter(|(_, key)| interruption.concerns(world, key)).map(|(slot, _)| slot).collect();
            for slot in concerned {
                let handle = table.handle(interruption.rule, slot);
                let Some((instance, handle)) = table.get_mut(slot).zip(handle) else { continue };
                if let Some(epoch) = instance.mark_late(world.epochs, interruption.ts()) {
                    self.log.note(epoch, handle);
                }
                again.push(handle);
            }
        }
        again.sort_unstable();
        again.dedup();
        // What was already judged ends at the frontier as it stood; the rest follows in order.
        let judged_to = world.judged_to.min(to);
        for handle in again {
            let Some(instance) = self.tables[handle.rule as usize].resolve(handle) else { continue };
            rerun(world, &mut self.log, handle, instance, judged_to, said);
            self.arm(world, handle.rule, handle.slot);
        }
    }

    /// Lets go of what instances did in an epoch that ended at `end`: nothing can correct it any more.
    pub(crate) fn let_go(&mut self, world: &World<'_>, epoch: Epoch, end: Timestamp, to: Timestamp, said: &mut Said) {
        for handle in self.log.actors(epoch) {
            let Some(table) = self.tables.get_mut(handle.rule as usize) else { continue };
            let Some(instance) = table.resolve(handle) else { continue };
            if instance.marks.first().is_none_or(|mark| mark.epoch > epoch) {
                continue;
            }
            // What can be judged by now is said before.
            let ctx = world.ctx(handle.rule, &instance.key);
            instance.now.poll(&ctx);
            drop(ctx);
            if instance.now.is_awake() {
                rerun(world, &mut self.log, handle, instance, to, said);
                self.arm(world, handle.rule, handle.slot);
            }
            let table = &mut self.tables[handle.rule as usize];
            let Some(instance) = table.resolve(handle) else { continue };
            instance.marks.retain(|mark| mark.epoch > epoch);
            instance.let_go_of_findings(end, |key, anchor| world.violation_id(handle.rule, key, anchor));
            if instance.marks.is_empty() {
                if instance.now.is_idle() {
                    table.remove(handle.slot);
                } else {
                    let open = instance.now.open(world.rule(handle.rule));
                    table.rest(handle.slot, open);
                }
            }
        }
        self.log.let_go(epoch);
    }

    fn forget(&mut self, world: &World<'_>) {
        while let Some((_, handle)) = self.forget.pop_before(world.judged_to) {
            let table = &mut self.tables[handle.rule as usize];
            let Some(head) = table.head_of(handle) else { continue };
            let due = world.forget_at(handle.rule, head.last);
            if due < world.judged_to && !head.correctable {
                table.remove(handle.slot);
            } else {
                self.forget.push(due.max(world.judged_to.plus(world.timing.margin)), handle);
            }
        }
    }

    /// Notes that nobody was told what rules found that are not trusted: what they find again is news.
    pub(crate) fn leave_untold(&mut self, trusted: &[bool]) {
        for (rule, table) in self.tables.iter_mut().enumerate() {
            if !trusted.get(rule).copied().unwrap_or(false) {
                table.leave_untold();
            }
        }
    }

    /// Takes over what another partition knows of some rules: instances with what they did that may still be corrected,
    /// deadlines, and what is on its way.
    pub(crate) fn take_over(&mut self, from: &mut Partition, rules: &[bool], epochs: &Epochs) {
        let is_theirs = |rule: RuleIdx| rules.get(rule as usize).copied().unwrap_or(false);
        for (rule, table) in self.tables.iter_mut().enumerate().filter(|(rule, _)| is_theirs(*rule as RuleIdx)) {
            *table = core::mem::take(&mut from.tables[rule]);
            for (handle, instance) in table.at_work(rule as RuleIdx) {
                let trail = from.log.trail(core::mem::replace(&mut instance.last_touch, Link::NONE));
                for touch in trail {
                    self.log.append(epochs.of(touch.ts()), handle, &mut instance.last_touch, touch.clone());
                }
                instance.marks.iter().for_each(|mark| self.log.note(mark.epoch, handle));
            }
        }
        for (own, theirs) in [(&mut self.timers, &mut from.timers), (&mut self.forget, &mut from.forget)] {
            while let Some((due, handle)) = theirs.pop_before(Timestamp::MAX) {
                if is_theirs(handle.rule) {
                    own.push(due, handle);
                }
            }
        }
        for addressed in core::mem::take(&mut from.waiting).into_iter().filter(|touch| is_theirs(touch.rule)) {
            self.push(addressed.touch, addressed.rule, addressed.key, &from.keys, false);
        }
    }

    /// Gives rules other numbers: `from[new]` is the old number, or none for a new or changed rule.
    pub(crate) fn renumber(&mut self, from: &[Option<RuleIdx>], to: &[Option<RuleIdx>]) {
        let mut old = core::mem::take(&mut self.tables);
        self.tables = from
            .iter()
            .map(|rule| rule.and_then(|rule| old.get_mut(rule as usize)).map(core::mem::take).unwrap_or_default())
            .collect();
        let number = |rule: RuleIdx| to.get(rule as usize).copied().flatten();
        for touches in [&mut self.waiting, &mut self.late, &mut self.gone] {
            touches.retain_mut(|touch| number(touch.rule).map(|rule| touch.rule = rule).is_some());
        }
        let change = |handle: Handle| Some(Handle { rule: number(handle.rule)?, ..handle });
        self.timers.rewrite(change);
        self.forget.rewrite(change);
        self.log.renumber(number);
    }
}

/// Marks what an instance is before it does something at `ts` that is no touch of its own.
fn note(world: &World<'_>, log: &mut Log, handle: Handle, instance: &mut Instance, ts: Timestamp) {
    if world.corrects(ts)
        && let Some(epoch) = instance.mark(world.epochs, ts)
    {
        log.note(epoch, handle);
    }
}

/// Queues the instance's next due time, unless an earlier one is queued.
fn arm(world: &World<'_>, timers: &mut Timers, handle: Handle, instance: &mut Instance) {
    let due = world.next_due(handle.rule, &instance.now);
    if let Some(due) = due.filter(|due| *due < instance.armed) {
        instance.armed = due;
        timers.push(due, handle);
    }
}

/// What concerns one instance at one time besides its own touches.
pub(crate) struct Around<'a> {
    pub(crate) wides: Vec<&'a Touch>,
    pub(crate) starts: Vec<EventRef>,
}

impl<'a> Around<'a> {
    fn of(world: &World<'_>, rule: u32, key: &[u8], concerned: &[&'a Interruption]) -> Self {
        let mut around = Around { wides: Vec::new(), starts: Vec::new() };
        for interruption in concerned.iter().filter(|interruption| interruption.rule == rule) {
            match &interruption.what {
                Why::Wide(touch, partial) if partial.agrees(key) => around.wides.push(touch),
                Why::Restart(at, node) if world.is_of_node(rule, key, *node) => around.starts.push(*at),
                Why::Wide(..) | Why::Restart(..) | Why::Changed(_) | Why::Ticked(_) => {}
            }
        }
        around.starts.sort_unstable();
        around
    }

    /// The instance's own touches and those with shorter keys, in one order.
    pub(crate) fn with<'o>(&self, mut own: SmallVec<[&'o Touch; 8]>) -> SmallVec<[&'o Touch; 8]>
    where
        'a: 'o,
    {
        if !self.wides.is_empty() {
            own.extend(self.wides.iter().copied());
            own.sort_by(|a, b| a.order_inside(b));
        }
        own
    }

    pub(crate) fn instant<'i>(&'i self, ts: Timestamp, touches: &'i [&'i Touch]) -> Instant<'i> {
        Instant { ts, touches, restart: self.starts.first().copied(), starts: &self.starts }
    }
}

/// Feeds one instant and reports what it found.
fn step(world: &World<'_>, rule: u32, instance: &mut Instance, now: &Instant<'_>, said: &mut Said) {
    let mut ctx = world.ctx(rule, &instance.key);
    instance.now.instant(&mut ctx, now);
    let (found, tally) = (core::mem::take(&mut ctx.found), ctx.tally);
    drop(ctx);
    said.tallies[rule as usize].add(&tally);
    report(world, rule, instance, found, now.ts, said);
}
