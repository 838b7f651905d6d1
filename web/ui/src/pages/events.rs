//! Events: the journal, searched; everything about one key on one drawing; and one event whole.
use askama::Template;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use serde_json::Value as Json;

use super::{Frame, Page, about, draw, some};
use crate::{
    App, EventQuery, FoundEvents,
    error::PageError,
    text,
    timeline::{self, Mark},
    visitor::Visitor,
};
use url::form_urlencoded;

const PER_PAGE: usize = 100;

/// So many events about one key are drawn on a timeline.
const DRAWN_MAX: usize = 60;

/// How many attributes of an event a list shows; the others stand on its own page.
const ATTRS_SHOWN: usize = 8;

/// Longer values are no links: nobody searches for them, and addresses have an end.
const LINKED_MAX: usize = 200;

/// What is searched for, as the address has it.
#[derive(Clone, Debug, Default)]
struct Asked {
    from: String,
    to: String,
    network: String,
    node: String,
    component: String,
    event: String,
    attrs: Vec<String>,
    trace: String,
    q: String,
    cursor: String,
}

impl Asked {
    fn of(pairs: Vec<(String, String)>) -> Self {
        let mut asked = Asked::default();
        for (name, value) in pairs {
            let value = value.trim().to_owned();
            match name.as_str() {
                "from" => asked.from = value,
                "to" => asked.to = value,
                "network" => asked.network = value,
                "node" => asked.node = value,
                "component" => asked.component = value,
                "event" => asked.event = value,
                "attr" if !value.is_empty() => asked.attrs.push(value),
                "trace" => asked.trace = value,
                "q" => asked.q = value,
                "cursor" => asked.cursor = value,
                _ => {}
            }
        }
        asked
    }

