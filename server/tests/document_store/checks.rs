//! The promises of `DocumentStore`.

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use realtime_server::store::{CompactedDocument, DocumentVersion, StoreError};
use tokio::sync::oneshot;

use super::*;

pub async fn updates_are_read_in_the_order_in_which_they_were_appended(store: &dyn DocumentStore) {
    let document = named(None, "room", "doc");
    let first = store.append(&updates(&document, b"abc")).await.unwrap();
    let second = store.append(&updates(&document, b"d")).await.unwrap();
    let ids = [first, second].concat();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    let stored = store.document(&document).await.unwrap().unwrap();
    assert_eq!(stored.state, None);
    let rows: Vec<_> = stored.updates.into_iter().map(|row| (row.id, row.update)).collect();
    assert_eq!(rows, ids.into_iter().zip([b"a", b"b", b"c", b"d"].map(|it| it.to_vec())).collect::<Vec<_>>());
    assert_eq!(store.append(&[]).await, Ok(Vec::new()));
}

pub async fn documents_of_equal_names_belong_to_their_tenants(store: &dyn DocumentStore) {
    let all = [None, Some("acme"), Some("globex")].map(|tenant| named(tenant, "room", "doc"));
    let one_each: Vec<_> =
        all.iter().zip([b"0", b"1", b"2"]).map(|(it, byte)| update(it, &byte[..])).collect();
    store.append(&one_each).await.unwrap();
    assert_eq!(compacted(store, &all[1]).await, Some(1));
    let contents_of = |index: usize| contents(store, &all[index]);
    assert_eq!((contents_of(0).await, contents_of(1).await), (Some(b"0".into()), Some(b"1".into())));
    assert!(store.delete_document(&all[0]).await.unwrap());
    assert_eq!((contents_of(0).await, contents_of(1).await), (None, Some(b"1".into())));
    assert!(store.delete_document(&all[1]).await.unwrap());
    assert_eq!((contents_of(1).await, contents_of(2).await), (None, Some(b"2".into())));
}

pub async fn what_was_never_stored_is_nothing(store: &dyn DocumentStore) {
    store.append(&updates(&named(None, "room", "doc"), b"a")).await.unwrap();
    for other in [named(None, "room", "Doc"), named(None, "", "roomdoc"), named(Some("doc"), "room", "doc")] {
        assert_eq!(store.document(&other).await, Ok(None), "{other:?}");
        assert_eq!(store.compact(&other, refusing()).await, Ok(None), "{other:?}");
        assert_eq!(store.delete_document(&other).await, Ok(false), "{other:?}");
    }
}

pub async fn names_may_have_any_characters(store: &dyn DocumentStore) {
    let texts = [
        "'; DROP TABLE documents; --",
        "\"quoted\" \\ %_",
        "ünïcöde \u{10ffff} 🦀\n",
        "",
        "null",
        &"x".repeat(256),
    ];
    let all: Vec<_> =
        texts.iter().flat_map(|text| [named(None, text, "doc"), named(Some("acme"), "room", text)]).collect();
    let mut appended: Vec<_> =
        all.iter().map(|document| update(document, document.room.to_string())).collect();
    appended[0].user = Some(texts[1].into());
    appended[1].user = None;
    store.append(&appended).await.unwrap();
    for document in &all {
        let expected = document.room.as_bytes().to_vec();
        assert_eq!(contents(store, document).await, Some(expected.clone()), "{document:?}");
        assert_eq!(compacted(store, document).await, Some(1), "{document:?}");
        assert_eq!(contents(store, document).await, Some(expected), "{document:?}");
    }
}

pub async fn names_that_no_database_has_are_rejected(store: &dyn DocumentStore) {
    for name in [
        named(None, "a\0b", "doc"),
        named(None, "room", "\0"),
        named(Some("\0"), "room", "doc"),
        named(Some(""), "room", "doc"),
    ] {
        let is_rejected = |error: &StoreError| matches!(error, StoreError::Rejected(_));
        assert!(store.document(&name).await.is_err_and(|it| is_rejected(&it)), "{name:?}");
        assert!(store.append(&updates(&name, b"a")).await.is_err_and(|it| is_rejected(&it)), "{name:?}");
        assert!(store.delete_document(&name).await.is_err_and(|it| is_rejected(&it)), "{name:?}");
        let compacted = store.compact(&name, joining()).await;
        assert!(matches!(compacted, Err(CompactionError::Store(StoreError::Rejected(_)))), "{name:?}");
    }
}

