//! The JSON API. Lists answer `{"items": […], "next": cursor}`, errors are problems (RFC 9457).
use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{BreakerRow, Filter};

use crate::{
    AdoptError, App, EventQuery, Force,
    error::{Params, Problem, Sent},
};

type Answer = Result<Json<Value>, Problem>;

/// Every route with its method, as `/api/openapi.json` lists them.
const ROUTES: &[(&str, &str, &str)] = &[
    ("get", "/api/v1/incidents", "Incidents, those touched last first"),
    ("get", "/api/v1/incidents/{id}", "One incident"),
    ("get", "/api/v1/incidents/{id}/violations", "The violations kept of an incident"),
    ("post", "/api/v1/incidents/{id}/acknowledge", "Say that you have it"),
    ("post", "/api/v1/incidents/{id}/resolve", "Close it"),
    ("post", "/api/v1/incidents/{id}/comments", "Say something"),
    ("get", "/api/v1/packs", "The packs in force"),
    ("post", "/api/v1/packs/validate", "Compile a pack and list its mistakes"),
    ("get", "/api/v1/packs/{name}", "One pack"),
    ("put", "/api/v1/packs/{name}", "Put a pack in force"),
    ("delete", "/api/v1/packs/{name}", "Take a pack out of force"),
    ("get", "/api/v1/packs/{name}/revisions", "A pack's revisions"),
    ("get", "/api/v1/rules", "Rules with their health"),
    ("get", "/api/v1/rules/{pack}/{rule}", "One rule"),
    ("get", "/api/v1/breakers", "Breakers"),
    ("get", "/api/v1/breakers/{id}", "One breaker, for nodes: waits for a change with wait=30s"),
    ("post", "/api/v1/breakers/{id}/trip", "Open it by hand"),
    ("post", "/api/v1/breakers/{id}/reset", "Close it by hand"),
    ("get", "/api/v1/events", "Search the journal"),
    ("get", "/api/v1/topology", "Components and channels"),
    ("get", "/api/v1/sources", "Who sends, and how late"),
    ("get", "/api/v1/refused", "The ledger of refused records"),
    ("get", "/api/v1/deliveries", "What was sent"),
    ("post", "/api/v1/receivers/{name}/test", "Send a receiver a test, and what ends it"),
];

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/incidents", get(incidents))
        .route("/api/v1/incidents/{id}", get(incident))
        .route("/api/v1/incidents/{id}/violations", get(violations))
        .route("/api/v1/incidents/{id}/acknowledge", post(acknowledge))
        .route("/api/v1/incidents/{id}/resolve", post(resolve))
        .route("/api/v1/incidents/{id}/comments", post(comment))
        .route("/api/v1/packs", get(packs))
        .route("/api/v1/packs/validate", post(validate))
        .route("/api/v1/packs/{name}", get(pack).put(put_pack).delete(delete_pack))
        .route("/api/v1/packs/{name}/revisions", get(revisions))
        .route("/api/v1/rules", get(rules))
        .route("/api/v1/rules/{pack}/{rule}", get(rule))
        .route("/api/v1/breakers", get(breakers))
        .route("/api/v1/breakers/{id}", get(breaker))
        .route("/api/v1/breakers/{id}/trip", post(trip))
        .route("/api/v1/breakers/{id}/reset", post(reset))
        .route("/api/v1/events", get(events))
        .route("/api/v1/topology", get(topology))
        .route("/api/v1/sources", get(sources))
        .route("/api/v1/refused", get(refused))
        .route("/api/v1/deliveries", get(deliveries))
        .route("/api/v1/receivers/{name}/test", post(try_receiver))
        .route("/api/openapi.json", get(openapi))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

fn items<T: serde::Serialize>(items: T, next: Option<String>) -> Answer {
    Ok(Json(json!({"items": items, "next": next})))
}

