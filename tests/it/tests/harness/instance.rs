//! `invar serve` as a child process: started on free ports, stopped in order, or killed.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Child,
};

use super::{Api, PATIENCE, cli, eventually, root};

/// How many lines of the log a failure shows.
const LINES_SHOWN: usize = 60;

/// Where an Invar lives: its data, packs and settings stay while processes come and go.
pub(crate) struct Home {
    dir: TempDir,
    flags: Vec<String>,
}

impl Home {
    /// An empty one, without packs and receivers.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("invar-it-").tempdir().unwrap();
        fs::create_dir(dir.path().join("rules")).unwrap();
        Home { dir, flags: Vec::new() }
    }

    /// With shipped packs, by their file names.
    pub(crate) fn with_packs(names: &[&str]) -> Self {
        let mut home = Home::new();
        for name in names {
            let text = fs::read_to_string(root().join("rules").join(name)).unwrap();
            home = home.pack(name, &text);
        }
        home
    }

    /// Adds a pack of one's own.
    pub(crate) fn pack(self, file: &str, yaml: &str) -> Self {
        fs::write(self.rules().join(file), yaml).unwrap();
        self
    }

    /// Sets receivers and routes.
    pub(crate) fn alerts(self, yaml: &str) -> Self {
        let path = self.dir.path().join("alerts.yaml");
        fs::write(&path, yaml).unwrap();
        self.flag("--alerts").flag(&path.display().to_string())
    }

    /// Adds an argument of `invar serve`.
    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// The folder of its packs.
    pub(crate) fn rules(&self) -> PathBuf {
        self.dir.path().join("rules")
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn spawn(&self) -> (Child, Log) {
        let mut command = cli::command();
        command.arg("serve").arg("--data").arg(self.data());
        for port in ["--grpc", "--http", "--web"] {
            command.args([port, "127.0.0.1:0"]);
        }
        if holds_packs(&self.rules()) {
            command.arg("--rules").arg(self.rules());
        }
        command.args(&self.flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let log = Log::default();
        log.follow("out", child.stdout.take().unwrap());
        log.follow("err", child.stderr.take().unwrap());
        (child, log)
    }

    /// Starts a process over it and kills it after a moment, wherever it is by then.
    pub(crate) async fn start_and_kill_within(&self, moment: Duration) {
        let (mut child, _log) = self.spawn();
        tokio::time::sleep(moment).await;
        child.kill().await.unwrap();
    }

    /// Starts a process that must refuse to run, with exit code 2. What it said.
    pub(crate) async fn refuses_to_start(&self) -> String {
        let (mut child, log) = self.spawn();
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        let Ok(status) = ended else { panic!("it did not end within {PATIENCE:?}\n{}", log.last()) };
        // What it said last may still be on its way.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(status.unwrap().code(), Some(2), "{}", log.last());
        log.last()
    }

    /// Starts a process over it and waits until it accepts events.
    pub(crate) async fn start(&self) -> Invar {
        let (mut child, log) = self.spawn();
        let listening = eventually(PATIENCE, async || {
            let found = log.address("dashboard").zip(log.address("OTLP gRPC")).zip(log.address("OTLP HTTP"));
            if found.is_none()
                && let Some(status) = child.try_wait().unwrap()
            {
                // What it said last may still be on its way.
                tokio::time::sleep(Duration::from_millis(100)).await;
                panic!("invar ended before it listened: {status}\n{}", log.last());
            }
            found
        })
        .await;
        let Some(((web, grpc), http)) = listening else {
            panic!("invar did not say where it listens within {PATIENCE:?}\n{}", log.last());
        };
        Invar { child, log, api: Api::new(format!("http://{web}")), grpc, http }
    }
}

fn holds_packs(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_some()
}

/// What a process has printed so far.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn follow(&self, stream: &'static str, pipe: impl AsyncRead + Unpin + Send + 'static) {
        let lines = self.0.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                lines.lock().unwrap().push(format!("{stream} {line}"));
            }
        });
    }

    /// The address that was printed after `name`.
    fn address(&self, name: &str) -> Option<String> {
        let lines = self.0.lock().unwrap();
        let said = lines.iter().find_map(|line| line.strip_prefix("out ")?.trim().strip_prefix(name))?;
        Some(said.trim().trim_start_matches("http://").to_owned())
    }

    fn last(&self) -> String {
        let lines = self.0.lock().unwrap();
        let from = lines.len().saturating_sub(LINES_SHOWN);
        format!("its last {} lines:\n{}", lines.len() - from, lines[from..].join("\n"))
    }
}

