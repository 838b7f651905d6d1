//! One incident: what broke, in a picture and in a table; who was told; what people did.
use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, Query, State},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;
use store::{BreakerRow, DeliveryRow, Filter, HistoryRow, IncidentRow, ViolationRow};

use super::{Frame, Page, address, draw};
use crate::{
    App,
    error::PageError,
    text,
    timeline::{self, Mark},
    visitor::{self, Visitor},
    words,
};

/// How many violations are listed.
const VIOLATIONS_SHOWN: i64 = 50;

/// How many related incidents are listed.
const RELATED_SHOWN: i64 = 8;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    violation: String,
    /// Values are not cut.
    all: String,
    cursor: String,
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
    about: String,
    words: String,
    runbook: String,
    runbook_url: String,
    violations: Vec<ViolationRow>,
    older: Option<String>,
    shown: Option<ViolationRow>,
    current: String,
    key: Vec<(String, String)>,
    marks: Vec<Mark>,
    differences: Vec<(String, Vec<(usize, String)>)>,
    drawing: text::Markup,
    all: String,
    history: Vec<HistoryRow>,
    deliveries: Vec<DeliveryRow>,
    receivers: usize,
    breakers: Vec<BreakerRow>,
    related: Vec<IncidentRow>,
    incident: IncidentRow,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/incidents/{id}", get(show)).route("/incidents/{id}/act", post(act))
}

async fn show(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, Query(asked): Query<Asked>) -> Page {
    let incident = app.store.incident(&id).await?;
    let cursor = Some(asked.cursor.as_str()).filter(|cursor| !cursor.is_empty());
    let (violations, next) = app.store.violations(&id, cursor, VIOLATIONS_SHOWN).await?;
    let shown = match asked.violation.as_str() {
        "" => violations.first().cloned(),
        wanted => Some(app.store.violation(wanted).await?).filter(|violation| violation.incident == id),
    };
    let sender = match shown.as_ref().and_then(timeline::missing_event) {
        Some(missing) => sender_of(&app, missing).await,
        None => None,
    };
    let marks = shown.as_ref().map(|shown| timeline::marks(shown, sender.as_deref())).unwrap_or_default();
    let packs = app.backend.packs();
    let pack = packs.iter().find(|pack| pack.name == incident.pack);
    let rule = pack.and_then(|pack| pack.rules.iter().find(|rule| rule.id == incident.rule));
    let tripped: Vec<&str> = pack
        .iter()
        .flat_map(|pack| &pack.breakers)
        .filter(|breaker| breaker.trip_rules.contains(&incident.rule))
        .map(|breaker| breaker.id.as_str())
        .collect();
    let mut breakers = app.store.breakers().await?;
    breakers.retain(|row| {
        row.pack == incident.pack
            && tripped.contains(&row.id.as_str())
            && row.scope.get("node").is_none_or(|node| *node == incident.node)
    });
    let same = Filter { status: Some("open".into()), node: Some(incident.node.clone()), ..Filter::default() };
    let (mut related, _) = app.store.incidents(&same, None, RELATED_SHOWN + 1).await?;
    related.retain(|other| other.id != id);
    let key = shown
        .as_ref()
        .and_then(|shown| shown.key.as_object())
        .map(|key| key.iter().map(|(name, value)| (name.clone(), text::plain(value))).collect::<Vec<_>>());
    let violation = shown.as_ref().map_or("", |shown| shown.id.as_str());
    let path = format!("/incidents/{id}");
    draw(&Incident {
        frame: Frame::of(&app, &visitor, "/incidents", &text::fold_plain(&incident.message)).await?,
        about: rule.map(|rule| rule.about.clone()).unwrap_or_default(),
        words: pack.zip(rule).map(|(pack, rule)| words::rule(pack, rule)).unwrap_or_default(),
        runbook: rule.and_then(|rule| rule.runbook.clone()).unwrap_or_default(),
        runbook_url: incident.runbook_url.clone().filter(|url| is_web(url)).unwrap_or_default(),
        older: next.map(|next| address(&path, &[("violation", violation), ("cursor", next.as_str())])),
        drawing: timeline::draw(&marks),
        differences: timeline::differences(&marks),
        all: if asked.all.is_empty() {
            address(&path, &[("violation", violation), ("all", "1")])
        } else {
            text::SHOW_ALL.to_owned()
        },
        history: app.store.history(&id).await?,
        deliveries: app.store.deliveries(Some(&id), None, 50).await?,
        receivers: app.backend.receivers().len(),
        current: violation.to_owned(),
        key: key.unwrap_or_default(),
        violations,
        shown,
        marks,
        breakers,
        related,
        incident,
    })
}

/// Who sends an event, or the first known of several that would do (`a or b`).
async fn sender_of(app: &App, label: &str) -> Option<String> {
    for name in label.split(" or ") {
        if let Some(sender) = app.backend.sender_of(name.trim()).await {
            return Some(sender);
        }
    }
    None
}

/// Whether a link leads to the web, not to a script.
fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

async fn act(State(app): State<App>, Path(id): Path<String>, Form(said): Form<Said>) -> Result<Response, PageError> {
    app.backend.act(&id, &said.what, &visitor::name_of(&said.who), &said.text).await?;
    Ok(visitor::go(&format!("/incidents/{id}"), &said.who))
}
