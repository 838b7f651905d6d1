//! Frames: what one is, and its form on disk. Pure; touches no file.
//!
//! A frame is a header of 64 bytes, the bitmap of refused records, the body, and zeros up to the next multiple of 8. All
//! numbers are little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | magic `IvFr` |
//! | 4 | format version, 1 |
//! | 5 | kind |
//! | 6..8 | zero |
//! | 8..16 | generation of the segment |
//! | 16..24 | frame number |
//! | 24..32 | arrival stamp, ns since the Unix epoch |
//! | 32..40, 40..44 | durable mark: generation, offset |
//! | 44..48 | number of events |
//! | 48..52 | length of the bitmap |
//! | 52..56 | length of the body |
//! | 56..60 | crc32 of bytes 0..56 |
//! | 60..64 | crc32 of bytes 0..60, bitmap and body |
//!
//! Both checksums (CRC-32, IEEE 802.3) are seeded with the journal's id, the generation and the frame's offset: bytes
//! that a recycled file still holds from its former life, or that belong elsewhere, never pass for a frame.
use bytes::Bytes;
use event::Timestamp;
use std::fmt;

/// Size of a frame's header, bytes.
pub(crate) const HEADER_BYTES: usize = 64;
const MAGIC: [u8; 4] = *b"IvFr";
/// The format this build writes.
pub(crate) const VERSION: u8 = 1;

/// What a frame holds. The set is open: kinds that this build does not know are kept and passed on as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(pub u8);

impl Kind {
    /// Nothing happened, but time went on. No body.
    pub const TICK: Self = Self(1);
    /// An OTLP `ExportLogsServiceRequest`, protobuf, inflated.
    pub const LOGS: Self = Self(2);
    /// An OTLP `ExportTraceServiceRequest`, protobuf, inflated.
    pub const TRACES: Self = Self(3);
    /// Something Invar itself says: a change of rules, a breaker, a gap. The body's form is its author's affair.
    pub const CONTROL: Self = Self(4);
}

/// A place in the journal: a segment's generation and an offset in its file. Everything below it precedes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The segment's generation, counted from 1.
    pub generation: u64,
    /// Bytes from the start of its file.
    pub offset: u32,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.generation, self.offset)
    }
}

/// What is to be journaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the body is.
    pub kind: Kind,
    /// The request, byte for byte as it will be read back.
    pub body: Bytes,
    /// How many events it holds.
    pub events: u32,
    /// A bitmap of refused records (record `i` is bit `i % 8` of byte `i / 8`); empty when none was.
    pub refused: Bytes,
    /// What its author has noted of the body: kept beside it in memory, and never written.
    pub notes: Bytes,
}

impl Entry {
    /// An entry that says only that time went on.
    #[must_use]
    pub fn tick() -> Self {
        Self { kind: Kind::TICK, body: Bytes::new(), events: 0, refused: Bytes::new(), notes: Bytes::new() }
    }

    /// Bytes it takes in a segment.
    pub(crate) fn frame_bytes(&self) -> u64 {
        padded(HEADER_BYTES as u64 + self.refused.len() as u64 + self.body.len() as u64)
    }
}

/// One accepted request, as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Counted from 1 over the journal's life, without holes.
    pub number: u64,
    /// What the body is.
    pub kind: Kind,
    /// When it was accepted: greater than that of every earlier frame, whatever the clock did.
    pub arrived: Timestamp,
    /// How many events it holds.
    pub events: u32,
    /// A bitmap of refused records; see [`Entry::refused`].
    pub refused: Bytes,
    /// The request; empty where [`Reader::try_next_where`](crate::Reader::try_next_where) left it out.
    pub body: Bytes,
    /// See [`Entry::notes`]; empty in a frame of which no more is known than the files say.
    pub notes: Bytes,
}

