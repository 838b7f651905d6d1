//! Putting packs in force: a revision is written to the store, then journaled, so that the checker meets it at one position.
use anyhow::bail;
use journal::{AppendError, Entry, Journal, Kind};
use runtime::{checker::Shared, clock, control::Control, packs};
use store::Store;

use crate::config::Config;

/// Journals what the store decided and a crash kept from the journal, once the checker has judged what was there at the
/// start.
///
/// # Errors
/// When the database or the disk says no.
pub(crate) async fn reconcile(mut shared: Shared, last: u64, journal: Journal, store: Store) -> anyhow::Result<()> {
    shared.judged.wait_for(|judged| *judged >= last).await?;
    let current = store.packs().await?;
    let in_force = shared.revisions.read().map(|revisions| revisions.clone()).unwrap_or_default();
    for pack in &current {
        if in_force.get(&pack.name) != Some(&pack.revision) {
            tracing::warn!(pack = pack.name, revision = pack.revision, "a revision that was saved is put in force");
            let adopt = Control::Adopt { pack: pack.name.clone(), revision: pack.revision, yaml: pack.yaml.clone() };
            journal_control(&journal, &adopt).await?;
        }
    }
    for name in in_force.keys().filter(|name| !current.iter().any(|pack| pack.name == **name)) {
        tracing::warn!(pack = name, "a pack that was dropped is taken out of force");
        journal_control(&journal, &Control::Drop { pack: name.clone() }).await?;
    }
    Ok(())
}

/// Puts changed files of the rules folder in force. What was edited in the dashboard since a file last changed stays.
pub(crate) async fn adopt_files(config: &Config, journal: &Journal, store: &Store) -> anyhow::Result<()> {
    let Some(rules) = &config.rules else { return Ok(()) };
    let loaded = packs::load(std::slice::from_ref(rules))?;
    for file in &loaded.files {
        let Some(pack) = &file.pack else {
            bail!("{}\nthe packs have mistakes; `invar check {}` lists them", file.rendered(), rules.display());
        };
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
