//! Every fault of the watched systems is found, and nothing else: all shipped packs, a real server, nodes that report over
//! OTLP. Each fault strikes a network of its own, so that many run beside one another and each finding has its cause.
//!
//! Deadlines of rules are real time, and a starved machine breaks them: these run only where `INVAR_TEST_FAULTS=1` says that
//! nothing else does, for some minutes a system: `INVAR_TEST_FAULTS=1 tests/run -E 'test(/^faults::/)'`. That the soonest fault of
//! each system is found is seen to everywhere.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
    time::Duration,
};

use testbed::{Config, Fault, System, Testbed};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use super::{
    consequences,
    harness::{Api, Home, root},
};

/// How long after a fault's last event its rules may take: their longest deadline, and a shared machine.
const WINDOWS: Duration = Duration::from_secs(80);

/// How long a fault stays on once everything expected was found, so that what does not belong there has time to show.
const LINGER: Duration = Duration::from_secs(5);

/// How long the healthy systems are watched: longer than any deadline of their rules.
const HEALTHY: Duration = Duration::from_secs(100);

/// How many networks of one system run at the same time.
const AT_ONCE: usize = 6;

/// All shipped packs.
fn packs() -> Vec<String> {
    let folder = std::fs::read_dir(root().join("rules")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".yaml") && !name.ends_with(".test.yaml")).collect()
}

/// A home with all of them, and what lies over one: it must outlive the server.
fn home(overlay: Option<&str>) -> Home {
    let home = Home::with_packs(&packs().iter().map(String::as_str).collect::<Vec<_>>());
    match overlay {
        Some(overlay) => home.pack("overlay.yaml", overlay),
        None => home,
    }
}

fn nodes(grpc: &str, fault: Fault) -> Config {
    Config {
        endpoint: format!("http://{grpc}"),
        systems: vec![fault.system()],
        network: fault.name().to_owned(),
        restart_every: None,
        own_breaker: fault == Fault::AptosBreakerIgnored,
        ..Config::default()
    }
}

/// What an operator lays over a pack for a fault to be found: rules that only some networks want, and trends over minutes, hours
/// and days, which are watched over seconds here.
fn overlay(fault: Fault) -> Option<&'static str> {
    match fault {
        Fault::AptosDuplicateLocalBatch => Some("extends: aptos-quorum-store\nparams: {duplicates_window: 20s}\n"),
        Fault::AptosTrackingLost => Some("extends: aptos-quorum-store\nparams: {untracking_reported: true}\n"),
        Fault::ObyteCommitFailsCompensated | Fault::ObyteCompensationFails => {
            Some("extends: obyte-aa-composer\nparams: {option_2: true}\n")
        }
        Fault::ObyteReplicaDiverges => Some("extends: obyte-aa-composer\nparams: {counted_after: 20s}\n"),
        Fault::PocketEntitiesKept => {
            Some("extends: pocket-relay-miner\nparams: {growth_window: 60s, growth_judged_every: 5s}\n")
        }
        Fault::PocketMemoryLeaks => Some(MEMORY_IN_SECONDS),
        Fault::TosBurnUnlimited => Some("extends: tos-parallel-execution\nparams: {burn_window: 30s}\n"),
        Fault::TosStorageSlow => {
            Some("extends: tos-parallel-execution\nparams: {pace_recent: 12s, pace_usual: 24s, pace_percent: 300}\n")
        }
        _ => None,
    }
}

/// An hour of POK-33 is ten seconds long.
const MEMORY_IN_SECONDS: &str = "extends: pocket-relay-miner
params:
  memory_hour: 10s
  memory_judged_every: 5s
";

/// How long nodes are healthy before a fault strikes: longer than `settle`, so that what they did before is known; and long
/// enough to compare with, where a rule does.
fn healthy_first(fault: Fault) -> Duration {
    Duration::from_secs(if fault == Fault::TosStorageSlow { 40 } else { 8 })
}

/// What was found in a network: each reference with one message.
async fn found(api: &Api, network: &str) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let incidents = api.all("/api/v1/incidents?limit=500").await;
    let own = incidents.iter().filter(|incident| incident["network"] == network);
    own.map(|incident| (text(&incident["ref"]), format!("{}: {}", text(&incident["rule"]), text(&incident["message"]))))
        .collect()
}

