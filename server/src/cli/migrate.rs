//! `realtime-server migrate`: brings the tables of the store up to what this version needs, once and for all nodes. A server does
//! that itself when it starts, unless `store.migrate` is `never`.
//!
//! With `--tenant` it prepares the databases of tenants instead, which a server does when the first client of the tenant joins.
//!
//! A database that cannot be reached is waited for, since it is often started together with this program.

#[cfg(feature = "postgres")]
mod tenants;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use settings::Settings;
use tokio::time::sleep;
use tracing::info;

use crate::app::{OpenedStore, StoreTables};
use crate::store::{Migrate, Migration, MigrationStatus, StoreError};
use crate::telemetry::logs;

const EXAMPLES: &str = "\
Examples:
  DATABASE_URL=postgres://… realtime-server migrate            applies what is missing, and says what it was
  DATABASE_URL=postgres://… realtime-server migrate --dry-run  only says what is missing
  DATABASE_URL=postgres://… realtime-server migrate --print    prints the SQL of what is missing, to be run by hand

Without a database the tables are in the embedded file, in server.data_dir.

The database of a tenant, for private rooms, broadcasts from SQL and changes of tables, gets the schema `realtime`. A server makes it
when the first client joins; its role needs CREATE on the database for that. With another role, or before the first client:
  realtime-server migrate --tenant default                     the tenant of clients that name none
  realtime-server migrate --tenant acme --tenant globex        these tenants, of the configuration or of the store
  realtime-server migrate --tenant acme --status               only says what is missing
  realtime-server migrate --tenant acme --print > acme.sql     the SQL, for the owner of the database to run
  realtime-server migrate --tenant acme --auth-helpers         also auth.uid() and the like, which policies for Supabase call";

/// How long a database that cannot be reached is waited for, unless `--wait` says something else.
const WAIT: &str = "30s";

/// The wait before it is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The arguments of `migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Apply nothing, and say what is missing
    #[arg(long, visible_alias = "status")]
    dry_run: bool,

    /// Apply nothing, and print the SQL of what is missing
    #[arg(long, conflicts_with = "dry_run")]
    print: bool,

    /// Prepare the database of this tenant instead: its schema `realtime` and the partitions of the next days. May be repeated
    #[arg(long = "tenant", value_name = "ID")]
    tenants: Vec<String>,

    /// Make the functions auth.uid(), auth.role() and the like too, if the database does not have them
    #[arg(long, requires = "tenants")]
    auth_helpers: bool,

    /// How long a database that cannot be reached is waited for
    #[arg(long, value_name = "DURATION", default_value = WAIT, value_parser = parse_duration)]
    wait: Duration,

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
        let wait = parse_duration(WAIT).expect("it is a duration");
        Self { dry_run: false, print: false, tenants: Vec::new(), auth_helpers: false, wait, config }
    }
}

fn parse_duration(text: &str) -> Result<Duration, humantime_serde::re::humantime::DurationError> {
    humantime_serde::re::humantime::parse_duration(text)
}

/// Migrates, or says what would be done.
///
/// # Errors
/// When the settings are invalid, the store cannot be reached, or a step cannot be applied.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let settings = args.config.sources().load()?.settings;
    let Settings { telemetry, regions, .. } = &settings;
    let (_levels, _until_written) = logs::start(telemetry, regions);
    let deadline = Instant::now() + args.wait;
    if !args.tenants.is_empty() {
        return tenants(args, &settings, deadline).await;
    }
    let tables = OpenedStore::tables(&settings).await?;
    let mut states = Vec::new();
    for tables in tables.all() {
        states.push(status(tables, deadline).await?);
    }
    let newest = states.iter().find_map(|status| status.unknown.last());
    if let Some(newest) = newest {
        // As a server does, so that a roll back does not wait for ever for this program.
        ensure!(!args.print, "{}", newer(*newest));
        return super::print_stdout(newer(*newest) + "\n").context("cannot print it");
    }
    let text = if args.print {
        let scripts = tables.all().zip(&states).map(|(tables, status)| tables.script(&status.pending));
        scripts.collect()
    } else if args.dry_run {
        described(states.iter().flat_map(|status| &status.pending), applied_before(&states), "to apply")
    } else {
        let applied = migrate(&tables, &states).await?;
        described(&applied, applied_before(&states), "applied")
    };
    super::print_stdout(text).context("cannot print it")
}

#[cfg(feature = "postgres")]
async fn tenants(args: &Args, settings: &Settings, deadline: Instant) -> anyhow::Result<()> {
    tenants::run(args, settings, deadline).await
}

#[cfg(not(feature = "postgres"))]
#[expect(clippy::unused_async, reason = "with the databases of tenants it awaits")]
async fn tenants(_args: &Args, _settings: &Settings, _deadline: Instant) -> anyhow::Result<()> {
    anyhow::bail!(crate::tenants::WITHOUT_DATABASES)
}

fn newer(version: i64) -> String {
    format!("the tables are of a newer version than this program knows ({version}), and are left as they are")
}

/// How far the tables are. Waits for a database that cannot be reached.
async fn status(tables: &dyn Migrate, deadline: Instant) -> Result<MigrationStatus, StoreError> {
    let mut is_reported = false;
    loop {
        match tables.migration_status().await {
            Err(error @ StoreError::Unavailable(_)) if Instant::now() < deadline => {
                if !std::mem::replace(&mut is_reported, true) {
                    info!("Waiting for the database: {error}");
                }
                sleep(RETRY).await;
            }
            status => return status,
        }
    }
}

/// Applies what is pending, and returns it.
async fn migrate(tables: &StoreTables, states: &[MigrationStatus]) -> Result<Vec<Migration>, StoreError> {
    let mut applied = Vec::new();
    for (tables, status) in tables.all().zip(states) {
        // What is complete needs no lock, and no permission to change it.
        if !status.pending.is_empty() {
            applied.extend(tables.migrate().await?);
        }
    }
    Ok(applied)
}

fn applied_before(states: &[MigrationStatus]) -> usize {
    states.iter().map(|status| status.applied.len()).sum()
}

fn described<'a>(steps: impl IntoIterator<Item = &'a Migration>, before: usize, word: &str) -> String {
    let (mut text, mut count) = (String::new(), 0);
    for step in steps {
        let _written = writeln!(text, "{} {}", step.version, step.name.replace('_', " "));
        count += 1;
    }
    let _written = writeln!(text, "{count} {word}, {before} were applied before");
    text
}
