//! A session of PostgreSQL that runs statements, and whose end can be looked for without waiting: the measuring loop
//! cannot wait while messages arrive.
//!
//! Source: the PostgreSQL manual, «Frontend/Backend Protocol», simple queries. Results are skipped.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags};

use crate::postgres::Database;

/// Version 3.0 of the protocol.
const PROTOCOL_VERSION: u32 = 3 << 16;

/// How long statements may take.
const STATEMENTS_MAX: Duration = Duration::from_secs(60);

/// The kinds of messages that matter here.
mod kind {
    pub const AUTHENTICATION: u8 = b'R';
    pub const ERROR: u8 = b'E';
    pub const QUERY: u8 = b'Q';
    pub const READY: u8 = b'Z';
}

/// A session.
pub struct Session {
    stream: TcpStream,
    /// What has arrived, and is not a whole message yet.
    rest: Vec<u8>,
    /// The first error of the statements that run.
    error: Option<String>,
}

impl Session {
    /// Connects as the superuser.
    pub fn connect(database: &Database) -> Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", database.port()))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STATEMENTS_MAX))?;
        let parameters = b"user\0postgres\0database\0postgres\0\0";
        let size = 8 + parameters.len() as u32;
        stream
            .write_all(&[&size.to_be_bytes(), &PROTOCOL_VERSION.to_be_bytes(), &parameters[..]].concat())?;
        let mut session = Self { stream, rest: Vec::new(), error: None };
        session.wait().context("no session")?;
        Ok(session)
    }

    /// Runs statements.
    pub fn run(&mut self, sql: &str) -> Result<()> {
        self.start(sql)?;
        self.wait()
    }

    /// Starts to run statements.
    pub fn start(&mut self, sql: &str) -> Result<()> {
        let size = 4 + sql.len() as u32 + 1;
        let message = [&[kind::QUERY], &size.to_be_bytes()[..], sql.as_bytes(), b"\0"].concat();
        Ok(self.stream.write_all(&message)?)
    }

    /// Waits until the statements have ended.
    pub fn wait(&mut self) -> Result<()> {
        while !self.receive(RecvFlags::empty())? {}
        Ok(())
    }

    /// Whether the statements have ended. Does not wait.
    pub fn has_ended(&mut self) -> Result<bool> {
        self.receive(RecvFlags::DONTWAIT)
    }

    /// Receives once. Returns whether the statements have ended.
    fn receive(&mut self, flags: RecvFlags) -> Result<bool> {
        let mut buffer = [0; 4096];
        match net::recv(&self.stream, &mut buffer, flags) {
            Ok((0, _)) => bail!("PostgreSQL has closed the session"),
            Ok((received, _)) => self.rest.extend_from_slice(&buffer[..received]),
            Err(Errno::WOULDBLOCK) if flags == RecvFlags::DONTWAIT => return Ok(false),
            Err(error) => return Err(error).context("PostgreSQL does not answer"),
        }
        self.take_messages()
    }

    /// Takes all whole messages. Returns whether the last one says that the statements have ended.
    fn take_messages(&mut self) -> Result<bool> {
        let (mut at, mut has_ended) = (0, false);
        while let Some((kind, size)) =
            header(&self.rest[at..]).filter(|(_, size)| at + size <= self.rest.len())
        {
            let payload = &self.rest[at + 5..at + size];
            match kind {
                kind::AUTHENTICATION if payload != [0; 4] => bail!("PostgreSQL asks for a password"),
                kind::ERROR if self.error.is_none() => self.error = Some(fields(payload)),
                kind::READY => has_ended = true,
                _ => {}
            }
            at += size;
        }
        self.rest.drain(..at);
        match self.error.take_if(|_| has_ended) {
            Some(error) => bail!(error),
            None => Ok(has_ended),
        }
    }
}

/// The kind and the size of the message that begins here, once its header is whole.
fn header(bytes: &[u8]) -> Option<(u8, usize)> {
    let (kind, rest) = bytes.split_first()?;
    Some((*kind, 1 + u32::from_be_bytes(*rest.first_chunk()?) as usize))
}

/// The fields of an error, each after the letter that names it.
fn fields(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    text.split('\0').filter(|field| !field.is_empty()).collect::<Vec<_>>().join(", ")
}
