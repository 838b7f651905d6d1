//! Accepts connections, serves HTTP/1.1 and HTTP/2 in clear on them, and stops in order: new requests are refused,
//! those in flight finish, then the port closes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::reply::ReplyBody;
use crate::{grpc::answer_grpc, http::answer_http};

/// How many requests one HTTP/2 connection may have open; further ones wait at the client.
const STREAMS_MAX: u32 = 256;
/// What one HTTP/2 connection may have sent that was not read yet. Bodies are read at once, into the byte budget.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// HTTP/2 peers that vanished are found out by pings.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// After a failed accept (no file descriptors left) the listener rests, so that it does not spin.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// Replies that are written when the port closes may take this long to leave.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves OTLP/HTTP and event lines on a bound listener until `shutdown`, then drains and closes the port.
///
/// # Errors
/// When the listener's socket is unusable. What goes wrong with single connections is logged at debug level.
pub async fn serve_http(listener: TcpListener, app: App, shutdown: CancellationToken) -> io::Result<()> {
    serve(listener, app, shutdown, answer_http).await
}

/// Serves OTLP/gRPC and `grpc.health.v1` on a bound listener until `shutdown`, then drains and closes the port.
///
/// # Errors
/// As [`serve_http`].
pub async fn serve_grpc(listener: TcpListener, app: App, shutdown: CancellationToken) -> io::Result<()> {
    serve(listener, app, shutdown, answer_grpc).await
}

async fn serve<A, F>(listener: TcpListener, app: App, shutdown: CancellationToken, answer: A) -> io::Result<()>
where
    A: Fn(App, SocketAddr, Request<Incoming>) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Response<ReplyBody>> + Send + 'static,
{
    listener.local_addr()?;
    let places = Arc::new(Semaphore::new(app.settings().connections_max));
    let connections = TaskTracker::new();
    let closing = CancellationToken::new();

    let accept = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                    continue;
                }
            };
            let (app, closing) = (app.clone(), closing.clone());
            connections.spawn(async move {
                connection(stream, address, app, closing, answer).await;
                drop(place);
            });
        }
    };
    // Connections are accepted while draining too: a sender that comes now is told to come again, not cut off.
    let drain = async {
        shutdown.cancelled().await;
        if tokio::time::timeout(app.settings().drain_timeout, app.drained()).await.is_err() {
            tracing::warn!(requests = app.in_flight_requests(), "stopped before every request had finished");
        }
    };
    tokio::select! {
        () = accept => {}
        () = drain => {}
    }
    drop(listener);
    closing.cancel();
    connections.close();
    // Connections whose client neither reads nor hangs up are dropped with the runtime.
    let _ = tokio::time::timeout(FLUSH_TIMEOUT, connections.wait()).await;
    Ok(())
}

async fn connection<A, F>(stream: TcpStream, address: SocketAddr, app: App, closing: CancellationToken, answer: A)
where
    A: Fn(App, SocketAddr, Request<Incoming>) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Response<ReplyBody>> + Send + 'static,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %address, "TCP_NODELAY could not be set");
    }
    let mut builder = Builder::new(TokioExecutor::new());
    // A client that has sent its request may close its half and still read the reply.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(app.settings().header_timeout).half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(PING_INTERVAL);
    app.counters().connections.fetch_add(1, Ordering::Relaxed);
    let service = service_fn(|request| {
        let reply = answer(app.clone(), address, request);
        async move { Ok::<_, Infallible>(reply.await) }
    });
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(error = %error, %address, "a connection ended in an error");
    }
    app.counters().connections.fetch_sub(1, Ordering::Relaxed);
}
