//! What came of a run, and what must hold of it.
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use event::{Identity, Position, Timestamp};
use journal::{Journal, Kind, Order, ScanRange};
use store::{Filter, IncidentRow, Store};

use super::{
    changes::LATE,
    pager::{DUTY, HOOK, Pager},
    script::Script,
};
use crate::harness::export_request;

/// What was found and who was told, without what depends on when.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What stands or stood, by id.
    pub(crate) violations: BTreeMap<String, String>,
    /// The events that prove it, by violation, role and time; none for one that the journal had forgotten.
    evidence: BTreeMap<String, Option<String>>,
    /// How many violations, and whether it is open, by rule and group.
    incidents: BTreeMap<String, String>,
    /// The dedup keys that receivers were told under, and whether they page someone now, by receiver, rule and group.
    pages: BTreeMap<String, String>,
    /// The keys of jobs that went bad, as the pack under watch found them.
    pub(crate) bad: BTreeSet<String>,
    /// The same, as a pack found them that came late; not a matter of comparison.
    pub(crate) late: BTreeSet<String>,
}

impl Outcome {
    /// What a store and its receivers hold; what must not be goes to `problems`. Of a journal that was always kept whole, all
    /// evidence is.
    pub(crate) async fn of(store: &Store, pager: &Pager, whole: bool, problems: &mut Vec<String>) -> Self {
        let mut outcome = Outcome::default();
        for state in ["pending", "failed"] {
            let deliveries = store.count_deliveries(state).await.unwrap();
            if deliveries > 0 {
                problems.push(format!("{deliveries} pages are {state}"));
            }
        }
        let (mut incidents, _) = store.incidents(&Filter::default(), None, 10_000).await.unwrap();
        for incident in incidents.iter().filter(|incident| incident.pack == LATE) {
            outcome.late.extend(keys(store, incident).await);
        }
        // Packs that come and go find what they have time for.
        incidents.retain(|incident| incident.pack == "sim");
        for incident in &incidents {
            outcome.add(store, incident).await;
            if incident.rule == "nothing-bad" {
                outcome.bad.extend(keys(store, incident).await);
            }
        }
        if whole {
            let gone = outcome.evidence.iter().filter(|(_, event)| event.is_none());
            problems.extend(gone.map(|(which, _)| format!("evidence {which} is kept and was not found")));
        }
        for incident in &incidents {
            outcome.add_pages(incident, pager, problems);
        }
        outcome
    }

    async fn add(&mut self, store: &Store, incident: &IncidentRow) {
        let (violations, _) = store.violations(&incident.id, None, 10_000).await.unwrap();
        for found in violations.into_iter().filter(|violation| violation.state != "retracted") {
            let until =
                if found.state == "resolved" { found.late.unwrap_or_default().to_string() } else { String::new() };
            for event in found.evidence.as_array().into_iter().flatten() {
                let name = event["event"].as_str().unwrap();
                let whole = (!name.is_empty()).then(|| format!("{name} {}", event["attrs"]));
                self.evidence.insert(format!("{} {} {}", found.id, event["role"], event["ts"]), whole);
            }
            let (rule, key, at, state) = (&incident.rule, &found.key, &found.at, &found.state);
            let what = format!("{rule} {key} at {at} {state} {until} {}", found.message);
            self.violations.insert(found.id, what);
        }
        if incident.count > 0 {
            let case = format!("{} {}", incident.rule, incident.group);
            self.incidents.insert(case, format!("{} violations, open: {}", incident.count, incident.is_open()));
        }
    }

