//! Clocks: time in ticks, a block's height for instance. A clock is the running maximum of the values that nodes report,
//! in order of event time, guarded against one that lies.
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use event::{Int, Timestamp};

use crate::{pack::Clock, verdict::EventRef};

/// How many nodes one clock tells apart.
const NODES_MAX: usize = 4_096;

/// All clocks of a program, by their number.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Clocks {
    tables: Vec<BTreeMap<Box<[u8]>, Dial>>,
}

/// The clock of one key.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Dial {
    /// What was reported before everything in `reports`.
    base: Reached,
    /// What can still be overtaken by a late report, by time.
    reports: Vec<(EventRef, u32, Int)>,
    /// What all of it comes to.
    now: Reached,
    /// When the clock came to stand at which value, ascending in both.
    steps: Vec<(Timestamp, Int)>,
    /// The time of the newest report.
    heard: Timestamp,
}

/// The greatest value of each node, and what follows.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Reached {
    by_node: BTreeMap<u32, Int>,
    value: Option<Int>,
}

impl Reached {
    /// Takes a report; returns the clock's value when that moves it.
    fn report(&mut self, clock: &Clock, node: u32, value: &Int) -> Option<Int> {
        let known = self.by_node.get(&node);
        if known.is_some_and(|known| known >= value) || (known.is_none() && self.by_node.len() >= NODES_MAX) {
            return None;
        }
        self.by_node.insert(node, value.clone());
        if self.value.as_ref().is_some_and(|now| now >= value) {
            return None;
        }
        let mut values: Vec<&Int> = self.by_node.values().collect();
        values.sort_unstable_by(|a, b| b.cmp(a));
        let needed = usize::try_from(clock.quorum).unwrap_or(usize::MAX).max(1);
        let mut moved = None;
        // A step may bring near what was a leap before.
        loop {
            let now: Option<&Int> = moved.or(self.value.as_ref());
            let farthest = now.zip(clock.max_step.as_ref()).map(|(now, step)| now.add(step));
            // A leap is believed when a second node has made it too; a step is always.
            let is_believed =
                |place: usize, value: &Int| place >= 1 || farthest.as_ref().is_none_or(|farthest| value <= farthest);
            let reached = values.iter().enumerate().skip(needed - 1).find(|(place, value)| is_believed(*place, value));
            match reached {
                Some((_, reached)) if now.is_none_or(|now| *reached > now) => moved = Some(*reached),
                _ => break,
            }
        }
        let moved = moved?.clone();
        self.value = Some(moved.clone());
        Some(moved)
    }
}

impl Clocks {
    pub(crate) fn with_tables(count: usize) -> Self {
        Clocks { tables: (0..count).map(|_| BTreeMap::new()).collect() }
    }

    /// Moves the clocks to other numbers: `from[new]` is the old number, or none for a new clock.
    pub(crate) fn renumbered(mut self, from: &[Option<usize>]) -> Self {
        let tables = from
            .iter()
            .map(|old| old.and_then(|old| self.tables.get_mut(old)).map(core::mem::take).unwrap_or_default())
            .collect();
        Clocks { tables }
    }

    /// Takes over what another table knows of a clock.
    pub(crate) fn take_over(&mut self, from: &mut Self, clock: usize) {
        if let (Some(own), Some(theirs)) = (self.tables.get_mut(clock), from.tables.get_mut(clock)) {
            *own = core::mem::take(theirs);
        }
    }

