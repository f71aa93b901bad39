//! The content of one document, as yrs has it. Only this module knows yrs.
//!
//! What comes in here is walked by `wire::yjs` before: its counts are true and nothing follows it, and shared types are not
//! nested too deeply (`nesting.rs`). What is left is that yrs may panic on content that contradicts itself. Such an update
//! is refused, and the content has to be loaded again, because nothing is known of a document whose transaction was cut off.

mod applied;
mod memory;
mod nesting;
mod size;
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind};

use wire::yjs::{DeletedRange, DocumentUpdate};
use yrs::block::{ClientID, ID};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    Doc, IdSet, OffsetKind, Options, ReadTxn, StateVector, Transact, TransactionMut, Update, merge_updates_v1,
};

pub(super) use self::applied::{Applied, ApplyCost, Inapplicable};
use self::memory::{DocumentMemory, memory_of};
use self::nesting::Nesting;
use self::size::MeasuredSize;
use self::waiting::{PendingSize, has_pending};

/// A document in memory.
pub(super) struct DocumentContent {
    doc: Doc,
    /// The bytes of what it was made of, a measure of the memory it takes.
    bytes: usize,
    size: MeasuredSize,
    nesting: Nesting,
    waiting: PendingSize,
    memory: DocumentMemory,
    left_out: usize,
}

impl DocumentContent {
    /// A document without content.
    pub(super) fn empty() -> Self {
        // Yjs counts UTF-16; its client ids have 32 bits.
        let client =
            u64::from(u32::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..4].try_into().expect("4 bytes")));
        let options =
            Options { offset_kind: OffsetKind::Utf16, ..Options::with_client_id(ClientID::new(client)) };
        Self {
            doc: Doc::with_options(options),
            bytes: 0,
            size: MeasuredSize::default(),
            nesting: Nesting::default(),
            waiting: PendingSize::default(),
            memory: DocumentMemory::default(),
            left_out: 0,
        }
    }

    /// The document of which these are all updates.
    ///
    /// Updates that nest shared types too deeply are left out, but not the first one: nodes may have accepted parts that are too
    /// deep together, and the rest can be read still.
    ///
    /// # Errors
    /// If one of them is not an update, or the first one is nested too deeply.
    pub(super) fn load<'a>(updates: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Inapplicable> {
        let updates: Vec<&[u8]> = updates.into_iter().collect();
        let mut content = Self::empty();
        match content.apply(updates.iter().copied(), usize::MAX) {
            Err(Inapplicable::Nested) => {}
            applied => return applied.map(|_applied| content),
        }
        let mut content = Self::empty();
        for (index, update) in updates.into_iter().enumerate() {
            match content.apply([update], usize::MAX) {
                // It was not begun.
                Err(Inapplicable::Nested) if index > 0 => content.left_out += 1,
                applied => _ = applied?,
            }
        }
        Ok(content)
    }

    /// The updates that were left out when it was loaded.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }

    /// Applies `updates` as one change, unless more than `waiting_max` bytes would wait for others then.
    ///
    /// # Errors
    /// If one of them is not an update, or is not permitted, or yrs panics.
    pub(super) fn apply<'a>(
        &mut self,
        updates: impl IntoIterator<Item = &'a [u8]>,
        waiting_max: usize,
    ) -> Result<Applied, Inapplicable> {
        let updates: Vec<&[u8]> = updates.into_iter().collect();
        self.measure_memory();
        let doc = self.doc.clone();
        let mut transaction = doc.transact_mut();
        let applied = caught(|| self.apply_within(&mut transaction, &updates, waiting_max));
        // Dropped after the unwinding, not by it: a second panic would end the process.
        let committed = caught(|| {
            drop(transaction);
            Ok(())
        });
        let applied = applied?;
        committed?;
        if let Applied::Update(update) = &applied {
            self.bytes += update.len();
        }
        Ok(applied)
    }

    fn apply_within(
        &mut self,
        transaction: &mut TransactionMut<'_>,
        updates: &[&[u8]],
        waiting_max: usize,
    ) -> Result<Applied, Inapplicable> {
        let waited = has_pending(transaction);
        let bytes = updates.iter().map(|update| update.len()).sum();
        self.waiting.before(bytes, waiting_max, transaction);
        for update in updates {
            let walked = DocumentUpdate::decode(update).map_err(|_malformed| Inapplicable::Contradictory)?;
            let nesting = self.nesting.with(&walked, transaction)?;
            let update = Update::decode_v1(update).map_err(|_malformed| Inapplicable::Contradictory)?;
            transaction.apply_update(update).map_err(|_inapplicable| Inapplicable::Contradictory)?;
            self.nesting = nesting.after(transaction);
            self.memory.add(&walked);
            if walked.deleted_ranges() > 0 {
                self.size.note_deletion();
            }
        }
        self.waiting.after(bytes, waiting_max, transaction)?;
        let waits = has_pending(transaction);
        Ok(match updates {
            // What waits for something else is not part of the transaction.
            [single] if waited || waits => Applied::Update(single.to_vec()),
            several if waited || waits => {
                Applied::Update(merge_updates_v1(several).map_err(|_malformed| Inapplicable::Contradictory)?)
            }
            _ if !transaction.has_changes() => Applied::Nothing,
            _ => Applied::Update(transaction.encode_update_v1()),
        })
    }

    /// What it takes to apply `updates`. The document is read too, if it is to be measured, or shared types may be nested too deeply.
    pub(super) fn cost_to_apply<'a>(&self, updates: impl Iterator<Item = &'a [u8]>) -> ApplyCost {
        let (mut cost, mut types) = (ApplyCost::default(), 0);
        for update in updates {
            cost.bytes += update.len();
            if let Ok(update) = DocumentUpdate::decode(update) {
                cost.memory += memory_of(&update);
                types += update.shared_types();
            }
        }
        if self.memory.is_uncertain() || !self.nesting.allows(types) {
            cost.bytes += self.bytes;
        }
        cost
    }

    /// The bytes of what it was made of.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The memory that it takes, about.
    pub(super) fn memory(&self) -> usize {
        self.memory.bytes()
    }

    fn measure_memory(&mut self) {
        if self.memory.is_uncertain() {
            let state = self.encoded();
            self.memory = DocumentUpdate::decode(&state)
                .map_or_else(|_unreadable| self.memory, |state| DocumentMemory::measured(&state));
        }
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
        caught(|| {
            let state_vector =
                StateVector::decode_v1(state_vector).map_err(|_malformed| Inapplicable::Contradictory)?;
            Ok(self.doc.transact().encode_state_as_update_v1(&state_vector))
        })
    }

    /// All of it as one update.
    pub(super) fn encoded(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    /// Its size, exactly only if it may be near `max` with `more` bytes.
    pub(super) fn size_if_near(&mut self, max: usize, more: usize) -> usize {
        if self.size.is_to_be_measured(self.bytes, max, more) {
            self.size = MeasuredSize::now(self.encoded().len(), self.bytes);
        }
        self.size.estimated(self.bytes)
    }
}

/// What yrs does, or an error if it panics.
fn caught<T>(work: impl FnOnce() -> Result<T, Inapplicable>) -> Result<T, Inapplicable> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Inapplicable::Contradictory))
}

#[cfg(test)]
pub(super) mod tests;
