//! Judging again: an instance runs from what it was before late evidence, and what comes out otherwise is said.
use alloc::{boxed::Box, vec::Vec};
use event::Timestamp;
use smallvec::SmallVec;
use thin_vec::ThinVec;

use crate::{
    emission::Made,
    history::Log,
    instance::{Finding, Handle, Instance, Mark},
    kind::{Automaton, Found, Tally, What, slim},
    pack::OnRestart,
    partition::{Around, Said},
    program::RuleIdx,
    touch::Touch,
    verdict::{EventRef, Output, ViolationId},
    world::World,
};

/// What an instance runs through again.
pub(crate) struct Past<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) from: Timestamp,
    /// Its touches since, in order.
    pub(crate) trail: &'a [&'a Touch],
}

/// Says what an instance found at `when`, and remembers it for corrections.
pub(crate) fn report(
    world: &World<'_>,
    rule: RuleIdx,
    instance: &mut Instance,
    found: Vec<Found>,
    when: Timestamp,
    said: &mut Said,
) {
    for found in found {
        let id = world.finding_id(rule, &instance.key, &found);
        let fresh = note(&mut instance.findings, id, &found, when);
        if fresh && found.is_violation() {
            said.tallies[rule as usize].violated += 1;
        }
        world.say(rule, &instance.key, id, &found, !fresh, said);
    }
    if world.offline && instance.findings.len() > 1_024 {
        instance.findings.drain(..512);
    }
}

/// Adds a finding to the record; returns whether it was not known before and can be taken back.
fn note(findings: &mut ThinVec<Finding>, id: ViolationId, found: &Found, when: Timestamp) -> bool {
    let known = findings.iter_mut().find(|finding| finding.id == id);
    match (&found.what, known) {
        (What::Violated { .. } | What::Made { .. }, Some(known)) => {
            known.evidence = Finding::digest(found);
            core::mem::take(&mut known.untold)
        }
        (What::Violated { .. } | What::Made { .. }, None) => {
            let (evidence, made) = (Finding::digest(found), !found.is_violation());
            let finding = Finding { id, found: when, evidence, resolved: None, late: None, made, untold: false };
            slim::push_thin(findings, finding);
            true
        }
        (What::Resolved(at), Some(known)) => {
            known.resolved = Some(*at);
            false
        }
        (What::Late(_, by), Some(known)) => {
            known.late = Some(Box::new(*by));
            false
        }
        (What::Unsaid, Some(_)) => {
            findings.retain(|finding| finding.id != id);
            false
        }
        (What::Resolved(_) | What::Late(..) | What::Unsaid, None) => false,
    }
}