    fn add_pages(&mut self, incident: &IncidentRow, pager: &Pager, problems: &mut Vec<String>) {
        for receiver in [DUTY, HOOK] {
            let about: Vec<_> = pager
                .cases
                .iter()
                .filter(|((to, _), case)| to == receiver && case.incidents.contains(&incident.id))
                .map(|((_, key), case)| (key, case))
                .collect();
            let paged = receiver == HOOK || incident.severity == "critical";
            let (rule, group) = (&incident.rule, &incident.group);
            if about.len() > 1 || (!paged && !about.is_empty()) {
                let keys: Vec<_> = about.iter().map(|(key, _)| key).collect();
                problems.push(format!("{receiver} was told of {rule} {group} under the keys {keys:?}"));
            }
            let open = about.iter().any(|(_, case)| case.open);
            if paged && incident.is_open() != open {
                problems
                    .push(format!("{receiver} believes open: {open} of {rule} {group}, which is {}", incident.status));
            }
            if incident.is_open()
                && let Some((key, _)) = about.first()
            {
                self.pages.insert(format!("{receiver} {rule} {group}"), (*key).clone());
            }
        }
    }

    /// What another run has that this one has not, and the other way round.
    pub(crate) fn differences(&self, other: &Outcome) -> Vec<String> {
        let mut differences = Vec::new();
        for (which, calm) in &self.evidence {
            match other.evidence.get(which) {
                Some(troubled) if troubled == calm || troubled.is_none() => {}
                troubled => {
                    differences.push(format!("evidence {which}\n    calm: {calm:?}\n    troubled: {troubled:?}"));
                }
            }
        }
        for (what, calm, troubled) in [
            ("violation", &self.violations, &other.violations),
            ("incident", &self.incidents, &other.incidents),
            ("page", &self.pages, &other.pages),
        ] {
            let names: BTreeSet<&String> = calm.keys().chain(troubled.keys()).collect();
            for name in names {
                let (calm, troubled) = (calm.get(name), troubled.get(name));
                if calm != troubled {
                    differences.push(format!("{what} {name}\n    calm:     {calm:?}\n    troubled: {troubled:?}"));
                }
            }
        }
        differences
    }
}

/// The keys of an incident's violations that were not taken back.
async fn keys(store: &Store, incident: &IncidentRow) -> Vec<String> {
    let (violations, _) = store.violations(&incident.id, None, 10_000).await.unwrap();
    violations.iter().filter(|found| found.state != "retracted").map(|found| found.key.to_string()).collect()
}

/// What of all that was acknowledged is not in the journal as it was acknowledged, and what else is there.
pub(crate) fn lost(journal: &Journal, acknowledged: &BTreeMap<u64, Bytes>, script: &Script) -> Vec<String> {
    let mut problems = Vec::new();
    let first = journal.segments().first().map_or(1, |segment| segment.first_frame);
    for (number, body) in acknowledged.range(first..) {
        match journal.read_frame(*number) {
            Ok(Some(frame)) if frame.body == body => {}
            other => problems.push(format!("frame {number} was acknowledged, and is now {other:?}")),
        }
    }
    let mut kept = BTreeSet::new();
    for frame in journal.scan(ScanRange::all(Order::OldestFirst)) {
        match frame {
            Ok(frame) if frame.kind == Kind::LOGS => kept.extend(identities(&frame.body)),
            Ok(_) => {}
            Err(error) => problems.push(error.to_string()),
        }
    }
    let happened: BTreeSet<Identity> = script
        .nodes
        .iter()
        .flat_map(|node| identities(&prost::Message::encode_to_vec(&export_request(node))))
        .collect();
    if !kept.is_subset(&happened) {
        problems.push("the journal holds events that never happened".to_owned());
    }
    if first == 1 && kept != happened {
        problems.push(format!("{} of {} acknowledged events are kept", kept.len(), happened.len()));
    }
    problems
}

fn identities(body: &[u8]) -> Vec<Identity> {
    let nowhere = Position { partition: 0, frame: 0, record: 0 };
    let events =
        runtime::feed::events(wire::Signal::Logs, body, &wire::Refused::from(&[][..]), Timestamp::ZERO, nowhere);
    events.into_iter().map(|event| event.identity).collect()
}
