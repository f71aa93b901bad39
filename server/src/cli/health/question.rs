//! One question to one server.
//!
//! A container image has no curl, so this is one: a few lines of HTTP/1.1 on a plain socket. It reads the
//! status line and nothing else, and the whole question has one deadline, whatever the other side does.
//!
//! Over TLS the certificate is not looked at: it is made out to a public name, and we knock at the back door.
//! Nothing secret is said, and the answer is believed as little as over plain TCP.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use http::Uri;

use super::unverified;
use crate::edge::proxy_protocol::TrustedProxies;

/// A status line is shorter than this; what does not end by then is none.
const LONGEST_STATUS_LINE: usize = 1024;

/// The status of the response from `url`. A server that treats this host as one of its `proxies` expects a PROXY protocol
/// header, and gets one without a client.
pub(super) fn ask(url: &Uri, proxies: &TrustedProxies, timeout: Duration) -> anyhow::Result<u16> {
    let is_tls = match url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => bail!("only http:// and https:// can be asked"),
    };
    let host = url.host().context("the URL has no host")?.trim_matches(['[', ']']);
    let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let deadline = Instant::now().checked_add(timeout).context("the timeout is too long")?;

    let mut line = Line { stream: connect(host, port, deadline)?, deadline };
    if proxies.contain(line.stream.local_addr()?.ip()) {
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
        ask(&answering(answer), &TrustedProxies::default(), Duration::from_secs(10))
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
        let error =
            ask(&url, &TrustedProxies::default(), Duration::from_millis(50)).expect_err("nobody answers");
        assert_eq!(error.to_string(), "no answer in time");
    }

    #[test]
    fn nobody_at_home_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("bound")).parse().expect("a URL");
        drop(listener);
        let error =
            ask(&url, &TrustedProxies::default(), Duration::from_secs(10)).expect_err("nobody is there");
        assert!(format!("{error:#}").starts_with("cannot connect: "), "{error:#}");
        let error = ask(&Uri::from_static("ftp://x/"), &TrustedProxies::default(), Duration::from_secs(1));
        assert_eq!(error.expect_err("no HTTP").to_string(), "only http:// and https:// can be asked");
    }
}
