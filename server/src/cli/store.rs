//! `realtime-server store`: maintains what the server remembers.

mod rekey;

use std::process::ExitCode;

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Encrypt the secrets of all tenants with the current key
    Rekey(rekey::Args),
}

/// Does it.
///
/// # Errors
/// The reason why it has failed.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Rekey(args) => rekey::run(&args).await,
    }
}
