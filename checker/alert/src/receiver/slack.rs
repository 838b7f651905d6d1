//! Slack, incoming webhooks (Slack developer docs: Sending messages using incoming webhooks). Each message is a new one:
//! nothing that was posted is edited.
use serde_json::{Value as Json, json};

use super::cut;
use crate::plan::Action;

/// The longest message of a rule that is shown, in characters; Slack may cut texts beyond 40,000.
const MESSAGE_MAX: usize = 1024;

/// The body of one message. `incident` is the incident as the API shows it, with `url`.
#[must_use]
pub fn body(action: Action, incident: &Json) -> Json {
    let text = |name: &str| incident[name].as_str().unwrap_or_default();
    let state = match (action, text("status")) {
        (Action::Trigger, _) => text("severity"),
        (Action::Acknowledge, _) => "acknowledged",
        (Action::Resolve, "late_resolved") => "late resolved",
        (Action::Resolve, "retracted") => "retracted",
        (Action::Resolve, _) => "resolved",
    };
    let message = escape(&cut(text("message"), MESSAGE_MAX));
    let message = link(text("url"), &message);
    let mut about: Vec<String> = vec![format!("rule {}", escape(text("rule")))];
    about.extend(Some(text("node")).filter(|node| !node.is_empty()).map(|node| format!("node {}", escape(node))));
    about.extend(Some(text("network")).filter(|name| !name.is_empty()).map(|name| format!("network {}", escape(name))));
    if action == Action::Acknowledge && !text("acknowledged_by").is_empty() {
        about.push(format!("by {}", escape(text("acknowledged_by"))));
    }
    if action == Action::Trigger && !text("runbook_url").is_empty() {
        about.push(link(text("runbook_url"), "runbook"));
    }
    json!({"text": format!("*{}* {message}\n{}", escape(state), about.join(", "))})
}

/// A link, where there is an address for one.
fn link(url: &str, label: &str) -> String {
    let is_address = url.starts_with("http://") || url.starts_with("https://");
    // A bar ends the address, and a line break the link.
    let label = label.replace(['\n', '\r'], " ");
    if is_address && !url.contains(['|', '>', '<', ' ']) { format!("<{}|{label}>", escape(url)) } else { label }
}

/// What nodes send is text: it neither links nor calls anybody.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident() -> Json {
        json!({
            "message": "n1: <!channel> & more", "severity": "critical", "status": "open", "rule": "r", "node": "n1",
            "network": "main", "url": "https://invar.example/incidents/1", "runbook_url": "https://wiki.example/r",
        })
    }

    #[test]
    fn a_page_links_to_its_incident_and_calls_nobody() {
        assert_eq!(
            body(Action::Trigger, &incident()),
            json!({"text": "*critical* <https://invar.example/incidents/1|n1: &lt;!channel&gt; &amp; more>\n\
                            rule r, node n1, network main, <https://wiki.example/r|runbook>"})
        );
    }

    #[test]
    fn an_end_says_which() {
        let said = |status: &str| {
            let mut incident = incident();
            incident["status"] = status.into();
            body(Action::Resolve, &incident)["text"].as_str().unwrap().split(' ').next().unwrap().to_owned()
        };
        assert_eq!([said("resolved"), said("retracted")], ["*resolved*", "*retracted*"]);
        let acknowledged = json!({"message": "m", "rule": "r", "acknowledged_by": "ada"});
        assert_eq!(body(Action::Acknowledge, &acknowledged), json!({"text": "*acknowledged* m\nrule r, by ada"}));
    }

    #[test]
    fn a_long_message_is_cut() {
        let long = json!({"message": "é".repeat(2_000), "severity": "low", "rule": "r"});
        let text = body(Action::Trigger, &long)["text"].as_str().unwrap().to_owned();
        assert!(text.contains("é…\nrule r") && text.chars().count() < 1_100, "{text}");
    }
}
