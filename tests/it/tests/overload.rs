//! More than may wait to be judged: senders are told to come back, nothing is lost by it, and nothing is found twice.
use std::{
    fs::File,
    os::fd::AsRawFd,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Home, Line, eventually, try_request};

const PACK: &str = "\
pack: load
rules:
  - id: nothing-bad
    ref: BAD
    key: [node, id]
    never: job.bad
";

/// Requests that are sent at the same time, each with as many events.
const REQUESTS: u64 = 60;
const EVENTS: u64 = 200;

/// Sends one request until it is taken; counts it once among those that were put off.
async fn insist(http: &str, request: u64, put_off: &AtomicU64) {
    let first = request * EVENTS;
    let lines = (first..first + EVENTS).map(|id| Line::new("n1", "worker", "job.bad", json!({ "id": id })));
    let body: String = lines.map(|line| format!("{}\n", line.to_json())).collect();
    let url = format!("http://{http}/v1/events");
    for attempt in 0.. {
        let reply = try_request(Method::POST, &url, &[], body.clone().into_bytes()).await.unwrap();
        if reply.status == 200 {
            return;
        }
        assert_eq!(reply.status, 503, "{}", reply.text());
        let seconds: u64 = reply.header("retry-after").parse().expect("it says when to come back");
        assert!((1..=5).contains(&seconds), "{seconds}");
        put_off.fetch_add(u64::from(attempt == 0), Ordering::Relaxed);
        // A good sender waits as long as it is told; this one has no time.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Keeps everyone else from writing to a database, as a process does that has begun to: the lock that a writer takes in the
/// shared memory beside a database (SQLite, "WAL-mode File Format", section 2.3.1).
fn hold_writers(database: &Path) -> File {
    const WRITE_LOCK: i64 = 120;
    let shared = File::options().read(true).write(true).open(database.with_extension("db-shm")).unwrap();
    let lock = libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: WRITE_LOCK,
        l_len: 1,
        l_pid: 0,
    };
    #[expect(unsafe_code, reason = "the standard library locks whole files only")]
    let locked = unsafe { libc::fcntl(shared.as_raw_fd(), libc::F_SETLKW, &lock) };
    assert_eq!(locked, 0, "{}", std::io::Error::last_os_error());
    shared
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_bound_senders_wait_and_nothing_is_lost() {
    // One acknowledged byte that is not judged is too much: whoever comes while something waits is put off.
    let home = Home::new().pack("load.yaml", PACK).flag("--backlog-size").flag("1");
    let invar = Arc::new(home.start().await);
    // What is judged cannot be written down for now, and so waits.
    let held = hold_writers(&home.data().join("invar.db"));
    let put_off = Arc::new(AtomicU64::new(0));
    insist(&invar.http, 0, &put_off).await;
    let mut sending = JoinSet::new();
    for request in 1..REQUESTS {
        let (http, put_off) = (invar.http.clone(), Arc::clone(&put_off));
        sending.spawn(async move { insist(&http, request, &put_off).await });
    }
    let others = async || (put_off.load(Ordering::Relaxed) == REQUESTS - 1).then_some(());
    let all_put_off = eventually(Duration::from_secs(60), others).await;
    assert!(all_put_off.is_some(), "only {put_off:?} of {} were told to come back\n{}", REQUESTS - 1, invar.log());
    drop(held);
    sending.join_all().await;
    let all = async || {
        let incidents = invar.api.all("/api/v1/incidents?limit=500").await;
        let count: u64 = incidents.iter().filter_map(|incident| incident["count"].as_u64()).sum();
        (count >= REQUESTS * EVENTS).then_some(count)
    };
    let found = eventually(Duration::from_secs(60), all).await;
    assert_eq!(found, Some(REQUESTS * EVENTS), "{}", invar.log());
    assert!(invar.said("senders are told to come back later"), "{}", invar.log());
    let metrics = invar.api.text("/metrics").await;
    assert!(metrics.contains("\ninvar_backlog_bytes 0\n"), "all has been judged: {metrics}");
    Arc::into_inner(invar).expect("nobody sends any more").stop().await;
}
