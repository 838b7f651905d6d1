//! Events: searching the journal.
use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    routing::get,
};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{Frame, Page, draw};
use crate::{App, EventQuery, error::PageError, timeline};

const PER_PAGE: usize = 100;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    node: String,
    component: String,
    event: String,
    attr: String,
    trace: String,
    q: String,
    cursor: String,
}

struct Found {
    position: String,
    time: String,
    day: String,
    node: String,
    component: String,
    event: String,
    network: String,
    attrs: Vec<(String, String)>,
    trace: String,
    arrived: String,
}

#[derive(Template)]
#[template(path = "events.html")]
struct Events {
    frame: Frame,
    asked: Asked,
    events: Vec<Found>,
    next: Option<String>,
    http: String,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/events", get(search))
}

async fn search(State(app): State<App>, Query(asked): Query<Asked>) -> Page {
    let some = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    let query = EventQuery {
        node: some(&asked.node),
        component: some(&asked.component),
        event: some(&asked.event),
        trace: some(&asked.trace),
        q: some(&asked.q),
        attrs: asked
            .attr
            .split_once('=')
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .into_iter()
            .collect(),
        cursor: some(&asked.cursor),
        limit: PER_PAGE,
        ..EventQuery::default()
    };
    let (found, next) =
        app.backend.search(query).await.map_err(|error| PageError(StatusCode::UNPROCESSABLE_ENTITY, error))?;
    let events = found.iter().map(row).collect();
    draw(&Events { frame: Frame::of(&app, "Events").await?, asked, events, next, http: app.backend.endpoints().1 })
}

fn row(event: &Json) -> Found {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let ts = text("ts");
    Found {
        position: text("position"),
        time: timeline::clock(&ts),
        day: ts.get(..10).unwrap_or_default().to_owned(),
        node: text("node"),
        component: text("component"),
        event: text("event"),
        network: text("network"),
        trace: text("trace_id"),
        arrived: timeline::delta(timeline::nanos(&text("arrived")) - timeline::nanos(&ts)),
        attrs: event["attrs"]
            .as_object()
            .map(|attrs| attrs.iter().map(|(name, value)| (name.clone(), timeline::plain(value))).collect())
            .unwrap_or_default(),
    }
}
