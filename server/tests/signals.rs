//! Signals that reach the program while it starts. The settings come through a named pipe, which holds the start
//! exactly where the test wants it: opened, and not read to its end.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
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

/// A server in the middle of reading its settings. Killed when the test ends.
struct Starting {
    child: Child,
    log: BufReader<ChildStderr>,
    settings: fs::File,
    _folder: TempDir,
}

impl Starting {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
        let mut child = program()
            .arg("serve")
            .current_dir(folder.path())
            .env_clear()
            .env("JWT_SECRET", "a secret of more than thirty-two bytes")
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        // Waits until the server has opened the other end.
        let settings = OpenOptions::new().write(true).open(&path).expect("the pipe");
        // A reload finds a file.
        fs::write(folder.path().join("new"), CONFIG).expect("a file");
        fs::rename(folder.path().join("new"), &path).expect("renamed");
        Self { child, log, settings, _folder: folder }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Lets it read its settings to the end.
    fn finish_settings(&mut self) {
        self.settings.write_all(CONFIG.as_bytes()).expect("it reads");
        self.settings = fs::File::open("/dev/null").expect("there on every Unix");
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
    let mut starting = Starting::new();
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
        let starting = Starting::new();
        starting.signal(signal);
        let (status, log) = starting.ends();
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{signal:?}: {log}");
        assert!(!log.contains("Listening"), "{log}");
    }
}

// A script that calls the program in a loop is ended by Ctrl-C only if the program is.
#[test]
fn other_commands_are_terminated_by_a_signal() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.toml");
    for command in ["token", "health"] {
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
        let mut child =
            program().arg(command).current_dir(folder.path()).env_clear().spawn().expect("it runs");
        let settings = OpenOptions::new().write(true).open(&path).expect("the pipe");
        kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
        let status = child.wait().expect("it is our child");
        assert_eq!(status.signal(), Some(2), "{command}: {status}");
        drop(settings);
        fs::remove_file(&path).expect("removed");
    }
}
