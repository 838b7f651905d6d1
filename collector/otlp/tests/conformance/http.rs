//! OTLP/HTTP.

use std::time::Duration;

use otlp::{Reason, Settings, Token, Tokens};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::bodies::{LOG_JSON, Status, gzip, logs, zlib, zstd};
use crate::harness::Harness;

#[tokio::test]
async fn full_success_is_no_byte_in_protobuf_and_an_empty_object_in_json() {
    let harness = Harness::start().await;
    for (body, events) in [(Vec::new(), 0), (logs(0), 0), (logs(3), 3)] {
        let reply = harness.protobuf(body).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.headers()["content-type"], "application/x-protobuf");
        assert!(reply.bytes().await.unwrap().is_empty());
        assert_eq!(harness.events(), events);
    }
    for body in ["{}", LOG_JSON] {
        let reply = harness.json(body).send().await.unwrap();
        assert_eq!(
            (reply.status().as_u16(), reply.headers()["content-type"].to_str().unwrap()),
            (200, "application/json")
        );
        assert_eq!(reply.text().await.unwrap(), "{}");
    }
    assert_eq!(harness.events(), 4);
}

#[tokio::test]
async fn every_known_compression_is_inflated_before_the_sink() {
    let harness = Harness::start().await;
    let body = logs(50);
    for (name, compressed) in
        [("gzip", gzip(&body)), ("zstd", zstd(&body)), ("deflate", zlib(&body)), ("identity", body.clone())]
    {
        let reply = harness.protobuf(compressed).header("content-encoding", name).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{name}");
        assert_eq!(harness.sink.batches.lock().unwrap().pop().unwrap().body, body, "{name}");
    }
    let reply = harness.protobuf(b"\x1f\x8bdamaged".to_vec()).header("content-encoding", "gzip").send().await.unwrap();
    assert_eq!(reply.status(), 400);
    let reply = harness.protobuf(body).header("content-encoding", "br").send().await.unwrap();
    assert_eq!(reply.status(), 415);
}

#[tokio::test]
async fn a_bomb_is_refused_as_too_large() {
    let harness = Harness::start().await;
    let bomb = zstd(&vec![0; 80 << 20]);
    for (name, bomb) in [("gzip", gzip(&vec![0; 80 << 20])), ("zstd", bomb)] {
        assert!(bomb.len() < 1 << 20);
        let reply = harness.protobuf(bomb).header("content-encoding", name).send().await.unwrap();
        assert_eq!(reply.status(), 413, "{name}");
        assert!(reply.headers().get("retry-after").is_none());
        assert_eq!(Status::decode(reply.bytes().await.unwrap()).unwrap().code, 8);
    }
    assert_eq!(harness.app.in_flight_bytes(), 0);
}

#[tokio::test]
async fn a_body_at_the_limit_is_taken_and_one_byte_more_is_not() {
    let body = logs(20);
    let exact = Harness::small(body.len()).await;
    assert_eq!(exact.protobuf(body.clone()).send().await.unwrap().status(), 200);
    assert_eq!(exact.protobuf(gzip(&body)).header("content-encoding", "gzip").send().await.unwrap().status(), 200);
    let short = Harness::small(body.len() - 1).await;
    assert_eq!(short.protobuf(body.clone()).send().await.unwrap().status(), 413);
    assert_eq!(short.protobuf(gzip(&body)).header("content-encoding", "gzip").send().await.unwrap().status(), 413);
    assert_eq!(short.sink.refusals.lock().unwrap()[0].reason, Reason::TooLarge);
}

#[tokio::test]
async fn content_types_are_read_without_case_or_parameters_and_answered_without_them() {
    let harness = Harness::start().await;
    for given in ["application/json; charset=utf-8", "Application/JSON"] {
        let reply = harness.post("/v1/logs").header("content-type", given).body(LOG_JSON).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{given}");
        assert_eq!(reply.headers()["content-type"], "application/json");
    }
    for given in [None, Some("text/html")] {
        let mut request = harness.post("/v1/logs").body(logs(1));
        if let Some(given) = given {
            request = request.header("content-type", given);
        }
        let reply = request.send().await.unwrap();
        assert_eq!(reply.status(), 415);
        assert_eq!(reply.headers()["content-type"], "application/json");
    }
}

