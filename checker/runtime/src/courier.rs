//! Couriers: one a receiver, each sends what the outbox holds for it, at its pace, so that a receiver that is down or slow
//! holds up nobody else. Decides nothing; see `pages`.
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use alert::{Action, Message, Sender, rate::Budget, retry};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::Value as Json;
use store::{DueDelivery, Outcome, Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many messages of one receiver are under way at once.
const AT_ONCE: usize = 8;

/// How often the outbox is looked at when nothing stirs: retries become due without a change.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Called after each attempt: receiver, and whether it was accepted.
pub type Attempted = Arc<dyn Fn(&str, bool) + Send + Sync>;

/// Sends what is due to everyone until told to stop; messages under way are finished first.
pub async fn deliver(store: Store, sender: Sender, public_url: String, attempted: Attempted, stop: CancellationToken) {
    let receivers: Vec<&str> = sender.config().receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    match store.abandon_deliveries(&receivers).await {
        Ok(0) => {}
        Ok(pages) => tracing::error!(pages, "pages were given up: their receivers are not configured any more"),
        Err(error) => tracing::error!(%error, "the outbox cannot be read"),
    }
    let mut couriers = JoinSet::new();
    for receiver in &sender.config().receivers {
        let courier = Courier {
            receiver: receiver.name.clone(),
            budget: Budget::of(receiver.schedule()),
            errand: Errand {
                store: store.clone(),
                sender: sender.clone(),
                url: public_url.clone(),
                attempted: attempted.clone(),
            },
        };
        couriers.spawn(courier.run(stop.clone()));
    }
    while couriers.join_next().await.is_some() {}
}

struct Courier {
    receiver: String,
    budget: Budget,
    errand: Errand,
}

impl Courier {
    async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.errand.store.watch();
        let mut under_way: JoinSet<i64> = JoinSet::new();
        let mut busy: BTreeSet<i64> = BTreeSet::new();
        while !stop.is_cancelled() {
            let wait = self.set_out(&mut under_way, &mut busy).await;
            tokio::select! {
                () = stop.cancelled() => {}
                Some(done) = under_way.join_next() => {
                    // A task that panicked keeps its place: its message is sent again after a restart.
                    if let Ok(id) = done {
                        busy.remove(&id);
                    }
                }
                changed = changes.changed() => {
                    if changed.is_err() {
                        break;
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Sends what is due as far as there is room. Returns how long it may rest when nothing stirs.
    async fn set_out(&mut self, under_way: &mut JoinSet<i64>, busy: &mut BTreeSet<i64>) -> Duration {
        if busy.len() >= AT_ONCE {
            return LOOK_EVERY;
        }
        let due = match self.errand.store.due_deliveries(&self.receiver, crate::clock::now(), AT_ONCE).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be read");
                return LOOK_EVERY;
            }
        };
        for delivery in due {
            if busy.len() >= AT_ONCE || busy.contains(&delivery.id) {
                continue;
            }
            if let Err(wait) = self.budget.spend(Instant::now()) {
                return wait.min(LOOK_EVERY);
            }
            busy.insert(delivery.id);
            under_way.spawn(self.errand.clone().run(delivery));
        }
        LOOK_EVERY
    }
}

/// What one message needs to be sent.
#[derive(Clone)]
struct Errand {
    store: Store,
    sender: Sender,
    url: String,
    attempted: Attempted,
}

impl Errand {
    /// Tries one message once and notes how it ended; returns its number.
    #[tracing::instrument(
        name = "page", level = "debug", skip_all,
        fields(delivery.id = delivery.id, delivery.receiver, delivery.action, incident = delivery.incident)
    )]
    async fn run(self, delivery: DueDelivery) -> i64 {
        let id = delivery.id;
        match self.store.delivery_begins(id).await {
            Ok(true) => {}
            Ok(false) => return id,
            Err(error) => {
                tracing::error!(%error, delivery.id, "an attempt could not be noted");
                return id;
            }
        }
        let incident = match self.incident(&delivery.incident).await {
            Ok(incident) => incident,
            Err(error) => {
                tracing::error!(%error, delivery.id, "an incident to be told of cannot be read");
                return id;
            }
        };
        let action = match delivery.action.as_str() {
            "acknowledge" => Action::Acknowledge,
            "resolve" => Action::Resolve,
            _ => Action::Trigger,
        };
        let name = format!("invar_{}_{id}", delivery.incident);
        let message = Message {
            id: &name,
            receiver: &delivery.receiver,
            action,
            dedup_key: &delivery.dedup_key,
            incident: &incident,
        };
        let reply = self.sender.send(&message).await;
        let now = crate::clock::now();
        let tries = u32::try_from(delivery.attempts + 1).unwrap_or(u32::MAX);
        let outcome = if reply.accepted {
            Outcome::Delivered
        } else {
            let mut chance = StdRng::from_os_rng();
            let wait =
                reply.retry.then(|| retry::next(reply.schedule, tries, reply.retry_after, &mut chance)).flatten();
            wait.map_or(Outcome::Failed, |wait| Outcome::Retry(now.plus(wait)))
        };
        if matches!(outcome, Outcome::Failed) {
            tracing::error!(delivery.id, receiver = delivery.receiver, error = reply.error, "a page was given up");
        }
        (self.attempted)(&delivery.receiver, reply.accepted);
        let latency = i64::try_from(reply.latency.as_millis()).unwrap_or(i64::MAX);
        let error = reply.error.as_deref();
        if let Err(error) = self.store.delivery_attempted(id, &outcome, reply.status, error, latency, now).await {
            // It will be sent again, under the same key: that is what the key is for.
            tracing::error!(%error, delivery.id, "an attempt could not be noted");
        }
        id
    }

    /// The incident as a message shows it: with its address and the evidence of its last violation.
    async fn incident(&self, id: &str) -> Result<Json, store::StoreError> {
        let row = self.store.incident(id).await?;
        let (violations, _) = self.store.violations(id, None, 1).await?;
        let mut incident = serde_json::to_value(&row).unwrap_or_default();
        incident["url"] = format!("{}/incidents/{id}", self.url).into();
        if let Some(violation) = violations.into_iter().next() {
            incident["evidence"] = violation.evidence;
            incident["missing"] = violation.missing.unwrap_or_default();
            incident["key"] = violation.key;
        }
        Ok(incident)
    }
}
