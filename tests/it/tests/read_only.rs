//! A data directory that cannot be written: Invar says so, where, and what to do; what it acknowledged stays, and it goes on
//! when it can.
use std::{path::Path, process::Command, time::Duration};

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

/// Sends a request of ten events and a megabyte; its status.
async fn send(invar: &Invar, request: u64) -> u16 {
    let text = "x".repeat(100_000);
    let bad = |id| Line::new("n1", "worker", "job.bad", json!({ "id": id, "text": text })).to_json();
    let body: String = (request * 10..(request + 1) * 10).map(|id| format!("{}\n", bad(id))).collect();
    let url = format!("http://{}/v1/events", invar.http);
    try_request(Method::POST, &url, &[], body.into_bytes()).await.expect("it answers").status
}

async fn expect_found(invar: &Invar, events: u64) {
    let found = async || {
        let incidents = invar.api.all("/api/v1/incidents?limit=500").await;
        let found: u64 = incidents.iter().filter_map(|incident| incident["count"].as_u64()).sum();
        (found == events).then_some(())
    };
    assert!(eventually(Duration::from_secs(60), found).await.is_some(), "not all was judged\n{}", invar.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_read_only_disk_says_what_to_do() {
    let home = Home::new().pack("load.yaml", PACK);
    let Some(disk) = Mounted::memory(&home.data(), "300m") else { return };
    let invar = home.start().await;
    assert_eq!(send(&invar, 0).await, 200);
    expect_found(&invar, 10).await;
    invar.stop().await;

    disk.remount("ro");
    let said = home.refuses_to_start().await;
    let data = home.data();
    for part in ["Read-only file system", "mount it writable again", data.to_str().unwrap()] {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }

    disk.remount("rw");
    let invar = home.start().await;
    assert_eq!(send(&invar, 1).await, 200);
    expect_found(&invar, 20).await;
    invar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_turns_read_only_refuses_events_until_it_can_be_written_again() {
    let home = Home::new().pack("load.yaml", PACK);
    let invar = home.start().await;
    let Some(read_only) = Mounted::read_only(&home.data()) else { return invar.stop().await };
    let mut acknowledged = 0;
    // Segments that were prepared before are filled first.
    let refused = loop {
        assert!(acknowledged < 400, "a read-only disk never was noticed");
        match send(&invar, acknowledged).await {
            200 => acknowledged += 1,
            refused => break refused,
        }
    };
    assert_eq!(refused, 503);
    assert_eq!(send(&invar, acknowledged).await, 503);
    assert_eq!(invar.api.look("/healthz").await.status, 200, "{}", invar.log());
    expect_found(&invar, acknowledged * 10).await;
    for part in ["Read-only file system", "mount it writable again", home.data().to_str().unwrap()] {
        assert!(invar.said(part), "`{part}` was not said\n{}", invar.log());
    }

    drop(read_only);
    let taken = async || (send(&invar, acknowledged).await == 200).then_some(());
    assert!(eventually(Duration::from_secs(30), taken).await.is_some(), "it never recovered\n{}", invar.log());
    expect_found(&invar, (acknowledged + 1) * 10).await;
    invar.stop().await;
}

/// Forbids, or allows, all writes to a file, also to who has it open; false where no one may.
fn forbid_writes(file: &Path, forbid: bool) -> bool {
    let flag = if forbid { "+i" } else { "-i" };
    Command::new("chattr").arg(flag).arg(file).output().is_ok_and(|ran| ran.status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "a test that is left out must be seen in the log")]
async fn a_journal_that_cannot_write_ends_the_process_and_a_restart_goes_on() {
    let home = Home::new().pack("load.yaml", PACK);
    let invar = home.start().await;
    assert_eq!(send(&invar, 0).await, 200);
    expect_found(&invar, 10).await;
    let segment = home.data().join("journal/00000000000000000001.segment");
    if !forbid_writes(&segment, true) {
        eprintln!("LEFT OUT: this file system cannot make a file immutable");
        return invar.stop().await;
    }
    let refused = send(&invar, 1).await;
    let ended = tokio::time::timeout(Duration::from_secs(60), invar.ends()).await;
    assert!(forbid_writes(&segment, false));
    assert_eq!(refused, 503);
    let said = ended.expect("whoever restarts it must learn that it cannot go on");
    assert!(said.contains("the journal stopped") && said.contains("00000000000000000001.segment"), "{said}");

    let invar = home.start().await;
    expect_found(&invar, 10).await;
    assert_eq!(send(&invar, 1).await, 200);
    expect_found(&invar, 20).await;
    invar.stop().await;
}
