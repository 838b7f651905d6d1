//! OTLP/gRPC, spoken over a plain HTTP/2 client so that every byte and trailer is seen.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::bodies::{gzip, logs, zstd};
use crate::harness::Harness;

pub(crate) const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

pub(crate) async fn connect(harness: &Harness) -> SendRequest<Full<Bytes>> {
    connect_to(harness.grpc).await
}

async fn connect_to(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The reply's message, and its headers and trailers together.
pub(crate) async fn call(
    client: &mut SendRequest<Full<Bytes>>,
    path: &str,
    encoding: Option<&str>,
    message: &[u8],
    headers: &[(&str, &str)],
) -> (Bytes, HeaderMap) {
    let mut framed = vec![u8::from(encoding.is_some())];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    let mut request = Request::post(format!("http://x{path}")).header("content-type", "application/grpc");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = client.send_request(request.body(Full::from(framed)).unwrap()).await.unwrap();
    assert_eq!(reply.status(), 200);
    let mut headers = reply.headers().clone();
    let body = reply.into_body().collect().await.unwrap();
    headers.extend(body.trailers().cloned().unwrap_or_default());
    (body.to_bytes(), headers)
}

#[tokio::test]
async fn calls_are_acknowledged_in_every_compression() {
    let harness = Harness::start().await;
    let mut client = connect(&harness).await;
    let body = logs(3);
    for (encoding, sent) in
        [(None, body.clone()), (Some("gzip"), gzip(&body)), (Some("zstd"), zstd(&body)), (None, Vec::new())]
    {
        let (message, headers) = call(&mut client, EXPORT, encoding, &sent, &[]).await;
        assert_eq!((&message[..], headers["grpc-status"].as_bytes()), (&[0_u8; 5][..], &b"0"[..]), "{encoding:?}");
    }
    let batches = harness.sink.batches.lock().unwrap();
    assert_eq!(batches.len(), 3);
    assert!(batches.iter().all(|batch| batch.body == body && batch.events == 3));
}

#[tokio::test]
async fn failures_have_the_status_the_contract_asks_for() {
    let harness = Harness::small(1000).await;
    let mut client = connect(&harness).await;
    let bomb = gzip(&[0; 1001]);
    for (path, encoding, message, status) in [
        (EXPORT, None, vec![0x0a, 0x7f], "3"),
        (EXPORT, Some("gzip"), b"damaged".to_vec(), "3"),
        (EXPORT, None, vec![0; 1001], "8"),
        (EXPORT, Some("gzip"), bomb, "8"),
        (EXPORT, Some("br"), logs(1), "12"),
        ("/no.such.Service/Export", None, logs(1), "12"),
    ] {
        let (_, headers) = call(&mut client, path, encoding, &message, &[]).await;
        assert_eq!(headers["grpc-status"], status, "{path} {encoding:?}");
        assert!(headers.contains_key("grpc-status-details-bin"));
        assert!(!headers.contains_key("google.rpc.retryinfo-bin"));
    }
    assert_eq!(harness.sink.refusals.lock().unwrap().len(), 6);
}

#[tokio::test]
async fn overload_carries_its_delay_in_both_places() {
    let harness = Harness::start().await;
    *harness.sink.overloaded.lock().unwrap() = Some(Duration::from_secs(2));
    let (_, headers) = call(&mut connect(&harness).await, EXPORT, None, &logs(1), &[]).await;
    assert_eq!(headers["grpc-status"], "14");
    assert!(headers.contains_key("grpc-status-details-bin"));
    // RetryInfo { retry_delay: Duration { seconds: 2 } }
    assert_eq!(headers["google.rpc.retryinfo-bin"], "CgIIAg");
}

#[tokio::test]
async fn health_is_told_of_the_server_and_of_each_service() {
    const HEALTH: &str = "/grpc.health.v1.Health/Check";
    let harness = Harness::start().await;
    let mut client = connect(&harness).await;
    let asked = |service: &str| [&[0x0a, service.len() as u8], service.as_bytes()].concat();
    for ready in [true, false] {
        harness.app.set_ready(ready);
        for service in ["", "opentelemetry.proto.collector.logs.v1.LogsService"] {
            let (message, headers) = call(&mut client, HEALTH, None, &asked(service), &[]).await;
            assert_eq!(headers["grpc-status"], "0");
            assert_eq!(message[5..], [0x08, if ready { 1 } else { 2 }]);
        }
        assert_eq!(call(&mut client, HEALTH, None, &[], &[]).await.0[5..], [0x08, if ready { 1 } else { 2 }]);
    }
    let (_, headers) = call(&mut client, HEALTH, None, &asked("some.other.Service"), &[]).await;
    assert_eq!(headers["grpc-status"], "5");
}

#[tokio::test]
async fn a_thousand_concurrent_streams_are_served() {
    let harness = Harness::start().await;
    let client = connect(&harness).await;
    let body = logs(10);
    let calls = (0..1000).map(|_| {
        let (mut client, body) = (client.clone(), body.clone());
        async move { call(&mut client, EXPORT, None, &body, &[]).await.1["grpc-status"].clone() }
    });
    assert!(join_all(calls).await.iter().all(|status| status == "0"));
    assert_eq!((harness.events(), harness.app.in_flight_bytes()), (10_000, 0));
}

#[tokio::test]
async fn the_http_port_speaks_http_2_in_clear_too() {
    let harness = Harness::start().await;
    let mut client = connect_to(harness.http).await;
    let request = Request::post("http://x/v1/logs").header("content-type", "application/x-protobuf");
    let reply = client.send_request(request.body(Full::from(logs(2))).unwrap()).await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(harness.events(), 2);
}
