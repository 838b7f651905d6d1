//! A burst: for a while senders send as fast as they are acknowledged, several times faster than rules can judge. The journal is
//! the buffer: nothing is refused, nothing lost, nothing found twice, and memory does not grow with what waits.
//!
//! `INVAR_TEST_BURST_SECONDS=60` for as long, with `INVAR_TEST_BINARY` naming a release build.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prost::Message as _;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Home, Invar, Line, eventually, export_request, metric, resident, try_request};

/// How many rules judge each event, with few instances: what makes judging so much slower than receiving.
const RULES: usize = 8;
const SENDERS: usize = 8;
/// Events in a request, of which the last is bad.
const EVENTS: u64 = 256;

/// What may be held of a burst in memory, whatever its length.
const MEMORY_MAX: u64 = 1 << 30;

fn pack() -> String {
    let bad = "  - id: nothing-bad\n    ref: BAD\n    key: [node, id]\n    never: job.bad\n";
    let counting = |rule: usize| {
        let row = format!("      fail: job.done where id > {rule}\n      ok: job.rested\n      count: 1000000000\n");
        format!("  - id: rule-{rule}\n    key: [node]\n    consecutive:\n{row}")
    };
    format!("pack: burst\nrules:\n{bad}{}", (0..RULES).map(counting).collect::<String>())
}

/// Sends requests until the time is over; every event has an id of its own.
async fn send(http: String, next: Arc<AtomicU64>, until: Instant) -> u64 {
    let url = format!("http://{http}/v1/logs");
    let mut sent = 0;
    while Instant::now() < until {
        let first = next.fetch_add(EVENTS, Ordering::Relaxed);
        let lines: Vec<Line> = (first..first + EVENTS)
            .map(|id| {
                let event = if id + 1 == first + EVENTS { "job.bad" } else { "job.done" };
                Line::new(&format!("n{}", id % 4), "worker", event, json!({ "id": id }))
            })
            .collect();
        let body = export_request(&lines).encode_to_vec();
        let reply = try_request(Method::POST, &url, &[("content-type", "application/x-protobuf")], body).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        sent += EVENTS;
    }
    sent
}

async fn value(invar: &Invar, name: &str) -> f64 {
    metric(&invar.api.text("/metrics").await, name).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_waits_in_the_journal_and_nothing_of_it_is_lost() {
    let seconds = std::env::var("INVAR_TEST_BURST_SECONDS").map_or(3, |text| text.parse().unwrap());
    let home = Home::new().pack("burst.yaml", &pack());
    let invar = home.start().await;
    let next = Arc::new(AtomicU64::new(1_000));
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut sending = JoinSet::new();
    for _ in 0..SENDERS {
        sending.spawn(send(invar.http.clone(), next.clone(), until));
    }
    let (mut waited, mut most) = (0.0_f64, 0);
    while Instant::now() < until {
        waited = waited.max(value(&invar, "invar_backlog_bytes").await);
        most = most.max(resident(invar.id()));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let sent: u64 = sending.join_all().await.into_iter().sum();
    assert!(waited > 0.0, "what was sent never waited: it was no burst");
    let expected = sent / EVENTS;
    let found = eventually(Duration::from_secs(200), async || {
        most = most.max(resident(invar.id()));
        let incidents = invar.api.all("/api/v1/incidents?limit=500").await;
        let count: u64 = incidents.iter().filter_map(|incident| incident["count"].as_u64()).sum();
        (count >= expected).then_some(count)
    });
    assert_eq!(found.await, Some(expected), "of {sent} events\n{}", invar.log());
    assert!(most < MEMORY_MAX, "{most} bytes were held for a burst of {sent} events");
    assert!(!invar.said("panicked"), "{}", invar.log());
    invar.stop().await;
}
