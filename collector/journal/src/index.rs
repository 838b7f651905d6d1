//! What is known in memory: which segment holds which frames, where to start reading inside one, and the most recent
//! frames themselves. Everything here is durable; what is being written is not in it yet.
use crate::{Frame, SegmentInfo, segment::SegmentHeader};
use bytes::Bytes;
use event::Timestamp;
use std::{collections::VecDeque, ops::RangeInclusive};

/// How far apart waypoints are, bytes.
pub(crate) const WAYPOINT_BYTES: u64 = 256 << 10;

/// A frame inside a segment from which reading can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waypoint {
    pub(crate) frame: u64,
    pub(crate) arrived: Timestamp,
    pub(crate) offset: u64,
}

/// First and last frame of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first_frame: u64,
    pub(crate) last_frame: u64,
    pub(crate) first_arrival: Timestamp,
    pub(crate) last_arrival: Timestamp,
}

impl Extent {
    /// With one more frame at its end.
    pub(crate) fn extended(this: Option<Self>, frame: u64, arrived: Timestamp) -> Self {
        let (first_frame, first_arrival) = this.map_or((frame, arrived), |e| (e.first_frame, e.first_arrival));
        Self { first_frame, last_frame: frame, first_arrival, last_arrival: arrived }
    }
}

/// One segment that has frames.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) extent: Extent,
    /// Ascending; empty in a sealed segment whose headers have not been walked since the start.
    pub(crate) waypoints: Vec<Waypoint>,
}

impl Segment {
    pub(crate) fn add_waypoint(waypoints: &mut Vec<Waypoint>, point: Waypoint) {
        if waypoints.last().is_none_or(|last| last.offset + WAYPOINT_BYTES <= point.offset) {
            waypoints.push(point);
        }
    }

    pub(crate) fn info(&self) -> SegmentInfo {
        let Extent { first_frame, last_frame, first_arrival, last_arrival } = self.extent;
        let (generation, bytes) = (self.header.generation, self.header.bytes);
        SegmentInfo { generation, first_frame, last_frame, first_arrival, last_arrival, bytes }
    }
}

/// Frames in order, as many as have room.
#[derive(Default)]
struct Ring {
    frames: VecDeque<Frame>,
    bytes: u64,
    bytes_max: u64,
}

impl Ring {
    fn of(bytes_max: u64) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    fn push(&mut self, frame: Frame) {
        self.bytes += frame.memory_bytes();
        self.frames.push_back(frame);
    }

    fn pop(&mut self) -> Option<Frame> {
        let oldest = self.frames.pop_front()?;
        self.bytes -= oldest.memory_bytes();
        Some(oldest)
    }

    /// The oldest one, where there are more than have room.
    fn pop_excess(&mut self) -> Option<Frame> {
        if self.bytes_max < self.bytes { self.pop() } else { None }
    }

    /// Those from `number` on, up to so many bytes but at least one; none if `number` is not among them.
    fn from(&self, number: u64, bytes_max: u64) -> Vec<Frame> {
        let Some(skip) = self.frames.front().and_then(|oldest| number.checked_sub(oldest.number)) else {
            return Vec::new();
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(self.frames.len());
        let mut bytes = 0;
        let mut frames = Vec::new();
        for frame in self.frames.range(skip..) {
            bytes += frame.memory_bytes();
            if !frames.is_empty() && bytes_max < bytes {
                break;
            }
            frames.push(frame.clone());
        }
        frames
    }

    fn drop_up_to(&mut self, last_frame: u64) {
        while self.frames.front().is_some_and(|frame| frame.number <= last_frame) {
            self.pop();
        }
    }
}

/// See the module.
pub(crate) struct Index {
    /// Oldest first; frame numbers are contiguous over all of them.
    segments: VecDeque<Segment>,
    recent: Ring,
    /// What came before those, without the bodies: what was noted of them is much less, and often enough.
    outlines: Ring,
}

impl Index {
    /// With so much memory for recent frames. A quarter of it is for those of which the notes alone are kept.
    pub(crate) fn new(segments: VecDeque<Segment>, recent_bytes_max: u64) -> Self {
        let outlines_bytes_max = recent_bytes_max / 4;
        Self {
            segments,
            recent: Ring::of(recent_bytes_max - outlines_bytes_max),
            outlines: Ring::of(outlines_bytes_max),
        }
    }

    /// Adds a frame that became durable.
    pub(crate) fn push(&mut self, header: &SegmentHeader, offset: u64, frame: Frame) {
        let point = Waypoint { frame: frame.number, arrived: frame.arrived, offset };
        match self.segments.back_mut().filter(|last| last.header.generation == header.generation) {
            Some(last) => {
                last.extent = Extent::extended(Some(last.extent), frame.number, frame.arrived);
                Segment::add_waypoint(&mut last.waypoints, point);
            }
            None => self.segments.push_back(Segment {
                header: *header,
                extent: Extent::extended(None, frame.number, frame.arrived),
                waypoints: vec![point],
            }),
        }
        self.recent.push(frame);
        while let Some(oldest) = self.recent.pop_excess() {
            self.outlines.push(Frame { body: Bytes::new(), ..oldest });
        }
        while self.outlines.pop_excess().is_some() {}
    }

    /// Frames from `number` on that are in memory, up to so many bytes but at least one; none if `number` is not.
    pub(crate) fn recent(&self, number: u64, bytes_max: u64) -> Vec<Frame> {
        self.recent.from(number, bytes_max)
    }

    /// Frames from `number` on of which all but the bodies is in memory, up to so many bytes but at least one; none if `number`
    /// is not among them.
    pub(crate) fn outlines(&self, number: u64, bytes_max: u64) -> Vec<Frame> {
        self.outlines.from(number, bytes_max)
    }

    /// The oldest frame still kept.
    pub(crate) fn first_frame(&self) -> Option<u64> {
        self.segments.front().map(|segment| segment.extent.first_frame)
    }

    pub(crate) fn segments(&self) -> &VecDeque<Segment> {
        &self.segments
    }

    /// The segment that holds that frame.
    pub(crate) fn segment_of(&self, frame: u64) -> Option<&Segment> {
        let at = self.segments.partition_point(|segment| segment.extent.last_frame < frame);
        self.segments.get(at).filter(|segment| segment.extent.first_frame <= frame)
    }

    /// The segment of that generation, if it is still kept.
    pub(crate) fn generation(&self, generation: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.header.generation == generation)
    }

    /// Segments that may hold frames of both ranges.
    pub(crate) fn overlapping(
        &self,
        frames: &RangeInclusive<u64>,
        arrived: &RangeInclusive<Timestamp>,
    ) -> Vec<Segment> {
        let meets = |segment: &&Segment| {
            let extent = &segment.extent;
            extent.first_frame <= *frames.end()
                && *frames.start() <= extent.last_frame
                && extent.first_arrival <= *arrived.end()
                && *arrived.start() <= extent.last_arrival
        };
        self.segments.iter().filter(meets).cloned().collect()
    }

    /// Keeps what walking a segment's headers found.
    pub(crate) fn set_waypoints(&mut self, generation: u64, waypoints: Vec<Waypoint>) {
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.header.generation == generation)
            && segment.waypoints.is_empty()
        {
            segment.waypoints = waypoints;
        }
    }

    /// Forgets the oldest segment. Its recent frames stay readable from memory no longer.
    pub(crate) fn drop_oldest(&mut self) -> Option<Segment> {
        let dropped = self.segments.pop_front()?;
        self.outlines.drop_up_to(dropped.extent.last_frame);
        self.recent.drop_up_to(dropped.extent.last_frame);
        Some(dropped)
    }
}
