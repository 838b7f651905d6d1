//! Forgetting: whole segments, oldest first. Refuses to touch anything that is still needed.
use crate::{
    ReadError,
    journal::Shared,
    segment::{self, SPARE_SUFFIX},
};
use std::{io, sync::Arc, time::Duration};

/// How much of the past is kept. A segment that exceeds either limit may be dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The most bytes of segment files with frames.
    pub bytes_max: Option<u64>,
    /// The greatest age: from a segment's last arrival to the journal's last.
    pub age_max: Option<Duration>,
}

/// What retention left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retained {
    /// The oldest frame still kept; the next to be written when there is none.
    pub first_frame: u64,
    /// How many segments were dropped.
    pub dropped_segments: usize,
    /// How many bytes they had.
    pub dropped_bytes: u64,
}

pub(crate) fn retain(shared: &Arc<Shared>, retention: Retention, keep_from: u64) -> Result<Retained, ReadError> {
    let mut retained = Retained { first_frame: 0, dropped_segments: 0, dropped_bytes: 0 };
    loop {
        let mut index = shared.index();
        let segments = index.segments();
        let total: u64 = segments.iter().map(|segment| segment.header.bytes).sum();
        let newest = segments.back().map(|segment| segment.extent.last_arrival).unwrap_or_default();
        let dropped = match segments.front() {
            // The last segment with frames stays: numbers and stamps go on from it.
            Some(oldest) if 1 < segments.len() && oldest.extent.last_frame < keep_from => {
                let too_big = retention.bytes_max.is_some_and(|max| max < total);
                let too_old = retention.age_max.is_some_and(|max| max < newest.since(oldest.extent.last_arrival));
                if too_big || too_old { index.drop_oldest() } else { None }
            }
            _ => None,
        };
        let Some(dropped) = dropped else {
            let first = index.first_frame();
            drop(index);
            retained.first_frame = first.unwrap_or_else(|| *shared.durable().borrow() + 1);
            return Ok(retained);
        };
        drop(index);
        let name = segment::name(dropped.header.generation);
        discard(shared, &name).map_err(|error| {
            ReadError::Io(format!("dropping {}: {error}", shared.disk.path().join(&name).display()))
        })?;
        retained.dropped_segments += 1;
        retained.dropped_bytes += dropped.header.bytes;
    }
}

/// Keeps the file for reuse, or removes it.
fn discard(shared: &Shared, name: &str) -> io::Result<()> {
    let disk = &shared.disk;
    let spares = disk.list()?.iter().filter(|name| name.ends_with(SPARE_SUFFIX)).count();
    if spares < shared.config.spare_segments_max {
        disk.rename(name, &format!("{name}{SPARE_SUFFIX}"))?;
    } else {
        disk.remove(name)?;
    }
    disk.sync_dir()
}
