//! Messages to receivers, and the changes that live streams follow.
use event::Timestamp;
use store::{Change, Outcome};

use crate::{Desk, START};

fn resolved(id: &str) -> Change {
    Change::Resolved { violation: id.into(), at: START }
}

async fn due(desk: &Desk) -> Vec<i64> {
    let due = desk.store.due_deliveries("pager", desk.now, 10).await.unwrap();
    due.into_iter().map(|delivery| delivery.id).collect()
}

#[tokio::test]
async fn of_one_key_only_the_oldest_message_is_due() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    let trigger = due(&desk).await;
    assert!(desk.store.delivery_begins(trigger[0]).await.unwrap());
    desk.commit(vec![resolved("a")]).await;
    assert_eq!(due(&desk).await, trigger);
    desk.store.delivery_attempted(trigger[0], &Outcome::Delivered, Some(202), None, 5, desk.now).await.unwrap();
    assert_eq!(due(&desk).await, [trigger[0] + 1]);
}

#[tokio::test]
async fn a_message_that_was_never_tried_is_taken_back_with_its_incident() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    let trigger = due(&desk).await[0];
    desk.commit(vec![resolved("a")]).await;
    assert!(!desk.store.delivery_begins(trigger).await.unwrap(), "it must not leave any more");
    let states: Vec<String> = desk.outbox().await.into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, ["superseded", "superseded"]);
}

#[tokio::test]
async fn a_failed_try_comes_again_when_it_is_due_and_not_before() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    let id = due(&desk).await[0];
    let later = Timestamp(desk.now.0 + 30_000_000_000);
    assert!(desk.store.delivery_begins(id).await.unwrap());
    let refused = Some("HTTP 503");
    desk.store.delivery_attempted(id, &Outcome::Retry(later), Some(503), refused, 9, desk.now).await.unwrap();
    assert_eq!(due(&desk).await, Vec::<i64>::new());
    desk.now = later;
    assert_eq!(due(&desk).await, [id]);
    let row = &desk.store.deliveries(None, None, 1).await.unwrap()[0];
    assert_eq!((row.attempts, row.last_status, row.last_error.as_deref()), (1, Some(503), refused));
    assert_eq!(desk.store.attempts(id).await.unwrap()[0].latency_ms, 9);
}

#[tokio::test]
async fn only_messages_of_receivers_that_are_gone_are_abandoned() {
    let mut desk = Desk::new().await;
    desk.violate("a").await;
    assert_eq!(desk.store.abandon_deliveries(&["pager", "other"]).await.unwrap(), 0);
    assert_eq!(desk.store.abandon_deliveries(&["other"]).await.unwrap(), 1);
    assert_eq!(desk.store.count_deliveries("failed").await.unwrap(), 1);
}

#[tokio::test]
async fn changes_are_numbered_without_a_gap_and_watchers_wake() {
    let mut desk = Desk::new().await;
    let mut watch = desk.store.watch();
    let before = *watch.borrow_and_update();
    desk.violate("a").await;
    desk.violate("b").await;
    assert!(watch.has_changed().unwrap());
    let changes = desk.store.changes_since(before, 100).await.unwrap();
    let numbers: Vec<i64> = changes.iter().map(|(id, _, _)| *id).collect();
    assert_eq!(numbers, (before + 1..=before + changes.len() as i64).collect::<Vec<_>>());
    assert!(changes.iter().all(|(_, topic, _)| topic == "incident" || topic == "delivery"), "{changes:?}");
}

#[tokio::test]
async fn old_changes_are_dropped_and_whoever_missed_them_can_tell() {
    let mut desk = Desk::new().await;
    let start = *desk.store.watch().borrow();
    desk.violate("a").await;
    assert!(!desk.store.has_dropped_changes_since(start).await.unwrap());
    let mut last = start;
    for number in 0.. {
        let name = format!("breaker-{number}");
        desk.commit((0..2_000).map(|_| Change::Breaker(breaker(&name))).collect()).await;
        last = *desk.store.watch().borrow();
        if last > 70_000 {
            break;
        }
    }
    assert!(desk.store.has_dropped_changes_since(start).await.unwrap());
    assert!(!desk.store.has_dropped_changes_since(last - 60_000).await.unwrap());
    let kept = desk.store.changes_since(start, 100_000).await.unwrap();
    assert!((65_536..68_000).contains(&kept.len()), "{} are kept", kept.len());
    assert_eq!(kept.last().unwrap().0, last);
}

fn breaker(id: &str) -> store::BreakerUpdate {
    store::BreakerUpdate {
        pack: "p".into(),
        id: id.into(),
        network: String::new(),
        scope: serde_json::json!({}),
        state: "open".into(),
        enforcing: false,
        since: "2026-01-01T00:00:00Z".into(),
        reason: "rule".into(),
        by: String::new(),
        until: None,
    }
}
