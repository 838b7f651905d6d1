//! Data directories that earlier versions left behind: each opens, and Invar goes on from it as if it had been its own.
//!
//! They lie in `data/`, named by when they were made. `INVAR_TEST_KEEP=FILE.tar.zst cargo nextest run -p it formats` makes
//! another one, with the version under test: before anything changes that is kept on disk, and never again after.
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::harness::{Home, Invar, Line, eventually, root};

/// Rules that remember for longer than any of these directories will be kept.
const PACK: &str = "\
pack: kept
rules:
  - id: applied-once
    ref: TWICE
    key: [node, job]
    forget_after: 36500d
    count:
      of: job.applied
      max: 1
  - id: asked-is-answered
    ref: UNANSWERED
    key: [node, job]
    forget_after: 36500d
    response:
      when: job.asked
      then: job.answered
      within: 36500d
  - id: nothing-bad
    ref: BAD
    key: [node, job]
    never: job.bad
breakers:
  - id: stop-the-work
    guards: worker
    per: [node]
    trip:
      rules: [nothing-bad]
      count: 1
      within: 1m
    half_open_after: 36500d
    close:
      event: job.applied
      count: 1000
";

fn home() -> Home {
    let home = Home::new().pack("kept.yaml", PACK);
    [("--retain-age", "36500d"), ("--retain-size", "100GiB")]
        .into_iter()
        .fold(home, |home, (flag, value)| home.flag(flag).flag(value))
}

fn job(event: &str, job: u64) -> Line {
    Line::new("n1", "worker", event, json!({ "job": job }))
}

async fn breaker(invar: &Invar) -> Json {
    invar.api.get("/api/v1/breakers/stop-the-work?node=n1").await["state"].clone()
}

async fn open(invar: &Invar) -> Json {
    invar.api.get("/api/v1/rules/kept/asked-is-answered").await["health"]["open"].clone()
}

/// A little of everything that is kept: events, a broken rule, what people said of it, an open breaker, an instance that
/// has seen one event of two, an obligation.
async fn live(home: &Home) {
    let invar = home.start().await;
    invar.send(&[job("job.applied", 1), job("job.asked", 2), job("job.bad", 3)]).await;
    let bad = invar.expect_incident("BAD", "n1").await;
    let path = format!("/api/v1/incidents/{}/acknowledge", bad["id"].as_str().unwrap());
    invar
        .api
        .ask(Method::POST, &path, &[], json!({"by": "operator", "text": "I look at it"}).to_string().into())
        .await
        .expect(200);
    let lived = eventually(Duration::from_secs(30), async || {
        invar.send(&[job("job.hum", 0)]).await;
        (breaker(&invar).await == "open" && open(&invar).await == 1).then_some(())
    });
    assert!(lived.await.is_some(), "{}", invar.log());
    invar.stop().await;
}

fn archives() -> Vec<PathBuf> {
    let folder = root().join("tests/it/data");
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.to_string_lossy().ends_with(".tar.zst"));
    found.sort();
    found
}

#[tokio::test]
async fn a_data_directory_of_an_earlier_version_opens_and_is_gone_on_from() {
    if let Some(kept) = std::env::var_os("INVAR_TEST_KEEP") {
        let home = home();
        live(&home).await;
        pack(&home.data(), Path::new(&kept));
    }
    let archives = archives();
    assert!(!archives.is_empty(), "no directories are kept");
    for archive in archives {
        let home = home();
        unpack(&archive, &home.data());
        goes_on(&home, &archive.display().to_string()).await;
    }
}

async fn goes_on(home: &Home, of: &str) {
    let invar = home.start().await;
    // What was known is known, and not found a second time.
    let known = invar.api.items("/api/v1/incidents").await;
    assert_eq!(known.len(), 1, "{of}: {known:#?}");
    assert_eq!((&known[0]["ref"], &known[0]["count"]), (&json!("BAD"), &json!(1)));
    assert_eq!(known[0]["acknowledged_by"], "operator");
    let id = known[0]["id"].as_str().unwrap().to_owned();
    let violations = invar.api.items(&format!("/api/v1/incidents/{id}/violations")).await;
    assert_eq!(violations[0]["evidence"][0]["attrs"]["job"], 3, "{violations:#?}");
    assert_eq!(breaker(&invar).await, "open");
    let applied = invar.api.items("/api/v1/events?event=job.applied").await;
    assert_eq!(applied.len(), 1, "{}", invar.log());

    // What was under way is under way: the second event of two, the same again.
    invar.send(&[job("job.applied", 1), job("job.bad", 4)]).await;
    let twice = invar.expect_incident("TWICE", "n1").await;
    let violations = invar.api.items(&format!("/api/v1/incidents/{}/violations", twice["id"].as_str().unwrap())).await;
    let times: Vec<&Json> = violations[0]["evidence"].as_array().unwrap().iter().map(|event| &event["ts"]).collect();
    assert_eq!((times.len(), times[0]), (2, &applied[0]["ts"]), "{violations:#?}");
    let counted = eventually(crate::harness::PATIENCE, async || {
        let incident = invar.api.get(&format!("/api/v1/incidents/{id}")).await;
        (incident["count"] == 2 && open(&invar).await == 1).then_some(())
    });
    assert!(counted.await.is_some(), "{}", invar.log());
    let incidents = invar.api.items("/api/v1/incidents").await;
    assert_eq!(incidents.len(), 2, "{incidents:#?}");
    assert!(!invar.said("panicked") && !invar.said("ERROR"), "{}", invar.log());
    invar.stop().await;
}

fn pack(folder: &Path, archive: &Path) {
    let compressed = zstd::Encoder::new(File::create(archive).unwrap(), 19).unwrap();
    let mut tar = tar::Builder::new(compressed);
    tar.append_dir_all(".", folder).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
}

fn unpack(archive: &Path, folder: &Path) {
    let plain = zstd::Decoder::new(File::open(archive).unwrap()).unwrap();
    tar::Archive::new(plain).unpack(folder).unwrap();
}
