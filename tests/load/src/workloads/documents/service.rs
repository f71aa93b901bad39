//! What serves the documents: our server, or one of the programs it is compared with.
//!
//! y-sweet and Hocuspocus are started like ours, alone on the same core. They are not part of this repository: where
//! they are installed, `README.md` describes; those that are not are left out.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::yjs::{self, kind};
use crate::entry::Entry;
use crate::machine::{Deadline, Placement};
use crate::message::LINE_END;
use crate::server::{Target, fresh_folder};
use crate::setup::Setup;

/// A program to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    YSweet,
    Hocuspocus,
}

/// How its clients talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    YWebsocket,
    YSweet,
    Hocuspocus,
}

/// One that runs.
pub struct Service {
    running: Running,
    dialect: Dialect,
    pub address: SocketAddr,
}

enum Running {
    Ours(Box<Target>),
    Peer(Child, PathBuf),
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::YSweet => "y-sweet",
            Self::Hocuspocus => "Hocuspocus",
        }
    }

    fn command(self, port: u16) -> Command {
        let peers = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers");
        match self {
            Self::YSweet => {
                let mut command = Command::new(peers.join("y-sweet/bin/y-sweet"));
                command.args(["serve", "--host", "127.0.0.1", "--port", &port.to_string(), "data"]);
                command
            }
            Self::Hocuspocus => {
                let mut command = Command::new("node");
                command.arg(peers.join("hocuspocus.js")).arg(port.to_string()).env("NODE_ENV", "production");
                command
            }
        }
    }

    /// Whether it is there. If not, says so.
    pub fn is_installed(self) -> bool {
        let peers = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers");
        let file = match self {
            Self::YSweet => "y-sweet/bin/y-sweet",
            Self::Hocuspocus => "node_modules/@hocuspocus/server",
        };
        let is_there = peers.join(file).exists();
        if !is_there {
            eprintln!("    without {}: it is not installed, see tests/load/README.md", self.name());
        }
        is_there
    }

    /// Starts it.
    pub fn start(self, bench: &Bench) -> Result<Service> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = fresh_folder()?;
        let mut command = self.command(address.port());
        command.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(folder.join("stderr"))?);
        let child = match bench.cores {
            Some(cores) => cores.start_on(Placement::OneCore, || command.spawn())?,
            None => command.spawn(),
        };
        let child = child.with_context(|| format!("cannot start {}", self.name()))?;
        let dialect = match self {
            Self::YSweet => Dialect::YSweet,
            Self::Hocuspocus => Dialect::Hocuspocus,
        };
        let service = Service { running: Running::Peer(child, folder), dialect, address };
        let deadline = Deadline::after(Duration::from_secs(15));
        while TcpStream::connect(address).is_err() {
            deadline.check(|| format!("{} does not accept", self.name()))?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(service)
    }
}

impl Service {
    /// Ours, with further settings, for clients of y-websocket.
    pub fn ours(bench: &Bench, variables: Vec<(&'static str, String)>) -> Result<Self> {
        let target = bench.start_with(&Setup { variables, ..Setup::default() })?;
        Ok(Self {
            address: target.address,
            running: Running::Ours(Box::new(target)),
            dialect: Dialect::YWebsocket,
        })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        match &self.running {
            Running::Ours(target) => target.pid(),
            Running::Peer(child, _) => child.id(),
        }
    }

    /// Whether what it acknowledges is stored. Only ours is.
    pub fn is_durable(&self) -> bool {
        matches!(self.running, Running::Ours(_))
    }

    /// A number of its metrics. Only of ours.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("no metric {name}"))?.trim().parse()?)
    }

    /// From `spawn` until it accepted connections. Only of ours.
    pub fn started_in(&self) -> Duration {
        match &self.running {
            Running::Ours(target) => target.started_in,
            Running::Peer(..) => Duration::ZERO,
        }
    }

    /// What each message about this document begins with.
    pub fn prefix(&self, document: usize) -> Vec<u8> {
        let mut prefix = Vec::new();
        if self.dialect == Dialect::Hocuspocus {
            yjs::put_bytes(&mut prefix, name(document).as_bytes());
        }
        prefix
    }

    /// What an editor sends for its update, and for its acknowledgement if it wants one.
    pub fn update(&self, document: usize, update: &[u8], acknowledged: Option<u32>) -> Vec<Vec<u8>> {
        let mut messages = vec![yjs::update_message(&self.prefix(document), update)];
        if self.dialect != Dialect::Hocuspocus {
            messages.extend(acknowledged.map(yjs::echo_message));
        }
        messages
    }

    /// The first messages of an editor.
    pub fn entry(&self, document: usize, editor: usize) -> Result<Entry> {
        let (host, prefix) = (self.address.to_string(), self.prefix(document));
        let mut messages = vec![[&prefix[..], &yjs::STEP_1].concat()];
        let path = match (&self.running, self.dialect) {
            (_, Dialect::Hocuspocus) => {
                messages.insert(0, [&prefix[..], &[kind::AUTH, 0, 0]].concat());
                "/".to_owned()
            }
            (Running::Ours(target), _) => {
                format!("/yjs/{}?token={}", name(document), target.token(editor)?)
            }
            (Running::Peer(..), _) => format!("/d/{0}/ws/{0}", name(document)),
        };
        Ok(Entry::document(&host, &path, &messages, prefix.len()))
    }

    /// Creates a document where this has to be done before it is opened.
    pub fn create(&self, document: usize) -> Result<()> {
        if self.dialect != Dialect::YSweet {
            return Ok(());
        }
        let body = format!(r#"{{"docId":"{}"}}"#, name(document));
        let head = [
            "POST /doc/new HTTP/1.1".to_owned(),
            format!("Host: {}", self.address),
            "Content-Type: application/json".to_owned(),
            format!("Content-Length: {}", body.len()),
            "Connection: close".to_owned(),
            String::new(),
            body,
        ];
        let mut stream = TcpStream::connect(self.address)?;
        stream.write_all(head.join(LINE_END).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "y-sweet creates no document: {answer}");
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Running::Peer(child, folder) = &mut self.running {
            // Errors mean that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// The name of a document.
pub fn name(document: usize) -> String {
    format!("document-{document:06}")
}
