//! The editor: a pack's text, its mistakes, its revisions, and what changed between them.
use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use lang::Diagnostic;
use serde::Deserialize;
use similar::{ChangeTag, TextDiff};
use store::{PackRow, StoreError};

use super::{Frame, Page, draw};
use crate::{
    AdoptError, App,
    error::PageError,
    text,
    visitor::{self, Visitor},
};

/// The longest pack that the editor takes.
const YAML_MAX: usize = 1 << 20;

/// How many lines around a change are shown.
const CONTEXT: usize = 3;

/// How many lines of a difference are shown.
const DIFF_MAX: usize = 2_000;

struct Mistake {
    level: &'static str,
    code: &'static str,
    line: usize,
    column: usize,
    message: String,
    help: String,
    text: String,
}

/// One line of a difference.
struct Line {
    class: &'static str,
    sign: &'static str,
    number: String,
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
    line: usize,
    rules: usize,
    notice: String,
    conflict: Vec<Line>,
    mistakes: Vec<Mistake>,
    revisions: Vec<PackRow>,
}

#[derive(Template)]
#[template(path = "revision.html")]
struct Revision {
    frame: Frame,
    row: PackRow,
    before: i64,
    lines: Vec<Line>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    yaml: String,
    revision: i64,
    author: String,
    save: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    line: usize,
    /// Start from this revision's text.
    from: Option<i64>,
}

const BLANK: &str = "pack: my-pack\nabout: What must hold between my components.\nrules:\n  - id: request-is-answered\n    about: \
                     Each request is answered in time.\n    severity: high\n    key: [node, request.id]\n    response:\n      when: \
                     request.received\n      then: request.answered\n      within: 5s\n    message: \"{node}: request {request.id} was \
                     not answered\"\n";

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/packs", get(|| async { Redirect::to("/rules") }))
        .route("/packs/new", get(blank).post(send_new))
        .route("/packs/{name}", get(to_editor))
        .route("/packs/{name}/edit", get(edit).post(send))
        .route("/packs/{name}/revisions/{revision}", get(revision))
}

/// A pack's page is its editor.
async fn to_editor(Path(name): Path<String>) -> Redirect {
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    Redirect::to(&format!("/packs/{name}/edit"))
}

/// Compiles a text and shows its mistakes.
fn compile(name: &str, yaml: &str) -> (Option<engine::Pack>, Vec<Mistake>) {
    let (pack, diagnostics) = lang::compile(yaml, &format!("{name}.yaml"), &lang::Options::default());
    let lines: Vec<&str> = yaml.lines().collect();
    let mistake = |diagnostic: Diagnostic| Mistake {
        level: if diagnostic.is_error() { "error" } else { "warning" },
        code: diagnostic.code.as_str(),
        text: text::cut(lines.get(diagnostic.line.saturating_sub(1)).copied().unwrap_or_default(), 240),
        line: diagnostic.line,
        column: diagnostic.column,
        message: diagnostic.message,
        help: diagnostic.help.unwrap_or_default(),
    };
    (pack, diagnostics.into_iter().map(mistake).collect())
}

/// The lines that differ, with a few around them.
fn difference(before: &str, after: &str) -> Vec<Line> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for (number, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if number > 0 {
            lines.push(Line { class: "gap", sign: "", number: String::new(), text: "⋯".to_owned() });
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (class, sign) = match change.tag() {
                ChangeTag::Delete => ("gone", "−"),
                ChangeTag::Insert => ("new", "+"),
                ChangeTag::Equal => ("same", ""),
            };
            let at = change.new_index().or(change.old_index()).map_or(0, |index| index + 1);
            lines.push(Line {
                class,
                sign,
                number: at.to_string(),
                text: text::cut(change.value().trim_end_matches('\n'), 400),
            });
        }
    }
    lines.truncate(DIFF_MAX);
    lines
}

/// What the editor shows.
#[derive(Default)]
struct Draft {
    name: String,
    yaml: String,
    revision: i64,
    checked: bool,
    line: usize,
    notice: String,
    conflict: Vec<Line>,
}

async fn page(app: &App, visitor: &Visitor, draft: Draft) -> Result<Response, PageError> {
    let (pack, mistakes) = compile(&draft.name, &draft.yaml);
    let mut revisions = if draft.name.is_empty() { Vec::new() } else { app.store.revisions(&draft.name).await? };
    revisions.truncate(30);
    let title = if draft.name.is_empty() { "New pack".to_owned() } else { format!("Edit {}", draft.name) };
    let status = if draft.notice.is_empty() { StatusCode::OK } else { StatusCode::CONFLICT };
    let page = draw(&Edit {
        frame: Frame::of(app, visitor, "/rules", &title).await?,
        name: draft.name,
        yaml: draft.yaml,
        revision: draft.revision,
        checked: draft.checked,
        line: draft.line,
        rules: pack.map_or(0, |pack| pack.rules.len()),
        notice: draft.notice,
        conflict: draft.conflict,
        mistakes,
        revisions,
    })?;
    Ok((status, page).into_response())
}

