//! The data folder, which one server holds at a time.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::ServerProcess;
use tempfile::TempDir;

fn program(folder: &Path, line: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    program.args(line.split_whitespace()).current_dir(folder).env_clear();
    program.env("HOST", "127.0.0.1").env("PORT", "0").stdout(Stdio::null());
    program
}

/// The log of a server that exits with an error before it listens.
fn fails(program: Command) -> String {
    let mut process = ServerProcess::start(program);
    assert_eq!(process.try_listening(), None, "{}", process.log());
    assert_eq!(process.exit().0.code(), Some(1), "{}", process.log());
    process.log()
}

/// A server that listens.
fn start(program: Command) -> ServerProcess {
    let process = ServerProcess::start(program);
    process.listening();
    process
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_second_server_on_the_same_folder_ends_with_an_error() {
    let folder = folder();
    let first = start(program(folder.path(), "serve --dev"));
    // As another path to the same place.
    for arguments in ["serve --dev", "serve --dev --set server.data_dir=./data/../data"] {
        let log = fails(program(folder.path(), arguments));
        let path = folder.path().canonicalize().expect("there").join("data");
        assert!(log.starts_with("error: another server, which listens on 127.0.0.1:"), "{log}");
        assert!(log.contains("(`server.data_dir`): stop it, or give this one a folder of its own"), "{log}");
        if !arguments.contains("..") {
            assert!(log.contains(&format!("holds the folder {} ", path.display())), "{log}");
        }
    }
    let _elsewhere = start(program(folder.path(), "serve --dev --set server.data_dir=more"));
    drop(first);
    // Killed, and its lock with it.
    let _next = start(program(folder.path(), "serve --dev"));
}

#[test]
fn commands_that_only_read_the_folder_are_not_blocked() {
    let folder = folder();
    let _serve = start(program(folder.path(), "serve --dev"));
    for command in ["token", "health", "config check", "config show"] {
        let output = program(folder.path(), command).output().expect("it runs");
        assert!(output.status.success(), "{command}: {output:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_only_where_it_is_needed() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").expect("a file");
    let mut serve = program(folder.path(), "serve --set server.data_dir=file/data");
    serve.env("JWT_SECRET", "a secret of more than thirty-two bytes");
    let _serves_all_the_same = start(serve);

    let log = fails(program(folder.path(), "serve --dev --set server.data_dir=file/data"));
    let path = folder.path().canonicalize().expect("there").join("file/data");
    let named = format!("cannot make the folder {} (`server.data_dir`)", path.display());
    assert!(log.contains(&named), "{log}");

    let output = program(folder.path(), "token").output().expect("it runs");
    let log = String::from_utf8_lossy(&output.stderr);
    let path = folder.path().canonicalize().expect("there").join("data");
    assert!(log.contains(&format!("{} (`server.data_dir`)", path.display())), "{log}");
}

// The start waited for the other end of the pipe, for ever.
#[test]
fn pipes_in_place_of_the_files_of_the_folder_do_not_block_the_start() {
    let folder = folder();
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    for name in ["lock", "running.json", "running.new", "dev-secret"] {
        let made = Command::new("mkfifo").arg(data.join(name)).status().expect("it runs");
        assert!(made.success(), "{name}");
    }
    let mut serve = program(folder.path(), "serve");
    serve.env("JWT_SECRET", "a secret of more than thirty-two bytes");
    let serve = start(serve);
    let log = serve.log();
    assert!(log.contains("cannot be locked: it is a FIFO (named pipe)"), "{log}");
    assert_eq!(log.matches("server.data_dir").count(), 1, "{log}");
    let log = fails(program(folder.path(), "serve --dev"));
    assert!(log.contains("cannot keep the secret of `serve --dev`") && log.contains("FIFO"), "{log}");
}
