//! Rules: what is checked, and how each rule is doing.
use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use engine::{Mode, Pack, Rule};
use store::{Filter, IncidentRow, PackRow, RuleHealthRow};

use super::{Frame, Page, draw};
use crate::{App, error::PageError};

struct Row {
    pack: String,
    id: String,
    reference: String,
    kind: &'static str,
    severity: &'static str,
    about: String,
    state: &'static str,
    health: RuleHealthRow,
    open: usize,
}

#[derive(Template)]
#[template(path = "rules.html")]
struct Rules {
    frame: Frame,
    packs: Vec<PackRow>,
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "rule.html")]
struct Shown {
    frame: Frame,
    row: Row,
    key: String,
    roles: Vec<(String, String)>,
    runbook: String,
    line: u32,
    incidents: Vec<IncidentRow>,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/rules", get(list)).route("/rules/{pack}/{rule}", get(show))
}

fn row(pack: &Pack, rule: &Rule, health: &[RuleHealthRow], incidents: &[IncidentRow]) -> Row {
    let health = health.iter().find(|row| row.pack == pack.name && row.rule == rule.id).cloned().unwrap_or_default();
    let open = incidents.iter().filter(|open| open.pack == pack.name && open.rule == rule.id).count();
    let state = match (rule.enabled, rule.mode, open > 0, health.exercised.is_empty()) {
        (false, ..) => "disabled",
        (_, Mode::Shadow, ..) => "shadow",
        (_, Mode::Measure, ..) => "measure",
        (_, _, true, _) => "firing",
        (_, _, _, true) => "unexercised",
        _ => "quiet",
    };
    Row {
        pack: pack.name.clone(),
        id: rule.id.clone(),
        reference: rule.reference.clone().unwrap_or_default(),
        kind: rule.kind.name(),
        severity: rule.severity.as_str(),
        about: rule.about.clone(),
        state,
        health,
        open,
    }
}

async fn list(State(app): State<App>) -> Page {
    let health = app.store.rule_health().await?;
    let open = Filter { status: Some("open".into()), ..Filter::default() };
    let (incidents, _) = app.store.incidents(&open, None, 1_000).await?;
    let packs = app.backend.packs();
    let rows =
        packs.iter().flat_map(|pack| pack.rules.iter().map(|rule| row(pack, rule, &health, &incidents))).collect();
    draw(&Rules { frame: Frame::of(&app, "Rules").await?, packs: app.store.packs().await?, rows })
}

async fn show(State(app): State<App>, Path((pack, id)): Path<(String, String)>) -> Page {
    let packs = app.backend.packs();
    let missing = || PageError(StatusCode::NOT_FOUND, format!("There is no rule {id} in {pack}."));
    let found = packs.iter().find(|known| known.name == pack).ok_or_else(missing)?;
    let rule = found.rules.iter().find(|rule| rule.id == id).ok_or_else(missing)?;
    let health = app.store.rule_health().await?;
    let filter = Filter { pack: Some(pack.clone()), rule: Some(id.clone()), ..Filter::default() };
    let (incidents, _) = app.store.incidents(&filter, None, 25).await?;
    let open: Vec<IncidentRow> = incidents.iter().filter(|incident| incident.is_open()).cloned().collect();
    let key: Vec<&str> = rule.key.iter().map(|part| part.name.as_str()).collect();
    draw(&Shown {
        frame: Frame::of(&app, "Rule").await?,
        row: row(found, rule, &health, &open),
        key: key.join(", "),
        roles: rule.roles.iter().map(|role| (role.name.clone(), role.label.clone())).collect(),
        runbook: rule.runbook.clone().unwrap_or_default(),
        line: rule.line,
        incidents,
    })
}
