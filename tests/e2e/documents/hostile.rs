//! What a hostile or broken client sends as an update: it ends that connection at most, and the others edit on.

use harness::World;
use wire::lib0::Lib0Write;
use wire::yjs::TYPE_DEPTH_MAX;
use yrs::Doc;

use super::editor::Editor;

/// An update message.
fn message(update: &[u8]) -> Vec<u8> {
    let mut message = vec![0, 2];
    message.var_bytes(update);
    message
}

/// An update of client 9 with structs from a clock on, and with its first struct deleted.
fn update(clock: u32, structs: &[Vec<u8>]) -> Vec<u8> {
    let mut update = vec![1];
    update.var_uint(structs.len() as u64);
    update.push(9);
    update.var_uint(clock.into());
    update.extend(structs.concat());
    update.extend([1, 9, 1, 0, 1]);
    update
}

/// A shared type in the one that the clock before has, or in the root `t`.
fn level(clock: u32) -> Vec<u8> {
    let Some(parent) = clock.checked_sub(1) else { return vec![7, 1, 1, b't', 0] };
    let mut level = vec![7, 0, 9];
    level.var_uint(parent.into());
    level.push(0);
    level
}

/// Another editor edits the document.
async fn assert_in_use(world: &World, editor: &mut Editor) {
    let before = editor.text();
    editor.insert("+").await;
    editor.confirmed().await;
    assert_eq!(Editor::open(world, "room").await.text(), format!("+{before}"));
}

#[tokio::test]
async fn shared_types_that_are_nested_deeply_end_the_connection_and_not_the_server() {
    let world = World::start().await;
    let mut other = Editor::open(&world, "room").await;
    let mut at_once = Editor::open(&world, "room").await;
    at_once.send_bytes(&message(&update(0, &(0..20_000).map(level).collect::<Vec<_>>()))).await;
    assert_eq!(at_once.closed().await, 4400);
    assert_in_use(&world, &mut other).await;
    let mut one_by_one = Editor::open(&world, "room").await;
    for clock in (0..=TYPE_DEPTH_MAX as u32).rev() {
        one_by_one.send_bytes(&message(&update(clock, &[level(clock)]))).await;
    }
    assert_eq!(one_by_one.closed().await, 4400);
    assert_in_use(&world, &mut other).await;
    world.stop().await;
}

#[tokio::test]
async fn bytes_after_an_update_end_the_connection_and_nothing_of_it_is_applied() {
    let world = World::start().await;
    let mut other = Editor::open(&world, "room").await;
    let mut hostile = Editor::open(&world, "room").await;
    let valid = [1, 1, 9, 0, 4, 1, 4, b't', b'e', b'x', b't', 1, b'!', 0];
    hostile.send_bytes(&message(&[&valid[..], &[7]].concat())).await;
    assert_eq!(hostile.closed().await, 4400);
    assert_in_use(&world, &mut other).await;
    assert_eq!(other.text(), "+");
    world.stop().await;
}

#[tokio::test]
async fn two_clients_with_one_id_do_not_disturb_others() {
    let world = World::start().await;
    let mut other = Editor::open(&world, "room").await;
    let twin = || Doc::with_client_id(9);
    let mut one = Editor::open_with(&world, "room", twin(), &serde_json::json!({})).await;
    let mut another = Editor::open_with(&world, "room", twin(), &serde_json::json!({})).await;
    one.insert("one").await;
    one.confirmed().await;
    another.insert("another").await;
    another.insert("!").await;
    another.confirmed().await;
    other.until_it_contains("one").await;
    other.insert("b").await;
    other.confirmed().await;
    assert_eq!(Editor::open(&world, "room").await.text(), other.text());
    world.stop().await;
}

#[tokio::test]
async fn a_large_update_and_many_small_ones_reach_the_others() {
    let world = World::start().await;
    let (mut one, mut other) = (Editor::open(&world, "room").await, Editor::open(&world, "room").await);
    let large = "x".repeat(4_900_000);
    let update = one.inserted(&large);
    one.send_bytes(&message(&update)).await;
    one.confirmed().await;
    other.until(&large).await;
    let mut small = Editor::open(&world, "small").await;
    for _ in 0..3_000 {
        small.insert("x").await;
    }
    small.confirmed().await;
    assert_eq!(Editor::open(&world, "small").await.text(), "x".repeat(3_000));
    assert_in_use(&world, &mut other).await;
    world.stop().await;
}
