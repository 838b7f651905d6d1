//! What a silent member owes cannot be known; a silent component of a living node is no excuse.
use std::{fs, time::Duration};

use event::{Event, Identity, Source, Value};
use lang::suite::BEGINNING;

use crate::{own, run};

fn event(seconds: u64, node: &str, component: &str, name: &str, entry: &str) -> Event {
    let ts = BEGINNING.plus(Duration::from_secs(seconds));
    Event {
        name: name.into(),
        identity: Identity(u128::from(seconds) << 32 | u128::from(node.as_bytes()[1]) << 8 | name.len() as u128),
        ts,
        arrived: ts,
        source: Source { network: String::new(), node: node.into(), component: component.into() },
        attrs: vec![("entry".into(), Value::from(entry))],
        ..Event::default()
    }
}

#[test]
fn what_a_silent_member_owes_is_unknown_until_its_node_is_heard() {
    let pack = fs::read_to_string(own().join("members.yaml")).unwrap();
    let mut events = vec![
        event(0, "n1", "cache", "cache.dropped", "x"),
        event(0, "n2", "cache", "cache.dropped", "x"),
        event(10, "n1", "cache", "cache.updated", "a"),
        event(20, "n1", "cache", "heard", ""),
        event(30, "n1", "cache", "heard", ""),
    ];
    let rule = "every-live-cache-drops";
    let judged = |events: &[Event]| {
        let (unknown, found) = run::as_it_comes(&pack, events, &[], rule);
        (unknown, found.len())
    };
    assert_eq!(judged(&events), (1, 0), "unknown and violated while n2 is silent");
    events.push(event(40, "n2", "other", "heard", ""));
    events.push(event(50, "n1", "cache", "heard", ""));
    assert_eq!(judged(&events), (1, 1), "and when another component of it is heard");
}

const FIRST: &str = "
pack: first
rules:
  - id: opened-closes
    key: [node]
    response:
      when: {event: opened}
      then: {event: closed}
      within: 4s
    report: first
";

#[test]
fn what_a_silent_node_left_open_is_the_first_to_be_reported_however_late_it_is_known() {
    let seconds = |at: u64| vec![Duration::from_secs(at)];
    let quiet = [BEGINNING.plus(Duration::from_secs(14))];
    let mut events = vec![
        event(0, "n2", "door", "heard", ""),
        event(1, "n1", "door", "opened", ""),
        event(4, "n1", "door", "opened", ""),
        // Shows that n1 was silent at 5 s; of 8 s nobody knows better when that is judged.
        event(6, "n2", "door", "heard", ""),
        event(20, "n2", "door", "heard", ""),
        event(900, "n2", "door", "heard", ""),
    ];
    assert_eq!(run::as_it_comes(FIRST, &events, &quiet, "opened-closes"), (1, seconds(8)));
    // Long after the time in which late events correct verdicts.
    events.push(event(910, "n1", "door", "heard", ""));
    assert_eq!(run::as_it_comes(FIRST, &events, &quiet, "opened-closes"), (1, seconds(5)));
}
