//! `realtime-server health`: asks a running server whether it is up, for containers and supervisors.
//!
//! A container image has no curl, so this is one: a few lines of HTTP/1.1 on a plain socket. It reads the
//! status line and nothing else, and the whole question has one deadline, whatever the other side does.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use http::Uri;
use settings::Settings;

const EXAMPLES: &str = "\
Examples:
  realtime-server health                                    the server on this machine, where the settings say
  realtime-server health --url http://10.0.0.7:8080/health  another one
  HEALTHCHECK CMD [\"realtime-server\", \"health\"]             in a Dockerfile

The exit code is 0 if it answers with a 2xx status in time, else 1.";

/// A status line is shorter than this; what does not end by then is none.
const LONGEST_STATUS_LINE: usize = 1024;

/// Whom to ask, and how long to wait.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to ask; without it /health at the address and port in the settings
    #[arg(long)]
    url: Option<Uri>,

    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", value_parser = settings::parse_duration, default_value = "3s")]
    timeout: Duration,

    #[command(flatten)]
    config: super::Config,
}

/// Asks, and says the answer in one line.
///
/// # Errors
/// If there is nobody to ask: the settings or the URL are wrong.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let url = match args.url {
        Some(url) => url,
        None => own_url(&args.config.load()?)?,
    };
    match ask(&url, args.timeout) {
        Ok(status) if (200..300).contains(&status) => {
            // The exit code is the answer; a supervisor may read nothing else.
            let _nobody_reads = super::answer(format_args!("{url} is up ({status})\n"));
            Ok(ExitCode::SUCCESS)
        }
        Ok(status) => {
            super::remark(format_args!("{url} is not well ({status})"));
            Ok(ExitCode::FAILURE)
        }
        Err(error) => {
            super::remark(format_args!("{url} is down: {error:#}"));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Where a server with these settings answers, seen from this machine.
fn own_url(settings: &Settings) -> anyhow::Result<Uri> {
    ensure!(
        settings.server.port != 0,
        "the settings let the system choose the port (0): say where with --url"
    );
    let address = SocketAddr::new(super::reachable(settings.server.host), settings.server.port);
    format!("http://{address}/health").parse().context("the settings make no URL")
}

/// The status that `url` is answered with.
fn ask(url: &Uri, timeout: Duration) -> anyhow::Result<u16> {
    ensure!(url.scheme_str() == Some("http"), "only http:// can be asked");
    let host = url.host().context("the URL has no host")?;
    let port = url.port_u16().unwrap_or(80);
    let deadline = Instant::now().checked_add(timeout).context("the timeout is too long")?;

    let mut stream = connect(host.trim_matches(['[', ']']), port, deadline)?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.authority().context("the URL has no host")?;
    stream.set_write_timeout(Some(remaining(deadline)?))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n")?;
    status_of(&read_line(&mut stream, deadline)?)
}

/// A host may have several addresses (`localhost` has two); the first that answers will do.
fn connect(host: &str, port: u16, deadline: Instant) -> anyhow::Result<TcpStream> {
    let mut failure = None;
    for address in (host, port).to_socket_addrs().with_context(|| format!("cannot find {host}"))? {
        match TcpStream::connect_timeout(&address, remaining(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => Err(error).context("cannot connect"),
        None => bail!("{host} has no address"),
    }
}

/// The first line of the answer.
fn read_line(stream: &mut TcpStream, deadline: Instant) -> anyhow::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut buffer = [0; 256];
    while line.len() < LONGEST_STATUS_LINE {
        stream.set_read_timeout(Some(remaining(deadline)?))?;
        let read = match stream.read(&mut buffer) {
            Ok(0) => bail!("it hung up without an answer"),
            Ok(read) => read,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        line.extend_from_slice(&buffer[..read]);
        if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
            line.truncate(end);
            return Ok(line);
        }
    }
    bail!("it does not speak HTTP")
}

fn status_of(line: &[u8]) -> anyhow::Result<u16> {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace();
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|word| word.parse().ok());
    status.filter(|_| version.starts_with("HTTP/1.")).context("it does not speak HTTP")
}

/// The time left; sockets take no timeout of zero.
fn remaining(deadline: Instant) -> anyhow::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    ensure!(!left.is_zero(), "no answer in time");
    Ok(left)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that reads the question, answers it so, and holds the line until the asker hangs up.
    fn answering(answer: &'static [u8]) -> Uri {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut question = Vec::new();
            while !question.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a whole question");
                question.push(byte[0]);
            }
            assert!(question.starts_with(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1:"), "{question:?}");
            stream.write_all(answer).expect("the asker listens");
            if !answer.is_empty() {
                let _ = stream.read(&mut [0]);
            }
        });
        format!("http://{address}/health").parse().expect("a URL")
    }

    fn asked(answer: &'static [u8]) -> Result<u16, String> {
        ask(&answering(answer), Duration::from_secs(10)).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_status_is_the_answer() {
        assert_eq!(asked(b"HTTP/1.1 200 OK\r\n\r\n{}"), Ok(200));
        assert_eq!(asked(b"HTTP/1.0 503 Service Unavailable\r\n"), Ok(503));
    }

    #[test]
    fn what_is_no_answer_is_told() {
        assert_eq!(asked(b""), Err("it hung up without an answer".into()));
        assert_eq!(asked(b"SSH-2.0-x\r\n"), Err("it does not speak HTTP".into()));
        assert_eq!(asked(&[b'x'; 4096]), Err("it does not speak HTTP".into()));
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("bound")).parse().expect("a URL");
        let error = ask(&url, Duration::from_millis(50)).expect_err("nobody answers");
        assert_eq!(error.to_string(), "no answer in time");
    }

    #[test]
    fn nobody_at_home_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("bound")).parse().expect("a URL");
        drop(listener);
        let error = ask(&url, Duration::from_secs(10)).expect_err("nobody is there");
        assert!(format!("{error:#}").starts_with("cannot connect: "), "{error:#}");
        let url = Uri::from_static("https://localhost/");
        assert_eq!(
            ask(&url, Duration::from_secs(1)).expect_err("no TLS").to_string(),
            "only http:// can be asked"
        );
    }

    #[test]
    fn the_default_is_this_machine() {
        let mut settings = Settings::default();
        assert_eq!(own_url(&settings).expect("a URL"), "http://127.0.0.1:8080/health");
        settings.server.host = "::".parse().expect("an address");
        settings.server.port = 81;
        assert_eq!(own_url(&settings).expect("a URL"), "http://[::1]:81/health");
        settings.server.host = "10.0.0.7".parse().expect("an address");
        assert_eq!(own_url(&settings).expect("a URL"), "http://10.0.0.7:81/health");
        settings.server.port = 0;
        assert!(own_url(&settings).is_err());
    }
}
