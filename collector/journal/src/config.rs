//! How a journal is set up. Defaults stand here and nowhere else.
use std::{path::PathBuf, time::Duration};

/// Settings of one journal.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory that holds the segments. Made if it is missing.
    pub dir: PathBuf,
    /// Size of a segment file. Between 64 KiB and 2 GiB. May differ between runs: segments keep the size they have.
    pub segment_bytes: u64,
    /// When to sync.
    pub sync: SyncPolicy,
    /// The most bytes that may wait for the disk, those being written included.
    pub queue_bytes_max: u64,
    /// The most bytes of recent frames kept in memory, so that a reader that keeps up never touches the disk. A quarter of them
    /// is for what was noted of those before: see [`Reader::try_next_where`](crate::Reader::try_next_where).
    pub ring_bytes_max: u64,
    /// How long without an arrival until a tick is journaled; `None` journals none.
    pub tick_every: Option<Duration>,
    /// Size of the file that is held back so that a full disk can be survived; 0 for none.
    pub reserve_bytes: u64,
    /// How many dropped segments are kept for reuse instead of being deleted.
    pub spare_segments_max: usize,
    /// How much of an existing journal is verified when it is opened.
    pub verify: Verify,
    /// How long after the disk had no space for the next segment it is tried again.
    pub retry_full_after: Duration,
}

impl Config {
    /// The defaults, in that directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 64 << 20,
            sync: SyncPolicy::default(),
            queue_bytes_max: 64 << 20,
            ring_bytes_max: 64 << 20,
            tick_every: Some(Duration::from_secs(1)),
            reserve_bytes: 4 << 20,
            spare_segments_max: 2,
            verify: Verify::Tail,
            retry_full_after: Duration::from_millis(250),
        }
    }
}

/// When the writer syncs. A sync costs about as much CPU as writing a MiB, so they are bounded under light load, where
/// nobody is helped by more of them, and come back to back when much is waiting.
#[derive(Clone, Copy, Debug)]
pub struct SyncPolicy {
    /// The least time between two syncs; an entry waits for company at most that long. 4 ms bounds syncs to 250 a second.
    pub linger_max: Duration,
    /// With so many bytes waiting there is no lingering.
    pub deep_bytes: u64,
    /// The most bytes written before one sync.
    pub commit_bytes_max: u64,
}

impl Default for SyncPolicy {
    fn default() -> Self {
        Self { linger_max: Duration::from_millis(4), deep_bytes: 1 << 20, commit_bytes_max: 8 << 20 }
    }
}

/// How much is verified on opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// The segments that were open at the end; earlier ones are vouched for by their seals and verified when read.
    Tail,
    /// Every frame of every segment.
    Everything,
}
