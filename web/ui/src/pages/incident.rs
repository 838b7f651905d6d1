//! One incident: what broke, in a picture and in a table; who was told; what people did.
use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, Query, State},
    response::Redirect,
    routing::{get, post},
};
use serde::Deserialize;
use store::{DeliveryRow, HistoryRow, IncidentRow, ViolationRow};

use super::{Frame, Page, draw};
use crate::{App, error::PageError, timeline};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    violation: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    what: String,
    who: String,
    text: String,
}

#[derive(Template)]
#[template(path = "incident.html")]
struct Incident {
    frame: Frame,
    incident: IncidentRow,
    about: String,
    runbook: String,
    violations: Vec<ViolationRow>,
    shown: Option<String>,
    key: Vec<(String, String)>,
    marks: Vec<timeline::Mark>,
    drawing: String,
    history: Vec<HistoryRow>,
    deliveries: Vec<DeliveryRow>,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/incidents/{id}", get(show)).route("/incidents/{id}/act", post(act))
}

async fn show(State(app): State<App>, Path(id): Path<String>, Query(asked): Query<Asked>) -> Page {
    let incident = app.store.incident(&id).await?;
    let (violations, _) = app.store.violations(&id, None, 50).await?;
    let shown = match asked.violation.as_str() {
        "" => violations.first().cloned(),
        wanted => Some(app.store.violation(wanted).await?),
    };
    let marks = shown.as_ref().map(timeline::marks).unwrap_or_default();
    let packs = app.backend.packs();
    let rule = packs
        .iter()
        .filter(|pack| pack.name == incident.pack)
        .flat_map(|pack| &pack.rules)
        .find(|rule| rule.id == incident.rule);
    let key = shown
        .as_ref()
        .and_then(|shown| shown.key.as_object())
        .map(|key| key.iter().map(|(name, value)| (name.clone(), timeline::plain(value))).collect::<Vec<_>>());
    draw(&Incident {
        frame: Frame::of(&app, "Incident").await?,
        about: rule.map(|rule| rule.about.clone()).unwrap_or_default(),
        runbook: rule.and_then(|rule| rule.runbook.clone()).unwrap_or_default(),
        drawing: timeline::draw(&marks),
        history: app.store.history(&id).await?,
        deliveries: app.store.deliveries(Some(&id), None, 50).await?,
        shown: shown.map(|shown| shown.id),
        key: key.unwrap_or_default(),
        marks,
        violations,
        incident,
    })
}

async fn act(State(app): State<App>, Path(id): Path<String>, Form(said): Form<Said>) -> Result<Redirect, PageError> {
    let who = if said.who.trim().is_empty() { "someone" } else { said.who.trim() };
    app.backend.act(&id, &said.what, who, &said.text).await?;
    Ok(Redirect::to(&format!("/incidents/{id}")))
}
