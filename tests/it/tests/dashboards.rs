//! What operators copy out of `dashboards/` and `deploy/`: every metric and label they name is exported by a running
//! Invar, the real Prometheus scrapes it and evaluates every query, and every example is read by what it is written for.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Stdio,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

use crate::harness::{Home, Invar, Line, PATIENCE, Pager, eventually, invar, missing, now_ms, root};

const RULES: &str = "deploy/prometheus/invar.rules.yaml";
const CONFIG: &str = "deploy/prometheus/prometheus.yaml";

/// A pack with something for every metric: a rule that breaks, one whose verdicts stay unknown, a breaker that opens.
const PACK: &str = r#"pack: everything
events:
  job.begun: { job.id: string, weight: int }
  job.ended: { job.id: string }
rules:
  - id: job-ends
    ref: ALL-1
    severity: critical
    key: [node, job.id]
    response: { when: job.begun, then: job.ended, within: 1s }
  - id: weight-is-positive
    ref: ALL-2
    severity: low
    key: [node, job.id]
    always: { event: job.begun, assert: "weight > 0" }
breakers:
  - id: stop-jobs
    per: [node]
    trip: { rules: [job-ends], count: 1 }
    half_open_after: 1h
"#;

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// An Invar in which everything has happened that is counted.
async fn eventful() -> (Home, Pager, Invar) {
    let pager = Pager::start().await;
    let home = Home::new().pack("everything.yaml", PACK).alerts(&pager.alerts());
    let running = home.start().await;
    let begun = |id: &str, at: u64| Line::new("n1", "worker", "job.begun", json!({ "job.id": id })).at(at);
    let at = now_ms();
    running.send(&[begun("j-1", at - 2_000)]).await;
    running.send(&[begun("j-1", at - 2_000)]).await;
    let refused = running.receive("/v1/logs", "application/x-protobuf", vec![0xff; 40]).await;
    assert_eq!(refused.status, 400, "garbage was accepted");
    running.expect_incident("ALL-1", "n1").await;
    let delivered = eventually(PATIENCE, async || {
        let metrics = running.api.text("/metrics").await;
        ["invar_deliveries_total{", "invar_rule_unknown_total{", "invar_breakers_not_closed{"]
            .iter()
            .all(|name| metrics.contains(name))
            .then_some(())
    });
    assert!(delivered.await.is_some(), "not everything was counted:\n{}", running.api.text("/metrics").await);
    (home, pager, running)
}

/// The queries of a Grafana dashboard, with its variables filled in.
fn queries() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in fs::read_dir(root().join("dashboards")).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expr = target["expr"].as_str().unwrap();
                found.push((title.to_owned(), expr.replace("$__rate_interval", "1m").replace("$instance", ".*")));
            }
        }
    }
    assert!(found.len() > 12, "the dashboards were not read");
    found
}

/// The alerts' expressions, by name.
fn alerts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut name = String::new();
    for line in text(RULES).lines().map(str::trim) {
        if let Some(alert) = line.strip_prefix("- alert: ") {
            alert.clone_into(&mut name);
        } else if let Some(expr) = line.strip_prefix("expr: ") {
            found.push((name.clone(), expr.to_owned()));
        }
    }
    assert!(found.len() > 5, "the alerts were not read");
    found
}

/// The metrics of an expression, each with the labels that are asked of it; and the labels things are grouped by.
fn named(expr: &str) -> (BTreeMap<String, BTreeSet<String>>, BTreeSet<String>) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let (mut metrics, mut grouped) = (BTreeMap::<String, BTreeSet<String>>::new(), BTreeSet::new());
    let mut rest = expr;
    let mut last = String::new();
    while let Some(first) = rest.chars().next() {
        if first.is_ascii_alphabetic() {
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            rest[..end].clone_into(&mut last);
            rest = &rest[end..];
            if last.starts_with("invar_") || last.starts_with("process_") || last == "up" {
                metrics.entry(last.clone()).or_default();
            }
            continue;
        }
        if first == '"' {
            rest = &rest[1..];
            rest = &rest[rest.find('"').map_or(rest.len(), |end| end + 1)..];
            continue;
        }
        if first == '{' {
            let (inside, after) = rest[1..].split_once('}').unwrap();
            for part in inside.split(',') {
                let label = part.split(['=', '!']).next().unwrap().trim().to_owned();
                metrics.get_mut(&last).unwrap_or_else(|| panic!("{expr}: labels without a metric")).insert(label);
            }
            rest = after;
            continue;
        }
        if first == '(' && last == "by" {
            let (inside, after) = rest[1..].split_once(')').unwrap();
            grouped.extend(inside.split(',').map(|label| label.trim().to_owned()));
            last.clear();
            rest = after;
            continue;
        }
        rest = &rest[first.len_utf8()..];
    }
    (metrics, grouped)
}

/// Every label that each exported metric has.
fn exported(metrics: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let labels = found.entry(name.to_owned()).or_default();
        if let Some((inside, _)) = rest.strip_prefix('{').and_then(|rest| rest.rsplit_once('}')) {
            labels.extend(inside.split("\",").map(|pair| pair.split_once('=').unwrap().0.to_owned()));
        }
    }
    found
}