async fn blank(State(app): State<App>, visitor: Visitor) -> Result<Response, PageError> {
    page(&app, &visitor, Draft { yaml: BLANK.to_owned(), ..Draft::default() }).await
}

async fn edit(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let row = app.store.pack(&name).await?;
    let yaml = match asked.from {
        None => row.yaml,
        Some(from) => of(&app, &name, from).await?.yaml,
    };
    page(&app, &visitor, Draft { name, yaml, revision: row.revision, line: asked.line, ..Draft::default() }).await
}

async fn of(app: &App, name: &str, revision: i64) -> Result<PackRow, PageError> {
    let found = app.store.revisions(name).await?.into_iter().find(|row| row.revision == revision);
    found.ok_or_else(|| PageError(StatusCode::NOT_FOUND, format!("{name} has no revision {revision}.")))
}

async fn revision(State(app): State<App>, visitor: Visitor, Path((name, number)): Path<(String, i64)>) -> Page {
    let row = of(&app, &name, number).await?;
    let all = app.store.revisions(&name).await?;
    let before = all.iter().find(|other| other.revision < number);
    draw(&Revision {
        frame: Frame::of(&app, &visitor, "/rules", &format!("{name}, revision {number}")).await?,
        lines: difference(before.map_or("", |before| &before.yaml), &row.yaml),
        before: before.map_or(0, |before| before.revision),
        row,
    })
}

async fn send_new(State(app): State<App>, visitor: Visitor, Form(sent): Form<Sent>) -> Result<Response, PageError> {
    save(app, visitor, String::new(), sent).await
}

async fn send(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(sent): Form<Sent>,
) -> Result<Response, PageError> {
    save(app, visitor, name, sent).await
}

async fn save(app: App, visitor: Visitor, name: String, sent: Sent) -> Result<Response, PageError> {
    if sent.yaml.len() > YAML_MAX {
        return Err(PageError(StatusCode::PAYLOAD_TOO_LARGE, "A pack has at most a megabyte.".to_owned()));
    }
    // A textarea ends its lines with CR LF (HTML, form submission).
    let yaml = sent.yaml.replace("\r\n", "\n");
    let draft = Draft { name, yaml, revision: sent.revision, checked: true, ..Draft::default() };
    let (pack, _) = compile(&draft.name, &draft.yaml);
    let Some(pack) = pack.filter(|_| !sent.save.is_empty()) else {
        return page(&app, &visitor, draft).await;
    };
    if !draft.name.is_empty() && pack.name != draft.name {
        let notice =
            format!("The text says `pack: {}`, but this is {}: make a new pack instead.", pack.name, draft.name);
        return page(&app, &visitor, Draft { notice, ..draft }).await;
    }
    if draft.name.is_empty() && !matches!(app.store.pack(&pack.name).await, Err(StoreError::NotFound)) {
        let notice = format!("There is a pack {} already: edit that one, or choose another name.", pack.name);
        return page(&app, &visitor, Draft { notice, ..draft }).await;
    }
    // A new pack of an old name goes on from its last revision, which is no longer in force.
    match app.backend.adopt(&pack.name, &draft.yaml, &visitor::name_of(&sent.author), Some(sent.revision)).await {
        Ok(_) => Ok(visitor::go(&super::address("/rules", &[("pack", &pack.name)]), &sent.author)),
        Err(AdoptError::Conflict { current }) => {
            let theirs = app.store.pack(&pack.name).await?;
            let notice = format!(
                "{} saved revision {current} while you were editing revision {}. Nothing of yours was saved. \
                 Below is what saving your text now would change in theirs.",
                theirs.author, sent.revision
            );
            let conflict = difference(&theirs.yaml, &draft.yaml);
            page(&app, &visitor, Draft { notice, conflict, revision: current, ..draft }).await
        }
        Err(AdoptError::Failed(notice)) => page(&app, &visitor, Draft { notice, ..draft }).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_changed_with_a_little_around_it() {
        let before = (1..=30).map(|line| format!("line {line}\n")).collect::<String>();
        let after = before.replace("line 15\n", "line fifteen\n");
        let lines = difference(&before, &after);
        let said: Vec<String> =
            lines.iter().map(|line| format!("{}{} {}", line.sign, line.number, line.text)).collect();
        assert!(said.contains(&"−15 line 15".to_owned()) && said.contains(&"+15 line fifteen".to_owned()), "{said:?}");
        assert_eq!(lines.len(), 8);
    }
}
