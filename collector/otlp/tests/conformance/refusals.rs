//! What a sender is told when a request is not taken: row by row of the reply table, on every wire.

use std::num::NonZeroU64;
use std::time::Duration;

use otlp::{Reason, Settings, Token, Tokens};
use tokio::sync::Semaphore;

use crate::bodies::{gzip, log_request, zstd};
use crate::harness::Harness;
use crate::wires::{Export, Reply, Wire, send, send_bytes};

fn export() -> Export {
    Export::Logs(log_request(&[20, 30]))
}

/// The status on this wire, the code inside, whether the sender is asked to come again; and that the body can be read.
#[track_caller]
fn expect(reply: &Reply, wire: Wire, http: u16, grpc: u16, again: bool) {
    assert_eq!(reply.status, if wire == Wire::Grpc { grpc } else { http }, "{wire:?} {reply:?}");
    let (code, message) = reply.failure();
    assert_eq!(code, i64::from(grpc), "{wire:?} {message}");
    assert!(!message.is_empty());
    match wire {
        Wire::Grpc => assert_eq!(reply.headers.contains_key("google.rpc.retryinfo-bin"), again),
        _ => assert_eq!(reply.headers.contains_key("retry-after"), again),
    }
    if wire == Wire::Protobuf {
        assert_eq!(reply.headers["content-type"], "application/x-protobuf");
    } else if wire == Wire::Json {
        assert_eq!(reply.headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn bytes_that_cannot_be_decoded_are_the_senders_mistake() {
    let harness = Harness::start().await;
    for wire in Wire::ALL {
        let invalid_utf8: &[u8] = match wire {
            Wire::Json => b"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"eventName\":\"\xff\"}]}]}]}",
            _ => b"\x0a\x09\x12\x07\x12\x05\x62\x03\xff\xfe\xfd",
        };
        for (encoding, body) in [
            (None, b"\x0a\x7f{".to_vec()),
            (None, invalid_utf8.to_vec()),
            (Some("gzip"), b"no gzip at all".to_vec()),
            (Some("gzip"), gzip(b"\x0a\x7f{")),
            (Some("gzip"), gzip(&export().protobuf())[..40].to_vec()),
            (Some("zstd"), b"no zstd at all".to_vec()),
            (Some("zstd"), zstd(&export().protobuf())[..40].to_vec()),
        ] {
            expect(&send_bytes(&harness, wire, &export(), encoding, body, &[]).await, wire, 400, 3, false);
        }
    }
    assert_eq!(harness.sink.refusals.lock().unwrap().len(), 21);
    assert!(harness.sink.refusals.lock().unwrap().iter().all(|refusal| refusal.reason == Reason::Malformed));
    assert_eq!((harness.events(), harness.app.in_flight_bytes()), (0, 0));
}

#[tokio::test]
async fn tokens_are_asked_for_on_every_wire_and_never_with_a_redirect() {
    let tokens = Tokens::new([Token::from_secret("node", "good", true), Token::from_secret("reader", "weak", false)]);
    let harness = Harness::with(Settings::default(), tokens, Semaphore::MAX_PERMITS).await;
    for wire in Wire::ALL {
        let body = || if wire == Wire::Json { export().json() } else { export().protobuf() };
        for (headers, http, grpc) in [
            (vec![], 401, 16),
            (vec![("authorization", "Bearer bad")], 401, 16),
            (vec![("authorization", "Basic Z29vZA==")], 401, 16),
            (vec![("authorization", "Bearer weak")], 403, 7),
        ] {
            expect(&send_bytes(&harness, wire, &export(), None, body(), &headers).await, wire, http, grpc, false);
        }
        let good = [("authorization", "bearer good")];
        assert!(send_bytes(&harness, wire, &export(), None, body(), &good).await.is_ok());
    }
}

#[tokio::test]
async fn a_token_over_its_rate_is_told_when_to_come_again_and_others_are_not_slowed_down() {
    let token = |name: &str| Token::from_secret(name, &format!("secret of {name}"), true);
    let tokens = || Tokens::new([token("busy"), token("quiet")]);
    // The first request costs far more than a burst.
    let settings = Settings { token_bytes_per_second: NonZeroU64::new(1), ..Settings::default() };
    for wire in Wire::ALL {
        let harness = Harness::with(settings.clone(), tokens(), Semaphore::MAX_PERMITS).await;
        let body = || if wire == Wire::Json { export().json() } else { export().protobuf() };
        let by = |name: &str| format!("Bearer secret of {name}");
        for (name, is_first) in [("busy", true), ("busy", false), ("quiet", true), ("quiet", false)] {
            let header = by(name);
            let sent = send_bytes(&harness, wire, &export(), None, body(), &[("authorization", &header)]).await;
            if is_first {
                assert!(sent.is_ok(), "{wire:?} {name}");
            } else {
                expect(&sent, wire, 429, 8, true);
            }
        }
        let refusals = harness.sink.refusals.lock().unwrap();
        assert_eq!(refusals.len(), 2);
        assert!(refusals.iter().all(|refusal| refusal.reason == Reason::OverRate && refusal.sender.token.is_some()));
    }
}

#[tokio::test]
async fn overload_is_a_reason_to_come_again_on_every_wire() {
    let harness = Harness::start().await;
    *harness.sink.overloaded.lock().unwrap() = Some(Duration::from_secs(2));
    for wire in Wire::ALL {
        expect(&send(&harness, wire, &export()).await, wire, 503, 14, true);
    }
    *harness.sink.overloaded.lock().unwrap() = None;
    harness.app.set_ready(false);
    for wire in Wire::ALL {
        expect(&send(&harness, wire, &export()).await, wire, 503, 14, true);
    }
    harness.app.set_ready(true);
    for wire in Wire::ALL {
        assert!(send(&harness, wire, &export()).await.is_ok());
    }
}

#[tokio::test]
async fn a_body_at_the_limit_is_taken_on_every_wire_and_one_byte_more_on_none() {
    for wire in Wire::ALL {
        let body = if wire == Wire::Json { export().json() } else { export().protobuf() };
        for encoding in [None, Some("gzip"), Some("zstd")] {
            let sent = match encoding {
                Some("gzip") => gzip(&body),
                Some(_) => zstd(&body),
                None => body.clone(),
            };
            let exact = Harness::small(body.len()).await;
            assert!(
                send_bytes(&exact, wire, &export(), encoding, sent.clone(), &[]).await.is_ok(),
                "{wire:?} {encoding:?}"
            );
            let short = Harness::small(body.len() - 1).await;
            expect(&send_bytes(&short, wire, &export(), encoding, sent, &[]).await, wire, 413, 8, false);
            assert_eq!(short.sink.refusals.lock().unwrap()[0].reason, Reason::TooLarge);
        }
    }
}

#[tokio::test]
async fn a_bomb_is_refused_before_its_memory_is_taken() {
    // Ten times less than the bomb holds: had it been inflated into memory, the budget would be spent and the reply 503.
    let settings = Settings { in_flight_bytes_max: 8 << 20, ..Settings::default() };
    let harness = Harness::with(settings, Tokens::open(), Semaphore::MAX_PERMITS).await;
    for (encoding, bomb) in [("gzip", gzip(&vec![0; 80 << 20])), ("zstd", zstd(&vec![0; 80 << 20]))] {
        for wire in Wire::ALL {
            let reply = send_bytes(&harness, wire, &export(), Some(encoding), bomb.clone(), &[]).await;
            expect(&reply, wire, 413, 8, false);
        }
    }
    assert_eq!(harness.app.in_flight_bytes(), 0);
}

#[tokio::test]
async fn the_content_type_is_read_without_case_or_parameters_and_answered_exactly() {
    let harness = Harness::start().await;
    for given in ["application/x-protobuf; charset=utf-8", "Application/X-Protobuf", "application/x-protobuf"] {
        for (body, status) in [(export().protobuf(), 200), (vec![0x0a, 0x7f], 400)] {
            let reply = harness.post("/v1/logs").header("content-type", given).body(body).send().await.unwrap();
            assert_eq!(reply.status(), status);
            assert_eq!(reply.headers()["content-type"], "application/x-protobuf");
        }
    }
}

#[tokio::test]
async fn however_long_a_mistake_is_its_reply_is_short() {
    let harness = Harness::start().await;
    let long = "x".repeat(5 << 20);
    let line = format!("{{\"ts\":1,\"event\":\"e\",\"{long}\":1}}");
    let reply = harness.post("/v1/events").body(line).send().await.unwrap();
    assert_eq!(reply.status(), 400);
    assert!(reply.bytes().await.unwrap().len() < 8192);

    let mut client = crate::grpc::connect(&harness).await;
    let path = format!("/{}/Export", "x".repeat(6000));
    let (_, headers) = crate::grpc::call(&mut client, &path, None, &[], &[]).await;
    assert_eq!(headers["grpc-status"], "12");
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!(bytes < 8192, "{bytes} bytes of headers");
}

#[tokio::test]
async fn what_json_senders_get_wrong_is_taken_and_counted() {
    let harness = Harness::start().await;
    let record = r#"{"time_unix_nano":"7","severityNumber":"SEVERITY_NUMBER_INFO","traceId":"AAAA","eventName":"a","eventName":"b",
        "attributes":[{"key":"k","value":{"intValue":9007199254740993}}]}"#;
    let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#);
    assert_eq!(harness.json(&body).send().await.unwrap().status(), 200);
    assert!(
        harness.app.counters().warnings().iter().all(|(_, count)| *count == 1),
        "{:?}",
        harness.app.counters().warnings()
    );
}
