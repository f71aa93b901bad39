//! `realtime-server config`: checks settings, prints those in effect, and documents all keys.
//!
//! Problems have the same texts as at the start and on a reload. The files that settings name, such as
//! certificates, are loaded as `serve` loads them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use settings::{EffectiveKey, LoadError, Loaded, Sources};

use crate::node::{NoVerificationKey, memory_remarks, queue_memory, unusable_keys};
use crate::resources::Resources;

const EXAMPLES: &str = "\
Examples:
  realtime-server config check                     what `serve` would read here, variables included
  realtime-server config check new/config.toml     one file (and its config.d) by itself, before it is copied
  realtime-server config show --origin             every key, its value, and the file and line that sets it
  realtime-server config show | grep limits        the limits of clients
  realtime-server config reference                 every key and variable explained, as Markdown
  realtime-server config schema > schema.json      for editors: begin your file with `#:schema ./schema.json`";

/// What to do with the settings.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Report all problems and the files that were read; exit code 0 if there are no problems. A missing secret is a
    /// warning and no problem, because checks usually run where there are no secrets
    Check {
        /// Files to check one by one, without any variables; none: what `serve` would read
        #[arg(value_name = "FILE", conflicts_with_all = ["config", "set"])]
        files: Vec<PathBuf>,

        #[command(flatten)]
        config: super::Config,
    },
    /// Print every key with its effective value; secrets are masked
    Show {
        /// Add the origin of each value: a file and its line, a variable, a flag, or the default
        #[arg(long)]
        origin: bool,

        #[command(flatten)]
        config: super::Config,
    },
    /// Print the JSON Schema of a settings file, for editors
    Schema,
    /// Print the reference of all keys and variables, as Markdown
    Reference,
}

/// Runs the subcommand.
///
/// # Errors
/// If the settings are invalid, or stdout is closed.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let output = match args.command {
        Command::Check { files, config } if files.is_empty() => return check(&config),
        Command::Check { files, .. } => return check_files(&files),
        Command::Show { origin, config } => {
            let line = if origin { line_with_origin } else { line };
            config.sources().load()?.effective_keys().iter().map(line).collect()
        }
        Command::Schema => settings::schema(),
        Command::Reference => settings::reference(),
    };
    super::print_stdout(output).context("cannot print it")?;
    Ok(ExitCode::SUCCESS)
}

/// Valid settings, and the files they name, loaded.
struct Checked {
    loaded: Loaded,
    resources: Resources,
}

impl Checked {
    /// Loads everything that `serve` loads.
    fn of(sources: &Sources) -> Result<Self, LoadError> {
        let loaded = sources.load()?;
        let resources = Resources::of(&loaded)?;
        Ok(Self { loaded, resources })
    }

    /// Notes and warnings about settings that are valid.
    fn notes(&self) -> Vec<String> {
        let notes = self.loaded.notes.iter().map(|note| note.text.clone());
        let notes = notes.chain(self.resources.warnings.iter().cloned());
        let settings = &self.loaded.settings;
        let memory = memory_remarks(settings, queue_memory(settings));
        let notes = notes.chain(memory.into_iter().map(|note| note.text));
        let notes = notes.chain(super::open_files::remark(&settings.server));
        notes.chain(unusable_keys(settings)).chain(self.loaded.overridden()).collect()
    }

    /// The files that were read, one per line.
    fn files(&self) -> String {
        let named = self.resources.files.iter().map(|(key, file)| format!("{} ({key})", file.display()));
        let files = self.loaded.files().into_iter().map(|file| file.display().to_string()).chain(named);
        let lines: String = files.map(|file| format!("    read {file}\n")).collect();
        if lines.is_empty() { "    read no file\n".into() } else { lines }
    }
}

/// Checks the settings that `serve` would read.
fn check(config: &super::Config) -> anyhow::Result<ExitCode> {
    let checked = Checked::of(&config.sources());
    if let Ok(checked) = &checked {
        checked.notes().iter().for_each(|note| super::print_stderr(format_args!("note: {note}")));
        if let Some(missing) = NoVerificationKey::find(&checked.loaded.settings) {
            super::print_stderr(format_args!(
                "warning: `serve` would refuse to start with these settings: {missing}. Set one, such as by JWT_SECRET"
            ));
        }
    }
    report([("The settings".to_owned(), checked)])
}

/// Checks each file by itself.
fn check_files(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let check = |file: &PathBuf| {
        let (name, checked) = (file.display().to_string(), Checked::of(&Sources::new(Some(file), [])));
        if let Ok(checked) = &checked {
            checked.notes().iter().for_each(|note| super::print_stderr(format_args!("note: {name}: {note}")));
            if NoVerificationKey::find(&checked.loaded.settings).is_some() {
                super::print_stderr(format_args!(
                    "note: {name} holds no secret to verify tokens with; a variable may"
                ));
            }
        }
        (name, checked)
    };
    report(files.iter().map(check))
}

fn report(
    checked: impl IntoIterator<Item = (String, Result<Checked, LoadError>)>,
) -> anyhow::Result<ExitCode> {
    let mut problems = 0;
    for (name, checked) in checked {
        match checked {
            Ok(checked) => super::print_stdout(format_args!("{name}: nothing is wrong\n{}", checked.files()))
                .context("cannot print it")?,
            Err(error) => {
                problems += error.count();
                super::print_stderr(&error);
            }
        }
    }
    if problems == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    super::print_stderr(format_args!("{problems} problem{}", if problems == 1 { "" } else { "s" }));
    Ok(ExitCode::FAILURE)
}

/// A line of `config show`.
fn line(key: &EffectiveKey) -> String {
    format!("{} = {}\n", key.key, key.value)
}

/// A line of `config show --origin`.
fn line_with_origin(key: &EffectiveKey) -> String {
    format!("{} = {}  # {}\n", key.key, key.value, key.origin)
}
