//! Following the journal frame by frame: from memory while the reader keeps up, from the files when it is behind. Never
//! hands out a frame that is not durable.
use crate::{
    Corruption, Frame, Loss, ReadError,
    files::Files,
    frame::{Header, NotAFrame},
    index::{Segment, Waypoint},
    journal::Shared,
    segment::{self, Cursor, DATA_START, SegmentHeader, Step},
};
use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// How many bytes of frames are fetched at once.
const FETCH_BYTES: u64 = 1 << 20;
/// How often the files of another process's journal are looked at.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Follows the journal from one frame on.
pub struct Reader {
    next: u64,
    fetched: VecDeque<Frame>,
    /// What memory has of the next ones, where it has no more of them than that.
    outlines: VecDeque<Frame>,
    source: Source,
}

enum Source {
    Live { shared: Arc<Shared>, durable: watch::Receiver<u64>, place: Option<Place> },
    Files(Arc<Mutex<Files>>),
}

/// Where in the files the next frame is.
struct Place {
    frame: u64,
    segment: SegmentHeader,
    cursor: Cursor,
}

/// Follows a journal that another process writes, or that is closed, from that frame on. Never writes.
///
/// Of a journal that is being written it yields what its frames say is durable: the last frames of a burst come with
/// what is journaled after them, a tick at the latest. When nobody writes, everything valid is yielded.
///
/// Frames that are damaged are told as [`ReadError::Lost`], and what stands behind them can be read, as it is with
/// [`Journal::reader`](crate::Journal::reader).
///
/// # Errors
/// [`ReadError::Io`] when the directory holds no journal or cannot be read, [`ReadError::Corrupt`] when its files are
/// not a journal's.
pub fn open_reader(dir: &Path, from_frame: u64) -> Result<Reader, ReadError> {
    let files = Files::open(dir)?;
    let source = Source::Files(Arc::new(Mutex::new(files)));
    Ok(Reader { next: from_frame.max(1), fetched: VecDeque::new(), outlines: VecDeque::new(), source })
}

impl Reader {
    pub(crate) fn live(shared: Arc<Shared>, from_frame: u64) -> Self {
        let durable = shared.durable();
        Self {
            next: from_frame.max(1),
            fetched: VecDeque::new(),
            outlines: VecDeque::new(),
            source: Source::Live { shared, durable, place: None },
        }
    }

    /// The number of the frame that comes next.
    #[must_use]
    pub fn next_frame(&self) -> u64 {
        self.next
    }

    /// Goes on behind frames that are lost.
    pub fn pass(&mut self, loss: &Loss) {
        self.next = self.next.max(loss.frames.end() + 1);
        self.fetched.clear();
        self.outlines.clear();
    }

    /// The next durable frame, waiting for it. When the call is dropped no frame is lost.
    ///
    /// # Errors
    /// [`ReadError::Closed`] when the writer has stopped and all its durable frames have been read; see [`ReadError`]
    /// for the others. After an error the same frame is tried again; see [`Reader::pass`].
    pub async fn next(&mut self) -> Result<Frame, ReadError> {
        loop {
            if let Some(frame) = self.take_fetched() {
                return Ok(frame);
            }
            let next = self.next;
            match &mut self.source {
                Source::Live { shared, durable, place } => {
                    if *durable.borrow_and_update() < next {
                        if durable.changed().await.is_err() && *durable.borrow() < next {
                            return Err(ReadError::Closed);
                        }
                        continue;
                    }
                    let recent = shared.index().recent(next, FETCH_BYTES);
                    if !recent.is_empty() {
                        self.fetched = recent.into();
                        continue;
                    }
                    let (of_thread, mut at) = (shared.clone(), place.take());
                    let (frames, at) = blocking(move || {
                        let frames = fetch(&of_thread, next, FETCH_BYTES, &mut at);
                        (frames, at)
                    })
                    .await?;
                    *place = at;
                    self.fetched = frames?.into();
                }
                Source::Files(files) => {
                    let of_thread = files.clone();
                    let frames = blocking(move || lock(&of_thread).fetch(next, FETCH_BYTES)).await?;
                    self.fetched = frames?.into();
                    if self.fetched.is_empty() {
                        tokio::time::sleep(POLL_EVERY).await;
                    }
                }
            }
        }
    }

    /// The next durable frame if there is one now. Blocks on the disk when the frame is not recent.
    ///
    /// # Errors
    /// See [`ReadError`]; never [`ReadError::Closed`].
    pub fn try_next(&mut self) -> Result<Option<Frame>, ReadError> {
        if self.fetched.is_empty() {
            let next = self.next;
            self.fetched = match &mut self.source {
                Source::Live { durable, .. } if *durable.borrow() < next => return Ok(None),
                Source::Live { shared, place, .. } => {
                    let recent = shared.index().recent(next, FETCH_BYTES);
                    if recent.is_empty() { fetch(shared, next, FETCH_BYTES, place)?.into() } else { recent.into() }
                }
                Source::Files(files) => lock(files).fetch(next, FETCH_BYTES)?.into(),
            };
        }
        Ok(self.take_fetched())
    }

