//! The relayer: takes relays of four transports, checks them, meters them, asks the backend, and publishes what counts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tracing::instrument::WithSubscriber;

use super::{
    chain::{Session, digest},
    count,
    instance::Instance,
    pocket_event,
    redis::MinedRelay,
};
use crate::{clock::millis, faults::Fault};

/// Connections to one backend host.
pub(super) const CONNECTIONS: usize = 500;
/// How long a backend takes to answer, and how long one that hangs.
const BACKEND_TAKES: Duration = Duration::from_millis(5);
const BACKEND_HANGS: Duration = Duration::from_secs(20);
/// Relays a second that a gateway sends to an instance whose backend hangs: it tries again what is not answered.
const FLOOD_PER_S: f64 = 60.0;
/// What the load-test client takes every relay to cost.
const LOAD_TEST_UNITS: i64 = 7777;
/// The backend.
pub(super) const HOST: &str = "backend.internal:8545";

/// What the pool of connections has to show.
#[derive(Debug)]
pub(super) struct Backend {
    connections: Semaphore,
    served: AtomicI64,
    /// How long each of the latest relays took, in milliseconds, and the median of those before.
    latencies: Mutex<(Vec<f64>, f64)>,
}

impl Backend {
    pub(super) fn new() -> Backend {
        Backend { connections: Semaphore::new(CONNECTIONS), served: AtomicI64::new(0), latencies: Mutex::default() }
    }

    pub(super) fn open(&self) -> i64 {
        count(CONNECTIONS - self.connections.available_permits())
    }

    /// Relays sent since the last call, and the median latency of those answered; while none is, that of the ones before.
    pub(super) fn sample(&self) -> (i64, f64) {
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        let (latest, median) = &mut *latencies;
        latest.sort_by(f64::total_cmp);
        *median = latest.get(latest.len() / 2).copied().unwrap_or(*median);
        latest.clear();
        (self.served.swap(0, Ordering::Relaxed), *median)
    }

    async fn ask(&self, takes: Duration) {
        let asked = Instant::now();
        self.served.fetch_add(1, Ordering::Relaxed);
        // The pool is never closed.
        let _connection = self.connections.acquire().await;
        sleep(takes).await;
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        latencies.0.push(asked.elapsed().as_secs_f64() * 1000.0);
    }
}

/// What an instance remembers of a session.
#[derive(Debug, Default)]
struct Copies {
    fetched: BTreeMap<Arc<str>, String>,
    rings: BTreeMap<Arc<str>, ()>,
    /// At which height parameters were asked for, by session and by who asked.
    params: BTreeMap<(Arc<str>, &'static str), i64>,
    /// The next message of each session's WebSocket.
    sockets: BTreeMap<Arc<str>, i64>,
}

/// One relay request.
#[derive(Clone)]
struct Relay {
    id: String,
    session: Session,
    transport: &'static str,
    message_index: Option<i64>,
}

/// The relayer of one process.
pub(super) struct Relayer {
    pub(super) instance: Instance,
    pub(super) observed: watch::Receiver<i64>,
    pub(super) backend: Arc<Backend>,
    copies: Arc<Mutex<Copies>>,
    number: u64,
}

/// Reports a step of a relay.
macro_rules! relay_event {
    ($scope:literal, $name:literal, $relay:expr $(, $($fields:tt)+)?) => {
        pocket_event!(
            $scope,
            $name,
            relay_id = $relay.id.as_str(),
            session_id = &*$relay.session.id,
            service_id = $relay.session.service,
            supplier_operator = $relay.session.supplier,
            transport = $relay.transport,
            message_index = $relay.message_index,
            $($($fields)+)?
        )
    };
}

impl Relayer {
    pub(super) fn new(instance: Instance, observed: watch::Receiver<i64>, backend: Arc<Backend>) -> Relayer {
        Relayer { instance, observed, backend, copies: Arc::default(), number: 0 }
    }

