//! Receivers and routes, as written.
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::retry::Schedule;

/// Who can be told, and who is told of what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where messages can go.
    pub receivers: Vec<Receiver>,
    /// Which go where; the first that matches wins unless it says `continue`. None at all: everything to everyone.
    pub routes: Vec<Route>,
    /// Who is told all the time that Invar is at work.
    pub alive: Option<Alive>,
}

/// A dead man's switch.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alive {
    /// What is fetched (`GET`).
    pub url: String,
    /// How often, in seconds.
    #[serde(default = "minute")]
    pub every_seconds: u64,
    /// It may live on a loopback or private address.
    #[serde(default)]
    pub allow_private: bool,
}

fn minute() -> u64 {
    60
}

/// The address may be a secret.
impl std::fmt::Debug for Alive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alive").field("every_seconds", &self.every_seconds).finish_non_exhaustive()
    }
}

/// Somewhere to send messages.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// Its name in routes and in the delivery log.
    pub name: String,
    /// PagerDuty, by Events API v2.
    #[serde(default)]
    pub pagerduty: Option<PagerDuty>,
    /// A channel of Slack, by an incoming webhook.
    #[serde(default)]
    pub slack: Option<Slack>,
    /// Any HTTP endpoint, signed as Standard Webhooks asks.
    #[serde(default)]
    pub webhook: Option<Webhook>,
    /// It may live on a loopback or private address.
    #[serde(default)]
    pub allow_private: bool,
}

impl Receiver {
    /// When it is tried again.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        match (&self.pagerduty, &self.slack) {
            (Some(_), _) => Schedule::PagerDuty,
            (None, Some(_)) => Schedule::Slack,
            (None, None) => Schedule::Webhook,
        }
    }

    /// What it is: `pagerduty`, `slack` or `webhook`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.schedule() {
            Schedule::PagerDuty => "pagerduty",
            Schedule::Slack => "slack",
            Schedule::Webhook => "webhook",
        }
    }
}

/// See the Events API v2 overview of PagerDuty.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagerDuty {
    /// The integration key, 32 characters.
    pub routing_key: String,
    /// The endpoint; EU accounts have another host.
    #[serde(default = "enqueue")]
    pub url: String,
}

fn enqueue() -> String {
    "https://events.pagerduty.com/v2/enqueue".to_owned()
}

/// An incoming webhook of Slack.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// Its address, which is a secret.
    pub url: String,
}

/// See the Standard Webhooks specification, 1.0.0.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where to post.
    pub url: String,
    /// `whsec_` and base64.
    pub secret: String,
}

/// Secrets are not shown.
impl std::fmt::Debug for PagerDuty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PagerDuty").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The address is the secret.
impl std::fmt::Debug for Slack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slack").finish_non_exhaustive()
    }
}

/// Secrets are not shown; an address may be one too.
impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

/// Which incidents go to which receivers. Empty lists match everything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Severities.
    pub severity: Vec<String>,
    /// Packs.
    pub pack: Vec<String>,
    /// Rules.
    pub rule: Vec<String>,
    /// Networks.
    pub network: Vec<String>,
    /// Nodes.
    pub node: Vec<String>,
    /// Labels of rules, each with its value; all of them.
    pub labels: BTreeMap<String, String>,
    /// Receivers' names.
    pub receivers: Vec<String>,
    /// Look at the routes after this one, too.
    pub r#continue: bool,
}

impl Config {
    /// What is wrong with it, all at once.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (number, receiver) in self.receivers.iter().enumerate() {
            let name = &receiver.name;
            if self.receivers[..number].iter().any(|other| other.name == *name) {
                problems.push(format!("two receivers are called `{name}`"));
            }
            match (&receiver.pagerduty, &receiver.slack, &receiver.webhook) {
                (Some(pagerduty), None, None) if pagerduty.routing_key.len() != 32 => {
                    problems.push(format!(
                        "`{name}`: a routing_key has 32 characters, this one has {}",
                        pagerduty.routing_key.len()
                    ));
                }
                (None, None, Some(webhook)) if crate::receiver::webhook::key(&webhook.secret).is_none() => {
                    problems.push(format!("`{name}`: a secret is `whsec_` and the base64 of 24 to 64 bytes"));
                }
                (Some(_), None, None) | (None, Some(_), None) | (None, None, Some(_)) => {}
                _ => problems.push(format!("`{name}` needs exactly one of `pagerduty`, `slack` and `webhook`")),
            }
            let urls = [
                receiver.pagerduty.as_ref().map(|pagerduty| &pagerduty.url),
                receiver.slack.as_ref().map(|slack| &slack.url),
                receiver.webhook.as_ref().map(|webhook| &webhook.url),
            ];
            problems.extend(urls.into_iter().flatten().filter_map(|url| unusable(name, url)));
        }
        problems.extend(self.alive.as_ref().and_then(|alive| unusable("alive", &alive.url)));
        for name in self.routes.iter().flat_map(|route| &route.receivers) {
            if !self.receivers.iter().any(|receiver| receiver.name == *name) {
                problems.push(format!("a route names `{name}`, which is no receiver"));
            }
        }
        problems
    }
}

/// Why nothing can be sent to an address; it is not shown, as it may be a secret.
fn unusable(name: &str, url: &str) -> Option<String> {
    let problem = match reqwest::Url::parse(url) {
        Ok(url) if matches!(url.scheme(), "https" | "http") => return None,
        Ok(url) => format!("it begins with `{}:`", url.scheme()),
        Err(error) => error.to_string(),
    };
    Some(format!("`{name}`: its url cannot be used: {problem}; write `https://…`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_which_nothing_can_be_sent_is_told_of_without_showing_it() {
        let problems = |url: &str| {
            let slack = Some(Slack { url: url.to_owned() });
            let receiver =
                Receiver { name: "chat".into(), pagerduty: None, slack, webhook: None, allow_private: false };
            let alive = Alive { url: url.to_owned(), every_seconds: 60, allow_private: false };
            Config { receivers: vec![receiver], routes: Vec::new(), alive: Some(alive) }.problems()
        };
        assert_eq!(problems("https://hooks.slack.com/services/T/B/secret"), [""; 0]);
        assert_eq!(
            problems("secret"),
            ["chat", "alive"].map(|name| {
                format!("`{name}`: its url cannot be used: relative URL without a base; write `https://…`")
            })
        );
        assert_eq!(
            problems("file:///secret")[0],
            "`chat`: its url cannot be used: it begins with `file:`; write `https://…`"
        );
    }

    #[test]
    fn a_receiver_is_one_thing_and_what_is_secret_is_not_shown() {
        let slack = || Some(Slack { url: "https://hooks.slack.com/services/T/B/secret".into() });
        let receiver = |slack: Option<Slack>, webhook: Option<Webhook>| Receiver {
            name: "r".into(),
            pagerduty: None,
            slack,
            webhook,
            allow_private: false,
        };
        let config = |receiver| Config { receivers: vec![receiver], ..Config::default() };
        let one = config(receiver(slack(), None));
        assert!(one.problems().is_empty() && one.receivers[0].kind() == "slack");
        assert!(!format!("{one:?}").contains("secret"));
        let webhook =
            Webhook { url: "https://example.com/hook".into(), secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into() };
        assert_eq!(config(receiver(slack(), Some(webhook))).problems().len(), 1);
        assert_eq!(config(receiver(None, None)).problems().len(), 1);
    }
}
