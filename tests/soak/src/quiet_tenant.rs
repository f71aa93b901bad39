//! The quiet tenant: one client that sends, one beside it, and one on the second node.
//!
//! Every 10 ms it sends a heartbeat or a broadcast, after the effect of the one before. An answer that takes longer counts
//! once for each 10 ms, as those would have waited that were not sent meanwhile. Broadcasts are numbered, so that a lost
//! one is seen at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::{Token, TokenIssuer};
use serde_json::{Value, json};

use crate::client::Socket;
use crate::nodes::Nodes;
use crate::target::{QUIET, secret_of};

const ROOM: &str = "realtime:quiet";

/// From one message to the next.
const INTERVAL: Duration = Duration::from_millis(10);

/// What is measured.
pub const KINDS: [&str; 3] = ["heartbeat", "broadcast", "broadcast to the other node"];

/// The connections of the tenant.
#[derive(Debug)]
pub struct QuietTenant {
    speaker: Socket,
    near: Socket,
    far: Option<Socket>,
    next: u64,
    /// What was not as it should be.
    pub faults: Vec<String>,
    addresses: (SocketAddr, Option<SocketAddr>),
    issuer: TokenIssuer,
}

/// Latencies by kind, in order.
#[derive(Debug, Default)]
pub struct Window([Vec<Duration>; 3]);

impl Window {
    /// Latencies by kind, each in order.
    #[cfg(test)]
    pub fn of(kinds: [Vec<Duration>; 3]) -> Window {
        Window(kinds)
    }

    /// Adds a latency, and those of the messages that were not sent because of it.
    fn add(&mut self, kind: usize, latency: Duration) {
        let mut of_next = latency.checked_sub(INTERVAL);
        self.0[kind].push(latency);
        while let Some(latency) = of_next {
            self.0[kind].push(latency);
            of_next = latency.checked_sub(INTERVAL);
        }
    }

    /// The 99th percentile of a kind in milliseconds; none if there is nothing of it.
    pub fn p99(&self, kind: usize) -> Option<f64> {
        let sorted = &self.0[kind];
        let at = (sorted.len() * 99).div_ceil(100).checked_sub(1)?;
        Some(sorted[at].as_secs_f64() * 1e3)
    }

    /// The median of a kind in milliseconds.
    pub fn p50(&self, kind: usize) -> Option<f64> {
        self.0[kind].get(self.0[kind].len() / 2).map(|time| time.as_secs_f64() * 1e3)
    }

    /// The longest of a kind in milliseconds.
    pub fn max(&self, kind: usize) -> Option<f64> {
        self.0[kind].last().map(|time| time.as_secs_f64() * 1e3)
    }
}

impl QuietTenant {
    /// Joins its room with all clients.
    pub fn join(nodes: &Nodes) -> Result<QuietTenant> {
        let issuer = TokenIssuer::new(secret_of(QUIET, &nodes.secret));
        let addresses = (nodes.one.address(), nodes.two.as_ref().map(|node| node.address()));
        let near = connect(&issuer, addresses.0, Ipv4Addr::LOCALHOST)?;
        let far = addresses.1.map(|address| connect(&issuer, address, Ipv4Addr::LOCALHOST)).transpose()?;
        let speaker = connect(&issuer, addresses.0, Ipv4Addr::LOCALHOST)?;
        Ok(QuietTenant { speaker, near, far, next: 0, faults: Vec::new(), addresses, issuer })
    }

    /// What it measures: without a second node no broadcasts to one.
    pub fn kinds(&self) -> &'static [&'static str] {
        if self.far.is_some() { &KINDS } else { &KINDS[..2] }
    }

    /// Sends for this long. A message without its effect is a fault, after which all clients connect anew.
    pub fn measure(&mut self, time: Duration) -> Result<Window> {
        let (mut window, from) = (Window::default(), Instant::now());
        let mut due = from;
        while due < from + time {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if let Err(error) = self.send(&mut window) {
                self.faults.push(format!("message {}: {error:#}", self.next));
                ensure!(self.faults.len() < 10, "too many faults: {:?}", self.faults);
                self.connect_anew()?;
            }
            due = Instant::now().max(due + INTERVAL);
        }
        window.0.iter_mut().for_each(|kind| kind.sort());
        Ok(window)
    }

    fn send(&mut self, window: &mut Window) -> Result<()> {
        self.next += 1;
        let (number, sent) = (self.next, Instant::now());
        if number.is_multiple_of(2) {
            let reference = number.to_string();
            self.speaker.send(&json!([null, reference, "phoenix", "heartbeat", {}]))?;
            let reply = self.speaker.next_text()?;
            ensure!(reply[1] == reference && reply[4]["status"] == "ok", "{reply}");
            window.add(0, sent.elapsed());
            return Ok(());
        }
        let payload = json!({"type": "broadcast", "event": "said", "payload": {"number": number}});
        self.speaker.send(&json!(["1", "b", ROOM, "broadcast", payload]))?;
        receive(&mut self.near, number)?;
        window.add(1, sent.elapsed());
        if let Some(far) = &mut self.far {
            receive(far, number)?;
            window.add(2, sent.elapsed());
        }
        Ok(())
    }

    fn connect_anew(&mut self) -> Result<()> {
        self.near = connect(&self.issuer, self.addresses.0, Ipv4Addr::LOCALHOST)?;
        self.far = self
            .addresses
            .1
            .map(|address| connect(&self.issuer, address, Ipv4Addr::LOCALHOST))
            .transpose()?;
        self.speaker = connect(&self.issuer, self.addresses.0, Ipv4Addr::LOCALHOST)?;
        Ok(())
    }
}

/// A client of the quiet tenant in its room.
pub fn connect(issuer: &TokenIssuer, to: SocketAddr, from: Ipv4Addr) -> Result<Socket> {
    let token = issuer.token(Token::Eternal);
    let path = format!("/socket/websocket?vsn=2.0.0&tenant={QUIET}&apikey={token}");
    let mut socket = Socket::connect(to, from)?.upgraded(&path)?;
    socket.join(ROOM, &json!({}))?;
    Ok(socket)
}

/// Receives the broadcast of this number, and no other.
fn receive(socket: &mut Socket, number: u64) -> Result<()> {
    let message: Value = socket.next_text()?;
    ensure!(message[4]["payload"]["number"] == number, "lost, repeated or out of order: {message}");
    Ok(())
}
