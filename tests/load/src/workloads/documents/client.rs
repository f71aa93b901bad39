//! One client that waits for what it asked for, on a blocking socket.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::service::Service;
use super::yjs;
use crate::entry;
use crate::message::{client_frame, opcode};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A connection to a document.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Opens a document, and sends step 1.
    pub fn open(service: &Service, document: usize) -> Result<Self> {
        let entry = service.entry(document, 0)?;
        let stream = TcpStream::connect(service.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let mut client = Self { stream: BufReader::with_capacity(1 << 20, stream) };
        client.stream.get_mut().write_all(&entry.hello)?;
        let mut head = Vec::new();
        while entry::upgraded(&head)?.is_none() {
            let mut byte = [0];
            client.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        client.stream.get_mut().write_all(&entry.join.unwrap_or_default())?;
        Ok(client)
    }

    /// Sends bytes that are frames already.
    pub fn send(&mut self, frames: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(frames)?)
    }

    /// Reads until step 2 has come as a whole. Returns its update.
    pub fn step_2(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(update) = yjs::update_in(&self.message()?) {
                return Ok(update.to_vec());
            }
        }
    }

    /// Reads until this echo has come.
    pub fn echo(&mut self, payload: u32) -> Result<()> {
        while yjs::echo_payload(&self.message()?) != Some(payload) {}
        Ok(())
    }

    fn message(&mut self) -> Result<Vec<u8>> {
        loop {
            let mut head = [0; 2];
            self.stream.read_exact(&mut head)?;
            let length = match head[1] {
                126 => u64::from(u16::from_be_bytes(self.bytes()?)),
                127 => u64::from_be_bytes(self.bytes()?),
                length => length.into(),
            };
            let mut body = vec![0; length as usize];
            self.stream.read_exact(&mut body)?;
            match head[0] & 0xf {
                opcode::BINARY => {
                    ensure!(head[0] & 0x80 != 0, "the message is fragmented");
                    return Ok(body);
                }
                opcode::PING => self.send(&client_frame(opcode::PONG, &body))?,
                opcode::CLOSE => bail!(
                    "the server closed the connection: {:?}",
                    body.first_chunk().map(|code| u16::from_be_bytes(*code))
                ),
                other => bail!("a frame of kind {other}"),
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// Opens a document. Returns its update, and the milliseconds from before the connection until its last byte.
pub fn timed_open(service: &Service, document: usize) -> Result<(Vec<u8>, f64)> {
    let from = Instant::now();
    let update = Client::open(service, document)?.step_2()?;
    Ok((update, from.elapsed().as_secs_f64() * 1e3))
}
