//! Clients for the `echo` example: many connections, each with some messages in flight, for some seconds.
//! Prints echoes per second; what they cost is read from the server's process.
//!
//! `cargo run --release --example echo_clients -- --pid <of echo> [--connections 1000] [--in-flight 1]`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// Measures an echo server.
#[derive(Parser)]
struct Args {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:9001")]
    address: String,
    /// Its process
    #[arg(long)]
    pid: u32,
    /// How many connect
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    /// Messages each has on the way
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    /// How long to measure
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// Processor time of a process so far.
fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let times = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += times.split(' ').next().context("schedstat is empty")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

async fn talk(address: String, in_flight: usize, echoes: Arc<AtomicU64>) -> anyhow::Result<()> {
    let stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/"), stream).await?;
    for _ in 0..in_flight {
        socket.feed(Message::binary(vec![b'x'; 256])).await?;
    }
    socket.flush().await?;
    while let Some(message) = socket.next().await {
        echoes.fetch_add(1, Ordering::Relaxed);
        socket.send(message?).await?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let echoes = Arc::new(AtomicU64::new(0));
    for _ in 0..args.connections {
        tokio::spawn(talk(args.address.clone(), args.in_flight, Arc::clone(&echoes)));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, cpu_before, from) = (echoes.load(Ordering::Relaxed), cpu(args.pid)?, Instant::now());
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let (count, spent) = (echoes.load(Ordering::Relaxed) - before, cpu(args.pid)? - cpu_before);
    println!(
        "{:.0} echoes/s, {:.3} µs of the server's CPU each",
        count as f64 / from.elapsed().as_secs_f64(),
        spent.as_secs_f64() * 1e6 / count as f64
    );
    Ok(())
}
