//! Recordings: what `invar replay` finds in them, in whatever form and order they come, and that a running Invar which is
//! sent the same bodies finds the same.
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{APTOS, Home, Line, OBYTE, Ran, eventually, invar, request, root};

/// A recording with its content type, and the references that must be found in it: exactly these.
const RECORDINGS: &[(&str, &str, &[&str])] = &[
    ("correct.json", "application/json", &[]),
    ("v1-commit-fails.json", "application/json", &["OBY-1", "OBY-13", "OBY-2", "OBY-21", "OBY-3", "OBY-4", "OBY-9"]),
    (
        "v2-killed.pb.gz",
        "application/x-protobuf",
        &["OBY-1", "OBY-10", "OBY-13", "OBY-16", "OBY-2", "OBY-21", "OBY-4", "OBY-9"],
    ),
    ("b2-ties.pb.gz", "application/x-protobuf", &[]),
];

fn recording(name: &str) -> PathBuf {
    root().join("tests/it/recordings/obyte").join(name)
}

/// Replays files by the Obyte pack, as JSON lines.
fn replay(files: &[&Path], more: &[&str]) -> Ran {
    replay_input(files, more, b"")
}

fn replay_input(files: &[&Path], more: &[&str], input: &[u8]) -> Ran {
    let mut arguments: Vec<std::ffi::OsString> =
        ["replay", "--rules", "rules/obyte-aa-composer.yaml", "--format", "json"].map(Into::into).to_vec();
    arguments.extend(more.iter().map(Into::into));
    arguments.extend(files.iter().map(|file| file.as_os_str().to_owned()));
    invar(&arguments, input)
}

/// What was printed: violations, and the summary.
fn printed(ran: &Ran) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut last = lines.pop().expect("there is always a summary");
    assert!(lines.iter().all(|line| line.get("summary").is_none()), "one summary: {}", ran.stdout);
    (lines, last["summary"].take())
}

fn references(violations: &[Value]) -> Vec<&str> {
    let all: BTreeSet<&str> = violations.iter().map(|violation| violation["ref"].as_str().unwrap()).collect();
    all.into_iter().collect()
}

/// The body of a recording as protobuf.
fn protobuf(name: &str) -> Vec<u8> {
    let bytes = fs::read(recording(name)).unwrap();
    if name.ends_with(".gz") {
        let mut body = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes.as_slice()), &mut body).unwrap();
        return body;
    }
    wire::json_to_protobuf(wire::Signal::Logs, &bytes, &wire::Limits::default()).unwrap().0
}

