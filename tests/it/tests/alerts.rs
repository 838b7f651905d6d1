//! Pages on the wire: a real outbox in a real database, real couriers, and a stand-in that refuses what the real services
//! refuse.
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use event::Timestamp;
use runtime::{clock, courier, pages::Pages};
use serde_json::{Value as Json, json};
use store::{Change, NewViolation, Step, Store};
use testbed::pager::{Call, Mount, Outcome, PagerStandIn, Received, WEBHOOK_SECRET};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::harness::{Home, eventually};

/// How long a page may take before a test says that it does not come.
const PATIENCE: Duration = Duration::from_secs(15);

const PAGERDUTY: &str = "pagerduty";
const SLACK: &str = "slack";
const WEBHOOK: &str = "webhook";

/// An outbox with its planner, and the stand-in.
struct Office {
    store: Store,
    alerts: alert::Config,
    planner: Pages,
    address: SocketAddr,
    calls: Received,
    frame: u64,
    _data: tempfile::TempDir,
}

/// Couriers at work, until dropped or stopped.
struct Couriers {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Couriers {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl Office {
    async fn with(receivers: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(&data.path().join("invar.db")).await.unwrap();
        let (address, calls) = PagerStandIn::start().await.unwrap();
        let receivers: Vec<Json> = receivers
            .iter()
            .map(|name| match *name {
                PAGERDUTY => json!({"name": name, "allow_private": true, "pagerduty":
                    {"routing_key": "0123456789abcdef0123456789abcdef", "url": format!("http://{address}/v2/enqueue")}}),
                SLACK => json!({"name": name, "allow_private": true, "slack": {"url": format!("http://{address}/slack")}}),
                _ => json!({"name": name, "allow_private": true, "webhook":
                    {"url": format!("http://{address}/webhook"), "secret": WEBHOOK_SECRET}}),
            })
            .collect();
        let alerts: alert::Config = serde_json::from_value(json!({ "receivers": receivers })).unwrap();
        assert_eq!(alerts.problems(), Vec::<String>::new());
        let planner = Pages::new(alerts.clone());
        Office { store, alerts, planner, address, calls, frame: 0, _data: data }
    }

    fn couriers(&self) -> Couriers {
        let stop = CancellationToken::new();
        let sender = alert::Sender::new(self.alerts.clone());
        let url = "http://invar.example".to_owned();
        let task = tokio::spawn(courier::deliver(self.store.clone(), sender, url, Arc::new(|_, _| {}), stop.clone()));
        Couriers { stop, task }
    }

    /// What the mount answers next, one after the other.
    async fn script(&self, mount: &str, next: Json) {
        let reply = reqwest::Client::new()
            .post(format!("http://{}/_control", self.address))
            .body(json!({"mount": mount, "next": next}).to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status(), 204, "{}", reply.text().await.unwrap());
    }

    async fn commit(&mut self, change: Change) {
        self.frame += 1;
        let step = Step { frame: self.frame, frontier: clock::now(), now: clock::now(), changes: vec![change] };
        assert!(self.store.commit(&step, &self.planner).await.unwrap());
    }

    /// A violation of that node.
    async fn violate(&mut self, node: &str, message: &str) {
        let violation = NewViolation {
            id: format!("{node}-violation"),
            pack: "p".into(),
            rule: "r".into(),
            kind: "never".into(),
            severity: engine::Severity::Critical,
            node: node.into(),
            group: node.into(),
            key: json!({"node": node}),
            message: message.into(),
            at: Timestamp(1_790_000_000_000_000_000),
            evidence: json!([]),
            level: true,
            revision: 1,
            labels: json!({}),
            ..NewViolation::default()
        };
        self.commit(Change::Violated(Box::new(violation))).await;
    }

    async fn recover(&mut self, node: &str) {
        let at = Timestamp(1_790_000_001_000_000_000);
        self.commit(Change::Resolved { violation: format!("{node}-violation"), at }).await;
    }

    /// The next call, in the order they were answered.
    async fn next(&mut self) -> Call {
        match tokio::time::timeout(PATIENCE, self.calls.next()).await {
            Ok(call) => call.unwrap(),
            Err(_) => panic!("no page came; the outbox holds {:#?}", self.outbox().await),
        }
    }

