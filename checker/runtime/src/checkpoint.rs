//! Checkpoints on disk: the engine's state with the journal position it had, and the packs that were in force.
//!
//! Two are kept. A checkpoint is written beside its final name, synced and renamed, so that it is whole or not there; a
//! damaged one is passed over for the one before, and with none the journal is judged from its start.
use std::{collections::BTreeMap, fmt, fs, io, path::Path, sync::Arc, time::Duration};

use event::Timestamp;
use journal::{Disk, SegmentFile};
use serde::{Deserialize, Serialize};

/// How many checkpoints are kept.
const KEPT: usize = 2;

const SUFFIX: &str = ".checkpoint";

/// What is not whole yet.
const UNFINISHED: &str = ".tmp";

/// A pack in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackText {
    /// Its revision in the store.
    pub revision: i64,
    /// Its text.
    pub yaml: String,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last frame the state has seen.
    pub frame: u64,
    /// The packs in force after it.
    pub packs: BTreeMap<String, PackText>,
    /// The engine's state; see [`engine::Engine::checkpoint`].
    pub state: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    frame: u64,
    packs: BTreeMap<String, PackText>,
    state_bytes: u64,
    state_crc32: u32,
    /// Of the header without it: a pack or a position that is damaged must not pass for another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header_crc32: Option<u32>,
}

impl Header {
    fn crc32(&self) -> io::Result<u32> {
        let Self { frame, packs, state_bytes, state_crc32, .. } = self;
        Ok(crc32fast::hash(&serde_json::to_vec(&(frame, packs, state_bytes, state_crc32))?))
    }
}

/// When the next checkpoint is due, by the journal's time. A restart judges again what came since the last one; the more
/// that is, the sooner it is worth the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// When the last one was written.
    last: Timestamp,
    /// How many bytes it took.
    bytes: u64,
    /// How many events have been judged since.
    events: u64,
}

/// No sooner than this after the last one.
const EVERY: Duration = Duration::from_secs(15);

/// No later than this, though nothing happens: what is before it in the journal must be kept.
const AT_REST: Duration = Duration::from_secs(600);

/// How much may be written in the long run.
const BYTES_PER_SECOND: u64 = 4 << 20;

/// So many events are judged again within seconds; beyond, a checkpoint is worth any number of bytes.
const EVENTS_MAX: u64 = 1_000_000;

impl Pace {
    /// Notes that events were judged.
    pub(crate) fn judged(&mut self, events: u64) {
        self.events += events;
    }

    /// Notes that a checkpoint was written, or tried.
    pub(crate) fn written(&mut self, now: Timestamp, bytes: u64) {
        *self = Pace { last: now, bytes, events: 0 };
    }

    /// Whether one is worth its bytes by now.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let since = now.since(self.last);
        let affordable = since.as_secs().saturating_mul(BYTES_PER_SECOND) >= self.bytes;
        since >= AT_REST || since >= EVERY && self.events > 0 && (affordable || self.events >= EVENTS_MAX)
    }
}

/// Checkpoints in a folder.
#[derive(Clone)]
pub struct Checkpoints {
    disk: Arc<dyn Disk>,
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Checkpoints").field(&self.disk.path()).finish()
    }
}

