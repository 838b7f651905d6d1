//! Running out of space, and forgetting.
use crate::{Clock, entry, small};
use journal::{AppendError, Fullness, Journal, Retention, faulty::FaultyDisk};
use std::{path::Path, sync::Arc, time::Duration};

#[tokio::test]
async fn a_full_disk_refuses_appends_gives_up_the_reserve_and_recovers_by_itself() {
    let disk = FaultyDisk::new(1);
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), small(Path::new("")), Clock::at(1).read()).unwrap();
    assert!(disk.names().contains(&"reserve".to_owned()));
    disk.limit_space(Some(0));
    let mut accepted = 0;
    let why = loop {
        match journal.append(entry(accepted, 9_000)).await {
            Ok(appended) => accepted = appended.frame,
            Err(AppendError::Full(Fullness::Disk(why))) => break why,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(!why.is_empty());
    assert!(!disk.names().contains(&"reserve".to_owned()), "the reserve is freed for those who share the disk");
    for number in 1..=accepted {
        assert_eq!(journal.read_frame(number).unwrap().unwrap().body, entry(number - 1, 9_000).body);
    }
    disk.limit_space(None);
    let recovered = async {
        while journal.append(entry(accepted, 9_000)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), recovered).await.expect("appends work again once there is space");
    assert!(disk.names().contains(&"reserve".to_owned()), "the reserve is back");
}

#[tokio::test]
async fn retention_drops_whole_segments_that_nobody_needs() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::at(0);
    let (journal, _) = Journal::open(small(dir.path()), clock.read()).unwrap();
    for i in 0..40 {
        clock.set(i * 1_000_000_000);
        journal.append(entry(i, 6_000)).await.unwrap();
    }
    let before = journal.segments();
    assert!(4 <= before.len());
    let everything = Retention { bytes_max: Some(0), age_max: None };
    let keep_from = before[1].last_frame;
    let retained = journal.retain(everything, keep_from).unwrap();
    assert_eq!((retained.first_frame, retained.dropped_segments), (before[1].first_frame, 1));
    assert!(matches!(
        journal.read_frame(1),
        Err(journal::ReadError::Gone { wanted: 1, first }) if first == before[1].first_frame
    ));
    assert!(journal.read_frame(keep_from).unwrap().is_some());

    let newest = before[before.len() - 1].last_arrival;
    let age = newest.since(before[2].last_arrival);
    let by_age = Retention { bytes_max: None, age_max: Some(age) };
    assert_eq!(journal.retain(by_age, u64::MAX).unwrap().first_frame, before[2].first_frame);

    let retained = journal.retain(everything, u64::MAX).unwrap();
    assert_eq!(retained.first_frame, before[before.len() - 1].first_frame, "the segment being written stays");
    journal.close().await.unwrap();
    let (_, recovery) = Journal::open(small(dir.path()), clock.read()).unwrap();
    assert_eq!((recovery.first_frame, recovery.last_frame), (retained.first_frame, 40));
}
