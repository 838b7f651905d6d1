//! One breaker: how each of its scopes stands, who obeys, and how a person opens or closes it.
use std::collections::BTreeSet;

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use store::BreakerRow;

use super::{Frame, Page, draw};
use crate::{
    App, EventQuery, Force,
    error::PageError,
    text,
    visitor::{self, Visitor},
};

/// How far back nodes' reports are looked for.
const REPORTS_FROM: SignedDuration = SignedDuration::from_hours(1);

/// How many reports are read; the latest of each node count.
const REPORTS_READ: usize = 100;

/// How long a decision may stand, in minutes.
const LASTING: [(&str, i64); 5] =
    [("15 minutes", 15), ("1 hour", 60), ("4 hours", 240), ("24 hours", 1_440), ("7 days", 10_080)];

/// What a node said it acts on.
struct Report {
    node: String,
    state: String,
    at: String,
    /// It acts on another state than it is told.
    drifts: bool,
}

struct Scope {
    row: BreakerRow,
    parts: Vec<(String, String)>,
    /// The form's address with this scope filled in.
    pick: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    scope: String,
    network: String,
}

#[derive(Template)]
#[template(path = "breaker.html")]
struct Shown {
    frame: Frame,
    pack: String,
    id: String,
    about: String,
    guards: String,
    per: String,
    rules: Vec<String>,
    trips: String,
    rest: String,
    closes: String,
    enforcing: bool,
    state: &'static str,
    scopes: Vec<Scope>,
    reports: Vec<Report>,
    asked: Asked,
    known: Vec<String>,
    networks: Vec<String>,
    lasting: &'static [(&'static str, i64)],
    example: String,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/breakers/{pack}/{id}", get(show)).route("/breakers/{pack}/{id}/force", post(force))
}

