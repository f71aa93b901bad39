//! Syncs of files by the server, counted and delayed by `syncs.c`, which is loaded before the C library.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::server::fresh_folder;

/// The compiled library and its count.
pub struct Syncs {
    folder: PathBuf,
}

impl Syncs {
    /// Compiles it.
    pub fn compile() -> Result<Self> {
        let folder = fresh_folder()?;
        fs::write(folder.join("syncs.c"), include_str!("syncs.c"))?;
        fs::write(folder.join("count"), 0_u64.to_ne_bytes())?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-o", "syncs.so", "syncs.c", "-ldl"]).current_dir(&folder);
        ensure!(compiler.status().context("no C compiler (`cc`)")?.success(), "syncs.c does not compile");
        Ok(Self { folder })
    }

    /// What a server is started with.
    pub fn variables(&self, delay: Duration) -> Vec<(&'static str, String)> {
        let path = |name| self.folder.join(name).display().to_string();
        vec![
            ("LD_PRELOAD", path("syncs.so")),
            ("COUNT_SYNCS", path("count")),
            ("DELAY_SYNCS", delay.as_micros().to_string()),
        ]
    }

    /// Syncs until now.
    pub fn count(&self) -> Result<u64> {
        let bytes = fs::read(self.folder.join("count"))?;
        Ok(u64::from_ne_bytes(*bytes.first_chunk().context("the count has 8 bytes")?))
    }
}

impl Drop for Syncs {
    fn drop(&mut self) {
        // An error leaves a small folder behind.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
