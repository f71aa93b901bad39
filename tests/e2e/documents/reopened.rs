//! A large document that was not in memory: its first member is answered from what is stored.

use std::time::Duration;

use harness::{World, eventually};
use serde_json::json;
use yrs::{Doc, Text};

use super::editor::{Editor, token};

/// How often each of two editors types a kilobyte: more than what is decoded at once.
const ROUNDS: usize = 60;

/// Has the server forget a document of two editors, which is stored as a state and a log, and of which parts are deleted.
async fn typed_and_unloaded(world: &World) -> String {
    let (mut one, mut other) = (Editor::open(world, "room").await, Editor::open(world, "room").await);
    for round in 0..ROUNDS {
        let (typing, reading) = if round % 2 == 0 { (&mut one, &mut other) } else { (&mut other, &mut one) };
        typing.insert(&format!("{round:02}{}", "a".repeat(1_024))).await;
        if round % 10 == 5 {
            typing.remove(100).await;
        }
        let text = typing.text();
        reading.until(&text).await;
        typing.confirmed().await;
    }
    let text = one.text();
    drop((one, other));
    eventually("it is unloaded", async || world.number("realtime_documents_loaded").await == 0.0).await;
    text
}

#[tokio::test]
async fn who_opens_it_has_all_of_it_and_edits_on() {
    let with = |settings: &mut settings::Settings| {
        settings.documents.unload_after = Duration::from_millis(50);
        settings.documents.compact_updates = 32.try_into().expect("not 0");
    };
    let world = World::with(with).await;
    let text = typed_and_unloaded(&world).await;
    let mut first = Editor::open(&world, "room").await;
    assert_eq!(first.text(), text);
    first.insert("+").await;
    first.confirmed().await;
    let mut later = Editor::open(&world, "room").await;
    assert_eq!(later.text(), format!("+{text}"));
    let field = later.doc().get_or_insert_text("text");
    later.change(|transaction| field.remove_range(transaction, 1, text.len() as u32)).await;
    first.until("+").await;
    world.stop().await;
}

#[tokio::test]
async fn who_has_a_part_of_it_receives_the_rest() {
    let world = World::with(|settings| settings.documents.unload_after = Duration::from_millis(50)).await;
    let mut early = Editor::open(&world, "room").await;
    early.insert("early").await;
    early.confirmed().await;
    let early = early.into_doc();
    let text = typed_and_unloaded(&world).await;
    let target = format!("/yjs/room?token={}", token(&world, &json!({})));
    let (part, all) = (Editor::open_at(&world, &target, early), Editor::open_at(&world, &target, Doc::new()));
    let (part, all) = tokio::join!(part, all);
    assert_eq!((part.text(), all.text()), (text.clone(), text));
    world.stop().await;
}
