//! What the memory of a node is used for while it is attacked.
//!
//! What clients use by kind is in `/metrics`, and may not be more than the page says that they may. What the process has
//! resident is compared with its budget in the end. The kinds at the moment when that was the most tell what it was for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::control_group::{ControlGroup, SocketBuffers};
use crate::nodes::{Node, Probe, mib, number};
use crate::verdict::Verdict;

/// Rarely enough that those messages of the quiet tenant which wait while the page is rendered, for some milliseconds, are
/// far fewer than one in a hundred.
const INTERVAL: Duration = Duration::from_secs(5);

/// What may be charged beyond the limit: 16 pages of metrics, connections for health checks, and those that are closed for
/// others, until their tasks end.
const BEYOND_LIMIT_MAX: u64 = 24 << 20;

/// Of a hundred pages, as many may be refused or late.
const MISSED_PERCENT_MAX: u64 = 10;

/// Watches a node until it is dropped.
#[derive(Debug)]
pub struct MemoryWatch(Arc<Mutex<Peaks>>);

/// Bytes by kind.
#[derive(Debug, Default, Clone)]
struct Kinds(BTreeMap<String, u64>);

/// The most that was seen.
#[derive(Debug, Default)]
struct Peaks {
    samples: u64,
    kinds: Kinds,
    total: u64,
    /// How much more than the limit was used at most.
    beyond_limit: u64,
    resident: u64,
    kinds_at_resident: Kinds,
    /// Of its control group.
    socket_buffers: Option<u64>,
    /// Why the page of metrics was not received, each time.
    missed: Vec<String>,
}

impl MemoryWatch {
    /// Begins to watch.
    pub fn start(node: &Node) -> MemoryWatch {
        let peaks = Arc::new(Mutex::new(Peaks::default()));
        let (probe, watched) = (node.probe(), Arc::downgrade(&peaks));
        let buffers = node.group().map(ControlGroup::socket_buffers);
        thread::spawn(move || watch(&probe, buffers.as_ref(), &watched));
        MemoryWatch(peaks)
    }

    /// Prints what was seen of the node of this name, and checks it.
    pub fn check(&self, name: &str, verdict: &mut Verdict) {
        let peaks = lock(&self.0);
        println!("       {name}: the most by kind, in {} samples: {}", peaks.samples, peaks.kinds);
        let buffers = peaks.socket_buffers.map_or("not counted".to_owned(), mib);
        println!("       {name}: the most that the kernel has in buffers of its sockets: {buffers}");
        println!("       {name}: when {} were resident: {}", mib(peaks.resident), peaks.kinds_at_resident);
        let is_within = peaks.samples > 0 && peaks.beyond_limit <= BEYOND_LIMIT_MAX;
        let found = format!("{}, {} beyond it", mib(peaks.total), mib(peaks.beyond_limit));
        verdict.check(&format!("{name}: clients use no more than their limit"), is_within.into(), &found);
        let missed = peaks.missed.len() as u64;
        let is_shown = missed * 100 <= (missed + peaks.samples) * MISSED_PERCENT_MAX;
        let reasons: Vec<_> = peaks.missed.iter().map(|reason| format!("; {reason}")).collect();
        let found = format!("{missed} of {}{}", missed + peaks.samples, reasons.concat());
        verdict.check(
            &format!("{name}: pages of metrics that an operator did not get"),
            is_shown.into(),
            &found,
        );
    }
}

impl Peaks {
    fn note(&mut self, resident: u64, kinds: Kinds, limit: f64) {
        let total: u64 = kinds.0.values().sum();
        self.samples += 1;
        self.total = self.total.max(total);
        self.beyond_limit = self.beyond_limit.max(total.saturating_sub(limit as u64));
        for (kind, bytes) in &kinds.0 {
            let most = self.kinds.0.entry(kind.clone()).or_default();
            *most = (*most).max(*bytes);
        }
        if resident > self.resident {
            self.resident = resident;
            self.kinds_at_resident = kinds;
        }
    }
}

impl Kinds {
    /// Those of a page of metrics.
    fn of(page: &str) -> Kinds {
        let lines = page.lines().filter_map(|line| {
            let (kind, bytes) =
                line.strip_prefix("realtime_memory_used_bytes{kind=\"")?.split_once("\"} ")?;
            Some((kind.to_owned(), bytes.parse::<f64>().ok()? as u64))
        });
        Kinds(lines.collect())
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.0.iter().map(|(kind, bytes)| format!("{kind} {}", mib(*bytes))).collect();
        out.write_str(&kinds.join(", "))
    }
}

fn watch(probe: &Probe, buffers: Option<&SocketBuffers>, peaks: &Weak<Mutex<Peaks>>) {
    while let Some(peaks) = peaks.upgrade() {
        let sample = sample(probe);
        let mut noted = lock(&peaks);
        match sample {
            Ok((resident, kinds, limit)) => noted.note(resident, kinds, limit),
            Err(error) => noted.missed.push(format!("{error:#}")),
        }
        noted.socket_buffers = noted.socket_buffers.max(buffers.and_then(SocketBuffers::bytes));
        drop(noted);
        drop(peaks);
        thread::sleep(INTERVAL);
    }
}

fn sample(probe: &Probe) -> Result<(u64, Kinds, f64)> {
    let page = probe.metrics()?;
    let limit = number(&page, "realtime_memory_limit_bytes").context("no limit")?;
    Ok((probe.resident()?, Kinds::of(&page), limit))
}

fn lock(peaks: &Mutex<Peaks>) -> MutexGuard<'_, Peaks> {
    peaks.lock().unwrap_or_else(PoisonError::into_inner)
}
