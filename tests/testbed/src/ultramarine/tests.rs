//! Ultramarine nodes, run for a while in memory and in virtual time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{Config, Fault, Recorded, Recorder, System, Testbed};

/// Runs three nodes: in health for `healthy`, with a fault for `faulty`, and in health again for `after`.
async fn run(fault: Option<Fault>, healthy: u64, faulty: u64, after: u64) -> Vec<Recorded> {
    let recorder = Recorder::default();
    let config = Config {
        systems: vec![System::Ultramarine],
        restart_every: Some(Duration::from_secs(25)),
        recorder: Some(recorder.clone()),
        ..Config::default()
    };
    let testbed = Testbed::start(config).await.unwrap();
    tokio::time::sleep(Duration::from_secs(healthy)).await;
    if let Some(fault) = fault {
        testbed.inject(fault).unwrap();
        tokio::time::sleep(Duration::from_secs(faulty)).await;
        testbed.clear(fault);
        tokio::time::sleep(Duration::from_secs(after)).await;
    }
    testbed.stop().await.unwrap();
    recorder.records()
}

fn named<'r>(records: &'r [Recorded], name: &'static str) -> impl Iterator<Item = &'r Recorded> {
    records.iter().filter(move |record| record.name == name)
}

/// The heights that each node committed, in order.
fn committed(records: &[Recorded]) -> BTreeMap<&str, Vec<i64>> {
    let mut heights: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for record in named(records, "ultramarine.block.committed") {
        heights.entry(&record.node).or_default().push(record.int("height").unwrap());
    }
    heights
}

