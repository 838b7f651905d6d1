//! A message on trial: the way of a page, to one receiver, and at once taken back where that can be.
use serde_json::{Value as Json, json};

use crate::{
    plan::Action,
    send::{Message, Reply, Sender},
};

impl Sender {
    /// Sends a receiver a message that says of itself that it is none, and then that it is over. `at` is now, as RFC 3339;
    /// `url` is where the message leads. Returns how it ended: the first try that was not accepted, else the first of all;
    /// none where there is no such receiver.
    pub async fn trial(&self, receiver: &str, at: &str, url: &str) -> Option<Reply> {
        self.config().receivers.iter().find(|known| known.name == receiver)?;
        let id: String = at.chars().filter(char::is_ascii_alphanumeric).collect();
        let dedup_key = format!("invar/test-{id}");
        let opened = incident(at, url, "open");
        let message = |id: &'static str, action, incident| (id, action, incident);
        let over = incident(at, url, "resolved");
        let mut first = None;
        for (kind, action, incident) in [message("t", Action::Trigger, &opened), message("r", Action::Resolve, &over)] {
            let id = format!("test-{kind}-{id}");
            let reply = self.send(&Message { id: &id, receiver, action, dedup_key: &dedup_key, incident }).await;
            if !reply.accepted {
                return Some(reply);
            }
            first.get_or_insert(reply);
        }
        first
    }
}

/// What receivers are told of, as the API shows incidents.
fn incident(at: &str, url: &str, status: &str) -> Json {
    json!({
        "id": "test", "pack": "invar", "rule": "test", "ref": null, "kind": "never", "severity": "info", "status": status,
        "verdict": "violated", "network": "", "node": "", "component": "", "group": "", "labels": {}, "count": 1, "revision": 0,
        "message": "This is a test of Invar's pages: nothing is broken.", "opened_at": at, "last_at": at, "url": url,
        "missing": null, "evidence": [], "test": true,
    })
}
