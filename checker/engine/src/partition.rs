//! One virtual partition: a reorder buffer, the instances behind it, and their deadlines.
//!
//! Touches wait in the buffer until the frontier has passed them, then instances take them in order of time. A touch that
//! comes when the frontier has passed it already is put into its instance's trail and the instance runs again.
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use event::Timestamp;

use crate::{
    instance::{Finding, Handle, Instance, Table},
    kind::{Automaton, Found, Instant, Tally, What},
    pack::OnRestart,
    timer::Timers,
    touch::Touch,
    verdict::{EventRef, Output},
    world::{Interruption, Why, World},
};

/// Buffered touches are bucketed by 2^22 ns, about 4 ms.
const BUCKET_BITS: u32 = 22;

/// See the module.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Partition {
    buffer: BTreeMap<u64, Vec<Touch>>,
    late: Vec<Touch>,
    tables: Vec<Table>,
    timers: Timers,
    /// Trail entries in the order in which they will leave.
    trails: VecDeque<(Timestamp, Handle)>,
    /// When to look whether an instance can be forgotten.
    forget: Timers,
}

/// What a partition says, and counts, while it works.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) outputs: Vec<Output>,
    pub(crate) tallies: Vec<Tally>,
}

impl Partition {
    pub(crate) fn with_rules(rules: usize) -> Self {
        Partition { tables: (0..rules).map(|_| Table::default()).collect(), ..Partition::default() }
    }

    pub(crate) fn push(&mut self, touch: Touch) {
        self.buffer.entry(touch.ts().0 >> BUCKET_BITS).or_default().push(touch);
    }

    /// Takes a touch that the frontier has already passed.
    pub(crate) fn push_late(&mut self, touch: Touch) {
        self.late.push(touch);
    }

    pub(crate) fn instances(&self, rule: u32) -> impl Iterator<Item = &Instance> {
        self.tables.get(rule as usize).into_iter().flat_map(Table::slots).map(|(_, instance)| instance)
    }

    pub(crate) fn instance_count(&self, rule: u32) -> u64 {
        self.tables.get(rule as usize).map_or(0, |table| table.len() as u64)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.buffer.values().map(Vec::len).sum::<usize>() + self.timers.len()
    }

    /// Judges everything before `to`.
    pub(crate) fn advance(
        &mut self,
        world: &World<'_>,
        interruptions: &[Interruption],
        to: Timestamp,
        said: &mut Said,
    ) {
        self.correct(world, interruptions, to, said);
        let ready = self.take_ready(to);
        let mut touches = ready.as_slice();
        let mut slots: Vec<u32> = Vec::with_capacity(ready.len());
        let mut breaks = interruptions.iter().filter(|interruption| !interruption.late).peekable();
        while let Some(first) = touches.first() {
            while let Some(interruption) = breaks.next_if(|interruption| interruption.ts() < first.ts()) {
                self.interrupt(world, interruption, &[], to, said);
            }
            let same = |touch: &Touch| touch.ts() == first.ts();
            let instant = &touches[..touches.partition_point(same)];
            touches = &touches[instant.len()..];
            let mut concerned: Vec<&Interruption> = Vec::new();
            while let Some(interruption) = breaks.next_if(|interruption| interruption.ts() == instant[0].ts()) {
                concerned.push(interruption);
            }
            for group in instant.chunk_by(|a, b| a.rule == b.rule && a.hash == b.hash && a.key == b.key) {
                let slot = self.touched(world, group, &concerned, said);
                slots.extend(group.iter().map(|_| slot));
            }
            for interruption in concerned {
                self.interrupt(world, interruption, instant, to, said);
            }
        }
        for interruption in breaks {
            self.interrupt(world, interruption, &[], to, said);
        }
        self.fall_due(world, to, said);
        if !world.offline {
            self.keep_trails(ready, &slots);
            self.fold(world);
        }
        self.forget(world);
    }

    /// Takes what the frontier has passed out of the buffer, in order.
    fn take_ready(&mut self, to: Timestamp) -> Vec<Touch> {
        let mut ready = Vec::new();
        while let Some(mut entry) = self.buffer.first_entry() {
            let bucket = *entry.key();
            if bucket > to.0 >> BUCKET_BITS {
                break;
            }
            let touches = entry.get_mut();
            let from = ready.len();
            if bucket < to.0 >> BUCKET_BITS {
                ready.append(touches);
                entry.remove();
            } else {
                let (passed, waiting): (Vec<_>, Vec<_>) = touches.drain(..).partition(|touch| touch.ts() < to);
                ready.extend(passed);
                if waiting.is_empty() {
                    entry.remove();
                } else {
                    *touches = waiting;
                    ready[from..].sort_unstable_by(Touch::order);
                    break;
                }
            }
            ready[from..].sort_unstable_by(Touch::order);
        }
        ready
    }

