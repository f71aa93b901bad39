//! `realtime-server probe`: joins a room as a client does, sends a broadcast, and receives it. What `health` cannot see: a
//! certificate, a proxy that does not pass WebSockets on, tokens that the server does not accept.
//!
//! The result goes to stdout, with how long each step took; an error goes to stderr, with what to do about it. With `--json` both
//! are one object on stdout.

mod client;
mod failure;
mod report;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail, ensure};
use http::Uri;
use secrecy::{ExposeSecret as _, SecretString};

use self::failure::ProbeFailure;
use self::report::ProbeReport;
use self::steps::{ProbeStep, ProbeTimes};
use super::http_client::{self, Trust};
use super::input::Input;
use super::target::{self, Target};
use super::token;

const EXAMPLES: &str = "\
Examples:
  realtime-server probe                                         the server on this machine
  realtime-server probe https://rt.example.com --token $KEY     another one, with the key that its clients have
  realtime-server probe https://rt.example.com --jwt-secret-file jwt --tenant acme --timeout 3s
  realtime-server probe ws://10.0.0.7:8080 --private --topic lobby --role anon
  realtime-server probe https://rt.example.com --json | jq .round_trip_ms

It connects as a client does, joins a room of its own, sends a broadcast and receives it. Without --token it signs a token for
a minute, with the secret in --jwt-secret-file, else with that in the settings.

The exit code is 0 if it has received its broadcast, 1 if the server cannot be reached or does not work, and 2 if the server
refuses the probe, such as its token or tenant, or the arguments or settings are wrong.";

/// How long a token of our own is valid. One handshake and one join need it, and clocks may differ by some seconds.
const TOKEN_LIFETIME: Duration = Duration::from_secs(60);

/// The exit code when the server works, and the probe is refused or wrong.
const REFUSED: u8 = 2;

/// What clients append to the address of a server.
const PATH: &str = "/realtime/v1/websocket";

/// The arguments of `probe`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Address of the server: https://, http://, wss:// or ws://, as clients have it; without it, that of the server on this
    /// machine
    url: Option<String>,

    /// Token of a user, such as the key that clients have
    #[arg(long, value_name = "TOKEN")]
    token: Option<SecretString>,

    /// File with the secret that signs a token for the probe, or - for stdin; without it, that of the settings does
    #[arg(long, value_name = "FILE|-", conflicts_with = "token")]
    jwt_secret_file: Option<Input>,

    /// Postgres role in that token
    #[arg(long, default_value = "authenticated", conflicts_with = "token", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    role: String,

    /// Tenant to join a room of, instead of the one of the host name or the default one
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,

    /// Name of the room; without it one that no other probe has
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    topic: Option<String>,

    /// Join a private room, whose policies must allow the role to read and write broadcasts
    #[arg(long)]
    private: bool,

    /// File with the certificate of the server (PEM), which is accepted whatever name it is for; without it, the certificate
    /// is verified by the authorities that this machine trusts (or SSL_CERT_FILE)
    #[arg(long, value_name = "FILE")]
    cert_file: Option<PathBuf>,

    /// How long everything may take
    #[arg(long, value_name = "DURATION", value_parser = settings::parse_duration, default_value = "10s")]
    timeout: Duration,

    /// Print the result as a JSON object, errors included
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: super::Config,
}

/// The address that is given. Not parsed with the arguments, because with `--json` this error is JSON too. It is not repeated: it may
/// have a password.
fn parse_url(text: &str) -> anyhow::Result<Uri> {
    let url: Uri = text.parse().context("the address is none")?;
    let is_known = matches!(url.scheme_str(), Some("http" | "https" | "ws" | "wss"));
    ensure!(
        is_known && url.query().is_none(),
        "the address is none: write https://HOST, or http://HOST:PORT without TLS, with a path if clients use one"
    );
    Ok(url)
}

/// What is probed, and how.
struct Probe {
    target: Target,
    /// The address of the WebSocket.
    url: Uri,
    token: SecretString,
    tenant: Option<String>,
    /// As the protocol has it, such as `realtime:lobby`.
    topic: String,
    /// What no other probe sends.
    id: String,
    private: bool,
}

