//! A process of this program beside the measured ones: below them in priority, and stopped and continued.

use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

/// Below what measures and what is measured.
const NICENESS: i32 = 19;

/// A running process. Ended when dropped.
#[derive(Debug)]
pub struct LowPriorityProcess(Child);

impl LowPriorityProcess {
    /// Starts this program with these arguments, and returns what it writes.
    pub fn start(arguments: &[String]) -> Result<(LowPriorityProcess, ChildStdout)> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("not piped")?;
        Ok((LowPriorityProcess(child), output))
    }

    /// Stops or continues it.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), signal)?)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for LowPriorityProcess {
    fn drop(&mut self) {
        let _has_ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Lowers the priority of this process, at its beginning.
pub fn lower_priority() -> Result<()> {
    rustix::process::nice(NICENESS)?;
    Ok(())
}
