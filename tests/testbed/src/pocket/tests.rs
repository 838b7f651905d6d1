//! Relay miners, run for a while in memory and in virtual time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{Config, Fault, Recorded, Recorder, System, Testbed};

async fn run(fault: Option<Fault>, limit: u64, enough: impl Fn(&[Recorded]) -> bool) -> Vec<Recorded> {
    let recorder = Recorder::default();
    let config = Config {
        systems: vec![System::Pocket],
        restart_every: Some(Duration::from_secs(30)),
        recorder: Some(recorder.clone()),
        ..Config::default()
    };
    let testbed = Testbed::start(config).await.unwrap();
    if let Some(fault) = fault {
        testbed.inject(fault).unwrap();
    }
    assert!(recorder.until(Duration::from_secs(limit), enough).await, "not enough was reported in {limit} s");
    testbed.stop().await.unwrap();
    recorder.records()
}

fn named<'r>(records: &'r [Recorded], name: &'r str) -> impl Iterator<Item = &'r Recorded> {
    records.iter().filter(move |record| record.name == name)
}

#[tokio::test(start_paused = true)]
async fn sessions_are_claimed_once_in_their_window_whoever_leads() {
    let records = run(None, 180, |records| {
        named(records, "pocket.leader.elected").count() >= 3 && named(records, "pocket.session.untracked").count() >= 20
    })
    .await;
    let mut claimed = BTreeSet::new();
    for claim in named(&records, "pocket.claim.submitted") {
        assert!(claimed.insert(claim.text("session_id")), "{claim:?}");
        let height = claim.int("height").unwrap();
        let window = claim.int("window_open_height").unwrap()..claim.int("window_close_height").unwrap();
        assert!(window.contains(&height), "{claim:?}");
    }
    let ends: BTreeSet<&str> =
        named(&records, "pocket.session.untracked").map(|record| record.text("session_state")).collect();
    assert_eq!(ends, BTreeSet::from(["probabilistic_proved", "proved"]));
    let mut heights: BTreeMap<(&str, i64), Vec<i64>> = BTreeMap::new();
    for block in named(&records, "pocket.block.observed") {
        heights.entry((&block.node, block.pid)).or_default().push(block.int("height").unwrap());
    }
    for (process, heights) in heights {
        assert!(heights.windows(2).all(|pair| pair[1] == pair[0] + 1), "{process:?} saw {heights:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_callback_leaves_the_session_in_memory() {
    let failed = "pocket.session.callback_failed";
    let records = run(Some(Fault::PocketCallbackFails), 120, |records| named(records, failed).count() >= 5).await;
    let stuck = named(&records, failed).next().unwrap().text("session_id").to_owned();
    let terminal = named(&records, "pocket.session.processed")
        .filter(|record| record.text("session_id") == stuck && record.text("session_state").ends_with("proved"));
    assert!(terminal.count() > 0, "it is processed although it has ended");
}
