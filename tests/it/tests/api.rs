//! The JSON API: the shapes that callers rely on, what it refuses, and that a restart changes none of it.
use std::time::Duration;

use prost::Message;
use reqwest::Method;
use serde_json::{Value, json};
use testbed::pager::{Mount, Outcome};

use crate::harness::{
    APTOS, HTTP, Home, Invar, Line, OBYTE, PATIENCE, Pager, eventually, export_request, now_ms, rfc3339,
};

const PROBE: &str = "\
pack: probe
rules:
  - id: nothing-bad
    about: Nothing bad happens.
    ref: PRB-1
    severity: high
    key: [node, id]
    never: probe.bad
    message: \"{node}: {id} went bad\"
    runbook_url: https://runbooks.example.org/bad
    labels:
      team: core
  - id: asks-are-answered
    ref: PRB-2
    key: [node, id]
    response:
      when: probe.asked
      then: probe.answered
      within: 1s
breakers:
  - id: probing
    guards: prober
    per: [node]
    trip:
      rules: [nothing-bad]
      count: 2
      within: 1m
    half_open_after: 1h
    close:
      event: probe.well
      count: 1
";

fn probe(node: &str, event: &str, id: &str) -> Line {
    Line::new(node, "prober", event, json!({"id": id}))
}

async fn running() -> (Home, Invar) {
    let home = Home::new().pack("probe.yaml", PROBE);
    let invar = home.start().await;
    (home, invar)
}

