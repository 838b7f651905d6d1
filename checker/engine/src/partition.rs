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
    instance::{Finding, Handle, Instance, Past, Table},
    kind::{Automaton, Found, Instant, Tally, What},
    pack::OnRestart,
    timer::Timers,
    touch::Touch,
    verdict::{EventRef, Output, ViolationId},
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
    /// When instances did something that may still be corrected: as the time of corrections ends, they are folded.
    trails: Timers,
    /// When to look whether an instance can be forgotten.
    forget: Timers,
}

/// What a partition says, and counts, while it works.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) outputs: Vec<Output>,
    pub(crate) tallies: Vec<Tally>,
    /// Instances that can judge now what they had left open.
    awake: Vec<Handle>,
}

impl Said {
    pub(crate) fn with_tallies(tallies: Vec<Tally>) -> Self {
        Said { outputs: Vec::new(), tallies, awake: Vec::new() }
    }
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
        let mut breaks = interruptions.iter().filter(|known| !known.late && known.ts() < to).peekable();
        loop {
            let next = [touches.first().map(Touch::ts), breaks.peek().map(|interruption| interruption.ts())];
            let Some(ts) = next.into_iter().flatten().min() else { break };
            let instant = &touches[..touches.partition_point(|touch| touch.ts() == ts)];
            touches = &touches[instant.len()..];
            let mut concerned: Vec<&Interruption> = Vec::new();
            while let Some(interruption) = breaks.next_if(|interruption| interruption.ts() == ts) {
                concerned.push(interruption);
            }
            let mut seen: Vec<(u32, u32)> = Vec::new();
            for group in instant.chunk_by(|a, b| a.rule == b.rule && a.hash == b.hash && a.key == b.key) {
                let slot = self.touched(world, group, &concerned, said);
                slots.extend(group.iter().map(|_| slot));
                if !concerned.is_empty() {
                    seen.push((group[0].rule, slot));
                }
            }
            if !concerned.is_empty() {
                seen.sort_unstable();
                self.interrupt(world, ts, &concerned, &seen, said);
            }
        }
        self.fall_due(world, to, said);
        if !world.offline {
            self.keep_trails(ready, &slots);
            self.wake(world, to, said);
            self.fold(world, to, said);
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
        self.caught_up(world, rule, slot, ts, said);
        let Some(instance) = self.tables[rule as usize].get_mut(slot) else { return slot };
        let around = Around::of(world, rule, &instance.key, concerned);
        let touches = around.with(group);
        step(world, rule, instance, &around.instant(ts, &touches), said);
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
        if world.wides(rule).iter().any(|(touch, partial)| touch.ts() < ts && partial.agrees(key)) {
            let mut ctx = world.ctx(rule, key);
            replay(
                world,
                rule,
                &mut now,
                &mut ctx,
                &mut |_, _| {},
                &Past { key, from: Timestamp::ZERO, trail: &VecDeque::new() },
                ts,
            );
        }
        let slot = table.insert(key.into(), hash, now);
        if let Some(handle) = table.handle(rule, slot) {
            self.forget.push(world.forget_at(rule, ts), handle);
        }
        slot
    }

