//! The machine that Invar runs on, and one life of its process: what survives a death, and what is made anew by a start.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use event::Timestamp;
use journal::{
    AppendError, Appended, Config, Driven, Journal, OpenError, Reader, SyncPolicy, Verify, faulty::FaultyDisk,
};
use runtime::{checker::Checker, checkpoint::Checkpoints, control::Control, outbox::Outbox, pages::Pages};
use store::{Planner, Store};

use super::{changes, door::Door, pager, script::PACK};

/// What survives: the disks, the database, and the clock.
pub(crate) struct Machine {
    pub(crate) journal: FaultyDisk,
    pub(crate) checkpoints: FaultyDisk,
    pub(crate) store: Store,
    clock: Arc<AtomicU64>,
}

/// A process.
pub(crate) struct Life {
    pub(crate) journal: Journal,
    pub(crate) writer: Driven,
    pub(crate) checker: Checker,
    pub(crate) reader: Reader,
    pub(crate) outbox: Outbox,
    pub(crate) door: Door,
}

/// Why a start did not succeed.
#[derive(Debug)]
pub(crate) enum NoStart {
    /// It may the next time.
    ForNow(String),
    /// What was acknowledged cannot be read any more.
    Lost(String),
}

impl From<AppendError> for NoStart {
    fn from(error: AppendError) -> Self {
        NoStart::ForNow(error.to_string())
    }
}

impl Machine {
    pub(crate) async fn new(seed: u64) -> Self {
        Machine {
            journal: FaultyDisk::new(seed),
            checkpoints: FaultyDisk::new(seed ^ 0xc4ec),
            store: Store::memory().await.unwrap(),
            clock: Arc::default(),
        }
    }

    pub(crate) fn set_clock(&self, ms: u64) {
        self.clock.store(ms * 1_000_000, Ordering::Relaxed);
    }

    /// What the disks hold after the process is dead; what was not synced may be gone after a power cut.
    pub(crate) fn die(&mut self, power_cut: bool) {
        let after = |disk: &FaultyDisk| if power_cut { disk.after_power_cut() } else { disk.after_kill() };
        (self.journal, self.checkpoints) = (after(&self.journal), after(&self.checkpoints));
    }

    /// The frame of the newest checkpoint.
    pub(crate) fn newest_checkpoint(&self) -> Option<u64> {
        let found = Checkpoints::on(Arc::new(self.checkpoints.clone())).newest(u64::MAX).ok()?.0?;
        Some(found.frame)
    }

    fn config(&self, ring_bytes_max: u64, verify: Verify) -> Config {
        Config {
            segment_bytes: 64 << 10,
            sync: SyncPolicy { linger_max: std::time::Duration::ZERO, ..SyncPolicy::default() },
            ring_bytes_max,
            tick_every: None,
            reserve_bytes: 8 << 10,
            verify,
            retry_full_after: std::time::Duration::ZERO,
            ..Config::new("")
        }
    }

    /// Starts a process, in the order of `invar serve`: journal, checker, and then what it says before anyone is heard.
    pub(crate) async fn start(&self, ring_bytes: u64, verify: Verify) -> Result<Life, NoStart> {
        let clock = self.clock.clone();
        let opened = Journal::open_driven(Arc::new(self.journal.clone()), self.config(ring_bytes, verify), move || {
            Timestamp(clock.load(Ordering::Relaxed))
        });
        let (journal, _, mut writer) = opened.map_err(|error| match error {
            OpenError::Io { .. } => NoStart::ForNow(error.to_string()),
            error => NoStart::Lost(error.to_string()),
        })?;
        let planner: Arc<dyn Planner> = Arc::new(Pages::new(pager::config()));
        let checkpoints = Checkpoints::on(Arc::new(self.checkpoints.clone()));
        let recovered = Checker::recover(journal.clone(), self.store.clone(), planner, checkpoints, true).await;
        let mut checker = recovered.map_err(|error| NoStart::ForNow(error.to_string()))?;
        say(&journal, &mut writer, Control::Started).await?;
        if self.store.packs().await.unwrap().is_empty() {
            self.store.put_pack("sim", PACK, "file", "file", None, "").await.unwrap();
        }
        let packs = self.store.packs().await.unwrap();
        let at_checkpoint = checker.shared().revisions.read().unwrap().clone();
        for pack in at_checkpoint.into_keys().filter(|name| !packs.iter().any(|pack| pack.name == *name)) {
            say(&journal, &mut writer, Control::Drop { pack }).await?;
        }
        for pack in packs {
            let adopt = Control::Adopt { pack: pack.name, revision: pack.revision, yaml: pack.yaml };
            say(&journal, &mut writer, adopt).await?;
        }
        let reader = checker.reader();
        let outbox = Outbox::new(self.store.clone(), "http://invar".to_owned());
        let door = Door::new(journal.clone());
        Ok(Life { journal, writer, checker, reader, outbox, door })
    }
}

async fn say(journal: &Journal, writer: &mut Driven, control: Control) -> Result<Appended, AppendError> {
    let answer = journal.append(changes::entry(&control));
    writer.write();
    answer.await
}
