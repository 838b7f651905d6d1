//! Packs take force at one position of the journal, and a crash between the store and the journal does not part the two.
use std::{path::Path, time::Duration};

use invar::{
    config::{Config, RawConfig},
    node::{self, Running},
};
use serde_json::Value as Json;
use store::Store;

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
