//! Validators, run for a while in memory and in virtual time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{Config, Fault, Recorded, Recorder, System, Testbed};

async fn run(fault: Option<Fault>, limit: u64, enough: impl Fn(&[Recorded]) -> bool) -> Vec<Recorded> {
    let recorder = Recorder::default();
    let config = Config {
        systems: vec![System::Malachite],
        restart_every: Some(Duration::from_secs(20)),
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
async fn healthy_validators_decide_the_same_in_round_0_and_restart_on_the_way() {
    let records = run(None, 120, |records| {
        named(records, "malachite.node.started").count() >= 6
            && named(records, "malachite.consensus.finalized").count() >= 100
    })
    .await;
    let mut decided: BTreeMap<i64, BTreeSet<&str>> = BTreeMap::new();
    for record in named(&records, "malachite.consensus.decided") {
        decided.entry(record.int("height").unwrap()).or_default().insert(record.text("value_id"));
        assert!(record.int("signatures").unwrap() >= 3);
    }
    assert!(decided.values().all(|values| values.len() == 1), "{decided:?}");
    assert!(named(&records, "malachite.consensus.round.started").all(|record| record.int("round") == Some(0)));
}

#[tokio::test(start_paused = true)]
async fn an_equivocating_validator_is_seen_by_its_peers() {
    let evidence = "malachite.consensus.evidence.vote_equivocation";
    let records =
        run(Some(Fault::MalachiteVoteEquivocation), 60, |records| named(records, evidence).count() >= 3).await;
    assert!(named(&records, evidence).all(|record| record.node != "malachite-1"));
    assert!(named(&records, "malachite.consensus.decided").count() > 0, "three honest validators go on");
}

#[tokio::test(start_paused = true)]
async fn a_killed_validator_reads_its_log_and_catches_up() {
    let records = run(Some(Fault::MalachiteNodeKilled), 60, |records| {
        let mut after = records.iter().skip_while(|record| record.name != "malachite.wal.replay.completed");
        after.any(|record| record.name == "malachite.consensus.decided" && record.node == "malachite-1")
    })
    .await;
    let synced = named(&records, "malachite.consensus.value.received").filter(|record| record.text("origin") == "sync");
    assert!(synced.count() > 0, "what it missed it got from its peers");
}
