//! `realtime-server store rekey`: encrypts the secrets of all tenants with the current key.
//!
//! A database is worked on while servers run. The embedded store is not: its server is asked to be stopped, because the key
//! file changes under it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use secrecy::SecretString;
use settings::file_access::{self, SizeLimit};

use crate::app::StoreToRekey;
use crate::cli::data_dir::{DataDir, Lock, LockError};
use crate::tenants::{Rekey, RekeyMode, RekeyReport};

const EXAMPLES: &str = "\
Examples:
  realtime-server store rekey --old-key-file old-key            from the key in the file to that of the settings
  realtime-server store rekey --old-key-file - < old-key        the same, from stdin
  DB_ENC_KEY=… DB_ENC_KEY_GCM=… realtime-server store rekey     from the legacy form to AES-256-GCM
  realtime-server store rekey --dry-run                         only counts

The new key is store.encryption_key (DB_ENC_KEY_GCM). Secrets may be under it, under store.previous_encryption_key,
under the key of --old-key-file, or in the legacy form under store.legacy_encryption_key (DB_ENC_KEY). With the
embedded store and no key in the settings, a new key is generated and replaces the one in server.data_dir; its server
must be stopped. Interrupted, the same command goes on. The exit code is 1 if a secret cannot be decrypted; such
secrets stay as they are.";

/// Bytes of a key from stdin, at most.
const STDIN_BYTES_MAX: u64 = 4096;

/// The time between two lines about the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Names of tenants that are printed; all may be concerned.
const UNREADABLE_SHOWN: usize = 20;

/// The arguments of `store rekey`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// File with the key of 32 bytes that is replaced; - reads stdin
    #[arg(long, value_name = "FILE")]
    old_key_file: Option<PathBuf>,

    /// Write nothing, and count secrets by their form and key
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    config: crate::cli::Config,
}

/// Rekeys, or counts.
///
/// # Errors
/// When the settings or a key are invalid, a server uses the embedded store, or the store fails.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?;
    let mode = if args.dry_run { RekeyMode::Count } else { RekeyMode::Write };
    let old = args.old_key_file.as_deref().map(read_key).transpose()?;
    let _lock = if settings.store.is_shared() { None } else { Some(lock(&DataDir::of(&settings))?) };
    let opened = StoreToRekey::open(&settings, Vec::from_iter(old), mode).await?;
    let store = &opened.store;
    let rekey = Rekey { store: &*store.tenants, keys: &store.keys, timeout: settings.store.timeout, mode };
    let mut last = Instant::now();
    let report = rekey.run(|visited, known| {
        if last.elapsed() >= PROGRESS_INTERVAL {
            last = Instant::now();
            crate::cli::print_stderr(format_args!("{visited} of {known} tenants"));
        }
    });
    let report = report.await.context("not all tenants are done, run the same command again")?;
    if mode == RekeyMode::Write {
        opened
            .finish()
            .context("the new key cannot take the place of the old one, run the same command again")?;
    }
    print_unreadable(&report);
    crate::cli::print_stdout(described(&report, mode)).context("cannot print the result")?;
    Ok(if report.unreadable.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The key in a file, without the end of its line.
fn read_key(file: &Path) -> anyhow::Result<SecretString> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().take(STDIN_BYTES_MAX).read_to_string(&mut text).map(|_bytes| text)
    } else {
        file_access::read_text(file, SizeLimit::SECRET)
    };
    let text = text.with_context(|| format!("cannot read a key from {}", file.display()))?;
    let key = text.strip_suffix('\n').unwrap_or(&text);
    Ok(key.strip_suffix('\r').unwrap_or(key).into())
}

fn lock(folder: &DataDir) -> anyhow::Result<Lock> {
    folder.lock().or_else(|error| match error {
        LockError::Held { .. } => {
            bail!("a server uses the store in {folder}: stop it first, and start it again afterwards")
        }
        LockError::Impossible { .. } => Err(error.into()),
    })
}

fn print_unreadable(report: &RekeyReport) {
    for (tenant, secret, error) in report.unreadable.iter().take(UNREADABLE_SHOWN) {
        crate::cli::print_stderr(format_args!("the tenant {tenant:?} keeps its {secret}: {error}"));
    }
    if let Some(more) = report.unreadable.len().checked_sub(UNREADABLE_SHOWN).filter(|more| *more > 0) {
        crate::cli::print_stderr(format_args!("and {more} more secrets cannot be decrypted"));
    }
}

fn described(report: &RekeyReport, mode: RekeyMode) -> String {
    let RekeyReport { tenants, current, previous, legacy, changed, unreadable } = report;
    let word = if mode == RekeyMode::Write { "re-encrypted" } else { "to re-encrypt" };
    format!(
        "{tenants} tenants\n\
         {current} secrets under the current key\n\
         {previous} secrets under a previous key\n\
         {legacy} secrets in the legacy form\n\
         {} secrets that cannot be decrypted\n\
         {changed} {word}\n",
        unreadable.len()
    )
}
