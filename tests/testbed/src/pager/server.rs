//! The stand-in's HTTP server: mounts, scripted answers, and the list of calls. What a mount means is not known here.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc, task::AbortHandle, time::Instant};

use super::{pagerduty::Desk, slack::Channel, webhook::Endpoint};

/// The secret that senders to `/webhook` sign with.
pub const WEBHOOK_SECRET: &str = "whsec_dGVzdGJlZC13ZWJob29rLXNlY3JldC0wMTIzNDU2Nzg5";
/// The largest body that is read at all; above it the server answers 413 by itself.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Calls kept at most; older ones are forgotten.
const CALLS_MAX: usize = 10_000;
/// Scripted answers at most.
const SCRIPT_MAX: usize = 10_000;

/// Which service a call was meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mount {
    /// `POST /v2/enqueue`.
    Pagerduty,
    /// `POST /slack`.
    Slack,
    /// `POST /webhook`.
    Webhook,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A new alert: somebody would have been paged.
    Triggered,
    /// An open alert was told again what it knew.
    Updated,
    /// An open alert was acknowledged.
    Acknowledged,
    /// An open alert was closed.
    Resolved,
    /// Accepted by the status, and without effect.
    Dropped {
        /// Why nothing happened.
        reason: String,
    },
    /// A message to a channel, which everybody in it sees.
    Posted,
    /// A signed message, heard for the first time.
    Verified,
    /// A signed message that was handled before.
    Duplicate,
    /// Refused for what it is.
    Refused {
        /// Everything that is wrong with it.
        errors: Vec<String>,
    },
    /// Refused for coming too soon.
    Throttled,
    /// Answered from the script, without a look at it.
    Scripted,
}

/// One call that was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// For whom it was meant.
    pub mount: Mount,
    /// The status it was answered with; `None` when the connection was dropped instead.
    pub status: Option<u16>,
    /// What came of it.
    pub outcome: Outcome,
    /// The dedup key or the webhook's id, as far as there was one.
    pub key: Option<String>,
    /// The body: JSON when it is, else its text.
    pub body: Value,
    /// Its headers; a repeated one is joined by commas.
    pub headers: BTreeMap<String, String>,
}

impl fmt::Display for Call {
    /// One line for people: what came of it, for whom it was meant, and what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.outcome {
            Outcome::Triggered => "paged",
            Outcome::Updated => "paged again",
            Outcome::Acknowledged => "acknowledged",
            Outcome::Resolved => "resolved",
            Outcome::Posted => "posted",
            Outcome::Verified => "verified",
            Outcome::Duplicate => "seen before",
            Outcome::Dropped { .. } => "without effect",
            Outcome::Refused { .. } => "refused",
            Outcome::Throttled => "throttled",
            Outcome::Scripted => "scripted",
        };
        let (receiver, said) = match self.mount {
            Mount::Pagerduty => ("PagerDuty", ["/payload/summary", "/dedup_key"]),
            Mount::Slack => ("Slack", ["/text", "/text"]),
            Mount::Webhook => ("webhook", ["/data/message", "/type"]),
        };
        let said = said.iter().find_map(|pointer| self.body.pointer(pointer)?.as_str()).unwrap_or_default();
        write!(f, "{receiver} {what}: {said}")
    }
}

/// A scripted answer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scripted {
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    drop_connection: bool,
}

/// What `POST /_control` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Control {
    mount: Mount,
    next: Vec<Scripted>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    calls: mpsc::Sender<Call>,
}

#[derive(Debug)]
struct Inner {
    desk: Desk,
    channel: Channel,
    endpoint: Endpoint,
    script: BTreeMap<Mount, VecDeque<Scripted>>,
    received: VecDeque<Call>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stand-in.
#[derive(Debug)]
pub struct PagerStandIn;

/// The calls as they come in. Dropping it ends the stand-in.
#[derive(Debug)]
pub struct Received {
    calls: mpsc::Receiver<Call>,
    shared: Arc<Shared>,
    server: AbortHandle,
}

impl Drop for Received {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Received {
    /// The next call, in the order they were answered. One that nobody takes while thousands wait is only in [`Received::all`].
    pub async fn next(&mut self) -> Option<Call> {
        self.calls.recv().await
    }

