//! Packs and their revisions.
use store::{Store, StoreError};

use crate::Desk;

const AT: &str = "2026-11-20T12:00:00.000000000Z";

#[tokio::test]
async fn revisions_count_up_and_a_stale_save_is_refused() {
    let desk = Desk::new().await;
    let store = &desk.store;
    assert_eq!(store.put_pack("p", "one", "ann", "ui", Some(0), AT).await.unwrap(), 1);
    assert_eq!(store.put_pack("p", "two", "ann", "ui", Some(1), AT).await.unwrap(), 2);
    let stale = store.put_pack("p", "three", "bob", "ui", Some(1), AT).await;
    assert!(matches!(stale, Err(StoreError::Conflict { current: 2, expected: 1 })), "{stale:?}");
    assert_eq!(store.pack("p").await.unwrap().yaml, "two");
    assert_eq!(store.revisions("p").await.unwrap().iter().map(|row| row.revision).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn a_dropped_pack_keeps_its_revisions_and_comes_back_as_a_new_one() {
    let desk = Desk::new().await;
    let store = &desk.store;
    store.put_pack("p", "one", "ann", "ui", None, AT).await.unwrap();
    store.drop_pack("p", AT).await.unwrap();
    assert!(store.packs().await.unwrap().is_empty());
    assert!(matches!(store.drop_pack("p", AT).await, Err(StoreError::NotFound)));
    assert_eq!(store.put_pack("p", "one again", "ann", "ui", Some(0), AT).await.unwrap(), 2);
    assert_eq!(store.packs().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_text_that_changed_by_itself_is_not_taken_for_a_pack() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("invar.db");
    let store = Store::open(&path).await.unwrap();
    let yaml = "pack: p\nrules: [] # within 5s";
    store.put_pack("p", yaml, "file", "file", None, "now").await.unwrap();
    store.close().await;
    drop(store);
    // As it was before there were checksums: it gets one.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let plain = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("update packs set yaml_crc32 = null").execute(&plain).await.unwrap();
    plain.close().await;
    let store = Store::open(&path).await.unwrap();
    assert_eq!(store.packs().await.unwrap()[0].yaml, yaml);
    store.close().await;
    drop(store);
    // One bit of the file, which SQLite does not notice.
    let mut file = std::fs::read(&path).unwrap();
    let places: Vec<usize> = (0..file.len() - 9).filter(|at| file[*at..].starts_with(b"within 5s")).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| file[at + 7] ^= 2);
    std::fs::write(&path, file).unwrap();
    let store = Store::open(&path).await.unwrap();
    for outcome in
        [store.packs().await.map(drop), store.pack("p").await.map(drop), store.revisions("p").await.map(drop)]
    {
        let error = outcome.unwrap_err();
        assert!(
            matches!(error, StoreError::Corrupt(_)) && error.to_string().contains("revision 1 of the pack p"),
            "{error}"
        );
    }
}