impl Frame {
    /// Memory it takes, about.
    pub(crate) fn memory_bytes(&self) -> u64 {
        (self.body.len() + self.refused.len() + self.notes.len() + size_of::<Self>()) as u64
    }
}

/// Tells one journal from another; part of every checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalId(pub(crate) [u8; 16]);

/// A frame's header, without what follows from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) number: u64,
    pub(crate) arrived: Timestamp,
    pub(crate) durable: Mark,
    pub(crate) events: u32,
    pub(crate) refused_len: u32,
    pub(crate) body_len: u32,
}

/// Why bytes are not the frame that should stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAFrame {
    /// Nothing of this segment's present life: unused, or left from an earlier life.
    Blank,
    /// The start of a frame of this generation, but torn or damaged.
    Damaged(&'static str),
    /// Whole, but of a format this build does not know.
    Version(u8),
}

/// The length rounded up to where the next frame may start.
pub(crate) fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(8)
}

fn seeded(id: JournalId, at: Mark) -> crc32fast::Hasher {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.0);
    hasher.update(&at.generation.to_le_bytes());
    hasher.update(&u64::from(at.offset).to_le_bytes());
    hasher
}

impl Header {
    /// Bytes the whole frame takes in its segment.
    pub(crate) fn frame_bytes(&self) -> u64 {
        padded(HEADER_BYTES as u64 + u64::from(self.refused_len) + u64::from(self.body_len))
    }

    /// The header's bytes, for a frame that will stand at `at`.
    pub(crate) fn encode(&self, id: JournalId, at: Mark, refused: &[u8], body: &[u8]) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = self.kind.0;
        bytes[8..16].copy_from_slice(&at.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.arrived.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.durable.generation.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.durable.offset.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.events.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.refused_len.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.body_len.to_le_bytes());
        let mut hasher = seeded(id, at);
        hasher.update(&bytes[..56]);
        bytes[56..60].copy_from_slice(&hasher.clone().finalize().to_le_bytes());
        hasher.update(&bytes[56..60]);
        hasher.update(refused);
        hasher.update(body);
        bytes[60..64].copy_from_slice(&hasher.finalize().to_le_bytes());
        bytes
    }

    /// Reads the header that should stand at `at`. The payload is not looked at.
    pub(crate) fn decode(id: JournalId, at: Mark, bytes: &[u8; HEADER_BYTES]) -> Result<Self, NotAFrame> {
        if !looks_like_header(bytes, at.generation) {
            return Err(NotAFrame::Blank);
        }
        let mut hasher = seeded(id, at);
        hasher.update(&bytes[..56]);
        if hasher.finalize() != u32_at(bytes, 56) {
            return Err(NotAFrame::Damaged("the frame header's checksum does not match"));
        }
        if bytes[4] != VERSION {
            return Err(NotAFrame::Version(bytes[4]));
        }
        Ok(Self {
            kind: Kind(bytes[5]),
            number: u64_at(bytes, 16),
            arrived: Timestamp(u64_at(bytes, 24)),
            durable: Mark { generation: u64_at(bytes, 32), offset: u32_at(bytes, 40) },
            events: u32_at(bytes, 44),
            refused_len: u32_at(bytes, 48),
            body_len: u32_at(bytes, 52),
        })
    }

    /// Checks the payload against the checksum in the header's bytes, and makes the frame.
    pub(crate) fn with_payload(
        &self,
        id: JournalId,
        at: Mark,
        header: &[u8; HEADER_BYTES],
        payload: Bytes,
    ) -> Result<Frame, NotAFrame> {
        let (refused_len, body_len) = (self.refused_len as usize, self.body_len as usize);
        if payload.len() < refused_len + body_len {
            return Err(NotAFrame::Damaged("the frame ends before its body does"));
        }
        let mut hasher = seeded(id, at);
        hasher.update(&header[..60]);
        hasher.update(&payload[..refused_len + body_len]);
        if hasher.finalize() != u32_at(header, 60) {
            return Err(NotAFrame::Damaged("the frame's checksum does not match"));
        }
        Ok(Frame {
            number: self.number,
            kind: self.kind,
            arrived: self.arrived,
            events: self.events,
            refused: payload.slice(..refused_len),
            body: payload.slice(refused_len..refused_len + body_len),
            notes: Bytes::new(),
        })
    }
}

