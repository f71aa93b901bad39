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
fn the_internal_port_is_asked_where_there_is_one() {
    let internal = "proxy_protocol_from = [\"127.0.0.0/8\"]\n[server.internal]\nport = 0\n";
    let serve = Serve::start(&format!("{CONFIG}{internal}"));
    let (code, printed) = serve.health();
    assert_eq!(code, Some(0), "{printed}");
    assert!(!printed.contains(&format!(":{}/", serve.port)), "{printed}");
    let line = serve.process.log();
    let address = printed.strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("a URL");
    assert!(line.contains(&format!("internal={address}")), "{line}");
    // Another port waits for a restart.
    serve.edit(&format!("{CONFIG}[server.internal]\nport = 1\n"));
    assert_eq!(serve.health(), (Some(0), printed));
}

#[test]
fn an_internal_port_that_is_in_use_is_named_at_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let folder = tempfile::tempdir().expect("a folder");
    let mut serve = program("serve", folder.path());
    serve.args(["--port=0", "--host=127.0.0.1", &format!("--set=server.internal.port={port}")]);
    let mut serve = ServerProcess::start(serve);
    let (status, log) = serve.exit();
    let expected = format!("error: cannot listen on 127.0.0.1:{port} (`server.internal.port`): Address ");
    assert_eq!(status.code(), Some(1));
    assert!(log.contains(&expected), "{log}");
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
