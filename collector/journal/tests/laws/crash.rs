//! Recovery: what a crash may leave, what it may not, and what is damage.
use crate::{Clock, entry, small};
use bytes::Bytes;
use journal::{Entry, Journal, OpenError, ReadError, Retention, Verify, faulty::FaultyDisk};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// How many seeds a run tries; `CRASH_SEEDS=100000` sweeps.
fn seeds() -> std::ops::Range<u64> {
    match std::env::var("CRASH_SEEDS").ok().and_then(|text| text.parse().ok()) {
        Some(count) => 0..count,
        None => 0..150,
    }
}

fn small_on(disk: &FaultyDisk, clock: &Clock) -> Result<(Journal, journal::Recovery), OpenError> {
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

/// A closed journal over several segments.
async fn many_segments(disk: &FaultyDisk) -> Vec<journal::SegmentInfo> {
    let (journal, _) = small_on(disk, &Clock::at(1)).unwrap();
    for i in 0..40 {
        journal.append(entry(i, 6_000)).await.unwrap();
    }
    journal.close().await.unwrap();
    journal.segments()
}

#[tokio::test]
async fn damage_in_sealed_segments_is_found_by_reading_and_by_verifying_everything() {
    let disk = FaultyDisk::new(1);
    let segments = many_segments(&disk).await;
    assert!(3 < segments.len());
    disk.flip(&format!("{:020}.segment", 1), 4096 + 700);
    let (journal, recovery) = small_on(&disk, &Clock::at(1)).unwrap();
    assert_eq!(recovery.damage, []);
    assert!(matches!(journal.read_frame(1), Err(ReadError::Lost(loss)) if loss.damage.offset == 4096));
    assert!(journal.read_frame(2).unwrap().is_some(), "what is not damaged stays readable");
    journal.close().await.unwrap();
    let everything = journal::Config { verify: Verify::Everything, ..small(Path::new("")) };
    let (_, recovery) = Journal::open_on(Arc::new(disk), everything, Clock::at(1).read()).unwrap();
    assert_eq!(recovery.damage.iter().map(|damage| damage.offset).collect::<Vec<_>>(), [4096]);
}

/// Everything a journal still gives, by frame, and what it says is lost; the same whichever way one reads.
fn still_there(journal: &Journal) -> (BTreeMap<u64, Bytes>, Vec<journal::Loss>) {
    let (mut frames, mut losses) = (BTreeMap::new(), Vec::new());
    let mut reader = journal.reader(1);
    loop {
        match reader.try_next() {
            Ok(Some(frame)) => drop(frames.insert(frame.number, frame.body)),
            Ok(None) => break,
            Err(ReadError::Lost(loss)) => {
                assert_eq!(*loss.frames.start(), reader.next_frame(), "{loss}");
                reader.pass(&loss);
                losses.push(loss);
            }
            Err(other) => panic!("{other}"),
        }
    }
    let last = *journal.durable().borrow();
    for number in 1..=last {
        match journal.read_frame(number) {
            Ok(frame) => assert!(frame.map(|frame| frame.body).as_ref() == frames.get(&number), "frame {number}"),
            Err(ReadError::Lost(loss)) => {
                assert!(losses.iter().any(|known| known.frames.contains(&number)), "frame {number}: {loss}");
                assert!(loss.frames.contains(&number), "frame {number}: {loss}");
            }
            Err(other) => panic!("frame {number}: {other}"),
        }
    }
    for order in [journal::Order::OldestFirst, journal::Order::NewestFirst] {
        let (mut seen, mut lost) = (BTreeMap::new(), Vec::new());
        for frame in journal.scan(journal::ScanRange::all(order)) {
            match frame {
                Ok(frame) => drop(seen.insert(frame.number, frame.body)),
                Err(ReadError::Lost(loss)) => lost.push(loss),
                Err(other) => panic!("{other}"),
            }
        }
        lost.sort_by_key(|loss| *loss.frames.start());
        assert!(seen == frames, "{order:?}: {:?} instead of {:?}", seen.keys(), frames.keys());
        assert_eq!(lost, losses, "{order:?}");
    }
    (frames, losses)
}

#[tokio::test]
async fn a_byte_that_changes_in_a_middle_segment_costs_the_frame_it_hit_and_no_other() {
    let whole = FaultyDisk::new(1);
    let segments = many_segments(&whole).await;
    let (journal, _) = small_on(&whole, &Clock::at(1)).unwrap();
    let (frames, none) = still_there(&journal);
    assert!(none.is_empty() && frames.len() >= 40);
    drop(journal);
    // The first ones; one that is read from the start because the open one follows it; not the last one, nor the open one.
    for segment in [&segments[0], &segments[1], &segments[segments.len() - 2]] {
        let file = format!("{:020}.segment", segment.generation);
        let page = [0, 8, 12, 20, 36, 44, 47, 100, 2048, 2056, 2064, 2099, 3000];
        let inside = (4096..segment.bytes as usize).step_by(1_237).chain(4096..4096 + 64);
        for byte in page.into_iter().chain(inside) {
            for verify in [Verify::Tail, Verify::Everything] {
                let disk = whole.after_kill();
                disk.flip(&file, byte);
                let nothing_kept = journal::Config { verify, ring_bytes_max: 0, ..small(Path::new("")) };
                let opened = Journal::open_on(Arc::new(disk.clone()), nothing_kept, Clock::at(1).read());
                let (journal, recovery) = opened.unwrap_or_else(|error| panic!("byte {byte} of {file}: {error}"));
                let (left, losses) = still_there(&journal);
                let lost: Vec<u64> = losses.iter().flat_map(|loss| loss.frames.clone()).collect();
                assert!(lost.len() <= 1 && (byte >= 4096 || lost.is_empty()), "byte {byte} of {file}: {lost:?}");
                for (number, body) in &frames {
                    assert_eq!(
                        left.get(number),
                        Some(body).filter(|_| !lost.contains(number)),
                        "{number}, byte {byte}"
                    );
                }
                for loss in &losses {
                    assert!(loss.damage.file.ends_with(&file) && loss.damage.offset <= byte as u64, "{loss}");
                    assert!(loss.to_string().contains(&format!("{file} is damaged at offset")), "{loss}");
                }
                if verify == Verify::Everything {
                    assert!(lost.is_empty() || recovery.damage.len() == 1, "byte {byte} of {file}: {recovery:?}");
                }
                // And what is appended then goes on behind it all.
                let appended = journal.append(entry(99, 10)).await.unwrap();
                assert_eq!(appended.frame, recovery.last_frame + 1);
                journal.close().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn frames_that_are_damaged_one_behind_the_other_are_told_together() {
    let disk = FaultyDisk::new(1);
    let segments = many_segments(&disk).await;
    let file = format!("{:020}.segment", 2);
    let (first, last) = (segments[1].first_frame, segments[1].last_frame);
    assert!(first + 3 < last);
    // All headers from the second one on: where frames begin is not known any more.
    for at in (4096 + 64..segments[1].bytes as usize).step_by(8) {
        disk.flip(&file, at);
    }
    let (journal, _) = small_on(&disk, &Clock::at(1)).unwrap();
    let (left, losses) = still_there(&journal);
    assert!(!left.contains_key(&first) && left.contains_key(&(first - 1)) && left.contains_key(&(last + 1)));
    let lost: Vec<u64> = losses.iter().flat_map(|loss| loss.frames.clone()).collect();
    assert_eq!(lost, (first..=last).collect::<Vec<_>>());
    assert_eq!(losses.len(), 1, "{losses:?}");
}

#[tokio::test]
async fn a_damaged_first_page_is_mended_where_its_neighbours_say_what_it_was() {
    for byte in [3, 25, 2048 + 10] {
        let disk = FaultyDisk::new(1);
        many_segments(&disk).await;
        let file = format!("{:020}.segment", 2);
        disk.flip(&file, byte);
        let (journal, recovery) = small_on(&disk, &Clock::at(1)).unwrap();
        assert_eq!(recovery.damage.len(), 1, "{recovery:?}");
        assert!(recovery.damage[0].file.ends_with(&file));
        journal.close().await.unwrap();
        let (_, recovery) = small_on(&disk, &Clock::at(1)).unwrap();
        assert_eq!(recovery.damage, [], "it is mended");
    }
}

#[tokio::test]
async fn missing_segments_and_seals_of_damaged_segments_are_corruption() {
    use journal::Disk;
    let disk = FaultyDisk::new(1);
    many_segments(&disk).await;
    let file = format!("{:020}.segment", 2);
    let both = disk.after_kill();
    both.flip(&file, 2048 + 10);
    both.flip(&file, 4096 + 500);
    assert!(matches!(small_on(&both, &Clock::at(1)), Err(OpenError::Corrupt(found)) if found.file.ends_with(&file)));
    disk.remove(&file).unwrap();
    let Err(error) = small_on(&disk, &Clock::at(1)) else { panic!("opened with a segment missing") };
    assert!(error.to_string().contains("it is missing"), "{error}");
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