/// Runs an instance again from its first mark up to `to`, and says what is different.
pub(crate) fn rerun(
    world: &World<'_>,
    log: &mut Log,
    handle: Handle,
    instance: &mut Instance,
    to: Timestamp,
    said: &mut Said,
) {
    let rule = handle.rule;
    if instance.marks.is_empty()
        && let Some(epoch) = instance.mark_late(world.epochs, to)
    {
        log.note(epoch, handle);
    }
    let marked = core::mem::take(&mut instance.marks);
    let Some(first) = marked.first().cloned() else { return };
    let mut state = first.state.as_deref().cloned().unwrap_or_else(|| Automaton::new(world.rule(rule)));
    let from = first.at;
    instance.marks.push(first);
    let old = core::mem::take(&mut instance.findings);
    // What was found before stands, but what became of it since may be otherwise.
    let mut findings: ThinVec<Finding> = old.iter().filter(|finding| finding.found < from).cloned().collect();
    for finding in &mut findings {
        finding.resolved = finding.resolved.filter(|at| *at < from);
    }
    let mut latest: Vec<(ViolationId, Found)> = Vec::new();
    let mut told = Tally::default();
    let mut ctx = world.ctx(rule, &instance.key, instance.forgotten, &mut told);
    ctx.known = &old;
    let mut record = |when: Timestamp, found: Vec<Found>| {
        for found in found {
            let id = world.finding_id(rule, &instance.key, &found);
            note(&mut findings, id, &found, when);
            latest.push((id, found));
        }
    };
    let trail = log.trail(instance.last_touch);
    let trail: Vec<&Touch> = trail.iter().collect();
    let past = Past { key: &instance.key, from, trail: &trail[trail.partition_point(|touch| touch.ts() < from)..] };
    // What it is before it first does something in an epoch may be otherwise, too.
    let marks = &mut instance.marks;
    let mut mark = |ts: Timestamp, state: &Automaton| {
        let epoch = world.epochs.of(ts);
        if marks.last().is_none_or(|mark| mark.epoch < epoch) {
            marks.push(Mark { epoch, at: ts, state: Some(Box::new(state.clone())) });
        }
    };
    replay(world, rule, &mut state, &mut ctx, &mut record, &mut mark, &past, to);
    let forgotten = ctx.forgotten.get();
    drop(ctx);
    for mark in &instance.marks {
        if !marked.iter().any(|known| known.epoch == mark.epoch) {
            log.note(mark.epoch, handle);
        }
    }
    for finding in &old {
        if findings.iter().any(|new| new.id == finding.id) {
            continue;
        }
        if finding.made || finding.untold {
            said.made.push(Made::Never(finding.id));
        } else {
            said.tallies[rule as usize].retracted += 1;
            said.outputs.push(Output::Retracted { id: finding.id, rule });
        }
    }
    let mut again: Vec<ViolationId> = Vec::new();
    for (id, found) in &latest {
        let id = *id;
        let before = old.iter().find(|finding| finding.id == id && !finding.untold);
        let after = findings.iter().find(|finding| finding.id == id);
        // A level that was said to have recovered and has not is said again.
        let relapsed =
            |before: &Finding| before.resolved.is_some() && after.is_some_and(|after| after.resolved.is_none());
        let news = match (&found.what, before) {
            // Of evidence that grew on the way, the last alone.
            (What::Violated { .. } | What::Made { .. }, before) => {
                !again.contains(&id)
                    && after.is_some_and(|after| {
                        after.evidence == Finding::digest(found)
                            && before.is_none_or(|before| before.evidence != after.evidence || relapsed(before))
                    })
            }
            (What::Resolved(at), before) => {
                again.contains(&id) || before.is_none_or(|before| before.resolved != Some(*at))
            }
            (What::Late(_, by), before) => {
                again.contains(&id) || before.is_none_or(|before| before.late.as_deref() != Some(by))
            }
            // What is no longer among the findings has been taken back above.
            (What::Unsaid, _) => false,
        };
        if !news {
            continue;
        }
        if matches!(found.what, What::Violated { .. } | What::Made { .. }) {
            again.push(id);
        }
        if found.is_violation() {
            said.tallies[rule as usize].violated += u64::from(before.is_none());
        }
        world.say(rule, &instance.key, id, found, before.is_some(), said);
    }
    instance.findings = findings;
    instance.now = state;
    instance.forgotten = forgotten;
    instance.armed = Timestamp::MAX;
}

/// Takes `state` through everything that concerns the instance, from the past's beginning up to `to`; `record` is given
/// what was found, and when; `before` what the state is before each thing it does, and when.
pub(crate) fn replay(
    world: &World<'_>,
    rule: RuleIdx,
    state: &mut Automaton,
    ctx: &mut crate::kind::Ctx<'_>,
    record: &mut dyn FnMut(Timestamp, Vec<Found>),
    before: &mut dyn FnMut(Timestamp, &Automaton),
    past: &Past<'_>,
    to: Timestamp,
) {
    ctx.replaying = true;
    let from = past.from;
    let mut trail = past.trail.iter().copied().take_while(|touch| touch.ts() < to).peekable();
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
            before(due, state);
            state.due(ctx, due);
            record(due, core::mem::take(&mut ctx.found));
        }
        let Some(ts) = next else { return };
        let mut around = Around { wides: Vec::new(), starts: Vec::new() };
        let mut touches: SmallVec<[&Touch; 8]> = SmallVec::new();
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
        let touches = around.with(touches);
        before(ts, state);
        state.instant(ctx, &around.instant(ts, &touches));
        record(ts, core::mem::take(&mut ctx.found));
    }
}
