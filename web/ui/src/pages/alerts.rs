//! Alerts: what was sent to whom, and what they answered.
use askama::Template;
use axum::{Router, extract::State, routing::get};
use store::{Attempt, DeliveryRow};

use super::{Frame, Page, draw};
use crate::App;

struct Row {
    delivery: DeliveryRow,
    attempts: Vec<Attempt>,
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct Alerts {
    frame: Frame,
    rows: Vec<Row>,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/alerts", get(list))
}

async fn list(State(app): State<App>) -> Page {
    let mut rows = Vec::new();
    for delivery in app.store.deliveries(None, None, 100).await? {
        let attempts = app.store.attempts(delivery.id).await?;
        rows.push(Row { delivery, attempts });
    }
    draw(&Alerts { frame: Frame::of(&app, "Alerts").await?, rows })
}
