//! `realtime-server migrate`: brings the tables of the store up to what this version needs, once and for all nodes. A server does
//! that itself when it starts, unless `store.migrate` is `never`.

use std::fmt::Write as _;

use anyhow::{Context, ensure};

use crate::app::OpenedStore;
use crate::store::Migration;

const EXAMPLES: &str = "\
Examples:
  DATABASE_URL=postgres://… realtime-server migrate            applies what is missing, and says what it was
  DATABASE_URL=postgres://… realtime-server migrate --dry-run  only says what is missing
  DATABASE_URL=postgres://… realtime-server migrate --print    prints the SQL of what is missing, to be run by hand

Without a database the tables are in the embedded file, in server.data_dir.";

/// The arguments of `migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Apply nothing, and say what is missing
    #[arg(long, alias = "status")]
    dry_run: bool,

    /// Apply nothing, and print the SQL of what is missing
    #[arg(long, conflicts_with = "dry_run")]
    print: bool,

    #[command(flatten)]
    config: super::Config,
}

/// The arguments of `pnpm`.
#[derive(Debug, clap::Args)]
pub struct PnpmArgs {
    /// The script of the Realtime SDK's image
    #[arg(value_parser = ["db:migrate"])]
    script: String,

    #[command(flatten)]
    config: super::Config,
}

impl From<PnpmArgs> for Args {
    fn from(PnpmArgs { config, .. }: PnpmArgs) -> Self {
        Self { dry_run: false, print: false, config }
    }
}

/// Migrates, or says what would be done.
///
/// # Errors
/// When the settings are invalid, the store cannot be reached, or a step cannot be applied.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let settings = args.config.sources().load()?.settings;
    let tables = OpenedStore::tables(&settings).await?;
    let status = tables.migration_status().await?;
    ensure!(
        status.unknown.is_empty(),
        "the tables are of a newer version than this program knows ({}), and are left as they are",
        status.unknown.last().copied().unwrap_or_default()
    );
    let text = if args.print {
        tables.script(&status.pending)
    } else if args.dry_run {
        described(&status.pending, status.applied.len(), "to apply")
    } else {
        described(&tables.migrate().await?, status.applied.len(), "applied")
    };
    super::print_stdout(text).context("cannot print it")
}

fn described(steps: &[Migration], before: usize, word: &str) -> String {
    let mut text = String::new();
    for step in steps {
        let _written = writeln!(text, "{} {}", step.version, step.name.replace('_', " "));
    }
    let _written = writeln!(text, "{} {word}, {before} were applied before", steps.len());
    text
}
