//! The course of a soak: quiet, attacked and quiet windows in turns, quiet again, and then the checks.
//!
//! In a quiet window the processes of the attackers are stopped, and other work keeps the processors as busy: their
//! connections and what they have made the server keep stay. The medians of many windows are compared, so that other work
//! of the machine, which concerns some of them, does not decide.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use crate::attackers::Attackers;
use crate::attacks::{self, Attack};
use crate::machine::Machine;
use crate::memory_watch::MemoryWatch;
use crate::nodes::{BUDGET, Node, Nodes, mib, number};
use crate::other_work::OtherWork;
use crate::quiet_tenant::{KINDS, QuietTenant, Window};
use crate::verdict::Verdict;

/// How long the attacks last until they are stopped, and how long they are stopped: one line of progress.
const ATTACKED: Duration = Duration::from_secs(18);
const QUIET: Duration = Duration::from_secs(8);

/// What is not measured after they are stopped or continued.
const SETTLED: Duration = Duration::from_secs(2);

/// The 99th percentile under attack may be this many times that of quiet windows.
const RATIO_MAX: f64 = 1.5;

/// How much more memory than at the start a node may have resident in the end, and how soon.
const RESIDENT_MORE_MAX: u64 = 64 << 20;
const RETURNS_WITHIN: Duration = Duration::from_secs(90);

/// What the windows have shown.
#[derive(Debug, Default)]
struct Windows {
    quiet: Vec<Window>,
    attacked: Vec<Window>,
}

impl Windows {
    fn p99(of: &[Window], kind: usize) -> Option<f64> {
        median(of.iter().filter_map(|window| window.p99(kind)))
    }

    /// The line of the last pair of windows.
    fn progress(&self) -> String {
        let part = |kind: usize| {
            let of = |windows: &[Window]| windows.last().and_then(|window| window.p99(kind));
            let (attacked, quiet) = (of(&self.attacked)?, of(&self.quiet)?);
            let longest = self.attacked.last().and_then(|window| window.max(kind))?;
            Some(format!("{} {attacked:.2} ({quiet:.2}, longest {longest:.0})", KINDS[kind]))
        };
        (0..KINDS.len()).filter_map(part).collect::<Vec<_>>().join(", ")
    }
}

/// What runs until the checks.
struct Course {
    nodes: Nodes,
    other_work: OtherWork,
    quiet: QuietTenant,
    windows: Windows,
}

/// Runs the attacks that are named, or all. Returns whether all checks have passed.
pub fn run(server: &Path, time: Duration, only: &[String]) -> Result<bool> {
    let attacks = chosen(only)?;
    let machine = Machine::take()?;
    println!("{}", machine.describe());
    println!("In quiet windows the attackers are stopped, and other processes keep every processor as busy.");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut course = Course::begin(Nodes::start(server, &machine, &runtime)?, &machine)?;
    let resident = |(_, node): (_, &Node)| node.probe().resident();
    let start = course.nodes.all().map(resident).collect::<Result<Vec<_>>>()?;

    println!(
        "{} attacks for {:.1} min; p99 in ms under attack (quiet, longest under attack)",
        attacks.len(),
        time.as_secs_f64() / 60.0
    );
    let watches: Vec<_> = course.nodes.all().map(|(_, node)| MemoryWatch::start(node)).collect();
    let mut attackers = Attackers::start(&course.nodes, &attacks)?;
    let end = course.attack(&mut attackers, time);
    let rounds = attackers.rounds();
    drop(attackers);
    match end {
        // The checks show how the node has ended.
        Err(error) if !course.all_run() => println!("       A node has ended: {error:#}"),
        end => end?,
    }

    let Course { nodes, quiet, windows, other_work } = course;
    drop(other_work);
    let mut verdict = Verdict::default();
    for (name, rounds) in rounds {
        verdict.check(&format!("the attack `{name}`"), (rounds > 0).into(), &format!("{rounds} rounds"));
    }
    for (((name, node), start), watch) in nodes.all().zip(start).zip(watches) {
        watch.check(name, &mut verdict);
        check_node(&mut verdict, name, node, start)?;
    }
    check_tenant(&mut verdict, &windows, &quiet);
    Ok(verdict.end())
}

impl Course {
    /// The first quiet window.
    fn begin(nodes: Nodes, machine: &Machine) -> Result<Course> {
        let other_work = OtherWork::start(machine)?;
        for (name, node) in nodes.all() {
            let group = node.group().map_or("none".into(), |group| group.folder().display().to_string());
            println!("{name}: {}, control group: {group}", node.address());
        }
        let quiet = QuietTenant::join(&nodes)?;
        let mut course = Course { nodes, other_work, quiet, windows: Windows::default() };
        course.quiet_window()?;
        Ok(course)
    }

