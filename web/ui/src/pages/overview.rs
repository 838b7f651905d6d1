//! Overview: is anything wrong, and can I believe this page?
use askama::Template;
use axum::{Router, extract::State, routing::get};
use store::{BreakerRow, Filter, IncidentRow};

use super::{Frame, Page, draw};
use crate::App;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    severities: Vec<(String, i64)>,
    open: i64,
    unacknowledged: i64,
    breakers: Vec<BreakerRow>,
    failing: i64,
    waiting: i64,
    incidents: Vec<IncidentRow>,
    firing: usize,
    healthy: usize,
    unexercised: usize,
    unknown: usize,
    degraded: usize,
    sources: usize,
    silent: Vec<String>,
    events: i64,
    packs: usize,
    grpc: String,
    http: String,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/", get(overview))
}

async fn overview(State(app): State<App>) -> Page {
    let by_severity = app.store.open_by_severity().await?;
    let count =
        |name: &str| by_severity.iter().find(|(severity, _, _)| severity == name).map_or(0, |(_, count, _)| *count);
    let severities = ["critical", "high", "medium", "low", "info"].map(|name| (name.to_owned(), count(name))).to_vec();
    let breakers = app.store.breakers().await?.into_iter().filter(|breaker| breaker.state != "closed").collect();
    let open = Filter { status: Some("open".into()), ..Filter::default() };
    let (incidents, _) = app.store.incidents(&open, None, 12).await?;
    let health = app.store.rule_health().await?;
    let sources = app.store.sources().await?;
    let progress = app.store.progress().await?;
    let now = crate::timeline::nanos(&progress.arrived);
    let silent = sources
        .iter()
        .filter(|source| now - crate::timeline::nanos(&source.last_seen) > 60_000_000_000)
        .map(|source| format!("{} {}", source.node, source.component))
        .collect();
    let (grpc, http) = app.backend.endpoints();
    let firing = health
        .iter()
        .filter(|rule| incidents.iter().any(|open| open.rule == rule.rule && open.pack == rule.pack))
        .count();
    draw(&Overview {
        frame: Frame::of(&app, "Overview").await?,
        open: by_severity.iter().map(|(_, count, _)| count).sum(),
        unacknowledged: by_severity.iter().map(|(_, _, unseen)| unseen).sum(),
        severities,
        breakers,
        failing: app.store.count_deliveries("failed").await?,
        waiting: app.store.count_deliveries("pending").await?,
        incidents,
        firing,
        healthy: health.iter().filter(|rule| !rule.exercised.is_empty()).count().saturating_sub(firing),
        unexercised: health.iter().filter(|rule| rule.exercised.is_empty()).count(),
        unknown: health.iter().filter(|rule| rule.unknown > 0).count(),
        degraded: health.iter().filter(|rule| rule.forgotten > 0).count(),
        events: sources.iter().map(|source| source.events).sum(),
        sources: sources.len(),
        silent,
        packs: app.backend.packs().len(),
        grpc,
        http,
    })
}
