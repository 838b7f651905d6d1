//! Who is told of what. Pure.
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::config::{Config, Route};

/// What a message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Page.
    Trigger,
    /// Someone has it.
    Acknowledge,
    /// It is over.
    Resolve,
}

impl Action {
    /// The word of PagerDuty's Events API, which the delivery log uses too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Trigger => "trigger",
            Action::Acknowledge => "acknowledge",
            Action::Resolve => "resolve",
        }
    }
}

/// What routes look at.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The rule's pack.
    pub pack: String,
    /// The rule.
    pub rule: String,
    /// The incident's severity.
    pub severity: String,
    /// The incident's network.
    pub network: String,
    /// The incident's node; empty where it is not about one.
    pub node: String,
    /// The rule's labels.
    pub labels: BTreeMap<String, String>,
    /// The incident's group.
    pub group: String,
    /// Shadowed and backfilled incidents page nobody.
    pub silent: bool,
}

/// A message for one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The receiver's name.
    pub receiver: String,
    /// What ties the messages of one incident together, whatever revision of the rule judges it.
    pub dedup_key: String,
}

/// The receivers of an incident.
#[must_use]
pub fn plan(config: &Config, subject: &Subject) -> Vec<Planned> {
    if subject.silent {
        return Vec::new();
    }
    let mut names: Vec<&str> = Vec::new();
    if config.routes.is_empty() {
        names.extend(config.receivers.iter().map(|receiver| receiver.name.as_str()));
    }
    for route in config.routes.iter().filter(|route| matches(route, subject)) {
        names.extend(route.receivers.iter().map(String::as_str));
        if !route.r#continue {
            break;
        }
    }
    let mut planned: Vec<Planned> = Vec::new();
    for name in names {
        if !planned.iter().any(|known| known.receiver == name) {
            planned.push(Planned { receiver: name.to_owned(), dedup_key: dedup_key(subject) });
        }
    }
    planned
}

fn matches(route: &Route, subject: &Subject) -> bool {
    let fits = |wanted: &[String], value: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == value);
    fits(&route.severity, &subject.severity)
        && fits(&route.pack, &subject.pack)
        && fits(&route.rule, &subject.rule)
        && fits(&route.network, &subject.network)
        && fits(&route.node, &subject.node)
        && route.labels.iter().all(|(name, value)| subject.labels.get(name) == Some(value))
}

/// `invar/` and 48 hex digits of the case.
fn dedup_key(subject: &Subject) -> String {
    let mut hasher = Sha256::new();
    for part in [&subject.pack, &subject.rule, &subject.network, &subject.group] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    digest.iter().take(24).fold(String::from("invar/"), |key, byte| format!("{key}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Receiver;

    fn receiver(name: &str) -> Receiver {
        Receiver { name: name.into(), pagerduty: None, slack: None, webhook: None, allow_private: false }
    }

    fn names(planned: &[Planned]) -> Vec<&str> {
        planned.iter().map(|planned| planned.receiver.as_str()).collect()
    }

    #[test]
    fn the_first_route_that_matches_wins_unless_it_says_continue() {
        let route = |severity: &str, to: &str, on| Route {
            severity: vec![severity.into()],
            receivers: vec![to.into()],
            r#continue: on,
            ..Route::default()
        };
        let config = Config {
            receivers: vec![receiver("a"), receiver("b"), receiver("c")],
            routes: vec![
                route("critical", "a", true),
                route("critical", "b", false),
                Route { receivers: vec!["c".into()], ..Route::default() },
            ],
            ..Config::default()
        };
        let subject = |severity: &str| Subject { severity: severity.into(), ..Subject::default() };
        assert_eq!(names(&plan(&config, &subject("critical"))), ["a", "b"]);
        assert_eq!(names(&plan(&config, &subject("low"))), ["c"]);
        assert!(plan(&config, &Subject { silent: true, ..subject("critical") }).is_empty());
    }

    #[test]
    fn a_route_may_ask_for_labels_and_nodes() {
        let labelled = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
        let config = Config {
            receivers: vec![receiver("a"), receiver("b"), receiver("c")],
            routes: vec![
                Route { labels: labelled("team", "core"), receivers: vec!["a".into()], ..Route::default() },
                Route { node: vec!["n1".into()], receivers: vec!["b".into()], ..Route::default() },
                Route { receivers: vec!["c".into()], ..Route::default() },
            ],
            ..Config::default()
        };
        let told = |labels: BTreeMap<String, String>, node: &str| {
            let planned = plan(&config, &Subject { labels, node: node.into(), ..Subject::default() });
            planned[0].receiver.clone()
        };
        assert_eq!(told(labelled("team", "core"), "n1"), "a");
        assert_eq!(told(labelled("team", "edge"), "n1"), "b");
        assert_eq!(told(BTreeMap::new(), "n2"), "c");
    }

    #[test]
    fn without_routes_everyone_is_told_under_one_key() {
        let config = Config { receivers: vec![receiver("a"), receiver("b")], ..Config::default() };
        let planned = plan(&config, &Subject::default());
        assert_eq!(names(&planned), ["a", "b"]);
        assert_eq!(planned[0].dedup_key, planned[1].dedup_key);
        assert_eq!(planned[0].dedup_key.len(), 6 + 48);
    }
}
