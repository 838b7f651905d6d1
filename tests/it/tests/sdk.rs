//! What real OpenTelemetry SDKs send, all the way to the pager. A batch that the generator was never told of must become
//! an incident, a batch as it should be must not, whichever SDK, transport and compression carries them.
use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};
use testbed::pager::{Mount, Outcome};

use crate::harness::{APTOS, Home, Invar, Line, Pager, node, now_ms, python, run_sender};

/// From the sender's last byte to the incident, when nobody else sends and lateness is the default.
const ALERT_WITHIN: Duration = Duration::from_secs(15);

const COORDINATOR: &str = "aptos_consensus::quorum_store::batch_coordinator";
const GENERATOR: &str = "aptos_consensus::quorum_store::batch_generator";
const AUTHOR: &str = "0xa1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";

/// The attributes of a batch that every event of it has, and some more.
fn batch(id: &str, more: Value) -> Value {
    let mut attrs = json!({
        "batch.author": AUTHOR,
        "batch.id": id,
        "batch.digest": format!("0xd1{id}"),
        "epoch": 7,
        "worker": "3",
    });
    attrs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    attrs
}

/// A remote batch on its way through a validator; `announced` or not.
fn batch_events(validator: &str, id: &str, announced: bool) -> Vec<Line> {
    let start = now_ms();
    let received = json!({
        "peer": AUTHOR, "num_txns": 2, "num_bytes": 512, "expiration_usecs": (start + 60_000) * 1000, "is_remote": true,
    });
    let persisted = json!({"is_remote": true, "storage_mode": "persisted"});
    let tracked = json!({
        "origin": "remote", "expiry_usecs": (start + 60_000) * 1000, "num_txns": 2, "txn_hashes": "[\"0x01\",\"0x02\"]",
    });
    let notified = json!({"send_latency_us": 12, "queue.depth": 1, "queue.capacity": 1000});
    let mut events = vec![
        Line::new(validator, COORDINATOR, "quorum_store.batch.received", batch(id, received)),
        Line::new(validator, COORDINATOR, "quorum_store.batch.persisted", batch(id, persisted)).at(start + 2),
    ];
    if announced {
        events.push(
            Line::new(validator, COORDINATOR, "quorum_store.batch.generator_notified", batch(id, notified))
                .at(start + 1),
        );
        events.push(Line::new(validator, GENERATOR, "quorum_store.batch.tracked", batch(id, tracked)).at(start + 2));
    }
    for event in &mut events {
        event.resource.insert("process.pid".to_owned(), json!(4242));
    }
    events
}

/// The node a way of sending is called in these tests.
fn named(way: &str) -> String {
    format!("by-{}", way.replace('/', "-"))
}

/// What must follow from a lost batch of `validator`: one incident with its evidence, in time, and one page a receiver.
async fn expect_lost_batch(invar: &Invar, pager: &Pager, validator: &str) {
    let incident = invar.expect_incident_within("APT-1a", validator, ALERT_WITHIN).await;
    let id = incident["id"].as_str().unwrap();
    assert_eq!(
        (&incident["severity"], &incident["status"], &incident["network"], &incident["count"]),
        (&json!("critical"), &json!("open"), &json!("testnet"), &json!(1)),
        "{incident}"
    );
    let violations = invar.api.items(&format!("/api/v1/incidents/{id}/violations")).await;
    assert_eq!(violations.len(), 1, "{violations:#?}");
    assert_eq!(violations[0]["key"]["batch.author"], AUTHOR);
    let evidence = violations[0]["evidence"].as_array().unwrap();
    let stored = evidence.iter().find(|event| event["event"] == "quorum_store.batch.persisted").unwrap();
    assert_eq!((&stored["node"], &stored["component"]), (&json!(validator), &json!("batch_coordinator")), "{stored}");
    for (mount, outcome) in [(Mount::Pagerduty, Outcome::Triggered), (Mount::Webhook, Outcome::Verified)] {
        let calls = pager.expect_calls(invar, id, mount, 1).await;
        assert_eq!(calls.len(), 1, "{calls:#?}");
        assert_eq!(calls[0].outcome, outcome, "{calls:#?}");
    }
}

