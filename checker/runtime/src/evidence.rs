//! Evidence: the events that violations cite, picked out of the requests they came in. Each request is walked once for all
//! that is cited of it, and nothing else of it is read.
use std::collections::HashMap;

use bytes::Bytes;
use event::{Event, Position, Timestamp};
use wire::{Refused, Signal};

use crate::{feed, freeze::Evidence};

/// A request, as it is kept.
#[derive(Clone, Debug)]
pub struct Body {
    /// What it is a request of.
    pub signal: Signal,
    /// Protobuf.
    pub bytes: Bytes,
    /// Refused records.
    pub refused: Refused,
    /// When it came.
    pub arrived: Timestamp,
}

/// Where requests are kept.
pub trait Bodies {
    /// The request at the place that events of it have as [`Position::frame`]; none when it is not kept any more.
    fn body(&self, frame: u64) -> Option<Body>;
}

/// Cited events, out of the requests that `B` keeps.
pub struct Picked<B> {
    bodies: B,
    events: HashMap<Position, Event>,
}

impl<B: Bodies> Picked<B> {
    /// Evidence out of these requests.
    pub fn new(bodies: B) -> Self {
        Picked { bodies, events: HashMap::new() }
    }

    /// Picks the events that are going to be asked for, and lets go of those of before.
    pub fn gather(&mut self, mut positions: Vec<Position>) {
        self.events.clear();
        positions.sort_unstable();
        positions.dedup();
        for of_one in positions.chunk_by(|a, b| (a.partition, a.frame) == (b.partition, b.frame)) {
            self.pick(of_one);
        }
    }

    /// Picks events of one request; by record.
    fn pick(&mut self, positions: &[Position]) {
        let Some(&first) = positions.first() else { return };
        let Some(body) = self.bodies.body(first.frame) else { return };
        let at = Position { record: 0, ..first };
        let wanted = |record: u32| positions.binary_search_by_key(&record, |position| position.record).is_ok();
        let picked = feed::picked(body.signal, &body.bytes, &body.refused, body.arrived, at, wanted);
        self.events.extend(picked.into_iter().map(|event| (event.position, event)));
    }
}

impl<B: Bodies> Evidence for Picked<B> {
    fn event(&mut self, position: Position) -> Option<Event> {
        if !self.events.contains_key(&position) {
            self.pick(&[position]);
        }
        self.events.get(&position).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Kept {
        frames: Vec<Bytes>,
        read: Cell<usize>,
    }

    impl Bodies for Kept {
        fn body(&self, frame: u64) -> Option<Body> {
            self.read.set(self.read.get() + 1);
            let bytes = self.frames.get(usize::try_from(frame).ok()?)?.clone();
            let (refused, arrived) = (Refused::default(), Timestamp(7));
            Some(Body { signal: Signal::Logs, bytes, refused, arrived })
        }
    }

    fn kept() -> Picked<Kept> {
        let frame = |frame: u64| {
            let line =
                |n: u64| format!("{{\"ts\":{},\"node\":\"n\",\"component\":\"c\",\"event\":\"e\"}}\n", 10 * frame + n);
            Bytes::from(wire::lines_to_protobuf((0..4).map(line).collect::<String>().as_bytes()).unwrap())
        };
        Picked::new(Kept { frames: (0..3).map(frame).collect(), read: Cell::new(0) })
    }

    fn at(frame: u64, record: u32) -> Position {
        Position { partition: 0, frame, record }
    }

    #[test]
    fn what_is_gathered_is_read_once_a_request() {
        let mut picked = kept();
        picked.gather(vec![at(2, 3), at(0, 1), at(2, 0), at(2, 3)]);
        assert_eq!(picked.bodies.read.get(), 2);
        for (position, ts) in [(at(0, 1), 1), (at(2, 0), 20), (at(2, 3), 23)] {
            let event = picked.event(position).unwrap();
            assert_eq!((event.ts, event.position, event.arrived), (Timestamp(ts), position, Timestamp(7)));
        }
        assert_eq!(picked.bodies.read.get(), 2);
    }

    #[test]
    fn what_was_not_gathered_is_found_all_the_same_and_what_is_gone_is_not() {
        let mut picked = kept();
        assert_eq!(picked.event(at(1, 2)).unwrap().ts, Timestamp(12));
        assert_eq!(picked.event(at(1, 9)), None);
        assert_eq!(picked.event(at(9, 0)), None);
    }
}
