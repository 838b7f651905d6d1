//! What can go wrong, one variant for each thing a caller does differently. Errors are returned, never logged here.
use std::{io, ops::RangeInclusive, path::PathBuf};

/// Why a journal could not be opened. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process (or another handle in this one) writes this journal.
    #[error("the journal in {dir} is being written by {holder}; stop it, or point this one at another directory", dir = dir.display())]
    Locked {
        /// The journal's directory.
        dir: PathBuf,
        /// What the holder wrote about itself into the lock file: its process id.
        holder: String,
    },
    /// Bytes that were durable once are damaged or missing.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// Written by a version of Invar whose format this one does not know.
    #[error("{file} has format version {found}, this build reads up to version {known}; use the newer build", file = file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// The version it states.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The configuration cannot work.
    #[error("journal configuration: {0}")]
    Config(String),
    /// The operating system refused.
    #[error("journal: {doing}: {source}; {mend}", mend = mend(source))]
    Io {
        /// What was being done, with the file's name.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// Damage below the highest durable mark: not a torn tail, but a disk, a file system or a person that changed what was
/// already safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{file} is damaged at offset {offset}: {what}. This was durable once, so it is no torn write. Restore the file from a \
     backup; or, to go on without the frames from there, move this file and all with higher numbers out of the directory",
    file = file.display()
)]
pub struct Corruption {
    /// The damaged file.
    pub file: PathBuf,
    /// Where in the file the damaged frame (or header) starts, bytes.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// Frames that were durable once and cannot be read any more. What precedes and what follows them can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{file} is damaged at offset {offset}: {what}. Frames {first} to {last} are lost, unless the file is restored from a \
     backup; those behind them are read",
    file = damage.file.display(), offset = damage.offset, what = damage.what, first = frames.start(), last = frames.end()
)]
pub struct Loss {
    /// Their numbers.
    pub frames: RangeInclusive<u64>,
    /// What is wrong, and where.
    pub damage: Corruption,
}

/// Why an entry was not journaled. In all cases it is not acknowledged; after [`AppendError::Poisoned`] it may still be
/// found after a restart.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No room now: the queue in front of the writer is full, or the disk is. The sender should try again later.
    #[error("the journal has no room: {0}")]
    Full(Fullness),
    /// The entry is larger than a segment and can never be journaled.
    #[error(
        "a request of {bytes} bytes does not fit a journal segment, which holds {limit_bytes}; raise `segment_bytes` or send smaller requests"
    )]
    TooLarge {
        /// Size of the frame it would need.
        bytes: u64,
        /// The most a frame may have.
        limit_bytes: u64,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
    /// A write or sync failed earlier; what the disk holds is unknown until the journal is opened again.
    #[error("the journal stopped after a failed disk operation ({0}); restart to recover what is durable")]
    Poisoned(String),
}

/// What there is no room in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fullness {
    /// The queue in front of the writer.
    #[error("{limit_bytes} bytes are waiting for the disk already")]
    Queue {
        /// `queue_bytes_max`.
        limit_bytes: u64,
    },
    /// The disk: the next segment could not be written in advance; where, why, and what would help. Recovers by itself.
    #[error("the next segment cannot be written: {0}")]
    Disk(String),
}

/// Why a frame could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Retention has dropped it.
    #[error("frame {wanted} is no longer kept; the oldest is {first}")]
    Gone {
        /// The frame asked for.
        wanted: u64,
        /// The oldest that is still there.
        first: u64,
    },
    /// It is damaged on disk, and maybe others with it; what follows can be read.
    #[error(transparent)]
    Lost(#[from] Loss),
    /// It is damaged on disk, and where what follows stands is not known.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The journal was closed (and everything durable has been read).
    #[error("the journal is closed")]
    Closed,
    /// The operating system refused.
    #[error("journal: {0}")]
    Io(String),
}

/// What a person can do about what the system said of a disk.
pub(crate) fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space, or shorten the retention",
        io::ErrorKind::ReadOnlyFilesystem => "it is mounted read-only: mount it writable again",
        io::ErrorKind::PermissionDenied => "give it to the user that Invar runs as",
        _ => "look at that disk",
    }
}
