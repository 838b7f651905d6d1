//! Kill -9 at random moments under load: nothing that was acknowledged is lost, nothing is found twice, and nobody is
//! paged under a second key. SIGTERM under load ends in order.
//!
//! The seed is printed; `INVAR_TEST_SEED` repeats it, `INVAR_TEST_CRASH_ROUNDS` asks for more rounds than CI makes.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use testbed::pager::Mount;
use tokio::{sync::watch, task::JoinSet};

use crate::harness::{Home, Invar, Line, Pager, eventually, now_ms, try_request};

const PACK: &str = "\
pack: load
rules:
  - id: jobs-end
    ref: ENDS
    key: [node, batch, id]
    group_by: [node, batch]
    response:
      when: job.begun
      then: job.done
      within: 1s
  - id: nothing-bad
    ref: BAD
    key: [node, batch, id]
    group_by: [node, batch]
    never: job.bad
  - id: jobs-are-few
    ref: FEW
    key: [node, batch, id]
    group_by: [node, batch]
    count:
      of: job.begun
      max: 1
";

/// Senders, each a node of its own.
const SENDERS: usize = 6;
/// Jobs a request.
const JOBS: usize = 5;
/// Jobs a batch, which has incidents of its own: however long the load lasts and however fast it runs, an incident stays
/// far below the hundred violations that are kept whole, and new ones open between all kills.
const BATCH: u64 = 1_000;

/// The attributes of a job's events.
fn job(id: &str, batch: u64) -> Value {
    json!({"id": id, "batch": batch})
}

/// What a sender did.
#[derive(Debug, Default)]
struct Sent {
    /// The jobs that were begun, by id, and acknowledged.
    begun: BTreeSet<String>,
    /// Those of them that were never done.
    lost: BTreeSet<String>,
    /// Those of them that were bad.
    bad: BTreeSet<String>,
    /// Requests that were sent more than once.
    repeated: usize,
}

/// Sends requests one after another until told to stop; each until it is acknowledged, to whoever listens now.
async fn sender(number: usize, mut chance: StdRng, address: watch::Receiver<String>, stop: Arc<AtomicBool>) -> Sent {
    let node = format!("node-{number}");
    let mut sent = Sent::default();
    let mut jobs = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let (mut lines, mut this) = (Vec::new(), Sent::default());
        for _ in 0..JOBS {
            jobs += 1;
            let id = format!("{number}-{jobs}");
            let event = |name: &str| Line::new(&node, "worker", name, job(&id, jobs / BATCH));
            lines.push(event("job.begun"));
            match chance.random_range(0..40) {
                0 => _ = this.lost.insert(id.clone()),
                1 => {
                    lines.push(event("job.bad"));
                    lines.push(event("job.done"));
                    this.bad.insert(id.clone());
                }
                _ => lines.push(event("job.done")),
            }
            this.begun.insert(id);
        }
        let body: String = lines.iter().map(|line| format!("{}\n", line.to_json())).collect();
        let mut attempts = 0;
        loop {
            let url = format!("http://{}/v1/events", *address.borrow());
            attempts += 1;
            let reply = try_request(Method::POST, &url, &[], body.clone().into_bytes()).await;
            match reply.map(|reply| reply.status) {
                Ok(200) => break,
                Ok(status) => assert_eq!(status, 503, "only an overloaded or stopping Invar refuses good events"),
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sent.repeated += usize::from(attempts > 1);
        sent.begun.append(&mut this.begun);
        sent.lost.append(&mut this.lost);
        sent.bad.append(&mut this.bad);
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..8))).await;
    }
    sent
}

/// The load of a test, and what it did when it is over.
struct Load {
    address: watch::Sender<String>,
    stop: Arc<AtomicBool>,
    senders: JoinSet<(usize, Sent)>,
}

impl Load {
    fn start(invar: &Invar, chance: &mut StdRng) -> Self {
        let (address, listening) = watch::channel(invar.http.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let mut senders = JoinSet::new();
        for number in 0..SENDERS {
            let (chance, listening, stop) = (StdRng::seed_from_u64(chance.random()), listening.clone(), stop.clone());
            senders.spawn(async move { (number, sender(number, chance, listening, stop).await) });
        }
        Load { address, stop, senders }
    }

    async fn stop(self) -> BTreeMap<String, Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let all = self.senders.join_all().await;
        all.into_iter().map(|(number, sent)| (format!("node-{number}"), sent)).collect()
    }
}

#[expect(clippy::print_stderr, reason = "a failure must be repeatable")]
fn seed() -> u64 {
    let seed = std::env::var("INVAR_TEST_SEED").map_or_else(|_| now_ms(), |seed| seed.parse().unwrap());
    eprintln!("INVAR_TEST_SEED={seed}");
    seed
}

