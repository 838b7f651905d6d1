//! Rules: what is checked, and how each rule is doing.
use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    routing::get,
};
use engine::{Mode, Pack, Rule};
use serde::Deserialize;
use store::{OpenCount, PackRow, RuleHealthRow};

use super::{Frame, Page, draw};
use crate::{App, visitor::Visitor};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    state: String,
    pack: String,
    q: String,
}

/// A rule with its health.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) reference: String,
    pub(super) kind: &'static str,
    pub(super) severity: &'static str,
    pub(super) about: String,
    pub(super) state: &'static str,
    pub(super) health: RuleHealthRow,
    pub(super) open: i64,
}

struct Listed {
    name: String,
    about: String,
    revision: Option<PackRow>,
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "rules.html")]
struct Rules {
    frame: Frame,
    packs: Vec<Listed>,
    names: Vec<String>,
    shown: usize,
    all: usize,
    asked: Asked,
    /// Why the rules on disk are not in force, if they are not.
    trouble: String,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/rules", get(list))
}

pub(super) fn row(pack: &Pack, rule: &Rule, health: &[RuleHealthRow], open: &[OpenCount]) -> Row {
    let health = health.iter().find(|row| row.pack == pack.name && row.rule == rule.id).cloned().unwrap_or_default();
    let own = open.iter().filter(|count| count.pack == pack.name && count.rule == rule.id);
    let open: i64 = own.map(|count| count.count).sum();
    let state = match (rule.enabled, rule.mode, open > 0, health.exercised.is_empty()) {
        (false, ..) => "disabled",
        (_, Mode::Shadow, ..) => "shadow",
        (_, Mode::Measure, ..) => "measure",
        (_, _, true, _) => "firing",
        (_, _, _, true) => "unexercised",
        _ => "quiet",
    };
    Row {
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

impl Asked {
    fn fits(&self, row: &Row) -> bool {
        let q = self.q.trim().to_lowercase();
        let state = match self.state.as_str() {
            "" => true,
            "unknown" => row.health.unknown > 0,
            "degraded" => row.health.forgotten > 0,
            state => row.state == state,
        };
        state
            && (q.is_empty()
                || [&row.id, &row.reference, &row.about].iter().any(|text| text.to_lowercase().contains(&q))
                || row.kind == q)
    }
}

async fn list(State(app): State<App>, visitor: Visitor, Query(asked): Query<Asked>) -> Page {
    let health = app.store.rule_health().await?;
    let open = app.store.open_counts().await?;
    let revisions = app.store.packs().await?;
    let packs = app.backend.packs();
    let listed = packs.iter().filter(|pack| asked.pack.is_empty() || pack.name == asked.pack).map(|pack| {
        let mut rows: Vec<Row> = pack.rules.iter().map(|rule| row(pack, rule, &health, &open)).collect();
        rows.retain(|row| asked.fits(row));
        Listed {
            name: pack.name.clone(),
            about: pack.about.clone(),
            revision: revisions.iter().find(|row| row.name == pack.name).cloned(),
            rows,
        }
    });
    let listed: Vec<Listed> = listed.collect();
    draw(&Rules {
        frame: Frame::of(&app, &visitor, "/rules", "Rules").await?,
        names: packs.iter().map(|pack| pack.name.clone()).collect(),
        shown: listed.iter().map(|pack| pack.rows.len()).sum(),
        all: packs.iter().map(|pack| pack.rules.len()).sum(),
        packs: listed,
        asked,
        trouble: app.backend.rules_trouble().unwrap_or_default(),
    })
}
