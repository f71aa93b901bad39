//! How deeply the shared types of a document may be nested. yrs follows them by recursion, and the stack of a thread ends: what would
//! exceed [`TYPE_DEPTH_MAX`] is refused before it is applied.
//!
//! An update alone shows by how much it may deepen a document at most, mostly one level. Only when the sum of that reaches the bound,
//! the whole document is measured, which takes as long as to encode it.

use wire::yjs::{DocumentUpdate, TYPE_DEPTH_MAX, type_depth};
use yrs::updates::encoder::Encode;
use yrs::{ReadTxn, StateVector};

use super::Inapplicable;

/// A bound of the nesting of a document.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Nesting(usize);

/// The bounds of the nesting of a document after an update.
#[derive(Debug, Clone, Copy)]
pub(super) struct NextNesting {
    applied: usize,
    /// If a part of it waits. What comes later may put any shared type that waits into any other.
    waiting: usize,
}

impl Nesting {
    /// Whether that many shared types more do not exceed the bound, whatever they are within.
    pub(super) fn allows(self, types: usize) -> bool {
        self.0.saturating_add(types) <= TYPE_DEPTH_MAX
    }

    /// The bounds with `update`, which is going to be applied.
    ///
    /// # Errors
    /// If it nests shared types too deeply.
    pub(super) fn with(
        self,
        update: &DocumentUpdate<'_>,
        transaction: &impl ReadTxn,
    ) -> Result<NextNesting, Inapplicable> {
        let types = update.shared_types();
        let pending = transaction.store().pending_update();
        let deeper = if pending.is_some() { types } else { type_depth(None, &[update]) };
        if self.allows(deeper) {
            return Ok(NextNesting { applied: self.0 + deeper, waiting: self.0 + types });
        }
        let state = transaction.encode_diff_v1(&StateVector::default());
        let state = decode(&state)?;
        let waiting = pending.map_or_else(|| vec![0, 0], |pending| pending.update.encode_v1());
        let waiting = decode(&waiting)?;
        let depth = match pending {
            Some(_) => type_depth(Some(&state), &[&waiting, update]),
            None => type_depth(Some(&state), &[update]),
        };
        if depth > TYPE_DEPTH_MAX {
            return Err(Inapplicable::Nested);
        }
        Ok(NextNesting { applied: depth, waiting: depth + waiting.shared_types() + types })
    }
}

impl NextNesting {
    /// The bound after the update was applied.
    pub(super) fn after(self, transaction: &impl ReadTxn) -> Nesting {
        let waits = transaction.store().pending_update().is_some();
        Nesting(if waits { self.waiting } else { self.applied })
    }
}

fn decode(update: &[u8]) -> Result<DocumentUpdate<'_>, Inapplicable> {
    DocumentUpdate::decode(update).map_err(|_unreadable| Inapplicable::Contradictory)
}
