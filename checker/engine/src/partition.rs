//! One virtual partition: its instances, and what they did that may still be corrected.
//!
//! Instances take touches in order of time, when the frontier has passed them. A touch that comes later is put among
//! those that its instance took, and the instance runs again.
use alloc::vec::Vec;
use core::time::Duration;
use event::Timestamp;
use smallvec::SmallVec;

use crate::{
    agenda::Agenda,
    emission::Made,
    history::{Epoch, Epochs, Link, Log},
    instance::{Handle, Instance, Mark},
    key::Key,
    kind::{Automaton, Instant, Tally},
    pack::Rule,
    program::RuleIdx,
    rerun::{Past, replay, report, rerun},
    table::Table,
    touch::{Addressed, Touch},
    verdict::{EventRef, Output, Unknown},
    world::{Interruption, Why, World},
};

/// See the module.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Partition {
    number: u8,
    tables: Vec<Table>,
    /// What instances did that may still be corrected.
    log: Log,
    /// That of the last instance that was opened: those of several rules that an event opens mostly have one key.
    #[serde(skip)]
    last_key: Option<Key>,
}

/// What partitions say and count while they work, and what they put on the agenda.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) agenda: Agenda,
    pub(crate) outputs: Vec<Output>,
    pub(crate) tallies: Vec<Tally>,
    /// What only those learn of who build on it.
    pub(crate) made: Vec<Made>,
}

impl Said {
    pub(crate) fn new(agenda: Agenda, tallies: Vec<Tally>) -> Self {
        Said { agenda, tallies, ..Said::default() }
    }
}

impl Partition {
    pub(crate) fn with_rules(number: u8, rules: usize) -> Self {
        Partition { number, tables: (0..rules).map(|_| Table::default()).collect(), ..Partition::default() }
    }

    /// Guesses where the instance is that is touched.
    pub(crate) fn guess(&self, addressed: &Addressed) -> Option<u32> {
        self.tables.get(addressed.rule as usize)?.guess(addressed.key.hash)
    }

    /// Looks at the instance that was guessed.
    pub(crate) fn look(&self, addressed: &Addressed) -> usize {
        let guessed = addressed.guess.zip(self.tables.get(addressed.rule as usize));
        guessed.map_or(0, |(slot, table)| table.look(slot))
    }

    /// How many obligations and levels of a rule are open.
    pub(crate) fn open_count(&self, rule: RuleIdx, definition: &Rule) -> u64 {
        self.tables.get(rule as usize).map_or(0, |table| table.open_of_all(definition))
    }

    /// Whether a key has an instance of a rule.
    pub(crate) fn has(&self, rule: RuleIdx, key: &[u8], hash: u64) -> bool {
        self.tables.get(rule as usize).is_some_and(|table| table.find(hash, key).is_some())
    }

    pub(crate) fn instance_count(&self, rule: RuleIdx) -> u64 {
        self.tables.get(rule as usize).map_or(0, |table| table.len() as u64)
    }

    /// How many things are kept that instances did.
    pub(crate) fn logged(&self) -> u64 {
        self.log.len()
    }

    /// How many of them in one epoch.
    pub(crate) fn logged_in(&self, epoch: Epoch) -> u64 {
        self.log.len_of(epoch)
    }

