//! What the pages need beyond the store; the binary provides it.
use std::sync::Arc;

use async_trait::async_trait;
use engine::Pack;
use serde_json::Value as Json;
use store::{IncidentRow, StoreError};

/// Which events; empty parts match everything.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names of the API's parameters")]
pub struct EventQuery {
    pub from: Option<String>,
    pub to: Option<String>,
    pub network: Option<String>,
    pub node: Option<String>,
    pub component: Option<String>,
    pub event: Option<String>,
    pub attrs: Vec<(String, String)>,
    pub trace: Option<String>,
    pub q: Option<String>,
    pub cursor: Option<String>,
    pub limit: usize,
}

/// Why a pack was not adopted.
#[derive(Debug)]
pub enum AdoptError {
    /// Another revision is in force.
    Conflict {
        /// Which.
        current: i64,
    },
    /// It could not be written.
    Failed(String),
}

/// What a person does to a breaker.
#[derive(Clone, Debug, Default)]
pub struct Force {
    /// Its id.
    pub breaker: String,
    /// Its pack; empty: the only one that has it.
    pub pack: String,
    /// Its network.
    pub network: String,
    /// The scope's other parts.
    pub scope: Vec<(String, String)>,
    /// Open it (else close it).
    pub open: bool,
    /// RFC 3339; none: until someone closes it.
    pub until: Option<String>,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
}

/// Somewhere that pages can be sent.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Its name in routes and in the delivery log.
    pub name: String,
    /// What it is: `pagerduty`, `slack`, `webhook`.
    pub kind: &'static str,
}

/// How a message that was sent on trial ended.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Tried {
    /// Whether the receiver took it.
    pub accepted: bool,
    /// What it answered; none: nothing.
    pub status: Option<u16>,
    /// What was wrong.
    pub error: Option<String>,
    /// How long the answer took.
    pub latency_ms: u64,
}

/// What one search in the journal found.
#[derive(Clone, Debug, Default)]
pub struct FoundEvents {
    /// Events as the API shows them, the newest first.
    pub rows: Vec<Json>,
    /// The cursor of what follows.
    pub next: Option<String>,
    /// What could not be looked at: damaged places of the journal, each with its file, offset and how to mend it.
    pub lost: Vec<String>,
}

/// The running system behind the pages.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Looks for events in the journal.
    async fn search(&self, query: EventQuery) -> Result<FoundEvents, String>;
    /// Puts a pack in force that compiles; returns its revision.
    async fn adopt(&self, name: &str, yaml: &str, author: &str, expected: Option<i64>) -> Result<i64, AdoptError>;
    /// Takes a pack out of force.
    async fn drop_pack(&self, name: &str) -> Result<(), StoreError>;
    /// Opens or closes a breaker by hand.
    async fn force_breaker(&self, force: Force) -> Result<(), String>;
    /// `acknowledge`, `resolve`, `reopen` or `comment`.
    async fn act(&self, incident: &str, what: &str, who: &str, text: &str) -> Result<IncidentRow, StoreError>;
    /// The packs in force.
    fn packs(&self) -> Arc<[Arc<Pack>]>;
    /// Why it cannot accept and store now, if it cannot.
    fn trouble(&self) -> Option<String>;
    /// Why the rules on disk are not in force, if they are not.
    fn rules_trouble(&self) -> Option<String>;
    /// Prometheus' text format: content type and body.
    async fn metrics(&self) -> (String, String);
    /// The component that was last seen to send an event of that name, where it can be found quickly.
    async fn sender_of(&self, event: &str) -> Option<String>;
    /// Whom it can page.
    fn receivers(&self) -> Vec<Receiver>;
    /// Sends a receiver a message that says of itself that it is a test, the way pages go; none: there is no such receiver.
    async fn try_receiver(&self, name: &str) -> Option<Tried>;
    /// Whether it goes by that name (a request's `Host`, without the port).
    fn answers_to(&self, name: &str) -> bool;
    /// Whether every breaker is enforced, whatever its pack says.
    fn enforces_breakers(&self) -> bool;
    /// Where OTLP listens: gRPC and HTTP.
    fn endpoints(&self) -> (String, String);
}
