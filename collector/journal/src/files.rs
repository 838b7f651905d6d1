//! Reading a journal from its files alone: one that another process writes, or that nobody writes. Takes no part in
//! recovery and changes nothing.
use crate::{
    Corruption, Frame, Loss, Mark, ReadError,
    disk::{Access, Disk, OsDisk, SegmentFile},
    frame::{Header, NotAFrame},
    lock,
    segment::{self, BadPage, Cursor, DATA_START, Seal, SegmentHeader, Step},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// See the module.
pub(crate) struct Files {
    disk: OsDisk,
    place: Option<Place>,
    /// Everything below is durable, as far as frames have said.
    durable: Mark,
    /// Whether a process writes the journal, when last asked.
    written: bool,
}

struct Place {
    /// The number of the frame at the cursor.
    frame: u64,
    open: Open,
    cursor: Cursor,
}

#[derive(Clone)]
struct Open {
    header: SegmentHeader,
    file: Arc<dyn SegmentFile>,
}

impl Files {
    pub(crate) fn open(dir: &Path) -> Result<Self, ReadError> {
        let disk = OsDisk::new(dir, Access::Read);
        let files = Self { disk, place: None, durable: Mark::default(), written: true };
        if files.generations()?.is_empty() {
            return Err(ReadError::Io(format!("there is no journal in {}", dir.display())));
        }
        Ok(files)
    }

    /// Frames from `next` on that are durable, up to so many bytes; none when there is none yet.
    pub(crate) fn fetch(&mut self, next: u64, bytes_max: u64) -> Result<Vec<Frame>, ReadError> {
        let mut frames = Vec::new();
        let mut bytes = 0;
        if self.place.as_ref().is_none_or(|place| next < place.frame) {
            self.place = self.locate(next)?;
        }
        while bytes < bytes_max {
            let Some(place) = &mut self.place else { break };
            let start = place.cursor.offset;
            match place.cursor.next_frame().map_err(io_error)? {
                Step::Found((frame, _), _) => {
                    let end = place.cursor.mark();
                    if self.durable < end && self.written {
                        self.look_ahead(start)?;
                    }
                    let Some(place) = &mut self.place else { break };
                    if self.durable < end && self.written {
                        place.cursor.offset = start;
                        place.cursor.refresh();
                        break;
                    }
                    place.frame = frame.number + 1;
                    if next <= frame.number {
                        bytes += frame.memory_bytes();
                        frames.push(frame);
                    }
                }
                Step::Not(not) => match self.pass_end(not, next) {
                    Ok(true) => {}
                    Ok(false) => break,
                    // Passed before.
                    Err(ReadError::Lost(loss)) if *loss.frames.end() < next => {}
                    // What was read before is good; the error comes with the next call.
                    Err(_) if !frames.is_empty() => {
                        self.place = None;
                        break;
                    }
                    Err(error) => return Err(error),
                },
            }
        }
        Ok(frames)
    }

    /// Goes on in the next segment if this one ends here, or behind damage. False when there is nothing to read now.
    ///
    /// # Errors
    /// [`ReadError::Lost`] when frames are damaged: what stands behind them comes next.
    fn pass_end(&mut self, not: NotAFrame, next: u64) -> Result<bool, ReadError> {
        let Some(place) = &mut self.place else { return Ok(false) };
        place.cursor.refresh();
        let generation = place.open.header.generation;
        let seal = Seal::read(&place.open.header, &*place.open.file).map_err(io_error)?;
        if seal.is_some_and(|seal| seal.end == place.cursor.offset) {
            let Some(open) = self.open_segment(generation + 1)? else { return Ok(false) };
            let Some(place) = &mut self.place else { return Ok(false) };
            place.cursor = Cursor::new(&open.header, open.file.clone(), DATA_START);
            place.open = open;
            return Ok(true);
        }
        let at = place.cursor.mark();
        // Between the read and the question for the seal the writer may have gone on.
        if matches!(place.cursor.next_header().map_err(io_error)?, Step::Found(..)) {
            place.cursor.offset = u64::from(at.offset);
            if not == NotAFrame::Blank {
                return Ok(true);
            }
        }
        if seal.is_none() && self.durable <= at {
            let (header, file) = (place.open.header, place.open.file.clone());
            let mut cursor = Cursor::new(&header, file.clone(), u64::from(at.offset));
            if let Ok(Some(_)) = cursor.pass_damage().map_err(io_error)? {
                self.look_ahead(cursor.offset)?;
            }
            // A segment is sealed before the next one gets its first frame.
            let next = self.open_segment(generation + 1)?.map(Self::first_of).transpose()?.flatten();
            if next.is_none() && self.durable <= at {
                return Ok(false);
            }
            if Seal::read(&header, &*file).map_err(io_error)?.is_some() {
                return Ok(true);
            }
        }
        if self.open_segment(generation)?.is_none() {
            self.place = None;
            return Err(ReadError::Gone { wanted: next, first: self.first_frame()?.unwrap_or(next + 1) });
        }
        self.pass_damage(seal, &not)
    }

    /// Goes behind what is damaged at the cursor. True when no frame is lost by it.
    fn pass_damage(&mut self, seal: Option<Seal>, not: &NotAFrame) -> Result<bool, ReadError> {
        let Some(Place { frame: first, open, mut cursor }) = self.place.take() else { return Ok(false) };
        let generation = open.header.generation;
        let damage = Corruption { file: self.path(generation), offset: cursor.offset, what: not.to_string() };
        let behind = match cursor.pass_damage().map_err(io_error)? {
            Ok(Some(header)) => Some(Place { frame: header.number, open, cursor }),
            Ok(None) => self.open_segment(generation + 1)?.map(Self::first_of).transpose()?.flatten(),
            Err(_) => return Err(ReadError::Corrupt(damage)),
        };
        let last = behind.as_ref().map(|behind| behind.frame - 1).or(seal.map(|seal| seal.last_frame));
        // Where nobody vouches for more frames, it is not known which are lost.
        let Some(last) = last.filter(|last| first <= last + 1) else { return Err(ReadError::Corrupt(damage)) };
        self.place = behind;
        if last < first {
            return Ok(true);
        }
        Err(ReadError::Lost(Loss { frames: first..=last, damage }))
    }

    /// The start of a segment: its first frame is told by its header, or by the seal; none where there is neither.
    fn first_of(open: Open) -> Result<Option<Place>, ReadError> {
        let mut cursor = Cursor::new(&open.header, open.file.clone(), DATA_START);
        let first = match cursor.next_header().map_err(io_error)? {
            Step::Found(Header { number, .. }, _) => Some(number),
            Step::Not(_) => Seal::read(&open.header, &*open.file).map_err(io_error)?.map(|seal| seal.first_frame),
        };
        cursor.offset = DATA_START;
        Ok(first.map(|frame| Place { frame, open, cursor }))
    }

    /// Reads the headers from here on for the highest durable mark.
    fn look_ahead(&mut self, start: u64) -> Result<(), ReadError> {
        self.written = lock::has_writer(self.disk.path());
        let Some(place) = &self.place else { return Ok(()) };
        let mut open = place.open.clone();
        let mut cursor = Cursor::new(&open.header, open.file.clone(), start);
        loop {
            match cursor.next_header().map_err(io_error)? {
                Step::Found(Header { durable, .. }, _) => self.durable = self.durable.max(durable),
                Step::Not(_) => {
                    let seal = Seal::read(&open.header, &*open.file).map_err(io_error)?;
                    if seal.is_none_or(|seal| seal.end != cursor.offset) {
                        return Ok(());
                    }
                    let Some(next) = self.open_segment(open.header.generation + 1)? else { return Ok(()) };
                    open = next;
                    cursor = Cursor::new(&open.header, open.file.clone(), DATA_START);
                }
            }
        }
    }

    /// The place from which `next` can be reached: the start of the newest segment that begins no later.
    fn locate(&self, next: u64) -> Result<Option<Place>, ReadError> {
        let mut oldest = None;
        for generation in self.generations()?.into_iter().rev() {
            let Some(place) = self.open_segment(generation)?.map(Self::first_of).transpose()?.flatten() else {
                continue;
            };
            if place.frame <= next {
                return Ok(Some(place));
            }
            oldest = Some(place.frame);
        }
        match oldest {
            Some(first) => Err(ReadError::Gone { wanted: next, first }),
            None => Ok(None),
        }
    }

    fn first_frame(&self) -> Result<Option<u64>, ReadError> {
        for generation in self.generations()? {
            if let Some(open) = self.open_segment(generation)?
                && let Step::Found(Header { number, .. }, _) =
                    Cursor::new(&open.header, open.file, DATA_START).next_header().map_err(io_error)?
            {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn generations(&self) -> Result<Vec<u64>, ReadError> {
        let names = self
            .disk
            .list()
            .map_err(|error| ReadError::Io(format!("listing {}: {error}", self.disk.path().display())))?;
        let mut generations: Vec<u64> = names.iter().filter_map(|name| segment::generation(name)).collect();
        generations.sort_unstable();
        Ok(generations)
    }

    /// The segment of that generation; `None` when it is not there, or not any longer.
    fn open_segment(&self, generation: u64) -> Result<Option<Open>, ReadError> {
        let file = match self.disk.open(&segment::name(generation)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(error)),
        };
        match SegmentHeader::read(&*file).map_err(io_error)? {
            Ok(header) if header.generation == generation => Ok(Some(Open { header, file })),
            // Dropped and used again between the two calls.
            Ok(_) => Ok(None),
            Err(BadPage::Damaged) => Err(self.corrupt(generation, 0, "the segment's header is not one".into())),
            Err(BadPage::Version(version)) => Err(ReadError::Io(format!(
                "{} has format version {version}, which this build does not know",
                self.path(generation).display()
            ))),
        }
    }

    fn path(&self, generation: u64) -> PathBuf {
        self.disk.path().join(segment::name(generation))
    }

    fn corrupt(&self, generation: u64, offset: u64, what: String) -> ReadError {
        ReadError::Corrupt(Corruption { file: self.path(generation), offset, what })
    }
}

fn io_error(error: io::Error) -> ReadError {
    ReadError::Io(error.to_string())
}
