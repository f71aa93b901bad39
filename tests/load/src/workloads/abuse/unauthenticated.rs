//! Clients without a valid token: handshakes with unknown keys, posts to the quiet tenant, sockets that do nothing.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::attacker::{Attacker, Pace};
use super::raw::{RawSocket, Received};
use super::{Attack, Nodes};
use crate::message;
use crate::report::Goal;
use crate::server::Target;

/// 600 handshakes with an unknown `kid` of a tenant whose key set is not answered.
pub const KEYS: Attack = Attack {
    nodes: Nodes::One,
    variables: || Ok(vec![("REALTIME__TENANTS__KEYS__AUTH__JWKS_URL", slow_provider()?)]),
    attacker: |targets, _| Ok(Box::new(Crowd::of_unknown_keys(targets[0])?)),
    presence: Goal::None,
    effect: "handshakes with an unknown key/s",
    before: Duration::from_millis(500),
};

/// Posts without a token against the quiet tenant, which may send 500 messages a second.
pub const POSTS: Attack = Attack {
    nodes: Nodes::One,
    variables: || Ok(vec![("REALTIME__LIMITS__MAX_EVENTS_PER_SECOND", "500".to_owned())]),
    attacker: |targets, _| Ok(Box::new(Posts::new(targets[0]))),
    presence: Goal::None,
    effect: "posts without a token/s",
    before: Duration::from_millis(2_000),
};

/// One address opens 1,223 sockets and keeps them.
pub const SOCKETS: Attack = Attack {
    nodes: Nodes::One,
    variables: || Ok(vec![("REALTIME__SERVER__MAX_CONNECTIONS", "1500".to_owned())]),
    attacker: |targets, _| Ok(Box::new(Crowd::of_sockets(targets[0]))),
    presence: Goal::None,
    effect: "sockets opened again/s",
    before: Duration::from_millis(1_500),
};

const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Accepts every connection and answers none, until the program ends.
fn slow_provider() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    Ok(url)
}

/// A number of sockets, each opened again after the server has answered or closed it.
struct Crowd {
    server: SocketAddr,
    /// Sent at once by a new socket, each the next one.
    requests: Vec<Vec<u8>>,
    addresses: Vec<Ipv4Addr>,
    size: usize,
    sockets: Vec<RawSocket>,
    opened: usize,
    pace: Pace,
    looked_at: Instant,
}

impl Crowd {
    const LOOK: Duration = Duration::from_millis(50);

    fn of_unknown_keys(target: &Target) -> Result<Self> {
        let host = format!("keys.localhost:{}", target.address.port());
        let request = |number| Ok(message::upgrade(&host, &target.unknown_key(number)?).into_bytes());
        Ok(Self {
            requests: (0..600).map(request).collect::<Result<_>>()?,
            // So many that a limit per address is not what protects the others.
            addresses: (1..=200).map(|last| Ipv4Addr::new(127, 0, 1, last)).collect(),
            ..Self::new(target, 600)
        })
    }

    fn of_sockets(target: &Target) -> Self {
        Self::new(target, 1_223)
    }

    fn new(target: &Target, size: usize) -> Self {
        Self {
            server: target.address,
            requests: Vec::new(),
            addresses: vec![ATTACKER],
            size,
            sockets: Vec::new(),
            opened: 0,
            pace: Pace::per_second(size as u32),
            looked_at: Instant::now(),
        }
    }

    fn open(&mut self) -> Result<()> {
        let address = self.addresses[self.opened % self.addresses.len()];
        let mut socket = RawSocket::connect(address, self.server)?;
        if !self.requests.is_empty() {
            socket.send(&self.requests[self.opened % self.requests.len()]);
        }
        self.sockets.push(socket);
        self.opened += 1;
        Ok(())
    }
}

impl Attacker for Crowd {
    fn start(&mut self) {
        self.pace.restart();
    }

    fn attack(&mut self) -> Result<u64> {
        let before = self.opened;
        for _ in 0..self.pace.due() {
            if self.sockets.len() < self.size {
                self.open()?;
            }
        }
        if self.looked_at.elapsed() > Self::LOOK {
            self.looked_at = Instant::now();
            self.sockets.retain_mut(|socket| socket.receive() == Received::Nothing);
        }
        thread::sleep(Duration::from_millis(2));
        Ok((self.opened - before) as u64)
    }

    fn stop(&mut self) {
        self.sockets.clear();
    }

    fn rest(&mut self) -> Result<()> {
        thread::sleep(Duration::from_millis(5));
        Ok(())
    }
}

/// Connections with one request at a time.
struct Posts {
    server: SocketAddr,
    request: Vec<u8>,
    /// `None`: to be opened.
    connections: Vec<Option<RawSocket>>,
    waiting: Vec<bool>,
    pace: Pace,
}

impl Posts {
    const CONNECTIONS: usize = 16;
    const PER_SECOND: u32 = 3_500;

    fn new(target: &Target) -> Self {
        let body = r#"{"messages":[{"topic":"room","event":"e","payload":{}}]}"#;
        let request = format!(
            "POST /api/broadcast HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            target.address,
            body.len()
        );
        Self {
            server: target.address,
            request: request.into_bytes(),
            connections: (0..Self::CONNECTIONS).map(|_| None).collect(),
            waiting: vec![false; Self::CONNECTIONS],
            pace: Pace::per_second(Self::PER_SECOND),
        }
    }
}

impl Attacker for Posts {
    fn start(&mut self) {
        self.pace.restart();
    }

    fn attack(&mut self) -> Result<u64> {
        let mut due = self.pace.due();
        let mut sent = 0;
        for (connection, waiting) in self.connections.iter_mut().zip(&mut self.waiting) {
            match connection.as_mut().map(RawSocket::receive) {
                Some(Received::Response) => *waiting = false,
                Some(Received::Closed) => (*connection, *waiting) = (None, false),
                Some(Received::Nothing) | None => {}
            }
            if !*waiting && due > 0 {
                if connection.is_none() {
                    *connection = Some(RawSocket::connect(ATTACKER, self.server)?);
                }
                connection.as_mut().expect("it was opened").send(&self.request);
                *waiting = true;
                due -= 1;
                sent += 1;
            }
        }
        thread::sleep(Duration::from_millis(1));
        Ok(sent)
    }

    fn rest(&mut self) -> Result<()> {
        thread::sleep(Duration::from_millis(5));
        Ok(())
    }
}
