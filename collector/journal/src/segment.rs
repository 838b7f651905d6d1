//! Segment files: their names, their first page, and reading frames out of one. Never writes a frame.
//!
//! A segment file is named after its generation (`00000000000000000001.segment`) and starts with one page of 4096 bytes:
//! the header at 0 (magic `IvSegmnt`, version u32, size u64, journal id, generation u64, crc32) and, once the segment is
//! full, the seal at 2048 (magic `IvSealed`, end of data u64, first and last frame u64, first and last arrival u64,
//! crc32), both little-endian and with checksums seeded like those of frames. Frames follow without holes.
//!
//! A segment is sealed and synced before the next one gets its first frame. So a segment that has a successor with
//! frames and no seal is damaged.
use crate::{
    Mark,
    disk::SegmentFile,
    frame::{Frame, HEADER_BYTES, Header, JournalId, NotAFrame, looks_like_header, u32_at, u64_at},
    index::Extent,
};
use bytes::Bytes;
use event::Timestamp;
use std::io;

/// Where the first frame stands.
pub(crate) const DATA_START: u64 = 4096;
pub(crate) const SEAL_AT: u64 = 2048;
const SEAL_BYTES: usize = 52;
const MAGIC: &[u8; 8] = b"IvSegmnt";
const SEAL_MAGIC: &[u8; 8] = b"IvSealed";
/// The format this build writes and the newest it reads.
pub(crate) const FORMAT: u32 = 1;
const SUFFIX: &str = ".segment";
/// Files that may become segments.
pub(crate) const SPARE_SUFFIX: &str = ".spare";

pub(crate) fn name(generation: u64) -> String {
    format!("{generation:020}{SUFFIX}")
}

pub(crate) fn generation(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20)?.parse().ok()
}

/// What a segment's first page says about the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) id: JournalId,
    pub(crate) generation: u64,
    pub(crate) bytes: u64,
}

/// What a full segment says about its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) end: u64,
    pub(crate) first_frame: u64,
    pub(crate) last_frame: u64,
    pub(crate) first_arrival: Timestamp,
    pub(crate) last_arrival: Timestamp,
}

/// Why a first page is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadPage {
    Damaged,
    Version(u32),
}

impl SegmentHeader {
    /// The whole first page, unsealed.
    pub(crate) fn page(&self) -> Vec<u8> {
        let mut page = vec![0; DATA_START as usize];
        page[..8].copy_from_slice(MAGIC);
        page[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        page[12..20].copy_from_slice(&self.bytes.to_le_bytes());
        page[20..36].copy_from_slice(&self.id.0);
        page[36..44].copy_from_slice(&self.generation.to_le_bytes());
        let crc = crc32fast::hash(&page[..44]);
        page[44..48].copy_from_slice(&crc.to_le_bytes());
        page
    }

    pub(crate) fn read(file: &dyn SegmentFile) -> io::Result<Result<Self, BadPage>> {
        let mut page = [0; 48];
        if file.read_at(&mut page, 0)? < page.len() || page[..8] != *MAGIC {
            return Ok(Err(BadPage::Damaged));
        }
        if crc32fast::hash(&page[..44]) != u32_at(&page, 44) {
            return Ok(Err(BadPage::Damaged));
        }
        let version = u32_at(&page, 8);
        if version != FORMAT {
            return Ok(Err(BadPage::Version(version)));
        }
        let mut id = [0; 16];
        id.copy_from_slice(&page[20..36]);
        Ok(Ok(Self { id: JournalId(id), generation: u64_at(&page, 36), bytes: u64_at(&page, 12) }))
    }
}

impl Seal {
    /// The seal of a segment that ends there. `last_frame` is the journal's last, for a segment without frames.
    pub(crate) fn of(end: u64, extent: Option<Extent>, last_frame: u64) -> Self {
        let none = Extent {
            first_frame: last_frame + 1,
            last_frame,
            first_arrival: Timestamp::ZERO,
            last_arrival: Timestamp::ZERO,
        };
        let Extent { first_frame, last_frame, first_arrival, last_arrival } = extent.unwrap_or(none);
        Self { end, first_frame, last_frame, first_arrival, last_arrival }
    }

