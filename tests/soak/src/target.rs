//! What an attack is told of the nodes, as options of its process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::Args;
use harness::{Token, TokenIssuer};
use serde_json::json;

use crate::client::Socket;

/// The tenant that is measured.
pub const QUIET: &str = "quiet";

/// A tenant whose clients attackers are, as those of the default tenant.
pub const SECOND: &str = "second";

/// A tenant whose keys come from a slow key set.
pub const SLOW: &str = "slow";

/// The secret of this tenant, from that of the default one.
pub fn secret_of(tenant: &str, default: &str) -> String {
    format!("{default}, of {tenant}")
}

/// The attacked nodes.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The address of the first node.
    #[arg(long)]
    pub one: SocketAddr,
    /// The address of the second node.
    #[arg(long)]
    pub two: Option<SocketAddr>,
    /// The secret of the default tenant, whose clients the attackers are.
    #[arg(long)]
    pub secret: String,
    /// The settings of the first node, which it watches.
    #[arg(long)]
    pub config: PathBuf,
    /// The number of the attack, for its client addresses.
    #[arg(long)]
    pub number: u8,
}

impl Target {
    /// A client address of this attack.
    pub fn client(&self, number: usize) -> Ipv4Addr {
        Ipv4Addr::new(127, 1, self.number, 1 + (number % 200) as u8)
    }

    /// An issuer of tokens of the default tenant.
    pub fn issuer(&self) -> TokenIssuer {
        TokenIssuer::new(self.secret.clone())
    }

    /// The path of a handshake with a valid token.
    pub fn path(&self) -> String {
        format!("/socket/websocket?vsn=2.0.0&apikey={}", self.issuer().token(Token::Eternal))
    }

    /// The path of a handshake of another user each time, whose token the node has not seen.
    pub fn path_of_new_user(&self) -> Result<String> {
        static USER: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let user = USER.fetch_add(1, Ordering::Relaxed);
        let claims = json!({"role": "authenticated", "sub": format!("user {user}"), "exp": now + 3600});
        Ok(format!("/socket/websocket?vsn=2.0.0&apikey={}", self.issuer().sign(&claims)))
    }

    /// A TCP connection to the first node.
    pub fn dial(&self, number: usize) -> Result<Socket> {
        Socket::connect(self.one, self.client(number))
    }

    /// A WebSocket to the first node.
    pub fn open(&self, number: usize) -> Result<Socket> {
        self.dial(number)?.upgraded(&self.path())
    }

    /// A WebSocket of the second tenant to the first node.
    pub fn open_second(&self, number: usize) -> Result<Socket> {
        let token = TokenIssuer::new(secret_of(SECOND, &self.secret)).token(Token::Eternal);
        let path = format!("/socket/websocket?vsn=2.0.0&tenant={SECOND}&apikey={token}");
        self.dial(number)?.upgraded(&path)
    }

    /// A WebSocket to the first node, of both tenants in turns: another attack may have all that one of them gets.
    pub fn open_in_turns(&self, number: usize) -> Result<Socket> {
        if number.is_multiple_of(2) { self.open(number) } else { self.open_second(number) }
    }

    /// A WebSocket to the second node, or to the first if there is only one.
    pub fn open_far(&self, number: usize) -> Result<Socket> {
        Socket::connect(self.two.unwrap_or(self.one), self.client(number))?.upgraded(&self.path())
    }
}
