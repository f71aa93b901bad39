//! What this node knows of the stored document: what it has read, appended and received. What is stored beyond that, others have
//! written.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::store::{CompactedDocument, DocumentVersion, StoredDocument};

/// How long after a compaction that has failed the next one may begin.
const COMPACTION_RETRY: Duration = Duration::from_secs(60);

/// What is known of the stored document.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// `None` until it was read.
    known: Mutex<Option<LogContent>>,
    compaction: Mutex<Compaction>,
}

/// Whether the log may be compacted.
#[derive(Debug, Default)]
enum Compaction {
    #[default]
    Possible,
    /// That is being done.
    Running,
    /// It has failed, and is not tried again before this time.
    Failed(Instant),
}

/// A state and the rows of a log.
#[derive(Debug, Default)]
pub(super) struct LogContent {
    state: i64,
    /// The bytes of each row.
    rows: HashMap<i64, usize>,
    bytes: usize,
}

impl LogContent {
    /// What was read.
    pub(super) fn of(stored: &StoredDocument) -> Self {
        let mut content = Self { state: stored.state_version, ..Self::default() };
        stored.updates.iter().for_each(|row| content.add(row.id, row.update.len()));
        content
    }

    fn add(&mut self, row: i64, bytes: usize) {
        if self.rows.insert(row, bytes).is_none() {
            self.bytes += bytes;
        }
    }

    fn lacks(&self, state: i64, mut rows: impl Iterator<Item = i64>) -> bool {
        self.state != state || rows.any(|row| !self.rows.contains_key(&row))
    }
}

impl Log {
    /// It was read, and is in the content. Returns whether others have written something since it was read before.
    pub(super) fn set(&self, read: LogContent) -> bool {
        let mut known = self.known.lock();
        let has_changed =
            known.as_ref().is_some_and(|known| known.lacks(read.state, read.rows.keys().copied()));
        *known = Some(read);
        has_changed
    }

    /// These rows are in it, with so many bytes each.
    pub(super) fn add(&self, rows: impl IntoIterator<Item = (i64, usize)>) {
        if let Some(known) = &mut *self.known.lock() {
            rows.into_iter().for_each(|(row, bytes)| known.add(row, bytes));
        }
    }

    /// What was stored, as `before`, was replaced by a state.
    pub(super) fn compacted(&self, before: &DocumentVersion, compacted: &CompactedDocument) {
        if let Some(known) = &mut *self.known.lock() {
            // What others had written before is in the state, and was not read here.
            if !known.lacks(before.state, before.updates.iter().copied()) {
                known.state = compacted.state_version;
            }
            for row in &compacted.updates {
                known.bytes -= known.rows.remove(row).unwrap_or_default();
            }
        }
    }

    /// Whether others have written something that is not known here.
    pub(super) fn lacks(&self, version: &DocumentVersion) -> bool {
        let known = self.known.lock();
        known.as_ref().is_some_and(|known| known.lacks(version.state, version.updates.iter().copied()))
    }

    /// Whether a compaction may begin, which then has.
    pub(super) fn begin_compaction(&self) -> bool {
        let mut compaction = self.compaction.lock();
        let may_begin = match *compaction {
            Compaction::Possible => !self.is_empty(),
            Compaction::Running => false,
            Compaction::Failed(until) => !self.is_empty() && Instant::now() >= until,
        };
        if may_begin {
            *compaction = Compaction::Running;
        }
        may_begin
    }

    /// A compaction has ended, or failed.
    pub(super) fn end_compaction(&self, has_failed: bool) {
        let failed = || Compaction::Failed(Instant::now() + COMPACTION_RETRY);
        *self.compaction.lock() = if has_failed { failed() } else { Compaction::Possible };
    }

    fn is_empty(&self) -> bool {
        self.known.lock().as_ref().is_none_or(|known| known.rows.is_empty())
    }

    /// Whether it is longer than the settings want.
    pub(super) fn is_long(&self, settings: &settings::Documents) -> bool {
        let known = self.known.lock();
        known.as_ref().is_some_and(|known| {
            known.rows.len() >= settings.compact_updates.get() as usize
                || known.bytes as u64 >= settings.compact_bytes.as_u64()
        })
    }
}