    /// Pairs of windows, until the time is over or a node does not run any more.
    fn attack(&mut self, attackers: &mut Attackers, time: Duration) -> Result<()> {
        let from = Instant::now();
        while from.elapsed() < time && self.all_run() {
            self.other_work.signal(Signal::STOP)?;
            attackers.signal(Signal::CONT)?;
            self.quiet.measure(SETTLED)?;
            self.windows.attacked.push(self.quiet.measure(ATTACKED)?);
            let ended = attackers.ended();
            ensure!(ended.is_empty(), "attacks have ended by themselves: {ended:?}");
            attackers.signal(Signal::STOP)?;
            self.other_work.signal(Signal::CONT)?;
            self.quiet_window()?;
            report(from.elapsed(), &self.windows, &self.nodes)?;
        }
        Ok(())
    }

    fn quiet_window(&mut self) -> Result<()> {
        self.quiet.measure(SETTLED)?;
        self.windows.quiet.push(self.quiet.measure(QUIET)?);
        Ok(())
    }

    fn all_run(&self) -> bool {
        self.nodes.all().all(|(_, node)| node.is_running())
    }
}

fn chosen(only: &[String]) -> Result<Vec<&'static Attack>> {
    for name in only {
        attacks::named(name)?;
    }
    Ok(attacks::ALL
        .iter()
        .filter(|attack| only.is_empty() || only.iter().any(|name| name == attack.name))
        .collect())
}

fn report(elapsed: Duration, windows: &Windows, nodes: &Nodes) -> Result<()> {
    let memory = nodes.all().map(|(_, node)| {
        let group = node.group().map(|group| group.used()).transpose()?;
        let group = group.map_or(String::new(), |used| format!(" ({} in its group)", mib(used)));
        Ok(format!("{}{group}", mib(node.probe().resident()?)))
    });
    let memory = memory.collect::<Result<Vec<_>>>()?.join(" + ");
    println!("{:>5.1} min  {}; {memory}", elapsed.as_secs_f64() / 60.0, windows.progress());
    Ok(())
}

fn check_node(verdict: &mut Verdict, name: &str, node: &Node, start: u64) -> Result<()> {
    let running = node.is_running();
    verdict.check(&format!("{name} still runs"), running.into(), if running { "yes" } else { "no" });
    let log = node.log();
    let panic = log.lines().find(|line| line.contains("panicked"));
    verdict.check(&format!("{name} has not panicked"), panic.is_none().into(), panic.unwrap_or("never"));
    if let Some(group) = node.group() {
        let kills = group.kills()?;
        verdict.check(&format!("{name}: kills by the kernel"), (kills == 0).into(), &kills.to_string());
        let budget = node.start_line().split_once("memory_budget=").map_or("none", |(_, rest)| rest);
        let is_half = budget.starts_with("\"256.0 MiB (half of the container's 512.0 MiB)\"");
        let budget = budget.split(" off=").next().unwrap_or_default();
        verdict.check(&format!("{name}: its budget is from the group"), is_half.into(), budget);
        println!(
            "       {name}: the most that its group has used, page cache included: {}",
            mib(group.peak()?)
        );
    }
    if !running {
        println!("{}", log.lines().rev().take(30).collect::<Vec<_>>().join("\n"));
        return Ok(());
    }
    let peak = node.probe().resident_peak()?;
    verdict.check(&format!("{name}: resident memory, at most"), (peak <= BUDGET).into(), &mib(peak));
    node.restore_settings()?;
    let (from, allowed) = (Instant::now(), start + RESIDENT_MORE_MAX);
    let has_settings = || -> Result<bool> {
        Ok(number(&node.probe().metrics()?, "realtime_settings_reload_failed") == Some(0.0))
    };
    while (node.probe().resident()? > allowed || !has_settings()?) && from.elapsed() < RETURNS_WITHIN {
        thread::sleep(Duration::from_secs(1));
    }
    let end = node.probe().resident()?;
    let found =
        format!("{} after {:.0} s, {} at the start", mib(end), from.elapsed().as_secs_f64(), mib(start));
    verdict.check(&format!("{name}: memory returns"), (end <= allowed).into(), &found);
    let has = has_settings()?;
    verdict.check(&format!("{name} has its last settings"), has.into(), if has { "yes" } else { "no" });
    Ok(())
}

fn check_tenant(verdict: &mut Verdict, windows: &Windows, quiet: &QuietTenant) {
    let faults = quiet.faults.join("; ");
    let found = if faults.is_empty() { "none" } else { &faults };
    verdict.check("messages that the quiet tenant has lost", quiet.faults.is_empty().into(), found);
    for (kind, name) in KINDS.iter().enumerate() {
        let of = |windows: &[Window]| Windows::p99(windows, kind);
        let (Some(attacked), Some(quiet)) = (of(&windows.attacked), of(&windows.quiet)) else { continue };
        let p50 = |of: &[Window]| median(of.iter().filter_map(|window| window.p50(kind))).unwrap_or_default();
        let longest = windows.attacked.iter().filter_map(|window| window.max(kind)).fold(0.0, f64::max);
        let ratio = attacked / quiet;
        let found = format!(
            "p99 {attacked:.2} ms, quiet {quiet:.2} ms: {ratio:.2} ×; p50 {:.2} ms, quiet {:.2} ms; longest {longest:.0} ms",
            p50(&windows.attacked),
            p50(&windows.quiet)
        );
        verdict.check(&format!("{name} of the quiet tenant"), (ratio <= RATIO_MAX).into(), &found);
    }
}

fn median(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<_> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
