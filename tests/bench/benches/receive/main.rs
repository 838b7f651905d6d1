//! Receiving, from outside: the real server in a process of its own, with the shipped packs in force, a journal and a
//! database; beside it, in the same run, the plain way to receive OTLP (axum and prost, decoded and thrown away).
//!
//! Prints records per CPU-second of the server (user and system, until everything sent has been judged), how long
//! acknowledgements took, and the most memory it held. Figures of one run compare; those of two machines do not. The last load
//! comes at its own pace, whatever the server does: see [`steady`].
//!
//! `cargo build --release -p invar && cargo bench -p bench --bench receive` (`-- --test`: a tiny input, as a test;
//! `-- LOAD…`: only those loads). `INVAR_BIN` names another binary.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod client;
mod plain;
mod server;
mod steady;

use std::time::Duration;

use anyhow::{Context, ensure};
use bench::load::{self, Encoding, Events, Form, Load};
use client::{Protocol, Sent};
use server::Server;

/// Records in one request, as exporters' batch processors send by default.
const RECORDS: usize = 512;

/// One line of the report.
struct Case {
    name: &'static str,
    protocol: Protocol,
    load: fn(usize) -> Load,
    /// Records sent; costly encodings get fewer, so that a run takes minutes.
    records: usize,
}

const CASES: &[Case] = &[
    Case {
        name: "protobuf",
        protocol: Protocol::Http,
        load: |records| Load::new(Form::Protobuf, Encoding::Identity, Events::Unnamed, records),
        records: 4_000_000,
    },
    Case {
        name: "protobuf-100",
        protocol: Protocol::Http,
        load: |_| Load::new(Form::Protobuf, Encoding::Identity, Events::Unnamed, 100),
        records: 2_000_000,
    },
    Case {
        name: "protobuf-third",
        protocol: Protocol::Http,
        load: |records| Load::new(Form::Protobuf, Encoding::Identity, Events::Third, records),
        records: 1_000_000,
    },
    Case {
        name: "protobuf-judged",
        protocol: Protocol::Http,
        load: |records| Load::new(Form::Protobuf, Encoding::Identity, Events::Judged, records),
        records: 1_000_000,
    },
    Case {
        name: "protobuf-gzip",
        protocol: Protocol::Http,
        load: |records| Load::new(Form::Protobuf, Encoding::Gzip, Events::Unnamed, records),
        records: 600_000,
    },
    Case {
        name: "protobuf-zstd",
        protocol: Protocol::Http,
        load: |records| Load::new(Form::Protobuf, Encoding::Zstd, Events::Unnamed, records),
        records: 1_000_000,
    },
    Case {
        name: "grpc",
        protocol: Protocol::Grpc,
        load: |records| Load::new(Form::Protobuf, Encoding::Identity, Events::Unnamed, records),
        records: 2_000_000,
    },
    Case {
        name: "json",
        protocol: Protocol::Http,
        load: |records| Load::new(Form::Json, Encoding::Identity, Events::Unnamed, records),
        records: 600_000,
    },
];

/// Requests under way at once.
const CONNECTIONS: usize = 8;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.iter().any(|argument| argument == "--plain-receiver") {
        return plain::run();
    }
    let tiny = arguments.iter().any(|argument| argument == "--test");
    let chosen: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        println!("{}", load::described(RECORDS));
        println!(
            "{:<18} {:>14} {:>9} {:>9} {:>9} {:>8} {:>12} {:>7}",
            "load", "records/CPU-s", "wall/s", "p50 ms", "p99 ms", "RSS MiB", "plain/CPU-s", "ratio"
        );
        for case in CASES {
            if chosen.is_empty() || chosen.iter().any(|name| *name == case.name) {
                let records = if tiny { 4 * RECORDS } else { case.records };
                run(case, records).await.with_context(|| case.name)?;
            }
        }
        if chosen.is_empty() || chosen.iter().any(|name| *name == steady::NAME) {
            steady::run(tiny).await.context(steady::NAME)?;
        }
        Ok(())
    })
}

async fn run(case: &Case, records: usize) -> anyhow::Result<()> {
    let load = (case.load)(RECORDS);
    let requests = records.div_ceil(load.records());
    let ours = {
        let server = Server::invar(None).await?;
        let sent = measured(&server, case, &load, requests).await?;
        let judged = server.count("invar_checker_events_total{outcome=\"judged\"}").await?;
        let duplicates = server.count("invar_checker_events_total{outcome=\"duplicate\"}").await?;
        ensure!(
            duplicates == 0.0 && judged >= (requests * load.records()) as f64,
            "of {} records {judged} were judged and {duplicates} taken for duplicates",
            requests * load.records()
        );
        sent
    };
    // The plain receiver knows neither JSON nor gRPC nor compression: it is the yardstick for the first form only.
    let plain = match (case.protocol, load.form(), load.encoding()) {
        (Protocol::Http, Form::Protobuf, Encoding::Identity) => {
            let server = Server::plain().await?;
            Some(measured(&server, case, &load, requests).await?)
        }
        _ => None,
    };
    let total = (requests * load.records()) as f64;
    let rate = |figures: &Figures| total / figures.cpu.as_secs_f64().max(0.001);
    println!(
        "{:<18} {:>14.0} {:>9.0} {:>9.1} {:>9.1} {:>8} {:>12} {:>7}",
        case.name,
        rate(&ours),
        total / ours.wall.as_secs_f64(),
        ours.sent.percentile(50).as_secs_f64() * 1e3,
        ours.sent.percentile(99).as_secs_f64() * 1e3,
        ours.peak_bytes >> 20,
        plain.as_ref().map_or("-".to_owned(), |plain| format!("{:.0}", rate(plain))),
        plain.as_ref().map_or("-".to_owned(), |plain| format!("{:.2}", rate(&ours) / rate(plain))),
    );
    Ok(())
}

struct Figures {
    sent: Sent,
    cpu: Duration,
    wall: Duration,
    peak_bytes: u64,
}

/// Sends everything and waits until it has been judged.
async fn measured(server: &Server, case: &Case, load: &Load, requests: usize) -> anyhow::Result<Figures> {
    let before = server.cpu()?;
    let started = std::time::Instant::now();
    let address = if case.protocol == Protocol::Grpc { server.grpc } else { server.http };
    let sent = client::send(case.protocol, address, load, requests, CONNECTIONS).await?;
    let wall = started.elapsed();
    server.settled(requests * load.records()).await?;
    Ok(Figures { sent, cpu: server.cpu()? - before, wall, peak_bytes: server.peak_bytes()? })
}
