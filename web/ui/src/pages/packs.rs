//! The editor: a pack's text, its mistakes, and its revisions.
use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use lang::Diagnostic;
use serde::Deserialize;
use store::{PackRow, StoreError};

use super::{Frame, draw};
use crate::{AdoptError, App, error::PageError};

struct Mistake {
    level: &'static str,
    code: &'static str,
    line: usize,
    column: usize,
    message: String,
    help: String,
    text: String,
}

#[derive(Template)]
#[template(path = "edit.html")]
struct Edit {
    frame: Frame,
    name: String,
    yaml: String,
    revision: i64,
    checked: bool,
    rules: usize,
    notice: String,
    mistakes: Vec<Mistake>,
    revisions: Vec<PackRow>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    yaml: String,
    revision: i64,
    author: String,
    save: String,
}

const BLANK: &str = "pack: my-pack\nabout: What must hold between my components.\nrules:\n  - id: request-is-answered\n    about: \
                     Each request is answered in time.\n    severity: high\n    key: [node, request.id]\n    response:\n      when: \
                     request.received\n      then: request.answered\n      within: 5s\n    message: \"{node}: request {request.id} was \
                     not answered\"\n";

pub(super) fn routes() -> Router<App> {
    Router::new().route("/packs/new", get(blank).post(send_new)).route("/packs/{name}/edit", get(edit).post(send))
}

/// Compiles a text and shows its mistakes.
fn compile(name: &str, yaml: &str) -> (Option<engine::Pack>, Vec<Mistake>) {
    let (pack, diagnostics) = lang::compile(yaml, &format!("{name}.yaml"), &lang::Options::default());
    let lines: Vec<&str> = yaml.lines().collect();
    let mistake = |diagnostic: Diagnostic| Mistake {
        level: if diagnostic.is_error() { "error" } else { "warning" },
        code: diagnostic.code.as_str(),
        text: lines.get(diagnostic.line.saturating_sub(1)).copied().unwrap_or_default().to_owned(),
        line: diagnostic.line,
        column: diagnostic.column,
        message: diagnostic.message,
        help: diagnostic.help.unwrap_or_default(),
    };
    (pack, diagnostics.into_iter().map(mistake).collect())
}

async fn page(
    app: &App,
    name: &str,
    yaml: String,
    revision: i64,
    checked: bool,
    notice: String,
) -> Result<Response, PageError> {
    let (pack, mistakes) = compile(name, &yaml);
    let revisions = if name.is_empty() { Vec::new() } else { app.store.revisions(name).await? };
    let page = draw(&Edit {
        frame: Frame::of(app, "Edit").await?,
        name: name.to_owned(),
        yaml,
        revision,
        checked,
        rules: pack.map_or(0, |pack| pack.rules.len()),
        notice,
        mistakes,
        revisions,
    })?;
    Ok(page.into_response())
}

async fn blank(State(app): State<App>) -> Result<Response, PageError> {
    page(&app, "", BLANK.to_owned(), 0, false, String::new()).await
}

async fn edit(State(app): State<App>, Path(name): Path<String>) -> Result<Response, PageError> {
    let row = app.store.pack(&name).await?;
    page(&app, &name, row.yaml, row.revision, false, String::new()).await
}

async fn send_new(State(app): State<App>, Form(sent): Form<Sent>) -> Result<Response, PageError> {
    save(app, String::new(), sent).await
}

async fn send(State(app): State<App>, Path(name): Path<String>, Form(sent): Form<Sent>) -> Result<Response, PageError> {
    save(app, name, sent).await
}

async fn save(app: App, name: String, sent: Sent) -> Result<Response, PageError> {
    // A textarea ends its lines with CR LF (HTML, form submission).
    let yaml = sent.yaml.replace("\r\n", "\n");
    let (pack, _) = compile(&name, &yaml);
    let Some(pack) = pack.filter(|_| !sent.save.is_empty()) else {
        return page(&app, &name, yaml, sent.revision, true, String::new()).await;
    };
    if !name.is_empty() && pack.name != name {
        let notice = format!("The text says `pack: {}`, but this is {name}: make a new pack instead.", pack.name);
        return page(&app, &name, yaml, sent.revision, true, notice).await;
    }
    if name.is_empty() && !matches!(app.store.pack(&pack.name).await, Err(StoreError::NotFound)) {
        let notice = format!("There is a pack {} already: edit that one, or choose another name.", pack.name);
        return page(&app, &name, yaml, sent.revision, true, notice).await;
    }
    let author = if sent.author.trim().is_empty() { "someone" } else { sent.author.trim() };
    match app.backend.adopt(&pack.name, &yaml, author, Some(sent.revision)).await {
        Ok(_) => Ok(Redirect::to("/rules").into_response()),
        Err(AdoptError::Conflict { current }) => {
            let notice = format!(
                "Someone saved revision {current} meanwhile. Your text is below; look at that revision before you save again."
            );
            page(&app, &name, yaml, current, true, notice).await
        }
        Err(AdoptError::Failed(error)) => page(&app, &name, yaml, sent.revision, true, error).await,
    }
}
