//! All clients of one run: N sockets, one epoll loop, one thread.
//!
//! A turn looks at what is ready and hands what arrived to a listener. While measuring, turns do not
//! sleep: a sleeping client would have to be woken by the server's write, and that costs the server an
//! interrupt to another core each time, which on a virtual machine is the noisiest thing there is.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use mio::{Events, Interest, Poll, Token};

use crate::connection::{Change, Connection, Listener, ReadUntil};
use crate::entry::Entry;
use crate::frames::BIGGEST_WHOLE_FRAME;
use crate::machine::Deadline;

/// How many connections are on their way in at a time: enough to keep a server busy, not enough to
/// overflow its accept queue, where a lost SYN costs a second.
const ENTERING_AT_ONCE: usize = 128;

/// All clients of one run. Members are numbered in the order they came.
pub struct Swarm {
    poll: Poll,
    events: Events,
    members: Vec<Connection>,
    buffer: Box<[u8]>,
    joined: usize,
    gone: usize,
    turns: u64,
    empty_turns: u64,
}

impl Swarm {
    /// A swarm without connections yet.
    pub fn new() -> Result<Self> {
        Ok(Self {
            poll: Poll::new().context("no epoll")?,
            events: Events::with_capacity(1024),
            members: Vec::new(),
            buffer: vec![0; 4 * BIGGEST_WHOLE_FRAME].into_boxed_slice(),
            joined: 0,
            gone: 0,
            turns: 0,
            empty_turns: 0,
        })
    }

    /// Opens the connections and joins their rooms, a bounded number at a time.
    pub fn enter(
        &mut self,
        address: SocketAddr,
        entries: impl IntoIterator<Item = Entry>,
        listener: &mut impl Listener,
        deadline: Deadline,
    ) -> Result<()> {
        let mut entries = entries.into_iter().fuse();
        loop {
            while self.members.len() - self.joined < ENTERING_AT_ONCE {
                let Some(entry) = entries.next() else { break };
                self.open(address, entry)?;
            }
            if self.joined == self.members.len() {
                return Ok(());
            }
            deadline.check(|| format!("{} of {} joined", self.joined, self.members.len()))?;
            self.turn(Some(Duration::from_millis(50)), listener)?;
        }
    }

    /// Begins to connect one more member, and returns its number.
    pub fn open(&mut self, address: SocketAddr, entry: Entry) -> Result<usize> {
        let mut connection = Connection::open(address, entry)?;
        let member = self.members.len();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(connection.socket(), Token(member), interest)?;
        self.members.push(connection);
        Ok(member)
    }

    /// Whether all members that were opened have joined.
    pub fn all_have_joined(&self) -> bool {
        self.joined == self.members.len()
    }

    /// Starts to close the connection of a member.
    pub fn close(&mut self, member: usize) -> Result<()> {
        self.members[member].leave()
    }

    /// One look at what is ready. `wait` is how long to sleep if nothing is; zero is «not at all».
    pub fn turn(&mut self, wait: Option<Duration>, listener: &mut impl Listener) -> Result<()> {
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            polled => polled.context("epoll failed")?,
        }
        self.turns += 1;
        self.empty_turns += u64::from(self.events.is_empty());
        for event in &self.events {
            let member = event.token().0;
            let connection = &mut self.members[member];
            if event.is_writable() {
                connection.on_writable().with_context(|| format!("member {member}"))?;
            }
            if event.is_readable() || event.is_read_closed() {
                let change = connection
                    .on_readable(member, ReadUntil::of(event), &mut self.buffer, listener)
                    .with_context(|| format!("member {member}"))?;
                match change {
                    Change::None => {}
                    Change::Joined => self.joined += 1,
                    Change::Gone => self.gone += 1,
                }
            }
        }
        Ok(())
    }

    /// The share of turns that found nothing, since this was last asked. Near zero while the target's core is
    /// not full, this program is the bottleneck.
    pub fn idle_share(&mut self) -> f64 {
        let (turns, empty) = (std::mem::take(&mut self.turns), std::mem::take(&mut self.empty_turns));
        empty as f64 / turns.max(1) as f64
    }

    /// Turns until something is so, asleep in between.
    pub fn turn_until<L: Listener>(
        &mut self,
        listener: &mut L,
        deadline: Deadline,
        progress: impl Fn(&L) -> String,
        is_so: impl Fn(&L) -> bool,
    ) -> Result<()> {
        while !is_so(listener) {
            deadline.check(|| progress(listener))?;
            self.turn(Some(Duration::from_millis(5)), listener)?;
        }
        Ok(())
    }

    /// Turns for a while, asleep in between.
    pub fn turn_for(&mut self, time: Duration, listener: &mut impl Listener) -> Result<()> {
        let end = Deadline::after(time);
        while !end.has_passed() {
            self.turn(Some(Duration::from_millis(5)), listener)?;
        }
        Ok(())
    }

    /// Sends bytes from a member.
    pub fn send(&mut self, member: usize, bytes: &[u8]) -> Result<()> {
        self.members[member].send(bytes).with_context(|| format!("member {member}"))
    }

    /// Whether the kernel has accepted all bytes of a member.
    pub fn has_sent_all(&self, member: usize) -> bool {
        self.members[member].has_sent_all()
    }

    /// Stops to read from the socket of this member.
    pub fn stop_reading(&mut self, member: usize) -> Result<()> {
        let connection = &mut self.members[member];
        connection.shrink_receive_buffer()?;
        Ok(self.poll.registry().deregister(connection.socket())?)
    }

    /// Starts to close every connection, and waits until the other side has closed them.
    pub fn leave(mut self, listener: &mut impl Listener, deadline: Deadline) -> Result<()> {
        for member in 0..self.members.len() {
            self.members[member].leave()?;
            if member % ENTERING_AT_ONCE == 0 {
                self.turn(Some(Duration::ZERO), listener)?;
            }
        }
        while self.gone < self.members.len() {
            deadline.check(|| format!("{} of {} were closed", self.gone, self.members.len()))?;
            self.turn(Some(Duration::from_millis(50)), listener)?;
        }
        Ok(())
    }
}