/// Whether these bytes start like a frame header of that generation, intact or not.
pub(crate) fn looks_like_header(bytes: &[u8], generation: u64) -> bool {
    bytes.len() >= 16 && bytes[..4] == MAGIC && bytes[8..16] == generation.to_le_bytes()
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Reads bytes as the data of one segment, as recovery and readers do, and says how many frames stand at its start and
/// how many bytes they take. For fuzzing: any input is fine.
#[must_use]
pub fn frames_in(journal_id: [u8; 16], generation: u64, data: &[u8]) -> (u64, usize) {
    let (mut frames, mut at) = (0, 0);
    while let Some((header, bytes)) = data.get(at..).and_then(|rest| rest.split_first_chunk::<HEADER_BYTES>()) {
        let mark = Mark { generation, offset: u32::try_from(at).unwrap_or(u32::MAX) };
        let Ok(decoded) = Header::decode(JournalId(journal_id), mark, header) else { break };
        if decoded.with_payload(JournalId(journal_id), mark, header, Bytes::copy_from_slice(bytes)).is_err() {
            break;
        }
        frames += 1;
        at += decoded.frame_bytes() as usize;
    }
    (frames, at.min(data.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: JournalId = JournalId([7; 16]);

    fn header(refused: &[u8], body: &[u8]) -> Header {
        Header {
            kind: Kind::LOGS,
            number: 12,
            arrived: Timestamp(99),
            durable: Mark { generation: 3, offset: 4096 },
            events: 2,
            refused_len: refused.len() as u32,
            body_len: body.len() as u32,
        }
    }

    proptest! {
        #[test]
        fn frames_read_back_as_written_and_nowhere_else(
            refused in proptest::collection::vec(any::<u8>(), 0..20),
            body in proptest::collection::vec(any::<u8>(), 0..300),
            flip in any::<proptest::sample::Index>(),
        ) {
            let at = Mark { generation: 3, offset: 8192 };
            let written = header(&refused, &body);
            let bytes = written.encode(ID, at, &refused, &body);
            let payload = Bytes::from([refused.as_slice(), body.as_slice()].concat());
            let read = Header::decode(ID, at, &bytes).unwrap();
            prop_assert_eq!(read, written);
            let frame = read.with_payload(ID, at, &bytes, payload.clone()).unwrap();
            prop_assert_eq!(&frame.body[..], &body[..]);
            prop_assert_eq!(&frame.refused[..], &refused[..]);

            let elsewhere = Mark { offset: 8200, ..at };
            prop_assert!(Header::decode(ID, elsewhere, &bytes).is_err());
            prop_assert!(Header::decode(JournalId([8; 16]), at, &bytes).is_err());
            let reused = Mark { generation: 4, ..at };
            prop_assert!(Header::decode(ID, reused, &bytes).is_err());

            let mut whole = [bytes.as_slice(), &payload].concat();
            let flipped = flip.index(whole.len());
            whole[flipped] ^= 0x10;
            let (head, rest) = whole.split_first_chunk::<HEADER_BYTES>().unwrap();
            let damaged = Header::decode(ID, at, head)
                .and_then(|h| h.with_payload(ID, at, head, Bytes::copy_from_slice(rest)));
            prop_assert!(damaged.is_err(), "a flipped bit at {} was not noticed", flipped);
        }

        #[test]
        fn any_bytes_can_be_read_as_frames(data in proptest::collection::vec(any::<u8>(), 0..400)) {
            let (_, bytes) = frames_in([7; 16], 1, &data);
            prop_assert!(bytes <= data.len());
        }
    }
}
