//! The commands of `realtime-server`, one file each.
//!
//! Results go to stdout, explanations and errors to stderr: a script reads the first, a person reads both.

pub mod completions;
pub mod config;
mod data_dir;
pub mod health;
mod http_client;
mod input;
pub mod man;
pub mod migrate;
mod open_files;
pub mod probe;
mod running;
pub mod serve;
mod signals;
mod start_line;
pub mod store;
mod target;
pub mod tenants;
pub mod token;
pub mod version;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use settings::{LoadError, Settings, Sources};

pub use signals::Signals;

use crate::version::VERSION_AND_COMMIT;

/// The name of the program.
const NAME: &str = "realtime-server";

/// Rooms for applications: broadcast, presence and shared state over WebSocket and HTTP.
#[derive(Debug, Parser)]
#[command(name = NAME, version = VERSION_AND_COMMIT, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  realtime-server serve --dev                  for development: no secret, database or file needed
  JWT_SECRET=… realtime-server serve           for production; the secret signs your users' tokens
  realtime-server token --sub ann              a token to connect with, valid for an hour
  realtime-server health                       exit code 0 if the server is up
  realtime-server probe https://rt.example.com exit code 0 if clients can use it, and how long it takes
  realtime-server tenants list                 the tenants of a running server
  realtime-server config check                 all problems in the settings, with their lines

Settings come from ./config.toml (or --config FILE), then from the variables of Supabase Realtime and the
Realtime SDK (JWT_SECRET, PORT, …), then from REALTIME__SECTION__KEY, such as
REALTIME__LIMITS__MAX_CHANNELS_PER_CLIENT=500, then from --set SECTION.KEY=VALUE.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Args),
    /// Sign a token (JWT) to connect with
    Token(token::Args),
    /// Check whether a running server is up
    Health(health::Args),
    /// Join a room of a server as a client does, send a message and receive it
    Probe(Box<probe::Args>),
    /// Manage the tenants of a running server
    Tenants(Box<tenants::Args>),
    /// Check the settings, print them, or explain the available ones
    Config(config::Args),
    /// Bring the tables of the store up to what this version needs
    Migrate(migrate::Args),
    /// Maintain what the server remembers
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// As `migrate`, for the command line of the Realtime SDK's image: `pnpm db:migrate`
    #[command(hide = true)]
    Pnpm(migrate::PnpmArgs),
    /// Print the completion script of a shell
    Completions(completions::Args),
    /// Print or install the manual pages
    Man(man::Args),
    /// Print the version and the commit of this build
    Version,
}

/// Options whose value may be a secret, or contain one.
const SECRET_OPTIONS: [&str; 7] =
    ["--set", "--claims", "--token", "--jwt-secret", "--jwks", "--db-password", "--db-setting"];

impl Cli {
    /// The command of this process. An invalid one ends it with an explanation, without what may be a secret.
    pub fn parse() -> Self {
        Self::try_parse_from(arguments(std::env::args_os()))
            .unwrap_or_else(|error| without_secrets(error).exit())
    }

    /// Runs the command and returns the exit code, which is the result of commands such as `health`. `signals` are
    /// those that were registered for `serve`.
    ///
    /// # Errors
    /// The reason why the command has failed, as printed to the user.
    pub async fn run(self, signals: Option<Signals>) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(args) => serve::run(args, signals).await.map(|()| ExitCode::SUCCESS),
            Command::Token(args) => token::run(args).map(|()| ExitCode::SUCCESS),
            Command::Health(args) => health::run(args).await,
            Command::Probe(args) => probe::run(*args).await,
            Command::Tenants(args) => tenants::run(*args).await,
            Command::Config(args) => config::run(args),
            Command::Migrate(args) => migrate::run(&args).await.map(|()| ExitCode::SUCCESS),
            Command::Store(command) => store::run(command).await,
            Command::Pnpm(args) => migrate::run(&args.into()).await.map(|()| ExitCode::SUCCESS),
            Command::Completions(args) => completions::run(&args).map(|()| ExitCode::SUCCESS),
            Command::Man(args) => man::run(args).map(|()| ExitCode::SUCCESS),
            Command::Version => version::run().map(|()| ExitCode::SUCCESS),
        }
    }
}