    /// As [`Reader::try_next`]; but a frame of which memory has everything except the body is handed out without it where
    /// `suffices` says of the rest that it is enough. Where it is not, the body is read from the files, and what was noted of it
    /// comes with it.
    ///
    /// # Errors
    /// As [`Reader::try_next`].
    pub fn try_next_where(&mut self, suffices: impl FnOnce(&Frame) -> bool) -> Result<Option<Frame>, ReadError> {
        let next = self.next;
        if self.fetched.is_empty()
            && let Source::Live { shared, place, .. } = &mut self.source
        {
            if self.outlines.front().is_none_or(|outline| outline.number != next) {
                self.outlines = shared.index().outlines(next, FETCH_BYTES).into();
            }
            if let Some(outline) = self.outlines.pop_front() {
                if suffices(&outline) {
                    self.next = next + 1;
                    return Ok(Some(outline));
                }
                let fetched = fetch(shared, next, 0, place)?;
                self.fetched =
                    fetched.into_iter().map(|frame| Frame { notes: outline.notes.clone(), ..frame }).collect();
            }
        }
        self.try_next()
    }

    fn take_fetched(&mut self) -> Option<Frame> {
        let frame = self.fetched.pop_front()?;
        self.next = frame.number + 1;
        Some(frame)
    }
}

fn lock(files: &Mutex<Files>) -> MutexGuard<'_, Files> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ReadError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ReadError::Io("the runtime is shutting down".into()))
}

/// One frame, wherever it is.
pub(crate) fn fetch_one(shared: &Arc<Shared>, number: u64) -> Result<Option<Frame>, ReadError> {
    let number = number.max(1);
    if *shared.durable().borrow() < number {
        return Ok(None);
    }
    let recent = shared.index().recent(number, 0);
    let found = if recent.is_empty() { fetch(shared, number, 0, &mut None)? } else { recent };
    Ok(found.into_iter().next())
}

/// Reads durable frames from the files, up to so many bytes but at least one.
fn fetch(
    shared: &Arc<Shared>,
    mut next: u64,
    bytes_max: u64,
    place: &mut Option<Place>,
) -> Result<Vec<Frame>, ReadError> {
    let durable = *shared.durable().borrow();
    let mut frames = Vec::new();
    let mut bytes = 0;
    while next <= durable && (frames.is_empty() || bytes < bytes_max) {
        let here = match place.take() {
            Some(here) if here.frame == next => here,
            _ => match locate(shared, next) {
                Ok(here) => here,
                // What was read before is good; the error comes with the next call.
                Err(_) if !frames.is_empty() => break,
                Err(error) => return Err(error),
            },
        };
        let Place { segment, mut cursor, .. } = here;
        let mut step = read(shared, cursor.next_frame())?;
        if matches!(step, Step::Not(_)) {
            // It was written after what was read ahead.
            cursor.refresh();
            step = read(shared, cursor.next_frame())?;
        }
        match step {
            Step::Found((frame, _), _) if frame.number == next => {
                bytes += frame.memory_bytes();
                frames.push(frame);
                next += 1;
                let ends = shared.index().generation(segment.generation).is_none_or(|s| s.extent.last_frame < next);
                *place = (!ends).then_some(Place { frame: next, segment, cursor });
            }
            _ if !frames.is_empty() => break,
            Step::Found((frame, _), at) => {
                let what = format!("it holds frame {} where {next} was expected", frame.number);
                return Err(damaged(shared, segment.generation, u64::from(at.offset), next, what));
            }
            Step::Not(not) => {
                let Some(found) = shared.index().generation(segment.generation).cloned() else {
                    return Err(damaged(shared, segment.generation, cursor.offset, next, not.to_string()));
                };
                return Err(lost(shared, &found, &mut cursor, next, &not));
            }
        }
    }
    Ok(frames)
}

/// A cursor that stands before that frame.
fn locate(shared: &Arc<Shared>, number: u64) -> Result<Place, ReadError> {
    let index = shared.index();
    let Some(found) = index.segment_of(number).cloned() else {
        return Err(ReadError::Gone { wanted: number, first: index.first_frame().unwrap_or(number + 1) });
    };
    drop(index);
    let waypoints = waypoints(shared, &found)?;
    let start = waypoints.iter().rev().find(|point| point.frame <= number);
    let mut cursor = open(shared, &found, start.map_or(DATA_START, |point| point.offset))?;
    let mut expected = start.map_or(found.extent.first_frame, |point| point.frame);
    while expected < number {
        expected = match read(shared, cursor.next_header())? {
            Step::Found(header, _) => header.number + 1,
            Step::Not(not) => match lost(shared, &found, &mut cursor, expected, &not) {
                ReadError::Lost(loss) if *loss.frames.end() < number => loss.frames.end() + 1,
                error => return Err(error),
            },
        };
    }
    Ok(Place { frame: number, segment: found.header, cursor })
}

