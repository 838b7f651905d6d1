//! Bad input: each kind is refused with its reason, is written down, and disturbs nothing else.
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{APTOS, Home, Invar, Line, eventually, export_request, invar, request};
use prost::Message;

/// Sends a good event and waits until it can be found.
async fn good_event_arrives(invar: &Invar, number: usize) {
    let marker = format!("good-{number}");
    invar.send(&[Line::new("n1", "c", "still.alive", json!({"marker": marker}))]).await;
    let path = format!("/api/v1/events?event=still.alive&attr=marker={marker}");
    let found = eventually(crate::harness::PATIENCE, async || (invar.api.items(&path).await.len() == 1).then_some(()));
    assert!(found.await.is_some(), "the event sent after bad input {number} is not there\n{}", invar.log());
}

#[tokio::test]
async fn bad_requests_are_refused_with_their_reason_and_disturb_nothing() {
    let home = Home::with_packs(&[APTOS]);
    let invar = home.start().await;
    let good = export_request(&[Line::new("n1", "c", "e", json!({"a": 1}))]).encode_to_vec();
    let (protobuf, json_type) = ("application/x-protobuf", "application/json");
    let torn = &good[..good.len() - 3];
    // Path, content type, content encoding, body; the status and what its message must say; the ledger's reason.
    type Case<'a> = (&'a str, &'a str, &'a str, &'a [u8], u16, &'a str, &'a str);
    let cases: &[Case<'_>] = &[
        ("/v1/logs", protobuf, "", b"not protobuf", 400, "byte 0", "malformed"),
        ("/v1/logs", protobuf, "", torn, 400, "the bytes end inside a field", "malformed"),
        ("/v1/traces", protobuf, "", torn, 400, "the bytes end inside a field", "malformed"),
        ("/v1/logs", json_type, "", b"{\"resourceLogs\": [{]}", 400, "byte 19", "malformed"),
        ("/v1/logs", protobuf, "gzip", b"not gzip at all", 400, "compressed body is damaged", "malformed"),
        ("/v1/logs", protobuf, "gzip", &gzip(&good)[..20], 400, "compressed body is damaged", "malformed"),
        ("/v1/logs", protobuf, "zstd", b"not zstd", 400, "compressed body is damaged", "malformed"),
        ("/v1/logs", protobuf, "br", &good, 415, "gzip, zstd or deflate", "unsupported"),
        ("/v1/log", protobuf, "", &good, 404, "no such path: /v1/log", "not_found"),
        ("/v1/logs", "text/html", "", &good, 415, "application/x-protobuf or application/json", "unsupported"),
        (
            "/v1/events",
            "application/x-ndjson",
            "",
            b"{\"event\": \"no.time\", \"node\": \"n\"}",
            400,
            "`ts` is missing",
            "malformed",
        ),
        (
            "/v1/events",
            "application/x-ndjson",
            "",
            b"{\"ts\": 1, \"nod\": \"n\"}",
            400,
            "unknown field `nod`",
            "malformed",
        ),
        ("/v1/events", "application/x-ndjson", "", b"words", 400, "line 1", "malformed"),
        ("/v1/events", "application/xml", "", b"<event/>", 415, "application/x-ndjson", "unsupported"),
    ];
    for (number, (path, content_type, encoding, body, status, said, reason)) in cases.iter().enumerate() {
        let mut headers = vec![("content-type", *content_type)];
        if !encoding.is_empty() {
            headers.push(("content-encoding", encoding));
        }
        let url = format!("http://{}{path}", invar.http);
        let reply = request(Method::POST, &url, &headers, body.to_vec()).await;
        assert_eq!(reply.status, *status, "{path} {content_type}: {}", reply.text());
        assert!(reply.text().contains(said), "{said:?} is not in {:?}", reply.text());
        let listed = eventually(crate::harness::PATIENCE, async || {
            let ledger = invar.api.items("/api/v1/refused?limit=1000").await;
            ledger.into_iter().find(|row| row["reason"] == *reason && row["message"].as_str().unwrap().contains(said))
        })
        .await;
        let Some(row) = listed else { panic!("{path}: {said:?} is not in the ledger\n{}", invar.log()) };
        for field in ["id", "at", "sender", "reason", "message", "records", "sample"] {
            assert!(row.get(field).is_some(), "no {field} in {row}");
        }
        good_event_arrives(&invar, number).await;
    }
    let ledger = invar.api.items("/api/v1/refused?limit=1000").await;
    assert_eq!(ledger.len(), cases.len(), "each once: {ledger:#?}");
    let metrics = invar.api.text("/metrics").await;
    assert!(metrics.lines().any(|line| line.contains("refused") && line.contains("malformed")), "{metrics}");
    // A wrong method is no data that was lost.
    let reply = request(Method::GET, &format!("http://{}/v1/logs", invar.http), &[], Vec::new()).await;
    assert_eq!((reply.status, reply.header("allow")), (405, "POST"));
    invar.stop().await;
}

