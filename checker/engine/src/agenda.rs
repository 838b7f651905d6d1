//! When which instances are to be looked at without being touched.
use alloc::vec::Vec;

use crate::{instance::Handle, program::RuleIdx, timer::Timers};

/// See the module.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Agenda {
    /// What falls due: deadlines, ends of windows.
    pub(crate) deadlines: Timers,
    /// When to look whether an instance can be forgotten.
    pub(crate) forget: Timers,
    /// Instances that can judge now what they had left open; none between steps.
    #[serde(skip)]
    pub(crate) awake: Vec<Handle>,
}

impl Agenda {
    /// Takes over what another one has of some rules.
    pub(crate) fn take_over(&mut self, from: &mut Agenda, is_theirs: impl Fn(RuleIdx) -> bool) {
        self.deadlines.take_over(&mut from.deadlines, &is_theirs);
        self.forget.take_over(&mut from.forget, is_theirs);
    }

    /// Gives rules other numbers.
    pub(crate) fn renumber(&mut self, number: impl Fn(RuleIdx) -> Option<RuleIdx>) {
        self.deadlines.renumber(&number);
        self.forget.renumber(number);
    }
}
