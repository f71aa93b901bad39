//! The program as a supervisor or a shell runs it: its outputs, its limits and its signals.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");

/// `serve --dev` on a free port, in a folder of its own. Killed when the test fails.
struct Serve {
    child: Child,
    folder: TempDir,
}

impl Serve {
    /// Runs it after the shell command `first`, such as `ulimit`.
    fn after(first: &str, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{first}; exec {PROGRAM} serve --dev")]);
        command.current_dir(folder.path()).env("HOST", "127.0.0.1").env("PORT", "0");
        command.env("REALTIME__SERVER__DRAIN_DELAY", "0s");
        let child =
            command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().expect("the shell runs");
        Self { child, folder }
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).expect("it runs");
    }

    fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().expect("it is our child")
    }

    /// Reads its log until a line contains `words`.
    fn log_until(&mut self, words: &str) -> String {
        read_until(self.child.stderr.as_mut().expect("piped"), words)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _already_exited = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// An output without a reader.
fn closed() -> Stdio {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Reads lines until one contains `words`; returns all of them.
fn read_until(mut output: impl Read, words: &str) -> String {
    let mut output_read = Vec::new();
    // Byte by byte, so that what comes after the line is there for the next reader.
    while !(output_read.ends_with(b"\n") && String::from_utf8_lossy(&output_read).contains(words)) {
        let mut byte = [0];
        let read = output.read(&mut byte).expect("lines of text");
        assert!(read > 0, "it ended without {words:?}:\n{}", String::from_utf8_lossy(&output_read));
        output_read.push(byte[0]);
    }
    String::from_utf8_lossy(&output_read).into_owned()
}

#[test]
fn a_short_secret_is_logged_at_the_start_and_when_it_is_added_later() {
    let secrets = "export METRICS_JWT_SECRET=short REALTIME__AUTH__JWT_SECRETS_FILE=more; : > more";
    let mut serve = Serve::after(secrets, Stdio::null(), Stdio::piped());
    let log = serve.log_until("Listening");
    let warned = |line: &str| {
        line.contains("WARN") && line.contains("admin.metrics_jwt_secret: shorter than 32 bytes")
    };
    assert!(log.lines().any(warned), "{log}");
    std::fs::write(serve.folder.path().join("more"), "shorter").expect("the folder is writable");
    let log = serve.log_until("auth.jwt_secrets, admin.metrics_jwt_secret: shorter than 32 bytes");
    assert!(log.lines().last().is_some_and(|line| line.contains("WARN")), "{log}");
    assert!(serve.stop().success());
}

#[test]
fn it_keeps_serving_when_its_stdout_is_closed() {
    let mut serve = Serve::after("true", closed(), Stdio::piped());
    read_until(serve.child.stderr.as_mut().expect("piped"), "Listening");
    assert!(serve.stop().success());
}

#[test]
fn it_keeps_serving_when_its_log_is_closed() {
    let mut serve = Serve::after("true", Stdio::piped(), closed());
    read_until(serve.child.stdout.as_mut().expect("piped"), "Ctrl-C stops");
    assert!(serve.stop().success());
}

#[test]
fn too_few_open_files_are_logged_at_the_start() {
    let mut serve = Serve::after("ulimit -n 256", Stdio::null(), Stdio::piped());
    let log = read_until(serve.child.stderr.as_mut().expect("piped"), "Listening");
    assert!(log.contains("There may be 256 open files"), "{log}");
    assert!(serve.stop().success());
}

#[cfg(target_os = "linux")]
#[test]
fn it_raises_the_limit_of_open_files() {
    let mut serve = Serve::after("ulimit -Sn 256; ulimit -Hn 512", Stdio::null(), Stdio::piped());
    read_until(serve.child.stderr.as_mut().expect("piped"), "Listening");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", serve.child.id())).expect("its limits");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit of files");
    assert!(files.split_whitespace().eq(["Max", "open", "files", "512", "512", "files"]), "{files}");
    assert!(serve.stop().success());
}

/// Continues for an hour after SIGTERM, unless a second signal comes.
const LONG_DRAIN_DELAY: &str = "export REALTIME__SERVER__DRAIN_DELAY=1h";

#[test]
fn a_second_sigterm_ends_the_drain_delay_and_the_exit_code_is_zero() {
    let mut serve = Serve::after(LONG_DRAIN_DELAY, Stdio::null(), Stdio::piped());
    serve.log_until("Listening");
    serve.signal(Signal::TERM);
    let log = serve.log_until("not ready any more");
    assert!(log.contains("Stopping: SIGTERM") && log.contains("still open for 1h"), "{log}");
    assert!(serve.stop().success());
}

#[test]
fn ctrl_c_has_no_drain_delay() {
    let mut serve = Serve::after(LONG_DRAIN_DELAY, Stdio::null(), Stdio::piped());
    serve.log_until("Listening");
    serve.signal(Signal::INT);
    serve.log_until("Stopping: SIGINT");
    assert!(serve.child.wait().expect("it is our child").success());
}

#[test]
fn an_output_that_is_closed_is_a_failure_and_no_panic() {
    let output = Command::new(PROGRAM).arg("version").stdout(closed()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.starts_with("error: cannot print the version: "), "{log}");

    let mut command = Command::new(PROGRAM);
    let output = command.arg("token").env("JWT_SECRET", "s").stderr(closed()).output().expect("it runs");
    assert!(output.status.success());
    assert_eq!(output.stdout.iter().filter(|&&byte| byte == b'.').count(), 2, "a token");
}
