//! The stand-in over HTTP: what senders meet.

use std::{net::SocketAddr, time::SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

struct Sender {
    address: SocketAddr,
    client: reqwest::Client,
}

impl Sender {
    async fn start() -> (Sender, Received) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (address, received) = PagerStandIn::start().await.unwrap();
        (Sender { address, client: reqwest::Client::new() }, received)
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("http://{}{path}", self.address))
    }

    async fn enqueue(&self, event: Value) -> (u16, Value) {
        let response = self.post("/v2/enqueue").json(&event).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn control(&self, control: Value) -> u16 {
        self.post("/_control").json(&control).send().await.unwrap().status().as_u16()
    }

    async fn webhook(&self, id: &str, body: &str) -> reqwest::Result<reqwest::Response> {
        let timestamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
        let secret = STANDARD.decode(WEBHOOK_SECRET.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.post("/webhook")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body.to_owned())
            .send()
            .await
    }
}

fn trigger(dedup_key: &str) -> Value {
    json!({"routing_key": KEY, "event_action": "trigger", "dedup_key": dedup_key,
           "payload": {"summary": "height 100", "source": "n1", "severity": "critical"}})
}

fn act(action: &str, routing_key: &str, dedup_key: &str) -> Value {
    json!({"routing_key": routing_key, "event_action": action, "dedup_key": dedup_key})
}

#[tokio::test]
async fn invalid_events_are_refused_with_every_reason() {
    let (sender, _received) = Sender::start().await;
    let change = |path: &[&str], value: Value| {
        let mut event = trigger("k");
        let mut place = &mut event;
        for part in path {
            place = &mut place[*part];
        }
        *place = value;
        event
    };
    let cases = [
        (change(&["routing_key"], json!("short")), "routing_key"),
        (change(&["routing_key"], Value::Null), "routing_key"),
        (change(&["event_action"], json!("ack")), "event_action"),
        (change(&["payload", "summary"], Value::Null), "payload.summary"),
        (change(&["payload", "summary"], json!("é".repeat(1025))), "1024"),
        (change(&["payload", "source"], json!("")), "payload.source"),
        (change(&["payload", "severity"], json!("high")), "payload.severity"),
        (change(&["dedup_key"], json!("k".repeat(256))), "255"),
        (act("resolve", KEY, ""), "dedup_key"),
        (json!([1]), "object"),
    ];
    for (event, names) in cases {
        let (status, body) = sender.enqueue(event).await;
        let errors = body["errors"].as_array().unwrap();
        assert_eq!((status, errors.len()), (400, 1), "{names}: {body}");
        assert!(errors[0].as_str().unwrap().contains(names), "{names}: {body}");
    }
    let (_, body) = sender.enqueue(json!({})).await;
    assert_eq!(body["errors"].as_array().unwrap().len(), 2, "{body}");
    assert_eq!(sender.enqueue(change(&["payload", "summary"], json!("é".repeat(1024)))).await.0, 202);
    assert_eq!(sender.post("/v2/enqueue").body("{").send().await.unwrap().status(), 400);
    let big = change(&["payload", "custom_details"], json!({"evidence": "x".repeat(512_000)}));
    assert_eq!(sender.enqueue(big).await.0, 413);
}

#[tokio::test]
async fn acknowledge_and_resolve_without_an_open_alert_are_accepted_and_dropped() {
    let (sender, received) = Sender::start().await;
    let other = "f".repeat(32);
    let calls = [
        act("resolve", KEY, "a"),
        trigger("a"),
        trigger("a"),
        act("acknowledge", &other, "a"),
        act("acknowledge", KEY, "a"),
        act("resolve", KEY, "a"),
        act("resolve", KEY, "a"),
        trigger("a"),
    ];
    for call in calls {
        let (status, body) = sender.enqueue(call).await;
        assert_eq!((status, body["dedup_key"].as_str()), (202, Some("a")));
    }
    let outcomes: Vec<Outcome> = received.all().into_iter().map(|call| call.outcome).collect();
    assert!(matches!(outcomes[0], Outcome::Dropped { .. }) && matches!(outcomes[3], Outcome::Dropped { .. }));
    assert!(matches!(outcomes[6], Outcome::Dropped { .. }));
    let rest = [1, 2, 4, 5, 7].map(|index: usize| outcomes[index].clone());
    let expected = [Outcome::Triggered, Outcome::Updated, Outcome::Acknowledged, Outcome::Resolved, Outcome::Triggered];
    assert_eq!(rest, expected);
}