/// The events of a recording as lines, read out of its protobuf independently of what is tested.
fn lines(name: &str) -> Vec<Value> {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
    fn plain(value: Option<&AnyValue>) -> Value {
        match value.and_then(|value| value.value.as_ref()) {
            Some(Any::StringValue(text)) => json!(text),
            Some(Any::BoolValue(value)) => json!(value),
            Some(Any::IntValue(value)) => json!(value),
            Some(Any::DoubleValue(value)) => json!(value),
            other => panic!("no recording holds {other:?}"),
        }
    }
    fn find<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a KeyValue> {
        attributes.iter().find(|pair| pair.key == name)
    }
    let request = ExportLogsServiceRequest::decode(protobuf(name).as_slice()).unwrap();
    let mut found = Vec::new();
    for resource in &request.resource_logs {
        let of = &resource.resource.as_ref().unwrap().attributes;
        let named = |name: &str| plain(find(of, name).unwrap().value.as_ref());
        for scope in &resource.scope_logs {
            for record in &scope.log_records {
                let mut attrs: serde_json::Map<String, Value> =
                    record.attributes.iter().map(|pair| (pair.key.clone(), plain(pair.value.as_ref()))).collect();
                // A line has no resource: what tells processes apart travels with each event.
                attrs.insert("process.pid".to_owned(), named("process.pid"));
                found.push(json!({
                    "ts": record.time_unix_nano,
                    "node": named("service.instance.id"),
                    "network": named("deployment.environment.name"),
                    "component": scope.scope.as_ref().unwrap().name,
                    "event": record.event_name,
                    "attrs": attrs,
                }));
            }
        }
    }
    found
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn write_lines(folder: &Path, name: &str, lines: &[Value]) -> PathBuf {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    write(folder, name, text.as_bytes())
}

/// What identifies a violation for comparison: what it is, about what, when, and the times and events that prove it.
fn essence(violation: &Value) -> Value {
    let evidence: Vec<Value> = violation["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| json!([event["role"], event["ts"], event["node"], event["component"], event["event"]]))
        .collect();
    let mut parts: Vec<Value> =
        ["rule", "at", "key", "message", "missing"].iter().map(|name| violation[*name].clone()).collect();
    parts.push(evidence.into());
    parts.into()
}

fn essences(violations: &[Value]) -> Vec<Value> {
    violations.iter().map(essence).collect()
}

#[test]
fn recordings_hold_exactly_what_their_runs_did_wrong() {
    for (name, _, expected) in RECORDINGS {
        let ran = replay(&[&recording(name)], &[]).expect(i32::from(!expected.is_empty()));
        assert_eq!(ran.stderr, "", "{name}");
        let (violations, summary) = printed(&ran);
        assert_eq!(references(&violations), *expected, "{name}");
        assert_eq!(summary["violations"], violations.len(), "{name}");
        assert_eq!(summary["events"], lines(name).len(), "{name}");
        assert_eq!(
            (&summary["duplicates"], &summary["unknown"], &summary["rules"]),
            (&json!(0), &json!(0), &json!(25))
        );
        assert!(summary["unexercised"].as_array().unwrap().iter().all(Value::is_string), "{summary}");
        for violation in &violations {
            assert_eq!(violation["key"]["network"], "testnet", "{violation}");
            if violation["ref"] != "OBY-2" {
                assert_eq!(violation["key"]["node"], "obyte-1", "{name}: only one node goes wrong: {violation}");
            }
        }
    }
}

#[test]
fn a_kill_is_found_at_the_next_start_and_not_at_the_deadline() {
    let (violations, _) = printed(&replay(&[&recording("v2-killed.pb.gz")], &[]));
    let broken = violations.iter().find(|violation| violation["ref"] == "OBY-1").unwrap();
    assert_eq!(broken["at"], "2026-09-21T14:13:25.000000000Z", "{broken}");
    assert!(broken["missing"]["event"].is_string(), "{broken}");
}

#[test]
fn violations_come_a_line_each_in_order_of_time_pack_rule_and_key() {
    let (violations, _) = printed(&replay(&[&recording("v1-commit-fails.json")], &[]));
    let order: Vec<_> = violations
        .iter()
        .map(|found| {
            (found["at"].to_string(), found["pack"].to_string(), found["rule"].to_string(), found["key"].to_string())
        })
        .collect();
    assert!(order.is_sorted(), "{order:#?}");
    for violation in &violations {
        for field in ["pack", "rule", "kind", "severity", "verdict", "at", "key", "message", "evidence", "missing"] {
            assert!(violation.get(field).is_some(), "no {field}: {violation}");
        }
        assert_eq!(violation["verdict"], "violated");
        for event in violation["evidence"].as_array().unwrap() {
            for field in ["role", "ts", "node", "component", "event", "attrs"] {
                assert!(event.get(field).is_some(), "no {field}: {event}");
            }
        }
        assert!(!violation["evidence"].as_array().unwrap().is_empty(), "{violation}");
    }
}

#[test]
fn the_form_of_a_recording_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, _, expected) in RECORDINGS {
        let code = i32::from(!expected.is_empty());
        let whole = printed(&replay(&[&recording(name)], &[])).0;
        let body = protobuf(name);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&body).unwrap();
        let forms = [
            write(folder, "body.pb", &body),
            write(folder, "body.pb.gz", &gzip.finish().unwrap()),
            write(folder, "body.pb.zst", &zstd::encode_all(body.as_slice(), 1).unwrap()),
            write(folder, "body.of-no-known-name", &body),
            write_lines(folder, "events.jsonl", &lines(name)),
        ];
        for form in &forms {
            let found = printed(&replay(&[form], &[]).expect(code)).0;
            assert_eq!(essences(&found), essences(&whole), "{name} as {}", form.display());
        }
        for input in [&body, &fs::read(&forms[1]).unwrap(), &fs::read(&forms[4]).unwrap()] {
            let found = printed(&replay_input(&[Path::new("-")], &[], input).expect(code)).0;
            assert_eq!(essences(&found), essences(&whole), "{name} on standard input");
        }
    }
}

