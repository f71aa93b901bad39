//! A receiver of metrics and spans that accepts all of them: an address for the push of metrics, CloudWatch's API and a collector.
//!
//! It does not look at what it receives; the tests of the server do that. Its threads run on the core of the clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

/// A call of CloudWatch's API, in its path.
const CLOUDWATCH: &str = "/operation/PutMetricData";

/// Where spans are sent, in the path of requests.
const SPANS: &str = "/v1/traces";

/// The answer of CloudWatch: an empty map in CBOR.
const CLOUDWATCH_ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nsmithy-protocol: rpc-v2-cbor\r\ncontent-type: application/cbor\r\ncontent-length: 1\r\n\r\n\xa0";

/// The answer to all others, which is an empty message in Protocol Buffers too.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";

/// It accepts connections for as long as the program runs.
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    received: Arc<Received>,
}

/// Requests of each kind.
#[derive(Debug, Default)]
pub struct Received {
    /// Of the push of metrics.
    pub pages: AtomicUsize,
    /// Of CloudWatch.
    pub metrics: AtomicUsize,
    /// With spans.
    pub spans: AtomicUsize,
}

impl Receiver {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, received) = (listener.local_addr()?, Arc::<Received>::default());
        let counted = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counted = Arc::clone(&counted);
                // Ends with the connection, which the server may close at any time.
                std::thread::spawn(move || serve(stream, &counted));
            }
        });
        Ok(Self { address, received })
    }

    /// What it has received.
    pub fn received(&self) -> &Received {
        &self.received
    }
}

fn serve(stream: TcpStream, received: &Received) -> Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(path) = request(&mut stream)? {
        let (kind, answer) = match path {
            path if path.ends_with(CLOUDWATCH) => (&received.metrics, CLOUDWATCH_ANSWER),
            path if path.starts_with(SPANS) => (&received.spans, ANSWER),
            _ => (&received.pages, ANSWER),
        };
        kind.fetch_add(1, Ordering::Relaxed);
        stream.get_mut().write_all(answer)?;
    }
    Ok(())
}

/// Reads a request, and returns its path. `None` once the connection is closed.
fn request(stream: &mut BufReader<TcpStream>) -> Result<Option<String>> {
    let (mut line, mut length) = (String::new(), 0);
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink())?;
    Ok(Some(path))
}