    /// Feeds the instances that interruptions of one time concern; those in `seen` had touches then, and took them along.
    fn interrupt(
        &mut self,
        world: &World<'_>,
        ts: Timestamp,
        concerned: &[&Interruption],
        seen: &[(u32, u32)],
        said: &mut Said,
    ) {
        let mut rules: Vec<u32> = concerned.iter().map(|interruption| interruption.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        for rule in rules {
            let own: Vec<&Interruption> =
                concerned.iter().copied().filter(|interruption| interruption.rule == rule).collect();
            let slots: Vec<u32> = self.tables[rule as usize]
                .slots()
                .filter(|(slot, instance)| {
                    own.iter().any(|interruption| {
                        interruption.concerns(world, &instance.key)
                            // A clock's tick is for those who wait for it.
                            && (!matches!(interruption.what, Why::Ticked(_))
                                || instance.now.open(world.rule(rule)) > 0)
                    }) && seen.binary_search(&(rule, *slot)).is_err()
                })
                .map(|(slot, _)| slot)
                .collect();
            for slot in slots {
                self.caught_up(world, rule, slot, ts, said);
                let table = &mut self.tables[rule as usize];
                let handle = table.handle(rule, slot);
                let Some(instance) = table.get_mut(slot) else { continue };
                let around = Around::of(world, rule, &instance.key, &own);
                let touches = around.with(&[]);
                step(world, rule, instance, &around.instant(ts, &touches), said);
                self.remember(world, ts, handle);
                self.arm(world, rule, slot);
            }
        }
    }

    /// Judges what of the instance falls due strictly before `ts`.
    fn caught_up(&mut self, world: &World<'_>, rule: u32, slot: u32, ts: Timestamp, said: &mut Said) {
        let table = &mut self.tables[rule as usize];
        let handle = table.handle(rule, slot);
        let Some(instance) = table.get_mut(slot) else { return };
        let last = catch_up(world, rule, instance, ts, said);
        if instance.now.is_awake() {
            said.awake.extend(handle);
        }
        if let Some(last) = last {
            self.remember(world, last, handle);
        }
    }

    /// Judges again, in order of time, the instances that had left something open and can judge it by now.
    fn wake(&mut self, world: &World<'_>, to: Timestamp, said: &mut Said) {
        for handle in core::mem::take(&mut said.awake) {
            let Some(instance) = self.tables[handle.rule as usize].resolve(handle) else { continue };
            if instance.now.is_awake() {
                rerun(world, handle.rule, instance, to, said);
                self.arm(world, handle.rule, handle.slot);
            }
        }
    }

    /// Has the instance folded when nothing can correct that time any more.
    fn remember(&mut self, world: &World<'_>, ts: Timestamp, handle: Option<Handle>) {
        if let Some(handle) = handle.filter(|_| !world.offline) {
            self.trails.push(ts, handle);
        }
    }

    fn fall_due(&mut self, world: &World<'_>, to: Timestamp, said: &mut Said) {
        while let Some((due, handle)) = self.timers.pop_before(to) {
            let Some(instance) = self.tables[handle.rule as usize].resolve(handle) else { continue };
            if instance.armed == due {
                instance.armed = Timestamp::MAX;
                self.caught_up(world, handle.rule, handle.slot, to, said);
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
            self.trails.push(touch.ts(), handle);
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
            self.trails.push(touch.ts(), handle);
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
    fn fold(&mut self, world: &World<'_>, to: Timestamp, said: &mut Said) {
        let floor = world.floor;
        while let Some((ts, handle)) = self.trails.pop_before(floor) {
            let table = &mut self.tables[handle.rule as usize];
            let Some(instance) = table.resolve(handle) else { continue };
            if ts < instance.base_to {
                continue;
            }
            // What can be judged by now is said before the base takes it in.
            let ctx = world.ctx(handle.rule, &instance.key);
            instance.now.poll(&ctx);
            drop(ctx);
            if instance.now.is_awake() {
                rerun(world, handle.rule, instance, to, said);
                self.arm(world, handle.rule, handle.slot);
            }
            let table = &mut self.tables[handle.rule as usize];
            let Some(instance) = table.resolve(handle) else { continue };
            if instance.changed < floor {
                instance.base = Some(instance.now.clone());
                instance.trail = VecDeque::new();
            } else {
                let mut state = instance.base.take().unwrap_or_else(|| Automaton::new(world.rule(handle.rule)));
                let mut ctx = world.ctx(handle.rule, &instance.key);
                ctx.known = &instance.findings;
                replay(world, handle.rule, &mut state, &mut ctx, &mut |_, _| {}, &instance.past(), floor);
                drop(ctx);
                instance.base = Some(state);
                while instance.trail.front().is_some_and(|touch| touch.ts() < floor) {
                    instance.trail.pop_front();
                }
            }
            instance.base_to = floor;
            // The last one before the base's end may still be said again: its evidence grows, its level recovers.
            let settled = instance.findings.iter().filter(|finding| finding.found < floor);
            let last = settled.max_by_key(|finding| finding.found).map(|finding| finding.id);
            // So may those be that stand for one of which nothing can be said yet.
            let base = instance.base.as_ref();
            let revocable: Vec<ViolationId> = base
                .into_iter()
                .flat_map(Automaton::revocable)
                .map(|anchor| world.violation_id(handle.rule, &instance.key, &anchor))
                .collect();
            instance.findings.retain(|finding| {
                finding.found >= floor || Some(finding.id) == last || revocable.contains(&finding.id)
            });
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
        self.trails.rewrite(change);
        for (rule, table) in self.tables.iter_mut().enumerate() {
            table.renumber(rule as u32);
        }
    }
}

/// What concerns one instance at one time besides its own touches.
struct Around<'a> {
    wides: Vec<&'a Touch>,
    starts: Vec<EventRef>,
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
    fn with(&self, own: &'a [Touch]) -> Vec<&'a Touch> {
        let mut touches: Vec<&Touch> = own.iter().chain(self.wides.iter().copied()).collect();
        if !self.wides.is_empty() {
            touches.sort_by(|a, b| a.order_inside(b));
        }
        touches
    }

    fn instant<'i>(&'i self, ts: Timestamp, touches: &'i [&'i Touch]) -> Instant<'i> {
        Instant { ts, touches, restart: self.starts.first().copied(), starts: &self.starts }
    }
}

/// Judges what falls due strictly before `ts`; returns when the last of it did.
fn catch_up(
    world: &World<'_>,
    rule: u32,
    instance: &mut Instance,
    ts: Timestamp,
    said: &mut Said,
) -> Option<Timestamp> {
    let mut last = None;
    while let Some(due) = world.next_due(rule, &instance.now).filter(|due| *due < ts) {
        let mut ctx = world.ctx(rule, &instance.key);
        instance.now.due(&mut ctx, due);
        let (found, tally) = (core::mem::take(&mut ctx.found), ctx.tally);
        drop(ctx);
        instance.changed = instance.changed.max(due);
        last = Some(due);
        said.tallies[rule as usize].add(&tally);
        report(world, rule, instance, found, due, said);
    }
    last
}

/// Feeds one instant and reports what it found.
fn step(world: &World<'_>, rule: u32, instance: &mut Instance, now: &Instant<'_>, said: &mut Said) {
    let mut ctx = world.ctx(rule, &instance.key);
    instance.now.instant(&mut ctx, now);
    let (found, tally) = (core::mem::take(&mut ctx.found), ctx.tally);
    drop(ctx);
    instance.changed = instance.changed.max(now.ts);
    said.tallies[rule as usize].add(&tally);
    report(world, rule, instance, found, now.ts, said);
}

/// Says what an instance found at `when`, and remembers it for corrections.
fn report(world: &World<'_>, rule: u32, instance: &mut Instance, found: Vec<Found>, when: Timestamp, said: &mut Said) {
    for found in found {
        let fresh = note(world, rule, &instance.key, &mut instance.findings, &found, when);
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
fn note(world: &World<'_>, rule: u32, key: &[u8], findings: &mut Vec<Finding>, found: &Found, when: Timestamp) -> bool {
    let id = world.violation_id(rule, key, &found.anchor);
    let known = findings.iter_mut().find(|finding| finding.id == id);
    match (&found.what, known) {
        (What::Violated { .. }, Some(known)) => {
            known.evidence = Finding::digest(found);
            false
        }
        (What::Violated { .. }, None) => {
            let evidence = Finding::digest(found);
            findings.push(Finding { id, found: when, evidence, resolved: None, late: None });
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
        (What::Unsaid, Some(_)) => {
            findings.retain(|finding| finding.id != id);
            false
        }
        (What::Resolved(_) | What::Late(..) | What::Unsaid, None) => false,
    }
}

/// Runs an instance again from its base up to `to`, and says what is different.
fn rerun(world: &World<'_>, rule: u32, instance: &mut Instance, to: Timestamp, said: &mut Said) {
    let mut state = instance.base.clone().unwrap_or_else(|| Automaton::new(world.rule(rule)));
    let from = instance.base_to;
    let old = core::mem::take(&mut instance.findings);
    // What was found before stands, but what became of it since may be otherwise.
    let mut findings: Vec<Finding> = old.iter().filter(|finding| finding.found < from).cloned().collect();
    for finding in &mut findings {
        finding.resolved = finding.resolved.filter(|at| *at < from);
    }
    let mut latest: Vec<Found> = Vec::new();
    let mut ctx = world.ctx(rule, &instance.key);
    ctx.known = &old;
    let mut record = |when: Timestamp, found: Vec<Found>| {
        for found in found {
            note(world, rule, &instance.key, &mut findings, &found, when);
            latest.push(found);
        }
    };
    replay(world, rule, &mut state, &mut ctx, &mut record, &instance.past(), to);
    drop(ctx);
    for finding in &old {
        if !findings.iter().any(|new| new.id == finding.id) {
            said.tallies[rule as usize].retracted += 1;
            said.outputs.push(Output::Retracted { id: finding.id, rule });
        }
    }
    let mut again: Vec<ViolationId> = Vec::new();
    for found in &latest {
        let id = world.violation_id(rule, &instance.key, &found.anchor);
        let before = old.iter().find(|finding| finding.id == id);
        let after = findings.iter().find(|finding| finding.id == id);
        // A level that was said to have recovered and has not is said again.
        let relapsed =
            |before: &Finding| before.resolved.is_some() && after.is_some_and(|after| after.resolved.is_none());
        let news = match (&found.what, before) {
            // Of evidence that grew on the way, the last alone.
            (What::Violated { .. }, before) => {
                !again.contains(&id)
                    && after.is_some_and(|after| {
                        after.evidence == Finding::digest(found)
                            && before.is_none_or(|before| before.evidence != after.evidence || relapsed(before))
                    })
            }
            (What::Resolved(at), before) => {
                again.contains(&id) || before.is_none_or(|before| before.resolved != Some(*at))
            }
            (What::Late(_, by), before) => again.contains(&id) || before.is_none_or(|before| before.late != Some(*by)),
            // What is no longer among the findings has been taken back above.
            (What::Unsaid, _) => false,
        };
        if !news {
            continue;
        }
        if matches!(found.what, What::Violated { .. }) {
            again.push(id);
            said.tallies[rule as usize].violated += u64::from(before.is_none());
        }
        said.outputs.push(world.output(rule, &instance.key, found, before.is_some()));
    }
    instance.findings = findings;
    instance.changed = instance
        .changed
        .max(instance.trail.back().map_or(Timestamp::ZERO, Touch::ts))
        .max(to.minus(core::time::Duration::from_nanos(1)));
    instance.now = state;
    instance.armed = Timestamp::MAX;
}

/// Takes `state` through everything that concerns the instance, from the past's beginning up to `to`; `record` is given
/// what was found, and when.
fn replay(
    world: &World<'_>,
    rule: u32,
    state: &mut Automaton,
    ctx: &mut crate::kind::Ctx<'_>,
    record: &mut dyn FnMut(Timestamp, Vec<Found>),
    past: &Past<'_>,
    to: Timestamp,
) {
    ctx.replaying = true;
    let from = past.from;
    let mut trail = past.trail.iter().take_while(|touch| touch.ts() < to).peekable();
    let wides: Vec<&Touch> = world
        .wides(rule)
        .iter()
        .filter(|(touch, partial)| touch.ts() >= from && touch.ts() < to && partial.agrees(past.key))
        .map(|(touch, _)| touch)
        .collect();
    let mut wides = wides.into_iter().peekable();
    let restarts: Vec<EventRef> = match world.rule(rule).on_restart {
        OnRestart::Keep => Vec::new(),
        _ => world.restarts(rule, past.key).filter(|at| at.ts >= from && at.ts < to).collect(),
    };
    let mut restarts = restarts.into_iter().peekable();
    let mut ticks = world.ticks(rule, from, to).into_iter().peekable();
    loop {
        let times = [
            trail.peek().map(|touch| touch.ts()),
            wides.peek().map(|touch| touch.ts()),
            restarts.peek().map(|at| at.ts),
            ticks.peek().copied(),
        ];
        let next = times.into_iter().flatten().min();
        while let Some(due) = world.next_due(rule, state).filter(|due| *due < next.unwrap_or(to)) {
            state.due(ctx, due);
            record(due, core::mem::take(&mut ctx.found));
        }
        let Some(ts) = next else { return };
        let mut around = Around { wides: Vec::new(), starts: Vec::new() };
        let mut touches: Vec<&Touch> = Vec::new();
        while let Some(touch) = trail.next_if(|touch| touch.ts() == ts) {
            touches.push(touch);
        }
        while let Some(touch) = wides.next_if(|touch| touch.ts() == ts) {
            around.wides.push(touch);
        }
        while let Some(start) = restarts.next_if(|at| at.ts == ts) {
            around.starts.push(start);
        }
        around.starts.sort_unstable();
        ticks.next_if(|at| *at == ts);
        if !around.wides.is_empty() {
            touches.extend(around.wides.iter().copied());
            touches.sort_by(|a, b| a.order_inside(b));
        }
        state.instant(ctx, &around.instant(ts, &touches));
        record(ts, core::mem::take(&mut ctx.found));
    }
}
