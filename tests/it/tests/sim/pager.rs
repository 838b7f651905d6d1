//! The receivers: they keep what they are told by dedup key, as PagerDuty does, and sometimes fail.
use std::{collections::BTreeMap, time::Duration};

use alert::{Action, Message, Reply, config::Receiver, receiver::pagerduty, retry::Schedule};
use serde_json::Value as Json;

use super::faults::{Chance, Faults};

/// The receivers' names: critical incidents go to both.
pub(crate) const DUTY: &str = "duty";
pub(crate) const HOOK: &str = "hook";

/// Who is told of what.
pub(crate) fn config() -> alert::Config {
    let yaml = "
receivers:
  - name: duty
    pagerduty: {routing_key: 0123456789abcdef0123456789abcdef}
  - name: hook
    webhook: {url: 'https://hook.example', secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}
routes:
  - {severity: [critical], receivers: [duty, hook]}
  - {receivers: [hook]}
";
    let config: alert::Config = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(config.problems(), Vec::<String>::new());
    config
}

/// What a receiver has been told under one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    /// Whether it pages someone now.
    pub(crate) open: bool,
    /// How often it was told to.
    pub(crate) triggers: u64,
    /// The incidents it was about.
    pub(crate) incidents: Vec<String>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Pager {
    /// By receiver and dedup key.
    pub(crate) cases: BTreeMap<(String, String), Case>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Accepted,
    Refused,
    AcceptedUnseen,
}

impl Pager {
    /// Takes a message, or does not.
    pub(crate) fn take(&mut self, message: &Message<'_>, faults: &Faults, chance: &mut Chance) -> (Fate, Reply) {
        let fate = match (chance.happens(faults.receiver_fails), chance.happens(faults.receiver_mute)) {
            (true, _) => Fate::Refused,
            (_, true) => Fate::AcceptedUnseen,
            _ => Fate::Accepted,
        };
        if fate != Fate::Refused {
            self.note(message);
        }
        let schedule = if message.receiver == DUTY { Schedule::PagerDuty } else { Schedule::Webhook };
        let accepted = fate == Fate::Accepted;
        let status = match (fate, schedule) {
            (Fate::Accepted, Schedule::PagerDuty) => Some(202),
            (Fate::Accepted, Schedule::Slack | Schedule::Webhook) => Some(200),
            (Fate::Refused, _) => Some(500),
            (Fate::AcceptedUnseen, _) => None,
        };
        let error = (!accepted).then(|| "no luck".to_owned());
        let latency = Duration::from_millis(3);
        (fate, Reply { accepted, retry: !accepted, retry_after: None, status, error, latency, schedule })
    }

    fn note(&mut self, message: &Message<'_>) {
        let key = if message.receiver == DUTY { key_of_body(message) } else { message.dedup_key.to_owned() };
        let case = self.cases.entry((message.receiver.to_owned(), key)).or_default();
        let incident = message.incident["id"].as_str().unwrap().to_owned();
        if !case.incidents.contains(&incident) {
            case.incidents.push(incident);
        }
        match message.action {
            Action::Trigger => {
                case.open = true;
                case.triggers += 1;
            }
            Action::Acknowledge => {}
            Action::Resolve => case.open = false,
        }
    }
}

/// The key as PagerDuty reads it.
fn key_of_body(message: &Message<'_>) -> String {
    let config = config();
    let Some(Receiver { pagerduty: Some(duty), .. }) = config.receivers.first() else { panic!("no PagerDuty") };
    let body: Json = pagerduty::body(duty, message.action, message.dedup_key, message.incident);
    body["dedup_key"].as_str().unwrap().to_owned()
}
