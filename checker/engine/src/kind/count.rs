//! `count`: the number of events stays in bounds, ever, in a sliding window, or around each opener.
use alloc::{boxed::Box, collections::VecDeque, vec, vec::Vec};
use event::{Int, Timestamp, Value};
use thin_vec::ThinVec;

use super::{
    Anchor, Ctx, Instant, Part, What, Withheld, slim,
    ticking::{self, Ticking},
};
use crate::{
    pack::{CountSpan, EmitOn, Kind, OnRestart, RoleIdx, Rule},
    scope::Span,
    touch::{Seen, Touch, same_event},
    verdict::{EventRef, Unknown},
};

/// How many counted events are kept as evidence beyond the allowed number.
const EXCESS_MAX: usize = 4;

/// What was counted for one key.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Count {
    /// Counted ever (of the current span of `during`), or still inside the window, or looked back upon.
    seen: VecDeque<Seen>,
    total: u64,
    span: Option<Span>,
    /// The restart since which is counted, where something was counted before it.
    run: Option<Box<EventRef>>,
    /// The event with which the window became too full.
    onset: Option<Box<EventRef>>,
    /// That it is too full was said: it has lasted as long as `for` asks.
    reported: bool,
    open: ThinVec<Opened>,
    /// Spans that ended with too few while the node could not be heard, and when to look again.
    asleep: ThinVec<(Opened, Timestamp)>,
    /// Something asleep can be judged by now.
    awake: bool,
}

/// A span around one opener.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Opened {
    opener: Seen,
    span: Span,
    counted: Vec<EventRef>,
    /// What certainly lies inside.
    total: u64,
    /// What lies beside the opener, and may as well have come before it.
    loose: u64,
    /// The last time that belongs to it.
    end: Timestamp,
    /// How that is counted in ticks, while the clock has not passed it.
    ticking: Option<Box<Ticking>>,
    reported: bool,
}

impl Opened {
    /// When it is looked at: at its end, or when waiting for the clock ends.
    fn due(&self) -> Timestamp {
        self.ticking.as_ref().map_or(self.end, |ticking| ticking.stalled_at())
    }
}