#[test]
fn otlp_json_lines_are_requests_a_line() {
    let folder = tempfile::tempdir().unwrap();
    // As the Collector's file exporter writes them: one request a line, logs and traces in files of their own, or not.
    let mut text = String::new();
    for name in ["correct.json", "v1-commit-fails.json"] {
        let body: Value = serde_json::from_slice(&fs::read(recording(name)).unwrap()).unwrap();
        for resource in body["resourceLogs"].as_array().unwrap() {
            text.push_str(&format!("{}\n", json!({"resourceLogs": [resource]})));
        }
    }
    text.push_str(
        "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.instance.id\",\"value\":{\"stringValue\":\"obyte-9\"}}]},\
         \"scopeSpans\":[{\"spans\":[{\"traceId\":\"5b8efff798038103d269b633813fc60c\",\"spanId\":\"eee19b7ec3c1b174\",\
         \"name\":\"unrelated\",\"startTimeUnixNano\":\"1790000000000000000\",\"endTimeUnixNano\":\"1790000001000000000\"}]}]}]}\n",
    );
    let file = write(folder.path(), "otel.jsonl", text.as_bytes());
    let (found, summary) = printed(&replay(&[&file], &[]).expect(1));
    let separate: usize = ["correct.json", "v1-commit-fails.json"].iter().map(|name| lines(name).len()).sum();
    assert_eq!(summary["events"], separate + 1);
    assert!(references(&found).contains(&"OBY-3"), "{:?}", references(&found));
}

#[test]
fn order_batches_and_repeats_change_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    for (name, _, expected) in RECORDINGS {
        let code = i32::from(!expected.is_empty());
        let all = lines(name);
        let reference = printed(&replay(&[&write_lines(folder.path(), "all.jsonl", &all)], &[]).expect(code)).0;
        for seed in 0..6 {
            let mut chance = StdRng::seed_from_u64(seed);
            let mut shuffled = all.clone();
            // In some rounds every event comes twice, in other files and places.
            let doubled = seed % 2 == 1;
            if doubled {
                shuffled.extend(all.clone());
            }
            shuffled.shuffle(&mut chance);
            let size = [1, 3, 7, 20][seed as usize % 4];
            let files: Vec<PathBuf> = shuffled
                .chunks(size)
                .enumerate()
                .map(|(number, chunk)| {
                    let mut chunk = chunk.to_vec();
                    // Twins inside one request are honest twins: those are not made here.
                    chunk.dedup_by_key(|line| line.to_string());
                    let mut once: Vec<Value> = Vec::new();
                    chunk.into_iter().for_each(|line| {
                        if !once.contains(&line) {
                            once.push(line);
                        }
                    });
                    write_lines(folder.path(), &format!("part-{number}.jsonl"), &once)
                })
                .collect();
            let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
            let (found, summary) = printed(&replay(&paths, &[]).expect(code));
            assert_eq!(essences(&found), essences(&reference), "{name}, seed {seed}, batches of {size}");
            assert_eq!(
                summary["events"].as_u64().unwrap() - summary["duplicates"].as_u64().unwrap(),
                all.len() as u64,
                "{name}, seed {seed}: {summary}"
            );
            assert_eq!(summary["duplicates"].as_u64().unwrap() > 0, doubled, "{name}, seed {seed}: {summary}");
        }
    }
}

#[test]
fn time_that_runs_on_judges_what_was_pending() {
    let folder = tempfile::tempdir().unwrap();
    let mut started = lines("v2-killed.pb.gz");
    // Up to the write and no further: nobody starts again, and the recording ends.
    started.retain(|line| line["ts"].as_u64().unwrap() < 1_790_000_004_000_000_000);
    let file = write_lines(folder.path(), "ends-early.jsonl", &started);
    let (found, summary) = printed(&replay(&[&file], &[]).expect(0));
    assert_eq!(references(&found), Vec::<&str>::new());
    assert!(summary["pending"].as_u64().unwrap() > 0, "{summary}");
    let (found, summary) = printed(&replay(&[&file], &["--complete"]).expect(1));
    assert!(references(&found).contains(&"OBY-1"), "{:?}", references(&found));
    // The state that is written and not committed waits for the next trigger, which no clock brings.
    assert_eq!(summary["pending"], 1, "{summary}");
}

