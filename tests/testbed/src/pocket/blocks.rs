//! Blocks, as an instance sees them: the leader publishes what the chain has, every instance subscribes, and asks for what
//! it missed while it was away.

use std::time::Duration;

use tokio::{
    sync::{broadcast, watch},
    time::{Instant, sleep},
};

use super::{instance::Instance, pocket_event, redis::Published};
use crate::{clock::millis, faults::Fault};

/// The wait before the first attempt to reconnect, and the longest one.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long a subscriber is away when its connection breaks and nothing else is wrong.
const BROKEN_FOR: Duration = Duration::from_secs(6);

/// The leader's feed.
pub(super) async fn publish(instance: Instance, leads: watch::Receiver<bool>) {
    let mut blocks = instance.chain.blocks();
    while blocks.changed().await.is_ok() {
        let height = *blocks.borrow_and_update();
        if *leads.borrow() && !instance.redis_is_away() {
            instance.redis.publish_blocks(height);
        }
    }
}

/// The instance's subscriber: it sets `observed`, drops stale copies, and comes back by itself when it is cut off.
pub(super) async fn subscribe(instance: Instance, observed: watch::Sender<i64>) {
    let mut messages = instance.redis.subscribe();
    let faults = instance.world.faults.clone();
    let mut broke = false;
    loop {
        let breaks = |instance: &Instance| instance.on(Fault::PocketReconnectsTooFast);
        if !breaks(&instance) {
            broke = false;
        }
        let away = faults.until(|_| instance.redis_is_away() || breaks(&instance) && !broke);
        let message = tokio::select! {
            message = messages.recv() => message,
            () = away => {
                broke = breaks(&instance);
                reconnect(&instance).await;
                messages = instance.redis.subscribe();
                continue;
            }
        };
        match message {
            Ok(Published::Block(height)) => {
                let misses = instance.on(Fault::PocketBlockMissed);
                // The fault: every fifth block is dropped, and nobody asks for it afterwards.
                if misses && height % 5 == 0 {
                    continue;
                }
                let last = *observed.borrow();
                let first = if misses || last == 0 { height } else { last + 1 };
                for height in first..=height {
                    pocket_event!("block_subscriber", "pocket.block.observed", height = height, source = "redis");
                }
                observed.send_replace(height.max(last));
            }
            Ok(Published::Invalidate { by, cache_type, entity, version }) => {
                if by != instance.node && !instance.on(Fault::PocketInvalidationIgnored) {
                    pocket_event!(
                        "cache_orchestrator",
                        "pocket.cache.l1_invalidated",
                        cache_type = cache_type,
                        entity = entity.as_str(),
                        version = version.as_str(),
                    );
                }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Tries again and again, each time after twice the wait.
async fn reconnect(instance: &Instance) {
    let since = Instant::now();
    pocket_event!("block_subscriber", "pocket.block_subscriber.disconnected", subscriber = "redis");
    let hasty = instance.on(Fault::PocketReconnectsTooFast);
    let (mut delay, longest) = BACKOFF;
    for attempt in 1_i64.. {
        pocket_event!(
            "block_subscriber",
            "pocket.block_subscriber.reconnect_attempt",
            subscriber = "redis",
            attempt = attempt,
            delay_ms = millis(delay),
        );
        let faults = instance.world.faults.clone();
        tokio::select! {
            () = sleep(delay) => {}
            // A connection that could be made at once is not waited for longer than a block or two.
            () = faults.until(|_| !hasty && !instance.redis_is_away()) => sleep(BACKOFF.0).await,
        }
        let connects = !instance.redis_is_away() && (!hasty || since.elapsed() >= BROKEN_FOR);
        if connects {
            break;
        }
        if !hasty {
            delay = (delay * 2).min(longest);
        }
    }
    pocket_event!(
        "block_subscriber",
        "pocket.block_subscriber.reconnected",
        subscriber = "redis",
        down_ms = millis(since.elapsed()),
    );
}
