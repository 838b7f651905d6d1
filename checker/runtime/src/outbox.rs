//! One message on its way out: what is noted before it is sent, and after. Sends nothing itself, and does not know the time.
use alert::{Action, Message, Reply, retry};
use event::Timestamp;
use rand::Rng;
use serde_json::Value as Json;
use store::{DueDelivery, Outcome, Store};

/// The messages that the store holds, as whoever sends them sees them.
#[derive(Clone)]
pub struct Outbox {
    store: Store,
    url: String,
}

/// A message whose try has begun.
#[derive(Clone, Debug)]
pub struct Letter {
    delivery: DueDelivery,
    /// The same for all tries.
    name: String,
    incident: Json,
}

impl Letter {
    /// What is sent.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        let action = match self.delivery.action.as_str() {
            "acknowledge" => Action::Acknowledge,
            "resolve" => Action::Resolve,
            _ => Action::Trigger,
        };
        Message {
            id: &self.name,
            receiver: &self.delivery.receiver,
            action,
            dedup_key: &self.delivery.dedup_key,
            incident: &self.incident,
        }
    }

    /// To whom.
    #[must_use]
    pub fn receiver(&self) -> &str {
        &self.delivery.receiver
    }
}

impl Outbox {
    /// The outbox of that store; `url` is where people find Invar.
    #[must_use]
    pub fn new(store: Store, url: String) -> Self {
        Self { store, url }
    }

    /// Notes that a try begins, and writes the message. None when it is not wanted any more, or the database says no: then
    /// it must not be sent.
    pub async fn begin(&self, delivery: DueDelivery) -> Option<Letter> {
        match self.store.delivery_begins(delivery.id).await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                tracing::error!(%error, delivery.id, "an attempt could not be noted");
                return None;
            }
        }
        match self.incident(&delivery.incident).await {
            Ok(incident) => {
                let name = format!("invar_{}_{}", delivery.incident, delivery.id);
                Some(Letter { delivery, name, incident })
            }
            Err(error) => {
                tracing::error!(%error, delivery.id, "an incident to be told of cannot be read");
                None
            }
        }
    }

    /// Notes how a try ended, and when the next one is due. `chance` spreads the tries.
    pub async fn end(&self, letter: &Letter, reply: &Reply, now: Timestamp, chance: &mut impl Rng) {
        let delivery = &letter.delivery;
        let tries = u32::try_from(delivery.attempts + 1).unwrap_or(u32::MAX);
        let outcome = if reply.accepted {
            Outcome::Delivered
        } else {
            let wait = reply.retry.then(|| retry::next(reply.schedule, tries, reply.retry_after, chance)).flatten();
            wait.map_or(Outcome::Failed, |wait| Outcome::Retry(now.plus(wait)))
        };
        if matches!(outcome, Outcome::Failed) {
            tracing::error!(delivery.id, receiver = delivery.receiver, error = reply.error, "a page was given up");
        }
        let latency = i64::try_from(reply.latency.as_millis()).unwrap_or(i64::MAX);
        let error = reply.error.as_deref();
        let noted = self.store.delivery_attempted(delivery.id, &outcome, reply.status, error, latency, now).await;
        if let Err(error) = noted {
            // It will be sent again, under the same key: that is what the key is for.
            tracing::error!(%error, delivery.id, "an attempt could not be noted");
        }
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
