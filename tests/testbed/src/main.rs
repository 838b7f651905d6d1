//! The testbed as a command: runs the systems against an OTLP receiver until its time is over or it is told to stop.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use testbed::{Config, Fault, Injection, Protocol, System, Testbed};

/// Runs miniature nodes of watched systems that report over OTLP, in health or with faults.
///
/// Left alone, the nodes keep every invariant of the shipped packs. Each fault breaks some of them at one node;
/// `--list-faults` says which.
#[derive(Debug, Parser)]
#[command(
    version,
    after_long_help = "Examples:
  Ten minutes of health against a receiver on this machine:
      testbed --for 10m
  The audit's finding, at the second validator, over HTTP:
      testbed --protocol http --system aptos --fault aptos.notify-fails-but-persists@validator-2
  Obyte alone, one node killed between its two writes after 20 s:
      testbed --system obyte --fault obyte.killed-between --fault-after 20s
  Validators that obey the breakers of the Invar they report to:
      testbed --breakers http://127.0.0.1:8080 --fault aptos.generator-stops

A receiver that asks for a token gets it from the environment, as with any OpenTelemetry SDK:
      OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer TOKEN' testbed

Exit code: 0 all was delivered, 1 some records were not, 2 it could not run."
)]
struct Arguments {
    /// The receiver's base address [default: http://127.0.0.1:4317, over HTTP http://127.0.0.1:4318]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// How to send
    #[arg(long, value_enum, default_value = "grpc")]
    protocol: Transport,
    /// Which systems to run
    #[arg(
        long,
        value_name = "SYSTEM",
        value_delimiter = ',',
        default_value = "aptos,obyte,pocket,malachite,tos,ultramarine"
    )]
    system: Vec<System>,
    /// Nodes of each system; Malachite has four always
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Remote batches a second for each Aptos validator; Obyte executes a tenth as many triggers
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Where all choices come from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The network's name, in `deployment.environment.name`
    #[arg(long, default_value = "testnet")]
    network: String,
    /// How often each node restarts in health; `0s` for never
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "4m")]
    restart_every: Duration,
    /// A fault to switch on, NAME or NAME@NODE; may be repeated
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Injection>,
    /// How long to run in health before the faults
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5s")]
    fault_after: Duration,
    /// Switch the faults off after so long, and see the nodes recover
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    fault_for: Option<Duration>,
    /// How long to run; until interrupted when absent
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    run_for: Option<Duration>,
    /// The base address of an Invar whose breakers Aptos validators obey
    #[arg(long, value_name = "URL")]
    breakers: Option<String>,
    /// Give each Aptos coordinator a circuit breaker of its own
    #[arg(long)]
    own_breaker: bool,
    /// Print every fault with what it does and the requirements it breaks, and end
    #[arg(long)]
    list_faults: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Transport {
    Grpc,
    Http,
}

/// Reads `500ms`, `90s`, `10m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration: write 500ms, 90s, 10m or 1h");
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list_faults {
        // A reader that has seen enough is no failure.
        let _ = list_faults(&mut io::stdout().lock());
        return ExitCode::SUCCESS;
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,testbed=info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false).init();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "testbed: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn list_faults(out: &mut impl Write) -> io::Result<()> {
    for fault in Fault::ALL.iter().copied() {
        writeln!(out, "{:<34} {}", fault.name(), fault.about())?;
        let seconds = fault.shows_within().as_secs();
        writeln!(out, "{:<34} breaks {} within {seconds} s", "", fault.refs().join(", "))?;
    }
    Ok(())
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (protocol, endpoint) = match arguments.protocol {
        Transport::Grpc => (Protocol::Grpc, "http://127.0.0.1:4317"),
        Transport::Http => (Protocol::Http, "http://127.0.0.1:4318"),
    };
    let config = Config {
        endpoint: arguments.endpoint.unwrap_or_else(|| endpoint.to_owned()),
        protocol,
        systems: arguments.system,
        nodes: arguments.nodes,
        rate: arguments.rate,
        seed: arguments.seed,
        network: arguments.network,
        restart_every: (arguments.restart_every > Duration::ZERO).then_some(arguments.restart_every),
        breakers: arguments.breakers,
        own_breaker: arguments.own_breaker,
        ..Config::default()
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime did not start")?;
    runtime.block_on(async {
        let endpoint = config.endpoint.clone();
        let testbed = Testbed::start(config).await?;
        let nodes: Vec<&str> = testbed.nodes().map(|(_, node)| node).collect();
        tracing::info!(endpoint, nodes = nodes.join(" "), "running");
        let plan = async {
            tokio::time::sleep(arguments.fault_after).await;
            for injection in &arguments.fault {
                testbed.inject(injection.clone())?;
                tracing::info!(fault = %injection, "switched on");
            }
            if let Some(fault_for) = arguments.fault_for {
                tokio::time::sleep(fault_for).await;
                for fault in arguments.fault.iter().map(|injection| injection.fault).collect::<BTreeSet<_>>() {
                    testbed.clear(fault);
                    tracing::info!(%fault, "switched off");
                }
            }
            std::future::pending::<anyhow::Result<()>>().await
        };
        let over = async {
            match arguments.run_for {
                Some(run_for) => tokio::time::sleep(run_for).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = plan => ended?,
            () = over => {}
            asked = interrupted() => asked?,
        }
        tracing::info!("stopping");
        match testbed.stop().await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => {
                tracing::error!("{error}");
                Ok(ExitCode::from(1))
            }
        }
    })
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted() -> io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_well_formed() {
        Arguments::command().debug_assert();
        let arguments =
            Arguments::try_parse_from(["testbed", "--system", "obyte", "--fault", "obyte.disk-full@obyte-2"]).unwrap();
        assert_eq!((arguments.system, arguments.fault[0].node()), (vec![System::Obyte], "obyte-2".to_owned()));
        assert!(Arguments::try_parse_from(["testbed", "--fault", "obyte.flood"]).is_err());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("1.5m").unwrap(), Duration::from_secs(90));
        for wrong in ["5", "s", "5 parsecs", "-1s", "1e400h", ""] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_fault_is_listed_with_what_it_breaks() {
        let mut text = Vec::new();
        list_faults(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(Fault::ALL.iter().all(|fault| text.contains(fault.name())));
        assert!(text.contains("breaks APT-13 within"));
    }
}
