//! More than may wait to be judged: senders are told to come back, nothing is lost by it, and nothing is found twice.
use std::{sync::Arc, time::Duration};

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

/// Sends one request until it is taken; how often it was put off.
async fn insist(http: String, request: u64) -> u64 {
    let first = request * EVENTS;
    let lines = (first..first + EVENTS).map(|id| Line::new("n1", "worker", "job.bad", json!({ "id": id })));
    let body: String = lines.map(|line| format!("{}\n", line.to_json())).collect();
    let (url, mut put_off) = (format!("http://{http}/v1/events"), 0);
    loop {
        let reply = try_request(Method::POST, &url, &[], body.clone().into_bytes()).await.unwrap();
        if reply.status == 200 {
            return put_off;
        }
        assert_eq!(reply.status, 503, "{}", reply.text());
        let seconds: u64 = reply.header("retry-after").parse().expect("it says when to come back");
        assert!((1..=5).contains(&seconds), "{seconds}");
        put_off += 1;
        // A good sender waits as long as it is told; this one has no time.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_bound_senders_wait_and_nothing_is_lost() {
    // One acknowledged byte that is not judged is too much: whoever comes while something waits is put off.
    let home = Home::new().pack("load.yaml", PACK).flag("--backlog-size").flag("1");
    let invar = Arc::new(home.start().await);
    let mut sending = JoinSet::new();
    for request in 0..REQUESTS {
        sending.spawn(insist(invar.http.clone(), request));
    }
    let put_off: u64 = sending.join_all().await.into_iter().sum();
    assert!(put_off > 0, "sixty requests at once all found nothing waiting");
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