    async fn outbox(&self) -> Vec<store::DeliveryRow> {
        let mut rows = self.store.deliveries(None, None, 100).await.unwrap();
        rows.reverse();
        rows
    }

    /// Waits until the outbox says so.
    async fn expect_states(&self, expected: &[(&str, &str)]) {
        let mut changes = self.store.watch();
        let started = tokio::time::Instant::now();
        loop {
            let rows = self.outbox().await;
            let states: Vec<(&str, &str)> = rows.iter().map(|row| (row.action.as_str(), row.state.as_str())).collect();
            if states == expected {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "expected {expected:?}, the outbox holds {rows:#?}");
            let _ = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
        }
    }
}

fn action(call: &Call) -> &str {
    call.body["event_action"].as_str().or_else(|| call.body["type"].as_str()).unwrap_or_default()
}

#[tokio::test]
async fn an_incident_pages_and_its_end_resolves_under_the_same_key() {
    let mut office = Office::with(&[PAGERDUTY]).await;
    let couriers = office.couriers();
    office.violate("n1", "n1: a batch was lost").await;
    let trigger = office.next().await;
    assert_eq!((action(&trigger), &trigger.outcome), ("trigger", &Outcome::Triggered));
    assert_eq!(trigger.body["payload"]["summary"], "n1: a batch was lost");
    assert_eq!(trigger.body["payload"]["severity"], "critical");
    office.recover("n1").await;
    let resolve = office.next().await;
    assert_eq!((action(&resolve), &resolve.outcome), ("resolve", &Outcome::Resolved));
    assert_eq!(resolve.key, trigger.key);
    office.expect_states(&[("trigger", "delivered"), ("resolve", "delivered")]).await;
    couriers.stop().await;
}

#[tokio::test]
async fn a_channel_is_told_of_an_incident_and_of_its_end() {
    let mut office = Office::with(&[SLACK]).await;
    // A 200 without an `ok` is no success, and what is refused for good is not tried again.
    office.script(SLACK, json!([{"status": 429, "headers": {"retry-after": "1"}}])).await;
    let couriers = office.couriers();
    office.violate("n1", "<!channel> n1: a batch was lost").await;
    let (throttled, trigger) = (office.next().await, office.next().await);
    assert_eq!([throttled.status, trigger.status], [Some(429), Some(200)]);
    assert_eq!((trigger.mount, &trigger.outcome), (Mount::Slack, &Outcome::Posted));
    let text = trigger.body["text"].as_str().unwrap();
    assert!(text.starts_with("*critical* <http://invar.example/incidents/"), "{text}");
    assert!(text.contains("|&lt;!channel&gt; n1: a batch was lost>") && text.contains("node n1"), "{text}");
    office.recover("n1").await;
    assert!(office.next().await.body["text"].as_str().unwrap().starts_with("*resolved* "));
    office.expect_states(&[("trigger", "delivered"), ("resolve", "delivered")]).await;
    office.script(SLACK, json!([{"status": 200, "body": "invalid_blocks"}])).await;
    office.violate("n2", "lost").await;
    office.next().await;
    office.expect_states(&[("trigger", "delivered"), ("resolve", "delivered"), ("trigger", "failed")]).await;
    couriers.stop().await;
}

#[tokio::test]
async fn a_page_refused_for_now_is_sent_again_when_the_receiver_asks() {
    let mut office = Office::with(&[WEBHOOK]).await;
    office.script(WEBHOOK, json!([{"drop_connection": true}, {"status": 503, "headers": {"retry-after": "1"}}])).await;
    let couriers = office.couriers();
    office.violate("n1", "lost").await;
    let (first, second, third) = (office.next().await, office.next().await, office.next().await);
    // The request had been read when the connection broke: the next try must not look like another message.
    assert_eq!([first.status, second.status, third.status], [None, Some(503), Some(200)]);
    assert_eq!([&second.key, &third.key], [&first.key, &first.key]);
    office.expect_states(&[("trigger", "delivered")]).await;
    let tries = office.store.attempts(office.outbox().await[0].id).await.unwrap();
    assert_eq!(tries.iter().map(|attempt| attempt.status).collect::<Vec<_>>(), [None, Some(503), Some(200)]);
    couriers.stop().await;
}

#[tokio::test]
async fn a_resolve_never_overtakes_its_trigger() {
    let mut office = Office::with(&[PAGERDUTY]).await;
    office.script(PAGERDUTY, json!([{"status": 503, "headers": {"retry-after": "1"}}])).await;
    let couriers = office.couriers();
    office.violate("n1", "lost").await;
    assert_eq!(office.next().await.status, Some(503));
    office.recover("n1").await;
    let (trigger, resolve) = (office.next().await, office.next().await);
    assert_eq!((action(&trigger), &trigger.outcome), ("trigger", &Outcome::Triggered));
    assert_eq!((action(&resolve), &resolve.outcome), ("resolve", &Outcome::Resolved));
    couriers.stop().await;
}

#[tokio::test]
async fn an_incident_that_ends_before_its_page_left_pages_nobody() {
    let mut office = Office::with(&[PAGERDUTY]).await;
    office.violate("n1", "lost").await;
    office.recover("n1").await;
    office.violate("n2", "lost").await;
    let couriers = office.couriers();
    assert_eq!(office.next().await.body["payload"]["source"], "n2");
    office.expect_states(&[("trigger", "superseded"), ("resolve", "superseded"), ("trigger", "delivered")]).await;
    couriers.stop().await;
    assert_eq!(office.calls.all().len(), 1);
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_nobody_else() {
    let mut office = Office::with(&[WEBHOOK, PAGERDUTY]).await;
    office.script(WEBHOOK, json!([{"delay_ms": 10_000}, {"delay_ms": 10_000}])).await;
    let couriers = office.couriers();
    let started = tokio::time::Instant::now();
    office.violate("n1", "lost").await;
    office.violate("n2", "lost").await;
    for _ in 0..2 {
        assert_eq!(office.next().await.mount, Mount::Pagerduty);
    }
    assert!(started.elapsed() < Duration::from_secs(8), "the hanging webhook was waited for");
    couriers.task.abort();
}

#[tokio::test]
async fn a_page_that_was_accepted_and_not_noted_is_sent_again_under_the_same_key() {
    let mut office = Office::with(&[PAGERDUTY, WEBHOOK]).await;
    office.violate("n1", "lost").await;
    // What a process that is killed between the reply and its note leaves behind.
    let sender = alert::Sender::new(office.alerts.clone());
    for receiver in [PAGERDUTY, WEBHOOK] {
        let due = office.store.due_deliveries(receiver, clock::now(), 10).await.unwrap();
        let incident = serde_json::to_value(office.store.incident(&due[0].incident).await.unwrap()).unwrap();
        let message = alert::Message {
            id: &format!("invar_{}_{}", due[0].incident, due[0].id),
            receiver,
            action: alert::Action::Trigger,
            dedup_key: &due[0].dedup_key,
            incident: &incident,
        };
        assert!(sender.send(&message).await.accepted);
        office.next().await;
    }
    let couriers = office.couriers();
    let mut outcomes = [office.next().await, office.next().await];
    outcomes.sort_by_key(|call| call.mount);
    assert_eq!(outcomes.map(|call| call.outcome), [Outcome::Updated, Outcome::Duplicate]);
    couriers.stop().await;
}

#[tokio::test]
async fn what_a_receiver_refuses_for_good_is_given_up_and_kept_in_the_log() {
    let mut office = Office::with(&[PAGERDUTY]).await;
    office.script(PAGERDUTY, json!([{"status": 400, "body": "{\"errors\":[\"routing_key is unknown\"]}"}])).await;
    let couriers = office.couriers();
    office.violate("n1", "lost").await;
    assert_eq!(office.next().await.status, Some(400));
    office.expect_states(&[("trigger", "failed")]).await;
    let row = &office.outbox().await[0];
    assert!(row.last_error.as_deref().unwrap().contains("routing_key is unknown"), "{row:?}");
    couriers.stop().await;
    assert_eq!(office.calls.all().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut office = Office::with(&[WEBHOOK]).await;
    let elsewhere = format!("http://{}/v2/enqueue", office.address);
    office.script(WEBHOOK, json!([{"status": 302, "headers": {"location": elsewhere, "retry-after": "1"}}])).await;
    let couriers = office.couriers();
    office.violate("n1", "lost").await;
    assert_eq!(office.next().await.status, Some(302));
    let again = office.next().await;
    assert_eq!((again.mount, &again.outcome), (Mount::Webhook, &Outcome::Verified));
    couriers.stop().await;
}

#[tokio::test]
async fn hostile_and_endless_text_is_cut_and_still_accepted() {
    let mut office = Office::with(&[PAGERDUTY, WEBHOOK]).await;
    let couriers = office.couriers();
    office.violate("n1", &format!("<script>{}\u{202e}\u{7}", "é".repeat(5_000))).await;
    let mut calls = [office.next().await, office.next().await];
    calls.sort_by_key(|call| call.mount);
    let [pagerduty, webhook] = calls;
    assert_eq!((pagerduty.outcome, webhook.outcome), (Outcome::Triggered, Outcome::Verified));
    let summary = pagerduty.body["payload"]["summary"].as_str().unwrap();
    assert!(summary.chars().count() == 1_024 && summary.ends_with('…'));
    couriers.stop().await;
}

#[tokio::test]
async fn pages_for_a_receiver_that_is_gone_are_given_up_aloud() {
    let mut office = Office::with(&[PAGERDUTY, WEBHOOK]).await;
    office.violate("n1", "lost").await;
    office.alerts.receivers.retain(|receiver| receiver.name == WEBHOOK);
    let couriers = office.couriers();
    assert_eq!(office.next().await.mount, Mount::Webhook);
    office.expect_states(&[("trigger", "failed"), ("trigger", "delivered")]).await;
    couriers.stop().await;
}

#[tokio::test]
async fn a_receiver_inside_the_network_is_refused_unless_it_is_meant() {
    let mut office = Office::with(&[WEBHOOK]).await;
    office.alerts.receivers[0].allow_private = false;
    let couriers = office.couriers();
    office.violate("n1", "lost").await;
    let mut changes = office.store.watch();
    let started = tokio::time::Instant::now();
    loop {
        let row = office.outbox().await.remove(0);
        if let Some(error) = row.last_error {
            assert!(error.contains("allow_private"), "{error}");
            break;
        }
        assert!(started.elapsed() < PATIENCE, "it was not tried");
        let _ = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
    }
    couriers.stop().await;
    assert!(office.calls.all().is_empty());
}

#[tokio::test]
async fn a_storm_of_pages_stays_below_the_receiver_s_limit() {
    let mut office = Office::with(&[PAGERDUTY]).await;
    let changes: Vec<u32> = (0..130).collect();
    for number in changes {
        office.violate(&format!("n{number}"), "lost").await;
    }
    let couriers = office.couriers();
    for _ in 0..100 {
        assert_eq!(office.next().await.outcome, Outcome::Triggered);
    }
    // The stand-in throttles the 121st call of a minute: none came near it.
    let more = tokio::time::timeout(Duration::from_secs(2), office.calls.next()).await;
    assert!(more.is_err(), "a call beyond the budget: {more:?}");
    assert_eq!(office.store.count_deliveries("pending").await.unwrap(), 30);
    couriers.stop().await;
}

/// The dead man's switch is told by the whole product, and by nothing that has stopped.
#[tokio::test]
async fn a_watcher_is_told_that_invar_is_at_work_until_it_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let watcher = tokio::spawn({
        let heard = heard.clone();
        async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4_096];
                let read = stream.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"GET /alive "), "{}", String::from_utf8_lossy(&request[..read]));
                heard.fetch_add(1, Ordering::Relaxed);
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
            }
        }
    });
    let alive = format!("alive:\n  url: http://{address}/alive\n  every_seconds: 1\n  allow_private: true\n");
    let home = Home::new().alerts(&alive);
    let invar = home.start().await;
    let told = eventually(PATIENCE, async || (heard.load(Ordering::Relaxed) >= 3).then_some(())).await;
    assert!(told.is_some(), "{}", invar.log());
    invar.stop().await;
    let last = heard.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(heard.load(Ordering::Relaxed), last);
    watcher.abort();
}
