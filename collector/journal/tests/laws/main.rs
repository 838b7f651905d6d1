//! The laws of the journal, each tried on real files or on a disk that fails.
mod append;
mod crash;
mod damage;
mod disk_full;
mod format;
mod reading;

use bytes::Bytes;
use event::Timestamp;
use journal::{Config, Entry, Kind, SyncPolicy};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Small segments, no ticks, no lingering: what happens follows from the calls alone.
fn small(dir: &Path) -> Config {
    Config {
        segment_bytes: 64 << 10,
        sync: SyncPolicy { linger_max: Duration::ZERO, ..SyncPolicy::default() },
        tick_every: None,
        reserve_bytes: 8 << 10,
        ..Config::new(dir)
    }
}

/// An entry whose body can be told from all others: `bytes` long, filled from `seed`.
fn entry(seed: u64, bytes: usize) -> Entry {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let body = (0..bytes).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    Entry {
        kind: if seed.is_multiple_of(3) { Kind::TRACES } else { Kind::LOGS },
        body: body.collect::<Vec<u8>>().into(),
        events: seed as u32,
        refused: Bytes::from(vec![seed as u8; (seed % 5) as usize]),
        notes: Bytes::new(),
    }
}

/// A clock that a test sets.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn at(nanos: u64) -> Self {
        Self(Arc::new(AtomicU64::new(nanos)))
    }

    fn set(&self, nanos: u64) {
        self.0.store(nanos, Ordering::SeqCst);
    }

    fn read(&self) -> impl Fn() -> Timestamp + Send + Sync + 'static + use<> {
        let time = self.0.clone();
        move || Timestamp(time.load(Ordering::SeqCst))
    }
}
