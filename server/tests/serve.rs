//! The program as a supervisor and a shell see it: what it does with its outputs, its limits and its signals.

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
    fn says(&mut self, words: &str) -> String {
        read_until(self.child.stderr.as_mut().expect("piped"), words)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// An output that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Reads lines until one contains `words`; returns all of them.
fn read_until(mut output: impl Read, words: &str) -> String {
    let mut told = Vec::new();
    // Byte by byte, so that what comes after the line is there for the next reader.
    while !(told.ends_with(b"\n") && String::from_utf8_lossy(&told).contains(words)) {
        let mut byte = [0];
        let read = output.read(&mut byte).expect("lines of text");
        assert!(read > 0, "it ended without saying {words:?}:\n{}", String::from_utf8_lossy(&told));
        told.push(byte[0]);
    }
    String::from_utf8_lossy(&told).into_owned()
}

#[test]
fn a_short_secret_is_told_at_the_start_and_when_it_comes_later() {
    let secrets = "export METRICS_JWT_SECRET=short REALTIME__AUTH__JWT_SECRETS_FILE=more; : > more";
    let mut serve = Serve::after(secrets, Stdio::null(), Stdio::piped());
    let told = serve.says("Listening");
    let warned = |line: &str| {
        line.contains("WARN") && line.contains("admin.metrics_jwt_secret: shorter than 32 bytes")
    };
    assert!(told.lines().any(warned), "{told}");
    std::fs::write(serve.folder.path().join("more"), "shorter").expect("the folder is writable");
    let told = serve.says("auth.jwt_secrets, admin.metrics_jwt_secret: shorter than 32 bytes");
    assert!(told.lines().last().is_some_and(|line| line.contains("WARN")), "{told}");
    assert!(serve.stop().success());
}

#[test]
fn it_serves_on_when_nobody_reads_its_welcome() {
    let mut serve = Serve::after("true", closed(), Stdio::piped());
    read_until(serve.child.stderr.as_mut().expect("piped"), "Listening");
    assert!(serve.stop().success());
}

#[test]
fn it_serves_on_when_nobody_reads_its_log() {
    let mut serve = Serve::after("true", Stdio::piped(), closed());
    read_until(serve.child.stdout.as_mut().expect("piped"), "Ctrl-C stops");
    assert!(serve.stop().success());
}

#[test]
fn too_few_open_files_are_told_at_the_start() {
    let mut serve = Serve::after("ulimit -n 256", Stdio::null(), Stdio::piped());
    let told = read_until(serve.child.stderr.as_mut().expect("piped"), "Listening");
    assert!(told.contains("The system allows 256 open files"), "{told}");
    assert!(serve.stop().success());
}

#[cfg(target_os = "linux")]
#[test]
fn it_takes_all_the_open_files_it_may_have() {
    let mut serve = Serve::after("ulimit -Sn 256; ulimit -Hn 512", Stdio::null(), Stdio::piped());
    read_until(serve.child.stderr.as_mut().expect("piped"), "Listening");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", serve.child.id())).expect("its limits");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit of files");
    assert!(files.split_whitespace().eq(["Max", "open", "files", "512", "512", "files"]), "{files}");
    assert!(serve.stop().success());
}

/// Goes on for an hour after SIGTERM, if nobody hurries it.
const PATIENT: &str = "export REALTIME__SERVER__DRAIN_DELAY=1h";

#[test]
fn a_second_sigterm_hurries_and_the_exit_code_says_that_all_is_well() {
    let mut serve = Serve::after(PATIENT, Stdio::null(), Stdio::piped());
    serve.says("Listening");
    serve.signal(Signal::TERM);
    let told = serve.says("not ready any more");
    assert!(told.contains("Stopping: SIGTERM") && told.contains("still open for 1h"), "{told}");
    assert!(serve.stop().success());
}

#[test]
fn ctrl_c_waits_for_no_load_balancer() {
    let mut serve = Serve::after(PATIENT, Stdio::null(), Stdio::piped());
    serve.says("Listening");
    serve.signal(Signal::INT);
    serve.says("Stopping: SIGINT");
    assert!(serve.child.wait().expect("it is our child").success());
}

#[test]
fn an_answer_that_nobody_reads_is_a_failure_and_no_panic() {
    let output = Command::new(PROGRAM).arg("version").stdout(closed()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.starts_with("error: cannot print the version: "), "{told}");

    let mut command = Command::new(PROGRAM);
    let output = command.arg("token").env("JWT_SECRET", "s").stderr(closed()).output().expect("it runs");
    assert!(output.status.success());
    assert_eq!(output.stdout.iter().filter(|&&byte| byte == b'.').count(), 2, "a token");
}
