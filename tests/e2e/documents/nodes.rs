//! One document on two nodes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{ChaosProxy, Conversation, Postgres, Redis, World, eventually};
use hub::Bounds;
use realtime_server::app::{OpenedStore, ServerBuilder};
use realtime_server::bus::{Broker, Bus};
use realtime_server::store::{DocumentStore, MemoryStore};
use serde_json::json;
use settings::Settings;

use super::editor::Editor;
use crate::bus::{at, on, wait_for_disconnect, wait_for_nodes};

/// A store that several nodes use.
#[derive(Clone)]
struct SharedStore(Arc<dyn DocumentStore>);

impl SharedStore {
    fn new() -> Self {
        Self(Arc::new(MemoryStore::shared()))
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
async fn nodes_on_one_bus_with_a_store_each_have_documents_of_their_own() {
    let broker = Broker::new(Duration::from_secs(60), Bounds { frames: 10_000, bytes: 1 << 26 });
    let bus = Arc::new(broker) as Arc<dyn Bus>;
    let extend = |server: ServerBuilder| server.bus(Arc::clone(&bus));
    let one = World::extended(extend, never_refreshed).await;
    let two = one.extended_beside(extend, never_refreshed).await;
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    let (mut ann, mut bob) = (Editor::open(&one, "room").await, Editor::open(&two, "room").await);
    ann.show(1, 1, "\"ann\"").await;
    ann.insert("a").await;
    ann.confirmed().await;
    bob.insert("b").await;
    bob.confirmed().await;
    // What was sent to the other node would have arrived before what is sent now.
    Conversation::among([&one, &two])
        .check(
            r#"
            eve, joe (node 2) join realtime:room
            eve > ["1","2","realtime:room","broadcast",{"event":"hi","payload":{},"type":"broadcast"}]
            joe < [null,null,"realtime:room","broadcast",{"event":"hi","payload":{},"type":"broadcast"}]
            "#,
        )
        .await;
    bob.confirmed().await;
    assert_eq!((ann.text(), bob.text(), bob.states.len()), ("a".into(), "b".into(), 0));
    one.stop().await;
    two.stop().await;
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

#[tokio::test]
async fn what_was_written_on_both_sides_without_redis_is_exchanged_when_it_is_back() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let store = SharedStore::new();
    let quick = |settings: &mut Settings| {
        never_refreshed(settings);
        settings.documents.refresh_without_bus = Duration::from_secs(3_600);
        settings.bus.lease = Duration::from_secs(1);
    };
    let change = |settings: &mut Settings| {
        on(&redis)(settings);
        quick(settings);
    };
    let one = World::extended(|server| store.open(server), change).await;
    let change = |settings: &mut Settings| {
        at(&redis, proxy.address())(settings);
        quick(settings);
    };
    let two = one.extended_beside(|server| store.open(server), change).await;
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    let (mut ann, mut bob) = (Editor::open(&one, "room").await, Editor::open(&two, "room").await);
    bob.show(2, 1, r#"{"name":"bob"}"#).await;
    while ann.next_state().await != (2, Some(json!({"name": "bob"}))) {}
    proxy.cut();
    wait_for_disconnect(&two).await;
    while ann.next_state().await != (2, None) {}
    ann.insert("a").await;
    ann.confirmed().await;
    bob.insert("b").await;
    bob.confirmed().await;
    assert_eq!((ann.text(), bob.text()), ("a".into(), "b".into()));
    proxy.mend();
    ann.until_length(2).await;
    bob.until_length(2).await;
    assert_eq!(ann.text(), bob.text());
    while ann.next_state().await != (2, Some(json!({"name": "bob"}))) {}
    ann.insert("c").await;
    bob.until_length(3).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn nodes_on_one_postgres_without_redis_receive_each_others_changes() {
    let postgres = Postgres::start();
    let mut worlds = Vec::<World>::new();
    let mut settings = Settings::default();
    settings.store.url = Some(postgres.url().into());
    for _ in 0..2 {
        let store = OpenedStore::open(&settings).await.expect("the address can be used");
        let documents = Arc::clone(&store.documents);
        let extend = |server: ServerBuilder| server.store(store);
        let world = match worlds.first() {
            None => World::extended(extend, |_| {}).await,
            Some(first) => first.extended_beside(extend, |_| {}).await,
        };
        worlds.push(world);
        eventually("the tables are there", async || documents.versions(&[]).await.is_ok()).await;
    }
    let (mut ann, mut bob) = (Editor::open(&worlds[0], "room").await, Editor::open(&worlds[1], "room").await);
    let begun = Instant::now();
    for n in 1..4 {
        ann.insert("a").await;
        bob.until_length(2 * n - 1).await;
        bob.insert("b").await;
        ann.until_length(2 * n).await;
    }
    assert_eq!(ann.text(), bob.text());
    // Half a second each, and time for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    // What a compaction has taken from the log is in the state.
    worlds[0].apply(|settings| settings.documents.compact_updates = NonZeroU32::MIN);
    ann.insert("c").await;
    ann.confirmed().await;
    bob.until_length(7).await;
    for world in worlds {
        world.stop().await;
    }
}
