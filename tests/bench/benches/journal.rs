//! What durability costs: wall and CPU time per MiB of the journal's commits, beside the same bytes in a plain growing
//! file and in a file written in advance. CPU time is that of this process's threads, from `/proc`; what the kernel does
//! on threads of its own is not in it.
#![allow(clippy::print_stdout, reason = "its results are its output")]
use bytes::Bytes;
use event::Timestamp;
use journal::{Config, Entry, Journal, Kind, Retention, SyncPolicy};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const MIB: usize = 1 << 20;

/// Nanoseconds that this process's living threads have run.
fn cpu_ns() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter_map(|task| {
            fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
        })
        .sum()
}

fn report(name: &str, mib: f64, commits: usize, started: (Instant, u64)) {
    let wall = started.0.elapsed();
    let cpu_us = (cpu_ns() - started.1) as f64 / 1e3;
    println!(
        "{name:<58} {:>7.0} us CPU/MiB {:>7.0} us wall/MiB {:>7.0} us CPU/commit",
        cpu_us / mib,
        wall.as_micros() as f64 / mib,
        cpu_us / commits as f64
    );
}

fn now() -> (Instant, u64) {
    (Instant::now(), cpu_ns())
}

fn plain(dir: &Path, body: &[u8], commits: usize, in_advance: bool) -> std::io::Result<()> {
    let file = File::create(dir.join("plain"))?;
    if in_advance {
        for i in 0..commits {
            file.write_all_at(&vec![0; MIB], (i * MIB) as u64)?;
        }
        file.sync_all()?;
    }
    let started = now();
    for i in 0..commits {
        file.write_all_at(body, (i * MIB) as u64)?;
        file.sync_data()?;
    }
    let name = if in_advance { "plain file written in advance" } else { "plain growing file" };
    report(name, commits as f64, commits, started);
    Ok(())
}

fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(0))
}

fn entry(body: &Bytes) -> Entry {
    Entry { kind: Kind::LOGS, body: body.clone(), events: 512, refused: Bytes::new(), notes: Bytes::new() }
}

/// Appends `count` bodies, `together` at a time, after the segments have been filled and dropped once.
async fn appends(name: &str, config: Config, body: &Bytes, count: usize, together: usize) -> anyhow::Result<()> {
    let (journal, _) = Journal::open(config, clock)?;
    let run = async |count: usize| -> anyhow::Result<Vec<Duration>> {
        let mut waits = Vec::new();
        let mut last = 0;
        let between_drops = (32 * MIB / (together * body.len())).max(1);
        for i in 0..count / together {
            let sent = Instant::now();
            let batch: Vec<_> = (0..together).map(|_| journal.append(entry(body))).collect();
            for append in batch {
                last = append.await?.frame;
                waits.push(sent.elapsed());
            }
            if i.is_multiple_of(between_drops) {
                journal.retain(Retention { bytes_max: Some(64 << 20), age_max: None }, last)?;
            }
        }
        Ok(waits)
    };
    run(count).await?;
    let started = now();
    let mut waits = run(count).await?;
    report(name, (count * body.len()) as f64 / MIB as f64, count / together, started);
    waits.sort_unstable();
    println!(
        "{:<58} p50 {:?}, p99 {:?}",
        "  until acknowledged",
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100]
    );
    journal.close().await?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    // `cargo bench` passes `--bench`; anything else (a test run) only shows that it works.
    let commits = if std::env::args().any(|arg| arg == "--bench") { 384 } else { 4 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let body: Bytes = (0..MIB).map(|i| (i * 31 % 251) as u8).collect::<Vec<_>>().into();
    let small = body.slice(..200_000);
    for round in 1..=2 {
        println!("round {round}");
        for in_advance in [false, true] {
            let dir = tempfile::tempdir_in(".")?;
            plain(dir.path(), &body, commits, in_advance)?;
        }
        let at_once = SyncPolicy { linger_max: Duration::ZERO, ..SyncPolicy::default() };
        let dir = tempfile::tempdir_in(".")?;
        let config = Config { sync: at_once, ..Config::new(dir.path()) };
        runtime.block_on(appends("journal, 1 body of 1 MiB a commit", config, &body, commits, 1))?;
        let dir = tempfile::tempdir_in(".")?;
        let config = Config::new(dir.path());
        runtime.block_on(appends("journal, 16 bodies of 200 kB at a time", config, &small, commits * 4, 16))?;
        let dir = tempfile::tempdir_in(".")?;
        let config = Config::new(dir.path());
        let tiny = body.slice(..40_000);
        runtime.block_on(appends("journal, 1 body of 40 kB at a time", config, &tiny, commits * 2, 1))?;
    }
    Ok(())
}
