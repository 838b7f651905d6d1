//! A byte of a middle segment that a disk has changed: what follows it is judged, and what may have been in it is unknown.
use std::collections::BTreeSet;

use journal::{Disk, ReadError, Verify};
use serde_json::{Value as Json, json};
use store::Filter;
use tokio_util::sync::CancellationToken;

use super::{
    machine::{Life, Machine},
    runtime,
    script::BEGINNING,
    sender::Request,
};
use crate::harness::Line;

/// Journals these events, and nothing else meanwhile.
async fn journaled(machine: &Machine, life: &mut Life, lines: Vec<Line>) {
    machine.set_clock(lines[0].ms + 50);
    let answer = life.journal.append(Request::new(lines).entry());
    assert!(life.writer.write());
    answer.await.unwrap();
}

/// Where a segment holds that text.
fn place_of(machine: &Machine, text: &str) -> (String, usize) {
    for name in machine.journal.names().into_iter().filter(|name| name.ends_with(".segment")) {
        let file = machine.journal.open(&name).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        if let Some(at) = bytes.windows(text.len()).position(|window| window == text.as_bytes()) {
            return (name, at);
        }
    }
    panic!("no segment holds {text}");
}

/// The violations that stand, by rule and job, and how many frames were lost.
async fn judged(damaged: &[&str]) -> (BTreeSet<(String, String)>, u64) {
    let machine = Machine::new(7).await;
    machine.set_clock(BEGINNING);
    let mut life = machine.start(0, Verify::Tail).await.unwrap();
    for second in 0..60 {
        let says = |event: &str, attrs: Json| Line::new("n0", "worker", event, attrs).at(BEGINNING + second * 1_000);
        let mut lines = vec![says("beat", json!({ "text": "x".repeat(20_000) }))];
        match second {
            10 => lines.push(says("job.begun", json!({ "id": 1 }))),
            11 => lines.push(says("job.done", json!({ "id": 1, "text": "the end of the first" }))),
            30 => lines.push(says("job.begun", json!({ "id": 2 }))),
            45 => lines.push(says("job.bad", json!({ "id": 3, "text": "the bad one" }))),
            _ => {}
        }
        journaled(&machine, &mut life, lines).await;
    }
    for text in damaged {
        let (file, at) = place_of(&machine, text);
        machine.journal.flip(&file, at);
    }
    loop {
        match life.reader.try_next() {
            Ok(Some(frame)) => life.checker.take(&frame),
            Ok(None) => break,
            Err(ReadError::Lost(loss)) => life.checker.pass(&mut life.reader, &loss),
            Err(error) => panic!("{error}"),
        }
    }
    let once = CancellationToken::new();
    once.cancel();
    life.checker.commit(&once).await;
    let mut found = BTreeSet::new();
    for incident in machine.store.incidents(&Filter::default(), None, 100).await.unwrap().0 {
        for violation in machine.store.violations(&incident.id, None, 100).await.unwrap().0 {
            found.insert((incident.rule.clone(), violation.key["id"].to_string()));
        }
    }
    let lost = life.checker.shared().status.read().unwrap().lost_frames;
    (found, lost)
}

fn broken(rules: &[(&str, u64)]) -> BTreeSet<(String, String)> {
    rules.iter().map(|(rule, id)| ((*rule).to_owned(), id.to_string())).collect()
}

#[test]
fn what_follows_a_damaged_frame_is_judged_and_what_it_may_have_held_is_unknown() {
    runtime().block_on(async {
        let all = broken(&[("jobs-end", 2), ("nothing-bad", 3)]);
        assert_eq!(judged(&[]).await, (all.clone(), 0));
        // The answer that is lost may have come: nobody is told that it did not.
        assert_eq!(judged(&["the end of the first"]).await, (all, 1));
        // What was lost itself is found by nobody; the count says that something was.
        assert_eq!(judged(&["the bad one", "the end of the first"]).await, (broken(&[("jobs-end", 2)]), 2));
    });
}
