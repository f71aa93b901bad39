//! The machine of the measurements: what it is, how busy it was, which core does what.
//!
//! A number without its machine means nothing, and these machines are shared and noisy. So the facts
//! are printed above the table and written beside the results, with the load average and the time the
//! hypervisor took away, which tell a reader how far to trust the run.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};

/// The lowest priority (nice): the measuring thread and the server, which share their cores, hardly notice it.
pub const LOWEST_PRIORITY: i32 = 19;

/// Which core serves and which core loads.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    /// Where the server, or the floor, runs.
    pub server: usize,
    /// Where this program runs.
    pub load: usize,
}

impl Cores {
    /// Takes the two cores if the machine has them; `None` leaves everything to the scheduler.
    pub fn take(self) -> Result<Option<Self>> {
        if self.server == self.load || processors() <= self.server.max(self.load) {
            return Ok(None);
        }
        pin(&[self.load])?;
        Ok(Some(self))
    }

    /// Does something (start a child) on the cores of the server. A child inherits the affinity mask, and the server
    /// counts its threads by it, so the mask must be set before `exec`. Afterwards this program runs on its own core, or on
    /// both if the server does.
    pub fn start_on<T>(self, placement: Placement, start: impl FnOnce() -> T) -> Result<T> {
        let both = [self.server, self.load];
        let (server, load) = match placement {
            Placement::OneCore => (&both[..1], &both[1..]),
            Placement::BothCores => (&both[..], &both[..]),
        };
        pin(server)?;
        let started = start();
        pin(load)?;
        Ok(started)
    }
}

/// Does something (start a child) on the cores of the server and of this program, which stays on its own. Without cores there is
/// nothing to choose.
pub fn start_everywhere<T>(cores: Option<Cores>, start: impl FnOnce() -> T) -> Result<T> {
    let Some(Cores { server, load }) = cores else { return Ok(start()) };
    pin(&[server, load])?;
    let started = start();
    pin(&[load])?;
    Ok(started)
}

/// Where a server runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Placement {
    /// Alone on its core, this program on the other.
    #[default]
    OneCore,
    /// On both, which this program shares with it.
    BothCores,
}

fn pin(to: &[usize]) -> Result<()> {
    let mut cores = CpuSet::new();
    to.iter().for_each(|core| cores.set(*core));
    sched_setaffinity(None, &cores).with_context(|| format!("cannot run on cores {to:?}"))
}

fn processors() -> usize {
    read("/proc/cpuinfo").lines().filter(|line| line.starts_with("processor")).count()
}

/// Raises the soft limit on open files to the hard one, and returns it.
pub fn raise_open_files() -> Result<u64> {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard })
        .context("cannot raise RLIMIT_NOFILE")?;
    Ok(hard.unwrap_or(u64::MAX))
}

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on Ctrl-C and `kill` end the run in order, so that no server stays behind.
pub fn end_in_order_when_interrupted() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second signal does not wait for us.
        signal_hook::flag::register_conditional_default(signal, flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(())
}

/// Whether a signal has asked this program to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// How long something may take. Every wait in this program has one.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    from: Instant,
    limit: Duration,
}

impl Deadline {
    /// Starts now.
    pub fn after(limit: Duration) -> Self {
        Self { from: Instant::now(), limit }
    }

    /// Whether the time is up.
    pub fn has_passed(&self) -> bool {
        self.from.elapsed() >= self.limit
    }

    /// Fails at the deadline or when interrupted; `progress` describes how far the run came.
    pub fn check(&self, progress: impl FnOnce() -> String) -> Result<()> {
        if interrupted() {
            bail!("interrupted");
        }
        if self.has_passed() {
            bail!("not done after {:.1} s: {}", self.limit.as_secs_f64(), progress());
        }
        Ok(())
    }
}

/// What stands above the table.
pub struct Facts {
    lines: Vec<(&'static str, String)>,
    stolen_before: u64,
    from: Instant,
}

impl Facts {
    /// Looks at the machine now.
    pub fn gather(cores: Option<Cores>, server: &Path) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
        let pinning = match cores {
            Some(Cores { server, load }) => format!("server and floor on core {server}, load on core {load}"),
            None => "NOT PINNED: too few cores, the measurements mean little".to_owned(),
        };
        let lines = vec![
            ("date", output("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"])),
            ("command", std::env::args().collect::<Vec<_>>().join(" ")),
            ("server", server.display().to_string()),
            ("cpu", format!("{} × {}", processors(), model.trim_start_matches([' ', '\t', ':']))),
            ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
            ("pinning", pinning),
            ("load average", read("/proc/loadavg").trim().to_owned()),
        ];
        Self { lines, stolen_before: stolen(), from: Instant::now() }
    }

    /// The header of the report.
    pub fn header(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.lines {
            text.push_str(&format!("{name:>13}  {value}\n"));
        }
        if busy() > 0.5 {
            text.push_str("        noise  other work is running here: compare ratios only, and with care\n");
        }
        text
    }

    /// How noisy it was from [`Facts::gather`] until now.
    pub fn noise(&self) -> String {
        // The kernel counts in hundredths of a second.
        let stolen = (stolen() - self.stolen_before) as f64 / 100.0;
        let share = 100.0 * stolen / (self.from.elapsed().as_secs_f64() * processors() as f64);
        format!("{:.0} s in all; the hypervisor took {share:.1} % away", self.from.elapsed().as_secs_f64())
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        let mut facts: serde_json::Map<_, _> =
            self.lines.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        facts.insert("noise".to_owned(), json!(self.noise()));
        Value::Object(facts)
    }
}

fn busy() -> f64 {
    read("/proc/loadavg").split(' ').next().and_then(|one| one.parse().ok()).unwrap_or(0.0)
}

fn stolen() -> u64 {
    // cpu user nice system idle iowait irq softirq steal …
    read("/proc/stat").split_whitespace().nth(8).and_then(|steal| steal.parse().ok()).unwrap_or(0)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().map(|done| done.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}
