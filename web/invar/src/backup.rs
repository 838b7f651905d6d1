//! A consistent copy of a data directory that may be in use.
//!
//! Copied first what leads least: checkpoints, then the database, then the journal. So a checkpoint is never newer than the
//! database, nor the database newer than the journal, and a start from the copy is a start after a crash.
use std::{
    fs::{self, File},
    io,
    path::Path,
};

use anyhow::{Context, bail};
use runtime::checkpoint::Checkpoints;
use store::{Store, StoreError};

/// What was copied.
#[derive(Clone, Copy, Debug)]
pub struct Copied {
    /// Segments and bytes of the journal.
    pub journal: journal::Copied,
    /// How many checkpoints.
    pub checkpoints: u64,
}

/// Copies the data directory `data` to `to`, which must not exist. `progress` is told of the journal's segments: how many of
/// how many.
///
/// # Errors
/// When there is nothing to copy, or the copy cannot be written. What was begun is taken away again.
pub async fn backup(data: &Path, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> anyhow::Result<Copied> {
    let database = data.join("invar.db");
    if !database.is_file() {
        bail!("{} is no data directory of Invar: it holds no invar.db", data.display());
    }
    if to.exists() {
        bail!("{} exists already: a backup makes its folder itself, and writes over nothing", to.display());
    }
    // Under another name until it is whole, so that half a copy is never taken for one.
    let mut begun = to.as_os_str().to_owned();
    begun.push(".part");
    let begun = Path::new(&begun);
    if begun.exists() {
        fs::remove_dir_all(begun).with_context(|| format!("{} is left from an earlier try", begun.display()))?;
    }
    let copied = copy(data, &database, begun, progress).await;
    let renamed = copied.and_then(|copied| {
        sync(begun).context("the copy cannot be made durable")?;
        fs::rename(begun, to).with_context(|| format!("{} cannot be made", to.display()))?;
        sync_folder(parent(to)).with_context(|| format!("{} cannot be made durable", to.display()))?;
        Ok(copied)
    });
    renamed.map_err(|error| {
        // What could not be written may not be there to be removed.
        let _ = fs::remove_dir_all(begun);
        if is_for_want_of_room(&error) {
            let place = parent(to).display();
            return error.context(format!(
                "there is no room for the copy in {place}, and nothing is left of it: free some space there, or name a \
                 folder on a larger disk with --to"
            ));
        }
        error
    })
}

/// The folder that something is in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes all that is in a folder durable: what is whole by its name must be whole after a power cut, too.
fn sync(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { sync(&path)? } else { File::open(&path)?.sync_all()? }
    }
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether something could not be written because the disk is full, or its owner may have no more of it.
fn is_for_want_of_room(error: &anyhow::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    error.chain().any(|cause| {
        let by_the_system = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(by_the_system, Some(StorageFull | QuotaExceeded | FileTooLarge))
            || matches!(cause.downcast_ref(), Some(StoreError::Full))
    })
}

async fn copy(data: &Path, database: &Path, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> anyhow::Result<Copied> {
    fs::create_dir_all(to.join("journal")).with_context(|| format!("{} cannot be made", to.display()))?;
    let checkpoints = Checkpoints::in_dir(data.join("checkpoints"))
        .and_then(|checkpoints| checkpoints.copy_to(&to.join("checkpoints")))
        .context("the checkpoints cannot be copied")?;
    Store::copy(database, &to.join("invar.db")).await.context("the database cannot be copied")?;
    let journal =
        journal::copy(&data.join("journal"), &to.join("journal"), progress).context("the journal cannot be copied")?;
    Ok(Copied { journal, checkpoints })
}

/// A size as people read it.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}
