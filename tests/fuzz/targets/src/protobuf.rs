//! OTLP protobuf: the borrowed check and walk against `prost`.

use std::collections::BTreeSet;

use event::{Event, Position, Timestamp};
use wire::{Census, Digested, Fault, Limits, Occurrences, Refused, Scratch, Signal};

use crate::oracle;

/// `prost` reads a hundred nested messages. A list inside a list is two, a map inside a map three, and a value stands five
/// deep in its request.
const DEPTH_OF_PROST: u32 = 30;

const ARRIVED: Timestamp = Timestamp(1_795_176_000_000_000_000);

/// Any bytes, as a request of either signal: both readers take them and find the same events, or both refuse them.
///
/// # Panics
/// When they differ.
pub fn otlp_protobuf(data: &[u8]) {
    for signal in [Signal::Logs, Signal::Traces] {
        agree(signal, data);
    }
}

fn agree(signal: Signal, body: &[u8]) {
    let limits = Limits { depth: DEPTH_OF_PROST, ..Limits::default() };
    // What was kept may be damaged on disk: the walk meets bytes that no check has seen.
    let _ = wire::walk(signal, body, &Refused::default(), &mut Scratch::default(), |record| {
        let _ = record.to_event(ARRIVED, Position::default());
    });
    let checked = wire::check(signal, body, &limits);
    let noted = wire::check_and_digest(signal, body, &limits, &mut Occurrences::default());
    match (&checked, noted) {
        (Ok(census), Ok((again, digest))) => {
            assert_eq!(*census, again);
            noted_as_walked(signal, body, census, &digest.into_bytes());
        }
        (checked, noted) => assert_eq!(checked.as_ref().err(), noted.err().as_ref()),
    }
    match (checked, oracle::events(signal, body, ARRIVED)) {
        (Ok(census), Ok(theirs)) => {
            let ours = walked(signal, body, &census);
            assert_eq!(census.events as usize, ours.len());
            let theirs: Vec<Event> =
                theirs.into_iter().filter(|event| !census.refused.contains(event.position.record)).collect();
            equal(&ours, &theirs);
            distinct(&ours);
        }
        (Ok(_), Err(error)) => panic!("{signal:?}: taken, yet prost says: {error}"),
        (Err(malformed), Ok(_)) => {
            // The deliberate differences: groups, values that come twice, and bounds.
            let narrower =
                matches!(malformed.fault, Fault::WireType(3) | Fault::Twice(_) | Fault::TooDeep | Fault::TooMany);
            assert!(narrower, "{signal:?}: refused, yet prost takes it: {malformed}");
            assert!(malformed.offset <= body.len());
        }
        (Err(malformed), Err(_)) => assert!(malformed.offset <= body.len()),
    }
}

/// What was noted of a request while it was checked is what a walk of the same bytes sees.
fn noted_as_walked(signal: Signal, body: &[u8], census: &Census, notes: &[u8]) {
    let Some(digest) = Digested::read(notes, body) else {
        assert!(notes.is_empty(), "there are notes, and they cannot be read");
        return;
    };
    let mut noted = 0;
    let mut occurrences = Occurrences::default();
    let outcome = wire::walk(signal, body, &census.refused, &mut Scratch::default(), |record| {
        let Some(note) = digest.record(record.index()) else { panic!("record {} is not noted", record.index()) };
        let source = digest.sources[note.source];
        noted += 1;
        assert_eq!(note.identity, record.identity(&mut occurrences));
        assert_eq!(digest.names[note.name], record.name());
        assert_eq!(
            [source.network, source.node, source.component],
            [record.network(), record.node(), record.component()]
        );
        assert_eq!(note.ts(ARRIVED), record.ts(ARRIVED));
        for name in ["process.pid", "service.name", "k", ""] {
            assert_eq!(format!("{:?}", source.resource_attr(name)), format!("{:?}", record.resource_attr(name)));
            assert!(record.attr(name).is_none() || digest.may_have(name));
        }
    });
    assert_eq!(outcome, Ok(()), "checked, and then not readable");
    assert_eq!(digest.identities().count(), noted);
    assert_eq!(digest.len(), noted + census.refused.len());
}

/// The events of a checked request, with their identities.
///
/// # Panics
/// When the walk fails on what the check let pass.
pub fn walked(signal: Signal, body: &[u8], census: &Census) -> Vec<Event> {
    let mut events = Vec::new();
    let mut occurrences = Occurrences::default();
    let outcome = wire::walk(signal, body, &census.refused, &mut Scratch::default(), |record| {
        let position = Position { record: record.index(), ..Position::default() };
        let mut event = record.to_event(ARRIVED, position);
        event.identity = record.identity(&mut occurrences);
        events.push(event);
    });
    assert_eq!(outcome, Ok(()), "checked, and then not readable");
    events
}

/// Equal but for identities. Not-a-number equals itself here, and the two zeros differ.
pub(crate) fn equal(ours: &[Event], theirs: &[Event]) {
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        let theirs = Event { identity: ours.identity, ..theirs.clone() };
        if *ours != theirs {
            assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        }
    }
}

/// Within one request, all identities differ, unless the sender names the same uid twice.
fn distinct(events: &[Event]) {
    let mut seen = BTreeSet::new();
    for event in events {
        let named = event.attr("log.record.uid").and_then(event::Value::as_str).is_some();
        assert!(seen.insert(event.identity) || named, "two events of one identity: {event:?}");
    }
}