#[test]
fn the_exit_code_asks_for_severities() {
    let folder = tempfile::tempdir().unwrap();
    let pack = write(
        folder.path(),
        "pack.yaml",
        b"pack: p\nrules:\n  - id: medium-thing\n    severity: medium\n    key: [node]\n    never: bad\n",
    );
    let line = Line::new("n1", "c", "bad", json!({})).to_json();
    let file = write_lines(folder.path(), "bad.jsonl", &[line]);
    let with = |severity: &str| {
        let arguments = ["replay", "--rules", pack.to_str().unwrap(), "--fail-on", severity, file.to_str().unwrap()];
        invar(&arguments, b"")
    };
    for (severity, code) in [("info", 1), ("low", 1), ("medium", 1), ("high", 0), ("critical", 0)] {
        let ran = with(severity).expect(code);
        assert!(ran.stdout.contains("p/medium-thing"), "it is printed all the same: {}", ran.stdout);
    }
    let refused = with("terrible").expect(2);
    assert!(refused.stderr.contains("critical, high, medium, low, info"), "{}", refused.stderr);
}

#[test]
fn what_cannot_be_read_is_said_and_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let body = protobuf("v2-killed.pb.gz");
    let gzip = fs::read(recording("v2-killed.pb.gz")).unwrap();
    let mut damaged = gzip.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    let line = Line::new("n1", "c", "e", json!({})).to_json().to_string();
    let cases = [
        (folder.join("nowhere.pb"), "nowhere.pb cannot be read: No such file"),
        (folder.to_owned(), "cannot be read: Is a directory"),
        (write(folder, "torn.pb", &body[..body.len() - 10]), "torn.pb: this is no OTLP request in protobuf"),
        (write(folder, "torn.pb.gz", &gzip[..300]), "torn.pb.gz cannot be read"),
        (write(folder, "damaged.pb.gz", &damaged), "damaged.pb.gz cannot be read"),
        (write(folder, "torn.json", &fs::read(recording("correct.json")).unwrap()[..2000]), "torn.json: line 1"),
        (write(folder, "words.txt", b"these are words\n"), "words.txt: line 1"),
        (write(folder, "torn.jsonl", format!("{line}\n{}", &line[..30]).as_bytes()), "torn.jsonl: line 2"),
    ];
    for (file, said) in &cases {
        let ran = replay(&[file], &[]).expect(2);
        assert!(ran.stderr.contains(said), "{said:?} is not in {:?}", ran.stderr);
        let once = ran.stderr.matches("No such file").count() + ran.stderr.matches("Is a directory").count();
        assert!(once <= 1, "a reason is said once: {}", ran.stderr);
    }
    // Among others it counts as well: nothing found there clears nobody.
    let ran = replay(&[&recording("correct.json"), &cases[2].0], &[]).expect(2);
    assert!(ran.stderr.contains("torn.pb"), "{}", ran.stderr);
    assert_eq!(printed(&ran).1["events"], lines("correct.json").len());
    // What is found is found.
    replay(&[&recording("v1-commit-fails.json"), &cases[7].0], &[]).expect(1);
    let ran = invar(&["replay", "--rules", "rules/nowhere.yaml", "x.json"], b"").expect(2);
    assert!(ran.stderr.contains("rules/nowhere.yaml cannot be read: No such file"), "{}", ran.stderr);
}

