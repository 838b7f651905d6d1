//! Alerts: whom Invar can page, what it sent, and what they answered.
use askama::Template;
use axum::{
    Form, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::Deserialize;
use store::{Attempt, DeliveryRow};

use super::{Frame, Page, address, draw};
use crate::{App, Receiver, Tried, error::PageError, visitor::Visitor};

const PER_PAGE: i64 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    state: String,
    cursor: String,
}

struct Row {
    delivery: DeliveryRow,
    attempts: Vec<Attempt>,
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct Alerts {
    frame: Frame,
    asked: Asked,
    receivers: Vec<Receiver>,
    waiting: i64,
    failed: i64,
    rows: Vec<Row>,
    next: Option<String>,
    /// Who was just sent a test, and how that ended.
    tried: Option<(String, Tried)>,
}

#[derive(Deserialize)]
struct Trial {
    receiver: String,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/alerts", get(list)).route("/alerts/test", post(test))
}

async fn list(State(app): State<App>, visitor: Visitor, Query(asked): Query<Asked>) -> Page {
    show(app, visitor, asked, None).await
}

async fn test(State(app): State<App>, visitor: Visitor, Form(trial): Form<Trial>) -> Page {
    let missing = || PageError(StatusCode::NOT_FOUND, format!("There is no receiver {}.", trial.receiver));
    let tried = app.backend.try_receiver(&trial.receiver).await.ok_or_else(missing)?;
    show(app, visitor, Asked::default(), Some((trial.receiver, tried))).await
}

async fn show(app: App, visitor: Visitor, asked: Asked, tried: Option<(String, Tried)>) -> Page {
    let before = asked.cursor.parse().ok();
    let found = match asked.state.as_str() {
        "" => app.store.deliveries(None, before, PER_PAGE).await?,
        state => app.store.deliveries_in(state, before, PER_PAGE).await?,
    };
    let next = (found.len() as i64 == PER_PAGE).then(|| found.last().map(|row| row.id.to_string())).flatten();
    let mut rows = Vec::new();
    for delivery in found {
        let attempts = if delivery.attempts > 0 { app.store.attempts(delivery.id).await? } else { Vec::new() };
        rows.push(Row { delivery, attempts });
    }
    draw(&Alerts {
        frame: Frame::of(&app, &visitor, "/alerts", "Alerts").await?,
        receivers: app.backend.receivers(),
        waiting: app.store.count_deliveries("pending").await?,
        failed: app.store.count_deliveries("failed").await?,
        next: next.map(|cursor| address("/alerts", &[("state", asked.state.as_str()), ("cursor", cursor.as_str())])),
        asked,
        rows,
        tried,
    })
}
