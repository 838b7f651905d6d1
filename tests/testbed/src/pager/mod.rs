//! A stand-in for the services that page people: PagerDuty's Events API v2 at `POST /v2/enqueue`, a channel of Slack at
//! `POST /slack`, and a receiver of [Standard Webhooks](https://www.standardwebhooks.com) at `POST /webhook`.
//!
//! It enforces what the real ones document, and tells what they do not: whether an accepted call would have paged
//! anybody. It pages nobody itself.
//!
//! - `GET /_received` answers with every call so far, oldest first.
//! - `POST /_control` scripts the next answers of a mount:
//!   `{"mount": "pagerduty", "next": [{"status": 503, "headers": {"retry-after": "1"}, "body": "", "delay_ms": 100,
//!   "drop_connection": true}]}`. Without a `status` the call is handled as ever and only delayed or left unanswered.

mod pagerduty;
mod server;
mod slack;
mod webhook;

pub use server::{Call, Mount, Outcome, PagerStandIn, Received, WEBHOOK_SECRET};

#[cfg(test)]
mod tests;