    /// Feeds one instance the touches of one instant, and keeps them for corrections.
    pub(crate) fn touched(
        &mut self,
        world: &World<'_>,
        group: &mut [Addressed],
        keys: &[u8],
        concerned: &[&Interruption],
        said: &mut Said,
    ) -> Option<Handle> {
        let first = group.first()?;
        let (rule, ts, hash) = (first.rule, first.ts(), first.key.hash);
        let epoch = world.epochs.of(ts);
        let slot = match self.tables[rule as usize].find_at(first.guess, hash, first.key.of(keys)) {
            Some(slot) => slot,
            None => self.open(world, rule, first.key.of(keys), hash, epoch, Some(ts), said),
        };
        if self.tables[rule as usize].get_mut(slot)?.armed < ts {
            self.caught_up(world, rule, slot, ts, said);
        }
        let instance = self.tables[rule as usize].get_mut(slot)?;
        let handle = Handle { partition: self.number, rule, slot, generation: instance.generation };
        if world.corrects(ts)
            && let Some(epoch) = instance.mark(epoch, ts)
        {
            self.log.note(epoch, handle);
        }
        if let ([alone], true) = (&*group, concerned.is_empty()) {
            step(world, rule, instance, &Instant { ts, touches: &[&alone.touch], restart: None, starts: &[] }, said);
        } else {
            let own: SmallVec<[&Touch; 8]> = group.iter().map(|addressed| &addressed.touch).collect();
            let around = Around::of(world, rule, &instance.key, concerned);
            let touches = around.with(own);
            step(world, rule, instance, &around.instant(ts, &touches), said);
        }
        instance.last = instance.last.max(ts);
        if world.corrects(ts) {
            for addressed in group {
                let slots = core::mem::take(&mut addressed.touch.slots);
                let touch = Touch { slots, ..addressed.touch };
                self.log.append(epoch, &mut instance.last_touch, touch);
            }
        }
        arm(world, &mut said.agenda, handle, instance);
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
            && let Some(open) = table.forget_oldest(world.rule(rule))
        {
            let tally = &mut said.tallies[rule as usize];
            tally.forgotten += 1;
            // What was open of it is never judged.
            (0..open).for_each(|_| tally.unknown(Unknown::Forgotten));
        }
        // All of its key that happens at the time of what opens it is at hand.
        let forgotten = seen.map_or(table.forgotten(), |ts| table.forgotten().min(ts.minus(Duration::from_nanos(1))));
        let mut now = Automaton::new(world.rule(rule));
        if let Some(ts) = seen
            && world.wides(rule).iter().any(|(touch, partial)| touch.ts() < ts && partial.agrees(key))
        {
            let mut untold = Tally::default();
            let mut ctx = world.ctx(rule, key, forgotten, &mut untold);
            let past = Past { key, from: Timestamp::ZERO, trail: &[] };
            replay(world, rule, &mut now, &mut ctx, &mut |_, _| {}, &mut |_, _| {}, &past, ts);
        }
        let key = match &self.last_key {
            Some(last) if **last == *key => last.clone(),
            _ => self.last_key.insert(Key::from(key)).clone(),
        };
        let slot = table.insert(key, hash, now);
        let handle = table.handle(self.number, rule, slot);
        if let Some((instance, handle)) = table.get_mut(slot).zip(handle) {
            instance.forgotten = forgotten;
            if world.corrects(seen.unwrap_or(Timestamp::MAX)) {
                instance.marks.push(Mark { epoch, at: Timestamp::ZERO, state: None });
                self.log.note(epoch, handle);
            }
            said.agenda.forget.push(world.forget_at(rule, seen.unwrap_or_default()), handle);
        }
        slot
    }

