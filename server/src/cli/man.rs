//! `realtime-server man`: the manual pages, one for the program and one for each command.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

const EXAMPLES: &str = "\
Examples:
  realtime-server man | man -l -                         show the page of the program
  realtime-server man /usr/local/share/man/man1          install all pages: man realtime-server-serve";

/// The arguments of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory to write all pages to, created if missing; without it the page of the program is printed
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Writes the pages.
///
/// # Errors
/// If the directory cannot be written, or stdout is closed.
pub fn run(args: Args) -> anyhow::Result<()> {
    let command = super::Cli::command();
    if let Some(directory) = args.directory {
        let cannot = || format!("cannot write the manual pages into {}", directory.display());
        fs::create_dir_all(&directory).with_context(cannot)?;
        return clap_mangen::generate_to(command, &directory).with_context(cannot);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).context("cannot generate the page")?;
    super::print_stdout(String::from_utf8_lossy(&page)).context("cannot print the page")
}
