//! What is stored is damaged: that document is an error, others are not, and nothing is written over it.

use harness::{Dialect, Postgres};
use serde_json::json;

use crate::editor::{Editor, token};
use crate::program::{Program, Site, Store};

/// Finds the tables in the schema in which they are.
const TABLES: &str = "SET search_path = realtime, public";

/// Writes two documents, ends the program by `end`, and damages one of them. Later it is repaired.
async fn check(postgres: &Postgres, end: fn(Program), damage: &str, repair: &str) {
    let site = Site::new(Store::Postgres(postgres.clone()));
    let mut command = site.command();
    command.env("REALTIME__DOCUMENTS__UNLOAD_AFTER", "1h");
    let program = Program::run(command).await;
    for name in ["damaged", "other"] {
        let mut editor = Editor::open(&program.world, name).await;
        editor.insert("some text").await;
        editor.confirmed().await;
    }
    end(program);
    postgres.sql(&format!("{TABLES}; {damage}"));
    let program = site.start().await;
    let target = format!("/yjs/damaged?token={}", token(&program.world, &json!({})));
    for _ in 0..2 {
        let mut client = program.world.connect_to(Dialect::V2, &target).await.expect("a WebSocket");
        assert_eq!(client.drain_to_close().await, Some(1011), "no empty document");
    }
    assert_eq!(Editor::open(&program.world, "other").await.text(), "some text");
    program.process.log_line("UnableToLoadDocument");
    postgres.sql(&format!("{TABLES}; {repair}"));
    let mut repaired = Editor::open(&program.world, "damaged").await;
    assert_eq!(repaired.text(), "some text");
    repaired.insert("+").await;
    repaired.confirmed().await;
}

#[tokio::test]
async fn a_damaged_state_is_an_error_and_not_an_empty_document() {
    let postgres = Postgres::start();
    let damage = "CREATE TABLE kept AS SELECT * FROM documents WHERE room_id = 'damaged';
        UPDATE documents SET state = '\\x00ff00ff' WHERE room_id = 'damaged'";
    let repair = "UPDATE documents SET state = kept.state FROM kept WHERE documents.room_id = 'damaged'";
    // Its log becomes a state.
    check(&postgres, Program::stop, damage, repair).await;
}

#[tokio::test]
async fn half_a_row_of_the_log_is_an_error_and_not_an_empty_document() {
    let postgres = Postgres::start();
    let damage = "CREATE TABLE kept AS SELECT * FROM document_updates WHERE room_id = 'damaged';
        UPDATE document_updates SET update = substring(update FOR length(update) / 2) WHERE room_id = 'damaged'";
    let repair =
        "UPDATE document_updates SET update = kept.update FROM kept WHERE document_updates.id = kept.id";
    check(&postgres, Program::kill, damage, repair).await;
}
