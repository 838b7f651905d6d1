//! TOS nodes, run for a while in memory and in virtual time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{Config, Fault, Recorded, Recorder, System, Testbed};

/// Runs three nodes: in health for `healthy`, with a fault for `faulty`, and in health again for `after`.
async fn run(fault: Option<Fault>, healthy: u64, faulty: u64, after: u64) -> Vec<Recorded> {
    let recorder = Recorder::default();
    let config = Config {
        systems: vec![System::Tos],
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

fn amount(record: &Recorded, attribute: &str) -> u128 {
    record.text(attribute).parse().unwrap()
}

/// What nodes said about each block, by what they said.
fn said<'r>(records: &'r [Recorded], name: &'static str, attribute: &str) -> BTreeMap<&'r str, BTreeSet<&'r str>> {
    let mut said: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for record in named(records, name) {
        said.entry(record.text("block.hash")).or_default().insert(record.text(attribute));
    }
    said
}

/// Whether every map of every merge was written in order.
fn is_sorted(records: &[Recorded]) -> bool {
    let mut last: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    named(records, "tos.merge.write").all(|write| {
        let key = write.text("sort_key");
        last.insert((write.text("execution_id"), write.text("map")), key).is_none_or(|before| before < key)
    })
}

#[tokio::test(start_paused = true)]
async fn healthy_nodes_agree_on_writes_and_roots_whatever_their_path() {
    let records = run(None, 60, 0, 0).await;
    let roots = said(&records, "tos.block.execution.completed", "state_root");
    assert!(roots.len() >= 15, "{} blocks", roots.len());
    assert!(roots.values().all(|roots| roots.len() == 1));
    assert!(said(&records, "tos.merge.completed", "write_sequence_digest").values().all(|digests| digests.len() == 1));
    let paths = |node: &str| -> BTreeSet<&str> {
        let here = named(&records, "tos.block.execution.completed").filter(|record| record.node == node);
        here.map(|record| record.text("path")).collect()
    };
    assert_eq!(paths("tos-1"), BTreeSet::from(["parallel", "sequential"]));
    assert_eq!(paths("tos-3"), BTreeSet::from(["sequential"]));
    assert!(is_sorted(&records));
    assert!(named(&records, "tos.config.loaded").count() > 3, "nodes restart in health");
}

#[tokio::test(start_paused = true)]
async fn healthy_blocks_pay_once_and_count_what_they_burn() {
    let records = run(None, 60, 0, 0).await;
    let mut paid = BTreeSet::new();
    for reward in named(&records, "tos.reward.applied") {
        assert!(paid.insert((reward.text("execution_id"), reward.text("kind"))));
        assert_eq!(amount(reward, "balance_before") + amount(reward, "amount"), amount(reward, "balance_after"));
    }
    for merge in named(&records, "tos.merge.completed") {
        let of = |record: &&Recorded| {
            record.text("execution_id") == merge.text("execution_id") && record.text("result") == "success"
        };
        let sum =
            |attribute| named(&records, "tos.tx.executed").filter(of).map(|tx| amount(tx, attribute)).sum::<u128>();
        assert_eq!((sum("burned"), sum("gas_used")), (amount(merge, "total_burned"), amount(merge, "total_gas")));
    }
    assert!(named(&records, "tos.burned_supply.rejected").count() > 3, "the limit is met");
    assert!(named(&records, "tos.tx.executed").any(|tx| tx.text("result") == "failed"));
    for aborted in named(&records, "tos.tx.executed").filter(|tx| tx.text("result") == "aborted") {
        let id = aborted.text("execution_id");
        assert!(named(&records, "tos.block.execution.rejected").any(|rejected| rejected.text("execution_id") == id));
        assert!(!named(&records, "tos.merge.commit_point.committed").any(|point| point.text("execution_id") == id));
    }
}

#[tokio::test(start_paused = true)]
async fn node_that_went_astray_resyncs_when_its_fault_is_cleared() {
    let records = run(Some(Fault::TosRewardAppliedTwice), 5, 15, 30).await;
    let mut sources: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for reward in named(&records, "tos.reward.applied").filter(|reward| reward.node == "tos-1") {
        let key = (reward.text("execution_id"), reward.text("kind"));
        sources.entry(key).or_default().insert(reward.text("source"));
    }
    assert!(sources.values().any(|sources| sources.len() == 2));
    let roots = said(&records, "tos.block.execution.completed", "state_root");
    assert!(roots.values().any(|roots| roots.len() == 2));
    let last: Vec<&Recorded> = named(&records, "tos.block.execution.completed").collect();
    let (hash, nodes) = (last[last.len() - 1].text("block.hash"), &last[last.len().saturating_sub(6)..]);
    assert!(nodes.iter().any(|record| record.node == "tos-1"), "the node is back");
    assert_eq!(roots[hash].len(), 1);
}

#[tokio::test(start_paused = true)]
async fn node_with_a_lost_permit_hangs_and_starts_again_when_it_is_mended() {
    let records = run(Some(Fault::TosPermitLeaks), 5, 20, 20).await;
    let holders = |name| -> BTreeSet<&str> {
        let here = named(&records, name).filter(|record| record.node == "tos-1");
        here.map(|record| record.text("holder")).collect()
    };
    let (acquired, released) = (holders("tos.storage.permit.acquired"), holders("tos.storage.permit.released"));
    assert_eq!(acquired.difference(&released).count(), 1);
    let last = named(&records, "tos.block.execution.completed").filter(|record| record.node == "tos-1").last().unwrap();
    assert!(last.at > Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn each_fault_shows_in_what_its_node_reports() {
    type Shows = fn(&Recorded) -> bool;
    let faults: [(Fault, &'static str, Shows); 13] = [
        (Fault::TosRewardSaturates, "tos.reward.applied", |r| r.text("balance_after") == u64::MAX.to_string()),
        (Fault::TosGasWraps, "tos.gas_fee.added", |r| amount(r, "after") < amount(r, "before")),
        (Fault::TosGasSaturates, "tos.gas_fee.added", |r| r.get("saturated") == true),
        (Fault::TosCounterRace, "tos.counter.update_failed", |_| true),
        (Fault::TosBurnClamped, "tos.burned_supply.added", |r| r.get("clamped") == true),
        (Fault::TosBurnUnlimited, "tos.burned_supply.added", |r| amount(r, "after") > amount(r, "limit")),
        (Fault::TosManyPermits, "tos.storage.permit.acquired", |r| r.int("concurrent") > Some(1)),
        (Fault::TosAbortIgnored, "tos.tx.executed", |r| r.text("result") == "aborted"),
        (Fault::TosTaskLost, "tos.tx.executed", |r| r.int("tx.index") == Some(-1)),
        (Fault::TosKillSwitchIgnored, "tos.config.loaded", |r| r.get("parallel_enabled") == false && r.node == "tos-1"),
        (Fault::TosRolledBackCompletes, "tos.merge.commit_point.rolled_back", |_| true),
        (Fault::TosPartialMerge, "tos.block.execution.rejected", |r| r.text("error").contains("add_burned_coins")),
        (Fault::TosSmallBlockParallel, "tos.block.execution.started", |r| {
            r.text("path") == "parallel" && r.int("tx_count") < Some(10)
        }),
    ];
    for (fault, name, shows) in faults {
        let records = run(Some(fault), 2, 20, 0).await;
        assert!(named(&records, name).any(|record| record.node == "tos-1" && shows(record)), "{fault} does not show");
        assert!(
            !named(&records, name).any(|record| record.node == "tos-2" && shows(record)),
            "{fault} shows elsewhere"
        );
    }
    for (fault, says) in [
        (Fault::TosGasSaturates, "CRITICAL: Gas fee counter saturated"),
        (Fault::TosCounterRace, "Failed to update gas fee counter"),
        (Fault::TosTaskLost, "[PARALLEL] Task 0 panicked"),
    ] {
        let records = run(Some(fault), 2, 20, 0).await;
        let nodes: BTreeSet<&str> =
            records.iter().filter(|record| record.body.starts_with(says)).map(|record| &*record.node).collect();
        assert_eq!(nodes, BTreeSet::from(["tos-1"]), "{fault}");
    }
    assert!(!is_sorted(&run(Some(Fault::TosMergeUnsorted), 2, 20, 0).await));
}