#[tokio::test]
async fn call_over_120_a_minute_is_throttled_and_not_ingested() {
    let (sender, received) = Sender::start().await;
    for index in 0..120 {
        assert_eq!(sender.enqueue(trigger(&format!("k{index}"))).await.0, 202);
    }
    assert_eq!(sender.enqueue(trigger("late")).await.0, 429);
    assert_eq!(received.all().last().unwrap().outcome, Outcome::Throttled);
    let other = "f".repeat(32);
    assert_eq!(sender.enqueue(act("resolve", &other, "late")).await.0, 202, "another key has its own minute");
}

#[tokio::test]
async fn window_of_the_rate_rolls() {
    let mut desk = pagerduty::Desk::default();
    let start = tokio::time::Instant::now();
    let call = |desk: &mut pagerduty::Desk, at_s: u64| {
        let event = serde_json::to_vec(&trigger("k")).unwrap();
        desk.call(&event, start + std::time::Duration::from_secs(at_s)).status
    };
    for index in 0..120 {
        assert_eq!(call(&mut desk, index / 2), 202);
    }
    assert_eq!(call(&mut desk, 59), 429);
    assert_eq!((call(&mut desk, 60), call(&mut desk, 60), call(&mut desk, 60)), (202, 202, 429));
}

#[tokio::test]
async fn webhook_is_verified_once_and_refused_unsigned() {
    let (sender, mut received) = Sender::start().await;
    assert_eq!(sender.webhook("msg_1", "{}").await.unwrap().status(), 200);
    assert_eq!(sender.webhook("msg_1", "{}").await.unwrap().status(), 200);
    assert_eq!(sender.post("/webhook").body("{}").send().await.unwrap().status(), 401);
    assert_eq!(received.next().await.unwrap().outcome, Outcome::Verified);
    assert_eq!(received.next().await.unwrap().outcome, Outcome::Duplicate);
    assert!(matches!(received.next().await.unwrap().outcome, Outcome::Refused { .. }));
}

#[tokio::test]
async fn script_answers_first() {
    let (sender, received) = Sender::start().await;
    let script = json!({"mount": "pagerduty", "next": [
        {"status": 503, "headers": {"retry-after": "2"}, "body": "busy"}, {"delay_ms": 1}]});
    assert_eq!(sender.control(script).await, 204);
    let refused = sender.post("/v2/enqueue").json(&trigger("a")).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "2"));
    assert_eq!(refused.text().await.unwrap(), "busy");
    assert_eq!(sender.enqueue(act("resolve", KEY, "a")).await.0, 202);
    let outcomes: Vec<Outcome> = received.all().into_iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes[0], Outcome::Scripted);
    assert!(matches!(outcomes[1], Outcome::Dropped { .. }), "what was answered 503 was not ingested");
    assert_eq!(sender.control(json!({"mount": "pigeon", "next": []})).await, 400);

    // The connection goes after the message was handled: the sender comes again under the same id.
    assert_eq!(sender.control(json!({"mount": "webhook", "next": [{"drop_connection": true}]})).await, 204);
    assert!(sender.webhook("msg_2", "{}").await.is_err());
    assert_eq!(sender.webhook("msg_2", "{}").await.unwrap().status(), 200);
    let calls: Vec<Call> = received.all().into_iter().filter(|call| call.mount == Mount::Webhook).collect();
    assert_eq!((&calls[0].outcome, calls[0].status), (&Outcome::Verified, None));
    assert_eq!((&calls[1].outcome, calls[1].key.as_deref()), (&Outcome::Duplicate, Some("msg_2")));
    let listed = sender.client.get(format!("http://{}/_received", sender.address)).send().await.unwrap();
    assert_eq!(listed.json::<Vec<Value>>().await.unwrap().len(), 4);
}
