//! What the pages ask of the running node.
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use engine::Pack;
use event::{Event, Position, Timestamp};
use journal::Journal;
use runtime::{checker::Shared, clock, control::Control, json, search};
use serde_json::{Value as Json, json};
use store::{IncidentRow, Planner, Store, StoreError};
use tokio::sync::watch;
use ui::{AdoptError, EventQuery, Force, FoundEvents, Receiver, Tried};

use crate::{adoption, backlog::Backlog, metrics::Metrics};

/// The node behind the pages.
pub(crate) struct Node {
    /// Why the rules on disk are not in force, if they are not.
    pub(crate) rules_trouble: watch::Receiver<Option<String>>,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) journal: Journal,
    pub(crate) store: Store,
    pub(crate) planner: Arc<dyn Planner>,
    pub(crate) shared: Shared,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) otlp: otlp::App,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) web: SocketAddr,
    pub(crate) public_url: String,
    pub(crate) enforce_breakers: bool,
    pub(crate) receivers: Vec<Receiver>,
    /// Sends them messages.
    pub(crate) sender: alert::Sender,
    pub(crate) senders: Mutex<Senders>,
}

/// Which component sends which event, as the journal said last.
#[derive(Default)]
pub(crate) struct Senders {
    looked: Option<Instant>,
    known: HashMap<String, String>,
}

/// How long that is believed, and how many frames are read to learn it.
const SENDERS_AGE: Duration = Duration::from_secs(30);
const SENDERS_FRAMES: usize = 500;

/// The receivers of a configuration, without their secrets.
pub(crate) fn receivers(config: &alert::Config) -> Vec<Receiver> {
    let receivers =
        config.receivers.iter().map(|receiver| Receiver { name: receiver.name.clone(), kind: receiver.kind() });
    receivers.collect()
}

/// An event as the API shows it.
fn row(event: &Event) -> Json {
    json!({
        "position": event.position.to_string(),
        "ts": event.ts.to_string(),
        "arrived": event.arrived.to_string(),
        "network": event.source.network,
        "node": event.source.node,
        "component": event.source.component,
        "event": event.name,
        "attrs": json::attrs(event),
        "body": json::value(&event.body),
        "trace_id": event.trace_id,
    })
}

fn time(text: Option<String>, name: &str) -> Result<Option<Timestamp>, String> {
    let Some(text) = text else { return Ok(None) };
    engine::expr::parse_timestamp(&text)
        .map(Some)
        .ok_or_else(|| format!("{name}: `{text}` is not a time; write 2026-11-20T12:00:00Z"))
}

#[async_trait]
impl ui::Backend for Node {
    async fn search(&self, query: EventQuery) -> Result<FoundEvents, String> {
        let before = match query.cursor {
            Some(cursor) => Some(cursor.parse::<Position>().map_err(|error| format!("cursor: {error}"))?),
            None => None,
        };
        let query = search::Query {
            from: time(query.from, "from")?,
            to: time(query.to, "to")?,
            network: query.network,
            node: query.node,
            component: query.component,
            event: query.event,
            attrs: query.attrs,
            trace: query.trace,
            q: query.q,
            before,
            limit: query.limit,
        };
        let journal = self.journal.clone();
        let found = tokio::task::spawn_blocking(move || search::search(&journal, &query))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        Ok(FoundEvents {
            rows: found.events.iter().map(row).collect(),
            next: found.next.map(|next| next.to_string()),
            lost: found.lost.iter().map(ToString::to_string).collect(),
        })
    }

    async fn adopt(&self, name: &str, yaml: &str, author: &str, expected: Option<i64>) -> Result<i64, AdoptError> {
        let adopted = adoption::adopt(&self.journal, &self.store, name, yaml, author, "ui", expected).await;
        adopted.map_err(|error| match error.downcast_ref::<StoreError>() {
            Some(StoreError::Conflict { current, .. }) => AdoptError::Conflict { current: *current },
            _ => AdoptError::Failed(format!("{error:#}")),
        })
    }

