//! The cache orchestrator and what hangs on it: entities that are refreshed and evicted, parameters, suppliers' status, and
//! the word to other instances when something changed.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

use super::{
    QUEUE,
    chain::{BLOCK_TIME, SUPPLIERS},
    count,
    instance::Instance,
    pocket_event,
    redis::Published,
};
use crate::{clock::millis, faults::Fault};

/// Blocks between two rounds of refreshing.
const REFRESH_BLOCKS: i64 = 4;
/// How long the chain takes to answer for one entity.
const ANSWER_TAKES: Duration = Duration::from_millis(2);
/// NotFound answers in a row after which an entity is evicted.
const EVICT_AFTER: i64 = 3;
/// Changes of suppliers that come in one burst when the registry is made to hang.
const BURST: usize = QUEUE + 100;

/// An instance's own copy of what it knows.
#[derive(Debug, Default)]
struct Known {
    /// Applications with their NotFound answers in a row.
    apps: BTreeMap<String, i64>,
    stake_version: Option<String>,
    params: Option<(String, i64)>,
    inactive: BTreeMap<&'static str, bool>,
}

/// Follows the blocks that the instance observes.
pub(super) async fn run(
    instance: Instance,
    mut observed: watch::Receiver<i64>,
    leads: watch::Receiver<bool>,
    registry: mpsc::Sender<&'static str>,
) {
    let mut known = Known::default();
    while observed.changed().await.is_ok() {
        let height = *observed.borrow_and_update();
        suppliers(&instance, &mut known, height, &registry).await;
        params(&instance, &mut known, height).await;
        if *leads.borrow() {
            stakes(&instance, &mut known, height).await;
        }
        if height % REFRESH_BLOCKS == 0 {
            refresh(&instance, &mut known, height).await;
        }
    }
}

/// Asks the chain for every entity again and evicts those that are gone.
async fn refresh(instance: &Instance, known: &mut Known, height: i64) {
    let started = Instant::now();
    for app in [instance.chain.application(), instance.chain.guest(height)] {
        known.apps.entry(app).or_default();
    }
    let services = ["eth", "base"];
    let fixed = services
        .into_iter()
        .map(|service| ("service", service))
        .chain(SUPPLIERS.map(|supplier| ("supplier", supplier)));
    for (cache_type, entity) in fixed {
        sleep(ANSWER_TAKES).await;
        refreshed(cache_type, entity, "ok", 0);
    }
    let apps: Vec<String> = known.apps.keys().cloned().collect();
    for app in apps {
        sleep(ANSWER_TAKES).await;
        let found = app == instance.chain.application() || app == instance.chain.guest(height);
        let Some(missing) = known.apps.get_mut(&app) else { continue };
        *missing = if found { 0 } else { *missing + 1 };
        let missing = *missing;
        refreshed("application", &app, if found { "ok" } else { "not_found" }, missing);
        let enough = if instance.on(Fault::PocketEntityEvictedEarly) { 1 } else { EVICT_AFTER };
        if missing >= enough && !instance.on(Fault::PocketEntitiesKept) {
            known.apps.remove(&app);
            pocket_event!(
                "cache_orchestrator",
                "pocket.cache.entity_evicted",
                cache_type = "application",
                entity = app.as_str(),
                reason = "not_found",
            );
        }
    }
    if instance.on(Fault::PocketRefreshSlow) {
        sleep(BLOCK_TIME * 2).await;
    }
    pocket_event!(
        "cache_orchestrator",
        "pocket.cache.refresh_completed",
        duration_ms = started.elapsed().as_secs_f64() * 1000.0,
        known_apps = count(known.apps.len()),
        known_services = count(services.len()),
        known_suppliers = count(SUPPLIERS.len()),
        block_time_ms = millis(BLOCK_TIME),
    );
}

fn refreshed(cache_type: &str, entity: &str, result: &str, not_found_count: i64) {
    pocket_event!(
        "cache_orchestrator",
        "pocket.cache.entity_refreshed",
        cache_type = cache_type,
        entity = entity,
        result = result,
        not_found_count = not_found_count,
    );
}