/// Runs one network with a fault; what is wrong with what was found, a line each.
async fn strike(grpc: String, api: Api, fault: Fault) -> String {
    let testbed = Testbed::start(nodes(&grpc, fault)).await.unwrap();
    tokio::time::sleep(healthy_first(fault)).await;
    let before = found(&api, fault.name()).await;
    testbed.inject(fault).unwrap();
    let expected: BTreeSet<&str> = fault.refs().iter().copied().collect();
    let enough = Instant::now() + fault.shows_within();
    let deadline = enough + WINDOWS;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let seen = found(&api, fault.name()).await;
        let complete = expected.iter().all(|reference| seen.contains_key(*reference));
        if Instant::now() >= deadline || (complete && Instant::now() >= enough) {
            break;
        }
    }
    tokio::time::sleep(LINGER).await;
    let seen = found(&api, fault.name()).await;
    let _ = testbed.stop().await;
    let mut wrong = String::new();
    for (reference, message) in &before {
        let _ = writeln!(wrong, "{fault}: {reference} before it was switched on: {message}");
    }
    for reference in expected.iter().filter(|reference| !seen.contains_key(**reference)) {
        let _ = writeln!(wrong, "{fault}: {reference} was not found");
    }
    let follows = consequences::of(fault);
    for (reference, message) in &seen {
        if !expected.contains(reference.as_str()) && !follows.contains(&reference.as_str()) {
            let _ = writeln!(wrong, "{fault}: {reference} does not belong there: {message}");
        }
    }
    wrong
}