    /// Feeds the instances that interruptions of one time concern; those in `seen` had touches then, and took them along.
    pub(crate) fn interrupt(
        &mut self,
        world: &World<'_>,
        ts: Timestamp,
        concerned: &[&Interruption],
        seen: &[Handle],
        said: &mut Said,
    ) {
        let mut rules: Vec<RuleIdx> = concerned.iter().map(|interruption| interruption.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        for rule in rules {
            let own: Vec<&Interruption> =
                concerned.iter().copied().filter(|interruption| interruption.rule == rule).collect();
            let table = &self.tables[rule as usize];
            let was_seen = |slot: u32| {
                table.handle(self.number, rule, slot).is_some_and(|handle| seen.binary_search(&handle).is_ok())
            };
            let slots: Vec<u32> = table
                .keys()
                .filter(|(slot, key)| {
                    own.iter().any(|interruption| {
                        interruption.concerns(world, key)
                            // A clock's tick is for those who wait for it, a new member for all.
                            && (!matches!(interruption.what, Why::Ticked(_))
                                || !world.traits[rule as usize].members.is_empty()
                                || table.open(*slot, world.rule(rule)) > 0)
                    }) && !was_seen(*slot)
                })
                .map(|(slot, _)| slot)
                .collect();
            for slot in slots {
                self.caught_up(world, rule, slot, ts, said);
                let table = &mut self.tables[rule as usize];
                let handle = table.handle(self.number, rule, slot);
                let Some((instance, handle)) = table.get_mut(slot).zip(handle) else { continue };
                note(world, &mut self.log, handle, instance, ts);
                let around = Around::of(world, rule, &instance.key, &own);
                let touches = around.with(SmallVec::new());
                step(world, rule, instance, &around.instant(ts, &touches), said);
                self.arm(world, rule, slot, said);
            }
        }
    }

    /// Judges what of the instance falls due strictly before `ts`.
    fn caught_up(&mut self, world: &World<'_>, rule: RuleIdx, slot: u32, ts: Timestamp, said: &mut Said) {
        let table = &mut self.tables[rule as usize];
        let handle = table.handle(self.number, rule, slot);
        let Some((instance, handle)) = table.get_mut(slot).zip(handle) else { return };
        // What falls due is queued.
        if instance.armed >= ts {
            return;
        }
        while let Some(due) = world.next_due(rule, &instance.now).filter(|due| *due < ts) {
            note(world, &mut self.log, handle, instance, due);
            let tally = &mut said.tallies[rule as usize];
            let mut ctx = world.ctx(rule, &instance.key, instance.forgotten, tally);
            instance.now.due(&mut ctx, due);
            let (found, forgotten) = (ctx.found, ctx.forgotten.get());
            instance.forgotten = forgotten;
            if !found.is_empty() {
                report(world, rule, instance, found, due, said);
            }
        }
        if instance.now.is_awake() {
            said.agenda.awake.push(handle);
        }
    }

    /// Judges again, in order of time, an instance that had left something open, if it can judge it by now.
    pub(crate) fn wake(&mut self, world: &World<'_>, handle: Handle, to: Timestamp, said: &mut Said) {
        if self.tables[handle.rule as usize].resolve(handle).is_some_and(|instance| instance.now.is_awake()) {
            self.run_again(world, handle, to, said);
        }
    }

    /// Whether that is the deadline which the instance waits for.
    pub(crate) fn is_armed(&self, handle: Handle, due: Timestamp) -> bool {
        self.tables[handle.rule as usize].head_of(handle).is_some_and(|head| head.armed == due)
    }

    /// Judges what falls due before `to` of an instance that waited for it.
    pub(crate) fn falls_due(&mut self, world: &World<'_>, handle: Handle, to: Timestamp, said: &mut Said) {
        self.caught_up(world, handle.rule, handle.slot, to, said);
        if let Some(instance) = self.tables[handle.rule as usize].resolve(handle) {
            instance.armed = Timestamp::MAX;
        }
        self.arm(world, handle.rule, handle.slot, said);
    }

    /// Queues the instance's next due time, unless an earlier one is queued.
    fn arm(&mut self, world: &World<'_>, rule: RuleIdx, slot: u32, said: &mut Said) {
        let Some(instance) = self.tables[rule as usize].get_mut(slot) else { return };
        let handle = Handle { partition: self.number, rule, slot, generation: instance.generation };
        arm(world, &mut said.agenda, handle, instance);
    }

    /// Takes a touch out from among those that its instance took; returns who has to run again.
    pub(crate) fn take_out(&mut self, world: &World<'_>, gone: &Addressed, keys: &[u8]) -> Option<Handle> {
        let (rule, ts) = (gone.rule, gone.ts());
        let table = &mut self.tables[rule as usize];
        let slot = table.find(gone.key.hash, gone.key.of(keys))?;
        let handle = table.handle(self.number, rule, slot)?;
        let instance = table.get_mut(slot)?;
        let was_there = ts >= world.epochs.floor() && self.log.remove(&mut instance.last_touch, &gone.touch);
        was_there.then(|| {
            mark_late(world, &mut self.log, handle, instance, ts);
            handle
        })
    }

    /// Puts a late touch in its place among those that its instance took; returns who has to run again.
    pub(crate) fn put_in(
        &mut self,
        world: &World<'_>,
        late: Addressed,
        keys: &[u8],
        said: &mut Said,
    ) -> Option<Handle> {
        let (rule, ts) = (late.rule, late.ts());
        let (key, hash) = (late.key.of(keys), late.key.hash);
        if ts < world.epochs.floor() {
            return None;
        }
        let epoch = world.epochs.of(ts);
        let slot = match self.tables[rule as usize].find(hash, key) {
            Some(slot) => slot,
            None => self.open(world, rule, key, hash, epoch, None, said),
        };
        let table = &mut self.tables[rule as usize];
        let handle = table.handle(self.number, rule, slot)?;
        let instance = table.get_mut(slot)?;
        self.log.insert(epoch, &mut instance.last_touch, late.touch).then(|| {
            mark_late(world, &mut self.log, handle, instance, ts);
            instance.last = instance.last.max(ts);
            handle
        })
    }

    /// Those whom something concerns that came late; they have to run again.
    pub(crate) fn interrupted_late(&mut self, world: &World<'_>, interruption: &Interruption) -> Vec<Handle> {
        let table = &mut self.tables[interruption.rule as usize];
        let concerned: Vec<u32> =
            table.keys().filter(|(_, key)| interruption.concerns(world, key)).map(|(slot, _)| slot).collect();
        let mut handles = Vec::with_capacity(concerned.len());
        for slot in concerned {
            if interruption.takes_back() && !table.has_found(slot) {
                continue;
            }
            let handle = table.handle(self.number, interruption.rule, slot);
            let Some((instance, handle)) = table.get_mut(slot).zip(handle) else { continue };
            mark_late(world, &mut self.log, handle, instance, interruption.ts());
            handles.push(handle);
        }
        handles
    }

    /// Runs an instance again up to `to`.
    pub(crate) fn run_again(&mut self, world: &World<'_>, handle: Handle, to: Timestamp, said: &mut Said) {
        let Some(instance) = self.tables[handle.rule as usize].resolve(handle) else { return };
        rerun(world, &mut self.log, handle, instance, to, said);
        self.arm(world, handle.rule, handle.slot, said);
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
            let tally = &mut said.tallies[handle.rule as usize];
            instance.now.poll(&world.ctx(handle.rule, &instance.key, instance.forgotten, tally));
            if instance.now.is_awake() {
                self.run_again(world, handle, to, said);
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

    /// Forgets an instance if it was not touched for so long that its memory matters no more; else says when to look again.
    pub(crate) fn forget(&mut self, world: &World<'_>, handle: Handle) -> Option<Timestamp> {
        let table = &mut self.tables[handle.rule as usize];
        let head = table.head_of(handle)?;
        let due = world.forget_at(handle.rule, head.last);
        if due < world.judged_to && !head.correctable {
            table.remove(handle.slot);
            return None;
        }
        Some(due.max(world.judged_to.plus(world.timing.margin)))
    }

    /// Notes that nobody was told what rules found that are not trusted: what they find again is news.
    pub(crate) fn leave_untold(&mut self, trusted: &[bool]) {
        for (rule, table) in self.tables.iter_mut().enumerate() {
            if !trusted.get(rule).copied().unwrap_or(false) {
                table.leave_untold();
            }
        }
    }

    /// Takes over the instances of some rules from another partition, with what they did that may still be corrected.
    pub(crate) fn take_over(&mut self, from: &mut Partition, rules: &[bool], epochs: &Epochs) {
        let is_theirs = |rule: RuleIdx| rules.get(rule as usize).copied().unwrap_or(false);
        for (rule, table) in self.tables.iter_mut().enumerate().filter(|(rule, _)| is_theirs(*rule as RuleIdx)) {
            *table = core::mem::take(&mut from.tables[rule]);
            for (handle, instance) in table.at_work(self.number, rule as RuleIdx) {
                let trail = from.log.trail(core::mem::replace(&mut instance.last_touch, Link::NONE));
                for touch in trail {
                    self.log.append(epochs.of(touch.ts()), &mut instance.last_touch, touch);
                }
                instance.marks.iter().for_each(|mark| self.log.note(mark.epoch, handle));
            }
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
        self.log.renumber(number);
    }
}

/// Marks what an instance is before it does something at `ts` that is no touch of its own.
fn note(world: &World<'_>, log: &mut Log, handle: Handle, instance: &mut Instance, ts: Timestamp) {
    if world.corrects(ts)
        && let Some(epoch) = instance.mark(world.epochs.of(ts), ts)
    {
        log.note(epoch, handle);
    }
}

/// Sees to it that an instance can run again from `ts` on.
fn mark_late(world: &World<'_>, log: &mut Log, handle: Handle, instance: &mut Instance, ts: Timestamp) {
    if let Some(epoch) = instance.mark_late(world.epochs, ts) {
        log.note(epoch, handle);
    }
}

/// Queues the instance's next due time, unless an earlier one is queued.
fn arm(world: &World<'_>, agenda: &mut Agenda, handle: Handle, instance: &mut Instance) {
    let due = world.next_due(handle.rule, &instance.now);
    if let Some(due) = due.filter(|due| *due < instance.armed) {
        instance.armed = due;
        agenda.deadlines.push(due, handle);
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
                Why::Wide(..) | Why::Restart(..) | Why::Changed(_) | Why::Ticked(_) | Why::Hidden(..) => {}
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
    let mut ctx = world.ctx(rule, &instance.key, instance.forgotten, &mut said.tallies[rule as usize]);
    instance.now.instant(&mut ctx, now);
    let (found, forgotten) = (ctx.found, ctx.forgotten.get());
    instance.forgotten = forgotten;
    if !found.is_empty() {
        report(world, rule, instance, found, now.ts, said);
    }
}
