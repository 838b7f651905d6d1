//! Packs take force at one position of the journal, and a crash between the store and the journal does not part the two.
use std::{fs, path::Path, time::Duration};

use invar::{
    config::{Config, RawConfig},
    node::{self, Running},
};
use serde_json::{Value as Json, json};
use store::Store;

use crate::harness::{Home, Invar, Line, PATIENCE, eventually};

const PACK: &str = "pack: p\nevents:\n  bad:\nrules:\n  - id: nothing-bad\n    key: [node]\n    never: bad\n";

fn config(data: &Path) -> Config {
    let any = || Some("127.0.0.1:0".to_owned());
    let raw = RawConfig { data: Some(data.to_owned()), grpc: any(), http: any(), web: any(), ..RawConfig::default() };
    raw.validate().unwrap()
}

async fn rules(running: &Running) -> usize {
    let text = reqwest::get(format!("http://{}/api/v1/rules", running.web)).await.unwrap().text().await.unwrap();
    serde_json::from_str::<Json>(&text).unwrap()["items"].as_array().unwrap().len()
}

async fn expect_rules(running: &Running, expected: usize) {
    let started = tokio::time::Instant::now();
    while rules(running).await != expected {
        assert!(started.elapsed() < Duration::from_secs(10), "{expected} rules were expected to be in force");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_was_saved_and_never_journaled_takes_force_at_the_next_start() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(&data.path().join("invar.db")).await.unwrap();
    store.put_pack("p", PACK, "someone", "ui", None, "2026-01-01T00:00:00Z").await.unwrap();
    store.close().await;

    let running = node::start(&config(data.path()), alert::Config::default()).await.unwrap();
    expect_rules(&running, 1).await;
    running.store.drop_pack("p", "2026-01-01T00:00:01Z").await.unwrap();
    assert_eq!(rules(&running).await, 1);
    running.stop().await.unwrap();

    let running = node::start(&config(data.path()), alert::Config::default()).await.unwrap();
    expect_rules(&running, 0).await;
    running.stop().await.unwrap();
}

/// A pack of one rule about one event.
fn one_rule(reference: &str, event: &str) -> String {
    format!("pack: watched\nrules:\n  - id: nothing-bad\n    ref: {reference}\n    key: [node]\n    never: {event}\n")
}

/// Waits until the rules in force are told apart by what is expected of the only one.
async fn expect_rule(invar: &Invar, field: &str, expected: &str) {
    let seen = eventually(PATIENCE, async || {
        let rules = invar.api.items("/api/v1/rules").await;
        (rules.first()?[field] == expected).then_some(())
    });
    assert!(
        seen.await.is_some(),
        "{field} never became {expected}: {:#?}\n{}",
        invar.api.items("/api/v1/rules").await,
        invar.log()
    );
}

async fn expect_text(invar: &Invar, path: &str, text: &str) {
    let seen = eventually(PATIENCE, async || invar.api.text(path).await.contains(text).then_some(()));
    assert!(seen.await.is_some(), "{path} never said `{text}`\n{}", invar.log());
}

#[tokio::test]
async fn rules_on_disk_are_followed_and_mistakes_change_nothing() {
    let home = Home::new().pack("watched.yaml", &one_rule("W-1", "watched.bad"));
    let invar = home.start().await;
    let report = async |event: &str, node: &str| invar.send(&[Line::new(node, "part", event, json!({}))]).await;
    report("watched.worse", "n1").await;
    report("watched.bad", "n2").await;
    invar.expect_incident("W-1", "n2").await;

    // Another rule under the same name: no restart.
    fs::write(home.rules().join("watched.yaml"), one_rule("W-2", "watched.worse")).unwrap();
    expect_rule(&invar, "ref", "W-2").await;
    report("watched.worse", "n3").await;
    invar.expect_incident("W-2", "n3").await;

    // A mistake: what is in force stays, and says why.
    fs::write(home.rules().join("watched.yaml"), one_rule("W-3", "watched.bad").replace("never", "nevr")).unwrap();
    expect_text(&invar, "/rules", "did you mean `never`?").await;
    expect_text(&invar, "/metrics", "invar_rules_files_refused 1").await;
    expect_rule(&invar, "ref", "W-2").await;
    report("watched.worse", "n4").await;
    invar.expect_incident("W-2", "n4").await;

    // Mended, and graded by a file of one's own beside it.
    fs::write(home.rules().join("watched.yaml"), one_rule("W-3", "watched.bad")).unwrap();
    let own = "extends: watched\nrules:\n  - id: nothing-bad\n    severity: critical\n    labels:\n      team: mine\n";
    fs::write(home.rules().join("own.yaml"), own).unwrap();
    expect_rule(&invar, "ref", "W-3").await;
    expect_rule(&invar, "severity", "critical").await;
    expect_text(&invar, "/metrics", "invar_rules_files_refused 0").await;
    assert!(!invar.api.text("/rules").await.contains("rules-trouble"));
    report("watched.bad", "n5").await;
    let incident = invar.expect_incident("W-3", "n5").await;
    assert_eq!(incident["severity"], "critical");

    // A folder that is gone takes nothing with it.
    fs::rename(home.rules(), home.rules().with_extension("away")).unwrap();
    expect_text(&invar, "/rules", "cannot be read").await;
    fs::rename(home.rules().with_extension("away"), home.rules()).unwrap();
    expect_text(&invar, "/metrics", "invar_rules_files_refused 0").await;
    assert!(!invar.said("panicked"), "{}", invar.log());
    invar.stop().await;
}
