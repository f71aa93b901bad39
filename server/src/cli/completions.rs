//! `realtime-server completions`: completion scripts for shells.

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  realtime-server completions bash > /etc/bash_completion.d/realtime-server
  realtime-server completions zsh > /usr/local/share/zsh/site-functions/_realtime-server
  realtime-server completions fish > ~/.config/fish/completions/realtime-server.fish";

/// The arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell to print a script for
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// If stdout is closed.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut command = super::Cli::command();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, super::NAME, &mut script);
    super::print_stdout(String::from_utf8_lossy(&script)).context("cannot print the script")
}
