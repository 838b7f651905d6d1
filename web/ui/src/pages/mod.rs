//! The pages. Each is a struct, a template and a handler, in one file.
mod alerts;
mod events;
mod incident;
mod incidents;
mod overview;
mod packs;
mod rules;
mod topology;

use askama::Template;
use axum::{Router, response::Html};
use store::Progress;

use crate::{App, assets, error::PageError, timeline};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .merge(overview::routes())
        .merge(incidents::routes())
        .merge(incident::routes())
        .merge(topology::routes())
        .merge(rules::routes())
        .merge(packs::routes())
        .merge(events::routes())
        .merge(alerts::routes())
}

/// A page, drawn.
type Page = Result<Html<String>, PageError>;

fn draw(page: &impl Template) -> Page {
    Ok(Html(page.render()?))
}

/// What every page shows around its content.
pub(crate) struct Frame {
    pub(crate) style: String,
    pub(crate) script: String,
    pub(crate) title: &'static str,
    pub(crate) trust: Trust,
}

/// How far the verdicts reach.
pub(crate) struct Trust {
    pub(crate) judged_to: String,
    pub(crate) behind: String,
    pub(crate) slowest: String,
    pub(crate) trouble: String,
}

impl Frame {
    async fn of(app: &App, title: &'static str) -> Result<Self, PageError> {
        let progress = app.store.progress().await?;
        Ok(Frame { style: assets::style(), script: assets::script(), title, trust: Trust::of(app, &progress) })
    }
}

impl Trust {
    fn of(app: &App, progress: &Progress) -> Self {
        Trust {
            judged_to: if progress.frontier.is_empty() { String::new() } else { timeline::clock(&progress.frontier) },
            behind: format!("{:.1} s", progress.lag_ms as f64 / 1_000.0),
            slowest: progress.slowest.clone(),
            trouble: app.backend.trouble().unwrap_or_default(),
        }
    }
}

/// What went wrong.
#[derive(Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage {
    frame: Frame,
    status: u16,
    message: String,
}

impl ErrorPage {
    pub(crate) fn new(status: u16, message: &str) -> Self {
        let trust =
            Trust { judged_to: String::new(), behind: String::new(), slowest: String::new(), trouble: String::new() };
        let frame = Frame { style: assets::style(), script: assets::script(), title: "Error", trust };
        ErrorPage { frame, status, message: message.to_owned() }
    }
}

/// A state as shape and word; colour comes from the class.
pub(crate) fn glyph(status: &str) -> &'static str {
    match status {
        "open" => "●",
        "acknowledged" => "◐",
        "resolved" => "✓",
        "late_resolved" => "⧖",
        "retracted" => "⟲",
        "closed" => "○",
        "half_open" => "◑",
        "delivered" => "✓",
        "pending" => "…",
        "failed" => "✗",
        "superseded" => "⟲",
        _ => "?",
    }
}

/// A time as people read it: date and time of day, UTC.
pub(crate) fn when(text: &str) -> String {
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time}"),
        _ => text.to_owned(),
    }
}
