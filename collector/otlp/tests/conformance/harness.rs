//! Both servers on loopback, and a sink that can be scripted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use otlp::{App, Batch, Refusal, Settings, Sink, SinkError, Tokens, serve_grpc, serve_http};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Memory {
    pub(crate) batches: Mutex<Vec<Batch>>,
    pub(crate) refusals: Mutex<Vec<Refusal>>,
    pub(crate) overloaded: Mutex<Option<Duration>>,
    /// Appends wait for a permit here.
    pub(crate) gate: Semaphore,
    pub(crate) waiting: watch::Sender<usize>,
}

impl Sink for Memory {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            if let Some(retry_after) = *self.overloaded.lock().unwrap() {
                return Err(SinkError::Overloaded { retry_after });
            }
            self.waiting.send_modify(|waiting| *waiting += 1);
            let _permit = self.gate.acquire().await.map_err(|_| SinkError::Closed)?;
            self.batches.lock().unwrap().push(batch);
            Ok(())
        }
        .boxed()
    }

    fn refused(&self, refusal: Refusal) {
        self.refusals.lock().unwrap().push(refusal);
    }
}

pub(crate) struct Harness {
    pub(crate) app: App,
    pub(crate) sink: Arc<Memory>,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) servers: Vec<JoinHandle<std::io::Result<()>>>,
    pub(crate) client: reqwest::Client,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default(), Tokens::open(), Semaphore::MAX_PERMITS).await
    }

    /// Limits small enough to reach in a test.
    pub(crate) async fn small(body_bytes_max: usize) -> Self {
        Self::with(Settings { body_bytes_max, ..Settings::default() }, Tokens::open(), Semaphore::MAX_PERMITS).await
    }

    pub(crate) async fn with(settings: Settings, tokens: Tokens, open: usize) -> Self {
        let sink = Arc::new(Memory {
            batches: Mutex::default(),
            refusals: Mutex::default(),
            overloaded: Mutex::default(),
            gate: Semaphore::new(open),
            waiting: watch::Sender::new(0),
        });
        let app = App::new(sink.clone(), settings, tokens);
        let shutdown = CancellationToken::new();
        let http_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (http, grpc) = (http_listener.local_addr().unwrap(), grpc_listener.local_addr().unwrap());
        let servers = vec![
            tokio::spawn(serve_http(http_listener, app.clone(), shutdown.clone())),
            tokio::spawn(serve_grpc(grpc_listener, app.clone(), shutdown.clone())),
        ];
        // Another test of this process may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { app, sink, http, grpc, shutdown, servers, client }
    }

    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("http://{}{path}", self.http))
    }

    pub(crate) fn protobuf(&self, body: Vec<u8>) -> reqwest::RequestBuilder {
        self.post("/v1/logs").header("content-type", "application/x-protobuf").body(body)
    }

    pub(crate) fn json(&self, body: &str) -> reqwest::RequestBuilder {
        self.post("/v1/logs").header("content-type", "application/json").body(body.to_owned())
    }

    /// The events of all batches kept so far.
    pub(crate) fn events(&self) -> u32 {
        self.sink.batches.lock().unwrap().iter().map(|batch| batch.events).sum()
    }
}