/// The arguments of the program, its name first. Started as `pnpm`, a link in the image, it is the command of that name, so that
/// `docker exec … pnpm db:migrate` and `--entrypoint pnpm` work as well.
fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = given.collect();
    let is_pnpm = |name: &OsString| Path::new(name).file_name().is_some_and(|name| name == "pnpm");
    if arguments.first().is_some_and(is_pnpm) {
        arguments.insert(0, NAME.into());
        arguments[1] = "pnpm".into();
    }
    arguments
}

/// The error without what may be a secret: `--set auth.jwt_secret …` has the secret in place of an argument.
fn without_secrets(mut error: clap::Error) -> clap::Error {
    let text = |error: &clap::Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let argument = text(&error, ContextKind::InvalidArg);
    if SECRET_OPTIONS.iter().any(|option| argument.starts_with(option)) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("…".into()));
    }
    if error.kind() == ErrorKind::UnknownArgument && !argument.starts_with('-') {
        error.insert(ContextKind::InvalidArg, ContextValue::String("…".into()));
    }
    error
}

/// The options of every command that reads settings.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Config {
    /// File with settings; without it REALTIME_CONFIG names one, else ./config.toml or
    /// /etc/realtime/config.toml is read if it exists
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// One setting, overriding all files and variables; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = parse_setting)]
    pub set: Vec<(String, String)>,
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write SECTION.KEY=VALUE, such as server.port=8080")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Config {
    /// The file, the environment and the flags.
    pub fn sources(&self) -> Sources {
        let sources = Sources::new(self.config.as_deref(), settings::environment());
        let set = self.set.iter();
        set.fold(sources, |sources, (key, value)| sources.with_flag(&format!("--set {key}"), key, value))
    }

    /// The settings merged from all sources.
    ///
    /// # Errors
    /// Every problem found in them.
    pub fn load(&self) -> Result<Settings, LoadError> {
        self.sources().load().map(|loaded| loaded.settings)
    }
}

/// Writes to stdout. Not with `print!`, which panics when the reading end is closed (`| head -1`).
fn print_stdout(text: impl fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "{text}")?;
    stdout.flush()
}

/// Writes a line to stderr. Not with `eprintln!`, which panics when the reading end is closed.
pub fn print_stderr(line: impl fmt::Display) {
    let _closed = writeln!(io::stderr(), "{line}");
}

/// The address at which a server that listens on `host` is reached from its own machine: for an unspecified
/// address, loopback.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(all) if all.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(all) if all.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_error_does_not_repeat_what_may_be_a_secret() {
        let error = |arguments: &[&str]| {
            let error = Cli::try_parse_from([&[NAME], arguments].concat()).expect_err("an invalid command");
            without_secrets(error).to_string()
        };
        for arguments in [
            &["serve", "--set", "auth.jwt_secret:hunter2"][..],
            &["serve", "--set", "auth.jwt_secret", "hunter2"],
            &["serve", "hunter2"],
            &["token", "--claims", "hunter2"],
            &["tenants", "create", "acme", "--jwt-secret", "hunter2"],
            &["tenants", "create", "acme", "--jwt-secret=hunter2"],
            &["tenants", "create", "acme", "hunter2"],
            &["tenants", "create", "acme", "--db-setting", "hunter2"],
            &["tenants", "create", "acme", "--db-setting", "db_password=hunter2"],
            &["tenants", "create", "acme", "--db-password=hunter2"],
            &["tenants", "list", "--token=hunter2"],
        ] {
            let text = error(arguments);
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert!(error(&["serve", "--set", "hunter2"]).contains("write SECTION.KEY=VALUE"));
        assert!(
            error(&["token", "--expires-in", "never"]).contains("never"),
            "what is no secret is repeated"
        );
    }

    #[test]
    fn every_command_and_option_has_help() {
        let program = Cli::command();
        let mut commands: Vec<_> = program.get_subcommands().collect();
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands());
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for option in command.get_arguments() {
                assert!(
                    option.get_help().is_some(),
                    "{} {} has no help",
                    command.get_name(),
                    option.get_id()
                );
            }
        }
    }
}
