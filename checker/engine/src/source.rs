//! Who was heard, when, and how far behind: watermarks and the frontier.
use alloc::{
    collections::VecDeque,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;
use event::Timestamp;
use hashbrown::{Equivalent, HashMap};

use crate::{
    gap::Gaps,
    verdict::{EventRef, Unknown},
};

/// The numbers of time-keeping, with the defaults people can rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Allowance for a source that has shown no lag (2 s).
    pub lateness: Duration,
    /// Allowance beyond the lag that a source has shown (1 s).
    pub margin: Duration,
    /// How long a source's lag is remembered, and how long a quiet source may hold the frontier (1 min).
    pub idle_after: Duration,
    /// A source that lags more than this holds nobody up (15 s).
    pub max_delay: Duration,
    /// How long late events still correct verdicts (5 min).
    pub correct_for: Duration,
    /// How many bytes may be kept for that; at the bound, late events correct verdicts for less long (256 MiB).
    pub correction_memory: u64,
    /// Events so far ahead of their arrival are not judged (60 s).
    pub future: Duration,
    /// Look-backs past the first event of a node are unknown for so long (5 s).
    pub settle: Duration,
    /// How long identities are remembered (2 min).
    pub remember: Duration,
    /// How long, after it was away, Invar at most follows those who still send what they kept for it (15 min).
    pub catch_up_for: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            lateness: Duration::from_secs(2),
            margin: Duration::from_secs(1),
            idle_after: Duration::from_secs(60),
            max_delay: Duration::from_secs(15),
            correct_for: Duration::from_secs(300),
            correction_memory: 256 << 20,
            future: Duration::from_secs(60),
            settle: Duration::from_secs(5),
            remember: Duration::from_secs(120),
            catch_up_for: Duration::from_secs(900),
        }
    }
}

/// A source's number, for as long as this engine lives.
pub type SourceIdx = u32;

/// What is known of one source.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct SourceState {
    /// Its network.
    pub network: String,
    /// Its node.
    pub node: String,
    /// Its component.
    pub component: String,
    /// The node's number.
    pub(crate) node_idx: u32,
    /// When something of it last arrived.
    pub last_arrival: Timestamp,
    /// The greatest time an event of it bore.
    pub last_ts: Timestamp,
    /// How many events came.
    pub events: u64,
    /// Lags (ns, negative where its clock runs ahead) that may still be the greatest, oldest first, falling.
    lags: VecDeque<(Timestamp, i64)>,
    /// When something last arrived, and the least lag among what arrived then.
    current: (Timestamp, i64),
    /// When its lag last fell by more than the margin, and to what, since Invar is back.
    best: (Timestamp, i64),
    /// The spans, first and last event of each, in which no two events were further apart than `idle_after`; by time.
    presence: VecDeque<(Timestamp, Timestamp)>,
}

/// How many spans of presence are kept per source.
const SPANS_MAX: usize = 256;

impl SourceState {
    /// The greatest lag of its events of the last minute, ns; 0 for a clock that runs ahead.
    #[must_use]
    pub fn lag_ns(&self) -> u64 {
        self.lags.front().map_or(0, |&(_, lag)| u64::try_from(lag).unwrap_or(0))
    }

    /// A source of which nothing is known but its name.
    pub(crate) fn named(network: &str, node: &str, component: &str) -> Self {
        SourceState {
            network: network.into(),
            node: node.into(),
            component: component.into(),
            ..SourceState::default()
        }
    }

    /// Notes an event at `ts`. Returns from when on it makes the source live that was not known to be.
    fn present(&mut self, ts: Timestamp, idle_after: Duration) -> Option<Timestamp> {
        let spans = &mut self.presence;
        let place = spans.partition_point(|&(first, _)| first <= ts);
        let before = place.checked_sub(1).and_then(|before| spans.get(before).copied());
        if before.is_some_and(|(_, last)| ts <= last) {
            return None;
        }
        let joins = before.filter(|(_, last)| ts <= last.plus(idle_after));
        let after = spans.get(place).copied().filter(|(first, _)| *first <= ts.plus(idle_after));
        let news = joins.map_or(ts, |(_, last)| last.plus(idle_after));
        match (joins, after) {
            (Some(_), Some((_, last))) => {
                spans[place - 1].1 = last;
                spans.remove(place);
            }
            (Some(_), None) => spans[place - 1].1 = ts,
            (None, Some(_)) => spans[place].0 = ts,
            (None, None) => {
                spans.insert(place, (ts, ts));
                if spans.len() > SPANS_MAX {
                    spans.pop_front();
                }
            }
        }
        Some(news)
    }

