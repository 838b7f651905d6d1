//! The form on disk: a journal of format 1, committed, stays readable for ever.
use crate::{Clock, entry, small};
use journal::{Journal, Kind, frames_in, open_reader};
use std::fs;

/// A journal that the first version wrote: twelve entries of `entry(i, 7_000)` from 1000 ns on, then a tick.
const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/test_data/v1");

#[tokio::test]
async fn a_journal_of_format_1_stays_readable_and_writable() {
    let dir = tempfile::tempdir().unwrap();
    for file in fs::read_dir(V1).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    let mut outside = open_reader(dir.path(), 1).unwrap();
    for i in 1..=12 {
        let frame = outside.next().await.unwrap();
        assert_eq!((frame.number, frame.arrived.0, frame.events), (i, 999 + i, i as u32));
        assert_eq!((&frame.body, &frame.refused), (&entry(i, 7_000).body, &entry(i, 7_000).refused));
    }
    assert_eq!(outside.next().await.unwrap().kind, Kind::TICK);
    let (journal, recovery) = Journal::open(small(dir.path()), Clock::at(1).read()).unwrap();
    assert_eq!((recovery.first_frame, recovery.last_frame, recovery.segments), (1, 13, 2));
    assert_eq!(journal.append(entry(14, 10)).await.unwrap().frame, 14);
}

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/journal_frames");

#[test]
fn the_fuzz_corpus_is_read_without_harm() {
    let mut seen = 0;
    for file in fs::read_dir(CORPUS).unwrap() {
        let data = fs::read(file.unwrap().path()).unwrap();
        let (_, bytes) = frames_in([0; 16], 1, &data);
        assert!(bytes <= data.len());
        seen += 1;
    }
    assert!(0 < seen);
}

#[test]
fn frames_written_by_another_program_from_the_description_are_read() {
    // Made with Python's struct and zlib.crc32 from the table in `frame`.
    let expected = [
        ("two_frames", 2),
        ("torn", 1),
        ("flipped", 0),
        ("header_only", 1),
        ("wrong_place", 0),
        ("unknown_version", 0),
    ];
    for (name, frames) in expected {
        let data = fs::read(format!("{CORPUS}/{name}")).unwrap();
        assert_eq!(frames_in([0; 16], 1, &data).0, frames, "{name}");
    }
}
