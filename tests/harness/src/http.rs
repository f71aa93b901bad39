//! A minimal HTTP client: one request and one response per connection.
//!
//! Written by hand, because tests need requests that no library sends, and response headers exactly as received.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::WAIT_MAX;
use crate::endpoint::{Endpoint, Stream};

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request of any method.
    pub fn new(method: &str, target: &str) -> Request {
        Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// `GET target`.
    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    /// `POST target`.
    pub fn post(target: &str) -> Request {
        Request::new("POST", target)
    }

    /// A WebSocket handshake.
    pub fn upgrade(target: &str) -> Request {
        Request::get(target)
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds `authorization: Bearer …`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Request {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Sets the body, without a content type.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(self, value: &Value) -> Request {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// The method and the request target.
    pub(crate) fn line(&self) -> (&str, &str) {
        (&self.method, &self.target)
    }

    /// Encodes the request.
    pub(crate) fn encode(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let has = |wanted: &str| self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        if !has("host") {
            let _ = write!(head, "host: {host}\r\n");
        }
        let _ = write!(head, "connection: {}\r\n", if has("upgrade") { "upgrade" } else { "close" });
        if self.method != "GET" || !self.body.is_empty() {
            let _ = write!(head, "content-length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON ({}): {}", self.status, self.text()))
    }
}

/// Sends bytes and reads one response.
pub(crate) async fn exchange(endpoint: &Endpoint, request: &[u8]) -> Result<Response> {
    let work = async {
        let mut stream = endpoint.open().await?;
        // A server that has refused the head may stop reading: only its response matters, not a failed write.
        let _ = stream.write_all(request).await;
        read_response(&mut stream, &mut Vec::new()).await
    };
    timeout(WAIT_MAX, work).await.context("no response")?
}

/// Reads a response; bytes after it stay in `buffer`.
pub(crate) async fn read_response(stream: &mut Stream, buffer: &mut Vec<u8>) -> Result<Response> {
    let end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(buffer).await? == 0 {
            bail!("the connection ended before a response: {:?}", String::from_utf8_lossy(buffer));
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 4);
    let (status, headers) = parse_head(&head)?;
    let mut response = Response { status, headers, body: Vec::new() };
    if status >= 200 && status != 204 {
        read_body(stream, buffer, &mut response).await?;
    }
    Ok(response)
}

async fn read_body(stream: &mut Stream, buffer: &mut Vec<u8>, response: &mut Response) -> Result<()> {
    let length = response.header("content-length").map(str::parse::<usize>).transpose()?;
    while length.is_none_or(|length| buffer.len() < length) {
        if stream.read_buf(buffer).await? == 0 {
            break;
        }
    }
    let length = length.unwrap_or(buffer.len()).min(buffer.len());
    response.body = buffer.drain(..length).collect();
    if response.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        response.body = unchunk(&response.body)?;
    }
    Ok(())
}

fn parse_head(head: &str) -> Result<(u16, Vec<(String, String)>)> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Ok((status.parse().context("a status is a number")?, headers.collect()))
}

fn unchunk(mut bytes: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(end) = find(bytes, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end])?.trim(), 16)
            .context("a chunk's size")?;
        bytes = &bytes[end + 2..];
        body.extend_from_slice(bytes.get(..size).context("a chunk is cut short")?);
        bytes = bytes.get(size + 2..).unwrap_or_default();
    }
    Ok(body)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