/// Every fault of a system at the same time, each in its network.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
async fn each_fault_is_found(system: System) {
    if std::env::var_os("INVAR_TEST_FAULTS").is_none() {
        eprintln!("skipped: it needs a machine for itself; INVAR_TEST_FAULTS=1 says that it has one");
        return;
    }
    let mut by_overlay: BTreeMap<Option<&str>, Vec<Fault>> = BTreeMap::new();
    for fault in Fault::ALL.iter().copied().filter(|fault| fault.system() == system) {
        by_overlay.entry(overlay(fault)).or_default().push(fault);
    }
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut strikes = JoinSet::new();
    let mut servers = Vec::new();
    for (overlay, faults) in by_overlay {
        let home = home(overlay);
        let invar = home.start().await;
        for fault in faults {
            let (room, grpc, api) = (room.clone(), invar.grpc.clone(), invar.api.clone());
            strikes.spawn(async move {
                let _place = room.acquire_owned().await.unwrap();
                strike(grpc, api, fault).await
            });
        }
        servers.push((home, invar));
    }
    let mut wrong = strikes.join_all().await;
    wrong.sort();
    let wrong = wrong.concat();
    assert!(wrong.is_empty(), "{wrong}");
    for (_home, invar) in servers {
        invar.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_aptos_is_found_and_nothing_else() {
    each_fault_is_found(System::Aptos).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_obyte_is_found_and_nothing_else() {
    each_fault_is_found(System::Obyte).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_malachite_is_found_and_nothing_else() {
    each_fault_is_found(System::Malachite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_pocket_is_found_and_nothing_else() {
    each_fault_is_found(System::Pocket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_tos_is_found_and_nothing_else() {
    each_fault_is_found(System::Tos).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_ultramarine_is_found_and_nothing_else() {
    each_fault_is_found(System::Ultramarine).await;
}

/// Has a network ill with a fault until all that it breaks is found; what else is found may be the machine's doing.
async fn strike_until_found(grpc: String, api: Api, fault: Fault) -> Option<String> {
    let testbed = Testbed::start(nodes(&grpc, fault)).await.unwrap();
    tokio::time::sleep(healthy_first(fault)).await;
    testbed.inject(fault).unwrap();
    let deadline = Instant::now() + fault.shows_within() + WINDOWS;
    let mut missing: Vec<&str> = fault.refs().to_vec();
    while !missing.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let seen = found(&api, fault.name()).await;
        missing.retain(|reference| !seen.contains_key(*reference));
    }
    let _ = testbed.stop().await;
    (!missing.is_empty()).then(|| format!("{fault}: {missing:?} was not found"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_soonest_fault_of_each_system_is_found() {
    let home = home(None);
    let invar = home.start().await;
    let mut strikes = JoinSet::new();
    for system in System::ALL {
        let faults = Fault::ALL.iter().copied();
        let plain = faults.filter(|fault| fault.system() == system && overlay(*fault).is_none());
        let soonest = plain.min_by_key(|fault| fault.shows_within()).unwrap();
        strikes.spawn(strike_until_found(invar.grpc.clone(), invar.api.clone(), soonest));
    }
    let missing: Vec<String> = strikes.join_all().await.into_iter().flatten().collect();
    assert!(missing.is_empty(), "{missing:#?}");
    invar.stop().await;
}

/// What rules refer to is what faults break: no rule of a watched system is without a fault that it is found in.
#[test]
fn every_reference_of_the_packs_has_a_fault() {
    for system in System::ALL {
        let prefix = format!("{}-", system.name());
        let pack = packs().into_iter().find(|name| name.starts_with(&prefix)).unwrap();
        let text = std::fs::read_to_string(root().join("rules").join(pack)).unwrap();
        let said: BTreeSet<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("ref: ")).collect();
        let of_system = Fault::ALL.iter().filter(|fault| fault.system() == system);
        let broken: BTreeSet<&str> = of_system.flat_map(|fault| fault.refs().iter().copied()).collect();
        assert_eq!(said, broken, "{system}");
    }
}

/// What the packs leave to the operator to switch on. It can all be on together, and health breaks nothing of it.
const SWITCHED_ON: [(&str, &str); 3] = [
    ("aptos.yaml", "extends: aptos-quorum-store\nparams: {untracking_reported: true, breakers_obeyed: true}\n"),
    ("internet-computer-rate.yaml", "extends: internet-computer\nparams: {index_rate: true}\n"),
    ("obyte.yaml", "extends: obyte-aa-composer\nparams: {option_2: true}\n"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_healthy_systems_raise_nothing() {
    healthy_systems_raise_nothing(home(None), "healthy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_healthy_systems_raise_nothing_with_all_that_can_be_switched_on() {
    let home = SWITCHED_ON.iter().fold(home(None), |home, (file, overlay)| home.pack(file, overlay));
    healthy_systems_raise_nothing(home, "healthy-and-watched").await;
}

/// Every rule of the packs is in force with them: none is left out that a parameter could switch on.
#[test]
fn every_switch_of_the_packs_is_known() {
    for name in packs() {
        let text = std::fs::read_to_string(root().join("rules").join(&name)).unwrap();
        let pack = name.trim_end_matches(".yaml");
        for switch in text.lines().filter_map(|line| line.trim().strip_prefix("enabled: param.")) {
            let is_on = |on: &str| {
                text.lines().any(|line| line.starts_with(&format!("  {switch}: true")))
                    || on.lines().next() == Some(&format!("extends: {pack}")) && on.contains(&format!("{switch}: true"))
            };
            assert!(SWITCHED_ON.iter().any(|(_, on)| is_on(on)), "{pack}: {switch}");
        }
    }
}

/// All six beside one another, none of them ill.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
async fn healthy_systems_raise_nothing(home: Home, network: &str) {
    if std::env::var_os("INVAR_TEST_FAULTS").is_none() {
        eprintln!("skipped: it needs a machine for itself; INVAR_TEST_FAULTS=1 says that it has one");
        return;
    }
    let invar = home.start().await;
    let config = Config {
        endpoint: format!("http://{}", invar.grpc),
        systems: System::ALL.to_vec(),
        network: network.to_owned(),
        restart_every: None,
        ..Config::default()
    };
    let testbed = Testbed::start(config).await.unwrap();
    tokio::time::sleep(HEALTHY).await;
    let raised = found(&invar.api, network).await;
    let _ = testbed.stop().await;
    assert!(raised.is_empty(), "{raised:#?}");
    invar.stop().await;
}
