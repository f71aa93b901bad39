//! The content of one document, as yrs has it. Only this file knows yrs.
//!
//! What comes in here is walked by `wire::yjs` before: its counts are true and nothing follows it, and shared types are not
//! nested too deeply (`nesting.rs`). What is left is that yrs may panic on content that contradicts itself. Such an update
//! is refused, and the content has to be loaded again, because nothing is known of a document whose transaction was cut off.

mod nesting;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::nesting::Nesting;
use wire::yjs::{DeletedRange, DocumentUpdate};
use yrs::block::{ClientID, ID};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, IdSet, OffsetKind, Options, ReadTxn, StateVector, Transact, Update, merge_updates_v1};

/// A document in memory.
pub(super) struct DocumentContent {
    doc: Doc,
    /// The bytes of what it was made of, a measure of the memory it takes.
    bytes: usize,
    /// Its size when it was encoded last, and how many bytes it was made of then.
    measured: (usize, usize),
    nesting: Nesting,
}

/// What became of updates that were applied together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// They contain nothing that was not there.
    Nothing,
    /// They contain this, as one update.
    Update(Vec<u8>),
}

/// Updates cannot be applied. The content must not be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the update contradicts itself or the document, or nests types too deeply")]
pub(super) struct Inapplicable;

impl DocumentContent {
    /// A document without content.
    pub(super) fn empty() -> Self {
        // Yjs counts UTF-16; its client ids have 32 bits.
        let client =
            u64::from(u32::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..4].try_into().expect("4 bytes")));
        let options =
            Options { offset_kind: OffsetKind::Utf16, ..Options::with_client_id(ClientID::new(client)) };
        Self { doc: Doc::with_options(options), bytes: 0, measured: (0, 0), nesting: Nesting::default() }
    }

    /// The document of which these are all updates.
    ///
    /// # Errors
    /// If one of them is not an update.
    pub(super) fn load<'a>(updates: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Inapplicable> {
        let mut content = Self::empty();
        content.apply(updates)?;
        Ok(content)
    }

    /// Applies `updates` as one change.
    ///
    /// # Errors
    /// If one of them is not an update, or yrs panics.
    pub(super) fn apply<'a>(
        &mut self,
        updates: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Applied, Inapplicable> {
        let decoded = catch_unwind(AssertUnwindSafe(|| self.apply_checked(updates)));
        decoded.unwrap_or(Err(Inapplicable))
    }

    fn apply_checked<'a>(
        &mut self,
        updates: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Applied, Inapplicable> {
        let updates: Vec<&[u8]> = updates.into_iter().collect();
        let mut transaction = self.doc.transact_mut();
        let waited = has_pending(&transaction);
        for update in &updates {
            let walked = DocumentUpdate::decode(update).map_err(|_malformed| Inapplicable)?;
            let nesting = self.nesting.with(&walked, &transaction)?;
            let update = Update::decode_v1(update).map_err(|_malformed| Inapplicable)?;
            transaction.apply_update(update).map_err(|_inapplicable| Inapplicable)?;
            self.nesting = nesting.after(&transaction);
        }
        let waits = has_pending(&transaction);
        let applied = match &*updates {
            // What waits for something else is not part of the transaction.
            [single] if waited || waits => Applied::Update(single.to_vec()),
            several if waited || waits => {
                Applied::Update(merge_updates_v1(several).map_err(|_malformed| Inapplicable)?)
            }
            _ if !transaction.has_changes() => Applied::Nothing,
            _ => Applied::Update(transaction.encode_update_v1()),
        };
        drop(transaction);
        if let Applied::Update(update) = &applied {
            self.bytes += update.len();
        }
        Ok(applied)
    }

    /// The bytes that are read to apply `updates`, about: those of the document too, if they contain shared types that may
    /// nest too deeply.
    pub(super) fn bytes_to_apply<'a>(&self, updates: impl Iterator<Item = &'a [u8]> + Clone) -> usize {
        let bytes = updates.clone().map(<[u8]>::len).sum();
        let types = updates.filter_map(|update| DocumentUpdate::decode(update).ok());
        let types = types.map(|update| update.shared_types()).sum();
        if self.nesting.allows(types) { bytes } else { bytes + self.bytes }
    }

    /// The encoded state vector: what is there of each client.
    pub(super) fn state_vector(&self) -> Vec<u8> {
        self.doc.transact().state_vector().encode_v1()
    }

    /// The encoded state vector of one who has everything but `update`.
    pub(super) fn state_vector_without(&self, update: &DocumentUpdate<'_>) -> Vec<u8> {
        let mut state_vector = self.doc.transact().state_vector();
        for section in update.sections() {
            state_vector.set_min(ClientID::new(section.client), section.clock);
        }
        state_vector.encode_v1()
    }

    /// Whether `update` contains nothing that is not there.
    pub(super) fn contains(&self, update: &DocumentUpdate<'_>) -> bool {
        let transaction = self.doc.transact();
        let state_vector = transaction.state_vector();
        let has_structs = update
            .sections()
            .iter()
            .all(|section| section.end <= state_vector.get(&ClientID::new(section.client)));
        has_structs
            && (update.deleted_ranges() == 0 || {
                let mut deletions = IdSet::new();
                for DeletedRange { client, clock, length } in update.deletions() {
                    deletions.insert(ID::new(ClientID::new(client), clock), length);
                }
                deletions.diff_with(&transaction.snapshot().delete_set);
                deletions.is_empty()
            })
    }

    /// What one lacks who has `state_vector`, and all deletions. What waits for something else is included.
    ///
    /// # Errors
    /// If it is not a state vector.
    pub(super) fn missing_from(&self, state_vector: &[u8]) -> Result<Vec<u8>, Inapplicable> {
        let encoded = catch_unwind(AssertUnwindSafe(|| {
            let state_vector = StateVector::decode_v1(state_vector).map_err(|_malformed| Inapplicable)?;
            Ok(self.doc.transact().encode_state_as_update_v1(&state_vector))
        }));
        encoded.unwrap_or(Err(Inapplicable))
    }

    /// All of it as one update.
    pub(super) fn encoded(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    /// Its size, exactly only if it may be near `max` with `more` bytes: to measure it takes as long as to encode it, so that is done once
    /// for each sixteenth of `max` that was added.
    pub(super) fn size_if_near(&mut self, max: u64, more: usize) -> usize {
        let (size, at) = self.measured;
        let estimated = size + (self.bytes - at);
        if (estimated + more) as u64 <= max || ((self.bytes - at) as u64) < max / 16 {
            return estimated;
        }
        let size = self.encoded().len();
        self.measured = (size, self.bytes);
        size
    }

    /// The bytes of the updates that it was made of.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Whether something waits for updates that have not come.
fn has_pending(transaction: &impl ReadTxn) -> bool {
    let store = transaction.store();
    store.pending_update().is_some() || store.pending_ds().is_some()
}

#[cfg(test)]
mod tests;
