//! What editors send and receive: each types letters, and every one of them is delivered to the others of its document.
//!
//! An update counts as delivered when the clocks that a member has received without a gap include it, whether it came alone or
//! merged with others. The first editor of a document measures acknowledgements.

use std::time::Instant;

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use super::service::Service;
use super::yjs::{self, Id, kind};
use crate::connection::Listener;
use crate::frames::Part;
use crate::machine::Deadline;
use crate::message::{client_frame, opcode};
use crate::swarm::Swarm;

/// How many documents there are, and how many edit each.
#[derive(Debug, Clone, Copy)]
pub struct EditorCounts {
    pub documents: usize,
    pub editors: usize,
}

impl EditorCounts {
    /// All editors of all documents.
    pub fn members(self) -> usize {
        self.documents * self.editors
    }
}

/// All editors, and what they have received.
pub struct Editors {
    counts: EditorCounts,
    from: Instant,
    now: u64,
    /// The bytes of the name in each message.
    prefix: usize,
    /// When each update of each member was due, in nanoseconds.
    sent: Vec<Vec<u64>>,
    /// For each member, the clocks of each editor of its document.
    known: Vec<u32>,
    acknowledged: Vec<u32>,
    pub deliveries: u64,
    pub latency: Histogram<u64>,
    pub acknowledgement: Histogram<u64>,
    /// Messages that are no updates of text.
    unreadable: u64,
}

impl Editors {
    /// Opens all documents.
    pub fn open(
        service: &Service,
        counts: EditorCounts,
        swarm: &mut Swarm,
        deadline: Deadline,
    ) -> Result<Self> {
        let mut editors = Self {
            counts,
            from: Instant::now(),
            now: 0,
            prefix: service.prefix(0).len(),
            sent: vec![Vec::new(); counts.members()],
            known: vec![0; counts.members() * counts.editors],
            acknowledged: vec![0; counts.members()],
            deliveries: 0,
            latency: Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?,
            acknowledgement: Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?,
            unreadable: 0,
        };
        (0..counts.documents).try_for_each(|document| service.create(document))?;
        let entries = (0..counts.members()).map(|member| service.entry(member / counts.editors, member));
        swarm.enter(service.address, entries.collect::<Result<Vec<_>>>()?, &mut editors, deadline)?;
        Ok(editors)
    }

    /// How many they are.
    pub fn members(&self) -> usize {
        self.counts.members()
    }

    /// Nanoseconds since they opened.
    pub fn elapsed(&self) -> u64 {
        self.from.elapsed().as_nanos() as u64
    }

    /// Sends the next update of a member, which was due at this time.
    pub fn type_letter(
        &mut self,
        service: &Service,
        swarm: &mut Swarm,
        member: usize,
        due: u64,
    ) -> Result<()> {
        let clock = self.sent[member].len() as u32;
        self.sent[member].push(due);
        let acknowledged = self.measures_acknowledgement(member).then_some(clock + 1);
        let id = Id { client: self.editor(member) as u32 + 1, clock };
        let messages = service.update(member / self.counts.editors, &yjs::letter(id), acknowledged);
        let frames = messages.iter().flat_map(|body| client_frame(opcode::BINARY, body));
        swarm.send(member, &frames.collect::<Vec<_>>())
    }

    /// Updates of a member that the next editor has not received.
    pub fn in_flight(&self, member: usize) -> usize {
        let (document, editor) = (member / self.counts.editors, self.editor(member));
        let next = document * self.counts.editors + (editor + 1) % self.counts.editors;
        self.sent[member].len() - self.known[next * self.counts.editors + editor] as usize
    }

    /// Forgets what was measured.
    pub fn begin(&mut self) {
        self.deliveries = 0;
        self.latency.reset();
        self.acknowledgement.reset();
    }

    /// Whether all updates have reached all others, and those that wait for it are acknowledged.
    pub fn has_all(&self) -> bool {
        (0..self.counts.members()).all(|member| {
            let sent = self.sent[member].len() as u32;
            let (document, editor) = (member / self.counts.editors, self.editor(member));
            let is_acknowledged = !self.measures_acknowledgement(member) || self.acknowledged[member] >= sent;
            let mut others = (0..self.counts.editors).filter(|other| *other != editor);
            is_acknowledged
                && others.all(|other| {
                    self.known[(document * self.counts.editors + other) * self.counts.editors + editor]
                        == sent
                })
        })
    }

    /// Fails if something was received that is no update of text.
    pub fn check(&self) -> Result<()> {
        ensure!(self.unreadable == 0, "{} messages could not be read", self.unreadable);
        Ok(())
    }

    fn editor(&self, member: usize) -> usize {
        member % self.counts.editors
    }

    fn measures_acknowledgement(&self, member: usize) -> bool {
        self.editor(member) == 0
    }

    fn covered(&mut self, member: usize, client: u32, from: u32, to: u32) {
        let editor = client as usize - 1;
        if editor == self.editor(member) || editor >= self.counts.editors {
            return;
        }
        let known = &mut self.known[member * self.counts.editors + editor];
        if from > *known || to <= *known {
            return;
        }
        let first = std::mem::replace(known, to) as usize;
        self.deliveries += u64::from(to) - first as u64;
        let writer = member - member % self.counts.editors + editor;
        for due in &self.sent[writer][first..to as usize] {
            self.latency.saturating_record(self.now.saturating_sub(*due));
        }
    }

    fn acknowledge(&mut self, member: usize, count: u32) {
        let first = self.acknowledged[member] as usize;
        for due in self.sent[member].get(first..count as usize).unwrap_or_default() {
            self.acknowledgement.saturating_record(self.now.saturating_sub(*due));
        }
        self.acknowledged[member] = count;
    }
}

impl Listener for Editors {
    fn arrived(&mut self) {
        self.now = self.elapsed();
    }

    fn frame(&mut self, member: usize, _: u8, body: &[u8]) {
        let message = body.get(self.prefix..).unwrap_or_default();
        if let Some(update) = yjs::update_in(message) {
            let read = yjs::ranges(update, |client, from, to| self.covered(member, client, from, to));
            self.unreadable += u64::from(read.is_none());
        } else if let Some(count) = yjs::echo_payload(message) {
            self.acknowledge(member, count);
        } else if message == [kind::SYNC_STATUS, 1] && self.measures_acknowledgement(member) {
            self.acknowledge(member, self.acknowledged[member] + 1);
        }
    }

    fn part(&mut self, _: usize, _: Part<'_>) {
        // Updates are small, merged ones too: what is that large cannot be counted.
        self.unreadable += 1;
    }
}
