//! One byte that a disk has changed: what was acknowledged and can be read survives; what cannot be helped is said, with its
//! file and how to go on; and nothing is judged wrongly in silence.
use std::{fs, path::Path, time::Duration};

use serde_json::json;

use crate::harness::{Home, Invar, Line, eventually};

const PACK: &str = "\
pack: load
rules:
  - id: nothing-bad
    ref: BAD
    key: [node, id]
    never: job.bad
";

/// Where the first frame of a segment stands, and how long the header of a frame is.
const FIRST_FRAME: usize = 4096;
const FRAME_HEADER: usize = 64;

/// A page of the database.
const PAGE: usize = 4096;

fn flip(file: &Path, place: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[place] ^= 0x20;
    fs::write(file, bytes).unwrap();
}

async fn send(invar: &Invar, ids: std::ops::Range<u64>) {
    let bad = |id| Line::new("n1", "worker", "job.bad", json!({ "id": id }));
    invar.send(&ids.map(bad).collect::<Vec<_>>()).await;
}

async fn expect_found(invar: &Invar, events: u64) {
    let found = async || {
        let incidents = invar.api.all("/api/v1/incidents?limit=500").await;
        let found: u64 = incidents.iter().filter_map(|incident| incident["count"].as_u64()).sum();
        (found == events).then_some(())
    };
    assert!(eventually(Duration::from_secs(30), found).await.is_some(), "not all was judged\n{}", invar.log());
}

/// A data directory of an Invar that found ten violations and was stopped.
async fn ten_found() -> Home {
    let home = Home::new().pack("load.yaml", PACK);
    let invar = home.start().await;
    send(&invar, 0..10).await;
    expect_found(&invar, 10).await;
    invar.stop().await;
    home
}

#[track_caller]
fn expect_said(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_segment_is_named_and_what_it_advises_works() {
    let home = ten_found().await;
    let segment = home.data().join("journal/00000000000000000001.segment");
    flip(&segment, FIRST_FRAME + FRAME_HEADER + 3);
    let said = home.refuses_to_start().await;
    expect_said(&said, &["00000000000000000001.segment is damaged at offset 4096", "Restore the file from a backup"]);

    // As from a backup: all is as it was.
    flip(&segment, FIRST_FRAME + FRAME_HEADER + 3);
    let invar = home.start().await;
    send(&invar, 10..12).await;
    expect_found(&invar, 12).await;
    invar.stop().await;

    // Without one: it is moved out of the way with all that follow it, and what comes then is judged.
    flip(&segment, FIRST_FRAME + FRAME_HEADER + 3);
    home.refuses_to_start().await;
    let aside = home.data().join("aside");
    fs::create_dir(&aside).unwrap();
    for file in fs::read_dir(home.data().join("journal")).unwrap().map(Result::unwrap) {
        if file.path().extension().is_some_and(|extension| extension == "segment") {
            fs::rename(file.path(), aside.join(file.file_name())).unwrap();
        }
    }
    let invar = home.start().await;
    assert!(invar.said("the journal ends before what has been judged"), "{}", invar.log());
    expect_found(&invar, 12).await;
    send(&invar, 12..20).await;
    expect_found(&invar, 20).await;
    invar.kill().await;
    let invar = home.start().await;
    send(&invar, 20..21).await;
    expect_found(&invar, 21).await;
    invar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_checkpoint_is_passed_over() {
    for in_a_pack in [true, false] {
        let home = ten_found().await;
        let folder = home.data().join("checkpoints");
        let newest = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).max().unwrap();
        let bytes = fs::read(&newest).unwrap();
        let text = bytes.windows(7).position(|text| text == b"job.bad").expect("a checkpoint holds its packs");
        flip(&newest, if in_a_pack { text } else { bytes.len() - 1 });
        let invar = home.start().await;
        assert!(invar.said("a checkpoint was passed over"), "{}", invar.log());
        assert!(invar.said(newest.file_name().unwrap().to_str().unwrap()), "{}", invar.log());
        send(&invar, 10..12).await;
        expect_found(&invar, 12).await;
        invar.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_database_is_named_and_the_journal_is_judged_again_without_it() {
    for place in [0, PAGE, 3 * PAGE + 3] {
        let home = ten_found().await;
        let database = home.data().join("invar.db");
        flip(&database, place);
        let said = home.refuses_to_start().await;
        expect_said(&said, &[database.to_str().unwrap(), "damaged", "restore a backup, or move it away"]);
        for file in ["invar.db", "invar.db-wal", "invar.db-shm"] {
            // Whoever stops in order leaves no log.
            let _ = fs::rename(home.data().join(file), home.data().join(format!("{file}.aside")));
        }
        let invar = home.start().await;
        expect_found(&invar, 10).await;
        send(&invar, 10..12).await;
        expect_found(&invar, 12).await;
        invar.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_journal_is_refused() {
    let (home, other) = (ten_found().await, ten_found().await);
    // Its journal is the longer one: it holds another frame of that number.
    let invar = home.start().await;
    for id in 10..20 {
        send(&invar, id..id + 1).await;
    }
    expect_found(&invar, 20).await;
    invar.stop().await;
    fs::copy(other.data().join("invar.db"), home.data().join("invar.db")).unwrap();
    let said = home.refuses_to_start().await;
    expect_said(&said, &["the database and the journal do not belong together", "Restore both from one backup"]);
}
