//! Syncs that wait or fail, and a clock that jumps.

use serde_json::json;
use yrs::Doc;

use crate::editor::Editor;
use crate::program::{Site, Store};
use crate::shim::Shim;

#[tokio::test]
async fn nothing_is_acknowledged_before_the_sync_that_covers_it() {
    let (site, shim) = (Site::new(Store::Embedded), Shim::new());
    let program = site.start_with(&shim).await;
    let mut ann = Editor::open(&program.world, "room").await;
    let mut bob = Editor::open(&program.world, "room").await;
    ann.insert("a").await;
    ann.confirmed().await;
    shim.set("hold", "");
    ann.insert("b").await;
    ann.ask_whether_saved().await;
    // Others see it at once.
    bob.until("ba").await;
    shim.noted("held").await;
    // The server answers what comes after the question, and not the question.
    assert!(!ann.is_saved_at_once().await, "acknowledged without a sync");
    shim.unset("hold");
    assert!(ann.is_saved().await);
    program.kill();
    let program = site.start().await;
    assert_eq!(Editor::open(&program.world, "room").await.text(), "ba");
}

#[tokio::test]
async fn a_sync_that_fails_acknowledges_nothing_and_is_tried_again() {
    let (site, shim) = (Site::new(Store::Embedded), Shim::new());
    let program = site.start_with(&shim).await;
    let mut ann = Editor::open(&program.world, "room").await;
    ann.insert("a").await;
    ann.confirmed().await;
    shim.set("fail", "");
    ann.insert("b").await;
    ann.ask_whether_saved().await;
    program.process.log_line("UnableToSaveDocument");
    assert!(!ann.is_saved_at_once().await, "acknowledged though the sync has failed");
    assert!(program.world.number("realtime_documents_commit_failures_total").await >= 1.0);
    assert!(program.world.number("realtime_documents_unsaved_bytes").await > 0.0);
    shim.unset("fail");
    assert!(ann.is_saved().await);
    program.kill();
    let program = site.start().await;
    assert_eq!(Editor::open(&program.world, "room").await.text(), "ba");
}

#[tokio::test]
async fn editors_notice_nothing_of_a_clock_that_jumps() {
    let (site, shim) = (Site::new(Store::Embedded), Shim::new());
    let program = site.start_with(&shim).await;
    let mut ann = Editor::open(&program.world, "room").await;
    let mut bob = Editor::open_with(&program.world, "room", Doc::new(), &json!({"sub": "bob"})).await;
    ann.show(1, 1, "\"ann\"").await;
    assert_eq!(bob.next_state().await, (1, Some(json!("ann"))));
    for offset in ["86400", "-172800", "0"] {
        shim.set("offset", offset);
        ann.insert("a").await;
        bob.insert("b").await;
        ann.confirmed().await;
        bob.confirmed().await;
    }
    assert_eq!((ann.text().len(), bob.text().len()), (6, 6));
    assert!(bob.states.iter().all(|(_, state)| state.is_some()), "ann is shown still");
    let late = Editor::open(&program.world, "room").await;
    assert_eq!(late.text().len(), 6);
}
