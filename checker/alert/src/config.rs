//! Receivers and routes, as written.
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
        if self.pagerduty.is_some() { Schedule::PagerDuty } else { Schedule::Webhook }
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
            match (&receiver.pagerduty, &receiver.webhook) {
                (Some(pagerduty), None) if pagerduty.routing_key.len() != 32 => {
                    problems.push(format!(
                        "`{name}`: a routing_key has 32 characters, this one has {}",
                        pagerduty.routing_key.len()
                    ));
                }
                (None, Some(webhook)) if crate::receiver::webhook::key(&webhook.secret).is_none() => {
                    problems.push(format!("`{name}`: a secret is `whsec_` and the base64 of 24 to 64 bytes"));
                }
                (Some(_), None) | (None, Some(_)) => {}
                _ => problems.push(format!("`{name}` needs exactly one of `pagerduty` and `webhook`")),
            }
        }
        for name in self.routes.iter().flat_map(|route| &route.receivers) {
            if !self.receivers.iter().any(|receiver| receiver.name == *name) {
                problems.push(format!("a route names `{name}`, which is no receiver"));
            }
        }
        problems
    }
}
