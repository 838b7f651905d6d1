//! Putting packs in force: a revision is written to the store, then journaled, so that the checker meets it at one position.
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::bail;
use journal::{AppendError, Entry, Journal, Kind};
use runtime::{checker::Shared, clock, control::Control, packs};
use store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Says once more, in the journal, which packs are in force: before anyone is heard, so that no event is judged without a
/// pack that was saved just before a crash. What the checker has in force already stays as it is.
///
/// # Errors
/// When the database or the disk says no.
pub(crate) async fn reconcile(shared: &Shared, journal: &Journal, store: &Store) -> anyhow::Result<()> {
    let current = store.packs().await?;
    let at_checkpoint = shared.revisions.read().map(|revisions| revisions.clone()).unwrap_or_default();
    for name in at_checkpoint.keys().filter(|name| !current.iter().any(|pack| pack.name == **name)) {
        tracing::warn!(pack = name, "a pack that was dropped is taken out of force");
        journal_control(journal, &Control::Drop { pack: name.clone() }).await?;
    }
    for pack in current {
        let adopt = Control::Adopt { pack: pack.name, revision: pack.revision, yaml: pack.yaml };
        journal_control(journal, &adopt).await?;
    }
    Ok(())
}

/// Puts changed files of the rules folder in force, all of them or none. What was edited in the dashboard since a file last
/// changed stays.
///
/// # Errors
/// When the files have mistakes, or the database or the disk says no.
pub(crate) async fn adopt_files(rules: &Path, journal: &Journal, store: &Store) -> anyhow::Result<()> {
    let loaded = packs::load(&[rules.to_owned()])?;
    if loaded.has_mistakes() {
        bail!("{}\nthe packs have mistakes; `invar check {}` lists them", loaded.rendered(), rules.display());
    }
    for file in &loaded.files {
        let Some(pack) = &file.pack else { continue };
        let revisions = store.revisions(&pack.name).await?;
        let last_file = revisions.iter().find(|revision| revision.origin == "file");
        if last_file.is_some_and(|known| known.yaml == file.yaml) {
            continue;
        }
        adopt(journal, store, &pack.name, &file.yaml, "file", "file", None).await?;
        tracing::info!(pack = pack.name, rules = pack.rules.len(), "a pack was put in force from its file");
    }
    Ok(())
}

/// How often the rules folder is looked at. Looking, not being told, works on every file system, and where a folder is a link
/// that is moved, as Kubernetes does.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Puts files of the rules folder in force as they change from what they were when they were last `taken`. A folder with
/// mistakes changes nothing; `trouble` says what they are until they are mended.
pub(crate) async fn follow_files(
    rules: PathBuf,
    mut taken: Option<packs::Look>,
    journal: Journal,
    store: Store,
    trouble: watch::Sender<Option<String>>,
    stop: CancellationToken,
) {
    let mut before: Option<packs::Look> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let seen = match packs::look(&rules) {
            Ok(seen) => seen,
            Err(error) => {
                // Whoever replaces a folder takes it away first: the rules in force stay.
                tell(&trouble, Some(format!("{:#}", anyhow::Error::from(error))));
                (taken, before) = (None, None);
                continue;
            }
        };
        // A file that is being written looks different each time.
        let still = before.as_ref() == Some(&seen);
        let news = taken.as_ref() != Some(&seen);
        before = Some(seen.clone());
        if !still || !news {
            continue;
        }
        match adopt_files(&rules, &journal, &store).await {
            Ok(()) => tell(&trouble, None),
            Err(error) => tell(&trouble, Some(format!("{error:#}"))),
        }
        taken = Some(seen);
    }
}

/// Says once what is wrong with the rules folder, and when that is over.
fn tell(trouble: &watch::Sender<Option<String>>, what: Option<String>) {
    trouble.send_if_modified(|known| {
        if *known == what {
            return false;
        }
        match &what {
            Some(what) => tracing::error!("the rules on disk are not taken, those in force stay: {what}"),
            None => tracing::info!("the rules on disk are in force again"),
        }
        *known = what;
        true
    });
}

/// Writes a revision and journals its adoption.
///
/// # Errors
/// When another revision is in force, or the disk says no.
pub(crate) async fn adopt(
    journal: &Journal,
    store: &Store,
    name: &str,
    yaml: &str,
    author: &str,
    origin: &str,
    expected: Option<i64>,
) -> anyhow::Result<i64> {
    let revision = store.put_pack(name, yaml, author, origin, expected, &clock::now().to_string()).await?;
    journal_control(journal, &Control::Adopt { pack: name.into(), revision, yaml: yaml.into() }).await?;
    Ok(revision)
}

/// Journals a decision; returns its frame.
///
/// # Errors
/// When the journal says no.
pub(crate) async fn journal_control(journal: &Journal, control: &Control) -> Result<u64, AppendError> {
    let entry = Entry {
        kind: Kind::CONTROL,
        body: control.to_body().into(),
        events: 0,
        refused: bytes::Bytes::new(),
        notes: bytes::Bytes::new(),
    };
    Ok(journal.append(entry).await?.frame)
}
