//! A database that stops while editors type.

use harness::{Postgres, eventually};
use rustix::process::Signal;
use serde_json::json;
use yrs::Doc;

use crate::editor::{Editor, token};
use crate::program::{Site, Store};

#[tokio::test]
async fn editors_go_on_without_the_database_and_are_answered_when_it_is_back() {
    let postgres = Postgres::alone(&[]);
    let site = Site::new(Store::Postgres(postgres.clone()));
    let program = site.start().await;
    let mut ann = Editor::open(&program.world, "room").await;
    let mut bob = Editor::open(&program.world, "room").await;
    ann.insert("a").await;
    ann.confirmed().await;
    postgres.end(Signal::KILL);
    ann.insert("b").await;
    ann.ask_whether_saved().await;
    bob.until("ba").await;
    program.process.log_line("UnableToSaveDocument");
    assert!(!ann.is_saved_at_once().await, "acknowledged without the database");
    // One that was not open cannot be opened.
    let target = format!("/yjs/other?token={}", token(&program.world, &json!({})));
    let mut other = program.world.connect_to(harness::Dialect::V2, &target).await.expect("a WebSocket");
    assert_eq!(other.drain_to_close().await, Some(1011));
    postgres.start_again();
    assert!(ann.is_saved().await);
    program.kill();
    let program = site.start().await;
    eventually("it is there", async || {
        let target = format!("/yjs/room?token={}", token(&program.world, &json!({})));
        Editor::try_open_at(&program.world, &target, Doc::new()).await.is_some_and(|it| it.text() == "ba")
    })
    .await;
}