/// Opens a segment for reading.
pub(crate) fn open(shared: &Shared, found: &Segment, offset: u64) -> Result<Cursor, ReadError> {
    let name = segment::name(found.header.generation);
    match shared.disk.open(&name) {
        Ok(file) => Ok(Cursor::new(&found.header, file, offset)),
        Err(error) if shared.index().generation(found.header.generation).is_none() => {
            tracing::debug!(%error, file = %name, "the segment was dropped while it was being opened");
            let first = shared.index().first_frame().unwrap_or(found.extent.last_frame + 1);
            Err(ReadError::Gone { wanted: found.extent.first_frame, first })
        }
        Err(error) => Err(ReadError::Io(format!("opening {}: {error}", shared.disk.path().join(&name).display()))),
    }
}

/// The places of a segment where reading can start; found by walking its headers, once.
pub(crate) fn waypoints(shared: &Shared, found: &Segment) -> Result<Vec<Waypoint>, ReadError> {
    if !found.waypoints.is_empty() {
        return Ok(found.waypoints.clone());
    }
    let mut cursor = open(shared, found, DATA_START)?;
    let mut points = Vec::new();
    let mut expected = found.extent.first_frame;
    while expected <= found.extent.last_frame {
        expected = match read(shared, cursor.next_header())? {
            Step::Found(Header { number: frame, arrived, .. }, at) => {
                Segment::add_waypoint(&mut points, Waypoint { frame, arrived, offset: u64::from(at.offset) });
                frame + 1
            }
            // Whoever reaches the damage is told, also where it is the first thing there is.
            Step::Not(not) => {
                let offset = cursor.offset;
                match lost(shared, found, &mut cursor, expected, &not) {
                    ReadError::Lost(loss) => {
                        let arrived = found.extent.first_arrival;
                        if points.is_empty() {
                            points.push(Waypoint { frame: expected, arrived, offset });
                        }
                        loss.frames.end() + 1
                    }
                    error => return Err(error),
                }
            }
        };
    }
    shared.index().set_waypoints(found.header.generation, points.clone());
    Ok(points)
}

pub(crate) fn read<T>(shared: &Shared, step: std::io::Result<Step<T>>) -> Result<Step<T>, ReadError> {
    step.map_err(|error| io_error(shared, &error))
}

fn io_error(shared: &Shared, error: &std::io::Error) -> ReadError {
    ReadError::Io(format!("reading in {}: {error}", shared.disk.path().display()))
}

/// What it means that a durable frame cannot be read where the cursor stands: dropped meanwhile, or lost, with all up to the
/// next one that stands behind it. The cursor goes there.
pub(crate) fn lost(shared: &Shared, found: &Segment, cursor: &mut Cursor, wanted: u64, not: &NotAFrame) -> ReadError {
    let (generation, offset) = (found.header.generation, cursor.offset);
    let damage = match damaged(shared, generation, offset, wanted, not.to_string()) {
        ReadError::Corrupt(damage) => damage,
        other => return other,
    };
    let next = match cursor.pass_damage() {
        Err(error) => return io_error(shared, &error),
        Ok(Err(_)) => return ReadError::Corrupt(damage),
        Ok(Ok(next)) => next.map(|header| header.number),
    };
    // What stands behind the last one is of no frame that is known to be durable.
    let next = next.filter(|next| (wanted + 1..=found.extent.last_frame).contains(next));
    let last = next.map_or(found.extent.last_frame, |next| next - 1);
    ReadError::Lost(Loss { frames: wanted..=last, damage })
}

/// What it means that a durable frame is not where it should be: dropped meanwhile, or damaged.
pub(crate) fn damaged(shared: &Shared, generation: u64, offset: u64, wanted: u64, what: String) -> ReadError {
    let index = shared.index();
    if index.generation(generation).is_none() {
        return ReadError::Gone { wanted, first: index.first_frame().unwrap_or(wanted + 1) };
    }
    ReadError::Corrupt(Corruption { file: shared.disk.path().join(segment::name(generation)), offset, what })
}

impl std::fmt::Display for NotAFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blank => f.write_str("a frame is missing"),
            Self::Damaged(what) => f.write_str(what),
            Self::Version(version) => {
                write!(f, "the frame has format version {version}, which this build does not know")
            }
        }
    }
}
