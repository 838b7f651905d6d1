//! From violations to incidents, and what becomes of them.
use std::time::Duration;

use serde_json::json;
use store::{Change, Filter, Step, Store, StoreError};

use crate::{Desk, Pager, violation};

const MINUTE: Duration = Duration::from_secs(60);

fn retracted(id: &str) -> Change {
    Change::Retracted { violation: id.into() }
}

#[tokio::test]
async fn violations_of_one_rule_and_group_are_one_incident() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    desk.violate("b").await;
    let mut other = violation("c", desk.now);
    (other.group, other.node) = ("n2".into(), "n2".into());
    desk.commit(vec![Change::Violated(Box::new(other))]).await;
    let incidents = desk.incidents().await;
    let cases: Vec<(&str, i64, &str)> =
        incidents.iter().map(|row| (row.group.as_str(), row.count, row.message.as_str())).collect();
    assert_eq!(cases.len(), 2);
    assert!(cases.contains(&("n1", 2, "b is broken")) && cases.contains(&("n2", 1, "c is broken")), "{cases:?}");
    assert_eq!(incidents[0].labels, json!({"team": "consensus"}));
}

#[tokio::test]
async fn a_step_is_applied_once_however_often_it_is_committed() {
    let mut desk = Desk::new().await;
    let change = || Change::Violated(Box::new(violation("a", crate::START)));
    assert!(desk.commit(vec![change()]).await);
    let again = Step { frame: desk.frame, frontier: desk.now, now: desk.now, changes: vec![change(), change()] };
    assert!(!desk.store.commit(&again, &Pager).await.unwrap());
    assert_eq!(desk.only().await, ("open".into(), 1));
    assert_eq!(desk.outbox().await.len(), 1);
    assert_eq!(desk.store.committed_frame().await.unwrap(), 1);
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    desk.store.close().await;
    let path = desk._dir.path().join("invar.db");
    desk.store = Store::open(&path).await.unwrap();
    assert_eq!(desk.only().await, ("open".into(), 1));
    let violation = desk.store.violation("a").await.unwrap();
    assert_eq!(violation.evidence, json!([{"role": "when", "event": "e"}]));
    assert_eq!(violation.missing.unwrap()["event"], "f");
}

#[tokio::test]
async fn more_evidence_changes_the_violation_and_counts_nothing() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    let mut grown = violation("a", desk.now);
    (grown.grown, grown.message) = (true, "a is more broken".into());
    desk.commit(vec![Change::Violated(Box::new(grown))]).await;
    assert_eq!(desk.only().await, ("open".into(), 1));
    assert_eq!(desk.store.violation("a").await.unwrap().message, "a is more broken");
}

#[tokio::test]
async fn late_evidence_moves_a_violation_to_where_it_was_proved_first() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    let earlier = desk.now.minus(MINUTE);
    let mut grown = violation("a", earlier);
    grown.grown = true;
    desk.commit(vec![Change::Violated(Box::new(grown))]).await;
    assert_eq!(desk.store.violation("a").await.unwrap().at, earlier.to_string());
}

#[tokio::test]
async fn a_position_that_went_back_lets_the_frames_behind_it_be_committed() {
    let mut desk = Desk::new().await;
    desk.frame = 90;
    desk.violate("a").await;
    desk.store.rewind(10, desk.now).await.unwrap();
    desk.frame = 10;
    desk.violate("b").await;
    assert_eq!(desk.only().await, ("open".into(), 2));
    assert_eq!(desk.store.committed_frame().await.unwrap(), 11);
}

#[tokio::test]
async fn an_incident_whose_violations_never_were_is_retracted_and_its_page_resolved() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    desk.violate("b").await;
    desk.commit(vec![retracted("a")]).await;
    assert_eq!(desk.only().await, ("open".into(), 1));
    desk.commit(vec![retracted("b"), retracted("b")]).await;
    assert_eq!(desk.only().await, ("retracted".into(), 0));
    assert_eq!(desk.store.violation("b").await.unwrap().state, "retracted");
}

/// The violation `a`, said again with more evidence.
fn again(desk: &Desk) -> Change {
    let mut again = violation("a", desk.now);
    again.grown = true;
    Change::Violated(Box::new(again))
}

