//! What the store answers: each test asks through the public interface only, so that another database must give the same
//! answers.
mod incidents;
mod outbox;
mod packs;

use std::time::Duration;

use event::Timestamp;
use serde_json::json;
use store::{Change, Filter, IncidentRow, NewDelivery, NewViolation, Planner, Step, Store, Transition};

/// The journal's time at the beginning of each test.
const START: Timestamp = Timestamp(1_790_000_000_000_000_000);

/// Pages one receiver for each transition that people are told of.
struct Pager;

impl Planner for Pager {
    fn plan(&self, incident: &IncidentRow, transition: Transition) -> Vec<NewDelivery> {
        let action = match transition {
            Transition::Opened | Transition::Reopened => "trigger",
            Transition::Acknowledged => "acknowledge",
            Transition::Resolved | Transition::LateResolved | Transition::Retracted => "resolve",
        };
        vec![NewDelivery {
            receiver: "pager".into(),
            action: action.into(),
            dedup_key: format!("{}/{}", incident.rule, incident.group),
            body: json!({}),
        }]
    }
}

/// A store in a file of its own, driven step by step.
struct Desk {
    store: Store,
    frame: u64,
    now: Timestamp,
    _dir: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("invar.db")).await.unwrap();
        Desk { store, frame: 0, now: START, _dir: dir }
    }

    /// Moves the journal's time on.
    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    async fn commit(&mut self, changes: Vec<Change>) -> bool {
        self.frame += 1;
        let step = Step { frame: self.frame, frontier: self.now, now: self.now, changes };
        self.store.commit(&step, &Pager).await.unwrap()
    }

    async fn violate(&mut self, id: &str) {
        let violation = violation(id, self.now);
        self.commit(vec![Change::Violated(Box::new(violation))]).await;
    }

    async fn incidents(&self) -> Vec<IncidentRow> {
        self.store.incidents(&Filter::default(), None, 100).await.unwrap().0
    }

    /// The only incident: its status and count.
    async fn only(&self) -> (String, i64) {
        let incidents = self.incidents().await;
        assert_eq!(incidents.len(), 1, "{incidents:#?}");
        (incidents[0].status.clone(), incidents[0].count)
    }

    /// Actions and states of the outbox, oldest first.
    async fn outbox(&self) -> Vec<(String, String)> {
        let mut rows = self.store.deliveries(None, None, 100).await.unwrap();
        rows.reverse();
        rows.into_iter().map(|row| (row.action, row.state)).collect()
    }
}

/// A violation of rule `r` at node `n1`.
fn violation(id: &str, at: Timestamp) -> NewViolation {
    NewViolation {
        id: id.into(),
        pack: "p".into(),
        rule: "r".into(),
        kind: "response".into(),
        severity: engine::Severity::High,
        network: "testnet".into(),
        node: "n1".into(),
        component: "c".into(),
        group: "n1".into(),
        key: json!({"node": "n1", "batch": id}),
        message: format!("{id} is broken"),
        at,
        evidence: json!([{"role": "when", "event": "e"}]),
        missing: Some(json!({"role": "then", "event": "f", "by": at.to_string()})),
        revision: 3,
        labels: json!({"team": "consensus"}),
        ..NewViolation::default()
    }
}
