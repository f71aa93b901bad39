//! The data folder, which one server holds at a time.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

fn program(folder: &Path, line: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    program.args(line.split_whitespace()).current_dir(folder).env_clear();
    program.env("HOST", "127.0.0.1").env("PORT", "0");
    program
}

/// What a server says that does not get as far as to listen.
fn fails(mut program: Command) -> String {
    let mut child = program.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let mut told = String::new();
    let listens = lines.inspect(|line| told += &format!("{line}\n")).any(|line| line.contains("Listening"));
    let status = if listens { child.kill().and_then(|()| child.wait()) } else { child.wait() };
    assert_eq!(status.expect("it is our child").code(), Some(1), "{told}");
    told
}

/// A running server. Killed when the test ends.
struct Serve(Child);

impl Serve {
    /// Waits until it listens.
    fn start(mut program: Command) -> Self {
        let mut child = program.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let listens = log.any(|line| line.contains("Listening"));
        // Somebody has to read on, or the log is dropped.
        std::thread::spawn(move || log.for_each(drop));
        let serve = Self(child);
        assert!(listens);
        serve
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_second_server_on_the_same_folder_ends_with_an_error() {
    let folder = folder();
    let first = Serve::start(program(folder.path(), "serve --dev"));
    // As another path to the same place.
    for arguments in ["serve --dev", "serve --dev --set server.data_dir=./data/../data"] {
        let told = fails(program(folder.path(), arguments));
        let path = folder.path().canonicalize().expect("there").join("data");
        assert!(told.starts_with("error: another server, which listens on 127.0.0.1:"), "{told}");
        assert!(
            told.contains("(`server.data_dir`): stop it, or give this one a folder of its own"),
            "{told}"
        );
        if !arguments.contains("..") {
            assert!(told.contains(&format!("holds the folder {} ", path.display())), "{told}");
        }
    }
    let _elsewhere = Serve::start(program(folder.path(), "serve --dev --set server.data_dir=more"));
    drop(first);
    // Killed, and its lock with it.
    let _next = Serve::start(program(folder.path(), "serve --dev"));
}

#[test]
fn commands_that_only_look_into_the_folder_are_not_held_up() {
    let folder = folder();
    let _serve = Serve::start(program(folder.path(), "serve --dev"));
    for command in ["token", "health", "config check", "config show"] {
        let output = program(folder.path(), command).output().expect("it runs");
        assert!(output.status.success(), "{command}: {output:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named_where_it_is_needed_and_else_not_missed() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").expect("a file");
    let mut serve = program(folder.path(), "serve --set server.data_dir=file/data");
    serve.env("JWT_SECRET", "a secret of more than thirty-two bytes");
    let _serves_all_the_same = Serve::start(serve);

    let told = fails(program(folder.path(), "serve --dev --set server.data_dir=file/data"));
    let path = folder.path().canonicalize().expect("there").join("file/data");
    let named = format!("cannot make the folder {} (`server.data_dir`)", path.display());
    assert!(told.contains(&named), "{told}");

    let output = program(folder.path(), "token").output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    let path = folder.path().canonicalize().expect("there").join("data");
    assert!(told.contains(&format!("{} (`server.data_dir`)", path.display())), "{told}");
}
