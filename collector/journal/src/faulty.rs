//! A disk in memory that fails on command, for tests: writes that are lost, torn or reordered by a crash, syncs that
//! fail and lose what they were to save, space that runs out. The same seed and the same calls give the same faults.
use crate::{Disk, SegmentFile};
use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a crash may tear apart: a disk writes so many bytes wholly or not at all.
const SECTOR_BYTES: usize = 512;

/// See the module. Clones are the same disk.
#[derive(Clone)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone)]
struct State {
    seed: u64,
    files: BTreeMap<u64, Contents>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    crash_after: Option<u64>,
    /// Whether something has met the crash.
    crashed: bool,
    fail_syncs: bool,
    space_bytes: Option<u64>,
    syncs: u64,
}

#[derive(Clone, Default)]
struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone)]
enum NameChange {
    Set(String, u64),
    Move(String, String, u64),
    Remove(String),
}

impl FaultyDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            seed,
            files: BTreeMap::new(),
            next_file: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            crash_after: None,
            crashed: false,
            fail_syncs: false,
            space_bytes: None,
            syncs: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After so many more writes, syncs and changes of names everything fails, as if the power were gone; a write under way
    /// is torn.
    pub fn crash_after(&self, operations: u64) {
        self.lock().crash_after = Some(operations);
    }

    /// Whether the crash has come: something was tried after it.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.lock().crashed
    }

    /// From now on syncs fail, or do not. What a failed sync was to save stays readable, but only some sectors of it are
    /// durable, and no later sync saves the others: that is what systems do that mark pages clean after an error.
    pub fn fail_syncs(&self, fail: bool) {
        self.lock().fail_syncs = fail;
    }

    /// From now on files can hold so many bytes together; `None` for no limit.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.lock().space_bytes = bytes;
    }

    /// How many files' syncs have succeeded.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Names of the files there are.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    /// Changes one byte of a file, durably, behind everyone's back.
    pub fn flip(&self, name: &str, offset: usize) {
        let mut state = self.lock();
        let id = state.names.get(name).copied();
        if let Some(contents) = id.and_then(|id| state.files.get_mut(&id)) {
            for bytes in [&mut contents.now, &mut contents.durable] {
                if let Some(byte) = bytes.get_mut(offset) {
                    *byte ^= 0x40;
                }
            }
        }
    }

    /// The disk as the next process finds it when this one was killed now: what was written is there, durable or not.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let mut state = self.lock().clone();
        (state.crash_after, state.crashed) = (None, false);
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The disk as a machine finds it after the power was cut now: what was synced, and of what was not some sectors,
    /// in no order.
    #[must_use]
    pub fn after_power_cut(&self) -> Self {
        let mut state = self.lock().clone();
        let mut random = state.seed ^ 0x5bd1_e995;
        let kept = pick(&mut random, state.name_changes.len() as u64 + 1) as usize;
        for change in state.name_changes.drain(..).take(kept) {
            match change {
                NameChange::Set(name, id) => state.durable_names.insert(name, id),
                NameChange::Move(from, to, id) => {
                    state.durable_names.remove(&from);
                    state.durable_names.insert(to, id)
                }
                NameChange::Remove(name) => state.durable_names.remove(&name),
            };
        }
        state.names = state.durable_names.clone();
        for contents in state.files.values_mut() {
            contents.lose_some(&mut random);
            contents.now = contents.durable.clone();
        }
        (state.crash_after, state.crashed) = (None, false);
        state.fail_syncs = false;
        state.seed = random;
        Self { state: Arc::new(Mutex::new(state)) }
    }
}

impl Contents {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.now, offset, bytes);
        self.unsynced.push((offset, bytes.to_vec()));
    }

    /// Of what was not synced some sectors become durable, in no order; nothing remembers the others.
    fn lose_some(&mut self, random: &mut u64) {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            for (i, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                if pick(random, 2) == 0 {
                    put(&mut self.durable, offset + i * SECTOR_BYTES, sector);
                }
            }
        }
    }
}

impl State {
    fn operate(&mut self) -> io::Result<()> {
        match &mut self.crash_after {
            Some(0) => {
                self.crashed = true;
                Err(io::Error::other("the power is cut"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    id: u64,
}

impl SegmentFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.lock();
        let Some(contents) = state.files.get(&self.id) else { return Ok(0) };
        let from = contents.now.get(offset as usize..).unwrap_or_default();
        let read = from.len().min(buffer.len());
        buffer[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let state = &mut *state;
        let tears = !state.crashed;
        if let Err(cut) = state.operate() {
            if tears && let Some(contents) = state.files.get_mut(&self.id) {
                let written =
                    pick(&mut state.seed, bytes.len() as u64 / SECTOR_BYTES as u64 + 1) as usize * SECTOR_BYTES;
                contents.write(offset as usize, &bytes[..written]);
            }
            return Err(cut);
        }
        let used: u64 = state.names.values().filter_map(|id| state.files.get(id)).map(|c| c.now.len() as u64).sum();
        let limit = state.space_bytes;
        let Some(contents) = state.files.get_mut(&self.id) else { return Err(io::ErrorKind::NotFound.into()) };
        let grows = (offset + bytes.len() as u64).saturating_sub(contents.now.len() as u64);
        if 0 < grows && limit.is_some_and(|limit| limit < used + grows) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        contents.write(offset as usize, bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let state = &mut *state;
        state.operate()?;
        if state.fail_syncs {
            if let Some(contents) = state.files.get_mut(&self.id) {
                contents.lose_some(&mut state.seed);
            }
            return Err(io::Error::other("the disk lost a write"));
        }
        state.syncs += 1;
        if let Some(contents) = state.files.get_mut(&self.id) {
            for (offset, bytes) in std::mem::take(&mut contents.unsynced) {
                put(&mut contents.durable, offset, &bytes);
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files.get(&self.id).map_or(0, |contents| contents.now.len() as u64))
    }
}

impl Disk for FaultyDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let mut state = self.lock();
        state.operate()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.next_file;
        state.next_file += 1;
        state.files.insert(id, Contents::default());
        state.names.insert(name.to_owned(), id);
        state.name_changes.push(NameChange::Set(name.to_owned(), id));
        Ok(Arc::new(FaultyFile { disk: self.clone(), id }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let id = self.lock().names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(FaultyFile { disk: self.clone(), id }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        state.name_changes.push(NameChange::Move(from.to_owned(), to.to_owned(), id));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.name_changes.push(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        state.name_changes.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn path(&self) -> &Path {
        Path::new("faulty")
    }
}

fn put(to: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if to.len() < offset + bytes.len() {
        to.resize(offset + bytes.len(), 0);
    }
    to[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// SplitMix64 (Steele, Lea, Flood, 2014), reduced to `0..below`.
fn pick(random: &mut u64, below: u64) -> u64 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *random;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % below.max(1)
}
