//! An older backup of the store is restored: editors that have more bring it back.

use std::process::Command;

use serde_json::json;

use crate::editor::Editor;
use crate::program::{Site, Store};

#[tokio::test]
async fn editors_bring_back_what_a_restored_backup_has_not() {
    let site = Site::new(Store::Embedded);
    let program = site.start().await;
    let mut ann = Editor::open(&program.world, "room").await;
    ann.insert("a").await;
    ann.confirmed().await;
    program.stop();
    let backup = site.path().join("backup");
    let copy = |from, to| {
        let copied = Command::new("cp").args(["-a", "--no-target-directory"]).arg(from).arg(to).status();
        assert!(copied.expect("`cp` is installed").success());
    };
    copy(site.data(), backup.clone());

    let program = site.start().await;
    let mut ann = Editor::open_with(&program.world, "room", ann.into_doc(), &json!({})).await;
    ann.insert("b").await;
    ann.remove(1).await;
    ann.insert("c").await;
    ann.confirmed().await;
    program.stop();
    std::fs::remove_dir_all(site.data()).expect("the folder of the store");
    copy(backup, site.data());

    let program = site.start().await;
    let mut bob = Editor::open(&program.world, "room").await;
    assert_eq!(bob.text(), "a", "the backup");
    let mut ann = Editor::open_with(&program.world, "room", ann.into_doc(), &json!({})).await;
    bob.until("ca").await;
    bob.insert("d").await;
    ann.until("dca").await;
    bob.confirmed().await;
    program.kill();
    let program = site.start().await;
    assert_eq!(Editor::open(&program.world, "room").await.text(), "dca");
}