fn actions(outbox: Vec<(String, String)>) -> Vec<String> {
    outbox.into_iter().map(|(action, _)| action).collect()
}

#[tokio::test]
async fn what_never_was_and_is_found_again_reopens_its_incident_and_pages() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    desk.commit(vec![retracted("a")]).await;
    assert_eq!(desk.only().await, ("retracted".into(), 0));
    desk.violate("a").await;
    assert_eq!(desk.only().await, ("open".into(), 1));
    assert_eq!(desk.store.violation("a").await.unwrap().state, "violated");
    assert_eq!(actions(desk.outbox().await), ["trigger", "resolve", "trigger"]);
    let id = desk.incidents().await[0].id.clone();
    let history: Vec<String> = desk.store.history(&id).await.unwrap().into_iter().map(|entry| entry.what).collect();
    assert_eq!(history, ["opened", "retracted", "reopened"]);
    // It stands again, so that its end ends the incident.
    desk.commit(vec![retracted("a")]).await;
    assert_eq!(desk.only().await, ("retracted".into(), 0));
}

#[tokio::test]
async fn a_level_that_had_not_recovered_after_all_reopens_its_incident_and_stands() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    let resolved = |at| Change::Resolved { violation: "a".into(), at };
    desk.commit(vec![resolved(desk.now)]).await;
    assert_eq!(desk.only().await, ("resolved".into(), 1));
    desk.commit(vec![again(&desk)]).await;
    assert_eq!(desk.only().await, ("open".into(), 1), "it was counted already");
    assert_eq!(desk.store.violation("a").await.unwrap().late, None, "the recovery is taken back");
    assert_eq!(actions(desk.outbox().await), ["trigger", "resolve", "trigger"]);
    desk.violate("b").await;
    desk.commit(vec![retracted("b")]).await;
    assert_eq!(desk.only().await, ("open".into(), 1), "`a` stands still");
    desk.commit(vec![resolved(desk.now)]).await;
    assert_eq!(desk.only().await, ("resolved".into(), 1));
}

#[tokio::test]
async fn what_is_found_again_while_its_incident_is_open_stands_and_pages_nobody_anew() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    desk.violate("b").await;
    desk.commit(vec![retracted("a")]).await;
    desk.violate("a").await;
    assert_eq!(desk.only().await, ("open".into(), 2));
    desk.commit(vec![retracted("b")]).await;
    assert_eq!(desk.only().await, ("open".into(), 1), "`a` stands");
    assert_eq!(actions(desk.outbox().await), ["trigger"]);
}

#[tokio::test]
async fn more_evidence_of_what_stands_counts_nothing_and_reopens_nothing() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    desk.commit(vec![again(&desk), again(&desk)]).await;
    assert_eq!(desk.only().await, ("open".into(), 1));
    // One end is enough: it stood once.
    desk.commit(vec![retracted("a")]).await;
    assert_eq!(desk.only().await, ("retracted".into(), 0));
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    let id = desk.incidents().await[0].id.clone();
    desk.store.act(&id, "resolve", "ann", "", desk.now, &Pager).await.unwrap();
    desk.commit(vec![again(&desk)]).await;
    assert_eq!(desk.only().await, ("resolved".into(), 1), "a person has closed it");
}

#[tokio::test]
async fn better_evidence_of_what_is_over_pages_nobody() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    let event = json!({"event": "f"});
    let late = || Change::LateResolved { violation: "a".into(), event: event.clone() };
    desk.commit(vec![late()]).await;
    // A correction says both again: what was violated, and that it was answered late.
    desk.commit(vec![again(&desk), late()]).await;
    assert_eq!(desk.only().await, ("late_resolved".into(), 1));
    let violation = desk.store.violation("a").await.unwrap();
    assert_eq!((violation.state.as_str(), violation.late), ("late", Some(event.clone())));
    assert_eq!(actions(desk.outbox().await), ["trigger", "resolve"]);
}

#[tokio::test]
async fn an_answer_that_came_late_makes_the_incident_late_resolved() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    let event = json!({"event": "f", "ts": "2026-09-21T14:13:29Z"});
    desk.commit(vec![Change::LateResolved { violation: "a".into(), event: event.clone() }]).await;
    assert_eq!(desk.only().await, ("late_resolved".into(), 1));
    assert_eq!(desk.store.violation("a").await.unwrap().late, Some(event));
}

