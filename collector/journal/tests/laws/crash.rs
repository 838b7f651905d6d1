//! Recovery: what a crash may leave, what it may not, and what is damage.
use crate::{Clock, entry, small};
use bytes::Bytes;
use journal::{Entry, Journal, OpenError, Retention, faulty::FaultyDisk};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// How many seeds a run tries; `CRASH_SEEDS=100000` sweeps.
fn seeds() -> std::ops::Range<u64> {
    match std::env::var("CRASH_SEEDS").ok().and_then(|text| text.parse().ok()) {
        Some(count) => 0..count,
        None => 0..150,
    }
}

pub(crate) fn small_on(disk: &FaultyDisk, clock: &Clock) -> Result<(Journal, journal::Recovery), OpenError> {
    Journal::open_on(Arc::new(disk.clone()), small(Path::new("")), clock.read())
}

#[tokio::test]
async fn what_was_acknowledged_survives_every_crash_in_order_and_intact() {
    for seed in seeds() {
        let mut disk = FaultyDisk::new(seed);
        let mut acknowledged = BTreeMap::<u64, Bytes>::new();
        let mut sent = 0;
        let mut forgotten_below = 1;
        for round in 0..5 {
            let (journal, recovery) =
                small_on(&disk, &Clock::at(1)).unwrap_or_else(|error| panic!("seed {seed}, round {round}: {error}"));
            let last = acknowledged.keys().next_back().copied().unwrap_or(0);
            assert!(last <= recovery.last_frame, "seed {seed}: frame {last} was acknowledged, {recovery:?}");
            assert!(recovery.first_frame <= forgotten_below.max(1), "seed {seed}: {recovery:?}");
            for (number, body) in acknowledged.range(forgotten_below..) {
                let frame = journal.read_frame(*number).unwrap().unwrap();
                assert_eq!(frame.body, body, "seed {seed}: frame {number}");
            }
            let mut arrived = event::Timestamp::ZERO;
            for (frame, number) in
                journal.scan(journal::ScanRange::all(journal::Order::OldestFirst)).zip(recovery.first_frame..)
            {
                let frame = frame.unwrap();
                assert_eq!(frame.number, number, "seed {seed}");
                assert!(arrived < frame.arrived, "seed {seed}");
                assert_eq!(frame.body, entry(u64::from(frame.events), frame.body.len()).body, "seed {seed}");
                arrived = frame.arrived;
            }

            disk.crash_after((seed * 7 + round * 13) % 60);
            for burst in 0..12 {
                let size = |i: u64| 100 + ((seed + i * 31 + burst) * 977 % 9_000) as usize;
                let appends: Vec<_> = (0..4)
                    .map(|_| {
                        sent += 1;
                        let entry = entry(sent, size(sent));
                        (entry.body.clone(), journal.append(entry))
                    })
                    .collect();
                for (body, append) in appends {
                    if let Ok(appended) = append.await {
                        acknowledged.insert(appended.frame, body);
                    }
                }
                if seed.is_multiple_of(2) && burst == 8 {
                    let keep_from = acknowledged.keys().next_back().map_or(1, |last| last.saturating_sub(20));
                    let retention = Retention { bytes_max: Some(0), age_max: None };
                    // After the crash nothing can be dropped; before, it may.
                    let _ = journal.retain(retention, keep_from);
                    forgotten_below = forgotten_below.max(keep_from);
                }
            }
            drop(journal);
            disk = disk.after_power_cut();
        }
        assert!(sent > 0);
    }
}

/// A closed journal of three frames of 1000 bytes and where they start.
async fn three_frames(disk: &FaultyDisk) -> (String, [usize; 3]) {
    let (journal, _) = small_on(disk, &Clock::at(1)).unwrap();
    for i in 0..3 {
        journal.append(Entry { refused: Bytes::new(), ..entry(i, 1000) }).await.unwrap();
    }
    journal.close().await.unwrap();
    (format!("{:020}.segment", 1), [4096, 4096 + 1064, 4096 + 2 * 1064])
}