impl Checkpoints {
    /// Checkpoints in that folder, which is made if it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn in_dir(dir: impl AsRef<Path>) -> io::Result<Self> {
        let dir = dir.as_ref();
        fs::create_dir_all(dir)?;
        Ok(Self::on(journal::directory(dir)))
    }

    /// Checkpoints on a disk of the caller's: that is how tests bring faults in.
    #[must_use]
    pub fn on(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    /// Writes one of which `state` gives the engine's state, piece by piece, and drops the oldest beyond two. Returns how many
    /// bytes the state has.
    ///
    /// # Errors
    /// When the disk says no, or `state` does; the older ones are untouched then.
    pub fn write(
        &self,
        frame: u64,
        packs: &BTreeMap<String, PackText>,
        state: impl FnOnce(&mut dyn FnMut(&[u8])) -> io::Result<()>,
    ) -> io::Result<u64> {
        // What a crash left of another one takes room that this one may need.
        self.drop_unfinished()?;
        let written = self.write_beside(frame, packs, state);
        if written.is_err() {
            // On a full disk, half a checkpoint would keep others from being written.
            let _ = self.drop_unfinished();
        }
        written
    }

    fn drop_unfinished(&self) -> io::Result<()> {
        let mut names = self.disk.list()?;
        names.retain(|name| name.ends_with(UNFINISHED));
        names.iter().try_for_each(|name| self.disk.remove(name))
    }

    fn write_beside(
        &self,
        frame: u64,
        packs: &BTreeMap<String, PackText>,
        state: impl FnOnce(&mut dyn FnMut(&[u8])) -> io::Result<()>,
    ) -> io::Result<u64> {
        let beside = format!("{frame:020}{UNFINISHED}");
        let file = self.disk.create(&beside)?;
        // The header tells of what follows it: it is written last, into the place that its longest form would take.
        let packs = packs.clone();
        let mut header =
            Header { frame, packs, state_bytes: u64::MAX, state_crc32: u32::MAX, header_crc32: Some(u32::MAX) };
        let head_bytes = serde_json::to_vec(&header)?.len();
        let mut pieces = Pieces::behind(&*file, head_bytes as u64 + 1);
        state(&mut |piece| pieces.put(piece))?;
        (header.state_bytes, header.state_crc32) = pieces.written()?;
        header.header_crc32 = Some(header.crc32()?);
        let mut head = serde_json::to_vec(&header)?;
        head.resize(head_bytes, b' ');
        head.push(b'\n');
        file.write_all_at(&head, 0)?;
        file.sync_data()?;
        self.disk.rename(&beside, &format!("{frame:020}{SUFFIX}"))?;
        self.disk.sync_dir()?;
        let known = self.names()?;
        for old in &known[..known.len().saturating_sub(KEPT)] {
            self.disk.remove(old)?;
        }
        Ok(header.state_bytes)
    }

    /// Copies them to another folder; returns how many.
    ///
    /// # Errors
    /// When one cannot be read or written. One that goes away meanwhile has been replaced by a newer one.
    pub fn copy_to(&self, other: &Path) -> io::Result<u64> {
        fs::create_dir_all(other)?;
        let mut copied = 0;
        for name in self.names()? {
            match fs::copy(self.disk.path().join(&name), other.join(&name)) {
                Ok(_) => copied += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(copied)
    }

    /// Removes those that have seen more than `frame_max`: what they saw is not what the database and the journal hold, or
    /// will hold under the same numbers. Returns how many.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn drop_beyond(&self, frame_max: u64) -> io::Result<usize> {
        let mut names = self.names()?;
        names.retain(|name| frame_of(name).is_some_and(|frame| frame > frame_max));
        for name in &names {
            self.disk.remove(name)?;
        }
        Ok(names.len())
    }

    /// The newest one that can be read and whose frame is at most `frame_max`, and what was wrong with newer ones.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn newest(&self, frame_max: u64) -> io::Result<(Option<Checkpoint>, Vec<String>)> {
        let mut passed_over = Vec::new();
        for name in self.names()?.into_iter().rev() {
            let path = self.disk.path().join(&name);
            match read(&*self.disk, &name) {
                Ok(checkpoint) if checkpoint.frame <= frame_max => return Ok((Some(checkpoint), passed_over)),
                Ok(checkpoint) => passed_over.push(format!(
                    "{}: it has seen frame {}, the database only {frame_max}",
                    path.display(),
                    checkpoint.frame
                )),
                Err(error) => passed_over.push(format!("{}: {error}", path.display())),
            }
        }
        Ok((None, passed_over))
    }

    /// The frame of the oldest checkpoint kept; what is before it in the journal is not needed to recover.
    #[must_use]
    pub fn oldest_frame(&self) -> Option<u64> {
        self.names().ok()?.first().and_then(|name| frame_of(name))
    }

    /// The checkpoints' files, oldest first: their names are their frames, with leading zeros.
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.disk.list()?;
        names.retain(|name| name.ends_with(SUFFIX));
        names.sort();
        Ok(names)
    }
}

/// How much of a state is written in one go.
const PIECE_BYTES: usize = 1 << 20;

/// A state on its way to the disk.
struct Pieces<'a> {
    file: &'a dyn SegmentFile,
    /// Where the state begins, and how much of it has been written.
    from: u64,
    bytes: u64,
    crc32: crc32fast::Hasher,
    waiting: Vec<u8>,
    /// The first thing that went wrong; nothing is written after it.
    failed: Option<io::Error>,
}

impl<'a> Pieces<'a> {
    fn behind(file: &'a dyn SegmentFile, from: u64) -> Self {
        let waiting = Vec::with_capacity(PIECE_BYTES);
        Self { file, from, bytes: 0, crc32: crc32fast::Hasher::new(), waiting, failed: None }
    }

    fn put(&mut self, piece: &[u8]) {
        if self.waiting.len() + piece.len() > PIECE_BYTES {
            self.write();
        }
        self.waiting.extend_from_slice(piece);
    }

    fn write(&mut self) {
        if self.failed.is_none() {
            self.failed = self.file.write_all_at(&self.waiting, self.from + self.bytes).err();
        }
        self.crc32.update(&self.waiting);
        self.bytes += self.waiting.len() as u64;
        self.waiting.clear();
    }

    /// How many bytes were written, and their checksum.
    fn written(mut self) -> io::Result<(u64, u32)> {
        self.write();
        self.failed.map_or_else(|| Ok((self.bytes, self.crc32.finalize())), Err)
    }
}

