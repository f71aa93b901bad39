//! One document on two nodes.

use std::sync::Arc;
use std::time::Duration;

use harness::{World, eventually};
use hub::Bounds;
use realtime_server::app::{OpenedStore, ServerBuilder};
use realtime_server::bus::{Broker, Bus};
use realtime_server::store::{DocumentStore, MemoryStore};
use serde_json::json;
use settings::Settings;

use super::editor::Editor;
use crate::bus::wait_for_nodes;

/// A store that several nodes use.
#[derive(Clone)]
struct SharedStore(Arc<dyn DocumentStore>);

impl SharedStore {
    fn new() -> Self {
        Self(Arc::new(MemoryStore::default()))
    }

    fn open(&self, server: ServerBuilder) -> ServerBuilder {
        server.store(OpenedStore { documents: Arc::clone(&self.0), ..OpenedStore::in_memory() })
    }
}

/// Two nodes with one store, connected to each other in this process.
async fn two() -> (World, World) {
    let broker = Broker::new(Duration::from_secs(60), Bounds { frames: 10_000, bytes: 1 << 26 });
    let (store, bus) = (SharedStore::new(), Arc::new(broker) as Arc<dyn Bus>);
    let extend = |server| store.open(server).bus(Arc::clone(&bus));
    let one = World::extended(extend, never_refreshed).await;
    let two = one.extended_beside(extend, never_refreshed).await;
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    (one, two)
}

/// What is not published is not found in time either.
fn never_refreshed(settings: &mut Settings) {
    settings.documents.refresh = Duration::from_secs(3_600);
}

#[tokio::test]
async fn editors_on_two_nodes_converge_and_see_each_other() {
    let (one, two) = two().await;
    let mut ann = Editor::open(&one, "room").await;
    ann.show(1, 1, r#"{"name":"ann"}"#).await;
    ann.insert("a").await;
    ann.confirmed().await;
    let mut bob = Editor::open(&two, "room").await;
    assert_eq!(bob.text(), "a");
    assert_eq!(bob.next_state().await, (1, Some(json!({"name": "ann"}))), "it was shown before");
    bob.insert("b").await;
    ann.until("ba").await;
    ann.insert("c").await;
    bob.until("cba").await;
    bob.show(2, 1, r#"{"name":"bob"}"#).await;
    while ann.next_state().await != (2, Some(json!({"name": "bob"}))) {}
    drop(bob);
    while ann.next_state().await != (2, None) {}
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn members_of_a_document_that_is_not_in_memory_receive_changes_of_other_nodes() {
    let (one, two) = two().await;
    two.apply(|settings| settings.documents.unload_after = Duration::ZERO);
    let (mut ann, mut bob) = (Editor::open(&one, "room").await, Editor::open(&two, "room").await);
    for text in ["a", "ba", "cba"] {
        ann.insert(&text[..1]).await;
        bob.until(text).await;
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_change_that_is_too_large_for_the_bus_is_read_from_the_store() {
    let (one, two) = two().await;
    let (mut ann, mut bob) = (Editor::open(&one, "room").await, Editor::open(&two, "room").await);
    let text = "a".repeat(300_000);
    ann.insert(&text).await;
    bob.until(&text).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_document_that_opens_again_on_a_node_has_what_was_written_meanwhile() {
    let (one, two) = two().await;
    let mut ann = Editor::open(&one, "room").await;
    ann.insert("a").await;
    ann.confirmed().await;
    drop(Editor::open(&two, "room").await);
    eventually("the room is left", async || two.number("realtime_rooms").await == 0.0).await;
    ann.insert("b").await;
    ann.confirmed().await;
    // Its content is in memory still, and was not changed.
    let mut bob = Editor::open(&two, "room").await;
    bob.until("ba").await;
    one.stop().await;
    two.stop().await;
}
