//! The program with a folder of settings, and the CloudWatch that it sends metrics to.

use std::process::Command;

use harness::{CloudWatchReceiver, Request, ServerProcess, TokenIssuer, World};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

const OPERATORS: &str = "operators, of thirty-two bytes or more than that";
const SECRET: &str = "users, of thirty-two bytes or more than that";

/// Credentials as variables have them.
pub const CREDENTIALS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "hush")];

/// A running program, started in a folder of its own.
pub struct Running {
    pub process: ServerProcess,
    world: World,
    folder: TempDir,
}

impl Running {
    /// With these settings of `[telemetry.cloudwatch]`, and with credentials.
    pub fn with(receiver: &CloudWatchReceiver, settings: &str) -> Self {
        Self::with_variables(receiver, settings, &CREDENTIALS)
    }

    /// With these variables only.
    pub fn with_variables(receiver: &CloudWatchReceiver, settings: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder, receiver, settings);
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.current_dir(folder.path()).env_clear();
        command.env("JWT_SECRET", SECRET).env("HOME", folder.path());
        command.env("API_JWT_SECRET", OPERATORS);
        command.args(["serve", "--host", "127.0.0.1", "--port", "0", "--config", "config.toml"]);
        command.env("REALTIME__SERVER__DRAIN_DELAY", "0s");
        // A machine of AWS would have credentials that a test must not find.
        command.env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
        let process = ServerProcess::start(command);
        let world = World::at(block_in_place(|| process.listening()), TokenIssuer::new(SECRET));
        Self { process, world, folder }
    }

    /// Replaces the settings, and waits until they are applied.
    pub fn apply(&self, receiver: &CloudWatchReceiver, settings: &str) {
        write(&self.folder, receiver, settings);
        block_in_place(|| self.process.log_line("Settings have changed"));
    }

    /// A client joins a room, receives its own broadcast, and leaves.
    pub async fn visit(&self) {
        let mut ann = self.world.connect().await;
        ann.join("realtime:room", json!({ "broadcast": { "self": true } })).await;
        ann.push("2", "realtime:room", "broadcast", &json!({ "event": "hi", "payload": {} })).await;
        let own = ann.next_json().await;
        assert_eq!(own[3], "broadcast", "{own}");
    }

    /// The value of a series without labels at `/metrics`.
    pub async fn number(&self, name: &str) -> f64 {
        self.world.number(name).await
    }

    /// How sending metrics to CloudWatch goes, as operators see it.
    pub async fn status(&self) -> Value {
        let token = TokenIssuer::new(OPERATORS).sign(&json!({ "exp": 4_000_000_000_u64 }));
        let status = self.world.send(Request::get("/status").bearer(&token)).await.json();
        status["exporters"]["cloudwatch"].clone()
    }

    /// The next line of its log with these words. Waits for it.
    pub fn log_line(&self, words: &str) -> String {
        block_in_place(|| self.process.log_line(words))
    }

    /// Writes a file into its folder.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        let (status, log) = block_in_place(|| self.process.exit());
        assert!(status.success(), "{log}");
    }
}

fn write(folder: &TempDir, receiver: &CloudWatchReceiver, settings: &str) {
    let endpoint = receiver.url();
    let head = "[telemetry.cloudwatch]\nenabled = true\nregion = \"eu-central-1\"";
    let text = format!("{head}\nendpoint = \"{endpoint}\"\n{settings}\n");
    std::fs::write(folder.path().join("config.toml"), text).expect("the folder is writable");
}
