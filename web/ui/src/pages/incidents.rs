//! Incidents: the list, filtered by its address, and what can be done to many of them at once.
use askama::Template;
use axum::{
    Router,
    extract::{Query, RawForm, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;
use store::{Filter, IncidentRow, StoreError};
use url::form_urlencoded;

use super::{Frame, Page, address, draw, some};
use crate::{
    App,
    error::PageError,
    visitor::{self, Visitor},
};

const PER_PAGE: i64 = 50;

/// Counting stops here: more than anyone will look through.
const COUNTED_MAX: i64 = 10_000;

/// How many incidents one form may name.
const ACTED_MAX: usize = 200;

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

impl Asked {
    fn filter(&self) -> Filter {
        Filter {
            status: some(&self.status).filter(|status| status != "all"),
            severity: some(&self.severity),
            pack: some(&self.pack),
            rule: some(&self.rule),
            node: some(&self.node),
            q: some(&self.q),
            since: None,
        }
    }

    fn address(&self, cursor: &str) -> String {
        let parameters: [(&str, &str); 7] = [
            ("status", self.status.as_str()),
            ("severity", self.severity.as_str()),
            ("pack", self.pack.as_str()),
            ("rule", self.rule.as_str()),
            ("node", self.node.as_str()),
            ("q", self.q.as_str()),
            ("cursor", cursor),
        ];
        address("/incidents", &parameters)
    }

    fn is_filtered(&self) -> bool {
        [&self.severity, &self.pack, &self.rule, &self.node, &self.q].iter().any(|part| !part.is_empty())
    }
}

#[derive(Template)]
#[template(path = "incidents.html")]
struct Incidents {
    frame: Frame,
    packs: Vec<String>,
    filtered: bool,
    count: i64,
    more: bool,
    incidents: Vec<IncidentRow>,
    selectable: bool,
    first: Option<String>,
    next: Option<String>,
    asked: Asked,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/incidents", get(list)).route("/incidents/act", post(act))
}

async fn list(State(app): State<App>, visitor: Visitor, Query(mut asked): Query<Asked>) -> Page {
    if asked.status.is_empty() {
        asked.status = "open".to_owned();
    }
    let filter = asked.filter();
    let (incidents, next) = app.store.incidents(&filter, some(&asked.cursor).as_deref(), PER_PAGE).await?;
    let count = app.store.count_incidents(&filter, COUNTED_MAX + 1).await?;
    draw(&Incidents {
        frame: Frame::of(&app, &visitor, "/incidents", "Incidents").await?,
        packs: app.backend.packs().iter().map(|pack| pack.name.clone()).collect(),
        filtered: asked.is_filtered(),
        count: count.min(COUNTED_MAX),
        more: count > COUNTED_MAX,
        selectable: true,
        first: (!asked.cursor.is_empty()).then(|| asked.address("")),
        next: next.map(|next| asked.address(&next)),
        incidents,
        asked,
    })
}

/// Does one thing to all incidents that were ticked; what is gone meanwhile is passed over.
async fn act(State(app): State<App>, RawForm(form): RawForm) -> Result<Response, PageError> {
    let (mut ids, mut what, mut who, mut back) = (Vec::new(), String::new(), String::new(), String::new());
    for (name, value) in form_urlencoded::parse(&form) {
        match &*name {
            "id" if ids.len() < ACTED_MAX => ids.push(value.into_owned()),
            "what" => what = value.into_owned(),
            "who" => who = value.into_owned(),
            "back" => back = value.into_owned(),
            _ => {}
        }
    }
    let unfit = |message: &str| PageError(StatusCode::UNPROCESSABLE_ENTITY, message.to_owned());
    if !matches!(what.as_str(), "acknowledge" | "resolve") {
        return Err(unfit("Choose what to do: acknowledge or resolve."));
    }
    if ids.is_empty() {
        return Err(unfit("Tick the incidents first."));
    }
    for id in ids {
        match app.backend.act(&id, &what, &visitor::name_of(&who), "").await {
            Ok(_) | Err(StoreError::NotFound | StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let ours = back == "/incidents" || back.starts_with("/incidents?");
    Ok(visitor::go(if ours { &back } else { "/incidents" }, &who))
}
