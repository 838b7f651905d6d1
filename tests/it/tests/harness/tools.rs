//! Tools of other languages, as `tests/run` installs them. A missing one is said loudly, and is a failure where
//! `INVAR_TEST_REQUIRE=all` asks for all.
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use tokio::io::AsyncWriteExt;

use super::{Line, PATIENCE, root};

/// Where `tests/run` puts what it installs.
fn folder() -> PathBuf {
    std::env::var_os("INVAR_TEST_TOOLS").map_or_else(|| root().join("target/test-tools"), PathBuf::from)
}

#[expect(clippy::print_stderr, reason = "a test that is left out must be seen in the log")]
pub(crate) fn missing(what: &str) {
    assert_ne!(
        std::env::var("INVAR_TEST_REQUIRE").as_deref(),
        Ok("all"),
        "{what} is missing and INVAR_TEST_REQUIRE=all"
    );
    eprintln!("LEFT OUT: {what} is missing; `tests/run` installs it");
}

/// The interpreter that has the Python SDK.
pub(crate) fn python() -> Option<PathBuf> {
    let found = Some(folder().join("python/bin/python")).filter(|python| {
        let mut import = Command::new(python);
        import.args(["-c", "import opentelemetry.exporter.otlp.proto.http, opentelemetry.exporter.otlp.proto.grpc"]);
        import.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    });
    if found.is_none() {
        missing("the OpenTelemetry Python SDK");
    }
    found
}

/// Node, when the JavaScript SDK is there for it.
pub(crate) fn node() -> Option<PathBuf> {
    let sdk = folder().join("node/node_modules/@opentelemetry/sdk-logs/package.json").is_file();
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if !(sdk && node) {
        missing("the OpenTelemetry JavaScript SDK");
        return None;
    }
    Some(PathBuf::from("node"))
}

/// Runs a sender of `sdk/` over a scenario; every export must succeed.
pub(crate) async fn run_sender(interpreter: PathBuf, script: &str, arguments: &[&str], lines: &[Line]) {
    let mut child = tokio::process::Command::new(interpreter)
        .arg(root().join("tests/it/sdk").join(script))
        .args(arguments)
        .env("INVAR_TEST_TOOLS", folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let scenario: String = lines.iter().map(|line| format!("{}\n", line.to_scenario())).collect();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(scenario.as_bytes()).await.unwrap();
    drop(stdin);
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{script} did not end within {PATIENCE:?}")).unwrap();
    assert!(output.status.success(), "{script}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
}
