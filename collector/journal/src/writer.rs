//! The one thread that writes frames: takes what waits, writes it, syncs once, and only then lets anyone know.
use crate::{
    AppendError, Appended, Entry, Fullness, Mark,
    disk::SegmentFile,
    error::mend,
    frame::{Frame, HEADER_BYTES, Header},
    index::Extent,
    journal::Shared,
    lock::WriterLock,
    prepare::Preparer,
    queue::{Pending, Reply, Work},
    segment::{DATA_START, Seal, SegmentHeader},
};
use bytes::Bytes;
use event::Timestamp;
use std::{io, sync::Arc, time::Instant};
use tokio::sync::watch;

/// Bodies from this size on are written from where they are; smaller ones are gathered first.
const GATHER_BYTES_MAX: usize = 16 << 10;
/// Writes end at a multiple of this, so that no page has to be read before it is written.
const PAGE_BYTES: u64 = 4096;

/// A frame that is written and waits for its sync.
struct Written {
    frame: Frame,
    offset: u64,
    reply: Option<Reply>,
}

/// A piece of what goes to the disk in one write.
enum Part {
    Gathered(std::ops::Range<usize>),
    Body(Bytes),
}

/// The state that recovery hands to the writer.
pub(crate) struct Tail {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn SegmentFile>,
    pub(crate) offset: u64,
    pub(crate) extent: Option<Extent>,
    pub(crate) last_frame: u64,
}

/// See the module.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    preparer: Preparer,
    _lock: Option<WriterLock>,
    /// Dropped after the lock: that nobody sends any more tells `Journal::close` that another writer may come.
    durable_frame: watch::Sender<u64>,
    tail: Tail,
    durable: Mark,
    gathered: Vec<u8>,
    parts: Vec<Part>,
    /// Where the first of `parts` goes.
    parts_at: u64,
    written: Vec<Written>,
    synced_at: Option<Instant>,
    full_since: Option<(Instant, String)>,
    /// Whether a frame was written that no durable mark covers yet.
    unmarked: bool,
}

/// Why a frame was not written.
enum Refused {
    Full(String),
    Failed(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        durable_frame: watch::Sender<u64>,
        preparer: Preparer,
        lock: Option<WriterLock>,
        tail: Tail,
    ) -> Self {
        let durable = mark(&tail.header, tail.offset);
        let parts_at = tail.offset;
        let writer = Self {
            shared,
            durable_frame,
            preparer,
            _lock: lock,
            tail,
            durable,
            gathered: Vec::new(),
            parts: Vec::new(),
            parts_at,
            written: Vec::new(),
            synced_at: None,
            full_since: None,
            unmarked: false,
        };
        writer.preparer.want(writer.next_header());
        writer
    }

    /// Writes until the queue is closed and empty, or the disk fails.
    pub(crate) fn run(mut self) {
        while let Work::Write(batch) = self.shared.queue.take(self.synced_at) {
            if !self.commit_or_poison(batch) {
                return;
            }
        }
        if self.shared.config.tick_every.is_some()
            && self.unmarked
            && let Err(error) = self.write_last_mark()
        {
            self.poison(&error);
        }
    }

    /// Commits a batch; false when the disk has failed and the writer is done.
    fn commit_or_poison(&mut self, batch: Vec<Pending>) -> bool {
        let committed = self.commit(batch);
        if let Err(error) = &committed {
            self.poison(error);
        }
        committed.is_ok()
    }

