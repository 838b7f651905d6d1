//! Overrides: what a site changes in a pack that somebody else wrote, without copying it.
//!
//! A pack's text may be followed by further YAML documents, each with `extends: NAME`. They are laid over the pack's tree
//! before it is compiled, so that what is wrong with them is reported at their own place. What a rule means is not theirs to
//! change: another key or another kind is another rule.
use std::ops::Range;

use crate::{
    diagnostic::{Code, Diagnostic},
    fields::{Fields, Report, text},
    suggest,
    yaml::{self, Key, Node, Yaml},
};

/// What may be overridden of a rule.
const OF_RULES: &[&str] = &[
    "severity",
    "mode",
    "enabled",
    "labels",
    "owner",
    "runbook",
    "runbook_url",
    "message",
    "quiet",
    "report",
    "group_by",
    "forget_after",
    "max_keys",
];

/// What may be overridden of a breaker.
const OF_BREAKERS: &[&str] = &["mode", "half_open_after"];

/// The name of the pack that a text extends, when it is an override and no pack.
#[must_use]
pub fn extends(source: &str) -> Option<String> {
    let document = yaml::read(source, "").ok()?;
    let Yaml::Map(entries) = document.value else { return None };
    let extends = entries.iter().find(|(key, _)| key.name == "extends")?;
    if entries.iter().any(|(key, _)| key.name == "pack") { None } else { extends.1.scalar() }
}

/// The name that a pack's text gives itself.
#[must_use]
pub fn pack_name(source: &str) -> Option<String> {
    let first = documents(source).into_iter().next()?;
    read(source, &first, "").ok()?.field("pack")?.scalar()
}

/// A pack's text followed by an override's, and where in it that begins.
#[must_use]
pub fn extended(pack: &str, overrides: &str) -> (String, usize) {
    let mut text = pack.trim_end().to_owned();
    text.push_str("\n---\n");
    let begins = text.len();
    text.push_str(overrides);
    (text, begins)
}

/// The bytes of each document of a text: the pack, then the overrides.
pub(crate) fn documents(source: &str) -> Vec<Range<usize>> {
    let mut documents = Vec::new();
    let (mut from, mut at) = (0, 0);
    let mut said_something = false;
    for line in source.split_inclusive('\n') {
        if line.trim_end() == "---" && said_something {
            documents.push(from..at);
            from = at + line.len();
            said_something = false;
        } else {
            let bare = line.trim();
            said_something |= !bare.is_empty() && !bare.starts_with('#') && bare != "---";
        }
        at += line.len();
    }
    if said_something || documents.is_empty() {
        documents.push(from..source.len());
    }
    documents
}

/// Reads one document of a text so that its places are those of the whole.
///
/// # Errors
/// As [`yaml::read`].
pub(crate) fn read(source: &str, document: &Range<usize>, file: &str) -> Result<Node, Box<Diagnostic>> {
    let mut blank: String =
        source[..document.start].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    blank.push_str(&source[document.clone()]);
    yaml::read(&blank, file)
}

/// Lays an override over a pack's tree.
pub(crate) fn apply(pack: &mut Node, overrides: &Node, report: &mut Report<'_>) {
    let Some(mut fields) = Fields::of(overrides, "override", report) else { return };
    let own = pack.field("pack").and_then(|node| node.scalar()).unwrap_or_default();
    if let Some(node) = fields.need("extends", report)
        && let Some(name) = text(node, report)
        && name != own
    {
        report.error(Code::Reference, &node.span, format!("this stands under the pack `{own}`, not under `{name}`"));
    }
    let params = fields.take("params");
    let rules = fields.take("rules");
    let breakers = fields.take("breakers");
    fields.finish(report);
    if let Some(node) = params {
        values(pack, node, report);
    }
    if let Some(node) = rules {
        entries(pack, "rules", "rule", OF_RULES, node, report);
    }
    if let Some(node) = breakers {
        entries(pack, "breakers", "breaker", OF_BREAKERS, node, report);
    }
}

