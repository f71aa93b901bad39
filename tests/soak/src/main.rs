//! An hour of all attacks at once on a node with 512 MB of memory, and what another tenant notices of them.
//!
//! The program starts the server in a control group, starts itself once for every attack, at a low priority, and measures
//! the quiet tenant from its own process: `README.md`.

mod attackers;
mod attacks;
mod client;
mod control_group;
mod course;
mod low_priority_process;
mod machine;
mod memory_watch;
mod newcomers;
mod nodes;
mod other_work;
mod quiet_tenant;
mod target;
mod verdict;
mod windows;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::target::Target;

/// All attacks at once on two nodes with little memory.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Runs everything and prints a verdict.
    Run {
        /// The server: a release build.
        #[arg(long)]
        server: PathBuf,
        /// How long the attacks last; a part of a minute is possible.
        #[arg(long, default_value_t = 60.0)]
        minutes: f64,
        /// Only these attacks, separated by commas.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// One attack, until its standard output is closed.
    Attack {
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Work that has nothing to do with the server, on this processor, until the caller ends.
    Work { processor: usize },
    /// What the attacks do.
    List,
}

fn main() -> ExitCode {
    match run(Arguments::parse().role) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            println!("0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

/// Whether all checks have passed.
fn run(role: Role) -> Result<bool> {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard })
        .context("the limit of open files")?;
    match role {
        Role::Run { server, minutes, only } => {
            course::run(&server, Duration::from_secs_f64(minutes * 60.0), &only)
        }
        Role::Attack { name, target } => attacks::run(&name, target).map(|()| true),
        Role::Work { processor } => other_work::run(processor).map(|()| true),
        Role::List => {
            for attack in attacks::ALL {
                println!("{:<20} {}", attack.name, attack.about);
            }
            Ok(true)
        }
    }
}
