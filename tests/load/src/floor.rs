//! The floor: the least any relay can do on this machine.
//!
//! A program without protocol. A connection's first four bytes name its room; after that it sends
//! frames, and each is copied to every other member of the room. No parsing beyond the length of a
//! frame, no checks, no limits, no timers, one thread. Whatever a real server does on top of this is
//! its own cost, so every goal is a ratio to the floor measured in the same run.
//!
//! Two styles bracket what is possible. `single` writes each frame to each member at once: the
//! quickest a message can get there, one system call per delivery. `coalesced` gathers what a turn of the
//! loop brings and writes once per member: the most that can be moved.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::connection::ReadUntil;
use crate::message::{opcode, server_frame};

const LISTENER: Token = Token(usize::MAX);
const READ_BUFFER: usize = 256 * 1024;

/// When the floor writes.
#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
pub enum Style {
    /// One write per frame and member, at once.
    Single,
    /// One write per member and turn of the loop.
    Coalesced,
}

/// Listens, prints its address to stdout, and relays until it is killed.
pub fn run(style: Style, address: SocketAddr) -> Result<()> {
    let mut listener = TcpListener::bind(address).with_context(|| format!("cannot bind {address}"))?;
    println!("{}", listener.local_addr()?);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut floor = Floor { style, members: Slab::new(), rooms: Vec::new(), dirty: Vec::new() };
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            match event.token() {
                LISTENER => floor.accept_all(&listener, &poll)?,
                Token(member) => {
                    if event.is_writable() {
                        floor.members[member].flush();
                    }
                    if event.is_readable() || event.is_read_closed() {
                        floor.read(member, ReadUntil::of(event), &mut buffer);
                    }
                }
            }
        }
        for member in floor.dirty.drain(..) {
            if let Some(member) = floor.members.get_mut(member) {
                member.is_dirty = false;
                member.flush();
            }
        }
    }
}

struct Floor {
    style: Style,
    members: Slab<Member>,
    rooms: Vec<Vec<usize>>,
    dirty: Vec<usize>,
}

impl Floor {
    fn accept_all(&mut self, listener: &TcpListener, poll: &Poll) -> Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // A client that has closed before it was accepted sends nothing.
                Err(_) => continue,
            };
            let entry = self.members.vacant_entry();
            // Both at once and edge-triggered: no call to epoll ever again for this socket.
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            stream.set_nodelay(true)?;
            entry.insert(Member::new(stream));
        }
    }

    fn read(&mut self, from: usize, until: ReadUntil, buffer: &mut [u8]) {
        loop {
            let member = &mut self.members[from];
            let kept = member.rest.len();
            buffer[..kept].copy_from_slice(&member.rest);
            let read = match member.stream.read(&mut buffer[kept..]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => return self.remove(from),
                Ok(read) => read,
            };
            member.rest.clear();
            let filled = kept + read;
            let taken = self.take(from, &buffer[..filled]);
            self.members[from].rest.extend_from_slice(&buffer[taken..filled]);
            if filled < buffer.len() && until == ReadUntil::WouldBlock {
                return;
            }
        }
    }

    /// Takes whole frames off the front. Returns their length in bytes.
    fn take(&mut self, from: usize, bytes: &[u8]) -> usize {
        let mut at = 0;
        let room = match self.members[from].room {
            Some(room) => room,
            None => {
                let Some(number) = bytes.first_chunk() else { return 0 };
                at = number.len();
                self.enter(from, u32::from_le_bytes(*number) as usize)
            }
        };
        while let Some(size) = frame_size(&bytes[at..]).filter(|size| at + size <= bytes.len()) {
            self.relay(room, from, &bytes[at..at + size]);
            at += size;
        }
        at
    }

    fn enter(&mut self, member: usize, room: usize) -> usize {
        if self.rooms.len() <= room {
            self.rooms.resize_with(room + 1, Vec::new);
        }
        self.rooms[room].push(member);
        let entered = &mut self.members[member];
        entered.room = Some(room);
        entered.write(&server_frame(opcode::BINARY, &[]));
        room
    }

    fn relay(&mut self, room: usize, from: usize, frame: &[u8]) {
        for &to in &self.rooms[room] {
            if to == from {
                continue;
            }
            let member = &mut self.members[to];
            match self.style {
                Style::Single => member.write(frame),
                Style::Coalesced => {
                    member.unsent.extend_from_slice(frame);
                    if !member.is_dirty {
                        member.is_dirty = true;
                        self.dirty.push(to);
                    }
                }
            }
        }
    }

    fn remove(&mut self, member: usize) {
        let removed = self.members.remove(member);
        if let Some(room) = removed.room {
            self.rooms[room].retain(|other| *other != member);
        }
    }
}

/// Header and body of the frame that begins here, once its header is whole.
fn frame_size(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [_, 126, a, b, ..] => Some(4 + usize::from(u16::from_be_bytes([a, b]))),
        [_, short @ ..=125, ..] => Some(2 + usize::from(short)),
        _ => None,
    }
}

struct Member {
    stream: TcpStream,
    room: Option<usize>,
    rest: Vec<u8>,
    unsent: Vec<u8>,
    sent: usize,
    is_dirty: bool,
}

impl Member {
    fn new(stream: TcpStream) -> Self {
        Self { stream, room: None, rest: Vec::new(), unsent: Vec::new(), sent: 0, is_dirty: false }
    }

    /// Writes at once; keeps what the kernel does not take. An error shows again when we read.
    fn write(&mut self, frame: &[u8]) {
        let taken = if self.unsent.is_empty() { self.stream.write(frame).unwrap_or(0) } else { 0 };
        self.unsent.extend_from_slice(&frame[taken..]);
    }

    fn flush(&mut self) {
        if self.unsent.is_empty() {
            return;
        }
        self.sent += self.stream.write(&self.unsent[self.sent..]).unwrap_or(0);
        if self.sent == self.unsent.len() {
            self.unsent.clear();
            self.sent = 0;
        }
    }
}
