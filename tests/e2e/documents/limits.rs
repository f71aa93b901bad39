//! What documents, updates and states of clients may take, and what each tenant, token and client may do with them.

use std::time::Duration;

use harness::{World, eventually};
use serde_json::json;
use settings::ByteSize;
use wire::y_websocket::YWebsocketMessage;
use wire::yjs::SyncMessage;
use yrs::Doc;

use super::editor::Editor;

/// Opens a document of a tenant.
async fn open_for(world: &World, tenant: &str) -> Editor {
    let claims = json!({"sub": "ann", "exp": 4_000_000_000_u64});
    let token = world.tenant_token_issuer(tenant).sign(&claims);
    Editor::open_at(world, &format!("/yjs/room?tenant={tenant}&token={token}"), Doc::new()).await
}

#[tokio::test]
async fn a_change_that_does_not_fit_is_refused_and_the_others_edit_on() {
    let world = World::with(|settings| settings.documents.max_bytes = ByteSize::kib(4)).await;
    let mut one = Editor::open(&world, "room").await;
    let mut large = Editor::open(&world, "room").await;
    one.insert(&"a".repeat(3_000)).await;
    large.insert(&"b".repeat(3_000)).await;
    assert_eq!(large.closed().await, 4413);
    one.insert("+").await;
    one.confirmed().await;
    assert_eq!(Editor::open(&world, "room").await.text().len(), 3_001);
    world.stop().await;
}

#[tokio::test]
async fn a_full_document_becomes_smaller_by_what_is_deleted() {
    let world = World::with(|settings| settings.documents.max_bytes = ByteSize::kib(4)).await;
    let mut one = Editor::open(&world, "room").await;
    one.insert(&"a".repeat(4_000)).await;
    one.confirmed().await;
    one.remove(3_900).await;
    one.confirmed().await;
    // How large it is by now is found out once a second at most.
    eventually("there is room again", async || {
        let mut other = Editor::open(&world, "room").await;
        other.insert(&"b".repeat(2_000)).await;
        other.is_confirmed().await
    })
    .await;
    assert_eq!(Editor::open(&world, "room").await.text().len(), 2_100);
    world.stop().await;
}

#[tokio::test]
async fn a_tenant_has_limits_of_its_own() {
    let world = World::with_tenants(&["acme"]).await;
    world.apply(|settings| {
        let limits = &mut settings.tenants.get_mut("acme").expect("the tenant").limits;
        limits.max_document_bytes = Some(ByteSize::kib(2));
        limits.max_document_update_bytes = Some(ByteSize::kib(1));
        limits.max_awareness_bytes = Some(ByteSize::b(64));
    });
    let mut here = Editor::open(&world, "room").await;
    here.insert(&"a".repeat(3_000)).await;
    here.confirmed().await;
    let mut large = open_for(&world, "acme").await;
    large.insert(&"a".repeat(1_100)).await;
    assert_eq!(large.closed().await, 4413, "one update");
    let mut often = open_for(&world, "acme").await;
    for _ in 0..3 {
        often.insert(&"a".repeat(900)).await;
    }
    assert_eq!(often.closed().await, 4413, "the document");
    let (mut shows, mut sees) = (open_for(&world, "acme").await, open_for(&world, "acme").await);
    shows.show(7, 1, &format!("\"{}\"", "a".repeat(64))).await;
    shows.show(8, 1, "\"ann\"").await;
    assert_eq!(sees.next_state().await, (8, Some(json!("ann"))), "the larger one is not shown");
    world.stop().await;
}

#[tokio::test]
async fn anonymous_clients_may_write_as_soon_as_the_settings_permit_it() {
    let world = World::start().await;
    let anonymous = json!({"role": "anon"});
    let mut anonymous = Editor::open_with(&world, "room", Doc::new(), &anonymous).await;
    anonymous.insert("a").await;
    anonymous.confirmed().await;
    assert_eq!(Editor::open(&world, "room").await.text(), "");
    world.apply(|settings| settings.documents.anon_may_write = true);
    let mut reader = Editor::open(&world, "room").await;
    eventually("it may write", async || {
        let all = anonymous.everything();
        anonymous.send(YWebsocketMessage::Sync(SyncMessage::Update(&all))).await;
        anonymous.confirmed().await;
        !Editor::open(&world, "room").await.text().is_empty()
    })
    .await;
    reader.until("a").await;
    world.stop().await;
}

#[tokio::test]
async fn a_user_whose_name_no_database_takes_edits_like_others() {
    let world = World::start().await;
    let claims = json!({"sub": "ann\0"});
    let mut editor = Editor::open_with(&world, "room", Doc::new(), &claims).await;
    editor.insert("a").await;
    editor.confirmed().await;
    world.stop().await;
}

#[tokio::test]
async fn questions_for_all_states_are_answered_once_for_many() {
    let world = World::start().await;
    let mut shows = Editor::open(&world, "room").await;
    shows.show(7, 1, "\"ann\"").await;
    let mut asks = Editor::open(&world, "room").await;
    assert_eq!(asks.next_state().await.0, 7);
    asks.send_bytes(&[3; 1_000]).await;
    asks.confirmed().await;
    let answers = asks.states.len();
    assert!((1..10).contains(&answers), "{answers} answers");
    world.stop().await;
}

#[tokio::test]
async fn a_document_leaves_the_memory_while_its_clients_only_show_themselves() {
    let world = World::with(|settings| settings.documents.unload_after = Duration::from_millis(100)).await;
    let mut editor = Editor::open(&world, "room").await;
    editor.insert("a").await;
    editor.confirmed().await;
    let mut clock = 0;
    eventually("it is unloaded", async || {
        clock += 1;
        editor.show(7, clock, "\"ann\"").await;
        world.number("realtime_documents_loaded").await == 0.0
    })
    .await;
    editor.insert("b").await;
    editor.confirmed().await;
    assert_eq!(Editor::open(&world, "room").await.text(), "ba");
    world.stop().await;
}