fn row<T: serde::Serialize>(row: T) -> Answer {
    Ok(Json(serde_json::to_value(row).unwrap_or_default()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    status: Option<String>,
    rule: Option<String>,
    pack: Option<String>,
    node: Option<String>,
    severity: Option<String>,
    since: Option<String>,
    q: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
    incident: Option<String>,
}

impl Asked {
    fn limit(&self) -> i64 {
        self.limit.unwrap_or(100).clamp(1, 1_000)
    }
}

/// The statuses an incident can have; asked for `open`, acknowledged ones are meant too.
const STATUSES: &[&str] = &["open", "acknowledged", "resolved", "late_resolved", "retracted"];

/// Makes a filter that could never match anything a problem instead.
fn one_of(name: &'static str, value: Option<&str>, known: &[&str]) -> Result<(), Problem> {
    match value {
        Some(value) if !known.contains(&value) => {
            Err(Problem::new(StatusCode::BAD_REQUEST, name, format!("`{value}` is none of {}", known.join(", "))))
        }
        _ => Ok(()),
    }
}

/// A time as the store writes it: rows compare by their text.
fn stored_time(name: &'static str, text: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = text else { return Ok(None) };
    match engine::expr::parse_timestamp(&text) {
        Some(time) => Ok(Some(time.to_string())),
        None => {
            let detail = format!("`{text}` is not a time; write 2026-11-20T12:00:00Z");
            Err(Problem::new(StatusCode::BAD_REQUEST, name, detail))
        }
    }
}

async fn incidents(State(app): State<App>, Params(asked): Params<Asked>) -> Answer {
    let limit = asked.limit();
    one_of("status", asked.status.as_deref(), STATUSES)?;
    one_of("severity", asked.severity.as_deref(), &["critical", "high", "medium", "low", "info"])?;
    let cursor = asked.cursor;
    let filter = Filter {
        status: asked.status,
        rule: asked.rule,
        pack: asked.pack,
        node: asked.node,
        severity: asked.severity,
        since: stored_time("since", asked.since)?,
        q: asked.q,
    };
    let (rows, next) = app.store.incidents(&filter, cursor.as_deref(), limit).await?;
    items(rows, next)
}

async fn incident(State(app): State<App>, Path(id): Path<String>) -> Answer {
    row(app.store.incident(&id).await?)
}

async fn violations(State(app): State<App>, Path(id): Path<String>, Params(asked): Params<Asked>) -> Answer {
    app.store.incident(&id).await?;
    let (rows, next) = app.store.violations(&id, asked.cursor.as_deref(), asked.limit()).await?;
    items(rows, next)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Said {
    by: String,
    text: String,
}

async fn act(app: App, id: &str, what: &str, said: Said) -> Answer {
    let by = if said.by.is_empty() { "api" } else { &said.by };
    row(app.backend.act(id, what, by, &said.text).await?)
}

async fn acknowledge(State(app): State<App>, Path(id): Path<String>, Sent(said): Sent<Said>) -> Answer {
    act(app, &id, "acknowledge", said).await
}

async fn resolve(State(app): State<App>, Path(id): Path<String>, Sent(said): Sent<Said>) -> Answer {
    act(app, &id, "resolve", said).await
}

async fn comment(State(app): State<App>, Path(id): Path<String>, Sent(said): Sent<Said>) -> Answer {
    act(app, &id, "comment", said).await
}

async fn packs(State(app): State<App>) -> Answer {
    items(app.store.packs().await?, None)
}

async fn pack(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Problem> {
    let found = app.store.pack(&name).await?;
    let tag = format!("\"{}\"", found.revision);
    Ok(([(header::ETAG, tag)], Json(found)).into_response())
}

async fn revisions(State(app): State<App>, Path(name): Path<String>) -> Answer {
    items(app.store.revisions(&name).await?, None)
}

async fn validate(body: String) -> Response {
    let (pack, diagnostics) = lang::compile(&body, "pack.yaml", &lang::Options::default());
    let status = if pack.is_some() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let rules = pack.map_or(0, |pack| pack.rules.len());
    (status, Json(json!({"rules": rules, "diagnostics": diagnostics}))).into_response()
}

async fn put_pack(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Problem> {
    let (pack, diagnostics) = lang::compile(&body, &format!("{name}.yaml"), &lang::Options::default());
    let refused = |title, detail: String| Problem {
        more: json!({"diagnostics": diagnostics}),
        ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, title, detail)
    };
    let Some(pack) = pack else {
        let count = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
        return Err(refused("the pack has mistakes", format!("{count} mistakes; the pack in force stays")));
    };
    if pack.name != name {
        return Err(refused("another name", format!("the text says `pack: {}`", pack.name)));
    }
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let expected = match header(header::IF_MATCH) {
        None | Some("*") => None,
        Some(tag) => Some(tag.trim_matches('"').parse::<i64>().map_err(|_| {
            Problem::new(StatusCode::BAD_REQUEST, "If-Match", "If-Match holds a revision in quotes, as ETag gives it")
        })?),
    };
    let author = headers.get("x-author").and_then(|value| value.to_str().ok()).unwrap_or("api");
    match app.backend.adopt(&name, &body, author, expected).await {
        Ok(revision) => {
            let tag = format!("\"{revision}\"");
            Ok(([(header::ETAG, tag)], Json(json!({"name": name, "revision": revision, "diagnostics": diagnostics})))
                .into_response())
        }
        Err(AdoptError::Conflict { current }) => Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "another revision is in force",
            format!("revision {current} is in force"),
        )),
        Err(AdoptError::Failed(error)) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not adopted", error)),
    }
}

async fn delete_pack(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    app.backend.drop_pack(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rules(State(app): State<App>) -> Answer {
    let health = app.store.rule_health().await?;
    let rows: Vec<Value> = app
        .backend
        .packs()
        .iter()
        .flat_map(|pack| pack.rules.iter().map(|rule| rule_json(pack, rule, &health)).collect::<Vec<_>>())
        .collect();
    items(rows, None)
}

async fn rule(State(app): State<App>, Path((pack, id)): Path<(String, String)>) -> Answer {
    let health = app.store.rule_health().await?;
    let packs = app.backend.packs();
    let found = packs
        .iter()
        .filter(|known| known.name == pack)
        .find_map(|pack| pack.rules.iter().find(|rule| rule.id == id).map(|rule| rule_json(pack, rule, &health)));
    found.map(Json).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "not found", format!("no rule {id} in {pack}")))
}

fn rule_json(pack: &engine::Pack, rule: &engine::Rule, health: &[store::RuleHealthRow]) -> Value {
    let key: Vec<&str> = rule.key.iter().map(|part| part.name.as_str()).collect();
    json!({
        "pack": pack.name,
        "rule": rule.id,
        "ref": rule.reference,
        "kind": rule.kind.name(),
        "severity": rule.severity.as_str(),
        "about": rule.about,
        "enabled": rule.enabled,
        "key": key,
        "health": health.iter().find(|row| row.pack == pack.name && row.rule == rule.id),
    })
}

async fn breakers(State(app): State<App>) -> Answer {
    items(app.store.breakers().await?, None)
}

/// What a node may do: the breaker of its scope. A scope that never moved is closed.
async fn breaker(
    State(app): State<App>,
    Path(id): Path<String>,
    Params(asked): Params<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    const WAIT_MAX: Duration = Duration::from_secs(60);
    let wait = asked
        .iter()
        .find(|(name, _)| name == "wait")
        .and_then(|(_, text)| text.strip_suffix('s').unwrap_or(text).parse::<u64>().ok().map(Duration::from_secs));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut changes = app.store.watch();
    let deadline = tokio::time::Instant::now() + wait.unwrap_or_default().min(WAIT_MAX);
    loop {
        changes.mark_unchanged();
        let (tag, body) = breaker_now(&app, &id, &asked).await?;
        if known.as_deref() != Some(&tag) {
            return Ok(([(header::ETAG, tag)], Json(body)).into_response());
        }
        let waited = tokio::time::timeout_at(deadline, changes.changed()).await;
        if !matches!(waited, Ok(Ok(()))) {
            return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
        }
    }
}

async fn breaker_now(app: &App, id: &str, asked: &[(String, String)]) -> Result<(String, Value), Problem> {
    let packs = app.backend.packs();
    let definition = packs
        .iter()
        .find_map(|pack| pack.breakers.iter().find(|breaker| breaker.id == id).map(|breaker| (pack, breaker)));
    let Some((pack, definition)) = definition else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "not found", format!("no pack in force has a breaker {id}")));
    };
    let fits = |row: &&BreakerRow| {
        row.id == id
            && asked.iter().filter(|(name, _)| name != "wait").all(|(name, value)| {
                let found = row.scope.get(name);
                found.is_some_and(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned) == *value)
            })
    };
    let rows = app.store.breakers().await?;
    // Where the question leaves parts of the scope open, the worst that fits is the answer.
    let rank = |row: &BreakerRow| match row.state.as_str() {
        "open" => 2,
        "half_open" => 1,
        _ => 0,
    };
    let body = match rows.iter().filter(fits).max_by_key(|row| rank(row)) {
        Some(row) => serde_json::to_value(row).unwrap_or_default(),
        None => {
            let scope: serde_json::Map<String, Value> = asked
                .iter()
                .filter(|(name, _)| name != "wait")
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect();
            json!({"id": id, "pack": pack.name, "scope": scope, "state": "closed",
                   "mode": if definition.enforcing || app.backend.enforces_breakers() { "enforcing" } else { "advisory" },
                   "since": Value::Null, "reason": "", "by": "", "until": Value::Null})
        }
    };
    let tag = format!("\"{}-{}\"", body["state"].as_str().unwrap_or_default(), body["since"].as_str().unwrap_or("0"));
    Ok((tag, body))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Forced {
    pack: String,
    network: String,
    scope: std::collections::BTreeMap<String, String>,
    reason: String,
    by: String,
    until: Option<String>,
}