#[tokio::test]
async fn a_point_resolves_after_it_has_rested_and_a_level_only_when_it_recovers() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    let mut level = violation("l", desk.now);
    (level.level, level.rule) = (true, "gauge".into());
    desk.commit(vec![Change::Violated(Box::new(level))]).await;
    desk.pass(15 * MINUTE);
    desk.commit(vec![]).await;
    assert!(desk.incidents().await.iter().all(|row| row.status == "open"), "exactly fifteen minutes are no rest");
    desk.pass(Duration::from_nanos(1));
    desk.commit(vec![]).await;
    let status = |rows: Vec<store::IncidentRow>, rule: &str| {
        rows.into_iter().find(|row| row.rule == rule).map(|row| row.status).unwrap()
    };
    assert_eq!(status(desk.incidents().await, "r"), "resolved");
    assert_eq!(status(desk.incidents().await, "gauge"), "open");
    desk.commit(vec![Change::Resolved { violation: "l".into(), at: desk.now }]).await;
    assert_eq!(status(desk.incidents().await, "gauge"), "resolved");
}

#[tokio::test]
async fn what_returns_within_a_day_is_the_same_incident_and_later_another() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    desk.pass(16 * MINUTE);
    desk.commit(vec![]).await;
    assert_eq!(desk.only().await.0, "resolved");
    desk.violate("b").await;
    assert_eq!(desk.only().await, ("open".into(), 2));
    desk.pass(16 * MINUTE);
    desk.commit(vec![]).await;
    desk.pass(25 * 60 * MINUTE);
    desk.violate("c").await;
    assert_eq!(desk.incidents().await.len(), 2);
}

#[tokio::test]
async fn people_acknowledge_resolve_reopen_and_comment() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    let id = desk.incidents().await[0].id.clone();
    for (what, status) in
        [("acknowledge", "acknowledged"), ("comment", "acknowledged"), ("resolve", "resolved"), ("reopen", "open")]
    {
        let after = desk.store.act(&id, what, "ann", "because", desk.now, &Pager).await.unwrap();
        assert_eq!(after.status, status, "{what}");
    }
    let history: Vec<(String, String)> =
        desk.store.history(&id).await.unwrap().into_iter().map(|entry| (entry.what, entry.who)).collect();
    let expected = ["opened", "acknowledge", "comment", "resolve", "reopen"];
    assert_eq!(history.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>(), expected);
    assert!(history[1..].iter().all(|(_, who)| who == "ann"));
    let missing = desk.store.act("none", "comment", "ann", "", desk.now, &Pager).await;
    assert!(matches!(missing, Err(StoreError::NotFound)), "{missing:?}");
}

#[tokio::test]
async fn a_storm_is_one_incident_with_a_count_and_a_bounded_sample() {
    let mut desk = Desk::new().await;
    let changes = (0..5_000).map(|n| Change::Violated(Box::new(violation(&format!("v{n}"), desk.now)))).collect();
    desk.commit(changes).await;
    assert_eq!(desk.only().await, ("open".into(), 5_000));
    let id = desk.incidents().await[0].id.clone();
    let (kept, _) = desk.store.violations(&id, None, 1_000).await.unwrap();
    assert!((100..120).contains(&kept.len()), "{} are kept", kept.len());
    assert_eq!(desk.outbox().await.len(), 1);
}

