//! The leader elector: holds the lock in Redis or waits for it. At most one instance leads.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{instance::Instance, pocket_event};
use crate::{System, faults::Fault};

/// How long the lock is held without being renewed.
const TTL: Duration = Duration::from_secs(10);
/// How often it is renewed, or tried for.
const TRY_EVERY: Duration = Duration::from_millis(500);
/// Renewals are reported each second try.
const RENEWED_EVERY: u32 = 2;

/// Runs for as long as the process; `leads` tells the miner. Ends with [`resign`].
pub(super) async fn run(instance: Instance, leads: watch::Sender<bool>) {
    let mut turn = interval(TRY_EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tries = 0_u32;
    let mut stepped_down = false;
    loop {
        turn.tick().await;
        let leading = *leads.borrow();
        let forgets = instance.on(Fault::PocketRecoveryLosesSessions);
        if leading && instance.on(Fault::PocketLeaderPauses) {
            // It believes that it leads and does not ask any more.
            continue;
        }
        if instance.redis_is_away() {
            if leading {
                lost(&instance, &leads);
            }
            continue;
        }
        instance.redis.candidate(&instance.node);
        let ignores = instance.on(Fault::PocketLockIgnored);
        let other = preferred(&instance).filter(|node| **node != *instance.node);
        let yields = other.is_some_and(|node| instance.redis.is_candidate(&node)) && !ignores;
        if !forgets && !ignores {
            stepped_down = false;
        }
        let once_more = leading && (forgets || ignores) && !stepped_down;
        if leading && (yields || once_more) {
            stepped_down |= once_more;
            lost(&instance, &leads);
            instance.redis.unlock(&instance.node);
            continue;
        }
        stepped_down |= ignores;
        if yields {
            continue;
        }
        // Who is to ignore another one's lock lets another one have it first.
        let locked = if ignores && stepped_down {
            leading || instance.redis.is_locked_by_another(&instance.node)
        } else {
            instance.redis.lock(&instance.node, TTL)
        };
        if locked {
            let ttl_s = TTL.as_secs().cast_signed();
            if !leading {
                pocket_event!("leader_elector", "pocket.leader.elected", instance = &*instance.node, ttl_s = ttl_s);
                leads.send_replace(true);
                tries = 0;
            } else {
                tries += 1;
                if tries.is_multiple_of(RENEWED_EVERY) {
                    pocket_event!("leader_elector", "pocket.leader.renewed", instance = &*instance.node, ttl_s = ttl_s);
                }
            }
        } else if leading {
            lost(&instance, &leads);
        }
    }
}

/// The instance that should lead: one with a fault of the miner, so that it shows. Whoever pauses keeps nobody else away.
fn preferred(instance: &Instance) -> Option<String> {
    let active = instance.world.faults.active();
    let of_miner = active.into_iter().filter(|injection| {
        injection.fault.system() == System::Pocket
            && !matches!(injection.fault, Fault::PocketLockIgnored | Fault::PocketRedisOutage)
    });
    of_miner.map(|injection| injection.node()).next()
}

fn lost(instance: &Instance, leads: &watch::Sender<bool>) {
    leads.send_replace(false);
    let ttl_s = TTL.as_secs().cast_signed();
    pocket_event!("leader_elector", "pocket.leader.lost", instance = &*instance.node, ttl_s = ttl_s);
}

/// Gives the lock back when the process ends.
pub(super) fn resign(instance: &Instance, leads: &watch::Sender<bool>) {
    let node: &Arc<str> = &instance.node;
    instance.redis.withdraw(node);
    if *leads.borrow() {
        lost(instance, leads);
        instance.redis.unlock(node);
    }
}
