//! Overview: is anything wrong, and can I believe this page?
use std::{collections::BTreeMap, fmt::Write};

use askama::Template;
use axum::{Router, extract::State, routing::get};
use jiff::{SignedDuration, Timestamp};
use store::{BreakerRow, IncidentRow, OpenCount, OpenedCount, RevisionRow, SourceRow};

use super::{Frame, Page, draw};
use crate::{
    App,
    text::{self, Markup, escape},
    visitor::Visitor,
};

/// How many open incidents are listed.
const LISTED: i64 = 10;

/// From when on a source counts as silent.
pub(super) const SILENT_AFTER: i128 = 60_000_000_000;

/// The severities, the worst first.
pub(super) const SEVERITIES: [&str; 5] = ["critical", "high", "medium", "low", "info"];

/// All sources of one component.
pub(super) struct Tile {
    pub(super) component: String,
    pub(super) nodes: usize,
    pub(super) silent: Vec<String>,
    pub(super) lag_ms: i64,
    pub(super) events: i64,
    pub(super) last_seen: String,
    pub(super) open: i64,
    pub(super) worst: &'static str,
}

impl Tile {
    /// Who is silent, as far as there is room.
    fn silent_names(&self) -> String {
        text::cut(&self.silent.join(", "), 60)
    }
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    severities: Vec<(&'static str, i64)>,
    unacknowledged: i64,
    oldest: String,
    breakers: Vec<BreakerRow>,
    failing: i64,
    waiting: i64,
    delivered: i64,
    receivers: usize,
    incidents: Vec<IncidentRow>,
    selectable: bool,
    firing: usize,
    quiet: usize,
    unexercised: usize,
    unknown: usize,
    degraded: usize,
    tiles: Vec<Tile>,
    silent: usize,
    chart: Markup,
    hours: Vec<(String, i64)>,
    changes: Vec<RevisionRow>,
    packs: usize,
    rules: usize,
    grpc: String,
    http: String,
}

impl Overview {
    /// Everything is set up: the checklist has served.
    fn is_set_up(&self) -> bool {
        !self.tiles.is_empty() && self.packs > 0 && self.receivers > 0
    }
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/", get(overview))
}

async fn overview(State(app): State<App>, visitor: Visitor) -> Page {
    let by_severity = app.store.open_by_severity().await?;
    let count =
        |name: &str| by_severity.iter().find(|(severity, _, _)| severity == name).map_or(0, |(_, count, _)| *count);
    let breakers = app.store.breakers().await?.into_iter().filter(|breaker| breaker.state != "closed").collect();
    let health = app.store.rule_health().await?;
    let open = app.store.open_counts().await?;
    let sources = app.store.sources().await?;
    let packs = app.backend.packs();
    let (grpc, http) = app.backend.endpoints();
    let active = |pack: &str, rule: &str| {
        packs
            .iter()
            .any(|known| known.name == pack && known.rules.iter().any(|found| found.id == rule && found.enabled))
    };
    let in_force: Vec<_> = health.iter().filter(|row| active(&row.pack, &row.rule)).collect();
    let fires = |pack: &str, rule: &str| open.iter().any(|count| count.pack == pack && count.rule == rule);
    let firing = in_force.iter().filter(|row| fires(&row.pack, &row.rule)).count();
    let exercised = in_force.iter().filter(|row| !row.exercised.is_empty() && !fires(&row.pack, &row.rule)).count();
    let now = Timestamp::now();
    let hours = hours(now);
    let opened = app.store.opened_since(hours.first().map_or("", String::as_str)).await?;
    let tiles = tiles(&sources, &open, now.as_nanosecond());
    draw(&Overview {
        frame: Frame::of(&app, &visitor, "/", "Overview").await?,
        severities: SEVERITIES.map(|name| (name, count(name))).to_vec(),
        unacknowledged: by_severity.iter().map(|(_, _, unseen)| unseen).sum(),
        oldest: app.store.oldest_unacknowledged().await?.unwrap_or_default(),
        breakers,
        failing: app.store.count_deliveries("failed").await?,
        waiting: app.store.count_deliveries("pending").await?,
        delivered: app.store.count_deliveries("delivered").await?,
        receivers: app.backend.receivers().len(),
        incidents: app.store.worst_open(LISTED).await?,
        selectable: false,
        firing,
        quiet: exercised,
        unexercised: in_force.iter().filter(|row| row.exercised.is_empty()).count(),
        unknown: in_force.iter().filter(|row| row.unknown > 0).count(),
        degraded: in_force.iter().filter(|row| row.forgotten > 0).count(),
        silent: tiles.iter().map(|tile| tile.silent.len()).sum(),
        tiles,
        chart: chart(&hours, &opened),
        hours: hours
            .iter()
            .map(|hour| {
                (hour.replace('T', " "), opened.iter().filter(|row| row.hour == *hour).map(|row| row.count).sum())
            })
            .collect(),
        changes: app.store.recent_revisions(5).await?,
        packs: packs.len(),
        rules: packs.iter().map(|pack| pack.rules.len()).sum(),
        grpc,
        http,
    })
}

/// The last 24 hours, this one last.
fn hours(now: Timestamp) -> Vec<String> {
    let back =
        |hours: i64| (now - SignedDuration::from_hours(hours)).to_string().get(..13).unwrap_or_default().to_owned();
    (0..24).rev().map(back).collect()
}

/// A tile per component: who of it was heard, how late, and what is open.
pub(super) fn tiles(sources: &[SourceRow], open: &[OpenCount], now: i128) -> Vec<Tile> {
    let mut by_component: BTreeMap<&str, Vec<&SourceRow>> = BTreeMap::new();
    for source in sources {
        by_component.entry(&source.component).or_default().push(source);
    }
    let tile = |(component, sources): (&str, Vec<&SourceRow>)| {
        let incidents = open.iter().filter(|count| count.component == component);
        let worst = incidents.clone().map(|count| count.worst).max();
        let place = worst.and_then(|worst| usize::try_from(4 - worst).ok());
        Tile {
            component: component.to_owned(),
            nodes: sources.len(),
            silent: sources
                .iter()
                .filter(|source| now - text::nanos(&source.last_seen) > SILENT_AFTER)
                .map(|source| source.node.clone())
                .collect(),
            lag_ms: sources.iter().map(|source| source.lag_ms).max().unwrap_or(0),
            events: sources.iter().map(|source| source.events).sum(),
            last_seen: sources.iter().map(|source| source.last_seen.clone()).max().unwrap_or_default(),
            open: incidents.map(|count| count.count).sum(),
            worst: place.and_then(|place| SEVERITIES.get(place).copied()).unwrap_or(""),
        }
    };
    by_component.into_iter().map(tile).collect()
}

/// Opened incidents by hour, the worst at the foot of each bar.
fn chart(hours: &[String], opened: &[OpenedCount]) -> Markup {
    const HEIGHT: f64 = 88.0;
    const BAR: f64 = 18.0;
    const STEP: f64 = 22.0;
    let total = |hour: &str| opened.iter().filter(|row| row.hour == hour).map(|row| row.count).sum::<i64>();
    let most = hours.iter().map(|hour| total(hour)).max().unwrap_or(0).max(1);
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Incidents opened in each of the last 24 hours; the table says the same\">\
         <line class=\"base\" x1=\"0\" y1=\"{HEIGHT}\" x2=\"{}\" y2=\"{HEIGHT}\"/>",
        STEP * 24.0,
        HEIGHT + 18.0,
        STEP * 24.0
    );
    for (at, hour) in hours.iter().enumerate() {
        let x = STEP * at as f64 + 2.0;
        let mut y = HEIGHT;
        let _ = write!(svg, "<g><title>{}:00 UTC: {} opened</title>", escape(&hour.replace('T', " ")), total(hour));
        let _ = write!(svg, "<rect class=\"none\" x=\"{x}\" y=\"0\" width=\"{BAR}\" height=\"{HEIGHT}\"/>");
        for severity in SEVERITIES {
            let count: i64 =
                opened.iter().filter(|row| row.hour == *hour && row.severity == severity).map(|row| row.count).sum();
            if count > 0 {
                let tall = ((HEIGHT - 4.0) * count as f64 / most as f64).max(2.0);
                y -= tall;
                let _ = write!(
                    svg,
                    "<rect class=\"{severity}\" x=\"{x}\" y=\"{y:.1}\" width=\"{BAR}\" height=\"{tall:.1}\"/>"
                );
            }
        }
        svg.push_str("</g>");
        if at % 6 == 0 || at == 23 {
            let label = hour.get(11..13).unwrap_or_default();
            let _ = write!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{label}h</text>",
                x + BAR / 2.0,
                HEIGHT + 14.0
            );
        }
    }
    svg.push_str("</svg>");
    Markup::new(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_shows_its_worst_incident_and_who_of_it_is_silent() {
        let source = |node: &str, seen: &str| SourceRow {
            node: node.into(),
            component: "c".into(),
            last_seen: seen.into(),
            ..SourceRow::default()
        };
        let sources = [source("n1", "2026-11-20T12:00:00Z"), source("n2", "2026-11-20T12:05:00Z")];
        let count = |rule: &str, worst| OpenCount {
            pack: "p".into(),
            rule: rule.into(),
            component: "c".into(),
            count: 2,
            worst,
        };
        let tiles = tiles(&sources, &[count("r", 3), count("s", 1)], text::nanos("2026-11-20T12:05:10Z"));
        assert_eq!((tiles[0].nodes, tiles[0].open, tiles[0].worst), (2, 4, "high"));
        assert_eq!(tiles[0].silent, ["n1"]);
    }
}
