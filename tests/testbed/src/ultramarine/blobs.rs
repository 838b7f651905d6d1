//! The blob engine: verifies blobs against a payload and keeps them, undecided until they are marked.

use std::{io, path::Path, time::Duration};

use opentelemetry::logs::AnyValue;

use super::{
    chain::{At, commitment, versioned_hash},
    store::FileStore,
};
use crate::telemetry::Telemetry;

/// How long verifying the blobs of a block may take.
pub(super) const VERIFY_WITHIN: Duration = Duration::from_secs(5);

/// How long a blob takes to verify without the tables that speed it up.
const WITHOUT_TABLES: Duration = Duration::from_millis(220);

/// The engine.
#[derive(Debug)]
pub(super) struct BlobEngine {
    store: FileStore,
}

/// Where and how something was done to blobs, for its event.
pub(super) struct Step<'a> {
    pub(super) telemetry: &'a Telemetry,
    pub(super) at: At,
    /// The peer that the blobs came from, in sync.
    pub(super) peer: Option<&'a str>,
}

impl Step<'_> {
    /// Reports it.
    pub(super) fn report(&self, name: &'static str, indices: &[i64], status: &'static str) {
        let list = AnyValue::ListAny(Box::new(indices.iter().copied().map(AnyValue::Int).collect()));
        let (height, round) = (AnyValue::Int(self.at.height), AnyValue::Int(self.at.round));
        let count = AnyValue::Int(i64::try_from(indices.len()).unwrap_or(i64::MAX));
        let rest =
            [("height", height), ("round", round), ("count", count), ("indices", list), ("status", status.into())];
        match self.peer {
            Some(peer) => {
                let [a, b, c, d, e] = rest;
                let peer = ("peer", AnyValue::from(peer.to_owned()));
                self.telemetry.record("blob_engine", name, [a, b, c, d, e, peer]);
            }
            None => self.telemetry.record("blob_engine", name, rest),
        }
    }
}

/// Whether blobs are those that the payload names. Runs on a thread of its own, as KZG would.
pub(super) async fn verify(
    blobs: Vec<Vec<u8>>,
    versioned_hashes: Vec<String>,
    without_tables: bool,
) -> Result<(), usize> {
    if without_tables {
        tokio::time::sleep(WITHOUT_TABLES * u32::try_from(blobs.len()).unwrap_or(u32::MAX)).await;
    }
    let checked = tokio::task::spawn_blocking(move || {
        let differs = |(blob, hash): (&Vec<u8>, &String)| versioned_hash(&commitment(blob)) != *hash;
        match blobs.iter().zip(&versioned_hashes).position(differs) {
            Some(index) => Err(index),
            None if blobs.len() != versioned_hashes.len() => Err(blobs.len().min(versioned_hashes.len())),
            None => Ok(()),
        }
    });
    checked.await.unwrap_or(Err(0))
}

fn name(at: At, index: i64) -> String {
    format!("blob/{}/{}/{index}", at.height, at.round)
}

fn status_name(at: At) -> String {
    format!("status/{}/{}", at.height, at.round)
}

impl BlobEngine {
    pub(super) async fn open(path: &Path) -> io::Result<BlobEngine> {
        Ok(BlobEngine { store: FileStore::open(path).await? })
    }

    /// Keeps blobs under their indices, undecided.
    pub(super) async fn store(&mut self, at: At, blobs: &[Vec<u8>], indices: &[i64]) -> io::Result<()> {
        for (blob, index) in blobs.iter().zip(indices) {
            self.store.put(name(at, *index), blob).await?;
        }
        self.store.put(status_name(at), b"UNDECIDED").await
    }

    /// The indices of the blobs that are kept for a height and round, in order.
    pub(super) fn indices(&self, at: At) -> Vec<i64> {
        let prefix = format!("blob/{}/{}/", at.height, at.round);
        let parse = |name: &String| name.strip_prefix(&prefix)?.parse().ok();
        let mut indices: Vec<i64> = self.store.names(&prefix).iter().filter_map(parse).collect();
        indices.sort_unstable();
        indices
    }

    pub(super) async fn is_decided(&mut self, at: At) -> io::Result<bool> {
        Ok(self.store.get(&status_name(at)).await?.as_deref() == Some(b"DECIDED"))
    }

    /// Lets blobs be imported from now on; returns their indices.
    pub(super) async fn mark_decided(&mut self, at: At) -> io::Result<Vec<i64>> {
        self.store.put(status_name(at), b"DECIDED").await?;
        Ok(self.indices(at))
    }

    /// Deletes what is kept for a height and round; returns the indices.
    pub(super) async fn delete(&mut self, at: At) -> io::Result<Vec<i64>> {
        let indices = self.indices(at);
        for index in &indices {
            self.store.delete(name(at, *index)).await?;
        }
        self.store.delete(status_name(at)).await?;
        Ok(indices)
    }

    /// The blobs of a height and round in order, once they are decided.
    pub(super) async fn get_for_import(&mut self, at: At) -> io::Result<Vec<Vec<u8>>> {
        let mut blobs = Vec::new();
        if self.is_decided(at).await? {
            for index in self.indices(at) {
                blobs.extend(self.store.get(&name(at, index)).await?);
            }
        }
        Ok(blobs)
    }
}
