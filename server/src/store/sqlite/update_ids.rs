//! The ids of the rows of the log, which are never given again.

use std::ops::Range;

use sqlx::SqlitePool;

use crate::store::StoreError;

/// A process takes blocks of ids with this many bits, and the number of the block is above them.
const BLOCK_BITS: u32 = 32;

/// The ids that this process may give out. None until the first is needed, so that a server without documents writes nothing.
#[derive(Debug, Default)]
pub(super) struct UpdateIds {
    left: Range<i64>,
}

impl UpdateIds {
    /// The first of `count` ids that follow each other, at most as many as a block has.
    pub(super) async fn take(&mut self, count: usize, writer: &SqlitePool) -> Result<i64, StoreError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if self.left.end - self.left.start < count {
            let block: i64 =
                sqlx::query_scalar("UPDATE document_update_ids SET blocks = blocks + 1 RETURNING blocks")
                    .fetch_one(writer)
                    .await?;
            self.left = block << BLOCK_BITS..(block + 1) << BLOCK_BITS;
        }
        let first = self.left.start;
        self.left.start += count;
        Ok(first)
    }
}