    /// Whether an event lies in (ts - idle_after, ts].
    fn is_live(&self, ts: Timestamp, idle_after: Duration) -> bool {
        let place = self.presence.partition_point(|&(first, _)| first <= ts);
        place.checked_sub(1).is_some_and(|place| ts < self.presence[place].1.plus(idle_after))
    }
}

/// One node: all its components together.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct NodeState {
    pub(crate) network: String,
    pub(crate) node: String,
    pub(crate) first_ts: Timestamp,
    pub(crate) last_ts: Timestamp,
    /// Sources that lag too far behind to be waited for may have more to say from here on.
    pub(crate) complete_to: Timestamp,
    /// Its events that were not judged.
    pub(crate) gaps: Gaps,
    /// The first event of each process, by time.
    processes: Vec<(EventRef, String)>,
}

/// The time after Invar itself was away, in which senders deliver what they kept for it.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct CatchUp {
    /// When Invar was back.
    from: Timestamp,
    /// Sources heard since then, and before it went away, may have kept something.
    active_since: Timestamp,
    /// So long those are waited for that have not been heard again.
    hold_until: Timestamp,
    /// When it ends at the latest; open until the very first source is heard.
    until: Option<Timestamp>,
}

/// A node's name on its way: network and node. Its hash is that of the pair of strings that it equals.
#[derive(Hash)]
struct NodeName<'a>(&'a str, &'a str);

impl Equivalent<(String, String)> for NodeName<'_> {
    fn equivalent(&self, known: &(String, String)) -> bool {
        self.0 == known.0 && self.1 == known.1
    }
}

/// A source's name on its way: network, node and component, as [`NodeName`].
#[derive(Hash)]
struct SourceName<'a>(&'a str, &'a str, &'a str);

impl Equivalent<(String, String, String)> for SourceName<'_> {
    fn equivalent(&self, known: &(String, String, String)) -> bool {
        self.0 == known.0 && self.1 == known.1 && self.2 == known.2
    }
}

/// All sources and nodes, and the frontier they allow.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sources {
    pub(crate) states: Vec<SourceState>,
    pub(crate) nodes: Vec<NodeState>,
    by_name: HashMap<(String, String, String), SourceIdx, foldhash::fast::FixedState>,
    node_by_name: HashMap<(String, String), u32, foldhash::fast::FixedState>,
    pub(crate) arrival: Timestamp,
    pub(crate) frontier: Timestamp,
    catch_up: Option<CatchUp>,
}

impl Sources {
    pub(crate) fn source(&mut self, network: &str, node: &str, component: &str) -> SourceIdx {
        if let Some(&known) = self.by_name.get(&SourceName(network, node, component)) {
            return known;
        }
        let node_idx = self.node(network, node);
        let number = self.states.len() as SourceIdx;
        self.states.push(SourceState { node_idx, ..SourceState::named(network, node, component) });
        self.by_name.insert((network.into(), node.into(), component.into()), number);
        number
    }

    fn node(&mut self, network: &str, node: &str) -> u32 {
        if let Some(&known) = self.node_by_name.get(&NodeName(network, node)) {
            return known;
        }
        let number = self.nodes.len() as u32;
        self.nodes.push(NodeState {
            network: network.into(),
            node: node.into(),
            first_ts: Timestamp::MAX,
            complete_to: Timestamp::MAX,
            ..NodeState::default()
        });
        self.node_by_name.insert((network.into(), node.into()), number);
        number
    }

    /// Looks a node up without making it.
    pub(crate) fn find_node(&self, network: &str, node: &str) -> Option<&NodeState> {
        let number = *self.node_by_name.get(&NodeName(network, node))?;
        self.nodes.get(number as usize)
    }