    /// Takes a report. Returns whether it changes the clock at its own time or later.
    pub(crate) fn report(
        &mut self,
        number: u32,
        clock: &Clock,
        key: &[u8],
        at: EventRef,
        node: u32,
        value: Int,
    ) -> bool {
        let Some(table) = self.tables.get_mut(number as usize) else { return false };
        let dial = match table.get_mut(key) {
            Some(dial) => dial,
            None => table.entry(key.into()).or_default(),
        };
        let place = dial.reports.partition_point(|(known, _, _)| *known < at);
        if dial.reports.get(place).is_some_and(|(known, _, _)| *known == at) {
            return false;
        }
        dial.heard = dial.heard.max(at.ts);
        if place == dial.reports.len() {
            let moved = dial.now.report(clock, node, &value);
            dial.reports.push((at, node, value));
            return moved.is_some_and(|to| {
                step(&mut dial.steps, at.ts, to);
                true
            });
        }
        dial.reports.insert(place, (at, node, value));
        let before = dial.steps.clone();
        let settled = dial.reports.first().map_or(at.ts, |(first, _, _)| first.ts);
        // Steps of the base stay; those of the reports are made again.
        dial.steps.retain(|(ts, _)| *ts < settled);
        dial.now = dial.base.clone();
        for (at, node, value) in &dial.reports {
            if let Some(to) = dial.now.report(clock, *node, value) {
                step(&mut dial.steps, at.ts, to);
            }
        }
        before != dial.steps
    }

    /// The clock's value at `ts`, what happens in that instant included.
    pub(crate) fn at(&self, number: u32, key: &[u8], ts: Timestamp) -> Option<&Int> {
        let steps = self.steps(number, key);
        steps[..steps.partition_point(|(at, _)| *at <= ts)].last().map(|(_, value)| value)
    }

    /// When, up to `until`, the clock first exceeds a value.
    pub(crate) fn exceeds(&self, number: u32, key: &[u8], value: &Int, until: Timestamp) -> Option<Timestamp> {
        let steps = self.steps(number, key);
        let at = steps.get(steps.partition_point(|(_, known)| known <= value))?.0;
        (at <= until).then_some(at)
    }

    /// Since when the clock has stood no more than so many ticks below where it stood just before `ts`; zero: since ever, or it
    /// did not run.
    pub(crate) fn reaches_back(&self, number: u32, key: &[u8], ticks: &Int, ts: Timestamp) -> Timestamp {
        let steps = self.steps(number, key);
        let Some((_, stood)) = steps[..steps.partition_point(|(at, _)| *at < ts)].last() else {
            return Timestamp::ZERO;
        };
        let least = stood.sub(ticks);
        match steps.partition_point(|(_, value)| *value < least) {
            // Before its first step a deadline would begin with that.
            0 => Timestamp::ZERO,
            place => steps.get(place).map_or(ts, |(at, _)| *at),
        }
    }

    fn steps(&self, number: u32, key: &[u8]) -> &[(Timestamp, Int)] {
        self.tables.get(number as usize).and_then(|table| table.get(key)).map_or(&[], |dial| &dial.steps)
    }

    /// The times in [from, to) at which any of a clock's dials moves, ascending.
    pub(crate) fn ticks(&self, number: u32, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let dials = self.tables.get(number as usize).into_iter().flat_map(BTreeMap::values);
        let mut ticks: Vec<Timestamp> = dials
            .flat_map(|dial| dial.steps[dial.steps.partition_point(|(at, _)| *at < from)..].iter())
            .map(|(at, _)| *at)
            .take_while(|at| *at < Timestamp::MAX)
            .filter(|at| *at < to)
            .collect();
        ticks.sort_unstable();
        ticks.dedup();
        ticks
    }

    /// Forgets reports that no late one can precede any more, steps that nothing asks for, and dials of which nothing was heard for long.
    pub(crate) fn prune(&mut self, declared: &[&Clock], floor: Timestamp, oldest: Timestamp) {
        for (table, clock) in self.tables.iter_mut().zip(declared) {
            table.retain(|_, dial| {
                let settled = dial.reports.partition_point(|(at, _, _)| at.ts < floor);
                for (_, node, value) in dial.reports.drain(..settled) {
                    dial.base.report(clock, node, &value);
                }
                let keep_from = dial.steps.partition_point(|(at, _)| *at < oldest).saturating_sub(1);
                dial.steps.drain(..keep_from);
                dial.heard >= oldest
            });
        }
    }
}

