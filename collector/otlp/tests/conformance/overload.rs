//! Many senders, slow ones, and ones that go away: memory stays within its budget, and nobody is left without an answer.

use std::time::Duration;

use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use otlp::{Reason, Settings, Tokens};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::bodies::{LOG_JSON, logs};
use crate::grpc::{EXPORT, call, connect};
use crate::harness::Harness;

#[tokio::test]
async fn a_thousand_streams_share_one_budget_and_each_is_answered() {
    let body = logs(100);
    let budget = 100 * (body.len() + 5);
    let settings = Settings { in_flight_bytes_max: budget, ..Settings::default() };
    // Nothing is stored before all who fit are waiting: the others meet a spent budget.
    let harness = Harness::with(settings, Tokens::open(), 0).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(connect(&harness).await);
    }
    let calls = (0..1000).map(|number| {
        let (mut client, body) = (clients[number % 4].clone(), body.clone());
        async move { call(&mut client, EXPORT, None, &body, &[]).await.1["grpc-status"].clone() }
    });
    let calls = tokio::spawn(join_all(calls.collect::<Vec<_>>()));
    harness.sink.waiting.subscribe().wait_for(|waiting| *waiting == 100).await.unwrap();
    assert!(harness.app.in_flight_bytes() <= budget);
    harness.sink.gate.add_permits(1000);
    let statuses = calls.await.unwrap();
    let acknowledged = statuses.iter().filter(|status| *status == "0").count();
    assert!(statuses.iter().all(|status| status == "0" || status == "14"));
    assert!(acknowledged >= 100);
    assert_eq!(harness.events() as usize, acknowledged * 100);
    assert_eq!((harness.app.in_flight_bytes(), harness.app.in_flight_requests()), (0, 0));
}

#[tokio::test]
async fn a_call_whose_message_does_not_arrive_in_time_is_asked_for_again() {
    let settings = Settings { body_timeout: Duration::from_millis(50), ..Settings::default() };
    let harness = Harness::with(settings, Tokens::open(), Semaphore::MAX_PERMITS).await;
    let stream = TcpStream::connect(harness.grpc).await.unwrap();
    let (mut client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    // A body that never says anything and never ends.
    let body = Empty::<bytes::Bytes>::new().with_trailers(std::future::pending());
    let request = Request::post(format!("http://x{EXPORT}")).header("content-type", "application/grpc");
    let reply = client.send_request(request.body(body).unwrap()).await.unwrap();
    assert_eq!(reply.headers()["grpc-status"], "14");
    assert!(reply.headers().contains_key("google.rpc.retryinfo-bin"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_kept_and_gives_its_memory_back() {
    let harness = Harness::start().await;
    let mut stream = TcpStream::connect(harness.http).await.unwrap();
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        LOG_JSON.len() + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(LOG_JSON.as_bytes()).await.unwrap();
    while harness.app.in_flight_bytes() == 0 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    while harness.app.in_flight_requests() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((harness.events(), harness.app.in_flight_bytes()), (0, 0));
    assert!(harness.sink.refusals.lock().unwrap().iter().all(|refusal| refusal.reason == Reason::Unavailable));
}

#[tokio::test]
async fn draining_tells_grpc_callers_to_come_again() {
    let harness = Harness::with(Settings::default(), Tokens::open(), 0).await;
    let mut client = connect(&harness).await;
    let waiting = tokio::spawn({
        let mut client = client.clone();
        async move { call(&mut client, EXPORT, None, &logs(1), &[]).await.1["grpc-status"].clone() }
    });
    harness.sink.waiting.subscribe().wait_for(|waiting| *waiting == 1).await.unwrap();
    harness.shutdown.cancel();
    while harness.app.is_ready() {
        tokio::task::yield_now().await;
    }
    let (_, headers) = call(&mut client, EXPORT, None, &logs(1), &[]).await;
    assert_eq!(headers["grpc-status"], "14");
    assert!(headers.contains_key("google.rpc.retryinfo-bin"));
    harness.sink.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), "0");
    assert_eq!(harness.events(), 1);
}
