//! A disk that is full: what was acknowledged stays, what cannot be kept is refused and said, and all goes on when there is
//! space again. On a file system in memory, which whoever may mount one gets; others are told that this was left out.
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::harness::{Home, Invar, Line, Mounted, eventually, try_request};

const PACK: &str = "\
pack: load
rules:
  - id: nothing-bad
    ref: BAD
    key: [node, id]
    never: job.bad
";

/// Room for the journal's two segments, its reserve and the database, and little else.
const SMALL: &str = "160m";
const LARGE: &str = "600m";

/// Events a request, and how long a text each carries.
const EVENTS: u64 = 10;
const TEXT: usize = 100_000;

/// Sends one request; its status, and what was answered.
async fn send(invar: &Invar, request: u64) -> (u16, String) {
    let text = "x".repeat(TEXT);
    let ids = request * EVENTS..(request + 1) * EVENTS;
    let lines = ids.map(|id| Line::new("n1", "worker", "job.bad", json!({ "id": id, "text": text })));
    let body: String = lines.map(|line| format!("{}\n", line.to_json())).collect();
    let reply = try_request(Method::POST, &format!("http://{}/v1/events", invar.http), &[], body.into_bytes()).await;
    let reply = reply.expect("even a full disk is answered");
    (reply.status, reply.text())
}

async fn found(invar: &Invar) -> u64 {
    let incidents = invar.api.all("/api/v1/incidents?limit=500").await;
    incidents.iter().filter_map(|incident| incident["count"].as_u64()).sum()
}

async fn expect_found(invar: &Invar, events: u64) {
    let all = async || (found(invar).await == events).then_some(());
    if eventually(Duration::from_secs(60), all).await.is_none() {
        panic!("{} of {events} events were judged\n{}", found(invar).await, invar.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_nothing_that_was_acknowledged() {
    let home = Home::new().pack("load.yaml", PACK);
    let Some(disk) = Mounted::memory(&home.data(), SMALL) else { return };
    let invar = home.start().await;
    let mut acknowledged = 0;
    let refused = loop {
        assert!(acknowledged < 400, "the disk never was full");
        match send(&invar, acknowledged).await {
            (200, _) => acknowledged += 1,
            refused => break refused,
        }
    };
    assert_eq!(refused.0, 503, "{}", refused.1);
    assert!(acknowledged > 60, "only {acknowledged} requests were taken");
    // It stays up, says what is wrong, and takes nothing.
    assert_eq!(send(&invar, acknowledged).await.0, 503);
    assert_eq!(invar.api.look("/healthz").await.status, 200, "{}", invar.log());
    expect_found(&invar, acknowledged * EVENTS).await;

    // Space returns under the running process.
    disk.resize(LARGE);
    let taken = async || (send(&invar, acknowledged).await.0 == 200).then_some(());
    eventually(Duration::from_secs(30), taken).await.unwrap_or_else(|| panic!("it never recovered\n{}", invar.log()));
    acknowledged += 1;
    expect_found(&invar, acknowledged * EVENTS).await;

    // And a crash changes nothing.
    invar.kill().await;
    let invar = home.start().await;
    expect_found(&invar, acknowledged * EVENTS).await;
    assert_eq!(send(&invar, acknowledged).await.0, 200);
    expect_found(&invar, (acknowledged + 1) * EVENTS).await;
    invar.stop().await;
}