fn is_gapless(heights: &[i64]) -> bool {
    heights.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

#[tokio::test(start_paused = true)]
async fn healthy_nodes_commit_the_same_heights_and_sync_what_they_missed() {
    let records = run(None, 60, 0, 0).await;
    let heights = committed(&records);
    assert_eq!(heights.len(), 3);
    assert!(heights.values().all(|heights| heights.len() > 45 && is_gapless(heights)), "{heights:?}");
    let mut values: BTreeMap<i64, BTreeSet<&str>> = BTreeMap::new();
    for record in named(&records, "ultramarine.block.committed") {
        values.entry(record.int("height").unwrap()).or_default().insert(record.text("value_id"));
    }
    assert!(values.values().all(|values| values.len() == 1));
    let given = named(&records, "ultramarine.sync.value.replied").filter(|reply| reply.text("value_id") != "none");
    assert!(given.count() > 20);
    let served: BTreeSet<&str> =
        named(&records, "ultramarine.sync.decided_value.served").map(|served| served.text("package")).collect();
    assert_eq!(served, BTreeSet::from(["full"]));
    assert!(named(&records, "ultramarine.blob.round_dropped").count() > 0);
    assert!(named(&records, "ultramarine.el.new_payload").any(|call| call.text("status") == "SYNCING"));
    assert!(!records.iter().any(|record| record.name.contains("failed") || record.name.contains("crashed")));
}

#[tokio::test(start_paused = true)]
async fn client_keeps_the_order_that_consensus_relies_on() {
    let records = run(None, 60, 0, 0).await;
    let steps = [
        "ultramarine.sync.payload.stored",
        "ultramarine.blob.verified",
        "ultramarine.blob.marked_decided",
        "ultramarine.proposal.stored",
        "ultramarine.sync.value.replied",
    ];
    let mut reached: BTreeMap<(&str, i64, &str), usize> = BTreeMap::new();
    for record in records.iter().filter(|record| !record.text("peer").is_empty()) {
        let Some(step) = steps.iter().position(|step| *step == record.name) else { continue };
        let key = (record.node.as_str(), record.int("height").unwrap(), record.text("peer"));
        assert!(reached.insert(key, step).is_none_or(|before| before < step), "{record:?}");
    }
    assert!(reached.values().filter(|step| **step == 4).count() > 20);
}

#[tokio::test(start_paused = true)]
async fn node_that_crashed_resyncs_and_goes_on_without_gap() {
    let records = run(Some(Fault::UltramarineMetadataAccepted), 5, 30, 40).await;
    let crashes: Vec<&str> = named(&records, "ultramarine.node.crashed").map(|crash| crash.text("error")).collect();
    assert_eq!(crashes, ["Missing block bytes for decided value"; 3]);
    let heights = committed(&records);
    assert!(heights.values().all(|heights| is_gapless(heights)), "{heights:?}");
    let last = |node| *heights[node].last().unwrap();
    assert!(last("ultramarine-1") + 3 > last("ultramarine-2"), "{heights:?}");
}

#[tokio::test(start_paused = true)]
async fn peer_that_sends_bad_packages_is_penalized_banned_and_left_alone() {
    let records = run(Some(Fault::UltramarineBadPackages), 5, 60, 0).await;
    let failed = named(&records, "ultramarine.sync.value.decode_failed").count();
    assert!(failed >= 3);
    assert_eq!(named(&records, "ultramarine.peer.penalized").count(), failed);
    let banned: Vec<&Recorded> = named(&records, "ultramarine.peer.banned").collect();
    assert!(!banned.is_empty() && banned.iter().all(|ban| ban.text("peer") == "ultramarine-1"));
    for ban in banned {
        assert!(!named(&records, "ultramarine.sync.value.requested").any(|request| {
            let since = request.at.saturating_sub(ban.at);
            request.node == ban.node
                && request.text("peer") == "ultramarine-1"
                && request.at > ban.at
                && since < Duration::from_secs(60)
        }));
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_shows_in_what_its_node_reports() {
    type Shows = fn(&Recorded) -> bool;
    let served = "ultramarine.sync.decided_value.served";
    let faults: [(Fault, &'static str, Shows); 14] = [
        (Fault::UltramarinePayloadLost, served, |r| r.get("payload_present") == false),
        (Fault::UltramarineBlobsLost, served, |r| r.int("blob_count") < r.int("expected_blobs")),
        (Fault::UltramarineWrongRound, served, |r| r.int("round") != r.int("certificate_round")),
        (Fault::UltramarinePackageBloated, served, |r| r.int("package_bytes") > Some(1 << 20)),
        (Fault::UltramarineMarkDecidedFails, "ultramarine.blob.mark_decided_failed", |_| true),
        (Fault::UltramarineReplyBeforeProposal, "ultramarine.block.commit_failed", |_| true),
        (Fault::UltramarineDecoderBroken, "ultramarine.sync.value.decode_failed", |_| true),
        (Fault::UltramarineVerifyIgnored, "ultramarine.blob.verify_failed", |_| true),
        (Fault::UltramarineProposerDropsBlobs, "ultramarine.import.blobs.checked", |r| r.get("hashes_match") == false),
        (Fault::UltramarineBlobsMisnumbered, "ultramarine.blob.stored", |r| {
            r.get("indices").as_array().is_some_and(|list| list.iter().any(|index| index.as_i64() >= r.int("count")))
        }),
        (Fault::UltramarineCommitsOtherRound, "ultramarine.el.new_payload", |r| r.text("status") == "INVALID"),
        (Fault::UltramarineHeadMovesWhileSyncing, "ultramarine.el.forkchoice_updated", |_| true),
        (Fault::UltramarineBlobsPruned, "ultramarine.blob.pruned", |_| true),
        (Fault::UltramarineVerificationHangs, "ultramarine.blob.verify_started", |r| !r.text("peer").is_empty()),
    ];
    for (fault, name, shows) in faults {
        let records = run(Some(fault), 2, 60, 0).await;
        assert!(
            named(&records, name).any(|record| record.node == "ultramarine-1" && shows(record)),
            "{fault} does not show"
        );
    }
    let twice = run(Some(Fault::UltramarineWalReplaysHeight), 5, 10, 0).await;
    assert!(!is_gapless(&committed(&twice)["ultramarine-1"]));
    let flood = run(Some(Fault::UltramarineSyncFlood), 2, 20, 0).await;
    let asked = named(&flood, "ultramarine.sync.value.requested").filter(|asked| asked.node == "ultramarine-1");
    assert!(asked.count() > 25);
}
