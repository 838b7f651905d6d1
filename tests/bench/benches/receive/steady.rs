//! The load that comes at its own pace: so many records a second, whether or not the last request was acknowledged. How long an
//! acknowledgement takes is counted from when its request was due, so that a server that stands still for a moment is charged for
//! all that should have come meanwhile.
use std::time::Duration;

use anyhow::ensure;
use bench::load::{Encoding, Events, Form, Load};

use crate::{client, server::Server};

pub(crate) const NAME: &str = "steady";

/// Records in one request.
const RECORDS: usize = 100;
/// One request in so long: 50,000 records a second.
const EVERY: Duration = Duration::from_millis(2);
/// Keys that are open while it is measured.
const KEYS: usize = 100_000;
/// How long it is measured.
const LASTS: Duration = Duration::from_secs(30);
/// More than ever are under way at once while the server keeps up.
const CONNECTIONS: usize = 64;

/// What keeps keys open for as long as all of this lasts.
const OVERLAY: &str = "extends: aptos-quorum-store\nparams: {tracked_within: 1h}\n";

/// Opens the keys, then sends what is measured: a third of the records are such as open and close keys of their own.
#[expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
pub(crate) async fn run(tiny: bool) -> anyhow::Result<()> {
    let (keys, lasts) = if tiny { (10 * RECORDS, EVERY * 20) } else { (KEYS, LASTS) };
    let load = |events| Load::new(Form::Protobuf, Encoding::Identity, events, RECORDS);
    let (opening, steady) = (load(Events::Opening), load(Events::Third));
    let server = Server::invar(Some(OVERLAY)).await?;
    let openings = keys / RECORDS;
    client::send_on_time(server.http, &opening, (0, openings), EVERY, CONNECTIONS).await?;
    server.settled(keys).await?;
    let (resident, before) = (server.resident_bytes()?, server.cpu()?);
    let requests = (lasts.as_micros() / EVERY.as_micros()) as usize;
    let sent = client::send_on_time(server.http, &steady, (openings, requests), EVERY, CONNECTIONS).await?;
    let judged = keys + requests * RECORDS;
    server.settled(judged).await?;
    let cpu = server.cpu()? - before;
    let known = server.count("invar_checker_events_total{outcome=\"duplicate\"}").await?;
    ensure!(known == 0.0, "{known} records were taken for duplicates");
    println!(
        "{NAME}: {:.0} records a second in requests of {RECORDS}, {keys} keys open: acknowledged p50 {:.1} ms, p99 {:.1} ms \
         after they were due; {:.0} % of a core; {} MiB with the keys, {} after {} s, {} at most",
        RECORDS as f64 / EVERY.as_secs_f64(),
        sent.percentile(50).as_secs_f64() * 1e3,
        sent.percentile(99).as_secs_f64() * 1e3,
        cpu.as_secs_f64() / lasts.as_secs_f64() * 100.0,
        resident >> 20,
        server.resident_bytes()? >> 20,
        lasts.as_secs(),
        server.peak_bytes()? >> 20,
    );
    Ok(())
}
