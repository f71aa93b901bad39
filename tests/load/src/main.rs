//! `load`: the benchmark. One program, one table.
//!
//! It starts the release server and the floor (the least any relay can do) as child processes on one core,
//! plays the clients itself on the other, and puts ours beside the floor's. `README.md` describes what is
//! measured and why; the parts are:
//!
//! - `workloads/`: what is measured, a family per file
//! - `drive`, `traffic`, `swarm`, `connection`, `entry`, `stream`, `frames`, `message`: the clients, from a run down to bytes
//! - `server`, `setup`, `certificate`, `operator`, `receiver`, `postgres`, `session`, `pgbench`, `floor`, `process`, `machine`: what is measured
//!   against what, and on what
//! - `report`, `paired`: the table and the JSON

mod certificate;
mod connection;
mod drive;
mod entry;
mod floor;
mod frames;
mod machine;
mod message;
mod operator;
mod paired;
mod pgbench;
mod postgres;
mod process;
mod receiver;
mod recvlogical;
mod report;
mod server;
mod session;
mod setup;
mod stream;
mod swarm;
mod traffic;
mod workloads;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use crate::floor::Style;
use crate::machine::{Cores, Facts};
use crate::report::{Goals, Report};
use crate::workloads::{ALL, Bench, Scale, Workload};

/// Measures Realtime Server against the least any relay can do on this machine.
///
/// Every goal is a ratio to the floor, or a limit, of the same run; absolute numbers of a noisy machine are
/// for orientation. The server is started for every run with default settings, raised limits and a random
/// secret, alone on one core; the clients run on another. A whole run takes about half an hour; nothing else should run meanwhile.
#[derive(Debug, Parser)]
#[command(
    name = "load",
    after_help = "Examples:\n  \
    load                                   everything, a table at the end\n  \
    load --only fanout-64,paced --runs 5   two workloads, five runs each\n  \
    load --quick                           checks that every part works, two minutes; the measurements mean nothing\n  \
    load --json results.json               the table, and every single run as JSON\n  \
    load floor coalesced --port 9000       the floor alone, to look at with a profiler\n\n\
    Ends with 1 if a workload failed (something lost, refused or too late), or, with --strict, if a goal \
    was missed."
)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The release server; by default the one built beside this program, then target/release.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Only these workloads, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Runs of each workload, ours and the floor in turns; the table shows medians. 9 or more decide whether a ratio near
    /// its goal reaches it.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    runs: u16,
    /// A smoke test: a tenth of the members, half a second each, once.
    #[arg(long, conflicts_with = "runs")]
    quick: bool,
    /// Also write everything measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// List the workloads and what they should reach.
    #[arg(long)]
    list: bool,
    /// A missed goal is a failure.
    #[arg(long)]
    strict: bool,
    /// The core of the server and the floor.
    #[arg(long, default_value_t = 0, value_name = "N")]
    server_core: usize,
    /// The core of this program.
    #[arg(long, default_value_t = 1, value_name = "N")]
    load_core: usize,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the floor alone: a relay without protocol.
    Floor {
        /// When it writes.
        style: Style,
        /// Where it listens, on 127.0.0.1; 0 is any free port. It prints the address.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(Command::Floor { style, port }) = arguments.command {
        machine::raise_open_files()?;
        floor::run(style, SocketAddr::from(([127, 0, 0, 1], port)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(&arguments.only)?;
    if arguments.list {
        chosen.iter().for_each(|workload| println!("{:24} {}", workload.name, workload.reach));
        return Ok(ExitCode::SUCCESS);
    }
    measure(&arguments, &chosen)
}

fn measure(arguments: &Arguments, chosen: &[&Workload]) -> Result<ExitCode> {
    machine::end_in_order_when_interrupted()?;
    let files = machine::raise_open_files()?;
    if files < 12_000 {
        eprintln!("only {files} open files allowed: `memory` needs 12,000 (see `ulimit -Hn`)");
    }
    let cores = Cores { server: arguments.server_core, load: arguments.load_core }.take()?;
    let scale = if arguments.quick { Scale::quick() } else { Scale::full(arguments.runs.into()) };
    let bench = Bench { server: find_server(arguments.server.clone())?, cores, scale };
    let facts = Facts::gather(cores, &bench.server);
    println!("{}", facts.header());

    let goals = if arguments.quick { Goals::Ignored } else { Goals::Compared };
    let mut report = Report::new(goals);
    for workload in chosen {
        eprintln!("… {}: {}", workload.name, workload.reach);
        report.add(workload.name, (workload.run)(&bench));
        if machine::interrupted() {
            break;
        }
    }
    workloads::compare(&mut report);

    println!("\n{}\n{}", report.table(), facts.noise());
    if let Some(file) = &arguments.json {
        let json = serde_json::to_string_pretty(&report.json(facts.json()))?;
        std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if arguments.quick {
        println!(
            "A smoke test: it checks that every part works. The measurements mean nothing and are not compared with the goals."
        );
    }
    let is_bad = report.has_failures() || (arguments.strict && report.missed() > 0);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn choose(only: &[String]) -> Result<Vec<&'static Workload>> {
    for name in only {
        if !ALL.iter().any(|workload| workload.name == name) {
            let known: Vec<_> = ALL.iter().map(|workload| workload.name).collect();
            bail!("no workload is called `{name}`; there are {}", known.join(", "));
        }
    }
    let is_chosen = |workload: &&Workload| only.is_empty() || only.iter().any(|name| name == workload.name);
    Ok(ALL.iter().filter(is_chosen).collect())
}

fn find_server(given: Option<PathBuf>) -> Result<PathBuf> {
    const NAME: &str = "realtime-server";
    if let Some(path) = given {
        return path.canonicalize().with_context(|| format!("no server at {}", path.display()));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let places = [
        std::env::current_exe()?.with_file_name(NAME),
        target.unwrap_or_default().join("release").join(NAME),
        workspace.join("release").join(NAME),
    ];
    places.iter().find_map(|place| place.canonicalize().ok()).context(
        "no release server found: run `cargo build --release -p realtime-server`, or name it with --server",
    )
}
