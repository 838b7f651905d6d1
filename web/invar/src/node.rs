//! One running Invar: every role in one process, introduced to one another; started and stopped in the order of the flow.
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use event::Timestamp;
use journal::{AppendError, Entry, Journal, Kind};
use otlp::{Batch, Refusal, SinkError};
use runtime::{
    checker::{Checker, Shared},
    checkpoint::Checkpoints,
    clock,
    control::Control,
    courier,
    pages::Pages,
};
use store::{Planner, Store};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    adoption, alive,
    backend::{self, Node},
    backlog::Backlog,
    config::Config,
    metrics::Metrics,
};

/// How long each stage may take to stop.
const GRACE: Duration = Duration::from_secs(25);

/// How long a start waits for its packs to be in force before it says that it runs.
const PACKS_SHOWN_WITHIN: Duration = Duration::from_secs(3);

/// How many refusals may wait for the ledger; more are counted and not kept.
const REFUSALS_WAITING_MAX: usize = 256;

/// When a sender may come back that was not heard because too much waits to be judged.
const BACKLOG_RETRY: Duration = Duration::from_secs(5);

/// How often the journal is cut to its size.
const RETAIN_EVERY: Duration = Duration::from_secs(30);

/// See the module.
pub struct Running {
    /// Where OTLP over gRPC listens.
    pub grpc: SocketAddr,
    /// Where OTLP over HTTP listens.
    pub http: SocketAddr,
    /// Where the dashboard listens.
    pub web: SocketAddr,
    /// The pages' database.
    pub store: Store,
    receivers: CancellationToken,
    checker: CancellationToken,
    alerts: CancellationToken,
    pages: CancellationToken,
    receiving: Vec<JoinHandle<std::io::Result<()>>>,
    checking: std::thread::JoinHandle<Result<(), String>>,
    delivering: JoinHandle<()>,
    retaining: JoinHandle<()>,
    serving: JoinHandle<()>,
    journal: Journal,
    node: Arc<Node>,
    /// Cancelled when a role has failed for good.
    pub failed: CancellationToken,
}