    /// The last ten thousand calls, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Call> {
        self.shared.lock().received.iter().cloned().collect()
    }
}

impl PagerStandIn {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    ///
    /// When no port can be bound.
    pub async fn start() -> io::Result<(SocketAddr, Received)> {
        PagerStandIn::start_on(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Listens on an address.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn start_on(address: SocketAddr) -> io::Result<(SocketAddr, Received)> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let endpoint = Endpoint::new(WEBHOOK_SECRET)
            .ok_or_else(|| io::Error::other("the stand-in's own webhook secret is malformed"))?;
        let (desk, channel) = (Desk::default(), Channel::default());
        let inner = Inner { desk, channel, endpoint, script: BTreeMap::new(), received: VecDeque::new() };
        let (sender, calls) = mpsc::channel(CALLS_MAX);
        let shared = Arc::new(Shared { inner: Mutex::new(inner), calls: sender });
        let router = Router::new()
            .route("/v2/enqueue", post(pagerduty))
            .route("/slack", post(slack))
            .route("/webhook", post(webhook))
            .route("/_control", post(control))
            .route("/_received", get(received))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            // Only ever ends with an error of the listener, and then nobody can call any more.
            let _ = axum::serve(listener, router).await;
        });
        Ok((address, Received { calls, shared, server: server.abort_handle() }))
    }
}

async fn control(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let control: Control = match serde_json::from_slice(&body) {
        Ok(control) => control,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let mut inner = shared.lock();
    let script = inner.script.entry(control.mount).or_default();
    if script.len() + control.next.len() > SCRIPT_MAX {
        return (StatusCode::BAD_REQUEST, format!("more than {SCRIPT_MAX} scripted answers\n")).into_response();
    }
    script.extend(control.next);
    StatusCode::NO_CONTENT.into_response()
}

async fn received(State(shared): State<Arc<Shared>>) -> Json<Vec<Call>> {
    Json(shared.lock().received.iter().cloned().collect())
}

async fn pagerduty(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let call = |inner: &mut Inner| {
        let reply = inner.desk.call(&body, Instant::now());
        Answer {
            status: reply.status,
            content_type: "application/json",
            body: reply.body.to_string(),
            outcome: reply.outcome,
            key: reply.key,
        }
    };
    let event = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let key = event.get("dedup_key").and_then(Value::as_str).map(str::to_owned);
    answer(&shared, Mount::Pagerduty, &headers, &body, key, call).await
}

async fn slack(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let call = |inner: &mut Inner| {
        let (status, text, outcome) = inner.channel.post(&body, Instant::now());
        Answer { status, content_type: "text/plain", body: text.to_owned(), outcome, key: None }
    };
    answer(&shared, Mount::Slack, &headers, &body, None, call).await
}

async fn webhook(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers.get("webhook-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let call = |inner: &mut Inner| {
        let (status, text, outcome) = inner.endpoint.receive(&headers, &body, SystemTime::now());
        Answer { status, content_type: "text/plain", body: text, outcome, key: key.clone() }
    };
    answer(&shared, Mount::Webhook, &headers, &body, key.clone(), call).await
}

/// What a mount says to a call.
struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
    outcome: Outcome,
    key: Option<String>,
}

/// Answers a call from the script or by its mount, and notes it down.
async fn answer(
    shared: &Shared,
    mount: Mount,
    headers: &HeaderMap,
    body: &Bytes,
    key: Option<String>,
    handle: impl FnOnce(&mut Inner) -> Answer,
) -> Response {
    let (scripted, answer) = {
        let mut inner = shared.lock();
        let scripted = inner.script.get_mut(&mount).and_then(VecDeque::pop_front).unwrap_or_default();
        let answer = match scripted.status {
            Some(status) => Answer {
                status,
                content_type: "text/plain",
                body: scripted.body.clone(),
                outcome: Outcome::Scripted,
                key,
            },
            None => handle(&mut inner),
        };
        (scripted, answer)
    };
    tokio::time::sleep(Duration::from_millis(scripted.delay_ms)).await;
    let mut plain = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        plain.entry(name.to_string()).and_modify(|all| *all = format!("{all}, {value}")).or_insert(value.into_owned());
    }
    let call = Call {
        mount,
        status: (!scripted.drop_connection).then_some(answer.status),
        outcome: answer.outcome,
        key: answer.key,
        body: serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into()),
        headers: plain,
    };
    {
        let mut inner = shared.lock();
        if inner.received.len() >= CALLS_MAX {
            inner.received.pop_front();
        }
        inner.received.push_back(call.clone());
    }
    // A test that only looks at the list leaves this channel full.
    let _ = shared.calls.try_send(call);
    if scripted.drop_connection {
        // Ends the connection's task, and with it the connection, before a byte is answered; no panic hook runs.
        std::panic::resume_unwind(Box::new("connection dropped as scripted"));
    }
    let mut response = Response::builder().status(answer.status);
    if !scripted.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
        response = response.header(header::CONTENT_TYPE, answer.content_type);
    }
    for (name, value) in &scripted.headers {
        response = response.header(name, value);
    }
    // A script may hold what is no status or header.
    response
        .body(answer.body.into())
        .unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response())
}