#[tokio::test]
async fn damage_below_the_durable_mark_is_reported_with_file_and_offset() {
    for byte in [0, 9, 20, 58, 62, 64, 500, 1063] {
        for frame in [0, 1] {
            let disk = FaultyDisk::new(1);
            let (file, starts) = three_frames(&disk).await;
            disk.flip(&file, starts[frame] + byte);
            match small_on(&disk, &Clock::at(1)) {
                Err(OpenError::Corrupt(corruption)) => {
                    assert!(corruption.file.ends_with(&file));
                    assert_eq!(corruption.offset, starts[frame] as u64);
                    assert!(corruption.to_string().contains("Restore the file from a backup"), "{corruption}");
                }
                other => panic!("byte {byte} of frame {frame}: {:?}", other.map(|(_, recovery)| recovery)),
            }
        }
    }
}

#[tokio::test]
async fn writer_cuts_torn_tail_before_appending() {
    let disk = FaultyDisk::new(1);
    let (file, starts) = three_frames(&disk).await;
    // Nothing was written after the third frame, so no mark covers it.
    disk.flip(&file, starts[2] + 100);
    let (journal, recovery) = small_on(&disk, &Clock::at(1)).unwrap();
    assert_eq!(recovery.last_frame, 2);
    assert!(0 < recovery.cut_bytes);
    assert_eq!(journal.append(entry(7, 10)).await.unwrap().frame, 3);
    journal.close().await.unwrap();
    let (journal, recovery) = small_on(&disk, &Clock::at(1)).unwrap();
    assert_eq!((recovery.last_frame, recovery.cut_bytes), (3, 0));
    assert_eq!(journal.read_frame(3).unwrap().unwrap().body, entry(7, 10).body);
}

#[tokio::test]
async fn frames_behind_a_torn_one_do_not_come_back_when_it_is_written_over() {
    let disk = FaultyDisk::new(1);
    let together = journal::SyncPolicy { linger_max: std::time::Duration::from_millis(200), ..Default::default() };
    let config = journal::Config { sync: together, ..small(Path::new("")) };
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), config, Clock::at(1).read()).unwrap();
    // Whole pages, so that no padding of a later write hides what is left behind.
    let same_size = |i| Entry { refused: Bytes::new(), ..entry(i, 4096 - 64) };
    journal.append(same_size(1)).await.unwrap();
    let one_commit: Vec<_> = (2..=4).map(|i| journal.append(same_size(i))).collect();
    for append in one_commit {
        append.await.unwrap();
    }
    journal.close().await.unwrap();
    // As if the second frame's sectors had not reached the disk while those of the third and fourth had.
    disk.flip(&format!("{:020}.segment", 1), 2 * 4096 + 500);
    let (journal, recovery) = small_on(&disk, &Clock::at(1)).unwrap();
    assert_eq!((recovery.last_frame, recovery.cut_bytes), (1, 3 * 4096));
    assert_eq!(journal.append(same_size(9)).await.unwrap().frame, 2);
    journal.close().await.unwrap();
    let (_, recovery) = small_on(&disk, &Clock::at(1)).unwrap();
    assert_eq!(recovery.last_frame, 2);
}

#[tokio::test]
async fn a_closing_tick_puts_the_mark_over_the_last_frame() {
    let disk = FaultyDisk::new(1);
    let config = journal::Config { tick_every: Some(std::time::Duration::from_secs(3600)), ..small(Path::new("")) };
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), config, Clock::at(1).read()).unwrap();
    journal.append(entry(1, 1000)).await.unwrap();
    journal.close().await.unwrap();
    disk.flip(&format!("{:020}.segment", 1), 4096 + 500);
    assert!(matches!(small_on(&disk, &Clock::at(1)), Err(OpenError::Corrupt(_))));
}

#[tokio::test]
async fn stale_frames_of_a_recycled_segment_never_surface() {
    let disk = FaultyDisk::new(1);
    let clock = Clock::at(1);
    let (journal, _) = small_on(&disk, &clock).unwrap();
    let same_size = |i| Entry { refused: Bytes::new(), ..entry(i, 1000) };
    let mut last = 0;
    for i in 0..600 {
        last = journal.append(same_size(i)).await.unwrap().frame;
        journal.retain(Retention { bytes_max: Some(0), age_max: None }, last).unwrap();
    }
    journal.close().await.unwrap();
    assert!(disk.names().len() <= 8, "dropped segments are used again: {:?}", disk.names());
    // The file of the last segment holds frames of its former life right behind the last one.
    let (journal, recovery) = small_on(&disk, &clock).unwrap();
    assert_eq!((recovery.last_frame, recovery.cut_bytes), (last, 0));
    assert!(journal.read_frame(last + 1).unwrap().is_none());
    assert_eq!(journal.read_frame(last).unwrap().unwrap().body, same_size(599).body);
}
