//! Readers: following, random access, searching, and from outside.
use crate::{Clock, entry, small};
use journal::{Config, Entry, Frame, Journal, Order, ReadError, ScanRange, open_reader};

async fn filled(config: Config, clock: &Clock, count: u64) -> Journal {
    let (journal, recovery) = Journal::open(config, clock.read()).unwrap();
    for i in recovery.last_frame + 1..=recovery.last_frame + count {
        clock.set(i * 1_000);
        journal.append(entry(i, 100 + (i * 7_919 % 7_000) as usize)).await.unwrap();
    }
    journal
}

async fn follow(journal: &Journal, from: u64, to: u64) -> Vec<Frame> {
    let mut reader = journal.reader(from);
    let mut frames = Vec::new();
    for _ in from..=to {
        frames.push(reader.next().await.unwrap());
    }
    frames
}

#[tokio::test]
async fn memory_and_disk_give_the_same_frames_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::default();
    let journal = filled(small(dir.path()), &clock, 100).await;
    let from_memory = follow(&journal, 1, 100).await;
    assert!(3 < journal.segments().len());
    journal.close().await.unwrap();
    drop(journal);

    let nothing_in_memory = Config { ring_bytes_max: 0, ..small(dir.path()) };
    let (journal, _) = Journal::open(nothing_in_memory, clock.read()).unwrap();
    assert_eq!(from_memory, follow(&journal, 1, 100).await);
    assert_eq!(from_memory[29..], follow(&journal, 30, 100).await);
    for frame in &from_memory {
        assert_eq!(journal.read_frame(frame.number).unwrap().as_ref(), Some(frame));
        assert_eq!(frame.body, entry(frame.number, frame.body.len()).body);
        assert_eq!(frame.arrived.0, frame.number * 1_000);
    }
    assert_eq!(journal.read_frame(101).unwrap(), None);

    let mut outside = open_reader(dir.path(), 1).unwrap();
    journal.close().await.unwrap();
    for frame in &from_memory {
        assert_eq!(outside.next().await.unwrap(), *frame);
    }
    assert_eq!(outside.try_next().unwrap(), None);
}

#[tokio::test]
async fn of_what_memory_no_longer_holds_whole_the_rest_is_handed_out_where_it_suffices() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { ring_bytes_max: 64_000, segment_bytes: 1 << 20, ..small(dir.path()) };
    let (journal, _) = Journal::open(config, Clock::at(1).read()).unwrap();
    let noted = |i: u64| Entry { notes: vec![i as u8; 40].into(), ..entry(i, 2_000) };
    for i in 1..=300 {
        journal.append(noted(i)).await.unwrap();
    }
    let mut reader = journal.reader(220);
    let (mut left_out, mut loaded) = (0, 0);
    for i in 220..=300 {
        let mut asked = false;
        let frame = reader.try_next_where(|outline| {
            assert!(outline.body.is_empty() && outline.number == i && outline.notes == noted(i).notes);
            asked = true;
            i.is_multiple_of(3)
        });
        let frame = frame.unwrap().unwrap();
        assert_eq!((frame.number, frame.events, &frame.refused), (i, i as u32, &noted(i).refused));
        assert_eq!(frame.notes, noted(i).notes);
        if asked && i.is_multiple_of(3) {
            assert!(frame.body.is_empty());
            left_out += 1;
        } else {
            assert_eq!(frame.body, noted(i).body);
            loaded += usize::from(asked);
        }
    }
    assert!(left_out > 10 && loaded > 20, "{left_out} {loaded}");
    assert_eq!(reader.try_next_where(|_| true).unwrap(), None);
    // Of the oldest not even that is in memory, and who asks for whole frames gets them.
    let frame = journal.reader(1).try_next_where(|_| panic!("there is no outline")).unwrap().unwrap();
    assert_eq!(frame.body, noted(1).body);
    for i in [1, 60, 240, 300] {
        assert_eq!(journal.read_frame(i).unwrap().unwrap().body, noted(i).body);
        assert_eq!(journal.reader(i).try_next().unwrap().unwrap().body, noted(i).body);
    }
}

#[tokio::test]
async fn a_reader_waits_for_what_becomes_durable_and_ends_with_the_journal() {
    for ring_bytes_max in [0, 64 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { ring_bytes_max, ..small(dir.path()) };
        let (journal, _) = Journal::open(config, Clock::at(1).read()).unwrap();
        let mut reader = journal.reader(1);
        assert_eq!(reader.try_next().unwrap(), None);
        let following = tokio::spawn(async move {
            let mut numbers = Vec::new();
            loop {
                match reader.next().await {
                    Ok(frame) => numbers.push(frame.number),
                    Err(ReadError::Closed) => return numbers,
                    Err(other) => panic!("{other}"),
                }
            }
        });
        for i in 0..60 {
            journal.append(entry(i, 5_000)).await.unwrap();
        }
        journal.close().await.unwrap();
        assert_eq!(following.await.unwrap(), (1..=60).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn scans_yield_ranges_in_either_order() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::default();
    let journal = filled(Config { segment_bytes: 1 << 20, ..small(dir.path()) }, &clock, 700).await;
    let scan = |range: ScanRange| journal.scan(range).map(|frame| frame.unwrap().number).collect::<Vec<_>>();
    assert_eq!(scan(ScanRange::all(Order::OldestFirst)), (1..=700).collect::<Vec<_>>());
    assert_eq!(scan(ScanRange::all(Order::NewestFirst)), (1..=700).rev().collect::<Vec<_>>());
    for (low, high) in [(1, 1), (5, 300), (650, 900), (100, 99)] {
        let frames = ScanRange { frames: low..=high, ..ScanRange::all(Order::NewestFirst) };
        assert_eq!(scan(frames), (low..=high.min(700)).rev().collect::<Vec<_>>());
        let arrived = event::Timestamp(low * 1_000)..=event::Timestamp(high * 1_000);
        let arrived = ScanRange { arrived, ..ScanRange::all(Order::OldestFirst) };
        assert_eq!(scan(arrived), (low..=high.min(700)).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_reader_outside_follows_a_live_writer_and_sees_only_what_is_marked_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(small(dir.path()), Clock::at(1).read()).unwrap();
    let mut outside = open_reader(dir.path(), 1).unwrap();
    for i in 1..=60 {
        journal.append(entry(i, 5_000)).await.unwrap();
        if 1 < i {
            assert_eq!(outside.next().await.unwrap().number, i - 1);
        }
        assert_eq!(outside.try_next().unwrap(), None, "no later frame says yet that {i} is durable");
    }
    journal.close().await.unwrap();
    assert_eq!(outside.next().await.unwrap().number, 60, "nobody writes, so everything valid is final");
}

#[tokio::test]
async fn what_is_dropped_is_gone_for_readers_inside_and_outside() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::default();
    let journal = filled(Config { ring_bytes_max: 0, ..small(dir.path()) }, &clock, 60).await;
    let mut inside = journal.reader(1);
    let mut outside = open_reader(dir.path(), 1).unwrap();
    let first = journal.retain(journal::Retention { bytes_max: Some(0), age_max: None }, 50).unwrap().first_frame;
    assert!(1 < first && first <= 50);
    for result in [inside.next().await, outside.next().await, inside.try_next().transpose().unwrap()] {
        assert!(matches!(result, Err(ReadError::Gone { wanted: 1, first: oldest }) if oldest == first), "{result:?}");
    }
}

#[test]
fn a_directory_without_a_journal_is_said_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    assert!(open_reader(dir.path(), 1).err().unwrap().to_string().contains("there is no journal"));
}
