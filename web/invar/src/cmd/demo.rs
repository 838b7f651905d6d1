//! `invar demo`: the whole path on one machine, with faults coming and going.
use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use testbed::{
    Fault, Injection, System, Testbed,
    pager::{PagerStandIn, Received, WEBHOOK_SECRET},
};

use super::{Outcome, serve};
use crate::{config::RawConfig, node, telemetry};

/// Runs Invar beside watched systems in miniature: validators of an Aptos quorum store and full nodes of Obyte, or the
/// systems you name. Faults come and go, a pager stand-in prints the pages it gets, nodes obey the breakers.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where everything is kept [default: a temporary folder, gone when the demo ends]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the dashboard listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    web: String,
    /// Where OTLP over gRPC listens, for senders of your own beside the demo's
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4317")]
    grpc: String,
    /// Where OTLP over HTTP listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4318")]
    http: String,
    /// Which systems to run, separated by commas: aptos, obyte, pocket, malachite, tos, ultramarine, or `all`
    #[arg(long, value_name = "SYSTEMS", default_value = "aptos,obyte")]
    systems: String,
    /// Switch this fault on after a few seconds, and leave it on: NAME or NAME@NODE, repeatable
    #[arg(long, value_name = "FAULT", conflicts_with = "no_faults")]
    fault: Vec<Injection>,
    /// Print every fault of the systems with what it does and the requirements it breaks, and end
    #[arg(long)]
    list_faults: bool,
    /// Leave the watched systems healthy
    #[arg(long)]
    no_faults: bool,
    /// End by itself after so many seconds
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
}

/// The shipped pack that a system is judged by.
fn pack(system: System) -> (&'static str, &'static str) {
    match system {
        System::Aptos => ("aptos-quorum-store.yaml", include_str!("../../../../rules/aptos-quorum-store.yaml")),
        System::Obyte => ("obyte-aa-composer.yaml", include_str!("../../../../rules/obyte-aa-composer.yaml")),
        System::Pocket => ("pocket-relay-miner.yaml", include_str!("../../../../rules/pocket-relay-miner.yaml")),
        System::Malachite => ("malachite-consensus.yaml", include_str!("../../../../rules/malachite-consensus.yaml")),
        System::Tos => ("tos-parallel-execution.yaml", include_str!("../../../../rules/tos-parallel-execution.yaml")),
        System::Ultramarine => {
            ("ultramarine-state-sync.yaml", include_str!("../../../../rules/ultramarine-state-sync.yaml"))
        }
    }
}

/// What a system's nodes are.
fn says(system: System) -> &'static str {
    match system {
        System::Aptos => "three validators of an Aptos quorum store",
        System::Obyte => "three full nodes of Obyte",
        System::Pocket => "three relay miners of a Pocket supplier",
        System::Malachite => "four validators of a Malachite chain",
        System::Tos => "three TOS nodes that execute blocks in parallel",
        System::Ultramarine => "three Ultramarine nodes that sync decided blocks",
    }
}

/// Reads `aptos,tos` or `all`; each system once, in the order of the list of all.
fn systems(text: &str) -> anyhow::Result<Vec<System>> {
    if text == "all" {
        return Ok(System::ALL.to_vec());
    }
    let named: Vec<System> = text.split(',').map(|name| name.trim().parse()).collect::<Result<_, _>>()?;
    Ok(System::ALL.into_iter().filter(|system| named.contains(system)).collect())
}

/// A fault of the demo: how long after the one before it comes, what it is, how long it stays, and what it is like.
struct Act {
    after: Duration,
    fault: &'static str,
    stays: Duration,
    says: &'static str,
}

const fn act(after: u64, fault: &'static str, stays: u64, says: &'static str) -> Act {
    Act { after: Duration::from_secs(after), fault, stays: Duration::from_secs(stays), says }
}

/// How long the systems are healthy before faults that were asked for.
const HEALTHY_FIRST: Duration = Duration::from_secs(8);

