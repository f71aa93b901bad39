//! What waits in a document for updates that have not come, and perhaps never do. It is kept, sent and stored like everything else, and
//! read again with each update that waits too; so it is bounded.

use yrs::ReadTxn;
use yrs::updates::encoder::Encode;

use super::Inapplicable;

/// The bytes of what waits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PendingSize {
    measured: usize,
    /// Bytes of the updates since, which may wait or not.
    added: usize,
}

impl PendingSize {
    /// Updates of that many bytes are going to be applied. To measure takes as long as to encode what waits, so that is done once for
    /// each sixteenth of `max` that was added.
    pub(super) fn before(&mut self, bytes: usize, max: usize, transaction: &impl ReadTxn) {
        if self.is_near(bytes, max) {
            *self = Self { measured: size(transaction), added: 0 };
        }
    }

    /// They were applied.
    ///
    /// # Errors
    /// If more than `max` waits because of them.
    pub(super) fn after(
        &mut self,
        bytes: usize,
        max: usize,
        transaction: &impl ReadTxn,
    ) -> Result<(), Inapplicable> {
        if !has_pending(transaction) {
            *self = Self::default();
            return Ok(());
        }
        if !self.is_near(bytes, max) {
            self.added += bytes;
            return Ok(());
        }
        let before = self.measured;
        *self = Self { measured: size(transaction), added: 0 };
        if self.measured > max.max(before) { Err(Inapplicable::Waiting) } else { Ok(()) }
    }

    fn is_near(self, bytes: usize, max: usize) -> bool {
        self.measured + self.added + bytes > max.saturating_add(max / 16)
    }
}

/// Whether something waits.
pub(super) fn has_pending(transaction: &impl ReadTxn) -> bool {
    let store = transaction.store();
    store.pending_update().is_some() || store.pending_ds().is_some()
}

fn size(transaction: &impl ReadTxn) -> usize {
    let store = transaction.store();
    let update = store.pending_update().map_or(0, |pending| pending.update.encode_v1().len());
    update + store.pending_ds().map_or(0, |deletions| deletions.encode_v1().len())
}