    /// Notes that an event of `source`, sent at `sent` and about `ts`, arrived at `arrived`. Returns from when on that
    /// makes the source live that was not known to be.
    pub(crate) fn heard(
        &mut self,
        timing: &Timing,
        source: SourceIdx,
        ts: Timestamp,
        sent: Timestamp,
        arrived: Timestamp,
    ) -> Option<Timestamp> {
        let state = self.states.get_mut(source as usize)?;
        let lag = i64::try_from(i128::from(arrived.0) - i128::from(sent.0)).unwrap_or(i64::MAX);
        while state.lags.back().is_some_and(|&(_, known)| known <= lag) {
            state.lags.pop_back();
        }
        // Of one arrival the greatest lag counts: events of one request mostly lag less and less.
        if state.lags.back().is_none_or(|&(at, _)| at != arrived) {
            state.lags.push_back((arrived, lag));
        }
        state.current = if state.current.0 == arrived { (arrived, state.current.1.min(lag)) } else { (arrived, lag) };
        if let Some(catch_up) = &self.catch_up {
            let margin = i64::try_from(timing.margin.as_nanos()).unwrap_or(i64::MAX);
            let (at, best) = state.best;
            if at < catch_up.from || lag < best.saturating_sub(margin) {
                state.best = (arrived, lag);
            }
        }
        let oldest = arrived.minus(timing.idle_after);
        while state.lags.front().is_some_and(|&(at, _)| at < oldest) {
            state.lags.pop_front();
        }
        state.last_arrival = arrived;
        state.last_ts = state.last_ts.max(ts);
        state.events += 1;
        if let Some(node) = self.nodes.get_mut(state.node_idx as usize) {
            node.first_ts = node.first_ts.min(ts);
            node.last_ts = node.last_ts.max(ts);
        }
        state.present(ts, timing.idle_after)
    }

    /// The nodes of a network whose component of that name was heard in (ts - idle_after, ts], in order of name.
    pub(crate) fn live(&self, network: &str, component: &str, ts: Timestamp, idle_after: Duration) -> Vec<&str> {
        let mut nodes: Vec<&str> = self
            .states
            .iter()
            .filter(|state| state.network == network && state.component == component && state.is_live(ts, idle_after))
            .map(|state| state.node.as_str())
            .collect();
        nodes.sort_unstable();
        nodes
    }

    /// Notes that an event of `source` is not judged.
    pub(crate) fn missed(&mut self, source: SourceIdx, event: &str, ts: Timestamp, why: Unknown) {
        let Some(state) = self.states.get(source as usize) else { return };
        if let Some(node) = self.nodes.get_mut(state.node_idx as usize) {
            node.gaps.note(event, ts, why);
        }
    }

    /// Notes that a record of a node was not taken. What never had a record taken is not known. Returns the node where that is
    /// news of it.
    pub(crate) fn refused(
        &mut self,
        network: &str,
        node: &str,
        event: &str,
        ts: Timestamp,
        why: Unknown,
    ) -> Option<u32> {
        let number = *self.node_by_name.get(&NodeName(network, node))?;
        let news = self.nodes.get_mut(number as usize)?.gaps.note(event, ts, why);
        news.then_some(number)
    }

    /// Notes that nobody knows what the nodes said between these times.
    pub(crate) fn lost(&mut self, from: Timestamp, to: Timestamp) {
        for node in &mut self.nodes {
            node.gaps.note_span(from, to, Unknown::Lost);
        }
    }

    /// Notes that Invar was away, or never there, until `arrived`.
    pub(crate) fn returned(&mut self, timing: &Timing, arrived: Timestamp) {
        let away = arrived.since(self.arrival).min(timing.idle_after);
        let first = self.states.is_empty();
        self.catch_up = Some(CatchUp {
            from: arrived,
            active_since: self.arrival.minus(timing.idle_after),
            hold_until: arrived.plus(away),
            until: (!first).then(|| arrived.plus(timing.catch_up_for)),
        });
        self.arrival = self.arrival.max(arrived);
    }

    /// How far everything is believed complete while senders catch up; none when they have. Whoever is heard is followed
    /// by the lag of what came last, however great, as long as that lag falls.
    fn catching_up(&mut self, timing: &Timing) -> Option<Timestamp> {
        let mut catch_up = self.catch_up?;
        if self.states.is_empty() {
            return Some(self.frontier);
        }
        let now = self.arrival;
        let until = *catch_up.until.get_or_insert(now.plus(timing.catch_up_for));
        self.catch_up = Some(catch_up);
        let mut waiting = false;
        let mut frontier = now.minus(timing.lateness);
        for state in &self.states {
            if state.last_arrival >= catch_up.from {
                let lag = Duration::from_nanos(u64::try_from(state.current.1).unwrap_or(0));
                let behind = lag > timing.max_delay;
                let quiet_from = if behind { state.best.0 } else { state.last_arrival };
                if quiet_from.plus(timing.idle_after) < now {
                    continue;
                }
                waiting |= behind;
                frontier = frontier.min(now.minus(timing.lateness.max(lag + timing.margin)));
            } else if state.last_arrival >= catch_up.active_since && now < catch_up.hold_until {
                waiting = true;
                frontier = frontier.min(self.frontier);
            }
        }
        if waiting && now < until {
            return Some(frontier);
        }
        self.catch_up = None;
        for state in self.states.iter_mut().filter(|state| state.last_arrival >= catch_up.from) {
            // The lag of what it had kept says nothing of what it sends from here on.
            state.lags.clear();
            state.lags.push_back(state.current);
        }
        None
    }

