//! Tells the dead man's switch that Invar is at work: that verdicts can be written, and that the checker goes on.
use std::sync::Arc;

use alert::{alive, config::Alive};
use tokio_util::sync::CancellationToken;
use ui::Backend;

use crate::backend::Node;

/// Tells the watcher all the time, until it is to stop or Invar does not work any more.
pub(crate) async fn keep_telling(watcher: Alive, node: Arc<Node>, stop: CancellationToken) {
    let mut every = tokio::time::interval(watcher.every());
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Each second something is judged, if only that a second has passed.
    let mut judged = None;
    let mut heard = true;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        let now = Some(*node.shared.judged.borrow());
        let stands = std::mem::replace(&mut judged, now) == now;
        if node.trouble().is_some() || stands {
            continue;
        }
        match alive::tell(&watcher).await {
            Ok(()) => heard = true,
            Err(error) => {
                if std::mem::take(&mut heard) {
                    tracing::warn!(error, "the dead man's switch could not be told that Invar is at work");
                }
            }
        }
    }
}