/// Sends a lost batch of one validator and a good one of another through each way, and looks at what follows.
async fn must_show(interpreter: PathBuf, script: &str, ways: &[&str]) {
    let pager = Pager::start().await;
    let home = Home::with_packs(&[APTOS]).alerts(&pager.alerts());
    let invar = home.start().await;
    for way in ways {
        let (protocol, gzip) = way.strip_suffix("+gzip").map_or((*way, false), |protocol| (protocol, true));
        let endpoint = format!("http://{}", if protocol == "grpc" { &invar.grpc } else { &invar.http });
        let mut arguments = vec![endpoint.as_str(), protocol];
        if gzip {
            arguments.push("--gzip");
        }
        let (lost, good) = (named(way), format!("{}-good", named(way)));
        let mut events = batch_events(&lost, "0xaa", false);
        events.extend(batch_events(&good, "0xbb", true));
        run_sender(interpreter.clone(), script, &arguments, &events).await;
    }
    let last = now_ms();
    for way in ways {
        expect_lost_batch(&invar, &pager, &named(way)).await;
    }
    invar.judged_past(last + 5_000).await;
    let mut expected: Vec<_> = ways.iter().map(|way| ("APT-1a".to_owned(), named(way))).collect();
    expected.sort();
    assert_eq!(invar.incidents().await, expected, "good batches raise nothing, lost ones nothing else");
    assert_eq!(pager.calls().len(), 2 * ways.len(), "one page a receiver and incident: {:#?}", pager.calls());
    invar.stop().await;
}

#[tokio::test]
async fn a_lost_batch_sent_by_the_python_sdk_pages_once() {
    let Some(python) = python() else { return };
    must_show(python, "send.py", &["grpc", "grpc+gzip", "http/protobuf", "http/protobuf+gzip"]).await;
}

#[tokio::test]
async fn a_lost_batch_sent_by_the_javascript_sdk_pages_once() {
    let Some(node) = node() else { return };
    let ways = ["grpc", "grpc+gzip", "http/protobuf", "http/protobuf+gzip", "http/json", "http/json+gzip"];
    must_show(node, "send.mjs", &ways).await;
}

/// Runs real validators, which report through `tracing` and the Rust SDK, and breaks one of them when told to.
async fn validators(protocol: testbed::Protocol, fault: Option<testbed::Fault>) {
    let pager = Pager::start().await;
    let home = Home::with_packs(&[APTOS]).alerts(&pager.alerts());
    let invar = home.start().await;
    let address = if protocol == testbed::Protocol::Grpc { &invar.grpc } else { &invar.http };
    let config = testbed::Config {
        endpoint: format!("http://{address}"),
        protocol,
        systems: vec![testbed::System::Aptos],
        ..testbed::Config::default()
    };
    let testbed = testbed::Testbed::start(config).await.unwrap();
    if let Some(fault) = fault {
        testbed.inject(testbed::Injection { fault, at: Some("validator-2".to_owned()) }).unwrap();
        let within = fault.shows_within() + ALERT_WITHIN;
        let incident = invar.expect_incident_within("APT-1a", "validator-2", within).await;
        let id = incident["id"].as_str().unwrap();
        let calls = pager.expect_calls(&invar, id, Mount::Pagerduty, 1).await;
        assert_eq!(calls[0].outcome, Outcome::Triggered, "{calls:#?}");
        pager.expect_calls(&invar, id, Mount::Webhook, 1).await;
        let elsewhere: Vec<_> = invar.incidents().await.into_iter().filter(|(_, node)| node != "validator-2").collect();
        assert!(elsewhere.is_empty(), "only one validator is broken: {elsewhere:?}");
    } else {
        tokio::time::sleep(Duration::from_secs(8)).await;
    }
    testbed.stop().await.unwrap();
    if fault.is_none() {
        invar.judged_past(now_ms() + 1_000).await;
        assert_eq!(invar.incidents().await, [], "{}", invar.log());
        let rule = invar.api.get("/api/v1/rules/aptos-quorum-store/stored-batch-was-announced").await;
        assert!(rule["health"]["held"].as_u64().unwrap() > 20, "the rule was exercised: {rule}");
    }
    invar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_validator_with_the_rust_sdk_over_grpc_is_found() {
    validators(testbed::Protocol::Grpc, Some(testbed::Fault::AptosNotifyFailsButPersists)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthy_validators_with_the_rust_sdk_over_http_raise_nothing() {
    validators(testbed::Protocol::Http, None).await;
}
