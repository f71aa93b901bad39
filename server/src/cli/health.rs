//! `realtime-server health`: asks a running server whether it is up, for containers and supervisors.
//!
//! A container image has no curl, so this is one: a few lines of HTTP/1.1 on a plain socket. It reads the
//! status line and nothing else, and the whole question has one deadline, whatever the other side does.
//!
//! A server that runs says itself where it is ([`running`](super::running)), because the settings on disk may have
//! changed since it read them.
//!
//! Over TLS the certificate is not looked at: it is made out to a public name, and we knock at the back door.
//! Nothing secret is said, and the answer is believed as little as over plain TCP.

mod unverified;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use http::Uri;

use super::running::Running;
use crate::edge::proxy_protocol::Balancers;

const EXAMPLES: &str = "\
Examples:
  realtime-server health                                    the server on this machine, by its settings
  realtime-server health --url http://10.0.0.7:8080/health  another one; https:// for TLS, unverified
  HEALTHCHECK CMD [\"realtime-server\", \"health\"]             in a Dockerfile

The exit code is 0 if it answers with a 2xx status in time, else 1.";

/// A status line is shorter than this; what does not end by then is none.
const LONGEST_STATUS_LINE: usize = 1024;

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
    balancers: Balancers,
}

/// Asks, and says the answer in one line.
///
/// # Errors
/// If there is nobody to ask: the settings or the URL are wrong.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let places = match args.url {
        Some(url) => vec![Place { url, balancers: Balancers::default() }],
        None => places(&args.config)?,
    };
    // All of them together have the time of one.
    let time_each = args.timeout / u32::try_from(places.len().max(1)).unwrap_or(u32::MAX);
    let mut failure = None;
    for Place { url, balancers } in &places {
        let why = match ask(url, balancers, time_each) {
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
                places.push(by_settings(&settings.server)?);
            }
        }
        (Err(problems), None) => return Err(problems.into()),
        // The server has refused them too, and goes on with those it has.
        (Err(problems), Some(_)) => super::remark(format_args!("the settings cannot be used: {problems}")),
    }
    if let Some(running) = running {
        let place = by_itself(&running)?;
        if places.iter().all(|other| other.url != place.url) {
            places.push(place);
        }
    }
    Ok(places)
}

/// Where a server with these settings answers, seen from this machine.
fn by_settings(server: &settings::Server) -> anyhow::Result<Place> {
    let address = SocketAddr::new(super::reachable(server.host), server.port);
    place(address, server.tls.cert_file.is_some(), &server.proxy_protocol_from)
}

/// Where the running server says it is.
fn by_itself(running: &Running) -> anyhow::Result<Place> {
    place(running.address, running.tls, &running.proxy_protocol_from)
}

fn place(address: SocketAddr, tls: bool, proxy_protocol_from: &[String]) -> anyhow::Result<Place> {
    let scheme = if tls { "https" } else { "http" };
    let url = format!("{scheme}://{address}/health").parse().context("the settings make no URL")?;
    Ok(Place { url, balancers: Balancers::parse(proxy_protocol_from)? })
}

/// The status that `url` is answered with. A server that takes us for one of its `balancers` is told that we
/// bring nobody.
fn ask(url: &Uri, balancers: &Balancers, timeout: Duration) -> anyhow::Result<u16> {
    let is_tls = match url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => bail!("only http:// and https:// can be asked"),
    };
    let host = url.host().context("the URL has no host")?.trim_matches(['[', ']']);
    let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let deadline = Instant::now().checked_add(timeout).context("the timeout is too long")?;

    let mut line = Line { stream: connect(host, port, deadline)?, deadline };
    if balancers.contain(line.stream.local_addr()?.ip()) {
        line.write_all(b"PROXY UNKNOWN\r\n")?;
    }
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.authority().context("the URL has no host")?;
    let question = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    let answer = if is_tls {
        exchange(&mut unverified::StreamOwned::new(unverified::client(host)?, line), &question)
    } else {
        exchange(&mut line, &question)
    };
    status_of(&answer?)
}

/// Asks, and returns the first line of the answer.
fn exchange(line: &mut (impl Read + Write), question: &str) -> anyhow::Result<Vec<u8>> {
    line.write_all(question.as_bytes())?;
    line.flush()?;
    let mut answer = Vec::new();
    let mut buffer = [0; 256];
    while answer.len() < LONGEST_STATUS_LINE {
        let read = match line.read(&mut buffer) {
            Ok(0) => bail!("it hung up without an answer"),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        answer.extend_from_slice(&buffer[..read]);
        if let Some(end) = answer.iter().position(|&byte| byte == b'\n') {
            answer.truncate(end);
            return Ok(answer);
        }
    }
    bail!("it does not speak HTTP")
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

/// A socket of which nothing takes longer than the deadline.
struct Line {
    stream: TcpStream,
    deadline: Instant,
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(remaining(self.deadline)?))?;
        self.stream.read(buffer).map_err(in_time)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(remaining(self.deadline)?))?;
        self.stream.write(bytes).map_err(in_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What the system calls a time-out has two names.
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => too_late(),
        _ => error,
    }
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// The time left; sockets take no timeout of zero.
fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(too_late()) } else { Ok(left) }
}

fn status_of(line: &[u8]) -> anyhow::Result<u16> {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace();
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|word| word.parse().ok());
    status.filter(|_| version.starts_with("HTTP/1.")).context("it does not speak HTTP")
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
        ask(&answering(answer), &Balancers::default(), Duration::from_secs(10))
            .map_err(|error| format!("{error:#}"))
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
        let error = ask(&url, &Balancers::default(), Duration::from_millis(50)).expect_err("nobody answers");
        assert_eq!(error.to_string(), "no answer in time");
    }

    #[test]
    fn nobody_at_home_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("bound")).parse().expect("a URL");
        drop(listener);
        let error = ask(&url, &Balancers::default(), Duration::from_secs(10)).expect_err("nobody is there");
        assert!(format!("{error:#}").starts_with("cannot connect: "), "{error:#}");
        let error = ask(&Uri::from_static("ftp://x/"), &Balancers::default(), Duration::from_secs(1));
        assert_eq!(error.expect_err("no HTTP").to_string(), "only http:// and https:// can be asked");
    }

    #[test]
    fn the_default_is_this_machine() {
        let url = |server: &settings::Server| by_settings(server).expect("a place").url;
        let mut server = settings::Server::default();
        assert_eq!(url(&server), "http://127.0.0.1:8080/health");
        server.host = "::".parse().expect("an address");
        server.port = 81;
        assert_eq!(url(&server), "http://[::1]:81/health");
        server.host = "10.0.0.7".parse().expect("an address");
        server.tls.cert_file = Some("cert.pem".into());
        assert_eq!(url(&server), "https://10.0.0.7:81/health");
    }
}