/// Starts everything. Settings have been checked, ports are bound before anything is touched on disk.
///
/// # Errors
/// When a port is taken, the data directory cannot be used, or packs have mistakes.
pub async fn start(config: &Config, alerts: alert::Config) -> anyhow::Result<Running> {
    let bind = |address: SocketAddr, what: &'static str| async move {
        TcpListener::bind(address).await.with_context(|| {
            format!("{what} cannot listen on {address}: is another Invar running? Choose another address with --{what}")
        })
    };
    let grpc = bind(config.grpc, "grpc").await?;
    let http = bind(config.http, "http").await?;
    let web = bind(config.web, "web").await?;
    let (grpc_at, http_at, web_at) = (grpc.local_addr()?, http.local_addr()?, web.local_addr()?);

    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("the data directory {} cannot be made", config.data.display()))?;
    let dir = config.data.join("journal");
    let (journal, recovery) =
        tokio::task::spawn_blocking(move || Journal::open(journal::Config::new(dir), clock::now)).await??;
    if recovery.cut_bytes > 0 {
        tracing::warn!(
            bytes = recovery.cut_bytes,
            "a torn tail of the journal was cut; nothing in it had been acknowledged"
        );
    }
    for damage in &recovery.damage {
        tracing::error!(
            file = %damage.file.display(), offset = damage.offset, what = damage.what,
            "the journal is damaged; all that can be read of it is kept"
        );
    }
    tracing::info!(frames = recovery.last_frame, segments = recovery.segments, "the journal is open");
    let database = config.data.join("invar.db");
    let store =
        Store::open(&database).await.with_context(|| format!("the database {} cannot be used", database.display()))?;
    let planner: Arc<dyn Planner> = Arc::new(Pages::new(alerts.clone()));
    let checkpoints = Checkpoints::in_dir(config.data.join("checkpoints"))?;
    let checker =
        Checker::recover(journal.clone(), store.clone(), planner.clone(), checkpoints.clone(), config.enforce_breakers)
            .await?;
    let shared = checker.shared();
    // From here on senders are heard; before it, they may have kept what they could not send.
    adoption::journal_control(&journal, &Control::Started).await?;
    let mut taken = None;
    if let Some(rules) = &config.rules {
        // Looked at before they are read: what is changed meanwhile is seen as a change.
        taken = runtime::packs::look(rules).ok();
        adoption::adopt_files(rules, &journal, &store).await?;
    }
    adoption::reconcile(&shared, &journal, &store).await?;

    let (refusals, ledger) = mpsc::channel(REFUSALS_WAITING_MAX);
    let metrics = Arc::new(Metrics::new()?);
    let judged = *shared.judged.borrow();
    let backlog = Arc::new(Backlog::of(&journal, judged, config.backlog_bytes, config.backlog_age));
    let sink = Arc::new(ToJournal {
        journal: journal.clone(),
        refusals,
        metrics: metrics.clone(),
        backlog: backlog.clone(),
        judged: shared.judged.clone(),
        full: AtomicBool::new(false),
    });
    let settings = otlp::Settings {
        body_bytes_max: usize::try_from(config.request_bytes_max).unwrap_or(usize::MAX),
        token_bytes_per_second: config.ingest_rate,
        ..otlp::Settings::default()
    };
    let tokens = if config.ingest_tokens.is_empty() {
        otlp::Tokens::open()
    } else {
        otlp::Tokens::new(
            config.ingest_tokens.iter().map(|(name, secret)| otlp::Token::from_secret(name, secret, true)),
        )
    };
    let app = otlp::App::new(sink, settings, tokens);
    app.set_ready(true);
    let tokens = || (CancellationToken::new(), CancellationToken::new());
    let ((receivers, checker_stop), (alerts_stop, pages_stop)) = (tokens(), tokens());
    let failed = CancellationToken::new();

    let receiving = vec![
        tokio::spawn(otlp::serve_http(http, app.clone(), receivers.clone())),
        tokio::spawn(otlp::serve_grpc(grpc, app.clone(), receivers.clone())),
    ];
    tokio::spawn(keep_ledger(store.clone(), ledger));
    let in_force_from = *journal.durable().borrow();
    let checking = {
        let (stop, failed, runtime) = (checker_stop.clone(), failed.clone(), tokio::runtime::Handle::current());
        std::thread::Builder::new().name("checker".to_owned()).spawn(move || {
            let outcome = runtime.block_on(checker.run(stop.clone())).map_err(|error| error.to_string());
            if let Err(error) = &outcome {
                tracing::error!(error, "the checker has stopped");
            }
            if !stop.is_cancelled() {
                // Its journal cannot be read any more, or has stopped after a failed disk operation.
                failed.cancel();
            }
            outcome
        })?
    };
    // Whoever looks as soon as it says that it runs sees its packs. A long journal is judged on meanwhile.
    let mut judged = shared.judged.clone();
    let _ = tokio::time::timeout(PACKS_SHOWN_WITHIN, judged.wait_for(|frame| *frame >= in_force_from)).await;
    let public_url = if config.public_url.is_empty() { format!("http://{web_at}") } else { config.public_url.clone() };
    let attempted: courier::Attempted = {
        let metrics = metrics.clone();
        Arc::new(move |receiver, accepted| metrics.attempted(receiver, accepted))
    };
    let receivers_known = backend::receivers(&alerts);
    let watcher = alerts.alive.clone();
    let sender = alert::Sender::new(alerts);
    let delivering =
        tokio::spawn(courier::deliver(store.clone(), sender.clone(), public_url, attempted, alerts_stop.clone()));
    let retaining = tokio::spawn(retain(journal.clone(), checkpoints, config.clone(), pages_stop.clone()));
    let (rules_trouble, rules_trouble_seen) = watch::channel(None);
    if let Some(rules) = config.rules.clone() {
        let (journal, store, stop) = (journal.clone(), store.clone(), pages_stop.clone());
        tokio::spawn(adoption::follow_files(rules, taken, journal, store, rules_trouble, stop));
    }
    let node = Arc::new(Node {
        rules_trouble: rules_trouble_seen,
        backlog,
        journal: journal.clone(),
        store: store.clone(),
        planner,
        shared,
        metrics,
        otlp: app,
        grpc: grpc_at,
        http: http_at,
        web: web_at,
        public_url: config.public_url.clone(),
        enforce_breakers: config.enforce_breakers,
        receivers: receivers_known,
        sender,
        senders: Mutex::default(),
    });
    if let Some(watcher) = watcher {
        tokio::spawn(alive::keep_telling(watcher, node.clone(), receivers.clone()));
    }
    let router = ui::router(ui::App { store: store.clone(), backend: node.clone() });
    let serving = {
        let stop = pages_stop.clone();
        tokio::spawn(async move {
            let served = axum::serve(web, router).with_graceful_shutdown(async move { stop.cancelled().await });
            if let Err(error) = served.await {
                tracing::error!(%error, "the dashboard has stopped");
            }
        })
    };
    Ok(Running {
        grpc: grpc_at,
        http: http_at,
        web: web_at,
        store,
        receivers,
        checker: checker_stop,
        alerts: alerts_stop,
        pages: pages_stop,
        receiving,
        checking,
        delivering,
        retaining,
        serving,
        journal,
        node,
        failed,
    })
}