    /// Moves time on to `arrived` and says how far everything is now believed complete.
    pub(crate) fn tick(&mut self, timing: &Timing, arrived: Timestamp) -> Timestamp {
        self.arrival = self.arrival.max(arrived);
        self.nodes.iter_mut().for_each(|node| node.complete_to = Timestamp::MAX);
        if let Some(frontier) = self.catching_up(timing) {
            self.frontier = self.frontier.max(frontier);
            return self.frontier;
        }
        let oldest = self.arrival.minus(timing.idle_after);
        let mut frontier = self.arrival.minus(timing.lateness);
        for state in &mut self.states {
            if state.last_arrival < oldest {
                continue;
            }
            while state.lags.front().is_some_and(|&(at, _)| at < oldest) {
                state.lags.pop_front();
            }
            let lag = Duration::from_nanos(state.lag_ns());
            let watermark = self.arrival.minus(timing.lateness.max(lag + timing.margin));
            if lag <= timing.max_delay {
                frontier = frontier.min(watermark);
            } else if let Some(node) = self.nodes.get_mut(state.node_idx as usize) {
                node.complete_to = node.complete_to.min(watermark);
            }
        }
        self.frontier = self.frontier.max(frontier);
        self.frontier
    }

    /// The source that holds the frontier back most, if any does.
    pub(crate) fn slowest(&self, timing: &Timing) -> Option<&SourceState> {
        let oldest = self.arrival.minus(timing.idle_after);
        self.states
            .iter()
            .filter(|state| state.last_arrival >= oldest && Duration::from_nanos(state.lag_ns()) <= timing.max_delay)
            .max_by_key(|state| state.lag_ns())
    }

    /// Notes which process an event came from. Returns the node when its restarts are others now.
    pub(crate) fn process(&mut self, source: SourceIdx, process: &str, at: EventRef) -> Option<u32> {
        let node_idx = self.states.get(source as usize)?.node_idx;
        let node = self.nodes.get_mut(node_idx as usize)?;
        match node.processes.iter().position(|(_, known)| known == process) {
            Some(known) if node.processes[known].0 <= at => return None,
            Some(known) => {
                node.processes.remove(known);
            }
            None => {}
        }
        let place = node.processes.partition_point(|(first, _)| *first < at);
        node.processes.insert(place, (at, process.to_string()));
        const PROCESSES_MAX: usize = 64;
        if node.processes.len() > PROCESSES_MAX {
            node.processes.remove(0);
        }
        (node.processes.len() > 1).then_some(node_idx)
    }

    /// Takes over which processes another one has seen, of the same nodes.
    pub(crate) fn take_over_processes(&mut self, from: &mut Self) {
        for (own, theirs) in self.nodes.iter_mut().zip(&mut from.nodes) {
            own.processes = core::mem::take(&mut theirs.processes);
        }
    }

    /// The node's restarts as processes show them, by time.
    pub(crate) fn process_starts(&self, node_idx: u32) -> impl Iterator<Item = EventRef> {
        self.nodes
            .get(node_idx as usize)
            .into_iter()
            .flat_map(|node| node.processes.iter().skip(1).map(|&(first, _)| first))
    }