/// The frame that a checkpoint's file is named after.
fn frame_of(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}

fn read(disk: &dyn Disk, name: &str) -> io::Result<Checkpoint> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let file = disk.open(name)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or_else(|| wrong("it has no header"))?;
    let header: Header = serde_json::from_slice(&bytes[..end])?;
    bytes.drain(..=end);
    let state = bytes;
    if header.header_crc32.is_some_and(|crc32| header.crc32().ok() != Some(crc32)) {
        return Err(wrong("the checksum of its header does not fit: it is damaged"));
    }
    if state.len() as u64 != header.state_bytes || crc32fast::hash(&state) != header.state_crc32 {
        return Err(wrong("its checksum does not fit: it is damaged"));
    }
    Ok(Checkpoint { frame: header.frame, packs: header.packs, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(frame: u64) -> Checkpoint {
        let packs = [("p".to_owned(), PackText { revision: 1, yaml: "pack: p\n".to_owned() })].into();
        Checkpoint { frame, packs, state: vec![b'\n'; 100] }
    }

    fn write(to: &Checkpoints, checkpoint: &Checkpoint) {
        let Checkpoint { frame, packs, state } = checkpoint;
        let bytes = to.write(*frame, packs, |put| {
            state.chunks(7).for_each(put);
            Ok(())
        });
        assert_eq!(bytes.unwrap(), 100);
    }

    #[test]
    fn a_checkpoint_is_due_when_it_is_worth_its_bytes() {
        let at = |seconds: u64| Timestamp(seconds * 1_000_000_000);
        let after = |bytes: u64, events: u64| {
            let mut pace = Pace::default();
            pace.written(at(1_000), bytes);
            pace.judged(events);
            (1..).find(|seconds| pace.is_due(at(1_000 + seconds)))
        };
        assert_eq!(after(1_000, 1), Some(15));
        assert_eq!(after(1_000, 0), Some(600), "nothing has happened");
        assert_eq!(after(160 << 20, 1), Some(40), "a large state is written less often");
        assert_eq!(after(160 << 20, EVENTS_MAX), Some(15), "unless much would be judged again");
        assert_eq!(after(u64::MAX, 1), Some(600));
        assert!(Pace::default().is_due(at(1_000)), "there is none yet");
    }

    #[test]
    fn the_newest_that_the_store_has_reached_is_taken_and_two_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::in_dir(dir.path()).unwrap();
        for frame in [5, 10, 100] {
            write(&checkpoints, &checkpoint(frame));
        }
        assert_eq!(checkpoints.newest(u64::MAX).unwrap().0, Some(checkpoint(100)));
        assert_eq!(checkpoints.newest(99).unwrap().0, Some(checkpoint(10)));
        assert_eq!(checkpoints.newest(9).unwrap().0, None);
        assert_eq!(checkpoints.oldest_frame(), Some(10));
    }

    #[test]
    fn a_damaged_one_is_passed_over_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::in_dir(dir.path()).unwrap();
        write(&checkpoints, &checkpoint(1));
        write(&checkpoints, &checkpoint(2));
        let path = dir.path().join("00000000000000000002.checkpoint");
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            fs::write(&path, bytes).unwrap();
            let (found, passed_over) = checkpoints.newest(u64::MAX).unwrap();
            assert_eq!(found, Some(checkpoint(1)), "byte {place}");
            assert!(passed_over[0].contains("0002.checkpoint: "), "{passed_over:?}");
        }
    }

    #[test]
    fn one_that_cannot_be_written_leaves_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::in_dir(dir.path()).unwrap();
        write(&checkpoints, &checkpoint(1));
        let refused = checkpoints.write(2, &checkpoint(2).packs, |put| {
            put(b"half of it");
            Err(io::Error::other("no more"))
        });
        assert_eq!(refused.unwrap_err().to_string(), "no more");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "half of one takes no room");
        assert_eq!(checkpoints.newest(u64::MAX).unwrap(), (Some(checkpoint(1)), Vec::new()));
        // As a crash leaves it.
        fs::write(dir.path().join("00000000000000000001.tmp"), "half of it").unwrap();
        write(&checkpoints, &checkpoint(2));
        assert_eq!(checkpoints.newest(u64::MAX).unwrap().0, Some(checkpoint(2)));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn those_of_a_future_that_is_gone_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::in_dir(dir.path()).unwrap();
        for frame in [800, 900] {
            write(&checkpoints, &checkpoint(frame));
        }
        assert_eq!(checkpoints.drop_beyond(850).unwrap(), 1);
        write(&checkpoints, &checkpoint(860));
        assert_eq!(checkpoints.newest(u64::MAX).unwrap().0, Some(checkpoint(860)));
        assert_eq!(checkpoints.oldest_frame(), Some(800));
    }
}
