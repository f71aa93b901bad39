//! `realtime-server health`: asks a running server whether it is up, for containers and supervisors.
//!
//! A server that runs says itself where it is ([`running`](super::running)), because the settings on disk may have
//! changed since it read them.

mod question;
mod unverified;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use http::Uri;
use settings::Settings;

use self::question::ask;
use super::running::Running;
use crate::edge::proxy_protocol::TrustedProxies;

const EXAMPLES: &str = "\
Examples:
  realtime-server health                                    the server on this machine, by its settings
  realtime-server health --url http://10.0.0.7:8080/health  another one; https:// for TLS, unverified
  HEALTHCHECK CMD [\"realtime-server\", \"health\"]             in a Dockerfile

The exit code is 0 if it answers with a 2xx status in time, else 1.";

/// Where servers usually keep their data; looked through when the settings that would say so cannot be read.
const USUAL_FOLDERS: [&str; 2] = ["data", "/var/lib/realtime"];

/// Whom to ask, and how long to wait.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to ask; without it /health where the settings say, or where a server that has read others says
    /// it is
    #[arg(long)]
    url: Option<Uri>,

    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", value_parser = settings::parse_duration, default_value = "3s")]
    timeout: Duration,

    #[command(flatten)]
    config: super::Config,
}

/// A door to knock at.
struct Place {
    url: Uri,
    proxies: TrustedProxies,
}

/// Asks, and says the answer in one line.
///
/// # Errors
/// If there is nobody to ask: the settings or the URL are wrong.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let places = match args.url {
        Some(url) => vec![Place { url, proxies: TrustedProxies::default() }],
        None => places(&args.config)?,
    };
    // All of them together have the time of one.
    let time_each = args.timeout / u32::try_from(places.len().max(1)).unwrap_or(u32::MAX);
    let mut failure = None;
    for Place { url, proxies } in &places {
        let why = match ask(url, proxies, time_each) {
            Ok(status) if (200..300).contains(&status) => {
                // The exit code is the answer; a supervisor may read nothing else.
                let _nobody_reads = super::answer(format_args!("{url} is up ({status})\n"));
                return Ok(ExitCode::SUCCESS);
            }
            Ok(status) => format!("{url} is not well ({status})"),
            Err(error) => format!("{url} is down: {error:#}"),
        };
        failure.get_or_insert(why);
    }
    super::remark(failure.unwrap_or_default());
    Ok(ExitCode::FAILURE)
}

/// Where to ask for a server of these settings: where they say, and where it says itself.
fn places(config: &super::Config) -> anyhow::Result<Vec<Place>> {
    let loaded = config.load();
    let running = match &loaded {
        Ok(settings) => Running::find(&settings.server.data_dir),
        Err(_) => USUAL_FOLDERS.iter().find_map(|folder| Running::find(folder.as_ref())),
    };
    let mut places = Vec::new();
    match (loaded, &running) {
        (Ok(settings), running) => {
            ensure!(
                settings.server.port != 0 || running.is_some(),
                "the settings let the system choose the port (0), and no server says where it is: use --url"
            );
            if settings.server.port != 0 {
                places.push(by_settings(&settings));
            }
        }
        (Err(problems), None) => return Err(problems.into()),
        // The server has refused them too, and goes on with those it has.
        (Err(problems), Some(_)) => super::remark(format_args!("the settings cannot be used: {problems}")),
    }
    // Not only the address counts: whom a PROXY protocol header is asked of may wait for a restart as well.
    places.extend(running.filter(|running| !places.contains(running)));
    places.iter().map(place).collect()
}

/// Where a server with these settings answers, seen from this machine.
fn by_settings(settings: &Settings) -> Running {
    Running::new(settings, SocketAddr::new(settings.server.host, settings.server.port))
}

fn place(running: &Running) -> anyhow::Result<Place> {
    let Running { address, tls, proxy_protocol_from } = running;
    let scheme = if *tls { "https" } else { "http" };
    let url = format!("{scheme}://{address}/health").parse().context("the settings make no URL")?;
    Ok(Place { url, proxies: TrustedProxies::parse(proxy_protocol_from)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_this_machine() {
        let url = |settings: &Settings| place(&by_settings(settings)).expect("a place").url;
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
