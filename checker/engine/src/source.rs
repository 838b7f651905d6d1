//! Who was heard, when, and how far behind: watermarks and the frontier.
use alloc::{
    collections::VecDeque,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;
use event::Timestamp;
use hashbrown::HashMap;

use crate::verdict::EventRef;

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
    /// Events so far ahead of their arrival are not judged (60 s).
    pub future: Duration,
    /// Look-backs past the first event of a node are unknown for so long (5 s).
    pub settle: Duration,
    /// How long identities are remembered (2 min).
    pub remember: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            lateness: Duration::from_secs(2),
            margin: Duration::from_secs(1),
            idle_after: Duration::from_secs(60),
            max_delay: Duration::from_secs(15),
            correct_for: Duration::from_secs(300),
            future: Duration::from_secs(60),
            settle: Duration::from_secs(5),
            remember: Duration::from_secs(120),
        }
    }
}

/// A source's number, for as long as this engine lives.
pub type SourceIdx = u32;

/// What is known of one source.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
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
}

impl SourceState {
    /// The greatest lag of its events of the last minute, ns; 0 for a clock that runs ahead.
    #[must_use]
    pub fn lag_ns(&self) -> u64 {
        self.lags.front().map_or(0, |&(_, lag)| u64::try_from(lag).unwrap_or(0))
    }
}

/// One node: all its components together.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct NodeState {
    pub(crate) network: String,
    pub(crate) node: String,
    pub(crate) first_ts: Timestamp,
    pub(crate) last_ts: Timestamp,
    /// The first event of each process, by time.
    processes: Vec<(EventRef, String)>,
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
}

impl Sources {
    pub(crate) fn source(&mut self, network: &str, node: &str, component: &str) -> SourceIdx {
        let name = (network.to_string(), node.to_string(), component.to_string());
        if let Some(&known) = self.by_name.get(&name) {
            return known;
        }
        let node_idx = self.node(network, node);
        let number = self.states.len() as SourceIdx;
        self.states.push(SourceState {
            network: name.0.clone(),
            node: name.1.clone(),
            component: name.2.clone(),
            node_idx,
            last_arrival: Timestamp::ZERO,
            last_ts: Timestamp::ZERO,
            events: 0,
            lags: VecDeque::new(),
        });
        self.by_name.insert(name, number);
        number
    }

    fn node(&mut self, network: &str, node: &str) -> u32 {
        let name = (network.to_string(), node.to_string());
        if let Some(&known) = self.node_by_name.get(&name) {
            return known;
        }
        let number = self.nodes.len() as u32;
        self.nodes.push(NodeState {
            network: name.0.clone(),
            node: name.1.clone(),
            first_ts: Timestamp::MAX,
            ..NodeState::default()
        });
        self.node_by_name.insert(name, number);
        number
    }

    /// Looks a node up without making it.
    pub(crate) fn find_node(&self, network: &str, node: &str) -> Option<&NodeState> {
        let number = *self.node_by_name.get(&(network.to_string(), node.to_string()))?;
        self.nodes.get(number as usize)
    }

    /// Notes that an event of `source`, sent at `sent` and about `ts`, arrived at `arrived`.
    pub(crate) fn heard(
        &mut self,
        timing: &Timing,
        source: SourceIdx,
        ts: Timestamp,
        sent: Timestamp,
        arrived: Timestamp,
    ) {
        let Some(state) = self.states.get_mut(source as usize) else { return };
        let lag = i64::try_from(i128::from(arrived.0) - i128::from(sent.0)).unwrap_or(i64::MAX);
        while state.lags.back().is_some_and(|&(_, known)| known <= lag) {
            state.lags.pop_back();
        }
        state.lags.push_back((arrived, lag));
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
    }

    /// Moves time on to `arrived` and says how far everything is now believed complete.
    pub(crate) fn tick(&mut self, timing: &Timing, arrived: Timestamp) -> Timestamp {
        self.arrival = self.arrival.max(arrived);
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
            if lag <= timing.max_delay {
                frontier = frontier.min(self.arrival.minus(timing.lateness.max(lag + timing.margin)));
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
