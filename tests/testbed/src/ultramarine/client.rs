//! The asking side of sync: requests a decided value, checks and stores what comes, and hands it to consensus.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    blobs::{Step, VERIFY_WITHIN, verify},
    chain::{At, Payload, hash_hex},
    height_event,
    network::{Package, Request},
    process::{App, Fatal},
};
use crate::{clock::millis, faults::Fault, telemetry::count};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Bad packages in a row that ban a peer, and for how long.
const BAD_PACKAGES: u32 = 3;
const BANNED_FOR: Duration = Duration::from_secs(60);
/// What a bad package costs a peer.
const PENALTY: f64 = 10.0;
/// How often a node that hangs still looks at its peers' heights.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// Requests of a flood.
const FLOOD: usize = 25;

/// What a node thinks of its peers.
#[derive(Debug, Default)]
pub(super) struct Scores(BTreeMap<String, Score>);

#[derive(Debug, Default)]
struct Score {
    score: f64,
    bad_in_a_row: u32,
    banned_until: Option<Instant>,
}

impl Scores {
    fn is_banned(&self, peer: &str) -> bool {
        self.0.get(peer).and_then(|score| score.banned_until).is_some_and(|until| Instant::now() < until)
    }

    fn good(&mut self, peer: &str) {
        self.0.entry(peer.to_owned()).or_default().bad_in_a_row = 0;
    }

    /// Takes score from a peer, and bans it when it has sent nothing else for a while.
    fn penalize(&mut self, peer: &str, reason: &'static str) {
        let entry = self.0.entry(peer.to_owned()).or_default();
        entry.score -= PENALTY;
        entry.bad_in_a_row += 1;
        let score = entry.score;
        tracing::event!(
            name: "ultramarine.peer.penalized",
            target: "malachite_sync",
            tracing::Level::WARN,
            peer,
            reason,
            score
        );
        if entry.bad_in_a_row >= BAD_PACKAGES {
            entry.bad_in_a_row = 0;
            entry.banned_until = Some(Instant::now() + BANNED_FOR);
            tracing::event!(
                name: "ultramarine.peer.banned",
                target: "malachite_sync",
                tracing::Level::WARN,
                peer,
                reason,
                score
            );
        }
    }
}

/// A package that passed its checks.
struct Checked {
    at: At,
    value_id: String,
    payload: Vec<u8>,
    versioned_hashes: Vec<String>,
    blobs: Vec<Vec<u8>>,
}

