//! The files of an empty cluster, made by `initdb` once for all tests of all programs, and copied: `initdb` takes ten times the
//! processor time of a copy, and some tests need a cluster of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::{USER, as_other_user, give_away, server_programs};

/// Copies the files to `data`, which does not exist.
pub(super) fn copy_to(data: &Path) {
    copy(&template(), data);
}

/// The folder with the files, beside the programs of the tests. It is made if it is not there.
fn template() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let program = std::env::current_exe().expect("the path of this program");
    let templates = program.parent().expect("programs are in a folder").join("postgres-templates");
    let template = templates.join(version());
    if !template.exists() {
        fs::create_dir_all(&templates).expect("a folder for templates");
        make(&templates, &template);
    }
    template
}

/// What tells servers apart whose files differ: the version, and its build.
fn version() -> String {
    let asked = Command::new(server_programs().join("postgres")).arg("--version").output();
    let answer = asked.expect("postgres is installed; `tests/install` does that").stdout;
    String::from_utf8_lossy(&answer).chars().filter(char::is_ascii_alphanumeric).collect()
}

fn make(templates: &Path, template: &Path) {
    // The folder of the programs may be closed to the user that PostgreSQL runs as.
    let folder = tempfile::tempdir().expect("a folder for PostgreSQL");
    give_away(folder.path());
    let data = folder.path().join("data");
    let mut initdb = as_other_user(&server_programs().join("initdb"));
    initdb.args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--no-sync", "--pgdata"]);
    let made = initdb.arg(&data).output().expect("initdb is installed; `tests/install` does that");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let copied = tempfile::tempdir_in(templates).expect("a folder for a template").keep();
    copy(&data, &copied.join("data"));
    // Another program may have been quicker.
    if fs::rename(copied.join("data"), template).is_ok() {
        fs::remove_dir(copied).expect("it is empty");
    } else {
        fs::remove_dir_all(copied).expect("nothing uses it");
    }
}

/// Copies a folder with the owners and permissions of its files.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).output().expect("cp is installed");
    assert!(copied.status.success(), "cp: {}", String::from_utf8_lossy(&copied.stderr));
}
