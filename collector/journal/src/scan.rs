//! Searching: the durable frames of a range, oldest or newest first, from the files. Skips segments and stretches of
//! segments whose arrival stamps lie outside.
use crate::{
    Frame, ReadError,
    index::{Segment, Waypoint},
    journal::Shared,
    reader,
    segment::{Cursor, Step},
};
use event::Timestamp;
use std::{collections::VecDeque, ops::RangeInclusive, sync::Arc};

/// Which frames a scan yields, and from which end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRange {
    /// Frame numbers.
    pub frames: RangeInclusive<u64>,
    /// Arrival stamps.
    pub arrived: RangeInclusive<Timestamp>,
    /// Which end comes first.
    pub order: Order,
}

impl ScanRange {
    /// Everything, in that order.
    #[must_use]
    pub fn all(order: Order) -> Self {
        Self { frames: 0..=u64::MAX, arrived: Timestamp::ZERO..=Timestamp::MAX, order }
    }
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ascending frame numbers.
    OldestFirst,
    /// Descending frame numbers.
    NewestFirst,
}

/// The frames of a range; see [`crate::Journal::scan`]. What becomes durable after the call is not in it; what is dropped
/// meanwhile is left out; what is lost is told in its place. Ends after any other error.
pub struct Scan {
    shared: Arc<Shared>,
    range: ScanRange,
    /// The next one at the end.
    segments: Vec<Segment>,
    stretches: Vec<Stretch>,
    frames: VecDeque<Result<Frame, ReadError>>,
    cursor: Option<(u64, Cursor)>,
    failed: bool,
}

/// The frames from one waypoint up to the next.
struct Stretch {
    segment: Segment,
    from: Waypoint,
    last_frame: u64,
}

impl Scan {
    pub(crate) fn new(shared: Arc<Shared>, range: ScanRange) -> Self {
        let mut segments = shared.index().overlapping(&range.frames, &range.arrived);
        if range.order == Order::OldestFirst {
            segments.reverse();
        }
        Self { shared, range, segments, stretches: Vec::new(), frames: VecDeque::new(), cursor: None, failed: false }
    }

    /// Finds the next frames; false at the end.
    fn advance(&mut self) -> Result<bool, ReadError> {
        if let Some(stretch) = self.stretches.pop() {
            match self.read(&stretch) {
                Err(ReadError::Gone { .. }) => self.stretches.clear(),
                read => read?,
            }
            return Ok(true);
        }
        let Some(segment) = self.segments.pop() else { return Ok(false) };
        match reader::waypoints(&self.shared, &segment) {
            Ok(points) => self.plan(segment, &points),
            Err(ReadError::Gone { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn plan(&mut self, segment: Segment, points: &[Waypoint]) {
        let segment = Segment { waypoints: Vec::new(), ..segment };
        for (i, from) in points.iter().enumerate() {
            let next = points.get(i + 1);
            let last_frame = next.map_or(segment.extent.last_frame, |next| next.frame - 1);
            let last_arrival = next.map_or(segment.extent.last_arrival, |next| next.arrived);
            let outside = last_frame < *self.range.frames.start()
                || *self.range.frames.end() < from.frame
                || last_arrival < *self.range.arrived.start()
                || *self.range.arrived.end() < from.arrived;
            if !outside {
                self.stretches.push(Stretch { segment: segment.clone(), from: *from, last_frame });
            }
        }
        if self.range.order == Order::OldestFirst {
            self.stretches.reverse();
        }
    }

    fn read(&mut self, stretch: &Stretch) -> Result<(), ReadError> {
        let generation = stretch.segment.header.generation;
        let mut cursor = match self.cursor.take() {
            Some((of, mut cursor)) if of == generation => {
                cursor.offset = stretch.from.offset;
                cursor
            }
            _ => reader::open(&self.shared, &stretch.segment, stretch.from.offset)?,
        };
        let mut number = stretch.from.frame;
        while number <= stretch.last_frame {
            match reader::read(&self.shared, cursor.next_frame())? {
                Step::Found((frame, _), _) => {
                    number = frame.number + 1;
                    if self.range.frames.contains(&frame.number) && self.range.arrived.contains(&frame.arrived) {
                        self.put(Ok(frame));
                    }
                }
                Step::Not(not) => match reader::lost(&self.shared, &stretch.segment, &mut cursor, number, &not) {
                    ReadError::Lost(loss) => {
                        number = loss.frames.end() + 1;
                        let (from, to) = (self.range.frames.start(), self.range.frames.end());
                        if loss.frames.start() <= to && from <= loss.frames.end() {
                            self.put(Err(ReadError::Lost(loss)));
                        }
                    }
                    error => return Err(error),
                },
            }
        }
        self.cursor = Some((generation, cursor));
        Ok(())
    }

    /// Puts what comes next in order of time to its place in the order that is asked for.
    fn put(&mut self, frame: Result<Frame, ReadError>) {
        match self.range.order {
            Order::OldestFirst => self.frames.push_back(frame),
            Order::NewestFirst => self.frames.push_front(frame),
        }
    }
}

impl Iterator for Scan {
    type Item = Result<Frame, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.frames.is_empty() && !self.failed {
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        self.frames.pop_front()
    }
}
