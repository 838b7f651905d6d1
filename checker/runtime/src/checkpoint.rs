//! Checkpoints on disk: the engine's state with the journal position it had, and the packs that were in force.
//!
//! Two are kept. A checkpoint is written beside its final name, synced and renamed, so that it is whole or not there; a
//! damaged one is passed over for the one before, and with none the journal is judged from its start.
use std::{collections::BTreeMap, fmt, fs, io, path::Path, sync::Arc, time::Duration};

use event::Timestamp;
use journal::Disk;
use serde::{Deserialize, Serialize};

/// How many checkpoints are kept.
const KEPT: usize = 2;

const SUFFIX: &str = ".checkpoint";

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

    /// Writes one and drops the oldest beyond two.
    ///
    /// # Errors
    /// When the disk says no; the older ones are untouched then.
    pub fn write(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        let mut header = Header {
            frame: checkpoint.frame,
            packs: checkpoint.packs.clone(),
            state_bytes: checkpoint.state.len() as u64,
            state_crc32: crc32fast::hash(&checkpoint.state),
            header_crc32: None,
        };
        header.header_crc32 = Some(header.crc32()?);
        let beside = format!("{:020}.tmp", checkpoint.frame);
        match self.disk.remove(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut head = serde_json::to_vec(&header)?;
        head.push(b'\n');
        let file = self.disk.create(&beside)?;
        file.write_parts_at(&[&head, &checkpoint.state], 0)?;
        file.sync_data()?;
        self.disk.rename(&beside, &format!("{:020}{SUFFIX}", checkpoint.frame))?;
        self.disk.sync_dir()?;
        let known = self.names()?;
        for old in &known[..known.len().saturating_sub(KEPT)] {
            self.disk.remove(old)?;
        }
        Ok(())
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
    let state = &bytes[end + 1..];
    if header.header_crc32.is_some_and(|crc32| header.crc32().ok() != Some(crc32)) {
        return Err(wrong("the checksum of its header does not fit: it is damaged"));
    }
    if state.len() as u64 != header.state_bytes || crc32fast::hash(state) != header.state_crc32 {
        return Err(wrong("its checksum does not fit: it is damaged"));
    }
    Ok(Checkpoint { frame: header.frame, packs: header.packs, state: state.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(frame: u64) -> Checkpoint {
        let packs = [("p".to_owned(), PackText { revision: 1, yaml: "pack: p\n".to_owned() })].into();
        Checkpoint { frame, packs, state: vec![b'\n'; 100] }
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
            checkpoints.write(&checkpoint(frame)).unwrap();
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
        checkpoints.write(&checkpoint(1)).unwrap();
        checkpoints.write(&checkpoint(2)).unwrap();
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
    fn those_of_a_future_that_is_gone_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::in_dir(dir.path()).unwrap();
        for frame in [800, 900] {
            checkpoints.write(&checkpoint(frame)).unwrap();
        }
        assert_eq!(checkpoints.drop_beyond(850).unwrap(), 1);
        checkpoints.write(&checkpoint(860)).unwrap();
        assert_eq!(checkpoints.newest(u64::MAX).unwrap().0, Some(checkpoint(860)));
        assert_eq!(checkpoints.oldest_frame(), Some(800));
    }
}