    /// The frames it vouches for; `None` when the segment has none.
    pub(crate) fn extent(&self) -> Option<Extent> {
        let Self { first_frame, last_frame, first_arrival, last_arrival, .. } = *self;
        (first_frame <= last_frame).then_some(Extent { first_frame, last_frame, first_arrival, last_arrival })
    }

    /// Takes a seal back: the segment turned out to be the last.
    pub(crate) fn remove(file: &dyn SegmentFile) -> io::Result<()> {
        file.write_all_at(&[0; SEAL_BYTES], SEAL_AT)
    }

    fn encode(&self, segment: &SegmentHeader) -> [u8; SEAL_BYTES] {
        let mut bytes = [0; SEAL_BYTES];
        bytes[..8].copy_from_slice(SEAL_MAGIC);
        let fields = [self.end, self.first_frame, self.last_frame, self.first_arrival.0, self.last_arrival.0];
        for (slot, field) in bytes[8..48].chunks_exact_mut(8).zip(fields) {
            slot.copy_from_slice(&field.to_le_bytes());
        }
        let crc = Self::crc(segment, &bytes[..48]);
        bytes[48..52].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn crc(segment: &SegmentHeader, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&segment.id.0);
        hasher.update(&segment.generation.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }

    pub(crate) fn write(&self, segment: &SegmentHeader, file: &dyn SegmentFile) -> io::Result<()> {
        file.write_all_at(&self.encode(segment), SEAL_AT)
    }

    /// The seal, if there is a valid one.
    pub(crate) fn read(segment: &SegmentHeader, file: &dyn SegmentFile) -> io::Result<Option<Self>> {
        let mut bytes = [0; SEAL_BYTES];
        if file.read_at(&mut bytes, SEAL_AT)? < bytes.len() || bytes[..8] != *SEAL_MAGIC {
            return Ok(None);
        }
        if Self::crc(segment, &bytes[..48]) != u32_at(&bytes, 48) {
            return Ok(None);
        }
        Ok(Some(Self {
            end: u64_at(&bytes, 8),
            first_frame: u64_at(&bytes, 16),
            last_frame: u64_at(&bytes, 24),
            first_arrival: Timestamp(u64_at(&bytes, 32)),
            last_arrival: Timestamp(u64_at(&bytes, 40)),
        }))
    }
}

/// How much is read ahead when frames are read one after the other.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// Reads frames of one segment in order.
pub(crate) struct Cursor {
    id: JournalId,
    generation: u64,
    file: std::sync::Arc<dyn SegmentFile>,
    /// Where the next frame starts.
    pub(crate) offset: u64,
    /// Where the segment ends; nothing is read beyond.
    end: u64,
    ahead: Bytes,
    ahead_at: u64,
}

/// What stands at a cursor.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// It, and where it starts.
    Found(T, Mark),
    /// Nothing valid.
    Not(NotAFrame),
}

impl Cursor {
    pub(crate) fn new(segment: &SegmentHeader, file: std::sync::Arc<dyn SegmentFile>, offset: u64) -> Self {
        let (id, generation, end) = (segment.id, segment.generation, segment.bytes);
        Self { id, generation, file, offset, end, ahead: Bytes::new(), ahead_at: 0 }
    }

    /// Where the cursor stands.
    pub(crate) fn mark(&self) -> Mark {
        Mark { generation: self.generation, offset: u32::try_from(self.offset).unwrap_or(u32::MAX) }
    }

    /// Forgets what was read ahead, so that what was written since is seen.
    pub(crate) fn refresh(&mut self) {
        self.ahead = Bytes::new();
    }

