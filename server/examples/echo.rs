//! An echo server on the code that serves every connection: for RFC 6455 conformance suites, and to measure
//! one task per connection against two.
//!
//! `cargo run --release --example echo -- [--tasks one|two] [--address 127.0.0.1:9001]`
//!
//! With two tasks a reader and a writer share the outbox. `tests/load/README.md` has the measurements; the
//! server uses one.

use std::future::poll_fn;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use futures_util::StreamExt;
use http_body_util::Empty;
use hub::{Bounds, Burst, Disconnect, Frame, NextAction, Outbox};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use realtime_server::close_reason::CloseReason;
use realtime_server::edge::websocket::{Connection, ConnectionConfig};
use realtime_server::sessions::{MessageHead, Session};
use realtime_server::workers::Offload;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use wire::websocket::FrameBuilder;

/// Echoes every message.
#[derive(Parser)]
struct Args {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:9001")]
    address: SocketAddr,
    /// Tasks per connection
    #[arg(long, default_value = "one")]
    tasks: Tasks,
}

#[derive(Clone, Copy, ValueEnum)]
enum Tasks {
    One,
    Two,
}

/// Where large messages are echoed.
static OFFLOAD: LazyLock<Arc<Offload>> = LazyLock::new(|| Offload::beside(None));

/// A session that sends every message back.
struct Echo {
    outbox: Arc<Outbox>,
}

impl Echo {
    fn new() -> Self {
        Self {
            outbox: Arc::new(Outbox::new(
                Bounds { frames: 4096, bytes: 64 << 20 },
                hub::TenantMemory::unlimited(),
            )),
        }
    }
}

fn text(message: &str) -> Frame {
    let mut frame = FrameBuilder::text(message.len());
    frame.push_str(message);
    frame.finish()
}

fn binary(message: &[u8]) -> Frame {
    let mut frame = FrameBuilder::binary(message.len());
    frame.push_bytes(message);
    frame.finish()
}

impl Session for Echo {
    fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    fn offload(&self) -> &Arc<Offload> {
        &OFFLOAD
    }

    fn text(&mut self, message: &str) {
        self.outbox.reply(&text(message));
    }

    fn binary(&mut self, message: &[u8]) {
        self.outbox.reply(&binary(message));
    }

    fn skipped(&mut self, _: &MessageHead<'_>) {}

    fn broken(&mut self, why: CloseReason) -> Disconnect {
        why.into()
    }

    fn flush(&mut self) {}

    fn close(&mut self) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn tick(&mut self, _now: Instant) {}

    fn caught_up(&mut self) {}

    fn count(&self, _received: u64, _sent: u64) {}
}

/// The reader's half of a socket: tungstenite reads from it, and what it writes is discarded.
struct ReadOnly(OwnedReadHalf);

impl AsyncRead for ReadOnly {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ReadOnly {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn two_tasks(stream: TcpStream, config: &ConnectionConfig) {
    let (reader, writer) = stream.into_split();
    let echo = Echo::new();
    tokio::spawn(write_all(writer, Arc::clone(&echo.outbox)));
    let config = WebSocketConfig::default().read_buffer_size(config.read_buffer_size);
    let mut socket = WebSocketStream::from_raw_socket(ReadOnly(reader), Role::Server, Some(config)).await;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(message) => echo.outbox.reply(&text(&message)),
            Message::Binary(message) => echo.outbox.reply(&binary(&message)),
            _ => {}
        }
    }
    echo.outbox.disconnect(hub::Disconnect { code: 1000, reason: "".into() });
}

async fn write_all(mut writer: OwnedWriteHalf, outbox: Arc<Outbox>) {
    let mut burst = Burst::default();
    loop {
        let next = poll_fn(|cx| match outbox.take(&mut burst, cx.waker()) {
            NextAction::Idle => Poll::Pending,
            next => Poll::Ready(next),
        });
        if let NextAction::Disconnect(_) = next.await {
            return;
        }
        while !burst.is_empty() {
            let count = burst.len().min(64);
            let mut slices: Vec<_> =
                burst.iter().take(count).map(|frame| IoSlice::new(frame.bytes())).collect();
            let mut rest = &mut slices[..];
            while !rest.is_empty() {
                match writer.write_vectored(rest).await {
                    Ok(written) if written > 0 => IoSlice::advance_slices(&mut rest, written),
                    _ => return,
                }
            }
            drop(slices);
            let bytes = (0..count).filter_map(|_| burst.pop()).map(|frame| frame.len()).sum();
            outbox.written(count as u32, bytes);
        }
    }
}

async fn serve(stream: TcpStream, tasks: Tasks, config: Arc<ConnectionConfig>) {
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        let config = Arc::clone(&config);
        async move {
            let response = create_response_with_body(&request, Empty::<Bytes>::new)?;
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let Ok(parts) = upgrade.await.map(|upgraded| upgraded.downcast::<TokioIo<TcpStream>>())
                else {
                    return;
                };
                let Ok(parts) = parts else { return };
                let stream = parts.io.into_inner();
                match tasks {
                    Tasks::One => {
                        Connection::new(stream, &parts.read_buf, Box::new(Echo::new()), config).await
                    }
                    Tasks::Two => two_tasks(stream, &config).await,
                }
            });
            anyhow::Ok(response)
        }
    });
    let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let config = Arc::new(ConnectionConfig {
        ping_interval: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(120),
        stall_timeout: Duration::from_secs(30),
        close_timeout: Duration::from_secs(5),
        large_message_timeout: Duration::from_secs(30),
        max_message_size: 64 << 20,
        read_buffer_size: 2 * 1024,
    });
    let listener = TcpListener::bind(args.address).await.context("cannot listen")?;
    println!("echo on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, args.tasks, Arc::clone(&config)));
    }
}
