//! The disk of the embedded store becomes full while editors type.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::editor::Editor;
use crate::program::{Program, Site, Store};

/// Runs the rest of its arguments with a small disk of its own at the folder `data`.
const WITH_SMALL_DISK: &str = "mount -t tmpfs -o size=2m tmpfs data && exec \"$@\"";

/// `unshare`, which gives a process mounts of its own, and their end with it.
fn own_mounts(folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.current_dir(folder).arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["sh", "-c", WITH_SMALL_DISK, "sh"]);
    command
}

/// The program whose store is on a small disk, and that disk as it is seen from here; or nothing where it cannot be made.
async fn start(site: &Site) -> Option<(Program, PathBuf)> {
    fs::create_dir(site.data()).expect("a folder");
    let tried = own_mounts(site.path()).arg("true").output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        // Not by `println!`, of which a test that passes shows nothing.
        let _closed =
            writeln!(io::stderr(), "SKIPPED: a full disk, because this user cannot mount a small one");
        return None;
    }
    let (mut command, inside) = (own_mounts(site.path()), site.command());
    command.arg(inside.get_program()).args(inside.get_args());
    command.envs(inside.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let program = Program::run(command).await;
    // Only the process sees its disk.
    let root = PathBuf::from(format!("/proc/{}/root", program.process.id()));
    let data = root.join(site.data().strip_prefix("/").expect("absolute"));
    Some((program, data))
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_editors_go_on_when_there_is_room() {
    let site = Site::new(Store::Embedded);
    let Some((program, disk)) = start(&site).await else { return };
    let mut ann = Editor::open(&program.world, "room").await;
    let mut bob = Editor::open(&program.world, "room").await;
    ann.insert("a").await;
    ann.confirmed().await;
    let other = disk.join("of-another-program");
    let mut file = fs::File::create(&other).expect("a file");
    while file.write_all(&[0; 4_096]).is_ok() {}
    drop(file);
    let large = "b".repeat(200_000);
    ann.insert(&large).await;
    ann.ask_whether_saved().await;
    bob.until_length(large.len() + 1).await;
    program.process.log_line("UnableToSaveDocument");
    assert!(!ann.is_saved_at_once().await, "acknowledged on a full disk");
    fs::remove_file(&other).expect("it is there");
    assert!(ann.is_saved().await);
    bob.insert("c").await;
    bob.confirmed().await;
    assert_eq!(Editor::open(&program.world, "room").await.text().len(), large.len() + 2);
}