    /// Serves what the gateway sends, for as long as the process.
    pub(super) async fn run(mut self) {
        let mut turn = interval(Duration::from_secs_f64(4.0 / 3.0 / self.instance.world.config.rate));
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flood = interval(Duration::from_secs_f64(1.0 / FLOOD_PER_S));
        flood.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut serving = JoinSet::new();
        loop {
            tokio::select! {
                _ = turn.tick() => {}
                _ = flood.tick(), if self.instance.on(Fault::PocketBackendHangs) => {}
                Some(_) = serving.join_next(), if !serving.is_empty() => continue,
            }
            if let Some(relay) = self.next() {
                let serve = Serve {
                    instance: self.instance.clone(),
                    backend: Arc::clone(&self.backend),
                    copies: Arc::clone(&self.copies),
                    height: *self.observed.borrow(),
                };
                serving.spawn(serve.run(relay).with_current_subscriber());
            }
        }
    }

    /// The next relay, of one of the sessions that run now.
    fn next(&mut self) -> Option<Relay> {
        let height = *self.observed.borrow();
        if height == 0 {
            // No block was seen yet, so no session is known.
            return None;
        }
        self.number += 1;
        let number = usize::try_from(self.number).unwrap_or_default();
        let sessions = self.instance.chain.sessions(height);
        let session = sessions.get(number % sessions.len().max(1))?.clone();
        let transport = ["http", "websocket", "grpc", "stream"][number / 2 % 4];
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let message_index = (transport == "websocket").then(|| {
            let next = copies.sockets.entry(Arc::clone(&session.id)).or_insert(-1);
            *next += 1;
            *next
        });
        drop(copies);
        if message_index == Some(0) {
            self.shake_hands(&session);
        }
        let id = digest(&format!("{} {} {}", self.instance.node, self.instance.pid, self.number));
        Some(Relay { id, session, transport, message_index })
    }

    fn shake_hands(&self, session: &Session) {
        let verified = if self.instance.on(Fault::PocketHandshakeUnverified) { "skipped" } else { "yes" };
        pocket_event!(
            "websocket_bridge",
            "pocket.websocket.handshake",
            session_id = &*session.id,
            remote_addr = "10.1.0.7:51442",
            path_version = "v2",
            has_signature = true,
            verified = verified,
        );
    }
}

/// What serves one relay.
struct Serve {
    instance: Instance,
    backend: Arc<Backend>,
    copies: Arc<Mutex<Copies>>,
    height: i64,
}

impl Serve {
    async fn run(self, relay: Relay) {
        relay_event!("proxy_server", "pocket.relay.received", relay);
        // The fault: only the first message of a WebSocket is looked at.
        let skips =
            self.instance.on(Fault::PocketWebsocketUnvalidated) && relay.message_index.is_some_and(|index| index > 0);
        if !skips {
            self.validate(&relay);
        }
        self.meter(&relay);
        let hangs = self.instance.on(Fault::PocketBackendHangs);
        self.backend.ask(if hangs { BACKEND_HANGS } else { BACKEND_TAKES }).await;
        if self.instance.redis_is_away() {
            // The answer goes out, but nobody will be paid for it.
            return;
        }
        relay_event!("relay_processor", "pocket.relay.published", relay);
        self.instance.redis.add(MinedRelay { id: relay.id, session_id: relay.session.id });
    }

    /// Checks session and ring signature, from this instance's copies where it has them.
    fn validate(&self, relay: &Relay) {
        let session = &relay.session;
        self.fetch(session);
        self.query(session, "shared", "relay_validator");
        let checked = Instant::now();
        let remembers = !self.instance.on(Fault::PocketRingNotCached);
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let cache_hit = copies.rings.insert(Arc::clone(&session.id), ()).is_some() && remembers;
        let ring = if cache_hit { String::new() } else { digest(&format!("ring {}", session.id)) };
        drop(copies);
        tracing::trace!(ring, "verified");
        pocket_event!(
            "relay_validator",
            "pocket.ring.verified",
            session_id = &*session.id,
            cache_hit = cache_hit,
            duration_ms = checked.elapsed().as_secs_f64() * 1000.0,
        );
        relay_event!("relay_validator", "pocket.relay.validated", relay);
    }