fn has(value: &Value, fields: &[&str]) {
    let missing: Vec<_> = fields.iter().filter(|field| value.get(**field).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} missing in {value:#}");
}

#[tokio::test]
async fn every_path_of_the_description_answers_and_no_other() {
    let home = Home::with_packs(&[APTOS, OBYTE]);
    let invar = home.start().await;
    let described = invar.api.get("/api/openapi.json").await;
    assert!(described["openapi"].as_str().unwrap().starts_with("3."), "{described}");
    let paths = described["paths"].as_object().unwrap();
    assert!(paths.len() >= 18, "{paths:#?}");
    for (path, methods) in paths {
        if methods.get("get").is_some() && !path.contains('{') {
            let list = invar.api.get(path).await;
            assert!(list["items"].is_array() && list.get("next").is_some(), "{path}: {list}");
        }
        if !path.contains('{') && methods.get("delete").is_none() {
            invar.api.ask(Method::DELETE, path, &[], Vec::new()).await.problem(405);
        }
    }
    for path in ["/healthz", "/livez"] {
        assert_eq!(invar.api.text(path).await, "ok\n");
    }
    assert_eq!(invar.api.text("/readyz").await, "ready\n");
    let metrics = invar.api.look("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain"), "{metrics:?}");
    invar.api.look("/api/v1/nothing").await.problem(404);
    let topology = invar.api.items("/api/v1/topology").await;
    assert_eq!(topology.len(), 2);
    has(&topology[0], &["pack", "components"]);
    let rules = invar.api.items("/api/v1/rules").await;
    assert!(rules.len() > 40);
    for rule in &rules {
        has(rule, &["pack", "rule", "ref", "kind", "severity", "about", "enabled", "key", "health"]);
    }
    invar.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_a_problem_that_says_how_to_ask() {
    let (_home, invar) = running().await;
    for (path, status, said) in [
        ("/api/v1/incidents/none", 404, "nothing of that name"),
        ("/api/v1/incidents/none/violations", 404, "nothing of that name"),
        ("/api/v1/packs/none", 404, "nothing of that name"),
        ("/api/v1/rules/probe/none", 404, "no rule none in probe"),
        ("/api/v1/breakers/none", 404, "has a breaker none"),
        ("/api/v1/incidents?limit=many", 400, "limit"),
        ("/api/v1/incidents?stat=open", 400, "unknown field `stat`"),
        ("/api/v1/incidents?status=opened", 400, "open, acknowledged"),
        ("/api/v1/incidents?severity=bad", 400, "critical, high"),
        ("/api/v1/incidents?since=yesterday", 400, "2026-11-20T12:00:00Z"),
        ("/api/v1/events?limit=many", 400, "number"),
        ("/api/v1/events?from=yesterday", 400, "2026-11-20T12:00:00Z"),
        ("/api/v1/events?attr=id", 400, "attr=NAME=VALUE"),
        ("/api/v1/events?cursor=x", 400, "partition-frame-record"),
        ("/api/v1/events?nod=n1", 400, "node"),
    ] {
        let problem = invar.api.look(path).await.problem(status);
        assert!(problem["detail"].as_str().unwrap().contains(said), "{path}: {said:?} is not in {problem}");
    }
    let post = |path: &'static str, body: &'static str| invar.api.ask(Method::POST, path, &[], body.into());
    post("/api/v1/incidents/none/acknowledge", "{}").await.problem(404);
    post("/api/v1/incidents/none/acknowledge", "{by").await.problem(400);
    post("/api/v1/incidents/none/comments", r#"{"bye": "x"}"#).await.problem(400);
    post("/api/v1/breakers/probing/trip", "").await.problem(422);
    post("/api/v1/breakers/none/trip", r#"{"reason": "r", "by": "b"}"#).await.problem(422);
    invar.api.ask(Method::DELETE, "/api/v1/packs/none", &[], Vec::new()).await.problem(404);
    // A page of another site may not act through a browser of somebody who can reach this one.
    let foreign = [("origin", "https://elsewhere.example"), ("content-type", "application/json")];
    invar.api.ask(Method::POST, "/api/v1/breakers/probing/trip", &foreign, b"{}".to_vec()).await.problem(403);
    invar.stop().await;
}

#[tokio::test]
async fn an_incident_has_its_fields_its_violations_and_its_evidence() {
    let (_home, invar) = running().await;
    let asked = now_ms();
    invar.send(&[probe("n1", "probe.bad", "7").at(asked), probe("n1", "probe.asked", "8").at(asked)]).await;
    let incident = invar.expect_incident("PRB-1", "n1").await;
    has(
        &incident,
        &[
            "id",
            "pack",
            "rule",
            "ref",
            "kind",
            "severity",
            "status",
            "verdict",
            "network",
            "node",
            "group",
            "message",
            "count",
            "opened_at",
            "last_at",
            "acknowledged_by",
            "backfilled",
        ],
    );
    let field = |name: &str| incident[name].clone();
    assert_eq!(field("message"), "n1: 7 went bad");
    assert_eq!((field("pack"), field("rule"), field("kind")), (json!("probe"), json!("nothing-bad"), json!("never")));
    assert_eq!(
        (field("severity"), field("status"), field("verdict")),
        (json!("high"), json!("open"), json!("violated"))
    );
    assert_eq!((field("network"), field("group"), field("backfilled")), (json!("testnet"), json!("n1"), json!(false)));
    assert_eq!(field("last_at"), rfc3339(asked));
    let id = incident["id"].as_str().unwrap();
    assert_eq!(invar.api.get(&format!("/api/v1/incidents/{id}")).await, incident);
    let violations = invar.api.items(&format!("/api/v1/incidents/{id}/violations")).await;
    assert_eq!(violations.len(), 1);
    has(&violations[0], &["id", "incident", "at", "detected_at", "key", "message", "evidence", "missing"]);
    assert_eq!(violations[0]["key"], json!({"node": "n1", "id": "7", "network": "testnet"}));
    let evidence = &violations[0]["evidence"][0];
    has(evidence, &["role", "ts", "node", "component", "event", "attrs"]);
    assert_eq!((&evidence["event"], &evidence["attrs"]["id"]), (&json!("probe.bad"), &json!("7")));
    // An absence says what was expected, and by when.
    let absence = invar.expect_incident("PRB-2", "n1").await;
    let violations =
        invar.api.items(&format!("/api/v1/incidents/{}/violations", absence["id"].as_str().unwrap())).await;
    let missing = &violations[0]["missing"];
    assert_eq!(missing["event"], "probe.answered", "{missing}");
    assert_eq!(missing["by"], rfc3339(asked + 1_000), "{missing}");
    invar.stop().await;
}

#[tokio::test]
async fn incidents_are_filtered_and_paged() {
    let (_home, invar) = running().await;
    let lines: Vec<Line> = (0..7).map(|number| probe(&format!("n{number}"), "probe.bad", "x")).collect();
    invar.send(&lines).await;
    invar.send(&[probe("n0", "probe.asked", "unanswered")]).await;
    invar.expect_incident("PRB-2", "n0").await;
    let count = async |query: &str| invar.api.all(&format!("/api/v1/incidents?{query}")).await.len();
    for (query, expected) in [
        ("limit=1000", 8),
        ("limit=3", 8),
        ("limit=1", 8),
        ("rule=nothing-bad", 7),
        ("rule=nothing-bad&node=n3", 1),
        ("pack=probe", 8),
        ("pack=other", 0),
        ("severity=high", 7),
        ("q=went%20bad", 7),
        ("q=PRB-2", 1),
        ("status=open", 8),
        ("status=resolved", 0),
        ("since=2020-01-01T00:00:00Z", 8),
        ("since=2020-01-01T00:00:00%2B02:00", 8),
        ("since=2100-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(count(query).await, expected, "{query}");
    }
    let ids: std::collections::BTreeSet<String> =
        invar.api.all("/api/v1/incidents?limit=2").await.iter().map(|incident| incident["id"].to_string()).collect();
    assert_eq!(ids.len(), 8, "pages neither repeat nor skip");
    invar.stop().await;
}

#[tokio::test]
async fn acknowledge_comment_and_resolve_reach_the_pager_and_stay() {
    let pager = Pager::start().await;
    let home = Home::new().pack("probe.yaml", PROBE).alerts(&pager.alerts());
    let invar = home.start().await;
    invar.send(&[probe("n1", "probe.bad", "1")]).await;
    let incident = invar.expect_incident("PRB-1", "n1").await;
    let id = incident["id"].as_str().unwrap().to_owned();
    let path = |what: &str| format!("/api/v1/incidents/{id}/{what}");
    let triggered = pager.expect_calls(&invar, &id, Mount::Pagerduty, 1).await;
    let key = triggered[0].key.clone();
    let comment = json!({"by": "operator", "text": "looking at it"});
    invar.api.post(&path("comments"), &comment).await.expect(200);
    let acknowledged = invar.api.post(&path("acknowledge"), &json!({"by": "operator"})).await.expect(200);
    assert_eq!(
        (&acknowledged["status"], &acknowledged["acknowledged_by"]),
        (&json!("acknowledged"), &json!("operator"))
    );
    let heard = eventually(PATIENCE, async || {
        let calls = pager.calls();
        calls.iter().any(|call| call.key == key && call.outcome == Outcome::Acknowledged).then_some(())
    })
    .await;
    assert!(heard.is_some(), "{:#?}\n{}", pager.calls(), invar.log());
    let resolved = invar.api.post(&path("resolve"), &json!({"by": "operator", "text": "mended"})).await.expect(200);
    assert_eq!(resolved["status"], "resolved");
    let seen = eventually(PATIENCE, async || {
        let calls = pager.calls();
        let of_case = calls.iter().filter(|call| call.mount == Mount::Pagerduty && call.key == key);
        let outcomes: Vec<Outcome> = of_case.map(|call| call.outcome.clone()).collect();
        (outcomes.len() >= 3).then_some(outcomes)
    })
    .await;
    assert_eq!(seen, Some(vec![Outcome::Triggered, Outcome::Acknowledged, Outcome::Resolved]), "{}", invar.log());
    let rows = invar.api.items(&format!("/api/v1/deliveries?incident={id}")).await;
    for row in &rows {
        has(row, &["id", "incident", "receiver", "action", "state", "attempts", "last_status", "next_at"]);
    }
    let actions: std::collections::BTreeSet<&str> = rows.iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions.into_iter().collect::<Vec<_>>(), ["acknowledge", "resolve", "trigger"]);
    assert_eq!(invar.api.items("/api/v1/incidents?status=open").await.len(), 0);
    assert_eq!(invar.api.items("/api/v1/incidents?status=resolved").await.len(), 1);
    invar.stop().await;
    let invar = home.start().await;
    assert_eq!(invar.api.get(&format!("/api/v1/incidents/{id}")).await, resolved, "a restart keeps it");
    // What returns is told again, under the same key.
    invar.send(&[probe("n1", "probe.bad", "2")]).await;
    let again = eventually(PATIENCE, async || {
        let calls = pager.calls();
        let triggers = calls.iter().filter(|call| call.body["event_action"] == "trigger" && call.key == key).count();
        (triggers == 2).then_some(())
    })
    .await;
    assert!(again.is_some(), "{:#?}\n{}", pager.calls(), invar.log());
    invar.stop().await;
}

#[tokio::test]
async fn a_breaker_opens_wakes_who_waits_and_is_reset_by_hand() {
    let (home, invar) = running().await;
    let path = "/api/v1/breakers/probing?node=n1";
    let closed = invar.api.look(path).await;
    let body = closed.expect(200);
    has(&body, &["id", "pack", "scope", "state", "mode", "since", "reason", "by", "until"]);
    assert_eq!((&body["state"], &body["mode"]), (&json!("closed"), &json!("advisory")));
    let tag = closed.header("etag").to_owned();
    let known = [("if-none-match", tag.as_str())];
    assert_eq!(invar.api.ask(Method::GET, path, &known, Vec::new()).await.status, 304);
    let waiting = {
        let (api, tag) = (invar.api.clone(), tag.clone());
        tokio::spawn(async move {
            let known = [("if-none-match", tag.as_str())];
            api.ask(Method::GET, "/api/v1/breakers/probing?node=n1&wait=30s", &known, Vec::new()).await
        })
    };
    invar.send(&[probe("n1", "probe.bad", "1"), probe("n1", "probe.bad", "2")]).await;
    let woken = tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it was not woken").unwrap();
    assert_eq!(woken.expect(200)["state"], "open", "{}", invar.log());
    assert_ne!(woken.header("etag"), tag);
    assert_eq!(invar.api.get("/api/v1/breakers/probing?node=n2").await["state"], "closed", "another scope");
    assert_eq!(invar.api.get("/api/v1/breakers/probing").await["state"], "open", "the worst of all scopes");
    let listed = invar.api.items("/api/v1/breakers").await;
    assert_eq!((listed.len(), &listed[0]["scope"]["node"]), (1, &json!("n1")), "{listed:#?}");
    // Killed, it is open when it is back.
    invar.kill().await;
    let invar = home.start().await;
    assert_eq!(invar.api.get(path).await["state"], "open");
    let scope = json!({"network": "testnet", "scope": {"node": "n1"}, "reason": "mended", "by": "operator"});
    invar.api.post("/api/v1/breakers/probing/reset", &scope).await.expect(202);
    let state = invar.api.get(path).await;
    assert_eq!(
        (&state["state"], &state["by"], &state["reason"]),
        (&json!("closed"), &json!("operator"), &json!("mended"))
    );
    invar.api.post("/api/v1/breakers/probing/trip", &scope).await.expect(202);
    assert_eq!(invar.api.get(path).await["state"], "open");
    invar.stop().await;
}

#[tokio::test]
async fn packs_are_put_in_force_revised_and_taken_out_while_it_runs() {
    let home = Home::new();
    let invar = home.start().await;
    let put = async |invar: &Invar, text: &str, headers: &[(&str, &str)]| {
        invar.api.ask(Method::PUT, "/api/v1/packs/probe", headers, text.into()).await
    };
    let first = put(&invar, PROBE, &[("x-author", "editor")]).await;
    assert_eq!((first.expect(200)["revision"].clone(), first.header("etag")), (json!(1), "\"1\""));
    invar.send(&[probe("n1", "probe.bad", "1")]).await;
    let incident = invar.expect_incident("PRB-1", "n1").await;
    assert_eq!(incident["revision"], 1);
    let revised = PROBE.replace("PRB-1", "PRB-1b").replace("never: probe.bad", "never: probe.worse");
    put(&invar, &revised, &[("if-match", "\"7\"")]).await.problem(412);
    put(&invar, &revised, &[("if-match", "seven")]).await.problem(400);
    let second = put(&invar, &revised, &[("if-match", "\"1\"")]).await;
    assert_eq!((second.expect(200)["revision"].clone(), second.header("etag")), (json!(2), "\"2\""));
    invar.send(&[probe("n2", "probe.bad", "2"), probe("n2", "probe.worse", "3")]).await;
    invar.expect_incident("PRB-1b", "n2").await;
    let held = invar.api.look("/api/v1/packs/probe").await;
    assert_eq!((held.header("etag"), held.json()["yaml"].as_str()), ("\"2\"", Some(revised.as_str())));
    let revisions = invar.api.items("/api/v1/packs/probe/revisions").await;
    let authors: Vec<_> = revisions.iter().map(|row| (row["revision"].clone(), row["author"].clone())).collect();
    assert_eq!(authors, [(json!(2), json!("api")), (json!(1), json!("editor"))]);
    // Killed and back, the second revision judges.
    invar.kill().await;
    let invar = home.start().await;
    invar.send(&[probe("n3", "probe.bad", "4"), probe("n3", "probe.worse", "5")]).await;
    invar.expect_incident("PRB-1b", "n3").await;
    assert_eq!(invar.api.items("/api/v1/packs/probe/revisions").await.len(), 2, "a start makes no revision");
    assert_eq!(invar.api.ask(Method::DELETE, "/api/v1/packs/probe", &[], Vec::new()).await.status, 204);
    invar.api.look("/api/v1/packs/probe").await.problem(404);
    let gone = eventually(PATIENCE, async || invar.api.items("/api/v1/rules").await.is_empty().then_some(())).await;
    assert!(gone.is_some(), "its rules are gone, too");
    let before = invar.incidents().await;
    let sent = now_ms();
    invar.send(&[probe("n4", "probe.worse", "6")]).await;
    invar.judged_past(sent).await;
    assert_eq!(invar.incidents().await, before, "a pack out of force finds nothing");
    assert_eq!(invar.api.items("/api/v1/packs").await.len(), 0);
    invar.stop().await;
}

#[tokio::test]
async fn events_are_found_by_time_place_name_attribute_and_trace() {
    let (home, invar) = running().await;
    let start = now_ms() - 20_000;
    let lines: Vec<Line> = (0..20)
        .map(|number| {
            let node = format!("n{}", number % 4);
            let mut line = probe(&node, ["probe.well", "other.thing"][number % 2], &number.to_string());
            line.component = format!("c{}", number % 3);
            line.network = ["testnet", "mainnet"][usize::from(number >= 10)].to_owned();
            line.at(start + number as u64 * 1_000)
        })
        .collect();
    let old = start - 90 * 86_400_000;
    invar.send(&[probe("old", "old.thing", "99").at(old)]).await;
    let mut body = export_request(&lines);
    let trace = "5b8efff798038103d269b633813fc60c";
    body.resource_logs[3].scope_logs[0].log_records[0].trace_id = wire_hex(trace);
    assert_eq!(invar.receive("/v1/logs", "application/x-protobuf", body.encode_to_vec()).await.status, 200);
    let ids = async |query: &str| {
        let rows = invar.api.all(&format!("/api/v1/events?{query}")).await;
        rows.iter().map(|row| row["attrs"]["id"].as_str().unwrap().parse::<usize>().unwrap()).collect::<Vec<_>>()
    };
    let found = eventually(PATIENCE, async || (ids("limit=1000").await.len() == 21).then_some(())).await;
    assert!(found.is_some(), "{}", invar.log());
    let all: Vec<usize> = (0..20).rev().collect();
    let only = |keep: &dyn Fn(usize) -> bool| all.iter().copied().filter(|number| keep(*number)).collect::<Vec<_>>();
    let (from, to) = (rfc3339(start + 5_000), rfc3339(start + 8_000));
    for (query, expected) in [
        (format!("from={}&limit=7", rfc3339(start)), all.clone()),
        ("node=n1".to_owned(), only(&|n| n % 4 == 1)),
        ("component=c2".to_owned(), only(&|n| n % 3 == 2)),
        ("network=mainnet".to_owned(), only(&|n| n >= 10)),
        ("event=probe.well".to_owned(), only(&|n| n % 2 == 0)),
        ("event=probe.*".to_owned(), only(&|n| n % 2 == 0)),
        ("attr=id=13".to_owned(), vec![13]),
        ("attr=id=13&attr=id=14".to_owned(), vec![]),
        (format!("from={from}&to={to}"), vec![8, 7, 6, 5]),
        (format!("from={from}&to={to}&node=n2"), vec![6]),
        (format!("trace={trace}"), vec![3]),
        ("q=other".to_owned(), only(&|n| n % 2 == 1)),
        ("node=nobody".to_owned(), vec![]),
        // Long before it was received, as recordings and what Collectors kept are.
        (format!("to={}&limit=1", rfc3339(old + 1)), vec![99]),
    ] {
        assert_eq!(ids(&query).await, expected, "{query}");
    }
    let row = invar.api.items(&format!("/api/v1/events?trace={trace}")).await.remove(0);
    has(&row, &["position", "ts", "arrived", "network", "node", "component", "event", "attrs", "trace_id"]);
    assert_eq!((&row["trace_id"], &row["ts"]), (&json!(trace), &json!(rfc3339(start + 3_000))));
    let sources = invar.api.items("/api/v1/sources").await;
    for source in &sources {
        has(source, &["network", "node", "component", "last_seen", "lag_ms", "events"]);
    }
    invar.stop().await;
    let invar = home.start().await;
    assert_eq!(
        invar.api.items(&format!("/api/v1/events?trace={trace}")).await,
        [row],
        "a restart keeps it where it was"
    );
    invar.stop().await;
}

fn wire_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[tokio::test]
async fn the_live_stream_tells_of_changes_and_goes_on_where_one_left() {
    let (_home, invar) = running().await;
    let open = async |last: Option<&str>| {
        let mut asked = HTTP.get(format!("{}/api/v1/stream", invar.api.base()));
        if let Some(last) = last {
            asked = asked.header("last-event-id", last);
        }
        asked.send().await.unwrap()
    };
    let mut stream = open(None).await;
    assert!(stream.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    invar.send(&[probe("n1", "probe.bad", "1")]).await;
    let incident = invar.expect_incident("PRB-1", "n1").await;
    let id = incident["id"].as_str().unwrap();
    let read_until = async |stream: &mut reqwest::Response, wanted: &str| {
        let mut text = String::new();
        let reading = async {
            while !text.contains(wanted) {
                let chunk = stream.chunk().await.unwrap().expect("the stream ended");
                text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        assert!(tokio::time::timeout(PATIENCE, reading).await.is_ok(), "no {wanted:?} in the stream");
        text
    };
    let text = read_until(&mut stream, id).await;
    assert!(text.contains("event: incident"), "{text}");
    let number = text.lines().find_map(|line| line.strip_prefix("id: ")).expect("events are numbered").to_owned();
    drop(stream);
    invar.send(&[probe("n2", "probe.bad", "2")]).await;
    let second = invar.expect_incident("PRB-1", "n2").await;
    let mut stream = open(Some(&number)).await;
    read_until(&mut stream, second["id"].as_str().unwrap()).await;
    invar.stop().await;
}

#[tokio::test]
async fn tokens_guard_the_ingest_ports_and_nothing_leaks_them() {
    let secret = "a-secret-of-the-tests-0123456789";
    let home = Home::new().flag("--ingest-tokens").flag(&format!("node={secret}"));
    let invar = home.start().await;
    let body = format!("{}\n", probe("n1", "probe.well", "1").to_json());
    let url = format!("http://{}/v1/events", invar.http);
    let with = async |token: Option<&str>| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        crate::harness::request(Method::POST, &url, &headers, body.clone().into()).await
    };
    let refused = with(None).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(with(Some("a-wrong-secret-0123456789")).await.status, 401);
    assert_eq!(with(Some(secret)).await.status, 200);
    for path in ["/api/v1/refused", "/metrics", "/api/v1/sources"] {
        assert!(!invar.api.text(path).await.contains(secret), "{path}");
    }
    assert!(!invar.said(secret), "{}", invar.log());
    invar.stop().await;
}

#[tokio::test]
async fn readiness_ends_when_it_is_asked_to_stop_and_one_data_directory_serves_one_process() {
    let (home, invar) = running().await;
    let second = crate::harness::invar(
        &[
            "serve",
            "--data",
            home.data().to_str().unwrap(),
            "--grpc",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--web",
            "127.0.0.1:0",
        ],
        b"",
    )
    .expect(2);
    assert!(second.stderr.contains("is being written by process"), "{}", second.stderr);
    assert_eq!(invar.api.look("/readyz").await.status, 200, "the first goes on");
    let id = invar.id();
    invar.stop().await;
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
}

/// A receiver can be tried without breaking anything: the test goes the way of pages, and leaves nothing open there.
#[tokio::test]
async fn a_receiver_is_sent_a_test_and_its_answer_is_told() {
    let pager = Pager::start().await;
    let home = Home::new().alerts(&pager.alerts());
    let invar = home.start().await;
    for (name, status, mount) in [("pagerduty", 202, Mount::Pagerduty), ("webhook", 200, Mount::Webhook)] {
        let reply = invar.api.ask(Method::POST, &format!("/api/v1/receivers/{name}/test"), &[], Vec::new()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let tried: Value = serde_json::from_str(&reply.text()).unwrap();
        assert_eq!((&tried["accepted"], &tried["status"]), (&json!(true), &json!(status)), "{tried}");
        let calls: Vec<_> = pager.calls().into_iter().filter(|call| call.mount == mount).collect();
        let outcomes: Vec<_> = calls.iter().map(|call| &call.outcome).collect();
        match mount {
            Mount::Pagerduty => assert_eq!(outcomes, [&Outcome::Triggered, &Outcome::Resolved]),
            _ => assert_eq!(outcomes, [&Outcome::Verified, &Outcome::Verified]),
        }
    }
    invar.api.ask(Method::POST, "/api/v1/receivers/nobody/test", &[], Vec::new()).await.problem(404);
    assert!(invar.api.all("/api/v1/incidents").await.is_empty(), "a test is no incident");
    invar.stop().await;
}
