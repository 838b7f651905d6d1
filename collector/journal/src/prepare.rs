//! Writes the next segment file in advance, on a thread of its own, so that a commit never extends a file: it is either
//! a dropped segment used again or a new file filled with zeros. Also keeps the reserve that a full disk is survived
//! with. Never touches a segment that has frames.
use crate::{
    disk::{Disk, SegmentFile},
    segment::{self, SPARE_SUFFIX, SegmentHeader},
};
use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

const RESERVE: &str = "reserve";

/// A segment file that is ready for its first frame.
pub(crate) struct Prepared {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn SegmentFile>,
}

enum Slot {
    Idle,
    Wanted(SegmentHeader),
    Ready(Prepared),
    Failed(io::Error),
    Stop,
}

struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
    disk: Arc<dyn Disk>,
    reserve_bytes: u64,
}

/// The thread and what is agreed with it.
pub(crate) struct Preparer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    pub(crate) fn start(disk: Arc<dyn Disk>, reserve_bytes: u64, ready: Option<Prepared>) -> io::Result<Self> {
        let slot = Mutex::new(ready.map_or(Slot::Idle, Slot::Ready));
        let shared = Arc::new(Shared { slot, changed: Condvar::new(), disk, reserve_bytes });
        let of_thread = shared.clone();
        let thread = thread::Builder::new().name("journal-prepare".into()).spawn(move || of_thread.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// One that prepares only when it is told to, and when a segment is taken.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn without_thread(disk: Arc<dyn Disk>, reserve_bytes: u64, ready: Option<Prepared>) -> Self {
        let slot = Mutex::new(ready.map_or(Slot::Idle, Slot::Ready));
        Self { shared: Arc::new(Shared { slot, changed: Condvar::new(), disk, reserve_bytes }), thread: None }
    }

    /// Prepares the segment that is wanted, if one is, on the caller's thread.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn prepare_now(&self) {
        let mut slot = self.shared.lock();
        if let Slot::Wanted(header) = *slot {
            *slot = self.shared.prepare(header);
        }
    }

    /// Asks for a segment, unless one is ready or under way.
    pub(crate) fn want(&self, header: SegmentHeader) {
        let mut slot = self.shared.lock();
        if matches!(*slot, Slot::Idle | Slot::Failed(_)) {
            *slot = Slot::Wanted(header);
            self.shared.changed.notify_all();
        }
    }

    /// The segment that was asked for, waiting for it; or why there is none.
    pub(crate) fn take(&self) -> io::Result<Prepared> {
        #[cfg(any(test, feature = "testing"))]
        if self.thread.is_none() {
            self.prepare_now();
        }
        let mut slot = self.shared.lock();
        while matches!(*slot, Slot::Wanted(_)) {
            slot = self.shared.changed.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
        match std::mem::replace(&mut *slot, Slot::Idle) {
            Slot::Ready(prepared) => Ok(prepared),
            Slot::Failed(error) => Err(error),
            Slot::Idle | Slot::Wanted(_) | Slot::Stop => Err(io::Error::other("no segment was asked for")),
        }
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        *self.shared.lock() = Slot::Stop;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, and then has nothing left to finish.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut slot = self.lock();
        loop {
            let header = match &*slot {
                Slot::Stop => return,
                Slot::Wanted(header) => *header,
                Slot::Idle | Slot::Ready(_) | Slot::Failed(_) => {
                    slot = self.changed.wait(slot).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
            };
            drop(slot);
            let prepared = self.prepare(header);
            slot = self.lock();
            if matches!(*slot, Slot::Wanted(_)) {
                *slot = prepared;
            }
            self.changed.notify_all();
        }
    }

    fn prepare(&self, header: SegmentHeader) -> Slot {
        prepare_with_reserve(&*self.disk, header, self.reserve_bytes).map_or_else(Slot::Failed, Slot::Ready)
    }
}

/// Prepares a segment. When there is no space, the reserve is given up so that what shares the disk can finish; it is
/// taken back before anything else once there is space again.
pub(crate) fn prepare_with_reserve(disk: &dyn Disk, header: SegmentHeader, reserve_bytes: u64) -> io::Result<Prepared> {
    let prepared = keep_reserve(disk, reserve_bytes).and_then(|()| prepare(disk, header));
    if prepared.is_err() {
        // Freeing is all that can be done; if even that fails, the error above says what matters.
        let _ = disk.remove(RESERVE);
    }
    prepared
}

fn keep_reserve(disk: &dyn Disk, reserve_bytes: u64) -> io::Result<()> {
    if reserve_bytes == 0 {
        return Ok(());
    }
    match disk.open(RESERVE) {
        Ok(file) if file.len()? == reserve_bytes => return Ok(()),
        Ok(_) => disk.remove(RESERVE)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fill(&*disk.create(RESERVE)?, reserve_bytes)
}

/// Makes the segment file, durably, and says what it is.
fn prepare(disk: &dyn Disk, header: SegmentHeader) -> io::Result<Prepared> {
    let (spare, file) = match take_spare(disk, header.bytes)? {
        Some(spare) => spare,
        None => {
            let name = format!("{:020}{SPARE_SUFFIX}", header.generation);
            let file = disk.create(&name)?;
            if let Err(error) = fill(&*file, header.bytes) {
                // Half a file is of no use, and the space is needed.
                let _ = disk.remove(&name);
                return Err(error);
            }
            (name, file)
        }
    };
    file.write_all_at(&header.page(), 0)?;
    file.sync_data()?;
    disk.rename(&spare, &segment::name(header.generation))?;
    disk.sync_dir()?;
    Ok(Prepared { header, file })
}

fn take_spare(disk: &dyn Disk, bytes: u64) -> io::Result<Option<(String, Arc<dyn SegmentFile>)>> {
    for name in disk.list()?.into_iter().filter(|name| name.ends_with(SPARE_SUFFIX)) {
        let file = disk.open(&name)?;
        if file.len()? == bytes {
            return Ok(Some((name, file)));
        }
        // Made for another segment size, or never finished.
        disk.remove(&name)?;
    }
    Ok(None)
}

fn fill(file: &dyn SegmentFile, bytes: u64) -> io::Result<()> {
    file.fill(bytes)?;
    file.sync_data()
}
