//! PagerDuty, Events API v2 (PagerDuty developer docs, events-API-v2: Overview, Trigger Events).
use serde_json::{Value as Json, json};

use super::cut;
use crate::{config::PagerDuty, plan::Action};

/// The greatest summary, in characters.
const SUMMARY_MAX: usize = 1024;

/// The greatest event, in bytes; the smaller reading of "512 KB".
const BYTES_MAX: usize = 512_000;

/// The body of one event. `incident` is the incident as the API shows it, with `url` and `evidence`.
#[must_use]
pub fn body(config: &PagerDuty, action: Action, dedup_key: &str, incident: &Json) -> Json {
    let text = |name: &str| incident[name].as_str().unwrap_or_default();
    let mut event = json!({
        "routing_key": config.routing_key,
        "event_action": action.as_str(),
        "dedup_key": dedup_key,
    });
    if action != Action::Trigger {
        return event;
    }
    let severity = match text("severity") {
        "critical" => "critical",
        "high" => "error",
        "medium" => "warning",
        _ => "info",
    };
    let source = if text("node").is_empty() { "invar" } else { text("node") };
    event["client"] = "Invar".into();
    event["client_url"] = text("url").into();
    event["payload"] = json!({
        "summary": cut(text("message"), SUMMARY_MAX),
        "source": source,
        "severity": severity,
        "timestamp": text("last_at"),
        "component": text("component"),
        "group": text("network"),
        "class": text("rule"),
        "custom_details": {
            "pack": text("pack"),
            "ref": incident["ref"],
            "revision": incident["revision"],
            "count": incident["count"],
            "missing": incident["missing"],
            "evidence": incident["evidence"],
        },
    });
    let mut links = vec![json!({"href": text("url"), "text": "Timeline and evidence"})];
    if !text("runbook_url").is_empty() {
        links.push(json!({"href": text("runbook_url"), "text": "Runbook"}));
    }
    event["links"] = links.into();
    if event.to_string().len() > BYTES_MAX {
        event["payload"]["custom_details"] =
            json!({"pack": text("pack"), "truncated": "the evidence was too large: see the incident's page"});
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PagerDuty {
        PagerDuty { routing_key: "0".repeat(32), url: String::new() }
    }

    #[test]
    fn a_long_summary_is_cut_by_characters_and_says_so() {
        let incident = json!({"message": "é".repeat(2_000), "severity": "high", "node": "n1"});
        let event = body(&config(), Action::Trigger, "k", &incident);
        let summary = event["payload"]["summary"].as_str().unwrap();
        assert_eq!(summary.chars().count(), 1024);
        assert!(summary.ends_with('…'));
        assert_eq!(event["payload"]["severity"], "error");
    }

    #[test]
    fn evidence_that_is_too_large_is_left_out_and_the_summary_stays() {
        let incident = json!({"message": "m", "evidence": ["x".repeat(600_000)]});
        let event = body(&config(), Action::Trigger, "k", &incident);
        assert!(event.to_string().len() < BYTES_MAX);
        assert_eq!(event["payload"]["summary"], "m");
    }

    #[test]
    fn a_resolve_needs_only_its_key() {
        let event = body(&config(), Action::Resolve, "k", &json!({"message": "m"}));
        assert_eq!(event, json!({"routing_key": "0".repeat(32), "event_action": "resolve", "dedup_key": "k"}));
    }
}