    /// So many bytes from there, or fewer where the segment ends.
    fn bytes(&mut self, at: u64, wanted: usize) -> io::Result<Bytes> {
        let wanted = wanted.min(usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX));
        let held = self.ahead_at..self.ahead_at + self.ahead.len() as u64;
        if at < held.start || held.end < at + wanted as u64 {
            let room = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
            // Of large frames each is read alone, with the header of the next one: what else was read would be read twice.
            let ahead = if wanted < READ_AHEAD_BYTES / 4 { READ_AHEAD_BYTES } else { wanted + 8 + HEADER_BYTES };
            let mut buffer = vec![0; ahead.min(room)];
            let read = self.file.read_at(&mut buffer, at)?;
            buffer.truncate(read);
            self.ahead = Bytes::from(buffer);
            self.ahead_at = at;
        }
        let start = (at - self.ahead_at) as usize;
        Ok(self.ahead.slice(start..(start + wanted).min(self.ahead.len())))
    }

    fn peek(&mut self) -> io::Result<Result<(Header, [u8; HEADER_BYTES]), NotAFrame>> {
        let at = self.mark();
        let bytes = self.bytes(self.offset, HEADER_BYTES)?;
        let Some(raw) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(Err(NotAFrame::Blank)) };
        Ok(Header::decode(self.id, at, raw).and_then(|header| {
            if self.end < self.offset + header.frame_bytes() {
                return Err(NotAFrame::Damaged("the frame would end beyond its segment"));
            }
            Ok((header, *raw))
        }))
    }

    /// The next header, skipping its payload unread.
    pub(crate) fn next_header(&mut self) -> io::Result<Step<Header>> {
        let at = self.mark();
        Ok(match self.peek()? {
            Ok((header, _)) => {
                self.offset += header.frame_bytes();
                Step::Found(header, at)
            }
            Err(not) => Step::Not(not),
        })
    }

    /// Goes behind what cannot be read here, and says which header stands there; none when no other one follows. A frame whose
    /// header is whole is passed by its length: nothing in its body is taken for a frame.
    pub(crate) fn pass_damage(&mut self) -> io::Result<Result<Option<Header>, NotAFrame>> {
        self.offset += match self.peek()? {
            Ok((header, _)) => header.frame_bytes(),
            Err(not @ NotAFrame::Version(_)) => return Ok(Err(not)),
            Err(_) => 8,
        };
        loop {
            let block = self.bytes(self.offset, READ_AHEAD_BYTES)?;
            if block.len() < HEADER_BYTES {
                return Ok(Ok(None));
            }
            let starts = (0..=block.len() - HEADER_BYTES).step_by(8);
            match starts.into_iter().find(|start| looks_like_header(&block[*start..], self.generation)) {
                None => self.offset += (block.len() - HEADER_BYTES) as u64 / 8 * 8 + 8,
                Some(start) => {
                    self.offset += start as u64;
                    if let Ok((header, _)) = self.peek()? {
                        return Ok(Ok(Some(header)));
                    }
                    self.offset += 8;
                }
            }
        }
    }

    /// The next frame with its header, verified. The cursor moves only when there is one.
    pub(crate) fn next_frame(&mut self) -> io::Result<Step<(Frame, Header)>> {
        let at = self.mark();
        let (header, raw) = match self.peek()? {
            Ok(found) => found,
            Err(not) => return Ok(Step::Not(not)),
        };
        let payload_bytes = header.refused_len as usize + header.body_len as usize;
        let payload = self.bytes(self.offset + HEADER_BYTES as u64, payload_bytes)?;
        // A frame outlives the block it was read in; what is small next to the block does not keep the block alive.
        let payload = if payload.len() * 4 < self.ahead.len() { Bytes::copy_from_slice(&payload) } else { payload };
        Ok(match header.with_payload(self.id, at, &raw, payload) {
            Ok(frame) => {
                self.offset += header.frame_bytes();
                Step::Found((frame, header), at)
            }
            Err(not) => Step::Not(not),
        })
    }
}
