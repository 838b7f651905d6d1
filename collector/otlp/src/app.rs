//! What both servers share: the sink, the limits, the tokens, the counters, and whether we are draining.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::budget::Budget;
use crate::counters::Counters;
use crate::failure::Failure;
use crate::rate::Rates;
use crate::sink::Sink;
use crate::tokens::Tokens;

/// The limits of the servers. The defaults are fit for production.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The longest body, in bytes, before and after inflating. OTLP recommends 64 MiB.
    pub body_bytes_max: usize,
    /// The bytes of all bodies in flight together; when spent, requests get 503/UNAVAILABLE.
    pub in_flight_bytes_max: usize,
    /// How long a connection may take to send a request's headers; a kept-alive HTTP/1.1 connection that has been
    /// quiet for so long is closed, so it stands above the usual export interval of a minute.
    pub header_timeout: Duration,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// Connections of one listener; further ones wait to be accepted.
    pub connections_max: usize,
    /// How long requests in flight may take to finish once a shutdown was asked for.
    pub drain_timeout: Duration,
    /// How many bytes a second each ingest token may send, inflated; none: as many as it likes. Senders without a token are not
    /// told apart, and not limited.
    pub token_bytes_per_second: Option<NonZeroU64>,
    /// Whether metrics are answered with a warning (true) or with 404/UNIMPLEMENTED (false). They are never used.
    pub accept_metrics: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 << 20,
            in_flight_bytes_max: 256 << 20,
            header_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            connections_max: 16_384,
            drain_timeout: Duration::from_secs(20),
            token_bytes_per_second: None,
            accept_metrics: true,
        }
    }
}

/// The application behind both listeners; clones share everything.
#[derive(Clone)]
pub struct App {
    shared: Arc<Shared>,
}

struct Shared {
    sink: Arc<dyn Sink>,
    settings: Settings,
    tokens: RwLock<Arc<Tokens>>,
    counters: Counters,
    budget: Budget,
    rates: Rates,
    ready: AtomicBool,
    in_flight: TaskTracker,
}

impl App {
    /// An application that is ready at once. With [`Tokens::open`] anybody may send, so the caller must have bound to
    /// loopback only.
    pub fn new(sink: Arc<dyn Sink>, settings: Settings, tokens: Tokens) -> Self {
        let budget = Budget::new(settings.in_flight_bytes_max);
        let rates = Rates::new(settings.token_bytes_per_second);
        let shared = Shared {
            sink,
            settings,
            tokens: RwLock::new(Arc::new(tokens)),
            counters: Counters::default(),
            budget,
            rates,
            ready: AtomicBool::new(true),
            in_flight: TaskTracker::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Replaces the tokens for all requests that come from now on.
    pub fn set_tokens(&self, tokens: Tokens) {
        *self.shared.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }

    /// Whether new requests are taken. Not ready, they get 503/UNAVAILABLE: while starting, and while draining.
    pub fn set_ready(&self, ready: bool) {
        self.shared.ready.store(ready, Ordering::SeqCst);
    }

    /// Whether new requests are taken.
    pub fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::SeqCst)
    }

    /// What has been counted so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Bytes that bodies in flight take now.
    pub fn in_flight_bytes(&self) -> usize {
        self.shared.budget.used()
    }

    /// Requests that are being read or stored now.
    pub fn in_flight_requests(&self) -> usize {
        self.shared.in_flight.len()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(crate) fn sink(&self) -> &dyn Sink {
        &*self.shared.sink
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.shared.rates
    }

    pub(crate) fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.shared.tokens.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Enters a request; it is in flight until the token is dropped.
    pub(crate) fn enter(&self) -> Result<TaskTrackerToken, Failure> {
        // The token is taken before readiness is read, so that a drain that saw nobody in flight stays true.
        let token = self.shared.in_flight.token();
        if self.is_ready() {
            Ok(token)
        } else {
            Err(Failure::overloaded("the server is starting or draining, try again later"))
        }
    }

    /// Takes nothing new and waits until nothing is in flight.
    pub(crate) async fn drained(&self) {
        self.set_ready(false);
        self.shared.in_flight.close();
        self.shared.in_flight.wait().await;
    }
}
