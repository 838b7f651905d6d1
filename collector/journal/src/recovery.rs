//! Opening what an earlier run left: finds the end of what can be trusted and cuts a torn tail. Damage below the highest durable
//! mark it tells: a segment that later ones vouch for keeps its place, with the frames that its seal speaks of; in the last one
//! nobody knows what followed, and it refuses to go on. What it keeps it first makes durable, because a sync that failed may
//! have left the only copy in memory.
use crate::{
    Corruption, Mark, OpenError, Verify,
    disk::{Disk, SegmentFile},
    frame::{HEADER_BYTES, Header, JournalId, NotAFrame, looks_like_header},
    index::{Extent, Segment, Waypoint},
    segment::{self, BadPage, Cursor, DATA_START, FORMAT, SEAL_AT, Seal, SegmentHeader, Step},
    writer::Tail,
};
use event::Timestamp;
use std::{collections::VecDeque, io, sync::Arc};

/// How much is looked through at once behind the end. A multiple of 8, so that frames stay aligned.
const LOOK_BYTES: usize = 1 << 20;

/// What recovery found.
pub(crate) struct Recovered {
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) tail: Tail,
    pub(crate) last_arrival: Timestamp,
    pub(crate) cut_bytes: u64,
    /// What is damaged in segments whose frames are known all the same.
    pub(crate) damage: Vec<Corruption>,
    /// A segment prepared for use that has no frames yet.
    pub(crate) next: Option<crate::prepare::Prepared>,
}

/// A segment file with what its first page says.
struct Found {
    header: SegmentHeader,
    file: Arc<dyn SegmentFile>,
    seal: Option<Seal>,
    /// Its first page is not what it must have been; header and seal are.
    is_mended: bool,
}

impl Found {
    /// Where its frames end, by its seal; the start of the file where it has none.
    fn end(&self) -> Mark {
        let offset = self.seal.map_or(0, |seal| u32::try_from(seal.end).unwrap_or(u32::MAX));
        Mark { generation: self.header.generation, offset }
    }
}

/// What reading a segment from its start found.
struct Scanned {
    extent: Option<Extent>,
    waypoints: Vec<Waypoint>,
    /// Where the first thing stands that is no frame.
    end: Mark,
    /// What that is.
    stop: Stop,
    /// The highest durable mark of all valid frames, those after the stop included.
    durable: Mark,
    /// Whether any valid frame was found, those after the stop included.
    any_frame: bool,
    /// Where the last thing ends that looks like a frame of this generation, intact or not.
    evidence_end: u64,
}

