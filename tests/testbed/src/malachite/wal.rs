//! The write-ahead log of one height: what the machine was told, in order, each line with a checksum. It is emptied when
//! the height is over. It knows nothing of what the entries mean.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    machine::Timeout,
    message::{Proposal, Value, Vote},
};

/// Something that the machine was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry {
    Value { round: i64, value: Value },
    Proposal(Proposal),
    Vote(Vote),
    Timeout(Timeout),
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("line {0} does not have its checksum")]
    Corrupted(usize),
}

/// The log's file.
#[derive(Debug)]
pub(super) struct Wal {
    path: PathBuf,
    file: File,
}

impl Wal {
    /// Opens the log for a height and reads what it has of it. A log of another height is emptied.
    pub(super) fn open(folder: &Path, height: i64) -> Result<(Wal, Vec<Entry>), WalError> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join("wal");
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        let mut lines = text.lines();
        if lines.next() != Some(&header(height)) {
            return Ok((Wal::empty(folder, height)?, Vec::new()));
        }
        let mut entries = Vec::new();
        for (number, line) in lines.enumerate() {
            let whole = line.split_once(' ').filter(|(sum, json)| *sum == checksum(json));
            let entry = whole.and_then(|(_, json)| serde_json::from_str(json).ok());
            entries.push(entry.ok_or(WalError::Corrupted(number + 1))?);
        }
        let file = OpenOptions::new().append(true).open(&path)?;
        Ok((Wal { path, file }, entries))
    }

    /// Begins the log of a height anew.
    pub(super) fn empty(folder: &Path, height: i64) -> Result<Wal, WalError> {
        let path = folder.join("wal");
        let mut file = File::create(&path)?;
        writeln!(file, "{}", header(height))?;
        Ok(Wal { path, file })
    }

    /// Adds an entry.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), WalError> {
        let json = serde_json::to_string(entry).map_err(io::Error::from)?;
        writeln!(self.file, "{} {json}", checksum(&json))?;
        Ok(())
    }

    /// Empties the log for the next height.
    pub(super) fn reset(&mut self, height: i64) -> Result<(), WalError> {
        self.file = File::create(&self.path)?;
        writeln!(self.file, "{}", header(height))?;
        Ok(())
    }
}

/// Changes a byte of the log's last entry, as a failing disk would.
pub(super) fn damage(folder: &Path) -> io::Result<()> {
    let path = folder.join("wal");
    let mut bytes = std::fs::read(&path)?;
    let place = bytes.len().saturating_sub(4);
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1;
    }
    std::fs::write(&path, bytes)
}

fn header(height: i64) -> String {
    format!("height {height}")
}

fn checksum(json: &str) -> String {
    hex::encode(&Sha256::digest(json.as_bytes())[..4])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::malachite::machine::Step;

    #[test]
    fn a_log_is_read_back_and_a_damaged_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let entry = Entry::Timeout(Timeout { height: 5, round: 0, step: Step::Propose });
        let (mut wal, entries) = Wal::open(folder.path(), 5).unwrap();
        assert!(entries.is_empty());
        wal.append(&entry).unwrap();
        assert_eq!(Wal::open(folder.path(), 5).unwrap().1, [entry]);
        damage(folder.path()).unwrap();
        assert!(matches!(Wal::open(folder.path(), 5), Err(WalError::Corrupted(1))));
        assert!(Wal::open(folder.path(), 6).unwrap().1.is_empty(), "the log of another height is of no use");
    }
}