pub async fn a_batch_with_one_that_is_rejected_is_not_appended(store: &dyn DocumentStore) {
    let document = named(None, "room", "doc");
    let mut batch = updates(&document, b"abc");
    batch[2].user = Some("\0".into());
    let error = store.append(&batch).await.unwrap_err();
    assert!(error.to_string().contains("the user of an update has a NUL"), "{error}");
    assert_eq!(store.document(&document).await, Ok(None));
}

pub async fn a_compaction_deletes_what_it_has_merged_and_nothing_else(store: &dyn DocumentStore) {
    let (document, other) = (named(None, "room", "doc"), named(None, "room", "other"));
    let batch = [updates(&document, b"ab"), updates(&other, b"x"), updates(&document, b"c")].concat();
    store.append(&batch).await.unwrap();
    let (merge, merging, proceed) = pausing();
    let appending = async {
        merging.await.unwrap();
        store.append(&updates(&document, b"de")).await.unwrap();
        // While it merges, all is there for others.
        assert_eq!(contents(store, &document).await, Some(b"abcde".into()));
        proceed.send(()).unwrap();
    };
    let (written, ()) = tokio::join!(store.compact(&document, merge), appending);
    let CompactedDocument { state_bytes, updates: merged, .. } = written.unwrap().expect("there was a log");
    assert_eq!((state_bytes, merged.len()), (3, 3));
    let stored = store.document(&document).await.unwrap().unwrap();
    assert_eq!((stored.state.as_deref(), stored.updates.len()), (Some(&b"abc"[..]), 2));
    assert_eq!(joined(stored), b"abcde");
    assert_eq!(compacted(store, &document).await, Some(2));
    assert_eq!(store.compact(&document, refusing()).await, Ok(None), "there is nothing to merge");
    let stored = store.document(&document).await.unwrap().unwrap();
    assert_eq!((stored.state.as_deref(), stored.updates.len()), (Some(&b"abcde"[..]), 0));
    assert_eq!(contents(store, &other).await, Some(b"x".into()));
}

pub async fn a_version_changes_with_all_that_is_written(store: &dyn DocumentStore) {
    let all = [named(None, "room", "doc"), named(Some("acme"), "room", "doc"), named(None, "room", "other")];
    let nothing = DocumentVersion::default();
    assert_eq!(store.versions(&all).await, Ok(vec![nothing.clone(); 3]));
    for (place, document) in all[..2].iter().enumerate() {
        let ids = store.append(&updates(document, b"ab")).await.unwrap();
        let known = store.versions(&all).await.unwrap();
        assert_eq!(known[place], DocumentVersion { state: 0, updates: ids.clone() });
        assert_eq!(known[2], nothing);
        let written = store.compact(document, joining()).await.unwrap().expect("there is a log");
        assert_eq!(written.updates, ids);
        let after = store.versions(&all).await.unwrap();
        assert_eq!(after[place], DocumentVersion { state: written.state_version, updates: Vec::new() });
        assert_ne!(written.state_version, 0);
        let more = store.append(&updates(document, b"c")).await.unwrap();
        let stored = store.document(document).await.unwrap().unwrap();
        assert_eq!(stored.version(), DocumentVersion { state: written.state_version, updates: more });
        let (merged_from, merging) = oneshot::channel();
        let merge: MergeDocument = Box::new(|stored| {
            merged_from.send(stored.version()).expect("it is received");
            async { Ok(joined(stored)) }.boxed()
        });
        let again = store.compact(document, merge).await.unwrap().expect("there is a log");
        assert_eq!(merging.await, Ok(stored.version()), "it is known what was merged");
        assert_ne!(again.state_version, written.state_version);
        store.delete_document(document).await.unwrap();
        assert_eq!(store.versions(&all).await.unwrap()[place], nothing);
    }
}

pub async fn compactions_at_once_lose_nothing(store: &dyn DocumentStore) {
    let document = named(Some("acme"), "room", "doc");
    let mut expected = Vec::new();
    for byte in b"abcd" {
        store.append(&updates(&document, &[*byte])).await.unwrap();
        expected.push(*byte);
        let all = join_all((0..4).map(|_| store.compact(&document, joining()))).await;
        let written: Vec<_> = all.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(written.len(), 1);
        assert_eq!((written[0].state_bytes, written[0].updates.len()), (expected.len(), 1));
        assert_eq!(contents(store, &document).await, Some(expected.clone()));
    }
}

pub async fn a_deletion_is_not_undone_by_a_compaction_that_began_before(store: &dyn DocumentStore) {
    let document = named(None, "room", "doc");
    for is_compacted_before in [false, true] {
        store.append(&updates(&document, b"ab")).await.unwrap();
        if is_compacted_before {
            compacted(store, &document).await;
            store.append(&updates(&document, b"c")).await.unwrap();
        }
        let (merge, merging, proceed) = pausing();
        let deleting = async {
            merging.await.unwrap();
            let deletion = store.delete_document(&document);
            // A store may let it wait for the compaction.
            let (deleted, _sent) = tokio::join!(deletion, async { proceed.send(()) });
            assert_eq!(deleted, Ok(true));
        };
        let (_either_first, ()) = tokio::join!(store.compact(&document, merge), deleting);
        assert_eq!(store.document(&document).await, Ok(None));
    }
}

