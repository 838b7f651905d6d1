//! Topology: components and their channels, what is open and silent there, and the breakers that guard them.
use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    routing::get,
};
use engine::Pack;
use jiff::Timestamp;
use serde::Deserialize;
use store::{BreakerRow, OpenCount};

use super::{Frame, Page, draw, overview};
use crate::{
    App,
    graph::{self, Edge, Node},
    text,
    visitor::Visitor,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    view: String,
}

struct Component {
    name: String,
    about: String,
    sends_to: String,
    state: &'static str,
    nodes: usize,
    silent: Vec<String>,
    lag_ms: i64,
    last_seen: String,
    open: i64,
    worst: &'static str,
}

struct Graph {
    pack: String,
    about: String,
    drawing: text::Markup,
    components: Vec<Component>,
}

/// A breaker and how its scopes stand.
struct Breaker {
    pack: String,
    id: String,
    about: String,
    guards: String,
    mode: &'static str,
    state: &'static str,
    moved: Vec<BreakerRow>,
}

#[derive(Template)]
#[template(path = "topology.html")]
struct Topology {
    frame: Frame,
    list: bool,
    graphs: Vec<Graph>,
    undeclared: Vec<overview::Tile>,
    breakers: Vec<Breaker>,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/topology", get(show))
}

async fn show(State(app): State<App>, visitor: Visitor, Query(asked): Query<Asked>) -> Page {
    let packs = app.backend.packs();
    let sources = app.store.sources().await?;
    let open = app.store.open_counts().await?;
    let rows = app.store.breakers().await?;
    let now = Timestamp::now().as_nanosecond();
    let declared = |name: &str| packs.iter().any(|pack| pack.topology.iter().any(|component| component.name == name));
    let graphs = packs
        .iter()
        .filter(|pack| !pack.topology.is_empty())
        .map(|pack| {
            let own: Vec<OpenCount> = open.iter().filter(|count| count.pack == pack.name).cloned().collect();
            graph(pack, &overview::tiles(&sources, &own, now), &rows)
        })
        .collect();
    let mut breakers = Vec::new();
    for pack in packs.iter() {
        for breaker in &pack.breakers {
            let moved: Vec<BreakerRow> =
                rows.iter().filter(|row| row.id == breaker.id && row.pack == pack.name).cloned().collect();
            breakers.push(Breaker {
                pack: pack.name.clone(),
                id: breaker.id.clone(),
                about: breaker.about.clone(),
                guards: breaker.guards.clone(),
                mode: if breaker.enforcing || app.backend.enforces_breakers() { "enforcing" } else { "advisory" },
                state: worst(moved.iter()),
                moved: moved.into_iter().filter(|row| row.state != "closed").collect(),
            });
        }
    }
    let mut undeclared = overview::tiles(&sources, &open, now);
    undeclared.retain(|tile| !tile.component.is_empty() && !declared(&tile.component));
    draw(&Topology {
        frame: Frame::of(&app, &visitor, "/topology", "Topology").await?,
        list: asked.view == "list",
        graphs,
        undeclared,
        breakers,
    })
}

/// The state that stands for all scopes: open before half-open before closed.
pub(super) fn worst<'a>(rows: impl Iterator<Item = &'a BreakerRow>) -> &'static str {
    let rank = |state: &str| match state {
        "open" => 2,
        "half_open" => 1,
        _ => 0,
    };
    match rows.map(|row| rank(&row.state)).max() {
        Some(2) => "open",
        Some(1) => "half_open",
        _ => "closed",
    }
}

fn graph(pack: &Pack, tiles: &[overview::Tile], rows: &[BreakerRow]) -> Graph {
    let component = |declared: &engine::Component| {
        let tile = tiles.iter().find(|tile| tile.component == declared.name);
        let nodes = tile.map_or(0, |tile| tile.nodes);
        let silent = tile.map(|tile| tile.silent.clone()).unwrap_or_default();
        Component {
            name: declared.name.clone(),
            about: declared.about.clone(),
            sends_to: declared.sends_to.join(", "),
            state: match (nodes, silent.len()) {
                (0, _) => "never",
                (nodes, silent) if silent == nodes => "silent",
                _ => "live",
            },
            nodes,
            silent,
            lag_ms: tile.map_or(0, |tile| tile.lag_ms),
            last_seen: tile.map(|tile| tile.last_seen.clone()).unwrap_or_default(),
            open: tile.map_or(0, |tile| tile.open),
            worst: tile.map_or("", |tile| tile.worst),
        }
    };
    let components: Vec<Component> = pack.topology.iter().map(component).collect();
    let guard = |guards: &str| {
        let own = pack.breakers.iter().filter(|breaker| breaker.guards == guards).map(|breaker| breaker.id.as_str());
        let own: Vec<&str> = own.collect();
        if own.is_empty() {
            return String::new();
        }
        worst(rows.iter().filter(|row| row.pack == pack.name && own.contains(&row.id.as_str()))).to_owned()
    };
    let nodes: Vec<Node> = components
        .iter()
        .map(|component| Node {
            name: component.name.clone(),
            about: component.about.clone(),
            said: match (component.nodes, component.silent.len()) {
                (0, _) => "not heard yet".to_owned(),
                (1, 0) => "1 node".to_owned(),
                (nodes, 0) => format!("{nodes} nodes"),
                (nodes, silent) => format!("{silent} of {nodes} nodes silent"),
            },
            class: match (component.open > 0, component.state) {
                (true, _) => "hurt",
                (_, "live") => "fine",
                (_, "silent") => "silent",
                _ => "unseen",
            },
            open: component.open,
            breaker: guard(&component.name),
        })
        .collect();
    let place = |name: &str| pack.topology.iter().position(|known| known.name == *name);
    let mut edges = Vec::new();
    for (from, component) in pack.topology.iter().enumerate() {
        for name in &component.sends_to {
            if let Some(to) = place(name) {
                edges.push(Edge { from, to, breaker: guard(&format!("{} -> {name}", component.name)) });
            }
        }
    }
    Graph {
        pack: pack.name.clone(),
        about: pack.about.clone(),
        drawing: graph::draw(&pack.name, &nodes, &edges),
        components,
    }
}
