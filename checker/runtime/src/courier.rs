//! Couriers: one a receiver, each sends what the outbox holds for it, at its pace, so that a receiver that is down or slow
//! holds up nobody else. Decides nothing; see `pages`.
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use alert::{Sender, rate::Budget};
use rand::{SeedableRng, rngs::StdRng};
use store::{DueDelivery, Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::outbox::Outbox;

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
            store: store.clone(),
            errand: Errand {
                outbox: Outbox::new(store.clone(), public_url.clone()),
                sender: sender.clone(),
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
    store: Store,
    errand: Errand,
}

impl Courier {
    async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.store.watch();
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
        let due = match self.store.due_deliveries(&self.receiver, crate::clock::now(), AT_ONCE).await {
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
    outbox: Outbox,
    sender: Sender,
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
        if let Some(letter) = self.outbox.begin(delivery).await {
            let reply = self.sender.send(&letter.message()).await;
            (self.attempted)(letter.receiver(), reply.accepted);
            self.outbox.end(&letter, &reply, crate::clock::now(), &mut StdRng::from_os_rng()).await;
        }
        id
    }
}
