//! The embedded store on a disk that becomes full.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::node::{Node, SECRET, command};

/// Runs the rest of its arguments with a small disk of its own at the folder `data`.
const WITH_SMALL_DISK: &str = "mount -t tmpfs -o size=1m tmpfs data && exec \"$@\"";

/// `unshare`, which gives a process mounts of its own, and their end with it.
fn own_mounts(folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.current_dir(folder).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["sh", "-c", WITH_SMALL_DISK, "sh"]);
    command
}

/// A server whose `server.data_dir` is a small disk, and that folder; or nothing where it cannot be made.
fn start() -> Option<(Node, PathBuf)> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let tried = own_mounts(folder.path()).arg("true").output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        // Not by `println!`, of which a test that passes shows nothing.
        let _closed =
            writeln!(io::stderr(), "SKIPPED: a full disk, because this user cannot mount a small one");
        return None;
    }
    let (mut server, inside) = (own_mounts(folder.path()), command(folder.path(), &[]));
    server.arg(inside.get_program()).args(inside.get_args());
    server.envs(inside.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let data = folder.path().join("data");
    let node = Node::run(server, folder);
    // Only the process sees its disk.
    let root = PathBuf::from(format!("/proc/{}/root", node.server.process.id()));
    Some((node, root.join(data.strip_prefix("/").unwrap())))
}

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_answered() {
    let Some((node, data)) = start() else { return };
    assert_eq!(node.put("acme", json!({ "jwt_secret": SECRET })).await.status, 201);
    assert_eq!(node.handshake("acme").await, 101);
    let other = data.join("of-another-program");
    fs::write(&other, vec![0; 256 << 10]).unwrap();

    let mut done = Vec::new();
    let refused = loop {
        let id = format!("tenant-{}", done.len());
        let answer = node.put(&id, json!({ "jwt_secret": SECRET })).await;
        if answer.status != 201 {
            break answer;
        }
        done.push(id);
    };
    assert_eq!(refused.status, 500, "{}", refused.text());
    assert_eq!(refused.json(), json!({"message": "the store rejects this; the log says why"}));
    let line = node.server.process.log_line("database or disk is full");
    assert!(line.contains("ERROR") && line.contains("the store rejects this"), "{line}");
    let refused = node.put("acme", json!({"suspend": true})).await;
    assert_eq!(refused.status, 500, "{}", refused.text());
    assert_eq!(node.handshake("acme").await, 101, "it is served, and was not changed");
    let log = node.server.process.log();
    assert_eq!(
        log.matches("ERROR TenantLookupFailed").count(),
        1,
        "one line, beside those of the requests: {log}"
    );

    fs::remove_file(&other).unwrap();
    let answer = node.put("acme", json!({"max_concurrent_users": 8})).await;
    assert_eq!(answer.status, 200, "there is room: {}", answer.text());
    for id in &done {
        assert_eq!(node.get(id).await.status, 200, "{id}");
    }
    // More than the store has connections, each of which a full disk has met.
    for number in 0..8 {
        let answer = node.put(&format!("after-{number}"), json!({ "jwt_secret": SECRET })).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    assert_eq!(node.handshake("acme").await, 101);
}