async fn force(app: App, id: String, open: bool, forced: Forced) -> Result<StatusCode, Problem> {
    let unfit = |detail: &str| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "a reason is needed", detail);
    if forced.reason.trim().is_empty() || forced.by.trim().is_empty() {
        return Err(unfit("give `reason` and `by`: both are kept with the breaker"));
    }
    let force = Force {
        breaker: id,
        pack: forced.pack,
        network: forced.network,
        scope: forced.scope.into_iter().collect(),
        open,
        until: forced.until,
        reason: forced.reason,
        by: forced.by,
    };
    app.backend.force_breaker(force).await.map_err(|error| unfit(&error))?;
    Ok(StatusCode::ACCEPTED)
}

async fn trip(
    State(app): State<App>,
    Path(id): Path<String>,
    Sent(forced): Sent<Forced>,
) -> Result<StatusCode, Problem> {
    force(app, id, true, forced).await
}

async fn reset(
    State(app): State<App>,
    Path(id): Path<String>,
    Sent(forced): Sent<Forced>,
) -> Result<StatusCode, Problem> {
    force(app, id, false, forced).await
}

async fn events(State(app): State<App>, Params(asked): Params<Vec<(String, String)>>) -> Answer {
    let mut query = EventQuery { limit: 100, ..EventQuery::default() };
    for (name, value) in asked {
        match name.as_str() {
            "from" => query.from = Some(value),
            "to" => query.to = Some(value),
            "network" => query.network = Some(value),
            "node" => query.node = Some(value),
            "component" => query.component = Some(value),
            "event" => query.event = Some(value),
            "trace" => query.trace = Some(value),
            "q" => query.q = Some(value),
            "cursor" => query.cursor = Some(value),
            "limit" => match value.parse::<usize>() {
                Ok(limit) => query.limit = limit.clamp(1, 1_000),
                Err(_) => return Err(Problem::new(StatusCode::BAD_REQUEST, "limit", "limit is a number, 1 to 1000")),
            },
            "attr" => match value.split_once('=') {
                Some((name, value)) => query.attrs.push((name.to_owned(), value.to_owned())),
                None => return Err(Problem::new(StatusCode::BAD_REQUEST, "attr", "write attr=NAME=VALUE")),
            },
            other => {
                let detail = format!(
                    "`{other}` is no parameter: from, to, network, node, component, event, attr, trace, q, cursor, limit"
                );
                return Err(Problem::new(StatusCode::BAD_REQUEST, "unknown parameter", detail));
            }
        }
    }
    let found = app.backend.search(query).await;
    let found = found.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "search", error))?;
    let mut answer = json!({"items": found.rows, "next": found.next});
    if !found.lost.is_empty() {
        answer["lost"] = found.lost.into();
    }
    Ok(Json(answer))
}

