//! What the tests share: the real binary as a child process on ports of its own, clients for its wires, a pager stand-in,
//! and the tools of other languages. It judges nothing: what must hold stands in the tests.
mod api;
mod cli;
mod events;
mod instance;
mod mounted;
mod pager;
mod tools;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use api::{Api, HTTP, Reply, request, try_request};
pub(crate) use cli::{Ran, command, invar};
pub(crate) use events::{Line, export_request, now_ms, rfc3339};
pub(crate) use instance::{Home, Invar, metric, resident, signal};
pub(crate) use mounted::Mounted;
pub(crate) use pager::Pager;
pub(crate) use tools::{missing, node, python, run_sender};

/// The shipped pack of an Aptos quorum store.
pub(crate) const APTOS: &str = "aptos-quorum-store.yaml";
/// The shipped pack of an Obyte AA composer.
pub(crate) const OBYTE: &str = "obyte-aa-composer.yaml";

/// How long anything may take that is not measured: generous, because tests share a machine with builds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The binary under test: the one that was built with these tests, or the one that `INVAR_TEST_BINARY` names.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("INVAR_TEST_BINARY")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_invar-under-test")), PathBuf::from)
}

/// Looks again and again until there is something to see; none when there was nothing within `within`.
pub(crate) async fn eventually<T>(within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = tokio::time::Instant::now() + within;
    loop {
        if let Some(seen) = look().await {
            return Some(seen);
        }
        if tokio::time::Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
