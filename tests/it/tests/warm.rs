//! Rules that take force while Invar runs know what came before them, and page nobody for it.
use std::{fs, time::Duration};

use serde_json::{Value as Json, json};
use testbed::pager::Mount;

use crate::harness::{Home, Invar, Line, Pager, eventually, now_ms};

const BEFORE: &str = "pack: watched\nrules:\n  - id: nothing-odd\n    key: [node]\n    never: job.odd\n";

const AFTER: &str = "\
pack: watched
rules:
  - id: done-was-allowed
    ref: ALLOWED
    key: [node, job]
    precedence:
      event: job.done
      requires:
        all: [job.allowed]
      within: 1m
  - id: asked-is-answered
    ref: ANSWERED
    key: [node, job]
    response:
      when: job.asked
      then: job.answered
      within: 12s
  - id: nothing-lost
    ref: LOST
    key: [node, job]
    never: job.lost
";

fn job(node: &str, event: &str, job: u64) -> Line {
    Line::new(node, "worker", event, json!({ "job": job }))
}

async fn rules(invar: &Invar, count: usize) {
    let seen = eventually(Duration::from_secs(15), async || {
        (invar.api.items("/api/v1/rules").await.len() == count).then_some(())
    });
    assert!(seen.await.is_some(), "{count} rules never were in force\n{}", invar.log());
}

#[tokio::test]
async fn new_rules_know_what_came_before_them_and_page_nobody_for_it() {
    let pager = Pager::start().await;
    let home = Home::new().pack("watched.yaml", BEFORE).alerts(&pager.alerts());
    let invar = home.start().await;
    let begun = now_ms();
    // Long known, so that nothing is unknown for want of a beginning.
    invar.send(&[job("n1", "job.idle", 0).at(begun - 9_000), job("n2", "job.idle", 0).at(begun - 9_000)]).await;
    invar.send(&[job("n1", "job.allowed", 1), job("n1", "job.asked", 2), job("n1", "job.lost", 3)]).await;
    invar.judged_past(begun + 500).await;

    fs::write(home.rules().join("watched.yaml"), AFTER).unwrap();
    rules(&invar, 3).await;
    // Found in the past: seen, and nobody is woken.
    let lost = invar.expect_incident("LOST", "n1").await;
    assert_eq!((&lost["backfilled"], &lost["count"]), (&json!(true), &json!(1)));
    // What it needed came before the rule did; the other one never had it.
    invar.send(&[job("n1", "job.done", 1), job("n2", "job.done", 4)]).await;
    let done = invar.expect_incident("ALLOWED", "n2").await;
    assert_eq!(done["backfilled"], json!(false));
    pager.expect_calls(&invar, done["id"].as_str().unwrap(), Mount::Pagerduty, 1).await;
    // It was asked before the rule came, and is due after.
    let unanswered = invar.expect_incident("ANSWERED", "n1").await;
    assert_eq!(unanswered["backfilled"], json!(false));
    let found: Vec<(String, String)> = invar.incidents().await;
    let expected = [("ALLOWED", "n2"), ("ANSWERED", "n1"), ("LOST", "n1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(found, expected, "{}", invar.log());
    assert_eq!(pager.about(lost["id"].as_str().unwrap(), Mount::Pagerduty).len(), 0, "the past woke somebody");

    // It happens again: now somebody must know.
    invar.send(&[job("n1", "job.lost", 5)]).await;
    pager.expect_calls(&invar, lost["id"].as_str().unwrap(), Mount::Pagerduty, 1).await;
    let again: Json = invar.expect_incident("LOST", "n1").await;
    assert_eq!((&again["id"], &again["backfilled"], &again["count"]), (&lost["id"], &json!(false), &json!(2)));
    assert!(!invar.said("panicked"), "{}", invar.log());
    invar.stop().await;
}