#[tokio::test]
async fn every_metric_and_label_that_is_named_is_exported() {
    let (_home, _pager, running) = eventful().await;
    let exported = exported(&running.api.text("/metrics").await);
    // Prometheus itself adds these.
    let of_prometheus = ["job", "instance", "le"];
    let mut wrong = Vec::new();
    for (place, expr) in queries().into_iter().chain(alerts()) {
        let (metrics, grouped) = named(&expr);
        assert!(!metrics.is_empty(), "{place}: `{expr}` names no metric");
        for (metric, labels) in metrics.iter().filter(|(metric, _)| *metric != "up") {
            let Some(known) = exported.get(metric) else {
                wrong.push(format!("{place}: {metric} is not exported"));
                continue;
            };
            for label in labels.iter().chain(&grouped) {
                if !known.contains(label) && !of_prometheus.contains(&label.as_str()) {
                    wrong.push(format!("{place}: {metric} has no label {label}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs promtool, with `input`; none where it is missing.
async fn promtool(arguments: &[&str], input: &str) -> Option<String> {
    let spawned = Command::new("promtool")
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut child) = spawned else {
        missing("promtool");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    Some(said)
}

#[tokio::test]
async fn promtool_accepts_the_rules_the_configuration_and_the_metrics() {
    if promtool(&["check", "rules", RULES], "").await.is_none() {
        return;
    }
    promtool(&["check", "config", CONFIG], "").await;
    let (_home, _pager, running) = eventful().await;
    let metrics = running.api.text("/metrics").await;
    let said = promtool(&["check", "metrics"], &metrics).await.unwrap_or_default();
    assert!(!said.contains("invar_"), "the linter has something to say: {said}");
}

/// A real Prometheus with the shipped configuration, of which only the target and the intervals are the test's.
struct Prometheus {
    _child: Child,
    _dir: TempDir,
    base: String,
}

impl Prometheus {
    async fn start(running: &Invar) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let target = running.api.base().trim_start_matches("http://");
        let config = text(CONFIG);
        assert!(config.contains("127.0.0.1:8080") && config.contains("scrape_interval: 15s"), "{config}");
        let config = config
            .replace("127.0.0.1:8080", target)
            .replace("scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 1s");
        fs::write(dir.path().join("prometheus.yaml"), config).unwrap();
        fs::write(dir.path().join("invar.rules.yaml"), text(RULES)).unwrap();
        let spawned = Command::new("prometheus")
            .arg("--config.file=prometheus.yaml")
            .arg("--storage.tsdb.path=data")
            .arg("--web.listen-address=127.0.0.1:0")
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let Ok(mut child) = spawned else {
            missing("prometheus");
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = tokio::time::timeout(PATIENCE, async {
            let mut said = Vec::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("\"Listening on\"")
                    && let Some((_, address)) = line.split_once("address=")
                {
                    return address.split_whitespace().next().unwrap().to_owned();
                }
                said.push(line);
            }
            panic!("prometheus ended: {said:#?}");
        });
        let address = address.await.expect("prometheus did not say where it listens");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let base = format!("http://{address}");
        // It listens before it answers.
        let ready = eventually(PATIENCE, async || {
            let get = reqwest::Method::GET;
            let reply = crate::harness::request(get, &format!("{base}/-/ready"), &[], Vec::new()).await;
            (reply.status == 200).then_some(())
        });
        ready.await.expect("prometheus did not become ready");
        Some(Prometheus { _child: child, _dir: dir, base })
    }

    async fn get(&self, path: &str) -> Value {
        crate::harness::request(reqwest::Method::GET, &format!("{}{path}", self.base), &[], Vec::new()).await.json()
    }

    /// The series that a query returns now.
    async fn query(&self, expr: &str) -> Result<Vec<Value>, String> {
        let encoded: String = expr.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}")).await;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default()),
            _ => Err(answer.to_string()),
        }
    }
}

#[tokio::test]
async fn a_real_prometheus_scrapes_invar_and_every_query_finds_its_series() {
    let (_home, _pager, running) = eventful().await;
    let Some(prometheus) = Prometheus::start(&running).await else { return };
    let mut empty: Vec<(String, String)> = queries();
    // Rates need two scrapes.
    let all = eventually(PATIENCE, async || {
        let mut still = Vec::new();
        for (title, expr) in &empty {
            let series = prometheus.query(expr).await.unwrap_or_else(|error| panic!("{title}: `{expr}`: {error}"));
            let numbers = series.iter().any(|series| series["value"][1].as_str().is_some_and(|value| value != "NaN"));
            if !numbers && !needs_traffic(expr) {
                still.push((title.clone(), expr.clone()));
            }
        }
        empty = still;
        empty.is_empty().then_some(())
    });
    let scraped = all.await.is_some();
    let targets = prometheus.get("/api/v1/targets").await;
    assert!(scraped, "no series for {empty:#?}; targets: {targets}");
    for (name, expr) in alerts() {
        prometheus.query(&expr).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let groups = eventually(PATIENCE, async || {
        let answer = prometheus.get("/api/v1/rules").await;
        let rules = answer["data"]["groups"][0]["rules"].as_array()?.clone();
        rules.iter().all(|rule| rule["health"] == "ok").then_some(rules)
    });
    let rules = groups.await.expect("Prometheus does not evaluate the alerting rules");
    assert_eq!(rules.len(), alerts().len());
    let pending = rules.iter().find(|rule| rule["name"] == "InvarCriticalIncident").unwrap();
    assert_ne!(pending["state"], "inactive", "a critical incident is open, and its alert does not see it");
    let down = rules.iter().find(|rule| rule["name"] == "InvarDown").unwrap();
    assert_eq!(down["state"], "inactive");
}

/// A quantile over a quiet minute is no number, and only what differs from nothing is shown by these.
fn needs_traffic(expr: &str) -> bool {
    expr.starts_with("histogram_quantile") || expr.ends_with("> 0")
}

#[tokio::test]
async fn an_alert_fires_when_invar_is_gone() {
    let (_home, _pager, running) = eventful().await;
    let Some(prometheus) = Prometheus::start(&running).await else { return };
    let (_, expr) = alerts().into_iter().find(|(name, _)| name == "InvarDown").unwrap();
    let up = eventually(PATIENCE, async || (!prometheus.query("up == 1").await.ok()?.is_empty()).then_some(()));
    assert!(up.await.is_some(), "Prometheus does not reach Invar");
    running.kill().await;
    let down = eventually(PATIENCE, async || (!prometheus.query(&expr).await.ok()?.is_empty()).then_some(()));
    assert!(down.await.is_some(), "`{expr}` does not see that Invar is gone");
}

/// The arguments of `invar serve` that an example gives.
fn flags(command: &str) -> Vec<String> {
    command
        .split(|c: char| c.is_whitespace() || c == '"' || c == ',')
        .filter(|word| word.starts_with("--"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_service_and_the_image_start_invar_with_flags_it_has() {
    let help = invar(&["serve", "--help"], b"").expect(0).stdout;
    let unit = text("deploy/systemd/invar.service");
    let service = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let image = text("deploy/docker/Dockerfile");
    let image = image.split("CMD [").nth(1).unwrap();
    for (place, flags) in [("the service", flags(service)), ("the image", flags(image))] {
        assert!(flags.len() >= 2, "{place} gives no flags");
        for flag in flags {
            assert!(help.contains(&flag), "{place} gives {flag}, which `invar serve` does not have");
        }
    }
    // What the image copies is there.
    assert!(root().join("rules").is_dir());
    let manifest = text("Cargo.toml");
    assert!(manifest.contains("[profile.dist]") && text("deploy/docker/Dockerfile").contains("--profile dist"));
}

#[test]
fn systemd_accepts_the_service() {
    // The binary must be there for systemd to be content: the one under test stands in for the installed one.
    let unit = text("deploy/systemd/invar.service");
    let program = crate::harness::binary();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("invar.service");
    fs::write(&file, unit.replace("/usr/local/bin/invar", &program.display().to_string())).unwrap();
    let run = std::process::Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output();
    let Ok(output) = run else { return missing("systemd-analyze") };
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("invar.service")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn the_collectors_example_sends_to_where_invar_listens() {
    let path: PathBuf = root().join("deploy/otel-collector/config.yaml");
    let config = fs::read_to_string(&path).unwrap();
    let config: Value = serde_saphyr::from_str(&config).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let listed = |kind: &str| -> BTreeSet<String> {
        config[kind].as_object().unwrap_or_else(|| panic!("no {kind}")).keys().cloned().collect()
    };
    let pipelines = config["service"]["pipelines"].as_object().unwrap();
    assert_eq!(pipelines.keys().collect::<Vec<_>>(), ["logs", "traces"]);
    for (name, pipeline) in pipelines {
        for kind in ["receivers", "processors", "exporters"] {
            for used in pipeline[kind].as_array().unwrap() {
                assert!(
                    listed(kind).contains(used.as_str().unwrap()),
                    "{name} uses {used}, which {kind} does not have"
                );
            }
        }
    }
    let used = config["service"]["extensions"].as_array().unwrap();
    assert!(used.iter().all(|used| listed("extensions").contains(used.as_str().unwrap())));
    let exporter = &config["exporters"]["otlp/invar"];
    let help = invar(&["serve", "--help"], b"").expect(0).stdout;
    assert!(help.contains(exporter["endpoint"].as_str().unwrap()), "Invar does not listen on {}", exporter["endpoint"]);
    assert_eq!(exporter["sending_queue"]["storage"], "file_storage", "a restart of the collector would lose events");
    assert_eq!(exporter["retry_on_failure"]["max_elapsed_time"], 0, "events would be given up");
}

#[test]
fn the_graphs_of_the_dashboard_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(&text("dashboards/invar-overview.json")).unwrap();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have one id");
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(x < 24 && taken.insert((x, y)), "{} lies over another", panel["title"]);
            }
        }
    }
}
