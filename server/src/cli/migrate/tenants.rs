//! `realtime-server migrate --tenant`: prepares the databases of tenants.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::Context;
use settings::Settings;
use tokio::time::sleep;
use tracing::info;

use super::{Args, RETRY};
use crate::app::OpenedStore;
use crate::cli::print_stdout;
use crate::tenants::database::schema::{self, NEWEST_VERSION, Prepared, SchemaError, SchemaState};
use crate::tenants::database::{DatabaseFailure, Missing, PreparingConnection};
use crate::tenants::{DatabaseSpec, specified_database};

/// The publication that the preparation makes for the changes of tables, once.
const CHANGES_PUBLICATION: &str = "supabase_realtime";

/// Prepares the database of each tenant, or says what would be done.
///
/// # Errors
/// At the first tenant that has no database, or whose database cannot be prepared.
pub(super) async fn run(args: &Args, settings: &Settings, deadline: Instant) -> anyhow::Result<()> {
    let store = store(args, settings).await?;
    for id in &args.tenants {
        let store = store.as_ref().map(|store| (&*store.tenants, &store.keys));
        let prepared = async {
            let spec = specified_database(settings, store, id).await?;
            prepare(args, id, &spec, deadline).await
        };
        let text = prepared.await.map_err(said_once).with_context(|| format!("the tenant `{id}`"))?;
        print_stdout(text).context("cannot print it")?;
    }
    Ok(())
}

/// The errors of the client library contain the text of their source.
fn said_once(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<SchemaError>() {
        Ok(error) => anyhow::anyhow!(error.with_source()),
        Err(error) => error,
    }
}

/// The store, if it may have a tenant that the configuration does not have. No embedded store is made for that.
async fn store(args: &Args, settings: &Settings) -> anyhow::Result<Option<OpenedStore>> {
    let configured = settings.every_tenant();
    let is_configured = |id: &String| configured.keys().any(|one| one.eq_ignore_ascii_case(id));
    let exists = settings.store.is_shared() || OpenedStore::has_files(settings);
    if args.tenants.iter().all(is_configured) || !exists {
        return Ok(None);
    }
    OpenedStore::open(settings).await.map(Some)
}

async fn prepare(args: &Args, id: &str, spec: &DatabaseSpec, deadline: Instant) -> anyhow::Result<String> {
    let mut migration = connect(spec, deadline).await.map_err(|failure| anyhow::anyhow!(failure.reason))?;
    let text = if args.print {
        printed(args, &migration.missing().await?)
    } else {
        let done = if args.dry_run {
            let missing = migration.missing().await?;
            let text = described(id, missing.schema.as_ref(), missing.partitions.len(), "to apply");
            text + &missing.schema.as_ref().map(|schema| lacking(id, schema)).unwrap_or_default()
        } else {
            apply(args, id, &mut migration).await?
        };
        let besides = migration.lacks_besides().await?;
        done + &besides.iter().map(|sentence| format!("{id}: {sentence}\n")).collect::<String>()
    };
    migration.close().await;
    Ok(text)
}

/// Makes what is missing, and says what it was.
async fn apply(args: &Args, id: &str, migration: &mut PreparingConnection) -> anyhow::Result<String> {
    let existed = migration.missing().await?.schema.is_some();
    let (prepared, made) = migration.apply().await?;
    let mut text = described(id, existed.then_some(&prepared), made.len(), "applied");
    if args.auth_helpers {
        migration.make_auth_helpers().await?;
        let _written = writeln!(text, "{id}: the functions of the schema auth are there");
    }
    Ok(text + &lacking(id, &prepared))
}

/// Connects. Waits for a database that cannot be reached, unless that does not change by itself.
async fn connect(spec: &DatabaseSpec, deadline: Instant) -> Result<PreparingConnection, DatabaseFailure> {
    let mut is_reported = false;
    loop {
        match PreparingConnection::connect(spec).await {
            Err(failure) if failure.is_away() && !failure.is_lasting() && Instant::now() < deadline => {
                if !std::mem::replace(&mut is_reported, true) {
                    info!("Waiting for the database: {}", failure.reason);
                }
                sleep(RETRY).await;
            }
            result => return result,
        }
    }
}

fn printed(args: &Args, missing: &Missing) -> String {
    let helpers = if args.auth_helpers { schema::auth_helpers() } else { "" };
    missing.script() + helpers
}

/// What is, or was, to be done: the schema if there was none, and partitions.
fn described(id: &str, schema: Option<&Prepared>, partitions: usize, word: &str) -> String {
    let mut text = String::new();
    let _written = match schema {
        Some(schema) if schema.state == SchemaState::UpstreamNewer => writeln!(
            text,
            "{id}: the schema realtime is newer than this program knows ({NEWEST_VERSION}), and is left as it is"
        ),
        Some(schema) => {
            writeln!(text, "{id}: 0 versions {word}, {} were applied before", schema.versions.len())
        }
        None => writeln!(text, "{id}: {} versions {word}, 0 were applied before", schema::versions_made()),
    };
    let word = if word == "applied" { "made" } else { "to make" };
    let _written = writeln!(text, "{id}: {partitions} partitions {word}");
    text
}

/// What a database lacks that this program does not make there.
fn lacking(id: &str, prepared: &Prepared) -> String {
    let Prepared { missing_objects, missing_roles, missing_publications, .. } = prepared;
    let kinds =
        [("objects", missing_objects), ("roles", missing_roles), ("publications", missing_publications)];
    let lacking = kinds.into_iter().filter(|(_, missing)| !missing.is_empty());
    let lacking = lacking.map(|(what, missing)| format!("{id}: lacks {what}: {}\n", missing.join(", ")));
    let is_unpublished = missing_publications.iter().any(|name| name == CHANGES_PUBLICATION);
    let statement = is_unpublished
        .then(|| format!("{id}: changes of tables need `CREATE PUBLICATION {CHANGES_PUBLICATION}`\n"));
    lacking.chain(statement).collect()
}
