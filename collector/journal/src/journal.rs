//! The handle: what the rest of Invar holds of the journal. Refuses to interpret bodies.
use crate::{
    AppendError, Config, Corruption, Entry, Frame, OpenError, ReadError, Reader, Retained, Retention, Scan, ScanRange,
    disk::{Access, Disk, OsDisk},
    index::Index,
    lock::WriterLock,
    prepare::{Prepared, Preparer, prepare_with_reserve},
    queue::Queue,
    reader::fetch_one,
    recovery::{self, Recovered},
    retain,
    segment::{DATA_START, SegmentHeader},
    writer::{Tail, Writer},
};
use event::Timestamp;
use std::{
    collections::VecDeque,
    fs,
    future::Future,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};
use tokio::sync::{oneshot, watch};

const SEGMENT_BYTES_MIN: u64 = 64 << 10;
const SEGMENT_BYTES_MAX: u64 = 2 << 30;

/// An open journal. Clones are handles to the same one; when the last is dropped the writer finishes what waits and
/// stops, without anyone being told. [`Journal::close`] tells.
#[derive(Clone)]
pub struct Journal {
    handle: Arc<Handle>,
}

/// Closes the queue when nobody holds the journal any longer. Readers do not count.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

/// What handle, writer and readers have in common.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) queue: Queue,
    index: Mutex<Index>,
    durable: watch::Receiver<u64>,
}

impl Shared {
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn durable(&self) -> watch::Receiver<u64> {
        self.durable.clone()
    }
}

/// What opening found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The oldest frame still kept; one more than [`Recovery::last_frame`] when there is none.
    pub first_frame: u64,
    /// The newest frame; 0 in a new journal.
    pub last_frame: u64,
    /// The newest frame's arrival stamp; zero in a new journal. From there to the next arrival Invar was down.
    pub last_arrival: Timestamp,
    /// Bytes of a torn tail that were cut; nothing in them had been acknowledged.
    pub cut_bytes: u64,
    /// How many segments hold frames.
    pub segments: usize,
    /// What is damaged in segments that others vouch for: their first pages are mended; which frames are lost, if any, is told
    /// to whoever reads them ([`ReadError::Lost`]).
    pub damage: Vec<Corruption>,
}

/// The receipt for a durable entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its frame's number.
    pub frame: u64,
    /// Its arrival stamp.
    pub arrived: Timestamp,
}

/// What one segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Counted from 1; also the file's name.
    pub generation: u64,
    /// Its first frame.
    pub first_frame: u64,
    /// Its last durable frame.
    pub last_frame: u64,
    /// Arrival of the first frame.
    pub first_arrival: Timestamp,
    /// Arrival of the last durable frame.
    pub last_arrival: Timestamp,
    /// Size of the file.
    pub bytes: u64,
}

impl Journal {
    /// Opens the journal in `config.dir`, recovering what is there or making a new one, and starts its writer. `clock`
    /// gives arrival stamps; it may stand still or go back, stamps do neither. Blocks on the disk.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is changed on disk in those cases, but for a lock file and spare segments.
    pub fn open(
        config: Config,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<(Self, Recovery), OpenError> {
        let dir = config.dir.clone();
        fs::create_dir_all(&dir).map_err(OpenError::io(format!("making {}", dir.display())))?;
        let lock = WriterLock::take(&dir)?;
        Self::start(Arc::new(OsDisk::new(&dir, Access::Write)), config, Box::new(clock), Some(lock))
    }

    /// Like [`Journal::open`], on a disk of the caller's: that is how tests bring faults in. Takes no lock.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        config: Config,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<(Self, Recovery), OpenError> {
        Self::start(disk, config, Box::new(clock), None)
    }