fn field_mut<'n>(node: &'n mut Node, name: &str) -> Option<&'n mut Node> {
    match &mut node.value {
        Yaml::Map(entries) => entries.iter_mut().find(|(key, _)| key.name == name).map(|(_, value)| value),
        _ => None,
    }
}

/// Overrides parameters, which must be there.
fn values(pack: &mut Node, node: &Node, report: &mut Report<'_>) {
    let Yaml::Map(given) = &node.value else {
        report.error(Code::Shape, &node.span, format!("`params` is a map of names, this is {}", node.shape()));
        return;
    };
    let known: Vec<String> = match pack.field("params").map(|params| &params.value) {
        Some(Yaml::Map(params)) => params.iter().map(|(key, _)| key.name.clone()).collect(),
        _ => Vec::new(),
    };
    for (key, value) in given {
        match field_mut(pack, "params").and_then(|params| field_mut(params, &key.name)) {
            Some(place) => *place = value.clone(),
            None => unknown(key, "parameter", &known, report),
        }
    }
}

fn unknown(key: &Key, what: &str, known: &[String], report: &mut Report<'_>) {
    let help = match suggest::closest(&key.name, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => format!("it has no {what}s"),
        None => format!("it has: {}", known.join(", ")),
    };
    report.error_help(Code::Reference, &key.span, format!("the pack has no {what} `{}`", key.name), help);
}

/// Overrides fields of rules or breakers, found by their id.
fn entries(pack: &mut Node, section: &str, what: &'static str, allowed: &[&str], node: &Node, report: &mut Report<'_>) {
    let Yaml::List(items) = &node.value else {
        let message = format!("`{section}` is a list, this is {}", node.shape());
        report.error_help(Code::Shape, &node.span, message, "begin each entry with `- id: …`");
        return;
    };
    let known: Vec<String> = match pack.field(section).map(|node| &node.value) {
        Some(Yaml::List(own)) => own.iter().filter_map(|entry| entry.field("id")).filter_map(Node::scalar).collect(),
        _ => Vec::new(),
    };
    for item in items {
        let Yaml::Map(changes) = &item.value else {
            report.error(Code::Shape, &item.span, format!("a {what} is a map, this is {}", item.shape()));
            continue;
        };
        let Some(id) = item.field("id").filter(|id| id.scalar().is_some()) else {
            let start = item.span.start..item.span.start + 1;
            report.error(Code::MissingField, &start, format!("this {what} has no `id`"));
            continue;
        };
        let name = id.scalar().unwrap_or_default();
        let place = match field_mut(pack, section).map(|node| &mut node.value) {
            Some(Yaml::List(own)) => {
                own.iter_mut().find(|entry| entry.field("id").and_then(Node::scalar).as_deref() == Some(name.as_str()))
            }
            _ => None,
        };
        let Some(Node { value: Yaml::Map(own), .. }) = place else {
            unknown(&Key { name, span: id.span.clone() }, what, &known, report);
            continue;
        };
        for (key, value) in changes.iter().filter(|(key, _)| key.name != "id") {
            if !allowed.contains(&key.name.as_str()) {
                report.error_help(
                    Code::UnknownField,
                    &key.span,
                    format!("`{}` of a {what} cannot be overridden", key.name),
                    format!("overridden can be: {}", allowed.join(", ")),
                );
                continue;
            }
            let known = own.iter_mut().find(|(known, _)| known.name == key.name).map(|(_, value)| value);
            match (known, &value.value) {
                (Some(Node { value: Yaml::Map(labels), .. }), Yaml::Map(more)) if key.name == "labels" => {
                    for (label, value) in more {
                        labels.retain(|(known, _)| known.name != label.name);
                        labels.push((label.clone(), value.clone()));
                    }
                }
                (Some(known), _) => *known = value.clone(),
                (None, _) => own.push((key.clone(), value.clone())),
            }
        }
    }
}
