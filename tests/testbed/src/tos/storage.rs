//! The database of a node: one append-only file, a line a commit, synced before a commit returns.
//!
//! Writes are staged between [`Storage::start_commit_point`] and its end, and a commit point that is rolled back leaves
//! nothing. A last line without its end is cut off when the file is opened.

use std::{collections::BTreeMap, io, path::Path};

use sha2::{Digest, Sha256};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
};

/// The database.
#[derive(Debug)]
pub(super) struct Storage {
    file: File,
    rows: BTreeMap<String, u64>,
    staged: Option<BTreeMap<String, u64>>,
}

impl Storage {
    /// Opens or makes the file, and reads what it holds.
    pub(super) async fn open(path: &Path) -> io::Result<Storage> {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).await?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).await?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64).await?;
        }
        file.seek(io::SeekFrom::End(0)).await?;
        let mut rows = BTreeMap::new();
        for line in text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            rows.extend(serde_json::from_slice::<BTreeMap<String, u64>>(line)?);
        }
        Ok(Storage { file, rows, staged: None })
    }

    /// A committed value; 0 when there is none.
    pub(super) fn get(&self, key: &str) -> u64 {
        self.rows.get(key).copied().unwrap_or_default()
    }

    /// Committed values whose keys begin so.
    pub(super) fn with_prefix<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = (&'s str, u64)> {
        self.rows
            .range(prefix.to_owned()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.as_str(), *value))
    }

    /// From here writes are staged. One commit point at a time.
    pub(super) fn start_commit_point(&mut self) -> io::Result<()> {
        if self.staged.is_some() {
            return Err(io::Error::other("a commit point is open already"));
        }
        self.staged = Some(BTreeMap::new());
        Ok(())
    }

    /// Writes a value: staged while a commit point is open, else at once.
    pub(super) async fn put(&mut self, key: String, value: u64) -> io::Result<()> {
        match &mut self.staged {
            Some(staged) => {
                staged.insert(key, value);
                Ok(())
            }
            None => self.append(BTreeMap::from([(key, value)])).await,
        }
    }

    /// Makes what is staged durable, or forgets it.
    pub(super) async fn end_commit_point(&mut self, commit: bool) -> io::Result<()> {
        let staged = self.staged.take().ok_or_else(|| io::Error::other("no commit point is open"))?;
        if commit { self.append(staged).await } else { Ok(()) }
    }

    async fn append(&mut self, rows: BTreeMap<String, u64>) -> io::Result<()> {
        let mut line = serde_json::to_string(&rows)?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).await?;
        self.file.flush().await?;
        self.file.sync_data().await?;
        self.rows.extend(rows);
        Ok(())
    }

    /// The digest of everything that is committed.
    pub(super) fn root(&self) -> String {
        let mut hash = Sha256::new();
        for (key, value) in &self.rows {
            hash.update(format!("{key}={value}\n"));
        }
        hex::encode(hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commit_point_is_all_or_nothing_and_a_torn_tail_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rocks");
        let mut storage = Storage::open(&path).await.unwrap();
        storage.start_commit_point().unwrap();
        assert!(storage.start_commit_point().is_err());
        storage.put("balance/a".to_owned(), u64::MAX).await.unwrap();
        assert_eq!(storage.get("balance/a"), 0);
        storage.end_commit_point(true).await.unwrap();
        let root = storage.root();
        storage.start_commit_point().unwrap();
        storage.put("balance/a".to_owned(), 1).await.unwrap();
        storage.end_commit_point(false).await.unwrap();
        assert!(storage.end_commit_point(true).await.is_err());
        drop(storage);
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(br#"{"balance/a":7"#);
        std::fs::write(&path, torn).unwrap();
        let storage = Storage::open(&path).await.unwrap();
        assert_eq!((storage.get("balance/a"), storage.root()), (u64::MAX, root));
        assert_eq!(storage.with_prefix("balance/").collect::<Vec<_>>(), [("balance/a", u64::MAX)]);
    }
}
