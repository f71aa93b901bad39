//! `pg_recvlogical`: a reader of the log that does nothing with it.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::machine::{Cores, Placement};
use crate::postgres::{Database, programs};
use crate::session::Session;

/// Reads what a publication has from now on, and writes it to `/dev/null`. Its slot is dropped when it ends.
pub struct Discarded<'a> {
    child: Child,
    database: &'a Database,
}

impl<'a> Discarded<'a> {
    /// Starts it on the core of the server, and waits until it reads.
    pub fn start(cores: Option<Cores>, database: &'a Database, publication: &str) -> Result<Self> {
        let created = command(database)?.arg("--create-slot").arg("--plugin=pgoutput").status()?;
        ensure!(created.success(), "pg_recvlogical creates no slot");
        let mut reading = command(database)?;
        reading.args(["--start", "--file=/dev/null", "--fsync-interval=0", "--option=proto_version=1"]);
        reading.arg(format!("--option=publication_names={publication}"));
        let child = match cores {
            Some(cores) => cores.start_on(Placement::OneCore, || reading.spawn())?,
            None => reading.spawn(),
        };
        let reader = Self { child: child.context("no pg_recvlogical: see tests/install")?, database };
        until(database, "EXISTS (SELECT FROM pg_replication_slots WHERE active)")?;
        Ok(reader)
    }
}

impl Drop for Discarded<'_> {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = until(self.database, "NOT EXISTS (SELECT FROM pg_replication_slots WHERE active)");
        let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots";
        let _ = Session::connect(self.database).and_then(|mut session| session.run(drop));
    }
}

/// Waits until the database says that this is so.
fn until(database: &Database, condition: &str) -> Result<()> {
    let mut session = Session::connect(database)?;
    session.run("SET statement_timeout = '10s'")?;
    session.run(&format!("DO $$ BEGIN WHILE NOT ({condition}) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$"))
}

fn command(database: &Database) -> Result<Command> {
    let mut command = Command::new(programs()?.join("pg_recvlogical"));
    command.args(["--host=127.0.0.1", "--username=postgres", "--dbname=postgres", "--slot=discarded"]);
    command.arg(format!("--port={}", database.port()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}