    /// Feeds one instance the touches of one instant.
    fn touched(&mut self, world: &World<'_>, group: &[Touch], concerned: &[&Interruption], said: &mut Said) -> u32 {
        let (rule, ts) = (group[0].rule, group[0].ts());
        let first = &group[0];
        let slot = match self.tables[rule as usize].find(first.hash, &first.key) {
            Some(slot) => slot,
            None => self.open(world, rule, &first.key, first.hash, ts, said),
        };
        let Some(instance) = self.tables[rule as usize].get_mut(slot) else { return slot };
        catch_up(world, rule, instance, ts, said);
        let mut touches: Vec<&Touch> = group.iter().collect();
        let mut restart = None;
        for interruption in concerned.iter().filter(|interruption| interruption.rule == rule) {
            match &interruption.what {
                Why::Wide(touch, partial) if partial.agrees(&instance.key) => touches.push(touch),
                Why::Restart(at, node) if world.is_of_node(rule, &instance.key, *node) => restart = Some(*at),
                Why::Wide(..) | Why::Restart(..) | Why::Changed(_) => {}
            }
        }
        step(world, rule, instance, &Instant { ts, touches: &touches, restart }, said);
        instance.last = instance.last.max(ts);
        self.arm(world, rule, slot);
        slot
    }

    /// Opens an instance, which first sees what concerns it from before.
    fn open(&mut self, world: &World<'_>, rule: u32, key: &[u8], hash: u64, ts: Timestamp, said: &mut Said) -> u32 {
        let limit = usize::try_from(world.rule(rule).max_keys / world.partitions).unwrap_or(usize::MAX).max(1);
        let table = &mut self.tables[rule as usize];
        if table.len() >= limit
            && let Some((oldest, _)) = table.slots().min_by_key(|(_, instance)| instance.last)
        {
            table.remove(oldest);
            said.tallies[rule as usize].forgotten += 1;
        }
        let mut now = Automaton::new(world.rule(rule));
        let mut ctx = world.ctx(rule, key);
        let earlier = world.wides(rule).iter().take_while(|(touch, _)| touch.ts() < ts);
        for (touch, _) in earlier.filter(|(_, partial)| partial.agrees(key)) {
            now.instant(&mut ctx, &Instant { ts: touch.ts(), touches: &[touch], restart: None });
        }
        let slot = table.insert(key.into(), hash, now);
        if let Some(handle) = table.handle(rule, slot) {
            self.forget.push(world.forget_at(rule, ts), handle);
        }
        slot
    }

    /// Feeds the instances that an interruption concerns; those with touches at that instant have seen it.
    fn interrupt(
        &mut self,
        world: &World<'_>,
        interruption: &Interruption,
        instant: &[Touch],
        to: Timestamp,
        said: &mut Said,
    ) {
        let (rule, ts) = (interruption.rule, interruption.ts());
        if ts >= to {
            return;
        }
        let concerned: Vec<u32> = self.tables[rule as usize]
            .slots()
            .filter(|(_, instance)| interruption.concerns(world, &instance.key))
            .filter(|(_, instance)| {
                !instant
                    .iter()
                    .any(|touch| touch.rule == rule && touch.hash == instance.hash && touch.key == instance.key)
            })
            .map(|(slot, _)| slot)
            .collect();
        for slot in concerned {
            let Some(instance) = self.tables[rule as usize].get_mut(slot) else { continue };
            catch_up(world, rule, instance, ts, said);
            match &interruption.what {
                Why::Wide(touch, _) => {
                    step(world, rule, instance, &Instant { ts, touches: &[touch], restart: None }, said);
                }
                Why::Restart(at, _) => {
                    step(world, rule, instance, &Instant { ts, touches: &[], restart: Some(*at) }, said);
                }
                Why::Changed(_) => {}
            }
            self.arm(world, rule, slot);
        }
    }

