//! A storm: very many violations of one rule at once are one incident with a count, so many rows and pages as one needs, and
//! other rules are judged on.
//!
//! `INVAR_TEST_STORM=1000000` asks for more events than CI sends.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use testbed::pager::Mount;
use tokio::task::JoinSet;

use crate::harness::{Home, Line, Pager, eventually};

const PACK: &str = "\
pack: storm
rules:
  - id: nothing-bad
    ref: BAD
    severity: critical
    key: [node, id]
    never: job.bad
  - id: jobs-end
    ref: ENDS
    severity: critical
    key: [node, id]
    response:
      when: job.begun
      then: job.done
      within: 1s
";

/// Events a request.
const EVENTS: u64 = 1_000;

/// How many violations of one incident are kept whole.
const KEPT_MAX: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_is_one_incident_and_hides_no_other() {
    let events: u64 = std::env::var("INVAR_TEST_STORM").map_or(50_000, |events| events.parse().unwrap());
    let pager = Pager::start().await;
    let home = Home::new().pack("storm.yaml", PACK).alerts(&pager.alerts());
    let invar = Arc::new(home.start().await);
    let (next, mut senders) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
    for _ in 0..4 {
        let (invar, next) = (invar.clone(), next.clone());
        senders.spawn(async move {
            loop {
                let first = next.fetch_add(EVENTS, Ordering::Relaxed);
                if first >= events {
                    return;
                }
                let ids = first..(first + EVENTS).min(events);
                let lines: Vec<Line> =
                    ids.map(|id| Line::new("n1", "worker", "job.bad", json!({ "id": id }))).collect();
                invar.send(&lines).await;
            }
        });
    }
    senders.join_all().await;
    // In the middle of it something else breaks, on another node.
    invar.send(&[Line::new("n2", "worker", "job.begun", json!({"id": 1}))]).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    invar.send(&[Line::new("n2", "worker", "idle", json!({})), Line::new("n1", "worker", "idle", json!({}))]).await;
    let other = invar.expect_incident_within("ENDS", "n2", Duration::from_secs(60)).await;
    let all = async || {
        let incidents = invar.api.all("/api/v1/incidents?limit=500").await;
        let storm: Vec<_> = incidents.into_iter().filter(|incident| incident["ref"] == "BAD").collect();
        (storm.iter().any(|incident| incident["count"] == events)).then_some(storm)
    };
    let storm = eventually(Duration::from_secs(120), all).await;
    let storm = storm.unwrap_or_else(|| panic!("the storm was not counted\n{}", invar.log()));
    let [incident] = storm.as_slice() else { panic!("{} incidents of one storm", storm.len()) };
    let id = incident["id"].as_str().unwrap();
    let kept = invar.api.all(&format!("/api/v1/incidents/{id}/violations")).await;
    assert!(!kept.is_empty() && kept.len() <= KEPT_MAX, "{} violations are kept whole", kept.len());
    let calls = pager.expect_calls(&invar, id, Mount::Pagerduty, 1).await;
    assert!(calls.len() <= 3, "{} pages of one storm", calls.len());
    pager.expect_calls(&invar, other["id"].as_str().unwrap(), Mount::Pagerduty, 1).await;
    Arc::into_inner(invar).expect("nobody sends any more").stop().await;
}
