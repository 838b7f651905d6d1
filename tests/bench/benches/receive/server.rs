//! A server in a process of its own, and what the kernel says of it (`proc(5)`).

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// `USER_HZ`: what /proc counts processor time in, on every Linux that Rust runs on.
const TICKS_PER_SECOND: u64 = 100;

/// See the module. Killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    /// None for a server that judges nothing.
    web: Option<SocketAddr>,
    _data: tempfile::TempDir,
}

impl Server {
    /// `invar serve` with the shipped packs, in a directory of its own; and what is laid over one of them.
    pub(crate) async fn invar(overlay: Option<&str>) -> anyhow::Result<Self> {
        let binary = match std::env::var_os("INVAR_BIN") {
            Some(path) => PathBuf::from(path),
            None => {
                let this = std::env::current_exe()?;
                this.ancestors().nth(2).context("the benchmark is in no target directory")?.join("invar")
            }
        };
        ensure!(binary.exists(), "{} is not built: cargo build --release -p invar", binary.display());
        let data = tempfile::tempdir()?;
        let rules = data.path().join("rules");
        let packs = copy_packs(&rules)? + usize::from(overlay.is_some());
        if let Some(overlay) = overlay {
            std::fs::write(rules.join("overlay.yaml"), overlay)?;
        }
        let mut command = Command::new(binary);
        command.arg("serve").arg("--data").arg(data.path().join("data")).arg("--rules").arg(&rules);
        for port in ["--http", "--grpc", "--web"] {
            command.args([port, "127.0.0.1:0"]);
        }
        let (child, lines) = started(command, 5)?;
        let address = |what: &str| {
            let line = lines.iter().find(|line| line.trim_start().starts_with(what));
            let address = line.and_then(|line| line.split_whitespace().last());
            let address = address.with_context(|| format!("no `{what}` in {lines:?}"))?;
            anyhow::Ok(address.trim_start_matches("http://").parse()?)
        };
        let (http, grpc, web) = (address("OTLP HTTP")?, address("OTLP gRPC")?, address("dashboard")?);
        let server = Self { child, http, grpc, web: Some(web), _data: data };
        // Packs are adopted through the journal, a frame each, after one that says that Invar was started: what is sent before
        // they are in force would not be judged.
        let frames = packs + 1;
        server
            .until("the packs are in force", |metrics| count(metrics, "invar_checker_frame") >= frames as f64)
            .await?;
        Ok(server)
    }

    /// The yardstick; see [`crate::plain`].
    pub(crate) async fn plain() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--plain-receiver");
        let (child, lines) = started(command, 1)?;
        let http = lines.first().context("the plain receiver says nothing")?.trim().parse()?;
        Ok(Self { child, http, grpc: http, web: None, _data: tempfile::tempdir()? })
    }

    /// Processor time so far, user and system, of all its threads.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is the program's name in brackets, and may hold anything.
        let rest = stat.rsplit_once(')').context("an unknown form of /proc/PID/stat")?.1;
        let mut fields = rest.split_whitespace().skip(11).map(str::parse::<u64>);
        let mut next = || fields.next().context("too few fields in /proc/PID/stat");
        let ticks = next()?? + next()??;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    /// The most memory it has held.
    pub(crate) fn peak_bytes(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmHWM:")
    }

    /// The memory it holds.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmRSS:")
    }

    fn status_bytes(&self, what: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let bytes = status.lines().find_map(|line| line.strip_prefix(what)).with_context(|| format!("no {what}"))?;
        Ok(bytes.trim().trim_end_matches("kB").trim().parse::<u64>()? << 10)
    }

    /// Waits until so many records have been taken, and everything that has happened by now has been judged: rules see events
    /// when the frontier has passed them, some seconds later.
    pub(crate) async fn settled(&self, records: usize) -> anyhow::Result<()> {
        if self.web.is_none() {
            return Ok(());
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
        self.until("everything sent has been judged", |metrics| {
            count(metrics, "invar_checker_events_total{outcome=\"judged\"}") >= records as f64
                && count(metrics, "invar_checker_frontier_timestamp_seconds") > now
        })
        .await
    }

    /// The sum of the samples whose name begins like this.
    pub(crate) async fn count(&self, name: &str) -> anyhow::Result<f64> {
        Ok(count(&self.metrics().await?, name))
    }

    async fn until(&self, what: &str, done: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let metrics = self.metrics().await?;
            if done(&metrics) {
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "waited too long until {what}:\n{metrics}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn metrics(&self) -> anyhow::Result<String> {
        let web = self.web.context("this server has no metrics")?;
        let mut stream = TcpStream::connect(web).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        ensure!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        Ok(reply)
    }
}

/// Copies the shipped packs into a folder, and says how many they are.
fn copy_packs(folder: &Path) -> anyhow::Result<usize> {
    std::fs::create_dir(folder)?;
    let mut packs = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules"))? {
        let file = file?;
        let name = file.file_name();
        if name.to_string_lossy().ends_with(".yaml") && !name.to_string_lossy().ends_with(".test.yaml") {
            std::fs::copy(file.path(), folder.join(name))?;
            packs += 1;
        }
    }
    Ok(packs)
}

fn count(metrics: &str, name: &str) -> f64 {
    let samples = metrics.lines().filter(|line| line.starts_with(name));
    samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// Starts a program and reads its first lines.
fn started(mut command: Command, lines: usize) -> anyhow::Result<(Child, Vec<String>)> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("its output is not at hand")?;
    let mut reader = BufReader::new(stdout);
    let mut said = Vec::new();
    for _ in 0..lines {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the server stopped: {said:?}");
        said.push(line);
    }
    // It may say more later; nobody listens, but it must not be stopped by a closed pipe.
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    Ok((child, said))
}

impl Drop for Server {
    fn drop(&mut self) {
        // Measured already: how it stops does not matter here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
