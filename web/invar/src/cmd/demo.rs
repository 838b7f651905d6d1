//! `invar demo`: the whole path on one machine, with faults coming and going.
use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use testbed::{
    Injection, System, Testbed,
    pager::{PagerStandIn, Received, WEBHOOK_SECRET},
};

use super::{Outcome, serve};
use crate::{config::RawConfig, node, telemetry};

/// Runs Invar beside two watched systems in miniature: validators of an Aptos quorum store and full nodes of Obyte. Faults
/// come and go, a pager stand-in prints the pages it gets, nodes obey the breakers.
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
    /// Leave the watched systems healthy
    #[arg(long)]
    no_faults: bool,
    /// End by itself after so many seconds
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
}

/// The shipped packs that the demo's systems are judged by.
const PACKS: &[(&str, &str)] = &[
    ("aptos-quorum-store.yaml", include_str!("../../../../rules/aptos-quorum-store.yaml")),
    ("obyte-aa-composer.yaml", include_str!("../../../../rules/obyte-aa-composer.yaml")),
];

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
/// When a port is taken or a folder cannot be made.
pub fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    serve::use_ring();
    let folder = tempfile::Builder::new().prefix("invar-demo-").tempdir().context("no temporary folder can be made")?;
    let rules = folder.path().join("rules");
    std::fs::create_dir(&rules)?;
    for (name, yaml) in PACKS {
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
        println!("  Two systems report to it over OTLP (gRPC {}, HTTP {}):", running.grpc, running.http);
        println!("  three validators of an Aptos quorum store and three full nodes of Obyte.");
        println!("  Faults come and go; pages sent to the stand-in are printed here. Ctrl-C ends it.\n");
        let testbed = Testbed::start(testbed::Config {
            endpoint: format!("http://{}", running.grpc),
            breakers: Some(format!("http://{}", running.web)),
            systems: vec![System::Aptos, System::Obyte],
            ..testbed::Config::default()
        })
        .await?;
        let seconds = arguments.seconds.map_or(u64::MAX / 4, |seconds| seconds);
        tokio::select! {
            () = serve::asked_to_stop() => {}
            () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
            () = running.failed.cancelled() => {}
            () = print_pages(pages) => {}
            outcome = play(&testbed, arguments.no_faults) => outcome?,
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

/// Switches faults on and off, for as long as the demo runs.
async fn play(testbed: &Testbed, healthy: bool) -> anyhow::Result<()> {
    if healthy {
        return std::future::pending().await;
    }
    loop {
        for act in PLAY {
            tokio::time::sleep(act.after).await;
            let injection: Injection = act.fault.parse()?;
            let fault = injection.fault;
            println!("  fault   {}", act.says);
            testbed.inject(injection)?;
            let stays = tokio::time::sleep(act.stays);
            // The second story begins while the first is still on.
            if act.after > Duration::from_secs(4) && act.stays < Duration::from_secs(20) {
                stays.await;
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
