//! Sending one message once.
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;

use crate::{
    config::{Config, Receiver},
    plan::Action,
    receiver::{pagerduty, slack, webhook},
    retry::{self, Schedule},
    target,
};

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The same for all tries of one message, so that a receiver can tell a repeat.
    pub id: &'a str,
    /// The receiver's name.
    pub receiver: &'a str,
    /// What it does.
    pub action: Action,
    /// See [`crate::Planned::dedup_key`].
    pub dedup_key: &'a str,
    /// The incident, as the API shows it.
    pub incident: &'a Json,
}

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whether it was accepted.
    pub accepted: bool,
    /// Whether trying again makes sense.
    pub retry: bool,
    /// When the receiver asked to be tried again.
    pub retry_after: Option<Duration>,
    /// The status; none when there was no reply.
    pub status: Option<u16>,
    /// What was wrong; never a secret.
    pub error: Option<String>,
    /// How long it took.
    pub latency: Duration,
    /// The receiver's schedule.
    pub schedule: Schedule,
}

/// Sends messages to the receivers of a configuration.
#[derive(Clone, Debug)]
pub struct Sender {
    config: Config,
}

impl Sender {
    /// A sender for these receivers.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Sender { config }
    }

    /// The receivers and routes.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Tries once. Redirects are not followed, a try takes 20 s at most.
    pub async fn send(&self, message: &Message<'_>) -> Reply {
        let started = Instant::now();
        let refused = |error: String, retry| Reply {
            accepted: false,
            retry,
            retry_after: None,
            status: None,
            error: Some(error),
            latency: started.elapsed(),
            schedule: Schedule::Webhook,
        };
        let Some(receiver) = self.config.receivers.iter().find(|receiver| receiver.name == message.receiver) else {
            return refused(format!("there is no receiver `{}` any more", message.receiver), false);
        };
        let schedule = receiver.schedule();
        let reply = match request(receiver, message).await {
            Ok(request) => request.send().await.map_err(|error| (describe(&error), true)),
            Err(problem) => Err(problem),
        };
        let reply = match reply {
            Ok(reply) => reply,
            Err((error, retry)) => return Reply { schedule, ..refused(error, retry) },
        };
        let status = reply.status().as_u16();
        let retry_after =
            reply.headers().get("retry-after").and_then(|value| retry::after(value.to_str().ok()?, SystemTime::now()));
        // Slack says in the text what it has taken.
        let text = match schedule {
            Schedule::PagerDuty if status == 202 => String::new(),
            Schedule::Webhook if (200..300).contains(&status) => String::new(),
            _ => reply.text().await.unwrap_or_default(),
        };
        let text = text.trim();
        let accepted = match schedule {
            Schedule::PagerDuty => status == 202,
            Schedule::Slack => status == 200 && text == "ok",
            Schedule::Webhook => (200..300).contains(&status),
        };
        let retry = !accepted
            && match schedule {
                Schedule::PagerDuty | Schedule::Slack => status == 429 || status >= 500,
                Schedule::Webhook => status != 410,
            };
        let error = (!accepted).then(|| format!("HTTP {status}: {}", crate::receiver::cut(text, 300)));
        Reply { accepted, retry, retry_after, status: Some(status), error, latency: started.elapsed(), schedule }
    }
}

async fn request(receiver: &Receiver, message: &Message<'_>) -> Result<reqwest::RequestBuilder, (String, bool)> {
    let (url, body) = match (&receiver.pagerduty, &receiver.slack, &receiver.webhook) {
        (Some(config), ..) => {
            (&config.url, pagerduty::body(config, message.action, message.dedup_key, message.incident))
        }
        (None, Some(config), _) => (&config.url, slack::body(message.action, message.incident)),
        (None, None, Some(config)) => (&config.url, webhook::body(message.action, message.incident)),
        (None, None, None) => return Err(("the receiver has no address".to_owned(), false)),
    };
    let (client, url) = client(url, receiver.allow_private).await?;
    let body = body.to_string();
    let mut request = client.post(url).header("content-type", "application/json");
    if let Some(config) = receiver.webhook.as_ref().filter(|_| receiver.schedule() == Schedule::Webhook) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let signature = webhook::signature(&config.secret, message.id, now, body.as_bytes())
            .ok_or_else(|| ("the webhook's secret is not usable".to_owned(), false))?;
        request = request
            .header("webhook-id", message.id)
            .header("webhook-timestamp", now.to_string())
            .header("webhook-signature", signature);
    }
    Ok(request.body(body))
}

/// A client that connects to what the address was found to be, and the address.
///
/// # Errors
/// What is wrong, and whether trying again makes sense.
pub(crate) async fn client(url: &str, allow_private: bool) -> Result<(reqwest::Client, reqwest::Url), (String, bool)> {
    let url = reqwest::Url::parse(url).map_err(|error| (format!("the receiver's address is wrong: {error}"), false))?;
    let address = target::resolve(&url, allow_private).await.map_err(|error| (error, true))?;
    // The address that was looked at is the one that is connected to.
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(20))
        .resolve(url.host_str().unwrap_or_default(), address)
        .no_proxy()
        .build()
        .map_err(|error| (describe(&error), false))?;
    Ok((client, url))
}

/// An error without its address, which may be a secret.
pub(crate) fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "no reply in time".to_owned()
    } else if error.is_connect() {
        "cannot connect".to_owned()
    } else {
        "the connection broke before the reply".to_owned()
    }
}
