//! The updates of a document that are not in the store yet, and the answers that wait for that.

use std::sync::Arc;

use bytes::Bytes;
use hub::{MemoryCharge, MemoryKind, TenantMemory};

use super::delayed_answers::DelayedAnswers;
use crate::node::DocumentCounts;
use crate::store::{DocumentName, DocumentUpdate};

/// Bytes that an update takes beside its content until it is stored.
const UPDATE_OVERHEAD: usize = 160;

/// Updates on their way to the store.
#[derive(Debug)]
pub(super) struct Unsaved {
    /// Those of the append that is under way.
    appending: Part,
    /// Those that came since.
    next: Part,
    is_appending: bool,
    charge: MemoryCharge,
    counts: Arc<DocumentCounts>,
}

#[derive(Debug, Default)]
struct Part {
    updates: Vec<DocumentUpdate>,
    answers: DelayedAnswers,
    bytes: usize,
}

impl Unsaved {
    pub(super) fn new(memory: &Arc<TenantMemory>, counts: &Arc<DocumentCounts>) -> Self {
        let charge = memory.charge(MemoryKind::Documents, 0);
        let (appending, next) = (Part::default(), Part::default());
        Self { appending, next, is_appending: false, charge, counts: Arc::clone(counts) }
    }

    /// The bytes that the updates take.
    pub(super) fn bytes(&self) -> usize {
        self.appending.bytes + self.next.bytes
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_appending && self.next.updates.is_empty()
    }

    /// The updates in their order, for content that is loaded without them.
    pub(super) fn updates(&self) -> impl Iterator<Item = &[u8]> {
        self.appending.updates.iter().chain(&self.next.updates).map(|update| &*update.update)
    }

    /// Adds an update.
    pub(super) fn add(&mut self, document: &Arc<DocumentName>, update: Bytes, user: Option<Arc<str>>) {
        let before = self.bytes();
        self.next.bytes += update.len() + UPDATE_OVERHEAD;
        self.next.updates.push(DocumentUpdate { document: Arc::clone(document), update, user });
        self.resized(before);
    }

    /// The answers that are sent once everything that was added so far is stored.
    pub(super) fn answers(&mut self) -> &mut DelayedAnswers {
        let part = if self.next.updates.is_empty() { &mut self.appending } else { &mut self.next };
        &mut part.answers
    }

    /// The answers that wait for nothing.
    pub(super) fn take_answers(&mut self) -> DelayedAnswers {
        if self.is_empty() { std::mem::take(&mut self.appending.answers) } else { DelayedAnswers::default() }
    }

    /// The updates of the next append, unless one is under way or there is nothing to append.
    pub(super) fn begin(&mut self) -> Option<Vec<DocumentUpdate>> {
        if self.is_appending || self.next.updates.is_empty() {
            return None;
        }
        // Those that wait for nothing are sent with the others, if a turn has not sent them yet.
        let earlier = std::mem::take(&mut self.appending.answers);
        let next = std::mem::take(&mut self.next);
        self.appending = Part { answers: earlier.and(next.answers), ..next };
        self.is_appending = true;
        Some(self.appending.updates.clone())
    }

    /// Whether updates are on their way to the store, of which it is not known whether they are there.
    pub(super) fn is_appending(&self) -> bool {
        self.is_appending
    }

    /// The append has succeeded. Returns the updates, and who waited for it.
    pub(super) fn succeeded(&mut self) -> (Vec<DocumentUpdate>, DelayedAnswers) {
        let before = self.bytes();
        let Part { updates, answers, .. } = std::mem::take(&mut self.appending);
        self.is_appending = false;
        self.resized(before);
        (updates, answers)
    }

    fn resized(&mut self, before: usize) {
        self.charge.resize(self.bytes());
        self.counts.resize_unsaved(before, self.bytes());
    }

    /// The append was refused: it is tried again with what came since.
    pub(super) fn failed(&mut self) {
        let Part { updates, answers, bytes } = std::mem::take(&mut self.appending);
        self.is_appending = false;
        self.next.updates.splice(0..0, updates);
        self.next.answers = answers.and(std::mem::take(&mut self.next.answers));
        self.next.bytes += bytes;
    }
}
