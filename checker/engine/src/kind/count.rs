//! `count`: the number of events stays in bounds, ever, in a sliding window, or around each opener.
use alloc::{collections::VecDeque, vec, vec::Vec};
use event::Timestamp;

use super::{Anchor, Ctx, Instant, Part, What};
use crate::{
    pack::{CountSpan, Kind, OnRestart, RoleIdx, Rule},
    scope::Span,
    touch::{Seen, same_event},
    verdict::EventRef,
};

/// How many counted events are kept as evidence beyond the allowed number.
const EXCESS_MAX: usize = 16;

/// What was counted for one key.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Count {
    /// Counted ever (of the current span of `during`), or still inside the window, or looked back upon.
    seen: VecDeque<Seen>,
    total: u64,
    span: Option<Span>,
    /// The event with which the window became too full.
    onset: Option<EventRef>,
    /// That it is too full was said: it has lasted as long as `for` asks.
    reported: bool,
    open: Vec<Opened>,
}

/// A span around one opener.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Opened {
    opener: Seen,
    counted: Vec<EventRef>,
    total: u64,
    /// The last time that belongs to it.
    end: Timestamp,
    reported: bool,
}

impl Count {
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Count { of, max, span, .. } = &ctx.rule.kind else { return };
        if now.restart.is_some() && ctx.rule.on_restart == OnRestart::Ended && !matches!(span, CountSpan::Per { .. }) {
            *self = Count::default();
        }
        match span {
            CountSpan::Ever => self.ever(ctx, now, *of, *max),
            CountSpan::Window(length) => self.window(ctx, now, *of, *max, *length),
            CountSpan::Per { .. } => self.per(ctx, now),
        }
    }

    fn ever(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>, of: RoleIdx, max: Option<u64>) {
        let Some(span) = ctx.span(now.ts) else { return };
        if self.span.is_some_and(|known| known != span) {
            *self = Count::default();
        }
        self.span = Some(span);
        let Some(max) = max else { return };
        for touch in now.of(of) {
            if self.seen.iter().any(|seen| seen.at.identity == touch.at.identity && seen.at.element == touch.at.element)
            {
                continue;
            }
            ctx.exercise(now.ts);
            self.total += 1;
            let limit = usize::try_from(max).unwrap_or(usize::MAX).saturating_add(1).saturating_add(EXCESS_MAX);
            let grown = self.seen.len() < limit;
            if grown {
                self.seen.push_back(touch.seen());
            }
            if self.total <= max {
                ctx.tally.held += 1;
            } else if grown {
                // Said again with the same anchor for each excess event that the evidence still takes.
                let anchor = span.opener.map_or(Anchor::Key, Anchor::Event);
                let at = self.seen.get(usize::try_from(max).unwrap_or(0)).map_or(now.ts, |first| first.at.ts);
                let evidence = cite(of, self.seen.iter().map(|seen| seen.at));
                ctx.violated(anchor, at, evidence, None);
            }
        }
    }

    fn window(
        &mut self,
        ctx: &mut Ctx<'_>,
        now: &Instant<'_>,
        of: RoleIdx,
        max: Option<u64>,
        length: core::time::Duration,
    ) {
        let Some(max) = max else { return };
        self.expire(now.ts, length);
        for touch in now.of(of) {
            if ctx.span(now.ts).is_some() {
                ctx.exercise(now.ts);
                self.seen.push_back(touch.seen());
            }
        }
        let full = self.seen.len() as u64 > max;
        if !full {
            self.recover(ctx, now.ts);
        }
        if !full && now.of(of).next().is_some() {
            ctx.tally.held += 1;
        }
        if let Some(last) = self.seen.back().filter(|_| full && self.onset.is_none()).map(|seen| seen.at) {
            self.onset = Some(last);
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
            ctx.find(Anchor::Event(onset), What::Resolved(at));
        }
    }

    fn per(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Count { of, min, max, span: CountSpan::Per { when, before, within, until } } = &ctx.rule.kind else {
            return;
        };
        let counted: Vec<Seen> = now.of(*of).map(crate::touch::Touch::seen).collect();
        for touch in now.of(*when) {
            if ctx.span(now.ts).is_none() {
                continue;
            }
            ctx.exercise(now.ts);
            let opener = touch.seen();
            let from = now.ts.minus(*before);
            let earlier: Vec<EventRef> = self
                .seen
                .iter()
                .filter(|seen| seen.at.ts >= from && ctx.fits(&opener, seen))
                .map(|seen| seen.at)
                .collect();
            let end = within.map_or(Timestamp::MAX, |within| now.ts.plus(within));
            let total = earlier.len() as u64;
            self.open.push(Opened { opener, counted: earlier, total, end, reported: false });
        }
        for open in &mut self.open {
            for seen in &counted {
                if !same_event(&seen.at, &open.opener.at) && ctx.fits(&open.opener, seen) {
                    open.total += 1;
                    if open.counted.len() < usize::try_from(max.unwrap_or(0)).unwrap_or(0) + 1 + EXCESS_MAX {
                        open.counted.push(seen.at);
                    }
                }
            }
            if max.is_some_and(|max| open.total > max) && !open.reported {
                open.reported = true;
                let mut evidence = vec![(Part::Role(*when), open.opener.at)];
                evidence.extend(cite(*of, open.counted.iter().copied()));
                ctx.violated(Anchor::Event(open.opener.at), now.ts, evidence, None);
            }
        }
        if !before.is_zero() {
            let oldest = now.ts.minus(*before);
            while self.seen.front().is_some_and(|seen| seen.at.ts < oldest) {
                self.seen.pop_front();
            }
            self.seen.extend(counted);
        }
        if let Some(closer) = now.of_some(*until).next() {
            let mut still = Vec::new();
            for open in core::mem::take(&mut self.open) {
                let tied = open.opener.at.ts == now.ts && min.is_some_and(|min| open.total < min);
                if same_event(&open.opener.at, &closer.at) || tied {
                    still.push(open);
                } else {
                    self.close(ctx, open, now.ts, Some((Part::Role(closer.role()), closer.at)));
                }
            }
            self.open = still;
        }
        if let Some(restart) = now.restart {
            let (owed, open) =
                core::mem::take(&mut self.open).into_iter().partition(|open: &Opened| open.opener.at.ts < now.ts);
            match ctx.rule.on_restart {
                OnRestart::Broken => {
                    self.open = open;
                    let owed: Vec<Opened> = owed;
                    for open in owed {
                        self.close(ctx, open, now.ts, Some((Part::Restart, restart)));
                    }
                }
                OnRestart::Ended => self.open = open,
                OnRestart::Reset | OnRestart::Keep => self.open = owed.into_iter().chain(open).collect(),
            }
        }
    }

    /// Judges a span at its end.
    fn close(&mut self, ctx: &mut Ctx<'_>, open: Opened, at: Timestamp, by: Option<(Part, EventRef)>) {
        let Kind::Count { of, min, span: CountSpan::Per { when, .. }, .. } = &ctx.rule.kind else { return };
        if min.is_some_and(|min| open.total < min) {
            let mut evidence = vec![(Part::Role(*when), open.opener.at)];
            evidence.extend(cite(*of, open.counted.iter().copied()));
            evidence.extend(by);
            ctx.violated(Anchor::Event(open.opener.at), at, evidence, Some((*of, at)));
        } else if !open.reported {
            ctx.tally.held += 1;
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
            CountSpan::Per { .. } => self.open.iter().map(|open| open.end).min().filter(|end| *end < Timestamp::MAX),
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
                if let (Some(onset), Some(lasts)) = (self.onset, self.lasts(ctx.rule).filter(|lasts| *lasts <= due)) {
                    self.too_full(ctx, onset, *of, max, lasts);
                }
            }
            CountSpan::Per { .. } => {
                for open in core::mem::take(&mut self.open) {
                    if open.end > due {
                        self.open.push(open);
                    } else if !ctx.span(open.opener.at.ts).is_some_and(|span| ctx.span_ended(&span, open.end)) {
                        let end = open.end;
                        self.close(ctx, open, end, None);
                    }
                }
            }
        }
    }

    /// When what is too full has been so for as long as `for` asks; none when that was said.
    fn lasts(&self, rule: &Rule) -> Option<Timestamp> {
        self.onset.zip(rule.hold).filter(|_| !self.reported).map(|(onset, hold)| onset.ts.plus(hold.lasts))
    }

    pub(super) fn open(&self) -> u64 {
        self.open.len() as u64 + u64::from(self.onset.is_some())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.seen.is_empty() && self.open.is_empty() && self.total == 0
    }
}

fn cite(role: RoleIdx, events: impl Iterator<Item = EventRef>) -> Vec<(Part, EventRef)> {
    events.map(|event| (Part::Role(role), event)).collect()
}
