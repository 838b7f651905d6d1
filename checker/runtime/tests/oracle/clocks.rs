//! Clocks and times in their ticks, read directly: at each report all that has been reported by then is gone through.
use crate::{
    case::{Case, Mutant},
    model::{Event, NEVER, NODES, Time},
};

/// Whose reports a clock shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clock {
    /// The greatest of all.
    All,
    /// Those of the event's node.
    Own,
    /// What two nodes have reached.
    Two,
    /// The greatest of all, but no leap that one node alone has made.
    Near,
    /// What two nodes have reached in no leap.
    Wary,
}

impl Clock {
    pub fn name(self) -> &'static str {
        match self {
            Clock::All => "all",
            Clock::Own => "own",
            Clock::Two => "two",
            Clock::Near => "near",
            Clock::Wary => "wary",
        }
    }

    /// How many nodes must have reached a value.
    pub fn quorum(self) -> usize {
        if matches!(self, Clock::Two | Clock::Wary) { 2 } else { 1 }
    }

    /// The farthest step that is believed of fewer than two.
    pub fn max_step(self) -> Option<i64> {
        matches!(self, Clock::Near | Clock::Wary).then_some(1)
    }
}

/// A time in ticks of a clock.
#[derive(Clone, Debug)]
pub struct Ticks {
    pub clock: Clock,
    pub count: i64,
    /// Not before this, or as far back as this.
    pub and: Option<Time>,
    /// It is waited for no longer.
    pub or: Option<Time>,
}

impl Case<'_> {
    /// Where a clock stands: the greatest that all, or enough of all, have reported by then; of one node's clock its own alone.
    fn clock(&self, ticks: &Ticks, node: u8, ts: Time) -> Option<i64> {
        let Ticks { clock, .. } = *ticks;
        let heard = |of: u8| clock != Clock::Own || of == node;
        let mut reports: Vec<&Event> =
            self.log.iter().filter(|event| event.name == 'e' && event.ts <= ts && heard(event.node)).collect();
        reports.sort_by_key(|event| (event.ts, event.id));
        let quorum = if self.mutant == Mutant::LoneClock { 1 } else { clock.quorum() };
        let max_step = clock.max_step().filter(|_| self.mutant != Mutant::Credulous);
        let mut stands: Option<i64> = None;
        for count in 1..=reports.len() {
            let of_node =
                |node: u8| reports[..count].iter().filter(|event| event.node == node).map(|event| event.h).max();
            let mut nodes: Vec<i64> = (0..NODES).filter_map(of_node).collect();
            nodes.sort_unstable_by(|a, b| b.cmp(a));
            // What enough nodes have reached, and of that what is near, also to what was believed just now, or what two have reached.
            for _ in &nodes {
                let believed = |place: usize, value: i64| {
                    let leap = stands.zip(max_step).is_some_and(|(stands, step)| value > stands + step);
                    place + 1 >= quorum && (!leap || place >= 1)
                };
                let reached = nodes.iter().enumerate().filter(|(place, value)| believed(*place, **value));
                stands = stands.max(reached.map(|(_, value)| *value).max());
            }
        }
        stands
    }

    /// When a deadline in ticks that begins with an event passes: the clock first exceeds where it stood then, or where it begins.
    pub fn ticked(&self, ticks: &Ticks, node: u8, from: Time) -> Time {
        let mut times: Vec<Time> = self.log.iter().filter(|event| event.name == 'e').map(|event| event.ts).collect();
        times.sort_unstable();
        let begins = || times.iter().find_map(|ts| self.clock(ticks, node, *ts));
        let Some(stood) = self.clock(ticks, node, from).or_else(begins) else { return NEVER };
        let over = stood + ticks.count - i64::from(self.mutant == Mutant::EarlyTick);
        let exceeds = |ts: &&Time| self.clock(ticks, node, **ts).is_some_and(|now| now > over);
        times.iter().find(exceeds).copied().unwrap_or(NEVER)
    }
}