/// Sends a recorded body to a fresh instance, twice, and compares what it finds with what replay finds.
async fn live_is_replay(name: &str, content_type: &str, expected: &[&str]) {
    let home = Home::with_packs(&[OBYTE]);
    let invar = home.start().await;
    let mut headers = vec![("content-type", content_type)];
    if name.ends_with(".gz") {
        headers.push(("content-encoding", "gzip"));
    }
    let body = fs::read(recording(name)).unwrap();
    let url = format!("http://{}/v1/logs", invar.http);
    assert_eq!(request(Method::POST, &url, &headers, body.clone()).await.status, 200, "{name}");
    // A sender that did not hear the answer sends it again.
    assert_eq!(request(Method::POST, &url, &headers, body).await.status, 200, "{name}");
    let last = lines(name).iter().map(|line| line["ts"].as_u64().unwrap()).max().unwrap();
    invar.judged_past(last / 1_000_000 + 1).await;
    let found: BTreeSet<String> = invar.incidents().await.into_iter().map(|(reference, _)| reference).collect();
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{name}\n{}", invar.log());
    let mut live: Vec<Value> = Vec::new();
    for incident in invar.api.items("/api/v1/incidents").await {
        let id = incident["id"].as_str().unwrap();
        for violation in invar.api.items(&format!("/api/v1/incidents/{id}/violations")).await {
            live.push(json!([incident["rule"], violation["at"], violation["key"], violation["message"]]));
        }
    }
    let mut offline: Vec<Value> = printed(&replay(&[&recording(name)], &[]))
        .0
        .iter()
        .map(|found| json!([found["rule"], found["at"], found["key"], found["message"]]))
        .collect();
    live.sort_by_key(Value::to_string);
    offline.sort_by_key(Value::to_string);
    assert_eq!(live, offline, "{name}: the same violations, word for word");
    invar.stop().await;
}

#[tokio::test]
async fn a_running_invar_finds_in_recorded_bodies_what_replay_finds() {
    for (name, content_type, expected) in RECORDINGS {
        live_is_replay(name, content_type, expected).await;
    }
}

#[tokio::test]
async fn a_backlog_longer_than_corrections_reach_is_judged_as_it_comes() {
    let home = Home::with_packs(&[APTOS]);
    let invar = home.start().await;
    let (now, hour) = (crate::harness::now_ms(), 3_600_000);
    let batch = |event: &str, id: &str, ms: u64| {
        let attrs = json!({"batch.author": "0xa1", "batch.id": id, "is_remote": true});
        let event = format!("quorum_store.batch.{event}");
        Line::new("validator-1", "aptos_consensus::quorum_store::batch_coordinator", &event, attrs).at(ms)
    };
    // An hour that a Collector has kept, a minute a request, the records of each request in reverse.
    for minute in 0..60 {
        let at = now - hour + minute * 60_000;
        let (lost, untracked) = (format!("0xa{minute}"), format!("0xb{minute}"));
        invar
            .send(&[
                batch("generator_notified", &untracked, at + 3),
                batch("persisted", &lost, at + 2),
                batch("received", &lost, at),
            ])
            .await;
    }
    // A Collector that has caught up goes on with the present.
    let found = eventually(Duration::from_secs(30), async || {
        let present = crate::harness::now_ms();
        invar.send(&[batch("received", "0xcc", present)]).await;
        let incidents = invar.api.items("/api/v1/incidents").await;
        let count = |reference: &str| {
            incidents
                .iter()
                .find(|incident| incident["ref"] == reference)
                .map_or(0, |found| found["count"].as_u64().unwrap())
        };
        (count("APT-1a") == 60 && count("APT-1b") == 60).then_some(())
    })
    .await;
    assert!(found.is_some(), "{:?}\n{}", invar.incidents().await, invar.log());
    invar.stop().await;
}