/// The first two tell the story within a minute; the others keep the page alive.
const PLAY: &[Act] = &[
    act(
        8,
        "aptos.notify-fails-but-persists@validator-2",
        20,
        "the batch generator of validator-2 dies; batches are stored all the same",
    ),
    act(4, "obyte.commit-fails-after-kv@obyte-1", 30, "on obyte-1 COMMIT fails after the key-value write"),
    act(60, "obyte.replica-diverges@obyte-2", 15, "obyte-2 computes another state than the others"),
    act(40, "aptos.worker-panics@validator-1", 15, "a coordinator worker of validator-1 panics"),
    act(40, "obyte.killed-between@obyte-3", 20, "obyte-3 is killed between the key-value write and COMMIT"),
    act(
        60,
        "aptos.persist-fails-after-notify@validator-3",
        10,
        "validator-3 announces batches that it could not store",
    ),
];

/// Runs the command.
///
/// # Errors
/// When a system is not known, a fault is none of the systems', a port is taken or a folder cannot be made.
pub fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let systems = systems(&arguments.systems)?;
    if arguments.list_faults {
        // A reader that has seen enough is no failure.
        let _ = list_faults(&mut std::io::stdout().lock(), &systems);
        return Ok(Outcome::Fine);
    }
    if let Some(other) = arguments.fault.iter().find(|injection| !systems.contains(&injection.fault.system())) {
        let system = other.fault.system();
        anyhow::bail!("{} is a fault of {system}, which does not run: add it to --systems", other.fault);
    }
    serve::use_ring();
    let folder = tempfile::Builder::new().prefix("invar-demo-").tempdir().context("no temporary folder can be made")?;
    let rules = folder.path().join("rules");
    std::fs::create_dir(&rules)?;
    for (name, yaml) in systems.iter().copied().map(pack) {
        std::fs::write(rules.join(name), yaml)?;
    }
    let settings = RawConfig {
        data: Some(arguments.data.unwrap_or_else(|| folder.path().join("data"))),
        rules: Some(rules),
        web: Some(arguments.web),
        grpc: Some(arguments.grpc),
        http: Some(arguments.http),
        enforce_breakers: true,
        ..RawConfig::default()
    };
    let config = settings.validate()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let telemetry = telemetry::start(None)?;
        let (pager, pages) = PagerStandIn::start().await.context("the pager stand-in cannot listen")?;
        let alerts: alert::Config = serde_json::from_value(serde_json::json!({
            "receivers": [
                {"name": "pagerduty", "allow_private": true,
                 "pagerduty": {"routing_key": "0123456789abcdef0123456789abcdef", "url": format!("http://{pager}/v2/enqueue")}},
                {"name": "webhook", "allow_private": true,
                 "webhook": {"url": format!("http://{pager}/webhook"), "secret": WEBHOOK_SECRET}},
            ],
            "routes": [{"severity": ["critical"], "receivers": ["pagerduty", "webhook"]}],
        }))?;
        let running = node::start(&config, alerts).await?;
        println!("\n  Invar's demo is running. Open  http://{}\n", running.web);
        println!("  These report to it over OTLP (gRPC {}, HTTP {}):", running.grpc, running.http);
        for system in &systems {
            println!("    {}", says(*system));
        }
        println!("  Faults come and go; pages sent to the stand-in are printed here. Ctrl-C ends it.\n");
        let testbed = Testbed::start(testbed::Config {
            endpoint: format!("http://{}", running.grpc),
            breakers: Some(format!("http://{}", running.web)),
            systems: systems.clone(),
            ..testbed::Config::default()
        })
        .await?;
        let seconds = arguments.seconds.map_or(u64::MAX / 4, |seconds| seconds);
        tokio::select! {
            () = serve::asked_to_stop() => {}
            () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
            () = running.failed.cancelled() => {}
            () = print_pages(pages) => {}
            outcome = faults(&testbed, &systems, &arguments.fault, arguments.no_faults) => outcome?,
        }
        println!("\n  Stopping.");
        if let Err(error) = testbed.stop().await {
            tracing::debug!(%error, "the watched systems' last records were not sent");
        }
        let stopped = running.stop().await;
        telemetry.stop();
        stopped.map(|()| Outcome::Fine)
    })
}

