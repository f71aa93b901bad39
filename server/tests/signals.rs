//! Signals that reach the program while it starts. The settings are on a file system that does not respond, which holds the
//! start exactly where the test wants it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::Unresponsive;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const CONFIG: &str = "[server]\nhost = \"127.0.0.1\"\nport = 0\ndrain_delay = \"1h\"\n";

/// The program with the default actions of signals: tests that run in the background, or with `nohup`, may have inherited
/// ignored ones.
fn program() -> Command {
    let mut command = Command::new("/usr/bin/env");
    command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_realtime-server")]);
    command
}

/// A folder whose file system does not respond, with settings that can be read once it does. The file system precedes the
/// folder when both are dropped: the folder cannot be removed before.
fn unresponsive() -> Option<(TempDir, Unresponsive)> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("config.toml"), CONFIG).expect("a file");
    let unresponsive = Unresponsive::over(folder.path())?;
    Some((folder, unresponsive))
}

/// Starts a command that reads settings in `folder`, and waits until it is about to.
fn blocked(command: &str, folder: &TempDir) -> Child {
    let mut program = program();
    program.arg(command).env_clear().env("JWT_SECRET", "a secret of more than thirty-two bytes");
    program.env("REALTIME_CONFIG", folder.path().join("config.toml")).env("HOST", "127.0.0.1");
    let child = program.current_dir("/").stderr(Stdio::piped()).spawn().expect("it runs");
    let until = Instant::now() + Duration::from_secs(20);
    let is_thread = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "file access")
    };
    while !fs::read_dir(format!("/proc/{}/task", child.id()))
        .expect("it runs")
        .flatten()
        .any(|task| is_thread(&task))
    {
        assert!(Instant::now() < until, "it reads nothing");
        thread::sleep(Duration::from_millis(5));
    }
    child
}

/// A server in the middle of reading its settings. Killed when the test ends.
struct Starting {
    child: Child,
    log: BufReader<ChildStderr>,
    unresponsive: Option<Unresponsive>,
    _folder: TempDir,
}

impl Starting {
    /// `None` where no such file system can be mounted.
    fn new() -> Option<Self> {
        let (folder, unresponsive) = unresponsive()?;
        let mut child = blocked("serve", &folder);
        let log = BufReader::new(child.stderr.take().expect("piped"));
        Some(Self { child, log, unresponsive: Some(unresponsive), _folder: folder })
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Lets it read its settings to the end.
    fn finish_settings(&mut self) {
        self.unresponsive = None;
    }

    /// Reads the log until there is a line with each of these words.
    fn log_until(&mut self, mut words: Vec<&str>) -> String {
        let mut log = String::new();
        while !words.is_empty() {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).expect("text");
            assert!(read > 0, "it ended without {words:?}:\n{log}");
            words.retain(|words| !line.contains(words));
            log += &line;
        }
        log
    }

    /// Its exit status, and the rest of its log.
    fn ends(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("text");
        (self.child.wait().expect("it is our child"), rest)
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _already_exited = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn a_hangup_while_it_starts_is_one_reload_once_it_runs() {
    let Some(mut starting) = Starting::new() else { return };
    starting.signal(Signal::HUP);
    starting.signal(Signal::HUP);
    starting.finish_settings();
    let log = starting.log_until(vec!["Listening", "nothing changes: SIGHUP"]);
    starting.signal(Signal::INT);
    let (status, rest) = starting.ends();
    assert!(status.success(), "{status}");
    assert_eq!((log + &rest).matches("nothing changes: SIGHUP").count(), 1);
}

#[test]
fn a_stop_signal_while_it_starts_ends_it_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let Some(starting) = Starting::new() else { return };
        starting.signal(signal);
        let (status, log) = starting.ends();
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{signal:?}: {log}");
        assert!(!log.contains("Listening"), "{log}");
    }
}

// A script that calls the program in a loop is ended by Ctrl-C only if the program is.
#[test]
fn other_commands_are_terminated_by_a_signal() {
    for command in ["token", "health"] {
        let Some((folder, _unresponsive)) = unresponsive() else { return };
        let mut child = blocked(command, &folder);
        kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
        let status = child.wait().expect("it is our child");
        assert_eq!(status.signal(), Some(2), "{command}: {status}");
    }
}
