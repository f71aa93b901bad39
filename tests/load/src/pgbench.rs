//! `pgbench`, which is installed with PostgreSQL: transactions of a script on several connections, as fast as they go.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::machine::{Cores, Placement};
use crate::postgres::{Database, programs};
use crate::server::fresh_folder;

/// What is run.
pub struct Script<'a> {
    /// The transaction. Variables begin with a colon; `\;` joins statements into one message.
    pub text: &'a str,
    /// At the same time.
    pub connections: usize,
    /// On each connection.
    pub transactions: usize,
    /// Set at the start (`name=value`).
    pub variables: &'a [&'a str],
    /// What is set for each session (`PGOPTIONS`).
    pub session: &'a str,
}

/// One run. Ended when dropped.
pub struct Pgbench {
    child: Child,
    folder: PathBuf,
}

impl Pgbench {
    /// Starts a script on the core of the server.
    pub fn start(cores: Option<Cores>, database: &Database, script: &Script<'_>) -> Result<Self> {
        let folder = fresh_folder()?;
        let file = folder.join("script.sql");
        fs::write(&file, script.text)?;
        let mut command = Command::new(programs()?.join("pgbench"));
        command.args([
            "--no-vacuum",
            "--protocol=simple",
            "--jobs=1",
            "--host=127.0.0.1",
            "--username=postgres",
        ]);
        command.env("PGOPTIONS", script.session);
        command.arg(format!("--port={}", database.port()));
        command.arg(format!("--client={}", script.connections));
        command.arg(format!("--transactions={}", script.transactions));
        command.args(script.variables.iter().map(|variable| format!("--define={variable}")));
        command.arg("--file").arg(&file).arg("postgres");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(folder.join("stderr"))?);
        let child = match cores {
            Some(cores) => cores.start_on(Placement::OneCore, || command.spawn())?,
            None => command.spawn(),
        };
        Ok(Self { child: child.context("no pgbench: see tests/install")?, folder })
    }

    /// Waits for the end. Returns the transactions per second, without the time to connect.
    pub fn rate(mut self) -> Result<f64> {
        let mut output = String::new();
        let stdout = self.child.stdout.as_mut().context("its output is ours")?;
        std::io::Read::read_to_string(stdout, &mut output)?;
        let has_failed = !self.child.wait()?.success() || !output.contains("failed transactions: 0 ");
        let errors = fs::read_to_string(self.folder.join("stderr"))?;
        ensure!(!has_failed, "pgbench failed: {output} {errors}");
        let rate =
            output.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        rate.with_context(|| format!("pgbench prints no rate: {output}"))
    }
}

impl Drop for Pgbench {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
