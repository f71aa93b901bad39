//! The task of an open document: takes what its connections have sent, until it has not been used for a while.
//!
//! The task alone has the content. Without use the content leaves the memory, then the task ends; what is left waits in the mailbox
//! for the next message.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use hub::{MemoryCharge, MemoryKind};
use tokio::time::{Instant, sleep_until};

use super::compaction;
use super::deferred::DeferredAnswers;
use super::document::Document;
use super::exchange::Exchange;
use super::held::HeldMembers;
use super::loading::LoadedContent;
use super::mailbox::Batch;
use super::parked::ParkedDocument;
use super::refused::RefusedMembers;
use super::request::Request;
use super::unsaved::Unsaved;
use crate::close_reason::DocumentCloseReason;
use crate::node::LifecyclePhase;

/// How often states of clients are looked at that may be over.
const AWARENESS_INTERVAL: Duration = Duration::from_secs(5);

/// When an append is tried again that the store has refused.
pub(super) const REFUSED_INTERVAL: Duration = Duration::from_secs(5);

/// A document while its task runs.
pub(super) struct DocumentTask {
    pub(super) document: Arc<Document>,
    pub(super) parked: Box<ParkedDocument>,
    pub(super) content: Option<LoadedContent>,
    pub(super) unsaved: Unsaved,
    /// What is kept for members and of what they show.
    kept: MemoryCharge,
    pub(super) deferred: DeferredAnswers,
    pub(super) refused: RefusedMembers,
    /// When an append is tried again that was refused.
    pub(super) retry_at: Option<Instant>,
    /// Connections that wait for their place in the room.
    pub(super) held: HeldMembers,
    /// What this node and the others owe each other.
    pub(super) exchange: Exchange,
    /// When the content was needed last.
    pub(super) used_at: Instant,
    awareness_at: Instant,
}

/// Handles what is put into the mailbox of `document`.
pub(super) async fn run(document: Arc<Document>, parked: Box<ParkedDocument>) {
    let mut task = DocumentTask::new(document, parked);
    // The panic itself is logged where it occurs.
    if AssertUnwindSafe(task.work()).catch_unwind().await.is_err() {
        task.abandon();
    }
}

impl DocumentTask {
    fn new(document: Arc<Document>, parked: Box<ParkedDocument>) -> Self {
        let kept = document.tenant.memory.charge(MemoryKind::Documents, 0);
        let unsaved = Unsaved::new(&document.tenant.memory, &document.documents.node.documents);
        let now = Instant::now();
        Self {
            document,
            parked,
            content: None,
            unsaved,
            kept,
            deferred: DeferredAnswers::default(),
            refused: RefusedMembers::default(),
            retry_at: None,
            held: HeldMembers::default(),
            exchange: Exchange::default(),
            used_at: now,
            awareness_at: now + AWARENESS_INTERVAL,
        }
    }

    /// Takes what is put into the mailbox, until it is not used.
    async fn work(&mut self) {
        let stopping = self.document.documents.node.lifecycle.token(LifecyclePhase::Stopping);
        let mut goes_on = true;
        while goes_on {
            let (deadline, is_saved) = (self.deadline(), self.unsaved.is_empty());
            let batch = tokio::select! {
                biased;
                batch = self.next_batch() => Some(batch),
                () = sleep_until(deadline) => None,
                // Nothing is waited for any more but what has to be saved.
                () = stopping.cancelled(), if is_saved => None,
            };
            match batch {
                Some(batch) => self.turn(batch).await,
                None => goes_on = self.rest(stopping.is_cancelled()).await,
            }
            self.kept.resize(self.parked.bytes() + self.deferred.bytes());
        }
    }

    /// What is to be handled next: joins of those who have their place in the room by now, or what is in the mailbox.
    pub(super) async fn next_batch(&mut self) -> Batch {
        let document = Arc::clone(&self.document);
        let (held_before, has_held) = (self.held.load(), !self.held.is_empty());
        let batch = tokio::select! {
            biased;
            requests = poll_fn(|cx| self.held.poll_confirmed(cx)), if has_held => {
                Batch { requests, ..Batch::default() }
            }
            batch = document.take() => {
                let requests = self.held.hold(batch.requests);
                Batch { requests, ..batch }
            }
        };
        if self.held.load() != held_before {
            document.set_held(self.held.load());
        }
        batch
    }

    /// Ends the use of the document by all, after a panic. Who connects again opens it anew, from what is stored.
    fn abandon(mut self) {
        let waiting = self.document.documents.abandon(&self.document);
        let requests = waiting.into_iter().chain(self.held.take_all());
        for request in requests {
            if let Request::Join(_, member) = request {
                member.fail(DocumentCloseReason::Failed);
            }
        }
        self.parked.members.values().for_each(|member| member.fail(DocumentCloseReason::Failed));
    }

    /// When something is due at the latest.
    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let unload = self.used_at + self.document.documents.node.settings().documents.unload_after;
        let awareness = (!self.parked.awareness.is_empty()).then_some(self.awareness_at);
        let deferred = self.deferred.due_at();
        let rest = match self.unsaved.is_empty() {
            // It is waited for, not looked at: its end is put into the mailbox.
            false => now + REFUSED_INTERVAL,
            true if self.content.is_some() => unload,
            true if self.is_idle() => now,
            // For what else is due, or in the mailbox.
            true => now + AWARENESS_INTERVAL,
        };
        let exchange = self.exchange.due_at();
        [awareness, deferred, exchange, self.retry_at].into_iter().flatten().fold(rest, Instant::min)
    }

    /// Does what is due. Returns whether the task goes on.
    async fn rest(&mut self, is_stopping: bool) -> bool {
        let now = Instant::now();
        if now >= self.awareness_at {
            self.awareness_at = now + AWARENESS_INTERVAL;
            let removed = self.parked.awareness.expire(now.into_std());
            self.publish_awareness(removed);
        }
        self.answer_deferred().await;
        self.settle_exchange(now).await;
        if self.retry_at.is_some_and(|at| now >= at) {
            self.retry_at = None;
            self.submit();
        }
        let unload_after = self.document.documents.node.settings().documents.unload_after;
        let is_unused = is_stopping || self.content.is_none() || now >= self.used_at + unload_after;
        if !is_unused || !self.unsaved.is_empty() || (!self.deferred.is_empty() && !is_stopping) {
            return true;
        }
        if let Some(loaded) = self.content.take() {
            self.parked.shown = Some(loaded.content.state_vector().into());
            compaction::compact(&self.document);
        }
        !((self.is_idle() || is_stopping) && self.end())
    }

    /// Whether nothing is due without the content.
    fn is_idle(&self) -> bool {
        self.deferred.is_empty()
            && self.held.is_empty()
            && self.exchange.due_at().is_none()
            && self.parked.awareness.is_empty()
    }

    /// Ends the task, if nothing waits for it.
    fn end(&mut self) -> bool {
        if self.parked.members.is_empty() {
            return self.document.documents.close(&self.document);
        }
        let parked = std::mem::take(&mut self.parked);
        self.document.park(parked).map_err(|parked| self.parked = parked).is_ok()
    }
}
