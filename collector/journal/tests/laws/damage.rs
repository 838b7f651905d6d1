//! Damage in the middle: what it costs, who is told, and what is mended.
use crate::{Clock, crash::small_on, entry, small};
use bytes::Bytes;
use journal::{Journal, OpenError, ReadError, Verify, faulty::FaultyDisk};
use std::{collections::BTreeMap, path::Path, sync::Arc};

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
async fn who_reads_from_outside_is_told_of_the_frame_that_was_hit_and_gets_all_others() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(small(dir.path()), Clock::at(1).read()).unwrap();
    for i in 0..40 {
        journal.append(entry(i, 6_000)).await.unwrap();
    }
    journal.close().await.unwrap();
    let segments = journal.segments();
    drop(journal);
    let outside = |from: u64| {
        let (mut frames, mut losses) = (Vec::new(), Vec::new());
        let mut reader = journal::open_reader(dir.path(), from).unwrap();
        loop {
            match reader.try_next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, losses),
                Err(ReadError::Lost(loss)) => {
                    assert_eq!(*loss.frames.start(), reader.next_frame(), "{loss}");
                    // Who does not pass it is told again.
                    assert!(matches!(reader.try_next(), Err(ReadError::Lost(again)) if again == loss));
                    reader.pass(&loss);
                    losses.push(loss);
                }
                Err(other) => panic!("{other}"),
            }
        }
    };
    let (whole, none) = outside(1);
    assert!(whole.len() == 40 && none.is_empty() && segments.len() > 3);
    for segment in &segments[..segments.len() - 1] {
        let path = dir.path().join(format!("{:020}.segment", segment.generation));
        let good = std::fs::read(&path).unwrap();
        // Not the segment's own header: the next start of the journal mends that one.
        for byte in [2048, 2056, 2099, 3000].into_iter().chain((4096..good.len()).step_by(997)).chain(4096..4160) {
            let mut bad = good.clone();
            bad[byte] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let (frames, losses) = outside(1);
            let lost: Vec<u64> = losses.iter().flat_map(|loss| loss.frames.clone()).collect();
            assert!(lost.len() <= 1 && (byte >= 4096 || lost.is_empty()), "byte {byte}: {losses:?}");
            let left: Vec<_> = whole.iter().filter(|frame| !lost.contains(&frame.number)).cloned().collect();
            let numbers = |frames: &[journal::Frame]| frames.iter().map(|frame| frame.number).collect::<Vec<_>>();
            assert_eq!(numbers(&frames), numbers(&left), "byte {byte} of segment {}: {losses:?}", segment.generation);
            assert!(frames == left);
            assert!(losses.iter().all(|loss| loss.damage.file == path && loss.damage.offset <= byte as u64));
            // Who begins behind it does not hear of it.
            let behind = lost.first().map_or(20, |lost| lost + 1);
            let (frames, losses) = outside(behind);
            assert!(losses.is_empty() && frames == left[left.partition_point(|frame| frame.number < behind)..]);
        }
        std::fs::write(&path, &good).unwrap();
    }
}
