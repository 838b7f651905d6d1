//! Incidents: the list, filtered by its address.
use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    routing::get,
};
use serde::Deserialize;
use store::{Filter, IncidentRow};

use super::{Frame, Page, draw};
use crate::App;

const PER_PAGE: i64 = 50;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    status: String,
    severity: String,
    pack: String,
    rule: String,
    node: String,
    q: String,
    cursor: String,
}

#[derive(Template)]
#[template(path = "incidents.html")]
struct Incidents {
    frame: Frame,
    asked: Asked,
    incidents: Vec<IncidentRow>,
    next: Option<String>,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/incidents", get(list))
}

async fn list(State(app): State<App>, Query(mut asked): Query<Asked>) -> Page {
    if asked.status.is_empty() {
        asked.status = "open".to_owned();
    }
    let some = |text: &str| (!text.is_empty() && text != "all").then(|| text.to_owned());
    let filter = Filter {
        status: some(&asked.status),
        severity: some(&asked.severity),
        pack: some(&asked.pack),
        rule: some(&asked.rule),
        node: some(&asked.node),
        q: some(&asked.q),
        since: None,
    };
    let (incidents, next) = app.store.incidents(&filter, some(&asked.cursor).as_deref(), PER_PAGE).await?;
    draw(&Incidents { frame: Frame::of(&app, "Incidents").await?, asked, incidents, next })
}
