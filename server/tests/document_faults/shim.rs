//! Syncs of files, and a clock, that a test controls: `syncs.c`, which is loaded before the C library.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use harness::eventually;
use tempfile::TempDir;

/// What controls one program.
pub struct Shim {
    folder: TempDir,
}

/// The library, compiled once.
fn library() -> &'static PathBuf {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let compile = || {
        let folder = tempfile::tempdir().expect("a folder");
        let library = folder.path().join("syncs.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/document_faults/syncs.c");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl");
        assert!(compiler.status().expect("a C compiler is installed").success());
        (folder, library)
    };
    &LIBRARY.get_or_init(compile).1
}

impl Shim {
    pub fn new() -> Shim {
        Shim { folder: tempfile::tempdir().expect("a folder") }
    }

    /// Has a program use it.
    pub fn preload(&self, command: &mut Command) {
        command.env("LD_PRELOAD", library()).env("SYNCS", self.folder.path());
    }

    /// Does what the file of this name does, from now on.
    pub fn set(&self, name: &str, contents: &str) {
        // At once, because the program may read it meanwhile.
        let (next, file) = (self.folder.path().join("next"), self.folder.path().join(name));
        fs::write(&next, contents).and_then(|()| fs::rename(&next, &file)).expect("a file");
    }

    /// Does not any more.
    pub fn unset(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).expect("it was set");
    }

    /// Waits until the program has noted this.
    pub async fn noted(&self, name: &str) {
        let file = self.folder.path().join(name);
        eventually("a sync is met", async || file.exists()).await;
    }
}