impl Count {
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Count { of, max, span, .. } = &ctx.rule.kind else { return };
        match span {
            CountSpan::Ever => self.ever(ctx, now, *of, *max),
            CountSpan::Window(length) => self.window(ctx, now, *of, *max, *length),
            CountSpan::Per { .. } => self.per(ctx, now),
        }
    }

    /// Each span counts anew, and so does each run of the node where a restart ends or resets the instance. What comes at
    /// a restart's own time belongs to the ended run as far as there is room.
    fn ever(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>, of: RoleIdx, max: Option<u64>) {
        let Some(max) = max else { return };
        let span = ctx.span(now.ts);
        let mut touches: Vec<&Touch> = now.of(of).filter(|_| span.is_some()).collect();
        // The same event has the same time, and what was seen last stands last.
        touches.retain(|touch| {
            let mut lately = self.seen.iter().rev().take_while(|seen| seen.at.ts >= touch.ts());
            !lately.any(|seen| seen.at.identity == touch.at.identity && seen.at.element == touch.at.element)
        });
        if span.is_some() && self.span != span && !touches.is_empty() {
            *self = Count { span, ..Count::default() };
        }
        let mut touches = touches.into_iter();
        if let Some(restart) = now.restart.filter(|_| starts_anew(ctx.rule)) {
            let room = usize::try_from(max.saturating_sub(self.total)).unwrap_or(usize::MAX);
            let before = touches.by_ref().take(room).count();
            ctx.tally.held += before as u64;
            if self.total > 0 || before > 0 || self.run.is_some() {
                *self = Count { span: self.span.take(), run: Some(Box::new(restart)), ..Count::default() };
            }
        }
        for touch in touches {
            ctx.exercise(now.ts);
            self.total += 1;
            let limit = usize::try_from(max).unwrap_or(usize::MAX).saturating_add(1).saturating_add(EXCESS_MAX);
            let grown = self.seen.len() < limit;
            if grown {
                slim::push_back(&mut self.seen, touch.seen());
            }
            if self.total <= max {
                ctx.tally.held += 1;
            } else if grown {
                // Said again with the same anchor for each excess event that the evidence still takes.
                let begun = self.run.as_deref().copied().or(self.span.as_ref().and_then(Span::opener));
                let anchor = begun.map_or(Anchor::Key, Anchor::Event);
                let at = self.seen.get(usize::try_from(max).unwrap_or(0)).map_or(now.ts, |first| first.at.ts);
                let evidence = cite(of, self.seen.iter().map(|seen| seen.at));
                ctx.violated(anchor, at, evidence, None);
            }
        }
    }

    /// A level is one for as long as the window is too full at every time, whatever leaves and enters it at one time.
    fn window(
        &mut self,
        ctx: &mut Ctx<'_>,
        now: &Instant<'_>,
        of: RoleIdx,
        max: Option<u64>,
        length: core::time::Duration,
    ) {
        let Some(max) = max else { return };
        let span = ctx.span(now.ts);
        let touches: Vec<&Touch> = now.of(of).filter(|_| span.is_some()).collect();
        self.expire(now.ts, length);
        if self.span != span && !touches.is_empty() {
            self.seen.clear();
            self.span = span;
        }
        let mut before = 0;
        if now.restart.is_some() && starts_anew(ctx.rule) {
            before = usize::try_from(max).unwrap_or(usize::MAX).saturating_sub(self.seen.len()).min(touches.len());
            self.seen.clear();
        }
        if !touches.is_empty() {
            ctx.exercise(now.ts);
        }
        self.seen.extend(touches[before..].iter().map(|touch| touch.seen()));
        let full = self.seen.len() as u64 > max;
        if !full && !touches.is_empty() {
            ctx.tally.held += 1;
        }
        if !full {
            self.recover(ctx, now.ts);
        } else if let Some(last) = self.seen.back().filter(|_| self.onset.is_none()).map(|seen| seen.at) {
            self.onset = Some(Box::new(last));
            if ctx.rule.hold.is_none_or(|hold| hold.lasts.is_zero()) {
                self.too_full(ctx, last, of, max, now.ts);
            }
        }
    }

    fn too_full(&mut self, ctx: &mut Ctx<'_>, onset: EventRef, of: RoleIdx, max: u64, at: Timestamp) {
        self.reported = true;
        let newest = self.seen.len().saturating_sub(usize::try_from(max).unwrap_or(0) + 1 + EXCESS_MAX);
        let evidence = cite(of, self.seen.iter().skip(newest).map(|seen| seen.at));
        ctx.find(Anchor::Event(onset), What::Violated { at, evidence, missing: None, level: true });
    }

    /// Drops what has left (ts - length, ts].
    fn expire(&mut self, ts: Timestamp, length: core::time::Duration) {
        while self.seen.front().is_some_and(|seen| seen.at.ts.plus(length) <= ts) {
            self.seen.pop_front();
        }
    }

    /// Notes that the window is no longer too full.
    fn recover(&mut self, ctx: &mut Ctx<'_>, at: Timestamp) {
        if let Some(onset) = self.onset.take()
            && core::mem::take(&mut self.reported)
        {
            ctx.find(Anchor::Event(*onset), What::Resolved(at));
        }
    }

    /// What lies beside the opener (without `before`) or beside the event that ends the span may be on either side of it:
    /// it is not counted as too much, and not missed as too little.
    fn per(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Count { of, min, max, span: CountSpan::Per { when, before, within, ticks, until } } = &ctx.rule.kind
        else {
            return;
        };
        if ctx.replaying {
            // What was left open before all this comes first.
            self.wake(ctx, now.ts);
        }
        let counted: Vec<Seen> = now.of(*of).map(Touch::seen).collect();
        let closers: Vec<Seen> = now.of_some(*until).map(Touch::seen).collect();
        for touch in now.of(*when) {
            let Some(span) = ctx.span(now.ts) else { continue };
            ctx.exercise(now.ts);
            let opener = touch.seen();
            let ticking = match ticks {
                None => None,
                Some(ticks) => match Ticking::new(ctx, ticks, &opener) {
                    Some(ticking) => Some(Box::new(ticking)),
                    None => {
                        ctx.unknown(Unknown::Absent);
                        continue;
                    }
                },
            };
            let from = now.ts.minus(*before);
            let earlier = self.seen.iter().filter(|seen| seen.at.ts >= from && ctx.fits(&opener, seen));
            let earlier = distinct(earlier.map(|seen| seen.at));
            let end = within.map_or(Timestamp::MAX, |within| now.ts.plus(within));
            let total = earlier.len() as u64;
            let opened = Opened { opener, span, counted: earlier, total, loose: 0, end, ticking, reported: false };
            slim::push_thin(&mut self.open, opened);
        }
        if let Some(ticks) = ticks {
            for open in &mut self.open {
                ticking::settle(&mut open.end, &mut open.ticking, ctx, ticks, now.ts);
            }
        }
        let restarted = now.restart.filter(|_| ctx.rule.on_restart != OnRestart::Keep);
        let min = min.unwrap_or(0);
        for mut open in core::mem::take(&mut self.open) {
            let fresh = open.opener.at.ts == now.ts;
            let fitting =
                counted.iter().filter(|seen| !same_event(&seen.at, &open.opener.at) && ctx.fits(&open.opener, seen));
            let here = distinct(fitting.map(|seen| seen.at));
            let beside = here.len() as u64;
            let closer = closers
                .iter()
                .find(|closer| !same_event(&closer.at, &open.opener.at) && ctx.fits(&open.opener, closer))
                .filter(|_| !fresh || open.total + beside >= min);
            let restart = restarted.filter(|_| match ctx.rule.on_restart {
                OnRestart::Broken => !fresh,
                _ => !(fresh && now.is_start(&open.opener.at)),
            });
            let ends = closer.is_some() || restart.is_some();
            open.counted.extend(here.into_iter().take(evidence_max(*max).saturating_sub(open.counted.len())));
            if fresh && before.is_zero() || ends {
                open.loose += beside;
            } else {
                open.total += beside;
            }
            if max.is_some_and(|max| open.total > max) && !open.reported {
                open.reported = true;
                if !ctx.span_ended(&open.span, now.ts) {
                    let mut evidence = vec![(Part::Role(*when), open.opener.at)];
                    evidence.extend(cite(*of, open.counted.iter().copied()));
                    ctx.violated(Anchor::Event(open.opener.at), now.ts, evidence, None);
                }
            }
            match (closer, restart) {
                (None, None) => self.open.push(open),
                (_, Some(_)) if ctx.rule.on_restart != OnRestart::Broken => {}
                (Some(closer), _) => self.close(ctx, open, now.ts, Some((Part::Role(closer.role), closer.at))),
                (None, Some(restart)) => self.close(ctx, open, now.ts, Some((Part::Restart, restart))),
            }
        }
        if !before.is_zero() {
            let mut oldest = now.ts.minus(*before);
            if restarted.is_some() && ctx.rule.on_restart == OnRestart::Reset {
                oldest = now.ts;
            }
            while self.seen.front().is_some_and(|seen| seen.at.ts < oldest) {
                self.seen.pop_front();
            }
            self.seen.extend(counted);
        }
    }

    /// Judges a span at its end.
    fn close(&mut self, ctx: &mut Ctx<'_>, open: Opened, at: Timestamp, by: Option<(Part, EventRef)>) {
        let Kind::Count { of, min, span: CountSpan::Per { when, before, .. }, .. } = &ctx.rule.kind else { return };
        if ctx.span_ended(&open.span, at) {
            return;
        }
        let came = || vec![Some(Value::Int(Int::Small(i128::from(open.total + open.loose))))];
        if ctx.emits(EmitOn::Closed) {
            ctx.make(EmitOn::Closed, Anchor::Event(open.opener.at), at, &[&open.opener], came());
        }
        let few = min.is_some_and(|min| open.total + open.loose < min);
        let anchor = Anchor::Event(open.opener.at);
        let hidden = || ctx.excuse(&anchor, open.opener.at.ts.minus(*before), at);
        if let Some(why) = few.then(hidden).flatten() {
            ctx.unknown(why);
        } else if few {
            let mut evidence = vec![(Part::Role(*when), open.opener.at)];
            evidence.extend(cite(*of, open.counted.iter().copied()));
            evidence.extend(by);
            ctx.violated(anchor, at, evidence, Some((*of, at)));
        } else if !open.reported {
            ctx.tally.held += 1;
            if ctx.emits(EmitOn::Held) {
                ctx.make(EmitOn::Held, Anchor::Event(open.opener.at), at, &[&open.opener], came());
            }
        }
    }

    pub(super) fn next_due(&self, rule: &Rule) -> Option<Timestamp> {
        let Kind::Count { max, span, .. } = &rule.kind else { return None };
        match span {
            CountSpan::Ever => None,
            CountSpan::Window(length) => {
                // While too full: when it stops being so. Else: when it is empty.
                let last = match self.onset {
                    Some(_) => self.seen.len().checked_sub(usize::try_from((*max)?).ok()? + 1)?,
                    None => self.seen.len().checked_sub(1)?,
                };
                let leaves = self.seen.get(last).map(|seen| seen.at.ts.plus(*length))?;
                Some(self.lasts(rule).map_or(leaves, |lasts| lasts.min(leaves)))
            }
            CountSpan::Per { .. } => {
                let ends = self.open.iter().map(Opened::due);
                ends.chain(self.asleep.iter().map(|(_, again)| *again)).min().filter(|end| *end < Timestamp::MAX)
            }
        }
    }

    pub(super) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        let Kind::Count { of, max, span, .. } = &ctx.rule.kind else { return };
        match span {
            CountSpan::Ever => {}
            CountSpan::Window(length) => {
                let max = max.unwrap_or(u64::MAX);
                self.expire(due, *length);
                if self.seen.len() as u64 <= max {
                    self.recover(ctx, due);
                }
                let onset = self.onset.as_deref().copied();
                if let (Some(onset), Some(lasts)) = (onset, self.lasts(ctx.rule).filter(|lasts| *lasts <= due)) {
                    self.too_full(ctx, onset, *of, max, lasts);
                }
            }
            CountSpan::Per { .. } => {
                self.wake(ctx, due);
                for open in core::mem::take(&mut self.open) {
                    if open.due() > due {
                        self.open.push(open);
                        continue;
                    }
                    if open.ticking.is_some() {
                        ctx.unknown(Unknown::ClockStalled);
                        continue;
                    }
                    let end = open.end;
                    match self.withheld(ctx, &open).filter(|_| !ctx.span_ended(&open.span, end)) {
                        Some(Withheld::ForGood(why)) => ctx.unknown(why),
                        Some(Withheld::ForNow(why)) => {
                            ctx.unknown(why);
                            self.asleep.push((open, ctx.look_again(due)));
                        }
                        None => self.close(ctx, open, end, None),
                    }
                }
            }
        }
    }

    /// Why too few may not be too few.
    fn withheld(&self, ctx: &Ctx<'_>, open: &Opened) -> Option<Withheld> {
        let Kind::Count { min: Some(min), span: CountSpan::Per { before, .. }, .. } = &ctx.rule.kind else {
            return None;
        };
        let few = open.total + open.loose < *min;
        if few { ctx.withheld(open.opener.at, open.opener.at.ts.minus(*before), open.end) } else { None }
    }

    /// Looks again at what was left open; see `Response::wake`.
    fn wake(&mut self, ctx: &mut Ctx<'_>, now: Timestamp) {
        for (open, again) in core::mem::take(&mut self.asleep) {
            match self.withheld(ctx, &open) {
                _ if again > now && !ctx.replaying => self.asleep.push((open, again)),
                Some(Withheld::ForGood(_)) => {}
                Some(Withheld::ForNow(_)) => self.asleep.push((open, ctx.look_again(now))),
                None if !ctx.replaying => {
                    self.awake = true;
                    self.asleep.push((open, Timestamp::MAX));
                }
                None => {
                    let end = open.end;
                    ctx.woken.push(Anchor::Event(open.opener.at));
                    self.close(ctx, open, end, None);
                }
            }
        }
    }

    pub(super) fn poll(&mut self, ctx: &Ctx<'_>) {
        self.awake |=
            self.asleep.iter().any(|(open, _)| !matches!(self.withheld(ctx, open), Some(Withheld::ForNow(_))));
    }

    pub(super) fn is_awake(&self) -> bool {
        self.awake
    }

    pub(super) fn has_left_open(&self) -> bool {
        !self.asleep.is_empty()
    }

    /// When what is too full has been so for as long as `for` asks; none when that was said.
    fn lasts(&self, rule: &Rule) -> Option<Timestamp> {
        self.onset.as_deref().zip(rule.hold).filter(|_| !self.reported).map(|(onset, hold)| onset.ts.plus(hold.lasts))
    }

    pub(super) fn open(&self) -> u64 {
        (self.open.len() + self.asleep.len()) as u64 + u64::from(self.onset.is_some())
    }

    pub(super) fn look(&self) -> usize {
        self.seen.front().map_or(0, |seen| seen.role.into())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.seen.is_empty() && self.open.is_empty() && self.asleep.is_empty() && self.total == 0 && self.run.is_none()
    }
}

/// Whether a restart makes the count begin anew.
fn starts_anew(rule: &Rule) -> bool {
    matches!(rule.on_restart, OnRestart::Ended | OnRestart::Reset)
}

/// How many counted events are kept as evidence.
fn evidence_max(max: Option<u64>) -> usize {
    usize::try_from(max.unwrap_or(0)).unwrap_or(usize::MAX).saturating_add(1 + EXCESS_MAX)
}

/// Events in order, each once, however many alternatives it matched.
fn distinct(events: impl Iterator<Item = EventRef>) -> Vec<EventRef> {
    let mut events: Vec<EventRef> = events.collect();
    events.dedup();
    events
}

fn cite(role: RoleIdx, events: impl Iterator<Item = EventRef>) -> Vec<(Part, EventRef)> {
    events.map(|event| (Part::Role(role), event)).collect()
}