fn rounds(default: usize) -> usize {
    std::env::var("INVAR_TEST_CRASH_ROUNDS").map_or(default, |rounds| rounds.parse().unwrap())
}

fn texts(rows: &[Value], path: &str) -> Vec<String> {
    rows.iter().map(|row| row.pointer(path).unwrap().as_str().unwrap().to_owned()).collect()
}

/// Everything that was acknowledged can be found.
async fn expect_events(invar: &Invar, sent: &BTreeMap<String, Sent>) {
    for (node, sent) in sent {
        let found = invar.api.all(&format!("/api/v1/events?node={node}&event=job.begun&limit=1000")).await;
        let found: BTreeSet<String> = texts(&found, "/attrs/id").into_iter().collect();
        let lost: Vec<_> = sent.begun.difference(&found).collect();
        assert!(lost.is_empty(), "{node}: acknowledged and gone: {lost:?}\n{}", invar.log());
    }
}

/// Exactly what was broken has been found, and each violation once.
async fn expect_violations(invar: &Invar, sent: &BTreeMap<String, Sent>) {
    let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
    for sent in sent.values() {
        expected.extend(sent.lost.iter().map(|id| ("jobs-end".to_owned(), id.clone())));
        expected.extend(sent.bad.iter().map(|id| ("nothing-bad".to_owned(), id.clone())));
    }
    let mut ids = BTreeSet::new();
    let mut found = Vec::new();
    for incident in invar.api.all("/api/v1/incidents?limit=1000").await {
        let rule = incident["rule"].as_str().unwrap().to_owned();
        let violations =
            invar.api.all(&format!("/api/v1/incidents/{}/violations", incident["id"].as_str().unwrap())).await;
        assert_eq!(incident["count"], violations.len(), "all are kept of an incident this small: {incident}");
        for violation in &violations {
            assert!(ids.insert(violation["id"].as_str().unwrap().to_owned()), "twice: {violation}");
            assert_eq!(violation["state"], "violated", "{violation}\n{}", invar.log());
            assert!(!violation["evidence"].as_array().unwrap().is_empty(), "{violation}");
            found.push((rule.clone(), violation["key"]["id"].as_str().unwrap().to_owned()));
        }
    }
    let set: BTreeSet<_> = found.iter().cloned().collect();
    let missing: Vec<_> = expected.difference(&set).collect();
    let invented: Vec<_> = set.difference(&expected).collect();
    if !missing.is_empty() || !invented.is_empty() {
        let rules = invar.api.get("/api/v1/rules").await;
        let (_, id) = missing.iter().chain(&invented).next().unwrap();
        let events = invar.api.get(&format!("/api/v1/events?attr=id={id}")).await;
        panic!("missing {missing:?}, invented {invented:?}\n{rules:#}\n{events:#}\n{}", invar.log());
    }
    assert_eq!(found.len(), set.len(), "each once");
}

/// Every incident was paged, each receiver under one key.
async fn expect_pages(invar: &Invar, pager: &Pager) {
    for incident in invar.api.all("/api/v1/incidents?limit=1000").await {
        let id = incident["id"].as_str().unwrap();
        let calls = pager.expect_calls(invar, id, Mount::Pagerduty, 1).await;
        let keys: BTreeSet<_> = calls.iter().map(|call| call.key.clone()).collect();
        assert_eq!(keys.len(), 1, "one incident, one key: {keys:?}");
        let calls = pager.expect_calls(invar, id, Mount::Webhook, 1).await;
        let opened = calls.iter().filter(|call| call.body["type"] == "incident.opened");
        let ids: BTreeSet<_> = opened.map(|call| call.key.clone()).collect();
        assert_eq!(ids.len(), 1, "a webhook that is repeated keeps its id: {ids:?}");
    }
}

