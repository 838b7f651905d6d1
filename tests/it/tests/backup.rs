//! `invar backup` under load: the copy is a data directory that holds all that was acknowledged before it was begun, and
//! Invar goes on from it.
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use crate::harness::{Home, Invar, Line, binary, eventually, invar, missing};

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

/// Runs a backup onto a disk of so many KiB, one of its own in a namespace of its own; says what is left on it, too. None where
/// the system allows no such thing.
fn backup_onto(data: &Path, kib: u64) -> Option<Ran> {
    const SCRIPT: &str = "mount -t tmpfs -o size=$1k tmpfs /mnt || exit 77
        shift; \"$@\"; code=$?; ls -A /mnt; exit $code";
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh", &kib.to_string()]);
    let ran = run(command, data, Path::new("/mnt/copy"));
    (!matches!(ran.code, Some(1 | 77) | None)).then_some(ran)
}

/// Runs a backup that may write no file longer than so many KiB.
fn backup_within(data: &Path, to: &Path, kib: u64) -> Ran {
    // Who ignores the signal is told by the write instead, as on a full disk; the shell counts in halves of a KiB.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kib * 2);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script, "sh"]);
    run(command, data, to)
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(mut command: std::process::Command, data: &Path, to: &Path) -> Ran {
    command.arg(binary()).arg("backup").arg("--data").arg(data).arg("--to").arg(to);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    match command.output() {
        Ok(ran) => Ran { code: ran.status.code(), stdout: text(ran.stdout), stderr: text(ran.stderr) },
        Err(error) => Ran { code: None, stdout: String::new(), stderr: error.to_string() },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_does_not_fit_says_what_to_do_and_leaves_nothing() {
    let home = Home::new().pack("load.yaml", PACK);
    let invar = home.start().await;
    invar.send(&(0..10).map(bad).collect::<Vec<_>>()).await;
    expect_at_least(&invar, 10).await;
    invar.stop().await;
    let told = |ran: &Ran| {
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains("there is no room for the copy"), "{}", ran.stderr);
        assert!(ran.stderr.contains("free some space there, or name a folder on a larger disk"), "{}", ran.stderr);
    };
    // Not the checkpoints, not the database, not the journal, and all.
    for kib in [4, 64, 8 << 10, 256 << 10] {
        let Some(ran) = backup_onto(&home.data(), kib) else {
            missing("a disk that a test may fill (unshare, tmpfs)");
            break;
        };
        if kib == 256 << 10 {
            assert_eq!((ran.code, ran.stdout.lines().last()), (Some(0), Some("copy")), "{}", ran.stderr);
        } else {
            told(&ran);
            assert_eq!(ran.stdout, "", "with {kib} KiB something is left");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy");
    told(&backup_within(&home.data(), &to, 8 << 10));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something is left");
    let ran = backup_within(&home.data(), &to, 4 << 20);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(to.join("invar.db").exists());
}
