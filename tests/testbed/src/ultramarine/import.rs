//! What follows a decision: the payload and its blobs are read back, executed, and the height is committed.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{
    blobs::Step,
    chain::{At, Payload, commitment, versioned_hash},
    execution::Call,
    height_event,
    process::{App, Fatal},
};
use crate::{faults::Fault, telemetry::count};

/// How long an import waits for an execution layer that is syncing before it asks again.
const SYNCING_WAIT: Duration = Duration::from_millis(500);
/// How far behind the head the pruning job deletes blobs.
const PRUNED_BEHIND: i64 = 3;

impl App<'_> {
    /// Imports a decided value.
    pub(super) async fn import(&mut self, at: At, value_id: &str) -> Result<(), Fatal> {
        self.behind_since = None;
        let signatures = count(self.world.config.nodes * 2 / 3 + 1);
        height_event!(INFO, "app", "ultramarine.consensus.decided", at, value_id, signatures);
        self.settle_blobs(at).await?;
        let (read, payload) = self.read_payload(at).await?;
        let Some(payload) = payload else {
            height_event!(ERROR, "app", "ultramarine.import.block_data.missing", read, bytes = 0_i64);
            return Err(Fatal::Broken("Missing block bytes for decided value".to_owned()));
        };
        height_event!(INFO, "app", "ultramarine.import.block_data.loaded", read, bytes = count(payload.len()));
        let payload: Payload =
            serde_json::from_slice(&payload).map_err(|error| Fatal::Broken(format!("payload: {error}")))?;
        self.check_blobs(at, &payload).await?;
        self.execute(at, &payload).await?;
        let mut stores = self.stores.lock().await;
        if stores.proposal(at).await?.is_none_or(|(stored, _)| stored != value_id) {
            let error = "Trying to commit a value that is not decided";
            height_event!(ERROR, "app", "ultramarine.block.commit_failed", at, value_id, error);
            return Err(Fatal::Broken(error.to_owned()));
        }
        stores.put_decided(at, value_id).await?;
        drop(stores);
        let block_hash = payload.block_hash.as_str();
        height_event!(INFO, "app", "ultramarine.block.committed", at, value_id, block_hash);
        self.committed(at.height);
        if self.on(Fault::UltramarineBlobsPruned) {
            self.prune(at.height - PRUNED_BEHIND).await?;
        }
        Ok(())
    }

    /// Reads what was decided back, and says of which round it is.
    async fn read_payload(&self, at: At) -> Result<(At, Option<Vec<u8>>), Fatal> {
        let mut stores = self.stores.lock().await;
        let decided = stores.payload(at).await?;
        let first = At { round: 0, ..at };
        if self.on(Fault::UltramarineImportsRoundZero)
            && let Some(payload) = stores.payload(first).await?
            && decided.as_ref().is_some_and(|decided| have_other_blobs(&payload, decided))
        {
            return Ok((first, Some(payload)));
        }
        Ok((at, decided))
    }

    /// Marks the decided blobs, and drops those of rounds that decided nothing.
    async fn settle_blobs(&self, at: At) -> Result<(), Fatal> {
        let mut stores = self.stores.lock().await;
        if !stores.blobs.indices(at).is_empty()
            && !stores.blobs.is_decided(at).await?
            && !self.carried.unmarkable.contains(&at)
        {
            let indices = stores.blobs.mark_decided(at).await?;
            let step = Step { telemetry: self.telemetry, at, peer: None };
            step.report("ultramarine.blob.marked_decided", &indices, "DECIDED");
        }
        for round in (0..=1).filter(|round| *round != at.round) {
            let other = At { round, ..at };
            if !stores.blobs.indices(other).is_empty() {
                let indices = stores.blobs.delete(other).await?;
                let step = Step { telemetry: self.telemetry, at: other, peer: None };
                step.report("ultramarine.blob.round_dropped", &indices, "DROPPED");
            }
        }
        Ok(())
    }

    async fn check_blobs(&self, at: At, payload: &Payload) -> Result<(), Fatal> {
        let blobs = self.stores.lock().await.blobs.get_for_import(at).await?;
        let expected = payload.versioned_hashes.len();
        if blobs.is_empty() && expected == 0 {
            return Ok(());
        }
        let found: Vec<String> = blobs.iter().map(|blob| versioned_hash(&commitment(blob))).collect();
        let hashes_match = found == payload.versioned_hashes;
        height_event!(
            INFO,
            "app",
            "ultramarine.import.blobs.checked",
            at,
            blobs = count(blobs.len()),
            versioned_hashes = count(expected),
            hashes_match
        );
        if blobs.len() != expected {
            return Err(Fatal::Broken(format!("Blob count mismatch: {} of {expected}", blobs.len())));
        }
        if hashes_match { Ok(()) } else { Err(Fatal::Broken("Versioned hash mismatch".to_owned())) }
    }

    async fn execute(&self, at: At, payload: &Payload) -> Result<(), Fatal> {
        let gone = || Fatal::Broken("the execution layer is gone".to_owned());
        let block_hash = payload.block_hash.as_str();
        let mut hurried = false;
        loop {
            let (reply, status) = oneshot::channel();
            let (block_hash, parent_hash) = (payload.block_hash.clone(), payload.parent_hash.clone());
            let call = Call::NewPayload { height: at.height, block_hash, parent_hash, reply };
            self.execution.send(call).await.map_err(|_| gone())?;
            let mut status = status.await.map_err(|_| gone())?;
            if self.on(Fault::UltramarineHeadMovesWhileSyncing) && !hurried {
                // The execution layer fell behind, and the node does not wait for it.
                (status, hurried) = ("SYNCING", true);
            }
            height_event!(
                INFO,
                "execution_layer",
                "ultramarine.el.new_payload",
                at,
                block_hash = payload.block_hash.as_str(),
                parent_hash = payload.parent_hash.as_str(),
                status
            );
            match status {
                "VALID" => break,
                "SYNCING" if hurried => break,
                "SYNCING" => tokio::time::sleep(SYNCING_WAIT).await,
                _ => return Err(Fatal::Broken(format!("payload of height {} is {status}", at.height))),
            }
        }
        let (reply, status) = oneshot::channel();
        let call = Call::Forkchoice { block_hash: payload.block_hash.clone(), reply };
        self.execution.send(call).await.map_err(|_| gone())?;
        let status = status.await.map_err(|_| gone())?;
        height_event!(INFO, "execution_layer", "ultramarine.el.forkchoice_updated", at, block_hash, status);
        Ok(())
    }

    /// The job that no node should run yet.
    async fn prune(&self, height: i64) -> Result<(), Fatal> {
        let at = self.chain.decided(height);
        let mut stores = self.stores.lock().await;
        if !stores.blobs.indices(at).is_empty() {
            let indices = stores.blobs.delete(at).await?;
            let step = Step { telemetry: self.telemetry, at, peer: None };
            step.report("ultramarine.blob.pruned", &indices, "PRUNED");
        }
        Ok(())
    }
}

/// Whether two payloads name different blobs. Where none of both names any, a payload that was taken for another is not
/// noticed when it is imported, and the node never comes to a height at which it would be.
fn have_other_blobs(one: &[u8], other: &[u8]) -> bool {
    let hashes =
        |payload: &[u8]| serde_json::from_slice::<Payload>(payload).map(|payload| payload.versioned_hashes).ok();
    hashes(one) != hashes(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ultramarine::chain::Chain;

    #[test]
    fn a_payload_of_another_round_is_noticed_by_its_blobs() {
        let chain = Chain { seed: 7, genesis_ms: 1_790_000_000_000 };
        let mut noticed = [0, 0];
        for height in chain.first_height()..chain.first_height() + 100 {
            let [first, decided] = [0, 1].map(|round| chain.proposal(At { height, round }));
            let named = !first.blobs.is_empty() || !decided.blobs.is_empty();
            assert_eq!(have_other_blobs(&first.payload, &decided.payload), named);
            noticed[usize::from(named)] += 1;
        }
        assert!(noticed[0] > 10 && noticed[1] > 10, "{noticed:?}");
    }
}
