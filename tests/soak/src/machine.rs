//! Which processors the first node runs on, and which everything else.
//!
//! The attackers are on the same machine as what they attack. On a processor of its own the node loses no time to them,
//! as it would not to clients on other machines; and what it does later than in quiet windows is what they have made it do.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use rustix::param::page_size;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors of this machine.
#[derive(Debug)]
pub struct Machine {
    all: Vec<usize>,
}

impl Machine {
    /// Those that this process may use. It leaves the first one, if there are others.
    pub fn take() -> Result<Machine> {
        let usable = sched_getaffinity(None)?;
        let all: Vec<_> = (0..CpuSet::MAX_CPU).filter(|number| usable.is_set(*number)).collect();
        ensure!(!all.is_empty(), "no processors");
        let machine = Machine { all };
        machine.leave_first()?;
        Ok(machine)
    }

    /// The numbers of all processors.
    pub fn processors(&self) -> &[usize] {
        &self.all
    }

    /// How the work is divided.
    pub fn describe(&self) -> String {
        match self.others() {
            [] => "One processor: the attackers take time from the nodes, so the latencies mean little."
                .to_owned(),
            others => format!(
                "Node one runs on processor {}; node two, Redis, the attackers and the quiet tenant's clients on {others:?}.",
                self.all[0]
            ),
        }
    }

    /// Does something (starts a process, which inherits it) on the first processor.
    pub fn on_first<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        pin(None, &self.all[..1])?;
        let started = start()?;
        self.leave_first()?;
        Ok(started)
    }

    /// All threads of this process go to the other processors, and what they start later as well.
    fn leave_first(&self) -> Result<()> {
        if self.others().is_empty() {
            return Ok(());
        }
        for thread in fs::read_dir("/proc/self/task")? {
            let number = thread?.file_name().to_string_lossy().parse()?;
            pin(Pid::from_raw(number), self.others())?;
        }
        Ok(())
    }

    fn others(&self) -> &[usize] {
        &self.all[1..]
    }
}

/// Lets a thread, by default this one, run on these processors only.
pub fn pin(thread: Option<Pid>, to: &[usize]) -> Result<()> {
    let mut processors = CpuSet::new();
    to.iter().for_each(|number| processors.set(*number));
    sched_setaffinity(thread, &processors).with_context(|| format!("cannot run on processors {to:?}"))
}

/// Bytes that the kernel of this machine has in buffers of TCP, those of the attackers' sockets included.
pub fn tcp_memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/net/sockstat")?;
    let line = text.lines().find(|line| line.starts_with("TCP:")).context("no line of TCP")?;
    let pages: u64 = line.rsplit(' ').next().unwrap_or_default().parse().context("not a number of pages")?;
    Ok(pages * page_size() as u64)
}

/// How often this machine has had so much in buffers of TCP that the kernel shrinks those of all connections.
pub fn tcp_memory_pressures() -> Result<u64> {
    let text = fs::read_to_string("/proc/net/netstat")?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
    let (names, values) = lines.next().zip(lines.next()).context("no counters of TCP")?;
    let (_, value) = names
        .zip(values)
        .find(|(name, _)| *name == "TCPMemoryPressures")
        .context("no counter of TCP memory pressure")?;
    Ok(value.parse()?)
}