/// A running `invar serve`. Dropping it kills it.
pub(crate) struct Invar {
    child: Child,
    log: Log,
    /// Its JSON API.
    pub(crate) api: Api,
    /// Where OTLP over gRPC listens.
    pub(crate) grpc: String,
    /// Where OTLP over HTTP listens.
    pub(crate) http: String,
}

impl Invar {
    /// What it printed last, for messages of failures.
    pub(crate) fn log(&self) -> String {
        self.log.last()
    }

    /// Whether it printed a line that holds `text`.
    pub(crate) fn said(&self, text: &str) -> bool {
        self.log.0.lock().unwrap().iter().any(|line| line.contains(text))
    }

    /// The incident of the rule with this reference at this node, as soon as there is one.
    pub(crate) async fn expect_incident(&self, reference: &str, node: &str) -> Value {
        self.expect_incident_within(reference, node, PATIENCE).await
    }

    /// As [`Invar::expect_incident`], with a limit of one's own.
    pub(crate) async fn expect_incident_within(&self, reference: &str, node: &str, within: Duration) -> Value {
        let found = eventually(within, async || {
            let incidents = self.api.items("/api/v1/incidents?limit=1000").await;
            incidents.into_iter().find(|incident| incident["ref"] == reference && incident["node"] == node)
        })
        .await;
        match found {
            Some(incident) => incident,
            None => {
                let seen: Vec<String> = self.api.items("/api/v1/incidents").await.iter().map(in_short).collect();
                panic!("no incident {reference} of {node} within {within:?}; there are {seen:#?}\n{}", self.log());
            }
        }
    }

    /// The references of all incidents, with their nodes, in order.
    pub(crate) async fn incidents(&self) -> Vec<(String, String)> {
        let incidents = self.api.items("/api/v1/incidents?limit=1000").await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut found: Vec<_> =
            incidents.iter().map(|incident| (text(&incident["ref"]), text(&incident["node"]))).collect();
        found.sort();
        found
    }

    /// Waits until everything that happened before `ms` (since the epoch) has been judged.
    pub(crate) async fn judged_past(&self, ms: u64) {
        let passed = eventually(PATIENCE, async || {
            let metrics = self.api.text("/metrics").await;
            let frontier = metric(&metrics, "invar_checker_frontier_timestamp_seconds")?;
            (frontier > ms as f64 / 1000.0).then_some(())
        })
        .await;
        assert!(passed.is_some(), "time did not pass {ms} within {PATIENCE:?}\n{}", self.log());
    }

    /// Asks it to stop, which must end well.
    pub(crate) async fn stop(mut self) {
        signal(self.child.id().expect("it has ended already"), libc::SIGTERM);
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let Ok(status) = ended else { panic!("it did not stop within {PATIENCE:?}\n{}", self.log()) };
        let status = status.unwrap();
        assert!(status.success(), "it stopped with {status}\n{}", self.log());
    }

    /// Waits until it ends by itself, as what can only go on after a restart does: with exit code 2. What it said.
    pub(crate) async fn ends(mut self) -> String {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let Ok(status) = ended else { panic!("it did not end within {PATIENCE:?}\n{}", self.log()) };
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(status.unwrap().code(), Some(2), "{}", self.log());
        self.log()
    }

    /// Kills it as a power cut would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it has ended")
    }
}

/// Bytes of memory that are a process's own.
pub(crate) fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// An unlabelled value out of Prometheus' text format.
pub(crate) fn metric(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

fn in_short(incident: &Value) -> String {
    format!("{} {} {}: {}", incident["ref"], incident["node"], incident["status"], incident["message"])
}

/// Sends a signal to a process of ours.
#[expect(unsafe_code, reason = "the standard library sends no signal but SIGKILL")]
pub(crate) fn signal(process: u32, signal: i32) {
    let process = i32::try_from(process).unwrap();
    // SAFETY: kill() takes two integers and touches no memory of ours.
    let sent = unsafe { libc::kill(process, signal) };
    assert_eq!(sent, 0, "no signal could be sent to {process}: {}", std::io::Error::last_os_error());
}
