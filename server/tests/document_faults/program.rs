//! The program with a store that outlives it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::{Postgres, ServerProcess, TokenIssuer, World, eventually};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use yrs::Doc;

use crate::editor::{Editor, token};
use crate::shim::Shim;

const SECRET: &str = "the secret of the users of documents, of 32 bytes";

/// Where documents are kept.
pub enum Store {
    /// In a file of the program.
    Embedded,
    /// In a database.
    Postgres(Postgres),
}

/// A place to run the program in, again and again.
pub struct Site {
    folder: TempDir,
    store: Store,
}

/// The running program.
pub struct Program {
    pub process: ServerProcess,
    pub world: World,
}

impl Site {
    pub fn new(store: Store) -> Site {
        Site { folder: tempfile::tempdir().expect("a folder for the test"), store }
    }

    /// The folder of the program.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the embedded store is.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The program, to be started with more variables.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.args(["serve", "--host", "127.0.0.1", "--port", "0"]).current_dir(self.path());
        command.env("JWT_SECRET", SECRET).env("REALTIME__DOCUMENTS__UNLOAD_AFTER", "100ms");
        // Compacted often, so that a fault meets that too.
        command.env("REALTIME__DOCUMENTS__COMPACT_UPDATES", "20");
        if let Store::Postgres(postgres) = &self.store {
            command.env("DATABASE_URL", postgres.url());
            command.env("DB_ENC_KEY_GCM", "a key for AES-GCM of 32 bytes !!");
        }
        command.stdout(Stdio::null());
        command
    }

    pub async fn start(&self) -> Program {
        Program::run(self.command()).await
    }

    /// With syncs that a test controls.
    pub async fn start_with(&self, shim: &Shim) -> Program {
        let mut command = self.command();
        shim.preload(&mut command);
        Program::run(command).await
    }
}

impl Program {
    /// Starts it, and waits until documents can be opened: it may have to make their tables.
    pub async fn run(command: Command) -> Program {
        let process = ServerProcess::start(command);
        let world = World::at(process.listening(), TokenIssuer::new(SECRET));
        let target = format!("/yjs/first?token={}", token(&world, &json!({})));
        eventually("a document can be opened", async || {
            Editor::try_open_at(&world, &target, Doc::new()).await.is_some()
        })
        .await;
        Program { process, world }
    }

    /// Ends it at once.
    pub fn kill(mut self) {
        self.process.signal(Signal::KILL);
        self.process.exit();
    }

    /// Ends it as an operator does.
    pub fn stop(mut self) {
        self.process.signal(Signal::TERM);
        self.process.exit();
    }
}
