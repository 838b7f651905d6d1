//! The live stream: server-sent events numbered by the store, so that a reader that comes back misses nothing.
use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
    routing::get,
};
use futures_util::{Stream, stream};

use crate::App;

/// How many changes are read at once.
const CHANGES_MAX: i64 = 500;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/api/v1/stream", get(changes))
}

async fn changes(State(app): State<App>, headers: HeaderMap) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut watch = app.store.watch();
    let known = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
    let newest = *watch.borrow_and_update();
    // Whoever was away for longer than changes are kept is told to look anew.
    let lost = match known {
        Some(known) => app.store.has_dropped_changes_since(known).await.unwrap_or(false),
        None => false,
    };
    let start = known.filter(|_| !lost).unwrap_or(newest);
    let reset = lost.then(|| (newest, "reset".to_owned(), String::new()));
    let state = (app, watch, start, Vec::from_iter(reset).into_iter());
    let stream = stream::unfold(state, |(app, mut watch, mut last, mut batch)| async move {
        loop {
            if let Some((id, topic, subject)) = batch.next() {
                let event = Event::default().id(format!("{id}")).event(topic).data(subject);
                return Some((Ok(event), (app, watch, id, batch)));
            }
            let found: Vec<(i64, String, String)> = app.store.changes_since(last, CHANGES_MAX).await.ok()?;
            if found.is_empty() {
                watch.changed().await.ok()?;
            } else {
                last = found.first().map_or(last, |(id, _, _)| id - 1);
                batch = found.into_iter();
            }
        }
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}
