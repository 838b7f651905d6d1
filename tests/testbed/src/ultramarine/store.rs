//! The file that a node keeps things in: named pieces of bytes, appended and synced; names are in memory, bytes are not.
//!
//! A piece that is written again replaces the former one, and an empty one deletes it. A piece without its end, after a
//! kill, is cut off when the file is opened.

use std::{collections::BTreeMap, io, path::Path};

use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
};

/// The store.
#[derive(Debug)]
pub(super) struct FileStore {
    file: File,
    end: u64,
    /// Where each piece begins, and its length.
    places: BTreeMap<String, (u64, usize)>,
}

impl FileStore {
    /// Opens or makes the file.
    pub(super) async fn open(path: &Path) -> io::Result<FileStore> {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).await?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).await?;
        let mut store = FileStore { file, end: 0, places: BTreeMap::new() };
        let mut at = 0;
        while let Some((name, start, length)) = piece(&bytes, at) {
            store.remember(name, start as u64, length);
            at = start + length + 1;
        }
        store.end = at as u64;
        store.file.set_len(store.end).await?;
        Ok(store)
    }

    fn remember(&mut self, name: String, start: u64, length: usize) {
        if length == 0 {
            self.places.remove(&name);
        } else {
            self.places.insert(name, (start, length));
        }
    }

    /// Writes a piece; returns once it is on disk.
    pub(super) async fn put(&mut self, name: String, bytes: &[u8]) -> io::Result<()> {
        let mut record = format!("{name} {}\n", bytes.len()).into_bytes();
        let start = self.end + record.len() as u64;
        record.extend_from_slice(bytes);
        record.push(b'\n');
        self.file.seek(io::SeekFrom::Start(self.end)).await?;
        self.file.write_all(&record).await?;
        self.file.flush().await?;
        self.file.sync_data().await?;
        self.end += record.len() as u64;
        self.remember(name, start, bytes.len());
        Ok(())
    }

    /// Deletes a piece, if there is one.
    pub(super) async fn delete(&mut self, name: String) -> io::Result<()> {
        if self.places.contains_key(&name) { self.put(name, &[]).await } else { Ok(()) }
    }

    /// Reads a piece back.
    pub(super) async fn get(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some((start, length)) = self.places.get(name).copied() else { return Ok(None) };
        let mut bytes = vec![0; length];
        self.file.seek(io::SeekFrom::Start(start)).await?;
        self.file.read_exact(&mut bytes).await?;
        Ok(Some(bytes))
    }

    /// Names that begin so, in order.
    pub(super) fn names(&self, prefix: &str) -> Vec<String> {
        self.places
            .range(prefix.to_owned()..)
            .map(|(name, _)| name.clone())
            .take_while(|n| n.starts_with(prefix))
            .collect()
    }
}

/// The whole piece that begins at `at`: its name, where its bytes start, and how many they are.
fn piece(bytes: &[u8], at: usize) -> Option<(String, usize, usize)> {
    let rest = bytes.get(at..)?;
    let head = rest.iter().position(|byte| *byte == b'\n')?;
    let (name, length) = std::str::from_utf8(&rest[..head]).ok()?.rsplit_once(' ')?;
    let (start, length) = (at + head + 1, length.parse::<usize>().ok()?);
    (bytes.get(start + length) == Some(&b'\n')).then(|| (name.to_owned(), start, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn store_reads_back_deletes_and_cuts_a_torn_tail() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let mut store = FileStore::open(&path).await.unwrap();
        store.put("block/1/0".to_owned(), b"one\ntwo 3").await.unwrap();
        store.put("block/2/0".to_owned(), b"x").await.unwrap();
        store.delete("block/2/0".to_owned()).await.unwrap();
        store.put("status/1/0".to_owned(), b"DECIDED").await.unwrap();
        let whole = std::fs::metadata(&path).unwrap().len();
        drop(store);
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(b"block/3/0 100\nabc");
        std::fs::write(&path, torn).unwrap();
        let mut store = FileStore::open(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), whole);
        assert_eq!(store.get("block/1/0").await.unwrap().unwrap(), b"one\ntwo 3");
        assert_eq!(store.names("block/"), ["block/1/0"]);
        assert_eq!(store.get("block/3/0").await.unwrap(), None);
    }
}