pub async fn a_merge_that_is_refused_changes_nothing(store: &dyn DocumentStore) {
    let document = named(None, "room", "doc");
    store.append(&updates(&document, b"ab")).await.unwrap();
    for _again in 0..2 {
        let before = store.document(&document).await.unwrap();
        let refused = store.compact(&document, refusing()).await;
        assert_eq!(refused, Err(CompactionError::Merge(MergeRefused("it is damaged".into()))));
        assert_eq!(store.document(&document).await, Ok(before));
        compacted(store, &document).await;
        store.append(&updates(&document, b"c")).await.unwrap();
    }
}

pub async fn a_deleted_document_is_gone_and_may_begin_again(store: &dyn DocumentStore) {
    for document in [named(None, "room", "doc"), named(Some("acme"), "room", "doc")] {
        let first = store.append(&updates(&document, b"ab")).await.unwrap();
        assert_eq!(store.delete_document(&document).await, Ok(true), "it has a log and no state");
        assert_eq!(store.delete_document(&document).await, Ok(false));
        let second = store.append(&updates(&document, b"c")).await.unwrap();
        assert!(second[0] > first[1], "an id is not given twice: {first:?} {second:?}");
        assert_eq!(contents(store, &document).await, Some(b"c".into()));
        compacted(store, &document).await;
        assert_eq!(store.delete_document(&document).await, Ok(true), "it has a state and no log");
        assert_eq!(store.document(&document).await, Ok(None));
    }
}

pub async fn large_documents_and_updates_of_any_bytes_are_kept(store: &dyn DocumentStore) {
    let document = named(None, "room", "doc");
    let large: Vec<u8> = (0..10 * 1024 * 1024_u32).map(|number| (number % 251) as u8).collect();
    let batch = [Bytes::new(), Bytes::from_static(&[0, 255, 0]), large.clone().into()];
    let batch: Vec<_> = batch.into_iter().map(|bytes| update(&document, bytes)).collect();
    store.append(&batch).await.unwrap();
    let stored = store.document(&document).await.unwrap().unwrap();
    let sizes: Vec<_> = stored.updates.iter().map(|row| row.update.len()).collect();
    assert_eq!(sizes, [0, 3, large.len()]);
    let all = [&[0, 255, 0], &large[..]].concat();
    assert!(joined(stored) == all, "the same bytes");
    assert_eq!(compacted(store, &document).await, Some(3));
    assert!(contents(store, &document).await == Some(all), "the same bytes");
    let empty = named(None, "room", "empty");
    store.append(&[update(&empty, Bytes::new())]).await.unwrap();
    assert_eq!(contents(store, &empty).await, Some(Vec::new()));
}

pub async fn a_batch_may_have_thousands_of_updates_of_many_documents(store: &dyn DocumentStore) {
    let all: Vec<_> = (0..50).map(|number| named(None, "room", &number.to_string())).collect();
    let batch: Vec<_> =
        (0..5000_u32).map(|number| update(&all[number as usize % 50], number.to_string())).collect();
    let ids = store.append(&batch).await.unwrap();
    assert!(ids.len() == 5000 && ids.is_sorted_by(|one, next| one < next));
    let stored = store.document(&all[7]).await.unwrap().unwrap();
    assert_eq!(
        stored.updates.iter().map(|row| row.id).collect::<Vec<_>>(),
        ids[7..].iter().step_by(50).copied().collect::<Vec<_>>()
    );
    assert_eq!((&*stored.updates[1].update, &*stored.updates[99].update), (&b"57"[..], &b"4957"[..]));
}

/// Compacts, and returns how many rows were merged.
async fn compacted(store: &dyn DocumentStore, name: &DocumentName) -> Option<usize> {
    store.compact(name, joining()).await.unwrap().map(|written| written.updates.len())
}

/// A merge, the moment at which it begins, and what it then waits for.
fn pausing() -> (MergeDocument, oneshot::Receiver<()>, oneshot::Sender<()>) {
    let (begun, merging) = oneshot::channel();
    let (proceed, until) = oneshot::channel();
    let merge: MergeDocument = Box::new(|stored| {
        async move {
            begun.send(()).expect("it is waited for");
            until.await.expect("it is sent");
            Ok(joined(stored))
        }
        .boxed()
    });
    (merge, merging, proceed)
}
