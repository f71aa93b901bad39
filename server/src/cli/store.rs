//! `realtime-server store`: maintains what the server remembers.

mod rekey;

use std::process::ExitCode;

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum StoreCommand {
    /// Encrypt the secrets of all tenants with the current key
    Rekey(rekey::Args),
}

/// Does it.
///
/// # Errors
/// The reason why it has failed.
pub async fn run(command: StoreCommand) -> anyhow::Result<ExitCode> {
    match command {
        StoreCommand::Rekey(args) => rekey::run(&args).await,
    }
}