/// Notes where the clock stands from `ts` on.
fn step(steps: &mut Vec<(Timestamp, Int)>, ts: Timestamp, value: Int) {
    match steps.last_mut() {
        Some((at, known)) if *at == ts => *known = value,
        _ => steps.push((ts, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::String, vec};
    use event::{Identity, Position};

    fn clock(quorum: u64, max_step: Option<i64>) -> Clock {
        Clock {
            name: String::from("height"),
            key: Vec::new(),
            of: crate::pack::Role { name: "".into(), alternatives: Vec::new(), kept: 0, label: "".into() },
            value: crate::expr::Expr::Slot(0),
            quorum,
            max_step: max_step.map(Int::from),
        }
    }

    fn at(ts: u64) -> EventRef {
        EventRef { ts: Timestamp(ts), identity: Identity(u128::from(ts)), element: 0, position: Position::default() }
    }

    /// `(ts, node, value)` in order of arrival; what the clock shows at the times 1 to 6.
    fn shown(clock: &Clock, reports: &[(u64, u32, i64)]) -> Vec<Option<i64>> {
        let mut clocks = Clocks::with_tables(1);
        for &(ts, node, value) in reports {
            clocks.report(0, clock, b"k", at(ts), node, Int::from(value));
        }
        (1..=6).map(|ts| clocks.at(0, b"k", Timestamp(ts)).and_then(Int::to_i64)).collect()
    }

    #[test]
    fn a_clock_is_the_running_maximum_in_whatever_order_it_is_told() {
        let reports = [(1, 1, 5), (2, 2, 4), (3, 1, 7), (4, 2, 6), (5, 1, 8)];
        let expected = vec![Some(5), Some(5), Some(7), Some(7), Some(8), Some(8)];
        assert_eq!(shown(&clock(1, None), &reports), expected);
        let backwards: Vec<_> = reports.into_iter().rev().collect();
        assert_eq!(shown(&clock(1, None), &backwards), expected);
    }

    #[test]
    fn a_quorum_must_have_reached_a_value() {
        let reports = [(1, 1, 5), (2, 2, 4), (3, 1, 9), (4, 3, 6), (5, 2, 7)];
        assert_eq!(shown(&clock(2, None), &reports), [None, Some(4), Some(4), Some(6), Some(7), Some(7)]);
    }

    #[test]
    fn one_liar_does_not_move_it_far_and_two_that_agree_do() {
        let reports = [(1, 1, 5), (2, 2, 1_000), (3, 1, 6), (4, 3, 7), (5, 3, 900)];
        assert_eq!(shown(&clock(1, Some(10)), &reports), [Some(5), Some(5), Some(6), Some(7), Some(900), Some(900)]);
    }

    #[test]
    fn a_leap_is_believed_once_the_others_have_come_near() {
        let reports = [(1, 1, 5), (2, 2, 8), (3, 1, 6), (4, 1, 7), (5, 3, 4)];
        assert_eq!(shown(&clock(1, Some(1)), &reports), [Some(5), Some(5), Some(6), Some(8), Some(8), Some(8)]);
    }

    #[test]
    fn what_one_node_has_reached_waits_for_the_second() {
        let clock = clock(2, None);
        let mut clocks = Clocks::with_tables(1);
        clocks.report(0, &clock, b"k", at(10), 1, Int::from(5));
        clocks.prune(&[&clock], Timestamp(20), Timestamp(10));
        assert!(clocks.report(0, &clock, b"k", at(30), 2, Int::from(6)));
        assert_eq!(clocks.at(0, b"k", Timestamp(30)).and_then(Int::to_i64), Some(5));
    }

    #[test]
    fn what_is_pruned_still_counts() {
        let clock = clock(2, None);
        let mut clocks = Clocks::with_tables(1);
        for (ts, node, value) in [(1, 1, 5), (2, 2, 6), (3, 1, 9)] {
            clocks.report(0, &clock, b"k", at(ts), node, Int::from(value));
        }
        clocks.prune(&[&clock], Timestamp(3), Timestamp(2));
        assert!(clocks.report(0, &clock, b"k", at(5), 2, Int::from(8)));
        assert_eq!(clocks.at(0, b"k", Timestamp(5)).and_then(Int::to_i64), Some(8));
        assert_eq!(clocks.exceeds(0, b"k", &Int::from(6), Timestamp(9)), Some(Timestamp(5)));
        assert_eq!(clocks.exceeds(0, b"k", &Int::from(6), Timestamp(4)), None);
    }
}
