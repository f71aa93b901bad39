//! Documents in the embedded file.

use super::*;

#[tokio::test]
async fn a_file_keeps_its_documents() {
    let Kept(first, folder) = sqlite().await;
    let (document, other) = (named(None, "room", "doc"), named(Some("acme"), "room", "doc"));
    first.append(&updates(&document, b"ab")).await.unwrap();
    first.compact(&document, joining()).await.unwrap();
    let before = first.append(&[updates(&document, b"c"), updates(&other, b"d")].concat()).await.unwrap();
    assert!(first.delete_document(&other).await.unwrap());
    drop(first);
    let again = SqliteStore::open(&folder.path().join("store.sqlite")).await.unwrap();
    let stored = again.document(&document).await.unwrap().unwrap();
    assert_eq!((stored.state.as_deref(), stored.updates.len()), (Some(&b"ab"[..]), 1));
    let after = again.append(&updates(&other, b"e")).await.unwrap();
    assert!(after[0] > before[1], "an id is not given twice: {before:?} {after:?}");
}

#[tokio::test]
async fn a_file_without_tables_is_no_empty_document() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.sqlite")).await.unwrap();
    let document = named(None, "room", "doc");
    store.document(&document).await.unwrap_err();
    store.append(&updates(&document, b"a")).await.unwrap_err();
    store.migrate().await.unwrap();
    assert_eq!(store.document(&document).await, Ok(None));
}

// A busy file has those who wait sleep longer and longer, and refuses them after five seconds.
#[tokio::test]
async fn all_that_write_at_once_take_turns() {
    let Kept(store, _folder) = sqlite().await;
    let write = |number: u32| {
        let (store, document) = (&store, named(None, "room", &(number % 5).to_string()));
        async move {
            store.append(&updates(&document, b"a")).await.unwrap();
            store.compact(&document, joining()).await.unwrap();
        }
    };
    futures_util::future::join_all((0..100).map(write)).await;
    for number in 0..5 {
        let document = named(None, "room", &number.to_string());
        assert_eq!(contents(&*store, &document).await, Some(vec![b'a'; 20]));
    }
}