    fn fall_due(&mut self, world: &World<'_>, to: Timestamp, said: &mut Said) {
        while let Some((due, handle)) = self.timers.pop_before(to) {
            let Some(instance) = self.tables[handle.rule as usize].resolve(handle) else { continue };
            if instance.armed == due {
                instance.armed = Timestamp::MAX;
                catch_up(world, handle.rule, instance, to, said);
                self.arm(world, handle.rule, handle.slot);
            }
        }
    }

    /// Queues the instance's next due time, unless an earlier one is queued.
    fn arm(&mut self, world: &World<'_>, rule: u32, slot: u32) {
        let table = &mut self.tables[rule as usize];
        let Some(handle) = table.handle(rule, slot) else { return };
        let Some(instance) = table.get_mut(slot) else { return };
        let due = world.next_due(rule, &instance.now);
        if let Some(due) = due.filter(|due| *due < instance.armed) {
            instance.armed = due;
            self.timers.push(due, handle);
        }
    }

    /// Appends what was worked off to the trails, for corrections; `slots` says whose each touch is.
    fn keep_trails(&mut self, ready: Vec<Touch>, slots: &[u32]) {
        for (touch, &slot) in ready.into_iter().zip(slots) {
            let table = &mut self.tables[touch.rule as usize];
            let Some(handle) = table.handle(touch.rule, slot) else { continue };
            self.trails.push_back((touch.ts(), handle));
            if let Some(instance) = table.get_mut(slot) {
                instance.trail.push_back(touch);
            }
        }
    }

    /// Puts late touches in their places and runs the instances concerned again.
    fn correct(&mut self, world: &World<'_>, interruptions: &[Interruption], to: Timestamp, said: &mut Said) {
        let mut again: Vec<(u32, u32)> = Vec::new();
        for touch in core::mem::take(&mut self.late) {
            let rule = touch.rule;
            let slot = match self.tables[rule as usize].find(touch.hash, &touch.key) {
                Some(slot) => slot,
                None => self.open(world, rule, &touch.key, touch.hash, Timestamp::ZERO, said),
            };
            let table = &mut self.tables[rule as usize];
            let Some(handle) = table.handle(rule, slot) else { continue };
            let Some(instance) = table.get_mut(slot) else { continue };
            let place = instance.trail.partition_point(|known| known.order(&touch).is_lt());
            let twin = |known: Option<&Touch>| known.is_some_and(|known| known.repeats(&touch));
            if touch.ts() < instance.base_to
                || twin(instance.trail.get(place))
                || (place > 0 && twin(instance.trail.get(place - 1)))
            {
                continue;
            }
            instance.last = instance.last.max(touch.ts());
            self.trails.push_back((touch.ts(), handle));
            instance.trail.insert(place, touch);
            again.push((rule, slot));
        }
        for interruption in interruptions.iter().filter(|interruption| interruption.late) {
            let concerned = self.tables[interruption.rule as usize]
                .slots()
                .filter(|(_, instance)| interruption.concerns(world, &instance.key))
                .map(|(slot, _)| (interruption.rule, slot));
            again.extend(concerned);
        }
        again.sort_unstable();
        again.dedup();
        // What was already judged ends at the frontier as it stood; the rest follows in order.
        let judged_to = world.judged_to.min(to);
        for (rule, slot) in again {
            let Some(instance) = self.tables[rule as usize].get_mut(slot) else { continue };
            rerun(world, rule, instance, judged_to, said);
            self.arm(world, rule, slot);
        }
    }

    /// Lets go of the parts of trails that nothing can correct any more.
    fn fold(&mut self, world: &World<'_>) {
        let floor = world.floor;
        while self.trails.front().is_some_and(|(ts, _)| *ts < floor) {
            let Some((_, handle)) = self.trails.pop_front() else { return };
            let table = &mut self.tables[handle.rule as usize];
            let Some(instance) = table.resolve(handle) else { continue };
            if instance.trail.front().is_none_or(|touch| touch.ts() >= floor) {
                continue;
            }
            if instance.changed < floor {
                instance.base = Some(instance.now.clone());
                instance.trail = VecDeque::new();
            } else {
                let mut state = instance.base.take().unwrap_or_else(|| Automaton::new(world.rule(handle.rule)));
                let mut ctx = world.ctx(handle.rule, &instance.key);
                replay(world, handle.rule, &mut state, &mut ctx, instance, floor);
                instance.base = Some(state);
                while instance.trail.front().is_some_and(|touch| touch.ts() < floor) {
                    instance.trail.pop_front();
                }
            }
            instance.base_to = floor;
            instance.findings.retain(|finding| finding.at >= floor);
            if instance.trail.is_empty() && instance.now.is_idle() && instance.changed < floor {
                table.remove(handle.slot);
            }
        }
    }