    /// Like [`Journal::open_on`], without threads: nothing is written until [`crate::Driven`] is told to, and then on the
    /// caller's thread, so that the same calls are the same run.
    ///
    /// # Errors
    /// See [`OpenError`].
    #[cfg(any(test, feature = "testing"))]
    pub fn open_driven(
        disk: Arc<dyn Disk>,
        config: Config,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<(Self, Recovery, crate::Driven), OpenError> {
        let prepare = |disk, reserve_bytes, next| Ok(Preparer::without_thread(disk, reserve_bytes, next));
        let (journal, recovery, writer) = Self::assemble(disk, config, Box::new(clock), None, prepare)?;
        Ok((journal, recovery, crate::Driven::new(writer)))
    }

    fn start(
        disk: Arc<dyn Disk>,
        config: Config,
        clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
        lock: Option<WriterLock>,
    ) -> Result<(Self, Recovery), OpenError> {
        let (journal, recovery, writer) = Self::assemble(disk, config, clock, lock, Preparer::start)?;
        thread::Builder::new().name("journal-write".into()).spawn(move || writer.run()).map_err(starting())?;
        Ok((journal, recovery))
    }

    /// Recovers what is there; the writer has not begun.
    fn assemble(
        disk: Arc<dyn Disk>,
        config: Config,
        clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
        lock: Option<WriterLock>,
        prepare: impl FnOnce(Arc<dyn Disk>, u64, Option<Prepared>) -> io::Result<Preparer>,
    ) -> Result<(Self, Recovery, Writer), OpenError> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&config.segment_bytes) {
            return Err(OpenError::Config(format!(
                "segment_bytes is {}; it must lie between {SEGMENT_BYTES_MIN} and {SEGMENT_BYTES_MAX}",
                config.segment_bytes
            )));
        }
        let mut found = match recovery::recover(&*disk, config.verify)? {
            Some(found) => found,
            None => new_journal(&*disk, &config)?,
        };
        let next = usable_next(&*disk, &config, found.next.take())?;
        let recovery = Recovery {
            first_frame: found.segments.front().map_or(found.tail.last_frame + 1, |first| first.extent.first_frame),
            last_frame: found.tail.last_frame,
            last_arrival: found.last_arrival,
            cut_bytes: found.cut_bytes,
            segments: found.segments.len(),
            damage: found.damage,
        };
        let (durable_frame, durable) = watch::channel(recovery.last_frame);
        let shared = Arc::new(Shared {
            queue: Queue::new(&config, recovery.last_arrival, clock),
            index: Mutex::new(Index::new(found.segments, config.ring_bytes_max)),
            durable,
            disk: disk.clone(),
            config,
        });
        let preparer = prepare(disk, shared.config.reserve_bytes, next).map_err(starting())?;
        let writer = Writer::new(shared.clone(), durable_frame, preparer, lock, found.tail);
        Ok((Self { handle: Arc::new(Handle { shared }) }, recovery, writer))
    }

    /// Journals an entry. Its place in the order is taken by the call, not by the first poll; the future resolves once
    /// the entry is durable. Dropping the future does not take the entry back.
    ///
    /// The future fails with what [`AppendError`] lists; then nobody may be told that the entry is safe.
    pub fn append(&self, entry: Entry) -> impl Future<Output = Result<Appended, AppendError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let limit_bytes = self.frame_bytes_max();
        let bytes = entry.frame_bytes();
        let queued = if limit_bytes < bytes {
            Err(AppendError::TooLarge { bytes, limit_bytes })
        } else {
            self.shared().queue.push(entry, reply)
        };
        async move {
            queued?;
            answer.await.unwrap_or(Err(AppendError::Closed))
        }
    }

    /// The most bytes a frame can have: body, bitmap of refused records and 64 bytes more.
    #[must_use]
    pub fn frame_bytes_max(&self) -> u64 {
        self.shared().config.segment_bytes - DATA_START
    }

    /// Bytes that wait for the disk now, those being written included.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        self.shared().queue.bytes()
    }

    /// Follows the journal from that frame on; 0 and 1 both mean the first ever.
    #[must_use]
    pub fn reader(&self, from_frame: u64) -> Reader {
        Reader::live(self.shared().clone(), from_frame)
    }

    /// One frame, from memory if it is recent, else from disk: then it blocks. `None` if it is not durable yet.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read_frame(&self, number: u64) -> Result<Option<Frame>, ReadError> {
        fetch_one(self.shared(), number)
    }

    /// The durable frames of a range, in either order. Reads the disk and blocks on it: for a blocking thread.
    #[must_use]
    pub fn scan(&self, range: ScanRange) -> Scan {
        Scan::new(self.shared().clone(), range)
    }

    /// The segments that hold durable frames, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.shared().index().segments().iter().map(crate::index::Segment::info).collect()
    }

    /// Drops whole segments, oldest first, as long as the retention is exceeded; never one that holds `keep_from` or a
    /// later frame, and never the one that is written. Blocks on the disk for a moment.
    ///
    /// # Errors
    /// [`ReadError::Io`] when a file could not be removed; what was dropped before stays dropped.
    pub fn retain(&self, retention: Retention, keep_from: u64) -> Result<Retained, ReadError> {
        retain::retain(self.shared(), retention, keep_from)
    }

    /// The highest durable frame; its sender goes away when the writer stops.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.shared().durable()
    }

    /// Refuses further appends, writes what waits, and returns when the writer has stopped and the lock is free.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`] if the disk failed, now or earlier.
    pub async fn close(&self) -> Result<(), AppendError> {
        self.shared().queue.close();
        let mut durable = self.durable();
        while durable.changed().await.is_ok() {}
        match self.shared().queue.poisoned() {
            Some(why) => Err(AppendError::Poisoned(why)),
            None => Ok(()),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

fn starting() -> impl FnOnce(io::Error) -> OpenError {
    OpenError::io("starting the writer's threads")
}

fn new_journal(disk: &dyn Disk, config: &Config) -> Result<Recovered, OpenError> {
    let header = SegmentHeader { id: recovery::new_id(), generation: 1, bytes: config.segment_bytes };
    let prepared = prepare_with_reserve(disk, header, config.reserve_bytes)
        .map_err(OpenError::io(format!("writing the first segment in {}", disk.path().display())))?;
    let tail = Tail { header, file: prepared.file, offset: DATA_START, extent: None, last_frame: 0 };
    Ok(Recovered {
        segments: VecDeque::new(),
        tail,
        last_arrival: Timestamp::ZERO,
        cut_bytes: 0,
        damage: Vec::new(),
        next: None,
    })
}

/// The prepared segment, unless it was made for another size.
fn usable_next(disk: &dyn Disk, config: &Config, next: Option<Prepared>) -> Result<Option<Prepared>, OpenError> {
    match next {
        Some(next) if next.header.bytes != config.segment_bytes => {
            let name = crate::segment::name(next.header.generation);
            disk.remove(&name)
                .and_then(|()| disk.sync_dir())
                .map_err(OpenError::io(format!("removing the unused {}", disk.path().join(&name).display())))?;
            Ok(None)
        }
        next => Ok(next),
    }
}
