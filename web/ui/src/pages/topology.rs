//! Topology: components and their channels, breakers and who may be stopped by them.
use std::fmt::Write;

use askama::Template;
use axum::{
    Form, Router,
    extract::State,
    http::StatusCode,
    response::Redirect,
    routing::{get, post},
};
use engine::Pack;
use serde::Deserialize;
use store::{BreakerRow, Filter, IncidentRow, SourceRow};

use super::{Frame, Page, draw};
use crate::{App, Force, error::PageError, timeline::escape};

struct Graph {
    pack: String,
    drawing: String,
    components: Vec<Component>,
}

struct Component {
    name: String,
    about: String,
    sends_to: String,
    sources: usize,
    incidents: usize,
}

struct Definition {
    pack: String,
    id: String,
    about: String,
    guards: String,
    per: Vec<String>,
    trips: String,
    scopes: Vec<BreakerRow>,
}

#[derive(Template)]
#[template(path = "topology.html")]
struct Topology {
    frame: Frame,
    graphs: Vec<Graph>,
    breakers: Vec<Definition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Forced {
    pack: String,
    breaker: String,
    scope: String,
    network: String,
    open: String,
    reason: String,
    by: String,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/topology", get(show)).route("/topology/force", post(force))
}

async fn show(State(app): State<App>) -> Page {
    let packs = app.backend.packs();
    let sources = app.store.sources().await?;
    let open = Filter { status: Some("open".into()), ..Filter::default() };
    let (incidents, _) = app.store.incidents(&open, None, 500).await?;
    let rows = app.store.breakers().await?;
    let graphs = packs
        .iter()
        .filter(|pack| !pack.topology.is_empty())
        .map(|pack| graph(pack, &sources, &incidents, &rows))
        .collect();
    let mut breakers = Vec::new();
    for pack in packs.iter() {
        for breaker in &pack.breakers {
            breakers.push(Definition {
                pack: pack.name.clone(),
                id: breaker.id.clone(),
                about: breaker.about.clone(),
                guards: breaker.guards.clone(),
                per: breaker.per.clone(),
                trips: breaker.trip_rules.join(", "),
                scopes: rows.iter().filter(|row| row.id == breaker.id && row.pack == pack.name).cloned().collect(),
            });
        }
    }
    draw(&Topology { frame: Frame::of(&app, "Topology").await?, graphs, breakers })
}

async fn force(State(app): State<App>, Form(forced): Form<Forced>) -> Result<Redirect, PageError> {
    let wrong = |text: &str| PageError(StatusCode::UNPROCESSABLE_ENTITY, text.to_owned());
    if forced.reason.trim().is_empty() || forced.by.trim().is_empty() {
        return Err(wrong("Say who you are and why: both are kept with the breaker."));
    }
    let scope = forced
        .scope
        .split(',')
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let force = Force {
        breaker: forced.breaker,
        pack: forced.pack,
        network: forced.network,
        scope,
        open: forced.open == "open",
        until: None,
        reason: forced.reason,
        by: forced.by,
    };
    app.backend.force_breaker(force).await.map_err(|error| wrong(&error))?;
    Ok(Redirect::to("/topology"))
}

fn graph(pack: &Pack, sources: &[SourceRow], incidents: &[IncidentRow], breakers: &[BreakerRow]) -> Graph {
    let components: Vec<Component> = pack
        .topology
        .iter()
        .map(|component| Component {
            name: component.name.clone(),
            about: component.about.clone(),
            sends_to: component.sends_to.join(", "),
            sources: sources.iter().filter(|source| source.component == component.name).count(),
            incidents: incidents
                .iter()
                .filter(|incident| incident.pack == pack.name && incident.component == component.name)
                .count(),
        })
        .collect();
    Graph { pack: pack.name.clone(), drawing: drawing(pack, &components, breakers), components }
}

/// Layers by longest way from a component nobody sends to; the same for the same topology.
fn drawing(pack: &Pack, components: &[Component], breakers: &[BreakerRow]) -> String {
    let names: Vec<&str> = pack.topology.iter().map(|component| component.name.as_str()).collect();
    let place = |name: &str| names.iter().position(|known| *known == name);
    let mut layer = vec![0_usize; names.len()];
    for _ in 0..names.len() {
        for (from, component) in pack.topology.iter().enumerate() {
            for to in component.sends_to.iter().filter_map(|to| place(to)) {
                // Ways back (a reply channel) do not push their target further down.
                if to > from && layer[to] <= layer[from] {
                    layer[to] = layer[from] + 1;
                }
            }
        }
    }
    let layers = layer.iter().max().map_or(0, |last| last + 1);
    let (width, row, box_width, box_height) = (1_040.0, 96.0, 176.0, 44.0);
    let mut at = vec![(0.0, 0.0); names.len()];
    for depth in 0..layers {
        let members: Vec<usize> = (0..names.len()).filter(|place| layer[*place] == depth).collect();
        let step = width / members.len() as f64;
        for (number, member) in members.into_iter().enumerate() {
            at[member] = (step * (number as f64 + 0.5), 34.0 + row * depth as f64);
        }
    }
    let mut svg = format!(
        "<svg class=\"graph\" viewBox=\"0 0 {width} {}\" role=\"img\" aria-label=\"Components of {}; the table below says the same\">\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>",
        row * layers as f64 + 10.0,
        escape(&pack.name)
    );
    let guarded = |from: &str, to: &str| {
        pack.breakers.iter().any(|breaker| {
            breaker.guards == format!("{from} -> {to}")
                && breakers.iter().any(|row| row.id == breaker.id && row.pack == pack.name && row.state != "closed")
        })
    };
    for (from, component) in pack.topology.iter().enumerate() {
        for (to, name) in component.sends_to.iter().filter_map(|to| Some((place(to)?, to))) {
            let ((x1, y1), (x2, y2)) = (at[from], at[to]);
            let (start, end) = if y2 > y1 { (y1 + box_height / 2.0, y2 - box_height / 2.0) } else { (y1, y2) };
            let class = if guarded(&component.name, name) { "edge stopped" } else { "edge" };
            let bend = if y2 > y1 { 0.0 } else { 60.0 };
            let _ = write!(
                svg,
                "<path class=\"{class}\" d=\"M{x1} {start} C{} {} {} {} {x2} {end}\" marker-end=\"url(#arrow)\"/>",
                x1 + bend,
                start + 24.0,
                x2 + bend,
                end - 24.0
            );
        }
    }
    for (component, (x, y)) in components.iter().zip(&at) {
        let broken = breakers.iter().any(|row| {
            row.state != "closed"
                && row.pack == pack.name
                && pack
                    .breakers
                    .iter()
                    .any(|b| b.id == row.id && b.guards.split(" -> ").next() == Some(&component.name))
        });
        let class = match (component.incidents > 0, component.sources == 0) {
            (true, _) => "hurt",
            (false, true) => "unseen",
            (false, false) => "fine",
        };
        let ring = if broken { " open" } else { "" };
        let _ = write!(
            svg,
            "<g class=\"box {class}{ring}\"><title>{}</title><rect x=\"{}\" y=\"{}\" width=\"{box_width}\" height=\"{box_height}\" rx=\"8\"/>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            escape(&component.about),
            x - box_width / 2.0,
            y - box_height / 2.0,
            y + 4.0,
            escape(&component.name)
        );
        if component.incidents > 0 {
            let _ = write!(
                svg,
                "<circle class=\"badge\" cx=\"{}\" cy=\"{}\" r=\"10\"/><text class=\"badge\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                x + box_width / 2.0 - 4.0,
                y - box_height / 2.0 + 2.0,
                x + box_width / 2.0 - 4.0,
                y - box_height / 2.0 + 6.0,
                component.incidents
            );
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    svg
}