    fn forget(&mut self, world: &World<'_>) {
        while let Some((_, handle)) = self.forget.pop_before(world.judged_to) {
            let table = &mut self.tables[handle.rule as usize];
            let Some(instance) = table.resolve(handle) else { continue };
            let due = world.forget_at(handle.rule, instance.last);
            if due < world.judged_to && instance.trail.is_empty() {
                table.remove(handle.slot);
            } else {
                self.forget.push(due.max(world.judged_to.plus(world.timing.margin)), handle);
            }
        }
    }

    /// Gives rules other numbers: `from[new]` is the old number, or none for a new or changed rule.
    pub(crate) fn renumber(&mut self, from: &[Option<u32>], to: &[Option<u32>]) {
        let mut old = core::mem::take(&mut self.tables);
        self.tables = from
            .iter()
            .map(|rule| rule.and_then(|rule| old.get_mut(rule as usize)).map(core::mem::take).unwrap_or_default())
            .collect();
        let number = |rule: u32| to.get(rule as usize).copied().flatten();
        let rename = |touches: &mut Vec<Touch>| {
            touches.retain_mut(|touch| match number(touch.rule) {
                Some(rule) => {
                    touch.rule = rule;
                    true
                }
                None => false,
            });
        };
        self.buffer.values_mut().for_each(rename);
        rename(&mut self.late);
        let change = |handle: Handle| Some(Handle { rule: number(handle.rule)?, ..handle });
        self.timers.rewrite(change);
        self.forget.rewrite(change);
        let trails = core::mem::take(&mut self.trails);
        self.trails = trails.into_iter().filter_map(|(ts, handle)| Some((ts, change(handle)?))).collect();
        for (rule, table) in self.tables.iter_mut().enumerate() {
            table.renumber(rule as u32);
        }
    }
}

/// Judges what falls due strictly before `ts`.
fn catch_up(world: &World<'_>, rule: u32, instance: &mut Instance, ts: Timestamp, said: &mut Said) {
    while let Some(due) = world.next_due(rule, &instance.now).filter(|due| *due < ts) {
        let mut ctx = world.ctx(rule, &instance.key);
        instance.now.due(&mut ctx, due);
        let (found, tally) = (core::mem::take(&mut ctx.found), ctx.tally);
        drop(ctx);
        instance.changed = instance.changed.max(due);
        said.tallies[rule as usize].add(&tally);
        report(world, rule, instance, found, said);
    }
}

/// Feeds one instant and reports what it found.
fn step(world: &World<'_>, rule: u32, instance: &mut Instance, now: &Instant<'_>, said: &mut Said) {
    let mut ctx = world.ctx(rule, &instance.key);
    instance.now.instant(&mut ctx, now);
    let (found, tally) = (core::mem::take(&mut ctx.found), ctx.tally);
    drop(ctx);
    instance.changed = instance.changed.max(now.ts);
    said.tallies[rule as usize].add(&tally);
    report(world, rule, instance, found, said);
}

/// Says what an instance found, and remembers it for corrections.
fn report(world: &World<'_>, rule: u32, instance: &mut Instance, found: Vec<Found>, said: &mut Said) {
    for found in found {
        let fresh = note(world, rule, &instance.key, &mut instance.findings, &found);
        if fresh {
            said.tallies[rule as usize].violated += 1;
        }
        said.outputs.push(world.output(rule, &instance.key, &found, !fresh));
    }
    if world.offline && instance.findings.len() > 1_024 {
        instance.findings.drain(..512);
    }
}

/// Adds a finding to the record; returns whether it is a violation not known before.
fn note(world: &World<'_>, rule: u32, key: &[u8], findings: &mut Vec<Finding>, found: &Found) -> bool {
    let id = world.violation_id(rule, key, &found.anchor);
    let known = findings.iter_mut().find(|finding| finding.id == id);
    match (&found.what, known) {
        (What::Violated { .. }, Some(known)) => {
            known.evidence = Finding::digest(found);
            false
        }
        (What::Violated { at, .. }, None) => {
            let evidence = Finding::digest(found);
            findings.push(Finding { id, at: *at, evidence, resolved: None, late: None });
            true
        }
        (What::Resolved(at), Some(known)) => {
            known.resolved = Some(*at);
            false
        }
        (What::Late(_, by), Some(known)) => {
            known.late = Some(*by);
            false
        }
        (What::Resolved(_) | What::Late(..), None) => false,
    }
}

