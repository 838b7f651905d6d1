//! Reading what comes, without a network: nanoseconds of this thread's processor time a record, and how often that goes
//! into the time that `prost` takes to decode the same records into owned messages.
//!
//! `cargo bench -p bench --bench wire` (`-- --test`: one round).
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::hint::black_box;

use bench::cpu::least_ns_per_item;
use bench::load::{Encoding, Events, Form, Load};
use event::Timestamp;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;
use wire::{Any, Limits, Occurrences, Refused, Scratch, Signal};

/// Records in one request.
const RECORDS: usize = 512;

fn main() -> anyhow::Result<()> {
    let (rounds, requests) = if std::env::args().any(|argument| argument == "--bench") { (9, 64) } else { (1, 2) };
    // Many different requests, so that none is in a cache when its turn comes.
    let bodies = |form| -> Vec<Vec<u8>> {
        let load = Load::new(form, Encoding::Identity, Events::Unnamed, RECORDS);
        (0..requests).map(|number| load.body(number, 1_795_176_000_000_000_000)).collect()
    };
    let (protobuf, json) = (bodies(Form::Protobuf), bodies(Form::Json));
    let lines: Vec<Vec<u8>> = (0..requests).map(event_lines).collect();
    let items = requests * RECORDS;

    let prost = least_ns_per_item(rounds, items, || {
        for body in &protobuf {
            black_box(ExportLogsServiceRequest::decode(body.as_slice()).is_ok());
        }
    });
    let report = |name: &str, ns: f64| println!("{name:<46} {ns:>8.0} ns a record {:>7.2} x prost", prost / ns);
    report("prost, owned messages", prost);

    let limits = Limits::default();
    let checked = least_ns_per_item(rounds, items, || {
        for body in &protobuf {
            black_box(wire::check(Signal::Logs, body, &limits).is_ok());
        }
    });
    report("the check at the door", checked);

    let mut scratch = Scratch::default();
    let mut occurrences = Occurrences::default();
    let walked = least_ns_per_item(rounds, items, || {
        for body in &protobuf {
            let _ = wire::walk(Signal::Logs, body, &Refused::default(), &mut scratch, |record| {
                black_box((record.ts(Timestamp::ZERO), record.name()));
            });
        }
    });
    report("the walk", walked);
    let identified = least_ns_per_item(rounds, items, || {
        for body in &protobuf {
            occurrences.clear();
            let _ = wire::walk(Signal::Logs, body, &Refused::default(), &mut scratch, |record| {
                black_box((record.ts(Timestamp::ZERO), record.name(), record.identity(&mut occurrences)));
            });
        }
    });
    report("the walk with identities", identified);
    let read = least_ns_per_item(rounds, items, || {
        for body in &protobuf {
            occurrences.clear();
            let _ = wire::walk(Signal::Logs, body, &Refused::default(), &mut scratch, |record| {
                black_box((record.ts(Timestamp::ZERO), record.name(), record.identity(&mut occurrences)));
                for name in ["batch.id", "batch.author", "num_bytes"] {
                    black_box::<Option<Any<'_>>>(record.attr(name));
                }
            });
        }
    });
    report("the walk with identities and three attributes", read);

    let rewritten = least_ns_per_item(rounds, items, || {
        for body in &json {
            black_box(wire::json_to_protobuf(Signal::Logs, body, &limits).is_ok());
        }
    });
    report("OTLP JSON to protobuf", rewritten);
    let rewritten = least_ns_per_item(rounds, items, || {
        for body in &lines {
            black_box(wire::lines_to_protobuf(body).is_ok());
        }
    });
    report("event lines to protobuf", rewritten);
    Ok(())
}

/// Lines as `invar replay` reads them.
fn event_lines(number: usize) -> Vec<u8> {
    let line = |record: usize| {
        let id = number * RECORDS + record;
        format!(
            "{{\"ts\":\"2026-11-20T12:00:{:02}.{id:09}Z\",\"node\":\"n{}\",\"component\":\"batch_coordinator\",\
             \"network\":\"testnet\",\"event\":\"quorum_store.batch.tracked\",\"attrs\":{{\"batch.author\":\"0xa{}\",\
             \"batch.id\":\"0x{id:08x}\",\"epoch\":1204,\"is_remote\":true}}}}\n",
            record % 60,
            record % 4,
            record % 7,
        )
    };
    (0..RECORDS).map(line).collect::<String>().into_bytes()
}