    /// Whether the node was not heard with a time after `deadline`, while another of its network was.
    pub(crate) fn silent(&self, network: &str, node: &str, deadline: Timestamp) -> bool {
        self.find_node(network, node).is_some_and(|state| state.last_ts <= deadline)
            && self.nodes.iter().any(|other| other.network == network && other.node != node && other.last_ts > deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    /// Sources `n1` and `n2` that were heard until `s(1_000)`, after which Invar is away until `back`.
    fn away_until(back: u64) -> (Sources, Timing) {
        let (mut sources, timing) = (Sources::default(), Timing::default());
        sources.returned(&timing, s(990));
        for node in ["n1", "n2"] {
            let source = sources.source("net", node, "c");
            sources.heard(&timing, source, s(1_000), s(1_000), s(1_000));
        }
        assert_eq!(sources.tick(&timing, s(1_000)), s(998));
        sources.returned(&timing, s(back));
        (sources, timing)
    }

    #[test]
    fn the_frontier_follows_a_backlog_until_it_is_delivered() {
        let (mut sources, timing) = away_until(4_600);
        assert_eq!(sources.tick(&timing, s(4_601)), s(998), "nobody has been heard again");
        for (step, ts) in [(4_602, 1_500), (4_603, 2_500), (4_604, 4_000)] {
            sources.heard(&timing, 0, s(ts - 400), s(ts - 400), s(step));
            sources.heard(&timing, 0, s(ts), s(ts), s(step));
            sources.heard(&timing, 1, s(ts), s(ts), s(step));
            assert_eq!(sources.tick(&timing, s(step)), s(ts - 1), "what arrived last, less the margin");
        }
        for source in [0, 1] {
            sources.heard(&timing, source, s(4_604), s(4_604), s(4_605));
        }
        assert_eq!(sources.tick(&timing, s(4_605)), s(4_603));
        sources.heard(&timing, 0, s(4_640), s(4_640), s(4_641));
        assert_eq!(sources.tick(&timing, s(4_641)), s(4_639), "the lag of the backlog is forgotten");
    }

    #[test]
    fn who_does_not_come_back_is_waited_for_as_long_as_invar_was_away_and_a_minute_at_most() {
        let (mut sources, timing) = away_until(1_010);
        assert_eq!(sources.tick(&timing, s(1_019)), s(998));
        assert_eq!(sources.tick(&timing, s(1_020)), s(1_018));
        let (mut sources, timing) = away_until(9_000);
        sources.heard(&timing, 0, s(9_050), s(9_050), s(9_050));
        assert_eq!(sources.tick(&timing, s(9_059)), s(998));
        assert_eq!(sources.tick(&timing, s(9_060)), s(9_058));
    }

    #[test]
    fn a_clock_that_is_off_is_no_backlog() {
        let (mut sources, timing) = away_until(2_000);
        for second in 2_001..2_070 {
            sources.heard(&timing, 0, s(second), s(second), s(second));
            sources.heard(&timing, 1, s(second - 900), s(second - 900), s(second));
            sources.tick(&timing, s(second));
        }
        assert_eq!(sources.frontier, s(2_067), "a lag that does not fall is waited for a minute");
    }

    #[test]
    fn nothing_is_too_late_for_an_invar_that_has_heard_nobody() {
        let (mut sources, timing) = (Sources::default(), Timing::default());
        sources.returned(&timing, s(100_000));
        assert_eq!(sources.tick(&timing, s(103_000)), Timestamp::ZERO);
        let source = sources.source("net", "n1", "c");
        sources.heard(&timing, source, s(5_000), s(5_000), s(103_001));
        sources.heard(&timing, source, s(5_010), s(5_010), s(103_001));
        assert_eq!(sources.tick(&timing, s(103_001)), s(5_009));
        assert_eq!(sources.tick(&timing, s(103_031)), s(5_039), "time goes on from what was heard last");
        assert_eq!(sources.tick(&timing, s(103_062)), s(103_060), "there is nothing more to wait for");
    }

    #[test]
    fn a_request_of_many_events_leaves_one_lag_behind() {
        let mut sources = Sources::default();
        let source = sources.source("", "n", "c");
        let arrived = Timestamp(10_000_000_000);
        // In the order of time, as exporters send: each lags less than the one before.
        for event in 0..512 {
            let ts = Timestamp(9_000_000_000 + event);
            sources.heard(&Timing::default(), source, ts, ts, arrived);
        }
        assert_eq!((sources.states[0].lags.len(), sources.states[0].lag_ns()), (1, 1_000_000_000));
        let ts = Timestamp(8_000_000_000);
        sources.heard(&Timing::default(), source, ts, ts, arrived);
        assert_eq!((sources.states[0].lags.len(), sources.states[0].lag_ns()), (1, 2_000_000_000));
    }
}
