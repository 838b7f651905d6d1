//! A channel of Slack behind an incoming webhook (Slack developer docs: Sending messages using incoming webhooks, Rate
//! limits). What it says of a message is plain text; a message that is not escaped calls everybody, which is refused here.

use std::{collections::VecDeque, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use super::server::Outcome;

/// A message a second, and short bursts.
const BURST: (usize, Duration) = (5, Duration::from_secs(5));
/// The longest text.
const CHARACTERS_MAX: usize = 40_000;

/// A channel, with when it was last posted to.
#[derive(Debug, Default)]
pub(super) struct Channel {
    posted: VecDeque<Instant>,
}

impl Channel {
    pub(super) fn post(&mut self, body: &[u8], now: Instant) -> (u16, &'static str, Outcome) {
        let refused =
            |status, error: &'static str| (status, error, Outcome::Refused { errors: vec![error.to_owned()] });
        let Ok(message) = serde_json::from_slice::<Value>(body) else { return refused(400, "invalid_payload") };
        let text = match message.get("text").and_then(Value::as_str) {
            None | Some("") => return refused(400, "no_text"),
            Some(text) if text.chars().count() > CHARACTERS_MAX => return refused(400, "msg_too_long"),
            Some(text) => text,
        };
        if ["<!channel", "<!here", "<!everyone", "<@"].iter().any(|call| text.contains(call)) {
            return refused(403, "action_prohibited");
        }
        while self.posted.front().is_some_and(|posted| now.duration_since(*posted) >= BURST.1) {
            self.posted.pop_front();
        }
        if self.posted.len() >= BURST.0 {
            return (429, "rate_limited", Outcome::Throttled);
        }
        self.posted.push_back(now);
        (200, "ok", Outcome::Posted)
    }
}
