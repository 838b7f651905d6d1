//! The key-value store: one append-only file, a line a batch, synced to disk before a write returns.
//!
//! - A batch is written whole or not at all: a last line without its end is cut off when the file is opened.
//! - State variables stand under `st\n<agent>\n<var>`, and are kept in memory too; one that is null is none. Joints stand
//!   under `j\n<unit>`, and are only written.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
};

use super::agent::Vars;

/// The store of one node.
#[derive(Debug)]
pub(super) struct KvStore {
    path: PathBuf,
    file: File,
    state: BTreeMap<String, Vars>,
}

/// Writes that go to disk together.
#[derive(Debug, Default)]
pub(super) struct WriteBatch {
    state_vars: Vec<(String, String, Value)>,
    joints: Vec<String>,
}

impl WriteBatch {
    pub(super) fn state_var(&mut self, agent: &str, var: &str, value: Value) {
        self.state_vars.push((agent.to_owned(), var.to_owned(), value));
    }

    pub(super) fn joint(&mut self, unit: &str) {
        self.joints.push(unit.to_owned());
    }

    pub(super) fn state_var_count(&self) -> usize {
        self.state_vars.len()
    }

    pub(super) fn joint_count(&self) -> usize {
        self.joints.len()
    }
}

impl KvStore {
    /// Opens or makes the file, and reads what it holds.
    pub(super) async fn open(path: &Path) -> io::Result<KvStore> {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).await?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).await?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64).await?;
        }
        file.seek(io::SeekFrom::End(0)).await?;
        let mut store = KvStore { path: path.to_owned(), file, state: BTreeMap::new() };
        for line in text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let batch: BTreeMap<String, Value> = serde_json::from_slice(line)?;
            for (key, value) in batch {
                if let Some((agent, var)) = key.strip_prefix("st\n").and_then(|key| key.split_once('\n')) {
                    store.remember(agent, var, value);
                }
            }
        }
        Ok(store)
    }

    fn remember(&mut self, agent: &str, var: &str, value: Value) {
        let vars = self.state.entry(agent.to_owned()).or_default();
        if value.is_null() {
            vars.remove(var);
        } else {
            vars.insert(var.to_owned(), value);
        }
    }

    /// An agent's state variables.
    pub(super) fn vars(&self, agent: &str) -> Vars {
        self.state.get(agent).cloned().unwrap_or_default()
    }

    /// Opens the file again as on a volume that was remounted read-only: what is written from here on fails.
    pub(super) async fn lose_write_access(&mut self) -> io::Result<()> {
        self.file = OpenOptions::new().read(true).open(&self.path).await?;
        Ok(())
    }

    /// Writes a batch; with `sync`, returns once it is on disk.
    pub(super) async fn write(&mut self, batch: WriteBatch, sync: bool) -> io::Result<()> {
        let state = batch.state_vars.iter().map(|(agent, var, value)| (format!("st\n{agent}\n{var}"), value.clone()));
        let joints = batch.joints.iter().map(|unit| (format!("j\n{unit}"), Value::Bool(true)));
        let mut line = Value::Object(state.chain(joints).collect()).to_string();
        line.push('\n');
        self.file.write_all(line.as_bytes()).await?;
        self.file.flush().await?;
        if sync {
            self.file.sync_data().await?;
        }
        for (agent, var, value) in batch.state_vars {
            self.remember(&agent, &var, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn store_remembers_and_cuts_a_torn_tail() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kv");
        let mut store = KvStore::open(&path).await.unwrap();
        for counter in 1..=2 {
            let mut batch = WriteBatch::default();
            batch.state_var("AGENT", "counter", json!(counter));
            batch.joint("unit=");
            store.write(batch, true).await.unwrap();
        }
        drop(store);
        let mut torn = std::fs::read(&path).unwrap();
        let whole = torn.len();
        torn.extend_from_slice(br#"{"st\nAGENT\ncounter":3"#);
        std::fs::write(&path, torn).unwrap();
        let store = KvStore::open(&path).await.unwrap();
        assert_eq!(store.vars("AGENT")["counter"], 2);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), whole as u64);
        assert!(store.vars("NOBODY").is_empty());
    }

    #[tokio::test]
    async fn store_forgets_what_becomes_null_and_keeps_what_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kv");
        let mut store = KvStore::open(&path).await.unwrap();
        let batch = |value: Value| {
            let mut batch = WriteBatch::default();
            batch.state_var("AGENT", "counter", value);
            batch
        };
        store.write(batch(json!(1)), true).await.unwrap();
        store.write(batch(Value::Null), false).await.unwrap();
        assert!(store.vars("AGENT").is_empty());
        store.write(batch(json!(2)), true).await.unwrap();
        store.lose_write_access().await.unwrap();
        assert!(store.write(batch(json!(3)), true).await.is_err());
        assert_eq!(store.vars("AGENT")["counter"], 2);
        drop(store);
        assert_eq!(KvStore::open(&path).await.unwrap().vars("AGENT")["counter"], 2);
    }
}