    async fn drop_pack(&self, name: &str) -> Result<(), StoreError> {
        self.store.pack(name).await?;
        // Journaled first: a start says again what the database holds in force, so that a crash in between leaves both
        // with the pack, and a deletion that was never answered without effect.
        adoption::journal_control(&self.journal, &Control::Drop { pack: name.into() })
            .await
            .map_err(|error| StoreError::Database(error.to_string()))?;
        self.store.drop_pack(name, &clock::now().to_string()).await
    }

    async fn force_breaker(&self, force: Force) -> Result<(), String> {
        let known = self.packs().iter().any(|pack| pack.breakers.iter().any(|breaker| breaker.id == force.breaker));
        if !known {
            return Err(format!("no pack in force has a breaker `{}`", force.breaker));
        }
        let until = time(force.until, "until")?;
        let control = Control::Force {
            pack: force.pack,
            breaker: force.breaker,
            network: force.network,
            scope: force.scope,
            open: force.open,
            until: until.map(|until| until.0),
            reason: force.reason,
            by: force.by,
        };
        let frame = adoption::journal_control(&self.journal, &control).await.map_err(|error| error.to_string())?;
        // The page that comes next shows it already.
        let mut judged = self.shared.judged.clone();
        let wait = Duration::from_secs(2);
        let _ = tokio::time::timeout(wait, judged.wait_for(|judged| *judged >= frame)).await;
        Ok(())
    }

    async fn act(&self, incident: &str, what: &str, who: &str, text: &str) -> Result<IncidentRow, StoreError> {
        self.store.act(incident, what, who, text, clock::now(), &*self.planner).await
    }

    fn packs(&self) -> Arc<[Arc<Pack>]> {
        self.shared.packs.read().map_or_else(|_| Arc::from([]), |packs| packs.clone())
    }

    fn trouble(&self) -> Option<String> {
        if !self.otlp.is_ready() {
            return Some("stopping: nothing is accepted any more".to_owned());
        }
        let healthy = self.shared.status.read().is_ok_and(|status| status.healthy);
        (!healthy).then(|| "verdicts cannot be written: look at the disk under the database".to_owned())
    }

    fn rules_trouble(&self) -> Option<String> {
        self.rules_trouble.borrow().clone()
    }

    async fn metrics(&self) -> (String, String) {
        self.metrics.render(self).await
    }

    async fn sender_of(&self, event: &str) -> Option<String> {
        let known = |senders: &Senders| senders.known.get(event).cloned();
        let fresh = self.senders.lock().ok().and_then(|senders| {
            let fresh = senders.looked.is_some_and(|looked| looked.elapsed() < SENDERS_AGE);
            (fresh || senders.known.contains_key(event)).then(|| known(&senders))
        });
        if let Some(answer) = fresh {
            return answer;
        }
        let journal = self.journal.clone();
        let found = tokio::task::spawn_blocking(move || search::senders(&journal, SENDERS_FRAMES)).await.ok()?.ok()?;
        let mut senders = self.senders.lock().ok()?;
        senders.looked = Some(Instant::now());
        senders.known = found;
        known(&senders)
    }

    async fn try_receiver(&self, name: &str) -> Option<Tried> {
        let here = format!("http://{}", self.web);
        let url = if self.public_url.is_empty() { &here } else { &self.public_url };
        let reply = self.sender.trial(name, &clock::now().to_string(), &format!("{url}/alerts")).await?;
        Some(Tried {
            accepted: reply.accepted,
            status: reply.status,
            error: reply.error,
            latency_ms: u64::try_from(reply.latency.as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn receivers(&self) -> Vec<Receiver> {
        self.receivers.clone()
    }

    /// On loopback, where nobody signs in: addresses, localhost and the public name. Elsewhere any name: who may come is
    /// for the network or a proxy to say.
    fn answers_to(&self, name: &str) -> bool {
        let public = || self.public_url.split("://").nth(1).and_then(|rest| rest.split(['/', ':']).next());
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        !self.web.ip().is_loopback()
            || bare.parse::<std::net::IpAddr>().is_ok()
            || bare == "localhost"
            || bare.ends_with(".localhost")
            || public().is_some_and(|public| public == bare)
    }

    fn enforces_breakers(&self) -> bool {
        self.enforce_breakers
    }

    fn endpoints(&self) -> (String, String) {
        (self.grpc.to_string(), self.http.to_string())
    }
}
