//! `realtime-server health` with a running server: edits of the files on disk do not make it unhealthy.

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::ServerProcess;
use rustix::process::Signal;
use tempfile::TempDir;

/// A server in a folder of its own.
struct Serve {
    process: ServerProcess,
    folder: TempDir,
    port: u16,
}

fn program(command: &str, folder: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    program
        .arg(command)
        .current_dir(folder)
        .env_clear()
        .env("JWT_SECRET", "a secret of more than thirty-two bytes");
    program
}

impl Serve {
    fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("config.toml"), config).expect("a file");
        let process = ServerProcess::start(program("serve", folder.path()));
        let port = process.listening().port();
        Self { process, folder, port }
    }

    fn edit(&self, config: &str) {
        fs::write(self.folder.path().join("config.toml"), config).expect("a file");
    }

    /// The exit code, and everything that was printed.
    fn health(&self) -> (Option<i32>, String) {
        let output = program("health", self.folder.path()).output().expect("it runs");
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(printed).expect("text"))
    }
}

const CONFIG: &str = "[server]\nhost = \"127.0.0.1\"\nport = 0\n";

#[test]
fn a_running_server_records_its_address() {
    let mut serve = Serve::start(CONFIG);
    let up = format!("http://127.0.0.1:{}/health is up (200)\n", serve.port);
    assert_eq!(serve.health(), (Some(0), up.clone()), "on a port of the system's choice");

    // A new port waits for a restart; nothing listens on port 1 meanwhile.
    serve.edit("[server]\nhost = \"127.0.0.1\"\nport = 1\n");
    assert_eq!(serve.health(), (Some(0), up.clone()));

    // `proxy_protocol_from` waits for a restart, too; this server would refuse a PROXY header.
    let pending = format!("port = {}\nproxy_protocol_from = [\"127.0.0.0/8\"]\n", serve.port);
    serve.edit(&format!("[server]\nhost = \"127.0.0.1\"\n{pending}"));
    assert_eq!(serve.health(), (Some(0), up.clone()));

    serve.edit("[server]\nprot = 1\n");
    let (code, printed) = serve.health();
    assert_eq!(code, Some(0), "a bad edit changes nothing: {printed}");
    assert!(
        printed.contains(&up) && printed.contains("config.toml:2:1: server.prot: unknown key"),
        "{printed}"
    );

    serve.process.signal(Signal::INT);
    assert!(serve.process.exit().0.success());
    let (code, printed) = serve.health();
    assert_eq!((code, printed.contains("is up")), (Some(1), false), "{printed}");
    assert!(!serve.folder.path().join("data/running.json").exists());
}

#[test]
fn a_server_that_cannot_record_its_address_is_found_by_its_settings() {
    let serve = Serve::start("[server]\nhost = \"127.0.0.1\"\nport = 0\ndata_dir = \"/proc/nowhere\"\n");
    let (code, printed) = serve.health();
    assert_eq!(code, Some(1));
    assert!(printed.contains("no running server has recorded its address: use --url"), "{printed}");
    serve.edit(&format!("[server]\nhost = \"127.0.0.1\"\nport = {}\n", serve.port));
    assert_eq!(serve.health().0, Some(0));
}
