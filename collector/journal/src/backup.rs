//! A copy of a journal that may be written meanwhile: all that was durable when the copy began, whole frames only.
//!
//! Segments are copied in their order up to the one that is being written, and of that the frames that stand in it
//! without a hole: what comes later was acknowledged later, and is not part of the copy.
use std::{io, path::Path};

use bytes::Bytes;

use crate::{
    Mark,
    disk::{Access, Disk, OsDisk, SegmentFile},
    frame::{HEADER_BYTES, Header},
    segment::{self, BadPage, DATA_START, Seal, SegmentHeader},
};

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Segments.
    pub segments: u64,
    /// Their sizes together, blank space not counted.
    pub bytes: u64,
}

/// Copies the journal in `from` to the folder `to`, which exists and holds none. `progress` is told how many of how many
/// segments are done.
///
/// # Errors
/// When a file cannot be read or written, or is no segment; the message names it.
pub fn copy(from: &Path, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> io::Result<Copied> {
    let (from, to) = (OsDisk::new(from, Access::Read), OsDisk::new(to, Access::Write));
    let mut generations: Vec<u64> = from.list()?.iter().filter_map(|name| segment::generation(name)).collect();
    generations.sort_unstable();
    if generations.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{} holds no journal", from.path().display())));
    }
    let mut copied = Copied::default();
    for (done, &generation) in generations.iter().enumerate() {
        progress(done as u64, generations.len() as u64);
        let name = segment::name(generation);
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
        match copy_segment(&from, &to, &name, generation) {
            Ok(Some((bytes, sealed))) => {
                copied.segments += 1;
                copied.bytes += bytes;
                if !sealed {
                    break;
                }
            }
            // It has been let go of since the folder was listed, being the oldest: then nobody needs it.
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && copied.segments == 0 => {}
            Err(error) => return Err(told(error)),
        }
    }
    progress(generations.len() as u64, generations.len() as u64);
    to.sync_dir()?;
    Ok(copied)
}

/// Copies one; returns its size and whether it was complete, or none when it has become another segment meanwhile.
fn copy_segment(from: &OsDisk, to: &OsDisk, name: &str, generation: u64) -> io::Result<Option<(u64, bool)>> {
    let file = from.open(name)?;
    let header = header(&*file)?;
    let seal = Seal::read(&header, &*file)?;
    let mut bytes = vec![0; usize::try_from(header.bytes).unwrap_or(usize::MAX)];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    if read < DATA_START as usize {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends before its first page does"));
    }
    if header.generation != generation || self::header(&*file)? != header {
        return Ok(None);
    }
    let end = seal.map_or_else(|| frames_end(&header, &bytes), |seal| seal.end).min(bytes.len() as u64);
    // A seal that was written while the rest was read speaks of frames that were not: an open segment is copied unsealed.
    let page = if seal.is_some() { bytes[..DATA_START as usize].to_vec() } else { header.page() };
    let copy = to.create(name)?;
    copy.fill(header.bytes)?;
    copy.write_all_at(&page, 0)?;
    copy.write_all_at(&bytes[DATA_START as usize..end as usize], DATA_START)?;
    copy.sync_data()?;
    Ok(Some((end, seal.is_some())))
}

fn header(file: &dyn SegmentFile) -> io::Result<SegmentHeader> {
    SegmentHeader::read(file)?.map_err(|bad| match bad {
        BadPage::Damaged => io::Error::new(io::ErrorKind::InvalidData, "its first page is not that of a segment"),
        BadPage::Version(version) => {
            io::Error::new(io::ErrorKind::InvalidData, format!("this build does not read format version {version}"))
        }
    })
}

/// Where the frames end that stand in a segment without a hole.
fn frames_end(header: &SegmentHeader, bytes: &[u8]) -> u64 {
    let mut at = DATA_START as usize;
    while let Some((head, rest)) = bytes.get(at..).and_then(|rest| rest.split_first_chunk::<HEADER_BYTES>()) {
        let mark = Mark { generation: header.generation, offset: at as u32 };
        let Ok(frame) = Header::decode(header.id, mark, head) else { break };
        let payload = Bytes::copy_from_slice(&rest[..rest.len().min(frame.frame_bytes() as usize)]);
        if frame.with_payload(header.id, mark, head, payload).is_err() {
            break;
        }
        at += frame.frame_bytes() as usize;
    }
    at as u64
}
