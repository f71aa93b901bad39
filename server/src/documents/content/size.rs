//! The size of an encoded document. To measure it takes as long as to encode it, so that is done seldom, and it is estimated between.

use std::time::{Duration, Instant};

/// How often it is measured at most because something was deleted.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The size of a document when it was encoded last. All bytes that were added since are taken to make it larger.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MeasuredSize {
    size: usize,
    /// How many bytes the document was made of then.
    made_of: usize,
    at: Option<Instant>,
    /// Whether something was deleted since, by which it may have become smaller.
    has_deletions: bool,
}

impl MeasuredSize {
    /// A document that is made of so many bytes has this size.
    pub(super) fn now(size: usize, made_of: usize) -> Self {
        Self { size, made_of, at: Some(Instant::now()), has_deletions: false }
    }

    pub(super) fn note_deletion(&mut self) {
        self.has_deletions = true;
    }

    /// The size of the document, which is made of so many bytes by now.
    pub(super) fn estimated(&self, made_of: usize) -> usize {
        self.size + (made_of - self.made_of)
    }

    /// Whether the document may be over `max` with `more` bytes, and its size may be another than estimated: once for each sixteenth
    /// of `max` that was added, and after deletions.
    pub(super) fn is_to_be_measured(&self, made_of: usize, max: usize, more: usize) -> bool {
        let has_grown = || made_of - self.made_of >= max / 16;
        let has_shrunk = || self.has_deletions && self.at.is_none_or(|at| at.elapsed() >= INTERVAL_MIN);
        self.estimated(made_of) + more > max && (has_grown() || has_shrunk())
    }
}
