//! Putting packs in force: a revision is written to the store, then journaled, so that the checker meets it at one position.
use anyhow::bail;
use journal::{AppendError, Entry, Journal, Kind};
use runtime::{checker::Shared, clock, control::Control, packs};
use store::Store;

use crate::config::Config;

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

/// Puts changed files of the rules folder in force. What was edited in the dashboard since a file last changed stays.
pub(crate) async fn adopt_files(config: &Config, journal: &Journal, store: &Store) -> anyhow::Result<()> {
    let Some(rules) = &config.rules else { return Ok(()) };
    let loaded = packs::load(std::slice::from_ref(rules))?;
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
    let entry = Entry { kind: Kind::CONTROL, body: control.to_body().into(), events: 0, refused: bytes::Bytes::new() };
    Ok(journal.append(entry).await?.frame)
}
