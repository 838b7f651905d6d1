//! Appending: acknowledgement, order, bounds, one writer.
use crate::{Clock, entry, small};
use journal::{AppendError, Config, Entry, Fullness, Journal, Kind, OpenError, SyncPolicy, faulty::FaultyDisk};
use std::{path::Path, sync::Arc, time::Duration};

#[tokio::test]
async fn frames_are_numbered_from_1_and_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, recovery) = Journal::open(small(dir.path()), Clock::at(100).read()).unwrap();
    assert_eq!((recovery.first_frame, recovery.last_frame), (1, 0));
    for i in 1..=3 {
        assert_eq!(journal.append(entry(i, 1000)).await.unwrap().frame, i);
    }
    journal.close().await.unwrap();
    assert!(matches!(journal.append(entry(4, 10)).await, Err(AppendError::Closed)));

    let (journal, recovery) = Journal::open(small(dir.path()), Clock::at(100).read()).unwrap();
    assert_eq!((recovery.first_frame, recovery.last_frame, recovery.cut_bytes), (1, 3, 0));
    assert_eq!(journal.append(entry(4, 1000)).await.unwrap().frame, 4);
}

#[tokio::test]
async fn arrival_stamps_grow_while_the_clock_stands_or_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::at(1_000);
    let mut stamps = Vec::new();
    let (journal, _) = Journal::open(small(dir.path()), clock.read()).unwrap();
    for now in [1_000, 1_000, 500, 2_000, 0] {
        clock.set(now);
        stamps.push(journal.append(entry(1, 10)).await.unwrap().arrived.0);
    }
    journal.close().await.unwrap();
    let (journal, recovery) = Journal::open(small(dir.path()), clock.read()).unwrap();
    assert_eq!(recovery.last_arrival.0, 2_001);
    stamps.push(journal.append(entry(1, 10)).await.unwrap().arrived.0);
    assert_eq!(stamps, [1_000, 1_001, 1_002, 2_000, 2_001, 2_002]);
}

#[tokio::test]
async fn entries_are_acknowledged_after_their_sync() {
    let disk = FaultyDisk::new(1);
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), small(Path::new("")), Clock::at(1).read()).unwrap();
    let before = disk.syncs();
    journal.append(entry(1, 100)).await.unwrap();
    assert!(before < disk.syncs());
    let found = disk.after_power_cut();
    let (again, recovery) = Journal::open_on(Arc::new(found), small(Path::new("")), Clock::at(1).read()).unwrap();
    assert_eq!(recovery.last_frame, 1);
    assert_eq!(again.read_frame(1).unwrap().unwrap().body, entry(1, 100).body);
}

#[tokio::test]
async fn many_appends_share_one_sync() {
    let disk = FaultyDisk::new(1);
    let config = Config {
        sync: SyncPolicy { linger_max: Duration::from_millis(50), ..SyncPolicy::default() },
        segment_bytes: 1 << 20,
        ..small(Path::new(""))
    };
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), config, Clock::at(1).read()).unwrap();
    journal.append(entry(0, 100)).await.unwrap();
    let before = disk.syncs();
    let appends: Vec<_> = (1..=200).map(|i| journal.append(entry(i, 100))).collect();
    for append in appends {
        append.await.unwrap();
    }
    // The preparation of the next segment takes two of its own.
    assert!(disk.syncs() - before <= 6, "{} syncs", disk.syncs() - before);
}

#[tokio::test]
async fn a_failed_sync_poisons_the_writer_for_good() {
    let disk = FaultyDisk::new(1);
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), small(Path::new("")), Clock::at(1).read()).unwrap();
    journal.append(entry(1, 100)).await.unwrap();
    disk.fail_syncs(true);
    assert!(matches!(journal.append(entry(2, 100)).await, Err(AppendError::Poisoned(_))));
    disk.fail_syncs(false);
    assert!(matches!(journal.append(entry(3, 100)).await, Err(AppendError::Poisoned(_))));
    assert_eq!(*journal.durable().borrow(), 1);
    assert!(matches!(journal.close().await, Err(AppendError::Poisoned(_))));
    let (again, recovery) = Journal::open_on(Arc::new(disk), small(Path::new("")), Clock::at(1).read()).unwrap();
    assert!((1..=2).contains(&recovery.last_frame), "only what was written can be there");
    assert_eq!(again.append(entry(4, 10)).await.unwrap().frame, recovery.last_frame + 1);
}