#[derive(Clone, Copy)]
enum Stop {
    End,
    Damaged(&'static str),
}

/// The frame before the one that is read next.
#[derive(Clone, Copy, Default)]
struct Before {
    number: Option<u64>,
    arrived: Timestamp,
}

/// Recovers the journal on that disk; `None` when there is none.
pub(crate) fn recover(disk: &dyn Disk, verify: Verify) -> Result<Option<Recovered>, OpenError> {
    let mut damage = Vec::new();
    let mut found = find_segments(disk, &mut damage)?;
    let Some(last) = found.len().checked_sub(1) else { return Ok(None) };
    mend_seals(disk, &mut found, &mut damage)?;
    let found = found;
    let open = found.iter().position(|segment| segment.seal.is_none()).unwrap_or(last);
    // The seal before the open segment may itself be part of the torn tail.
    let suspect = open.saturating_sub(1);
    let from = if verify == Verify::Everything { 0 } else { suspect };

    let mut segments = VecDeque::new();
    let mut before = Before::default();
    for segment in &found[..from] {
        if let Some(extent) = segment.seal.and_then(|seal| seal.extent()) {
            check_follows(disk, segment, before, extent)?;
            before = Before { number: Some(extent.last_frame), arrived: extent.last_arrival };
            segments.push_back(Segment { header: segment.header, extent, waypoints: Vec::new() });
        }
    }
    let mut scans = Vec::new();
    for segment in &found[from..] {
        let scan = scan(disk, segment, before)?;
        // A sealed segment that is damaged is followed by what follows its last frame.
        if let Some(extent) = segment.seal.and_then(|seal| seal.extent()).or(scan.extent) {
            before = Before { number: Some(extent.last_frame), arrived: extent.last_arrival };
        }
        scans.push(scan);
    }
    let durable = scans.iter().map(|scan| scan.durable).max().unwrap_or_default();
    let tail = judge(disk, &found[from..], &scans, durable, suspect - from, open - from, &mut damage)?;

    let mut cut_bytes = 0;
    for (segment, scan) in found[from..].iter().zip(&scans).take(tail + 1).skip(suspect - from) {
        cut_bytes += settle(segment, scan, durable, from_tail(tail, &found[from..], segment))
            .map_err(OpenError::io(format!("mending {}", path(disk, segment.header.generation).display())))?;
    }
    for segment in found.iter().filter(|segment| segment.is_mended) {
        mend_page(segment)
            .map_err(OpenError::io(format!("mending {}", path(disk, segment.header.generation).display())))?;
    }
    let mut scans = scans.into_iter();
    for (segment, scan) in found[from..].iter().zip(scans.by_ref()).take(tail + 1) {
        match segment.seal.and_then(|seal| seal.extent()).filter(|_| scan.end != segment.end()) {
            // What its seal vouches for and cannot be read is told to whoever wants it.
            Some(extent) if segment.header.generation != found[from + tail].header.generation => {
                segments.push_back(Segment { header: segment.header, extent, waypoints: Vec::new() });
            }
            _ => segments.extend(scan.extent.map(|extent| Segment {
                header: segment.header,
                extent,
                waypoints: scan.waypoints,
            })),
        }
        if segment.header.generation == found[from + tail].header.generation {
            let (last_frame, last_arrival) = last_of(&segments, &found[..from + tail]);
            let tail_segment = &found[from + tail];
            let next = found.get(from + tail + 1);
            return Ok(Some(Recovered {
                segments,
                tail: Tail {
                    header: tail_segment.header,
                    file: tail_segment.file.clone(),
                    offset: u64::from(scan.end.offset),
                    extent: scan.extent,
                    last_frame,
                },
                last_arrival,
                cut_bytes,
                damage,
                next: next.map(|next| crate::prepare::Prepared { header: next.header, file: next.file.clone() }),
            }));
        }
    }
    Ok(None)
}

fn from_tail(tail: usize, found: &[Found], segment: &Found) -> bool {
    found.get(tail).is_some_and(|last| last.header.generation == segment.header.generation)
}

/// The last frame's number and stamp; a sealed segment without frames still knows the number.
fn last_of(segments: &VecDeque<Segment>, found: &[Found]) -> (u64, Timestamp) {
    let sealed = found.iter().filter_map(|segment| segment.seal).map(|seal| seal.last_frame).max().unwrap_or(0);
    segments
        .back()
        .map_or((sealed, Timestamp::ZERO), |segment| (segment.extent.last_frame, segment.extent.last_arrival))
}

fn path(disk: &dyn Disk, generation: u64) -> std::path::PathBuf {
    disk.path().join(segment::name(generation))
}

fn find_segments(disk: &dyn Disk, damage: &mut Vec<Corruption>) -> Result<Vec<Found>, OpenError> {
    let names = disk.list().map_err(OpenError::io(format!("listing {}", disk.path().display())))?;
    let mut generations: Vec<u64> = names.iter().filter_map(|name| segment::generation(name)).collect();
    generations.sort_unstable();
    let id = generations.iter().find_map(|generation| {
        let file = disk.open(&segment::name(*generation)).ok()?;
        Some(SegmentHeader::read(&*file).ok()?.ok()?.id)
    });
    let mut found: Vec<Found> = Vec::with_capacity(generations.len());
    for &generation in &generations {
        let file_path = path(disk, generation);
        let reading = || OpenError::io(format!("reading {}", file_path.display()));
        let corrupt = |offset, what: String| Corruption { file: file_path.clone(), offset, what };
        let file = disk.open(&segment::name(generation)).map_err(reading())?;
        let mut is_mended = false;
        let header = match SegmentHeader::read(&*file).map_err(reading())? {
            Ok(header) => header,
            Err(BadPage::Version(version)) => {
                return Err(OpenError::Version { file: file_path, found: version, known: FORMAT });
            }
            Err(BadPage::Damaged) => {
                let corruption = corrupt(0, "the segment's header is not one".into());
                // Its neighbours and its name say what it must be, and no frame of another would be valid under it.
                let Some(id) = id.filter(|_| Some(&generation) != generations.last()) else {
                    return Err(corruption.into());
                };
                damage.push(corruption);
                is_mended = true;
                SegmentHeader { id, generation, bytes: file.len().map_err(reading())? }
            }
        };
        if header.generation != generation {
            return Err(corrupt(0, format!("it says it is number {}", header.generation)).into());
        }
        let bytes = file.len().map_err(reading())?;
        if bytes != header.bytes {
            let what = format!("it has {bytes} bytes where its header says {}", header.bytes);
            return Err(corrupt(bytes.min(header.bytes), what).into());
        }
        if let Some(previous) = found.last() {
            if previous.header.id != header.id {
                return Err(corrupt(0, "it belongs to another journal".into()).into());
            }
            if previous.header.generation + 1 != generation {
                let missing = previous.header.generation + 1;
                let corruption = Corruption { file: path(disk, missing), ..corrupt(0, "it is missing".into()) };
                return Err(corruption.into());
            }
        }
        let seal = Seal::read(&header, &*file).map_err(reading())?;
        found.push(Found { header, file, seal, is_mended });
    }
    Ok(found)
}

/// Finds out what a seal must have said that is damaged, where all frames are there that it spoke of: those behind say so.
fn mend_seals(disk: &dyn Disk, found: &mut [Found], damage: &mut Vec<Corruption>) -> Result<(), OpenError> {
    for i in 0..found.len().saturating_sub(1) {
        if found[i].seal.is_some() {
            continue;
        }
        let (header, file) = (&found[i + 1].header, &found[i + 1].file);
        let next = Cursor::new(header, file.clone(), DATA_START).next_header();
        let next = next.map_err(OpenError::io(format!("reading {}", path(disk, header.generation).display())))?;
        let Step::Found(next, _) = next else { continue };
        let own = scan(disk, &found[i], Before::default())?;
        let Some(extent) = own.extent else { continue };
        if extent.last_frame + 1 == next.number && matches!(own.stop, Stop::End) {
            let what = "its seal is damaged; it is whole all the same".to_owned();
            damage.push(Corruption { file: path(disk, found[i].header.generation), offset: SEAL_AT, what });
            found[i].seal = Some(Seal::of(u64::from(own.end.offset), own.extent, extent.last_frame));
            found[i].is_mended = true;
        }
    }
    Ok(())
}

fn check_follows(disk: &dyn Disk, segment: &Found, before: Before, extent: Extent) -> Result<(), OpenError> {
    let expected = before.number.map_or(extent.first_frame, |number| number + 1);
    if extent.first_frame == expected && before.arrived < extent.first_arrival {
        return Ok(());
    }
    let generation = segment.header.generation;
    Err(Corruption {
        file: path(disk, generation),
        offset: SEAL_AT,
        what: format!("its first frame is {} where {expected} was expected", extent.first_frame),
    }
    .into())
}

/// Reads a segment from its start to the first thing that is no frame, and looks at what stands behind that.
fn scan(disk: &dyn Disk, segment: &Found, mut before: Before) -> Result<Scanned, OpenError> {
    let generation = segment.header.generation;
    let reading = || OpenError::io(format!("reading {}", path(disk, generation).display()));
    let mut cursor = Cursor::new(&segment.header, segment.file.clone(), DATA_START);
    let mut scanned = Scanned {
        extent: None,
        waypoints: Vec::new(),
        end: cursor.mark(),
        stop: Stop::End,
        durable: Mark::default(),
        any_frame: false,
        evidence_end: 0,
    };
    scanned.stop = loop {
        match cursor.next_frame().map_err(reading())? {
            Step::Found((frame, header), at) => {
                scanned.durable = scanned.durable.max(header.durable);
                scanned.any_frame = true;
                let expected = before.number.map_or(frame.number, |number| number + 1);
                if frame.number != expected || frame.arrived <= before.arrived {
                    break Stop::Damaged("the frame does not follow the one before it");
                }
                before = Before { number: Some(frame.number), arrived: frame.arrived };
                scanned.extent = Some(Extent::extended(scanned.extent, frame.number, frame.arrived));
                let offset = u64::from(at.offset);
                let point = Waypoint { frame: frame.number, arrived: frame.arrived, offset };
                Segment::add_waypoint(&mut scanned.waypoints, point);
                scanned.end = cursor.mark();
            }
            Step::Not(NotAFrame::Blank) => break Stop::End,
            Step::Not(NotAFrame::Damaged(what)) => break Stop::Damaged(what),
            Step::Not(NotAFrame::Version(version)) => {
                let file = path(disk, generation);
                let known = u32::from(crate::frame::VERSION);
                return Err(OpenError::Version { file, found: u32::from(version), known });
            }
        }
    };
    look_behind(&segment.header, &segment.file, &mut scanned).map_err(reading())?;
    Ok(scanned)
}

/// Looks for frames behind the place where reading stopped.
fn look_behind(header: &SegmentHeader, file: &Arc<dyn SegmentFile>, scanned: &mut Scanned) -> io::Result<()> {
    let mut at = u64::from(scanned.end.offset);
    let mut block = vec![0; LOOK_BYTES + HEADER_BYTES];
    while at + HEADER_BYTES as u64 <= header.bytes {
        let read = file.read_at(&mut block, at)?;
        let Some(found) = (0..read).step_by(8).find(|start| looks_like_header(&block[*start..read], header.generation))
        else {
            if read < block.len() {
                break;
            }
            at += LOOK_BYTES as u64;
            continue;
        };
        let mut cursor = Cursor::new(header, file.clone(), at + found as u64);
        let mut end = cursor.offset + 8;
        if let Step::Found((_, Header { durable, .. }), _) = cursor.next_frame()? {
            scanned.durable = scanned.durable.max(durable);
            scanned.any_frame = true;
            end = cursor.offset;
        }
        scanned.evidence_end = scanned.evidence_end.max(end.min(header.bytes));
        at = end;
    }
    Ok(())
}

/// Says which segment is the last, or what is corrupt. Indices are into `found` and `scans`.
fn judge(
    disk: &dyn Disk,
    found: &[Found],
    scans: &[Scanned],
    durable: Mark,
    suspect: usize,
    open: usize,
    damage: &mut Vec<Corruption>,
) -> Result<usize, OpenError> {
    for (i, (segment, scan)) in found.iter().zip(scans).enumerate() {
        let sealed_end = segment.seal.map(|seal| seal.end);
        let whole = sealed_end.is_none_or(|end| end == u64::from(scan.end.offset));
        let generation = segment.header.generation;
        let vouched = i < suspect || scans[i + 1..].iter().any(|later| later.any_frame);
        if scan.end < durable && durable.generation == generation || vouched && !whole {
            let what = match scan.stop {
                Stop::Damaged(what) => what.to_owned(),
                Stop::End => "a frame is missing".to_owned(),
            };
            let offset = u64::from(scan.end.offset);
            let corruption = Corruption { file: path(disk, generation), offset, what };
            if segment.seal.is_none() || !vouched {
                return Err(corruption.into());
            }
            // Its seal says which frames it has: whoever wants one that is lost is told.
            damage.push(corruption);
            continue;
        }
        if vouched && segment.seal.is_none() {
            let what = "its seal is damaged: later segments have frames".to_owned();
            return Err(Corruption { file: path(disk, generation), offset: SEAL_AT, what }.into());
        }
        if suspect <= i && (!whole || open <= i) {
            // Frames behind this would make it `vouched`, so everything behind is blank.
            return Ok(i);
        }
    }
    Ok(found.len().saturating_sub(1))
}

/// Makes a segment durable that may not be, and wipes what is behind its last frame. Returns how much was wiped.
fn settle(segment: &Found, scan: &Scanned, durable: Mark, is_last: bool) -> io::Result<u64> {
    let generation = segment.header.generation;
    let end = u64::from(scan.end.offset);
    let known = if durable.generation == generation { u64::from(durable.offset) } else { 0 };
    let from = if generation < durable.generation { end } else { known.max(DATA_START) };
    if from < end {
        rewrite(&*segment.file, from, end)?;
    }
    let mut cut = 0;
    if is_last {
        cut = scan.evidence_end.saturating_sub(end);
        if 0 < cut {
            segment.file.write_all_at(&vec![0; usize::try_from(cut).unwrap_or(0)], end)?;
        }
        if segment.seal.is_some() {
            Seal::remove(&*segment.file)?;
        }
    } else if let Some(seal) = segment.seal {
        seal.write(&segment.header, &*segment.file)?;
    }
    segment.file.sync_data()?;
    Ok(cut)
}

/// Writes a first page as it must have been.
fn mend_page(segment: &Found) -> io::Result<()> {
    segment.file.write_all_at(&segment.header.page()[..SEAL_AT as usize], 0)?;
    if let Some(seal) = segment.seal {
        seal.write(&segment.header, &*segment.file)?;
    }
    segment.file.sync_data()
}

fn rewrite(file: &dyn SegmentFile, from: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = from;
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = file.read_at(&mut buffer[..wanted], at)?;
        if read == 0 {
            break;
        }
        file.write_all_at(&buffer[..read], at)?;
        at += read as u64;
    }
    Ok(())
}

/// The id of a new journal: hard to guess, never equal to another's in practice. Not a secret.
pub(crate) fn new_id() -> JournalId {
    use std::hash::{BuildHasher, RandomState};
    let mut id = [0; 16];
    id[..8].copy_from_slice(&RandomState::new().hash_one(std::process::id()).to_le_bytes());
    id[8..].copy_from_slice(&RandomState::new().hash_one(std::time::SystemTime::now()).to_le_bytes());
    JournalId(id)
}