async fn expect_all(invar: &Invar, pager: &Pager, sent: &BTreeMap<String, Sent>) {
    assert!(sent.values().all(|sent| !sent.begun.is_empty()), "the load never ran: {sent:?}");
    // A node that falls silent before a deadline leaves it unknown: all live on for longer than any.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let alive: Vec<Line> = sent.keys().map(|node| Line::new(node, "worker", "idle", json!({}))).collect();
    invar.send(&alive).await;
    invar.judged_past(now_ms() + 1_500).await;
    expect_events(invar, sent).await;
    expect_violations(invar, sent).await;
    expect_pages(invar, pager).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_lose_nothing_and_repeat_nothing() {
    let seed = seed();
    let mut chance = StdRng::seed_from_u64(seed);
    let pager = Pager::start().await;
    let home = Home::new().pack("load.yaml", PACK).alerts(&pager.alerts());
    let mut invar = home.start().await;
    let load = Load::start(&invar, &mut chance);
    for _ in 0..rounds(6) {
        tokio::time::sleep(Duration::from_millis(chance.random_range(20..1_500))).await;
        invar.kill().await;
        invar = home.start().await;
        load.address.send_replace(invar.http.clone());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let sent = load.stop().await;
    assert!(sent.values().any(|sent| sent.repeated > 0), "no kill ever met a request");
    expect_all(&invar, &pager, &sent).await;
    // A page that was under way at a kill is sent once more, under its key; then there is none left.
    let delivered = async || {
        let metrics = invar.api.text("/metrics").await;
        metrics.lines().any(|line| line == "invar_deliveries_pending 0").then_some(())
    };
    eventually(Duration::from_secs(120), delivered).await.expect("all pages are delivered in the end");
    // Once more in peace: what is there stays, and nothing is said again.
    let (incidents, calls) = (invar.api.all("/api/v1/incidents?limit=1000").await, pager.calls().len());
    invar.stop().await;
    let invar = home.start().await;
    expect_all(&invar, &pager, &sent).await;
    let again = invar.api.all("/api/v1/incidents?limit=1000").await;
    assert_eq!(again, incidents, "a restart changes nothing");
    assert_eq!(pager.calls().len(), calls, "a restart pages nobody");
    invar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_judges_what_was_acknowledged_and_goes_on() {
    let seed = seed();
    let mut chance = StdRng::seed_from_u64(seed);
    let pager = Pager::start().await;
    let home = Home::new().pack("load.yaml", PACK).alerts(&pager.alerts());
    let mut invar = home.start().await;
    let load = Load::start(&invar, &mut chance);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(chance.random_range(300..1_000))).await;
        invar.stop().await;
        invar = home.start().await;
        load.address.send_replace(invar.http.clone());
    }
    let sent = load.stop().await;
    expect_all(&invar, &pager, &sent).await;
    invar.stop().await;
}

#[tokio::test]
async fn a_kill_at_the_very_first_start_leaves_no_pack_out_of_force() {
    let pager = Pager::start().await;
    let mut chance = StdRng::seed_from_u64(seed());
    for _ in 0..rounds(4) {
        let home = Home::new().pack("load.yaml", PACK).alerts(&pager.alerts());
        // Somewhere between the first file on disk and the first answer.
        home.start_and_kill_within(Duration::from_millis(chance.random_range(5..120))).await;
        let invar = home.start().await;
        invar.send(&[Line::new("n1", "c", "job.bad", job("1", 0))]).await;
        invar.expect_incident("BAD", "n1").await;
        let revisions = invar.api.items("/api/v1/packs/load/revisions").await;
        assert!(revisions.len() == 1, "{revisions:?}");
        invar.stop().await;
    }
}

#[tokio::test]
async fn a_page_that_fails_is_sent_again_across_restarts_under_its_key() {
    let pager = Pager::start().await;
    let script = json!({"mount": "pagerduty", "next": [{"status": 503}, {"drop_connection": true}]});
    let control = format!("http://{}/_control", pager.address());
    assert_eq!(try_request(Method::POST, &control, &[], script.to_string().into()).await.unwrap().status, 204);
    let home = Home::new().pack("load.yaml", PACK).alerts(&pager.alerts());
    let invar = home.start().await;
    invar.send(&[Line::new("n1", "c", "job.bad", job("1", 0))]).await;
    let incident = invar.expect_incident("BAD", "n1").await;
    let id = incident["id"].as_str().unwrap().to_owned();
    pager.expect_calls(&invar, &id, Mount::Pagerduty, 1).await;
    invar.kill().await;
    let invar = home.start().await;
    let calls = pager.expect_calls(&invar, &id, Mount::Pagerduty, 3).await;
    let keys: BTreeSet<_> = calls.iter().map(|call| call.body["dedup_key"].to_string()).collect();
    assert_eq!(keys.len(), 1, "{calls:#?}");
    let delivered = eventually(crate::harness::PATIENCE, async || {
        let rows = invar.api.items(&format!("/api/v1/deliveries?incident={id}")).await;
        rows.iter().all(|row| row["state"] == "delivered").then_some(rows)
    })
    .await;
    let Some(rows) = delivered else { panic!("not delivered\n{}", invar.log()) };
    assert_eq!(rows.len(), 2, "one a receiver: {rows:#?}");
    invar.stop().await;
}
