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

/// What waits for the task, and whether there is one.
pub(super) struct Mailbox {
    requests: VecDeque<Request>,
    messages: usize,
    bytes: usize,
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
            messages: 0,
            bytes: 0,
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
        if let Some(bytes) = request.bounded_bytes() {
            let (messages, bytes) = (self.messages + 1, self.bytes + bytes);
            // One of any size fits an empty one.
            if self.messages > 0 && (messages > bounds.messages || bytes > bounds.bytes) {
                return Err(NotPut::Full);
            }
            (self.messages, self.bytes) = (messages, bytes);
        }
        self.requests.push_back(request);
        Ok(self.next())
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
        for request in &requests {
            if let Some(bytes) = request.bounded_bytes() {
                self.messages -= 1;
                self.bytes -= bytes;
            }
        }
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
        (self.messages, self.bytes) = (0, 0);
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
