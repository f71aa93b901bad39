//! Shared documents over the y-websocket protocol (docs/protocol/documents.md).

#[expect(dead_code, reason = "the tests of faults use the rest")]
mod editor;
mod hostile;
mod limits;
mod nodes;
mod reopened;
mod y_sweet;

use harness::World;
use serde_json::json;
use wire::y_websocket::YWebsocketMessage;

use editor::Editor;

#[tokio::test]
async fn editors_of_a_document_converge_and_one_that_comes_later_has_it_all() {
    let world = World::start().await;
    let (mut one, mut other) =
        (Editor::open(&world, "room/doc").await, Editor::open(&world, "room/doc").await);
    one.insert("a").await;
    other.until("a").await;
    other.insert("b").await;
    one.until("ba").await;
    assert_eq!(Editor::open(&world, "room/doc").await.text(), "ba");
    assert_eq!(Editor::open(&world, "room/other").await.text(), "", "another document");
    world.stop().await;
}

#[tokio::test]
async fn a_room_that_is_named_alone_has_the_document_default() {
    let world = World::start().await;
    let mut named = Editor::open(&world, "room/default").await;
    let mut alone = Editor::open(&world, "room").await;
    alone.insert("a").await;
    named.until("a").await;
    world.stop().await;
}

#[tokio::test]
async fn what_was_written_without_a_connection_reaches_the_others() {
    let world = World::start().await;
    let mut one = Editor::open(&world, "room").await;
    one.insert("a").await;
    one.confirmed().await;
    let offline = one.into_doc();
    let mut other = Editor::open(&world, "room").await;
    let again = Editor::open_with(&world, "room", offline, &json!({})).await;
    assert_eq!((again.text(), other.text()), ("a".into(), "a".into()));
    let mut again = again;
    again.insert("b").await;
    other.until("ba").await;
    world.stop().await;
}

// The message and the end of the connection are read at once.
#[tokio::test]
async fn what_is_sent_just_before_a_client_leaves_is_kept() {
    let world = World::start().await;
    for round in 0..50 {
        let room = format!("room-{round}");
        let mut stays = Editor::open(&world, &room).await;
        let mut leaves = Editor::open(&world, &room).await;
        leaves.insert("a").await;
        drop(leaves);
        stays.until("a").await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_message_that_is_larger_than_a_frame_may_be_is_refused_for_good() {
    let world = World::with(|settings| {
        settings.limits.max_payload_size_in_kb = crate::count(1);
        settings.server.max_frame_size = settings::ByteSize::kib(16);
    })
    .await;
    let mut editor = Editor::open(&world, "room").await;
    editor.send_bytes(&[0; 20_000]).await;
    assert_eq!(editor.closed().await, 4413);
    world.stop().await;
}

#[tokio::test]
async fn readers_receive_changes_and_make_none() {
    let world = World::start().await;
    let mut writer = Editor::open(&world, "room").await;
    let read = json!({"permissions": {"rooms": [{"pattern": "room", "access": "read"}]}});
    let mut reader = Editor::open_with(&world, "room", yrs::Doc::new(), &read).await;
    writer.insert("a").await;
    reader.until("a").await;
    reader.insert("x").await;
    reader.confirmed().await;
    writer.insert("b").await;
    writer.confirmed().await;
    assert_eq!(Editor::open(&world, "room").await.text(), "ba");
    world.stop().await;
}

#[tokio::test]
async fn a_room_that_the_token_does_not_permit_is_closed_for_good() {
    let world = World::start().await;
    let other = json!({"permissions": {"rooms": ["other"]}});
    let target = format!("/yjs/room?token={}", editor::token(&world, &other));
    let mut client = world.connect_to(harness::Dialect::V2, &target).await.expect("the WebSocket is opened");
    assert_eq!(client.next().await, harness::Frame::Closed(4403));
    world.stop().await;
}

#[tokio::test]
async fn one_is_seen_as_soon_as_it_connects_again_and_no_longer_when_it_has_gone() {
    let world = World::start().await;
    let mut watcher = Editor::open(&world, "room").await;
    let mut one = Editor::open(&world, "room").await;
    one.show(7, 3, r#"{"name":"ann"}"#).await;
    assert_eq!(watcher.next_state().await, (7, Some(json!({"name": "ann"}))));
    drop(one);
    assert_eq!(watcher.next_state().await, (7, None));
    let mut again = Editor::open(&world, "room").await;
    again.show(7, 3, r#"{"name":"ann"}"#).await;
    assert_eq!(watcher.next_state().await, (7, Some(json!({"name": "ann"}))));
    let mut late = Editor::open(&world, "room").await;
    assert_eq!(late.next_state().await, (7, Some(json!({"name": "ann"}))));
    world.stop().await;
}

#[tokio::test]
async fn what_is_no_message_ends_that_connection_alone() {
    let world = World::start().await;
    let mut other = Editor::open(&world, "room").await;
    for bytes in [&[0, 2, 3, 1, 2, 3][..], &[0, 0, 4, 255, 255, 255, 127], &[9], &[]] {
        let mut hostile = Editor::open(&world, "room").await;
        hostile.send_bytes(bytes).await;
        assert_eq!(hostile.closed().await, 4400, "{bytes:?}");
    }
    other.insert("a").await;
    other.send(YWebsocketMessage::QueryAwareness).await;
    other.confirmed().await;
    world.stop().await;
}