#[tokio::test]
async fn what_does_not_fit_a_segment_is_refused_and_what_just_fits_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(small(dir.path()), Clock::at(1).read()).unwrap();
    let largest = journal.frame_bytes_max() as usize - 64;
    let fits = Entry { refused: bytes::Bytes::new(), ..entry(1, largest) };
    let appended = journal.append(fits.clone()).await.unwrap();
    assert_eq!(journal.read_frame(appended.frame).unwrap().unwrap().body, fits.body);
    let refused = Entry { refused: bytes::Bytes::new(), ..entry(2, largest + 1) };
    let error = journal.append(refused).await.unwrap_err();
    assert!(matches!(error, AppendError::TooLarge { .. }));
    assert!(error.to_string().contains("raise `segment_bytes`"), "{error}");
    journal.append(entry(3, 10)).await.unwrap();
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes() {
    let config = Config { queue_bytes_max: 20_000, ..small(Path::new("")) };
    let disk = Arc::new(FaultyDisk::new(1));
    // Without threads: a writer that wakes between two appends makes room for one more.
    let (journal, _, mut writer) = Journal::open_driven(disk, config, Clock::at(1).read()).unwrap();
    let appends: Vec<_> = (0..4).map(|i| journal.append(entry(i, 9_000))).collect();
    assert!((18_000..=20_000).contains(&journal.queued_bytes()));
    assert!(writer.write());
    let mut full = 0;
    for append in appends {
        match append.await {
            Err(AppendError::Full(Fullness::Queue { limit_bytes: 20_000 })) => full += 1,
            other => assert!(other.is_ok(), "{other:?}"),
        }
    }
    assert_eq!(full, 2);
    // The writer gives room back when it looks for more.
    assert!(writer.write());
    assert_eq!(journal.queued_bytes(), 0);
    let append = journal.append(entry(9, 9_000));
    assert!(writer.write());
    append.await.unwrap();
}

#[tokio::test]
async fn a_second_writer_is_kept_out_and_told_who_is_in() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(small(dir.path()), Clock::at(1).read()).unwrap();
    let Err(error) = Journal::open(small(dir.path()), Clock::at(1).read()) else { panic!("opened twice") };
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    journal.close().await.unwrap();
    Journal::open(small(dir.path()), Clock::at(1).read()).unwrap();
}

#[tokio::test]
async fn time_goes_on_in_ticks_without_arrivals() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { tick_every: Some(Duration::from_millis(10)), ..small(dir.path()) };
    let (journal, _) = Journal::open(config, Clock::at(1).read()).unwrap();
    let mut reader = journal.reader(1);
    let first = reader.next().await.unwrap();
    let second = reader.next().await.unwrap();
    assert_eq!((first.kind, second.kind), (Kind::TICK, Kind::TICK));
    assert!(first.arrived < second.arrived);
    let appended = journal.append(entry(1, 10)).await.unwrap();
    assert!(second.arrived < appended.arrived);
}

#[tokio::test]
async fn a_segment_size_that_cannot_work_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { segment_bytes: 1, ..small(dir.path()) };
    assert!(matches!(Journal::open(config, Clock::at(1).read()), Err(OpenError::Config(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_journal_can_be_opened_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..30 {
        let opened = Journal::open(small(dir.path()), Clock::at(1_000).read());
        let (journal, _) = opened.unwrap_or_else(|error| panic!("round {round}: {error}"));
        journal.append(entry(1, 10)).await.unwrap();
        journal.close().await.unwrap();
    }
}
