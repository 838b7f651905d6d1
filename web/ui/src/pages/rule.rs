//! One rule: what it says in plain words and as written, how it is doing, what it found, and when it changed.
use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use store::{BreakerRow, Filter, IncidentRow, PackRow};

use super::{Frame, Page, draw, rules};
use crate::{App, error::PageError, visitor::Visitor, words};

/// How many revisions of the pack are looked through for changes of the rule.
const REVISIONS_READ: usize = 12;

const INCIDENTS_SHOWN: i64 = 20;

/// A revision in which the rule came, changed or went.
struct Changed {
    revision: i64,
    at: String,
    author: String,
    what: &'static str,
}

#[derive(Template)]
#[template(path = "rule.html")]
struct Shown {
    frame: Frame,
    pack: String,
    row: rules::Row,
    sides: Vec<words::Side>,
    written: String,
    key: String,
    roles: Vec<(String, String)>,
    runbook: String,
    owner: String,
    labels: Vec<(String, String)>,
    line: u32,
    breakers: Vec<(String, Vec<BreakerRow>)>,
    changes: Vec<Changed>,
    incidents: Vec<IncidentRow>,
    selectable: bool,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/rules/{pack}/{rule}", get(show))
}

async fn show(State(app): State<App>, visitor: Visitor, Path((pack, id)): Path<(String, String)>) -> Page {
    let packs = app.backend.packs();
    let missing = || PageError(StatusCode::NOT_FOUND, format!("There is no rule {id} in {pack}."));
    let found = packs.iter().find(|known| known.name == pack).ok_or_else(missing)?;
    let rule = found.rules.iter().find(|rule| rule.id == id).ok_or_else(missing)?;
    let health = app.store.rule_health().await?;
    let open = app.store.open_counts().await?;
    let filter = Filter { pack: Some(pack.clone()), rule: Some(id.clone()), ..Filter::default() };
    let (incidents, _) = app.store.incidents(&filter, None, INCIDENTS_SHOWN).await?;
    let revisions = app.store.revisions(&pack).await?;
    let yaml = revisions.iter().find(|row| row.current).map(|row| row.yaml.as_str()).unwrap_or_default();
    let rows = app.store.breakers().await?;
    let key: Vec<&str> = rule.key.iter().map(|part| part.name.as_str()).collect();
    let trips = found.breakers.iter().filter(|breaker| breaker.trip_rules.contains(&id));
    draw(&Shown {
        frame: Frame::of(&app, &visitor, "/rules", &id).await?,
        sides: words::explain(found, rule),
        written: words::as_written(yaml, rule.line),
        key: key.join(", "),
        roles: rule.roles.iter().map(|role| (role.name.to_string(), role.label.to_string())).collect(),
        runbook: rule.runbook.clone().unwrap_or_default(),
        owner: rule.owner.clone().unwrap_or_default(),
        labels: rule.labels.clone(),
        line: rule.line,
        breakers: trips
            .map(|breaker| {
                let moved = rows.iter().filter(|row| row.pack == pack && row.id == breaker.id && row.state != "closed");
                (breaker.id.clone(), moved.cloned().collect())
            })
            .collect(),
        changes: changes(&revisions, &id),
        row: rules::row(found, rule, &health, &open),
        selectable: false,
        incidents,
        pack,
    })
}

/// Where the rule's own lines differ between one revision and the one before; `revisions` are the newest first.
fn changes(revisions: &[PackRow], id: &str) -> Vec<Changed> {
    let written = |row: &PackRow| line_of(&row.yaml, id).map(|line| words::as_written(&row.yaml, line));
    let read: Vec<(&PackRow, Option<String>)> =
        revisions.iter().take(REVISIONS_READ).map(|row| (row, written(row))).collect();
    let mut found = Vec::new();
    for (at, (row, now)) in read.iter().enumerate() {
        let before = match read.get(at + 1) {
            Some((_, before)) => before.as_ref(),
            // Revisions before those read may have had it.
            None if revisions.len() > REVISIONS_READ => continue,
            None => None,
        };
        let what = match (now, before) {
            (Some(now), Some(before)) if now != before => "changed",
            (Some(_), None) => "added",
            (None, Some(_)) => "removed",
            _ => continue,
        };
        found.push(Changed { revision: row.revision, at: row.at.clone(), author: row.author.clone(), what });
    }
    found
}

/// The line of a rule in a pack's text. Its id is looked for, and only where it does not open the rule the pack is
/// compiled: that takes a hundred times as long.
fn line_of(yaml: &str, id: &str) -> Option<u32> {
    let opens = |line: &str| {
        let value =
            line.trim_start().strip_prefix("- id:").map(|value| value.split(" #").next().unwrap_or(value).trim());
        value.is_some_and(|value| value.trim_matches(['"', '\'']) == id)
    };
    let rules = yaml.lines().position(|line| line.starts_with("rules:")).unwrap_or(0);
    if let Some(at) = yaml.lines().skip(rules).position(opens) {
        return u32::try_from(rules + at + 1).ok();
    }
    if !yaml.contains(id) {
        return None;
    }
    let (pack, _) = lang::compile(yaml, "pack.yaml", &lang::Options::default());
    pack.and_then(|pack| pack.rules.iter().find(|rule| rule.id == *id).map(|rule| rule.line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(revision: i64, within: &str) -> PackRow {
        let yaml = format!(
            "pack: p\nrules:\n  - id: r\n    severity: high\n    key: [node]\n    response: {{ when: a, then: b, within: {within} }}\n"
        );
        PackRow {
            name: "p".into(),
            revision,
            yaml,
            author: "a".into(),
            origin: "ui".into(),
            at: String::new(),
            current: false,
        }
    }

    #[test]
    fn a_rule_is_found_whether_its_id_comes_first_or_not() {
        let mut revision = revision(1, "5s");
        assert_eq!(line_of(&revision.yaml, "r"), Some(3));
        revision.yaml = revision.yaml.replace("- id: r\n    severity: high", "- severity: high\n    id: r");
        assert_eq!(line_of(&revision.yaml, "r"), Some(3));
        assert_eq!(line_of(&revision.yaml, "another"), None);
    }

    #[test]
    fn history_names_the_revisions_in_which_the_rule_itself_changed() {
        let mut comment = revision(2, "5s");
        comment.yaml.insert_str(0, "# Nothing of the rule.\n");
        let found = changes(&[revision(3, "9s"), comment, revision(1, "5s")], "r");
        let said: Vec<(i64, &str)> = found.iter().map(|change| (change.revision, change.what)).collect();
        assert_eq!(said, [(3, "changed"), (1, "added")]);
    }
}
