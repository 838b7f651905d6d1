//! The serving side of sync: answers `GetDecidedValue` from the store.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

use super::{
    chain::{At, Payload, hash_hex},
    height_event,
    network::{Package, Request},
    process::Stores,
};
use crate::{faults::Fault, telemetry::count, world::World};

/// Bytes of nothing that a bloated package carries.
const BLOAT_BYTES: usize = 1 << 20;

/// Answers requests until the process ends.
pub(super) async fn serve(
    world: World,
    node: String,
    stores: Arc<Mutex<Stores>>,
    mut requests: mpsc::Receiver<Request>,
) {
    while let Some(request) = requests.recv().await {
        let answer = match answer(&world, &node, &stores, &request).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(node, %error, "a request was not served");
                None
            }
        };
        // A client that went away needs no answer.
        let _ = request.reply.send(answer);
    }
}

async fn answer(
    world: &World,
    node: &str,
    stores: &Mutex<Stores>,
    request: &Request,
) -> std::io::Result<Option<Vec<u8>>> {
    let on = |fault| world.faults.is_on(fault, node);
    let mut stores = stores.lock().await;
    let Some((certificate_round, decided_value_id)) = stores.decided(request.height).await? else {
        report(request, At { height: request.height, round: -1 }, &Served { package: "none", ..Served::default() });
        return Ok(None);
    };
    let round = if on(Fault::UltramarineWrongRound) { 0 } else { certificate_round };
    let at = At { height: request.height, round };
    if on(Fault::UltramarinePayloadLost) {
        stores.forget_payload(at).await?;
    }
    if on(Fault::UltramarineBlobsLost) {
        stores.blobs.delete(at).await?;
    }
    let payload = stores.payload(at).await?;
    let expected = stores.expected_blobs(at, payload.as_deref()).await?;
    let blobs = stores.blobs.get_for_import(at).await?;
    let value_id = payload.as_deref().map_or_else(|| decided_value_id.clone(), hash_hex);
    let whole = payload.as_ref().filter(|_| blobs.len() == expected && !request.metadata_only);
    let content = whole.map(|payload| {
        let mut blobs: Vec<String> = blobs.iter().map(hex::encode).collect();
        if on(Fault::UltramarineCorruptBlobs) {
            // A blob whose first byte went wrong.
            blobs
                .iter_mut()
                .for_each(|blob| blob.replace_range(0..2, if blob.starts_with("00") { "01" } else { "00" }));
        }
        (hex::encode(payload), blobs)
    });
    let package = Package { height: at.height, round, certificate_round, value_id: value_id.clone(), content };
    let mut bytes = serde_json::to_vec(&package)?;
    if on(Fault::UltramarinePackageBloated) {
        bytes.resize(bytes.len() + BLOAT_BYTES, b' ');
    }
    // What has no blobs is damaged otherwise.
    let without_blobs = on(Fault::UltramarineCorruptBlobs) && expected == 0;
    if on(Fault::UltramarineBadPackages) || without_blobs {
        bytes.truncate(bytes.len() / 2);
    }
    let served = Served {
        package: if package.content.is_some() { "full" } else { "metadata_only" },
        payload: payload.as_deref(),
        blobs: blobs.len(),
        expected,
        package_bytes: bytes.len(),
        value_id: &value_id,
        decided_value_id: &decided_value_id,
        certificate_round,
    };
    report(request, at, &served);
    Ok(Some(bytes))
}

/// What an answer says of itself.
#[derive(Default)]
struct Served<'a> {
    package: &'static str,
    payload: Option<&'a [u8]>,
    blobs: usize,
    expected: usize,
    package_bytes: usize,
    value_id: &'a str,
    decided_value_id: &'a str,
    certificate_round: i64,
}

fn report(request: &Request, at: At, served: &Served<'_>) {
    height_event!(
        INFO,
        "app",
        "ultramarine.sync.decided_value.served",
        at,
        peer = request.from.as_str(),
        request_id = request.id.as_str(),
        package = served.package,
        payload_present = served.payload.is_some(),
        payload_bytes = count(served.payload.map_or(0, <[u8]>::len)),
        blob_count = count(served.blobs),
        expected_blobs = count(served.expected),
        package_bytes = count(served.package_bytes),
        value_id = served.value_id,
        decided_value_id = served.decided_value_id,
        certificate_round = served.certificate_round,
        payload_hash = served.payload.map(hash_hex).unwrap_or_default().as_str()
    );
}

/// How many blobs a stored payload names.
pub(super) fn named_blobs(payload: &[u8]) -> usize {
    serde_json::from_slice::<Payload>(payload).map_or(0, |payload| payload.versioned_hashes.len())
}
