//! The course of a soak: quiet windows, then attacked and quiet ones in turns, and then the checks.
//!
//! In a quiet window the processes of the attackers are stopped: their connections and what they have made the server keep
//! stay. In the first of two such windows other work keeps the processors as busy.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use crate::attackers::Attackers;
use crate::attacks::{self, Attack};
use crate::machine::{self, Machine};
use crate::memory_watch::MemoryWatch;
use crate::newcomers::Newcomers;
use crate::nodes::{BUDGET, Node, Nodes, mib, number};
use crate::other_work::OtherWork;
use crate::quiet_tenant::QuietTenant;
use crate::verdict::Verdict;
use crate::windows::Windows;

/// How long the attacks last until they are stopped, and how long each quiet window lasts.
const ATTACKED: Duration = Duration::from_secs(18);
const QUIET: Duration = Duration::from_secs(8);

/// What is not measured after they are stopped or continued.
const SETTLED: Duration = Duration::from_secs(2);

/// How much more memory than at the start a node may have resident in the end, and how soon.
const RESIDENT_MORE_MAX: u64 = 64 << 20;
const RETURNS_WITHIN: Duration = Duration::from_secs(90);

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
    println!(
        "In quiet windows the attackers are stopped; in the first of two, other processes keep every processor as busy."
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut course = Course::begin(Nodes::start(server, &machine, &runtime)?, &machine)?;
    let resident = |(_, node): (_, &Node)| node.probe().resident();
    let start = course.nodes.all().map(resident).collect::<Result<Vec<_>>>()?;

    println!("{} attacks for {:.1} min; {}", attacks.len(), time.as_secs_f64() / 60.0, Windows::LEGEND);
    let watches: Vec<_> = course.nodes.all().map(|(_, node)| MemoryWatch::start(node)).collect();
    let newcomers = Newcomers::start(&course.nodes);
    let mut attackers = Attackers::start(&course.nodes, &attacks)?;
    let pressures = machine::tcp_memory_pressures()?;
    let end = course.attack(&mut attackers, time);
    let pressures = machine::tcp_memory_pressures()? - pressures;
    let rounds = attackers.rounds();
    drop(attackers);
    match end {
        // The checks show how the node has ended.
        Err(error) if !course.all_run() => println!("       A node has ended: {error:#}"),
        Err(error) => {
            course.nodes.all().for_each(|(name, node)| println!("{name} has logged\n{}", node.last_lines()));
            return Err(error);
        }
        Ok(()) => {}
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
    // The attackers' own buffers would then delay the messages between the nodes.
    verdict.check(
        "the machine: times that its TCP buffers were short of memory",
        (pressures == 0).into(),
        &pressures.to_string(),
    );
    newcomers.check(&mut verdict);
    let faults = quiet.faults.join("; ");
    let found = if faults.is_empty() { "none" } else { &faults };
    verdict.check("messages that the quiet tenant has lost", quiet.faults.is_empty().into(), found);
    windows.check(quiet.kinds(), &mut verdict);
    Ok(verdict.end())
}

impl Course {
    /// The first quiet windows.
    fn begin(nodes: Nodes, machine: &Machine) -> Result<Course> {
        let other_work = OtherWork::start(machine)?;
        for (name, node) in nodes.all() {
            let group = node.group().map_or("none".into(), |group| group.folder().display().to_string());
            println!("{name}: {}, control group: {group}", node.address());
        }
        let quiet = QuietTenant::join(&nodes)?;
        let mut course = Course { nodes, other_work, quiet, windows: Windows::default() };
        course.quiet_windows()?;
        Ok(course)
    }

    /// Windows of all kinds in turns, until the time is over or a node does not run any more.
    fn attack(&mut self, attackers: &mut Attackers, time: Duration) -> Result<()> {
        let from = Instant::now();
        while from.elapsed() < time && self.all_run() {
            attackers.signal(Signal::CONT)?;
            self.quiet.measure(SETTLED)?;
            self.windows.attacked.push(self.quiet.measure(ATTACKED)?);
            let ended = attackers.ended();
            ensure!(ended.is_empty(), "attacks have ended by themselves: {ended:?}");
            attackers.signal(Signal::STOP)?;
            self.quiet_windows()?;
            report(from.elapsed(), &self.windows, &self.nodes)?;
        }
        Ok(())
    }

    /// One with other work, and one without, in which that stays.
    fn quiet_windows(&mut self) -> Result<()> {
        self.other_work.signal(Signal::CONT)?;
        self.quiet.measure(SETTLED)?;
        self.windows.quiet.push(self.quiet.measure(QUIET)?);
        self.other_work.signal(Signal::STOP)?;
        self.quiet.measure(SETTLED)?;
        self.windows.idle.push(self.quiet.measure(QUIET)?);
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
    let buffers = mib(machine::tcp_memory()?);
    println!(
        "{:>5.1} min  {}; {memory}; TCP of the machine {buffers}",
        elapsed.as_secs_f64() / 60.0,
        windows.progress()
    );
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
    // The page of metrics comes first, because it takes memory as well.
    let mut has = has_settings()?;
    let mut end = node.probe().resident()?;
    while (end > allowed || !has) && from.elapsed() < RETURNS_WITHIN {
        thread::sleep(Duration::from_secs(1));
        has = has_settings()?;
        end = node.probe().resident()?;
    }
    let found =
        format!("{} after {:.0} s, {} at the start", mib(end), from.elapsed().as_secs_f64(), mib(start));
    verdict.check(&format!("{name}: memory returns"), (end <= allowed).into(), &found);
    verdict.check(&format!("{name} has its last settings"), has.into(), if has { "yes" } else { "no" });
    Ok(())
}
