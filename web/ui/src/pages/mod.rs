//! The pages. Each is a struct, a template and a handler, in one file.
mod alerts;
mod breaker;
mod events;
mod incident;
mod incidents;
mod overview;
mod packs;
mod rule;
mod rules;
mod topology;

use askama::Template;
use axum::{Router, response::Html};
use jiff::Timestamp;
use store::Progress;
use url::form_urlencoded;

use crate::{App, assets, error::PageError, text, visitor::Visitor};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .merge(overview::routes())
        .merge(incidents::routes())
        .merge(incident::routes())
        .merge(topology::routes())
        .merge(breaker::routes())
        .merge(rules::routes())
        .merge(rule::routes())
        .merge(packs::routes())
        .merge(events::routes())
        .merge(alerts::routes())
}

/// A page, drawn.
type Page = Result<Html<String>, PageError>;

fn draw(page: &impl Template) -> Page {
    Ok(Html(page.render()?))
}

/// What must not be heard of the checker for the page to say that it stands still.
const STILL_AFTER: i128 = 15_000_000_000;

/// The pages' names, addresses and the key after `g`.
const PAGES: [(&str, &str, &str); 6] = [
    ("Overview", "/", "o"),
    ("Incidents", "/incidents", "i"),
    ("Topology", "/topology", "t"),
    ("Rules", "/rules", "r"),
    ("Events", "/events", "e"),
    ("Alerts", "/alerts", "a"),
];

/// What every page shows around its content.
pub(crate) struct Frame {
    pub(crate) style: String,
    pub(crate) script: String,
    pub(crate) title: String,
    pub(crate) theme: &'static str,
    pub(crate) name: String,
    pub(crate) at: String,
    /// The page among [`PAGES`] that this one belongs to.
    pub(crate) here: &'static str,
    pub(crate) trust: Trust,
    /// Open incidents, for the title and the navigation.
    pub(crate) open: i64,
}

/// How far the verdicts reach, and whether to believe the page.
#[derive(Default)]
pub(crate) struct Trust {
    pub(crate) judged_to: text::Markup,
    pub(crate) behind: String,
    pub(crate) slowest: String,
    pub(crate) trouble: String,
    pub(crate) known: bool,
    /// Nobody looked: a page about a mistake says nothing of verdicts.
    pub(crate) unasked: bool,
}

impl Frame {
    async fn of(app: &App, visitor: &Visitor, here: &'static str, title: &str) -> Result<Self, PageError> {
        let progress = app.store.progress().await?;
        let open = app.store.count_open().await?;
        Ok(Frame { trust: Trust::of(app, &progress), open, ..Frame::bare(visitor, here, title) })
    }

    fn bare(visitor: &Visitor, here: &'static str, title: &str) -> Self {
        Frame {
            style: assets::style(),
            script: assets::script(),
            title: title.to_owned(),
            theme: visitor.theme,
            name: visitor.name.clone(),
            at: visitor.at.clone(),
            here,
            trust: Trust { unasked: true, ..Trust::default() },
            open: 0,
        }
    }

    pub(crate) fn pages(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        &PAGES
    }
}

impl Trust {
    fn of(app: &App, progress: &Progress) -> Self {
        let still = Timestamp::now().as_nanosecond() - text::nanos(&progress.arrived);
        let stands = !progress.arrived.is_empty() && still > STILL_AFTER;
        let trouble = app.backend.trouble().unwrap_or_else(|| {
            if stands {
                format!("Nothing has been judged for {}: the checker stands still.", text::length(still))
            } else {
                String::new()
            }
        });
        Trust {
            judged_to: if progress.frontier.is_empty() {
                text::Markup::default()
            } else {
                text::when(&progress.frontier)
            },
            behind: format!("{:.1} s", progress.lag_ms as f64 / 1_000.0),
            slowest: progress.slowest.clone(),
            trouble,
            known: !progress.frontier.is_empty(),
            unasked: false,
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
        let frame = Frame::bare(&Visitor::default(), "", "Error");
        ErrorPage { frame, status, message: message.to_owned() }
    }
}

/// An address of ours with the parameters that are not empty.
pub(crate) fn address(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// All events about one value of an attribute.
pub(crate) fn about(name: &str, value: &str) -> String {
    address("/events", &[("attr", &format!("{name}={value}"))])
}

/// All events of a node, a component, a network.
pub(crate) fn events_of(name: &str, value: &str) -> String {
    address("/events", &[(name, value)])
}

/// A breaker's scope: `node validator-2, network testnet`.
pub(crate) fn scope(scope: &serde_json::Value) -> text::Markup {
    let parts: Vec<String> = scope
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            let value = text::fold(&text::plain(value));
            format!("<span class=\"dim\">{}</span> {value}", text::escape(name))
        })
        .collect();
    text::Markup::new(if parts.is_empty() { "everywhere".to_owned() } else { parts.join(" ") })
}

/// Something that was typed, unless it is empty.
fn some(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_hostile_values_in_their_place() {
        assert_eq!(about("a&b", "\"><x y=1"), "/events?attr=a%26b%3D%22%3E%3Cx+y%3D1");
        assert_eq!(address("/rules", &[("q", "")]), "/rules");
    }
}
