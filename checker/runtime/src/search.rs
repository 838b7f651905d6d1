//! Searching the journal: events, the newest first.
use std::{collections::HashMap, time::Duration};

use event::{Event, Position, Timestamp};
use journal::{Frame, Journal, Kind, Loss, Order, ReadError, ScanRange};
use wire::{Refused, Signal};

use crate::{
    evidence::{Bodies, Body},
    feed, json,
};

/// What is looked for; empty parts match everything.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Event time, from.
    pub from: Option<Timestamp>,
    /// Event time, to.
    pub to: Option<Timestamp>,
    /// The network.
    pub network: Option<String>,
    /// The node.
    pub node: Option<String>,
    /// The component.
    pub component: Option<String>,
    /// The event's name; `*` stands for any run.
    pub event: Option<String>,
    /// Attributes and their values, as text.
    pub attrs: Vec<(String, String)>,
    /// The trace id.
    pub trace: Option<String>,
    /// Text anywhere in the name or the values.
    pub q: Option<String>,
    /// Only what stands before this.
    pub before: Option<Position>,
    /// How many.
    pub limit: usize,
}

/// How long before its arrival an event mostly happened: a search by time looks there first, and at what arrived later than
/// that (what a sender had kept, a recording) after it.
const DELAY: Duration = Duration::from_secs(3_600);

/// How far ahead of its arrival an event may be and still be found by time.
const AHEAD: Duration = Duration::from_secs(60);

/// How many frames of later arrival a search looks at in passing; the next one goes on from there.
const LATE_FRAMES_MAX: usize = 500;

/// How many frames one search looks at.
const FRAMES_MAX: usize = 20_000;

/// The signal of a frame's body.
#[must_use]
pub fn signal(frame: &Frame) -> Option<Signal> {
    match frame.kind {
        Kind::LOGS => Some(Signal::Logs),
        Kind::TRACES => Some(Signal::Traces),
        _ => None,
    }
}

/// A frame's events, in order.
#[must_use]
pub fn events(frame: &Frame) -> Vec<Event> {
    let Some(signal) = signal(frame) else { return Vec::new() };
    let at = Position { partition: 0, frame: frame.number, record: 0 };
    feed::events(signal, &frame.body, &Refused::from(&*frame.refused), frame.arrived, at)
}

/// What one search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The newest first.
    pub events: Vec<Event>,
    /// Where to go on before ([`Query::before`]); none: that was all. A search that looked at as much as one may goes on
    /// there, whatever it found. By time, what arrived much later than it happened comes last.
    pub next: Option<Position>,
    /// What could not be looked at, because it is damaged.
    pub lost: Vec<Loss>,
}

/// Runs a search; blocks on the disk.
///
/// # Errors
/// When the journal cannot be read.
pub fn search(journal: &Journal, query: &Query) -> Result<Found, ReadError> {
    search_frames(journal, query, FRAMES_MAX)
}

fn search_frames(journal: &Journal, query: &Query, frames_max: usize) -> Result<Found, ReadError> {
    let from = query.from.map_or(Timestamp::ZERO, |from| from.minus(AHEAD));
    let to = query.to.map_or(Timestamp::MAX, |to| to.plus(DELAY));
    let late = Timestamp(to.0.saturating_add(1));
    let before = query.before.map_or(u64::MAX, |before| before.frame);
    let among_the_late = match query.before {
        Some(before) if to < Timestamp::MAX => {
            match journal.read_frame(before.frame) {
                // What was found there can be read no more: the search goes on in order.
                Err(ReadError::Lost(_)) => false,
                frame => frame?.is_some_and(|frame| frame.arrived >= late),
            }
        }
        _ => false,
    };
    let mut found = Found::default();
    if !among_the_late {
        let range = ScanRange { frames: 0..=before, arrived: from..=to, order: Order::NewestFirst };
        found.next = look(journal, query, range, frames_max, &mut found)?;
    }
    if to == Timestamp::MAX || found.next.is_some() {
        return Ok(found);
    }
    let (before, at_most) = if among_the_late { (query.before, frames_max) } else { (None, LATE_FRAMES_MAX) };
    let frames = 0..=before.map_or(u64::MAX, |before| before.frame);
    let range = ScanRange { frames, arrived: late..=Timestamp::MAX, order: Order::NewestFirst };
    let query = Query { before, ..query.clone() };
    found.next = look(journal, &query, range, at_most.min(frames_max), &mut found)?;
    Ok(found)
}

