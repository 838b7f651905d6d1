//! Packs and their revisions.
use store::StoreError;

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