/// What comes in one step leaves what it leaves in as many steps, however much of it is counted together.
#[tokio::test]
async fn a_step_leaves_what_its_changes_leave_one_by_one() {
    let mut chance = 7_u64;
    let mut draw = |below: u64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % below
    };
    let mut changes = Vec::new();
    for number in 0..1_200 {
        let earlier = format!("v{}", draw(number + 1));
        changes.push(match draw(60) {
            0 => Change::Retracted { violation: earlier },
            1 => Change::Resolved { violation: earlier, at: crate::START },
            2 => Change::Violated(Box::new(violation(&earlier, crate::START))),
            other => {
                let mut new = violation(&format!("v{number}"), crate::START);
                if other % 5 == 0 {
                    (new.group, new.node) = ("n2".into(), "n2".into());
                }
                if other == 59 {
                    new.severity = engine::Severity::Critical;
                }
                Change::Violated(Box::new(new))
            }
        });
    }
    let (mut at_once, mut singly) = (Desk::new().await, Desk::new().await);
    at_once.commit(changes.clone()).await;
    for change in changes {
        singly.commit(vec![change]).await;
    }
    let (one, other) = (at_once.incidents().await, singly.incidents().await);
    assert_eq!(json!(one), json!(other));
    assert!(one.iter().any(|incident| incident.count > 500), "a storm was among them");
    for incident in one {
        let (kept, _) = at_once.store.violations(&incident.id, None, 1_000).await.unwrap();
        let (also, _) = singly.store.violations(&incident.id, None, 1_000).await.unwrap();
        assert_eq!(json!(kept), json!(also));
    }
}

#[tokio::test]
async fn an_incident_ends_with_the_latest_violation_that_was() {
    let mut desk = Desk::new().await;
    let mut times = Vec::new();
    for id in ["a", "b", "c"] {
        times.push(desk.now.to_string());
        desk.violate(id).await;
        desk.pass(MINUTE);
    }
    let last_at = async |desk: &Desk| desk.incidents().await[0].last_at.clone();
    assert_eq!(last_at(&desk).await, times[2]);
    // One in the middle changes nothing; what recovered was all the same.
    desk.commit(vec![retracted("b")]).await;
    assert_eq!(last_at(&desk).await, times[2]);
    desk.commit(vec![Change::Resolved { violation: "a".into(), at: desk.now }]).await;
    desk.commit(vec![retracted("c")]).await;
    assert_eq!(last_at(&desk).await, times[0]);
    // It is found again.
    let again = violation("c", crate::START.plus(2 * MINUTE));
    desk.commit(vec![Change::Violated(Box::new(again))]).await;
    assert_eq!(last_at(&desk).await, times[2]);
    // None is left: it stays what it was.
    for id in ["c", "a"] {
        desk.commit(vec![retracted(id)]).await;
    }
    assert!(times.contains(&last_at(&desk).await));
}

#[tokio::test]
async fn the_latest_of_a_storm_stays_where_not_all_are_kept() {
    let mut desk = Desk::new().await;
    let mut changes = Vec::new();
    for number in 0..2_000 {
        changes.push(Change::Violated(Box::new(violation(&format!("v{number}"), desk.now.plus(number * MINUTE / 60)))));
    }
    desk.commit(changes).await;
    let last = desk.now.plus(1_999 * MINUTE / 60).to_string();
    desk.commit(vec![retracted("v0")]).await;
    assert_eq!(desk.incidents().await[0].last_at, last);
}

#[tokio::test]
async fn filters_and_cursors_find_every_incident_once() {
    let mut desk = Desk::new().await;
    for number in 0..25 {
        let mut violation = violation(&format!("v{number}"), desk.now);
        (violation.group, violation.node) = (format!("n{number}"), format!("n{number}"));
        violation.message = format!("100% of batch_{number} is lost");
        desk.commit(vec![Change::Violated(Box::new(violation))]).await;
    }
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let (rows, next) = desk.store.incidents(&Filter::default(), cursor.as_deref(), 10).await.unwrap();
        seen.extend(rows.into_iter().map(|row| row.group));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let whole: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), whole.len()), (25, 25));
    let found = |filter: Filter| {
        let store = desk.store.clone();
        async move { store.incidents(&filter, None, 100).await.unwrap().0.len() }
    };
    assert_eq!(found(Filter { node: Some("n7".into()), ..Filter::default() }).await, 1);
    // `%` and `_` are text, not wildcards.
    assert_eq!(found(Filter { q: Some("100% of batch_7 ".into()), ..Filter::default() }).await, 1);
    assert_eq!(found(Filter { q: Some("batch%7".into()), ..Filter::default() }).await, 0);
    assert_eq!(found(Filter { severity: Some("low".into()), ..Filter::default() }).await, 0);
    assert_eq!(found(Filter { status: Some("open".into()), ..Filter::default() }).await, 25);
}