/// Switches faults on and off, for as long as the demo runs: those that were asked for, else the play's.
async fn faults(testbed: &Testbed, systems: &[System], asked: &[Injection], healthy: bool) -> anyhow::Result<()> {
    if !healthy && asked.is_empty() {
        return play(testbed, systems).await;
    }
    tokio::time::sleep(HEALTHY_FIRST).await;
    for injection in asked {
        println!("  fault   {injection}: {}", injection.fault.about());
        testbed.inject(injection.clone())?;
    }
    std::future::pending().await
}

fn list_faults(out: &mut impl std::io::Write, systems: &[System]) -> std::io::Result<()> {
    for fault in Fault::ALL.iter().filter(|fault| systems.contains(&fault.system())) {
        writeln!(out, "{:<34} {}", fault.name(), fault.about())?;
        writeln!(out, "{:<34} breaks {} within {} s", "", fault.refs().join(", "), fault.shows_within().as_secs())?;
    }
    Ok(())
}

/// The acts of these systems: the story's, and for a system that has none in it, its first fault.
fn acts(systems: &[System]) -> anyhow::Result<Vec<(Duration, Injection, Duration, &'static str)>> {
    let mut acts = Vec::new();
    for act in PLAY {
        acts.push((act.after, act.fault.parse::<Injection>()?, act.stays, act.says));
    }
    for system in systems {
        if !acts.iter().any(|(_, injection, ..)| injection.fault.system() == *system)
            && let Some(fault) = Fault::ALL.iter().copied().find(|fault| fault.system() == *system)
        {
            acts.push((HEALTHY_FIRST, fault.into(), fault.shows_within(), fault.about()));
        }
    }
    acts.retain(|(_, injection, ..)| systems.contains(&injection.fault.system()));
    Ok(acts)
}

async fn play(testbed: &Testbed, systems: &[System]) -> anyhow::Result<()> {
    let acts = acts(systems)?;
    loop {
        for (after, injection, stays, says) in &acts {
            tokio::time::sleep(*after).await;
            let fault = injection.fault;
            println!("  fault   {says}");
            testbed.inject(injection.clone())?;
            // The second story begins while the first is still on.
            if *after > Duration::from_secs(4) && *stays < Duration::from_secs(20) {
                tokio::time::sleep(*stays).await;
                testbed.clear(fault);
                println!("  mended  {fault}");
            }
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        for injection in testbed.active() {
            testbed.clear(injection.fault);
            println!("  mended  {}", injection.fault);
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

/// Prints what the stand-in was sent.
async fn print_pages(mut pages: Received) {
    while let Some(call) = pages.next().await {
        println!("  page    {call}");
    }
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_named_once_each_or_all() {
        assert_eq!(systems("tos, aptos,tos").unwrap(), [System::Aptos, System::Tos]);
        assert_eq!(systems("all").unwrap(), System::ALL);
        let refused = systems("aptos,bitcoin").unwrap_err().to_string();
        assert!(refused.contains("`bitcoin`") && refused.contains("ultramarine"), "{refused}");
    }

    #[test]
    fn every_system_has_an_act_of_its_own_and_no_others() {
        for system in System::ALL {
            let acts = acts(&[system]).unwrap();
            assert!(!acts.is_empty(), "{system} has nothing to show");
            assert!(acts.iter().all(|(_, injection, ..)| injection.fault.system() == system));
        }
        assert_eq!(acts(&[System::Aptos, System::Obyte]).unwrap().len(), PLAY.len());
    }
}