    /// Commits what waits now, without waiting for more; false when the disk has failed and the writer is done.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn write_now(&mut self) -> bool {
        match self.shared.queue.take_now() {
            Some(batch) => self.commit_or_poison(batch),
            None => true,
        }
    }

    /// Prepares the next segment now, if it is wanted.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn prepare_now(&self) {
        self.preparer.prepare_now();
    }

    /// A last tick, so that a durable mark covers everything before it.
    fn write_last_mark(&mut self) -> io::Result<()> {
        let arrived = self.shared.queue.stamp_last();
        self.commit(vec![Pending { entry: Entry::tick(), arrived, reply: None }])
    }

    fn poison(&mut self, error: &io::Error) {
        let why = format!(
            "{}: {error}",
            self.shared.disk.path().join(crate::segment::name(self.tail.header.generation)).display()
        );
        tracing::error!(error = %why, "the journal stopped: a disk operation failed, and what the disk holds is unknown");
        self.shared.queue.poison(&why);
        for reply in self.written.drain(..).filter_map(|written| written.reply) {
            // Whoever asked may have gone.
            let _ = reply.send(Err(AppendError::Poisoned(why.clone())));
        }
    }

    fn commit(&mut self, batch: Vec<Pending>) -> io::Result<()> {
        let mut failure = None;
        for pending in batch {
            if failure.is_some() {
                // Answered with the others, as part of what the failed write was to hold.
                self.written.push(unwritten(pending));
                continue;
            }
            match self.write(&pending.entry, pending.arrived) {
                Ok((frame, offset)) => self.written.push(Written { frame, offset, reply: pending.reply }),
                Err(Refused::Full(why)) => {
                    if let Some(reply) = pending.reply {
                        let _ = reply.send(Err(AppendError::Full(Fullness::Disk(why))));
                    }
                }
                Err(Refused::Failed(error)) => {
                    failure = Some(error);
                    self.written.push(unwritten(pending));
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None => self.sync(),
        }
    }

    /// Places one frame; it reaches the file with the next flush.
    fn write(&mut self, entry: &Entry, arrived: Timestamp) -> Result<(Frame, u64), Refused> {
        let bytes = entry.frame_bytes();
        if self.tail.header.bytes < self.tail.offset + bytes {
            self.switch_segment()?;
        }
        let offset = self.tail.offset;
        let number = self.tail.last_frame + 1;
        let header = Header {
            kind: entry.kind,
            number,
            arrived,
            durable: self.durable,
            events: entry.events,
            refused_len: u32::try_from(entry.refused.len()).unwrap_or(u32::MAX),
            body_len: u32::try_from(entry.body.len()).unwrap_or(u32::MAX),
        };
        let at = mark(&self.tail.header, offset);
        self.gather(&header.encode(self.tail.header.id, at, &entry.refused, &entry.body));
        self.gather(&entry.refused);
        if entry.body.len() < GATHER_BYTES_MAX {
            self.gather(&entry.body);
        } else {
            self.parts.push(Part::Body(entry.body.clone()));
        }
        let unpadded = HEADER_BYTES + entry.refused.len() + entry.body.len();
        self.gather(&[0; 8][..bytes as usize - unpadded]);
        self.tail.offset += bytes;
        self.tail.last_frame = number;
        self.tail.extent = Some(Extent::extended(self.tail.extent, number, arrived));
        let Entry { kind, body, events, refused, notes } = entry.clone();
        Ok((Frame { number, kind, arrived, events, refused, body, notes }, offset))
    }

    fn gather(&mut self, bytes: &[u8]) {
        let start = self.gathered.len();
        self.gathered.extend_from_slice(bytes);
        match self.parts.last_mut() {
            Some(Part::Gathered(range)) if range.end == start => range.end = self.gathered.len(),
            _ => self.parts.push(Part::Gathered(start..self.gathered.len())),
        }
    }

    /// Writes what was placed.
    fn flush(&mut self) -> io::Result<()> {
        if self.parts.is_empty() {
            return Ok(());
        }
        let page_end = self.tail.offset.next_multiple_of(PAGE_BYTES).min(self.tail.header.bytes);
        self.gather(&[0; PAGE_BYTES as usize][..(page_end - self.tail.offset) as usize]);
        let slices: Vec<&[u8]> = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Gathered(range) => &self.gathered[range.clone()],
                Part::Body(body) => body.as_ref(),
            })
            .collect();
        self.tail.file.write_parts_at(&slices, self.parts_at)?;
        self.parts.clear();
        self.gathered.clear();
        self.parts_at = self.tail.offset;
        Ok(())
    }

    /// Makes everything written durable, then says so.
    fn sync(&mut self) -> io::Result<()> {
        if self.written.is_empty() {
            return Ok(());
        }
        self.flush()?;
        // The time between the starts of two syncs is what bounds their number.
        self.synced_at = Some(Instant::now());
        self.tail.file.sync_data()?;
        self.durable = mark(&self.tail.header, self.tail.offset);
        self.publish();
        Ok(())
    }

    fn publish(&mut self) {
        let mut replies = Vec::with_capacity(self.written.len());
        let mut index = self.shared.index();
        for Written { frame, offset, reply } in self.written.drain(..) {
            self.unmarked = frame.kind != crate::Kind::TICK;
            replies.push((reply, Appended { frame: frame.number, arrived: frame.arrived }));
            index.push(&self.tail.header, offset, frame);
        }
        drop(index);
        self.durable_frame.send_replace(self.tail.last_frame);
        for (reply, appended) in replies {
            if let Some(reply) = reply {
                // Whoever asked may have gone; the frame is durable all the same.
                let _ = reply.send(Ok(appended));
            }
        }
    }

    fn next_header(&self) -> SegmentHeader {
        SegmentHeader {
            id: self.tail.header.id,
            generation: self.tail.header.generation + 1,
            bytes: self.shared.config.segment_bytes,
        }
    }

    /// Seals this segment and goes on in the next one. Without a next one nothing is changed.
    fn switch_segment(&mut self) -> Result<(), Refused> {
        if let Some((since, why)) = &self.full_since {
            if since.elapsed() < self.shared.config.retry_full_after {
                return Err(Refused::Full(why.clone()));
            }
            self.preparer.want(self.next_header());
        }
        let next = match self.preparer.take() {
            Ok(next) => next,
            Err(error) => {
                let why = format!("{}: {error}; {}", self.shared.disk.path().display(), mend(&error));
                if self.full_since.is_none() {
                    tracing::error!(error = %why, "the journal refuses appends: the next segment cannot be written");
                }
                self.full_since = Some((Instant::now(), why.clone()));
                return Err(Refused::Full(why));
            }
        };
        if self.full_since.take().is_some() {
            tracing::info!("the journal accepts appends again: the next segment is written");
        }
        self.flush()?;
        let last_frame = self.tail.last_frame;
        let seal = Seal::of(self.tail.offset, self.tail.extent, last_frame);
        seal.write(&self.tail.header, &*self.tail.file)?;
        self.tail.file.sync_data()?;
        if !self.written.is_empty() {
            self.publish();
        }
        self.tail.header = next.header;
        self.tail.file = next.file;
        self.tail.offset = DATA_START;
        self.tail.extent = None;
        self.parts_at = DATA_START;
        self.durable = mark(&self.tail.header, DATA_START);
        self.preparer.want(self.next_header());
        Ok(())
    }
}

/// A place for the reply of an entry that never reached the file.
fn unwritten(pending: Pending) -> Written {
    let Entry { kind, body, events, refused, notes } = pending.entry;
    let frame = Frame { number: 0, kind, arrived: pending.arrived, events, refused, body, notes };
    Written { frame, offset: 0, reply: pending.reply }
}

fn mark(header: &SegmentHeader, offset: u64) -> Mark {
    Mark { generation: header.generation, offset: u32::try_from(offset).unwrap_or(u32::MAX) }
}