    fn query(&self) -> Result<EventQuery, PageError> {
        let mut attrs = Vec::new();
        for attr in &self.attrs {
            let Some((name, value)) = attr.split_once('=') else {
                let message = format!("`{attr}`: write an attribute as NAME=VALUE, for example batch.id=0xaa.");
                return Err(PageError(StatusCode::UNPROCESSABLE_ENTITY, message));
            };
            attrs.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        Ok(EventQuery {
            from: some(&self.from),
            to: some(&self.to),
            network: some(&self.network),
            node: some(&self.node),
            component: some(&self.component),
            event: some(&self.event),
            attrs,
            trace: some(&self.trace),
            q: some(&self.q),
            cursor: some(&self.cursor),
            limit: PER_PAGE,
        })
    }

    /// The same search with another cursor, without the attribute of that number.
    fn address(&self, cursor: &str, without: Option<usize>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("from", &self.from),
            ("to", &self.to),
            ("network", &self.network),
            ("node", &self.node),
            ("component", &self.component),
            ("event", &self.event),
            ("trace", &self.trace),
            ("q", &self.q),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        for (number, attr) in self.attrs.iter().enumerate() {
            if Some(number) != without {
                query.append_pair("attr", attr);
            }
        }
        if !cursor.is_empty() {
            query.append_pair("cursor", cursor);
        }
        format!("/events?{}", query.finish())
    }

    fn is_empty(&self) -> bool {
        self.attrs.is_empty()
            && [&self.from, &self.to, &self.network, &self.node, &self.component, &self.event, &self.trace, &self.q]
                .iter()
                .all(|part| part.is_empty())
    }
}

struct Attribute {
    name: String,
    value: String,
    /// All events about this value; empty: the value is too long for that.
    link: String,
}

struct Found {
    position: String,
    ts: String,
    time: String,
    arrived: String,
    delay: String,
    node: String,
    component: String,
    event: String,
    network: String,
    attrs: Vec<Attribute>,
    more: usize,
    trace: String,
    body: String,
}

#[derive(Template)]
#[template(path = "events.html")]
struct Events {
    frame: Frame,
    chips: Vec<(String, String)>,
    first: Option<String>,
    next: Option<String>,
    lost: Vec<String>,
    drawing: text::Markup,
    events: Vec<Found>,
    http: String,
    empty: bool,
    asked: Asked,
}

#[derive(Template)]
#[template(path = "event.html")]
struct One {
    frame: Frame,
    event: Found,
    all: String,
    around: String,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/events", get(search)).route("/events/{position}", get(one))
}

async fn search(State(app): State<App>, visitor: Visitor, Query(pairs): Query<Vec<(String, String)>>) -> Page {
    let asked = Asked::of(pairs);
    let unfit = |error| PageError(StatusCode::UNPROCESSABLE_ENTITY, error);
    let FoundEvents { rows: found, next, lost } = app.backend.search(asked.query()?).await.map_err(unfit)?;
    let about_a_key = !asked.attrs.is_empty() || !asked.trace.is_empty();
    let marks: Vec<Mark> =
        if about_a_key && found.len() <= DRAWN_MAX { timeline::of_events(&found) } else { Vec::new() };
    let chips = asked.attrs.iter().enumerate().map(|(at, attr)| (attr.clone(), asked.address("", Some(at))));
    draw(&Events {
        frame: Frame::of(&app, &visitor, "/events", "Events").await?,
        chips: chips.collect(),
        first: (!asked.cursor.is_empty()).then(|| asked.address("", None)),
        next: next.map(|next| asked.address(&next, None)),
        lost,
        drawing: timeline::draw(&marks),
        events: found.iter().map(|event| row(event, ATTRS_SHOWN)).collect(),
        http: app.backend.endpoints().1,
        empty: asked.is_empty(),
        asked,
    })
}

async fn one(
    State(app): State<App>,
    visitor: Visitor,
    Path(position): Path<String>,
    Query(asked): Query<Vec<(String, String)>>,
) -> Page {
    let missing = || PageError(StatusCode::NOT_FOUND, format!("The journal has no event {position} (any more)."));
    let after = after(&position).ok_or_else(missing)?;
    let query = EventQuery { cursor: Some(after), limit: 1, ..EventQuery::default() };
    let found = app.backend.search(query).await.map_err(|_| missing())?;
    let event = found.rows.iter().find(|event| event["position"].as_str() == Some(&position)).ok_or_else(missing)?;
    let event = row(event, usize::MAX);
    let path = format!("/events/{position}");
    let all = asked.iter().any(|(name, _)| name == "all");
    let around = event.ts.get(..19).map(|second| {
        super::address("/events", &[("node", event.node.as_str()), ("to", format!("{second}.999999999Z").as_str())])
    });
    draw(&One {
        frame: Frame::of(&app, &visitor, "/events", &event.event).await?,
        all: if all { text::SHOW_ALL.to_owned() } else { format!("{path}?all=1") },
        around: around.unwrap_or_default(),
        event,
    })
}

/// The position behind that one: a search before it finds the event itself first.
fn after(position: &str) -> Option<String> {
    let (front, record) = position.rsplit_once('-')?;
    Some(format!("{front}-{}", record.parse::<u32>().ok()?.checked_add(1)?))
}

fn row(event: &Json, shown: usize) -> Found {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let ts = text("ts");
    let arrived = text("arrived");
    let attrs = event["attrs"].as_object();
    let attribute = |(name, value): (&String, &Json)| {
        let value = text::plain(value);
        let link = if value.len() <= LINKED_MAX { about(name, &value) } else { String::new() };
        Attribute { name: name.clone(), value, link }
    };
    Found {
        position: text("position"),
        time: text::clock(&ts),
        delay: text::delta(text::nanos(&arrived) - text::nanos(&ts)),
        arrived,
        ts,
        node: text("node"),
        component: text("component"),
        event: text("event"),
        network: text("network"),
        trace: text("trace_id"),
        body: if event["body"].is_null() { String::new() } else { text::plain(&event["body"]) },
        more: attrs.map_or(0, |attrs| attrs.len().saturating_sub(shown)),
        attrs: attrs.map(|attrs| attrs.iter().take(shown).map(attribute).collect()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_keep_all_their_attributes_when_one_is_taken_away() {
        let pairs = [("attr", "a=1"), ("attr", "b=x y&z"), ("node", "n1")];
        let asked = Asked::of(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        assert_eq!(asked.address("0-5-0", Some(0)), "/events?node=n1&attr=b%3Dx+y%26z&cursor=0-5-0");
        assert_eq!(asked.query().unwrap().attrs.len(), 2);
    }

    #[test]
    fn an_event_is_found_by_its_position() {
        assert_eq!(after("0-17-3").as_deref(), Some("0-17-4"));
        assert_eq!(after("nonsense"), None);
    }
}