/// Looks through a range; returns where to go on when the query's limit or `frames_max` ended it.
fn look(
    journal: &Journal,
    query: &Query,
    range: ScanRange,
    frames_max: usize,
    found: &mut Found,
) -> Result<Option<Position>, ReadError> {
    let glob = query.event.as_deref().map(engine::Glob::new);
    let mut looked_at = 0;
    for frame in journal.scan(range) {
        let frame = match frame {
            Ok(frame) => frame,
            Err(ReadError::Lost(loss)) => {
                if !found.lost.contains(&loss) {
                    found.lost.push(loss);
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        if frame.events == 0 {
            continue;
        }
        looked_at += 1;
        for event in events(&frame).into_iter().rev() {
            if matches(query, glob.as_ref(), &event) {
                let position = event.position;
                found.events.push(event);
                if found.events.len() == query.limit {
                    return Ok(Some(position));
                }
            }
        }
        if looked_at == frames_max {
            return Ok(Some(Position { partition: 0, frame: frame.number, record: 0 }));
        }
    }
    Ok(None)
}

fn matches(query: &Query, glob: Option<&engine::Glob>, event: &Event) -> bool {
    let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
    let text = |name: &str| event.attr(name).map(json::text);
    query.before.is_none_or(|before| event.position < before)
        && query.from.is_none_or(|from| from <= event.ts)
        && query.to.is_none_or(|to| event.ts <= to)
        && is(&query.network, &event.source.network)
        && is(&query.node, &event.source.node)
        && is(&query.component, &event.source.component)
        && is(&query.trace, &event.trace_id)
        && glob.is_none_or(|glob| glob.matches(&event.name))
        && query.attrs.iter().all(|(name, value)| text(name).as_deref() == Some(value))
        && query.q.as_deref().is_none_or(|q| {
            event.name.contains(q) || event.attrs.iter().any(|(_, value)| json::text(value).contains(q))
        })
}

/// The component that sends each event, by the last events of that many frames; blocks on the disk.
///
/// # Errors
/// When the journal cannot be read.
pub fn senders(journal: &Journal, frames: usize) -> Result<HashMap<String, String>, ReadError> {
    let range =
        ScanRange { frames: 0..=u64::MAX, arrived: Timestamp::ZERO..=Timestamp::MAX, order: Order::NewestFirst };
    let mut found = HashMap::new();
    let mut looked_at = 0;
    for frame in journal.scan(range) {
        let frame = match frame {
            Err(ReadError::Lost(_)) => continue,
            frame => frame?,
        };
        if frame.events == 0 {
            continue;
        }
        for event in events(&frame) {
            found.entry(event.name.to_string()).or_insert_with(|| event.source.component.to_string());
        }
        looked_at += 1;
        if looked_at == frames || found.len() >= SENDERS_MAX {
            break;
        }
    }
    Ok(found)
}

/// How many names of events [`senders`] tells apart: names come from strangers.
const SENDERS_MAX: usize = 4_096;

impl Bodies for Journal {
    fn body(&self, frame: u64) -> Option<Body> {
        match self.read_frame(frame) {
            Ok(frame) => {
                let frame = frame?;
                let refused = Refused::from(&*frame.refused);
                Some(Body { signal: signal(&frame)?, bytes: frame.body, refused, arrived: frame.arrived })
            }
            Err(error) => {
                tracing::warn!(%error, frame, "evidence cannot be read");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use journal::{Config, Entry};

    use super::*;

    async fn journal_of(frames: u64, folder: &std::path::Path) -> Journal {
        journal_of_size(frames, 0, folder).await
    }

    async fn journal_of_size(frames: u64, bytes: usize, folder: &std::path::Path) -> Journal {
        let (journal, _) = Journal::open(Config::new(folder.to_owned()), crate::clock::now).unwrap();
        let text = "x".repeat(bytes);
        for number in 0..frames {
            let line =
                format!(r#"{{"ts":{},"node":"n","component":"c","event":"e","attrs":{{"t":"{text}"}}}}"#, number + 1);
            let body = wire::lines_to_protobuf(line.as_bytes()).unwrap();
            let entry = Entry {
                kind: Kind::LOGS,
                body: body.into(),
                events: 1,
                refused: bytes::Bytes::new(),
                notes: bytes::Bytes::new(),
            };
            journal.append(entry).await.unwrap();
        }
        journal
    }

    fn times(found: &Found) -> Vec<u64> {
        found.events.iter().map(|event| event.ts.0).collect()
    }

    #[tokio::test]
    async fn a_search_that_looked_at_as_much_as_it_may_says_where_to_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal_of(7, folder.path()).await;
        // The only match is the oldest event: the first pages are empty, and none of them is the last.
        let to = Some(Timestamp(1));
        let mut query = Query { to, limit: 10, ..Query::default() };
        let mut pages = 0;
        let found = loop {
            let found = search_frames(&journal, &query, 3).unwrap();
            pages += 1;
            if !found.events.is_empty() || found.next.is_none() {
                break found;
            }
            query.before = found.next;
        };
        assert_eq!((times(&found), pages), (vec![1], 3));
    }

    #[tokio::test]
    async fn what_is_on_both_sides_of_damage_is_found_and_the_damage_is_told() {
        use std::os::unix::fs::FileExt;
        let folder = tempfile::tempdir().unwrap();
        let journal = journal_of_size(6, 600_000, folder.path()).await;
        let segment = folder.path().join("00000000000000000001.segment");
        let file = std::fs::OpenOptions::new().write(true).open(segment).unwrap();
        file.write_all_at(b"y", 2 * 600_000).unwrap();
        let query = Query { limit: 10, ..Query::default() };
        let found = search_frames(&journal, &query, 100).unwrap();
        let times = times(&found);
        assert!(times.len() == 5 && times[..3] == [6, 5, 4] && times[4] == 1, "{times:?}");
        let [loss] = &found.lost[..] else { panic!("{:?}", found.lost) };
        assert!(loss.damage.file.ends_with("00000000000000000001.segment") && loss.frames.clone().count() == 1);
        assert_eq!(found.next, None);
    }

    #[tokio::test]
    async fn pages_of_a_search_join_without_a_gap_or_a_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal_of(7, folder.path()).await;
        let mut query = Query { limit: 2, ..Query::default() };
        let mut all = Vec::new();
        loop {
            let found = search_frames(&journal, &query, 100).unwrap();
            all.extend(times(&found));
            query.before = found.next;
            if found.next.is_none() {
                break;
            }
        }
        assert_eq!(all, [7, 6, 5, 4, 3, 2, 1]);
    }
}