/// The leader notices that the application's stake is another one, and tells the others.
async fn stakes(instance: &Instance, known: &mut Known, height: i64) {
    let version = instance.chain.stake_version(height);
    let former = known.stake_version.replace(version.clone());
    if former.is_none_or(|former| former == version) {
        return;
    }
    let entity = instance.chain.application();
    pocket_event!(
        "cache_orchestrator",
        "pocket.cache.updated",
        cache_type = "application",
        entity = entity.as_str(),
        version = version.as_str(),
    );
    if !instance.on(Fault::PocketInvalidationLost) {
        invalidate(instance, "application", entity, version);
    }
}

fn invalidate(instance: &Instance, cache_type: &'static str, entity: String, version: String) {
    pocket_event!(
        "cache_orchestrator",
        "pocket.cache.invalidation_published",
        cache_type = cache_type,
        entity = entity.as_str(),
        version = version.as_str(),
    );
    instance.redis.publish(Published::Invalidate { by: Arc::clone(&instance.node), cache_type, entity, version });
}

/// The parameters refresher, which must not take the process with it when it panics.
async fn params(instance: &Instance, known: &mut Known, height: i64) {
    let refreshing = AssertUnwindSafe(async {
        let marshalled = marshal(instance.on(Fault::PocketParamsRefresherPanics));
        (instance.chain.params_hash(height), marshalled)
    });
    let hash = match refreshing.catch_unwind().await {
        Ok((hash, _)) => hash,
        Err(panic) => {
            let error = panic.downcast_ref::<&str>().copied().unwrap_or("unknown").to_owned();
            pocket_event!(
                "params_refresher",
                "pocket.process.panicked",
                component = "params_refresher",
                error = error.as_str(),
            );
            return;
        }
    };
    let former = known.params.replace((hash.clone(), height));
    if let Some((old, _)) = former.filter(|(old, _)| *old != hash) {
        pocket_event!(
            "params_refresher",
            "pocket.params.changed",
            params = "shared",
            height = height,
            old_hash = old.as_str(),
            new_hash = hash.as_str(),
        );
        if !instance.redis_is_away() && !instance.on(Fault::PocketInvalidationLost) {
            invalidate(instance, "shared_params", "shared".to_owned(), hash);
        }
    }
}

/// Stands for `mustMarshalJSON`: parameters that cannot be written as JSON are a panic, not an error.
fn marshal(broken: bool) -> String {
    let value = if broken { f64::NAN } else { 1.0 };
    match serde_json::Number::from_f64(value) {
        Some(number) => number.to_string(),
        None => resume_unwind(Box::new("failed to marshal JSON: unsupported value: NaN")),
    }
}

/// Suppliers that become inactive at their session's end, and the registry that is told of every change.
async fn suppliers(instance: &Instance, known: &mut Known, height: i64, registry: &mpsc::Sender<&'static str>) {
    let session_end = instance.chain.session_end(height);
    for supplier in SUPPLIERS {
        let unstake_end = instance.chain.unstake_session_end(supplier, height);
        let leaves = unstake_end > 0 && (session_end > unstake_end || instance.on(Fault::PocketSupplierInactiveEarly));
        let former = known.inactive.insert(supplier, leaves);
        if former != Some(leaves) {
            pocket_event!(
                "supplier_cache",
                "pocket.supplier.status_changed",
                supplier_operator = supplier,
                status = if leaves { "inactive" } else { "active" },
                unstake_session_end_height = unstake_end,
                current_session_end_height = session_end,
            );
            let _ = registry.try_send(supplier);
        }
    }
    if instance.on(Fault::PocketRegistryStuck) {
        for _ in 0..BURST {
            // What does not fit is lost: the registry learns of it at the next change.
            if registry.try_send(SUPPLIERS[0]).is_err() {
                break;
            }
        }
    }
}

/// The supplier registry: takes changes from its queue, unless it is made to hang.
pub(super) async fn registry(instance: Instance, mut changes: mpsc::Receiver<&'static str>) {
    let faults = instance.world.faults.clone();
    loop {
        faults.until(|_| !instance.on(Fault::PocketRegistryStuck)).await;
        tokio::select! {
            change = changes.recv() => if change.is_none() { return },
            () = faults.until(|_| instance.on(Fault::PocketRegistryStuck)) => {}
        }
    }
}
