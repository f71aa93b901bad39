//! One HTTP request to one server.
//!
//! A container image has no curl, so this is a minimal HTTP/1.1 client on a plain socket. It reads the status line
//! and nothing else, and the whole request has one deadline.
//!
//! Over TLS the certificate is not verified: it is issued for a public name, and the request goes to a local
//! address. Nothing secret is sent, and the response is trusted no more than over plain TCP.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use http::Uri;

use super::unverified;
use crate::edge::networks::Networks;

/// Longest status line that is read.
const STATUS_LINE_BYTES_MAX: usize = 1024;

/// The status of the response to `GET url`. A server that expects a PROXY header from our address, because it is one
/// of the `proxies`, is sent one without a client address.
pub(super) fn status(url: &Uri, proxies: &Networks, timeout: Duration) -> anyhow::Result<u16> {
    let is_tls = match url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => bail!("only http:// and https:// URLs are supported"),
    };
    let host = url.host().context("the URL has no host")?.trim_matches(['[', ']']);
    let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let deadline = Instant::now().checked_add(timeout).context("the timeout is too long")?;

    let mut socket = TimedSocket { stream: connect(host, port, deadline)?, deadline };
    if proxies.contain(socket.stream.local_addr()?.ip()) {
        socket.write_all(b"PROXY UNKNOWN\r\n")?;
    }
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.authority().context("the URL has no host")?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    let status_line = if is_tls {
        exchange(&mut unverified::StreamOwned::new(unverified::client(host)?, socket), &request)
    } else {
        exchange(&mut socket, &request)
    };
    parse_status(&status_line?)
}

/// Sends the request and returns the first line of the response.
fn exchange(socket: &mut (impl Read + Write), request: &str) -> anyhow::Result<Vec<u8>> {
    socket.write_all(request.as_bytes())?;
    socket.flush()?;
    let mut response = Vec::new();
    let mut buffer = [0; 256];
    while response.len() < STATUS_LINE_BYTES_MAX {
        let read = match socket.read(&mut buffer) {
            Ok(0) => bail!("the connection was closed without a response"),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        response.extend_from_slice(&buffer[..read]);
        if let Some(end) = response.iter().position(|&byte| byte == b'\n') {
            response.truncate(end);
            return Ok(response);
        }
    }
    bail!("the response is not HTTP")
}

/// Connects to the first address that accepts; a host may have several (`localhost` has two).
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

/// A socket whose reads and writes end at the deadline.
struct TimedSocket {
    stream: TcpStream,
    deadline: Instant,
}

impl Read for TimedSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(remaining(self.deadline)?))?;
        self.stream.read(buffer).map_err(named_timeout)
    }
}

impl Write for TimedSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(remaining(self.deadline)?))?;
        self.stream.write(bytes).map_err(named_timeout)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The system reports a timeout by either of two kinds.
fn named_timeout(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => timed_out(),
        _ => error,
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no response in time")
}

/// The time until the deadline; a socket rejects a timeout of zero.
fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(timed_out()) } else { Ok(left) }
}

fn parse_status(line: &[u8]) -> anyhow::Result<u16> {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace();
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|word| word.parse().ok());
    status.filter(|_| version.starts_with("HTTP/1.")).context("the response is not HTTP")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that reads the request, responds with these bytes, and waits for the client to close.
    fn responding(response: &'static [u8]) -> Uri {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a whole request");
                request.push(byte[0]);
            }
            assert!(request.starts_with(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1:"), "{request:?}");
            stream.write_all(response).expect("the client reads");
            if !response.is_empty() {
                let _ = stream.read(&mut [0]);
            }
        });
        format!("http://{address}/health").parse().expect("a URL")
    }

    fn requested(response: &'static [u8]) -> Result<u16, String> {
        status(&responding(response), &Networks::default(), Duration::from_secs(10))
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_status_is_returned() {
        assert_eq!(requested(b"HTTP/1.1 200 OK\r\n\r\n{}"), Ok(200));
        assert_eq!(requested(b"HTTP/1.0 503 Service Unavailable\r\n"), Ok(503));
    }

    #[test]
    fn a_response_without_a_status_is_an_error() {
        assert_eq!(requested(b""), Err("the connection was closed without a response".into()));
        assert_eq!(requested(b"SSH-2.0-x\r\n"), Err("the response is not HTTP".into()));
        assert_eq!(requested(&[b'x'; 4096]), Err("the response is not HTTP".into()));
    }

    #[test]
    fn a_silent_server_is_abandoned_at_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("bound")).parse().expect("a URL");
        let error = status(&url, &Networks::default(), Duration::from_millis(50)).expect_err("no response");
        assert_eq!(error.to_string(), "no response in time");
    }

    #[test]
    fn a_closed_port_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("bound")).parse().expect("a URL");
        drop(listener);
        let error =
            status(&url, &Networks::default(), Duration::from_secs(10)).expect_err("the port is closed");
        assert!(format!("{error:#}").starts_with("cannot connect: "), "{error:#}");
        let error = status(&Uri::from_static("ftp://x/"), &Networks::default(), Duration::from_secs(1));
        assert_eq!(error.expect_err("no HTTP").to_string(), "only http:// and https:// URLs are supported");
    }
}
