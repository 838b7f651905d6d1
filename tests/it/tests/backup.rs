//! `invar backup` under load: the copy is a data directory that holds all that was acknowledged before it was begun, and
//! Invar goes on from it.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use crate::harness::{Home, Invar, Line, eventually, invar};

const PACK: &str = "\
pack: load
rules:
  - id: nothing-bad
    ref: BAD
    key: [node, id]
    never: job.bad
";

fn bad(id: u64) -> Line {
    Line::new("n1", "worker", "job.bad", json!({ "id": id }))
}

/// How many violations an instance knows of.
async fn found(invar: &Invar) -> u64 {
    let incidents = invar.api.all("/api/v1/incidents?limit=500").await;
    incidents.iter().filter_map(|incident| incident["count"].as_u64()).sum()
}

async fn expect_at_least(invar: &Invar, count: u64) -> u64 {
    let enough = async || {
        let seen = found(invar).await;
        (seen >= count).then_some(seen)
    };
    match eventually(Duration::from_secs(30), enough).await {
        Some(seen) => seen,
        None => panic!("{} of {count} violations are known\n{}", found(invar).await, invar.log()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_under_load_holds_what_was_acknowledged_before() {
    let home = Home::new().pack("load.yaml", PACK);
    let running = Arc::new(home.start().await);
    let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let sending = tokio::spawn({
        let (acknowledged, stop, running) = (acknowledged.clone(), stop.clone(), running.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                let first = acknowledged.load(Ordering::Relaxed);
                let lines: Vec<Line> = (first..first + 20).map(bad).collect();
                running.send(&lines).await;
                acknowledged.fetch_add(20, Ordering::Relaxed);
            }
        }
    });
    let enough = async || (acknowledged.load(Ordering::Relaxed) > 400).then_some(());
    eventually(Duration::from_secs(20), enough).await.expect("events are acknowledged");
    let before = acknowledged.load(Ordering::Relaxed);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    let arguments =
        ["backup", "--data", home.data().to_str().unwrap(), "--to", copy.to_str().unwrap()].map(str::to_owned);
    let (ran, again) = tokio::task::spawn_blocking(move || {
        let ran = invar(&arguments, b"").expect(0);
        (ran, invar(&arguments, b"").expect(2))
    })
    .await
    .unwrap();
    assert!(ran.stdout.contains("of journal in") && ran.stdout.contains("checkpoints"), "{}", ran.stdout);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    stop.store(true, Ordering::Relaxed);
    sending.await.unwrap();
    // It went on as if nothing were.
    expect_at_least(&running, acknowledged.load(Ordering::Relaxed)).await;
    Arc::into_inner(running).expect("nobody sends any more").kill().await;

    let restored = Home::new().pack("load.yaml", PACK);
    let _ = std::fs::remove_dir_all(restored.data());
    std::fs::rename(&copy, restored.data()).unwrap();
    let running = restored.start().await;
    let seen = expect_at_least(&running, before).await;
    assert!(seen <= acknowledged.load(Ordering::Relaxed), "{seen} are more than were ever sent");
    running.send(&[bad(u64::MAX)]).await;
    expect_at_least(&running, seen + 1).await;
    assert!(!running.said("corrupt"), "{}", running.log());
    running.stop().await;
}

#[test]
fn what_is_no_data_directory_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let (data, to) = (folder.path().join("data"), folder.path().join("copy"));
    std::fs::create_dir(&data).unwrap();
    let ran = invar(&["backup", "--data", data.to_str().unwrap(), "--to", to.to_str().unwrap()], b"").expect(2);
    assert!(ran.stderr.contains("is no data directory"), "{}", ran.stderr);
    assert!(!to.exists(), "nothing is left of it");
}
