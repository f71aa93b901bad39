//! What waits for the task of a document.
//!
//! Bounded in bytes and in number: a document whose editors send faster than it can be changed refuses more. Joins, leaves and
//! results are never refused; there are as many of them as connections.

use std::collections::VecDeque;
use std::mem;
use std::task::{Context, Poll, Waker};

use hub::NodeId;

use super::parked::ParkedDocument;
use super::request::Request;
use crate::store::{DocumentVersion, StoreError};

/// What has become of the other nodes, and of the store. Apart from requests, because it is never refused and never much.
#[derive(Debug, Default)]
pub(super) struct DocumentNotices {
    /// Nodes that are gone.
    pub(super) lost: Vec<NodeId>,
    /// What is stored by now.
    pub(super) version: Option<DocumentVersion>,
    /// Messages of other nodes were missed.
    pub(super) has_missed: bool,
    /// The bus is back: what this node shows was removed by the others.
    pub(super) was_away: bool,
}

impl DocumentNotices {
    fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.version.is_none() && !self.has_missed && !self.was_away
    }
}

/// What became of an append: the rows of the updates, in their order.
pub(super) type Saved = Result<Vec<i64>, StoreError>;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct MailboxBounds {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// What counts against the bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct MailboxLoad {
    messages: usize,
    bytes: usize,
}

impl MailboxLoad {
    pub(super) fn add(&mut self, request: &Request) {
        if let Some(bytes) = request.bounded_bytes() {
            self.messages += 1;
            self.bytes += bytes;
        }
    }

    pub(super) fn subtract(&mut self, request: &Request) {
        if let Some(bytes) = request.bounded_bytes() {
            self.messages -= 1;
            self.bytes -= bytes;
        }
    }

    /// Whether `bytes` more, of one message, exceed the bounds. One of any size fits where nothing waits.
    fn is_exceeded_by(self, bytes: usize, held: Self, bounds: MailboxBounds) -> bool {
        let (messages, waiting) = (self.messages + held.messages, self.bytes + held.bytes);
        messages > 0 && (messages + 1 > bounds.messages || waiting + bytes > bounds.bytes)
    }
}

/// What waits for the task, and whether there is one.
pub(super) struct Mailbox {
    requests: VecDeque<Request>,
    load: MailboxLoad,
    /// What the task has taken out and cannot handle yet.
    held: MailboxLoad,
    saved: Option<Saved>,
    notices: DocumentNotices,
    phase: Phase,
}

enum Phase {
    /// No task runs; this is what it left.
    Parked(Box<ParkedDocument>),
    /// A task runs, and waits with this waker.
    Running(Option<Waker>),
    /// It is no longer in the table of open documents.
    Closed,
}

/// Why something cannot be put into a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotPut {
    /// Too much waits.
    Full,
    /// The document was closed meanwhile, and may be opened again.
    Closed,
}

/// What a task takes out at once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) requests: Vec<Request>,
    pub(super) saved: Option<Saved>,
    pub(super) notices: DocumentNotices,
}

impl Mailbox {
    pub(super) fn new() -> Self {
        Self {
            requests: VecDeque::new(),
            load: MailboxLoad::default(),
            held: MailboxLoad::default(),
            saved: None,
            notices: DocumentNotices::default(),
            phase: Phase::Parked(Box::default()),
        }
    }

    /// Puts a request in. Returns what a task is to be started with, if none runs, and else the waker of the one that does.
    pub(super) fn put(&mut self, request: Request, bounds: MailboxBounds) -> Result<Next, NotPut> {
        if matches!(self.phase, Phase::Closed) {
            return Err(NotPut::Closed);
        }
        if let Some(bytes) = request.bounded_bytes()
            && self.load.is_exceeded_by(bytes, self.held, bounds)
        {
            return Err(NotPut::Full);
        }
        self.load.add(&request);
        self.requests.push_back(request);
        Ok(self.next())
    }

    /// The task has taken this out and cannot handle it yet.
    pub(super) fn set_held(&mut self, held: MailboxLoad) {
        self.held = held;
    }

    /// An append has ended.
    pub(super) fn put_saved(&mut self, saved: Saved) -> Next {
        self.saved = Some(saved);
        self.next()
    }

    /// Notes something that the task has to know.
    pub(super) fn notify(&mut self, note: impl FnOnce(&mut DocumentNotices)) -> Next {
        note(&mut self.notices);
        self.next()
    }

    /// Whether nothing waits for the task.
    fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.saved.is_none() && self.notices.is_empty()
    }

    fn next(&mut self) -> Next {
        match mem::replace(&mut self.phase, Phase::Running(None)) {
            Phase::Parked(parked) => Next::Start(parked),
            Phase::Running(waker) => Next::Wake(waker),
            Phase::Closed => {
                self.phase = Phase::Closed;
                Next::Wake(None)
            }
        }
    }

    /// Takes what waits, up to `max` requests.
    pub(super) fn poll_take(&mut self, max: usize, cx: &mut Context<'_>) -> Poll<Batch> {
        if self.is_empty() {
            self.phase = Phase::Running(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        let count = self.requests.len().min(max);
        let requests: Vec<Request> = self.requests.drain(..count).collect();
        if self.requests.is_empty() {
            self.requests.shrink_to(8);
        }
        requests.iter().for_each(|request| self.load.subtract(request));
        let notices = mem::take(&mut self.notices);
        Poll::Ready(Batch { requests, saved: self.saved.take(), notices })
    }

    /// Ends the task, if nothing waits for it. Else returns what it wanted to leave.
    pub(super) fn park(&mut self, parked: Box<ParkedDocument>) -> Result<(), Box<ParkedDocument>> {
        if !self.is_empty() {
            return Err(parked);
        }
        self.phase = Phase::Parked(parked);
        Ok(())
    }

    /// Ends the task for good, if nothing waits for it.
    pub(super) fn close(&mut self) -> bool {
        let is_empty = self.is_empty();
        if is_empty {
            self.phase = Phase::Closed;
        }
        is_empty
    }

    /// Ends the task for good, which has failed. Returns what waits for it.
    pub(super) fn abandon(&mut self) -> Vec<Request> {
        self.phase = Phase::Closed;
        self.load = MailboxLoad::default();
        mem::take(&mut self.requests).into()
    }
}

/// What is to be done after something was put in.
pub(super) enum Next {
    /// A task is to be started.
    Start(Box<ParkedDocument>),
    /// The task is to be woken, if it waits.
    Wake(Option<Waker>),
}

#[cfg(test)]
mod tests {
    use hub::{MemoryKind, TenantMemory};

    use super::*;
    use crate::documents::MemberId;
    use crate::documents::request::MemberMessage;

    fn message() -> Request {
        let charge = TenantMemory::unlimited().charge(MemoryKind::Documents, 0);
        Request::Message(MemberId(1), MemberMessage::Update([0, 0].into()), charge)
    }

    #[test]
    fn what_the_task_holds_counts_against_the_bounds() {
        let (mut mailbox, mut held) = (Mailbox::new(), MailboxLoad::default());
        let bounds = MailboxBounds { messages: 2, bytes: 100 };
        held.add(&message());
        mailbox.set_held(held);
        assert!(mailbox.put(message(), bounds).is_ok());
        assert_eq!(mailbox.put(message(), bounds).err(), Some(NotPut::Full));
        held.subtract(&message());
        mailbox.set_held(held);
        assert!(mailbox.put(message(), bounds).is_ok());
        let bounds = MailboxBounds { messages: 9, bytes: 5 };
        assert_eq!(mailbox.put(message(), bounds).err(), Some(NotPut::Full), "six bytes");
    }
}