/// Probes the server and prints the result.
///
/// # Errors
/// Never: what is wrong is printed, and decides the exit code.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (timeout, json) = (args.timeout, args.json);
    let probe = match prepare(args) {
        Ok(probe) => probe,
        Err(error) => {
            if json {
                report::print_unprepared_json(&error)?;
            } else {
                super::print_stderr(format_args!("error: {error:#}"));
            }
            return Ok(REFUSED.into());
        }
    };
    let mut times = ProbeTimes::start();
    let result = tokio::time::timeout(timeout, Box::pin(attempt(&probe, &mut times))).await;
    let result = result.unwrap_or_else(|_elapsed| Err(ProbeFailure::late(times.step(), timeout)));
    let report = ProbeReport { url: &probe.url, topic: &probe.topic, times: &times, failure: result.err() };
    if json {
        report.print_json()?
    } else {
        report.print()?
    }
    Ok(report.exit_code())
}

fn prepare(args: Args) -> anyhow::Result<Probe> {
    let mut target = match args.url {
        Some(url) => Target::at(over_http(&parse_url(&url)?)?),
        // The one that is recorded comes last: it is the server with this data folder, whatever listens at the address in
        // the settings.
        None => target::find(&args.config)?.pop().context("there is no server; give its address")?,
    };
    if let Some(file) = args.cert_file {
        target.trust = Trust::Certificate(file);
    }
    let token = match args.token {
        Some(token) if token.expose_secret().is_empty() => bail!("--token is empty"),
        Some(token) => token,
        None => {
            let secret = args.jwt_secret_file.map(|input| input.secret("--jwt-secret-file")).transpose()?;
            let whose = (args.tenant.as_deref(), &*args.role);
            token::of_user(&args.config.load()?, whose, secret, SystemTime::now(), TOKEN_LIFETIME)
                .context("there is no token: neither --token nor --jwt-secret-file")?
        }
    };
    let url = websocket(&target.base)?;
    let number = getrandom::u64().map_err(|error| anyhow!("no random numbers: {error}"))?;
    let id = format!("probe-{number:016x}");
    let topic = format!("realtime:{}", args.topic.as_deref().unwrap_or(&id));
    Ok(Probe { target, url, token, tenant: args.tenant, topic, id, private: args.private })
}

/// The URL with the scheme of HTTP, which begins each WebSocket.
fn over_http(url: &Uri) -> anyhow::Result<Uri> {
    let scheme = match url.scheme_str() {
        Some("wss" | "https") => "https",
        _ => "http",
    };
    Ok(format!("{scheme}://{}{}", http_client::host(url)?, url.path()).parse()?)
}

/// The address at which the server of `base` takes WebSockets.
fn websocket(base: &Uri) -> anyhow::Result<Uri> {
    let (server, path) =
        (format!("{}://{}", base.scheme_str().unwrap_or_default(), http_client::host(base)?), base.path());
    let path = match path.trim_end_matches('/') {
        "" => PATH.to_owned(),
        whole if whole.ends_with("/websocket") => whole.to_owned(),
        below => format!("{below}/websocket"),
    };
    Ok(format!("{server}{path}").parse()?)
}

async fn attempt(probe: &Probe, times: &mut ProbeTimes) -> Result<(), ProbeFailure> {
    let Target { proxies, trust, .. } = &probe.target;
    let stream = http_client::connect(&probe.url, proxies).await.map_err(ProbeFailure::broken)?;
    if http_client::is_tls(&probe.url).map_err(ProbeFailure::broken)? {
        times.begin(ProbeStep::Tls);
        let stream = http_client::negotiate(&probe.url, stream, trust).await.map_err(ProbeFailure::of_tls)?;
        client::exchange(stream, probe, times).await
    } else {
        client::exchange(stream, probe, times).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_websocket_follows_from_that_of_the_server() {
        for (given, expected) in [
            ("https://rt.example.com", "https://rt.example.com/realtime/v1/websocket"),
            ("wss://rt.example.com/", "https://rt.example.com/realtime/v1/websocket"),
            ("ws://[::1]:8080", "http://[::1]:8080/realtime/v1/websocket"),
            ("https://ann:hush@a.example/realtime/v1", "https://a.example/realtime/v1/websocket"),
            ("http://a.example/socket/websocket", "http://a.example/socket/websocket"),
        ] {
            let url = parse_url(given).expect("a URL");
            assert_eq!(websocket(&over_http(&url).expect("a URL")).expect("a URL"), expected, "{given}");
        }
        for wrong in ["rt.example.com", "ftp://rt.example.com", "https://rt.example.com?apikey=secret"] {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
    }
}
