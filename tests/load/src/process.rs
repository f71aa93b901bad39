//! What a process has used, as the kernel counts it.
//!
//! Processor time is the sum over its threads in nanoseconds (`schedstat`), not the 10 ms ticks of
//! `stat`. On a kernel without IRQ time accounting it includes the network stack's work for a write,
//! which is most of what a relay does. Memory is *anonymous* memory: heap and stacks, without the
//! program's own text, without socket buffers (those are the kernel's).

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Time on a processor, all living threads together.
pub fn cpu(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")? {
        // A thread may end between the listing and the reading.
        let Ok(schedstat) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanos += first_number(&schedstat).context("no schedstat in this kernel")?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Anonymous bytes, exactly; walks the page tables, so not for a tight loop.
pub fn anonymous(pid: u32) -> Result<u64> {
    kib_in(&format!("/proc/{pid}/smaps_rollup"), "Anonymous:")
}

/// Anonymous bytes by the kernel's running counter: cheap, and off by half a MiB at most.
pub fn anonymous_roughly(pid: u32) -> Result<u64> {
    kib_in(&format!("/proc/{pid}/status"), "RssAnon:")
}

fn kib_in(path: &str, key: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let kib = text.lines().find_map(|line| line.strip_prefix(key)).and_then(first_number);
    Ok(kib.with_context(|| format!("no `{key}` in {path}"))? * 1024)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}
