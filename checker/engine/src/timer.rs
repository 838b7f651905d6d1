//! Deadlines, earliest first.
use alloc::{
    collections::{BinaryHeap, VecDeque},
    vec::Vec,
};
use core::cmp::Reverse;
use event::Timestamp;

use crate::{instance::Handle, program::RuleIdx};

/// Of how many deadlines an empty queue keeps the memory.
const SPARE: usize = 256;

/// Deadlines by rule: those of one rule mostly come in order, as it waits equally long each time, and wait in a plain
/// queue; the rest in a heap.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Timers {
    in_order: Vec<VecDeque<(Timestamp, Handle)>>,
    others: BinaryHeap<Reverse<(Timestamp, Handle)>>,
    len: usize,
}

impl Timers {
    pub(crate) fn push(&mut self, due: Timestamp, handle: Handle) {
        let rule = handle.rule as usize;
        if self.in_order.len() <= rule {
            self.in_order.resize_with(rule + 1, VecDeque::new);
        }
        let queue = &mut self.in_order[rule];
        if queue.back().is_none_or(|(last, _)| *last <= due) {
            queue.push_back((due, handle));
        } else {
            self.others.push(Reverse((due, handle)));
        }
        self.len += 1;
    }

    /// Takes those of these rules that are due strictly before `frontier`, in order of time.
    pub(crate) fn take_before(
        &mut self,
        frontier: Timestamp,
        own: impl Fn(RuleIdx) -> bool,
    ) -> Vec<(Timestamp, Handle)> {
        let mut due = Vec::new();
        for (rule, queue) in self.in_order.iter_mut().enumerate() {
            if queue.front().is_none_or(|(first, _)| *first >= frontier) || !own(rule as RuleIdx) {
                continue;
            }
            let passed = queue.iter().take_while(|(at, _)| *at < frontier).count();
            due.extend(queue.drain(..passed));
            // What a storm took is given back.
            if queue.is_empty() && queue.capacity() > SPARE {
                *queue = VecDeque::new();
            }
        }
        let mut foreign = Vec::new();
        while self.others.peek().is_some_and(|Reverse((at, _))| *at < frontier) {
            let Some(Reverse(entry)) = self.others.pop() else { break };
            if own(entry.1.rule) { due.push(entry) } else { foreign.push(Reverse(entry)) }
        }
        self.others.extend(foreign);
        self.len -= due.len();
        due.sort_unstable();
        due
    }

    /// Takes over what another one has of some rules.
    pub(crate) fn take_over(&mut self, from: &mut Timers, is_theirs: impl Fn(RuleIdx) -> bool) {
        let theirs = from.take_before(Timestamp::MAX, is_theirs);
        theirs.into_iter().for_each(|(due, handle)| self.push(due, handle));
    }

    /// Gives rules other numbers; deadlines of those that have none are let go of.
    pub(crate) fn renumber(&mut self, number: impl Fn(RuleIdx) -> Option<RuleIdx>) {
        let old = core::mem::take(self);
        let others = old.others.into_iter().map(|Reverse(entry)| entry);
        for (due, handle) in old.in_order.into_iter().flatten().chain(others) {
            if let Some(rule) = number(handle.rule) {
                self.push(due, Handle { rule, ..handle });
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}