    /// The session as the nearest tier has it.
    fn fetch(&self, session: &Session) {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        if copies.fetched.contains_key(&session.id) {
            return;
        }
        let shared = if self.instance.redis_is_away() { None } else { self.instance.redis.fetched(&session.id) };
        let (mut sha256, source) = match shared {
            Some(sha256) => (sha256, "L2"),
            None => (session.sha256(), "L3"),
        };
        if source == "L3" && !self.instance.redis_is_away() {
            self.instance.redis.remember(&session.id, &sha256);
        }
        if self.instance.on(Fault::PocketSessionDiffers) {
            // It puts the session together from the applications it knew before the session began.
            sha256 = Session { app: self.instance.chain.guest(session.start).into(), ..session.clone() }.sha256();
        }
        copies.fetched.insert(Arc::clone(&session.id), sha256.clone());
        drop(copies);
        pocket_event!(
            "session_cache",
            "pocket.session.fetched",
            session_id = &*session.id,
            height = session.start,
            sha256 = sha256.as_str(),
            source = source,
        );
    }

    /// The parameters at the session's start, asked for once a session.
    fn query(&self, session: &Session, params: &'static str, caller: &'static str) {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Arc::clone(&session.id), caller);
        let uncached = self.instance.on(Fault::PocketParamsNotCached);
        // The fault: parameters are looked at again in the session's last block, as they are then.
        let today = self.instance.on(Fault::PocketParamsOfToday) && self.height == session.end;
        let known = copies.params.get(&key).is_some_and(|height| !today || *height == self.height);
        if known && !uncached {
            return;
        }
        let params_height = if today { self.height } else { session.start };
        // The fault: the answer comes from a copy of the cycle before.
        let stale = self.instance.on(Fault::PocketParamsStale);
        let hash = self.instance.chain.params_hash(if stale { params_height - 24 } else { params_height });
        copies.params.insert(key, params_height);
        drop(copies);
        macro_rules! queried {
            ($scope:literal) => {
                pocket_event!(
                    $scope,
                    "pocket.params.queried",
                    params = params,
                    session_id = &*session.id,
                    params_height = params_height,
                    session_start_height = session.start,
                    hash = hash.as_str(),
                    caller = caller,
                )
            };
        }
        if caller == "relay_meter" { queried!("relay_meter") } else { queried!("relay_validator") }
    }

    /// Charges the application, or serves all the same when Redis cannot be asked.
    fn meter(&self, relay: &Relay) {
        self.query(&relay.session, "session", "relay_meter");
        let expected = relay.session.compute_units();
        let as_one = self.instance.on(Fault::PocketMeteredAsOne) && matches!(relay.transport, "websocket" | "grpc");
        let charged = if as_one {
            1
        } else if self.instance.on(Fault::PocketLoadTestUnits) {
            LOAD_TEST_UNITS
        } else {
            expected
        };
        relay_event!(
            "relay_meter",
            "pocket.relay.metered",
            relay,
            compute_units = charged,
            expected_compute_units = expected,
            fail_open = self.instance.redis_is_away(),
        );
    }
}

/// Reports the connections to the backend, with what went over them since the last report.
pub(super) fn report(backend: &Backend, every: Duration) {
    let (served, latency) = backend.sample();
    pocket_event!(
        "proxy_server",
        "pocket.http_pool.status",
        host = HOST,
        open = backend.open(),
        max = count(CONNECTIONS),
        rps = served as f64 * 1000.0 / millis(every) as f64,
        latency_ms_p50 = latency,
    );
}
