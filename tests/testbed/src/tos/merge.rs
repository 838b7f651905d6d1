//! The merge of an execution into storage: sorted writes under one commit point, then gas and burned supply.

use sha2::{Digest, Sha256};

use super::{block_event, chain::Block, chain_state::ChainState, storage::Storage};
use crate::{faults::Fault, telemetry::count};

/// Why a merge did not complete.
#[derive(Debug, thiserror::Error)]
pub(super) enum MergeError {
    /// Nothing was written.
    #[error("rolled back: {0}")]
    RolledBack(String),
    /// Balances are durable, and nothing else.
    #[error("error in add_burned_coins after the commit point: {0}")]
    Partial(&'static str),
    #[error("storage: {0}")]
    Storage(#[from] std::io::Error),
}

/// One write of a merge, in the map it belongs to.
struct Write {
    map: &'static str,
    sort_key: String,
    key: String,
    value: u64,
}

/// Writes what an execution changed, and counts it. On the sequential path, which merges nothing, the same happens in
/// silence.
pub(super) async fn merge(
    state: &ChainState,
    storage: &mut Storage,
    block: &Block,
    execution_id: &str,
) -> Result<(), MergeError> {
    let (writes, sizes) = writes(state);
    let mut digest = Sha256::new();
    storage.start_commit_point()?;
    if state.parallel {
        let writes = count(writes.len());
        block_event!(INFO, "merge", "tos.merge.commit_point.started", block, execution_id, writes);
    }
    let late = if state.is_wrong(Fault::TosWritesAfterCommit) { writes.len() * 2 / 3 } else { writes.len() };
    let fails_at = state.is_wrong(Fault::TosRolledBackCompletes).then_some(writes.len() / 2);
    let mut failed = None;
    let (mut map, mut seq) = ("", 0);
    for (place, write) in writes.iter().enumerate() {
        if place == late {
            commit(state, storage, block, execution_id, late).await?;
        }
        if fails_at == Some(place) {
            let error = format!("no space left on device after {place} writes");
            storage.end_commit_point(false).await?;
            block_event!(
                ERROR,
                "merge",
                "tos.merge.commit_point.rolled_back",
                block,
                execution_id,
                error = error.as_str()
            );
            failed = Some(error);
            break;
        }
        // Each map is numbered from 0.
        seq = if write.map == map { seq + 1 } else { 0 };
        map = write.map;
        storage.put(write.key.clone(), write.value).await?;
        digest.update(format!("{} {seq} {}={}\n", write.map, write.sort_key, write.value));
        if state.parallel {
            block_event!(
                INFO,
                "merge",
                "tos.merge.write",
                block,
                execution_id,
                map = write.map,
                seq,
                sort_key = write.sort_key.as_str()
            );
        }
    }
    match failed {
        Some(error) if !state.is_wrong(Fault::TosRolledBackCompletes) => return Err(MergeError::RolledBack(error)),
        Some(_) => {}
        None if late < writes.len() => {}
        None => {
            storage.put("next".to_owned(), next(block)).await?;
            commit(state, storage, block, execution_id, writes.len()).await?;
        }
    }
    if state.is_wrong(Fault::TosPartialMerge) {
        return Err(MergeError::Partial("arithmetic overflow"));
    }
    add_totals(state, storage, block).await?;
    if state.parallel {
        block_event!(
            INFO,
            "merge",
            "tos.merge.completed",
            block,
            execution_id,
            write_sequence_digest = hex::encode(digest.finalize()).as_str(),
            nonces = sizes[0],
            balances = sizes[1],
            multisigs = sizes[2],
            total_gas = state.gas_fee().to_string().as_str(),
            total_burned = state.burned().to_string().as_str()
        );
    }
    Ok(())
}

/// What the execution changed, map by map, each in the order of its keys' bytes.
fn writes(state: &ChainState) -> (Vec<Write>, [i64; 3]) {
    let (mut nonces, mut balances, mut multisigs) = (Vec::new(), Vec::new(), Vec::new());
    for (account, now) in state.touched() {
        let account = hex::encode(account);
        let write = |map, sort_key: String, key, value| Write { map, sort_key, key, value };
        nonces.push(write("nonce", account.clone(), format!("nonce/{account}"), now.nonce));
        for (asset, balance) in now.balances {
            let asset = hex::encode(asset);
            balances.push(write("balance", format!("{account}{asset}"), format!("balance/{account}/{asset}"), balance));
        }
        if let Some(threshold) = now.multisig {
            multisigs.push(write("multisig", account.clone(), format!("multisig/{account}"), threshold));
        }
    }
    let sizes = [count(nonces.len()), count(balances.len()), count(multisigs.len())];
    if !state.is_wrong(Fault::TosMergeUnsorted) {
        for map in [&mut nonces, &mut balances, &mut multisigs] {
            // Lowercase hex sorts as the bytes do.
            map.sort_by(|a, b| a.sort_key.cmp(&b.sort_key));
        }
    }
    (nonces.into_iter().chain(balances).chain(multisigs).collect(), sizes)
}

async fn commit(
    state: &ChainState,
    storage: &mut Storage,
    block: &Block,
    execution_id: &str,
    writes: usize,
) -> Result<(), MergeError> {
    let committed = storage.end_commit_point(true).await;
    if !state.parallel {
        return Ok(committed?);
    }
    match committed {
        Ok(()) => {
            let writes = count(writes);
            block_event!(INFO, "merge", "tos.merge.commit_point.committed", block, execution_id, writes);
            Ok(())
        }
        Err(error) => {
            let text = error.to_string();
            block_event!(
                ERROR,
                "merge",
                "tos.merge.commit_point.commit_failed",
                block,
                execution_id,
                error = text.as_str()
            );
            Err(error.into())
        }
    }
}

/// Takes gas and burned supply over into the chain's totals, after the commit point.
async fn add_totals(state: &ChainState, storage: &mut Storage, block: &Block) -> Result<(), MergeError> {
    let gas = storage.get("total/gas").saturating_add(state.gas_fee());
    let burned = state.burned_before + state.burned();
    storage.start_commit_point()?;
    storage.put("total/gas".to_owned(), gas).await?;
    storage.put("total/burned".to_owned(), burned).await?;
    storage.put("next".to_owned(), next(block)).await?;
    Ok(storage.end_commit_point(true).await?)
}

/// The place of the block after this one.
fn next(block: &Block) -> u64 {
    u64::try_from(block.index + 1).unwrap_or_default()
}