/// Runs an instance again from its base up to `to`, and says what is different.
fn rerun(world: &World<'_>, rule: u32, instance: &mut Instance, to: Timestamp, said: &mut Said) {
    let mut state = instance.base.clone().unwrap_or_else(|| Automaton::new(world.rule(rule)));
    let mut ctx = world.ctx(rule, &instance.key);
    replay(world, rule, &mut state, &mut ctx, instance, to);
    let found = core::mem::take(&mut ctx.found);
    drop(ctx);
    let mut findings: Vec<Finding> = Vec::new();
    let mut latest: Vec<Found> = Vec::new();
    for found in found {
        note(world, rule, &instance.key, &mut findings, &found);
        latest.push(found);
    }
    let old = core::mem::take(&mut instance.findings);
    for finding in &old {
        if finding.at >= instance.base_to && !findings.iter().any(|new| new.id == finding.id) {
            said.tallies[rule as usize].retracted += 1;
            said.outputs.push(Output::Retracted { id: finding.id, rule });
        }
    }
    for found in &latest {
        let id = world.violation_id(rule, &instance.key, &found.anchor);
        let before = old.iter().find(|finding| finding.id == id);
        let after = findings.iter().find(|finding| finding.id == id);
        let news = match (&found.what, before, after) {
            (What::Violated { .. }, None, _) => true,
            (What::Violated { .. }, Some(before), after) => {
                after.is_some_and(|after| after.evidence != before.evidence && after.evidence == Finding::digest(found))
            }
            (What::Resolved(at), before, _) => before.is_none_or(|before| before.resolved != Some(*at)),
            (What::Late(_, by), before, _) => before.is_none_or(|before| before.late != Some(*by)),
        };
        if matches!(found.what, What::Violated { .. }) && before.is_none() {
            said.tallies[rule as usize].violated += 1;
        }
        if news {
            said.outputs.push(world.output(rule, &instance.key, found, before.is_some()));
        }
    }
    findings.extend(old.into_iter().filter(|finding| finding.at < instance.base_to));
    instance.findings = findings;
    instance.changed = instance
        .changed
        .max(instance.trail.back().map_or(Timestamp::ZERO, Touch::ts))
        .max(to.minus(core::time::Duration::from_nanos(1)));
    instance.now = state;
    instance.armed = Timestamp::MAX;
}

/// Takes `state` through everything that concerns the instance, from `base_to` up to `to`.
fn replay(
    world: &World<'_>,
    rule: u32,
    state: &mut Automaton,
    ctx: &mut crate::kind::Ctx<'_>,
    instance: &Instance,
    to: Timestamp,
) {
    let from = instance.base_to;
    let mut trail = instance.trail.iter().take_while(|touch| touch.ts() < to).peekable();
    let wides: Vec<&Touch> = world
        .wides(rule)
        .iter()
        .filter(|(touch, partial)| touch.ts() >= from && touch.ts() < to && partial.agrees(&instance.key))
        .map(|(touch, _)| touch)
        .collect();
    let mut wides = wides.into_iter().peekable();
    let restarts: Vec<EventRef> = match world.rule(rule).on_restart {
        OnRestart::Keep => Vec::new(),
        _ => world.restarts(rule, &instance.key).filter(|at| at.ts >= from && at.ts < to).collect(),
    };
    let mut restarts = restarts.into_iter().peekable();
    loop {
        let times = [
            trail.peek().map(|touch| touch.ts()),
            wides.peek().map(|touch| touch.ts()),
            restarts.peek().map(|at| at.ts),
        ];
        let next = times.into_iter().flatten().min();
        while let Some(due) = world.next_due(rule, state).filter(|due| *due < next.unwrap_or(to)) {
            state.due(ctx, due);
        }
        let Some(ts) = next else { return };
        let mut touches: Vec<&Touch> = Vec::new();
        while let Some(touch) = trail.next_if(|touch| touch.ts() == ts) {
            touches.push(touch);
        }
        while let Some(touch) = wides.next_if(|touch| touch.ts() == ts) {
            touches.push(touch);
        }
        let restart = restarts.next_if(|at| at.ts == ts);
        state.instant(ctx, &Instant { ts, touches: &touches, restart });
    }
}