#[tokio::test]
async fn a_request_beyond_the_limit_is_refused_however_small_it_is_when_compressed() {
    let home = Home::new().flag("--request-size").flag("1MiB");
    let invar = home.start().await;
    let large = vec![0_u8; 64 << 20];
    let url = format!("http://{}/v1/logs", invar.http);
    let plain = [("content-type", "application/x-protobuf")];
    let squeezed = [plain[0], ("content-encoding", "gzip")];
    let reply = request(Method::POST, &url, &squeezed, gzip(&large)).await;
    assert_eq!(reply.status, 413, "{}", reply.text());
    let reply = request(Method::POST, &url, &plain, vec![0_u8; (1 << 20) + 1]).await;
    assert_eq!(reply.status, 413, "{}", reply.text());
    good_event_arrives(&invar, 0).await;
    invar.stop().await;
}

#[tokio::test]
async fn records_that_cannot_be_taken_are_refused_singly() {
    let home = Home::new();
    let invar = home.start().await;
    let mut body = export_request(&[
        Line::new("n1", "c", "first.good", json!({})),
        Line::new("n1", "c", "bad.one", json!({"key": "value"})),
        Line::new("n1", "c", "last.good", json!({})),
    ]);
    // Well formed, and no name that anything could be called by.
    let record = &mut body.resource_logs[1].scope_logs[0].log_records[0];
    record.event_name = "e".repeat(1 << 20);
    let reply = invar.receive("/v1/logs", "application/x-protobuf", body.encode_to_vec()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!reply.body.is_empty(), "a partial success says what was refused");
    let found = eventually(crate::harness::PATIENCE, async || {
        let names: Vec<Value> =
            invar.api.items("/api/v1/events").await.into_iter().map(|event| event["event"].clone()).collect();
        (names.len() == 2).then_some(names)
    })
    .await;
    assert_eq!(found, Some(vec![json!("last.good"), json!("first.good")]), "{}", invar.log());
    let row = eventually(crate::harness::PATIENCE, async || invar.api.items("/api/v1/refused").await.pop()).await;
    assert_eq!(row.as_ref().map(|row| (&row["reason"], &row["records"])), Some((&json!("records"), &json!(1))));
    invar.stop().await;
}

/// A rule whose answer may be refused.
const ASKS: &str = "\
pack: asks
rules:
  - id: answered-in-time
    ref: ASKS
    severity: high
    key: [node, id]
    response:
      when: asked
      then: answered
      within: 2s
";

#[tokio::test]
async fn what_was_refused_leaves_a_verdict_unknown_that_misses_it() {
    let home = Home::new().pack("asks.yaml", ASKS);
    let invar = home.start().await;
    invar.send(&[Line::new("n1", "c", "asked", json!({"id": "a"}))]).await;
    // The answer comes in time, with more attributes than are taken; it is the only record of its request.
    let mut answer = serde_json::Map::from_iter([("id".to_owned(), json!("a"))]);
    answer.extend((0..1_100).map(|number| (format!("attribute.{number}"), json!(number))));
    let body = export_request(&[Line::new("n1", "c", "answered", Value::Object(answer))]).encode_to_vec();
    let reply = invar.receive("/v1/logs", "application/x-protobuf", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!reply.body.is_empty(), "a partial success says what was refused");
    // Some time later nobody answers, which is violated: what was asked before has been judged then.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    invar.send(&[Line::new("n1", "c", "asked", json!({"id": "b"}))]).await;
    let judged = eventually(crate::harness::PATIENCE, async || {
        invar.send(&[Line::new("n1", "c", "hum", json!({}))]).await;
        let rule = invar.api.get("/api/v1/rules/asks/answered-in-time").await;
        (rule["health"]["violated"] == 1 && rule["health"]["unknown"] == 1).then_some(rule)
    })
    .await;
    let rule = match judged {
        Some(rule) => rule,
        None => panic!("{:#}\n{}", invar.api.get("/api/v1/rules/asks/answered-in-time").await, invar.log()),
    };
    assert_eq!(rule["health"]["why_unknown"], "record refused", "{rule:#}");
    let incidents = invar.api.items("/api/v1/incidents").await;
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    invar.stop().await;
}

