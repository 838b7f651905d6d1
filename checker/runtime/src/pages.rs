//! Paging: plans messages for incidents, and sends what the outbox holds.
use std::{sync::Arc, time::Duration};

use alert::{Action, Message, Planned, Sender, Subject, retry};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value as Json, json};
use store::{IncidentRow, NewDelivery, Outcome, Planner, Store, Transition};
use tokio_util::sync::CancellationToken;

/// Plans by a configuration of receivers and routes.
pub struct Pages {
    config: alert::Config,
}

impl Pages {
    /// A planner for these receivers.
    #[must_use]
    pub fn new(config: alert::Config) -> Self {
        Pages { config }
    }
}

impl Planner for Pages {
    fn plan(&self, incident: &IncidentRow, transition: Transition) -> Vec<NewDelivery> {
        let action = match transition {
            Transition::Opened | Transition::Reopened => Action::Trigger,
            Transition::Acknowledged => Action::Acknowledge,
            Transition::Resolved | Transition::LateResolved | Transition::Retracted => Action::Resolve,
        };
        let subject = Subject {
            pack: incident.pack.clone(),
            rule: incident.rule.clone(),
            severity: incident.severity.clone(),
            network: incident.network.clone(),
            group: incident.group.clone(),
            silent: incident.mode != "active" || incident.backfilled,
        };
        let delivery = |planned: Planned| NewDelivery {
            receiver: planned.receiver,
            action: action.as_str().to_owned(),
            dedup_key: planned.dedup_key,
            body: json!({"incident": incident.id}),
        };
        alert::plan(&self.config, &subject).into_iter().map(delivery).collect()
    }
}

/// How many messages are under way at once.
const AT_ONCE: i64 = 16;

/// How often the outbox is looked at when nothing stirs: retries become due without a change.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Called after each attempt: receiver, and whether it was accepted.
pub type Attempted = Arc<dyn Fn(&str, bool) + Send + Sync>;

/// Sends what is due until told to stop; a message under way is finished first.
pub async fn deliver(store: Store, sender: Sender, public_url: String, attempted: Attempted, stop: CancellationToken) {
    let mut changes = store.watch();
    let sender = Arc::new(sender);
    loop {
        let due = match store.due_deliveries(crate::clock::now(), AT_ONCE).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be read");
                Vec::new()
            }
        };
        let mut under_way = tokio::task::JoinSet::new();
        let idle = due.is_empty();
        for delivery in due {
            let (store, sender, url, attempted) =
                (store.clone(), sender.clone(), public_url.clone(), attempted.clone());
            under_way.spawn(async move { one(&store, &sender, &url, &attempted, delivery).await });
        }
        while under_way.join_next().await.is_some() {}
        if stop.is_cancelled() {
            return;
        }
        if idle {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

async fn one(store: &Store, sender: &Sender, url: &str, attempted: &Attempted, delivery: store::DueDelivery) {
    let incident = match incident(store, url, &delivery.incident).await {
        Ok(incident) => incident,
        Err(error) => {
            tracing::error!(%error, delivery.id, "an incident to be told of cannot be read");
            return;
        }
    };
    let action = match delivery.action.as_str() {
        "acknowledge" => Action::Acknowledge,
        "resolve" => Action::Resolve,
        _ => Action::Trigger,
    };
    let id = format!("invar_{}_{}", delivery.incident, delivery.id);
    let message =
        Message { id: &id, receiver: &delivery.receiver, action, dedup_key: &delivery.dedup_key, incident: &incident };
    let reply = sender.send(&message).await;
    let now = crate::clock::now();
    let tries = u32::try_from(delivery.attempts + 1).unwrap_or(u32::MAX);
    let outcome = if reply.accepted {
        Outcome::Delivered
    } else {
        let mut chance = StdRng::from_os_rng();
        let wait = reply.retry.then(|| retry::next(reply.schedule, tries, reply.retry_after, &mut chance)).flatten();
        wait.map_or(Outcome::Failed, |wait| Outcome::Retry(now.plus(wait)))
    };
    if matches!(outcome, Outcome::Failed) {
        tracing::error!(delivery.id, receiver = delivery.receiver, error = reply.error, "a page was given up");
    }
    attempted(&delivery.receiver, reply.accepted);
    let latency = i64::try_from(reply.latency.as_millis()).unwrap_or(i64::MAX);
    let noted =
        store.delivery_attempted(delivery.id, &outcome, reply.status, reply.error.as_deref(), latency, now).await;
    if let Err(error) = noted {
        // It will be sent again, under the same key: that is what the key is for.
        tracing::error!(%error, delivery.id, "an attempt could not be noted");
    }
}

/// The incident as a message shows it: with its address and the evidence of its last violation.
async fn incident(store: &Store, url: &str, id: &str) -> Result<Json, store::StoreError> {
    let row = store.incident(id).await?;
    let (violations, _) = store.violations(id, None, 1).await?;
    let mut incident = serde_json::to_value(&row).unwrap_or_default();
    incident["url"] = format!("{url}/incidents/{id}").into();
    if let Some(violation) = violations.into_iter().next() {
        incident["evidence"] = violation.evidence;
        incident["missing"] = violation.missing.unwrap_or_default();
        incident["key"] = violation.key;
    }
    Ok(incident)
}
