//! What an operator does to the rules while it runs. None of it changes what the pack under watch finds: that is said anew without
//! meaning anything else, other packs come and go beside it. What a pack that comes late finds began when it was in force.
use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use journal::{Entry, Kind};
use runtime::control::Control;
use store::{Store, StoreError};

use super::script::{BEGINNING, PACK, Script};

/// The pack that comes late, and its rule. A rule of [`PACK`] says the same from the beginning.
pub(crate) const LATE: &str = "late";
const LATE_PACK: &str = "\
pack: late
rules:
  - id: bad-is-seen
    severity: low
    key: [node, id]
    never: job.bad
";

/// The pack that comes and goes.
const PASSING: &str = "passing";
const PASSING_PACK: &str = "\
pack: passing
rules:
  - id: jobs-end-soon
    severity: low
    key: [node, id]
    response: {when: job.begun, then: job.done, within: 1s}
  - id: jobs-are-few
    severity: low
    key: [node]
    count: {of: job.begun, max: 3, within: 5s}
";

/// One change.
#[derive(Clone, Copy, Debug)]
enum Change {
    Passes,
    ComesLate,
    SaidAnew,
    Goes,
}

/// When they are made, ms since the beginning.
const CHANGES: [(u64, Change); 4] =
    [(8_000, Change::Passes), (14_000, Change::ComesLate), (20_000, Change::SaidAnew), (26_000, Change::Goes)];

/// See the module.
pub(crate) struct Operator {
    left: VecDeque<(u64, Change)>,
    /// When it was said to be in force, ms since the epoch.
    late_since: Option<u64>,
}

impl Operator {
    pub(crate) fn new() -> Self {
        Operator { left: CHANGES.map(|(at, change)| (BEGINNING + at, change)).into(), late_since: None }
    }

    /// Whether everything has been done.
    pub(crate) fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// Whether something is to be done.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.left.front().is_some_and(|(at, _)| *at <= now)
    }

    /// What is to be journaled for the next change. Of a pack that comes the database knows first, of one that goes last: a start
    /// says again what the database has.
    pub(crate) async fn begin(&self, store: &Store) -> Result<Entry, StoreError> {
        let (name, yaml) = match self.left.front().map(|(_, change)| change) {
            Some(Change::Passes) => (PASSING, PASSING_PACK.to_owned()),
            Some(Change::ComesLate) => (LATE, LATE_PACK.to_owned()),
            Some(Change::SaidAnew) => ("sim", format!("# What the rules mean stays.\n{PACK}")),
            Some(Change::Goes) | None => return Ok(entry(&Control::Drop { pack: PASSING.into() })),
        };
        let revision = store.put_pack(name, &yaml, "operator", "ui", None, "").await?;
        Ok(entry(&Control::Adopt { pack: name.into(), revision, yaml }))
    }

    /// The change is journaled.
    pub(crate) async fn end(&mut self, store: &Store, now: u64) -> Result<(), StoreError> {
        match self.left.front() {
            Some((_, Change::Goes)) => match store.drop_pack(PASSING, "").await {
                // It was gone before somebody could be told.
                Err(StoreError::NotFound) => {}
                dropped => dropped?,
            },
            Some((_, Change::ComesLate)) => self.late_since = Some(now),
            _ => {}
        }
        self.left.pop_front();
        Ok(())
    }

    /// What is wrong with the keys that the late pack found, `known` being those that the same rule found that was there from
    /// the beginning.
    pub(crate) fn problems(&self, late: &BTreeSet<String>, known: &BTreeSet<String>, script: &Script) -> Vec<String> {
        let mut problems: Vec<String> =
            late.difference(known).map(|key| format!("the late pack found {key}, which never was")).collect();
        let since = self.late_since.unwrap_or(u64::MAX);
        let after = script.nodes.iter().flatten().filter(|line| line.event == "job.bad" && line.ms > since);
        for line in after {
            let (node, id) = (&line.node, &line.attrs["id"]);
            let of_line = |key: &&String| {
                serde_json::from_str::<serde_json::Value>(key)
                    .is_ok_and(|key| key["node"] == node.as_str() && key["id"] == *id)
            };
            if !late.iter().any(|key| of_line(&key)) {
                problems.push(format!("the late pack did not find that job {id} of {node} went bad"));
            }
        }
        problems
    }
}

/// A decision, as it is journaled.
pub(crate) fn entry(control: &Control) -> Entry {
    let (body, nothing) = (control.to_body().into(), Bytes::new());
    Entry { kind: Kind::CONTROL, body, events: 0, refused: nothing.clone(), notes: nothing }
}