fn parts(row: &BreakerRow) -> Vec<(String, String)> {
    let fields = row.scope.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), text::plain(value))).collect()
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path((pack, id)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Page {
    let missing = || PageError(StatusCode::NOT_FOUND, format!("There is no breaker {id} in {pack}."));
    let packs = app.backend.packs();
    let found = packs.iter().find(|known| known.name == pack).ok_or_else(missing)?;
    let breaker = found.breakers.iter().find(|breaker| breaker.id == id).ok_or_else(missing)?;
    let mut rows = app.store.breakers().await?;
    rows.retain(|row| row.pack == pack && row.id == id);
    let path = format!("/breakers/{pack}/{id}");
    let scopes = rows.iter().map(|row| {
        let parts = parts(row);
        let network = parts.iter().find(|(name, _)| name == "network").map_or("", |(_, value)| value);
        let own: Vec<String> =
            parts.iter().filter(|(name, _)| name != "network").map(|(name, value)| format!("{name}={value}")).collect();
        let pick = super::address(&path, &[("scope", own.join(", ").as_str()), ("network", network)]) + "#force";
        Scope { row: row.clone(), parts, pick }
    });
    let scopes: Vec<Scope> = scopes.collect();
    let sources = app.store.sources().await?;
    let known: BTreeSet<String> = match breaker.per.as_slice() {
        [only] if only == "node" => sources.iter().map(|source| format!("node={}", source.node)).collect(),
        _ => BTreeSet::new(),
    };
    let networks: BTreeSet<String> =
        sources.iter().map(|source| source.network.clone()).filter(|network| !network.is_empty()).collect();
    let within = breaker.trip_within.map(|within| format!(" within {}", text::span(within))).unwrap_or_default();
    let per: Vec<String> = breaker.per.iter().map(|part| format!("{part}=…")).collect();
    draw(&Shown {
        frame: Frame::of(&app, &visitor, "/topology", &id).await?,
        about: breaker.about.clone(),
        guards: breaker.guards.clone(),
        per: breaker.per.join(", "),
        rules: breaker.trip_rules.clone(),
        trips: match breaker.trip_count {
            1 => "at the first violation".to_owned(),
            count => format!("at {count} violations{within}"),
        },
        rest: text::span(breaker.half_open_after),
        closes: match &breaker.close {
            Some(role) if breaker.close_count > 1 => format!("after {} {}", breaker.close_count, role.label),
            Some(role) => format!("at the next {}", role.label),
            None => String::new(),
        },
        enforcing: breaker.enforcing || app.backend.enforces_breakers(),
        state: super::topology::worst(rows.iter()),
        reports: reports(&app, &id, &rows).await,
        example: format!("GET /api/v1/breakers/{id}?{}", per.join("&")),
        known: known.into_iter().collect(),
        networks: networks.into_iter().collect(),
        lasting: &LASTING,
        scopes,
        asked,
        pack,
        id,
    })
}

/// What nodes said they act on (event `circuit_breaker.state_changed`), the latest word of each.
async fn reports(app: &App, id: &str, rows: &[BreakerRow]) -> Vec<Report> {
    let query = EventQuery {
        from: Some((Timestamp::now() - REPORTS_FROM).to_string()),
        event: Some("circuit_breaker.state_changed".to_owned()),
        attrs: vec![("breaker".to_owned(), id.to_owned())],
        limit: REPORTS_READ,
        ..EventQuery::default()
    };
    let Ok(heard) = app.backend.search(query).await else { return Vec::new() };
    let mut found: Vec<Report> = Vec::new();
    for event in heard.rows {
        let node = event["node"].as_str().unwrap_or_default();
        if found.iter().any(|known| known.node == node) {
            continue;
        }
        let state = text::plain(&event["attrs"]["state"]).replace('-', "_");
        let told = rows.iter().find(|row| row.scope["node"].as_str().is_none_or(|of| of == node));
        let told = told.filter(|row| row.mode == "enforcing").map_or("closed", |row| row.state.as_str());
        let drifts = state != told;
        found.push(Report { node: node.to_owned(), state, at: text::plain(&event["ts"]), drifts });
    }
    found.sort_by(|a, b| a.node.cmp(&b.node));
    found
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Forced {
    scope: String,
    network: String,
    what: String,
    minutes: String,
    reason: String,
    who: String,
}

async fn force(
    State(app): State<App>,
    Path((pack, id)): Path<(String, String)>,
    Form(forced): Form<Forced>,
) -> Result<Response, PageError> {
    let wrong = |text: &str| PageError(StatusCode::UNPROCESSABLE_ENTITY, text.to_owned());
    if forced.reason.trim().is_empty() || forced.who.trim().is_empty() {
        return Err(wrong("Say who you are and why: both are kept with the breaker."));
    }
    let open = match forced.what.as_str() {
        "open" => true,
        "close" => false,
        _ => return Err(wrong("Choose whether to open or to close it.")),
    };
    let packs = app.backend.packs();
    let breaker = packs
        .iter()
        .filter(|known| known.name == pack)
        .find_map(|known| known.breakers.iter().find(|breaker| breaker.id == id))
        .ok_or_else(|| PageError(StatusCode::NOT_FOUND, format!("There is no breaker {id} in {pack}.")))?;
    let scope = scope(&forced.scope, &breaker.per).map_err(|text| wrong(&text))?;
    let until = match forced.minutes.as_str() {
        "" => None,
        minutes => {
            let minutes: i64 =
                minutes.parse().map_err(|_| wrong("The time it should stand is no number of minutes."))?;
            Some((Timestamp::now() + SignedDuration::from_mins(minutes.clamp(1, 60 * 24 * 366))).to_string())
        }
    };
    let force = Force {
        breaker: id.clone(),
        pack: pack.clone(),
        network: forced.network.trim().to_owned(),
        scope,
        open,
        until,
        reason: forced.reason,
        by: visitor::name_of(&forced.who),
    };
    app.backend.force_breaker(force).await.map_err(|error| wrong(&error))?;
    Ok(visitor::go(&format!("/breakers/{pack}/{id}"), &forced.who))
}

/// `node=n1, channel=c` as the parts that the breaker is kept per, all of them and no others.
fn scope(text: &str, per: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), value.trim()),
            None if per.len() == 1 => (per[0].as_str(), part),
            None => return Err(format!("`{part}`: write the scope as NAME=VALUE")),
        };
        found.push((name.to_owned(), value.to_owned()));
    }
    let missing: Vec<&str> =
        per.iter().filter(|part| !found.iter().any(|(name, _)| name == *part)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Err(format!("The scope lacks {}: this breaker is kept per {}.", missing.join(", "), per.join(", ")));
    }
    if let Some((other, _)) = found.iter().find(|(name, _)| !per.contains(name)) {
        return Err(format!("`{other}` is no part of the scope: this breaker is kept per {}.", per.join(", ")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_names_all_parts_and_no_others() {
        let per = ["node".to_owned()];
        assert_eq!(scope(" node = n1 ", &per).unwrap(), [("node".to_owned(), "n1".to_owned())]);
        assert_eq!(scope("n1", &per).unwrap(), [("node".to_owned(), "n1".to_owned())]);
        assert!(scope("", &per).unwrap_err().contains("lacks node"));
        assert!(scope("node=n1, x=2", &per).unwrap_err().contains("`x`"));
        assert_eq!(scope("", &[]).unwrap(), []);
    }
}
