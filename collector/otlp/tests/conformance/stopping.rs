//! Shutdown, and the byte budget.

use otlp::{Settings, Tokens};
use tokio::net::TcpStream;

use crate::bodies::logs;
use crate::harness::Harness;

#[tokio::test]
async fn shutdown_finishes_what_is_in_flight_refuses_what_is_new_and_closes_the_port() {
    let mut harness = Harness::with(Settings::default(), Tokens::open(), 0).await;
    let waiting = tokio::spawn(harness.protobuf(logs(1)).send());
    harness.sink.waiting.subscribe().wait_for(|waiting| *waiting == 1).await.unwrap();

    harness.shutdown.cancel();
    while harness.app.is_ready() {
        tokio::task::yield_now().await;
    }
    let refused = harness.protobuf(logs(1)).send().await.unwrap();
    assert_eq!(refused.status(), 503);

    harness.sink.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    for server in harness.servers.drain(..) {
        server.await.unwrap().unwrap();
    }
    assert!(TcpStream::connect(harness.http).await.is_err());
    assert!(TcpStream::connect(harness.grpc).await.is_err());
}

#[tokio::test]
async fn a_spent_byte_budget_slows_senders_down() {
    let body = logs(10);
    let settings = Settings { in_flight_bytes_max: body.len() * 3 / 2, ..Settings::default() };
    let harness = Harness::with(settings, Tokens::open(), 0).await;
    let first = tokio::spawn(harness.protobuf(body.clone()).send());
    harness.sink.waiting.subscribe().wait_for(|waiting| *waiting == 1).await.unwrap();

    assert_eq!(harness.protobuf(body.clone()).send().await.unwrap().status(), 503);
    harness.sink.gate.add_permits(2);
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    assert_eq!(harness.protobuf(body).send().await.unwrap().status(), 200);
}
