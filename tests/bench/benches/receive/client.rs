//! Sends requests over a fixed number of connections, each as soon as the last was acknowledged. It costs little, so that
//! the server gets the machine.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::try_join_all;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use bench::load::{Encoding, Form, Load};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

/// How long each acknowledgement took, in order of length.
pub(crate) struct Sent(Vec<Duration>);

impl Sent {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self(took)
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.0.get((self.0.len() * percent / 100).min(self.0.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Sends so many requests; the first that is not acknowledged ends it.
pub(crate) async fn send(
    protocol: Protocol,
    address: SocketAddr,
    load: &Load,
    requests: usize,
    connections: usize,
) -> anyhow::Result<Sent> {
    let next = Arc::new(AtomicUsize::new(0));
    let took = Mutex::new(Vec::with_capacity(requests));
    let connection = |_| {
        let next = Arc::clone(&next);
        let took = &took;
        async move {
            let mut connection = Connection::open(protocol, address).await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return anyhow::Ok(());
                }
                let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
                let body = load.body(number, now);
                let started = Instant::now();
                connection.request(load, body).await?;
                took.lock().unwrap_or_else(PoisonError::into_inner).push(started.elapsed());
            }
        }
    };
    try_join_all((0..connections).map(connection)).await?;
    Ok(Sent::of(took.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// Sends requests when they are due, one each `every`, numbered from `first`, and counts how long each took from when it was
/// due: one that had to wait for its turn took that long, too.
pub(crate) async fn send_on_time(
    address: SocketAddr,
    load: &Load,
    (first, requests): (usize, usize),
    every: Duration,
    connections: usize,
) -> anyhow::Result<Sent> {
    let next = AtomicUsize::new(0);
    let took = Mutex::new(Vec::with_capacity(requests));
    let start = Instant::now();
    let connection = |_| async {
        let mut connection = Connection::open(Protocol::Http, address).await?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= requests {
                return anyhow::Ok(());
            }
            let due = start + every * u32::try_from(number)?;
            tokio::time::sleep_until(due.into()).await;
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
            connection.request(load, load.body(first + number, now)).await?;
            took.lock().unwrap_or_else(PoisonError::into_inner).push(due.elapsed());
        }
    };
    try_join_all((0..connections).map(connection)).await?;
    Ok(Sent::of(took.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

enum Connection {
    Http(TcpStream),
    Grpc(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    async fn open(protocol: Protocol, address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match protocol {
            Protocol::Http => Ok(Self::Http(stream)),
            Protocol::Grpc => {
                let (client, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                Ok(Self::Grpc(client))
            }
        }
    }

    async fn request(&mut self, load: &Load, body: Vec<u8>) -> anyhow::Result<()> {
        match self {
            Self::Http(stream) => http(stream, load, &body).await,
            Self::Grpc(client) => grpc(client, &body).await,
        }
    }
}

async fn http(stream: &mut TcpStream, load: &Load, body: &[u8]) -> anyhow::Result<()> {
    let content_type = match load.form() {
        Form::Protobuf => "application/x-protobuf",
        Form::Json => "application/json",
    };
    let encoding = match load.encoding() {
        Encoding::Identity => "",
        Encoding::Gzip => "content-encoding: gzip\r\n",
        Encoding::Zstd => "content-encoding: zstd\r\n",
    };
    let length = body.len();
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\n{encoding}content-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut reply = Vec::new();
    let end = loop {
        ensure!(stream.read_buf(&mut reply).await? > 0, "the server hung up");
        if let Some(end) = reply.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = str::from_utf8(&reply[..end])?.to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        bail!("not acknowledged: {}", String::from_utf8_lossy(&reply));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).context("no content-length")?;
    let mut rest = length.trim().parse::<usize>()?.saturating_sub(reply.len() - end);
    while rest > 0 {
        let mut more = vec![0; rest];
        let read = stream.read(&mut more).await?;
        ensure!(read > 0, "the server hung up");
        rest -= read;
    }
    Ok(())
}

async fn grpc(client: &mut hyper::client::conn::http2::SendRequest<Full<Bytes>>, message: &[u8]) -> anyhow::Result<()> {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    let request = http::Request::post("http://x/opentelemetry.proto.collector.logs.v1.LogsService/Export")
        .header("content-type", "application/grpc")
        .body(Full::from(framed.freeze()))?;
    client.ready().await?;
    let reply = client.send_request(request).await?;
    let mut headers = reply.headers().clone();
    headers.extend(reply.into_body().collect().await?.trailers().cloned().unwrap_or_default());
    ensure!(headers.get("grpc-status").is_some_and(|status| status == "0"), "not acknowledged: {headers:?}");
    Ok(())
}