#[test]
fn oddities_of_the_field_are_read_as_they_are_meant() {
    let folder = tempfile::tempdir().unwrap();
    let pack = write(
        folder.path(),
        "pack.yaml",
        br#"
pack: field
lifecycle:
  - of: [node]
    instance: process.pid
events:
  height.decided:
    attrs:
      height: int
  task.begun:
    attrs:
      id: string
  task.done:
    attrs:
      id: string
  rpc.call:
    attrs:
      span.duration: int
  log:
    about: Whatever is said without a name.
rules:
  - id: heights-are-small
    ref: BIG
    key: [node, height]
    always:
      event: height.decided
      assert: height < 10
  - id: tasks-end
    ref: ENDS
    key: [node, id]
    response:
      when: task.begun
      then: task.done
      within: 10s
  - id: no-panic-in-words
    ref: WORDS
    key: [node]
    never:
      event: log
      where: 'body.contains("panicked at")'
  - id: calls-are-quick
    ref: SPAN
    key: [node]
    never:
      event: rpc.call
      where: span.duration > 1000000000
"#,
    );
    let value = |text: &str| json!({"stringValue": text});
    let record = |event: &str, attributes: Value, more: Value| {
        let mut record = json!({"eventName": event, "attributes": attributes});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let at = |ms: u64| (1_790_000_000_000_u64 + ms) * 1_000_000;
    let resource = |node: &str, pid: u64, records: Value| {
        json!({
            "resource": {"attributes": [
                {"key": "service.instance.id", "value": value(node)},
                {"key": "process.pid", "value": {"intValue": pid.to_string()}},
            ]},
            "scopeLogs": [{"scope": {"name": "core"}, "logRecords": records}],
        })
    };
    let id = |id: &str| json!([{"key": "id", "value": value(id)}]);
    let height = |value: Value| json!([{"key": "height", "value": value}]);
    let body = json!({"resourceLogs": [
        resource("n1", 1, json!([
            // Effects before causes in the request, tied to the millisecond; an integer as a number, one as a string.
            record("task.done", id("tied"), json!({"timeUnixNano": at(5).to_string()})),
            record("task.begun", id("tied"), json!({"timeUnixNano": at(5)})),
            record("height.decided", height(json!({"intValue": 3})), json!({"timeUnixNano": at(6).to_string()})),
            record("height.decided", height(json!({"intValue": "4"})), json!({"timeUnixNano": at(6)})),
            // Beyond 63 bits it is text, as one SDK sends it; declared `int`, it is compared exactly.
            record("height.decided", height(value("0x10000000000000000000000000000000f")), json!({"timeUnixNano": at(7)})),
            // Only the observed time is set.
            record("task.begun", id("observed"), json!({"timeUnixNano": "0", "observedTimeUnixNano": at(8).to_string()})),
            record("task.done", id("observed"), json!({"timeUnixNano": "0", "observedTimeUnixNano": at(9).to_string()})),
            // No event name: plain words.
            json!({"timeUnixNano": at(10).to_string(), "severityNumber": 17,
                   "body": value("thread 'main' panicked at src/store.rs:7")}),
            // The process dies with this open, and says nothing.
            record("task.begun", id("lost"), json!({"timeUnixNano": at(11).to_string()})),
        ])),
        // The next process of the same node, in the same request: no start event, only another pid.
        resource("n1", 2, json!([record("height.decided", height(json!({"intValue": "5"})), json!({"timeUnixNano": at(3000)}))])),
        resource("n2", 1, json!([record("task.begun", id("elsewhere"), json!({"timeUnixNano": at(12)})),
                                 record("task.done", id("elsewhere"), json!({"timeUnixNano": at(2500)}))])),
    ]});
    let spans = json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.instance.id", "value": value("n1")}]},
        "scopeSpans": [{"scope": {"name": "rpc"}, "spans": [
            {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "rpc.call",
             "startTimeUnixNano": at(20).to_string(), "endTimeUnixNano": at(1900).to_string(),
             "events": [{"name": "task.begun", "timeUnixNano": at(30).to_string(), "attributes": id("in-span")},
                        {"name": "task.done", "timeUnixNano": at(40).to_string(), "attributes": id("in-span")}]},
        ]}],
    }]});
    let file = write(folder.path(), "mixed.jsonl", format!("{body}\n{spans}\n").as_bytes());
    let ran = invar(&["replay", "--rules", pack.to_str().unwrap(), "--format", "json", file.to_str().unwrap()], b"")
        .expect(1);
    assert_eq!(ran.stderr, "");
    let (found, summary) = printed(&ran);
    let seen: Vec<Value> = found.iter().map(|found| json!([found["ref"], found["at"], found["key"]])).collect();
    let time = |ms: u64| event::Timestamp(at(ms)).to_string();
    let expected = vec![
        // 2^128 + 15, not a digit lost.
        json!(["BIG", time(7), {"node": "n1", "height": "340282366920938463463374607431768211471"}]),
        json!(["WORDS", time(10), {"node": "n1"}]),
        json!(["SPAN", time(1900), {"node": "n1"}]),
        json!(["ENDS", time(3000), {"node": "n1", "id": "lost"}]),
    ];
    assert_eq!(seen, expected, "{}", ran.stdout);
    assert_eq!(summary["events"], 15);
}