/// A pack with five mistakes of five kinds, each on a line of its own.
const FIVE_MISTAKES: &str = "\
pack: five
events:
  batch.stored:
    attrs:
      batch.id: string
rules:
  - id: misspelt-attribute
    key: [node]
    never: batch.stored where batch.idd == \"x\"
  - id: half-an-expression
    key: [node]
    never: batch.stored where batch.id ==
  - id: no-kind
    key: [node]
  - id: no-kind
    key: [node]
    never: batch.stored
  - id: strange-severity
    severity: terrible
    key: [node]
    never: batch.stored
";

/// The lines of the five mistakes.
const MISTAKEN_LINES: [u64; 5] = [9, 12, 13, 15, 19];

fn lines_of(diagnostics: &[Value]) -> Vec<u64> {
    let mut lines: Vec<u64> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic["severity"] == "error")
        .map(|diagnostic| diagnostic["line"].as_u64().unwrap())
        .collect();
    lines.sort_unstable();
    lines
}

#[test]
fn check_finds_five_mistakes_in_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("five.yaml");
    std::fs::write(&path, FIVE_MISTAKES).unwrap();
    let ran = invar(&["check", "--format", "json", path.to_str().unwrap()], b"").expect(1);
    let diagnostics: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines_of(&diagnostics), MISTAKEN_LINES, "{}", ran.stdout);
    for diagnostic in &diagnostics {
        assert!(diagnostic["file"].as_str().unwrap().ends_with("five.yaml"), "{diagnostic}");
        assert!(diagnostic["column"].as_u64().unwrap() > 0, "{diagnostic}");
    }
    let ran = invar(&["check", path.to_str().unwrap()], b"").expect(1);
    for said in ["did you mean `batch.id`", "five.yaml:9:", "batch.stored where batch.idd", "^", "terrible"] {
        assert!(ran.stderr.contains(said), "{said:?} is not in:\n{}", ran.stderr);
    }
    assert!(ran.stdout.contains("5 mistakes"), "{}", ran.stdout);
}

#[tokio::test]
async fn a_pack_with_mistakes_is_refused_with_all_of_them_and_the_one_in_force_stays() {
    let good = "pack: five\nrules:\n  - id: nothing-bad\n    ref: FIVE\n    key: [node]\n    never: very.bad\n";
    let home = Home::new().pack("five.yaml", good);
    let invar = home.start().await;
    let reply = invar.api.ask(Method::PUT, "/api/v1/packs/five", &[], FIVE_MISTAKES.into()).await;
    let problem = reply.problem(422);
    assert_eq!(lines_of(problem["diagnostics"].as_array().unwrap()), MISTAKEN_LINES, "{problem}");
    let validated = invar.api.ask(Method::POST, "/api/v1/packs/validate", &[], FIVE_MISTAKES.into()).await.expect(422);
    assert_eq!(lines_of(validated["diagnostics"].as_array().unwrap()), MISTAKEN_LINES);
    let reply = invar.api.ask(Method::PUT, "/api/v1/packs/other", &[], good.into()).await;
    assert!(reply.problem(422)["detail"].as_str().unwrap().contains("pack: five"), "{}", reply.text());
    assert_eq!(invar.api.get("/api/v1/packs/five").await["revision"], 1);
    invar.send(&[Line::new("n1", "c", "very.bad", json!({}))]).await;
    invar.expect_incident("FIVE", "n1").await;
    invar.stop().await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}
