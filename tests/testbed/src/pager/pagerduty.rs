//! PagerDuty's Events API v2: what it refuses, what it drops in silence, and how often it may be called.
//!
//! Sources: PagerDuty's developer documentation, "Events API v2 overview", "Send an alert event", "Rate limits".

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::server::Outcome;

/// The largest body.
const BODY_BYTES_MAX: usize = 512_000;
/// Calls a minute for one routing key.
const CALLS_PER_WINDOW_MAX: usize = 120;
const WINDOW: Duration = Duration::from_secs(60);
const ROUTING_KEY_CHARS: usize = 32;
const SUMMARY_CHARS_MAX: usize = 1024;
const DEDUP_KEY_CHARS_MAX: usize = 255;
/// Keys remembered at most; beyond, the stand-in refuses new ones rather than grow.
const KEYS_MAX: usize = 100_000;

/// Open alerts and recent calls of every routing key.
#[derive(Debug, Default)]
pub(super) struct Desk {
    alerts: HashMap<(String, String), Alert>,
    calls: HashMap<String, VecDeque<Instant>>,
    generated: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alert {
    Triggered,
    Acknowledged,
}

/// A reply, and what really came of the call.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) outcome: Outcome,
    pub(super) key: Option<String>,
}

impl Desk {
    pub(super) fn call(&mut self, body: &[u8], now: Instant) -> Reply {
        if body.len() > BODY_BYTES_MAX {
            return refused(413, vec![format!("event exceeds {BODY_BYTES_MAX} bytes")], None);
        }
        let Ok(event) = serde_json::from_slice::<Value>(body) else {
            return refused(400, vec!["body is not JSON".to_owned()], None);
        };
        let (errors, dedup_key) = (validate(&event), text(&event, "dedup_key").map(str::to_owned));
        let routing_key = text(&event, "routing_key").unwrap_or_default().to_owned();
        // A refused call counts as well, once it is known whose it is.
        if routing_key.chars().count() == ROUTING_KEY_CHARS && !self.admits(&routing_key, now) {
            let body = serde_json::json!({"status": "throttle exceeded", "message": "Requests for this service are arriving too quickly"});
            return Reply { status: 429, body, outcome: Outcome::Throttled, key: dedup_key };
        }
        if !errors.is_empty() {
            return refused(400, errors, dedup_key);
        }
        self.generated += 1;
        let dedup_key = dedup_key.unwrap_or_else(|| format!("generated-{}", self.generated));
        let action = text(&event, "event_action").unwrap_or_default();
        let outcome = self.apply(action, (routing_key, dedup_key.clone()));
        let body = serde_json::json!({"status": "success", "message": "Event processed", "dedup_key": dedup_key});
        Reply { status: 202, body, outcome, key: Some(dedup_key) }
    }

    /// Counts a call against its key's rolling minute.
    fn admits(&mut self, routing_key: &str, now: Instant) -> bool {
        if !self.calls.contains_key(routing_key) && self.calls.len() >= KEYS_MAX {
            return false;
        }
        let calls = self.calls.entry(routing_key.to_owned()).or_default();
        while calls.front().is_some_and(|call| now.duration_since(*call) >= WINDOW) {
            calls.pop_front();
        }
        let admits = calls.len() < CALLS_PER_WINDOW_MAX;
        if admits {
            calls.push_back(now);
        }
        admits
    }

    /// What a valid call changes. The caller is told 202 whatever comes of it.
    fn apply(&mut self, action: &str, key: (String, String)) -> Outcome {
        let full = self.alerts.len() >= KEYS_MAX;
        match (action, self.alerts.get(&key)) {
            ("trigger", Some(_)) => Outcome::Updated,
            ("trigger", None) if full => {
                Outcome::Dropped { reason: "the stand-in remembers no more alerts".to_owned() }
            }
            ("trigger", None) => {
                self.alerts.insert(key, Alert::Triggered);
                Outcome::Triggered
            }
            ("acknowledge", Some(Alert::Triggered)) => {
                self.alerts.insert(key, Alert::Acknowledged);
                Outcome::Acknowledged
            }
            ("acknowledge", Some(Alert::Acknowledged)) => Outcome::Updated,
            ("resolve", Some(_)) => {
                self.alerts.remove(&key);
                Outcome::Resolved
            }
            _ => Outcome::Dropped { reason: format!("{action} without an open alert under this key") },
        }
    }
}

fn text<'a>(event: &'a Value, field: &str) -> Option<&'a str> {
    event.get(field).and_then(Value::as_str)
}

fn refused(status: u16, errors: Vec<String>, key: Option<String>) -> Reply {
    let body = serde_json::json!({"status": "invalid event", "message": "Event object is invalid", "errors": errors});
    Reply { status, body, outcome: Outcome::Refused { errors }, key }
}

/// Everything that is wrong with an event.
fn validate(event: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    let mut ensure = |holds: bool, error: &str| {
        if !holds {
            errors.push(error.to_owned());
        }
    };
    if !event.is_object() {
        ensure(false, "event is not an object");
        return errors;
    }
    let length = |text: Option<&str>| text.map(|text| text.chars().count());
    ensure(
        length(text(event, "routing_key")) == Some(ROUTING_KEY_CHARS),
        "'routing_key' is missing or not 32 characters long",
    );
    let action = text(event, "event_action");
    ensure(
        matches!(action, Some("trigger" | "acknowledge" | "resolve")),
        "'event_action' is not one of trigger, acknowledge, resolve",
    );
    let dedup_key = event.get("dedup_key").filter(|key| !key.is_null());
    ensure(dedup_key.is_none_or(Value::is_string), "'dedup_key' is not a string");
    ensure(
        length(text(event, "dedup_key")).is_none_or(|length| length <= DEDUP_KEY_CHARS_MAX),
        "'dedup_key' is longer than 255 characters",
    );
    if matches!(action, Some("acknowledge" | "resolve")) {
        let given = text(event, "dedup_key").is_some_and(|key| !key.is_empty());
        ensure(given, "'dedup_key' is missing: acknowledge and resolve need it");
    }
    if action == Some("trigger") {
        let payload = event.get("payload").unwrap_or(&Value::Null);
        for field in ["summary", "source", "severity"] {
            let given = text(payload, field).is_some_and(|text| !text.is_empty());
            ensure(given, &format!("'payload.{field}' is missing or blank"));
        }
        ensure(
            length(text(payload, "summary")).is_none_or(|length| length <= SUMMARY_CHARS_MAX),
            "'payload.summary' is longer than 1024 characters",
        );
        ensure(
            text(payload, "severity").is_none_or(|severity| {
                severity.is_empty() || ["critical", "error", "warning", "info"].contains(&severity)
            }),
            "'payload.severity' is not one of critical, error, warning, info",
        );
    }
    errors
}
