//! `realtime-server health`: checks whether a running server is up, for containers and supervisors.
//!
//! Over TLS the certificate is not verified: it is issued for a public name, and the request goes to a local address. Nothing
//! secret is sent, and the response is trusted no more than over plain TCP.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use http::{Request, Uri};
use tokio::time::timeout;

use super::http_client::{ServerConnection, Trust};
use super::target::{self, Target};
use crate::edge::networks::Networks;

const EXAMPLES: &str = "\
Examples:
  realtime-server health                                    the server on this machine
  realtime-server health --url http://10.0.0.7:8080/health  another server; https:// for TLS, certificate not verified
  HEALTHCHECK CMD [\"realtime-server\", \"health\"]             in a Dockerfile

The exit code is 0 if the server responds with a 2xx status in time, else 1.";

/// The arguments of `health`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// URL to request; without it, /health at the address in the settings (of the internal port, if there is one), and at
    /// the address that a running server has recorded
    #[arg(long)]
    url: Option<Uri>,

    /// How long to wait for the response
    #[arg(long, value_name = "DURATION", value_parser = settings::parse_duration, default_value = "3s")]
    timeout: Duration,

    #[command(flatten)]
    config: super::Config,
}

/// Requests the status and prints the result in one line.
///
/// # Errors
/// If there is no URL to request, because the settings are wrong.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let pages = match args.url {
        Some(url) => vec![(url, Networks::default())],
        None => pages(&args.config)?,
    };
    // The timeout is for all of them together.
    let time_each = args.timeout / u32::try_from(pages.len().max(1)).unwrap_or(u32::MAX);
    let mut failure = None;
    for (url, proxies) in &pages {
        let late = |_elapsed| Err(anyhow!("no response in time"));
        let problem = match timeout(time_each, status(url, proxies)).await.unwrap_or_else(late) {
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

/// The health page of each server that the settings lead to, and the proxies from which it expects a PROXY header.
fn pages(config: &super::Config) -> anyhow::Result<Vec<(Uri, Networks)>> {
    let targets = target::find(config)?.into_iter();
    let page = |target: Target| {
        let target = target.internally()?;
        Ok((target.url("/health")?, target.proxies))
    };
    targets.map(page).collect()
}

async fn status(url: &Uri, proxies: &Networks) -> anyhow::Result<u16> {
    let mut connection = ServerConnection::open(url, proxies, &Trust::Any).await?;
    Ok(connection.send(url, Request::default()).await?.status().as_u16())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_silent_server_is_abandoned_at_the_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("bound")).parse().expect("a URL");
        let args = Args { url: Some(url), timeout: Duration::from_millis(50), config: Default::default() };
        assert_eq!(run(args).await.expect("a result"), ExitCode::FAILURE);
    }
}