impl App<'_> {
    /// One attempt to sync a height from one peer; what consensus was given, if anything.
    pub(super) async fn sync(&mut self, height: i64) -> Result<Option<(At, String)>, Fatal> {
        let others = self.network.others(self.node).into_iter();
        let peers: Vec<String> = others
            .filter(|(peer, committed)| *committed >= height && !self.carried.scores.is_banned(peer))
            .map(|(peer, _)| peer)
            .collect();
        if peers.is_empty() {
            return Ok(None);
        }
        let first = self.chain.choice(height, peers.len());
        let peer = &peers[(first + self.failures) % peers.len()];
        if self.on(Fault::UltramarineSyncFlood) {
            for _ in 0..FLOOD {
                drop(self.request(height, peer).await);
            }
        }
        let given = self.fetch(height, peer).await?;
        if self.on(Fault::UltramarineDuplicateSync) && given.is_some() && peers.len() > 1 {
            let other = &peers[(first + self.failures + 1) % peers.len()];
            self.fetch(height, other).await?;
        }
        Ok(given)
    }

    async fn request(&mut self, height: i64, peer: &str) -> Option<(String, oneshot::Receiver<Option<Vec<u8>>>)> {
        self.requests += 1;
        let id = format!("{}-{}-{}", self.node, self.pid, self.requests);
        tracing::event!(
            name: "ultramarine.sync.value.requested",
            target: "malachite_sync",
            tracing::Level::INFO,
            height,
            peer,
            request_id = id.as_str(),
        );
        let (reply, answer) = oneshot::channel();
        let metadata_only = self.on(Fault::UltramarineMetadataAccepted);
        let request = Request { height, from: self.node.to_owned(), id: id.clone(), metadata_only, reply };
        self.network.requests_to(peer)?.send(request).await.ok()?;
        Some((id, answer))
    }

    async fn fetch(&mut self, height: i64, peer: &str) -> Result<Option<(At, String)>, Fatal> {
        let Some((id, answer)) = self.request(height, peer).await else { return Ok(None) };
        let Ok(Ok(Some(bytes))) = timeout(ANSWER_WITHIN, answer).await else { return Ok(None) };
        let decoded = match serde_json::from_slice::<Package>(&bytes) {
            Ok(package) if !self.on(Fault::UltramarineDecoderBroken) => Ok(package),
            Ok(_) => Err("unknown package version".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let package = match decoded {
            Ok(package) => package,
            Err(error) => {
                let at = At { height, round: -1 };
                let error = error.as_str();
                height_event!(WARN, "app", "ultramarine.sync.value.decode_failed", at, peer, error);
                if !self.on(Fault::UltramarineDecoderBroken) {
                    self.carried.scores.penalize(peer, "decode");
                }
                self.reject(at, peer, "decode");
                return Ok(None);
            }
        };
        let at = At { height, round: package.round };
        let value_hash = hash_hex(package.content.as_ref().map_or("", |(payload, _)| payload.as_str()).as_bytes());
        height_event!(
            INFO,
            "app",
            "ultramarine.sync.value.received",
            at,
            peer,
            request_id = id.as_str(),
            package = if package.content.is_some() { "full" } else { "metadata_only" },
            package_bytes = count(bytes.len()),
            value_id = package.value_id.as_str(),
            value_hash = value_hash.as_str()
        );
        if package.content.is_none() {
            if !self.on(Fault::UltramarineMetadataAccepted) {
                self.reject(at, peer, "metadata_only");
                return Ok(None);
            }
            // A client of a later version: it takes the value, and has no block for it.
            self.store_proposal(at, peer, &package.value_id, 0).await?;
            self.reply(at, peer, &package.value_id);
            return Ok(Some((at, package.value_id)));
        }
        match self.check(at, &package) {
            Some(checked) => self.accept(peer, checked).await,
            None => {
                self.carried.scores.penalize(peer, "invalid");
                self.reject(at, peer, "decode");
                Ok(None)
            }
        }
    }

    /// Whether a package is of the decided round, and its value that of its payload. The round stands in for the
    /// certificate's signatures.
    fn check(&self, at: At, package: &Package) -> Option<Checked> {
        let (payload, blobs) = package.content.as_ref()?;
        let payload = hex::decode(payload).ok()?;
        let blobs = blobs.iter().map(hex::decode).collect::<Result<Vec<_>, _>>().ok()?;
        let certified = at.round == package.certificate_round && at == self.chain.decided(at.height);
        let value_id = hash_hex(&payload);
        let versioned_hashes = serde_json::from_slice::<Payload>(&payload).ok()?.versioned_hashes;
        let whole = certified && value_id == package.value_id && blobs.len() == versioned_hashes.len();
        whole.then_some(Checked { at, value_id, payload, versioned_hashes, blobs })
    }

    /// Stores and verifies a package in the order that consensus relies on.
    async fn accept(&mut self, peer: &str, checked: Checked) -> Result<Option<(At, String)>, Fatal> {
        let Checked { at, value_id, payload, versioned_hashes, blobs } = checked;
        self.stores.lock().await.put_payload(at, &payload).await?;
        height_event!(
            INFO,
            "consensus_store",
            "ultramarine.sync.payload.stored",
            at,
            peer,
            bytes = count(payload.len()),
            payload_hash = hash_hex(&payload).as_str()
        );
        let blob_count = blobs.len();
        if blob_count > 0 {
            if !self.verified(at, peer, &blobs, versioned_hashes).await {
                return Ok(None);
            }
            let mut stores = self.stores.lock().await;
            let indices: Vec<i64> = (0..count(blob_count)).collect();
            stores.blobs.store(at, &blobs, &indices).await?;
            let step = Step { telemetry: self.telemetry, at, peer: Some(peer) };
            step.report("ultramarine.blob.stored", &indices, "UNDECIDED");
            if self.on(Fault::UltramarineMarkDecidedFails) {
                // The error is logged, and that is all.
                step.report("ultramarine.blob.mark_decided_failed", &indices, "UNDECIDED");
                self.carried.unmarkable.insert(at);
            } else {
                let indices = stores.blobs.mark_decided(at).await?;
                step.report("ultramarine.blob.marked_decided", &indices, "DECIDED");
            }
        }
        if self.on(Fault::UltramarineReplyBeforeProposal) {
            // Consensus has the value, and the store has no proposal for it.
            self.reply(at, peer, &value_id);
            return Ok(Some((at, value_id)));
        }
        self.store_proposal(at, peer, &value_id, blob_count).await?;
        self.carried.scores.good(peer);
        self.reply(at, peer, &value_id);
        Ok(Some((at, value_id)))
    }

    /// Verifies blobs and says so. False when the package is rejected.
    async fn verified(&mut self, at: At, peer: &str, blobs: &[Vec<u8>], versioned_hashes: Vec<String>) -> bool {
        let blob_count = count(blobs.len());
        height_event!(INFO, "blob_engine", "ultramarine.blob.verify_started", at, peer, count = blob_count);
        if self.on(Fault::UltramarineVerificationHangs) {
            // Nothing but the watch on the peers goes on.
            while self.on(Fault::UltramarineVerificationHangs) {
                tokio::time::sleep(STATUS_EVERY).await;
                self.report_lag(at.height);
            }
            return false;
        }
        let begun = Instant::now();
        // With the wrong trusted setup nothing can be verified.
        let ignores = self.on(Fault::UltramarineVerifyIgnored);
        let hashes = if ignores { Vec::new() } else { versioned_hashes };
        let slow = self.on(Fault::UltramarineVerificationSlow);
        let verified = timeout(VERIFY_WITHIN, verify(blobs.to_vec(), hashes, slow)).await;
        let duration_ms = millis(begun.elapsed());
        match verified {
            Ok(Ok(())) => {
                height_event!(
                    INFO,
                    "blob_engine",
                    "ultramarine.blob.verified",
                    at,
                    peer,
                    count = blob_count,
                    duration_ms
                );
                return true;
            }
            Ok(Err(index)) => {
                let index = count(index);
                height_event!(
                    WARN,
                    "blob_engine",
                    "ultramarine.blob.verify_failed",
                    at,
                    peer,
                    count = blob_count,
                    duration_ms,
                    index
                );
            }
            Err(_) => height_event!(
                WARN,
                "blob_engine",
                "ultramarine.blob.verify_timeout",
                at,
                peer,
                count = blob_count,
                duration_ms
            ),
        }
        self.carried.scores.penalize(peer, "kzg");
        if ignores {
            return true;
        }
        self.reject(at, peer, "kzg");
        false
    }

    async fn store_proposal(&mut self, at: At, peer: &str, value_id: &str, blobs: usize) -> Result<(), Fatal> {
        self.stores.lock().await.put_proposal(at, value_id, blobs).await?;
        let path = "sync";
        height_event!(INFO, "consensus_store", "ultramarine.proposal.stored", at, peer, value_id, path);
        Ok(())
    }

    /// Throws a package away, and tells consensus that there is no value.
    fn reject(&self, at: At, peer: &str, reason: &'static str) {
        height_event!(WARN, "app", "ultramarine.sync.value.rejected", at, peer, reason);
        self.reply(at, peer, "none");
    }

    fn reply(&self, at: At, peer: &str, value_id: &str) {
        height_event!(INFO, "app", "ultramarine.sync.value.replied", at, peer, value_id);
    }
}