#[tokio::test]
async fn undecodable_bodies_are_refused_in_their_own_encoding() {
    let harness = Harness::start().await;
    let invalid_utf8 = b"\x0a\x09\x12\x07\x12\x05\x62\x03\xff\xfe\xfd".to_vec();
    for body in [vec![0x0a, 0x7f, 0x01], invalid_utf8] {
        let reply = harness.protobuf(body).send().await.unwrap();
        assert_eq!(reply.status(), 400);
        let status = Status::decode(reply.bytes().await.unwrap()).unwrap();
        assert_eq!(status.code, 3);
        assert_eq!(status.details[0].type_url, "type.googleapis.com/google.rpc.BadRequest");
    }
    let reply = harness.json(r#"{"resourceLogs":[{"#).send().await.unwrap();
    assert_eq!(reply.status(), 400);
    let status: serde_json::Value = serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap();
    assert_eq!(status["code"], 3);
    assert!(status["details"][0]["fieldViolations"][0]["description"].is_string());
    assert_eq!(harness.sink.refusals.lock().unwrap().len(), 3);
    assert_eq!(harness.events(), 0);
}

#[tokio::test]
async fn nothing_is_ever_redirected() {
    let harness = Harness::start().await;
    for path in ["/v1/logs/", "//v1/logs", "/", "/v1"] {
        let reply = harness.post(path).header("content-type", "application/json").body("{}").send().await.unwrap();
        assert_eq!(reply.status(), 404, "{path}");
    }
    let reply = harness.client.get(format!("http://{}/v1/logs", harness.http)).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.headers()["allow"].to_str().unwrap()), (405, "POST"));
}

#[tokio::test]
async fn tokens_are_asked_for_when_there_are_any() {
    let tokens = Tokens::new([Token::from_secret("node", "good", true), Token::from_secret("reader", "weak", false)]);
    let harness = Harness::with(Settings::default(), tokens, Semaphore::MAX_PERMITS).await;
    for (token, status) in [(None, 401), (Some("bad"), 401), (Some("weak"), 403), (Some("good"), 200)] {
        let mut request = harness.protobuf(logs(1));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        assert_eq!(request.send().await.unwrap().status(), status, "{token:?}");
    }
    assert_eq!(harness.sink.batches.lock().unwrap()[0].sender.token.as_deref(), Some("node"));
}

#[tokio::test]
async fn overload_asks_to_come_again_within_one_to_five_seconds() {
    let harness = Harness::start().await;
    for (delay, seconds) in [(Duration::ZERO, "1"), (Duration::from_millis(1500), "2"), (Duration::from_secs(60), "5")]
    {
        *harness.sink.overloaded.lock().unwrap() = Some(delay);
        let reply = harness.protobuf(logs(1)).send().await.unwrap();
        assert_eq!(reply.status(), 503);
        assert_eq!(reply.headers()["retry-after"], seconds);
        assert_eq!(Status::decode(reply.bytes().await.unwrap()).unwrap().code, 14);
    }
}

#[tokio::test]
async fn metrics_are_taken_with_a_warning() {
    let harness = Harness::start().await;
    let request =
        harness.post("/v1/metrics").header("content-type", "application/json").body(r#"{"resourceMetrics":[]}"#);
    let reply = request.send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(
        reply.text().await.unwrap(),
        r#"{"partialSuccess":{"errorMessage":"metrics are not used by this server"}}"#
    );
    let strict = Settings { accept_metrics: false, ..Settings::default() };
    let strict = Harness::with(strict, Tokens::open(), Semaphore::MAX_PERMITS).await;
    assert_eq!(strict.post("/v1/metrics").body("{}").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_asked_for_again() {
    let settings = Settings { body_timeout: Duration::from_millis(50), ..Settings::default() };
    let harness = Harness::with(settings, Tokens::open(), Semaphore::MAX_PERMITS).await;
    let mut stream = TcpStream::connect(harness.http).await.unwrap();
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
}

#[tokio::test]
async fn a_client_that_closes_its_half_still_gets_its_reply() {
    let harness = Harness::start().await;
    let mut stream = TcpStream::connect(harness.http).await.unwrap();
    let request = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{LOG_JSON}",
        LOG_JSON.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("{}"), "{reply}");
}

#[tokio::test]
async fn one_connection_serves_a_hundred_requests() {
    let harness = Harness::start().await;
    for _ in 0..100 {
        let reply = harness.protobuf(logs(1)).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        drop(reply.bytes().await.unwrap());
    }
    assert_eq!((harness.events(), harness.app.counters().connections()), (100, 1));
}
