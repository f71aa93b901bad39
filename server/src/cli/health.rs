//! `realtime-server health`: checks whether a running server is up, for containers and supervisors.
//!
//! A running server records its address ([`running`](super::running)), because the settings on disk may have changed
//! since it read them.

mod request;
mod unverified;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use http::Uri;
use settings::Settings;

use self::request::status;
use super::running::Running;
use crate::edge::networks::Networks;

const EXAMPLES: &str = "\
Examples:
  realtime-server health                                    the server on this machine
  realtime-server health --url http://10.0.0.7:8080/health  another server; https:// for TLS, certificate not verified
  HEALTHCHECK CMD [\"realtime-server\", \"health\"]             in a Dockerfile

The exit code is 0 if the server responds with a 2xx status in time, else 1.";

/// The usual data directories, searched when the settings cannot be read.
const USUAL_DIRECTORIES: [&str; 2] = ["data", "/var/lib/realtime"];

/// The arguments of `health`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// URL to request; without it, /health at the address in the settings, and at the address that a running
    /// server has recorded
    #[arg(long)]
    url: Option<Uri>,

    /// How long to wait for the response
    #[arg(long, value_name = "DURATION", value_parser = settings::parse_duration, default_value = "3s")]
    timeout: Duration,

    #[command(flatten)]
    config: super::Config,
}

/// A URL to request, and the proxies from which its server expects a PROXY header.
struct Target {
    url: Uri,
    proxies: Networks,
}

/// Requests the status and prints the result in one line.
///
/// # Errors
/// If there is no URL to request, because the settings are wrong.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let targets = match args.url {
        Some(url) => vec![Target { url, proxies: Networks::default() }],
        None => targets(&args.config)?,
    };
    // The timeout is for all targets together.
    let time_each = args.timeout / u32::try_from(targets.len().max(1)).unwrap_or(u32::MAX);
    let mut failure = None;
    for Target { url, proxies } in &targets {
        let problem = match status(url, proxies, time_each) {
            Ok(status) if (200..300).contains(&status) => {
                // The exit code is the result; a supervisor may close stdout.
                let _closed = super::print_stdout(format_args!("{url} is up ({status})\n"));
                return Ok(ExitCode::SUCCESS);
            }
            Ok(status) => format!("{url} is not healthy ({status})"),
            Err(error) => format!("{url} is down: {error:#}"),
        };
        failure.get_or_insert(problem);
    }
    super::print_stderr(failure.unwrap_or_default());
    Ok(ExitCode::FAILURE)
}

/// The targets for these settings: the address in the settings, and the one that a running server has recorded.
fn targets(config: &super::Config) -> anyhow::Result<Vec<Target>> {
    let loaded = config.load();
    let running = match &loaded {
        Ok(settings) => Running::find(&settings.server.data_dir),
        Err(_) => USUAL_DIRECTORIES.iter().find_map(|directory| Running::find(directory.as_ref())),
    };
    let mut targets = Vec::new();
    match (loaded, &running) {
        (Ok(settings), running) => {
            ensure!(
                settings.server.port != 0 || running.is_some(),
                "the settings let the system choose the port (0), and no running server has recorded its address: use --url"
            );
            if settings.server.port != 0 {
                targets.push(by_settings(&settings));
            }
        }
        (Err(problems), None) => return Err(problems.into()),
        // The server has rejected them as well, and keeps its old ones.
        (Err(problems), Some(_)) => {
            super::print_stderr(format_args!("the settings cannot be used: {problems}"))
        }
    }
    // Compared as a whole: a change of `proxy_protocol_from` may wait for a restart, as a change of the address does.
    targets.extend(running.filter(|running| !targets.contains(running)));
    targets.iter().map(target).collect()
}

/// What a server with these settings would record.
fn by_settings(settings: &Settings) -> Running {
    Running::new(settings, SocketAddr::new(settings.server.host, settings.server.port))
}

fn target(running: &Running) -> anyhow::Result<Target> {
    let Running { address, tls, proxy_protocol_from } = running;
    let scheme = if *tls { "https" } else { "http" };
    let url = format!("{scheme}://{address}/health").parse().context("the settings give no valid URL")?;
    Ok(Target { url, proxies: Networks::parse(proxy_protocol_from)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_this_machine() {
        let url = |settings: &Settings| target(&by_settings(settings)).expect("a target").url;
        let mut settings = Settings::default();
        assert_eq!(url(&settings), "http://127.0.0.1:8080/health");
        settings.server.host = "::".parse().expect("an address");
        settings.server.port = 81;
        assert_eq!(url(&settings), "http://[::1]:81/health");
        settings.server.host = "10.0.0.7".parse().expect("an address");
        settings.server.tls.cert_file = Some("cert.pem".into());
        assert_eq!(url(&settings), "https://10.0.0.7:81/health");
    }
}
