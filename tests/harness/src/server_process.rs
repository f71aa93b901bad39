//! The program as a process of its own, with its log.
//!
//! A thread reads the log all the time, because a server whose log is not read drops lines. Waits for a line go on where
//! the last one ended, and are bounded.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take for anything. Longer than for a server in the test's process: it has to be loaded.
const PROCESS_WAIT_MAX: Duration = Duration::from_secs(20);

/// How often a process is asked whether it has exited.
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What the shipped program has resident of its file. One that is built without optimisation has more than twice as much, whatever
/// its clients do.
const FILE_BYTES: usize = 20 << 20;

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    log: Arc<Log>,
}

/// What the program has written to its standard error.
#[derive(Debug, Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LogState {
    lines: Vec<String>,
    /// Lines that a wait has returned.
    returned: usize,
    ended: bool,
}

impl ServerProcess {
    /// Starts `command`. Its standard error is the log, and its standard input is empty.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(mut command: Command) -> ServerProcess {
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let stderr = child.stderr.take().expect("piped");
        let log = Arc::new(Log::default());
        let filled = Arc::clone(&log);
        thread::spawn(move || filled.read(stderr));
        ServerProcess { child, log }
    }

    /// The address at which it listens. Waits for that; `None` if it exits instead.
    ///
    /// # Panics
    /// When it does neither in time.
    pub fn try_listening(&self) -> Option<SocketAddr> {
        self.log.until("Listening").ok().map(|lines| address_in(lines.last().expect("one line at least")))
    }

    /// The address at which it listens. Waits for that.
    ///
    /// # Panics
    /// When it does not listen in time.
    pub fn listening(&self) -> SocketAddr {
        address_in(&self.log_line("Listening"))
    }

    /// The next lines of the log, up to one that contains `text`. Waits for it.
    ///
    /// # Panics
    /// When it is not written in time.
    pub fn log_until(&self, text: &str) -> Vec<String> {
        self.log
            .until(text)
            .unwrap_or_else(|lines| panic!("no {text:?} before the end of\n{}", lines.join("\n")))
    }

    /// The next line of the log that contains `text`. Waits for it.
    ///
    /// # Panics
    /// When it is not written in time.
    pub fn log_line(&self, text: &str) -> String {
        self.log_until(text).pop().expect("one line at least")
    }

    /// The log from the start of the process until now.
    pub fn log(&self) -> String {
        self.log.state.lock().expect("no reader panics").lines.join("\n")
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it had resident so far, in bytes, with as much of the program's file as the shipped program has.
    ///
    /// # Panics
    /// When the process does not exist any more.
    pub fn resident_peak(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let bytes = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)).expect("a running process");
            value.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
        };
        bytes("VmHWM:") - bytes("RssFile:") + FILE_BYTES
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process does not exist any more.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits until it has exited. Returns its status and the rest of its log.
    ///
    /// # Panics
    /// When it does not exit in time.
    pub fn exit(&mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PROCESS_WAIT_MAX;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of this process") {
                return (status, self.log.rest().join("\n"));
            }
            assert!(Instant::now() < deadline, "it does not exit:\n{}", self.log());
            thread::sleep(EXIT_POLL_INTERVAL);
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Fails if it has exited.
        let _best_effort = self.child.kill();
        let _best_effort = self.child.wait();
    }
}

impl Log {
    fn read(&self, output: impl Read) {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            self.state.lock().expect("no reader panics").lines.push(line);
            self.changed.notify_all();
        }
        self.state.lock().expect("no reader panics").ended = true;
        self.changed.notify_all();
    }

    /// The lines after those that were returned, up to one that contains `text`; all of them as an error if the log ends
    /// before.
    fn until(&self, text: &str) -> Result<Vec<String>, Vec<String>> {
        let deadline = Instant::now() + PROCESS_WAIT_MAX;
        let mut state = self.state.lock().expect("no reader panics");
        let mut next = state.returned;
        loop {
            if let Some(found) = state.lines[next..].iter().position(|line| line.contains(text)) {
                return Ok(state.take(next + found + 1));
            }
            next = state.lines.len();
            if state.ended {
                return Err(state.take(next));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let lines = state.lines.join("\n");
                // The reader would find the lock poisoned.
                drop(state);
                panic!("no {text:?} in\n{lines}");
            }
            state = self.changed.wait_timeout(state, left).expect("no reader panics").0;
        }
    }

    /// Waits for the end of the log, and returns the lines after those that were returned.
    fn rest(&self) -> Vec<String> {
        let state = self.state.lock().expect("no reader panics");
        let ended = self.changed.wait_timeout_while(state, PROCESS_WAIT_MAX, |state| !state.ended);
        let mut state = ended.expect("no reader panics").0;
        let end = state.lines.len();
        state.take(end)
    }
}

impl LogState {
    /// The lines up to `end` that were not returned before.
    fn take(&mut self, end: usize) -> Vec<String> {
        let start = std::mem::replace(&mut self.returned, end);
        self.lines[start..end].to_vec()
    }
}

/// The address in the line that says where a server listens, as text or as JSON.
fn address_in(line: &str) -> SocketAddr {
    let value = ["address=", "\"address\":\""].iter().find_map(|field| line.split_once(field));
    let (_, value) = value.unwrap_or_else(|| panic!("no address in {line}"));
    let end = value.find([' ', '"']).unwrap_or(value.len());
    value[..end].parse().unwrap_or_else(|error| panic!("{error}: {line}"))
}
