//! `realtime-server man`: the manual pages, one for the program and one for each command.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

const EXAMPLES: &str = "\
Examples:
  realtime-server man | man -l -                         read the page of the program
  realtime-server man /usr/local/share/man/man1          install all pages: man realtime-server-serve";

/// Where to.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder to write all pages into, which is made if it is missing; none: print the page of the program
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Writes the pages.
///
/// # Errors
/// If the folder cannot be written, or nobody reads the page.
pub fn run(args: Args) -> anyhow::Result<()> {
    let command = super::Cli::command();
    if let Some(folder) = args.folder {
        let cannot = || format!("cannot write the manual pages into {}", folder.display());
        fs::create_dir_all(&folder).with_context(cannot)?;
        return clap_mangen::generate_to(command, &folder).with_context(cannot);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).context("cannot make the page")?;
    super::answer(String::from_utf8_lossy(&page)).context("cannot print the page")
}