impl Running {
    /// Stops in the order of the flow: receivers, checker, alerts, pages, journal.
    ///
    /// # Errors
    /// When the checker had failed or the journal cannot be closed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.node.otlp.set_ready(false);
        self.receivers.cancel();
        for task in self.receiving {
            if tokio::time::timeout(GRACE, task).await.is_err() {
                tracing::warn!("receivers were stopped before every request was answered");
            }
        }
        // What was acknowledged last is judged before the checker stops.
        let last = *self.journal.durable().borrow();
        let mut judged = self.node.shared.judged.clone();
        let _ = tokio::time::timeout(Duration::from_secs(5), judged.wait_for(|frame| *frame >= last)).await;
        self.checker.cancel();
        let checking = self.checking;
        let outcome = tokio::task::spawn_blocking(move || checking.join()).await?;
        self.alerts.cancel();
        if tokio::time::timeout(GRACE, self.delivering).await.is_err() {
            tracing::warn!("alerts were stopped under way; they are sent again at the next start");
        }
        self.pages.cancel();
        // Live streams end only with their readers.
        if tokio::time::timeout(Duration::from_millis(500), self.serving).await.is_err() {
            tracing::debug!("open pages were cut off");
        }
        let _ = self.retaining.await;
        self.journal.close().await?;
        self.store.close().await;
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => anyhow::bail!("the checker had stopped: {error}"),
            Err(_) => anyhow::bail!("the checker panicked"),
        }
    }

    /// Waits until everything acknowledged so far has been judged and committed.
    pub async fn settled(&self) {
        let last = *self.journal.durable().borrow();
        let mut judged = self.node.shared.judged.clone();
        let _ = judged.wait_for(|frame| *frame >= last).await;
    }
}

/// The receivers' sink: the journal, and the ledger beside it.
struct ToJournal {
    journal: Journal,
    refusals: mpsc::Sender<Refusal>,
    metrics: Arc<Metrics>,
    backlog: Arc<Backlog>,
    judged: watch::Receiver<u64>,
    /// More has been acknowledged than may wait to be judged; said once when it begins and when it ends.
    full: AtomicBool,
}

impl ToJournal {
    /// Whether so much waits to be judged that nothing more is taken.
    fn is_full(&self) -> bool {
        let size = self.backlog.size(*self.judged.borrow(), clock::now());
        let full = self.backlog.is_full(size);
        if full != self.full.swap(full, Ordering::Relaxed) {
            let (bytes, seconds) = (size.bytes, size.age.as_secs());
            if full {
                tracing::warn!(
                    bytes,
                    seconds,
                    "more was acknowledged than can be judged: senders are told to come back later"
                );
            } else {
                tracing::info!(bytes, seconds, "senders are heard again");
            }
        }
        full
    }
}

impl otlp::Sink for ToJournal {
    fn append(&self, batch: Batch) -> futures_util::future::BoxFuture<'_, Result<(), SinkError>> {
        let kind = match batch.signal {
            otlp::Signal::Logs => Kind::LOGS,
            otlp::Signal::Traces => Kind::TRACES,
        };
        if self.is_full() {
            return Box::pin(async { Err(SinkError::Overloaded { retry_after: BACKLOG_RETRY }) });
        }
        let bytes = batch.body.len() as u64;
        let Batch { body, events, refused, notes, .. } = batch;
        let entry = Entry { kind, body, events, refused, notes };
        let appended = self.journal.append(entry);
        Box::pin(async move {
            match appended.await {
                Ok(appended) => {
                    self.backlog.grew(appended, bytes);
                    Ok(())
                }
                Err(AppendError::Full(_)) => Err(SinkError::Overloaded { retry_after: Duration::from_secs(2) }),
                Err(AppendError::Closed) => Err(SinkError::Closed),
                Err(error) => Err(SinkError::Disk(error.to_string())),
            }
        })
    }

    fn refused(&self, refusal: Refusal) {
        self.metrics.refused(refusal.reason.as_str(), refusal.records);
        // A full ledger queue means that others were refused just now: they say the same.
        let _ = self.refusals.try_send(refusal);
    }
}

async fn keep_ledger(store: Store, mut refusals: mpsc::Receiver<Refusal>) {
    while let Some(refusal) = refusals.recv().await {
        let kept = store
            .refuse(
                clock::now(),
                &refusal.sender.address.to_string(),
                refusal.reason.as_str(),
                &refusal.message,
                i64::from(refusal.records),
                &String::from_utf8_lossy(&refusal.sample),
            )
            .await;
        if let Err(error) = kept {
            tracing::warn!(%error, "a refusal could not be written down");
        }
    }
}

/// Keeps the journal within its bounds; what a restart needs stays.
async fn retain(journal: Journal, checkpoints: Checkpoints, config: Config, stop: CancellationToken) {
    let retention = journal::Retention { bytes_max: Some(config.retain_bytes), age_max: Some(config.retain_age) };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETAIN_EVERY) => {}
        }
        let keep_from = checkpoints.oldest_frame().map_or(1, |frame| frame + 1);
        let journal = journal.clone();
        match tokio::task::spawn_blocking(move || journal.retain(retention, keep_from)).await {
            Ok(Ok(kept)) if kept.dropped_segments > 0 => {
                tracing::info!(
                    segments = kept.dropped_segments,
                    bytes = kept.dropped_bytes,
                    "old segments were dropped"
                );
            }
            Ok(Err(error)) => tracing::warn!(%error, "old segments could not be dropped"),
            _ => {}
        }
    }
}

/// What others may see of the checker.
pub(crate) fn lag(shared: &Shared) -> Duration {
    shared.status.read().map_or(Duration::ZERO, |status| match status.frontier {
        // Nobody has been heard yet: there is nothing to be behind.
        Timestamp::ZERO => Duration::ZERO,
        frontier => status.arrived.since(frontier),
    })
}