async fn topology(State(app): State<App>) -> Answer {
    let packs: Vec<Value> = app
        .backend
        .packs()
        .iter()
        .map(|pack| {
            let components: Vec<Value> = pack
                .topology
                .iter()
                .map(|component| json!({"name": component.name, "about": component.about, "sends_to": component.sends_to}))
                .collect();
            json!({"pack": pack.name, "components": components})
        })
        .collect();
    items(packs, None)
}

async fn sources(State(app): State<App>) -> Answer {
    items(app.store.sources().await?, None)
}

async fn refused(State(app): State<App>, Params(asked): Params<Asked>) -> Answer {
    items(app.store.refused(asked.limit()).await?, None)
}

async fn deliveries(State(app): State<App>, Params(asked): Params<Asked>) -> Answer {
    let before = asked.cursor.as_deref().and_then(|cursor| cursor.parse().ok());
    let rows = app.store.deliveries(asked.incident.as_deref(), before, asked.limit()).await?;
    let next = (rows.len() as i64 == asked.limit()).then(|| rows.last().map(|row| row.id.to_string())).flatten();
    items(rows, next)
}

async fn try_receiver(State(app): State<App>, Path(name): Path<String>) -> Answer {
    let tried = app.backend.try_receiver(&name).await;
    row(tried
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "not found", format!("there is no receiver {name}")))?)
}

async fn ready(State(app): State<App>) -> Response {
    match app.backend.trouble() {
        None => "ready\n".into_response(),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")).into_response(),
    }
}

async fn metrics(State(app): State<App>) -> Response {
    let (kind, body) = app.backend.metrics().await;
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

async fn openapi() -> Json<Value> {
    let mut paths = serde_json::Map::new();
    for (method, path, summary) in ROUTES {
        let parameters: Vec<Value> = path
            .split('{')
            .skip(1)
            .filter_map(|part| part.split('}').next())
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        paths.entry(*path).or_insert_with(|| json!({}))[*method] = json!({
            "summary": summary,
            "parameters": parameters,
            "responses": {"200": {"description": "as asked"}, "default": {"description": "application/problem+json"}},
        });
    }
    Json(json!({
        "openapi": "3.1.0",
        "info": {"title": "Invar", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
    }))
}
